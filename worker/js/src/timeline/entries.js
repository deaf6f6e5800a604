// SPDX-License-Identifier: Apache-2.0
//
// PerformanceEntry, PerformanceMark and PerformanceMeasure (Performance Timeline, User Timing).
import { elapsed } from "../clock.js";
import { cloneWithTransfer } from "../clone.js";
import { ObjectDefineProperty, Symbol, TypeError } from "../primordials.js";
import { defineInterface, requireArguments, toDOMString, toDictionary, toDouble } from "../webidl.js";

export const internal = Symbol("internal");
export let entryName;
export let entryType;
export let entryStart;

const PerformanceEntry = class {
    #name;
    #type;
    #start;
    #duration;

    constructor(token = undefined, name = undefined, type = undefined, start = undefined, duration = undefined) {
        if (token !== internal) {
            throw new TypeError("PerformanceEntry: Illegal constructor");
        }
        this.#name = name;
        this.#type = type;
        this.#start = start;
        this.#duration = duration;
    }

    get name() {
        return this.#name;
    }
    get entryType() {
        return this.#type;
    }
    get startTime() {
        return this.#start;
    }
    get duration() {
        return this.#duration;
    }
    toJSON() {
        const json = {
            __proto__: null, name: this.#name, entryType: this.#type, startTime: this.#start, duration: this.#duration,
        };
        const result = {};
        for (const name in json) {
            put(result, name, json[name]);
        }
        return result;
    }

    static {
        entryName = (entry) => entry.#name;
        entryType = (entry) => entry.#type;
        entryStart = (entry) => entry.#start;
    }
};
defineInterface(PerformanceEntry, "PerformanceEntry");

function put(object, name, value) {
    ObjectDefineProperty(object, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
}

const cloneDetail = (detail) => (detail === undefined || detail === null ? null : cloneWithTransfer(detail, undefined).value);

const PerformanceMark = class extends PerformanceEntry {
    #detail;

    constructor(markName, markOptions = undefined) {
        requireArguments(arguments.length, 1, "PerformanceMark");
        const name = toDOMString(markName);
        const { detail, startTime } = toDictionary(markOptions, "PerformanceMark") ?? { __proto__: null };
        const start = startTime === undefined ? elapsed() : toDouble(startTime, "PerformanceMark: startTime");
        if (start < 0) {
            throw new TypeError("PerformanceMark: startTime is negative.");
        }
        super(internal, name, "mark", start, 0);
        this.#detail = cloneDetail(detail);
    }

    get detail() {
        return this.#detail;
    }
    toJSON() {
        const detail = this.#detail;
        const json = super.toJSON();
        put(json, "detail", detail);
        return json;
    }
};

const PerformanceMeasure = class extends PerformanceEntry {
    #detail;

    constructor(token = undefined, name = undefined, start = undefined, duration = undefined, detail = undefined) {
        if (token !== internal) {
            throw new TypeError("PerformanceMeasure: Illegal constructor");
        }
        super(internal, name, "measure", start, duration);
        this.#detail = cloneDetail(detail);
    }

    get detail() {
        return this.#detail;
    }
    toJSON() {
        const detail = this.#detail;
        const json = super.toJSON();
        put(json, "detail", detail);
        return json;
    }
};
defineInterface(PerformanceMark, "PerformanceMark");
defineInterface(PerformanceMeasure, "PerformanceMeasure");

export { PerformanceEntry, PerformanceMark, PerformanceMeasure };
