// SPDX-License-Identifier: Apache-2.0
//
// The global crypto, and the libraries behind the globals of Web Crypto. The code of each is evaluated when a tenant first looks
// at it: crypto with its random values by itself, because they are used more often, and crypto.subtle with the classes that
// belong to it.
import { load as loadCrypto } from "lazy:./crypto/crypto.js";
import { load as loadSubtle } from "lazy:./subtle/main.js";
import { ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, TypeError } from "./primordials.js";

let cryptoFolder;
let subtleFolder;

// Returns crypto and its class.
export const cryptoLibrary = () => (cryptoFolder ??= loadCrypto());

// Returns subtle and the classes that belong to it.
export const subtleLibrary = () => (subtleFolder ??= loadSubtle());

const global = globalThis; // a tenant may put another object there

const holder = {
    get crypto() {
        if (this !== undefined && this !== null && this !== global) {
            throw new TypeError("Illegal invocation");
        }
        return cryptoLibrary().crypto;
    },
};

// Called once, while the snapshot is made.
export function defineCrypto() {
    ObjectDefineProperty(globalThis, "crypto", {
        __proto__: null, ...ObjectGetOwnPropertyDescriptor(holder, "crypto"),
    });
}
