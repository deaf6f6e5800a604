// SPDX-License-Identifier: Apache-2.0
//
// Exceptions that no tenant code catches: from listeners, timers, queueMicrotask and promises.
// They go to the tenant's log and never end a request.
import { log } from "./native.js";
import { describeError } from "./inspect.js";

const ERROR = 3;

export function logException(error, prefix = "Uncaught ") {
    log(ERROR, prefix + describeError(error));
}

export function reportException(error) {
    logException(error);
}

export function onRejection(promise, reason, handled) {
    if (!handled) {
        logException(reason, "Uncaught (in promise) ");
    }
}
