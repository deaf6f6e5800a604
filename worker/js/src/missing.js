// SPDX-License-Identifier: Apache-2.0
//
// Advice about names that other platforms have and skep has not; the code is evaluated at first use: missing/main.js.
import { load } from "lazy:./missing/main.js";

let library;
const missingLibrary = () => (library ??= load());

export const missing = (name, place) => missingLibrary().missing(name, place);
export const missingAdvice = (message) => missingLibrary().missingAdvice(message);
