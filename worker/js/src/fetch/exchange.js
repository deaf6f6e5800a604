// SPDX-License-Identifier: Apache-2.0
//
// One call to the supervisor, from its head to the end of its answer: the body goes out as far as there is credit, the answer comes in by the
// entries at the end of this file. The asker has made the call and gets its answer: answered(exchange, status, head, reason), with exchange.incoming
// unless the answer has no body; failed(error); failure(isLimit, message), which makes the error of a call that skepd has failed; shown(), which
// says in a warning what it is; left(), if it is to know that the call is over.
import {
    call as openCall, cancelCall, consumeCall, log, sendCall,
} from "../native.js";
import {
    Map, MapPrototypeDelete, MapPrototypeForEach, MapPrototypeGet, MapPrototypeSet, Promise,
    PromisePrototypeThen, TypeError, TypedArrayPrototypeGetByteLength, closeClass, isUint8Array,
} from "../primordials.js";
import { abortReason, offAbort, onAbort } from "../abort.js";
import { NO_BYTES, viewBytes } from "../bytes.js";
import { findCall, setCurrent } from "../current.js";
import { domException } from "../dom_exception.js";
import { IncomingBody } from "../incoming_body.js";
import { withoutPlace } from "../place.js";
import { isNullBodyStatus } from "../response.js";
import { cancelReader, getReader, read } from "../streams.js";

const WARN = 2;

// Most bytes of a body that go with the head; the rest waits here for credit.
export const FIRST_MAX = 65536;

const lengthOf = (bytes) => TypedArrayPrototypeGetByteLength(bytes);

class Exchange {
    asker;
    call; // the request that makes the call
    id;
    isHead; // true: the method is HEAD
    gone = false; // answered whole, failed or cancelled
    isAnswered = false; // the head has come
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

const isOver = () => domException("The call is over", "AbortError");

// reason: for the body, if it was not sent to its end; undefined: the call is over. An exception, which has a stack, is made for a body only.
function leave(exchange, reason) {
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
        PromisePrototypeThen(cancelReader(reader, reason === undefined ? isOver() : reason), undefined, () => {});
    }
    exchange.asker.left?.();
}

export function cancel(exchange, reason) {
    if (!exchange.gone) {
        leave(exchange, reason);
        cancelCall(exchange.call.id, exchange.id);
    }
}

function fail(exchange, error) {
    if (!exchange.gone) {
        leave(exchange, error);
    }
    exchange.asker.failed(error);
    exchange.incoming?.fail(error);
}

// Makes a call for a request (a Call of calls.js). asked: { binding, method, url, list, bytes, stream, signal }; the body is bytes, or a stream, or
// neither, or some bytes (FIRST_MAX) and the stream behind them. Throws if the call cannot be made.
export function openExchange(asker, call, asked) {
    const { bytes, signal } = asked;
    const exchange = new Exchange();
    let first = bytes;
    exchange.asker = asker;
    exchange.call = call;
    exchange.isHead = asked.method === "HEAD";
    if (asked.stream !== undefined) {
        exchange.reader = getReader(asked.stream);
    } else if (bytes !== undefined && lengthOf(bytes) > FIRST_MAX) {
        exchange.rest = viewBytes(bytes, FIRST_MAX, lengthOf(bytes));
        first = viewBytes(bytes, 0, FIRST_MAX);
    }
    const isWhole = exchange.rest === undefined && exchange.reader === undefined;
    exchange.id = openCall(call.id, asked.binding, asked.method, asked.url, asked.list, first, isWhole);
    MapPrototypeSet(call.exchanges ??= new Map(), exchange.id, exchange);
    if (signal !== undefined) {
        exchange.signal = signal;
        exchange.onAbort = () => {
            const reason = abortReason(signal);
            cancel(exchange, reason);
            fail(exchange, reason);
        };
        onAbort(signal, exchange.onAbort);
    }
    if (!isWhole) {
        send(exchange);
    }
    return exchange;
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
            cancel(exchange, error);
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
            throw withoutPlace(new TypeError(`A chunk of the body ${NO_BYTES}.`));
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

export function onCallHead(request, id, status, head, data, end, reason) {
    const exchange = find(request, id);
    if (exchange === undefined) {
        return;
    }
    exchange.isAnswered = true;
    if (!exchange.isHead && !isNullBodyStatus(status)) {
        exchange.incoming = new IncomingBody(exchange, data, end);
    }
    if (end) {
        leave(exchange);
    }
    exchange.asker.answered(exchange, status, head, reason);
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
        fail(exchange, withoutPlace(exchange.asker.failure(isLimit, message)));
    }
}

// Tells the tenant of a call that is cut off by the end of its request, before there was an answer.
export function warnCut(call) {
    let shown;
    MapPrototypeForEach(call.exchanges, (exchange) => {
        if (!exchange.isAnswered) {
            shown ??= exchange.asker.shown();
        }
    });
    if (shown !== undefined) {
        log(WARN, `${shown} was cut off as its request ended: await it, or give it to ctx.waitUntil()`);
    }
}

// Fails the calls of a request that was cancelled.
export const failCalls = (call, error) => MapPrototypeForEach(call.exchanges, (exchange) => fail(exchange, error));
