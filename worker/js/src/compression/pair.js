// SPDX-License-Identifier: Apache-2.0
//
// A readable and a writable side with a native stream of worker/v8/compress.cc between them. They behave as those of a TransformStream,
// but for one thing: a chunk that is written may become many chunks to read, and each of these is made when there is somebody who
// wants it. A TransformStream would have to make all of them at once, whatever their size.
import { nativeCopyBytes, openCompress } from "../native.js";
import {
    Promise, TypeError, TypedArrayPrototypeGetByteLength, Uint8Array, bytesOf, closeClass,
} from "../primordials.js";
import { streamLibrary } from "../streams.js";
import { viewBytes } from "../bytes.js";
import { isBufferSource, isResizable } from "../webidl.js";

const {
    ReadableStream, WritableStream, closeChunks, enqueueChunk, errorChunks, errorWritable,
} = streamLibrary();
const { compressFree, compressNew, compressStep } = openCompress();

// enum compress_state
const NEEDS_INPUT = 0;
const ENDED = 2;

const toBytes = (chunk) => {
    if (!isBufferSource(chunk) || isResizable(chunk)) {
        throw new TypeError("A chunk is neither an ArrayBuffer of a fixed length nor a view of one.");
    }
    return bytesOf(chunk);
};

// Pulls and writes that wait are closures that end them.
class Pair {
    readable;
    writable;
    #stream; // the native one
    #isDecoder;
    #output; // controllers of the two sides
    #input;
    #isOver = false; // failed, cancelled, aborted or closed
    #hasEnded = false; // a decoder has met the end of the data
    #pulled; // ends the pull that waits for a chunk
    #write; // the write that is under way, { chunk, bytes, from, isOwn, resolve, reject }

    constructor(format, isDecoder) {
        this.#stream = compressNew(format, isDecoder);
        this.#isDecoder = isDecoder;
        this.readable = new ReadableStream({
            __proto__: null,
            start: (controller) => {
                this.#output = controller;
            },
            pull: () => new Promise((resolve) => {
                this.#pulled = resolve;
                this.#work();
            }),
            cancel: (reason) => {
                this.#end();
                errorWritable(this.#input, reason);
                this.#write?.reject(reason);
                this.#write = undefined;
            },
        }, { __proto__: null, highWaterMark: 0 });
        this.writable = new WritableStream({
            __proto__: null,
            start: (controller) => {
                this.#input = controller;
            },
            write: (chunk) => new Promise((resolve, reject) => {
                this.#write = { __proto__: null, chunk, bytes: undefined, from: 0, isOwn: false, resolve, reject };
                this.#work();
            }),
            close: () => {
                this.#close();
            },
            abort: (reason) => {
                this.#end();
                errorChunks(this.#output, reason);
            },
        });
    }

    // Gives the native memory back.
    #end() {
        this.#isOver = true;
        compressFree(this.#stream);
        const pulled = this.#pulled;
        this.#pulled = undefined;
        pulled?.();
    }

    // Both sides fail with that error; the write's promise takes it to the writable one.
    #fail(error) {
        if (!this.#isOver) {
            this.#end();
            errorChunks(this.#output, error);
        }
    }

    #step(bytes, from, isLast) {
        const result = compressStep(this.#stream, bytes, from, isLast);
        if (result === undefined) {
            throw new TypeError("The compressed data is not valid.");
        }
        return result;
    }

    #enqueue(chunk) {
        const pulled = this.#pulled;
        this.#pulled = undefined;
        enqueueChunk(this.#output, chunk); // may run code of the tenant, which may cancel the stream
        pulled?.();
    }

    // Goes on while there is both something to read and somebody who wants it.
    #work() {
        while (this.#pulled !== undefined && this.#write !== undefined && !this.#isOver) {
            const write = this.#write;
            try {
                this.#takeSlice(write);
            } catch (error) {
                this.#write = undefined;
                this.#fail(error);
                write.reject(error);
            }
        }
    }

    #takeSlice(write) {
        write.bytes ??= toBytes(write.chunk);
        if (this.#hasEnded) {
            this.#checkRest(write, 0);
            return;
        }
        const result = this.#step(write.bytes, write.from, false);
        const state = result[0];
        const chunk = result[2];
        write.from += result[1];
        this.#hasEnded = state === ENDED;
        if (chunk !== undefined) {
            if (state !== NEEDS_INPUT && state !== ENDED && !write.isOwn) {
                this.#keepRest(write);
            }
            this.#enqueue(chunk);
        }
        if (state === ENDED) {
            this.#checkRest(write, write.from);
        } else if (state === NEEDS_INPUT) {
            this.#finish(write);
        }
    }

    // The tenant may change or transfer its chunk before there is another pull.
    #keepRest(write) {
        write.bytes = nativeCopyBytes(
            viewBytes(write.bytes, write.from, TypedArrayPrototypeGetByteLength(write.bytes)));
        write.from = 0;
        write.isOwn = true;
        write.chunk = undefined;
    }

    #checkRest(write, from) {
        if (from < TypedArrayPrototypeGetByteLength(write.bytes)) {
            throw new TypeError("There is more input after the end of the compressed data.");
        }
        this.#finish(write);
    }

    #finish(write) {
        this.#write = undefined;
        write.resolve();
    }

    // Is called when all writes are over. The rest that an encoder still has is short.
    #close() {
        try {
            if (this.#isDecoder && !this.#hasEnded) {
                throw new TypeError("The compressed data ends too early.");
            }
            for (let isDone = this.#isDecoder; !isDone && !this.#isOver;) {
                const result = this.#step(new Uint8Array(0), 0, true);
                isDone = result[0] === ENDED;
                if (result[2] !== undefined) {
                    this.#enqueue(result[2]);
                }
            }
        } catch (error) {
            this.#fail(error);
            throw error;
        }
        if (!this.#isOver) {
            closeChunks(this.#output);
            this.#end();
        }
    }
}

closeClass(Pair);

export const makePair = (format, isDecoder) => new Pair(format, isDecoder);
