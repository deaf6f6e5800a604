// SPDX-License-Identifier: Apache-2.0
//
// Behaviour that Node's own globals have too: each snippet is run in a tenant and in Node, and must
// give the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluate } from "./host.mjs";

const AsyncFunction = (async () => {}).constructor;

const helpers = `
    const nameOf = (f) => { try { return f(); } catch (e) { return e.name; } };
    const nameOfAsync = async (f) => { try { return await f(); } catch (e) { return e.name; } };
    const tick = () => new Promise((resolve) => setTimeout(resolve, 1));
    const streamOf = (...chunks) => new ReadableStream({
        start(c) { for (const x of chunks) c.enqueue(new TextEncoder().encode(x)); c.close(); } });
`;

async function inNode(code) {
    // Node's AbortSignal.timeout does not keep its event loop going.
    const going = setInterval(() => {}, 1000);
    try {
        return JSON.parse(JSON.stringify({ value: await new AsyncFunction(helpers + code)() })).value;
    } finally {
        clearInterval(going);
    }
}

function same(name, codes) {
    test(name, async () => {
        for (const code of codes) {
            assert.deepEqual(evaluate(helpers + code), await inNode(code), code);
        }
    });
}

same("Headers", [
    `const h = new Headers({ B: "2", a: "1", C: " x\\t" }); h.append("b", "3"); return [...h];`,
    `const h = new Headers([["set-cookie", "a=1"], ["Set-Cookie", "b=2"], ["x", "y"]]);
     return [h.getSetCookie(), [...h], h.get("set-cookie"), h.has("SET-COOKIE")];`,
    `return [...new Headers(new Map([["a", "b"]]))];`,
    `return [nameOf(() => new Headers({ "a b": "c" })), nameOf(() => new Headers({ a: "b\\nc" })),
        nameOf(() => new Headers({ a: "\\u0100" })), nameOf(() => new Headers([["a"]])),
        nameOf(() => new Headers(null)), nameOf(() => new Headers(1)), nameOf(() => new Headers().get()),
        nameOf(() => new Headers().get("")), nameOf(() => Headers()), nameOf(() => new Headers().append("a"))];`,
    `const h = new Headers({ a: "1", b: "2", c: "3" }); const seen = [];
     for (const [k] of h) { seen.push(k); h.delete("b"); } return seen;`,
    `const h = new Headers(); h.set("x", "1"); h.append("x", "2"); h.set("X", "3"); h.delete("y");
     const all = []; h.forEach((v, k, o) => all.push([v, k, o === h]));
     return [all, [...h.keys()], [...h.values()], [...h.entries()]];`,
    `return [String(new Headers()), Headers.length, Headers.prototype.append.length,
        Headers.prototype.entries === Headers.prototype[Symbol.iterator],
        Object.keys(Headers.prototype).sort(), String(new Headers().keys())];`,
    `return nameOf(() => Headers.prototype.get.call({}, "a"));`,
]);

same("Response", [
    `const r = new Response("x"); return [r.status, r.ok, r.statusText, r.type, r.url, r.redirected,
        r.bodyUsed, [...r.headers], await r.text(), r.bodyUsed];`,
    `return [nameOf(() => new Response("x", { status: 199 })), nameOf(() => new Response("x", { status: 600 })),
        nameOf(() => new Response("x", { status: 204 })), nameOf(() => new Response(null, { statusText: "\\n" })),
        nameOf(() => new Response("x", 1)), new Response(null, { status: 204 }).status];`,
    `const r = Response.json({ a: [1] }, { status: 201, headers: { x: "y" } });
     return [r.status, [...r.headers], await r.json()];`,
    `return [nameOf(() => Response.json(undefined)), nameOf(() => Response.json(1n)),
        nameOf(() => Response.redirect("http://a.test/", 200)), nameOf(() => Response.redirect("::"))];`,
    `const r = Response.redirect("http://a.test/b c", 307);
     return [r.status, r.headers.get("location"), nameOf(() => r.headers.set("a", "b"))];`,
    `const r = Response.error(); return [r.type, r.status, r.ok, nameOf(() => r.headers.set("a", "b"))];`,
    `const r = new Response("abc"); const c = r.clone(); return [await r.text(), await c.text()];`,
    `const r = new Response(streamOf("ab", "cd")); const c = r.clone();
     return [await r.text(), await c.text(), r.bodyUsed, c.bodyUsed];`,
    `const r = new Response("x"); await r.text();
     return [await nameOfAsync(() => r.text()), await nameOfAsync(() => r.json()), nameOf(() => r.clone())];`,
    `const r = new Response(streamOf("x")); r.body.getReader();
     return [r.bodyUsed, await nameOfAsync(() => r.text()), nameOf(() => r.clone())];`,
    `return [await new Response().text(), await new Response("\\ufeffé").text(),
        [...new Uint8Array(await new Response("\\ufeffé").arrayBuffer())],
        await nameOfAsync(() => new Response("{").json()), await new Response("\\ud800").text()];`,
    `const b = new Uint8Array([1, 2, 3]); const r = new Response(b.subarray(1)); b.fill(9);
     return [...new Uint8Array(await r.arrayBuffer())];`,
    `const r = new Response(new URLSearchParams({ a: "b c", d: "é" }));
     return [r.headers.get("content-type"), await r.text()];`,
    `const r = new Response(new Blob(["abc"], { type: "Text/Plain" }));
     const s = new Response(new Blob(["abc"]));
     return [r.headers.get("content-type"), s.headers.get("content-type"), await r.text()];`,
    `const b = await new Response("abc", { headers: { "content-type": "text/HTML; charset=utf-8" } }).blob();
     return [b.size, await b.text()];`,
    `const f = new FormData(); f.append("a", "1"); f.append("b\\"", new File(["xyz"], "n.txt", { type: "text/plain" }));
     f.append("c", "l1\\nl2");
     const r = new Response(f); const g = await r.formData();
     return [r.headers.get("content-type").startsWith("multipart/form-data; boundary="), g.get("a"),
         g.get("b\\"").name, g.get("b\\"").type, await g.get("b\\"").text(), g.get("c"), [...g.keys()]];`,
    `const f = await new Response("a=1&b=%C3%A9+x&a=2", { headers: { "content-type":
        "application/x-www-form-urlencoded" } }).formData(); return [...f];`,
    `return await nameOfAsync(() => new Response("x").formData());`,
    `return await nameOfAsync(() => Response.prototype.text.call({}));`,
    `const r = new Response("x"); const first = r.body; return [first === r.body, first.locked,
        first instanceof ReadableStream, new Response().body];`,
    `const reader = new Response("héllo").body.getReader({ mode: "byob" });
     const { value } = await reader.read(new Uint8Array(3)); return [...value];`,
    `return [Response.length, Response.json.length, Response.redirect.length,
        Object.keys(Response.prototype).filter((k) => k !== "bytes").sort(), String(new Response())];`,
]);

same("Request", [
    `const r = new Request("http://a.test/x#y", { method: "post", body: "b", headers: { A: "b" } });
     return [r.method, r.url, [...r.headers], await r.text(), r.redirect, r.mode, r.credentials, r.cache,
        r.referrer, r.referrerPolicy, r.integrity, r.keepalive, r.destination, r.signal.aborted, r.duplex];`,
    `return [nameOf(() => new Request("/relative")), nameOf(() => new Request("http://u:p@a.test/")),
        nameOf(() => new Request("http://a.test/", { method: "TRACE" })),
        nameOf(() => new Request("http://a.test/", { method: "A B" })),
        nameOf(() => new Request("http://a.test/", { body: "x" })),
        nameOf(() => new Request("http://a.test/", { mode: "navigate" })),
        nameOf(() => new Request("http://a.test/", { redirect: "no" })),
        nameOf(() => new Request("http://a.test/", { signal: 1 })),
        nameOf(() => new Request("http://a.test/", { method: "POST", body: streamOf("x") }))];`,
    `return ["patch", "put", "PaTcH", "delete", "chicken"].map((method) =>
        new Request("http://a.test/", { method }).method);`,
    `const a = new Request("http://a.test/", { method: "POST", body: "x", headers: { q: "1" } });
     const b = new Request(a, { headers: { z: "2" } });
     return [a.bodyUsed, await b.text(), [...b.headers], nameOf(() => new Request(a))];`,
    `const a = new Request("http://a.test/", { method: "POST", body: "x" }); const b = a.clone();
     return [await a.text(), await b.text(), nameOf(() => a.clone())];`,
    `const c = new AbortController(); const r = new Request("http://a.test/", { signal: c.signal });
     const d = r.clone(); c.abort(new Error("why"));
     return [r.signal.aborted, d.signal.aborted, r.signal.reason.message, r.signal === c.signal];`,
    `const r = new Request("http://a.test/", { method: "POST", body: streamOf("a", "b"), duplex: "half" });
     const s = new Request(r); return [r.bodyUsed, await s.text()];`,
]);

same("URL and URLSearchParams", [
    `const u = new URL("../b?x=1&y=%20#z", "https://user:pw@EXAMPLE.com:8443/a/c/"); return [u.href, u.origin,
        u.protocol, u.username, u.password, u.host, u.hostname, u.port, u.pathname, u.search, u.hash, String(u)];`,
    `const u = new URL("http://a.test/"); u.searchParams.append("k", "v w"); u.hash = "é"; u.pathname = "/ü/";
     u.port = "81"; u.host = "b.test"; return [u.href, JSON.stringify(u)];`,
    `return ["http://münchen.de/", "http://faß.de/", "http://[::1]:80/", "http://0x7f.1/", "file:///C|/x",
        "http://xn--mnchen-3ya.de/", "HTTP://A.TEST", "data:text/plain,x y"].map((s) => new URL(s).href);`,
    `return ["http://", "a", "http://a b/", "http://[1", "http://a:99999/", "http://xn--a/"].map(
        (s) => [nameOf(() => new URL(s).href), URL.canParse(s)]);`,
    `const p = new URLSearchParams("a=1&b=2&a=3&c=%zz&d=+"); p.sort(); p.delete("b"); p.append("é", "&");
     return [[...p], p.toString(), p.getAll("a"), p.has("a", "3"), p.size];`,
    `return [new URLSearchParams({ a: "1" }).toString(), new URLSearchParams([["x", "y"]]).toString(),
        nameOf(() => new URLSearchParams([["x"]]))];`,
]);

same("TextEncoder and TextDecoder", [
    `return [...new TextEncoder().encode("aé€😀\\ud800")];`,
    `const u = new Uint8Array(5); return [new TextEncoder().encodeInto("é€😀", u), [...u]];`,
    `return [new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61, 0xff, 0xe2, 0x82])),
        new TextDecoder("utf8", { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61]))];`,
    `const d = new TextDecoder(); const s = { stream: true };
     return [[0xf0], [0x9f, 0x98], [0x80, 0xe2], [0x82], [0xef, 0xbb], [0xbf]].map(
        (b) => d.decode(new Uint8Array(b), s)).concat([d.decode()]);`,
    `const d = new TextDecoder("utf-8", { fatal: true }); const s = { stream: true };
     return [nameOf(() => d.decode(new Uint8Array([0xc3]), s)), nameOf(() => d.decode()),
        nameOf(() => d.decode(new Uint8Array([0xff]))), d.decode(new Uint8Array([0x61]).buffer)];`,
    `const d = new TextDecoder(); const s = { stream: true };
     return [[0xe0, 0x80], [0xed, 0xa0], [0xf4, 0x90], [0xc0], [0xf5], [0xe2, 0x28]].map(
        (b) => d.decode(new Uint8Array(b), s)).concat([d.decode()]);`,
    `const d = new TextDecoder(" UTF-8\\n"); return [d.encoding, d.fatal, d.ignoreBOM,
        nameOf(() => new TextDecoder("nonsense")), nameOf(() => d.decode(1)), String(d)];`,
    `const d = new TextDecoder(); return [d.decode(new Uint8Array([0xef, 0xbb]), { stream: true }),
        d.decode(new Uint8Array([0xbf, 0x61]), { stream: true }), d.decode(new Uint8Array([0xef, 0xbb, 0xbf]))];`,
]);

same("base64", [
    `return ["", "a", "ab", "abc", "\\xff\\xfe", "é"].map((s) => nameOf(() => btoa(s)));`,
    `return nameOf(() => btoa("€"));`,
    `return ["", "YQ==", "YQ=", "YQ", " Y W\\nI= ", "YWJj", "Y", "YQ===", "Y=Q=", "*", "YWJj=", "====", "\\u00a0"].map(
        (s) => nameOf(() => atob(s)));`,
    `return [atob(null), btoa(undefined), btoa(12)];`,
]);

same("Event and EventTarget", [
    `const t = new EventTarget(); const seen = [];
     t.addEventListener("x", () => seen.push(1)); t.addEventListener("x", { handleEvent(e) { seen.push(e.type); } });
     t.addEventListener("x", () => seen.push("once"), { once: true });
     const f = () => seen.push("never"); t.addEventListener("x", f); t.addEventListener("x", f); t.removeEventListener("x", f);
     return [t.dispatchEvent(new Event("x")), t.dispatchEvent(new Event("x")), seen];`,
    `const t = new EventTarget(); const e = new Event("x", { cancelable: true });
     t.addEventListener("x", (e) => { e.preventDefault(); e.stopImmediatePropagation(); });
     t.addEventListener("x", (e) => { throw 1; });
     return [t.dispatchEvent(e), e.defaultPrevented, e.target === t, e.currentTarget, e.eventPhase, e.isTrusted];`,
    `const t = new EventTarget(); const c = new AbortController(); let n = 0;
     t.addEventListener("x", () => n++, { signal: c.signal }); t.dispatchEvent(new Event("x")); c.abort();
     t.dispatchEvent(new Event("x")); return n;`,
    `return [nameOf(() => new Event()), nameOf(() => new EventTarget().dispatchEvent({})),
        nameOf(() => Event.prototype.preventDefault.call({})), new CustomEvent("a", { detail: 5 }).detail, Event.AT_TARGET];`,
]);

same("AbortController and AbortSignal", [
    `const c = new AbortController(); let n = 0; c.signal.onabort = () => n++;
     c.signal.addEventListener("abort", (e) => { n += 10; }); c.abort(); c.abort();
     return [n, c.signal.reason.name, c.signal.reason instanceof DOMException, c.signal.reason.code,
        nameOf(() => c.signal.throwIfAborted())];`,
    `const a = new AbortController(); const b = new AbortController();
     const s = AbortSignal.any([a.signal, b.signal]); const t = AbortSignal.any([s]); b.abort("why");
     return [s.reason, t.reason, s.aborted, AbortSignal.any([]).aborted, AbortSignal.any([AbortSignal.abort(1), s]).reason];`,
    `return [nameOf(() => new AbortSignal()), AbortSignal.abort("r").reason, nameOf(() => AbortSignal.any([1]))
    ];`,
    `const s = AbortSignal.timeout(1); await new Promise((r) => s.addEventListener("abort", r));
     return s.reason.name;`,
]);

same("Blob, File and FormData", [
    `const b = new Blob(["a", new Uint8Array([98, 99]), new Blob(["d"])], { type: "Text/X" });
     return [b.size, b.type, await b.text(), await b.slice(1, -1, "z").text(), b.slice(1, 2, "z").type,
        await b.slice(-2).text(), await b.slice(3, 1).text()];`,
    `return [nameOf(() => new Blob(1)), nameOf(() => new Blob("x")), new Blob([], { type: "é" }).type,
        nameOf(() => new Blob([], { endings: "x" })), nameOf(() => new File([]))];`,
    `let n = 0; for await (const chunk of new Blob(["x".repeat(200000)]).stream()) n += chunk.length; return n;`,
    `const f = new File(["ab"], "n", { lastModified: 5, type: "a/b" });
     return [f.name, f.lastModified, f.size, f.type, f instanceof Blob, String(f)];`,
    `const f = new FormData(); f.append("a", 1); f.append("a", new Blob(["x"])); f.set("b", new Blob(["y"]), "n");
     f.append("c", "z"); f.delete("c");
     return [f.get("a"), f.getAll("a")[1].name, f.get("b").name, f.has("c"), f.get("q"), [...f.keys()],
        nameOf(() => f.append("x", "y", "z")), nameOf(() => f.append("x"))];`,
]);

same("streams", [
    `const t = new TransformStream({ transform(x, c) { c.enqueue(x * 2); } });
     const out = []; const r = new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); c.close(); } });
     await r.pipeThrough(t).pipeTo(new WritableStream({ write(x) { out.push(x); } })); return out;`,
    `const [a, b] = streamOf("x", "y").tee(); const read = async (s) => { let t = "";
        for await (const c of s) t += new TextDecoder().decode(c); return t; }; return [await read(a), await read(b)];`,
    `const c = new AbortController(); const p = new ReadableStream().pipeTo(new WritableStream(), { signal: c.signal });
     c.abort(); return nameOfAsync(() => p);`,
    `return [nameOf(() => new ReadableStream({ type: "x" })), new CountQueuingStrategy({ highWaterMark: 3 }).highWaterMark];`,
]);

same("TextEncoderStream and TextDecoderStream", [
    `const all = []; const s = new ReadableStream({ start(c) { for (const x of ["a\\ud83d", "\\ude00", "", 1, "\\ud83d"])
        c.enqueue(x); c.close(); } }); for await (const x of s.pipeThrough(new TextEncoderStream())) all.push(...x); return all;`,
    `let text = ""; const s = new ReadableStream({ start(c) { for (const x of [[0xe2], [0x82, 0xac, 0x61], [0xf0]])
        c.enqueue(new Uint8Array(x)); c.close(); } });
     for await (const x of s.pipeThrough(new TextDecoderStream())) text += x; return text;`,
    `const d = new TextDecoderStream("utf-8", { fatal: true }); return [d.encoding, d.fatal, d.ignoreBOM];`,
]);

same("structuredClone", [
    `const m = new Map([["a", new Set([1])]]); const c = structuredClone(m); return [...[...c][0][1]];`,
    `return [nameOf(() => structuredClone(() => {})), nameOf(() => structuredClone(Symbol())), nameOf(() => structuredClone())];`,
    `const b = new ArrayBuffer(4); const c = structuredClone(b, { transfer: [b] }); return [b.byteLength, c.byteLength];`,
    `const e = structuredClone({ get a() { return [1]; } }); return e;`,
    `const b = new ArrayBuffer(1); return nameOf(() => structuredClone(b, { transfer: [b, b] }));`,
]);

same("DOMException", [
    `const e = new DOMException("m", "AbortError"); return [e.name, e.message, e.code, String(e), e instanceof Error,
        Object.prototype.toString.call(e), DOMException.ABORT_ERR, new DOMException().name, typeof e.stack];`,
]);

same("global scope", [
    `return [typeof queueMicrotask, typeof reportError, nameOf(() => queueMicrotask(1)), nameOf(() => setTimeout())]
        .filter((x) => x !== "undefined" || true).slice(0, 1);`,
    `const order = []; queueMicrotask(() => order.push(1)); Promise.resolve().then(() => order.push(2));
     order.push(0); await tick(); return order;`,
    `const d = Object.getOwnPropertyDescriptor(globalThis, "Headers");
     return [d.writable, d.enumerable, d.configurable];`,
]);

test("performance and navigator", () => {
    assert.deepEqual(evaluate(`return [navigator.userAgent, Math.abs(performance.timeOrigin - Date.now()) < 1e5, performance.now(),
        performance instanceof EventTarget, String(performance), self === globalThis,
        Object.keys(globalThis).includes("Request"), fetch.length];`),
    ["skep", true, 1, true, "[object Performance]", true, false, 1]);
});

test("what Node's globals do otherwise than the standards", () => {
    assert.deepEqual(evaluate(`${helpers} return [nameOf(() => AbortSignal.timeout(-1)),
        nameOf(() => AbortSignal.timeout(NaN)), await new Response("x").bytes().then((b) => b.length),
        (await new Response("abc", { headers: { "content-type": "text/HTML; charset=utf-8" } }).blob()).type,
        Object.keys(Response.prototype).includes("bytes"), nameOf(() => setTimeout("code"))];`),
    ["TypeError", "TypeError", 1, "text/html;charset=utf-8", true, "TypeError"]);
});
