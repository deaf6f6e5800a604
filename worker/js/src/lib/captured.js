// SPDX-License-Identifier: Apache-2.0
//
// The globals that libraries name, and functions of theirs, as they were before any code of a tenant ran (build.mjs puts these in
// where a file names one). Methods that a library calls on an object are still looked up when it runs.
const there = globalThis;

export const {
    Array, ArrayBuffer, BigInt, BigInt64Array, BigUint64Array, Boolean, DataView, Date, Error, Float32Array, Float64Array, Function,
    Int16Array, Int32Array, Int8Array, Map, Number, Object, Promise, Proxy, RangeError, Reflect, RegExp, Set, String, Symbol, TypeError,
    Uint16Array, Uint32Array, Uint8Array, Uint8ClampedArray, WeakMap, WeakSet, isNaN, parseFloat, parseInt,
} = there;

export const { from: ArrayFrom, isArray: ArrayIsArray } = Array;
export const { isView: ArrayBufferIsView } = ArrayBuffer;
export const {
    assign: ObjectAssign, create: ObjectCreate, defineProperties: ObjectDefineProperties, defineProperty: ObjectDefineProperty,
    freeze: ObjectFreeze, getOwnPropertyDescriptor: ObjectGetOwnPropertyDescriptor,
    getOwnPropertyDescriptors: ObjectGetOwnPropertyDescriptors, getOwnPropertyNames: ObjectGetOwnPropertyNames,
    getPrototypeOf: ObjectGetPrototypeOf, hasOwn: ObjectHasOwn, is: ObjectIs, keys: ObjectKeys, setPrototypeOf: ObjectSetPrototypeOf,
} = Object;
export const { apply: ReflectApply, ownKeys: ReflectOwnKeys } = Reflect;
export const { fromCharCode: StringFromCharCode, fromCodePoint: StringFromCodePoint } = String;
export const { isFinite: NumberIsFinite, isInteger: NumberIsInteger, isNaN: NumberIsNaN } = Number;
