// SPDX-License-Identifier: Apache-2.0
//
// Content of a handler that is a stream. lol-html gets a mark in its place; where that comes out, the stream is read, as far as the
// reader of the output wants it (transformation.js).
import { decode, utf8Encode } from "../native.js";
import {
    StringPrototypeCharCodeAt, StringPrototypeSlice, TypeError, Uint8Array, closeClass, isObject, isUint8Array,
} from "../primordials.js";
import { alreadyUsed, isUnusable, streamOf } from "../body.js";
import { isResponse, responseBody } from "../response.js";
import { getReader, isDisturbed, isLocked, isReadableStream } from "../streams.js";

const UTF_8 = 0; // number of the encoding
const nothing = new Uint8Array(0);

const ESCAPES = { __proto__: null, 38: "&amp;", 60: "&lt;", 62: "&gt;" };

function escape(text) {
    let escaped = "";
    let from = 0;
    for (let i = 0; i < text.length; i++) {
        const replacement = ESCAPES[StringPrototypeCharCodeAt(text, i)];
        if (replacement !== undefined) {
            escaped += StringPrototypeSlice(text, from, i) + replacement;
            from = i + 1;
        }
    }
    return from === 0 ? text : escaped + StringPrototypeSlice(text, from);
}

// A stream whose text comes into the document.
export class Splice {
    reader;
    #isHtml;
    #state = 0; // the decoder's

    constructor(reader, isHtml) {
        this.reader = reader;
        this.#isHtml = isHtml;
    }

    // Returns the bytes that a chunk gives, perhaps none; undefined is the end.
    convert(chunk) {
        if (chunk !== undefined && !isUint8Array(chunk)) {
            throw new TypeError("A chunk of the content is not a Uint8Array.");
        }
        let text;
        try {
            text = decode(UTF_8, chunk ?? nothing, this.#state, true, chunk === undefined);
        } catch {
            throw new TypeError("Parser error: Invalid UTF-8");
        }
        this.#state = 0;
        if (typeof text !== "string") { // [text, state]
            this.#state = text[1];
            text = text[0];
        }
        return utf8Encode(this.#isHtml ? text : escape(text));
    }
}
closeClass(Splice);

// Returns a reader of content that is a stream or a Response, "" for a Response without a body, undefined for any other value.
export function readerOf(content) {
    if (!isObject(content)) {
        return undefined;
    }
    if (isResponse(content)) {
        const body = responseBody(content);
        if (body === null) {
            return "";
        }
        if (isUnusable(body)) {
            throw alreadyUsed();
        }
        const reader = getReader(streamOf(body));
        body.used = true;
        return reader;
    }
    if (!isReadableStream(content)) {
        return undefined;
    }
    if (isLocked(content) || isDisturbed(content)) {
        throw new TypeError("The stream given as content is locked or was read before.");
    }
    return getReader(content);
}
