// SPDX-License-Identifier: Apache-2.0
//
// ExtendableEvent and FetchEvent; the classes are evaluated at first use: fetch_event/main.js.
import { load } from "lazy:./fetch_event/main.js";

let library;

// Returns the classes and the functions for events of skep's own.
export const fetchEventLibrary = () => (library ??= load());
