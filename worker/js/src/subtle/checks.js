// SPDX-License-Identifier: Apache-2.0
//
// Checks that the algorithms of Web Crypto share.
import { notSupported, syntaxError } from "./errors.js";
import { has } from "./key.js";

export const requireUsages = (usages, allowed) => {
    for (let i = 0; i < usages.length; i++) {
        if (!has(allowed, usages[i])) {
            throw syntaxError(`A key of this kind cannot be for "${usages[i]}".`);
        }
    }
};

export const requireFormat = (format, known) => {
    if (!has(known, format)) {
        throw notSupported(`Keys of this kind have no format "${format}".`);
    }
};

// A secret or private key that is good for nothing.
export const requireSomeUsage = (usages) => {
    if (usages.length === 0) {
        throw syntaxError("A secret or private key must have a usage.");
    }
};
