// SPDX-License-Identifier: Apache-2.0
//
// Holds what all kinds of key pairs share: formats, usages of the halves, and the parts of JSON Web
// Keys.
import { TypedArrayPrototypeGetByteLength, Uint8Array } from "../primordials.js";
import { requireSomeUsage } from "./checks.js";
import { dataError, invalidAccess } from "./errors.js";
import { fromBase64Url, toBase64Url } from "./jwk.js";
import { isExtractable, keyType, keyUsages, makeKey, normalizeUsages } from "./key.js";
import { checked, done, native } from "./native.js";

// Numbers of the natives.
const formats = { __proto__: null, raw: 0, spki: 1, pkcs8: 2 };
const partNumber = { __proto__: null, n: 0, e: 1, d: 2, p: 3, q: 4, dp: 5, dq: 6, qi: 7, x: 8, y: 9 };

export const isPrivateFormat = (format, data) => format === "pkcs8" ||
    format === "jwk" && data.d !== undefined;

const imported = (result) => checked(result, "DataError", "The key is not one of that kind.");

// Imports a key from bytes in one of the formats.
export const fromBytes = (kind, format, data) => imported(
    native.pairImport(kind, formats[format], data));

// Imports a key from those fields of a JSON Web Key that are named.
export const fromJwk = (kind, jwk, names) => {
    const parts = { __proto__: null };
    for (let i = 0; i < names.length; i++) {
        const bytes = fromBase64Url(jwk[names[i]], names[i]);
        if (TypedArrayPrototypeGetByteLength(bytes) === 0) {
            throw dataError(`"${names[i]}" is empty.`);
        }
        parts[names[i]] = bytes;
    }
    return imported(native.pairFromParts(kind, parts.n, parts.e, parts.d, parts.p, parts.q, parts.dp, parts.dq,
        parts.qi, parts.x, parts.y));
};

export const partOf = (key, name) => new Uint8Array(done(native.pairPart(key, partNumber[name])));

// Raw, spki and pkcs8.
export const toBytesOf = (format, key) => {
    if (keyType(key) !== (format === "pkcs8" ? "private" : "public")) {
        throw invalidAccess(`A ${keyType(key)} key has no format "${format}".`);
    }
    return done(native.pairExport(key, formats[format]));
};

// jwk gets the parts that are named, and what all keys have.
export const toJwkOf = (jwk, key, names) => {
    for (let i = 0; i < names.length; i++) {
        jwk[names[i]] = toBase64Url(partOf(key, names[i]));
    }
    jwk.key_ops = keyUsages(key);
    jwk.ext = isExtractable(key);
    return jwk;
};

// Generates both halves: {publicKey, privateKey}. of(handle): the algorithm of the keys.
export const generate = (kind, usages, allowed, extractable, of, bits, e) => {
    requireSomeUsage(normalizeUsages(usages, allowed.private));
    const halves = done(native.pairGenerate(kind, bits, e));
    const privateHandle = halves[0];
    const publicHandle = halves[1];
    const algorithm = of(publicHandle);
    return {
        publicKey: makeKey(publicHandle, "public", true, algorithm,
            normalizeUsages(usages, allowed.public)),
        privateKey: makeKey(privateHandle, "private", extractable, algorithm,
            normalizeUsages(usages, allowed.private)),
    };
};
