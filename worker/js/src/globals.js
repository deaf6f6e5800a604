// SPDX-License-Identifier: Apache-2.0
//
// The functions and small objects of the global scope that have no file of their own: performance,
// navigator, queueMicrotask, reportError.
import { load as loadTimeline } from "lazy:./timeline/main.js";
import { FunctionPrototypeCall, Promise, PromisePrototypeThen, TypeError } from "./primordials.js";
import { elapsed, timeOrigin } from "./clock.js";
import { EventTarget } from "./event_target.js";
import { reportException } from "./report.js";
import { defineInterface, requireArguments } from "./webidl.js";

const internal = Symbol("internal");

let timelineFolder;

// Returns what is behind marks and measures.
export const timeline = () => (timelineFolder ??= loadTimeline());

export class Performance extends EventTarget {
    #brand;

    constructor(token = undefined) {
        if (token !== internal) {
            throw new TypeError("Performance: Illegal constructor");
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

    // User Timing and the Performance Timeline
    mark(markName, markOptions = undefined) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 1, "Performance.mark");
        return timeline().mark(markName, markOptions);
    }
    clearMarks(markName = undefined) {
        this.#brand; // eslint-disable-line no-unused-expressions
        timeline().clearMarks(markName);
    }
    measure(measureName, startOrMeasureOptions = undefined, endMark = undefined) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 1, "Performance.measure");
        return timeline().measure(measureName, startOrMeasureOptions, endMark);
    }
    clearMeasures(measureName = undefined) {
        this.#brand; // eslint-disable-line no-unused-expressions
        timeline().clearMeasures(measureName);
    }
    getEntries() {
        this.#brand; // eslint-disable-line no-unused-expressions
        return timeline().getEntries();
    }
    getEntriesByType(type) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 1, "Performance.getEntriesByType");
        return timeline().getEntriesByType(type);
    }
    getEntriesByName(name, type = undefined) {
        this.#brand; // eslint-disable-line no-unused-expressions
        requireArguments(arguments.length, 1, "Performance.getEntriesByName");
        return timeline().getEntriesByName(name, type);
    }
}
defineInterface(Performance, "Performance");
export const performance = new Performance(internal);

export class Navigator {
    #brand;

    constructor(token = undefined) {
        if (token !== internal) {
            throw new TypeError("Navigator: Illegal constructor");
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
