// SPDX-License-Identifier: Apache-2.0
//
// WebAssembly is V8's own but for this: memory that threads could share would bring the
// SharedArrayBuffer back, which tenants do not have, and with it a precise clock. And a Response is compiled by this layer
// (WebAssembly Web API), when all of its body is there.
import {
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, Promise, PromisePrototypeThen, PromiseReject, PromiseResolve,
    StringPrototypeSlice, StringPrototypeToLowerCase, TypeError, isArrayBuffer, isObject, uncurryThis,
} from "./primordials.js";
import { consume, toBytes } from "./body.js";
import { listGet } from "./headers.js";
import { isResponse, responseBody, responseList, responseStatus } from "./response.js";
import { requireArguments } from "./webidl.js";

function requireUnshared(buffer) {
    if (!isArrayBuffer(buffer)) {
        throw new TypeError("shared WebAssembly memory is not available here");
    }
    return buffer;
}

function wrapGetter(prototype, name) {
    const descriptor = ObjectGetOwnPropertyDescriptor(prototype, name);
    if (descriptor === undefined) {
        return;
    }
    const get = uncurryThis(descriptor.get);
    const wrapped = { get [name]() { return requireUnshared(get(this)); } };
    ObjectDefineProperty(prototype, name, {
        __proto__: null, ...descriptor, get: ObjectGetOwnPropertyDescriptor(wrapped, name).get,
    });
}

function wrapMethod(prototype, name) {
    const descriptor = ObjectGetOwnPropertyDescriptor(prototype, name);
    if (descriptor === undefined) {
        return;
    }
    const call = uncurryThis(descriptor.value);
    const wrapped = { [name]() { return requireUnshared(call(this)); } };
    ObjectDefineProperty(prototype, name, {
        __proto__: null, ...descriptor, value: wrapped[name],
    });
}

const isBlank = (char) => char === " " || char === "\t";

function isWasmType(value) {
    let start = 0;
    let end = value.length;
    while (start < end && isBlank(value[start])) {
        start++;
    }
    while (end > start && isBlank(value[end - 1])) {
        end--;
    }
    return StringPrototypeToLowerCase(StringPrototypeSlice(value, start, end)) === "application/wasm";
}

// Calls onBytes with the code that a Response has, or throws or calls onError.
function readCode(response, onBytes, onError) {
    if (!isResponse(response)) {
        throw new TypeError("WebAssembly: the value is not a Response.");
    }
    const type = listGet(responseList(response), "content-type");
    if (type === null || !isWasmType(type)) {
        throw new TypeError("WebAssembly: the content-type of the Response is not application/wasm.");
    }
    const status = responseStatus(response);
    if (status < 200 || status > 299) {
        throw new TypeError(`WebAssembly: the status of the Response is ${status}, not one of 200 to 299.`);
    }
    consume(responseBody(response), (content) => onBytes(toBytes(content)), onError);
}

// Defines compileStreaming and instantiateStreaming. V8's functions are those of this context, before a tenant had it.
function addStreaming(WebAssembly) {
    const { compile, instantiate } = WebAssembly;

    // Calls onModule with the module of a Response, or of a promise of one, or onError.
    const compileSource = (source, onModule, onError) => {
        PromisePrototypeThen(PromiseResolve(source), (response) => {
            try {
                readCode(response, (bytes) => PromisePrototypeThen(compile(bytes), onModule, onError), onError);
            } catch (error) {
                onError(error);
            }
        }, onError);
    };
    const functions = {
        compileStreaming(source) {
            try {
                requireArguments(arguments.length, 1, "WebAssembly.compileStreaming");
            } catch (error) {
                return PromiseReject(error);
            }
            return new Promise((resolve, reject) => compileSource(source, resolve, reject));
        },
        instantiateStreaming(source, importObject = undefined) {
            try {
                requireArguments(arguments.length, 1, "WebAssembly.instantiateStreaming");
                if (importObject !== undefined && !isObject(importObject)) {
                    throw new TypeError("WebAssembly.instantiateStreaming: parameter 2 is not an object.");
                }
            } catch (error) {
                return PromiseReject(error);
            }
            return new Promise((resolve, reject) => compileSource(source, (module) => {
                PromisePrototypeThen(instantiate(module, importObject), (instance) => resolve({ module, instance }), reject);
            }, reject));
        },
    };
    for (const name of ["compileStreaming", "instantiateStreaming"]) {
        ObjectDefineProperty(WebAssembly, name, {
            __proto__: null, value: functions[name], writable: true, enumerable: true, configurable: true,
        });
    }
}

// Functions that HTMLRewriter needs of WebAssembly, as it was before a tenant had it.
export let webAssembly;

const getterOf = (constructor, name) => ObjectGetOwnPropertyDescriptor(constructor.prototype, name).get;

// Called in each new context: V8 adds WebAssembly to it after the snapshot. Absent with jit: off.
export function prepareWebAssembly() {
    const { WebAssembly } = globalThis;
    if (WebAssembly === undefined) {
        delete globalThis.HTMLRewriter;
        return;
    }
    const { Global, Instance, Memory, Table, Tag } = WebAssembly;
    webAssembly = {
        __proto__: null, WebAssembly, Global, Instance, Memory, Table, Tag, getExports: getterOf(Instance, "exports"), getBuffer: getterOf(Memory, "buffer"),
        tableGet: Table.prototype.get, tableGrow: Table.prototype.grow, tableSet: Table.prototype.set,
    };
    addStreaming(WebAssembly);
    const { prototype } = WebAssembly.Memory;
    wrapGetter(prototype, "buffer");
    wrapMethod(prototype, "toFixedLengthBuffer");
    wrapMethod(prototype, "toResizableBuffer");
}
