// SPDX-License-Identifier: Apache-2.0
//
// Stands in for tr46 inside whatwg-url.
export { toASCII, toUnicode } from "../idna.js";
