// SPDX-License-Identifier: Apache-2.0
//
// Response (Fetch standard). The header list becomes a Headers object only when it is asked for.
import {
    JSONStringify, RangeError, StringPrototypeCharCodeAt, TypeError, closeClass, isObject, newList,
} from "./primordials.js";
import {
    Body, alreadyUsed, cloneBody, extractBody, extractedType, isUnusable, mixInBody, textBody,
} from "./body.js";
import { IMMUTABLE, NONE, copyList, fillList, listAppend, listFromHead, listHas, wrapList } from "./headers.js";
import { normalForm } from "./url.js";
import {
    defineInterface, requireArguments, toByteString, toDictionary, toUSVString, toUnsignedShort,
} from "./webidl.js";

const internal = Symbol("internal");

export const isNullBodyStatus = (status) => status !== 200 &&
    (status === 101 || status === 103 || status === 204 || status === 205 || status === 304);

export let isResponse;
// responseState returns the state of a Response: status, body and list, its headers to send, flat; undefined for any other value.
export let responseState;
export let responseStatus;
export let responseBody;
// responseWith makes a Response of another body, of any length.
export let responseWith;
// createAnswer makes the Response to a call, with its packed head as it came.
export let createAnswer;
// createFetched makes the Response of fetch(); list and body become its own.
export let createFetched;
// responseList returns the header list to send: flat, not to be changed.
export let responseList;

const noHeaders = newList();
const plainText = newList();
listAppend(plainText, "content-type", "text/plain;charset=UTF-8");

function isReasonPhrase(text) {
    for (let i = 0; i < text.length; i++) {
        const code = StringPrototypeCharCodeAt(text, i);
        if (code < 0x20 && code !== 9 || code === 0x7f) {
            return false;
        }
    }
    return true;
}

// State of a Response. The defaults are on the prototype: most responses leave them as they are.
class ResponseState {
    constructor(body, list) {
        this.body = body;
        this.list = list; // may be shared until headers wraps a copy of it
    }

    initialize(init, body, type) {
        init = toDictionary(init, "Response");
        if (init !== undefined) {
            const { headers, status, statusText } = init;
            let list;
            if (headers !== undefined) {
                list = newList();
                fillList(list, headers);
            }
            const code = status === undefined ? 200 : toUnsignedShort(status);
            const text = statusText === undefined ? "" :
                toByteString(statusText, "Response: statusText");
            if (code < 200 || code > 599) {
                throw new RangeError(`Response: status ${code} is not in the range 200 to 599.${
                    code === 101 ? " There is no WebSocket: stream a Response instead." : ""}`);
            }
            if (!isReasonPhrase(text)) {
                throw new TypeError("Response: statusText has a character that may not be sent.");
            }
            this.status = code;
            this.statusText = text;
            if (list !== undefined && list.length > 0) {
                this.list = list;
            }
        }
        if (body !== null) {
            if (isNullBodyStatus(this.status)) {
                throw new TypeError(`Response: status ${this.status} cannot have a body.`);
            }
            this.body = body;
            if (type !== undefined) {
                if (this.list === noHeaders) {
                    if (type === plainText[1]) {
                        this.list = plainText;
                    } else {
                        this.list = newList();
                        listAppend(this.list, "content-type", type);
                    }
                } else if (!listHas(this.list, "content-type")) {
                    listAppend(this.list, "content-type", type);
                }
            }
        }
    }
}
const stateDefaults = closeClass(ResponseState);
stateDefaults.status = 200;
stateDefaults.statusText = "";
stateDefaults.headers = undefined;
stateDefaults.immutable = false;
stateDefaults.type = "default";
stateDefaults.url = "";
stateDefaults.redirected = false;

export class Response {
    #state;

    constructor(body = null, init = undefined) {
        if (body === internal) {
            this.#state = init;
            return;
        }
        if (typeof body === "string" && init === undefined) {
            this.#state = new ResponseState(textBody(body), plainText);
            return;
        }
        let extracted = null;
        let type;
        if (body !== null) {
            extracted = extractBody(body);
            type = extractedType;
        }
        this.#state = new ResponseState(null, noHeaders);
        this.#state.initialize(init, extracted, type);
    }

    static error() {
        const state = new ResponseState(null, noHeaders);
        state.type = "error";
        state.status = 0;
        state.immutable = true;
        return new Response(internal, state);
    }

    static redirect(url, status = 302) {
        requireArguments(arguments.length, 1, "Response.redirect");
        url = toUSVString(url);
        status = toUnsignedShort(status);
        const location = normalForm(url);
        if (location === undefined) {
            throw new TypeError(`Response.redirect: '${url}' is not a valid URL.`);
        }
        if (status !== 301 && status !== 302 && status !== 303 && status !== 307 &&
            status !== 308) {
            throw new RangeError(`Response.redirect: ${status} is not a redirect status.`);
        }
        const state = new ResponseState(null, newList());
        state.status = status;
        listAppend(state.list, "location", location);
        state.immutable = true;
        return new Response(internal, state);
    }

    static json(data, init = undefined) {
        requireArguments(arguments.length, 1, "Response.json");
        const text = JSONStringify(data);
        if (text === undefined) {
            throw new TypeError("Response.json: the value cannot be written as JSON.");
        }
        const state = new ResponseState(null, noHeaders);
        state.initialize(init, extractBody(text), "application/json");
        return new Response(internal, state);
    }

    get type() {
        return this.#state.type;
    }
    get url() {
        return this.#state.url;
    }
    get redirected() {
        return this.#state.redirected;
    }
    get status() {
        return this.#state.status;
    }
    get ok() {
        return this.#state.status >= 200 && this.#state.status <= 299;
    }
    get statusText() {
        return this.#state.statusText;
    }
    get headers() {
        return this.#state.headers ??= wrapList(this.#state.list = copyList(this.#state.list),
            this.#state.immutable ? IMMUTABLE : NONE);
    }

    clone() {
        const body = this.#state.body;
        if (body !== null && isUnusable(body)) {
            throw alreadyUsed();
        }
        const copy = new ResponseState(null, copyList(this.#state.list));
        copy.status = this.#state.status;
        copy.statusText = this.#state.statusText;
        copy.immutable = this.#state.immutable;
        copy.type = this.#state.type;
        copy.url = this.#state.url;
        copy.redirected = this.#state.redirected;
        copy.body = body === null ? null : cloneBody(body);
        return new Response(internal, copy);
    }

    static {
        responseState = (value) => (isObject(value) && #state in value ? value.#state : undefined);
        isResponse = (value) => isObject(value) && #state in value;
        createAnswer = (status, head, body, url) => {
            const state = new ResponseState(body, listFromHead(head, 0));
            state.status = status;
            state.immutable = true;
            state.url = url;
            return new Response(internal, state);
        };
        createFetched = (url, status, statusText, list, body, redirected = false) => {
            const state = new ResponseState(body, list);
            state.status = status;
            state.statusText = statusText;
            state.immutable = true;
            state.type = "basic";
            state.redirected = redirected;
            state.url = url;
            return new Response(internal, state);
        };
        responseWith = (response, stream) => {
            const { list, status, statusText } = response.#state;
            const made = new ResponseState(new Body(undefined, undefined, stream), newList());
            made.status = status;
            made.statusText = statusText;
            for (let i = 0; i < list.length; i += 2) {
                if (list[i] !== "content-length") {
                    listAppend(made.list, list[i], list[i + 1]);
                }
            }
            return new Response(internal, made);
        };
        responseStatus = (response) => response.#state.status;
        responseBody = (response) => response.#state.body;
        responseList = (response) => response.#state.list;
    }
}
mixInBody(Response, (response) => responseBody(response), (response) => responseList(response));
defineInterface(Response, "Response");
