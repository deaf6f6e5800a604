// SPDX-License-Identifier: Apache-2.0
//
// Libraries that are evaluated at first use, after the tenant's code. They define properties by plain objects: what a
// tenant has put on Object.prototype under the name of an attribute, each of these would have.
import {
    ObjectDefineProperty, ObjectPrototype, ReflectGetOwnPropertyDescriptor, newList,
} from "./primordials.js";

const ATTRIBUTES = ["get", "set", "value", "writable", "enumerable", "configurable"];

// Returns what load gives, which finds none of that.
export function firstUse(load) {
    const taken = newList();
    for (let i = 0; i < ATTRIBUTES.length; i++) {
        const descriptor = ReflectGetOwnPropertyDescriptor(ObjectPrototype, ATTRIBUTES[i]);
        if (descriptor !== undefined && descriptor.configurable) {
            taken[i] = { __proto__: null, ...descriptor };
            delete ObjectPrototype[ATTRIBUTES[i]];
        }
    }
    try {
        return load();
    } finally {
        for (let i = 0; i < ATTRIBUTES.length; i++) {
            if (taken[i] !== undefined) {
                ObjectDefineProperty(ObjectPrototype, ATTRIBUTES[i], taken[i]);
            }
        }
    }
}
