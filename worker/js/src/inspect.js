// SPDX-License-Identifier: Apache-2.0
//
// Values as text for logs, as Node's util.inspect shows them. Nothing here throws, whatever a
// tenant's getters, proxies and toString functions do.
import { FinalizationRegistry, WeakRef } from "./lib/absent_globals.js";
import {
    ArrayIsArray, ObjectDefineProperty, StringPrototypeCharCodeAt, StringPrototypeIncludes,
    StringPrototypeIndexOf, StringPrototypeSlice, SymbolPrototypeToString, isObject,
} from "./primordials.js";

export const MAX_TEXT = 8192;
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

// An exception: its stack with causes, or the value itself.
export function describeError(error) {
    if (isObject(error)) {
        try {
            const { cause, errors, stack } = error;
            if (typeof stack === "string" && stack !== "" && cause === undefined &&
                !ArrayIsArray(errors)) {
                return cut(withoutOwnFrames(cut(stack)));
            }
        } catch {
            // A getter or proxy of the tenant: inspect copes with it.
        }
    }
    return cut(inspect(error));
}
