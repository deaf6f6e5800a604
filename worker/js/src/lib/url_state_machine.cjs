// SPDX-License-Identifier: Apache-2.0
//
// Stands in for whatwg-url's own url-state-machine inside that library: the URLs that almost every
// request has are split by one regular expression, all others go to the state machine.
"use strict";
const machine = require("whatwg-url/lib/url-state-machine.js");

const uncurryThis = Function.prototype.bind.bind(Function.prototype.call);
const exec = uncurryThis(RegExp.prototype.exec);
const slice = uncurryThis(String.prototype.slice);
const indexOf = uncurryThis(String.prototype.indexOf);
const copy = uncurryThis(Array.prototype.slice);
const { setPrototypeOf } = Object;

// No setter of Object.prototype is called for its items.
const newList = () => setPrototypeOf([], null);

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

function parsePlain(input) {
    const match = exec(plain, input);
    if (match === null) {
        return null;
    }
    const path = newList();
    const text = match[4];
    for (let at = 1; ;) {
        const end = indexOf(text, "/", at);
        path[path.length] = end === -1 ? slice(text, at) : slice(text, at, end);
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
        path: copy(path), // the machine calls methods of arrays
        query: match[5] === undefined ? null : match[5],
        fragment: null,
    };
}

module.exports = {
    ...machine,
    basicURLParse(input, options) {
        if (options === undefined || options.url === undefined) {
            const record = parsePlain(input);
            if (record !== null) {
                return record;
            }
        }
        return machine.basicURLParse(input, options);
    },
    isPlain: (input) => exec(plain, input) !== null,
};
