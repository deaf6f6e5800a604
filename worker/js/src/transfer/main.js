// SPDX-License-Identifier: Apache-2.0
//
// Streams that are transferred (Streams standard): the one that was locks, and hands clones of its chunks to the one that takes
// over. Evaluated when a tenant first transfers one. provide(): build.mjs.
import { cloneWithTransfer } from "../clone.js";
import { domException } from "../dom_exception.js";
import { PromisePrototypeThen } from "../primordials.js";
import { streamLibrary } from "../streams.js";

const {
    ReadableStream, TransformStream, WritableStream, cancelReader, closeChunks, enqueueChunk, errorWritable, getReader, getWriter, isLocked,
    isWriterLocked, read, readableOf, writableOf, writerAbort, writerClose, writerClosed, writerReady, writerWrite,
} = streamLibrary();
const clone = (value) => cloneWithTransfer(value, undefined).value;

const locked = (name) => domException(`A ${name} that is locked could not be transferred.`, "DataCloneError");

const requireUnlocked = (isIt, name) => {
    if (isIt) {
        throw locked(name);
    }
};

// Calls f with a clone of value, or with the reason why there is none, and throws that then.
const withClone = (value, f) => {
    let copy;
    try {
        copy = clone(value);
    } catch (error) {
        f(error);
        throw error;
    }
    return f(copy);
};

const transferReadable = (stream) => {
    requireUnlocked(isLocked(stream), "ReadableStream");
    const reader = getReader(stream);
    return new ReadableStream({
        __proto__: null,
        pull: (controller) => PromisePrototypeThen(read(reader), ({ done, value }) => {
            if (done) {
                closeChunks(controller);
                return;
            }
            let copy;
            try {
                copy = clone(value);
            } catch (error) {
                PromisePrototypeThen(cancelReader(reader, error), undefined, () => {});
                throw error;
            }
            enqueueChunk(controller, copy);
        }, (error) => {
            throw clone(error);
        }),
        cancel: (reason) => withClone(reason, (copy) => cancelReader(reader, copy)),
    }, { __proto__: null, highWaterMark: 0 });
};

const transferWritable = (stream) => {
    requireUnlocked(isWriterLocked(stream), "WritableStream");
    const writer = getWriter(stream);
    const abort = (reason) => writerAbort(writer, reason);
    return new WritableStream({
        __proto__: null,
        start(controller) {
            PromisePrototypeThen(writerClosed(writer), undefined, (error) => {
                errorWritable(controller, clone(error));
            });
        },
        write: (chunk) => {
            let copy;
            try {
                copy = clone(chunk);
            } catch (error) {
                PromisePrototypeThen(abort(error), undefined, () => {});
                throw error;
            }
            return PromisePrototypeThen(writerReady(writer), () => writerWrite(writer, copy));
        },
        close: () => writerClose(writer),
        abort: (reason) => withClone(reason, abort),
    });
};

const transferTransform = (stream) => {
    const readable = readableOf(stream);
    const writable = writableOf(stream);
    requireUnlocked(isLocked(readable) || isWriterLocked(writable), "TransformStream");
    const result = new TransformStream();
    result._readable = transferReadable(readable); // where the library keeps them
    result._writable = transferWritable(writable);
    return result;
};

provide({ __proto__: null, transferReadable, transferTransform, transferWritable });
