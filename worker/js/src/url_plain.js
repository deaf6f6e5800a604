// SPDX-License-Identifier: Apache-2.0
//
// URLs that need no URL parser: those that almost every request has are split by one regular expression.
import {
    ArrayPrototypeSlice, RegExp, RegExpPrototypeExec, StringPrototypeIndexOf, StringPrototypeSlice, newList,
} from "./primordials.js";

// A URL that is its own serialisation: no part of it needs a change. Host labels are not Punycode
// and the last one starts with a letter, so it is no IPv4 address; no path segment starts with a
// dot; no port is the default one. No two parts of the expression can match the same text in two
// ways, so it takes linear time on any input.
const host = "(?:(?!xn--)[a-z0-9][a-z0-9-]*\\.)*(?!xn--)[a-z][a-z0-9-]*|127\\.0\\.0\\.1";
const port = "(?!80(?!\\d)|443(?!\\d))([1-5]\\d{4}|[1-9]\\d{0,3})";
const path = "/(?:[\\w~-][\\w~.-]*/)*(?:[\\w~-][\\w~.-]*)?";
const query = "[\\w~.&=+%/:,;@!$()*?-]*";
const plain = new RegExp(`^(https?)://(${host})(?::${port})?(${path})(?:\\?(${query}))?$`);

const LOCALHOST = 0x7f000001;

// Returns the record of such a URL, or null.
export function parsePlain(input) {
    const match = RegExpPrototypeExec(plain, input);
    if (match === null) {
        return null;
    }
    const path = newList();
    const text = match[4];
    for (let at = 1; ;) {
        const end = StringPrototypeIndexOf(text, "/", at);
        path[path.length] = end === -1 ? StringPrototypeSlice(text, at) : StringPrototypeSlice(text, at, end);
        if (end === -1) {
            break;
        }
        at = end + 1;
    }
    return {
        scheme: match[1],
        username: "",
        password: "",
        host: match[2] === "127.0.0.1" ? LOCALHOST : match[2],
        port: match[3] === undefined ? null : +match[3],
        path: ArrayPrototypeSlice(path), // the machine calls methods of arrays
        query: match[5] === undefined ? null : match[5],
        fragment: null,
    };
}

// True if input is known to be its own serialisation.
export const isPlainUrl = (input) => RegExpPrototypeExec(plain, input) !== null;
