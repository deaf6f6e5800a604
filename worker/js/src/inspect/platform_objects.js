// SPDX-License-Identifier: Apache-2.0
//
// The platform's own objects in a log: their attributes, or their entries, in place of an empty object. Only getters of this
// layer are called, on objects that have what they ask for: never code of a tenant.
import { formLibrary, isFormData } from "../form.js";
import { headersList, isHeaders, listGet } from "../headers.js";
import { functionText, promiseState } from "../native.js";
import { interfaceName } from "../platform.js";
import {
    FunctionPrototypeCall, ObjectDefineProperty, ObjectGetPrototypeOf, ReflectGetOwnPropertyDescriptor, newList,
} from "../primordials.js";
import { searchParamsText } from "../url.js";

const MAX_ENTRIES = 100;

// The attributes of each interface that are shown. One that is not here has no attributes worth a line.
const attributes = {
    __proto__: null,
    AbortController: ["signal"],
    AbortSignal: ["aborted", "reason"],
    Blob: ["size", "type"],
    BroadcastChannel: ["name"],
    CompressionStream: ["readable", "writable"],
    CryptoKey: ["type", "extractable", "algorithm", "usages"],
    CustomEvent: ["type", "detail"],
    DecompressionStream: ["readable", "writable"],
    ErrorEvent: ["type", "message", "filename", "lineno", "colno", "error"],
    Event: ["type", "defaultPrevented"],
    ExtendableEvent: ["type"],
    FetchEvent: ["type", "request"],
    File: ["name", "size", "type", "lastModified"],
    MessageChannel: ["port1", "port2"],
    MessageEvent: ["type", "data"],
    Navigator: ["userAgent"],
    Performance: ["timeOrigin"],
    PerformanceEntry: ["name", "entryType", "startTime", "duration"],
    PerformanceMark: ["name", "entryType", "startTime", "duration", "detail"],
    PerformanceMeasure: ["name", "entryType", "startTime", "duration", "detail"],
    PromiseRejectionEvent: ["type", "reason"],
    ReadableStream: ["locked"],
    Request: ["method", "url", "headers", "bodyUsed"],
    Response: ["status", "statusText", "ok", "headers", "bodyUsed", "type", "url"],
    TaskSignal: ["aborted", "reason", "priority"],
    TextDecoder: ["encoding", "fatal", "ignoreBOM"],
    TextDecoderStream: ["encoding", "fatal", "ignoreBOM", "readable", "writable"],
    TextEncoder: ["encoding"],
    TextEncoderStream: ["encoding", "readable", "writable"],
    TransformStream: ["readable", "writable"],
    URLPattern: ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"],
    WritableStream: ["locked"],
};

const add = (view, name, value) => ObjectDefineProperty(view, name,
    { __proto__: null, value, enumerable: true, configurable: true, writable: true });

// Adds an entry; a name that comes again gets a list of its values. lists: name to that list, or null while there is one value
function addEntry(view, lists, name, value) {
    if (!(name in lists)) {
        lists[name] = null;
        add(view, name, value);
        return;
    }
    if (lists[name] === null) {
        lists[name] = [];
        add(lists[name], 0, view[name]);
        add(view, name, lists[name]);
    }
    add(lists[name], lists[name].length, value);
}

function entriesOf(object) {
    const view = {};
    const lists = { __proto__: null };
    let left = MAX_ENTRIES;
    const each = (name, value) => {
        if (--left >= 0) {
            addEntry(view, lists, name, value);
        }
    };
    if (isHeaders(object)) {
        const list = headersList(object);
        for (let i = 0; i < list.length && left > 0; i += 2) {
            if (list[i] === "set-cookie") {
                each(list[i], list[i + 1]);
            } else if (!(list[i] in lists)) {
                each(list[i], listGet(list, list[i]));
            }
        }
        return view;
    }
    const params = isFormData(object) ? undefined : searchParamsText(object);
    if (params === undefined && !isFormData(object)) {
        return undefined;
    }
    const list = formLibrary().formEntries(params === undefined ? object : formLibrary().parseUrlEncoded(params));
    for (let i = 0; i < list.length && left > 0; i++) {
        each(list[i][0], list[i][1]);
    }
    return view;
}

// Finds the getter of an attribute, on the prototypes of the object; undefined if it is not there, or a tenant's.
function getterOf(object, name) {
    for (let depth = 0; object !== null && depth < 100; depth++) {
        const descriptor = ReflectGetOwnPropertyDescriptor(object, name);
        if (descriptor !== undefined) {
            return descriptor.get !== undefined && functionText(descriptor.get) !== undefined ? descriptor.get : undefined;
        }
        object = ObjectGetPrototypeOf(object);
    }
    return undefined;
}

function attributesOf(object, name) {
    const names = attributes[name] ?? newList();
    const view = {};
    for (let i = 0; i < names.length; i++) {
        const getter = getterOf(ObjectGetPrototypeOf(object), names[i]);
        if (getter === undefined) {
            continue;
        }
        const value = FunctionPrototypeCall(getter, object); // throws for a prototype, and what inherits from it
        if (value !== undefined || names[i] !== "reason") {
            add(view, names[i], value);
        }
    }
    return view;
}

// Returns the text of one of the platform's objects, by format(context, value, depth); undefined for any other value.
export function platformText(context, object, depth, format) {
    const name = typeof object === "object" ? interfaceName(object) : undefined;
    if (name === undefined || name === "URL" || name === "DOMException" || name === "QuotaExceededError" || name === "EventTarget") {
        return undefined;
    }
    let view;
    try {
        view = entriesOf(object) ?? attributesOf(object, name);
    } catch {
        return undefined;
    }
    if (context.depth !== null && depth > context.depth) {
        return `[${name}]`;
    }
    const { seen } = context;
    const { length } = seen;
    add(seen, length, object);
    try {
        return `${name} ${format(context, view, depth)}`;
    } finally {
        seen.length = length;
    }
}

// Returns [state, result] of a promise, for the library's constants of a state.
export function promiseDetails(promise, pending, rejected) {
    const [state, result] = promiseState(promise) ?? [0];
    return [state === 0 ? pending : state === 2 ? rejected : 1, result];
}
