// SPDX-License-Identifier: Apache-2.0
//
// multipart/form-data (RFC 7578, HTML, Fetch) and application/x-www-form-urlencoded as FormData.
import { utf8Encode } from "./native.js";
import {
    MathFloor, MathMax, MathRandom, RegExpPrototypeTest, StringPrototypeIndexOf,
    StringPrototypeSlice, StringPrototypeToLowerCase, TypeError, Uint8Array, copyBytes, newList,
    uncurryThis,
} from "./primordials.js";
import { blobBytes, blobType, createFile, fileName } from "./blob.js";
import { concat } from "./bytes.js";
import { decodeUtf8 } from "./encoding.js";
import { FormData, appendEntry, formEntries } from "./form_data.js";
import { parseMime } from "./mime.js";
import { URLSearchParams } from "./url.js";

const subarray = uncurryThis(Uint8Array.prototype.subarray);
const forEachParam = uncurryThis(URLSearchParams.prototype.forEach);
const CR = 13;
const LF = 10;
const DASH = 45;

function escapeName(name) {
    let out = "";
    for (let i = 0; i < name.length; i++) {
        const char = name[i];
        out += char === "\n" ? "%0A" : char === "\r" ? "%0D" : char === '"' ? "%22" : char;
    }
    return out;
}

function withCrlf(text) {
    let out = "";
    for (let i = 0; i < text.length; i++) {
        if (text[i] === "\r" || text[i] === "\n") {
            i += text[i] === "\r" && text[i + 1] === "\n" ? 1 : 0;
            out += "\r\n";
        } else {
            out += text[i];
        }
    }
    return out;
}

// Returns {bytes, type}.
export function encodeMultipart(form) {
    let boundary = "----skep-form-";
    for (let i = 0; i < 24; i++) {
        boundary += MathFloor(MathRandom() * 10);
    }
    const entries = formEntries(form);
    const parts = newList();
    let size = 0;
    const add = (bytes) => {
        parts[parts.length] = bytes;
        size += bytes.length;
    };
    for (let i = 0; i < entries.length; i++) {
        const [name, value] = [entries[i][0], entries[i][1]];
        const head = `--${boundary}\r\nContent-Disposition: form-data; ` +
            `name="${escapeName(withCrlf(name))}"`;
        if (typeof value === "string") {
            add(utf8Encode(`${head}\r\n\r\n${withCrlf(value)}\r\n`));
        } else {
            add(utf8Encode(`${head}; filename="${escapeName(fileName(value))}"\r\nContent-Type: ` +
                `${blobType(value) || "application/octet-stream"}\r\n\r\n`));
            add(blobBytes(value));
            add(utf8Encode("\r\n"));
        }
    }
    add(utf8Encode(`--${boundary}--\r\n`));
    return { __proto__: null, bytes: concat(parts, size),
        type: `multipart/form-data; boundary=${boundary}` };
}

function find(bytes, pattern, from) {
    const last = bytes.length - pattern.length;
    for (let i = from; i <= last; i++) {
        let j = 0;
        while (j < pattern.length && bytes[i + j] === pattern[j]) {
            j++;
        }
        if (j === pattern.length) {
            return i;
        }
    }
    return -1;
}

const malformed = () => new TypeError("The body is not valid multipart/form-data.");

export function parseMultipart(bytes, boundary) {
    const form = new FormData();
    const delimiter = utf8Encode(`--${boundary}`);
    const between = utf8Encode(`\r\n--${boundary}`);
    const blankLine = utf8Encode("\r\n\r\n");
    let at = find(bytes, delimiter, 0);
    if (at !== 0 && !(at === 2 && bytes[0] === CR && bytes[1] === LF)) {
        throw malformed();
    }
    at += delimiter.length;
    for (;;) {
        if (bytes[at] === DASH && bytes[at + 1] === DASH) {
            return form;
        }
        while (bytes[at] === 32 || bytes[at] === 9) {
            at++;
        }
        if (bytes[at] !== CR || bytes[at + 1] !== LF) {
            throw malformed();
        }
        // From the CR LF before the headers, so that a part without any has its blank line too
        const headEnd = find(bytes, blankLine, at);
        const end = headEnd === -1 ? -1 : find(bytes, between, headEnd + 2);
        if (end === -1) {
            throw malformed();
        }
        const head = parseHead(decodeUtf8(subarray(bytes, at + 2, MathMax(at + 2, headEnd))));
        const start = headEnd + 4;
        const content = subarray(bytes, start, MathMax(start, end));
        if (head.filename === undefined) {
            appendEntry(form, head.name, decodeUtf8(content));
        } else {
            appendEntry(form, head.name, createFile(copyBytes(content), head.type, head.filename));
        }
        at = end + between.length;
    }
}

function parseHead(text) {
    const head = { __proto__: null, name: undefined, filename: undefined, type: "text/plain" };
    for (let at = 0; at < text.length;) {
        let end = StringPrototypeIndexOf(text, "\r\n", at);
        end = end === -1 ? text.length : end;
        const line = StringPrototypeSlice(text, at, end);
        const colon = StringPrototypeIndexOf(line, ":");
        const name = StringPrototypeToLowerCase(StringPrototypeSlice(line, 0, MathMax(colon, 0)));
        const value = StringPrototypeSlice(line, colon + 1);
        if (name === "content-disposition") {
            parseDisposition(value, head);
        } else if (name === "content-type") {
            const mime = parseMime(value);
            head.type = mime === null ? "text/plain" : trimLeft(value);
        }
        at = end + 2;
    }
    if (head.name === undefined) {
        throw malformed();
    }
    return head;
}

function trimLeft(text) {
    let at = 0;
    while (text[at] === " " || text[at] === "\t") {
        at++;
    }
    return StringPrototypeSlice(text, at);
}

function parseDisposition(value, head) {
    const lower = StringPrototypeToLowerCase(value);
    if (!RegExpPrototypeTest(/^[ \t]*form-data[ \t]*(;|$)/, lower)) {
        throw malformed();
    }
    let at = StringPrototypeIndexOf(value, ";");
    while (at !== -1 && at < value.length) {
        at++;
        while (value[at] === " " || value[at] === "\t") {
            at++;
        }
        const equals = StringPrototypeIndexOf(value, "=", at);
        if (equals === -1) {
            return;
        }
        const name = StringPrototypeSlice(lower, at, equals);
        let text;
        if (value[equals + 1] === '"') {
            const close = StringPrototypeIndexOf(value, '"', equals + 2);
            if (close === -1) {
                throw malformed();
            }
            text = unescapeName(StringPrototypeSlice(value, equals + 2, close));
            at = StringPrototypeIndexOf(value, ";", close);
        } else {
            const semicolon = StringPrototypeIndexOf(value, ";", equals);
            text = StringPrototypeSlice(value, equals + 1,
                semicolon === -1 ? value.length : semicolon);
            at = semicolon;
        }
        if (name === "name" || name === "filename") {
            head[name] = text;
        }
    }
}

function unescapeName(text) {
    let out = "";
    for (let i = 0; i < text.length; i++) {
        const code = text[i] === "%" ?
            StringPrototypeToLowerCase(StringPrototypeSlice(text, i + 1, i + 3)) : "";
        const char = code === "0a" ? "\n" : code === "0d" ? "\r" : code === "22" ? '"' : undefined;
        out += char ?? text[i];
        i += char === undefined ? 0 : 2;
    }
    return out;
}

export function parseUrlEncoded(text) {
    const form = new FormData();
    // A "?" at the start is content here.
    forEachParam(new URLSearchParams(text[0] === "?" ? `?${text}` : text),
        (value, name) => appendEntry(form, name, value));
    return form;
}
