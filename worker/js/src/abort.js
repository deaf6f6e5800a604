// SPDX-License-Identifier: Apache-2.0
//
// AbortController and AbortSignal (DOM), with AbortSignal.abort, timeout and any.
import {
    Set, SetPrototypeAdd, SetPrototypeDelete, SetPrototypeForEach, TypeError,
    isObject, newList,
} from "./primordials.js";
import { DOMException } from "./dom_exception.js";
import { createEvent } from "./event.js";
import { EventTarget, defineHandler, dispatch, targetListeners } from "./event_target.js";
import { startTimer } from "./timers.js";
import {
    defineInterface, forEachOf, iteratorMethod, requireArguments, toUnsignedLongLongEnforced,
} from "./webidl.js";

const internal = Symbol("internal");

export let isAbortSignal;
export let isAborted;
export let abortReason;
// onAbort(signal, algorithm) runs algorithm once when the signal aborts; offAbort takes it back.
export let onAbort;
export let offAbort;
export let abortSignal;
let isDependent;
let sourcesOf;
let dependOn;
let takeAlgorithms;

export class AbortSignal extends EventTarget {
    #aborted = false;
    #reason;
    #algorithms;
    #dependent = false;
    #sources;
    #dependents;

    constructor(token) {
        if (token !== internal) {
            throw new TypeError("Illegal constructor");
        }
        super();
    }

    static abort(reason = undefined) {
        const signal = new AbortSignal(internal);
        signal.#aborted = true;
        signal.#reason = reason === undefined ? abortError() : reason;
        return signal;
    }

    static timeout(milliseconds) {
        requireArguments(arguments.length, 1, "AbortSignal.timeout");
        milliseconds = toUnsignedLongLongEnforced(milliseconds, "AbortSignal.timeout");
        const signal = new AbortSignal(internal);
        startTimer(milliseconds, false, () => {
            abortSignal(signal,
                new DOMException("The operation was aborted due to timeout", "TimeoutError"));
        });
        return signal;
    }

    static any(signals) {
        requireArguments(arguments.length, 1, "AbortSignal.any");
        return anyOf(signals);
    }

    get aborted() {
        return this.#aborted;
    }

    get reason() {
        return this.#reason;
    }

    throwIfAborted() {
        if (this.#aborted) {
            throw this.#reason;
        }
    }

    static {
        isAbortSignal = (value) => isObject(value) && #aborted in value;
        isAborted = (signal) => signal.#aborted;
        abortReason = (signal) => signal.#reason;
        isDependent = (signal) => signal.#dependent;
        sourcesOf = (signal) => signal.#sources;
        onAbort = (signal, algorithm) => {
            if (!signal.#aborted) {
                SetPrototypeAdd(signal.#algorithms ??= new Set(), algorithm);
            }
        };
        offAbort = (signal, algorithm) => {
            if (signal.#algorithms !== undefined) {
                SetPrototypeDelete(signal.#algorithms, algorithm);
            }
        };
        dependOn = (signal, sources) => {
            signal.#dependent = true;
            signal.#sources = sources;
            SetPrototypeForEach(sources, (source) => {
                SetPrototypeAdd(source.#dependents ??= new Set(), signal);
            });
        };
        abortSignal = (signal, reason) => {
            if (signal.#aborted) {
                return;
            }
            signal.#aborted = true;
            signal.#reason = reason === undefined ? abortError() : reason;
            const dependents = newList();
            if (signal.#dependents !== undefined) {
                SetPrototypeForEach(signal.#dependents, (dependent) => {
                    if (!dependent.#aborted) {
                        dependent.#aborted = true;
                        dependent.#reason = signal.#reason;
                        dependents[dependents.length] = dependent;
                    }
                });
                signal.#dependents = undefined;
            }
            runAbortSteps(signal);
            for (let i = 0; i < dependents.length; i++) {
                runAbortSteps(dependents[i]);
            }
        };
        takeAlgorithms = (signal) => {
            const algorithms = signal.#algorithms;
            signal.#algorithms = undefined;
            signal.#sources = undefined;
            return algorithms;
        };
    }
}

function abortError() {
    return new DOMException("This operation was aborted", "AbortError");
}

function runAbortSteps(signal) {
    const algorithms = takeAlgorithms(signal);
    if (algorithms !== undefined) {
        SetPrototypeForEach(algorithms, (algorithm) => algorithm());
    }
    dispatch(signal, createEvent("abort", false));
}

function anyOf(signals) {
    if (!isObject(signals) || iteratorMethod(signals) === undefined) {
        throw new TypeError("AbortSignal.any: parameter 1 is not a sequence.");
    }
    const list = newList();
    forEachOf(signals, iteratorMethod(signals), (signal) => {
        if (!isAbortSignal(signal)) {
            throw new TypeError("AbortSignal.any: an item is not of type 'AbortSignal'.");
        }
        list[list.length] = signal;
    });
    return anyOfList(list);
}

function anyOfList(list) {
    const result = createSignal();
    for (let i = 0; i < list.length; i++) {
        if (isAborted(list[i])) {
            abortSignal(result, abortReason(list[i]));
            return result;
        }
    }
    const sources = new Set();
    for (let i = 0; i < list.length; i++) {
        if (isDependent(list[i])) {
            SetPrototypeForEach(sourcesOf(list[i]), (source) => SetPrototypeAdd(sources, source));
        } else {
            SetPrototypeAdd(sources, list[i]);
        }
    }
    dependOn(result, sources);
    return result;
}

export function createSignal() {
    return new AbortSignal(internal);
}

// A signal that aborts when source does, or has already.
export function followSignal(source) {
    const list = newList();
    list[0] = source;
    return anyOfList(list);
}

defineInterface(AbortSignal, "AbortSignal");
defineHandler(AbortSignal.prototype, "abort", (signal) => {
    if (!isAbortSignal(signal)) {
        throw new TypeError("Illegal invocation");
    }
    return targetListeners(signal);
});

export class AbortController {
    #signal = createSignal();

    get signal() {
        return this.#signal;
    }

    abort(reason = undefined) {
        abortSignal(this.#signal, reason);
    }
}
defineInterface(AbortController, "AbortController");
