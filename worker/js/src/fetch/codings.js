// SPDX-License-Identifier: Apache-2.0
//
// Content-Encoding of answers: decoded here, within the tenant's own CPU time and memory, slice by slice as the tenant reads.
import { openCompress } from "../native.js";
import {
    StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeToLowerCase, TypedArrayPrototypeGetByteLength, closeClass, newList,
} from "../primordials.js";
import { join } from "../bytes.js";
import { listAppend, listGet } from "../headers.js";
import { cancelReader, closeBytes, enqueueBytes, getReader, newReadableStream, read } from "../streams.js";
import { failed } from "./failure.js";

// enum compress_format
const DEFLATE = 0;
const DEFLATE_RAW = 1;
const GZIP = 2;
const BROTLI = 3;
const ZSTD = 4;
const formats = { __proto__: null, br: BROTLI, deflate: DEFLATE, gzip: GZIP, "x-gzip": GZIP, zstd: ZSTD };
const CODINGS_MAX = 5;
const VALUE_MAX = 256; // units of a Content-Encoding that is looked at

// enum compress_state
const NEEDS_INPUT = 0;
const HAS_MORE = 1;
const ENDED = 2;

let natives;
const compress = () => (natives ??= openCompress());

const isSpace = (char) => char === " " || char === "\t";

function trim(text) {
    let start = 0;
    let end = text.length;
    while (start < end && isSpace(text[start])) {
        start++;
    }
    while (end > start && isSpace(text[end - 1])) {
        end--;
    }
    return StringPrototypeSlice(text, start, end);
}

// Returns the formats of a body in the order in which they were applied; undefined: the body stays as it is, because there are none, or one of
// them is unknown.
export function codingsOf(url, list) {
    const value = listGet(list, "content-encoding");
    if (value === null || value.length > VALUE_MAX) {
        return undefined;
    }
    const found = newList();
    for (let at = 0; at <= value.length;) {
        const comma = StringPrototypeIndexOf(value, ",", at);
        const end = comma === -1 ? value.length : comma;
        const name = StringPrototypeToLowerCase(trim(StringPrototypeSlice(value, at, end)));
        at = end + 1;
        if (name !== "" && name !== "identity") {
            if (formats[name] === undefined) {
                return undefined;
            }
            found[found.length] = formats[name];
        }
    }
    if (found.length > CODINGS_MAX) {
        throw failed(url, `the answer is encoded ${found.length} times`);
    }
    return found.length === 0 ? undefined : found;
}

// Returns the headers of a body that is decoded: those of the encoded one would be wrong for a client that gets it.
export function withoutCodings(list) {
    const kept = newList();
    for (let i = 0; i < list.length; i += 2) {
        if (list[i] !== "content-encoding" && list[i] !== "content-length") {
            listAppend(kept, list[i], list[i + 1]);
        }
    }
    return kept;
}

// One coding. The next input may come when bytes is undefined.
class Stage {
    #format;
    #native; // the decoder, in the middle of the data
    #hasEnded = false; // there was an end of the data
    #hasMore = false; // the decoder has output that needs no more input
    #url;
    #from = 0;
    bytes; // input that is not yet taken

    constructor(format, url) {
        this.#format = format;
        this.#url = url;
    }

    give(bytes) {
        this.bytes = bytes;
        this.#from = 0;
    }

    // Browsers take "deflate" with the header of zlib and without.
    #begin(byte) {
        const format = this.#format === DEFLATE && (byte & 0x8f) !== 8 ? DEFLATE_RAW : this.#format;
        this.#native = compress().compressNew(format, true);
    }

    // True if the byte may begin another member (gzip) or frame (zstd). All else behind the end is passed over, as browsers do.
    #isAnother(byte) {
        return this.#format === GZIP && byte === 0x1f || this.#format === ZSTD && (byte === 0x28 || byte >> 4 === 5);
    }

    // Returns some of the output; undefined: there is none without more input.
    step() {
        while (this.bytes !== undefined) {
            const byte = this.bytes[this.#from];
            if (byte === undefined && !this.#hasMore) {
                this.bytes = undefined;
                break;
            }
            if (this.#native === undefined) {
                if (this.#hasEnded && !this.#isAnother(byte)) {
                    this.bytes = undefined;
                    break;
                }
                this.#begin(byte);
            }
            const result = compress().compressStep(this.#native, this.bytes, this.#from, false);
            if (result === undefined) {
                throw failed(this.#url, "the body is not encoded as its Content-Encoding says");
            }
            this.#from += result[1];
            this.#hasMore = result[0] === HAS_MORE;
            if (result[0] === ENDED) {
                this.free();
                this.#hasEnded = true;
            } else if (result[0] === NEEDS_INPUT) {
                this.bytes = undefined;
            }
            if (result[2] !== undefined) {
                return result[2];
            }
        }
        return undefined;
    }

    // Checks that the input may end here.
    end() {
        if (this.#native !== undefined) {
            throw failed(this.#url, "the encoded body ends too early");
        }
    }

    free() {
        if (this.#native !== undefined) {
            compress().compressFree(this.#native);
            this.#native = undefined;
        }
    }
}
closeClass(Stage);

// The decoded form of an IncomingBody, in its place in a Body.
export class DecodedBody {
    #incoming;
    #stages = newList();
    #hasEnded = false; // the incoming body

    constructor(incoming, codings, url) {
        this.#incoming = incoming;
        for (let i = codings.length - 1; i >= 0; i--) {
            this.#stages[this.#stages.length] = new Stage(codings[i], url);
        }
    }

    // Returns some of the output of a stage, and of those before it; undefined: there is none without more of the incoming body.
    #advance(level) {
        const stage = this.#stages[level];
        for (;;) {
            const chunk = stage.step();
            if (chunk !== undefined) {
                return chunk;
            }
            const input = level === 0 ? undefined : this.#advance(level - 1);
            if (input === undefined) {
                if (this.#hasEnded) {
                    stage.end();
                }
                return undefined;
            }
            stage.give(input);
        }
    }

    #next() {
        return this.#advance(this.#stages.length - 1);
    }

    #free() {
        for (let i = 0; i < this.#stages.length; i++) {
            this.#stages[i].free();
        }
    }

    // See IncomingBody. onBytes may be called at once.
    collect(onBytes, onError) {
        this.#incoming.collect((bytes) => {
            let whole;
            try {
                whole = this.#decode(bytes);
            } catch (error) {
                this.#free();
                onError(error);
                return;
            }
            onBytes(whole, true);
        }, onError);
    }

    #decode(bytes) {
        const chunks = newList();
        let size = 0;
        this.#hasEnded = true;
        this.#stages[0].give(bytes);
        for (let chunk = this.#next(); chunk !== undefined; chunk = this.#next()) {
            chunks[chunks.length] = chunk;
            size += TypedArrayPrototypeGetByteLength(chunk);
        }
        return join(chunks, size);
    }

    toStream() {
        const reader = getReader(this.#incoming.toStream());
        return newReadableStream({
            __proto__: null,
            type: "bytes",
            pull: async (controller) => {
                try {
                    await this.#pull(reader, controller);
                } catch (error) {
                    this.#free();
                    cancelReader(reader, error);
                    throw error;
                }
            },
            cancel: (reason) => {
                this.#free();
                return cancelReader(reader, reason);
            },
        }, { __proto__: null, highWaterMark: 0 });
    }

    async #pull(reader, controller) {
        for (;;) {
            const chunk = this.#next();
            if (chunk !== undefined) {
                enqueueBytes(controller, chunk);
                return;
            }
            if (this.#hasEnded) {
                closeBytes(controller);
                return;
            }
            const { done, value } = await read(reader);
            if (done) {
                this.#hasEnded = true;
            } else {
                this.#stages[0].give(value);
            }
        }
    }
}
closeClass(DecodedBody);
