// SPDX-License-Identifier: Apache-2.0
//
// atob and btoa (HTML, Infra's forgiving base64).
import { isLatin1 } from "./native.js";
import {
    StringFromCharCode, StringPrototypeCharCodeAt, Uint8Array,
} from "./primordials.js";
import { DOMException } from "./dom_exception.js";
import { requireArguments, toText } from "./webidl.js";

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SPACE = 64;
const BAD = 255;
const values = new Uint8Array(256);
for (let i = 0; i < 256; i++) {
    values[i] = BAD;
}
for (let i = 0; i < 64; i++) {
    values[StringPrototypeCharCodeAt(alphabet, i)] = i;
}
for (const code of [9, 10, 12, 13, 32]) {
    values[code] = SPACE;
}
const PADDING = 61;

const invalid = () => new DOMException("The string is not correctly encoded.",
    "InvalidCharacterError");

export const base64Functions = {
    atob(data) {
        requireArguments(arguments.length, 1, "atob");
        const text = toText(data);
        let out = "";
        let bits = 0;
        let digits = 0;
        let padding = 0;
        for (let i = 0; i < text.length; i++) {
            const code = StringPrototypeCharCodeAt(text, i);
            if (code === PADDING) {
                padding++;
                continue;
            }
            const value = code < 256 ? values[code] : BAD;
            if (value === SPACE) {
                continue;
            }
            if (value === BAD || padding > 0) {
                throw invalid();
            }
            bits = bits << 6 | value;
            if ((++digits & 3) === 0) {
                out += StringFromCharCode(bits >> 16 & 255, bits >> 8 & 255, bits & 255);
                bits = 0;
            }
        }
        const rest = digits & 3;
        if (rest === 1 || padding > 0 && (digits + padding & 3 || padding > 2)) {
            throw invalid();
        }
        if (rest === 2) {
            out += StringFromCharCode(bits >> 4 & 255);
        } else if (rest === 3) {
            out += StringFromCharCode(bits >> 10 & 255, bits >> 2 & 255);
        }
        return out;
    },

    btoa(data) {
        requireArguments(arguments.length, 1, "btoa");
        const text = toText(data);
        if (!isLatin1(text)) {
            throw invalid();
        }
        let out = "";
        let i = 0;
        for (; i + 2 < text.length; i += 3) {
            const bits = StringPrototypeCharCodeAt(text, i) << 16 |
                StringPrototypeCharCodeAt(text, i + 1) << 8 |
                StringPrototypeCharCodeAt(text, i + 2);
            out += alphabet[bits >> 18] + alphabet[bits >> 12 & 63] + alphabet[bits >> 6 & 63] +
                alphabet[bits & 63];
        }
        if (i + 1 === text.length) {
            const bits = StringPrototypeCharCodeAt(text, i);
            out += `${alphabet[bits >> 2]}${alphabet[bits << 4 & 63]}==`;
        } else if (i + 2 === text.length) {
            const bits = StringPrototypeCharCodeAt(text, i) << 8 |
                StringPrototypeCharCodeAt(text, i + 1);
            out += `${alphabet[bits >> 10]}${alphabet[bits >> 4 & 63]}${alphabet[bits << 2 & 63]}=`;
        }
        return out;
    },
};
