// SPDX-License-Identifier: Apache-2.0
//
// SubtleCrypto. Each method does its work before it returns its promise: it counts as the CPU time of the request that asked
// for it. An async function gives a promise of the layer's own realm, whatever a tenant has made of Promise.
import { utf8Decode, utf8Encode } from "../native.js";
import {
    JSONStringify, ObjectDefineProperty, ObjectKeys, Symbol, TypeError, TypedArrayPrototypeGetByteLength, Uint8Array, isObject,
} from "../primordials.js";
import { defineInterface, isBufferSource, requireArguments } from "../webidl.js";
import { requireSomeUsage } from "./checks.js";
import {
    parseJwk, toAlgorithmIdentifier, toBytes, toFormat, toJwk, toLength, toUsages,
} from "./convert.js";
import { dataError, invalidAccess, notSupported } from "./errors.js";
import {
    has, isExtractable, isKey, keyAlgorithm, keyType, keyUsages as keyUsagesOf, normalizeUsages, toArray, toKey,
} from "./key.js";
import { done, native } from "./native.js";
import { familyOf, hashNumber, normalize } from "./registry.js";

export const internal = Symbol("internal");

const requireKeyFor = (params, key, usage) => {
    if (params.name !== keyAlgorithm(key).name) {
        throw invalidAccess(`The key is for ${keyAlgorithm(key).name}, not for ${params.name}.`);
    }
    if (!has(keyUsagesOf(key), usage)) {
        throw invalidAccess(`The key's usages do not have "${usage}".`);
    }
};

const importKey = (format, data, params, extractable, usages) => {
    const key = familyOf(params.name).importKey(format, data, params, extractable,
        normalizeUsages(usages));
    if (keyType(key) !== "public") {
        requireSomeUsage(keyUsagesOf(key));
    }
    return key;
};

// raw, pkcs8 and spki give an ArrayBuffer, jwk an object without a prototype.
const exportKey = (format, key) => {
    const { exportKey: run } = familyOf(keyAlgorithm(key).name);
    if (run === undefined) {
        throw notSupported(`Keys for ${keyAlgorithm(key).name} cannot be exported.`);
    }
    if (!isExtractable(key)) {
        throw invalidAccess("The key is not extractable.");
    }
    return run(format, key);
};

// As the tenant gets it: an ordinary object, with an ordinary array.
const toTenant = (jwk) => {
    const object = {};
    const names = ObjectKeys(jwk);
    for (let i = 0; i < names.length; i++) {
        const value = jwk[names[i]];
        if (value !== undefined) {
            ObjectDefineProperty(object, names[i], {
                __proto__: null, value: names[i] === "key_ops" ? toArray(value) : value,
                writable: true, enumerable: true, configurable: true,
            });
        }
    }
    return object;
};

// (BufferSource or JsonWebKey), which must be the one that the format wants.
const toKeyData = (format, value) => {
    if (!isObject(value)) {
        throw new TypeError("keyData is neither bytes nor a JsonWebKey.");
    }
    if (isBufferSource(value) === (format === "jwk")) {
        throw new TypeError(`keyData is not what a key in the format "${format}" is.`);
    }
    return format === "jwk" ? toJwk(value) : toBytes(value, "keyData");
};

const fromJson = (bytes) => {
    try {
        return parseJwk(utf8Decode(bytes, true));
    } catch {
        throw dataError("What was wrapped is no JSON Web Key.");
    }
};

export const SubtleCrypto = class {
    #brand;

    constructor(token = undefined) {
        if (token !== internal) {
            throw new TypeError("SubtleCrypto: Illegal constructor");
        }
    }

    async encrypt(algorithm, key, data) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 3, "encrypt");
        algorithm = toAlgorithmIdentifier(algorithm);
        toKey(key, "key");
        data = toBytes(data, "data");
        const params = normalize("encrypt", algorithm);
        requireKeyFor(params, key, "encrypt");
        return familyOf(params.name).encrypt(params, key, data);
    }

    async decrypt(algorithm, key, data) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 3, "decrypt");
        algorithm = toAlgorithmIdentifier(algorithm);
        toKey(key, "key");
        data = toBytes(data, "data");
        const params = normalize("decrypt", algorithm);
        requireKeyFor(params, key, "decrypt");
        return familyOf(params.name).decrypt(params, key, data);
    }

    async sign(algorithm, key, data) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 3, "sign");
        algorithm = toAlgorithmIdentifier(algorithm);
        toKey(key, "key");
        data = toBytes(data, "data");
        const params = normalize("sign", algorithm);
        requireKeyFor(params, key, "sign");
        return familyOf(params.name).sign(params, key, data);
    }

    async verify(algorithm, key, signature, data) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 4, "verify");
        algorithm = toAlgorithmIdentifier(algorithm);
        toKey(key, "key");
        signature = toBytes(signature, "signature");
        data = toBytes(data, "data");
        const params = normalize("verify", algorithm);
        requireKeyFor(params, key, "verify");
        return familyOf(params.name).verify(params, key, signature, data);
    }

    async digest(algorithm, data) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 2, "digest");
        algorithm = toAlgorithmIdentifier(algorithm);
        data = toBytes(data, "data");
        const params = normalize("digest", algorithm);
        return done(native.digest(hashNumber(params.name), data));
    }

    // From Cloudflare Workers
    timingSafeEqual(a, b) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 2, "timingSafeEqual");
        a = toBytes(a, "a");
        b = toBytes(b, "b");
        if (TypedArrayPrototypeGetByteLength(a) !== TypedArrayPrototypeGetByteLength(b)) {
            throw new TypeError("timingSafeEqual: the two must be of the same length.");
        }
        return native.equal(a, b);
    }

    async generateKey(algorithm, extractable, keyUsages) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 3, "generateKey");
        algorithm = toAlgorithmIdentifier(algorithm);
        extractable = !!extractable;
        const usages = normalizeUsages(toUsages(keyUsages));
        const params = normalize("generateKey", algorithm);
        const result = familyOf(params.name).generateKey(params, extractable, usages);
        requireSomeUsage(keyUsagesOf(isKey(result) ? result : result.privateKey));
        return result;
    }

    async deriveKey(algorithm, baseKey, derivedKeyType, extractable, keyUsages) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 5, "deriveKey");
        algorithm = toAlgorithmIdentifier(algorithm);
        toKey(baseKey, "baseKey");
        derivedKeyType = toAlgorithmIdentifier(derivedKeyType);
        extractable = !!extractable;
        const usages = toUsages(keyUsages);
        const params = normalize("deriveBits", algorithm);
        const importParams = normalize("importKey", derivedKeyType);
        const lengthParams = normalize("keyLength", derivedKeyType);
        requireKeyFor(params, baseKey, "deriveKey");
        const length = familyOf(lengthParams.name).keyLength(lengthParams);
        const bits = familyOf(params.name).deriveBits(params, baseKey, length);
        return importKey("raw", new Uint8Array(bits), importParams, extractable, usages);
    }

    async deriveBits(algorithm, baseKey, length = null) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 2, "deriveBits");
        algorithm = toAlgorithmIdentifier(algorithm);
        toKey(baseKey, "baseKey");
        length = length === null || length === undefined ? null : toLength(length);
        const params = normalize("deriveBits", algorithm);
        requireKeyFor(params, baseKey, "deriveBits");
        return familyOf(params.name).deriveBits(params, baseKey, length);
    }

    async importKey(format, keyData, algorithm, extractable, keyUsages) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 5, "importKey");
        format = toFormat(format);
        const data = toKeyData(format, keyData);
        algorithm = toAlgorithmIdentifier(algorithm);
        extractable = !!extractable;
        const usages = toUsages(keyUsages);
        const params = normalize("importKey", algorithm);
        return importKey(format, data, params, extractable, usages);
    }

    async exportKey(format, key) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 2, "exportKey");
        format = toFormat(format);
        const result = exportKey(format, toKey(key, "key"));
        return format === "jwk" ? toTenant(result) : result;
    }

    async wrapKey(format, key, wrappingKey, wrapAlgorithm) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 4, "wrapKey");
        format = toFormat(format);
        toKey(key, "key");
        toKey(wrappingKey, "wrappingKey");
        wrapAlgorithm = toAlgorithmIdentifier(wrapAlgorithm);
        const params = normalize("wrapKey", wrapAlgorithm, "encrypt");
        requireKeyFor(params, wrappingKey, "wrapKey");
        const exported = exportKey(format, key);
        const bytes = format === "jwk" ? utf8Encode(JSONStringify(exported)) : new Uint8Array(exported);
        return familyOf(params.name)[params.operation](params, wrappingKey, bytes);
    }

    async unwrapKey(format, wrappedKey, unwrappingKey, unwrapAlgorithm, unwrappedKeyAlgorithm,
        extractable, keyUsages) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 7, "unwrapKey");
        format = toFormat(format);
        const wrapped = toBytes(wrappedKey, "wrappedKey");
        toKey(unwrappingKey, "unwrappingKey");
        unwrapAlgorithm = toAlgorithmIdentifier(unwrapAlgorithm);
        unwrappedKeyAlgorithm = toAlgorithmIdentifier(unwrappedKeyAlgorithm);
        extractable = !!extractable;
        const usages = toUsages(keyUsages);
        const params = normalize("unwrapKey", unwrapAlgorithm, "decrypt");
        const importParams = normalize("importKey", unwrappedKeyAlgorithm);
        requireKeyFor(params, unwrappingKey, "unwrapKey");
        const bytes = new Uint8Array(
            familyOf(params.name)[params.operation](params, unwrappingKey, wrapped));
        return importKey(format, format === "jwk" ? fromJson(bytes) : bytes, importParams, extractable,
            usages);
    }
};
defineInterface(SubtleCrypto, "SubtleCrypto");
