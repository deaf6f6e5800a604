// SPDX-License-Identifier: Apache-2.0
//
// Exceptions that are made where none of the tenant's code runs, as in an entry that brings the end of a fetch, and get the stack of the code
// that waits for them: V8 follows the promises of async functions.
import { ErrorCaptureStackTrace, Promise, WeakSet, WeakSetPrototypeAdd, WeakSetPrototypeDelete, isObject } from "./primordials.js";

let placeless; // exceptions that nobody has waited for yet

// Notes that an exception of this layer has no place yet; returns it.
export function withoutPlace(error) {
    WeakSetPrototypeAdd(placeless ??= new WeakSet(), error);
    return error;
}

// Gives an exception without a place the stack of the code that runs; returns it. Any other value stays as it is.
export function atPlace(error) {
    if (placeless !== undefined && isObject(error) && WeakSetPrototypeDelete(placeless, error)) {
        try {
            ErrorCaptureStackTrace(error, atPlace);
        } catch {
            // The tenant has frozen it.
        }
    }
    return error;
}

// Returns a promise for the tenant. start(take, fail) is called at once; take(convert): it is fulfilled with what convert returns, or rejected with what
// that throws; fail(error): it is rejected. The exception has the place of the code that waits.
export async function waitFor(start) {
    let given;
    let wake;
    const take = (convert) => {
        given ??= convert;
        if (wake !== undefined) {
            wake();
        }
    };
    start(take, (error) => take(() => {
        throw atPlace(error);
    }));
    if (given === undefined) {
        await new Promise((resolve) => {
            wake = resolve;
        });
    }
    return given();
}
