// SPDX-License-Identifier: Apache-2.0
//
// Tenants that change the built-ins, or hand over objects that fight back: the layer goes on, and
// the contract with the natives holds (host.mjs checks its arguments).
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { Host } from "./host.mjs";

const handler = `{ async fetch(request, env, ctx) {
    const headers = new Headers({ "X-Seen": request.headers.get("a") });
    headers.append("x-two", "2");
    ctx.waitUntil((async () => {})());
    const text = await request.text();
    return new Response("hi " + text, { status: 201, headers });
} }`;

// Any promise that is resolved with an object asks it for "then": an async handler cannot work.
const plainHandler = `{ fetch(request) {
    const headers = new Headers({ "X-Seen": request.headers.get("a") });
    headers.append("x-two", "2");
    return new Response("hi there", { status: 201, headers });
} }`;

const attacks = {
    "setters on Array.prototype": `
        for (const i of [0, 1, 2, 3]) Object.defineProperty(Array.prototype, i, {
            set() { throw new Error("trap"); }, get() { throw new Error("trap"); } });`,
    "then on Object.prototype": `Object.prototype.then = function () { throw new Error("trap"); };`,
    "a getter for then": `Object.defineProperty(Object.prototype, "then", { get() { throw new Error("trap"); } });`,
    "Promise.prototype.then": `Promise.prototype.then = () => { throw new Error("trap"); };`,
    "Promise.resolve": `Promise.resolve = Promise.reject = () => { throw new Error("trap"); };`,
    "Map and Set methods": `for (const C of [Map, Set, WeakMap]) for (const m of
        ["get", "set", "has", "add", "delete", "forEach"]) C.prototype[m] = () => { throw new Error("trap"); };`,
    "Function.prototype.call, apply and bind": `for (const m of ["call", "apply", "bind"])
        Function.prototype[m] = () => { throw new Error("trap"); };`,
    "array iteration": `Array.prototype[Symbol.iterator] = () => { throw new Error("trap"); };`,
    "array methods": `for (const m of ["push", "slice", "sort", "join", "indexOf", "splice", "map"])
        Array.prototype[m] = () => { throw new Error("trap"); };`,
    "string methods": `for (const m of ["toLowerCase", "charCodeAt", "slice", "indexOf", "toWellFormed"])
        String.prototype[m] = () => { throw new Error("trap"); };`,
    "typed array methods": `for (const m of ["set", "subarray", "slice"])
        Object.getPrototypeOf(Uint8Array).prototype[m] = () => { throw new Error("trap"); };`,
    "regular expressions": `RegExp.prototype.test = () => { throw new Error("trap"); };`,
    "Object and Reflect": `{
        const all = [[Object, Object.getOwnPropertyNames(Object)], [Reflect, Object.getOwnPropertyNames(Reflect)]];
        for (const [target, names] of all) for (const m of names) if (m !== "prototype")
            target[m] = () => { throw new Error("trap"); }; }`,
    "globals that are gone": `for (const name of ["Map", "Set", "Promise", "Uint8Array", "TypeError", "Error",
        "String", "Symbol", "Object", "Array", "ReadableStream", "JSON", "Math"]) delete globalThis[name];`,
    "names that the layer reads from its own objects": `
        for (const name of ["get", "set", "value", "writable", "enumerable", "configurable", "type", "pull",
            "start", "size", "signal", "headers", "status", "statusText", "once", "capture", "stream", "fatal"])
            Object.prototype[name] ??= undefined;`,
};

for (const [name, code] of Object.entries(attacks)) {
    test(`a request is served after: ${name}`, () => {
        const host = new Host();
        // The built-ins that a tenant's handler itself uses must go on working.
        host.boot(name.includes("then") && !name.includes("Promise") ? plainHandler : handler);
        host.run(code);
        const whole = host.fetch({ method: "POST", headers: ["A", "1"], body: "there" });
        assert.equal(whole.message, undefined);
        assert.equal(whole.status, 201);
        assert.equal(whole.body, "hi there");
        assert.deepEqual(whole.headers, ["x-seen", "1", "x-two", "2", "content-type",
            "text/plain;charset=UTF-8"]);
        assert.equal(whole.outcome, 0);
        const id = host.start({ method: "POST", headers: ["A", "1"], body: "the", end: false });
        host.onBody(id, "re", true);
        assert.equal(host.result(id).body, "hi there");
    });
}

test("an exception is reported whatever became of Error", () => {
    for (const code of [`Error.prepareStackTrace = () => { throw new Error("trap"); };`,
        `Object.defineProperty(Error.prototype, "stack", { get() { throw 1; } });`,
        `Error.prototype.toString = () => { throw 1; };`, `Error.stackTraceLimit = 0;`,
        `Error.prepareStackTrace = () => ({ toString() { throw 1; } });`]) {
        const host = new Host().boot(`{ fetch() { throw new Error("no luck"); } }`);
        host.run(code);
        const result = host.fetch();
        assert.equal(result.outcome, 1, code);
        assert.equal(typeof result.message, "string", code);
    }
});

// Every name that the layer sets on some object. Where one of the layer's own objects has no such
// own property, a setter of Object.prototype would be called with the value.
function namesThatAreSet() {
    const folder = new URL("../../worker/js/src/", import.meta.url);
    const names = new Set();
    for (const file of readdirSync(folder)) {
        if (file.endsWith(".js")) {
            const text = readFileSync(new URL(file, folder), "utf8");
            for (const [, name] of text.matchAll(/\.([a-z]\w*) (?:[-+?|&]{0,2})= /gi)) {
                names.add(name);
            }
            for (const [, name] of text.matchAll(/^ +([a-z]\w*)(?:: |;| = |,$)/gim)) {
                names.add(name);
            }
        }
    }
    // As attributes of descriptors they break whatever defines a property, the tenant's own code too.
    return [...names].filter((name) => !/^([gs]et|value|writable|enumerable|configurable)$/.test(name));
}

const everything = `{ async fetch(request, env, ctx) {
    const target = new EventTarget(), controller = new AbortController();
    const listener = () => {};
    target.addEventListener("x", listener, { once: false, signal: controller.signal });
    target.addEventListener("x", { handleEvent() {} });
    target.dispatchEvent(new CustomEvent("x", { detail: 1, bubbles: true }));
    target.removeEventListener("x", listener);
    controller.signal.onabort = listener;
    AbortSignal.any([controller.signal]).addEventListener("abort", listener);
    controller.abort();
    const id = setTimeout(() => {}, 1000, 1, 2); setInterval(() => {}, 1000); clearTimeout(id);
    AbortSignal.timeout(1000);
    const headers = new Headers([["a", "b"]]); headers.append("c", "d"); headers.set("a", "e"); headers.delete("c");
    [...headers, ...headers.keys()]; headers.getSetCookie();
    const form = new FormData(); form.append("a", "b"); form.append("f", new File(["x"], "f.txt")); [...form];
    await new Response(form).formData(); await new Response(new URLSearchParams("a=b&c=d")).formData();
    const url = new URL("http://u:p@a.test:81/p?q=1#h"); url.searchParams.append("a", "b"); url.pathname = "/x"; \`\${url}\`;
    const copy = new Request(request, { method: "POST", body: "b", headers, signal: controller.signal }).clone();
    await copy.text(); copy.signal; copy.headers.get("a");
    const response = new Response("x", { status: 201, headers, statusText: "t" }); response.clone(); response.body;
    Response.json({ a: 1 }); Response.redirect("http://a/", 302); Response.error();
    await new Blob(["a", new Uint8Array(3)], { type: "t" }).slice(0, 2).text();
    new TextDecoder().decode(new TextEncoder().encode("x"), { stream: true }); new TextEncoder().encodeInto("x", new Uint8Array(3));
    structuredClone({ a: [1, new Map([[1, 2]])] }); queueMicrotask(() => {}); reportError(new Error("x"));
    performance.now(); navigator.userAgent; atob(btoa("x")); new DOMException("x", "AbortError").code;
    for (const m of ["log", "error", "table", "trace", "dir", "count", "group", "groupEnd", "time", "timeEnd", "assert"])
        console[m]({ a: [1, "x", { b: new Error("e") }] }, new Map([[1, 2]]));
    ctx.waitUntil(Promise.reject(new Error("w")));
    return new Response("all", { headers: { "x-a": "b" } });
} }`;

test("no setter on Object.prototype gets an object of the layer", () => {
    const host = new Host();
    host.boot(everything);
    host.run(`globalThis.caught = [];
        for (const name of ${JSON.stringify(namesThatAreSet())}) {
            Object.defineProperty(Object.prototype, name, { __proto__: null, configurable: true, get() { return undefined; },
                set(value) { caught.push(name + " of " + Object.getOwnPropertyNames(this)); } });
        }`);
    const { status, outcome, message, body } = host.fetch({ body: "hello", method: "PUT" });
    assert.deepEqual([status, outcome, body], [200, 0, "all"], message);
    assert.deepEqual([...host.run("caught")], []);
});

test("no attribute on Object.prototype gets into a descriptor of the layer", () => {
    for (const attribute of ["get", "set", "value", "writable", "enumerable", "configurable"]) {
        for (const value of ["() => {}", "1", "undefined"]) {
            const host = new Host();
            host.boot(everything);
            host.run(`Object.prototype.${attribute} = ${value};`);
            const { status, outcome, message, body } = host.fetch({ body: "hello", method: "PUT" });
            assert.deepEqual([status, outcome, body], [200, 0, "all"], message);
            host.run(`console.log({ a: [1] }, new URL("http://\u00fc.test/").host, [...new URLSearchParams("a=b")]);`);
            assert.match(host.logs.at(-1).text, /a: \[ 1/);
            assert.match(host.logs.at(-1).text, /xn--tda\.test/);
            assert.doesNotMatch(host.logs.map(({ text }) => text).join("\n"), /cannot be shown/);
            assert.equal(host.run(`"${attribute}" in {}`), true);
        }
    }
});

test("the console shows hostile objects and goes on", () => {
    const host = new Host();
    host.run(`
        const trap = () => { throw new Error("trap"); };
        const loop = {}; loop.loop = loop;
        const values = [{ get a() { throw 1; } }, new Proxy({}, { get: trap, ownKeys: trap, getPrototypeOf: trap,
            getOwnPropertyDescriptor: trap, has: trap }), loop, { toString: trap, [Symbol.toPrimitive]: trap },
            Object.create(null), { [Symbol.for("nodejs.util.inspect.custom")]: trap }, Symbol("s"), 1n, -0, null,
            undefined, () => {}, class A {}, new Map([[1, loop]]), { get [Symbol.toStringTag]() { throw 1; } },
            Object.assign(() => {}, { [Symbol.toPrimitive]: trap }), new (class { constructor() { this.x = 1; } })()];
        for (const value of values) { console.log(value); console.error("%s %o %d", value, value); console.table(value); }
        const revoked = Proxy.revocable({}, {}); revoked.revoke(); console.log(revoked.proxy);
        console.log("x".repeat(20000));
    `);
    assert.equal(host.logs.length, 17 * 3 + 2);
    for (const { text } of host.logs) {
        assert.ok(text.length <= 8192 + 1);
    }
});

test("a fetch getter that throws fails the boot, not the layer", () => {
    assert.throws(() => new Host().boot(`{ get fetch() { throw new RangeError("no") } }`), { name: "RangeError" });
});

test("a thenable as response that throws, or never settles, is the tenant's own affair", () => {
    assert.equal(new Host().boot(`{ fetch() { return { then() { throw new Error("x"); } }; } }`).fetch().outcome, 1);
    assert.equal(new Host().boot(`{ fetch() { return { then() {} }; } }`).fetch().outcome, undefined);
    assert.equal(new Host().boot(`{ fetch() { return { then(r) { r(new Response("t")); } }; } }`).fetch().body, "t");
});

test("a Response whose prototype was changed is still a Response, an imitation is none", () => {
    assert.equal(new Host().boot(`{ fetch() { const r = new Response("x"); Object.setPrototypeOf(r, null); return r; } }`)
        .fetch().body, "x");
    assert.equal(new Host().boot(`{ fetch() { return Object.create(Response.prototype); } }`).fetch().outcome, 2);
});
