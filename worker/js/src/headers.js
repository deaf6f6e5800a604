// SPDX-License-Identifier: Apache-2.0
//
// Headers (Fetch standard). A header list is flat, [name, value, …], names in lower case. The guards "request" and
// "response" forbid nothing: a server has to read and set Cookie, Host, Set-Cookie and the like.
import {
    ArrayPrototypeSort, ObjectDefineProperty,
    StringPrototypeCharCodeAt, StringPrototypeSlice, StringPrototypeToLowerCase, TypeError,
    Uint8Array, isObject, newList,
} from "./primordials.js";
import { mimeLibrary } from "./mime.js";
import {
    defineInterface, defineIterable, forEachOf, forEachOwn, iteratorMethod, requireArguments,
    toByteString,
} from "./webidl.js";

const internal = Symbol("internal");

// Guards
export const NONE = 0;
export const IMMUTABLE = 1;
export const NO_CORS = 2;

// 0: no token character, 1: token character, 2: upper case letter
const tokens = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
    tokens[StringPrototypeCharCodeAt(char, 0)] = 1;
}
for (let i = 65; i <= 90; i++) {
    tokens[i] = 2;
}

export function isToken(string) {
    for (let i = 0; i < string.length; i++) {
        const code = StringPrototypeCharCodeAt(string, i);
        if (code > 255 || tokens[code] === 0) {
            return false;
        }
    }
    return string.length > 0;
}

// Names that code has used, in its way of writing them, and their lower case: a look in a table is shorter than one at each character.
const seen = { __proto__: null };
const SEEN_MAX = 64;
const SEEN_LENGTH_MAX = 32;
let nSeen = 0;

// Returns the name in lower case. Throws TypeError if it is not a header name.
function normalizeName(name) {
    const known = name.length <= SEEN_LENGTH_MAX ? seen[name] : undefined;
    if (known !== undefined) {
        return known;
    }
    let isUpper = false;
    for (let i = 0; i < name.length; i++) {
        const kind = tokens[StringPrototypeCharCodeAt(name, i)];
        if (kind === 0) {
            throw new TypeError(`Headers: '${name}' is not a valid header name.`);
        }
        isUpper ||= kind === 2;
    }
    if (name.length === 0) {
        throw new TypeError("Headers: the header name is empty.");
    }
    const lower = isUpper ? StringPrototypeToLowerCase(name) : name;
    if (name.length <= SEEN_LENGTH_MAX && nSeen < SEEN_MAX) {
        nSeen++;
        seen[name] = lower;
    }
    return lower;
}

const isSpace = (code) => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

function normalizeValue(value) {
    let start = 0;
    let end = value.length;
    while (start < end && isSpace(StringPrototypeCharCodeAt(value, start))) {
        start++;
    }
    while (end > start && isSpace(StringPrototypeCharCodeAt(value, end - 1))) {
        end--;
    }
    for (let i = start; i < end; i++) {
        const code = StringPrototypeCharCodeAt(value, i);
        if (code === 0 || code === 0x0a || code === 0x0d) {
            throw new TypeError("Headers: the header value has a NUL, CR or LF in it.");
        }
    }
    return end - start === value.length ? value : StringPrototypeSlice(value, start, end);
}

// Appends without a check of any guard.
export function listAppend(list, name, value) {
    list[list.length] = name;
    list[list.length] = value;
}

export function listHas(list, name) {
    for (let i = 0; i < list.length; i += 2) {
        if (list[i] === name) {
            return true;
        }
    }
    return false;
}

export function listGet(list, name) {
    let found = null;
    for (let i = 0; i < list.length; i += 2) {
        if (list[i] === name) {
            found = found === null ? list[i + 1] : `${found}, ${list[i + 1]}`;
        }
    }
    return found;
}

function listSet(list, name, value) {
    let isSet = false;
    let kept = 0;
    for (let i = 0; i < list.length; i += 2) {
        if (list[i] !== name) {
            list[kept] = list[i];
            list[kept + 1] = list[i + 1];
            kept += 2;
        } else if (!isSet) {
            isSet = true;
            list[kept] = name;
            list[kept + 1] = value;
            kept += 2;
        }
    }
    list.length = kept;
    if (!isSet) {
        listAppend(list, name, value);
    }
}

function listDelete(list, name) {
    let kept = 0;
    for (let i = 0; i < list.length; i += 2) {
        if (list[i] !== name) {
            list[kept] = list[i];
            list[kept + 1] = list[i + 1];
            kept += 2;
        }
    }
    list.length = kept;
}

export function copyList(list) {
    const copy = newList();
    for (let i = 0; i < list.length; i++) {
        copy[i] = list[i];
    }
    return copy;
}

// A number of a packed head (proto/head.h), which comes as a string with a character for each byte.
function numberAt(head, place) {
    const at = 4 * place;
    return StringPrototypeCharCodeAt(head, at) | StringPrototypeCharCodeAt(head, at + 1) << 8 |
        StringPrototypeCharCodeAt(head, at + 2) << 16 | StringPrototypeCharCodeAt(head, at + 3) << 24;
}

// The headers of a packed head, behind its first texts. Names may be in any case.
export function listFromHead(head, nFirst) {
    const list = newList();
    const count = numberAt(head, 0);
    let at = 4 * (1 + count);
    for (let i = 0; i < count; i++) {
        const end = at + numberAt(head, 1 + i);
        if (i >= nFirst) {
            const text = StringPrototypeSlice(head, at, end);
            list[list.length] = (i - nFirst) % 2 === 0 ? StringPrototypeToLowerCase(text) : text;
        }
        at = end;
    }
    return list;
}

// name and value: normalised
function appendGuarded(list, name, value, guard) {
    if (guard === NO_CORS) {
        const before = listGet(list, name);
        if (!mimeLibrary().isSafelisted(name, before === null ? value : `${before}, ${value}`)) {
            return;
        }
    }
    listAppend(list, name, value);
}

function appendChecked(list, name, value, guard) {
    value = normalizeValue(value);
    appendGuarded(list, normalizeName(name), value, guard);
}

// Appends HeadersInit to list, as far as the guard, NONE or NO_CORS, allows.
export function fillList(list, init, guard = NONE) {
    if (!isObject(init)) {
        throw new TypeError(`Headers: parameter 1 is of type ${init === null ? "null" : typeof init}, not an object of names and values or a sequence of pairs.`);
    }
    const method = iteratorMethod(init);
    if (method === undefined) {
        // Web IDL converts all of a record before any of it is used.
        const pairs = newList();
        forEachOwn(init, toName, (name, value) => {
            listAppend(pairs, name, toByteString(value, "Headers: the value", name));
        });
        for (let i = 0; i < pairs.length; i += 2) {
            appendChecked(list, pairs[i], pairs[i + 1], guard);
        }
        return;
    }
    if (method === entries && isHeaders(init)) {
        copyGuarded(list, headersList(init), guard);
        return;
    }
    const pairs = newList();
    forEachOf(init, method, (pair) => {
        if (!isObject(pair) || iteratorMethod(pair) === undefined) {
            throw new TypeError(`Headers: item ${pairs.length} of the sequence is not a pair of name and value.`);
        }
        const items = newList();
        forEachOf(pair, iteratorMethod(pair), (item) => {
            items[items.length] = toByteString(item, items.length === 0 ? "Headers: a name" : "Headers: the value", items[0]);
        });
        pairs[pairs.length] = items;
    });
    for (let i = 0; i < pairs.length; i++) {
        if (pairs[i].length !== 2) {
            throw new TypeError(`Headers: item ${i} of the sequence has ${pairs[i].length} parts, not a name and a value.`);
        }
        appendChecked(list, pairs[i][0], pairs[i][1], guard);
    }
}

const toName = (name) => toByteString(name, "Headers: a name");

// Appends the headers of source, of which names and values are normalised.
export function copyGuarded(list, source, guard) {
    for (let i = 0; i < source.length; i += 2) {
        appendGuarded(list, source[i], source[i + 1], guard);
    }
}

export let isHeaders;
export let headersList;
let sortedPairs;

export class Headers {
    #list;
    #guard = NONE;
    #sorted; // sorted and combined list for iteration; undefined after each change

    constructor(init = undefined) {
        if (init === internal) {
            this.#list = arguments[1];
            this.#guard = arguments[2];
            return;
        }
        this.#list = newList();
        if (init !== undefined) {
            fillList(this.#list, init);
        }
    }

    append(name, value) {
        const list = this.#list;
        requireArguments(arguments.length, 2, "Headers.append");
        name = toByteString(name, "Headers.append: the name");
        value = normalizeValue(toByteString(value, "Headers.append: the value", name));
        name = normalizeName(name);
        this.#change();
        appendGuarded(list, name, value, this.#guard);
        this.#dropPrivileged();
    }

    delete(name) {
        const list = this.#list;
        requireArguments(arguments.length, 1, "Headers.delete");
        name = normalizeName(toByteString(name, "Headers.delete: the name"));
        this.#change();
        if (this.#guard === NO_CORS) {
            const { isPrivilegedName, isSafelistedName } = mimeLibrary();
            if (!isSafelistedName(name) && !isPrivilegedName(name)) {
                return;
            }
        }
        listDelete(list, name);
        this.#dropPrivileged();
    }

    get(name) {
        const list = this.#list;
        requireArguments(arguments.length, 1, "Headers.get");
        return listGet(list, normalizeName(toByteString(name, "Headers.get: the name")));
    }

    getSetCookie() {
        const list = this.#list;
        const cookies = [];
        for (let i = 0; i < list.length; i += 2) {
            if (list[i] === "set-cookie") {
                ObjectDefineProperty(cookies, cookies.length, {
                    __proto__: null, value: list[i + 1],
                    writable: true, enumerable: true, configurable: true,
                });
            }
        }
        return cookies;
    }

    has(name) {
        const list = this.#list;
        requireArguments(arguments.length, 1, "Headers.has");
        return listHas(list, normalizeName(toByteString(name, "Headers.has: the name")));
    }

    set(name, value) {
        const list = this.#list;
        requireArguments(arguments.length, 2, "Headers.set");
        name = toByteString(name, "Headers.set: the name");
        value = normalizeValue(toByteString(value, "Headers.set: the value", name));
        name = normalizeName(name);
        this.#change();
        if (this.#guard === NO_CORS && !mimeLibrary().isSafelisted(name, value)) {
            return;
        }
        listSet(list, name, value);
        this.#dropPrivileged();
    }

    #change() {
        if (this.#guard === IMMUTABLE) {
            throw new TypeError("Headers: these headers are immutable; new Response(response.body, response) and new Request(request) have headers of their own.");
        }
        this.#sorted = undefined;
    }

    // A header that skep itself may have set, for other headers than these.
    #dropPrivileged() {
        if (this.#guard === NO_CORS) {
            listDelete(this.#list, "range");
        }
    }

    static {
        isHeaders = (value) => isObject(value) && #list in value;
        headersList = (headers) => headers.#list;
        sortedPairs = (headers) => headers.#sorted ??= sortAndCombine(headers.#list);
    }
}

function sortAndCombine(list) {
    const names = newList();
    for (let i = 0; i < list.length; i += 2) {
        let isNew = true;
        for (let j = 0; j < names.length && isNew; j++) {
            isNew = names[j] !== list[i];
        }
        if (isNew) {
            names[names.length] = list[i];
        }
    }
    ArrayPrototypeSort(names, (a, b) => (a < b ? -1 : a > b ? 1 : 0));
    const pairs = newList();
    for (let i = 0; i < names.length; i++) {
        if (names[i] === "set-cookie") {
            for (let j = 0; j < list.length; j += 2) {
                if (list[j] === "set-cookie") {
                    pairs[pairs.length] = ["set-cookie", list[j + 1]];
                }
            }
        } else {
            pairs[pairs.length] = [names[i], listGet(list, names[i])];
        }
    }
    return pairs;
}

defineIterable(Headers, "Headers", (headers) => sortedPairs(headers));
defineInterface(Headers, "Headers");
const { entries } = Headers.prototype;

// Makes a Headers over list itself, which the caller must not change any more. guard: NONE, IMMUTABLE or NO_CORS
export function wrapList(list, guard) {
    return new Headers(internal, list, guard);
}
