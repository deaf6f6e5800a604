// SPDX-License-Identifier: Apache-2.0
//
// fetch() of a binding to another tenant: one call, whose answer is the Response as it comes.
import { TypeError, TypedArrayPrototypeGetByteLength, closeClass } from "../primordials.js";
import { abortReason, isAborted } from "../abort.js";
import { Body } from "../body.js";
import { currentCall } from "../current.js";
import { domException } from "../dom_exception.js";
import { copyList, listAppend, listHas } from "../headers.js";
import { requestBody, requestList, requestMethod, requestSignal, requestUrl } from "../request.js";
import { createAnswer } from "../response.js";
import { cutAt } from "../url.js";
import { FIRST_MAX, openExchange } from "./exchange.js";
import { shownUrl } from "./failure.js";
import { takeBody } from "./outgoing.js";

class Asker {
    url;
    resolve;
    reject;

    answered(exchange, status, head) {
        const { incoming } = exchange;
        const body = incoming === undefined ? null : new Body(undefined, incoming, undefined);
        this.resolve(createAnswer(status, head, body, this.url));
    }

    failed(error) {
        this.reject(error);
    }

    failure(isLimit, message) {
        return isLimit ? domException(message, "QuotaExceededError") : new TypeError(`The call has failed: ${message}`);
    }

    shown() {
        return `a fetch of ${shownUrl(this.url)}`;
    }
}
closeClass(Asker);

// A body that goes in parts has its length in the head, so that the other tenant knows it.
function withLength(list, bytes) {
    if (bytes === undefined || TypedArrayPrototypeGetByteLength(bytes) <= FIRST_MAX || listHas(list, "content-length")) {
        return list;
    }
    const fields = copyList(list);
    listAppend(fields, "content-length", `${TypedArrayPrototypeGetByteLength(bytes)}`);
    return fields;
}

// binding: its index. request: made for this alone.
export function askBinding(binding, request, resolve, reject) {
    const call = currentCall();
    if (call === undefined || call.gone) {
        throw new TypeError("fetch: a call is made for a request, and none is open here: ctx.waitUntil(promise) keeps a request open.");
    }
    const signal = requestSignal(request);
    if (signal !== undefined && isAborted(signal)) {
        throw abortReason(signal);
    }
    const { bytes, stream } = takeBody(requestBody(request));
    const asker = new Asker();
    asker.url = cutAt(requestUrl(request), "#");
    asker.resolve = resolve;
    asker.reject = reject;
    openExchange(asker, call, {
        __proto__: null, binding, method: requestMethod(request), url: asker.url, list: withLength(requestList(request), bytes),
        bytes, stream, signal,
    });
}
