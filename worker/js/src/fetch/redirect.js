// SPDX-License-Identifier: Apache-2.0
//
// The rules of redirects (Fetch standard, "HTTP-redirect fetch"). Pure functions.
import { urlParse } from "../native.js";
import {
    NumberPrototypeToString, StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeToUpperCase, newList,
} from "../primordials.js";
import { listAppend } from "../headers.js";
import { cutAt, hasCredentials } from "../url.js";
import { failed } from "./failure.js";

export const isRedirect = (status) => status === 301 || status === 302 || status === 303 || status === 307 || status === 308;

// A header is a string with a character for each byte. Bytes beyond ASCII are written as the URL parser would write them.
function toAsciiText(value) {
    let text = "";
    for (let i = 0; i < value.length; i++) {
        const code = StringPrototypeCharCodeAt(value, i);
        text += code < 0x80 ? value[i] : `%${StringPrototypeToUpperCase(NumberPrototypeToString(code, 16))}`;
    }
    return text;
}

// Returns the Location of an answer; undefined if there is none.
export function locationOf(url, list) {
    let location;
    for (let i = 0; i < list.length; i += 2) {
        if (list[i] === "location") {
            if (location !== undefined && location !== list[i + 1]) {
                throw failed(url, "it redirects to more than one URL");
            }
            location = list[i + 1];
        }
    }
    return location === undefined ? undefined : toAsciiText(location);
}

// Returns the URL of the next hop, without its fragment.
export function targetOf(url, location) {
    const href = urlParse(location, url);
    if (href === undefined) {
        throw failed(url, "it redirects to what is no URL");
    }
    const scheme = cutAt(href, ":");
    if (scheme !== "http" && scheme !== "https") {
        throw failed(url, `it redirects to a URL of the scheme ${StringPrototypeSlice(scheme, 0, 40)}`);
    }
    if (hasCredentials(href)) {
        throw failed(url, "it redirects to a URL with credentials");
    }
    return cutAt(href, "#");
}

const originOf = (url) => StringPrototypeSlice(url, 0, StringPrototypeIndexOf(url, "/", "https://".length));

// Both are serialised, of http or https, and without credentials.
export const isSameOrigin = (a, b) => originOf(a) === originOf(b);

export const changesMethod = (status, method) =>
    method === "POST" && (status === 301 || status === 302) || status === 303 && method !== "GET" && method !== "HEAD";

function without(list, names) {
    const kept = newList();
    for (let i = 0; i < list.length; i += 2) {
        if (names[list[i]] !== true) {
            listAppend(kept, list[i], list[i + 1]);
        }
    }
    return kept;
}

const bodyHeaders = {
    __proto__: null, "content-encoding": true, "content-language": true, "content-length": true, "content-location": true, "content-type": true,
};
export const withoutBodyHeaders = (list) => without(list, bodyHeaders);

const secrets = { __proto__: null, authorization: true, cookie: true };
// Returns the headers that another origin may have.
export const crossHeaders = (list) => without(list, secrets);
