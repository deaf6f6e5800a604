// SPDX-License-Identifier: Apache-2.0
//
// The library that formats values as Node.js does, with its bounds, and console.table. Evaluated when a tenant first logs an object.
// provide(): build.mjs.
import { formatWithOptions, inspect } from "node-inspect-extracted";
import { refill } from "./bounds.js";
import { renderTable } from "./table.js";

provide({ __proto__: null, formatWithOptions, inspect, refill, renderTable });
