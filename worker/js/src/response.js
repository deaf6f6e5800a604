// SPDX-License-Identifier: Apache-2.0
//
// Response (Fetch standard). The header list becomes a Headers object only when it is asked for.
import {
    JSONStringify, RangeError, StringPrototypeCharCodeAt, TypeError, isObject, newList,
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

export class Response {
    #status = 200;
    #statusText = "";
    #list = noHeaders; // shared until #headers wraps a copy of it
    #headers;
    #immutable = false;
    #type = "default";
    #url = "";
    #redirected = false;
    #body = null;

    constructor(body = null, init = undefined) {
        if (body === internal) {
            return;
        }
        if (typeof body === "string" && init === undefined) {
            this.#body = textBody(body);
            this.#list = plainText;
            return;
        }
        let extracted = null;
        let type;
        if (body !== null) {
            extracted = extractBody(body);
            type = extractedType;
        }
        this.#initialize(init, extracted, type);
    }

    #initialize(init, body, type) {
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
            this.#status = code;
            this.#statusText = text;
            if (list !== undefined && list.length > 0) {
                this.#list = list;
            }
        }
        if (body !== null) {
            if (isNullBodyStatus(this.#status)) {
                throw new TypeError(`Response: status ${this.#status} cannot have a body.`);
            }
            this.#body = body;
            if (type !== undefined) {
                if (this.#list === noHeaders) {
                    if (type === plainText[1]) {
                        this.#list = plainText;
                    } else {
                        this.#list = newList();
                        listAppend(this.#list, "content-type", type);
                    }
                } else if (!listHas(this.#list, "content-type")) {
                    listAppend(this.#list, "content-type", type);
                }
            }
        }
    }

    static error() {
        const response = new Response(internal);
        response.#type = "error";
        response.#status = 0;
        response.#immutable = true;
        return response;
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
        const response = new Response(internal);
        response.#status = status;
        response.#list = newList();
        listAppend(response.#list, "location", location);
        response.#immutable = true;
        return response;
    }

    static json(data, init = undefined) {
        requireArguments(arguments.length, 1, "Response.json");
        const text = JSONStringify(data);
        if (text === undefined) {
            throw new TypeError("Response.json: the value cannot be written as JSON.");
        }
        const response = new Response(internal);
        response.#initialize(init, extractBody(text), "application/json");
        return response;
    }

    get type() {
        return this.#type;
    }
    get url() {
        return this.#url;
    }
    get redirected() {
        return this.#redirected;
    }
    get status() {
        return this.#status;
    }
    get ok() {
        return this.#status >= 200 && this.#status <= 299;
    }
    get statusText() {
        return this.#statusText;
    }
    get headers() {
        return this.#headers ??= wrapList(this.#list = copyList(this.#list),
            this.#immutable ? IMMUTABLE : NONE);
    }

    clone() {
        const body = this.#body;
        if (body !== null && isUnusable(body)) {
            throw alreadyUsed();
        }
        const copy = new Response(internal);
        copy.#status = this.#status;
        copy.#statusText = this.#statusText;
        copy.#list = copyList(this.#list);
        copy.#immutable = this.#immutable;
        copy.#type = this.#type;
        copy.#url = this.#url;
        copy.#redirected = this.#redirected;
        copy.#body = body === null ? null : cloneBody(body);
        return copy;
    }

    static {
        isResponse = (value) => isObject(value) && #status in value;
        createAnswer = (status, head, body, url) => {
            const response = new Response(internal);
            response.#status = status;
            response.#list = listFromHead(head, 0);
            response.#immutable = true;
            response.#body = body;
            response.#url = url;
            return response;
        };
        createFetched = (url, status, statusText, list, body) => {
            const response = new Response(internal);
            response.#status = status;
            response.#statusText = statusText;
            response.#list = list;
            response.#immutable = true;
            response.#type = "basic";
            response.#body = body;
            response.#url = url;
            return response;
        };
        responseWith = (response, stream) => {
            const made = new Response(internal);
            made.#status = response.#status;
            made.#statusText = response.#statusText;
            made.#list = newList();
            for (let i = 0; i < response.#list.length; i += 2) {
                if (response.#list[i] !== "content-length") {
                    listAppend(made.#list, response.#list[i], response.#list[i + 1]);
                }
            }
            made.#body = new Body(undefined, undefined, stream);
            return made;
        };
        responseStatus = (response) => response.#status;
        responseBody = (response) => response.#body;
        responseList = (response) => response.#list;
    }
}
mixInBody(Response, (response) => responseBody(response), (response) => responseList(response));
defineInterface(Response, "Response");
