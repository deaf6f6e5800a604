// SPDX-License-Identifier: Apache-2.0
//
// env.NAME of a binding to another tenant: fetch(), which asks the supervisor. One Exchange is one call, from
// its head to the end of its answer; what comes back arrives by the entries at the end of this file.
import {
    call as openCall, cancelCall, consumeCall, sendCall, utf8Encode,
} from "./native.js";
import {
    Map, MapPrototypeDelete, MapPrototypeForEach, MapPrototypeGet, MapPrototypeSet, Promise,
    PromisePrototypeThen, StringPrototypeIndexOf, StringPrototypeSlice, TypeError,
    TypedArrayPrototypeGetByteLength, closeClass, isUint8Array,
} from "./primordials.js";
import { abortReason, isAborted, offAbort, onAbort } from "./abort.js";
import { Body, isUnusable, streamOf } from "./body.js";
import { NO_BYTES, viewBytes } from "./bytes.js";
import { currentCall, findCall, setCurrent } from "./current.js";
import { domException } from "./dom_exception.js";
import { IncomingBody } from "./incoming_body.js";
import {
    Request, requestBody, requestList, requestMethod, requestSignal, requestUrl,
} from "./request.js";
import { createAnswer, isNullBodyStatus } from "./response.js";
import { cancelReader, getReader, read } from "./streams.js";
import { defineInterface, requireArguments } from "./webidl.js";

// Most bytes of a body that go with the head; the rest waits here for credit.
const FIRST_MAX = 65536;

const lengthOf = (bytes) => TypedArrayPrototypeGetByteLength(bytes);

class Exchange {
    call; // the request that makes the call
    id;
    url;
    isHead; // true: the method is HEAD
    gone = false; // answered whole, failed or cancelled
    resolve;
    reject;
    incoming; // body of the answer, once there is one
    credit = 0;
    rest; // part of the body that waits for credit
    reader; // reader of the body, while it is sent
    wake; // resolves when there is credit
    signal;
    onAbort;

    // For IncomingBody: notes that the tenant has read so much of the answer.
    consumed(size) {
        consumeCall(this.call.id, this.id, size);
    }

    // For IncomingBody: ends an answer that the tenant wants no more of. True: nothing more comes.
    discard() {
        cancel(this);
        return true;
    }
}
closeClass(Exchange);

function leave(exchange) {
    exchange.gone = true;
    exchange.rest = undefined;
    MapPrototypeDelete(exchange.call.exchanges, exchange.id);
    if (exchange.onAbort !== undefined) {
        offAbort(exchange.signal, exchange.onAbort);
    }
    if (exchange.wake !== undefined) {
        exchange.wake();
    }
    if (exchange.reader !== undefined) {
        const { reader } = exchange;
        exchange.reader = undefined;
        const reason = domException("The call is over", "AbortError");
        PromisePrototypeThen(cancelReader(reader, reason), undefined, () => {});
    }
}

function cancel(exchange) {
    if (!exchange.gone) {
        leave(exchange);
        cancelCall(exchange.call.id, exchange.id);
    }
}

function fail(exchange, error) {
    if (!exchange.gone) {
        leave(exchange);
    }
    exchange.reject(error);
    exchange.incoming?.fail(error);
}

const internal = Symbol("internal");

class Fetcher {
    #binding;

    constructor(token, binding) {
        if (token !== internal) {
            throw new TypeError("Fetcher: Illegal constructor");
        }
        this.#binding = binding;
    }

    fetch(input, init = undefined) {
        return new Promise((resolve, reject) => {
            const binding = this.#binding;
            requireArguments(arguments.length, 1, "fetch");
            const call = currentCall();
            if (call === undefined || call.gone) {
                throw new TypeError("fetch: a call is made for a request, and none is open here.");
            }
            start(call, binding, new Request(input, init), resolve, reject);
        });
    }
}
const makeFetcher = (binding) => new Fetcher(internal, binding);
defineInterface(Fetcher, "Fetcher");

function start(call, binding, request, resolve, reject) {
    const signal = requestSignal(request);
    if (signal !== undefined && isAborted(signal)) {
        throw abortReason(signal);
    }
    const body = requestBody(request);
    if (body !== null && isUnusable(body)) {
        throw new TypeError("fetch: the body was used already, or is locked.");
    }
    const exchange = new Exchange();
    exchange.call = call;
    exchange.url = withoutFragment(requestUrl(request));
    exchange.isHead = requestMethod(request) === "HEAD";
    exchange.resolve = resolve;
    exchange.reject = reject;
    const first = takeFirst(exchange, body);
    const isWhole = exchange.rest === undefined && exchange.reader === undefined;
    exchange.id = openCall(call.id, binding, requestMethod(request), exchange.url,
        requestList(request), first, isWhole);
    MapPrototypeSet(call.exchanges ??= new Map(), exchange.id, exchange);
    if (signal !== undefined) {
        exchange.signal = signal;
        exchange.onAbort = () => {
            const reason = abortReason(signal);
            cancel(exchange);
            fail(exchange, reason);
        };
        onAbort(signal, exchange.onAbort);
    }
    if (!isWhole) {
        send(exchange);
    }
}

function withoutFragment(url) {
    const at = StringPrototypeIndexOf(url, "#");
    return at < 0 ? url : StringPrototypeSlice(url, 0, at);
}

// Returns the part of the body that goes with the head; the exchange gets the others.
function takeFirst(exchange, body) {
    if (body === null) {
        return undefined;
    }
    if (body.stream !== undefined || body.incoming !== undefined) {
        exchange.reader = getReader(streamOf(body));
        return undefined;
    }
    const { source } = body;
    body.used = true;
    const bytes = typeof source === "string" ? utf8Encode(source) : source;
    const length = lengthOf(bytes);
    if (length <= FIRST_MAX) {
        return length === 0 ? undefined : bytes;
    }
    exchange.rest = viewBytes(bytes, FIRST_MAX, length);
    return viewBytes(bytes, 0, FIRST_MAX);
}

async function send(exchange) {
    try {
        // Sends nothing, and tells how much may be sent.
        exchange.credit = sendCall(exchange.call.id, exchange.id, undefined, false);
        while (!exchange.gone) {
            if (exchange.credit <= 0) {
                await new Promise((resolve) => {
                    exchange.wake = resolve;
                });
            } else if (!await sendNext(exchange)) {
                return;
            }
        }
    } catch (error) {
        if (!exchange.gone) {
            cancel(exchange);
            fail(exchange, error);
        }
    }
}

// Sends the next part. Returns false after the end.
async function sendNext(exchange) {
    const { call, id } = exchange;
    let chunk = exchange.rest;
    if (chunk === undefined) {
        if (exchange.reader === undefined) {
            sendCall(call.id, id, undefined, true);
            return false;
        }
        const { done, value } = await read(exchange.reader);
        if (exchange.gone) {
            return false;
        }
        if (done) {
            exchange.reader = undefined;
            sendCall(call.id, id, undefined, true);
            return false;
        }
        if (!isUint8Array(value)) {
            throw new TypeError(`A chunk of the body ${NO_BYTES}.`);
        }
        chunk = value;
    }
    const length = lengthOf(chunk);
    if (length > exchange.credit) {
        exchange.rest = viewBytes(chunk, exchange.credit, length);
        chunk = viewBytes(chunk, 0, exchange.credit);
    } else {
        exchange.rest = undefined;
    }
    if (length > 0) {
        exchange.credit = sendCall(call.id, id, chunk, false);
    }
    return true;
}

// ---- entries

function find(request, id) {
    const call = findCall(request);
    if (call === undefined || call.exchanges === undefined) {
        return undefined;
    }
    setCurrent(call);
    return MapPrototypeGet(call.exchanges, id);
}

export function onCallHead(request, id, status, head, data, end) {
    const exchange = find(request, id);
    if (exchange === undefined) {
        return;
    }
    let body = null;
    if (!exchange.isHead && !isNullBodyStatus(status)) {
        exchange.incoming = new IncomingBody(exchange, data, end);
        body = new Body(undefined, exchange.incoming, undefined);
    }
    if (end) {
        leave(exchange);
    }
    exchange.resolve(createAnswer(status, head, body, exchange.url));
}

export function onCallBody(request, id, data, end) {
    const exchange = find(request, id);
    if (exchange === undefined) {
        return;
    }
    if (end) {
        leave(exchange);
    }
    exchange.incoming?.push(data, end);
}

export function onCallCredit(request, id, credit) {
    const exchange = find(request, id);
    if (exchange === undefined) {
        return;
    }
    exchange.credit = credit;
    if (credit > 0 && exchange.wake !== undefined) {
        const { wake } = exchange;
        exchange.wake = undefined;
        wake();
    }
}

export function onCallFailed(request, id, isLimit, message) {
    const exchange = find(request, id);
    if (exchange !== undefined) {
        fail(exchange, isLimit ? domException(message, "QuotaExceededError") :
            new TypeError(`The call has failed: ${message}`));
    }
}

// ---- for calls.js

// Fails the calls of a request that was cancelled.
export function failCalls(call, error) {
    if (call.exchanges !== undefined) {
        MapPrototypeForEach(call.exchanges, (exchange) => fail(exchange, error));
    }
}

// The face of each kind of binding in env, by its number in worker.proto.
const makers = [
    makeFetcher, // BINDING_SERVICE
];

// bindings: flat, [name, kind, ...]
export function addBindings(env, bindings, define) {
    for (let i = 0; i < bindings.length; i += 2) {
        define(env, bindings[i], makers[bindings[i + 1]](i / 2));
    }
}
