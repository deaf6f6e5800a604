// SPDX-License-Identifier: Apache-2.0
//
// CompressionStream and DecompressionStream (Compression standard). Evaluated when a tenant first looks at one of them. provide():
// build.mjs.
import { head } from "../native.js";
import { TypeError } from "../primordials.js";
import { defineInterface, requireArguments, toDOMString } from "../webidl.js";
import { makePair } from "./pair.js";

// The numbers of enum compress_format. "zstd" is not in the standard; Firefox and Bun have it under that name.
const FORMATS = { __proto__: null, deflate: 0, "deflate-raw": 1, gzip: 2, brotli: 3, zstd: 4 };
const LONGEST = 11;

const toFormat = (value, name) => {
    const text = toDOMString(value);
    const format = text.length <= LONGEST ? FORMATS[text] : undefined;
    if (format === undefined) {
        throw new TypeError(`${name}: "${head(text, 40)}" is none of ` +
            "\"deflate\", \"deflate-raw\", \"gzip\", \"brotli\", \"zstd\".");
    }
    return format;
};

export const CompressionStream = class {
    #pair;

    constructor(format) {
        requireArguments(arguments.length, 1, "CompressionStream");
        this.#pair = makePair(toFormat(format, "CompressionStream"), false);
    }
    get readable() {
        return this.#pair.readable;
    }
    get writable() {
        return this.#pair.writable;
    }
};
defineInterface(CompressionStream, "CompressionStream");

export const DecompressionStream = class {
    #pair;

    constructor(format) {
        requireArguments(arguments.length, 1, "DecompressionStream");
        this.#pair = makePair(toFormat(format, "DecompressionStream"), true);
    }
    get readable() {
        return this.#pair.readable;
    }
    get writable() {
        return this.#pair.writable;
    }
};
defineInterface(DecompressionStream, "DecompressionStream");

provide({ __proto__: null, CompressionStream, DecompressionStream });
