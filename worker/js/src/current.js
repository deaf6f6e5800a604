// SPDX-License-Identifier: Apache-2.0
//
// The request that runs now. Each entry sets it before it calls tenant code; microtasks of that
// entry still see it.

export let current;

export function setCurrent(call) {
    current = call;
}
