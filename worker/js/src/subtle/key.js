// SPDX-License-Identifier: Apache-2.0
//
// CryptoKey. A key object is a handle of worker/v8/crypto.cc, which has the key itself; its
// algorithm and usages are kept here, where the tenant does not reach them.
import {
    ObjectDefineProperty, ObjectKeys, ObjectSetPrototypeOf, TypeError, copyBytes, isObject, newList,
} from "../primordials.js";
import { defineInterface, illegalInvocation } from "../webidl.js";

// A class whose constructor gives back another object has its private fields there.
class Handle {
    constructor(handle) {
        return handle;
    }
}

class Slots extends Handle {
    #type;
    #extractable;
    #algorithm;
    #usages;
    #algorithmObject;
    #usagesObject;

    constructor(handle, type, extractable, algorithm, usages) {
        super(handle);
        this.#type = type;
        this.#extractable = extractable;
        this.#algorithm = algorithm;
        this.#usages = usages;
    }

    static isIn(value) {
        return isObject(value) && #type in value;
    }

    static type(key) {
        return key.#type;
    }

    static extractable(key) {
        return key.#extractable;
    }

    static algorithm(key) {
        return key.#algorithm;
    }

    static usages(key) {
        return key.#usages;
    }

    static algorithmObject(key) {
        return key.#algorithmObject ??= toObject(key.#algorithm);
    }

    static usagesObject(key) {
        return key.#usagesObject ??= toArray(key.#usages);
    }
}

export const {
    isIn: isKey, type: keyType, extractable: isExtractable, algorithm: keyAlgorithm, usages: keyUsages,
} = Slots;

// A dictionary as the tenant sees it: hash is {name}, bytes are its own copy.
const toObject = (algorithm) => {
    const object = {};
    const names = ObjectKeys(algorithm);
    for (let i = 0; i < names.length; i++) {
        const value = algorithm[names[i]];
        ObjectDefineProperty(object, names[i], {
            __proto__: null, writable: true, enumerable: true, configurable: true,
            value: names[i] === "hash" ? { name: value } :
                names[i] === "publicExponent" ? copyBytes(value) : value,
        });
    }
    return object;
};

export const toArray = (list) => {
    const array = [];
    for (let i = 0; i < list.length; i++) {
        ObjectDefineProperty(array, i, {
            __proto__: null, value: list[i], writable: true, enumerable: true, configurable: true,
        });
    }
    return array;
};

export const CryptoKey = class {
    constructor() {
        throw new TypeError("CryptoKey: Illegal constructor; use crypto.subtle.generateKey() or importKey()");
    }
    get type() {
        return keyType(requireKey(this));
    }
    get extractable() {
        return isExtractable(requireKey(this));
    }
    get algorithm() {
        return Slots.algorithmObject(requireKey(this));
    }
    get usages() {
        return Slots.usagesObject(requireKey(this));
    }
};
defineInterface(CryptoKey, "CryptoKey");

const requireKey = (value) => {
    if (!isKey(value)) {
        throw illegalInvocation();
    }
    return value;
};

// A parameter that must be a key.
export const toKey = (value, label) => {
    if (!isKey(value)) {
        throw new TypeError(`${label} is not a CryptoKey.`);
    }
    return value;
};

// Makes a CryptoKey of a handle. algorithm: a dictionary of this layer's own; usages: in the order of the standard.
export const makeKey = (handle, type, extractable, algorithm, usages) => {
    ObjectSetPrototypeOf(handle, CryptoKey.prototype);
    return new Slots(handle, type, extractable, algorithm, usages);
};

export const cloneKey = (from, to) => makeKey(to, keyType(from), isExtractable(from), keyAlgorithm(from),
    keyUsages(from));

const ORDER = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey",
    "unwrapKey"];

export const isUsage = (value) => has(ORDER, value);

export const has = (list, value) => {
    for (let i = 0; i < list.length; i++) {
        if (list[i] === value) {
            return true;
        }
    }
    return false;
};

// Those of list that are in allowed, each once, in the order of the standard.
export const normalizeUsages = (list, allowed = ORDER) => {
    const usages = newList();
    for (let i = 0; i < ORDER.length; i++) {
        if (has(list, ORDER[i]) && has(allowed, ORDER[i])) {
            usages[usages.length] = ORDER[i];
        }
    }
    return usages;
};
