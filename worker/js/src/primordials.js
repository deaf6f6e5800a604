// SPDX-License-Identifier: Apache-2.0
//
// The built-ins that this layer uses, captured before any tenant code can change them. Methods
// take `this` as their first argument. Names are those of Node's primordials: StringPrototypeSlice
// is String.prototype.slice.

export const {
    AggregateError, Array, ArrayBuffer, BigInt, Boolean, DataView, Date, Error, Float64Array, Function, Map,
    Number, Object, Promise, RangeError, RegExp, Set, String, Symbol, SyntaxError, TypeError, Uint8Array,
    WeakMap, WeakSet, parseInt,
} = globalThis;

const { bind, call, apply } = Function.prototype;
// bind.bind(call): the result of uncurryThis(f) looks nothing up when it is called.
export const uncurryThis = bind.bind(call);
export const FunctionPrototypeApply = uncurryThis(apply);
export const FunctionPrototypeCall = uncurryThis(call);

const getter = (proto, name) => uncurryThis(Object.getOwnPropertyDescriptor(proto, name).get);

export const {
    create: ObjectCreate,
    defineProperty: ObjectDefineProperty,
    freeze: ObjectFreeze,
    getOwnPropertyDescriptor: ObjectGetOwnPropertyDescriptor,
    getOwnPropertyDescriptors: ObjectGetOwnPropertyDescriptors,
    getOwnPropertyNames: ObjectGetOwnPropertyNames,
    getPrototypeOf: ObjectGetPrototypeOf,
    hasOwn: ObjectHasOwn,
    keys: ObjectKeys,
    prototype: ObjectPrototype,
    setPrototypeOf: ObjectSetPrototypeOf,
} = Object;

export const {
    get: ReflectGet,
    getOwnPropertyDescriptor: ReflectGetOwnPropertyDescriptor,
    ownKeys: ReflectOwnKeys,
} = Reflect;

export const { captureStackTrace: ErrorCaptureStackTrace } = Error;

export const DateNow = Date.now;

export const ArrayIsArray = Array.isArray;
export const ArrayPrototypeSlice = uncurryThis(Array.prototype.slice);
export const ArrayPrototypeSort = uncurryThis(Array.prototype.sort);
export const ArrayIteratorPrototype = Object.getPrototypeOf([][Symbol.iterator]());
export const IteratorPrototype = Object.getPrototypeOf(ArrayIteratorPrototype);

export const StringFromCharCode = String.fromCharCode;
export const NumberPrototypeToString = uncurryThis(Number.prototype.toString);
export const StringPrototypeCharCodeAt = uncurryThis(String.prototype.charCodeAt);
export const StringPrototypeIncludes = uncurryThis(String.prototype.includes);
export const StringPrototypeIndexOf = uncurryThis(String.prototype.indexOf);
export const StringPrototypeRepeat = uncurryThis(String.prototype.repeat);
export const StringPrototypeSlice = uncurryThis(String.prototype.slice);
export const StringPrototypeToLowerCase = uncurryThis(String.prototype.toLowerCase);
export const StringPrototypeToUpperCase = uncurryThis(String.prototype.toUpperCase);
export const StringPrototypeValueOf = uncurryThis(String.prototype.valueOf);
export const StringPrototypeToWellFormed = uncurryThis(String.prototype.toWellFormed);
export const RegExpPrototypeExec = uncurryThis(RegExp.prototype.exec);
export const RegExpPrototypeTest = (regexp, string) => RegExpPrototypeExec(regexp, string) !== null;

// Deleted from the global object once this layer has it.
export const { WeakRef: WeakReference } = globalThis;
export const WeakRefPrototypeDeref = uncurryThis(WeakReference.prototype.deref);

export const MapPrototypeDelete = uncurryThis(Map.prototype.delete);
export const MapPrototypeForEach = uncurryThis(Map.prototype.forEach);
export const MapPrototypeGet = uncurryThis(Map.prototype.get);
export const MapPrototypeHas = uncurryThis(Map.prototype.has);
export const MapPrototypeSet = uncurryThis(Map.prototype.set);
export const SetPrototypeAdd = uncurryThis(Set.prototype.add);
export const SetPrototypeDelete = uncurryThis(Set.prototype.delete);
export const SetPrototypeGetSize = getter(Set.prototype, "size");
export const SetPrototypeForEach = uncurryThis(Set.prototype.forEach);

export const WeakSetPrototypeAdd = uncurryThis(WeakSet.prototype.add);
export const WeakSetPrototypeDelete = uncurryThis(WeakSet.prototype.delete);

export const PromiseThen = Promise.prototype.then;
export const PromisePrototypeThen = uncurryThis(PromiseThen);
export const PromiseResolve = Promise.resolve.bind(Promise);
export const PromiseReject = Promise.reject.bind(Promise);

export const {
    asyncIterator: SymbolAsyncIterator,
    iterator: SymbolIterator,
    toStringTag: SymbolToStringTag,
} = Symbol;
export const SymbolPrototypeToString = uncurryThis(Symbol.prototype.toString);

export const { isFinite: NumberIsFinite, isSafeInteger: NumberIsSafeInteger } = Number;
export const {
    ceil: MathCeil, floor: MathFloor, max: MathMax, min: MathMin, random: MathRandom, trunc: MathTrunc,
} = Math;
export const { parse: JSONParse, stringify: JSONStringify } = JSON;

const TypedArray = Object.getPrototypeOf(Uint8Array);
export const TypedArrayPrototypeGetBuffer = getter(TypedArray.prototype, "buffer");
export const TypedArrayPrototypeGetLength = getter(TypedArray.prototype, "length");
export const TypedArrayPrototypeGetByteLength = getter(TypedArray.prototype, "byteLength");
export const TypedArrayPrototypeGetByteOffset = getter(TypedArray.prototype, "byteOffset");
// The tag's getter returns undefined for any value that is no typed array, and cannot be fooled by
// proxies.
export const TypedArrayPrototypeGetTag = getter(TypedArray.prototype, Symbol.toStringTag);
export const TypedArrayPrototypeSet = uncurryThis(TypedArray.prototype.set);
export const ArrayBufferIsView = ArrayBuffer.isView;
export const ArrayBufferPrototypeGetByteLength = getter(ArrayBuffer.prototype, "byteLength");
export const ArrayBufferPrototypeGetResizable = getter(ArrayBuffer.prototype, "resizable");
export const DataViewPrototypeGetBuffer = getter(DataView.prototype, "buffer");
export const DataViewPrototypeGetByteLength = getter(DataView.prototype, "byteLength");
export const DataViewPrototypeGetByteOffset = getter(DataView.prototype, "byteOffset");

// A list that no setter on Array.prototype can reach: list[list.length] = x appends to it.
export const newList = () => ObjectSetPrototypeOf([], null);

// Closes a class of this layer: a property that is looked up or set in its objects never reaches
// Object.prototype, where a tenant may have put anything. Returns its prototype, which may have defaults of members: an object has
// its own value only once it is set.
export const closeClass = (constructor) => ObjectSetPrototypeOf(constructor.prototype, null);

export function isObject(value) {
    return value !== null && (typeof value === "object" || typeof value === "function");
}

export function isUint8Array(value) {
    return TypedArrayPrototypeGetTag(value) === "Uint8Array";
}

export function isArrayBuffer(value) {
    try {
        ArrayBufferPrototypeGetByteLength(value);
        return true;
    } catch {
        return false;
    }
}

// Returns the bytes of an ArrayBuffer or view, as a Uint8Array over the same memory.
export function bytesOf(source) {
    if (ArrayBufferIsView(source)) {
        return TypedArrayPrototypeGetTag(source) === undefined
            ? new Uint8Array(DataViewPrototypeGetBuffer(source),
                DataViewPrototypeGetByteOffset(source), DataViewPrototypeGetByteLength(source))
            : new Uint8Array(TypedArrayPrototypeGetBuffer(source),
                TypedArrayPrototypeGetByteOffset(source), TypedArrayPrototypeGetByteLength(source));
    }
    return new Uint8Array(source);
}

// Copies bytes: the caller may change the copy without an effect here.
export function copyBytes(source) {
    const bytes = bytesOf(source);
    const copy = new Uint8Array(TypedArrayPrototypeGetLength(bytes));
    TypedArrayPrototypeSet(copy, bytes);
    return copy;
}
