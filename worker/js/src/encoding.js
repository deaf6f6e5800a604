// SPDX-License-Identifier: Apache-2.0
//
// TextEncoder and TextDecoder (Encoding standard). UTF-8 is native; other labels are refused for
// now.
import { utf8Decode, utf8Encode, utf8EncodeInto } from "./native.js";
import {
    MathFloor, RangeError, StringPrototypeSlice, StringPrototypeToLowerCase, TypeError, Uint8Array,
    TypedArrayPrototypeSet, bytesOf, isUint8Array,
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

const utf8Labels = {
    __proto__: null, "utf-8": true, "utf8": true, "unicode-1-1-utf-8": true, "unicode11utf8": true,
    "unicode20utf8": true, "x-unicode20utf8": true,
};

const isSpace = (c) => c === "\t" || c === "\n" || c === "\f" || c === "\r" || c === " ";

function encodingOf(label) {
    let start = 0;
    let end = label.length;
    while (start < end && isSpace(label[start])) {
        start++;
    }
    while (end > start && isSpace(label[end - 1])) {
        end--;
    }
    const name = StringPrototypeToLowerCase(StringPrototypeSlice(label, start, end));
    if (utf8Labels[name] === undefined) {
        throw new RangeError(`TextDecoder: the encoding label '${name}' is not supported.`);
    }
    return "utf-8";
}

// Counts the bytes at the end that are the start of a sequence which may still become valid.
function incompleteTail(bytes) {
    const { length } = bytes;
    for (let back = 1; back <= 3 && back <= length; back++) {
        const byte = bytes[length - back];
        if ((byte & 0xc0) === 0x80) {
            continue;
        }
        const needed = byte >= 0xf0 && byte <= 0xf4 ? 4 : byte >= 0xe0 && byte <= 0xef ? 3 :
            byte >= 0xc2 && byte <= 0xdf ? 2 : 0;
        if (needed <= back) {
            return 0;
        }
        // The second byte of E0, ED, F0 and F4 has a narrower range.
        const second = back > 1 ? bytes[length - back + 1] : undefined;
        if (second !== undefined && (byte === 0xe0 && second < 0xa0 ||
            byte === 0xed && second > 0x9f || byte === 0xf0 && second < 0x90 ||
            byte === 0xf4 && second > 0x8f)) {
            return 0;
        }
        return back;
    }
    return 0;
}

export class TextDecoder {
    #encoding;
    #fatal = false;
    #ignoreBOM = false;
    #pending; // bytes of a sequence that the last decode({stream: true}) left open
    #bomSeen = false;
    #doNotFlush = false;

    constructor(label = "utf-8", options = undefined) {
        label = toText(label);
        options = toDictionary(options, "TextDecoder");
        if (options !== undefined) {
            this.#fatal = !!options.fatal;
            this.#ignoreBOM = !!options.ignoreBOM;
        }
        this.#encoding = encodingOf(label);
    }

    get encoding() {
        return this.#encoding;
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
        const stream = options !== undefined && !!options.stream;
        if (!this.#doNotFlush) {
            this.#pending = undefined;
            this.#bomSeen = false;
        }
        this.#doNotFlush = stream;
        let bytes = input === undefined ? new Uint8Array(0) : bytesOf(input);
        if (this.#pending !== undefined) {
            bytes = join(this.#pending, bytes);
            this.#pending = undefined;
        }
        if (stream) {
            const tail = incompleteTail(bytes);
            if (tail > 0) {
                const whole = bytes.length - tail;
                this.#pending = slice(bytes, whole, bytes.length);
                bytes = slice(bytes, 0, whole);
            }
        }
        if (bytes.length === 0) {
            return "";
        }
        const text = utf8Decode(bytes, this.#fatal);
        if (!this.#bomSeen) {
            this.#bomSeen = true;
            if (!this.#ignoreBOM && text[0] === "\ufeff") {
                return StringPrototypeSlice(text, 1);
            }
        }
        return text;
    }
}
defineInterface(TextDecoder, "TextDecoder");

function join(a, b) {
    const both = new Uint8Array(a.length + b.length);
    TypedArrayPrototypeSet(both, a, 0);
    TypedArrayPrototypeSet(both, b, a.length);
    return both;
}

function slice(bytes, start, end) {
    const part = new Uint8Array(end - start);
    for (let i = start; i < end; i++) {
        part[i - start] = bytes[i];
    }
    return part;
}

// Decodes as "UTF-8 decode" of the standard: without the byte order mark, bad bytes become U+FFFD.
export function decodeUtf8(bytes) {
    const text = utf8Decode(bytes, false);
    return text[0] === "\ufeff" ? StringPrototypeSlice(text, 1) : text;
}
