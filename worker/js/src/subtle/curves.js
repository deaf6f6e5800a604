// SPDX-License-Identifier: Apache-2.0
//
// ECDSA and ECDH on P-256, P-384 and P-521; Ed25519, Ed448, X25519 and X448.
import { viewBytes } from "../bytes.js";
import {
    ArrayBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet, Uint8Array,
} from "../primordials.js";
import { requireFormat, requireUsages } from "./checks.js";
import { dataError, invalidAccess, notSupported, operationError } from "./errors.js";
import { checkAlg, checkUse, requireType } from "./jwk.js";
import { keyAlgorithm, keyType, makeKey } from "./key.js";
import { done, native } from "./native.js";
import { fromBytes, fromJwk, generate, isPrivateFormat, toBytesOf, toJwkOf } from "./pair.js";
import { hashNumber } from "./registry.js";

// Numbers of the natives.
const kinds = {
    __proto__: null, "P-256": 1, "P-384": 2, "P-521": 3, Ed25519: 4, Ed448: 5, X25519: 6, X448: 7,
};
const ECDSA = 2;
const EDDSA = 3;
const FORMATS = ["raw", "spki", "pkcs8", "jwk"];

const jwkAlgs = { __proto__: null, "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

const signing = { __proto__: null, both: ["sign", "verify"], private: ["sign"], public: ["verify"] };
const agreement = {
    __proto__: null, both: ["deriveKey", "deriveBits"], private: ["deriveKey", "deriveBits"], public: [],
};
const isSigning = (name) => name === "ECDSA" || name === "Ed25519" || name === "Ed448";
const usagesOf = (name) => isSigning(name) ? signing : agreement;

const isWeierstrass = (name) => name === "ECDSA" || name === "ECDH";

// Returns the name that JSON Web Keys call "crv".
const curveOf = (algorithm) => isWeierstrass(algorithm.name) ? algorithm.namedCurve : algorithm.name;

const isCurve = (algorithm) => kinds[curveOf(algorithm)] !== undefined &&
    (!isWeierstrass(algorithm.name) || jwkAlgs[algorithm.namedCurve] !== undefined);

const algorithmOf = (params) => () => isWeierstrass(params.name) ?
    { __proto__: null, name: params.name, namedCurve: params.namedCurve } :
    { __proto__: null, name: params.name };

const checkJwkAlg = (jwk, params) => {
    if (params.name === "ECDSA") {
        checkAlg(jwk, jwkAlgs[params.namedCurve]);
    } else if (isSigning(params.name) && jwk.alg !== "EdDSA") {
        checkAlg(jwk, params.name);
    }
};

const parts = (name, isPrivate) => isWeierstrass(name) ? isPrivate ? ["x", "y", "d"] : ["x", "y"] :
    isPrivate ? ["x", "d"] : ["x"];

const jwkHandle = (jwk, params, extractable, usages) => {
    requireType(jwk, isWeierstrass(params.name) ? "EC" : "OKP");
    checkUse(jwk, isSigning(params.name) ? "sig" : "enc", extractable, usages);
    if (jwk.crv !== curveOf(params)) {
        throw dataError(`The key's "crv" is not "${curveOf(params)}".`);
    }
    checkJwkAlg(jwk, params);
    return fromJwk(kinds[curveOf(params)], jwk, parts(params.name, jwk.d !== undefined));
};

const requirePrivate = (key) => {
    if (keyType(key) !== "private") {
        throw invalidAccess("The key is not private.");
    }
};

// The first bits of a secret; null: all.
const head = (secret, bits) => {
    const bytes = new Uint8Array(secret);
    if (bits === null) {
        return secret;
    }
    if (bits > TypedArrayPrototypeGetByteLength(bytes) * 8) {
        throw operationError(`The secret has fewer than ${bits} bits.`);
    }
    const size = (bits + 7) >>> 3;
    const buffer = new ArrayBuffer(size);
    const part = new Uint8Array(buffer);
    TypedArrayPrototypeSet(part, viewBytes(bytes, 0, size));
    if ((bits & 7) !== 0) {
        part[size - 1] &= 255 << (-bits & 7);
    }
    return buffer;
};

const requirePeer = (own, peer) => {
    const { name, namedCurve } = keyAlgorithm(own);
    if (keyType(peer) !== "public") {
        throw invalidAccess("algorithm.public is not a public key.");
    }
    if (keyAlgorithm(peer).name !== name || keyAlgorithm(peer).namedCurve !== namedCurve) {
        throw invalidAccess("algorithm.public is a key of another kind.");
    }
};

export const curves = {
    __proto__: null,

    sign(params, key, data) {
        requirePrivate(key);
        return done(native.sign(key, params.name === "ECDSA" ? ECDSA : EDDSA, hashNumber(params.hash), 0, data));
    },

    verify(params, key, signature, data) {
        if (keyType(key) !== "public") {
            throw invalidAccess("The key is not public.");
        }
        return done(native.verify(key, params.name === "ECDSA" ? ECDSA : EDDSA, hashNumber(params.hash), 0, data,
            signature));
    },

    deriveBits(params, key, length) {
        requirePrivate(key);
        requirePeer(key, params.public);
        return head(done(native.agree(key, params.public)), length);
    },

    generateKey(params, extractable, usages) {
        const allowed = usagesOf(params.name);
        requireUsages(usages, allowed.both);
        if (!isCurve(params)) {
            throw notSupported(`"${params.namedCurve}" is no curve.`);
        }
        return generate(kinds[curveOf(params)], usages, allowed, extractable, algorithmOf(params));
    },

    importKey(format, data, params, extractable, usages) {
        requireFormat(format, FORMATS);
        const type = isPrivateFormat(format, data) ? "private" : "public";
        requireUsages(usages, usagesOf(params.name)[type]);
        if (!isCurve(params)) {
            throw dataError(`"${params.namedCurve}" is no curve.`);
        }
        const handle = format === "jwk" ? jwkHandle(data, params, extractable, usages) :
            fromBytes(kinds[curveOf(params)], format, data);
        return makeKey(handle, type, extractable, algorithmOf(params)(), usages);
    },

    exportKey(format, key) {
        requireFormat(format, FORMATS);
        if (format !== "jwk") {
            return toBytesOf(format, key);
        }
        const algorithm = keyAlgorithm(key);
        const { name } = algorithm;
        return toJwkOf({
            __proto__: null, kty: isWeierstrass(name) ? "EC" : "OKP", crv: curveOf(algorithm),
            alg: isSigning(name) && !isWeierstrass(name) ? name : undefined,
        }, key, parts(name, keyType(key) === "private"));
    },
};
