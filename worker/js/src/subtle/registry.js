// SPDX-License-Identifier: Apache-2.0
//
// The algorithms of Web Crypto: which operations each has, with which parameters, and its code. And the standard's "normalize an algorithm".
import { head, isLatin1 } from "../native.js";
import { StringPrototypeToLowerCase, TypeError, isObject } from "../primordials.js";
import { toText } from "../webidl.js";
import { aes } from "./aes.js";
import { HASH, KEY, dictionaries as d, toAlgorithmIdentifier } from "./convert.js";
import { curves } from "./curves.js";
import { notSupported } from "./errors.js";
import { hmac } from "./hmac.js";
import { kdf } from "./kdf.js";
import { toKey } from "./key.js";
import { rsa } from "./rsa.js";

const MAX_NAME = 32; // no algorithm has a longer one

const hash = { __proto__: null, digest: d.None };
const cipher = (params) => ({
    __proto__: null, encrypt: params, decrypt: params, generateKey: d.AesKeyGenParams, importKey: d.None,
    keyLength: d.AesKeyGenParams,
});

const rsaKeys = { __proto__: null, generateKey: d.RsaHashedKeyGenParams, importKey: d.HashParams };
const ecKeys = { __proto__: null, generateKey: d.EcKeyParams, importKey: d.EcKeyParams };
const okpKeys = { __proto__: null, generateKey: d.None, importKey: d.None };
const signatures = { __proto__: null, ...okpKeys, sign: d.None, verify: d.None };
const agreement = { __proto__: null, ...okpKeys, deriveBits: d.EcdhKeyDeriveParams };
const derivation = (params) => ({
    __proto__: null, importKey: d.None, deriveBits: params, keyLength: d.None,
});

const table = [
    ["SHA-1", undefined, hash],
    ["SHA-256", undefined, hash],
    ["SHA-384", undefined, hash],
    ["SHA-512", undefined, hash],
    ["SHA3-256", undefined, hash],
    ["SHA3-384", undefined, hash],
    ["SHA3-512", undefined, hash],
    ["HMAC", hmac, {
        __proto__: null, sign: d.None, verify: d.None, generateKey: d.HmacKeyParams, importKey: d.HmacKeyParams,
        keyLength: d.HmacKeyParams,
    }],
    ["AES-CBC", aes, cipher(d.AesCbcParams)],
    ["AES-CTR", aes, cipher(d.AesCtrParams)],
    ["AES-GCM", aes, cipher(d.AesGcmParams)],
    ["AES-KW", aes, {
        __proto__: null, wrapKey: d.None, unwrapKey: d.None, generateKey: d.AesKeyGenParams,
        importKey: d.None, keyLength: d.AesKeyGenParams,
    }],
    ["HKDF", kdf, derivation(d.HkdfParams)],
    ["PBKDF2", kdf, derivation(d.Pbkdf2Params)],
    ["RSASSA-PKCS1-v1_5", rsa, { __proto__: null, ...rsaKeys, sign: d.None, verify: d.None }],
    ["RSA-PSS", rsa, { __proto__: null, ...rsaKeys, sign: d.RsaPssParams, verify: d.RsaPssParams }],
    ["RSA-OAEP", rsa, { __proto__: null, ...rsaKeys, encrypt: d.RsaOaepParams, decrypt: d.RsaOaepParams }],
    ["ECDSA", curves, { __proto__: null, ...ecKeys, sign: d.HashParams, verify: d.HashParams }],
    ["ECDH", curves, { __proto__: null, ...ecKeys, deriveBits: d.EcdhKeyDeriveParams }],
    ["Ed25519", curves, signatures],
    ["Ed448", curves, signatures],
    ["X25519", curves, agreement],
    ["X448", curves, agreement],
];

const algorithms = { __proto__: null };
for (let i = 0; i < table.length; i++) {
    algorithms[StringPrototypeToLowerCase(table[i][0])] = {
        __proto__: null, name: table[i][0], family: table[i][1], operations: table[i][2],
    };
}

// Numbers of the natives.
const hashes = {
    __proto__: null, "SHA-1": 0, "SHA-256": 1, "SHA-384": 2, "SHA-512": 3, "SHA3-256": 4,
    "SHA3-384": 5, "SHA3-512": 6,
};
export const hashNumber = (name) => hashes[name];

// The code of the algorithm with that name, which the registry has.
export const familyOf = (name) => algorithms[StringPrototypeToLowerCase(name)].family;

const required = (value, label) => {
    if (value === undefined) {
        throw new TypeError(`${label} is required.`);
    }
    return value;
};

const convert = (member, value, label) => {
    if (member.convert === HASH) {
        return normalize("digest", toAlgorithmIdentifier(value)).name;
    }
    return member.convert === KEY ? toKey(value, label) : member.convert(value, label);
};

// The parameters of identifier, an object or a string, for the operation; with another name if the first is not one of the
// algorithm's: {name, operation, …}, of which a member that is not given is undefined.
export const normalize = (operation, identifier, other = undefined) => {
    const given = isObject(identifier) ? identifier : { __proto__: null, name: identifier };
    const name = toText(required(given.name, "algorithm.name"));
    const algorithm = name.length <= MAX_NAME && isLatin1(name) ? algorithms[StringPrototypeToLowerCase(name)] : undefined;
    let members = algorithm?.operations[operation];
    if (members === undefined && other !== undefined) {
        operation = other;
        members = algorithm?.operations[other];
    }
    if (members === undefined) {
        throw notSupported(`${head(name, MAX_NAME)} is no algorithm for ${operation}.`);
    }
    const params = { __proto__: null, name: algorithm.name, operation };
    for (let i = 0; i < members.length; i++) {
        const member = members[i];
        const label = `algorithm.${member.name}`;
        const value = given[member.name];
        params[member.name] = value === undefined && !member.isRequired ? undefined :
            convert(member, required(value, label), label);
    }
    return params;
};
