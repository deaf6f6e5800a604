// SPDX-License-Identifier: Apache-2.0
//
// Request (Fetch standard). A request of a client is built from the supervisor's frame, and parses
// URL and headers only when they are asked for.
import {
    StringPrototypeSlice, StringPrototypeToUpperCase, TypeError, closeClass, isObject, newList,
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
    defineInterface, toByteString, toDictionary, toText, toUSVString,
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
export let requestSettings;
// requestSignal is undefined if no signal was given or asked for.
export let requestSignal;
export let createIncoming;
// Aborts the signal of a request that came from a client.
export let abortRequest;

// State of a Request. The defaults are on the prototype: most requests of clients leave them as they are.
class RequestState {
    constructor(method, url, head, body) {
        this.method = method;
        this.url = url; // string, serialised only once it is asked for
        this.head = head; // packed head, as it came; becomes list at the first use
        this.body = body;
    }

    // source: the state of the request that is the input; undefined: that is a text
    fromInput(source, url, init) {
        if (source !== undefined) {
            this.url = source.getUrl();
            this.method = source.method;
            this.object = source.object;
            this.settings = { ...source.settings, __proto__: null };
        } else {
            const href = normalForm(url);
            if (href === undefined) {
                throw new TypeError(`Request: '${url}' is not a valid URL.`);
            }
            if (hasCredentials(href)) {
                throw new TypeError("Request: the URL has credentials.");
            }
            this.url = href;
            if (StringPrototypeSlice(href, 0, 5) === "blob:") {
                this.object = findObject(cutAt(href, "#"));
            }
            if (init !== undefined) {
                this.settings = { ...defaults, __proto__: null };
            }
        }
        this.isSerialized = true;
    }

    applyInit(source, init) {
        const settings = this.settings;
        let signal = source === undefined ? undefined : source.getSignal();
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
                this.method = toMethod(init.method);
            }
            if (init.signal !== undefined) {
                signal = init.signal;
            }
        }
        if (signal !== undefined && signal !== null) {
            this.signal = followSignal(signal);
        }
        if (settings.mode === "no-cors" && this.method !== "GET" && this.method !== "HEAD" &&
            this.method !== "POST") {
            throw new TypeError("Request: this method is not allowed with mode 'no-cors'.");
        }
        this.list = newList();
        if (init !== undefined && init.headers !== undefined) {
            fillList(this.list, init.headers, this.guard());
        } else if (source !== undefined) {
            copyGuarded(this.list, source.getList(), this.guard());
        }
        this.setBody(source, init);
    }

    setBody(source, init) {
        const inputBody = source === undefined ? null : source.body;
        const given = init === undefined ? undefined : init.body;
        if ((given !== undefined && given !== null || inputBody !== null) &&
            (this.method === "GET" || this.method === "HEAD")) {
            throw new TypeError(`Request: a ${this.method} request cannot have a body.`);
        }
        if (given !== undefined && given !== null) {
            this.body = extractBody(given);
            if (extractedType !== undefined && !listHas(this.list, "content-type")) {
                const type = newList();
                listAppend(type, "content-type", extractedType);
                copyGuarded(this.list, type, this.guard());
            }
            if (this.body.stream !== undefined && init.duplex === undefined) {
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
                this.body = new Body(undefined, undefined, proxyStream(inputBody.stream));
            } else {
                this.body = new Body(inputBody.source, inputBody.incoming, undefined);
                this.body.isOwn = inputBody.isOwn;
                inputBody.used = true;
                inputBody.source = undefined;
                inputBody.incoming = undefined;
            }
        }
    }

    getUrl() {
        if (!this.isSerialized) {
            this.isSerialized = true;
            this.url = normalForm(this.url) ?? this.url;
        }
        return this.url;
    }

    guard() {
        return this.head !== undefined ? IMMUTABLE : this.settings.mode === "no-cors" ? NO_CORS : NONE;
    }

    getSignal() {
        if (this.signal === undefined) {
            this.signal = createSignal();
            if (this.aborted !== undefined) {
                abortSignal(this.signal, this.aborted.reason);
            }
        }
        return this.signal;
    }

    getList() {
        return this.list ??= listFromHead(this.head, HEAD_FIRST);
    }
}
const stateDefaults = closeClass(RequestState);
stateDefaults.isSerialized = false;
stateDefaults.list = undefined;
stateDefaults.headers = undefined;
stateDefaults.object = undefined; // Blob of a blob: URL
stateDefaults.signal = undefined;
stateDefaults.aborted = undefined; // {reason}: aborted before the signal was asked for
stateDefaults.settings = defaults;

export class Request {
    #state;

    constructor(input, init = undefined) {
        if (input === internal) {
            this.#state = init;
            return;
        }
        if (input === undefined) {
            throw new TypeError("Request: parameter 1 is undefined, not a URL or a Request.");
        }
        const source = isRequest(input) ? input.#state : undefined;
        const url = source === undefined ? toUSVString(input) : undefined;
        init = readInit(init);
        const state = new RequestState("GET", undefined, undefined, null);
        state.fromInput(source, url, init);
        state.applyInit(source, init);
        this.#state = state;
    }

    get method() {
        return this.#state.method;
    }
    get url() {
        return this.#state.getUrl();
    }
    get headers() {
        return this.#state.headers ??= wrapList(this.#state.getList(), this.#state.guard());
    }
    get destination() {
        this.#state; // eslint-disable-line no-unused-expressions -- brand check
        return "";
    }
    get referrer() {
        const { referrer } = this.#state.settings;
        return referrer === "no-referrer" ? "" : referrer;
    }
    get referrerPolicy() {
        return this.#state.settings.referrerPolicy;
    }
    get mode() {
        return this.#state.settings.mode;
    }
    get credentials() {
        return this.#state.settings.credentials;
    }
    get cache() {
        return this.#state.settings.cache;
    }
    get redirect() {
        return this.#state.settings.redirect;
    }
    get integrity() {
        return this.#state.settings.integrity;
    }
    get keepalive() {
        return this.#state.settings.keepalive;
    }
    get isReloadNavigation() {
        this.#state; // eslint-disable-line no-unused-expressions -- brand check
        return false;
    }
    get isHistoryNavigation() {
        this.#state; // eslint-disable-line no-unused-expressions -- brand check
        return false;
    }
    get signal() {
        return this.#state.getSignal();
    }
    get duplex() {
        this.#state; // eslint-disable-line no-unused-expressions -- brand check
        return "half";
    }

    clone() {
        const { body } = this.#state;
        if (body !== null && isUnusable(body)) {
            throw alreadyUsed();
        }
        const copy = new RequestState(this.#state.method, this.#state.getUrl(), this.#state.head, null);
        copy.isSerialized = true;
        copy.settings = this.#state.settings;
        copy.object = this.#state.object;
        copy.list = copyList(this.#state.getList());
        copy.signal = followSignal(this.#state.getSignal());
        copy.body = body === null ? null : cloneBody(body);
        return new Request(internal, copy);
    }

    static {
        isRequest = (value) => isObject(value) && #state in value;
        requestBody = (request) => request.#state.body;
        requestList = (request) => request.#state.getList();
        requestMethod = (request) => request.#state.method;
        requestUrl = (request) => request.#state.getUrl();
        requestObject = (request) => request.#state.object;
        requestSettings = (request) => request.#state.settings;
        requestSignal = (request) => request.#state.signal;
        createIncoming = (method, url, head, body) => new Request(internal, new RequestState(method, url, head, body));
        abortRequest = (request, reason) => {
            if (request.#state.signal === undefined) {
                request.#state.aborted = { __proto__: null, reason };
            } else {
                abortSignal(request.#state.signal, reason);
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
