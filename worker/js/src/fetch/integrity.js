// SPDX-License-Identifier: Apache-2.0
//
// The option integrity of fetch(): Subresource Integrity (https://www.w3.org/TR/SRI/).
import { btoa } from "../native.js";
import {
    RegExpPrototypeExec, StringFromCharCode, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeToLowerCase,
    TypedArrayPrototypeGetByteLength, Uint8Array, newList,
} from "../primordials.js";
import { consume, toBytes } from "../body.js";
import { subtleLibrary } from "../crypto.js";
import { responseBody } from "../response.js";
import { cutAt } from "../url.js";
import { failed } from "./failure.js";

const hashes = { __proto__: null, sha256: 1, sha384: 2, sha512: 3 }; // numbers of the natives of Web Crypto

// Returns base64 or base64url in one spelling: the former, without "=".
function normalize(text) {
    let out = "";
    for (let i = 0; i < text.length && text[i] !== "="; i++) {
        out += text[i] === "-" ? "+" : text[i] === "_" ? "/" : text[i];
    }
    return out;
}

// Returns { hash, values }: the strongest hash that the metadata has, and the digests of it that are right. hash 0: there is none, and any body
// is right.
function parse(metadata) {
    const found = { __proto__: null, hash: 0, values: newList() };
    for (let rest = metadata, part; (part = RegExpPrototypeExec(/[^ \t\n\f\r]+/, rest)) !== null;) {
        rest = StringPrototypeSlice(rest, part.index + part[0].length);
        const item = cutAt(part[0], "?");
        const dash = StringPrototypeIndexOf(item, "-");
        const hash = hashes[StringPrototypeToLowerCase(StringPrototypeSlice(item, 0, dash === -1 ? 0 : dash))] ?? 0;
        if (hash > found.hash) {
            found.hash = hash;
            found.values = newList();
        }
        if (hash !== 0 && hash === found.hash) {
            found.values[found.values.length] = normalize(StringPrototypeSlice(item, dash + 1));
        }
    }
    return found;
}

function digestOf(hash, bytes) {
    const digest = new Uint8Array(subtleLibrary().digest(hash, bytes));
    let text = "";
    for (let i = 0; i < TypedArrayPrototypeGetByteLength(digest); i++) {
        text += StringFromCharCode(digest[i]);
    }
    return normalize(btoa(text));
}

// Resolves with a Response whose body has one of the digests of metadata, "" for any; its body is read whole before.
export function withIntegrity(metadata, url, response, resolve, reject) {
    const { hash, values } = parse(metadata);
    const body = responseBody(response);
    if (hash === 0) {
        resolve(response);
        return;
    }
    consume(body, (content, isOwn) => {
        const bytes = toBytes(content);
        const digest = digestOf(hash, bytes);
        for (let i = 0; i < values.length; i++) {
            if (values[i] === digest) {
                if (body !== null) {
                    body.source = bytes;
                    body.incoming = undefined;
                    body.isOwn = isOwn;
                    body.used = false;
                }
                resolve(response);
                return;
            }
        }
        reject(failed(url, "the body has none of the digests that integrity names"));
    }, reject);
}
