// SPDX-License-Identifier: Apache-2.0
//
// AES-CBC, AES-CTR, AES-GCM and AES-KW.
import { StringPrototypeSlice, TypedArrayPrototypeGetByteLength, Uint8Array } from "../primordials.js";
import { dataError, operationError } from "./errors.js";
import { requireFormat, requireUsages } from "./checks.js";
import { checkAlg, checkUse, fromBase64Url, requireType, toBase64Url } from "./jwk.js";
import { isExtractable, keyAlgorithm, keyUsages, makeKey } from "./key.js";
import { done, native } from "./native.js";

const ciphers = { __proto__: null, "AES-CBC": 0, "AES-CTR": 1, "AES-GCM": 2, "AES-KW": 3 };

const allowed = (name) => name === "AES-KW" ? ["wrapKey", "unwrapKey"] :
    ["encrypt", "decrypt", "wrapKey", "unwrapKey"];

const jwkAlg = (name, length) => `A${length}${StringPrototypeSlice(name, 4)}`;

const isLength = (length) => length === 128 || length === 192 || length === 256;

// bits: of the counter or the tag
function run(decrypt, key, data, iv, bits, aad) {
    const { name } = keyAlgorithm(key);
    return done(native.cipher(key, ciphers[name], decrypt, data, iv, bits, aad), decrypt ?
        `${name}: the data are not what was encrypted with this key and these parameters.` : `${name}: the operation failed.`);
}

const BLOCK = 16;

function requireBlock(bytes, name) {
    const length = TypedArrayPrototypeGetByteLength(bytes);
    if (length !== BLOCK) {
        throw operationError(`${name} has ${length} bytes, not ${BLOCK}.`);
    }
    return bytes;
}

const TAGS = [32, 64, 96, 104, 112, 120, 128];

const tagLength = (params) => {
    const bits = params.tagLength ?? 128;
    for (let i = 0; i < TAGS.length; i++) {
        if (TAGS[i] === bits) {
            return bits;
        }
    }
    throw operationError(`${bits} is no length of a tag.`);
};

const cipher = (decrypt) => (params, key, data) => {
    switch (params.name) {
        case "AES-CBC":
            return run(decrypt, key, data, requireBlock(params.iv, "AES-CBC: the iv"));
        case "AES-CTR":
            requireBlock(params.counter, "AES-CTR: the counter");
            if (params.length < 1 || params.length > 8 * BLOCK) {
                throw operationError(`AES-CTR: length is ${params.length}, not 1 to ${8 * BLOCK}.`);
            }
            return run(decrypt, key, data, params.counter, params.length);
        default:
            return run(decrypt, key, data, params.iv, tagLength(params), params.additionalData);
    }
};

const make = (handle, params, length, extractable, usages) => makeKey(handle, "secret", extractable,
    { __proto__: null, name: params.name, length }, usages);

const jwkBytes = (jwk, params, extractable, usages) => {
    requireType(jwk, "oct");
    const bytes = fromBase64Url(jwk.k, "k");
    const length = TypedArrayPrototypeGetByteLength(bytes) * 8;
    if (isLength(length)) {
        checkAlg(jwk, jwkAlg(params.name, length));
    }
    checkUse(jwk, "enc", extractable, usages);
    return bytes;
};

export const aes = {
    __proto__: null,
    encrypt: cipher(false),
    decrypt: cipher(true),
    wrapKey: (params, key, data) => run(false, key, data),
    unwrapKey: (params, key, data) => run(true, key, data),

    keyLength(params) {
        if (!isLength(params.length)) {
            throw operationError(`${params.length} is no length of an AES key.`);
        }
        return params.length;
    },

    generateKey(params, extractable, usages) {
        requireUsages(usages, allowed(params.name));
        const length = aes.keyLength(params);
        return make(done(native.generateSecret(length)), params, length, extractable, usages);
    },

    importKey(format, data, params, extractable, usages) {
        requireUsages(usages, allowed(params.name));
        requireFormat(format, ["raw", "jwk"]);
        const bytes = format === "raw" ? data : jwkBytes(data, params, extractable, usages);
        const length = TypedArrayPrototypeGetByteLength(bytes) * 8;
        if (!isLength(length)) {
            throw dataError(`An AES key has 128, 192 or 256 bits, not ${length}.`);
        }
        return make(done(native.newSecret(bytes)), params, length, extractable, usages);
    },

    exportKey(format, key) {
        requireFormat(format, ["raw", "jwk"]);
        const bytes = native.secret(key);
        if (format === "raw") {
            return bytes;
        }
        const { name, length } = keyAlgorithm(key);
        return {
            __proto__: null, kty: "oct", k: toBase64Url(new Uint8Array(bytes)),
            alg: jwkAlg(name, length), key_ops: keyUsages(key), ext: isExtractable(key),
        };
    },
};
