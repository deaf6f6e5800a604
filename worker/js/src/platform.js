// SPDX-License-Identifier: Apache-2.0
//
// Knows of the platform's own objects what structuredClone and messages need: the names of interfaces, and a row for each
// kind that can be cloned or transferred. An object of an interface without a row can be neither.
import {
    Map, MapPrototypeGet, MapPrototypeSet, ObjectGetPrototypeOf, newList,
} from "./primordials.js";

const names = new Map(); // prototype of an interface to its name
const rows = newList();

// defineInterface() calls it; only interfaces of libraries need a call of their own.
export const nameInterface = (constructor, name) => {
    MapPrototypeSet(names, constructor.prototype, name);
};

// Adds a row: { is(value), clone(object) } for a serializable kind, { is(value), transfer(object) } for a transferable one; a
// row without either is for an interface that derives from one with a row. is() is true for objects of the kind, by a private field
// and without a call of the tenant's code. clone() returns another object; transfer() the object that takes over, or throws a
// DataCloneError if the object was transferred before or is in use. A derived interface comes after the one that it derives from.
export function addClone(row) {
    rows[rows.length] = row;
}

// Returns the row of an object, or undefined.
export function cloneRow(object) {
    for (let i = rows.length - 1; i >= 0; i--) {
        if (rows[i].is(object)) {
            return rows[i];
        }
    }
    return undefined;
}

// Returns the name of the interface that the object inherits from; undefined for any other object.
export function interfaceName(object) {
    for (let depth = 0; object !== null && depth < 100; depth++) {
        const name = MapPrototypeGet(names, object);
        if (name !== undefined) {
            return name;
        }
        object = ObjectGetPrototypeOf(object);
    }
    return undefined;
}
