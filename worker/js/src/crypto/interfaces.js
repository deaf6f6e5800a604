// SPDX-License-Identifier: Apache-2.0
//
// crypto, and what hangs on it: evaluated when a tenant first looks at one of the globals.
import { DOMException } from "../dom_exception.js";
import {
    ArrayBufferIsView, TypeError, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetTag, bytesOf,
} from "../primordials.js";
import { defineInterface, requireArguments } from "../webidl.js";
import { CryptoKey, has } from "./key.js";
import { native } from "./native.js";
import { SubtleCrypto, internal } from "./subtle.js";

const MAX_RANDOM_BYTES = 65536;
const INTEGERS = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
    "BigInt64Array", "BigUint64Array"];

const subtle = new SubtleCrypto(internal);

const Crypto = class Crypto {
    #brand;

    constructor(token) {
        if (token !== internal) {
            throw new TypeError("Illegal constructor");
        }
    }
    get subtle() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return subtle;
    }
    getRandomValues(array) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 1, "getRandomValues");
        if (!ArrayBufferIsView(array)) {
            throw new TypeError("getRandomValues: parameter 1 is not a view of an ArrayBuffer.");
        }
        if (!has(INTEGERS, TypedArrayPrototypeGetTag(array))) {
            throw new DOMException("Random values are for arrays of integers.", "TypeMismatchError");
        }
        if (TypedArrayPrototypeGetByteLength(array) > MAX_RANDOM_BYTES) {
            throw new DOMException(`There are at most ${MAX_RANDOM_BYTES} bytes of random values in one call.`,
                "QuotaExceededError");
        }
        native.random(bytesOf(array));
        return array;
    }
    randomUUID() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return native.uuid();
    }
};
defineInterface(Crypto, "Crypto");

const crypto = new Crypto(internal);

export const interfaces = { __proto__: null, Crypto, CryptoKey, SubtleCrypto, crypto };
