// SPDX-License-Identifier: Apache-2.0
//
// Exceptions that no tenant code catches: from listeners, timers, queueMicrotask and promises. The global object has an event
// for each; what no listener cancels goes to the tenant's log, and never ends a request.
import { log } from "./native.js";
import { ErrorEvent, PromiseRejectionEvent, trustedEvents } from "./event.js";
import { dispatch, hasListener, scope } from "./event_target.js";
import { describeError, placeOf } from "./inspect.js";

const ERROR = 3;

let isReporting = false;

export function logException(error, prefix = "Uncaught ") {
    log(ERROR, prefix + describeError(error));
}

// Reports an exception (HTML).
export function reportException(error) {
    if (isReporting || !hasListener(scope, "error") || dispatchError(error)) {
        logException(error);
    }
}

// Returns false if a listener has cancelled the event.
function dispatchError(error) {
    isReporting = true;
    try {
        const { message, filename, lineno, colno } = placeOf(error);
        return dispatch(scope, new ErrorEvent(trustedEvents, {
            __proto__: null, type: "error", cancelable: true, message, filename, lineno, colno, error,
        }));
    } finally {
        isReporting = false;
    }
}

const dispatchRejection = (type, cancelable, promise, reason) =>
    dispatch(scope, new PromiseRejectionEvent(trustedEvents, {
        __proto__: null, type, cancelable, promise, reason,
    }));

// HTML's "notify about rejected promises", and the other way round.
export function onRejection(promise, reason, handled) {
    if (!handled) {
        if (!hasListener(scope, "unhandledrejection") ||
            dispatchRejection("unhandledrejection", true, promise, reason)) {
            logException(reason, "Uncaught (in promise) ");
        }
    } else if (hasListener(scope, "rejectionhandled")) {
        dispatchRejection("rejectionhandled", false, promise, reason);
    }
}
