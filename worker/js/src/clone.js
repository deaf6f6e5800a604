// SPDX-License-Identifier: Apache-2.0
//
// structuredClone (HTML), and the same for messages within the isolate: a value and what is transferred with it. V8 clones the
// values of the language, platform.js has the platform's objects.
import { domException } from "./dom_exception.js";
import { nativeStructuredClone } from "./native.js";
import { cloneRow, interfaceName } from "./platform.js";
import {
    Map, MapPrototypeGet, MapPrototypeHas, MapPrototypeSet, TypeError, isArrayBuffer, isObject, newList,
} from "./primordials.js";
import { forEachOf, iteratorMethod, requireArguments, toDictionary } from "./webidl.js";

const failure = (message) => domException(message, "DataCloneError");

// Answers the native about an object: a clone of a platform object, or undefined for an object of the language.
function describe(object) {
    const row = cloneRow(object);
    if (row !== undefined && row.clone !== undefined) {
        return row.clone(object);
    }
    const name = interfaceName(object);
    if (name === undefined && row === undefined) {
        return undefined;
    }
    throw failure(row !== undefined && row.transfer !== undefined ?
        `${name} object could not be cloned because it was not transferred.` : `${name} object could not be cloned.`);
}

// Converts the member transfer of a dictionary, or such a parameter: returns a list of objects, or undefined without any.
export function toTransferList(value, name) {
    if (value === undefined) {
        return undefined;
    }
    const method = isObject(value) ? iteratorMethod(value) : undefined;
    if (method === undefined) {
        throw new TypeError(`${name}: transfer is not a sequence.`);
    }
    const list = newList();
    forEachOf(value, method, (item) => {
        if (!isObject(item)) {
            throw new TypeError(`${name}: an item of transfer is not an object.`);
        }
        list[list.length] = item;
    });
    return list.length === 0 ? undefined : list;
}

// Returns { value, received }: the clone, and the platform objects that took the place of those in the list (toTransferList), in
// its order; undefined without a list. Throws a DataCloneError.
export function cloneWithTransfer(value, list) {
    if (list === undefined) {
        return {
            __proto__: null, value: nativeStructuredClone(value, undefined, describe, undefined, failure), received: undefined,
        };
    }
    const buffers = newList();
    const objects = newList(); // platform objects, each with its row behind it
    const seen = new Map();    // an object to its place among them; buffers have none
    for (let i = 0; i < list.length; i++) {
        const item = list[i];
        if (MapPrototypeHas(seen, item)) {
            throw failure("An object is in transfer twice.");
        }
        if (isArrayBuffer(item)) {
            MapPrototypeSet(seen, item, undefined);
            buffers[buffers.length] = item;
            continue;
        }
        const row = cloneRow(item);
        if (row === undefined || row.transfer === undefined) {
            throw failure(`${interfaceName(item) ?? "An"} object in transfer is not transferable.`);
        }
        MapPrototypeSet(seen, item, objects.length / 2);
        objects[objects.length] = item;
        objects[objects.length] = row;
    }
    const received = newList();
    const result = nativeStructuredClone(value, buffers, (object) => MapPrototypeGet(seen, object) ?? describe(object), () => {
        for (let i = 0; i < objects.length; i += 2) {
            received[i / 2] = objects[i + 1].transfer(objects[i]);
        }
        return received;
    }, failure);
    return { __proto__: null, value: result, received };
}

export const cloneFunctions = {
    structuredClone(value, options = undefined) {
        requireArguments(arguments.length, 1, "structuredClone");
        options = toDictionary(options, "structuredClone");
        return cloneWithTransfer(value, options === undefined ? undefined :
            toTransferList(options.transfer, "structuredClone")).value;
    },
};
