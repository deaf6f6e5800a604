// SPDX-License-Identifier: Apache-2.0
//
// FormData for the rest of the layer, and bodies that are forms; the code is evaluated at first use.
import { load } from "lazy:./form/main.js";

let library;

// Returns FormData and the functions that form/main.js names.
export const formLibrary = () => (library ??= load());

// Before the library is there, no value is a FormData.
export const isFormData = (value) => library !== undefined && library.isFormData(value);
