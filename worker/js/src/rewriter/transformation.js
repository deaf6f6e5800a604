// SPDX-License-Identifier: Apache-2.0
//
// One document on its way through the rewriter. Works when the stream of its output is pulled: reads a chunk, parses a part of it, whose
// handlers run meanwhile, and gives what comes out.
import {
    FunctionPrototypeCall, MathFloor, MathMax, MathMin, MathRandom, Promise, PromisePrototypeThen, PromiseResolve, StringFromCharCode,
    StringPrototypeCharCodeAt, TypeError, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet, Uint8Array, closeClass, isObject,
    isUint8Array, newList,
} from "../primordials.js";
import { consume, streamOf, toBytes } from "../body.js";
import { viewBytes } from "../bytes.js";
import { cancelReader, closeBytes, enqueueBytes, errorBytes, getReader, newReadableStream, read } from "../streams.js";
import { giveEngine, noteBroken, takeEngine } from "./engine.js";
import { Splice, readerOf } from "./splice.js";
import { createToken } from "./tokens.js";

const PART_BYTES = 65536; // part of the input that is parsed in one go
const FIRST_BYTES = 16384; // room for output

// A mark: letters that nobody can guess, and a number, as ASCII that no escape changes.
const MARK_LETTERS = 24;
const MARK_DIGITS = 8;
const MARK_LENGTH = MARK_LETTERS + MARK_DIGITS;

function newLetters() {
    let letters = "";
    for (let i = 0; i < MARK_LETTERS; i++) {
        letters += StringFromCharCode(97 + MathFloor(MathRandom() * 26));
    }
    return letters;
}

const quietly = (promise) => PromisePrototypeThen(promise, undefined, () => {});

class Transformation {
    stream;
    #handlers;
    #encoding;
    #controller;
    #engine;
    #rewriter = 0;
    #pulled; // ends the pull that waits for output
    #isBusy = false; // a read, or the parser
    #isParsing = false; // the parser, which may be waiting for a handler
    #isOver = false; // failed or cancelled
    #hasFailed = false; // a handler has: no other one runs
    #error;
    #release; // ends the wait for a handler

    #reader; // the input's
    #rest; // input that is not parsed yet
    #isAtEnd = false; // there is no more input
    #hasWritten = false; // the parser has seen something, if only the start
    #isDone = false; // the parser has seen the end

    #room; // output that is not given yet, and bytes of it
    #size = 0;
    #ready = newList(); // output before it: bytes and Splices
    #next = 0; // place in #ready
    #letters;
    #splices = newList();
    #splice; // the one that is read

    constructor(body, handlers, encoding) {
        this.#handlers = handlers;
        this.#encoding = encoding;
        if (body.stream === undefined && body.incoming === undefined) {
            consume(body, (content) => {
                this.#rest = toBytes(content);
                this.#isAtEnd = true;
            });
        } else {
            this.#reader = getReader(streamOf(body));
            body.used = true;
        }
        this.stream = newReadableStream({
            __proto__: null,
            type: "bytes",
            start: (controller) => {
                this.#controller = controller;
            },
            pull: () => new Promise((resolve) => {
                this.#pulled = resolve;
                this.#advance();
            }),
            cancel: (reason) => this.#cancel(reason),
        }, { __proto__: null, highWaterMark: 0 });
    }

    // Makes a function that the parser calls with a token out of a handler of the tenant.
    toCallback(handler, self) {
        return (handle) => {
            if (this.#hasFailed) {
                handle.end();
                return undefined;
            }
            let result;
            try {
                result = FunctionPrototypeCall(handler, self, createToken(handle));
            } catch (error) {
                handle.end();
                this.#failHandler(error);
                return undefined;
            }
            if (!isObject(result)) {
                handle.end();
                return undefined;
            }
            return new Promise((resolve) => {
                const end = () => {
                    handle.end();
                    this.#release = undefined;
                    resolve();
                };
                this.#release = end;
                const fail = (error) => {
                    this.#failHandler(error);
                    end();
                };
                try {
                    PromisePrototypeThen(PromiseResolve(result), () => end(), fail);
                } catch (error) { // thrown by a getter of the tenant's promise
                    fail(error);
                }
            });
        };
    }

    // Returns the text that stands for content which is a stream; undefined for any other value.
    replaceStream(content, isHtml) {
        const reader = readerOf(content);
        if (reader === undefined || reader === "") {
            return reader;
        }
        if (this.#encoding !== "utf-8") {
            quietly(cancelReader(reader, undefined));
            throw new TypeError("HTMLRewriter: a stream can be content only in a document in UTF-8.");
        }
        const number = this.#splices.length;
        this.#splices[number] = new Splice(reader, isHtml);
        this.#letters ??= newLetters();
        let digits = "";
        for (let i = 0, rest = number; i < MARK_DIGITS; i++, rest = MathFloor(rest / 10)) {
            digits = rest % 10 + digits;
        }
        return this.#letters + digits;
    }

    #failHandler(error) {
        if (!this.#hasFailed) {
            this.#hasFailed = true;
            this.#error = error;
        }
    }

    // Does the next thing towards output, until that is there or has to be waited for.
    #advance() {
        while (this.#pulled !== undefined && !this.#isBusy && !this.#isOver) {
            try {
                this.#step();
            } catch (error) {
                this.#fail(error);
            }
        }
    }

    #step() {
        if (this.#hasFailed) {
            throw this.#error;
        }
        if (this.#splice !== undefined) {
            this.#readSplice();
            return;
        }
        if (this.#next === this.#ready.length) {
            this.#ready = newList();
            this.#next = 0;
            this.#flush();
        }
        if (this.#next < this.#ready.length) {
            const output = this.#ready[this.#next];
            this.#ready[this.#next++] = undefined;
            if (isUint8Array(output)) {
                this.#give(output);
            } else {
                this.#splice = output;
            }
        } else if (this.#isDone) {
            this.#isOver = true;
            const pulled = this.#pulled;
            this.#pulled = undefined;
            closeBytes(this.#controller);
            this.#end();
            pulled();
        } else if (this.#rest !== undefined || this.#isAtEnd && !this.#hasWritten) {
            this.#parse();
        } else if (this.#isAtEnd) {
            this.#isDone = true;
            this.#wait(this.#engine.end(this.#rewriter));
        } else {
            this.#read();
        }
    }

    #give(bytes) {
        const pulled = this.#pulled;
        this.#pulled = undefined;
        enqueueBytes(this.#controller, bytes); // may run code of the tenant
        pulled();
    }

    #read() {
        this.#isBusy = true;
        PromisePrototypeThen(read(this.#reader), ({ done, value }) => {
            this.#isBusy = false;
            if (done) {
                this.#isAtEnd = true;
            } else if (!isUint8Array(value)) {
                this.#fail(new TypeError("A chunk of the body is not a Uint8Array."));
            } else if (TypedArrayPrototypeGetByteLength(value) > 0) {
                this.#rest = value;
            }
            this.#advance();
        }, (error) => {
            this.#isBusy = false;
            this.#reader = undefined;
            this.#fail(error);
        });
    }

    #readSplice() {
        const splice = this.#splice;
        this.#isBusy = true;
        PromisePrototypeThen(read(splice.reader), ({ done, value }) => {
            this.#isBusy = false;
            try {
                const bytes = splice.convert(done ? undefined : value);
                if (done) {
                    this.#splice = undefined;
                }
                if (TypedArrayPrototypeGetByteLength(bytes) > 0 && !this.#isOver) {
                    this.#give(bytes);
                }
            } catch (error) {
                this.#fail(error);
            }
            this.#advance();
        }, (error) => {
            this.#isBusy = false;
            this.#splice = undefined;
            this.#fail(error);
        });
    }

    #parse() {
        this.#open();
        const rest = this.#rest ?? new Uint8Array(0);
        const size = TypedArrayPrototypeGetByteLength(rest);
        const part = MathMin(size, PART_BYTES);
        this.#rest = part < size ? viewBytes(rest, part, size) : undefined;
        this.#hasWritten = true;
        this.#wait(this.#engine.write(this.#rewriter, viewBytes(rest, 0, part)));
    }

    #open() {
        if (this.#rewriter !== 0) {
            return;
        }
        const engine = takeEngine();
        this.#engine = engine;
        engine.transformation = this;
        engine.onOutput = (memory, at, size) => this.#collect(memory, at, size);
        this.#rewriter = engine.open(this.#encoding);
        for (let i = 0; i < this.#handlers.length; i++) {
            const entry = this.#handlers[i];
            const callbacks = { __proto__: null };
            for (const name in entry.functions) {
                callbacks[name] = this.toCallback(entry.functions[name], entry.self);
            }
            engine.on(this.#rewriter, entry.selector, callbacks);
        }
    }

    // Goes on when the parser has returned.
    #wait(promise) {
        this.#isBusy = true;
        this.#isParsing = true;
        const goOn = (error) => {
            this.#isBusy = false;
            this.#isParsing = false;
            if (error !== undefined) {
                this.#failHandler(error);
            }
            if (this.#isOver) {
                this.#end();
            } else {
                this.#advance();
            }
        };
        PromisePrototypeThen(promise, () => goOn(this.#engine.takeError()), () => goOn(noteBroken(this.#engine)));
    }

    // Takes a piece of output out of the parser's memory.
    #collect(memory, at, size) {
        if (this.#hasFailed || size === 0) {
            return;
        }
        const splice = size === MARK_LENGTH && this.#letters !== undefined ? this.#findMark(memory, at) : undefined;
        if (splice !== undefined) {
            this.#flush();
            this.#ready[this.#ready.length] = splice;
            return;
        }
        const needed = this.#size + size;
        if (this.#room === undefined || needed > TypedArrayPrototypeGetByteLength(this.#room)) {
            const old = this.#room;
            this.#room = new Uint8Array(MathMax(FIRST_BYTES, 2 * this.#size, needed));
            if (old !== undefined) {
                TypedArrayPrototypeSet(this.#room, viewBytes(old, 0, this.#size), 0);
            }
        }
        TypedArrayPrototypeSet(this.#room, viewBytes(memory, at, at + size), this.#size);
        this.#size = needed;
    }

    // Moves the output so far to #ready.
    #flush() {
        if (this.#size > 0) {
            this.#ready[this.#ready.length] = viewBytes(this.#room, 0, this.#size);
            this.#room = undefined;
            this.#size = 0;
        }
    }

    #findMark(memory, at) {
        for (let i = 0; i < MARK_LETTERS; i++) {
            if (memory[at + i] !== StringPrototypeCharCodeAt(this.#letters, i)) {
                return undefined;
            }
        }
        let number = 0;
        for (let i = MARK_LETTERS; i < MARK_LENGTH; i++) {
            number = 10 * number + memory[at + i] - 48;
        }
        return this.#splices[number];
    }

    // The stream fails with that error, and so does all that it reads.
    #fail(error) {
        if (this.#isOver) {
            return;
        }
        this.#isOver = true;
        errorBytes(this.#controller, error);
        const pulled = this.#pulled;
        this.#pulled = undefined;
        this.#stop(error);
        pulled?.();
    }

    #cancel(reason) {
        this.#isOver = true;
        const input = this.#reader;
        this.#reader = undefined;
        this.#stop(reason);
        return input === undefined ? undefined : cancelReader(input, reason);
    }

    // Stops the parser, which may be waiting for a handler, and all streams.
    #stop(reason) {
        this.#failHandler(reason);
        if (this.#reader !== undefined) {
            quietly(cancelReader(this.#reader, reason));
        }
        for (let i = 0; i < this.#splices.length; i++) {
            quietly(cancelReader(this.#splices[i].reader, reason));
        }
        this.#release?.();
        if (!this.#isParsing) {
            this.#end();
        }
    }

    // Gives back what the transformation holds. The parser is not running.
    #end() {
        const engine = this.#engine;
        this.#engine = undefined;
        this.#reader = undefined;
        this.#rest = undefined;
        this.#room = undefined;
        this.#size = 0;
        this.#ready = newList();
        this.#next = 0;
        this.#splices = newList();
        if (engine !== undefined) {
            if (this.#rewriter !== 0) {
                engine.close(this.#rewriter);
            }
            giveEngine(engine);
        }
    }
}
closeClass(Transformation);

export const transformBody = (body, handlers, encoding) => new Transformation(body, handlers, encoding).stream;
