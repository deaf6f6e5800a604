// SPDX-License-Identifier: Apache-2.0
//
// Stand-ins for globals that tenants do not have (build.mjs injects them where a library names
// one): libraries take their methods or extend them at start, without asking.

export class SharedArrayBuffer {
    get byteLength() {
        throw new TypeError("there are no SharedArrayBuffers");
    }

    get growable() {
        throw new TypeError("there are no SharedArrayBuffers");
    }
}

// Holds on to its target: what a library keeps weakly lives as long as the isolate.
export class WeakRef {
    #target;

    constructor(target) {
        this.#target = target;
    }

    deref() {
        return this.#target;
    }
}

export class FinalizationRegistry {
    register() {}

    unregister() {
        return false;
    }
}
