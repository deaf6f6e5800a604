// SPDX-License-Identifier: Apache-2.0
//
// A tenant that replaces by a spy every part of the language that the layer and its libraries look
// up while they run, and keeps all values that pass by: none leads to a native, to an entry, or to
// the layer's data of a request.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { Host } from "./host.mjs";

const folder = new URL("../../worker/js/src/", import.meta.url);
const sources = ["", "fetch/", "storage/"].flatMap((part) => readdirSync(new URL(`./${part}`, folder)).filter((file) => file.endsWith(".js"))
    .map((file) => readFileSync(new URL(part + file, folder), "utf8"))).join("\n");

// The names of all properties in the bundle, the libraries' too.
const names = [...new Set([...Host.bundle.matchAll(/[.{,;]([A-Za-z_$][\w$]*)\s*(?==[^=]|:|\+\+|[-+?|&]{1,2}=)/g)]
    .map(([, name]) => name))].filter((name) => !/^([gs]et|value|writable|enumerable|configurable|__proto__)$/.test(name));

const closed = new Set([...sources.matchAll(/^closeClass\((\w+)\)/gm)].map(([, name]) => name));

const SPY = `{
    const { apply, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } = Reflect;
    const { create } = Object, ArrayHere = Array;
    globalThis.caught = [];
    const kept = globalThis.caught;
    let isBusy = false;
    const seen = create(null);
    const keep = (how, self, args) => {
        if (isBusy || (seen[how] = (seen[how] ?? 0) + 1) > 100) return;
        isBusy = true;
        const note = create(null);
        note.how = how; note.self = self; note.args = args;
        defineProperty(kept, kept.length, { __proto__: null, value: note, enumerable: true, configurable: true, writable: true });
        isBusy = false;
    };
    globalThis.keep = keep;
    const spyOn = (owner, title) => {
        for (const key of ownKeys(owner)) {
            if (key === "constructor" || key === "__proto__") continue;
            const was = getOwnPropertyDescriptor(owner, key);
            if (!was.configurable) continue;
            const now = { __proto__: null, configurable: true, enumerable: was.enumerable };
            const how = title + "." + String(key);
            for (const kind of ["value", "get", "set"]) {
                if (typeof was[kind] !== "function") continue;
                const old = was[kind];
                now[kind] = function (...args) { keep(how, this, args); return apply(old, this, args); };
            }
            if (now.value) now.writable = true; else if (!now.get && !now.set) continue;
            defineProperty(owner, key, now);
        }
    };
    globalThis.startSpies = (names) => {
        const owners = [["Object", Object.prototype], ["Function", Function.prototype], ["Array", Array.prototype],
            ["Map", Map.prototype], ["Set", Set.prototype], ["WeakMap", WeakMap.prototype], ["WeakSet", WeakSet.prototype],
            ["Promise", Promise.prototype], ["String", String.prototype], ["RegExp", RegExp.prototype],
            ["ArrayBuffer", ArrayBuffer.prototype], ["DataView", DataView.prototype], ["Error", Error.prototype],
            ["TypedArray", getPrototypeOf(Uint8Array.prototype)], ["Uint8Array", Uint8Array.prototype],
            ["Number", Number.prototype], ["Symbol", Symbol.prototype],
            ["ArrayIterator", getPrototypeOf([][Symbol.iterator]())],
            ["MapIterator", getPrototypeOf(new Map()[Symbol.iterator]())],
            ["Iterator", getPrototypeOf(getPrototypeOf([][Symbol.iterator]()))],
            ["AsyncIterator", getPrototypeOf(getPrototypeOf((async function* () {})()).constructor.prototype ?? {})],
            ["static Object", Object], ["static Reflect", Reflect], ["static Promise", Promise], ["static Array", Array],
            ["static ArrayBuffer", ArrayBuffer], ["static JSON", JSON], ["static Math", Math], ["static Symbol", Symbol],
            ["static Number", Number], ["static Error", Error]];
        for (const C of [Array, Map, Set, Promise, RegExp, ArrayBuffer, getPrototypeOf(Uint8Array)])
            defineProperty(C, Symbol.species, { __proto__: null, configurable: true,
                get() { keep(C.name + "[Symbol.species]", this, []); return this; } });
        for (const C of ["Headers", "Request", "Response", "ReadableStream", "ReadableStreamDefaultReader",
            "ReadableByteStreamController", "ReadableStreamDefaultController", "ReadableStreamBYOBReader",
            "ReadableStreamBYOBRequest", "WritableStream", "WritableStreamDefaultWriter", "WritableStreamDefaultController",
            "TransformStream", "TransformStreamDefaultController", "Blob", "File", "FormData", "URL", "URLSearchParams",
            "Event", "EventTarget", "AbortSignal", "AbortController", "TextDecoder", "TextEncoder", "DOMException", "Crypto",
            "CryptoKey", "SubtleCrypto", "CompressionStream", "DecompressionStream"])
            owners.push([C, globalThis[C].prototype], ["static " + C, globalThis[C]]);
        for (const name of ["then", ...names]) {
            if (name in Object.prototype) continue;
            const values = new WeakMap(), { get, set } = WeakMap.prototype;
            defineProperty(Object.prototype, name, { __proto__: null, configurable: true,
                get() { keep("get " + name, this, []); return undefined; },
                set(value) {
                    keep("set " + name, this, [value]);
                    defineProperty(this, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
                } });
        }
        for (const i of [0, 1, 2]) defineProperty(Array.prototype, i, { __proto__: null, configurable: true,
            get() { keep("get " + i, this, []); return undefined; },
            set(value) {
                keep("set " + i, this, [value]);
                defineProperty(this, i, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
            } });
        Error.prepareStackTrace = (error, sites) => {
            for (let i = 0; i < sites.length; i++)
                keep("call site", error, [sites[i].getThis(), sites[i].getFunction(), sites[i].getEvalOrigin()]);
            return String(error);
        };
        for (const [title, owner] of owners) spyOn(owner, title);
    };
}`;

const EVERYTHING = `{ async fetch(request, env, ctx) {
    const { url } = request;
    if (url.endsWith("/other")) { await new Promise((resolve) => { globalThis.finishOther = resolve; }); return new Response("other"); }
    const target = new EventTarget(), controller = new AbortController();
    target.addEventListener("x", { handleEvent() {} }, { signal: controller.signal });
    target.dispatchEvent(new CustomEvent("x", { detail: 1 }));
    request.signal.addEventListener("abort", () => {});
    setTimeout(() => {}, 1, 1, 2);
    const headers = new Headers([["a", "b"]]); headers.append("c", "d"); [...headers];
    const form = new FormData(); form.append("a", "b"); form.append("f", new File(["x"], "f.txt"));
    await new Response(form).formData();
    new URL("http://u:p@a.test:81/p?q=1#h").searchParams.append("a", "b");
    structuredClone({ a: [1, new Map([[1, 2]])] });
    console.log({ a: [1, "x", { b: new Error("e") }] }, new Map([[1, 2]])); console.table([{ a: 1 }]);
    ctx.waitUntil(Promise.resolve(1)); ctx.waitUntil(Promise.reject(new Error("w")));
    const copy = request.clone();
    const reader = request.body.getReader({ mode: "byob" });
    for (;;) { const { done } = await reader.read(new Uint8Array(2)); if (done) break; }
    await copy.text();
    try { null.x; } catch (error) { error.stack; }
    try { new Response("x", { status: 1 }); } catch (error) { error.stack; }
    crypto.getRandomValues(new Uint8Array(4)); crypto.randomUUID();
    const key = await crypto.subtle.generateKey({ name: "HMAC", hash: { name: "SHA-256" } }, true, ["sign", "verify"]);
    await crypto.subtle.verify("HMAC", key, await crypto.subtle.sign("HMAC", key, new Uint8Array(4)), new Uint8Array(4));
    const jwk = await crypto.subtle.exportKey("jwk", key);
    await crypto.subtle.importKey("jwk", jwk, { name: "HMAC", hash: "SHA-256" }, true, ["sign"]);
    await crypto.subtle.digest("SHA-256", new ArrayBuffer(4)).catch(() => {}); key.algorithm; key.usages;
    await crypto.subtle.digest("none", new ArrayBuffer(4)).catch((error) => error.stack);
    await new Response(new Blob(["x"]).stream().pipeThrough(new CompressionStream("gzip"))
        .pipeThrough(new DecompressionStream("gzip"))).text();
    const { port1, port2 } = new MessageChannel(), moved = new MessageChannel().port1;
    const got = new Promise((resolve) => { port2.onmessage = resolve; });
    port1.postMessage({ a: [1] }, [moved]); (await got).ports; port1.close();
    const channel = new BroadcastChannel("x"); new BroadcastChannel("x").postMessage({}); channel.onmessage = () => {};
    new PerformanceObserver(() => {}).observe({ entryTypes: ["mark"] }); performance.mark("m", { detail: {} }); performance.measure("n", "m");
    const task = new TaskController({ priority: "background" });
    await scheduler.postTask(() => task.setPriority("user-visible"), { signal: task.signal }); await scheduler.wait(1);
    scheduler.postTask(() => {}, { signal: task.signal }).catch((error) => error.stack); task.abort();
    new URLPattern("http://:host.test/:a(\\\\d+)?#*").exec({ pathname: "/1" });
    const { KV, DB } = env, stored = new Uint8Array(3);
    await KV.put("a", "b", { metadata: { a: [1] }, expirationTtl: 60 }); await KV.put("c", stored); await KV.get("a", "json"); await KV.get(["a", "b"]);
    await new Response(await KV.get("a", "stream")).text(); await KV.getWithMetadata("a", "arrayBuffer"); await KV.list({ prefix: "a" }); await KV.delete("a");
    await KV.put("", "").catch((error) => error.stack); await KV.get("refused").catch((error) => error.stack);
    const statement = DB.prepare("select ?").bind(1, "a", stored, null, 1.5); await statement.all(); await statement.first("a"); await statement.raw();
    await DB.batch([statement, statement]); await DB.exec("x").catch((error) => error.cause.stack); await DB.withSession().prepare("x").run();
    try { DB.prepare("x").bind(undefined); } catch (error) { error.stack; }
    addEventListener("error", (event) => event.preventDefault()); reportError(new Error("r"));
    const failing = new DecompressionStream("gzip"); failing.readable.cancel("c").catch(() => {});
    failing.writable.getWriter().write("no bytes").catch((error) => error.stack);
    const { readable, writable } = new TransformStream({ transform(chunk, c) { c.enqueue(chunk); } });
    new ReadableStream({ pull(c) { c.enqueue("text"); c.close(); } }).pipeThrough(new TextEncoderStream()).pipeTo(writable);
    return new Response(readable, { headers: { "x-a": "b" } });
} }`;

// Yields all values that can be reached from notes without running code of the layer, with the way
// to each.
function* reach(notes) {
    const seen = new Set(), queue = [];
    const push = (value, way) => {
        if ((typeof value === "object" && value !== null || typeof value === "function") && !seen.has(value)) {
            seen.add(value);
            queue.push([value, way]);
        }
    };
    for (const { how, self, args } of notes) {
        push(self, `${how}: this`);
        for (let i = 0; i < args.length; i++) {
            push(args[i], `${how}: argument ${i}`);
        }
    }
    while (queue.length > 0) {
        const [value, way] = queue.pop();
        yield [value, way];
        push(Reflect.getPrototypeOf(value), `${way}.__proto__`);
        for (const key of Reflect.ownKeys(value)) {
            const descriptor = Reflect.getOwnPropertyDescriptor(value, key);
            for (const kind of ["value", "get", "set"]) {
                push(descriptor[kind], `${way}.${String(key)}`);
            }
        }
        for (const C of [Map, Set]) {
            try {
                C.prototype.forEach.call(value, (item, key) => {
                    push(item, `${way}.get()`);
                    push(key, `${way}.key`);
                });
            } catch {
                // no such thing
            }
        }
    }
}

// V8 gives only functions that are not strict a `caller` of their own.
const isSloppy = (value) => typeof value === "function" && Object.hasOwn(value, "caller") &&
    Host.bundle.includes(Function.prototype.toString.call(value));

// Answers of storage, in the order in which EVERYTHING asks: a body, or the status of an error.
const storageBody = (values, rest) => {
    const packed = Buffer.concat(values);
    return Buffer.concat([Buffer.from([packed.length, 0, 0, 0]), packed, Buffer.from(rest)]);
};
const packText = (text) => Buffer.from(`t${String.fromCharCode(text.length)}\0\0\0${text}`);
const packInteger = (number) => Buffer.from(`i${String.fromCharCode(number)}${"\0".repeat(7)}`);
const nothing = Buffer.from("n");
const results = (count) => storageBody([], JSON.stringify(Array(count).fill({
    columns: ["a", "b"], rows: [[1, ["AAE="]], [2, "x"]], blobs: true, changes: 0, last_row_id: 0, duration: 1, rows_read: 0, rows_written: 0,
    changed_db: false, size_after: 0,
})));
const STORED = [
    storageBody([], ""), storageBody([], ""), storageBody([packInteger(3), packText("[1]"), nothing], "[2]"), storageBody([nothing, nothing], ""),
    storageBody([packInteger(3), nothing, nothing], "abc"), storageBody([packInteger(3), packText("{}"), nothing], "abc"),
    storageBody([packInteger(1), nothing, packText("a"), packInteger(9), packText("[1]")], ""), storageBody([], ""), 429,
    results(1), results(1), results(1), results(2), 400, results(1),
];

test("what spies on the language catch leads to nothing of the layer's own", () => {
    const host = new Host();
    host.boot(EVERYTHING, {}, ["KV", 1, "DB", 2]);
    host.run(SPY);
    host.run(`startSpies(${JSON.stringify(names)})`);
    const other = host.start({ url: "http://a.test/other", headers: ["x-secret", "of another"] });
    const id = host.start({ method: "POST", body: "hel", end: false });
    host.onBody(id, "lo", false);
    host.onBody(id, "!", true);
    for (const answer of STORED) {
        host.runTimers();
        host.answer(typeof answer === "number" ? { status: answer, body: "no" } : { body: answer });
    }
    host.runTimers();
    host.onCancel(other, "client_gone");
    const notes = host.run("caught");
    const ways = [];
    const own = new Set([host.natives, ...Object.values(host.natives), host.entries, ...Object.values(host.entries),
        ...host.cryptoNatives]);
    let count = 0;
    for (const [value, way] of reach(notes)) {
        count++;
        const made = Reflect.getPrototypeOf(value);
        const name = made && Reflect.getPrototypeOf(made) === null && made.constructor?.name;
        if (own.has(value)) {
            ways.push(`native or entry ${value.name}: ${way}`);
        }
        if (name && closed.has(name)) {
            ways.push(`${name}: ${way}`);
        }
        if (isSloppy(value)) {
            ways.push(`function ${value.name}, which is not strict: ${way}`);
        }
    }
    const { status, outcome, body } = host.result(id);
    assert.deepEqual([status, outcome, body], [200, 0, "text"]);
    assert.ok(notes.length > 1000 && count > 5000, `${notes.length} catches, ${count} objects`);
    assert.ok(host.cryptoNatives.length > 10);
    assert.deepEqual(ways, []);
});

// The layer calls each of these in its own way; "watch" keeps the caller.
const WATCHED = `{ fetch: sloppy("request", "env", "ctx", \`
    watch(arguments);
    const watched = sloppy("watch(arguments); return this");
    const bag = (names) => Object.fromEntries(names.map((name) => [name, watched]));
    const getters = (names) => Object.defineProperties({}, Object.fromEntries(names.map((name) =>
        [name, { get: sloppy("watch(arguments)"), enumerable: true }])));
    const each = (...steps) => { for (const step of steps) try { step(); } catch {} };
    const target = new EventTarget();
    each(
        () => target.addEventListener("x", watched, getters(["once", "signal", "capture"])),
        () => target.addEventListener("x", { get handleEvent() { return watched; } }),
        () => target.dispatchEvent(new Event("x", getters(["bubbles"]))),
        () => request.signal.addEventListener("abort", watched),
        () => setTimeout(watched, 1),
        () => queueMicrotask(watched),
        () => ctx.waitUntil({ then: watched }),
        () => ctx.waitUntil({ then: sloppy("resolve", "watch(arguments); resolve()") }),
        () => new Headers({ toString: watched, get a() { return { toString: watched }; } }),
        () => new Headers({ [Symbol.iterator]: watched }),
        () => new Response(null, getters(["status", "headers", "statusText"])),
        () => new Request("http://a/", getters(["method", "body", "signal"])),
        () => new URL({ toString: watched }),
        () => new URLSearchParams("a=b").forEach(watched),
        () => new Headers([["a", "b"]]).forEach(watched),
        () => new FormData().append("a", { toString: watched }),
        () => new TextDecoder("utf-8", getters(["fatal"])),
        () => structuredClone({ get a() { return watched.call(this), 1; } }),
        () => console.log({ [Symbol.for("nodejs.util.inspect.custom")]: watched }, { get [Symbol.toStringTag]() { watched(); } }),
        () => console.log("%s", { toString: watched }),
        () => new ReadableStream(bag(["start", "pull", "cancel"]), { size: watched, highWaterMark: 1 }).cancel(),
        () => new WritableStream(bag(["start", "write", "close", "abort"])).getWriter().write(1),
        () => new ReadableStream({ start(c) { c.enqueue(1); } }).pipeThrough(new TransformStream(bag(["transform", "flush"]))),
        () => new ReadableStream(getters(["start", "pull", "type"])),
        () => reportError({ toString: watched }),
        () => atob({ toString: watched }));
    return { then: sloppy("resolve", "watch(arguments); resolve(new Response('watched'))") };\`) }`;

test("no function of a tenant sees a function of the layer as its caller", () => {
    const host = new Host();
    host.run(`var sloppy = Function, watches = 0, callers = [];
        var watch = sloppy("args", "watches++; try { for (let f = args.callee.caller, i = 0; f && i < 50;" +
            " f = f.caller, i++) callers.push(f); } catch {}");`);
    host.boot(WATCHED);
    host.fetch({ body: "x", method: "POST" });
    host.runTimers();
    const seen = [...host.run("callers")].filter((f) => Host.bundle.includes(Function.prototype.toString.call(f)));
    assert.deepEqual(seen.map((f) => f.name), []);
    assert.ok(host.run("watches") >= 30, `${host.run("watches")} calls`);
});
