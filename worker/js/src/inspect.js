// SPDX-License-Identifier: Apache-2.0
//
// Values as text for logs, as Node's util.inspect shows them. Nothing here throws, whatever a
// tenant's getters, proxies and toString functions do.
import { locate } from "./native.js";
import { FinalizationRegistry, WeakRef } from "./lib/absent_globals.js";
import {
    ArrayIsArray, MathMin, ObjectDefineProperty, StringPrototypeCharCodeAt,
    StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice,
    SymbolPrototypeToString, isObject,
} from "./primordials.js";

export const MAX_TEXT = 8192;
const MAX_CAUSES = 5; // one may be its own cause
const MAX_ERRORS = 5;
const OWN_FRAME = "skep:js:"; // what skep-mksnapshot calls this script

let library;

// Loaded at first use: its code stays out of the snapshot's heap until a tenant logs an object.
export function inspectLibrary() {
    if (library === undefined) {
        library = withAbsentGlobals(() => require("node-inspect-extracted"));
    }
    return library;
}

// The library copies them from the global object, where tenants have none.
function withAbsentGlobals(load) {
    const absent = { __proto__: null, FinalizationRegistry, WeakRef };
    for (const name in absent) {
        if (name in globalThis) {
            delete absent[name]; // a tenant's own
            continue;
        }
        ObjectDefineProperty(globalThis, name, {
            __proto__: null, value: absent[name], configurable: true,
        });
    }
    try {
        return load();
    } finally {
        for (const name in absent) {
            delete globalThis[name];
        }
    }
}

export function cut(text) {
    return text.length > MAX_TEXT ? StringPrototypeSlice(text, 0, MAX_TEXT) + "…" : text;
}

export function inspect(value, options) {
    switch (typeof value) {
    case "string":
        if (options === undefined) {
            return value;
        }
        break;
    case "symbol":
        return SymbolPrototypeToString(value);
    case "number":
        return value === 0 && 1 / value < 0 ? "-0" : `${value}`;
    case "bigint":
        return `${value}n`;
    case "boolean":
    case "undefined":
        return `${value}`;
    }
    if (value === null) {
        return "null";
    }
    try {
        return `${inspectLibrary().inspect(value, options)}`;
    } catch {
        return typeof value === "function" ? "[Function]" : "[object that cannot be shown]";
    }
}

// Without the frames of this layer, which tell a tenant nothing.
function withoutOwnFrames(stack) {
    let text = "";
    for (let at = 0; at < stack.length;) {
        const newline = StringPrototypeIndexOf(stack, "\n", at);
        const end = newline < 0 ? stack.length : newline + 1;
        const line = StringPrototypeSlice(stack, at, end);
        if (!StringPrototypeIncludes(line, OWN_FRAME)) {
            text += line;
        }
        at = end;
    }
    const last = text.length - 1;
    return StringPrototypeCharCodeAt(text, last) === 10 ? StringPrototypeSlice(text, 0, last) : text;
}

// "Error: message", the place in the tenant's source with its line, the frames.
function describeOne(error) {
    if (!isObject(error)) {
        return `${inspect(error)} (not an Error: it has no stack)`;
    }
    try {
        const { stack } = error;
        if (typeof stack === "string" && stack !== "") {
            const text = cut(stack);
            const frames = StringPrototypeIndexOf(text, "\n    at ");
            const head = frames < 0 ? text : StringPrototypeSlice(text, 0, frames);
            const rest = frames < 0 ? "" : StringPrototypeSlice(text, frames);
            return withoutOwnFrames(head + locate(error, rest) + rest);
        }
    } catch {
        // A getter or proxy of the tenant: inspect copes with it.
    }
    return `${inspect(error)} (without a stack)`;
}

// What is behind an exception: its causes, and what an AggregateError collects.
function describeReasons(error) {
    let text = "";
    let reason = error;
    for (let depth = 0; isObject(reason) && depth < MAX_CAUSES; depth++) {
        const { cause, errors } = reason;
        if (ArrayIsArray(errors)) {
            const count = MathMin(errors.length, MAX_ERRORS);
            for (let i = 0; i < count; i++) {
                text += `\nOne of its errors: ${describeOne(errors[i])}`;
            }
            if (errors.length > count) {
                text += `\n… and ${errors.length - count} errors more`;
            }
        }
        if (cause === undefined) {
            break;
        }
        text += `\nCaused by: ${describeOne(cause)}`;
        reason = cause;
    }
    return text;
}

// An exception for the tenant's log.
export function describeError(error) {
    const text = describeOne(error);
    try {
        return cut(text + describeReasons(error));
    } catch {
        return cut(text); // a getter or proxy of the tenant again
    }
}
