// SPDX-License-Identifier: Apache-2.0
//
// The URL standard for the rest of the layer, by a native parser (worker/url). The rest is in url/, which is compiled once for all isolates
// and evaluated at first use.
import { load } from "lazy:./url/main.js";
import { firstUse } from "./first_use.js";
import { urlParse } from "./native.js";
import { StringPrototypeIndexOf, StringPrototypeSlice } from "./primordials.js";

let library;

// Returns URL, URLSearchParams and the functions that url/main.js names.
export const urlLibrary = () => (library ??= firstUse(load));

// Returns a text as it is written as a URL; undefined if it is none.
export const normalForm = (text) => urlParse(text, undefined);

// Returns the text up to the first such mark.
export function cutAt(text, mark) {
    const at = StringPrototypeIndexOf(text, mark);
    return at === -1 ? text : StringPrototypeSlice(text, 0, at);
}

// True if a URL in normal form has a user's name or password.
export function hasCredentials(href) {
    const start = StringPrototypeIndexOf(href, ":") + 3;
    const authority = cutAt(cutAt(cutAt(StringPrototypeSlice(href, start), "/"), "?"), "#");
    return href[start - 2] === "/" && href[start - 1] === "/" && StringPrototypeIndexOf(authority, "@") !== -1;
}

// Returns undefined if value is no URLSearchParams.
export const searchParamsText = (value) =>
    library === undefined ? undefined : library.searchParamsText(value);
