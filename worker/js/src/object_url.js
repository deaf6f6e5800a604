// SPDX-License-Identifier: Apache-2.0
//
// URL.createObjectURL and revokeObjectURL (File API). A URL that a request has made ends with the request, one of module code
// with the isolate.
import {
    Map, MapPrototypeDelete, MapPrototypeGet, MapPrototypeSet, MathFloor, MathRandom, RangeError,
    StringPrototypeIndexOf, StringPrototypeSlice, TypeError, newList,
} from "./primordials.js";
import { isBlob } from "./blob.js";
import { currentCall } from "./current.js";
import { requireArguments, toUSVString } from "./webidl.js";

const OBJECTS_MAX = 10000; // URLs in an isolate; a forgotten one keeps its Blob

const objects = new Map();
let count = 0;

// A random UUID, which nobody else has to guess.
function makeName() {
    let name = "";
    for (let i = 0; i < 32; i++) {
        name += i === 8 || i === 12 || i === 16 || i === 20 ? "-" : "";
        const digit = i === 12 ? 4 : MathFloor(MathRandom() * 16);
        name += "0123456789abcdef"[i === 16 ? digit & 3 | 8 : digit];
    }
    return name;
}

function revoke(url) {
    if (MapPrototypeDelete(objects, url)) {
        count--;
    }
}

// Returns the Blob that a blob: URL stands for, or undefined.
export const findObject = (url) => MapPrototypeGet(objects, url);

// Called when the request is over.
export function revokeObjects(call) {
    const { objectUrls } = call;
    if (objectUrls !== undefined) {
        call.objectUrls = undefined;
        for (let i = 0; i < objectUrls.length; i++) {
            revoke(objectUrls[i]);
        }
    }
}

const functions = {
    createObjectURL(object) {
        requireArguments(arguments.length, 1, "URL.createObjectURL");
        if (!isBlob(object)) {
            throw new TypeError("URL.createObjectURL: parameter 1 is not of type 'Blob'.");
        }
        if (count >= OBJECTS_MAX) {
            throw new RangeError(`URL.createObjectURL: there are ${OBJECTS_MAX} such URLs; revoke those that are not needed`);
        }
        const call = currentCall();
        const url = `blob:null/${makeName()}`;
        MapPrototypeSet(objects, url, object);
        count++;
        if (call !== undefined) {
            call.objectUrls ??= newList();
            call.objectUrls[call.objectUrls.length] = url;
        }
        return url;
    },

    revokeObjectURL(url) {
        requireArguments(arguments.length, 1, "URL.revokeObjectURL");
        url = toUSVString(url);
        const hash = StringPrototypeIndexOf(url, "#");
        revoke(hash === -1 ? url : StringPrototypeSlice(url, 0, hash));
    },
};

// Static methods of URL.
export const objectUrlFunctions = [functions.createObjectURL, functions.revokeObjectURL];
