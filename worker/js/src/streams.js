// SPDX-License-Identifier: Apache-2.0
//
// The Streams standard, from web-streams-polyfill, and the helpers of the other files for it.
import {
    ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream,
    ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    ReadableStreamDefaultReader, TransformStream, TransformStreamDefaultController, WritableStream,
    WritableStreamDefaultController, WritableStreamDefaultWriter,
} from "web-streams-polyfill";
import {
    ObjectGetOwnPropertyDescriptor, ObjectHasOwn, isObject, uncurryThis,
} from "./primordials.js";

export const streamInterfaces = {
    ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream,
    ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    ReadableStreamDefaultReader, TransformStream, TransformStreamDefaultController, WritableStream,
    WritableStreamDefaultController, WritableStreamDefaultWriter,
};
export { ReadableStream, TransformStream, WritableStream };

export const getReader = uncurryThis(ReadableStream.prototype.getReader);
export const read = uncurryThis(ReadableStreamDefaultReader.prototype.read);
export const cancelReader = uncurryThis(ReadableStreamDefaultReader.prototype.cancel);
export const pipeThrough = uncurryThis(ReadableStream.prototype.pipeThrough);
export const tee = uncurryThis(ReadableStream.prototype.tee);
const getLocked = uncurryThis(
    ObjectGetOwnPropertyDescriptor(ReadableStream.prototype, "locked").get);

export const enqueueBytes = uncurryThis(ReadableByteStreamController.prototype.enqueue);
export const errorBytes = uncurryThis(ReadableByteStreamController.prototype.error);
const close = uncurryThis(ReadableByteStreamController.prototype.close);
const getByobRequest = uncurryThis(
    ObjectGetOwnPropertyDescriptor(ReadableByteStreamController.prototype, "byobRequest").get);
const respondByob = uncurryThis(ReadableStreamBYOBRequest.prototype.respond);

export const enqueueChunk = uncurryThis(ReadableStreamDefaultController.prototype.enqueue);
export const errorChunks = uncurryThis(ReadableStreamDefaultController.prototype.error);
export const closeChunks = uncurryThis(ReadableStreamDefaultController.prototype.close);
export const errorWritable = uncurryThis(WritableStreamDefaultController.prototype.error);

// Closes a stream. A pending BYOB read must be answered after the close, with nothing.
export function closeBytes(controller) {
    close(controller);
    const request = getByobRequest(controller);
    if (request !== null && request !== undefined) {
        respondByob(request, 0);
    }
}

export function isReadableStream(value) {
    // The polyfill's own brand check
    return isObject(value) && ObjectHasOwn(value, "_readableStreamController") &&
        value instanceof ReadableStream;
}

export const isLocked = (stream) => getLocked(stream);
export const isDisturbed = (stream) => stream._disturbed === true;
