// SPDX-License-Identifier: Apache-2.0
//
// Functions around MIME types. Evaluated when somebody first needs one: ../mime.js. provide(): build.mjs.
import { parseDataUrl } from "./data_url.js";
import { mimeOfList, parseMime, serializeMime } from "./mime.js";
import { isPrivilegedName, isSafelisted, isSafelistedName } from "./no_cors.js";

provide({
    __proto__: null, isPrivilegedName, isSafelisted, isSafelistedName, mimeOfList, parseDataUrl, parseMime, serializeMime,
});
