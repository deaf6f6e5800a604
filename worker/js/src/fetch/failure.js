// SPDX-License-Identifier: Apache-2.0
//
// The error of a fetch() that has failed.
import { StringPrototypeSlice, TypeError } from "../primordials.js";

const SHOWN_MAX = 200; // units of the URL

export const failed = (url, why) => new TypeError(`fetch failed: ${StringPrototypeSlice(url, 0, SHOWN_MAX)}: ${why}`);
