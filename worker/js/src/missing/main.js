// SPDX-License-Identifier: Apache-2.0
//
// Names that other platforms have on their global object and skep has not: what to do instead, for the log of a tenant that
// runs into one. The table in docs/tenant.md has the same rows; a test compares them. Evaluated at the first such name, or the first
// exception in the log: ../missing.js. provide(): build.mjs.
import { log } from "../native.js";
import { StringPrototypeIndexOf, StringPrototypeSlice } from "../primordials.js";

// [names, what to do]
const rows = [
    ["XMLHttpRequest", "use fetch(), which asks the servers in allowed_hosts of skep.yaml"],
    ["WebSocket WebSocketPair EventSource WebSocketStream",
        "there is no WebSocket; stream a Response (server-sent events), or let the client poll"],
    ["connect Socket", "there are no sockets; fetch() asks servers, and tenants call each other by bindings: docs/bindings.md"],
    ["caches CacheStorage Cache",
        "there is no cache; set Cache-Control for one in front, or keep values by a binding to key-value: docs/storage.md"],
    ["localStorage sessionStorage indexedDB",
        "bindings give key-value and SQL, as env.NAME: docs/storage.md"],
    ["require module exports __dirname __filename",
        "modules are ES modules; bundle CommonJS with esbuild --bundle --format=esm"],
    ["process", "Node.js has it; env is the second argument of fetch(request, env, ctx)"],
    ["Buffer", "Node.js has it; use Uint8Array, TextEncoder and atob, or bundle the package buffer"],
    ["global setImmediate clearImmediate", "Node.js has it; use globalThis, queueMicrotask or setTimeout"],
    ["Worker SharedWorker SharedArrayBuffer importScripts", "there are no threads; a handler runs in one isolate"],
    ["WeakRef FinalizationRegistry", "when garbage is collected is not shown; use WeakMap"],
    ["window document location history alert DOMParser HTMLElement Image requestAnimationFrame",
        "browsers have it; the handler has request.url and no page"],
    ["FileReader FileList", "browsers have it; a Blob has text(), arrayBuffer(), bytes() and stream()"],
    ["FixedLengthStream IdentityTransformStream",
        "other platforms have it; use TransformStream, and set Content-Length for a length that is known"],
    ["Temporal", "V8 does not have it yet; bundle the package temporal-polyfill"],
    ["HTMLRewriter", "it is WebAssembly, which a cordon with jit: off does not have"],
    ["ServiceWorkerGlobalScope", "other platforms have it; skep has the Web APIs that its guide lists"],
    ["Deno Bun", "that runtime has it; skep has the Web APIs that its guide lists"],
];

function makeAdvice() {
    const made = { __proto__: null };
    for (let i = 0; i < rows.length; i++) {
        const names = `${rows[i][0]} `;
        for (let from = 0, to; (to = StringPrototypeIndexOf(names, " ", from)) !== -1; from = to + 1) {
            made[StringPrototypeSlice(names, from, to)] = rows[i][1];
        }
    }
    return made;
}

const advice = makeAdvice();

// Code has looked for a global that is not there, at that place: its library may swallow the exception. Returns true if the log
// has a warning now.
function missing(name, place) {
    if (advice[name] === undefined) {
        return false;
    }
    log(2, `${name} is not there (${place}). ${name}: ${advice[name]} (docs/tenant.md)`);
    return true;
}

// V8's message about a name that is not there: the texts before and behind the name.
const forms = [
    ["ReferenceError: ", " is not defined"],
    ["TypeError: globalThis.", " is not a function"],
    ["TypeError: globalThis.", " is not a constructor"],
    ["TypeError: self.", " is not a function"],
    ["TypeError: self.", " is not a constructor"],
];

// message: the first line of an error's stack. Returns a line for the log, with its newline before it, or "".
function missingAdvice(message) {
    if (StringPrototypeIndexOf(message, "TypeError: Cannot read private member #") === 0 ||
        StringPrototypeIndexOf(message, "TypeError: Cannot read properties of undefined (reading '#") === 0) {
        return "\n(a method or a property was used on another object than its own: call object.method(), not a copy of the method)";
    }
    for (let i = 0; i < forms.length; i++) {
        const before = forms[i][0];
        const end = message.length - forms[i][1].length;
        if (end <= before.length || StringPrototypeSlice(message, end) !== forms[i][1] ||
            StringPrototypeIndexOf(message, before) !== 0) {
            continue;
        }
        const name = StringPrototypeSlice(message, before.length, end);
            return advice[name] === undefined ? "" : `\n${name}: ${advice[name]} (docs/tenant.md)`;
    }
    return "";
}

provide({ __proto__: null, missing, missingAdvice });
