// SPDX-License-Identifier: Apache-2.0
//
// The methods of performance that mark and measure (User Timing), and their classes: evaluated when a tenant first uses one.
// provide(): build.mjs.
import { elapsed } from "../clock.js";
import { domException } from "../dom_exception.js";
import { TypeError, isObject } from "../primordials.js";
import { toDOMString, toDouble } from "../webidl.js";
import { addEntry, buffered, clearEntries, findMark } from "./buffer.js";
import {
    PerformanceEntry, PerformanceMark, PerformanceMeasure, entryStart, internal,
} from "./entries.js";
import { PerformanceObserver, PerformanceObserverEntryList, announce } from "./observer.js";

const optional = (value) => (value === undefined ? undefined : toDOMString(value));

// Converts a (DOMString or DOMHighResTimeStamp).
const toMark = (value) => (typeof value === "number" ? toDouble(value, "measure") : toDOMString(value));

function timeOf(mark) {
    if (typeof mark === "number") {
        if (mark < 0) {
            throw new TypeError("measure: a time is negative.");
        }
        return mark;
    }
    const found = findMark(mark);
    if (found === undefined) {
        throw domException(`measure: there is no mark "${mark}".`, "SyntaxError");
    }
    return entryStart(found);
}

function add(entry) {
    addEntry(entry);
    announce(entry);
    return entry;
}

const mark = (name, options) => add(new PerformanceMark(name, options));

// The members of PerformanceMeasureOptions; undefined if there are none.
function toOptions(value) {
    const { detail, duration, end, start } = value;
    const options = {
        __proto__: null, detail, duration: duration === undefined ? undefined : toDouble(duration, "measure: duration"),
        end: end === undefined ? undefined : toMark(end), start: start === undefined ? undefined : toMark(start),
    };
    return detail === undefined && duration === undefined && end === undefined && start === undefined ? undefined : options;
}

function measure(measureName, startOrOptions, endMark) {
    const name = toDOMString(measureName);
    const isDictionary = startOrOptions === undefined || startOrOptions === null || isObject(startOrOptions);
    const options = isDictionary && isObject(startOrOptions) ? toOptions(startOrOptions) : undefined;
    const startMark = isDictionary ? undefined : toDOMString(startOrOptions);
    endMark = optional(endMark);
    if (options !== undefined) {
        if (endMark !== undefined) {
            throw new TypeError("measure: there is an endMark besides the options.");
        }
        if (options.start === undefined && options.end === undefined) {
            throw new TypeError("measure: the options have neither start nor end.");
        }
        if (options.start !== undefined && options.end !== undefined && options.duration !== undefined) {
            throw new TypeError("measure: the options have start, end and duration.");
        }
    }
    const { detail, duration, end: endOption, start: startOption } = options ?? { __proto__: null };
    const end = endMark !== undefined ? timeOf(endMark) : endOption !== undefined ? timeOf(endOption) :
        startOption !== undefined && duration !== undefined ? timeOf(startOption) + duration : elapsed();
    const start = startOption !== undefined ? timeOf(startOption) :
        duration !== undefined ? end - duration : startMark !== undefined ? timeOf(startMark) : 0;
    return add(new PerformanceMeasure(internal, name, start, end - start, detail));
}

provide({
    __proto__: null, PerformanceEntry, PerformanceMark, PerformanceMeasure, PerformanceObserver, PerformanceObserverEntryList,
    mark, measure,
    clearMarks: (name) => clearEntries("mark", optional(name)),
    clearMeasures: (name) => clearEntries("measure", optional(name)),
    getEntries: () => buffered(undefined, undefined),
    getEntriesByType: (type) => buffered(toDOMString(type), undefined),
    getEntriesByName(name, type) {
        name = toDOMString(name);
        return buffered(optional(type), name);
    },
});
