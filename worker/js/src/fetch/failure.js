// SPDX-License-Identifier: Apache-2.0
//
// The error of a fetch() that has failed.
import { withoutPlace } from "../place.js";
import { StringPrototypeSlice, TypeError } from "../primordials.js";

const SHOWN_MAX = 200; // units of the URL

export const shownUrl = (url) => StringPrototypeSlice(url, 0, SHOWN_MAX);

// from: the URL that has redirected there, if one has
export const failed = (url, why, from = undefined) =>
    withoutPlace(new TypeError(`fetch failed: ${shownUrl(url)}: ${why}${from === undefined ? "" : `, redirected from ${shownUrl(from)}`}`));
