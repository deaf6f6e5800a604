// SPDX-License-Identifier: Apache-2.0
//
// A body on its way in: of the request, or of the answer to a call. At most the credit window (256
// KiB) lies here: the supervisor sends more only when it is told how much was read. The body's
// owner has consumed(bytes), discard() and gone.
import { TypedArrayPrototypeGetByteLength, closeClass, newList } from "./primordials.js";
import { join } from "./bytes.js";
import { closeBytes, enqueueBytes, errorBytes, newReadableStream } from "./streams.js";

export class IncomingBody {
    #owner;
    #chunks = newList();
    #size = 0; // bytes in #chunks
    #ended;
    #failed = false;
    #error;
    #discarding = false;
    #controller; // controller of the stream, if there is one
    #pulling = false; // the stream waits for a chunk
    #collector; // {onBytes, onError} of collect(), which waits for the end

    constructor(owner, first, ended) {
        this.#owner = owner;
        this.#ended = ended;
        if (first !== undefined) {
            this.#chunks[0] = first;
            this.#size = TypedArrayPrototypeGetByteLength(first);
        }
    }

    push(data, end) {
        if (this.#failed || this.#ended) {
            return;
        }
        this.#ended = end;
        if (data !== undefined) {
            const size = TypedArrayPrototypeGetByteLength(data);
            if (this.#discarding) {
                this.#consumed(size);
            } else {
                this.#chunks[this.#chunks.length] = data;
                this.#size += size;
                if (this.#collector !== undefined) {
                    this.#consumed(size);
                }
            }
        }
        if (this.#collector !== undefined && end) {
            this.#give();
        } else if (this.#pulling) {
            this.#pull();
        }
    }

    fail(error) {
        if (this.#failed || this.#ended && this.#controller === undefined) {
            return;
        }
        this.#failed = true;
        this.#error = error;
        this.#chunks = newList();
        if (this.#collector !== undefined) {
            this.#collector.onError(error);
        } else if (this.#controller !== undefined) {
            errorBytes(this.#controller, error);
        }
    }

    // Calls onBytes with the whole body, at once if it is there, and true: nothing else refers to the bytes. Or calls onError.
    collect(onBytes, onError) {
        if (this.#failed) {
            onError(this.#error);
        } else if (this.#ended) {
            onBytes(this.#take(), true);
        } else {
            this.#collector = { __proto__: null, onBytes, onError };
            this.#consumed(this.#size);
        }
    }

    // Gives all to the collector. There may be no memory for it in one piece.
    #give() {
        let bytes;
        try {
            bytes = this.#take();
        } catch (error) {
            this.#collector.onError(error);
            return;
        }
        this.#collector.onBytes(bytes, true);
    }

    toStream() {
        return newReadableStream({
            __proto__: null,
            type: "bytes",
            start: (controller) => {
                this.#controller = controller;
                if (this.#failed) {
                    errorBytes(controller, this.#error);
                }
            },
            pull: () => {
                this.#pulling = true;
                this.#pull();
            },
            cancel: () => {
                this.#discarding = true;
                if (!this.#owner.discard()) {
                    this.#consumed(this.#size);
                }
                this.#chunks = newList();
                this.#size = 0;
            },
        }, { __proto__: null, highWaterMark: 0 });
    }

    #pull() {
        if (this.#discarding || this.#failed) {
            return;
        }
        if (this.#size > 0) {
            const chunk = this.#take();
            this.#pulling = false;
            const size = TypedArrayPrototypeGetByteLength(chunk);
            enqueueBytes(this.#controller, chunk);
            this.#consumed(size);
        } else if (this.#ended) {
            this.#pulling = false;
            closeBytes(this.#controller);
        }
    }

    #take() {
        const chunks = this.#chunks;
        const whole = chunks.length === 1 ? chunks[0] : join(chunks, this.#size);
        this.#chunks = newList();
        this.#size = 0;
        return whole;
    }

    // Asks for more; after the end there is nothing to ask for.
    #consumed(size) {
        if (size > 0 && !this.#ended && !this.#owner.gone) {
            this.#owner.consumed(size);
        }
    }
}
closeClass(IncomingBody);
