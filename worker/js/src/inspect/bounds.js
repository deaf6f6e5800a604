// SPDX-License-Identifier: Apache-2.0
//
// Bounds for node-inspect-extracted, which build.mjs puts into its code: the work of an inspection
// is bounded by the size of what can be printed, whatever a value holds. Proxies are shown as in
// Node, without a call of their traps.
import { head, namedKeys, proxyParts } from "../native.js";
import { MAX_TEXT, bigIntText, symbolText, text } from "../inspect_text.js";
import {
    ObjectDefineProperty, ObjectHasOwn, ObjectKeys, RangeError, StringPrototypeValueOf, newList,
} from "../primordials.js";

const MAX_KEYS = 1000; // keys of one object: with the shortest names they fill a line
const MAX_WORK = 3 * MAX_TEXT; // characters and steps of one inspection
const MAX_STEPS = 10000; // steps of a walk through holes
const MAX_JSON = 2000;

export { text };

let left = 0;

// Refills the budget, at the start of each inspection.
export function refill() {
    left = MAX_WORK;
}

// Takes the work of one value; true if there is none left for it.
export function isSpent(context, value) {
    left -= 2 + context.indentationLvl;
    if (typeof value === "string") {
        left -= value.length < MAX_TEXT ? value.length : MAX_TEXT;
    }
    return left < 0;
}

// Returns how many items of a typed array, or bytes of a buffer, there is work left for.
export function items(count) {
    left -= count;
    return left < 0 ? 0 : count;
}

function some(keys) {
    let kept = 0;
    for (let i = 0; i < keys.length && kept < MAX_KEYS; i++) {
        if (typeof keys[i] !== "string" || keys[i].length <= MAX_TEXT) {
            keys[kept++] = keys[i];
        }
    }
    keys.length = kept;
    return keys;
}

export function nonIndexKeys(object, filter = 2) {
    return some(namedKeys(object, filter !== 2));
}

export function proxyDetails(value, isFull = true) {
    const parts = proxyParts(value);
    return parts === undefined || isFull ? parts : parts[0];
}

// Returns the value behind proxies of proxies. A revoked one leads to nothing.
export function unproxied(value) {
    for (let parts = proxyParts(value); parts !== undefined; parts = proxyParts(value)) {
        value = parts[0];
    }
    return value;
}

// True for String objects that have too many keys, one for each character.
function isLongString(object) {
    if (!ObjectHasOwn(object, "length") || !ObjectHasOwn(object, MAX_KEYS)) {
        return false;
    }
    try {
        StringPrototypeValueOf(object);
        return true;
    } catch {
        return false;
    }
}

// Returns the own enumerable keys, as far as they can be printed.
export function someKeys(object) {
    return isLongString(object) ? newList() : some(ObjectKeys(object));
}

// The rest of an array from a hole on, output's items included at most max.
export function sparse(context, array, recurseTimes, max, output, from, formatProperty, more) {
    const { length } = array;
    const holes = (count) => `<${count} empty item${count > 1 ? "s" : ""}>`;
    let at = from;
    let empty = 0;
    const end = length - from > MAX_STEPS ? from + MAX_STEPS : length;
    for (; at < end && output.length < max; at++) {
        if (!ObjectHasOwn(array, at)) {
            empty++;
            continue;
        }
        if (empty > 0) {
            output[output.length] = context.stylize(holes(empty), "undefined");
            empty = 0;
            if (output.length >= max) {
                break;
            }
        }
        output[output.length] = formatProperty(context, array, recurseTimes, at, 1);
    }
    if (empty > 0 && output.length < max) {
        output[output.length] = context.stylize(holes(empty), "undefined");
    }
    if (at < length) {
        output[output.length] = more(length - at);
    }
    return output;
}

// Makes a function the library's constructor of that name and prototype.
function asConstructor(f, name, prototype) {
    ObjectDefineProperty(f, "name", { __proto__: null, value: name });
    return ObjectDefineProperty(f, "prototype", { __proto__: null, value: prototype });
}

// Sets the library's built-ins, before it freezes them.
export function bound(built) {
    const {
        ErrorPrototypeToString, JSONStringify, ObjectGetOwnPropertyNames,
        ObjectGetOwnPropertySymbols, RegExpPrototypeToString, String,
        StringPrototype, StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice,
        SymbolPrototypeToString,
    } = built;
    built.ErrorPrototypeToString = (error) => text(ErrorPrototypeToString(error));
    built.RegExpPrototypeToString = (regexp) => text(RegExpPrototypeToString(regexp));
    built.String = asConstructor((value) =>
        (typeof value === "bigint" ? bigIntText(value) : text(String(value))), "String", StringPrototype);
    built.ObjectKeys = (object) => (isLongString(object) ? [] : some(ObjectKeys(object)));
    built.ObjectGetOwnPropertyNames = (object) =>
        (isLongString(object) ? [] : some(ObjectGetOwnPropertyNames(object)));
    built.ObjectGetOwnPropertySymbols = (object) => some(ObjectGetOwnPropertySymbols(object));
    built.ReflectOwnKeys = (object) => nonIndexKeys(object, 0);
    built.SymbolPrototypeToString = (symbol) => symbolText(symbol, SymbolPrototypeToString);
    built.StringPrototypeSlice = (string, start, end) =>
        (start === 0 && end >= 0 && end <= 2 * MAX_TEXT && string.length > 2 * MAX_TEXT ?
            head(string, end) : StringPrototypeSlice(string, start, end));
    built.StringPrototypeIncludes = (string, part, at) =>
        !(part.length > string.length) && StringPrototypeIncludes(string, part, at);
    built.StringPrototypeIndexOf = (string, part, at) =>
        (part.length > string.length ? -1 : StringPrototypeIndexOf(string, part, at));
    built.JSONStringify = (value) => {
        let count = 0;
        return JSONStringify(value, (key, item) => {
            if (++count > MAX_JSON) {
                throw new RangeError("too much to show as JSON");
            }
            return typeof item === "bigint" ? item : text(item);
        });
    };
}
