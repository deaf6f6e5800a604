// SPDX-License-Identifier: Apache-2.0
//
// HMAC.
import {
    StringPrototypeSlice, TypeError, TypedArrayPrototypeGetByteLength, Uint8Array, copyBytes,
} from "../primordials.js";
import { requireFormat, requireUsages } from "./checks.js";
import { dataError, operationError } from "./errors.js";
import { checkAlg, checkUse, fromBase64Url, requireType, toBase64Url } from "./jwk.js";
import { isExtractable, keyAlgorithm, keyUsages, makeKey } from "./key.js";
import { done, native } from "./native.js";
import { hashNumber } from "./registry.js";

const USAGES = ["sign", "verify"];

// Bits of a hash's block
const blocks = {
    __proto__: null, "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024, "SHA3-256": 1088,
    "SHA3-384": 832, "SHA3-512": 576,
};

// "HS256"; SHA-3 has none.
const jwkAlg = (hash) => hash[3] === "-" ? `HS${StringPrototypeSlice(hash, 4)}` : undefined;

const make = (handle, params, length, extractable, usages) => makeKey(handle, "secret", extractable,
    { __proto__: null, name: "HMAC", hash: params.hash, length }, usages);

const jwkBytes = (jwk, params, extractable, usages) => {
    requireType(jwk, "oct");
    const bytes = fromBase64Url(jwk.k, "k");
    checkAlg(jwk, jwkAlg(params.hash));
    checkUse(jwk, "sig", extractable, usages);
    return bytes;
};

// The first length bits, of which the last byte may have fewer than all.
const head = (bytes, length) => {
    const unused = -length & 7;
    if (unused === 0) {
        return bytes;
    }
    const copy = copyBytes(bytes);
    copy[(length - 1) >> 3] &= 255 << unused;
    return copy;
};

export const hmac = {
    __proto__: null,
    sign: (params, key, data) => done(
        native.hmacSign(hashNumber(keyAlgorithm(key).hash), key, data)),
    verify: (params, key, signature, data) => done(
        native.hmacVerify(hashNumber(keyAlgorithm(key).hash), key, data, signature)),

    keyLength(params) {
        if (params.length === 0) {
            throw new TypeError("An HMAC key has at least one bit.");
        }
        return params.length ?? blocks[params.hash];
    },

    generateKey(params, extractable, usages) {
        requireUsages(usages, USAGES);
        const length = params.length ?? blocks[params.hash];
        if (length === 0) {
            throw operationError("An HMAC key has at least one bit.");
        }
        return make(done(native.generateSecret(length)), params, length, extractable, usages);
    },

    importKey(format, data, params, extractable, usages) {
        requireUsages(usages, USAGES);
        requireFormat(format, ["raw", "jwk"]);
        const bytes = format === "raw" ? data : jwkBytes(data, params, extractable, usages);
        const bits = TypedArrayPrototypeGetByteLength(bytes) * 8;
        const length = params.length ?? bits;
        if (bits === 0 || length > bits || length <= bits - 8) {
            throw dataError(`The key has ${bits} bits, not ${length}.`);
        }
        return make(done(native.newSecret(head(bytes, length))), params, length, extractable, usages);
    },

    exportKey(format, key) {
        requireFormat(format, ["raw", "jwk"]);
        const bytes = native.secret(key);
        return format === "raw" ? bytes : {
            __proto__: null, kty: "oct", k: toBase64Url(new Uint8Array(bytes)),
            alg: jwkAlg(keyAlgorithm(key).hash), key_ops: keyUsages(key), ext: isExtractable(key),
        };
    },
};
