// SPDX-License-Identifier: Apache-2.0
//
// Request (Fetch standard). A request of a client is built from the supervisor's frame, and parses
// URL and headers only when they are asked for.
import {
    StringPrototypeSlice, StringPrototypeToUpperCase, TypeError, isObject, newList,
} from "./primordials.js";
import { abortSignal, createSignal, followSignal, isAbortSignal } from "./abort.js";
import {
    Body, alreadyUsed, cloneBody, extractBody, extractedType, isUnusable, mixInBody,
    proxyStream,
} from "./body.js";
import {
    IMMUTABLE, NONE, NO_CORS, copyGuarded, copyList, fillList, isToken, listAppend, listFromHead, listHas, wrapList,
} from "./headers.js";
import { findObject } from "./object_url.js";
import { cutAt, hasCredentials, normalForm } from "./url.js";
import {
    defineInterface, requireArguments, toByteString, toDictionary, toText, toUSVString,
} from "./webidl.js";

const internal = Symbol("internal");

const HEAD_FIRST = 2; // texts of a packed head before the headers: method and URL

const enums = {
    __proto__: null,
    referrerPolicy: ["", "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin",
        "strict-origin", "origin-when-cross-origin", "strict-origin-when-cross-origin",
        "unsafe-url"],
    mode: ["same-origin", "no-cors", "cors", "navigate"],
    credentials: ["omit", "same-origin", "include"],
    cache: ["default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached"],
    redirect: ["follow", "error", "manual"],
    duplex: ["half"],
    priority: ["high", "low", "auto"],
};

// Values that are rarely asked for: one object shared by all requests that leave it as it is.
const defaults = {
    __proto__: null, cache: "default", credentials: "same-origin", duplex: "half", integrity: "",
    keepalive: false, mode: "cors", redirect: "follow", referrer: "about:client",
    referrerPolicy: "",
};

function enumValue(init, name) {
    const value = init[name];
    if (value === undefined) {
        return undefined;
    }
    const string = toText(value);
    for (let i = 0; i < enums[name].length; i++) {
        if (enums[name][i] === string) {
            return string;
        }
    }
    throw new TypeError(`Request: '${string}' is not a valid value for ${name}.`);
}

function toMethod(value) {
    const method = toByteString(value, "Request: method");
    if (!isToken(method)) {
        throw new TypeError(`Request: '${method}' is not a valid HTTP method.`);
    }
    const upper = StringPrototypeToUpperCase(method);
    switch (upper) {
    case "CONNECT":
    case "TRACE":
    case "TRACK":
        throw new TypeError(`Request: the method '${method}' is forbidden.`);
    case "DELETE":
    case "GET":
    case "HEAD":
    case "OPTIONS":
    case "POST":
    case "PUT":
        return upper;
    }
    return method;
}

export let isRequest;
export let requestBody;
export let requestList;
export let requestMethod;
export let requestUrl;
// requestObject is the Blob that a blob: URL stood for when the request was made.
export let requestObject;
// requestSignal is undefined if no signal was given or asked for.
export let requestSignal;
export let createIncoming;
// Aborts the signal of a request that came from a client.
export let abortRequest;

export class Request {
    #method = "GET";
    #url; // string, serialised only once it is asked for
    #isSerialized = false;
    #list;
    #head; // packed head, as it came; becomes #list at the first use
    #headers;
    #body = null;
    #object; // Blob of a blob: URL
    #signal;
    #aborted; // {reason}: aborted before #signal was asked for
    #settings = defaults;

    constructor(input, init = undefined) {
        if (input === internal) {
            return;
        }
        requireArguments(arguments.length, 1, "Request");
        const source = isRequest(input) ? input : undefined;
        const url = source === undefined ? toUSVString(input) : undefined;
        init = readInit(init);
        this.#fromInput(source, url, init);
        this.#applyInit(source, init);
    }

    #fromInput(source, url, init) {
        if (source !== undefined) {
            this.#url = source.url;
            this.#method = source.#method;
            this.#object = source.#object;
            this.#settings = { ...source.#settings, __proto__: null };
        } else {
            const href = normalForm(url);
            if (href === undefined) {
                throw new TypeError(`Request: '${url}' is not a valid URL.`);
            }
            if (hasCredentials(href)) {
                throw new TypeError("Request: the URL has credentials.");
            }
            this.#url = href;
            if (StringPrototypeSlice(href, 0, 5) === "blob:") {
                this.#object = findObject(cutAt(href, "#"));
            }
            if (init !== undefined) {
                this.#settings = { ...defaults, __proto__: null };
            }
        }
        this.#isSerialized = true;
    }

    #applyInit(source, init) {
        const settings = this.#settings;
        let signal = source === undefined ? undefined : source.signal;
        if (init !== undefined) {
            if (init.window !== undefined && init.window !== null) {
                throw new TypeError("Request: window is not null.");
            }
            if (init.any && settings.mode === "navigate") {
                settings.mode = "same-origin";
            }
            if (init.any) {
                settings.referrer = "about:client";
                settings.referrerPolicy = "";
            }
            if (init.referrer !== undefined) {
                settings.referrer = referrerOf(init.referrer);
            }
            if (init.mode === "navigate") {
                throw new TypeError("Request: mode 'navigate' is not allowed.");
            }
            copySettings(settings, init);
            if (settings.cache === "only-if-cached" && settings.mode !== "same-origin") {
                throw new TypeError("Request: 'only-if-cached' needs mode 'same-origin'.");
            }
            if (init.method !== undefined) {
                this.#method = toMethod(init.method);
            }
            if (init.signal !== undefined) {
                signal = init.signal;
            }
        }
        if (signal !== undefined && signal !== null) {
            this.#signal = followSignal(signal);
        }
        if (settings.mode === "no-cors" && this.#method !== "GET" && this.#method !== "HEAD" &&
            this.#method !== "POST") {
            throw new TypeError("Request: this method is not allowed with mode 'no-cors'.");
        }
        this.#list = newList();
        if (init !== undefined && init.headers !== undefined) {
            fillList(this.#list, init.headers, this.#guard());
        } else if (source !== undefined) {
            copyGuarded(this.#list, source.#getList(), this.#guard());
        }
        this.#setBody(source, init);
    }

    #setBody(source, init) {
        const inputBody = source === undefined ? null : source.#body;
        const given = init === undefined ? undefined : init.body;
        if ((given !== undefined && given !== null || inputBody !== null) &&
            (this.#method === "GET" || this.#method === "HEAD")) {
            throw new TypeError(`Request: a ${this.#method} request cannot have a body.`);
        }
        if (given !== undefined && given !== null) {
            this.#body = extractBody(given);
            if (extractedType !== undefined && !listHas(this.#list, "content-type")) {
                const type = newList();
                listAppend(type, "content-type", extractedType);
                copyGuarded(this.#list, type, this.#guard());
            }
            if (this.#body.stream !== undefined && init.duplex === undefined) {
                throw new TypeError("Request: a stream as body needs duplex: 'half'.");
            }
            return;
        }
        if (inputBody !== null && given === undefined) {
            if (isUnusable(inputBody)) {
                throw alreadyUsed();
            }
            // The new request takes the body over, the old one counts as used.
            if (inputBody.stream !== undefined) {
                this.#body = new Body(undefined, undefined, proxyStream(inputBody.stream));
            } else {
                this.#body = new Body(inputBody.source, inputBody.incoming, undefined);
                this.#body.isOwn = inputBody.isOwn;
                inputBody.used = true;
                inputBody.source = undefined;
                inputBody.incoming = undefined;
            }
        }
    }

    get method() {
        return this.#method;
    }
    get url() {
        return this.#getUrl();
    }
    #getUrl() {
        if (!this.#isSerialized) {
            this.#isSerialized = true;
            this.#url = normalForm(this.#url) ?? this.#url;
        }
        return this.#url;
    }
    get headers() {
        return this.#headers ??= wrapList(this.#getList(), this.#guard());
    }
    #guard() {
        return this.#head !== undefined ? IMMUTABLE : this.#settings.mode === "no-cors" ? NO_CORS : NONE;
    }
    get destination() {
        this.#method; // eslint-disable-line no-unused-expressions -- brand check
        return "";
    }
    get referrer() {
        const { referrer } = this.#settings;
        return referrer === "no-referrer" ? "" : referrer;
    }
    get referrerPolicy() {
        return this.#settings.referrerPolicy;
    }
    get mode() {
        return this.#settings.mode;
    }
    get credentials() {
        return this.#settings.credentials;
    }
    get cache() {
        return this.#settings.cache;
    }
    get redirect() {
        return this.#settings.redirect;
    }
    get integrity() {
        return this.#settings.integrity;
    }
    get keepalive() {
        return this.#settings.keepalive;
    }
    get isReloadNavigation() {
        this.#method; // eslint-disable-line no-unused-expressions -- brand check
        return false;
    }
    get isHistoryNavigation() {
        this.#method; // eslint-disable-line no-unused-expressions -- brand check
        return false;
    }
    get signal() {
        return this.#getSignal();
    }
    #getSignal() {
        if (this.#signal === undefined) {
            this.#signal = createSignal();
            if (this.#aborted !== undefined) {
                abortSignal(this.#signal, this.#aborted.reason);
            }
        }
        return this.#signal;
    }
    get duplex() {
        this.#method; // eslint-disable-line no-unused-expressions -- brand check
        return "half";
    }

    clone() {
        const body = this.#body;
        if (body !== null && isUnusable(body)) {
            throw alreadyUsed();
        }
        const copy = new Request(internal);
        copy.#method = this.#method;
        copy.#url = this.#getUrl();
        copy.#isSerialized = true;
        copy.#settings = this.#settings;
        copy.#object = this.#object;
        copy.#list = copyList(this.#getList());
        copy.#head = this.#head;
        copy.#signal = followSignal(this.#getSignal());
        copy.#body = body === null ? null : cloneBody(body);
        return copy;
    }

    #getList() {
        return this.#list ??= listFromHead(this.#head, HEAD_FIRST);
    }

    static {
        isRequest = (value) => isObject(value) && #method in value;
        requestBody = (request) => request.#body;
        requestList = (request) => request.#getList();
        requestMethod = (request) => request.#method;
        requestUrl = (request) => request.#getUrl();
        requestObject = (request) => request.#object;
        requestSignal = (request) => request.#signal;
        createIncoming = (method, url, head, body) => {
            const request = new Request(internal);
            request.#method = method;
            request.#url = url;
            request.#head = head;
            request.#body = body;
            return request;
        };
        abortRequest = (request, reason) => {
            if (request.#signal === undefined) {
                request.#aborted = { __proto__: null, reason };
            } else {
                abortSignal(request.#signal, reason);
            }
        };
    }
}
mixInBody(Request, (request) => requestBody(request), (request) => requestList(request));
defineInterface(Request, "Request");

// Members are read in the order of the standard's dictionary, all before any is used.
function readInit(value) {
    const init = toDictionary(value, "Request");
    if (init === undefined) {
        return undefined;
    }
    const read = { __proto__: null, any: false };
    const set = (name, given) => {
        read[name] = given;
        read.any ||= given !== undefined;
    };
    set("body", init.body);
    set("cache", enumValue(init, "cache"));
    set("credentials", enumValue(init, "credentials"));
    set("duplex", enumValue(init, "duplex"));
    set("headers", init.headers);
    set("integrity", optional(init.integrity, toText));
    set("keepalive", optional(init.keepalive, (given) => !!given));
    set("method", optional(init.method, (given) => toByteString(given, "Request: method")));
    set("mode", enumValue(init, "mode"));
    set("priority", enumValue(init, "priority"));
    set("redirect", enumValue(init, "redirect"));
    set("referrer", optional(init.referrer, toUSVString));
    set("referrerPolicy", enumValue(init, "referrerPolicy"));
    const { signal } = init;
    if (signal !== undefined && signal !== null && !isAbortSignal(signal)) {
        throw new TypeError("Request: signal is no AbortSignal.");
    }
    set("signal", signal);
    set("window", init.window);
    return read;
}

function optional(value, convert) {
    return value === undefined ? undefined : convert(value);
}

const SETTINGS = ["cache", "credentials", "integrity", "keepalive", "mode", "redirect", "referrerPolicy"];

function copySettings(settings, init) {
    for (let i = 0; i < SETTINGS.length; i++) {
        const name = SETTINGS[i];
        if (init[name] !== undefined) {
            settings[name] = init[name];
        }
    }
}

function referrerOf(value) {
    if (value === "") {
        return "no-referrer";
    }
    const href = normalForm(value);
    if (href === undefined) {
        throw new TypeError(`Request: the referrer '${value}' is not a valid URL.`);
    }
    return cutAt(cutAt(href, "#"), "?") === "about:client" ? "about:client" : href;
}
