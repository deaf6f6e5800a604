// SPDX-License-Identifier: Apache-2.0
//
// AbortController and AbortSignal (DOM), with AbortSignal.abort, timeout and any.
import {
    Set, SetPrototypeAdd, SetPrototypeDelete, SetPrototypeForEach, SetPrototypeGetSize, TypeError,
    isObject, newList,
} from "./primordials.js";
import { domException } from "./dom_exception.js";
import { createEvent } from "./event.js";
import {
    EventTarget, defineHandler, dispatch, removeListener, targetListeners,
} from "./event_target.js";
import { atPlace, withoutPlace } from "./place.js";
import { startTimer } from "./timers.js";
import { WeakList } from "./weak_list.js";
import {
    defineInterface, forEachOf, iteratorMethod, requireArguments, toUnsignedLongLongEnforced,
} from "./webidl.js";

// Lets derived interfaces make signals and controllers; no tenant has it.
export const internal = Symbol("internal");

export let isAbortSignal;
export let isAborted;
export let abortReason;
// onAbort(signal, algorithm) runs algorithm once when the signal aborts; offAbort takes it back.
export let onAbort;
export let offAbort;
export let abortSignal;
// removeOnAbort(signal, listener) removes the listener from its list when the signal aborts; the
// signal does not keep it.
export let removeOnAbort;
// onListeners(target) is called after each change of a target's listeners.
export let onListeners;
let isDependent;
let sourcesOf;
let dependOn;
let takeAlgorithms;
let takeRemovals;

export class AbortSignal extends EventTarget {
    #aborted = false;
    #reason;
    #algorithms;
    #dependent = false;
    #sources;
    // A source may live as long as the isolate, and have dependents in each request. A source keeps
    // those whose abort somebody would hear of (DOM, "garbage collection" of AbortSignal).
    #dependents; // WeakList
    #heard; // Set of dependents that have algorithms or listeners
    #removals; // WeakList of listeners that are removed when this signal aborts

    constructor(token = undefined) {
        if (token !== internal) {
            throw new TypeError("AbortSignal: Illegal constructor; use new AbortController().signal, AbortSignal.timeout() or AbortSignal.any()");
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
                withoutPlace(domException("The operation was aborted due to timeout", "TimeoutError")));
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
            throw atPlace(this.#reason);
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
                signal.#settle();
            }
        };
        offAbort = (signal, algorithm) => {
            if (signal.#algorithms !== undefined) {
                SetPrototypeDelete(signal.#algorithms, algorithm);
                signal.#settle();
            }
        };
        dependOn = (signal, sources) => {
            signal.#dependent = true;
            signal.#sources = sources;
            SetPrototypeForEach(sources, (source) => {
                WeakList.add(source.#dependents ??= new WeakList(), signal);
            });
        };
        removeOnAbort = (signal, listener) => {
            WeakList.add(signal.#removals ??= new WeakList(), listener);
        };
        onListeners = (target) => {
            if (isObject(target) && #dependent in target && target.#dependent) {
                target.#settle();
            }
        };
        abortSignal = (signal, reason) => {
            if (signal.#aborted) {
                return;
            }
            signal.#aborted = true;
            signal.#reason = reason === undefined ? abortError() : reason;
            const dependents = newList();
            if (signal.#dependents !== undefined) {
                const all = WeakList.all(signal.#dependents);
                for (let i = 0; i < all.length; i++) {
                    if (!all[i].#aborted) {
                        all[i].#aborted = true;
                        all[i].#reason = signal.#reason;
                        dependents[dependents.length] = all[i];
                    }
                }
                signal.#dependents = undefined;
                signal.#heard = undefined;
            }
            runAbortSteps(signal);
            for (let i = 0; i < dependents.length; i++) {
                runAbortSteps(dependents[i]);
            }
        };
        takeAlgorithms = (signal) => {
            const algorithms = signal.#algorithms;
            signal.#algorithms = undefined;
            signal.#forgetSources();
            return algorithms;
        };
        takeRemovals = (signal) => {
            const removals = signal.#removals;
            signal.#removals = undefined;
            return removals === undefined ? newList() : WeakList.all(removals);
        };
    }

    // Makes the sources keep this signal while somebody would hear of its abort.
    #settle() {
        if (!this.#dependent || this.#sources === undefined) {
            return;
        }
        const listeners = targetListeners(this);
        const isHeard = listeners !== undefined && listeners.length > 0 ||
            this.#algorithms !== undefined && SetPrototypeGetSize(this.#algorithms) > 0;
        SetPrototypeForEach(this.#sources, (source) => {
            if (isHeard) {
                SetPrototypeAdd(source.#heard ??= new Set(), this);
            } else if (source.#heard !== undefined) {
                SetPrototypeDelete(source.#heard, this);
            }
        });
    }

    // Forgets the sources once one of several has aborted: the others cannot change anything any
    // more.
    #forgetSources() {
        if (this.#sources !== undefined) {
            SetPrototypeForEach(this.#sources, (source) => {
                if (source.#heard !== undefined) {
                    SetPrototypeDelete(source.#heard, this);
                }
            });
            this.#sources = undefined;
        }
    }
}

function abortError() {
    return domException("This operation was aborted", "AbortError");
}

function runAbortSteps(signal) {
    const removals = takeRemovals(signal);
    for (let i = 0; i < removals.length; i++) {
        removeListener(removals[i]);
    }
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

// Returns a signal that aborts when source does, or has already.
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
    #signal;

    constructor(token = undefined, signal = undefined) {
        this.#signal = token === internal ? signal : createSignal();
    }

    get signal() {
        return this.#signal;
    }

    abort(reason = undefined) {
        abortSignal(this.#signal, reason);
    }
}
defineInterface(AbortController, "AbortController");
