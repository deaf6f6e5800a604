// SPDX-License-Identifier: Apache-2.0
//
// Replaces SharedArrayBuffer where a library names it (build.mjs injects this): tenants have none,
// but webidl-conversions takes its getters at start without asking.

export class SharedArrayBuffer {
    get byteLength() {
        throw new TypeError("there are no SharedArrayBuffers");
    }

    get growable() {
        throw new TypeError("there are no SharedArrayBuffers");
    }
}
