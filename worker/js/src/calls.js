// SPDX-License-Identifier: Apache-2.0
//
// The life of a request: dispatch, the handler, the response on its way out, waitUntil, the end.
// Entry points for worker/v8; see the contract in ../README.md.
import {
    consumeBody, done, dropBytes, head as cut, log, namedKeys, noteWaiting, respond, sendBody, utf8Encode,
} from "./native.js";
import {
    FunctionPrototypeCall, ObjectDefineProperty, Promise, PromisePrototypeThen, PromiseResolve,
    ReflectGetOwnPropertyDescriptor, TypeError, TypedArrayPrototypeGetByteLength, closeClass, isObject, isUint8Array, newList,
} from "./primordials.js";
import { Body, isUnusable, streamOf } from "./body.js";
import { addBindings, failCalls, warnCut } from "./bindings.js";
import { NO_BYTES, viewBytes } from "./bytes.js";
import { setTimeOrigin } from "./clock.js";
import { addCall, findCall, forgetCurrent, removeCall, setCurrent } from "./current.js";
import { domException } from "./dom_exception.js";
import { fetchEventLibrary } from "./fetch_event.js";
import { dispatchToScope, findFetchListener } from "./global_scope.js";
import { listAppend, listGet, listHas } from "./headers.js";
import { IncomingBody } from "./incoming_body.js";
import { describeError } from "./inspect.js";
import { warnPassThrough } from "./pass_through.js";
import { logException } from "./report.js";
import { revokeObjects } from "./object_url.js";
import { abortRequest, createIncoming } from "./request.js";
import { isNullBodyStatus, responseState } from "./response.js";
import { cancelReader, getReader, read } from "./streams.js";
import { forgetTimers, keepTimers, runTimer } from "./timers.js";

const OK = 0;
const EXCEPTION = 1;
const BAD_RESPONSE = 2;

// Bytes or UTF-16 units of a body that goes out with the head: as UTF-8 it is within the first
// credit. A longer one waits here for credit, where it counts as the tenant's memory.
const DIRECT_MAX = 65536;

const WARN = 2;

// The messages for a handler that gives no response, by the form of the handler.
const FETCH_GAVE = {
    __proto__: null,
    none: "the handler's fetch function did not return a Response",
    error: "the handler's fetch function returned Response.error()",
};
const EVENT_GAVE = {
    __proto__: null,
    none: "event.respondWith() was not given a Response",
    error: "event.respondWith() was given Response.error()",
};

let handler; // the default export
let handlerFetch; // undefined: fetch events go to the listeners of the global scope
let gave = FETCH_GAVE;
let env;

// State of one request. timers: set by timers.js, tasks: by tasks.js, exchanges: by bindings.js, storage: by storage/operation.js
class Call {
    constructor(id, isHead, caller) {
        this.id = id;
        this.isHead = isHead;
        this.caller = caller; // name of the calling tenant; null: none
        this.request = undefined;
        this.gone = false; // done, cancelled or forgotten: nothing more is answered
        this.pending = 1; // the response, and each promise given to waitUntil
    }

    // For IncomingBody: consumed() and discard().
    consumed(size) {
        consumeBody(this.id, size);
    }

    discard() {
        return false;
    }

    // For contexts and events: the request is not over before the promise is settled.
    waitUntil(promise) {
        this.pending++;
        PromisePrototypeThen(PromiseResolve(promise), () => settle(this), (error) => {
            logException(error, "Uncaught (in waitUntil) ");
            settle(this);
        });
    }
}
const callDefaults = closeClass(Call);
callDefaults.exchanges = undefined;
callDefaults.incoming = undefined;
callDefaults.storage = undefined;
callDefaults.timers = undefined;
callDefaults.tasks = undefined;
callDefaults.lingers = false; // gone, and kept by its timers
callDefaults.objectUrls = undefined; // blob: URLs that it has made: see object_url.js
callDefaults.reader = undefined; // reader of the response body, while it is sent
callDefaults.credit = 0;
callDefaults.rest = undefined; // part of a chunk that waits for credit
callDefaults.own = undefined; // all bytes of the response's body, to which only this call refers
callDefaults.waiting = 0; // bytes that this call keeps until the client has taken them
callDefaults.wake = undefined; // resolves when there is credit again

let waiting = 0; // bytes that all calls keep so

// Notes how much waits for the client. skepd sends few further requests while clients make answers wait that fill
// the tenant's memory.
function noteCallWaiting(call, bytes) {
    if (call.waiting !== bytes) {
        waiting += bytes - call.waiting;
        call.waiting = bytes;
        noteWaiting(waiting);
    }
}

// Drops the rest of the response body, of which nothing more is sent.
function dropRest(call) {
    call.rest = undefined;
    noteCallWaiting(call, 0);
    if (call.own !== undefined) {
        dropBytes(call.own);
        call.own = undefined;
    }
}

function drop(call) {
    call.gone = true;
    if (call.waiting !== 0 || call.own !== undefined) {
        dropRest(call);
    }
    if (call.objectUrls !== undefined) {
        revokeObjects(call);
    }
    if (call.timers === undefined) {
        removeCall(call);
    } else if (!(call.lingers = keepTimers(call))) {
        removeCall(call);
    }
}

function finish(call, outcome, message) {
    if (!call.gone) {
        drop(call);
        done(call.id, outcome, message);
    }
}

function settle(call) {
    if (--call.pending === 0) {
        if (!call.gone) {
            warnCut(call);
        }
        finish(call, OK, undefined);
    }
}

class ExecutionContext {
    #call;

    constructor(call) {
        this.#call = call;
    }

    // The calling tenant, by skepd's word; null in a request of an HTTP client.
    get caller() {
        return this.#call.caller;
    }

    waitUntil(promise) {
        const call = this.#call;
        if (!call.gone) {
            call.waitUntil(promise);
        }
    }

    passThroughOnException() {
        this.#call; // eslint-disable-line no-unused-expressions -- brand check
        warnPassThrough();
    }
}

const global = globalThis;

const define = (object, name, value) => ObjectDefineProperty(object, name, {
    __proto__: null, value, writable: true, enumerable: true, configurable: true,
});

export function boot(defaultExport, environment, bindings = newList()) {
    setTimeOrigin();
    const fetch = isObject(defaultExport) && typeof defaultExport === "object" ?
        defaultExport.fetch : undefined;
    const listener = findFetchListener();
    env = environment;
    addBindings(env, bindings, define);
    if (typeof fetch === "function") {
        if (listener !== undefined) {
            log(WARN, "the listener for fetch events gets none: the module has a default export with fetch, too");
        }
        handler = defaultExport;
        handlerFetch = fetch;
        return fetch;
    }
    const found = describeExport(defaultExport, fetch);
    if (listener === undefined) {
        throw new TypeError(`the main module has no handler: ${found}; expected ` +
            "export default { fetch(request, env, ctx) { … } } or addEventListener(\"fetch\", …)");
    }
    if (defaultExport !== undefined) {
        log(WARN, `requests go to the listener for fetch events: ${found}`);
    }
    gave = EVENT_GAVE;
    showEnv();
    return listener;
}

const KEYS_SHOWN = 5;
const KEY_MAX = 40;

// Why a default export is no handler.
function describeExport(value, fetch) {
    if (value === undefined) {
        return "there is no default export";
    }
    if (!isObject(value)) {
        return `the default export is ${value === null ? "null" : `a ${typeof value}`}, not an object`;
    }
    if (typeof value === "function") {
        return "the default export is a function or class, not an object";
    }
    if (fetch !== undefined) {
        return `the default export's fetch is ${fetch === null ? "null" : `of type ${typeof fetch}`}, not a function`;
    }
    let keys = "";
    const all = namedKeys(value, false);
    for (let i = 0; i < all.length && i < KEYS_SHOWN; i++) {
        if (typeof all[i] === "string") {
            keys += `${keys === "" ? "" : ", "}${cut(all[i], KEY_MAX)}`;
        }
    }
    return `the default export has no fetch function${keys === "" ? "" : `, but ${keys}`}`;
}

// A listener has no env: as elsewhere, its names are global. A name that is there already stays what it is.
function showEnv() {
    const names = namedKeys(env, true);
    for (let i = 0; i < names.length; i++) {
        if (ReflectGetOwnPropertyDescriptor(global, names[i]) === undefined) {
            define(global, names[i], env[names[i]]);
        } else {
            log(WARN, `env: ${cut(names[i], KEY_MAX)} is no global variable, because there is one of that name`);
        }
    }
}

export function dispatch(id, method, url, head, bytes, end, hasBody, caller) {
    const call = new Call(id, method === "HEAD", caller);
    addCall(call);
    let body = null;
    if (hasBody) {
        call.incoming = new IncomingBody(call, bytes, end);
        body = new Body(undefined, call.incoming, undefined);
    }
    call.request = createIncoming(method, url, head, body);
    if (handlerFetch === undefined) {
        runListeners(call);
    } else {
        run(call);
    }
}

function runListeners(call) {
    const { createFetchEvent, givenAnswer, wasAnswered } = fetchEventLibrary();
    const event = createFetchEvent(call);
    const errors = dispatchToScope(event);
    const isAnswered = wasAnswered(event);
    for (let i = isAnswered ? 0 : 1; i < errors.length; i++) {
        logException(errors[i]);
    }
    if (isAnswered) {
        answerWith(call, givenAnswer(event));
    } else if (errors.length > 0) {
        finish(call, EXCEPTION, describeError(errors[0]));
    } else {
        finish(call, BAD_RESPONSE, "no listener for fetch events called event.respondWith() before it returned");
    }
}

// given: what the tenant gave, a Response or a promise of one. A Response is answered without a promise of this layer's own.
function answerWith(call, given) {
    const response = responseState(given);
    if (response !== undefined) {
        answer(call, response);
    } else {
        answerLater(call, given);
    }
}

async function answerLater(call, given) {
    let value;
    try {
        value = await given;
    } catch (error) {
        finish(call, EXCEPTION, describeError(error));
        return;
    }
    const response = responseState(value);
    if (response !== undefined) {
        answer(call, response);
    } else {
        finish(call, BAD_RESPONSE, `${gave.none}, but ${whatIs(value)}`);
    }
}

function run(call) {
    let given;
    try {
        given = FunctionPrototypeCall(handlerFetch, handler, call.request, env, new ExecutionContext(call));
    } catch (error) {
        finish(call, EXCEPTION, describeError(error));
        return;
    }
    answerWith(call, given);
}

function whatIs(value) {
    if (value === undefined || value === null) {
        return `${value}`;
    }
    return typeof value === "object" ? "another object" : `a ${typeof value}`;
}

// response: the state of a Response
function answer(call, response) {
    if (call.gone) {
        return;
    }
    const { body, list, status } = response;
    if (status === 0) {
        finish(call, BAD_RESPONSE, gave.error);
        return;
    }
    try {
        if (body !== null && isUnusable(body)) {
            finish(call, BAD_RESPONSE, "the body of the Response was used already, or is locked");
            return;
        }
        if (body === null || isNullBodyStatus(status)) {
            respond(call.id, status, list, undefined, true);
        } else if (body.stream === undefined && body.incoming === undefined) {
            const { source } = body;
            body.used = true;
            const fault = call.isHead ? undefined : lengthFault(list, source);
            if (fault !== undefined) {
                finish(call, BAD_RESPONSE, fault);
                return;
            }
            if (lengthOf(source) <= DIRECT_MAX) {
                respond(call.id, status, list, source, true);
            } else {
                const bytes = typeof source === "string" ? utf8Encode(source) : source;
                respond(call.id, status, withLength(list, lengthOf(bytes)), undefined,
                    call.isHead);
                if (!call.isHead) {
                    call.rest = bytes;
                    call.own = bytes !== source || body.isOwn ? bytes : undefined;
                    noteCallWaiting(call, lengthOf(bytes));
                    send(call);
                    return;
                }
            }
        } else {
            call.reader = getReader(streamOf(body));
            respond(call.id, status, list, undefined, call.isHead);
            if (!call.isHead) {
                send(call);
                return;
            }
            cancelQuietly(call, domException("HEAD has no response body", "AbortError"));
        }
    } catch (error) {
        finish(call, BAD_RESPONSE, describeError(error));
        return;
    }
    settle(call);
}

// Returns the length; tenants can change Uint8Array's own `length`, and that of each of their
// arrays.
const lengthOf = (content) =>
    (typeof content === "string" ? content.length : TypedArrayPrototypeGetByteLength(content));

// Returns what is wrong with a length that the tenant has set; undefined: nothing, or it has set none.
function lengthFault(list, source) {
    if (list.length === 2 && list[0] === "content-type" || !listHas(list, "content-length")) {
        return undefined;
    }
    const given = listGet(list, "content-length");
    const length = lengthOf(typeof source === "string" ? utf8Encode(source) : source);
    return given === `${length}` ? undefined :
        `the Content-Length of the Response is ${cut(given, KEY_MAX)}, and its body has ${length} bytes: leave it out, skep sets it`;
}

// Announces the length of a body that is known whole, although it goes in parts. A tenant's own
// length stays.
function withLength(list, length) {
    if (listHas(list, "content-length")) {
        return list;
    }
    const fields = newList();
    for (let i = 0; i < list.length; i += 2) {
        listAppend(fields, list[i], list[i + 1]);
    }
    listAppend(fields, "content-length", `${length}`);
    return fields;
}

// Sends the chunks of the reader, or without one the rest.
async function send(call) {
    try {
        // Sends nothing, and tells how much may be sent.
        call.credit = sendBody(call.id, undefined, false);
        for (;;) {
            if (call.credit <= 0) {
                await new Promise((resolve) => {
                    call.wake = resolve;
                });
            }
            if (call.gone) {
                return;
            }
            if (!await sendNext(call)) {
                break;
            }
        }
    } catch (error) {
        if (!call.gone) {
            cancelQuietly(call, error);
            finish(call, EXCEPTION, describeError(error));
        }
        return;
    }
    settle(call);
}

// Sends the next part. Returns false after the end.
async function sendNext(call) {
    let chunk = call.rest;
    if (chunk === undefined) {
        if (call.reader === undefined) {
            sendBody(call.id, undefined, true);
            dropRest(call);
            return false;
        }
        const { done: isDone, value } = await read(call.reader);
        if (call.gone) {
            return false;
        }
        if (isDone) {
            sendBody(call.id, undefined, true);
            return false;
        }
        if (!isUint8Array(value)) {
            throw new TypeError(`a chunk of the response body ${NO_BYTES}`);
        }
        chunk = value;
    }
    const length = lengthOf(chunk);
    if (length > call.credit) {
        call.rest = viewBytes(chunk, call.credit, length);
        chunk = viewBytes(chunk, 0, call.credit);
        if (call.waiting === 0) {
            noteCallWaiting(call, length);
        }
    } else {
        call.rest = undefined;
        if (call.reader !== undefined) {
            noteCallWaiting(call, 0);
        }
    }
    if (length > 0) {
        call.credit = sendBody(call.id, chunk, false);
    }
    return true;
}

function cancelQuietly(call, reason) {
    if (call.reader !== undefined) {
        PromisePrototypeThen(cancelReader(call.reader, reason), undefined, () => {});
        call.reader = undefined;
    }
}

export function onBody(id, data, end) {
    const call = findCall(id);
    if (call !== undefined && !call.gone && call.incoming !== undefined) {
        setCurrent(call);
        call.incoming.push(data, end);
    }
}

export function onCredit(id, credit) {
    const call = findCall(id);
    if (call !== undefined && !call.gone) {
        setCurrent(call);
        call.credit = credit;
        if (credit > 0 && call.wake !== undefined) {
            const { wake } = call;
            call.wake = undefined;
            wake();
        }
    }
}

export function onTimer(id, timer) {
    const call = findCall(id);
    setCurrent(call);
    runTimer(timer, id);
}

export function onCancel(id, reason) {
    const call = findCall(id);
    if (call === undefined || call.gone) {
        return;
    }
    setCurrent(call);
    call.gone = true;
    dropRest(call);
    keepTimers(call);
    call.lingers = true; // listeners, and tasks that follow from them, may set timers; the worker
                         // forgets the request
    const error = reason === "wall_request" ?
        domException("The request took longer than it may", "TimeoutError") :
        domException(`The request was cancelled: ${reason}`, "AbortError");
    try {
        call.incoming?.fail(error);
        failCalls(call, error);
        cancelQuietly(call, error);
    } finally {
        abortRequest(call.request, error);
    }
}

export function forget(id) {
    const call = findCall(id);
    if (call !== undefined) {
        call.gone = true;
        call.lingers = false;
        dropRest(call);
        revokeObjects(call);
        removeCall(call);
        forgetTimers(call);
    }
    forgetCurrent(call);
}
