// SPDX-License-Identifier: Apache-2.0
//
// env.NAME of a binding to another tenant: its fetch(); and the entries for the answers to all calls. The work is in fetch/, which is evaluated
// with the first call, and for storage in storage/.
import { load as loadStorage } from "lazy:./storage/main.js";
import { TypeError } from "./primordials.js";
import { fetchLibrary } from "./fetch.js";
import { firstUse } from "./first_use.js";
import { waitFor } from "./place.js";
import { Request } from "./request.js";
import { defineInterface, requireArguments } from "./webidl.js";

const internal = Symbol("internal");

class Fetcher {
    #binding;

    constructor(token, binding) {
        if (token !== internal) {
            throw new TypeError("Fetcher: Illegal constructor");
        }
        this.#binding = binding;
    }

    fetch(input, init = undefined) {
        return waitFor((take, fail) => {
            const binding = this.#binding;
            requireArguments(arguments.length, 1, "fetch");
            fetchLibrary().askBinding(binding, new Request(input, init), (response) => take(() => response), fail);
        });
    }
}
const makeFetcher = (binding) => new Fetcher(internal, binding);
defineInterface(Fetcher, "Fetcher");

// ---- entries

export const onCallHead = (request, id, status, head, data, end, reason) =>
    fetchLibrary().onCallHead(request, id, status, head, data, end, reason);
export const onCallBody = (request, id, data, end) => fetchLibrary().onCallBody(request, id, data, end);
export const onCallCredit = (request, id, credit) => fetchLibrary().onCallCredit(request, id, credit);
export const onCallFailed = (request, id, isLimit, message) => fetchLibrary().onCallFailed(request, id, isLimit, message);

// ---- for calls.js

// Warns of calls that the end of the request cuts off.
export function warnCut(call) {
    if (call.exchanges !== undefined) {
        fetchLibrary().warnCut(call);
    }
}

// Fails the calls of a request that was cancelled.
export function failCalls(call, error) {
    if (call.exchanges !== undefined) {
        fetchLibrary().failCalls(call, error);
    }
}

let storage;
const storageLibrary = () => (storage ??= firstUse(loadStorage));

// The face of each kind of binding in env, by its number in worker.proto.
const makers = [
    makeFetcher, // BINDING_SERVICE
    (binding) => storageLibrary().makeKv(binding), // BINDING_KV
    (binding) => storageLibrary().makeSql(binding), // BINDING_SQL
];

// bindings: flat, [name, kind, ...]
export function addBindings(env, bindings, define) {
    for (let i = 0; i < bindings.length; i += 2) {
        define(env, bindings[i], makers[bindings[i + 1]](i / 2));
    }
}
