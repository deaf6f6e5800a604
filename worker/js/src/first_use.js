// SPDX-License-Identifier: Apache-2.0
//
// Libraries that are evaluated at first use, after the tenant's code. They define properties by
// plain objects: without this file each of these would inherit whatever a tenant has put on
// Object.prototype under the name of an attribute.
import {
    ObjectDefineProperty, ObjectPrototype, ReflectGetOwnPropertyDescriptor, newList,
} from "./primordials.js";

const ATTRIBUTES = ["get", "set", "value", "writable", "enumerable", "configurable"];

// Returns the result of load, which runs while Object.prototype has nothing of the tenant's.
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
