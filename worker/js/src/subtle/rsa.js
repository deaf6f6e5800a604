// SPDX-License-Identifier: Apache-2.0
//
// RSASSA-PKCS1-v1_5, RSA-PSS and RSA-OAEP.
import { StringPrototypeSlice, TypedArrayPrototypeGetByteLength } from "../primordials.js";
import { requireFormat, requireUsages } from "./checks.js";
import { invalidAccess, notSupported, operationError } from "./errors.js";
import { checkAlg, checkUse, requireType } from "./jwk.js";
import { keyAlgorithm, keyType, makeKey } from "./key.js";
import { done, native } from "./native.js";
import {
    fromBytes, fromJwk, generate, isPrivateFormat, partOf, toBytesOf, toJwkOf,
} from "./pair.js";
import { hashNumber } from "./registry.js";

const RSA = 0;
const MIN_BITS = 512;
const MAX_BITS = 16384;
const MAX_EXPONENT_BYTES = 8;
const PKCS1 = 0;
const PSS = 1;
const PUBLIC_PARTS = ["n", "e"];
const PRIVATE_PARTS = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

const signing = { __proto__: null, both: ["sign", "verify"], private: ["sign"], public: ["verify"] };
const encryption = {
    __proto__: null, both: ["encrypt", "decrypt", "wrapKey", "unwrapKey"], private: ["decrypt", "unwrapKey"],
    public: ["encrypt", "wrapKey"],
};
const usagesOf = (name) => name === "RSA-OAEP" ? encryption : signing;

// "RS256", "PS1", "RSA-OAEP-512"; SHA-3 has none.
const jwkAlg = (name, hash) => {
    if (hash[3] !== "-") {
        return undefined;
    }
    const bits = StringPrototypeSlice(hash, 4);
    return name === "RSA-OAEP" ? bits === "1" ? "RSA-OAEP" : `RSA-OAEP-${bits}` :
        `${name === "RSA-PSS" ? "PS" : "RS"}${bits}`;
};

const algorithmOf = (params) => (handle) => ({
    __proto__: null, name: params.name, modulusLength: native.rsaBits(handle),
    publicExponent: partOf(handle, "e"), hash: params.hash,
});

const jwkHandle = (jwk, params, extractable, usages) => {
    requireType(jwk, "RSA");
    checkUse(jwk, params.name === "RSA-OAEP" ? "enc" : "sig", extractable, usages);
    checkAlg(jwk, jwkAlg(params.name, params.hash));
    if (jwk.oth !== undefined) {
        throw notSupported("Keys of more than two primes are not supported.");
    }
    return fromJwk(RSA, jwk, jwk.d === undefined ? PUBLIC_PARTS : PRIVATE_PARTS);
};

const requireHalf = (key, type) => {
    if (keyType(key) !== type) {
        throw invalidAccess(`The key is not ${type}.`);
    }
};

// Throws unless keys can have that size and exponent: e is odd and more than 1, most significant byte first.
const checkGeneration = (bits, e) => {
    const end = TypedArrayPrototypeGetByteLength(e);
    let first = 0;
    while (first < end && e[first] === 0) {
        first++;
    }
    const size = end - first;
    const isExponent = size > 0 && size <= MAX_EXPONENT_BYTES && (e[end - 1] & 1) === 1 &&
        (size > 1 || e[first] > 1);
    if (!isExponent || bits < MIN_BITS || bits > MAX_BITS) {
        throw operationError(`There are no RSA keys of ${bits} bits with this exponent here.`);
    }
};

const crypt = (params, key, data) => done(native.oaep(key, hashNumber(keyAlgorithm(key).hash), data, params.label),
    "RSA-OAEP: the data are too long for the key, or are not what was encrypted for it with this label.");

const scheme = (params) => params.name === "RSA-PSS" ? PSS : PKCS1;

export const rsa = {
    __proto__: null,

    sign(params, key, data) {
        requireHalf(key, "private");
        return done(native.sign(key, scheme(params), hashNumber(keyAlgorithm(key).hash),
            params.saltLength, data));
    },

    verify(params, key, signature, data) {
        requireHalf(key, "public");
        return done(native.verify(key, scheme(params), hashNumber(keyAlgorithm(key).hash),
            params.saltLength, data, signature));
    },

    encrypt(params, key, data) {
        requireHalf(key, "public");
        return crypt(params, key, data);
    },

    decrypt(params, key, data) {
        requireHalf(key, "private");
        return crypt(params, key, data);
    },

    generateKey(params, extractable, usages) {
        const allowed = usagesOf(params.name);
        requireUsages(usages, allowed.both);
        checkGeneration(params.modulusLength, params.publicExponent);
        return generate(RSA, usages, allowed, extractable, algorithmOf(params), params.modulusLength,
            params.publicExponent);
    },

    importKey(format, data, params, extractable, usages) {
        requireFormat(format, ["spki", "pkcs8", "jwk"]);
        const type = isPrivateFormat(format, data) ? "private" : "public";
        requireUsages(usages, usagesOf(params.name)[type]);
        const handle = format === "jwk" ? jwkHandle(data, params, extractable, usages) :
            fromBytes(RSA, format, data);
        return makeKey(handle, type, extractable, algorithmOf(params)(handle), usages);
    },

    exportKey(format, key) {
        requireFormat(format, ["spki", "pkcs8", "jwk"]);
        if (format !== "jwk") {
            return toBytesOf(format, key);
        }
        const { name, hash } = keyAlgorithm(key);
        return toJwkOf({ __proto__: null, kty: "RSA", alg: jwkAlg(name, hash) }, key,
            keyType(key) === "private" ? PRIVATE_PARTS : PUBLIC_PARTS);
    },
};
