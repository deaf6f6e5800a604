// SPDX-License-Identifier: Apache-2.0
//
// TextEncoder and TextDecoder (Encoding standard). The decoders are natives: one that is in the middle of a sequence is a number.
import { decode, findEncoding, utf8Decode, utf8Encode, utf8EncodeInto } from "./native.js";
import {
    MathFloor, ObjectGetOwnPropertyDescriptor, RangeError, StringPrototypeSlice, TypeError, Uint8Array, isUint8Array, uncurryThis,
} from "./primordials.js";
import {
    defineInterface, isBufferSource, requireArguments, toDOMString, toDictionary, toText,
} from "./webidl.js";

export class TextEncoder {
    #brand; // only there to be checked

    get encoding() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return "utf-8";
    }

    encode(input = "") {
        this.#brand; // eslint-disable-line no-unused-expressions
        return utf8Encode(toDOMString(input));
    }

    encodeInto(source, destination) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 2, "TextEncoder.encodeInto");
        source = toDOMString(source);
        if (!isUint8Array(destination)) {
            throw new TypeError("TextEncoder.encodeInto: parameter 2 is not of type 'Uint8Array'.");
        }
        const counts = utf8EncodeInto(source, destination);
        const read = MathFloor(counts / 0x100000000);
        return { read, written: counts - read * 0x100000000 };
    }
}
defineInterface(TextEncoder, "TextEncoder");

const UTF_8 = 0;
const UNICODE = 3;     // encodings below it are Unicode's, and may begin with a byte-order mark
const MAX_LABEL = 256; // units of a label with the blanks around it

const isSpace = (c) => c === "\t" || c === "\n" || c === "\f" || c === "\r" || c === " ";

function trim(label) {
    let start = 0;
    let end = label.length;
    while (start < end && isSpace(label[start])) {
        start++;
    }
    while (end > start && isSpace(label[end - 1])) {
        end--;
    }
    return StringPrototypeSlice(label, start, end);
}

// Returns [number, name] of the encoding that a label is for.
function encodingOf(label) {
    const found = findEncoding(trim(label));
    if (found === undefined || found[1] === "replacement") {
        const shown = label.length > MAX_LABEL ? `${StringPrototypeSlice(label, 0, MAX_LABEL)}...` : label;
        throw new RangeError(`TextDecoder: the encoding label '${shown}' is not supported.`);
    }
    return found;
}

const nothing = new Uint8Array(0);

export class TextDecoder {
    #encoding = UTF_8;
    #name = "utf-8";
    #fatal = false;
    #ignoreBOM = false;
    #state = 0; // state that the last decode({stream: true}) has left
    #isBomSeen = false;
    #doNotFlush = false;

    constructor(label = "utf-8", options = undefined) {
        label = toText(label);
        options = toDictionary(options, "TextDecoder");
        if (options !== undefined) {
            this.#fatal = !!options.fatal;
            this.#ignoreBOM = !!options.ignoreBOM;
        }
        if (label !== "utf-8") {
            const found = encodingOf(label);
            this.#encoding = found[0];
            this.#name = found[1];
        }
    }

    get encoding() {
        return this.#name;
    }

    get fatal() {
        return this.#fatal;
    }

    get ignoreBOM() {
        return this.#ignoreBOM;
    }

    decode(input = undefined, options = undefined) {
        if (input !== undefined && !isBufferSource(input)) {
            throw new TypeError("TextDecoder.decode: parameter 1 is not a buffer source.");
        }
        options = toDictionary(options, "TextDecoder.decode");
        const isEnd = options === undefined || !options.stream;
        const state = this.#doNotFlush ? this.#state : 0;
        if (!this.#doNotFlush) {
            this.#isBomSeen = false;
        }
        this.#doNotFlush = !isEnd;
        this.#state = 0;
        let text = decode(this.#encoding, input === undefined ? nothing : input, state, this.#fatal, isEnd);
        if (typeof text !== "string") { // [text, state]
            this.#state = text[1];
            text = text[0];
        }
        if (!this.#isBomSeen && text !== "" && this.#encoding < UNICODE) {
            this.#isBomSeen = true;
            if (!this.#ignoreBOM && text[0] === "\ufeff") {
                return StringPrototypeSlice(text, 1);
            }
        }
        return text;
    }
}
defineInterface(TextDecoder, "TextDecoder");

const getter = (name) => uncurryThis(ObjectGetOwnPropertyDescriptor(TextDecoder.prototype, name).get);

// For TextDecoderStream: the members of TextDecoder as they were before a tenant could change them.
export const decoderFunctions = {
    __proto__: null, decode: uncurryThis(TextDecoder.prototype.decode), encodingOf: getter("encoding"), fatalOf: getter("fatal"),
    ignoreBOMOf: getter("ignoreBOM"),
};

// Decodes as "UTF-8 decode" of the standard: without the byte order mark, bad bytes become U+FFFD.
export function decodeUtf8(bytes) {
    const text = utf8Decode(bytes, false);
    return text[0] === "\ufeff" ? StringPrototypeSlice(text, 1) : text;
}
