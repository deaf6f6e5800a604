// SPDX-License-Identifier: Apache-2.0
//
// The globals of Web Crypto. Nothing behind them is evaluated before a tenant first uses one of them: not even their classes.
import { load } from "lazy:./crypto/interfaces.js";
import { lazy } from "./native.js";
import { ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, TypeError } from "./primordials.js";

let library;

const interfaces = () => (library ??= load());

const global = globalThis; // a tenant may put another object there

const holder = {
    get crypto() {
        if (this !== undefined && this !== null && this !== global) {
            throw new TypeError("Illegal invocation");
        }
        return interfaces().crypto;
    },
};

// The entry for the properties that lazy() has made.
export const loadCrypto = (name) => interfaces()[name];

// Called once, while the snapshot is made.
export function defineCrypto() {
    lazy(globalThis, "Crypto");
    lazy(globalThis, "CryptoKey");
    lazy(globalThis, "QuotaExceededError");
    lazy(globalThis, "SubtleCrypto");
    ObjectDefineProperty(globalThis, "crypto", {
        __proto__: null, ...ObjectGetOwnPropertyDescriptor(holder, "crypto"),
    });
}
