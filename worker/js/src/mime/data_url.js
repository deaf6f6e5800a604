// SPDX-License-Identifier: Apache-2.0
//
// data: URLs (Fetch standard, "data: URL processor").
import { utf8Decode } from "../native.js";
import {
    RegExpPrototypeExec, StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeSlice, Uint8Array,
} from "../primordials.js";
import { base64Functions } from "../base64.js";
import { viewBytes } from "../bytes.js";
import { parseMime, serializeMime } from "./mime.js";

const PERCENT = 0x25;

function digitOf(code) {
    return code >= 0x30 && code <= 0x39 ? code - 0x30 : code >= 0x41 && code <= 0x46 ? code - 0x37 :
        code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}

// text: ASCII, as of a serialised URL
function percentDecode(text) {
    const bytes = new Uint8Array(text.length);
    let size = 0;
    for (let i = 0; i < text.length; i++) {
        const code = StringPrototypeCharCodeAt(text, i);
        const high = code === PERCENT ? digitOf(StringPrototypeCharCodeAt(text, i + 1)) : -1;
        const low = high === -1 ? -1 : digitOf(StringPrototypeCharCodeAt(text, i + 2));
        bytes[size++] = low === -1 ? code : high << 4 | low;
        i += low === -1 ? 0 : 2;
    }
    return viewBytes(bytes, 0, size);
}

function decodeBase64(bytes) {
    let decoded;
    try {
        decoded = base64Functions.atob(utf8Decode(bytes, false));
    } catch {
        return undefined;
    }
    const out = new Uint8Array(decoded.length);
    for (let i = 0; i < decoded.length; i++) {
        out[i] = StringPrototypeCharCodeAt(decoded, i);
    }
    return out;
}

const isSpace = (char) => char === " " || char === "\t" || char === "\n" || char === "\f" || char === "\r";

function strip(text) {
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

// url: serialised, without its fragment. Returns {bytes, type}, or undefined if it is malformed.
export function parseDataUrl(url) {
    const comma = StringPrototypeIndexOf(url, ",");
    if (comma === -1) {
        return undefined;
    }
    let type = strip(StringPrototypeSlice(url, "data:".length, comma));
    let bytes = percentDecode(StringPrototypeSlice(url, comma + 1));
    const base64 = RegExpPrototypeExec(/; *base64$/i, type);
    if (base64 !== null) {
        bytes = decodeBase64(bytes);
        if (bytes === undefined) {
            return undefined;
        }
        type = StringPrototypeSlice(type, 0, base64.index);
    }
    const mime = parseMime(type[0] === ";" ? `text/plain${type}` : type);
    return { __proto__: null, bytes, type: mime === null ? "text/plain;charset=US-ASCII" : serializeMime(mime) };
}
