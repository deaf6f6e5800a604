// SPDX-License-Identifier: Apache-2.0
//
// FormData (XHR standard): a list of [name, string or File].
import { ObjectDefineProperty, TypeError, isObject, newList } from "../primordials.js";
import {
    blobBytes, blobType, createFile, fileLastModified, isBlob, isFile,
} from "../blob.js";
import { defineInterface, defineIterable, requireArguments, toUSVString } from "../webidl.js";

export let isFormData;
export let formEntries;

export class FormData {
    #entries = newList();

    constructor(form = undefined) {
        if (form !== undefined) {
            throw new TypeError("FormData: there are no form elements here.");
        }
    }

    append(name, value, filename = undefined) {
        const entries = this.#entries;
        requireArguments(arguments.length, 2, "FormData.append");
        entries[entries.length] = toEntry(name, value, filename, arguments.length, "append");
    }

    delete(name) {
        const entries = this.#entries;
        requireArguments(arguments.length, 1, "FormData.delete");
        name = toUSVString(name);
        let kept = 0;
        for (let i = 0; i < entries.length; i++) {
            if (entries[i][0] !== name) {
                entries[kept++] = entries[i];
            }
        }
        entries.length = kept;
    }

    get(name) {
        const entries = this.#entries;
        requireArguments(arguments.length, 1, "FormData.get");
        name = toUSVString(name);
        for (let i = 0; i < entries.length; i++) {
            if (entries[i][0] === name) {
                return entries[i][1];
            }
        }
        return null;
    }

    getAll(name) {
        const entries = this.#entries;
        requireArguments(arguments.length, 1, "FormData.getAll");
        name = toUSVString(name);
        const found = [];
        for (let i = 0; i < entries.length; i++) {
            if (entries[i][0] === name) {
                ObjectDefineProperty(found, found.length, {
                    __proto__: null, value: entries[i][1],
                    writable: true, enumerable: true, configurable: true,
                });
            }
        }
        return found;
    }

    has(name) {
        const entries = this.#entries;
        requireArguments(arguments.length, 1, "FormData.has");
        name = toUSVString(name);
        for (let i = 0; i < entries.length; i++) {
            if (entries[i][0] === name) {
                return true;
            }
        }
        return false;
    }

    set(name, value, filename = undefined) {
        const entries = this.#entries;
        requireArguments(arguments.length, 2, "FormData.set");
        const entry = toEntry(name, value, filename, arguments.length, "set");
        let kept = 0;
        let isSet = false;
        for (let i = 0; i < entries.length; i++) {
            if (entries[i][0] !== entry[0]) {
                entries[kept++] = entries[i];
            } else if (!isSet) {
                isSet = true;
                entries[kept++] = entry;
            }
        }
        entries.length = kept;
        if (!isSet) {
            entries[kept] = entry;
        }
    }

    static {
        isFormData = (value) => isObject(value) && #entries in value;
        formEntries = (form) => form.#entries;
    }
}
defineIterable(FormData, "FormData", (form) => formEntries(form));
defineInterface(FormData, "FormData");

function toEntry(name, value, filename, count, method) {
    name = toUSVString(name);
    if (!isBlob(value)) {
        if (count > 2 && filename !== undefined) {
            throw new TypeError(`FormData.${method}: parameter 2 is not of type 'Blob'.`);
        }
        return [name, toUSVString(value)];
    }
    if (filename !== undefined) {
        return [name, fileOf(value, toUSVString(filename))];
    }
    return [name, isFile(value) ? value : fileOf(value, "blob")];
}

function fileOf(blob, name) {
    return createFile(blobBytes(blob), blobType(blob), name,
        isFile(blob) ? fileLastModified(blob) : undefined);
}

// For the parsers of request bodies.
export function appendEntry(form, name, value) {
    const entries = formEntries(form);
    entries[entries.length] = [name, value];
}
