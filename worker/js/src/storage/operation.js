// SPDX-License-Identifier: Apache-2.0
//
// One operation of storage: a call whose method is the operation, and whose answer is values and a rest. A request has a few of them open at a
// time; further ones wait here, in their order.
import { utf8Decode } from "../native.js";
import { Error, TypeError, TypedArrayPrototypeGetByteLength, Uint8Array, closeClass, copyBytes, newList } from "../primordials.js";
import { concat, viewBytes } from "../bytes.js";
import { currentCall } from "../current.js";
import { domException } from "../dom_exception.js";
import { fetchLibrary } from "../fetch.js";
import { atPlace, withoutPlace } from "../place.js";
import { cancelReader, closeBytes, enqueueBytes, getReader, newReadableStream, read } from "../streams.js";
import { headSize } from "./values.js";

// skepd has a queue for operations, too, with the first part of each body: what waits here is bytes of the isolate.
const OPEN_MAX = 16;

const URL = "http://storage/";
const HEAD_MAX = 2 ** 20;
const NO_HEADERS = newList();
const OK = 200;

const lengthOf = (bytes) => TypedArrayPrototypeGetByteLength(bytes);

// The operations of a request.
class Lane {
    open = 0;
    waiting = newList();
    next = 0; // place in waiting: to shift all others would cost the more, the more there are
}
closeClass(Lane);

class Operation {
    title; // the name in a warning
    failedBy; // makes an error of a text
    binding;
    name;
    bytes;
    stream; // body behind the bytes, or undefined
    isStreamed; // true: the rest of the answer becomes a stream
    onAnswer;
    onError;
    lane;
    call;
    isOpen = false;

    answered(exchange, status) {
        const { incoming } = exchange;
        if (incoming === undefined) {
            this.onAnswer({ __proto__: null, status, bytes: new Uint8Array(0), stream: undefined });
        } else if (this.isStreamed && status === OK) {
            // The tenant reads it when it likes: operations that the reading needs must not wait for its end.
            this.left();
            streamRest(incoming.toStream(), status, this.onAnswer, this.onError);
        } else {
            incoming.collect((bytes) => this.onAnswer({ __proto__: null, status, bytes, stream: undefined }), this.onError);
        }
    }

    failed(error) {
        this.onError(error);
    }

    failure(isLimit, message) {
        return isLimit ? domException(message, "QuotaExceededError") : this.failedBy(message);
    }

    shown() {
        return this.title;
    }

    // The call is over: another operation may begin.
    left() {
        if (this.isOpen) {
            this.isOpen = false;
            this.lane.open--;
            begin(this.lane);
        }
    }
}
closeClass(Operation);

function begin(lane) {
    while (lane.open < OPEN_MAX && lane.next < lane.waiting.length) {
        const operation = lane.waiting[lane.next];
        lane.waiting[lane.next++] = undefined;
        if (lane.next === lane.waiting.length) {
            lane.waiting.length = lane.next = 0;
        }
        lane.open++;
        operation.isOpen = true;
        try {
            send(operation);
        } catch (error) {
            operation.isOpen = false;
            lane.open--;
            operation.onError(error);
        }
    }
}

function send(operation) {
    const { binding, bytes, call, name, stream } = operation;
    operation.bytes = undefined;
    operation.stream = undefined;
    fetchLibrary().openExchange(operation, call, {
        __proto__: null, binding, method: name, url: URL, list: NO_HEADERS, bytes, stream, signal: undefined,
    });
}

// Reads the values of an answer, and gives them with a stream of the rest.
async function streamRest(source, status, onAnswer, onError) {
    try {
        const reader = getReader(source);
        let head = new Uint8Array(0);
        let size;
        while ((size = headSize(head)) === undefined || lengthOf(head) < size) {
            const { done, value } = await read(reader);
            if (done || size > HEAD_MAX) {
                throw withoutPlace(new Error("The answer of the storage is not whole."));
            }
            const chunks = newList();
            chunks[0] = head;
            chunks[1] = value;
            head = concat(chunks, lengthOf(head) + lengthOf(value));
        }
        // The values are copied: the stream takes the memory of its first chunk.
        const bytes = copyBytes(viewBytes(head, 0, size));
        onAnswer({ __proto__: null, status, bytes, stream: restStream(reader, viewBytes(head, size, lengthOf(head))) });
    } catch (error) {
        onError(error);
    }
}

function restStream(reader, first) {
    return newReadableStream({
        __proto__: null,
        type: "bytes",
        async pull(controller) {
            let chunk = first;
            first = undefined;
            if (chunk === undefined || lengthOf(chunk) === 0) {
                const { done, value } = await read(reader);
                if (done) {
                    closeBytes(controller);
                    return;
                }
                chunk = value;
            }
            enqueueBytes(controller, chunk);
        },
        cancel(reason) {
            return cancelReader(reader, reason);
        },
    }, { __proto__: null, highWaterMark: 0 });
}

// Asks for an operation. asked: { title, failedBy, binding, name, bytes, stream, isStreamed }: failedBy(text) makes the error of one that skepd has
// failed. onAnswer({ status, bytes, stream }): the answer's bytes, to which nothing else refers, or its values and a stream of the rest. Throws if no
// request is open.
export function operate(asked, onAnswer, onError) {
    const call = currentCall();
    if (call === undefined || call.gone) {
        throw new TypeError(`${asked.title}: storage is used for a request, and none is open here: ctx.waitUntil(promise) keeps a request open.`);
    }
    const operation = new Operation();
    operation.title = asked.title;
    operation.failedBy = asked.failedBy;
    operation.binding = asked.binding;
    operation.name = asked.name;
    operation.bytes = asked.bytes;
    operation.stream = asked.stream;
    operation.isStreamed = asked.isStreamed;
    operation.onAnswer = onAnswer;
    operation.onError = onError;
    operation.call = call;
    const lane = call.storage ??= new Lane();
    operation.lane = lane;
    lane.waiting[lane.waiting.length] = operation;
    begin(lane);
}

// Returns what operate() calls with the answer, for a promise of waitFor(): it is fulfilled with what convert makes of the answer, or rejected with what
// that throws, which has the place of the code that waits.
export const converted = (take, convert) => (answer) => take(() => {
    try {
        return convert(answer);
    } catch (error) {
        throw atPlace(error);
    }
});

export const isOk = (answer) => answer.status === OK;

// Returns the text of an answer that is an error.
export const textOf = (answer) => utf8Decode(answer.bytes, false);
