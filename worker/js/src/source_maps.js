// SPDX-License-Identifier: Apache-2.0
//
// Stacks in the log, by the source maps of a tenant's modules. The code that reads a map is evaluated when a stack is logged, if the tenant has any.
import { load } from "lazy:./source_map/main.js";
import { hasSourceMaps } from "./native.js";
import { StringPrototypeIncludes } from "./primordials.js";

let folder;

// Returns the text with the places of its stack frames as they are in the sources, and a line for each map that cannot be used.
// isPlace: the second line of the text is a place, with the source line and a caret behind it. Never throws but for a terminate.
export function mapText(text, isPlace) {
    if (!StringPrototypeIncludes(text, "\n    at ") || !hasSourceMaps()) {
        return text;
    }
    try {
        return (folder ??= load()).mapText(text, isPlace);
    } catch {
        return text; // no stack, or no memory is left
    }
}
