// SPDX-License-Identifier: Apache-2.0
//
// TextEncoderStream and TextDecoderStream (Encoding standard). Evaluated when a tenant first looks at one of them. provide(): build.mjs.
import { utf8Encode } from "../native.js";
import { StringPrototypeCharCodeAt, StringPrototypeSlice, TypeError } from "../primordials.js";
import { TextDecoder, decoderFunctions } from "../encoding.js";
import { newTransformStream, streamLibrary } from "../streams.js";
import { defineInterface, isBufferSource, isLong, toDOMString } from "../webidl.js";

const { decode, encodingOf, fatalOf, ignoreBOMOf } = decoderFunctions;
const { enqueueTransform, readableOf, writableOf } = streamLibrary();

const isHighSurrogate = (code) => code >= 0xd800 && code <= 0xdbff;

const TextEncoderStream = class {
    #transform;
    #high = ""; // a high surrogate at the end of the last chunk

    constructor() {
        this.#transform = newTransformStream({
            __proto__: null,
            transform: (chunk, controller) => {
                let text = this.#high + toDOMString(chunk);
                this.#high = "";
                if (isLong(text)) { // a pair that the next chunk would complete is broken then
                    enqueueTransform(controller, utf8Encode(text));
                    return;
                }
                const last = text.length - 1;
                if (last >= 0 && isHighSurrogate(StringPrototypeCharCodeAt(text, last))) {
                    this.#high = text[last];
                    text = StringPrototypeSlice(text, 0, last);
                }
                if (text !== "") {
                    enqueueTransform(controller, utf8Encode(text));
                }
            },
            flush: (controller) => {
                if (this.#high !== "") {
                    enqueueTransform(controller, utf8Encode(this.#high));
                }
            },
        });
    }

    get encoding() {
        this.#transform; // eslint-disable-line no-unused-expressions -- brand check
        return "utf-8";
    }
    get readable() {
        return readableOf(this.#transform);
    }
    get writable() {
        return writableOf(this.#transform);
    }
};
defineInterface(TextEncoderStream, "TextEncoderStream");

const TextDecoderStream = class {
    #transform;
    #decoder;

    constructor(label = "utf-8", options = undefined) {
        const decoder = new TextDecoder(label, options);
        this.#decoder = decoder;
        this.#transform = newTransformStream({
            __proto__: null,
            transform(chunk, controller) {
                if (!isBufferSource(chunk)) {
                    throw new TypeError("TextDecoderStream: a chunk is not a buffer source.");
                }
                const text = decode(decoder, chunk, { __proto__: null, stream: true });
                if (text !== "") {
                    enqueueTransform(controller, text);
                }
            },
            flush(controller) {
                const text = decode(decoder);
                if (text !== "") {
                    enqueueTransform(controller, text);
                }
            },
        });
    }

    get encoding() {
        return encodingOf(this.#decoder);
    }
    get fatal() {
        return fatalOf(this.#decoder);
    }
    get ignoreBOM() {
        return ignoreBOMOf(this.#decoder);
    }
    get readable() {
        return readableOf(this.#transform);
    }
    get writable() {
        return writableOf(this.#transform);
    }
};
defineInterface(TextDecoderStream, "TextDecoderStream");

provide({ __proto__: null, TextDecoderStream, TextEncoderStream });
