// SPDX-License-Identifier: Apache-2.0
//
// TextEncoderStream and TextDecoderStream; the classes are evaluated at first use.
import { load } from "lazy:./encoding_streams/main.js";

let library;

// Returns the two classes.
export const encodingStreamLibrary = () => (library ??= load());
