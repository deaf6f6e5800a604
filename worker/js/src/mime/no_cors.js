// SPDX-License-Identifier: Apache-2.0
//
// The header guard "request-no-cors" (Fetch standard): which headers a Request with mode "no-cors" may have.
import { StringPrototypeCharCodeAt, StringPrototypeIndexOf } from "../primordials.js";
import { parseMime } from "./mime.js";

const VALUE_MAX = 128;
const UNSAFE = "\"():<>?@[\\]{}\u007f";

function isUnsafe(code, char) {
    return code < 0x20 && code !== 0x09 || StringPrototypeIndexOf(UNSAFE, char) !== -1;
}

const isLanguage = (code, char) => code >= 0x30 && code <= 0x39 || code >= 0x41 && code <= 0x5a ||
    code >= 0x61 && code <= 0x7a || StringPrototypeIndexOf(" *,-.;=", char) !== -1;

function every(value, accepts) {
    for (let i = 0; i < value.length; i++) {
        if (!accepts(StringPrototypeCharCodeAt(value, i), value[i])) {
            return false;
        }
    }
    return true;
}

const isSafe = (code, char) => !isUnsafe(code, char);

function isFormType(value) {
    const mime = every(value, isSafe) ? parseMime(value) : null;
    return mime !== null && (mime.essence === "application/x-www-form-urlencoded" ||
        mime.essence === "multipart/form-data" || mime.essence === "text/plain");
}

// name: in lower case
export const isSafelistedName = (name) =>
    name === "accept" || name === "accept-language" || name === "content-language" || name === "content-type";

export const isPrivilegedName = (name) => name === "range";

export function isSafelisted(name, value) {
    if (value.length > VALUE_MAX || !isSafelistedName(name)) {
        return false;
    }
    return name === "accept" ? every(value, isSafe) :
        name === "content-type" ? isFormType(value) : every(value, isLanguage);
}
