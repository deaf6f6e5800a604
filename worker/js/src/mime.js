// SPDX-License-Identifier: Apache-2.0
//
// MIME types, the guard "request-no-cors" and data: URLs, for the rest of the layer; the code is evaluated at first use.
import { load } from "lazy:./mime/main.js";

let library;

// Returns the functions that mime/main.js names.
export const mimeLibrary = () => (library ??= load());
