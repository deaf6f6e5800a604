// SPDX-License-Identifier: Apache-2.0
//
// The Streams standard, from web-streams-polyfill, and the helpers of the other files for it. Evaluated when somebody first needs a
// stream: ../streams.js. provide(): build.mjs.
import {
    ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream,
    ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    ReadableStreamDefaultReader, TransformStream, TransformStreamDefaultController, WritableStream,
    WritableStreamDefaultController, WritableStreamDefaultWriter, readDirectly, teeWith,
} from "web-streams-polyfill";
import { cloneWithTransfer } from "../clone.js";
import { addClone, nameInterface } from "../platform.js";
import {
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ObjectHasOwn, ObjectKeys, Promise, ReflectOwnKeys, SymbolToStringTag,
    TypeError, TypedArrayPrototypeGetByteLength, closeClass, isObject, isUint8Array, newList, uncurryThis,
} from "../primordials.js";
import { NO_BYTES, concat } from "../bytes.js";
import { transfers } from "../streams.js";

const streamInterfaces = {
    ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream,
    ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    ReadableStreamDefaultReader, TransformStream, TransformStreamDefaultController, WritableStream,
    WritableStreamDefaultController, WritableStreamDefaultWriter,
};

// The library's internal methods have symbols as names, by which a tenant could replace them.
const keepMethods = ({ prototype }) => {
    const keys = ReflectOwnKeys(prototype);
    for (let i = 0; i < keys.length; i++) {
        if (typeof keys[i] === "symbol" && keys[i] !== SymbolToStringTag) {
            ObjectDefineProperty(prototype, keys[i], { __proto__: null, writable: false, configurable: false });
        }
    }
};
keepMethods(ReadableByteStreamController);
keepMethods(ReadableStreamDefaultController);
keepMethods(WritableStreamDefaultController);

const getReader = uncurryThis(ReadableStream.prototype.getReader);
const cancelReader = uncurryThis(ReadableStreamDefaultReader.prototype.cancel);
const pipeThrough = uncurryThis(ReadableStream.prototype.pipeThrough);

const getter = (constructor, name) => uncurryThis(ObjectGetOwnPropertyDescriptor(constructor.prototype, name).get);
const getLocked = getter(ReadableStream, "locked");
const isWriterLocked = getter(WritableStream, "locked");
const readableOf = getter(TransformStream, "readable");
const writableOf = getter(TransformStream, "writable");
const getWriter = uncurryThis(WritableStream.prototype.getWriter);
const writerReady = getter(WritableStreamDefaultWriter, "ready");
const writerClosed = getter(WritableStreamDefaultWriter, "closed");
const writerWrite = uncurryThis(WritableStreamDefaultWriter.prototype.write);
const writerClose = uncurryThis(WritableStreamDefaultWriter.prototype.close);
const writerAbort = uncurryThis(WritableStreamDefaultWriter.prototype.abort);

const enqueueBytes = uncurryThis(ReadableByteStreamController.prototype.enqueue);
const errorBytes = uncurryThis(ReadableByteStreamController.prototype.error);
const close = uncurryThis(ReadableByteStreamController.prototype.close);
const getByobRequest = getter(ReadableByteStreamController, "byobRequest");
const respondByob = uncurryThis(ReadableStreamBYOBRequest.prototype.respond);

const enqueueChunk = uncurryThis(ReadableStreamDefaultController.prototype.enqueue);
const errorChunks = uncurryThis(ReadableStreamDefaultController.prototype.error);
const closeChunks = uncurryThis(ReadableStreamDefaultController.prototype.close);
const enqueueTransform = uncurryThis(TransformStreamDefaultController.prototype.enqueue);
const errorWritable = uncurryThis(WritableStreamDefaultController.prototype.error);

// The steps that a stream takes with a chunk for read() and readAll(), in place of those that make a promise of it: the tenant's
// Object.prototype.then would get the result of each read.
class ReadRequest {
    resolve;
    reject;

    constructor(resolve, reject) {
        this.resolve = resolve;
        this.reject = reject;
    }
    _chunkSteps(value) {
        this.resolve({ __proto__: null, done: false, value });
    }
    _closeSteps() {
        this.resolve({ __proto__: null, done: true, value: undefined });
    }
    _errorSteps(error) {
        this.reject(error);
    }
}
closeClass(ReadRequest);

// Returns a promise of {done, value}.
const read = (reader) => new Promise((resolve, reject) => {
    readDirectly(reader, new ReadRequest(resolve, reject));
});

class ReadAll {
    #reader;
    #onBytes;
    #onError;
    #chunks = newList();
    #size = 0;
    #isReading = false;
    #isAtOnce; // the chunk was there when it was asked for

    constructor(reader, onBytes, onError) {
        this.#reader = reader;
        this.#onBytes = onBytes;
        this.#onError = onError;
    }
    next() {
        do {
            this.#isAtOnce = false;
            this.#isReading = true;
            readDirectly(this.#reader, this);
            this.#isReading = false;
        } while (this.#isAtOnce);
    }
    _chunkSteps(value) {
        if (!isUint8Array(value)) {
            this.#onError(new TypeError(`A chunk of the body ${NO_BYTES}.`));
            return;
        }
        this.#chunks[this.#chunks.length] = value;
        this.#size += TypedArrayPrototypeGetByteLength(value);
        if (this.#isReading) {
            this.#isAtOnce = true;
        } else {
            this.next();
        }
    }
    _closeSteps() {
        let bytes;
        try {
            bytes = concat(this.#chunks, this.#size);
        } catch (error) {
            this.#onError(error);
            return;
        }
        this.#onBytes(bytes, true);
    }
    _errorSteps(error) {
        this.#onError(error);
    }
}
closeClass(ReadAll);

// Calls onBytes with all that the stream has, and true: nothing else refers to the bytes. Or calls onError.
const readAll = (reader, onBytes, onError) => new ReadAll(reader, onBytes, onError).next();

const cloneChunk = (chunk) => cloneWithTransfer(chunk, undefined).value;

// Returns two streams with the content of one; the chunks of the second are clones.
const tee = (stream) => teeWith(stream, cloneChunk);

// Closes a stream. A pending BYOB read must be answered after the close, with nothing.
function closeBytes(controller) {
    close(controller);
    const request = getByobRequest(controller);
    if (request !== null && request !== undefined) {
        respondByob(request, 0);
    }
}

function isReadableStream(value) {
    // The polyfill's own brand check
    return isObject(value) && ObjectHasOwn(value, "_readableStreamController") &&
        value instanceof ReadableStream;
}

function isWritableStream(value) {
    return isObject(value) && ObjectHasOwn(value, "_writableStreamController") && value instanceof WritableStream;
}

const isTransformStream = (value) => isObject(value) && ObjectHasOwn(value, "_transformStreamController") &&
    value instanceof TransformStream;

const isLocked = (stream) => getLocked(stream);

const interfaces = ObjectKeys(streamInterfaces);
for (let i = 0; i < interfaces.length; i++) {
    nameInterface(streamInterfaces[interfaces[i]], interfaces[i]);
}

addClone({ __proto__: null, is: isReadableStream, transfer: (stream) => transfers().transferReadable(stream) });
addClone({ __proto__: null, is: isWritableStream, transfer: (stream) => transfers().transferWritable(stream) });
addClone({ __proto__: null, is: isTransformStream, transfer: (stream) => transfers().transferTransform(stream) });

provide({
    __proto__: null,
    ...streamInterfaces,
    cancelReader,
    closeBytes,
    closeChunks,
    enqueueBytes,
    enqueueChunk,
    enqueueTransform,
    errorBytes,
    errorChunks,
    errorWritable,
    getReader,
    getWriter,
    isLocked,
    isReadableStream,
    isWritableStream,
    isWriterLocked,
    pipeThrough,
    read,
    readAll,
    readableOf,
    tee,
    writableOf,
    writerAbort,
    writerClose,
    writerClosed,
    writerReady,
    writerWrite,
});
