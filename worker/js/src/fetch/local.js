// SPDX-License-Identifier: Apache-2.0
//
// fetch() of data: and blob: URLs, without a call.
import {
    Number, PromisePrototypeThen, PromiseResolve, RegExpPrototypeExec, StringPrototypeSlice, TypedArrayPrototypeGetByteLength, newList,
} from "../primordials.js";
import { abortReason, isAborted } from "../abort.js";
import { blobBytes, blobType } from "../blob.js";
import { Body, cancelBody } from "../body.js";
import { viewBytes } from "../bytes.js";
import { listAppend, listGet } from "../headers.js";
import { mimeLibrary } from "../mime.js";
import { requestBody, requestList, requestMethod, requestObject, requestSettings, requestSignal } from "../request.js";
import { createFetched } from "../response.js";
import { failed } from "./failure.js";
import { withIntegrity } from "./integrity.js";

// Returns [from, end] of a "Range: bytes=" that a body of that size has; undefined without such a field. Throws TypeError.
function rangeOf(url, list, size) {
    const field = listGet(list, "range");
    if (field === null) {
        return undefined;
    }
    const found = RegExpPrototypeExec(/^bytes[ \t]*=[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)$/, field);
    if (found === null || found[1] === "" && found[2] === "") {
        throw failed(url, "the Range header is malformed");
    }
    let from = Number(found[1]);
    let end = found[2] === "" ? size : Number(found[2]) + 1;
    if (found[1] === "") {
        from = size < Number(found[2]) ? 0 : size - Number(found[2]);
        end = size;
    }
    end = end < size ? end : size;
    if (from >= end) {
        throw failed(url, "the Range header is outside the Blob");
    }
    return [from, end];
}

function fetchBlob(request, url) {
    const object = requestObject(request);
    if (requestMethod(request) !== "GET") {
        throw failed(url, "a blob: URL can only be got with GET");
    }
    if (object === undefined) {
        throw failed(url, "there is no such object URL");
    }
    const bytes = blobBytes(object);
    const size = TypedArrayPrototypeGetByteLength(bytes);
    const range = rangeOf(url, requestList(request), size);
    const list = newList();
    const length = range === undefined ? size : range[1] - range[0];
    listAppend(list, "content-length", `${length}`);
    listAppend(list, "content-type", blobType(object));
    if (range === undefined) {
        return createFetched(url, 200, "OK", list, new Body(bytes, undefined, undefined));
    }
    listAppend(list, "content-range", `bytes ${range[0]}-${range[1] - 1}/${size}`);
    return createFetched(url, 206, "Partial Content", list,
        new Body(viewBytes(bytes, range[0], range[1]), undefined, undefined));
}

function fetchData(request, url) {
    const data = mimeLibrary().parseDataUrl(url);
    if (data === undefined) {
        throw failed(url, "the data: URL is malformed");
    }
    const list = newList();
    listAppend(list, "content-type", data.type);
    const body = requestMethod(request) === "HEAD" ? null : new Body(data.bytes, undefined, undefined);
    return createFetched(url, 200, "OK", list, body);
}

const resolved = PromiseResolve();

// request: of a blob: or data: URL, made for this alone. url: its own, without the fragment.
export function fetchLocal(request, url, resolve, reject) {
    const signal = requestSignal(request);
    PromisePrototypeThen(resolved, () => {
        if (signal !== undefined && isAborted(signal)) {
            cancelBody(requestBody(request), abortReason(signal));
            reject(abortReason(signal));
            return;
        }
        try {
            const isData = StringPrototypeSlice(url, 0, 5) === "data:";
            withIntegrity(requestSettings(request).integrity, url, isData ? fetchData(request, url) : fetchBlob(request, url), resolve, reject);
        } catch (error) {
            reject(error);
        }
    });
}
