// SPDX-License-Identifier: Apache-2.0
//
// Blob and File (File API). The bytes lie in memory and never change, so slices share them.
import { nativeCopyBytes, utf8Encode } from "./native.js";
import {
    DateNow, MathFloor, MathMax, MathMin, MathTrunc, NumberIsFinite, StringPrototypeCharCodeAt,
    StringPrototypeToLowerCase, SymbolIterator, TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetLength as lengthOf,
    TypedArrayPrototypeSet, Uint8Array, copyBytes, isObject, newList, uncurryThis,
} from "./primordials.js";
import { decodeUtf8 } from "./encoding.js";
import { closeBytes, enqueueBytes, newReadableStream } from "./streams.js";
import {
    defineInterface, forEachOf, isBufferSource, iteratorMethod, requireArguments, toContent,
    toDictionary, toNumber, toText, toUSVString,
} from "./webidl.js";
import { addClone } from "./platform.js";

const subarray = uncurryThis(Uint8Array.prototype.subarray);
const CHUNK_BYTES = 65536;
const internal = Symbol("internal");

export let isBlob;
export let blobBytes; // not to be changed, and not to be shown to a tenant
export let blobType;
export let isFile;
export let fileName;
export let fileLastModified;
// createFile makes a File over bytes that no other code may change.
export let createFile;

function toType(type) {
    for (let i = 0; i < type.length; i++) {
        const code = StringPrototypeCharCodeAt(type, i);
        if (code < 0x20 || code > 0x7e) {
            return "";
        }
    }
    return StringPrototypeToLowerCase(type);
}

function nativeNewlines(text) {
    let out = "";
    for (let i = 0; i < text.length; i++) {
        if (text[i] === "\r") {
            out += "\n";
            i += text[i + 1] === "\n" ? 1 : 0;
        } else {
            out += text[i];
        }
    }
    return out;
}

function toParts(value, name) {
    if (value === undefined) {
        return newList();
    }
    const method = isObject(value) ? iteratorMethod(value) : undefined;
    if (method === undefined) {
        throw new TypeError(`${name}: parameter 1 is not a sequence.`);
    }
    const parts = newList();
    forEachOf(value, method, (part) => {
        if (!isObject(part) || !isBlob(part) && !isBufferSource(part)) {
            part = toContent(part);
        }
        parts[parts.length] = part;
    });
    return parts;
}

function joinParts(parts, isNative) {
    let size = 0;
    for (let i = 0; i < parts.length; i++) {
        const part = parts[i];
        parts[i] = typeof part === "string" ? utf8Encode(isNative ? nativeNewlines(part) : part) :
            isBlob(part) ? blobBytes(part) : copyBytes(part);
        size += lengthOf(parts[i]);
    }
    if (parts.length === 1) {
        return parts[0];
    }
    const all = new Uint8Array(size);
    for (let i = 0, at = 0; i < parts.length; i++) {
        TypedArrayPrototypeSet(all, parts[i], at);
        at += lengthOf(parts[i]);
    }
    return all;
}

function endingsOf(options) {
    if (options === undefined || options.endings === undefined) {
        return false;
    }
    const endings = toText(options.endings);
    if (endings !== "transparent" && endings !== "native") {
        throw new TypeError(`Blob: '${endings}' is not a valid value for endings.`);
    }
    return endings === "native";
}

// [Clamp] long long: the nearest integer, the even one of two.
function toClamped(value) {
    const number = MathMin(MathMax(toNumber(value), -(2 ** 53 - 1)), 2 ** 53 - 1);
    if (number !== number) {
        return 0;
    }
    const below = MathFloor(number);
    const rest = number - below;
    return rest < 0.5 || rest === 0.5 && below % 2 === 0 ? below + 0 : below + 1;
}

let setBlob;

export class Blob {
    #bytes;
    #type = "";

    constructor(blobParts = undefined, options = undefined) {
        if (blobParts === internal) {
            this.#bytes = options;
            this.#type = arguments[2];
            return;
        }
        const parts = toParts(blobParts, "Blob");
        options = toDictionary(options, "Blob");
        const isNative = endingsOf(options);
        const type = options === undefined ? undefined : options.type;
        if (type !== undefined) {
            this.#type = toType(toText(type));
        }
        this.#bytes = joinParts(parts, isNative);
    }

    get size() {
        return lengthOf(this.#bytes);
    }

    get type() {
        return this.#type;
    }

    slice(start = 0, end = undefined, contentType = undefined) {
        const size = lengthOf(this.#bytes);
        start = toClamped(start);
        end = end === undefined ? size : toClamped(end);
        const type = contentType === undefined ? "" : toType(toText(contentType));
        const from = start < 0 ? MathMax(size + start, 0) : MathMin(start, size);
        const to = end < 0 ? MathMax(size + end, 0) : MathMin(end, size);
        return new Blob(internal, subarray(this.#bytes, from, MathMax(from, to)), type);
    }

    stream() {
        const bytes = this.#bytes;
        let at = 0;
        return newReadableStream({
            __proto__: null,
            type: "bytes",
            pull(controller) {
                if (at < lengthOf(bytes)) {
                    const chunk = copyBytes(subarray(bytes, at, at + CHUNK_BYTES));
                    at += lengthOf(chunk);
                    enqueueBytes(controller, chunk);
                }
                if (at >= lengthOf(bytes)) {
                    closeBytes(controller);
                }
            },
        }, { __proto__: null, highWaterMark: 0 });
    }

    async text() {
        return decodeUtf8(this.#bytes);
    }

    async arrayBuffer() {
        return TypedArrayPrototypeGetBuffer(nativeCopyBytes(this.#bytes));
    }

    async bytes() {
        return nativeCopyBytes(this.#bytes);
    }

    static {
        isBlob = (value) => isObject(value) && #bytes in value;
        blobBytes = (blob) => blob.#bytes;
        blobType = (blob) => blob.#type;
        setBlob = (blob, bytes, type) => {
            blob.#bytes = bytes;
            blob.#type = type;
        };
    }
}
defineInterface(Blob, "Blob");
addClone({ __proto__: null, is: isBlob, clone: (blob) => new Blob(internal, blobBytes(blob), blobType(blob)) });

// Makes a Blob over bytes, which no other code may change. type: a serialised MIME type, or ""
export function blobOf(bytes, type) {
    return new Blob(internal, bytes, type);
}

export class File extends Blob {
    #name;
    #lastModified;

    constructor(fileBits, name, options = undefined) {
        if (fileBits === internal) {
            super();
            return;
        }
        requireArguments(arguments.length, 2, "File");
        if (fileBits === undefined) {
            throw new TypeError("File: parameter 1 is not a sequence.");
        }
        fileBits = toParts(fileBits, "File");
        name = toUSVString(name);
        super(iterable(fileBits), options);
        this.#name = name;
        const lastModified = toDictionary(options, "File")?.lastModified;
        this.#lastModified = lastModified === undefined ?
            DateNow() : toLongLong(lastModified);
    }

    get name() {
        return this.#name;
    }

    get lastModified() {
        return this.#lastModified;
    }

    static {
        isFile = (value) => isObject(value) && #name in value;
        fileName = (file) => file.#name;
        fileLastModified = (file) => file.#lastModified;
        createFile = (bytes, type, name, lastModified) => {
            const file = new File(internal);
            setBlob(file, bytes, toType(type));
            file.#name = name;
            file.#lastModified = lastModified ?? DateNow();
            return file;
        };
    }
}
defineInterface(File, "File");
addClone({
    __proto__: null,
    is: isFile,
    clone: (file) => createFile(blobBytes(file), blobType(file), fileName(file), fileLastModified(file)),
});

function toLongLong(value) {
    const number = MathTrunc(toNumber(value));
    return NumberIsFinite(number) ? number + 0 : 0;
}

// Returns the same list with an iterator that no tenant has touched.
function iterable(list) {
    let at = 0;
    const iterator = {
        __proto__: null,
        next: () => (at < list.length ? { __proto__: null, done: false, value: list[at++] } :
            { __proto__: null, done: true, value: undefined }),
    };
    return { __proto__: null, [SymbolIterator]: () => iterator };
}
