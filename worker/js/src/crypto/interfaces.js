// SPDX-License-Identifier: Apache-2.0
//
// crypto, and what hangs on it: evaluated when a tenant first looks at one of the globals. provide(): build.mjs.
import { DOMException } from "../dom_exception.js";
import {
    ArrayBufferIsView, ObjectDefineProperty, TypeError, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetTag, bytesOf,
} from "../primordials.js";
import { defineInterface, requireArguments } from "../webidl.js";
import { DigestStream } from "./digest_stream.js";
import { CryptoKey, has } from "./key.js";
import { native } from "./native.js";
import { QuotaExceededError } from "./quota_exceeded_error.js";
import { SubtleCrypto, internal } from "./subtle.js";

const MAX_RANDOM_BYTES = 65536;
const INTEGERS = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
    "BigInt64Array", "BigUint64Array"];

const subtle = new SubtleCrypto(internal);

const Crypto = class Crypto {
    #brand;

    constructor() {
        if (arguments[0] !== internal) {
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
ObjectDefineProperty(crypto, "DigestStream", {
    __proto__: null, value: DigestStream, writable: true, configurable: true,
});

provide({ __proto__: null, Crypto, CryptoKey, DigestStream, QuotaExceededError, SubtleCrypto, crypto });
