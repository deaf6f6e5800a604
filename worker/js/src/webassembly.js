// SPDX-License-Identifier: Apache-2.0
//
// WebAssembly is V8's own but for this: memory that threads could share would bring the
// SharedArrayBuffer back, which tenants do not have, and with it a precise clock.
import {
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, TypeError, isArrayBuffer,
    uncurryThis,
} from "./primordials.js";

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

// Called in each new context: V8 adds WebAssembly to it after the snapshot. Absent with jit: off.
export function prepare() {
    const { WebAssembly } = globalThis;
    if (WebAssembly === undefined) {
        return;
    }
    const { prototype } = WebAssembly.Memory;
    wrapGetter(prototype, "buffer");
    wrapMethod(prototype, "toFixedLengthBuffer");
    wrapMethod(prototype, "toResizableBuffer");
}
