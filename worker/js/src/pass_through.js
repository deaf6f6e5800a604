// SPDX-License-Identifier: Apache-2.0
//
// passThroughOnException, of contexts and of events: there is nothing behind skep that a request could pass to.
import { log } from "./native.js";

const WARN = 2;
let hasWarned = false;

// Says once in an isolate that the call has no effect.
export function warnPassThrough() {
    if (!hasWarned) {
        hasWarned = true;
        log(WARN, "passThroughOnException() has no effect: there is no origin behind skep; an exception is answered with 500");
    }
}
