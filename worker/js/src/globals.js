// SPDX-License-Identifier: Apache-2.0
//
// The functions and small objects of the global scope that have no file of their own: performance,
// navigator, queueMicrotask, structuredClone, reportError.
import { nativeStructuredClone, now } from "./native.js";
import {
    Error, FunctionPrototypeCall, Map, MapPrototypeHas, MapPrototypeSet, ObjectGetPrototypeOf,
    Promise, PromisePrototypeThen, TypeError,
    isArrayBuffer, isObject, newList,
} from "./primordials.js";
import { timeOrigin } from "./clock.js";
import { DOMException } from "./dom_exception.js";
import { EventTarget } from "./event_target.js";
import { reportException } from "./report.js";
import {
    defineInterface, forEachOf, iteratorMethod, requireArguments, toDictionary,
} from "./webidl.js";

const internal = Symbol("internal");

export class Performance extends EventTarget {
    #brand;

    constructor(token) {
        if (token !== internal) {
            throw new TypeError("Illegal constructor");
        }
        super();
    }
    now() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return now() - timeOrigin();
    }
    get timeOrigin() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return timeOrigin();
    }
    toJSON() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return { timeOrigin: timeOrigin() };
    }
}
defineInterface(Performance, "Performance");
export const performance = new Performance(internal);

export class Navigator {
    #brand;

    constructor(token) {
        if (token !== internal) {
            throw new TypeError("Illegal constructor");
        }
    }
    get userAgent() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return "skep";
    }
}
defineInterface(Navigator, "Navigator");
export const navigator = new Navigator(internal);

const resolved = Promise.resolve();

export const globalFunctions = {
    queueMicrotask(callback) {
        requireArguments(arguments.length, 1, "queueMicrotask");
        if (typeof callback !== "function") {
            throw new TypeError("queueMicrotask: parameter 1 is not a function.");
        }
        PromisePrototypeThen(resolved, () => {
            try {
                FunctionPrototypeCall(callback, undefined);
            } catch (error) {
                reportException(error);
            }
        });
    },
    reportError(error) {
        requireArguments(arguments.length, 1, "reportError");
        reportException(error);
    },
    structuredClone(value, options = undefined) {
        requireArguments(arguments.length, 1, "structuredClone");
        options = toDictionary(options, "structuredClone");
        const transfer = options === undefined ? undefined : toTransferList(options.transfer);
        try {
            return nativeStructuredClone(value, transfer);
        } catch (error) {
            throw isCloneFailure(error) ? new DOMException(error.message, "DataCloneError") : error;
        }
    },
};

function toTransferList(value) {
    if (value === undefined) {
        return undefined;
    }
    if (!isObject(value) || iteratorMethod(value) === undefined) {
        throw new TypeError("structuredClone: transfer is not a sequence.");
    }
    const list = newList();
    const seen = new Map();
    forEachOf(value, iteratorMethod(value), (item) => {
        if (!isObject(item)) {
            throw new TypeError("structuredClone: an item of transfer is not an object.");
        }
        if (MapPrototypeHas(seen, item)) {
            throw new DOMException("An object is in transfer twice.", "DataCloneError");
        }
        MapPrototypeSet(seen, item, true);
        if (!isArrayBuffer(item)) {
            throw new DOMException("An object in transfer cannot be transferred.",
                "DataCloneError");
        }
        list[list.length] = item;
    });
    return list.length === 0 ? undefined : list;
}

// True for the plain Error that the native throws if a value cannot be cloned; a getter's own
// exception is passed on.
function isCloneFailure(error) {
    return isObject(error) && ObjectGetPrototypeOf(error) === Error.prototype &&
        !("cause" in error);
}
