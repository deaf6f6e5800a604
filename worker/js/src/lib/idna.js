// SPDX-License-Identifier: Apache-2.0
//
// Stands in for tr46 inside whatwg-url: a plain ASCII host needs no tables (domain to ASCII of
// the URL standard says so), any other loads tr46 at first use.
import { RegExpPrototypeTest, StringPrototypeToLowerCase } from "../primordials.js";

const ascii = /^[\x00-\x7f]*$/;
const punycode = /(^|\.)xn--/i;

export function toASCII(domain, options) {
    if (RegExpPrototypeTest(ascii, domain) && !RegExpPrototypeTest(punycode, domain)) {
        return StringPrototypeToLowerCase(domain);
    }
    return require("tr46/index.js").toASCII(domain, options);
}

export function toUnicode(domain, options) {
    return require("tr46/index.js").toUnicode(domain, options);
}
