// SPDX-License-Identifier: Apache-2.0
//
// The time origin. Clocks are coarse, and stand still while JavaScript runs; now() never goes back, Date.now() may.
import { now } from "./native.js";
import { DateNow } from "./primordials.js";

// Set when the tenant's code starts: the snapshot must not carry the build machine's time. The isolate was made before that, so
// no time is 0.
let origin;
let originTime;

export function setTimeOrigin() {
    if (origin === undefined) {
        origin = now() - 1;
        originTime = DateNow() - 1;
    }
}

// Returns milliseconds since 1970.
export function timeOrigin() {
    setTimeOrigin();
    return originTime;
}

// Returns milliseconds since the time origin.
export function elapsed() {
    setTimeOrigin();
    return now() - origin;
}
