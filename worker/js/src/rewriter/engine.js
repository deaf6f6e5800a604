// SPDX-License-Identifier: Apache-2.0
//
// One instance of lol-html's WebAssembly (package lol-html; rust's wasm-bindgen has made its imports and exports). A transformation has an
// instance for itself: its memory is the tenant's, a fault of it ends that transformation only, and it goes with it. The code waits for the
// promises of handlers on a stack of its own (JavaScript Promise Integration).
import { openRewriter, utf8Decode, utf8Encode } from "../native.js";
import {
    Error, RangeError, TypeError, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet, Uint8Array, closeClass, newList, uncurryThis,
} from "../primordials.js";
import { webAssembly } from "../webassembly.js";
import { Suspending, promising } from "./stacks.js";

const { Instance } = webAssembly;
const exportsOf = uncurryThis(webAssembly.getExports);
const bufferOf = uncurryThis(webAssembly.getBuffer);
const tableGet = uncurryThis(webAssembly.tableGet);
const tableGrow = uncurryThis(webAssembly.tableGrow);
const tableSet = uncurryThis(webAssembly.tableSet);

const modules = openRewriter();
const rewriterModule = modules[0];
const callerModule = modules[1];
const bridgeModule = modules[2];

// Memory of an instance that is used again, and how many of these are kept.
const MAX_KEPT_BYTES = 4 * 2 ** 20;
const MAX_KEPT = 2;
const kept = newList();

// Kinds of tokens, as the instance announces them.
export const ELEMENT = 0;
export const END_TAG = 1;
export const TEXT = 2;
export const COMMENT = 3;
export const DOCTYPE = 4;
export const DOCUMENT_END = 5;

const FREE = ["__wbg_element_free", "__wbg_endtag_free", "__wbg_textchunk_free", "__wbg_comment_free", "__wbg_doctype_free",
    "__wbg_documentend_free"];

const failure = () => new RangeError("HTMLRewriter: the parser has failed: there may be no memory left.");

// A token of the document while a handler has it.
class Handle {
    engine;
    kind;
    pointer; // 0: its handler is over
    shared; // knowledge that the objects of one token share: see tokens.js
    version = 0; // counts changes of the attributes

    constructor(engine, kind, pointer) {
        this.engine = engine;
        this.kind = kind;
        this.pointer = pointer;
    }

    end() {
        const { pointer } = this;
        this.pointer = 0;
        if (pointer !== 0 && !this.engine.isBroken) {
            this.engine.exports[FREE[this.kind]](pointer, 0);
        }
    }
}
closeClass(Handle);

class Engine {
    exports;
    isBroken = false; // a trap: its memory may be in any state
    onOutput; // is called with the memory, and place and size of each piece of output
    transformation; // the one that has the engine
    lastComment; // see tokens.js
    lastEndTag;
    #memory;
    #bytes = new Uint8Array(0); // all of the memory
    #table;
    #write;
    #end;
    #error; // the outcome of the last write or end: a value, or undefined
    #outputAt = 0;
    #outputSize = 0;
    #textSize = 0;

    constructor() {
        this.exports = exportsOf(new Instance(rewriterModule,
            { __proto__: null, __wbindgen_placeholder__: this.#imports() })); // eslint-disable-line camelcase
        this.#memory = this.exports.memory;
        this.#table = this.exports.__wbindgen_export_4;
        this.exports.__wbindgen_start();
        const bridge = exportsOf(new Instance(bridgeModule, {
            __proto__: null,
            a: {
                __proto__: null, w: this.exports.htmlrewriter_write, e: this.exports.htmlrewriter_end,
                d: (value, isError) => {
                    this.#error = isError ? this.#take(value) : undefined;
                },
            },
        }));
        this.#write = promising(bridge.w);
        this.#end = promising(bridge.e);
    }

    // Returns a rewriter of the instance, whose output goes to onOutput.
    open(encoding) {
        const pointer = this.#putText(encoding);
        const result = this.exports.htmlrewriter_new(pointer, this.#textSize, () => this.#collect());
        if (result[2]) {
            throw this.#toError(this.#take(result[1]));
        }
        return result[0] >>> 0;
    }

    // Adds handlers: an object without a prototype, of functions that take a Handle and return undefined or a promise that is never rejected.
    on(rewriter, selector, handlers) {
        if (selector === undefined) {
            this.#check(this.exports.htmlrewriter_onDocument(rewriter, handlers));
            return;
        }
        const pointer = this.#putText(selector);
        this.#check(this.exports.htmlrewriter_on(rewriter, pointer, this.#textSize, handlers));
    }

    // Returns a promise, fulfilled when the bytes are parsed and all handlers are over. takeError() says how that went.
    write(rewriter, bytes) {
        const pointer = this.#putBytes(bytes);
        return this.#write(rewriter, pointer, TypedArrayPrototypeGetByteLength(bytes));
    }

    end(rewriter) {
        return this.#end(rewriter);
    }

    takeError() {
        const error = this.#error;
        this.#error = undefined;
        return error === undefined ? undefined : this.#toError(error);
    }

    close(rewriter) {
        if (!this.isBroken) {
            this.exports.__wbg_htmlrewriter_free(rewriter, 0);
        }
    }

    // These call an export for a token: run… those that return nothing, ask… the others.
    run(name, pointer) {
        this.#check(this.#call(name, pointer));
    }

    runContent(name, pointer, content, isHtml) {
        const text = this.#putText(content);
        this.#check(this.#call(name, pointer, text, this.#textSize, isHtml ? this.#add(true) : 0));
    }

    runText(name, pointer, first) {
        const at = this.#putText(first);
        this.#check(this.#call(name, pointer, at, this.#textSize));
    }

    runTexts(name, pointer, first, second) {
        const at = this.#putText(first);
        const size = this.#textSize;
        const secondAt = this.#putText(second);
        this.#check(this.#call(name, pointer, at, size, secondAt, this.#textSize));
    }

    runFunction(name, pointer, value) {
        this.#check(this.#call(name, pointer, value));
    }

    askFlag(name, pointer) {
        return this.#toFlag(this.#call(name, pointer));
    }

    askFlagOf(name, pointer, text) {
        const at = this.#putText(text);
        return this.#toFlag(this.#call(name, pointer, at, this.#textSize));
    }

    askText(name, pointer) {
        return this.#toText(this.#call(name, pointer));
    }

    askTextOf(name, pointer, text) {
        const at = this.#putText(text);
        return this.#toText(this.#call(name, pointer, at, this.#textSize));
    }

    askValue(name, pointer) {
        const result = this.#call(name, pointer);
        if (result[2]) {
            throw this.#toError(this.#take(result[1]));
        }
        return this.#take(result[0]);
    }

    // True if another transformation may have the instance.
    get isReusable() {
        return !this.isBroken && TypedArrayPrototypeGetByteLength(this.#all()) <= MAX_KEPT_BYTES;
    }

    // Calls an export. A trap is no error of the tenant's.
    #call(name, a, b, c, d, e) {
        try {
            return this.exports[name](a, b, c, d, e);
        } catch {
            this.isBroken = true;
            throw failure();
        }
    }

    #all() {
        if (TypedArrayPrototypeGetByteLength(this.#bytes) === 0) { // or the memory has grown
            this.#bytes = new Uint8Array(bufferOf(this.#memory));
        }
        return this.#bytes;
    }

    #view(at, size) {
        this.#all();
        return new Uint8Array(bufferOf(this.#memory), at >>> 0, size >>> 0);
    }

    #putBytes(bytes) {
        const size = TypedArrayPrototypeGetByteLength(bytes);
        let pointer;
        try {
            pointer = this.exports.__wbindgen_malloc(size, 1) >>> 0;
        } catch {
            this.isBroken = true;
            throw failure();
        }
        TypedArrayPrototypeSet(this.#all(), bytes, pointer);
        return pointer;
    }

    #putText(text) {
        const bytes = utf8Encode(text);
        this.#textSize = TypedArrayPrototypeGetByteLength(bytes);
        return this.#putBytes(bytes);
    }

    #getText(at, size) {
        return utf8Decode(this.#view(at, size), false);
    }

    #add(value) {
        const index = this.exports.__externref_table_alloc();
        tableSet(this.#table, index, value);
        return index;
    }

    #take(index) {
        const value = tableGet(this.#table, index);
        this.exports.__externref_table_dealloc(index);
        return value;
    }

    #check(result) {
        if (result[1]) {
            throw this.#toError(this.#take(result[0]));
        }
    }

    #toFlag(result) {
        if (result[2]) {
            throw this.#toError(this.#take(result[1]));
        }
        return result[0] !== 0;
    }

    #toText(result) {
        if (result[3]) {
            throw this.#toError(this.#take(result[2]));
        }
        if (result[0] === 0) {
            return undefined;
        }
        const text = this.#getText(result[0], result[1]);
        this.exports.__wbindgen_free(result[0], result[1], 1);
        return text;
    }

    // Errors come as texts, or as what the import for errors has made of them.
    #toError(value) {
        return typeof value === "string" ? new TypeError(`Parser error: ${value}`) : value;
    }

    #collect() {
        this.onOutput(this.#all(), this.#outputAt, this.#outputSize);
    }

    #optional(value) {
        return value === undefined ? 0 : this.#add(value);
    }

    #announce(kind) {
        return (pointer) => new Handle(this, kind, pointer >>> 0);
    }

    /* eslint-disable camelcase */
    #imports() {
        const impossible = () => {
            throw new Error("HTMLRewriter: an import that is not expected");
        };
        const caller = exportsOf(new Instance(callerModule, {
            __proto__: null,
            a: {
                __proto__: null,
                // A handler, or the function for output, which has seen its place by then.
                c: (callback, self, argument) => callback(argument) ?? null,
                p: new Suspending((promise) => promise),
            },
        }));
        return {
            __proto__: null,
            __wbg_element_new: this.#announce(ELEMENT),
            __wbg_endtag_new: this.#announce(END_TAG),
            __wbg_textchunk_new: this.#announce(TEXT),
            __wbg_comment_new: this.#announce(COMMENT),
            __wbg_doctype_new: this.#announce(DOCTYPE),
            __wbg_documentend_new: this.#announce(DOCUMENT_END),
            __wbg_html_e5e6fa796c38a65c: () => 1,
            __wbg_element_5496fd537f0d77ba: (handlers) => this.#optional(handlers.element),
            __wbg_comments_02c515e985fd0ed7: (handlers) => this.#optional(handlers.comments),
            __wbg_comments_9308c0bfd8de6e26: (handlers) => this.#optional(handlers.comments),
            __wbg_text_671fd89bd85b6da5: (handlers) => this.#optional(handlers.text),
            __wbg_text_cdbc913fa5817f01: (handlers) => this.#optional(handlers.text),
            __wbg_doctype_e273fa34fea23be1: (handlers) => this.#optional(handlers.doctype),
            __wbg_end_170067c0285b4554: (handlers) => this.#optional(handlers.end),
            __wbg_call_500db948e69c7330: caller.c,
            __wbg_buffer_61b7ce01341d7f88: () => undefined,
            __wbg_newwithbyteoffsetandlength_ba35896968751d91: (buffer, at, size) => {
                this.#outputAt = at >>> 0;
                this.#outputSize = size >>> 0;
            },
            __wbg_new_3ff5b33b1ce712df: () => undefined,
            // The list of attributes
            __wbg_new_254fa9eac11932ae: newList,
            __wbg_new_688846f374351c92: () => ({ __proto__: null }),
            __wbg_set_1d80752d0d5f0b21: (list, index, value) => {
                list[index >>> 0] = value;
            },
            __wbg_set_3fda3bac07393de4: (object, key, value) => {
                object[key] = value;
            },
            __wbindgen_string_new: (at, size) => this.#getText(at, size),
            __wbg_new_6799ef630abee97c: (at, size) => new TypeError(`Parser error: ${this.#getText(at, size)}`),
            __wbg_String_fed4d24b68977888: impossible,
            __wbindgen_debug_string: impossible,
            __wbindgen_throw: (at, size) => {
                throw new Error(`HTMLRewriter: ${this.#getText(at, size)}`);
            },
            __wbindgen_memory: () => this.#memory,
            __wbindgen_init_externref_table: () => {
                const offset = tableGrow(this.#table, 4);
                tableSet(this.#table, 0, undefined);
                tableSet(this.#table, offset, undefined);
                tableSet(this.#table, offset + 1, null);
                tableSet(this.#table, offset + 2, true);
                tableSet(this.#table, offset + 3, false);
            },
        };
    }
    /* eslint-enable camelcase */
}
closeClass(Engine);

export function takeEngine() {
    if (kept.length > 0) {
        const engine = kept[kept.length - 1];
        kept.length--;
        return engine;
    }
    return new Engine();
}

export function giveEngine(engine) {
    engine.onOutput = undefined;
    engine.transformation = undefined;
    engine.lastComment = undefined;
    engine.lastEndTag = undefined;
    if (kept.length < MAX_KEPT && engine.isReusable) {
        kept[kept.length] = engine;
    }
}

// Throws a TypeError if the selector is none.
export function checkSelector(selector) {
    const engine = takeEngine();
    const rewriter = engine.open("utf-8");
    try {
        engine.on(rewriter, selector, { __proto__: null });
    } catch (error) {
        if (error instanceof TypeError || error instanceof RangeError) {
            throw error;
        }
        engine.isBroken = true; // a trap
        throw new TypeError("Parser error: The selector is nested too deeply.");
    } finally {
        engine.close(rewriter);
        giveEngine(engine);
    }
}

export const noteBroken = (engine) => {
    engine.isBroken = true;
    return failure();
};
