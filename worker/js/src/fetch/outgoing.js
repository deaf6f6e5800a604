// SPDX-License-Identifier: Apache-2.0
//
// The body that goes out with a fetch(), and the headers that skep, and not the tenant, decides about.
import { utf8Encode } from "../native.js";
import {
    RegExpPrototypeTest, StringPrototypeSlice, TypeError, TypedArrayPrototypeGetByteLength, newList,
} from "../primordials.js";
import { isUnusable, streamOf } from "../body.js";
import { listAppend, listGet, listHas } from "../headers.js";

// Takes the body of a request. Returns { bytes, stream }, of which at most one is there.
export function takeBody(body) {
    const taken = { __proto__: null, bytes: undefined, stream: undefined };
    if (body === null) {
        return taken;
    }
    if (isUnusable(body)) {
        throw new TypeError("fetch: the body was used already, or is locked.");
    }
    if (body.stream !== undefined || body.incoming !== undefined) {
        taken.stream = streamOf(body);
        return taken;
    }
    const { source } = body;
    body.used = true;
    taken.bytes = typeof source === "string" ? utf8Encode(source) : source;
    return taken;
}

// Headers of the connection and the message's length, which are skep's: a tenant's own are left out, because code that passes a client's headers
// on has them.
const own = {
    __proto__: null, connection: true, "content-length": true, expect: true, host: true, "http2-settings": true, "keep-alive": true, te: true,
    trailer: true, "transfer-encoding": true, upgrade: true,
};
const isOwn = (name) => own[name] === true || StringPrototypeSlice(name, 0, 6) === "proxy-";

function addDefault(list, name, value) {
    if (!listHas(list, name)) {
        listAppend(list, name, value);
    }
}

// The length of the body, as the header has it; undefined: nobody knows it, or there is none to tell.
function lengthOf(method, given, bytes, stream) {
    if (bytes !== undefined) {
        return `${TypedArrayPrototypeGetByteLength(bytes)}`;
    }
    if (stream === undefined) {
        return method === "POST" || method === "PUT" ? "0" : undefined;
    }
    const length = listGet(given, "content-length");
    return length !== null && RegExpPrototypeTest(/^[0-9]{1,15}$/, length) ? length : undefined;
}

// Returns the headers to send. given: those of the request; cache: its mode.
export function outgoingHeaders(method, given, cache, bytes, stream) {
    const list = newList();
    for (let i = 0; i < given.length; i += 2) {
        if (!isOwn(given[i])) {
            listAppend(list, given[i], given[i + 1]);
        }
    }
    addDefault(list, "accept", "*/*");
    addDefault(list, "user-agent", "skep");
    // A range is one of the bytes that come, and would be one of the encoded ones (Fetch, "HTTP-network-or-cache fetch").
    addDefault(list, "accept-encoding", listHas(list, "range") ? "identity" : "gzip, br, zstd");
    if (cache === "no-cache") {
        addDefault(list, "cache-control", "max-age=0");
    } else if (cache === "no-store" || cache === "reload") {
        addDefault(list, "pragma", "no-cache");
        addDefault(list, "cache-control", "no-cache");
    }
    const length = lengthOf(method, given, bytes, stream);
    if (length !== undefined) {
        listAppend(list, "content-length", length);
    }
    return list;
}
