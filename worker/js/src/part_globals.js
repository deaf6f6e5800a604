// SPDX-License-Identifier: Apache-2.0
//
// The globals that the scripts of lazy folders see (build.mjs): as they were before any tenant could replace them. Functions of Object,
// Reflect and Symbol are those of that time, too; other members are looked up when they are used, as in all libraries.
const { Object: object, Reflect: reflect, Symbol: symbol } = globalThis;

const copy = (target, source) => {
    for (const key of reflect.ownKeys(source)) {
        if (key !== "length" && key !== "name" && key !== "arguments" && key !== "caller") {
            object.defineProperty(target, key, { __proto__: null, value: source[key], writable: true });
        }
    }
    return object.freeze(object.setPrototypeOf(target, null));
};

export const partGlobals = object.freeze({
    __proto__: null,
    Array, ArrayBuffer, BigInt, DataView, Error, Function, Map, Math, Number,
    Object: copy((value) => object(value), object),
    Promise, RangeError,
    Reflect: copy({}, reflect),
    RegExp, Set, String,
    Symbol: copy((description) => symbol(description), symbol),
    TypeError, Uint8Array, WeakMap,
});
