// SPDX-License-Identifier: Apache-2.0
//
// The time origin. The clock is the native one: coarse, and frozen while JavaScript runs.
import { now } from "./native.js";

// Set when the tenant's module starts: the snapshot must not carry the build machine's time.
let origin = 0;

export function setTimeOrigin() {
    origin = now();
}

export function timeOrigin() {
    return origin;
}
