// SPDX-License-Identifier: Apache-2.0
//
// Web IDL for the interfaces written here: argument conversions, and the property attributes
// that interface objects and their members have.
import {
    ArrayBufferIsView, ArrayBufferPrototypeGetResizable, DataViewPrototypeGetBuffer, FunctionPrototypeCall, IteratorPrototype, MathTrunc, NumberIsFinite,
    NumberPrototypeToString,
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ObjectGetOwnPropertyNames,
    ObjectSetPrototypeOf, RangeError, ReflectGetOwnPropertyDescriptor, ReflectOwnKeys,
    StringPrototypeCharCodeAt, StringPrototypeSlice, StringPrototypeToUpperCase, StringPrototypeToWellFormed, Symbol, SymbolIterator, SymbolToStringTag, TypeError,
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetTag, isArrayBuffer, isObject,
} from "./primordials.js";
import { head, isLatin1, utf8Encode } from "./native.js";
import { nameInterface } from "./platform.js";

export function requireArguments(count, needed, name) {
    if (count < needed) {
        throw new TypeError(`${name}: ${needed} argument${needed === 1 ? "" : "s"} required, ` +
            `but only ${count} present.`);
    }
}

export const illegalInvocation = () => new TypeError("Illegal invocation");

// UTF-16 units of a text that the layer looks into. A look makes a rope flat first: half a gigabyte
// of it ends the process.
const MAX_TEXT = 2 ** 25;
const MAX_SHOWN = 60; // units of a text in a message

export const isLong = (string) => string.length > MAX_TEXT;

// Converts a text that nothing looks into.
export function toDOMString(value) {
    return typeof value === "string" ? value : `${value}`;
}

// Converts a text that is looked into: a name, a URL, a field.
export function toText(value) {
    const string = typeof value === "string" ? value : `${value}`;
    if (isLong(string)) {
        throw new RangeError("The text is too long");
    }
    return string;
}

export function toUSVString(value) {
    return StringPrototypeToWellFormed(toText(value));
}

// Converts the content of a body. A long text becomes bytes at once: these are bounded, and made
// without looking into it.
export function toContent(value) {
    const string = typeof value === "string" ? value : `${value}`;
    return string.length > MAX_TEXT ? utf8Encode(string) : StringPrototypeToWellFormed(string);
}

export function toNumber(value) {
    return typeof value === "string" && isLong(value) ? NaN : +value;
}

export function toDouble(value, name) {
    const number = toNumber(value);
    if (!NumberIsFinite(number)) {
        throw new TypeError(`${name} is not a finite number.`);
    }
    return number;
}

// name: the function and what the text is to it; key: that of a pair.
export function toByteString(value, name, key = undefined) {
    const string = toText(value);
    if (!isLatin1(string)) {
        throw notLatin1(string, key === undefined ? name : `${name} of '${head(key, MAX_SHOWN)}'`);
    }
    return string;
}

function notLatin1(string, name) {
    let at = 0;
    while (StringPrototypeCharCodeAt(string, at) < 256) {
        at++;
    }
    const code = StringPrototypeToUpperCase(NumberPrototypeToString(StringPrototypeCharCodeAt(string, at), 16));
    return new TypeError(`${name} cannot be a ByteString: its character ${at} is U+${StringPrototypeSlice(`000${code}`, -4)}, above U+00FF.`);
}

export function toUnsignedShort(value) {
    return toInteger(value, 0x10000);
}

function toInteger(value, modulus) {
    let number = MathTrunc(toNumber(value));
    if (!NumberIsFinite(number)) {
        return 0;
    }
    number %= modulus;
    return number < 0 ? number + modulus : number + 0;
}

// [EnforceRange] unsigned long long
export function toUnsignedLongLongEnforced(value, name) {
    const number = MathTrunc(toNumber(value));
    if (!NumberIsFinite(number) || number < 0 || number > 0x1fffffffffffff) {
        throw new TypeError(`${name}: the value is no integer from 0 to 9007199254740991.`);
    }
    return number + 0;
}

export function toDictionary(value, name) {
    if (value === undefined || value === null) {
        return undefined;
    }
    if (!isObject(value)) {
        throw new TypeError(`${name}: the options are of type ${typeof value}, not an object.`);
    }
    return value;
}

export function isBufferSource(value) {
    return ArrayBufferIsView(value) || isArrayBuffer(value);
}

// True for a buffer, or a view of one, that Web IDL takes only where it says so. There are no shared ones.
export function isResizable(value) {
    const buffer = !ArrayBufferIsView(value) ? value :
        TypedArrayPrototypeGetTag(value) === undefined ? DataViewPrototypeGetBuffer(value) :
            TypedArrayPrototypeGetBuffer(value);
    return !isArrayBuffer(buffer) || ArrayBufferPrototypeGetResizable(buffer);
}

// Converts a sequence<T>: calls each(item) for the values of the iterator that method of value
// returns.
export function forEachOf(value, method, each) {
    const iterator = FunctionPrototypeCall(method, value);
    if (!isObject(iterator)) {
        throw new TypeError("The iterator is not an object.");
    }
    const { next } = iterator;
    for (;;) {
        const step = FunctionPrototypeCall(next, iterator);
        if (!isObject(step)) {
            throw new TypeError("The iterator's result is not an object.");
        }
        if (step.done) {
            return;
        }
        each(step.value);
    }
}

export function iteratorMethod(value) {
    const method = value[SymbolIterator];
    if (method === undefined || method === null) {
        return undefined;
    }
    if (typeof method !== "function") {
        throw new TypeError("The object's Symbol.iterator is not a function.");
    }
    return method;
}

// Converts a record<K, V>: calls each(key, value) for the own enumerable properties. convertKey converts a key before the
// value is looked at.
export function forEachOwn(object, convertKey, each) {
    const keys = ReflectOwnKeys(object);
    for (let i = 0; i < keys.length; i++) {
        const descriptor = ReflectGetOwnPropertyDescriptor(object, keys[i]);
        if (descriptor !== undefined && descriptor.enumerable) {
            if (typeof keys[i] === "symbol") {
                throw new TypeError("Cannot convert a Symbol to a string.");
            }
            const key = convertKey(keys[i]);
            each(key, object[keys[i]]);
        }
    }
}

// Defines an interface: its members are enumerable, its prototype has a class string and is not
// writable.
export function defineInterface(constructor, name, constants) {
    nameInterface(constructor, name);
    makeEnumerable(constructor, true);
    makeEnumerable(constructor.prototype, false);
    ObjectDefineProperty(constructor, "prototype", { __proto__: null, writable: false });
    ObjectDefineProperty(constructor, "name", { __proto__: null, value: name, configurable: true });
    ObjectDefineProperty(constructor.prototype, SymbolToStringTag,
        { __proto__: null, value: name, configurable: true });
    if (constants !== undefined) {
        const names = ObjectGetOwnPropertyNames(constants);
        for (let i = 0; i < names.length; i++) {
            const descriptor = { __proto__: null, value: constants[names[i]], enumerable: true };
            ObjectDefineProperty(constructor, names[i], descriptor);
            ObjectDefineProperty(constructor.prototype, names[i], descriptor);
        }
    }
}

function makeEnumerable(object, isFunction) {
    const names = ObjectGetOwnPropertyNames(object);
    for (let i = 0; i < names.length; i++) {
        const name = names[i];
        if (isFunction ? name === "prototype" || name === "name" || name === "length" : name === "constructor") {
            continue;
        }
        const descriptor = ObjectGetOwnPropertyDescriptor(object, name);
        if (descriptor.configurable) {
            ObjectDefineProperty(object, name, { __proto__: null, enumerable: true });
        }
    }
}

// The pair iterators of an iterable<K, V> interface. pairsOf(object) gives the present list of
// [key, value] and is asked again at each step, as the standard wants.
export function defineIterable(constructor, name, pairsOf) {
    class PairIterator {
        #target;
        #kind;
        #index = 0;
        constructor(target, kind) {
            this.#target = target;
            this.#kind = kind;
        }
        next() {
            if (!isObject(this) || !(#target in this)) {
                throw new TypeError(`next() called on a value that is no ${name} iterator`);
            }
            const pairs = pairsOf(this.#target);
            if (this.#index >= pairs.length) {
                return { value: undefined, done: true };
            }
            const pair = pairs[this.#index++];
            const value = this.#kind === "keys" ? pair[0] :
                this.#kind === "values" ? pair[1] : [pair[0], pair[1]];
            return { value, done: false };
        }
    }
    const iteratorPrototype = PairIterator.prototype;
    ObjectSetPrototypeOf(iteratorPrototype, IteratorPrototype);
    delete iteratorPrototype.constructor;
    ObjectDefineProperty(iteratorPrototype, "next", { __proto__: null, enumerable: true });
    ObjectDefineProperty(iteratorPrototype, SymbolToStringTag,
        { __proto__: null, value: `${name} Iterator`, configurable: true });

    const methods = {
        entries() {
            pairsOf(this);
            return new PairIterator(this, "entries");
        },
        keys() {
            pairsOf(this);
            return new PairIterator(this, "keys");
        },
        values() {
            pairsOf(this);
            return new PairIterator(this, "values");
        },
        forEach(callback, thisArgument = undefined) {
            pairsOf(this);
            requireArguments(arguments.length, 1, `${name}.forEach`);
            if (typeof callback !== "function") {
                throw new TypeError(`${name}.forEach: parameter 1 is not a function.`);
            }
            for (let i = 0, pairs = pairsOf(this); i < pairs.length; i++, pairs = pairsOf(this)) {
                FunctionPrototypeCall(callback, thisArgument, pairs[i][1], pairs[i][0], this);
            }
        },
    };
    const names = ObjectGetOwnPropertyNames(methods);
    for (let i = 0; i < names.length; i++) {
        ObjectDefineProperty(constructor.prototype, names[i], {
            __proto__: null, value: methods[names[i]],
            writable: true, enumerable: true, configurable: true,
        });
    }
    ObjectDefineProperty(constructor.prototype, SymbolIterator, {
        __proto__: null, value: methods.entries, writable: true, configurable: true,
    });
}
