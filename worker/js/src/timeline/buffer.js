// SPDX-License-Identifier: Apache-2.0
//
// The entries of the isolate's timeline: the newest so many, of all its requests.
import { ArrayPrototypeSlice, ArrayPrototypeSort, newList } from "../primordials.js";
import { entryName, entryStart, entryType } from "./entries.js";

const MAX_ENTRIES = 1000;

let entries = newList(); // in the order of their making
let dropped = 0;

export const droppedEntries = () => dropped;

export function addEntry(entry) {
    if (entries.length >= 2 * MAX_ENTRIES) {
        const kept = newList();
        for (let i = MAX_ENTRIES; i < entries.length; i++) {
            kept[kept.length] = entries[i];
        }
        entries = kept;
        dropped += MAX_ENTRIES;
    }
    entries[entries.length] = entry;
}

// Returns the entries of that type and name as an array, by their start; undefined: any.
export function select(from, type, name) {
    const found = newList();
    for (let i = 0; i < from.length; i++) {
        if ((type === undefined || entryType(from[i]) === type) && (name === undefined || entryName(from[i]) === name)) {
            found[found.length] = from[i];
        }
    }
    return ArrayPrototypeSlice(ArrayPrototypeSort(found, (a, b) => entryStart(a) - entryStart(b)));
}

export const buffered = (type, name) => select(entries, type, name);

export function clearEntries(type, name) {
    const kept = newList();
    for (let i = 0; i < entries.length; i++) {
        if (entryType(entries[i]) !== type || (name !== undefined && entryName(entries[i]) !== name)) {
            kept[kept.length] = entries[i];
        }
    }
    entries = kept;
}

// Returns the newest mark of that name, or undefined.
export function findMark(name) {
    for (let i = entries.length - 1; i >= 0; i--) {
        if (entryType(entries[i]) === "mark" && entryName(entries[i]) === name) {
            return entries[i];
        }
    }
    return undefined;
}
