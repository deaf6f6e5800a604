// SPDX-License-Identifier: Apache-2.0
//
// fetch() and calls by bindings. Evaluated with the first of them. provide(): build.mjs.
import { StringPrototypeIndexOf, StringPrototypeSlice } from "../primordials.js";
import { abortReason, isAborted } from "../abort.js";
import { cancelBody } from "../body.js";
import { requestBody, requestSignal, requestUrl } from "../request.js";
import { cutAt } from "../url.js";
import { askBinding } from "./binding.js";
import { failCalls, onCallBody, onCallCredit, onCallFailed, onCallHead, openExchange, warnCut } from "./exchange.js";
import { failed } from "./failure.js";
import { fetchLocal } from "./local.js";
import { fetchRemote } from "./remote.js";

// The rest of fetch(). request: made for this alone.
function fetchRequest(request, resolve, reject) {
    const signal = requestSignal(request);
    if (signal !== undefined && isAborted(signal)) {
        cancelBody(requestBody(request), abortReason(signal));
        throw abortReason(signal);
    }
    const url = cutAt(requestUrl(request), "#");
    const scheme = StringPrototypeSlice(url, 0, StringPrototypeIndexOf(url, ":"));
    switch (scheme) {
    case "http":
    case "https":
        fetchRemote(request, url, resolve, reject);
        break;
    case "blob":
    case "data":
        fetchLocal(request, url, resolve, reject);
        break;
    case "file":
        throw failed(url, 'import the file instead: import bytes from "./file" with { type: "bytes" }');
    default:
        throw failed(url, `the scheme ${scheme} cannot be fetched`);
    }
}

provide({
    __proto__: null, askBinding, failCalls, fetchRequest, onCallBody, onCallCredit, onCallFailed, onCallHead, openExchange, warnCut,
});
