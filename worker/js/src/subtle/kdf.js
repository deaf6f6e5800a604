// SPDX-License-Identifier: Apache-2.0
//
// HKDF and PBKDF2. Their keys are bytes that nothing but a derivation reads.
import { requireFormat, requireUsages } from "./checks.js";
import { operationError, syntaxError } from "./errors.js";
import { makeKey } from "./key.js";
import { done, native } from "./native.js";
import { hashNumber } from "./registry.js";

export const kdf = {
    __proto__: null,
    keyLength: () => null,

    deriveBits(params, key, length) {
        if (length === null || (length & 7) !== 0) {
            throw operationError("The length must be a multiple of 8.");
        }
        if (params.iterations === 0) {
            throw operationError("There must be at least one iteration.");
        }
        const hash = hashNumber(params.hash);
        const size = length / 8;
        return done(params.name === "HKDF" ? native.hkdf(hash, key, size, params.salt, params.info) :
            native.pbkdf2(hash, key, size, params.salt, params.iterations));
    },

    importKey(format, data, params, extractable, usages) {
        requireFormat(format, ["raw"]);
        requireUsages(usages, ["deriveKey", "deriveBits"]);
        if (extractable) {
            throw syntaxError("A key of this kind cannot be extractable.");
        }
        return makeKey(done(native.newSecret(data)), "secret", false, { __proto__: null, name: params.name },
            usages);
    },
};
