// SPDX-License-Identifier: Apache-2.0
//
// Small helpers for byte arrays.
import {
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeSet, Uint8Array,
} from "./primordials.js";

// size: the sum of the lengths of chunks
export function concat(chunks, size) {
    const all = new Uint8Array(size);
    for (let i = 0, at = 0; i < chunks.length; i++) {
        TypedArrayPrototypeSet(all, chunks[i], at);
        at += TypedArrayPrototypeGetByteLength(chunks[i]);
    }
    return all;
}

// A part of bytes, over the same memory.
export const viewBytes = (bytes, from, to) => new Uint8Array(TypedArrayPrototypeGetBuffer(bytes),
    TypedArrayPrototypeGetByteOffset(bytes) + from, to - from);
