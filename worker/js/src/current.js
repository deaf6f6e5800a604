// SPDX-License-Identifier: Apache-2.0
//
// The requests that are in the isolate, and the one whose code runs.
import { frame } from "./native.js";
import { requestOf } from "./frame.js";
import { newList } from "./primordials.js";

// Calls of calls.js, by the slots of their requests: an id is a count, times 1024, plus the slot, which no other request
// has meanwhile. A Map would be made anew each time that its last request leaves.
const calls = newList();
const slotOf = (id) => id & 1023;

let current; // the Call whose entry runs

export function setCurrent(call) {
    current = call;
}

export function forgetCurrent(call) {
    if (current === call) {
        current = undefined;
    }
}

// Adds a request whose entry runs.
export function addCall(call) {
    calls[slotOf(call.id)] = call;
    current = call;
}

// Finds a request; undefined if it is not in the isolate.
export function findCall(id) {
    const call = calls[slotOf(id)];
    return call !== undefined && call.id === id ? call : undefined;
}

export function removeCall(call) {
    const slot = slotOf(call.id);
    if (calls[slot] === call) {
        calls[slot] = undefined;
    }
}

// Returns the Call whose code runs, undefined for module code. In the entry of one request a
// continuation of another may run: its work counts for that other one, unless that is over.
export function currentCall() {
    const id = requestOf(frame());
    return id === 0 ? undefined : findCall(id) ?? current;
}
