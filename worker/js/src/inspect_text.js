// SPDX-License-Identifier: Apache-2.0
//
// Texts for a log of what needs no formatter, cut to what a line can hold.
import { head } from "./native.js";

export const MAX_TEXT = 8192;

// Cuts a text: a rope of half a gigabyte must not be made flat.
export function text(value) {
    return typeof value === "string" && value.length > MAX_TEXT ?
        `${head(value, MAX_TEXT)}…` : value;
}

export function bigIntText(value) {
    const most = 2n ** 26000n; // fills a line; to write more in decimal takes more than linear time
    return value > most || value < -most ? "<more than 26000 bits>" : `${value}`;
}

export function symbolText(symbol, toText) {
    try {
        return text(toText(symbol));
    } catch {
        return "Symbol(…)"; // the description is as long as a string can be
    }
}
