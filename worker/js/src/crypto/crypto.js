// SPDX-License-Identifier: Apache-2.0
//
// The object crypto: random values, and a getter for subtle. Evaluated when a tenant first looks at it. provide(): build.mjs.
import { subtleLibrary } from "../crypto.js";
import { domException } from "../dom_exception.js";
import { lazy, openCrypto } from "../native.js";
import {
    ArrayBufferIsView, Symbol, TypeError, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetTag, bytesOf,
} from "../primordials.js";
import { defineInterface, isResizable, requireArguments } from "../webidl.js";

const MAX_RANDOM_BYTES = 65536;
const INTEGERS = {
    __proto__: null, Int8Array: true, Uint8Array: true, Uint8ClampedArray: true, Int16Array: true, Uint16Array: true,
    Int32Array: true, Uint32Array: true, BigInt64Array: true, BigUint64Array: true,
};

const internal = Symbol("internal");
const native = openCrypto();

const Crypto = class {
    #brand;

    constructor(token = undefined) {
        if (token !== internal) {
            throw new TypeError("Crypto: Illegal constructor");
        }
    }
    get subtle() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return subtleLibrary().subtle;
    }
    getRandomValues(array) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 1, "getRandomValues");
        if (!ArrayBufferIsView(array)) {
            throw new TypeError("getRandomValues: parameter 1 is not a view of an ArrayBuffer.");
        }
        if (isResizable(array)) {
            throw new TypeError("getRandomValues: parameter 1 is backed by a buffer that is resizable or shared.");
        }
        if (INTEGERS[TypedArrayPrototypeGetTag(array)] !== true) {
            throw domException("Random values are for arrays of integers.", "TypeMismatchError");
        }
        if (TypedArrayPrototypeGetByteLength(array) > MAX_RANDOM_BYTES) {
            const { QuotaExceededError } = subtleLibrary();
            throw new QuotaExceededError(
                `There are at most ${MAX_RANDOM_BYTES} bytes of random values in one call.`);
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
lazy(crypto, "DigestStream");

provide({ __proto__: null, Crypto, crypto });
