// SPDX-License-Identifier: Apache-2.0
//
// Domain to ASCII of the URL standard, for the native parser (worker/url): it asks for hosts that are not plain ASCII only, and those
// load tr46 with its tables.
import { load } from "lazy:./idna/main.js";
import { firstUse } from "./first_use.js";

let library;

// The entry for the parser. Returns null for a domain that is not valid.
export const toAscii = (domain) => (library ??= firstUse(load)).toASCII(domain, {
    __proto__: null, checkHyphens: false, checkBidi: true, checkJoiners: true, useSTD3ASCIIRules: false,
    transitionalProcessing: false, verifyDNSLength: false, ignoreInvalidPunycode: false,
});
