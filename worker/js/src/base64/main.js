// SPDX-License-Identifier: Apache-2.0
//
// Adds what V8 13.6 lacks of ECMAScript's base64 and hex for Uint8Array: setFromBase64 and setFromHex, and "stop-before-partial", which
// its fromBase64 takes for an error; its toBase64 and toHex begin at the start of the buffer, wherever the array does. https://tc39.es/proposal-arraybuffer-base64/spec/. Evaluated when a tenant first looks at one
// of them. provide(): build.mjs.
import { builtinFromBase64, builtinToBase64, builtinToHex } from "../base64.js";
import { viewBytes } from "../bytes.js";
import {
    FunctionPrototypeCall, MathMin, StringPrototypeCharCodeAt, SyntaxError, TypeError, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeSet, Uint8Array, copyBytes, isObject, isUint8Array,
} from "../primordials.js";

const EQUALS = 61;
const MAX_LENGTH = 2 ** 53 - 1;
const nothing = new Uint8Array(0);

const isBlank = (code) => code === 9 || code === 10 || code === 12 || code === 13 || code === 32;

// Returns the value of a digit, -1 if it is none.
const digitOf = (code, isUrl) => {
    if (code >= 65 && code <= 90) {
        return code - 65;
    }
    if (code >= 97 && code <= 122) {
        return code - 71;
    }
    if (code >= 48 && code <= 57) {
        return code + 4;
    }
    return code === (isUrl ? 45 : 43) ? 62 : code === (isUrl ? 95 : 47) ? 63 : -1;
};

const skipBlanks = (text, index) => {
    while (index < text.length && isBlank(StringPrototypeCharCodeAt(text, index))) {
        index++;
    }
    return index;
};

// Decodes at most maxLength bytes. Returns { bytes, size, read, error }: error is the message for what comes behind them.
const decode = (text, { isUrl, lastChunk }, maxLength) => {
    const bytes = new Uint8Array(MathMin(maxLength, (text.length + 3 >>> 2) * 3));
    let size = 0;
    let read = 0;
    let bits = 0;
    let digits = 0;
    let index = 0;
    const end = (readTo, error) => ({ __proto__: null, bytes, size, read: readTo, error });
    // The two or three digits at the end
    const finish = () => {
        const spare = digits === 2 ? bits & 15 : bits & 3;
        if (lastChunk === "strict" && spare !== 0) {
            return end(read, "The last digit has bits that are not used.");
        }
        if (digits === 2) {
            bytes[size++] = bits >> 4;
        } else {
            bytes[size++] = bits >> 10;
            bytes[size++] = bits >> 2;
        }
        return end(text.length);
    };
    if (maxLength === 0) {
        return end(0);
    }
    for (;;) {
        index = skipBlanks(text, index);
        if (index === text.length) {
            if (digits === 0) {
                return end(text.length);
            }
            if (lastChunk === "stop-before-partial") {
                return end(read);
            }
            return lastChunk === "strict" || digits === 1 ? end(read, "The last digits are not whole.") : finish();
        }
        const code = StringPrototypeCharCodeAt(text, index++);
        if (code === EQUALS) {
            if (digits < 2) {
                return end(read, "There is padding where none may be.");
            }
            index = skipBlanks(text, index);
            if (digits === 2) {
                if (index === text.length) {
                    return lastChunk === "stop-before-partial" ? end(read) : end(read, "The padding is not whole.");
                }
                if (StringPrototypeCharCodeAt(text, index) === EQUALS) {
                    index = skipBlanks(text, index + 1);
                }
            }
            return index < text.length ? end(read, "There is text behind the padding.") : finish();
        }
        const digit = digitOf(code, isUrl);
        if (digit < 0) {
            return end(read, "There is a character that is no digit of base64.");
        }
        const room = maxLength - size;
        if (room === 1 && digits === 2 || room === 2 && digits === 3) {
            return end(read);
        }
        bits = bits << 6 | digit;
        if (++digits === 4) {
            bytes[size++] = bits >> 16;
            bytes[size++] = bits >> 8;
            bytes[size++] = bits;
            bits = 0;
            digits = 0;
            read = index;
            if (size === maxLength) {
                return end(read);
            }
        }
    }
};

const toAlphabet = (options, name) => {
    if (options !== undefined && !isObject(options)) {
        throw new TypeError(`Uint8Array.${name}: the options are not an object.`);
    }
    const alphabet = options === undefined ? undefined : options.alphabet;
    if (alphabet !== undefined && alphabet !== "base64" && alphabet !== "base64url") {
        throw new TypeError(`Uint8Array.${name}: alphabet is neither "base64" nor "base64url".`);
    }
    return alphabet;
};

const toOptions = (options, name) => {
    const alphabet = toAlphabet(options, name);
    const lastChunk = options === undefined ? undefined : options.lastChunkHandling;
    if (lastChunk !== undefined && lastChunk !== "loose" && lastChunk !== "strict" && lastChunk !== "stop-before-partial") {
        throw new TypeError(`Uint8Array.${name}: lastChunkHandling is not "loose", "strict" or "stop-before-partial".`);
    }
    return { __proto__: null, isUrl: alphabet === "base64url", lastChunk: lastChunk ?? "loose" };
};

const requireString = (value, name) => {
    if (typeof value !== "string") {
        throw new TypeError(`Uint8Array.${name}: parameter 1 is not a string.`);
    }
};

// Writes what was decoded, then throws if there is an error behind it.
const put = (target, result, name) => {
    TypedArrayPrototypeSet(target, viewBytes(result.bytes, 0, result.size));
    if (result.error !== undefined) {
        throw new SyntaxError(`Uint8Array.${name}: ${result.error}`);
    }
    return { read: result.read, written: result.size };
};

const requireTarget = (value, name) => {
    if (!isUint8Array(value)) {
        throw new TypeError(`Uint8Array.${name}: this is not a Uint8Array.`);
    }
};

// Throws a TypeError for an array whose buffer is detached, or has become too small.
const roomOf = (target) => {
    TypedArrayPrototypeSet(target, nothing);
    return TypedArrayPrototypeGetByteLength(target);
};

const hexDigit = (code) => (code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 :
    code >= 65 && code <= 70 ? code - 55 : -1);

const decodeHex = (text, maxLength) => {
    const most = MathMin(maxLength, text.length >>> 1);
    const bytes = new Uint8Array(most);
    const end = (size, error) => ({ __proto__: null, bytes, size, read: 2 * size, error });
    if (text.length % 2 !== 0) {
        return end(0, "There is an odd number of digits.");
    }
    for (let size = 0; size < most; size++) {
        const high = hexDigit(StringPrototypeCharCodeAt(text, 2 * size));
        const low = hexDigit(StringPrototypeCharCodeAt(text, 2 * size + 1));
        if (high < 0 || low < 0) {
            return end(size, "There is a character that is no hexadecimal digit.");
        }
        bytes[size] = high << 4 | low;
    }
    return end(most);
};

// Returns an array at the start of its buffer, with the same bytes. One that is detached or out of bounds is there already: the built-ins refuse it.
const atStart = (bytes) => (TypedArrayPrototypeGetByteOffset(bytes) === 0 ? bytes : copyBytes(bytes));

const toBase64 = (bytes, options) => {
    requireTarget(bytes, "toBase64");
    const alphabet = toAlphabet(options, "toBase64") ?? "base64";
    const omitPadding = options !== undefined && !!options.omitPadding;
    return FunctionPrototypeCall(builtinToBase64, atStart(bytes), { __proto__: null, alphabet, omitPadding });
};

const toHex = (bytes) => {
    requireTarget(bytes, "toHex");
    return FunctionPrototypeCall(builtinToHex, atStart(bytes));
};

const { fromBase64, setFromBase64, setFromHex } = {
    fromBase64(string) {
        requireString(string, "fromBase64");
        const options = toOptions(arguments[1], "fromBase64");
        if (options.lastChunk !== "stop-before-partial") {
            return builtinFromBase64(string, {
                __proto__: null, alphabet: options.isUrl ? "base64url" : "base64", lastChunkHandling: options.lastChunk,
            });
        }
        const { bytes, size, error } = decode(string, options, MAX_LENGTH);
        if (error !== undefined) {
            throw new SyntaxError(`Uint8Array.fromBase64: ${error}`);
        }
        const result = new Uint8Array(size);
        TypedArrayPrototypeSet(result, viewBytes(bytes, 0, size));
        return result;
    },
    setFromBase64(string) {
        requireTarget(this, "setFromBase64");
        requireString(string, "setFromBase64");
        const options = toOptions(arguments[1], "setFromBase64");
        return put(this, decode(string, options, roomOf(this)), "setFromBase64");
    },
    setFromHex(string) {
        requireTarget(this, "setFromHex");
        requireString(string, "setFromHex");
        return put(this, decodeHex(string, roomOf(this)), "setFromHex");
    },
};

provide({ __proto__: null, fromBase64, setFromBase64, setFromHex, toBase64, toHex });
