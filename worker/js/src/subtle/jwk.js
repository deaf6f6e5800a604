// SPDX-License-Identifier: Apache-2.0
//
// JSON Web Keys (RFC 7517, RFC 7518): base64url, and the checks that all kinds of keys share.
import {
    StringPrototypeCharCodeAt, TypedArrayPrototypeGetByteLength, Uint8Array,
} from "../primordials.js";
import { dataError } from "./errors.js";
import { has } from "./key.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NONE = 255;
const digits = new Uint8Array(128);
for (let i = 0; i < 128; i++) {
    digits[i] = NONE;
}
for (let i = 0; i < 64; i++) {
    digits[StringPrototypeCharCodeAt(ALPHABET, i)] = i;
}

export const toBase64Url = (bytes) => {
    const size = TypedArrayPrototypeGetByteLength(bytes);
    let text = "";
    let bits = 0;
    let count = 0;
    for (let i = 0; i < size; i++) {
        bits = bits << 8 | bytes[i];
        for (count += 8; count >= 6;) {
            count -= 6;
            text += ALPHABET[bits >> count & 63];
        }
        bits &= 63;
    }
    return count === 0 ? text : text + ALPHABET[bits << 6 - count & 63];
};

// The bytes of a field that must be there.
export const fromBase64Url = (text, name) => {
    if (text === undefined) {
        throw dataError(`The key has no "${name}".`);
    }
    const rest = text.length % 4;
    const bytes = new Uint8Array((text.length - rest) / 4 * 3 + (rest === 0 ? 0 : rest - 1));
    let bits = 0;
    let count = 0;
    let bad = rest === 1;
    for (let i = 0, at = 0; i < text.length; i++) {
        const code = StringPrototypeCharCodeAt(text, i);
        const digit = code < 128 ? digits[code] : NONE;
        bad ||= digit === NONE;
        bits = (bits & 0x3f) << 6 | digit;
        if ((count += 6) >= 8) {
            count -= 8;
            bytes[at++] = bits >> count & 255;
        }
    }
    if (bad) {
        throw dataError(`"${name}" is not base64url.`);
    }
    return bytes;
};

const hasDuplicates = (list) => {
    for (let i = 0; i < list.length; i++) {
        for (let j = 0; j < i; j++) {
            if (list[i] === list[j]) {
                return true;
            }
        }
    }
    return false;
};

const covers = (list, usages) => {
    for (let i = 0; i < usages.length; i++) {
        if (!has(list, usages[i])) {
            return false;
        }
    }
    return true;
};

export const requireType = (jwk, kty) => {
    if (jwk.kty !== kty) {
        throw dataError(`The key's "kty" is not "${kty}".`);
    }
};

// use: what "use" must be, if it is there and the key will be used.
export const checkUse = (jwk, use, extractable, usages) => {
    if (usages.length > 0 && jwk.use !== undefined && jwk.use !== use) {
        throw dataError(`The key's "use" is not "${use}".`);
    }
    if (jwk.key_ops !== undefined && (hasDuplicates(jwk.key_ops) || !covers(jwk.key_ops, usages))) {
        throw dataError("The key's \"key_ops\" do not allow that.");
    }
    if (jwk.ext === false && extractable) {
        throw dataError("The key's \"ext\" is false.");
    }
};

// "alg", if it is there, must be as given; undefined: no key has one.
export const checkAlg = (jwk, alg) => {
    if (jwk.alg !== undefined && jwk.alg !== alg) {
        throw dataError(`The key's "alg" is not ${alg === undefined ? "known" : `"${alg}"`}.`);
    }
};
