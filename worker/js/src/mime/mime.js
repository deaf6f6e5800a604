// SPDX-License-Identifier: Apache-2.0
//
// MIME types (MIME Sniffing standard): parse, serialise, and what the content-type headers say.
import {
    Map, MapPrototypeForEach, MapPrototypeGet, MapPrototypeHas, MapPrototypeSet, StringPrototypeIndexOf,
    StringPrototypeSlice, StringPrototypeToLowerCase, StringPrototypeCharCodeAt,
} from "../primordials.js";
import { isToken, listGet } from "../headers.js";

const isSpace = (code) => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

function trim(text) {
    let start = 0;
    let end = text.length;
    while (start < end && isSpace(StringPrototypeCharCodeAt(text, start))) {
        start++;
    }
    while (end > start && isSpace(StringPrototypeCharCodeAt(text, end - 1))) {
        end--;
    }
    return StringPrototypeSlice(text, start, end);
}

function trimEnd(text) {
    let end = text.length;
    while (end > 0 && isSpace(StringPrototypeCharCodeAt(text, end - 1))) {
        end--;
    }
    return StringPrototypeSlice(text, 0, end);
}

function until(text, at, stop) {
    const found = StringPrototypeIndexOf(text, stop, at);
    return found === -1 ? text.length : found;
}

function isQuotable(text) {
    for (let i = 0; i < text.length; i++) {
        const code = StringPrototypeCharCodeAt(text, i);
        if (code !== 9 && (code < 0x20 || code > 0x7e) && (code < 0x80 || code > 0xff)) {
            return false;
        }
    }
    return true;
}

// Returns {essence, parameters}, or null.
export function parseMime(text) {
    text = trim(text);
    let at = until(text, 0, ";");
    const essence = trim(StringPrototypeSlice(text, 0, at));
    const slash = StringPrototypeIndexOf(essence, "/");
    if (slash === -1 || !isToken(StringPrototypeSlice(essence, 0, slash)) ||
        !isToken(StringPrototypeSlice(essence, slash + 1))) {
        return null;
    }
    const parameters = new Map();
    while (at < text.length) {
        at++;
        while (at < text.length && isSpace(StringPrototypeCharCodeAt(text, at))) {
            at++;
        }
        const start = at;
        while (at < text.length && text[at] !== ";" && text[at] !== "=") {
            at++;
        }
        const name = StringPrototypeToLowerCase(StringPrototypeSlice(text, start, at));
        if (at >= text.length) {
            break;
        }
        if (text[at] === ";") {
            continue;
        }
        at++;
        let value;
        if (text[at] === '"') {
            const quoted = quotedString(text, at);
            value = quoted.value;
            at = until(text, quoted.end, ";");
        } else {
            const end = until(text, at, ";");
            value = trimEnd(StringPrototypeSlice(text, at, end));
            at = end;
            if (value === "") {
                continue;
            }
        }
        if (isToken(name) && isQuotable(value) && !MapPrototypeHas(parameters, name)) {
            MapPrototypeSet(parameters, name, value);
        }
    }
    return { __proto__: null, essence: StringPrototypeToLowerCase(essence), parameters };
}

// Reads a quoted string. at: the opening quote. end: after the closing one.
function quotedString(text, at) {
    let value = "";
    let i = at + 1;
    for (; i < text.length && text[i] !== '"'; i++) {
        if (text[i] === "\\" && i + 1 < text.length) {
            i++;
        }
        value += text[i];
    }
    return { __proto__: null, value, end: i + 1 };
}

export function serializeMime(mime) {
    let text = mime.essence;
    MapPrototypeForEach(mime.parameters, (value, name) => {
        text += `;${name}=`;
        if (isToken(value)) {
            text += value;
            return;
        }
        text += '"';
        for (let i = 0; i < value.length; i++) {
            text += value[i] === '"' || value[i] === "\\" ? `\\${value[i]}` : value[i];
        }
        text += '"';
    });
    return text;
}

// Fetch's "extract a MIME type" for a flat header list: the last valid content-type counts. One without a charset has
// that of the first of those in a row before it that have the same essence. Null: there is none.
export function mimeOfList(list) {
    const text = listGet(list, "content-type");
    let found = null;
    let charset;
    for (let at = 0; text !== null && at <= text.length;) {
        const end = endOfItem(text, at);
        const mime = parseMime(StringPrototypeSlice(text, at, end));
        if (mime !== null && mime.essence !== "*/*") {
            const own = MapPrototypeGet(mime.parameters, "charset");
            if (found === null || found.essence !== mime.essence) {
                charset = own;
            } else if (own === undefined && charset !== undefined) {
                MapPrototypeSet(mime.parameters, "charset", charset);
            }
            found = mime;
        }
        at = end + 1;
    }
    return found;
}

// Returns the place of the comma that ends the list item at `at`, or the end of text.
function endOfItem(text, at) {
    while (at < text.length && text[at] !== ",") {
        at = text[at] === '"' ? quotedString(text, at).end : at + 1;
    }
    return at < text.length ? at : text.length;
}
