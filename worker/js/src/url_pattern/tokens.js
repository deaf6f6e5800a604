// SPDX-License-Identifier: Apache-2.0
//
// Tokens of a pattern string (URL Pattern, "tokenize a pattern string"). Positions are in UTF-16 units.
import {
    RegExpPrototypeTest, StringPrototypeCharCodeAt, StringPrototypeSlice, TypeError, newList,
} from "../primordials.js";

const NAME_START = /^[\p{ID_Start}$_]$/u;
const NAME_PART = /^[\p{ID_Continue}$\u200c\u200d]$/u;
const SINGLE = {
    __proto__: null, "*": "asterisk", "+": "other-modifier", "?": "other-modifier", "{": "open", "}": "close",
};

// Returns the code point at a position, as a string; "" at the end.
export function pointAt(text, at) {
    const unit = StringPrototypeCharCodeAt(text, at);
    const isPair = unit >= 0xd800 && unit < 0xdc00 && at + 1 < text.length;
    return StringPrototypeSlice(text, at, at + (isPair ? 2 : 1));
}

export const isNamePoint = (point, isFirst) => RegExpPrototypeTest(isFirst ? NAME_START : NAME_PART, point);

const isAscii = (point) => StringPrototypeCharCodeAt(point, 0) < 0x80;

function endOfName(text, start) {
    let at = start;
    while (at < text.length) {
        const point = pointAt(text, at);
        if (!isNamePoint(point, at === start)) {
            break;
        }
        at += point.length;
    }
    return at;
}

// Returns the position of the bracket that closes the regular expression which begins at start; -1 if it is none.
function endOfRegExp(text, start) {
    let depth = 1;
    for (let at = start; at < text.length;) {
        const point = pointAt(text, at);
        if (!isAscii(point) || (at === start && point === "?")) {
            return -1;
        }
        if (point === "\\") {
            if (at === text.length - 1 || !isAscii(pointAt(text, at + 1))) {
                return -1;
            }
            at++;
        } else if (point === ")" && --depth === 0) {
            return at;
        } else if (point === "(") {
            depth++;
            if (pointAt(text, at + 1) !== "?") {
                return -1;
            }
        }
        at++;
    }
    return -1;
}

// Returns a list of { type, index, value }, the last of which is of type "end". A part that is wrong becomes a token of type
// "invalid-char" if isLenient, and a TypeError otherwise.
export function tokenize(text, isLenient) {
    const tokens = newList();
    let at = 0;
    const add = (type, start, end, next) => {
        tokens[tokens.length] = { __proto__: null, type, index: at, value: StringPrototypeSlice(text, start, end) };
        at = next;
    };
    const fail = (next) => {
        if (!isLenient) {
            throw new TypeError(`URLPattern: the pattern is wrong at position ${at}`);
        }
        add("invalid-char", at, next, next);
    };
    while (at < text.length) {
        const point = pointAt(text, at);
        const next = at + point.length;
        if (SINGLE[point] !== undefined) {
            add(SINGLE[point], at, next, next);
        } else if (point === "\\") {
            if (next === text.length) {
                fail(next);
            } else {
                const end = next + pointAt(text, next).length;
                add("escaped-char", next, end, end);
            }
        } else if (point === ":") {
            const end = endOfName(text, next);
            if (end === next) {
                fail(next);
            } else {
                add("name", next, end, end);
            }
        } else if (point === "(") {
            const end = endOfRegExp(text, next);
            if (end <= next) {
                fail(next);
            } else {
                add("regexp", next, end, end + 1);
            }
        } else {
            add("char", at, next, next);
        }
    }
    add("end", at, at, at);
    return tokens;
}
