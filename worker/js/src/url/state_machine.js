// SPDX-License-Identifier: Apache-2.0
//
// Stands in for whatwg-url's own url-state-machine inside that library: plain URLs are split without it.
import machine from "whatwg-url/lib/url-state-machine.js";
import { parsePlain } from "../url_plain.js";

export const {
    cannotHaveAUsernamePasswordPort, hasAnOpaquePath, parseURL, serializeHost, serializeInteger, serializePath, serializeURL,
    serializeURLOrigin, setThePassword, setTheUsername,
} = machine;

export function basicURLParse(input, options) {
    const isWhole = options === undefined || options.url === undefined;
    return isWhole && parsePlain(input) || machine.basicURLParse(input, options);
}
