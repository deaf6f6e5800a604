// SPDX-License-Identifier: Apache-2.0
//
// Packed values (proto/values.h): the arguments of an operation of storage, and what its answer says before the rest.
import { utf8Decode, utf8Encode } from "../native.js";
import {
    Error, Float64Array, MathFloor, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet, Uint8Array, closeClass,
    newList,
} from "../primordials.js";
import { viewBytes } from "../bytes.js";

export const NULL = 0x6e;
export const INTEGER = 0x69;
export const REAL = 0x72;
export const TEXT = 0x74;
export const BYTES = 0x62;
export const STATEMENT = 0x73;

const SIZE_BYTES = 4;
const NUMBER_BYTES = 8;
const HIGH = 2 ** 32;

const lengthOf = (bytes) => TypedArrayPrototypeGetByteLength(bytes);

// The bytes of a number, as the machine has them: little-endian.
const number = new Float64Array(1);
const numberBytes = new Uint8Array(TypedArrayPrototypeGetBuffer(number));

function writeSize(bytes, at, size) {
    for (let i = 0; i < SIZE_BYTES; i++) {
        bytes[at + i] = size >>> 8 * i;
    }
}

function readSize(bytes, at) {
    return (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0;
}

// Collects values, at most `most` bytes of them.
export class Packer {
    #most;
    #tooLong; // makes the error for more than that
    #items = newList(); // tag and content, in turn
    #size = 0;

    constructor(most, tooLong) {
        this.#most = most;
        this.#tooLong = tooLong;
    }

    // content: undefined, a number, or for texts and bytes a string or a Uint8Array, which stays as it is until finish().
    add(tag, content) {
        let bytes = content;
        if (typeof content === "string") {
            // Before bytes are made of it: a character is at least one.
            this.#grow(content.length);
            bytes = utf8Encode(content);
            this.#size -= content.length;
        }
        const isNumber = tag === INTEGER || tag === REAL;
        this.#grow(tag === NULL ? 1 : isNumber ? 1 + NUMBER_BYTES : 1 + SIZE_BYTES + lengthOf(bytes));
        this.#items[this.#items.length] = tag;
        this.#items[this.#items.length] = bytes;
    }

    #grow(size) {
        this.#size += size;
        if (this.#size > this.#most) {
            throw this.#tooLong();
        }
    }

    // Returns the body of an operation: size and values, then the rest, a Uint8Array or undefined.
    finish(rest = undefined) {
        const bytes = new Uint8Array(SIZE_BYTES + this.#size + (rest === undefined ? 0 : lengthOf(rest)));
        writeSize(bytes, 0, this.#size);
        let at = SIZE_BYTES;
        for (let i = 0; i < this.#items.length; i += 2) {
            at = writeValue(bytes, at, this.#items[i], this.#items[i + 1]);
        }
        if (rest !== undefined) {
            TypedArrayPrototypeSet(bytes, rest, at);
        }
        return bytes;
    }
}
closeClass(Packer);

// Returns the place behind it.
function writeValue(bytes, at, tag, content) {
    bytes[at++] = tag;
    switch (tag) {
    case NULL:
        return at;
    case INTEGER: {
        const high = MathFloor(content / HIGH);
        writeSize(bytes, at, content - high * HIGH);
        writeSize(bytes, at + SIZE_BYTES, high);
        return at + NUMBER_BYTES;
    }
    case REAL:
        number[0] = content;
        TypedArrayPrototypeSet(bytes, numberBytes, at);
        return at + NUMBER_BYTES;
    default:
        writeSize(bytes, at, lengthOf(content));
        TypedArrayPrototypeSet(bytes, content, at + SIZE_BYTES);
        return at + SIZE_BYTES + lengthOf(content);
    }
}

const notUnderstood = () => new Error("The answer of the storage is not understood.");

// The number of bytes before the rest of an answer, as far as its first bytes say; undefined: these are too few.
export const headSize = (bytes) => (lengthOf(bytes) < SIZE_BYTES ? undefined : SIZE_BYTES + readSize(bytes, 0));

// Reads the values of an answer one after the other. Each method takes the next one and throws if it is of another kind.
export class Unpacker {
    #bytes;
    #at = SIZE_BYTES;
    #end; // behind the values

    constructor(bytes) {
        const end = headSize(bytes);
        if (end === undefined || end > lengthOf(bytes)) {
            throw notUnderstood();
        }
        this.#bytes = bytes;
        this.#end = end;
    }

    // The bytes behind the values.
    get rest() {
        return viewBytes(this.#bytes, this.#end, lengthOf(this.#bytes));
    }

    get isDone() {
        return this.#at >= this.#end;
    }

    // Returns the place of the content of the next value, or -1 for null where that may be.
    #open(tag, size, mayBeNull) {
        const found = this.#bytes[this.#at];
        if (mayBeNull && found === NULL && !this.isDone) {
            this.#at++;
            return -1;
        }
        const at = this.#at + 1;
        if (found !== tag || at + size > this.#end) {
            throw notUnderstood();
        }
        this.#at = at + size;
        return at;
    }

    integer(mayBeNull = false) {
        const at = this.#open(INTEGER, NUMBER_BYTES, mayBeNull);
        return at === -1 ? null : readSize(this.#bytes, at) + (readSize(this.#bytes, at + SIZE_BYTES) | 0) * HIGH;
    }

    #content(tag, mayBeNull) {
        const at = this.#open(tag, SIZE_BYTES, mayBeNull);
        if (at === -1) {
            return null;
        }
        const size = readSize(this.#bytes, at);
        if (size > this.#end - this.#at) {
            throw notUnderstood();
        }
        this.#at += size;
        return viewBytes(this.#bytes, this.#at - size, this.#at);
    }

    text(mayBeNull = false) {
        const bytes = this.#content(TEXT, mayBeNull);
        return bytes === null ? null : utf8Decode(bytes, false);
    }

    // Returns a view of the answer, or null.
    bytes() {
        return this.#content(BYTES, true);
    }
}
closeClass(Unpacker);
