// SPDX-License-Identifier: Apache-2.0
//
// multipart/form-data (RFC 7578, HTML, Fetch) and application/x-www-form-urlencoded as FormData.
import { utf8Encode } from "../native.js";
import {
    MathFloor, MathMax, MathRandom, RegExpPrototypeTest, StringPrototypeIndexOf,
    StringPrototypeSlice, StringPrototypeToLowerCase, TypeError, TypedArrayPrototypeGetLength as lengthOf, Uint8Array, copyBytes, newList,
    uncurryThis,
} from "../primordials.js";
import { blobBytes, blobType, createFile, fileName } from "../blob.js";
import { concat } from "../bytes.js";
import { decodeUtf8 } from "../encoding.js";
import { FormData, appendEntry, formEntries } from "./form_data.js";
import { mimeLibrary } from "../mime.js";
import { urlLibrary } from "../url.js";
import { toText } from "../webidl.js";

const subarray = uncurryThis(Uint8Array.prototype.subarray);
const indexOfByte = uncurryThis(Uint8Array.prototype.indexOf);
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
        size += lengthOf(bytes);
    };
    for (let i = 0; i < entries.length; i++) {
        const name = entries[i][0];
        const value = entries[i][1];
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
    const length = lengthOf(pattern);
    const last = lengthOf(bytes) - length;
    for (let i = indexOfByte(bytes, pattern[0], from); i !== -1 && i <= last; i = indexOfByte(bytes, pattern[0], i + 1)) {
        let j = 1;
        while (j < length && bytes[i + j] === pattern[j]) {
            j++;
        }
        if (j === length) {
            return i;
        }
    }
    return -1;
}

const malformed = () => new TypeError("The body is not valid multipart/form-data.");

// Returns the place behind the first delimiter. A preamble before it is ignored (RFC 2046).
function skipPreamble(bytes, delimiter, between) {
    if (find(bytes, delimiter, 0) === 0) {
        return lengthOf(delimiter);
    }
    const at = find(bytes, between, 0);
    if (at === -1) {
        throw malformed();
    }
    return at + lengthOf(between);
}

export function parseMultipart(bytes, boundary) {
    const form = new FormData();
    const between = utf8Encode(`\r\n--${boundary}`);
    const blankLine = utf8Encode("\r\n\r\n");
    let at = skipPreamble(bytes, subarray(between, 2), between);
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
        at = end + lengthOf(between);
    }
}

function parseHead(text) {
    const head = { __proto__: null, name: undefined, filename: undefined, type: "text/plain" };
    for (let at = 0; at < text.length;) {
        let end = StringPrototypeIndexOf(text, "\r\n", at);
        end = end === -1 ? text.length : end;
        const line = StringPrototypeSlice(text, at, end);
        const colon = StringPrototypeIndexOf(line, ":");
        const name = trimEnd(StringPrototypeToLowerCase(StringPrototypeSlice(line, 0, MathMax(colon, 0))));
        const value = StringPrototypeSlice(line, colon + 1);
        if (name === "content-disposition") {
            parseDisposition(value, head);
        } else if (name === "content-type") {
            const mime = mimeLibrary().parseMime(value);
            head.type = mime === null ? "text/plain" : StringPrototypeSlice(value, skipBlanks(value, 0));
        }
        at = end + 2;
    }
    if (head.name === undefined) {
        throw malformed();
    }
    return head;
}

function skipBlanks(text, at) {
    while (text[at] === " " || text[at] === "\t") {
        at++;
    }
    return at;
}

function trimEnd(text) {
    let end = text.length;
    while (end > 0 && (text[end - 1] === " " || text[end - 1] === "\t")) {
        end--;
    }
    return StringPrototypeSlice(text, 0, end);
}

// Sets name and filename by the parameters. Clients differ: there may be blanks around "=", empty parameters, tokens without
// quotes, and quotes inside of quotes as %22 (browsers) or \" (curl and others).
function parseDisposition(value, head) {
    if (!RegExpPrototypeTest(/^[ \t]*form-data[ \t]*(;|$)/i, value)) {
        throw malformed();
    }
    let at = StringPrototypeIndexOf(value, ";");
    while (at !== -1) {
        const start = skipBlanks(value, at + 1);
        const equals = StringPrototypeIndexOf(value, "=", start);
        const semicolon = StringPrototypeIndexOf(value, ";", start);
        if (equals === -1) {
            return;
        }
        if (semicolon !== -1 && semicolon < equals) {
            at = semicolon;
            continue;
        }
        const name = StringPrototypeToLowerCase(trimEnd(StringPrototypeSlice(value, start, equals)));
        const first = skipBlanks(value, equals + 1);
        let text;
        if (value[first] === '"') {
            const close = closingQuote(value, first + 1);
            text = unescapeName(StringPrototypeSlice(value, first + 1, close));
            at = StringPrototypeIndexOf(value, ";", close);
        } else {
            text = trimEnd(StringPrototypeSlice(value, first, semicolon === -1 ? value.length : semicolon));
            at = semicolon;
        }
        if ((name === "name" || name === "filename") && head[name] === undefined) {
            head[name] = text;
        }
    }
}

// Returns the place of the quote that ends a quoted string. A backslash before a quote hides it, unless no other quote follows: a
// browser does not escape the backslash at the end of a name.
function closingQuote(value, from) {
    for (let at = StringPrototypeIndexOf(value, '"', from), first = at; at !== -1;) {
        let back = at;
        while (back > from && value[back - 1] === "\\") {
            back--;
        }
        if ((at - back) % 2 === 0) {
            return at;
        }
        at = StringPrototypeIndexOf(value, '"', at + 1);
        if (at === -1) {
            return first;
        }
    }
    throw malformed();
}

function unescapeName(text) {
    let out = "";
    for (let i = 0; i < text.length; i++) {
        if (text[i] === "\\" && (text[i + 1] === '"' || text[i + 1] === "\\")) {
            out += text[++i];
            continue;
        }
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
    const list = urlLibrary().parseForm(toText(text));
    for (let i = 0; i < list.length; i += 2) {
        appendEntry(form, list[i], list[i + 1]);
    }
    return form;
}
