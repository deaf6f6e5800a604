// SPDX-License-Identifier: Apache-2.0
//
// Domain to ASCII (UTS #46) for hosts that are not plain ASCII: tr46 with its tables. provide(): build.mjs.
import { toASCII } from "tr46";

provide({ __proto__: null, toASCII });
