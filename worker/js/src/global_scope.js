// SPDX-License-Identifier: Apache-2.0
//
// The global scope as a target of events: addEventListener and its kin as global functions, and the
// dispatch of fetch events to what a module of service-worker syntax has registered.
import { newList } from "./primordials.js";
import { EventTarget, dispatch, dispatchUntrusted, targetListeners } from "./event_target.js";
import { requireArguments } from "./webidl.js";

// Listeners of the global scope. Tenants see the global object as target, never this.
const scope = new EventTarget();
const { addEventListener, removeEventListener } = EventTarget.prototype;
const add = addEventListener.bind(scope);
const remove = removeEventListener.bind(scope);
const global = globalThis;

export const scopeFunctions = {
    addEventListener(type, callback, options = undefined) {
        requireArguments(arguments.length, 2, "addEventListener");
        add(type, callback, options);
    },
    removeEventListener(type, callback, options = undefined) {
        requireArguments(arguments.length, 2, "removeEventListener");
        remove(type, callback, options);
    },
    dispatchEvent(event) {
        requireArguments(arguments.length, 1, "dispatchEvent");
        return dispatchUntrusted(scope, event, global);
    },
};

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
    dispatch(scope, event, global, (error) => {
        errors[errors.length] = error;
    });
    return errors;
}
