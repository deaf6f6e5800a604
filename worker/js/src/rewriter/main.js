// SPDX-License-Identifier: Apache-2.0
//
// HTMLRewriter, as Cloudflare Workers have it, over lol-html. Evaluated when a tenant first looks at it. provide(): build.mjs.
import { findEncoding } from "../native.js";
import { MapPrototypeGet, TypeError, closeClass, isObject, newList } from "../primordials.js";
import { alreadyUsed, isUnusable } from "../body.js";
import { mimeLibrary } from "../mime.js";
import { isResponse, responseBody, responseList, responseStatus, responseWith } from "../response.js";
import { defineInterface, requireArguments, toUSVString } from "../webidl.js";
import { checkSelector } from "./engine.js";
import { transformBody } from "./transformation.js";

const ELEMENT_NAMES = ["comments", "element", "text"];
const DOCUMENT_NAMES = ["comments", "doctype", "end", "text"];
const MAX_LABEL = 64;
const MAX_HANDLERS = 10000;

// Handlers as on() and onDocument() get them. selector: undefined for the document
class Entry {
    selector;
    self;
    functions = { __proto__: null };

    constructor(selector, handlers, names, method) {
        if (!isObject(handlers)) {
            throw new TypeError(`HTMLRewriter.${method}: the handlers are not an object.`);
        }
        this.selector = selector;
        this.self = handlers;
        for (let i = 0; i < names.length; i++) {
            const value = handlers[names[i]];
            if (value !== undefined) {
                if (typeof value !== "function") {
                    throw new TypeError(`HTMLRewriter.${method}: '${names[i]}' of the handlers is not a function.`);
                }
                this.functions[names[i]] = value;
            }
        }
    }
}
closeClass(Entry);

// Returns the name of the document's encoding.
function encodingOf(list) {
    const mime = mimeLibrary().mimeOfList(list);
    const label = mime === null ? undefined : MapPrototypeGet(mime.parameters, "charset");
    if (label === undefined) {
        return "utf-8";
    }
    const found = label.length <= MAX_LABEL ? findEncoding(label) : undefined;
    if (found === undefined || found[1] === "replacement") {
        throw new TypeError("Parser error: Unknown character encoding has been provided.");
    }
    if (found[1] === "utf-16le" || found[1] === "utf-16be" || found[1] === "iso-2022-jp") {
        throw new TypeError("Parser error: Expected ASCII-compatible encoding.");
    }
    return found[1];
}

const HTMLRewriter = class {
    #entries = newList();

    #add(entry) {
        if (this.#entries.length >= MAX_HANDLERS) {
            throw new TypeError(`HTMLRewriter: more than ${MAX_HANDLERS} handlers`);
        }
        this.#entries[this.#entries.length] = entry;
    }

    on(selector, handlers) {
        this.#entries; // eslint-disable-line no-unused-expressions -- brand check
        requireArguments(arguments.length, 2, "HTMLRewriter.on");
        const text = toUSVString(selector);
        checkSelector(text);
        this.#add(new Entry(text, handlers, ELEMENT_NAMES, "on"));
        return this;
    }

    onDocument(handlers) {
        this.#entries; // eslint-disable-line no-unused-expressions -- brand check
        requireArguments(arguments.length, 1, "HTMLRewriter.onDocument");
        this.#add(new Entry(undefined, handlers, DOCUMENT_NAMES, "onDocument"));
        return this;
    }

    transform(response) {
        const entries = this.#entries;
        requireArguments(arguments.length, 1, "HTMLRewriter.transform");
        if (!isResponse(response)) {
            throw new TypeError("HTMLRewriter.transform: parameter 1 is not a Response.");
        }
        if (responseStatus(response) === 0) {
            throw new TypeError("HTMLRewriter cannot transform an error response");
        }
        const body = responseBody(response);
        if (body === null) {
            return response;
        }
        if (isUnusable(body)) {
            throw alreadyUsed();
        }
        const encoding = encodingOf(responseList(response));
        const handlers = newList();
        for (let i = 0; i < entries.length; i++) {
            handlers[i] = entries[i];
        }
        return responseWith(response, transformBody(body, handlers, encoding));
    }
};
defineInterface(HTMLRewriter, "HTMLRewriter");

provide({ __proto__: null, HTMLRewriter });
