// SPDX-License-Identifier: Apache-2.0
//
// Tenants that change the built-ins, or hand over objects that fight back: the layer goes on, and
// the contract with the natives holds (host.mjs checks its arguments).
import assert from "node:assert/strict";
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
        // What a tenant's handler itself uses must go on working.
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
