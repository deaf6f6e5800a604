// SPDX-License-Identifier: Apache-2.0
//
// The functions and small objects of the global scope that have no file of their own: performance,
// navigator, queueMicrotask, reportError.
import { FunctionPrototypeCall, Promise, PromisePrototypeThen, TypeError } from "./primordials.js";
import { elapsed, timeOrigin } from "./clock.js";
import { EventTarget } from "./event_target.js";
import { reportException } from "./report.js";
import { defineInterface, requireArguments } from "./webidl.js";

const internal = Symbol("internal");

export class Performance extends EventTarget {
    #brand;

    constructor() {
        if (arguments[0] !== internal) {
            throw new TypeError("Illegal constructor");
        }
        super();
    }
    now() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return elapsed();
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

    constructor() {
        if (arguments[0] !== internal) {
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
};
