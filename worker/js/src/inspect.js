// SPDX-License-Identifier: Apache-2.0
//
// Values as text for logs, as Node's util.inspect shows them. Nothing here throws, whatever a
// tenant's getters, proxies and toString functions do.
import { load } from "lazy:./inspect/main.js";
import { firstUse } from "./first_use.js";
import { head, locate, proxyParts } from "./native.js";
import { FinalizationRegistry, WeakRef } from "./lib/absent_globals.js";
import { missingAdvice } from "./missing.js";
import { MAX_TEXT, bigIntText, symbolText } from "./inspect_text.js";
import { mapText } from "./source_maps.js";
import {
    ArrayIsArray, Error, ErrorCaptureStackTrace, FunctionPrototypeApply, FunctionPrototypeCall, MathMin, ObjectDefineProperty, ReflectGetOwnPropertyDescriptor,
    RegExpPrototypeExec, StringPrototypeCharCodeAt,
    StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice,
    SymbolPrototypeToString, isObject, newList,
} from "./primordials.js";

export { MAX_TEXT };
const MAX_ITEMS = 1000; // items of one array, Set or Map, whatever the options say
const MAX_ARGUMENTS = 500; // arguments of one call of the console
const MAX_CAUSES = 5; // an exception may be its own cause
const MAX_ERRORS = 5;
const OPTIONS = ["showHidden", "depth", "colors", "customInspect", "showProxy", "maxArrayLength",
    "maxStringLength", "breakLength", "compact", "sorted", "getters", "numericSeparator"];
const OWN_FRAME = "skep:js:"; // name of this script in skep-mksnapshot

let library;

// Loaded at first use: its code stays out of the snapshot's heap until a tenant logs an object.
export function inspectLibrary() {
    if (library === undefined) {
        library = firstUse(() => withAbsentGlobals(load));
    }
    return library;
}

// Loads the library with globals that tenants do not have: it copies them from the global object.
function withAbsentGlobals(evaluate) {
    const absent = { __proto__: null, FinalizationRegistry, WeakRef };
    for (const name in absent) {
        if (name in globalThis) {
            delete absent[name]; // the tenant has defined it
            continue;
        }
        ObjectDefineProperty(globalThis, name, {
            __proto__: null, value: absent[name], configurable: true,
        });
    }
    try {
        return evaluate();
    } finally {
        for (const name in absent) {
            delete globalThis[name];
        }
    }
}

// Cuts a tenant's text, which may be a rope of half a gigabyte and must not be made flat.
export function cut(text) {
    return text.length > MAX_TEXT ? `${head(text, MAX_TEXT)}…` : text;
}

// Bounds the tenant's options to values that can be printed.
function boundOptions(options, customInspect = true) {
    const bounded = { __proto__: null, customInspect };
    for (let i = 0; isObject(options) && i < OPTIONS.length; i++) {
        const value = options[OPTIONS[i]];
        if (value !== undefined) {
            bounded[OPTIONS[i]] = value;
        }
    }
    const { maxArrayLength } = bounded;
    bounded.maxArrayLength = maxArrayLength === undefined ? 100 : within(maxArrayLength, MAX_ITEMS);
    bounded.maxStringLength = within(bounded.maxStringLength, MAX_TEXT);
    return bounded;
}

function within(value, most) {
    return typeof value === "number" && value < most ? value : most;
}

// Formats a format string and its arguments, as util.format.
export function formatText(args) {
    const bounded = newList();
    bounded[0] = boundOptions(undefined);
    for (let i = 0; i < args.length && i < MAX_ARGUMENTS; i++) {
        bounded[i + 1] = typeof args[i] === "string" ? cut(args[i]) : args[i];
    }
    inspectLibrary().refill();
    return cut(FunctionPrototypeApply(inspectLibrary().formatWithOptions, undefined, bounded));
}

// customInspect: whether an object may show itself, if the options do not say.
export function inspect(value, options, customInspect) {
    switch (typeof value) {
    case "string":
        if (options === undefined) {
            return cut(value);
        }
        value = cut(value);
        break;
    case "symbol":
        return symbolText(value, SymbolPrototypeToString);
    case "number":
        return value === 0 && 1 / value < 0 ? "-0" : `${value}`;
    case "bigint":
        return `${bigIntText(value)}n`;
    case "boolean":
    case "undefined":
        return `${value}`;
    }
    if (value === null) {
        return "null";
    }
    try {
        inspectLibrary().refill();
        return cut(`${inspectLibrary().inspect(value, boundOptions(options, customInspect))}`);
    } catch {
        return typeof value === "function" ? "[Function]" : "[object that cannot be shown]";
    }
}

// Removes the frames of this layer, which tell a tenant nothing.
export function withoutOwnFrames(stack) {
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

// Puts the message before a stack that a tenant's Error.prepareStackTrace has made without it.
function withHead(error, stack) {
    const { name, message } = error;
    if (typeof name !== "string" || typeof message !== "string") {
        return stack;
    }
    const text = cut(message);
    return StringPrototypeIndexOf(stack, text) >= 0 ? stack : `${cut(name)}: ${text}\n${stack}`;
}

// Returns "Error: message", the place in the tenant's source with its line, the frames.
function describeOne(error) {
    if (!isObject(error)) {
        return `${inspect(error)} (not an Error: it has no stack)`;
    }
    try {
        const { stack } = error;
        if (typeof stack === "string" && stack !== "") {
            const text = withHead(error, cut(stack));
            const frames = StringPrototypeIndexOf(text, "\n    at ");
            const head = frames < 0 ? text : StringPrototypeSlice(text, 0, frames);
            const rest = frames < 0 ? "" : StringPrototypeSlice(text, frames);
            const place = locate(error, rest);
            return head + mapText(withoutOwnFrames(place + rest), place !== "") + missingAdvice(head);
        }
    } catch {
        // A getter or proxy of the tenant: inspect copes with it.
    }
    return `${inspect(error)} (without a stack)`;
}

// V8's own getter, which runs nothing of a tenant.
const stackGetter = ReflectGetOwnPropertyDescriptor(new Error(), "stack").get;

// Returns the stack of an exception, "" if there is none that can be had without running the tenant's code.
function quietStack(error) {
    const descriptor = isObject(error) && proxyParts(error) === undefined ? ReflectGetOwnPropertyDescriptor(error, "stack") : undefined;
    if (descriptor === undefined) {
        return "";
    }
    const stack = stackGetter !== undefined && descriptor.get === stackGetter ?
        FunctionPrototypeCall(stackGetter, error) : descriptor.value;
    return typeof stack === "string" ? cut(stack) : "";
}

// Returns what an ErrorEvent says of an exception: message, filename, lineno, colno. Without a stack of its own the place is
// that of the code that runs. No getter or trap of the tenant is called.
export function placeOf(error) {
    const holder = { __proto__: null };
    let stack = quietStack(error);
    let message = isObject(error) ? "an object that is no Error" : inspect(error);
    if (stack === "") {
        ErrorCaptureStackTrace(holder, placeOf);
        stack = `${holder.stack}`;
    } else {
        const frames = StringPrototypeIndexOf(stack, "\n    at ");
        message = frames < 0 ? stack : StringPrototypeSlice(stack, 0, frames);
    }
    const place = { __proto__: null, message: `Uncaught ${message}`, filename: "", lineno: 0, colno: 0 };
    const text = locate(error, StringPrototypeSlice(stack, StringPrototypeIndexOf(stack, "\n    at ")));
    const match = RegExpPrototypeExec(/^\n(.*):(\d+):(\d+)\n/, text);
    if (match !== null) {
        place.filename = match[1];
        place.lineno = +match[2];
        place.colno = +match[3];
    }
    return place;
}

// Describes the reasons of an exception: its causes, and the errors of an AggregateError.
function describeReasons(error) {
    let text = "";
    let reason = error, before;
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
        if (cause === error || cause === reason || cause === before) {
            return `${text}\nCaused by: an error that is named above already`;
        }
        text += `\nCaused by: ${describeOne(cause)}`;
        before = reason;
        reason = cause;
    }
    return text;
}

// Describes an exception for the tenant's log. Never throws: the caller has a request to end.
export function describeError(error) {
    let text = "an exception that cannot be shown";
    try {
        text = cut(describeOne(error));
        return cut(text + describeReasons(error));
    } catch {
        return text; // a getter or proxy of the tenant, or no stack is left
    }
}
