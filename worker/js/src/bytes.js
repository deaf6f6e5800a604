// SPDX-License-Identifier: Apache-2.0
//
// Small helpers for byte arrays.
import { nativeConcat } from "./native.js";
import {
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteOffset, Uint8Array,
} from "./primordials.js";

// The end of a message about a chunk that is not bytes
export const NO_BYTES = "is not a Uint8Array; text goes through new TextEncoderStream()";

// Joins chunks. size: the sum of their lengths
export const concat = (chunks, size) => nativeConcat(chunks, size, false);

// Does the same with chunks to which nothing else refers: their memory is free at once.
export const join = (chunks, size) => nativeConcat(chunks, size, true);

// Returns a part of bytes, over the same memory.
export const viewBytes = (bytes, from, to) => new Uint8Array(TypedArrayPrototypeGetBuffer(bytes),
    TypedArrayPrototypeGetByteOffset(bytes) + from, to - from);
