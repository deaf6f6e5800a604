// SPDX-License-Identifier: Apache-2.0
//
// The library that formats values as Node.js does. Evaluated when a tenant first logs an object. provide(): build.mjs.
import { format, formatWithOptions, inspect } from "node-inspect-extracted";

provide({ __proto__: null, format, formatWithOptions, inspect });
