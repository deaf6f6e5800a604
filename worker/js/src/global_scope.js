// SPDX-License-Identifier: Apache-2.0
//
// The global object as a target of events: what it inherits from EventTarget, its event handler attributes, and the dispatch
// of fetch events to what a module of service-worker syntax has registered.
import { ObjectSetPrototypeOf, newList } from "./primordials.js";
import {
    EventTarget, defineHandler, dispatch, requireGlobal, scope, targetListeners,
} from "./event_target.js";

// Called once, while the snapshot is made.
export function defineScope() {
    ObjectSetPrototypeOf(globalThis, EventTarget.prototype);
    defineHandler(globalThis, "error", requireGlobal);
    defineHandler(globalThis, "rejectionhandled", requireGlobal);
    defineHandler(globalThis, "unhandledrejection", requireGlobal);
}

// The first listener for fetch: a function, or an object with handleEvent; undefined without any.
export function findFetchListener() {
    const listeners = targetListeners(scope);
    for (let i = 0; listeners !== undefined && i < listeners.length; i++) {
        if (listeners[i].type === "fetch") {
            return listeners[i].callback;
        }
    }
    return undefined;
}

// Returns a list of what the listeners have thrown.
export function dispatchToScope(event) {
    const errors = newList();
    dispatch(scope, event, (error) => {
        errors[errors.length] = error;
    });
    return errors;
}
