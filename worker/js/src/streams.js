// SPDX-License-Identifier: Apache-2.0
//
// Streams for the rest of the layer; the library behind them, and the functions, are evaluated at first use: streams/main.js says what each
// of them does.
import { load } from "lazy:./streams/main.js";
import { load as loadTransfer } from "lazy:./transfer/main.js";
import { firstUse } from "./first_use.js";

let library;
let transferFolder;

// Returns the interfaces and the functions of streams/main.js.
export const streamLibrary = () => (library ??= firstUse(load));
export const transfers = () => (transferFolder ??= loadTransfer());

const late = (name) => (a, b, c) => streamLibrary()[name](a, b, c);

export const newReadableStream = (source, strategy) => new (streamLibrary().ReadableStream)(source, strategy);
export const newTransformStream = (transformer) => new (streamLibrary().TransformStream)(transformer);

export const cancelReader = late("cancelReader");
export const closeBytes = late("closeBytes");
export const enqueueBytes = late("enqueueBytes");
export const errorBytes = late("errorBytes");
export const getReader = late("getReader");
export const isLocked = late("isLocked");
export const pipeThrough = late("pipeThrough");
export const read = late("read");
export const readAll = late("readAll");
export const tee = late("tee");

// Before the library is there, no value is a stream.
export const isReadableStream = (value) => library !== undefined && library.isReadableStream(value);
export const isDisturbed = (stream) => stream._disturbed === true;
