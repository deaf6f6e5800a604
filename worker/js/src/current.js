// SPDX-License-Identifier: Apache-2.0
//
// The requests that are in the isolate, and the one whose code runs.
import { owner } from "./native.js";
import { Map, MapPrototypeGet } from "./primordials.js";

export const calls = new Map(); // id to Call, of calls.js

let current; // whose entry runs

export function setCurrent(call) {
    current = call;
}

export function forgetCurrent(call) {
    if (current === call) {
        current = undefined;
    }
}

// Undefined for module code. In the entry of one request a continuation of another may run: what it
// does is that one's, unless it is over.
export function currentCall() {
    const id = owner();
    return id === 0 ? undefined : MapPrototypeGet(calls, id) ?? current;
}
