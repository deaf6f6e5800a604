// SPDX-License-Identifier: Apache-2.0
//
// Stands in for the encoders that whatwg-url uses: natives for UTF-8, and no other encoding,
// because the URL class never asks for one.
import { utf8Decode, utf8Encode } from "../native.js";
import { StringFromCharCode, StringPrototypeIncludes } from "../primordials.js";

export { utf8Encode };

export function utf8DecodeWithoutBOM(bytes) {
    return utf8Decode(bytes, false);
}

const hex = "0123456789ABCDEF";

export function percentEncodeAfterEncoding(encoding, input, percentEncodeSet) {
    const bytes = utf8Encode(input);
    let out = "";
    for (let i = 0; i < bytes.length; i++) {
        const byte = bytes[i];
        const char = StringFromCharCode(byte);
        if (byte > 0x7e || byte < 0x20 || StringPrototypeIncludes(percentEncodeSet, char)) {
            out += "%" + hex[byte >> 4] + hex[byte & 15];
        } else {
            out += char;
        }
    }
    return out;
}
