// SPDX-License-Identifier: Apache-2.0
//
// crypto.DigestStream of Cloudflare Workers: a WritableStream whose promise digest is the digest of all that was written.
import { utf8Encode } from "../native.js";
import {
    BigInt, Promise, PromisePrototypeThen, TypeError, TypedArrayPrototypeGetByteLength,
} from "../primordials.js";
import { streamLibrary } from "../streams.js";
import {
    defineInterface, isBufferSource, requireArguments, toContent,
} from "../webidl.js";
import { toAlgorithmIdentifier, toBytes } from "./convert.js";
import { done, native } from "./native.js";
import { hashNumber, normalize } from "./registry.js";

const { WritableStream } = streamLibrary();

const chunkBytes = (chunk) => {
    if (isBufferSource(chunk)) {
        return toBytes(chunk, "chunk");
    }
    if (typeof chunk !== "string") {
        throw new TypeError("A DigestStream takes strings, ArrayBuffers and views of them.");
    }
    const content = toContent(chunk);
    return typeof content === "string" ? utf8Encode(content) : content;
};

export const DigestStream = class extends WritableStream {
    #digest;
    #bytesWritten = 0;

    constructor(algorithm) {
        requireArguments(arguments.length, 1, "DigestStream");
        const handle = done(native.streamNew(
            hashNumber(normalize("digest", toAlgorithmIdentifier(algorithm)).name)));
        let resolve;
        let reject;
        let count;
        const digest = new Promise((onDone, onFailed) => {
            resolve = onDone;
            reject = onFailed;
        });
        super({
            __proto__: null,
            write(chunk) {
                try {
                    const bytes = chunkBytes(chunk);
                    native.streamAdd(handle, bytes);
                    count(TypedArrayPrototypeGetByteLength(bytes));
                } catch (error) {
                    reject(error);
                    throw error;
                }
            },
            close() {
                resolve(done(native.streamEnd(handle)));
            },
            abort(reason) {
                reject(reason);
            },
        });
        count = (bytes) => {
            this.#bytesWritten += bytes;
        };
        this.#digest = digest;
        PromisePrototypeThen(digest, undefined, () => {}); // a tenant that does not ask for the digest need not handle its failure
    }
    get digest() {
        return this.#digest;
    }
    get bytesWritten() {
        return BigInt(this.#bytesWritten);
    }
};
defineInterface(DigestStream, "DigestStream");
