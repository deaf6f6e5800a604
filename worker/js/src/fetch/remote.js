// SPDX-License-Identifier: Apache-2.0
//
// fetch() of http: and https: URLs (Fetch standard, "HTTP fetch"): a call for each hop. skepd decides by the tenant's rules, on each hop anew.
import { TypedArrayPrototypeGetByteLength, closeClass } from "../primordials.js";
import { Body } from "../body.js";
import { currentCall } from "../current.js";
import { domException } from "../dom_exception.js";
import { listFromHead } from "../headers.js";
import { requestBody, requestList, requestMethod, requestSettings, requestSignal } from "../request.js";
import { createFetched } from "../response.js";
import { DecodedBody, codingsOf, withoutCodings } from "./codings.js";
import { cancel, openExchange } from "./exchange.js";
import { failed, shownUrl } from "./failure.js";
import { withIntegrity } from "./integrity.js";
import { outgoingHeaders, takeBody } from "./outgoing.js";
import { checkPort } from "./ports.js";
import { changesMethod, crossHeaders, isRedirect, isSameOrigin, locationOf, targetOf, withoutBodyHeaders } from "./redirect.js";

// Number of the calls that are made by no binding: CALL_FETCH_BINDING of proto/frame.h.
const FETCH = 4294967295;
const HOPS_MAX = 20;
const REDIRECT_BODY_MAX = 65536; // bytes that are waited for, so that the connection is free for the next hop

const nothing = () => {};

// The body of a redirect, which nobody reads. then: runs at its end.
class Rest {
    #exchange;
    #size = 0;
    #then;

    constructor(exchange, then) {
        this.#exchange = exchange;
        this.#then = then;
    }

    push(data, end) {
        this.#size += data === undefined ? 0 : TypedArrayPrototypeGetByteLength(data);
        if (end || this.#size > REDIRECT_BODY_MAX) {
            cancel(this.#exchange);
            this.#then();
        }
    }

    fail() {
        this.#then = nothing;
    }
}
closeClass(Rest);

class Asker {
    call;
    url;
    from; // URL of the hop before
    method;
    list; // the tenant's headers
    bytes;
    stream;
    cache;
    redirect;
    integrity;
    signal;
    hops = 0;
    resolve;
    reject;

    open() {
        openExchange(this, this.call, {
            __proto__: null, binding: FETCH, method: this.method, url: this.url,
            list: outgoingHeaders(this.method, this.list, this.cache, this.bytes, this.stream),
            bytes: this.bytes, stream: this.stream, signal: this.signal,
        });
    }

    answered(exchange, status, head, reason) {
        try {
            const list = listFromHead(head, 0);
            const location = isRedirect(status) && this.redirect !== "manual" ? locationOf(this.url, list) : undefined;
            if (location === undefined) {
                this.deliver(exchange, status, reason, list);
            } else {
                this.follow(exchange, this.prepareHop(status, location));
            }
        } catch (error) {
            cancel(exchange, error);
            this.reject(error);
        }
    }

    // Makes of this the request of the next hop, but for the URL, which it returns.
    prepareHop(status, location) {
        if (this.redirect === "error") {
            throw failed(this.url, `it redirects, and redirect is "error"`);
        }
        const target = targetOf(this.url, location);
        if (this.hops === HOPS_MAX) {
            throw failed(this.url, `there are more than ${HOPS_MAX} redirects`);
        }
        if (status !== 303 && this.stream !== undefined) {
            throw failed(this.url, `it redirects (${status}), and a stream cannot be sent twice`);
        }
        if (changesMethod(status, this.method)) {
            this.method = "GET";
            this.bytes = undefined;
            this.list = withoutBodyHeaders(this.list);
        }
        this.stream = this.method === "GET" ? undefined : this.stream;
        if (!isSameOrigin(this.url, target)) {
            this.list = crossHeaders(this.list);
        }
        checkPort(target, this.url);
        this.hops++;
        return target;
    }

    // Opens the next hop when the rest of the answer has come.
    follow(exchange, target) {
        const next = () => {
            try {
                this.from = this.url;
                this.url = target;
                this.open();
            } catch (error) {
                this.reject(error);
            }
        };
        if (exchange.gone) {
            next();
        } else {
            exchange.incoming = new Rest(exchange, next);
        }
    }

    deliver(exchange, status, reason, list) {
        let { incoming } = exchange;
        const codings = incoming === undefined ? undefined : codingsOf(this.url, list);
        if (codings !== undefined) {
            incoming = new DecodedBody(incoming, codings, this.url);
            list = withoutCodings(list);
        }
        const body = incoming === undefined ? null : new Body(undefined, incoming, undefined);
        withIntegrity(this.integrity, this.url, createFetched(this.url, status, reason, list, body, this.hops > 0), this.resolve, this.reject);
    }

    failed(error) {
        this.reject(error);
    }

    failure(isLimit, message) {
        return isLimit ? domException(message, "QuotaExceededError") : failed(this.url, message, this.from);
    }

    shown() {
        return `a fetch of ${shownUrl(this.url)}`;
    }
}
closeClass(Asker);

// request: made for this alone. url: its own, without the fragment.
export function fetchRemote(request, url, resolve, reject) {
    const call = currentCall();
    const settings = requestSettings(request);
    if (call === undefined || call.gone) {
        throw failed(url, "it is made for a request, and none is open here: code of a module cannot fetch, nor code that a request has left behind: " +
            "ctx.waitUntil(promise) keeps a request open");
    }
    checkPort(url);
    if (settings.cache === "only-if-cached") {
        throw failed(url, 'there is no cache for "only-if-cached"');
    }
    const asker = new Asker();
    const { bytes, stream } = takeBody(requestBody(request));
    asker.call = call;
    asker.url = url;
    asker.method = requestMethod(request);
    asker.list = requestList(request);
    asker.bytes = bytes;
    asker.stream = stream;
    asker.cache = settings.cache;
    asker.redirect = settings.redirect;
    asker.integrity = settings.integrity;
    asker.signal = requestSignal(request);
    asker.resolve = resolve;
    asker.reject = reject;
    asker.open();
}
