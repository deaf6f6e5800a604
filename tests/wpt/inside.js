// SPDX-License-Identifier: Apache-2.0
//
// The part of a script that is no test: script.mjs puts id, base, origin, timeoutMs and resources before it, and main()
// behind it. Gives the tests what a worker of a browser has, and collects their results.
const { JSON, Promise, Response, clearTimeout, setTimeout } = globalThis;
const STATES = ["PASS", "FAIL", "TIMEOUT", "NOTRUN", "PRECONDITION_FAILED"];
const HARNESS_STATES = ["OK", "ERROR", "TIMEOUT", "PRECONDITION_FAILED"];
const MESSAGE_MAX = 300;

function defineGlobal(name, value) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

function makeLocation() {
    const [, protocol, host, hostname, port = "", pathname, search = "", hash = ""] =
        /^(https?:)\/\/(([^/:]+)(?::(\d+))?)([^?#]*)(\?[^#]*)?(#.*)?$/.exec(base);
    return { href: base, protocol, host, hostname, port, pathname, search, hash, origin: `${protocol}//${host}`,
        toString: () => base };
}

function toAbsolute(url) {
    try {
        return new URL(url, base).href;
    } catch {
        return url;
    }
}

function contentOf([, isBase64, text]) {
    return isBase64 ? Uint8Array.from(atob(text), (char) => char.charCodeAt(0)) : text;
}

// Relative URLs are those of files of WPT, which are here unless its server is there; all others go to the real fetch.
function makeFetch() {
    const { fetch: real, URL } = globalThis;
    return function fetch(input, init) {
        if (typeof input !== "string" && !(input instanceof URL)) {
            return real.apply(globalThis, arguments);
        }
        const url = toAbsolute(String(input));
        if (resources !== undefined && url.startsWith(`${origin}/`)) {
            const file = url.slice(origin.length).replace(/[?#].*$/, "");
            const resource = resources[file];
            if (resource !== undefined) {
                return Promise.resolve(new Response(contentOf(resource), { headers: { "content-type": resource[0] } }));
            }
            if (!init?.signal && init?.body == null && (init?.method ?? "GET") === "GET") {
                return Promise.resolve(new Response(`no such file: ${file}`, { status: 404 }));
            }
        }
        return real.call(globalThis, url, init);
    };
}

// A worker of a browser has a base URL, a server has none.
function makeRequest() {
    const { Request: Real } = globalThis;
    const Request = new Proxy(Real, {
        construct(target, [first, ...rest], newTarget) {
            const input = typeof first === "string" ? toAbsolute(first) : first;
            return Reflect.construct(target, input === undefined && rest.length === 0 ? [] : [input, ...rest],
                newTarget === Request ? target : newTarget);
        },
    });
    return Request;
}

function start(resolve) {
    const results = new Map();
    let isOver = false;
    const note = (test, status, message) => results.set(test.name,
        [String(test.name), status, message == null ? null : String(message).slice(0, MESSAGE_MAX)]);
    const noteResult = (test) => note(test, STATES[test.status], test.message);
    const finish = (status, message, tests = []) => {
        if (!isOver) {
            isOver = true;
            clearTimeout(timer);
            tests.forEach(noteResult);
            resolve({ id, harness: [status, message ?? null], tests: [...results.values()] });
        }
    };
    const timer = setTimeout(() => finish("TIMEOUT", "not all tests were over in time"), timeoutMs);

    defineGlobal("GLOBAL", { isWindow: () => false, isWorker: () => true, isShadowRealm: () => false });
    const location = makeLocation();
    defineGlobal("location", location);
    addEventListener("unhandledrejection", (event) => event.preventDefault());
    addEventListener("error", (event) => event.preventDefault());
    try {
        main.call(globalThis, makeFetch(), makeRequest(), location, (harness) => {
            harness.add_test_state_callback((test) => {
                if (!results.has(test.name)) {
                    note(test, "TIMEOUT", "never over");
                }
            });
            harness.add_result_callback(noteResult);
            harness.add_completion_callback((tests, state) => finish(HARNESS_STATES[state.status], state.message, tests));
        });
    } catch (error) {
        finish("ERROR", `the script threw: ${error?.stack ?? error}`);
    }
}

let results;
export default {
    async fetch() {
        results ??= new Promise(start);
        return new Response(JSON.stringify(await results), { headers: { "content-type": "application/json" } });
    },
};
