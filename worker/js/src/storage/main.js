// SPDX-License-Identifier: Apache-2.0
//
// The faces of storage in env: key-value and SQL. Evaluated in isolates that have such a binding. provide(): build.mjs.
import { makeKv } from "./kv.js";
import { makeSql } from "./sql.js";

provide({ __proto__: null, makeKv, makeSql });
