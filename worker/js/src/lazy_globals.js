// SPDX-License-Identifier: Apache-2.0
//
// Globals whose code is evaluated when a tenant first looks at one of them: a folder of src/ for each library, which is
// imported as "lazy:" (build.mjs). README.md says how to make a part lazy.
import { load as loadCompression } from "lazy:./compression/main.js";
import { cryptoLibrary, subtleLibrary } from "./crypto.js";
import { lazy } from "./native.js";

let compression;
const compressionLibrary = () => (compression ??= loadCompression());

// Name of a property that lazy() has made, and the library that has its value.
const libraries = {
    __proto__: null,
    CompressionStream: compressionLibrary,
    Crypto: cryptoLibrary,
    CryptoKey: subtleLibrary,
    DecompressionStream: compressionLibrary,
    DigestStream: subtleLibrary, // a property of crypto
    QuotaExceededError: subtleLibrary,
    SubtleCrypto: subtleLibrary,
};

const globals = [
    "CompressionStream", "Crypto", "CryptoKey", "DecompressionStream", "QuotaExceededError", "SubtleCrypto",
];

// The entry for the properties that lazy() has made.
export const loadLazy = (name) => libraries[name]()[name];

// Called once, while the snapshot is made.
export function defineLazyGlobals() {
    for (let i = 0; i < globals.length; i++) {
        lazy(globalThis, globals[i]);
    }
}
