// SPDX-License-Identifier: Apache-2.0
//
// Conversions of Web IDL that Web Crypto needs: buffers, integers, and dictionaries by tables of their members.
import {
    ArrayIsArray, JSONParse, MathTrunc, NumberIsFinite, ObjectHasOwn, TypeError, Uint8Array, bytesOf, isObject,
    isUint8Array, newList,
} from "../primordials.js";
import {
    forEachOf, isBufferSource, isResizable, iteratorMethod, toNumber, toText,
} from "../webidl.js";
import { isUsage } from "./key.js";

// Returns no bytes for a detached buffer: no array can be made over it.
const bytesLeft = (source) => {
    try {
        return bytesOf(source);
    } catch {
        return new Uint8Array(0);
    }
};

// BufferSource, as a Uint8Array over the same memory.
export const toBytes = (value, label) => {
    if (!isBufferSource(value)) {
        throw new TypeError(`${label} is not an ArrayBuffer or a view of one.`);
    }
    if (isResizable(value)) {
        throw new TypeError(`${label} is backed by a buffer that is resizable or shared.`);
    }
    return bytesLeft(value);
};

const toBigInteger = (value, label) => {
    if (!isUint8Array(value)) {
        throw new TypeError(`${label} is not a Uint8Array.`);
    }
    return toBytes(value, label);
};

// [EnforceRange]
const enforced = (most) => (value, label) => {
    const number = MathTrunc(toNumber(value));
    if (!NumberIsFinite(number) || number < 0 || number > most) {
        throw new TypeError(`${label} is not a number from 0 to ${most}.`);
    }
    return number + 0;
};

const octet = enforced(255);
const unsignedShort = enforced(65535);
export const toUnsignedLong = enforced(0xffffffff);

// (object or DOMString)
export const toAlgorithmIdentifier = (value) => isObject(value) ? value : toText(value);

export const toFormat = (value) => {
    const format = toText(value);
    if (format !== "raw" && format !== "pkcs8" && format !== "spki" && format !== "jwk") {
        throw new TypeError(`"${format}" is no format of keys.`);
    }
    return format;
};

// sequence<T>
export const toSequence = (value, label, each) => {
    const method = isObject(value) ? iteratorMethod(value) : undefined;
    if (method === undefined) {
        throw new TypeError(`${label} is not a sequence.`);
    }
    const list = newList();
    forEachOf(value, method, (item) => {
        list[list.length] = each(item);
    });
    return list;
};

const toUsage = (value) => {
    const usage = toText(value);
    if (!isUsage(usage)) {
        throw new TypeError(`"${usage}" is no usage of keys.`);
    }
    return usage;
};

export const toUsages = (value) => toSequence(value, "keyUsages", toUsage);

// Members of dictionaries, in the order in which they are read: name, conversion, and whether it must be there. A hash and a
// key are checked by the code of the algorithm.
const member = (name, convert, isRequired = true) => ({ __proto__: null, name, convert, isRequired });
export const HASH = "hash";
export const KEY = "key";
const length = (convert, isRequired) => member("length", convert, isRequired);
const iv = member("iv", toBytes);
const hash = member("hash", HASH);
const salt = member("salt", toBytes);
const namedCurve = member("namedCurve", toText);
const aesLength = [length(unsignedShort)];

export const dictionaries = {
    __proto__: null,
    None: [],
    AesCbcParams: [iv],
    AesCtrParams: [member("counter", toBytes), length(octet)],
    AesGcmParams: [member("additionalData", toBytes, false), iv, member("tagLength", octet, false)],
    AesKeyGenParams: aesLength,
    EcKeyParams: [namedCurve],
    EcdhKeyDeriveParams: [member("public", KEY)],
    HashParams: [hash],
    HkdfParams: [hash, member("info", toBytes), salt],
    HmacKeyParams: [hash, length(toUnsignedLong, false)],
    Pbkdf2Params: [hash, member("iterations", toUnsignedLong), salt],
    RsaHashedKeyGenParams: [member("modulusLength", toUnsignedLong), member("publicExponent", toBigInteger), hash],
    RsaOaepParams: [member("label", toBytes, false)],
    RsaPssParams: [member("saltLength", toUnsignedLong)],
};

// JsonWebKey
// unsigned long, of any number
export const toLength = (value) => {
    const number = MathTrunc(toNumber(value));
    return NumberIsFinite(number) ? number >>> 0 : 0;
};

const toStrings = (value) => toSequence(value, "key_ops", toText);
const toPrimes = (value) => toSequence(value, "oth", (item) => item);

const JWK_MEMBERS = [
    ["alg", toText], ["crv", toText], ["d", toText], ["dp", toText], ["dq", toText], ["e", toText],
    ["ext", (value) => !!value], ["k", toText], ["key_ops", toStrings], ["kty", toText], ["n", toText],
    ["oth", toPrimes], ["p", toText], ["q", toText], ["qi", toText], ["use", toText], ["x", toText],
    ["y", toText],
];

// A copy of a JsonWebKey that only this layer has.
export const toJwk = (value) => {
    if (!isObject(value) || isBufferSource(value)) {
        throw new TypeError("keyData is not a JsonWebKey.");
    }
    const jwk = { __proto__: null };
    for (let i = 0; i < JWK_MEMBERS.length; i++) {
        const name = JWK_MEMBERS[i][0];
        const item = value[name];
        if (item !== undefined) {
            jwk[name] = JWK_MEMBERS[i][1](item);
        }
    }
    return jwk;
};

// Returns a JsonWebKey of JSON text. A member that is missing does not come from a prototype of the
// tenant's either.
export const parseJwk = (text) => {
    const parsed = JSONParse(text);
    const jwk = { __proto__: null };
    for (let i = 0; i < JWK_MEMBERS.length; i++) {
        const name = JWK_MEMBERS[i][0];
        if (ObjectHasOwn(parsed, name)) {
            jwk[name] = ArrayIsArray(parsed[name]) ? toList(parsed[name]) :
                JWK_MEMBERS[i][1](parsed[name]);
        }
    }
    return jwk;
};

const toList = (array) => {
    const list = newList();
    for (let i = 0; i < array.length; i++) {
        list[i] = array[i];
    }
    return list;
};
