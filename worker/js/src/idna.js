// SPDX-License-Identifier: Apache-2.0
//
// Stands in for tr46 inside whatwg-url: a plain ASCII host needs no tables (domain to ASCII of
// the URL standard says so), any other loads tr46 at first use.
import { load } from "lazy:./idna/main.js";
import { firstUse } from "./first_use.js";
import { RegExpPrototypeTest, StringPrototypeToLowerCase } from "./primordials.js";

const ascii = /^[\x00-\x7f]*$/;
const punycode = /(^|\.)xn--/i;

let library;

const tr46 = () => (library ??= firstUse(load));

export function toASCII(domain, options) {
    if (RegExpPrototypeTest(ascii, domain) && !RegExpPrototypeTest(punycode, domain)) {
        return StringPrototypeToLowerCase(domain);
    }
    return tr46().toASCII(domain, options);
}

export function toUnicode(domain, options) {
    return tr46().toUnicode(domain, options);
}
