// SPDX-License-Identifier: Apache-2.0
//
// DOMException for the rest of the layer; the class is evaluated at first use.
import { load } from "lazy:./dom_exception/main.js";

let library;

// Returns DOMException and the functions that dom_exception/main.js names.
export const domExceptionLibrary = () => (library ??= load());

// Returns a new DOMException.
export const domException = (message, name) => new (domExceptionLibrary().DOMException)(message, name);
