// SPDX-License-Identifier: Apache-2.0
//
// The life of a request, from dispatch to done: the contract in worker/js/README.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./host.mjs";

const serve = (body, options) => new Host().boot(
    `{ async fetch(request, env, ctx) { ${body} } }`, options);

test("hello world is one respond call with a string", () => {
    const result = serve(`return new Response("hi");`).fetch();
    assert.equal(result.status, 200);
    assert.equal(result.body, "hi");
    assert.deepEqual(result.headers, ["content-type", "text/plain;charset=UTF-8"]);
    assert.equal(result.wholeString, true);
    assert.equal(result.outcome, 0);
});

test("the natives are not left on the global object", () => {
    const host = new Host();
    assert.equal(host.run("typeof __skep"), "undefined");
});

test("the handler is called as a method with request, env and ctx", () => {
    const host = new Host().boot(`new (class {
        greeting = "ho";
        fetch(request, env, ctx) {
            return new Response([this.greeting, env.NAME, typeof ctx.waitUntil,
                typeof ctx.passThroughOnException].join());
        }
    })()`, { NAME: "x" });
    assert.equal(host.fetch().body, "ho,x,function,function");
});

test("a default export without fetch is refused with a clear message", () => {
    for (const [code, found] of [["undefined", "there is no default export"],
        ["null", "the default export is null, not an object"],
        ["'text'", "the default export is a string, not an object"],
        ["() => {}", "the default export is a function or class, not an object"],
        ["{}", "the default export has no fetch function"],
        ["{ a: 1, get b() { throw 1; }, c: 1, d: 1, e: 1, f: 1 }",
            "the default export has no fetch function, but a, b, c, d, e"],
        ["{ fetch: 1 }", "the default export's fetch is of type number, not a function"]]) {
        assert.throws(() => new Host().boot(code), {
            name: "TypeError",
            message: `the main module has no handler: ${found}; expected ` +
                'export default { fetch(request, env, ctx) { … } } or addEventListener("fetch", …)',
        });
    }
});

test("an exception ends the request with its stack", () => {
    for (const code of ["throw new Error('no luck');",
        "await null; throw new Error('no luck');", "return Promise.reject(new Error('no luck'));"]) {
        const result = serve(code).fetch();
        assert.equal(result.outcome, 1);
        assert.match(result.message, /^Error: no luck\n +at /);
        assert.equal(result.status, undefined);
    }
});

test("the place that the host knows stands between an exception and its frames", () => {
    const host = serve("throw new Error('no luck');");
    host.place = "\nmain.js:1:2\n    text\n     ^";
    assert.match(host.fetch().message, /^Error: no luck\nmain\.js:1:2\n {4}text\n {5}\^\n +at /);
});

test("what was thrown without a stack is shown, and said to be so", () => {
    assert.equal(serve("throw { code: 7 };").fetch().message, "{ code: 7 } (without a stack)");
    assert.equal(serve("throw 'text';").fetch().message, "text (not an Error: it has no stack)");
    assert.equal(serve("throw { get stack() { throw 1; } };").fetch().outcome, 1);
    assert.equal(serve("throw new Proxy({}, { get() { throw 1; }, ownKeys() { throw 2; } });")
        .fetch().outcome, 1);
});

test("causes and collected errors follow an exception", () => {
    const message = (code) => serve(code).fetch().message;
    assert.match(message("throw new Error('a', { cause: new Error('b', { cause: 'c' }) });"),
        /^Error: a\n[^]*\nCaused by: Error: b\n[^]*\nCaused by: c \(not an Error: it has no stack\)$/);
    assert.match(message("throw new AggregateError([new Error('b'), 2], 'a');"),
        /^AggregateError: a\n[^]*\nOne of its errors: Error: b\n[^]*\nOne of its errors: 2 \(not/);
    const many = message("throw new AggregateError(Array.from({ length: 50 }, (_, i) => i));");
    assert.equal(many.match(/One of its errors/g).length, 5);
    assert.match(many, /and 45 errors more$/);
    const circle = message("const e = new Error('a'); e.cause = e; throw e;");
    assert.match(circle, /\nCaused by: an error that is named above already$/);
    assert.equal(circle.match(/Caused by/g).length, 1);
    assert.match(message(`const e = new Error('a');
        Object.defineProperty(e, "cause", { get() { throw 1; } }); throw e;`), /^Error: a\n/);
});

test("what is no Response is a bad response", () => {
    for (const code of ["return 1;", "return;", "return { status: 200 };",
        "const r = new Response('x'); await r.text(); return r;",
        "const r = new Response('x'); r.body.getReader(); return r;", "return Response.error();"]) {
        const result = serve(code).fetch();
        assert.equal(result.outcome, 2, code);
        assert.notEqual(result.message, "");
        assert.equal(result.status, undefined);
    }
});

test("a response without a body is whole at once", () => {
    const result = serve("return new Response(null, { status: 204, headers: { A: 'b' } });").fetch();
    assert.equal(result.status, 204);
    assert.equal(result.ended, true);
    assert.deepEqual(result.headers, ["a", "b"]);
});

test("the request has what the client sent", () => {
    const host = serve(`return Response.json({
        method: request.method, url: request.url, a: request.headers.get("X-A"),
        all: [...request.headers], body: request.body, isRequest: request instanceof Request,
    });`);
    const result = host.fetch({ method: "DELETE", url: "http://h.test/a/../b?q=ä#f",
        headers: ["X-A", "1", "x-a", "2", "Accept", "*/*"] });
    assert.deepEqual(JSON.parse(result.body), {
        method: "DELETE", url: "http://h.test/b?q=%C3%A4#f", a: "1, 2",
        all: [["accept", "*/*"], ["x-a", "1, 2"]], body: null, isRequest: true,
    });
});

test("a plain URL is shown as URL would serialise it", () => {
    const host = serve("return new Response(request.url);");
    for (const url of ["http://a.test/", "http://a.test:8080/x/y.js?a=b&c", "http://a.test:80/",
        "https://a.test:443/", "http://a.test:080/", "http://1.2.3/", "http://0x7f.1/",
        "http://a.test/./b", "http://a.test/a/..", "http://a.test/%2e/b", "http://a.test/.hidden",
        "http://A.test/", "http://a.test/a'b?c'd", "http://a.test/a\\b", "http://a.test/a b",
        "http://a.test", "http://a.test?x", "http://xn--a/", "http://a.1/", "http://a.test/a//b",
        "http://a.test/..a/b", "http://a.test:65535/", "http://a.test:65536/", "http://123/", "http://1a/",
        "http://127.0.0.1:8080/", "http://127.0.0.2/", "http://a.b.1c.d/", "http://xn--a.b/", "http://a.xn--b/",
        "http://a-/", "http://-a/", "http://a.test:080/", "http://a.test:0/", "http://a.test:801/",
        "https://a.test:80/", "http://a.test/?'", "http://a.test/?%", "http://a.test/a/?b#c", "http://a.b./", "http://localhost:8080/?q=a+b"]) {
        const expected = URL.canParse(url) ? new URL(url).href : url;
        assert.equal(host.fetch({ url }).body, expected, url);
        if (URL.canParse(url)) {
            const parts = (it) => ["href", "origin", "protocol", "host", "hostname", "port", "pathname", "search",
                "hash", "username"].map((name) => it[name]);
            const tenants = host.run(`new URL(${JSON.stringify(url)})`);
            assert.deepEqual(parts(tenants), parts(new URL(url)));
            tenants.pathname = "/x/../y";
            tenants.port = "8081";
            assert.equal(tenants.pathname, "/y");
        }
    }
});

test("a long URL takes linear time", () => {
    const host = serve("return new Response(request.url);");
    const start = process.cpuUsage().user;
    for (const part of ["a", "a/", "a.", "-", "a-a/", "&="]) {
        for (const prefix of ["http://", "http://h.test/", "http://h.test/?"]) {
            host.fetch({ url: `${prefix}${part.repeat(8000)}"` });
        }
    }
    assert.ok(process.cpuUsage().user - start < 5e6);
});

test("the headers of the client's request cannot be changed, a copy's can", () => {
    const host = serve(`
        let error;
        try { request.headers.set("a", "b"); } catch (e) { error = e; }
        const copy = new Request(request);
        copy.headers.set("a", "b");
        return new Response(error.constructor.name + copy.headers.get("a") + copy.headers.get("x"));`);
    assert.equal(host.fetch({ headers: ["X", "y"] }).body, "TypeErrorby");
});

test("a whole request body is read without a stream", () => {
    const host = serve(`return new Response(JSON.stringify(await request.json()) + request.bodyUsed);`);
    assert.equal(host.fetch({ method: "POST", body: '{"a": [1]}' }).body, '{"a":[1]}true');
});

test("a request body that comes in parts is collected, and its credit given back", () => {
    const host = serve("return new Response(await request.text());");
    const id = host.start({ method: "POST", body: "ab", end: false });
    assert.equal(host.result(id).status, undefined);
    host.onBody(id, "cd", false);
    assert.equal(host.consumed.get(id), 4);
    host.onBody(id, "ef", true);
    assert.equal(host.result(id).body, "abcdef");
    assert.equal(host.result(id).outcome, 0);
});

test("a request body as a stream is consumed as it is read", () => {
    const host = serve(`
        const reader = request.body.getReader();
        const first = await reader.read();
        await new Promise((resolve) => setTimeout(resolve, 5));
        let size = first.value.length;
        for (;;) {
            const { done, value } = await reader.read();
            if (done) break;
            size += value.length;
        }
        return new Response(String(size));`);
    const id = host.start({ method: "POST", body: "abc", end: false });
    assert.equal(host.consumed.get(id), 3);
    host.onBody(id, "de", false);
    assert.equal(host.consumed.get(id), 3);
    host.runTimers();
    assert.equal(host.consumed.get(id), 5);
    host.onBody(id, undefined, true);
    assert.equal(host.result(id).body, "5");
});

test("a BYOB reader sees the end of a request body", () => {
    const host = serve(`
        const reader = request.body.getReader({ mode: "byob" });
        let text = "";
        for (;;) {
            const { done, value } = await reader.read(new Uint8Array(2));
            if (done) break;
            text += new TextDecoder().decode(value);
        }
        return new Response(text);`);
    const id = host.start({ method: "POST", body: "abc", end: false });
    host.onBody(id, "de", true);
    assert.equal(host.result(id).body, "abcde");
});

test("a request body can be echoed as a stream", () => {
    const host = serve("return new Response(request.body);");
    const id = host.start({ method: "POST", body: "abc", end: false });
    assert.equal(host.result(id).status, 200);
    host.onBody(id, "def", true);
    assert.equal(host.result(id).body, "abcdef");
    assert.equal(host.result(id).ended, true);
    assert.equal(host.result(id).outcome, 0);
});

test("a stream is sent chunk by chunk within the credit", () => {
    const host = serve(`
        let n = 0;
        return new Response(new ReadableStream({
            pull(controller) {
                globalThis.pulled = ++n;
                if (n > 4) controller.close();
                else controller.enqueue(new Uint8Array(10).fill(64 + n));
            },
        }, { highWaterMark: 0 }));`);
    const id = host.start({ credit: 15 });
    assert.equal(host.result(id).body, "AAAAAAAAAABBBBB");
    assert.equal(host.run("pulled"), 2, "nothing is pulled without credit");
    host.onCredit(id, 100);
    assert.equal(host.result(id).body, "A".repeat(10) + "B".repeat(10) + "C".repeat(10) + "D".repeat(10));
    assert.equal(host.result(id).ended, true);
    assert.equal(host.result(id).outcome, 0);
});

test("a long body that is known waits in the layer for credit", () => {
    for (const body of ['"a".repeat(100000)', "new Uint8Array(100000).fill(97)"]) {
        const host = serve(`return new Response(${body});`);
        const id = host.start({ credit: 70000 });
        assert.equal(host.result(id).body, "a".repeat(70000));
        assert.equal(host.result(id).outcome, undefined);
        host.onCredit(id, 70000);
        assert.equal(host.result(id).body, "a".repeat(100000));
        assert.equal(host.result(id).ended, true);
        assert.equal(host.result(id).outcome, 0);
    }
});

test("what skep has copied of a long body goes when it is sent, and nothing of the tenant's", () => {
    const host = new Host().boot(`{ async fetch(request) {
        globalThis.bytes ??= new Uint8Array(100000).fill(7);
        globalThis.blob ??= new Blob([bytes]);
        if (request.url.endsWith("clone")) {
            const response = new Response(bytes);
            globalThis.kept = response.clone();
            return response;
        }
        if (request.url.endsWith("kept"))
            return new Response(String((await kept.arrayBuffer()).byteLength));
        return new Response(request.url.endsWith("blob") ? blob : bytes);
    } }`);
    const lengthOf = (name) => host.fetch({ url: `http://a.test/${name}` }).body.length;
    for (const name of ["bytes", "bytes", "blob", "blob", "clone"]) {
        assert.equal(lengthOf(name), 100000, name);
    }
    assert.equal(host.fetch({ url: "http://a.test/kept" }).body, "100000");
    assert.equal(host.run("bytes.length"), 100000);
    assert.equal(host.run("blob.size"), 100000);
});

test("HEAD gets the head only, and a stream is cancelled", () => {
    const host = serve(`
        return new Response(new ReadableStream({
            pull(controller) { controller.enqueue(new Uint8Array(10)); },
            cancel() { globalThis.cancelled = true; },
        }));`);
    const id = host.start({ method: "HEAD" });
    assert.equal(host.result(id).body, "");
    assert.equal(host.result(id).ended, true);
    assert.equal(host.result(id).outcome, 0);
    assert.equal(host.run("cancelled"), true);
});

test("a chunk that is no Uint8Array, and a stream that fails, end the request", () => {
    for (const action of ["controller.enqueue('text')", "controller.error(new Error('gone'))",
        "throw new Error('gone')"]) {
        const result = serve(`return new Response(new ReadableStream({
            pull(controller) { ${action}; } }));`).fetch();
        assert.equal(result.outcome, 1);
        assert.equal(result.ended, false);
    }
});

test("a request is done when its waitUntil promises are settled", () => {
    const host = serve(`
        ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 10)));
        ctx.waitUntil(Promise.reject(new Error("lost")));
        return new Response("x");`);
    const id = host.start();
    assert.equal(host.result(id).status, 200);
    assert.equal(host.result(id).outcome, undefined);
    assert.match(host.logs[0].text, /in waitUntil.*Error: lost/);
    host.runTimers();
    assert.equal(host.result(id).outcome, 0);
});

test("a cancelled request sees its signal abort and its streams fail", () => {
    const host = serve(`
        request.signal.onabort = () => console.log("abort", request.signal.reason.name);
        request.text().catch((error) => console.log("body", error.name));
        return new Response(new ReadableStream({ cancel(reason) { console.log("out", reason.name); } }));`);
    for (const [reason, name] of [["wall_request", "TimeoutError"], ["client", "AbortError"]]) {
        host.logs.length = 0;
        const id = host.start({ method: "POST", body: "", end: false });
        host.onCancel(id, reason);
        assert.deepEqual(host.logs.map((line) => line.text).sort(),
            [`abort ${name}`, `body ${name}`, `out ${name}`]);
        assert.equal(host.result(id).outcome, undefined);
    }
});

test("a signal asked for only after the cancel is aborted", () => {
    const host = serve(`globalThis.kept = request; return new Promise(() => {});`);
    host.onCancel(host.start(), "client");
    assert.equal(host.run("kept.signal.aborted"), true);
});

test("nothing that a forgotten request left behind does any harm", () => {
    const host = serve(`
        globalThis.kept ??= { request, ctx };
        return new Response(new ReadableStream({ start(controller) { kept.controller = controller; } }));`);
    const id = host.start({ method: "POST", body: "", end: false });
    host.forget(id);
    host.run(`kept.controller.enqueue(new Uint8Array(3)); kept.controller.close();
        kept.ctx.waitUntil(Promise.resolve()); kept.request.text().catch(() => {});`);
    host.onBody(id, "x", true);
    host.onCredit(id, 10);
    host.onCancel(id, "client");
    assert.equal(host.result(id).outcome, undefined);
});

test("timers run in order, with arguments, and their exceptions are logged", () => {
    const host = serve(`
        const order = [];
        setTimeout(() => { throw new Error("in timer"); }, 1);
        setTimeout((...args) => order.push(args), 3, 1, 2);
        const id = setTimeout(() => order.push("never"), 2);
        clearTimeout(id);
        let n = 0;
        await new Promise((resolve) => {
            const interval = setInterval(() => { if (++n === 3) { clearInterval(interval); resolve(); } }, 2);
        });
        await new Promise((resolve) => setTimeout(resolve));
        return Response.json({ order, n });`);
    const id = host.start();
    host.runTimers();
    assert.deepEqual(JSON.parse(host.result(id).body), { order: [[1, 2]], n: 3 });
    assert.match(host.logs[0].text, /^Uncaught Error: in timer/);
    assert.equal(host.logs[0].level, 3);
});

test("timers go with their request", () => {
    const host = serve(`setTimeout(() => console.log("late"), 10); return new Response("x");`);
    host.start();
    host.runTimers();
    assert.deepEqual(host.logs, []);
});

test("one timer too many is a RangeError", () => {
    const host = serve(`try { for (;;) setTimeout(() => {}, 1000); } catch (e) { return new Response(e.name); }`);
    host.maxTimers = 5;
    assert.equal(host.fetch().body, "RangeError");
});

test("rejections without a handler are logged", () => {
    const host = serve(`return new Response("x");`);
    host.onRejection(Promise.resolve(), new Error("unseen"), false);
    assert.match(host.logs[0].text, /^Uncaught \(in promise\) Error: unseen/);
    host.onRejection(Promise.resolve(), undefined, true);
    assert.equal(host.logs.length, 1);
});

test("two requests of one tenant are apart", () => {
    const host = serve(`const text = await request.text(); return new Response(text + request.url);`);
    const a = host.start({ method: "POST", body: "a", end: false, url: "http://a.test/" });
    const b = host.start({ method: "POST", body: "b", end: false, url: "http://b.test/" });
    host.onBody(b, "2", true);
    host.onBody(a, "1", true);
    assert.equal(host.result(a).body, "a1http://a.test/");
    assert.equal(host.result(b).body, "b2http://b.test/");
});

test("a Content-Length that is not that of the body is told with both", () => {
    const length = (body, given) => serve(`return new Response(${body}, { headers: { "content-length": "${given}" } });`).fetch();
    const { outcome, message } = length('"a\u20ac"', 3);
    assert.equal(outcome, 2);
    assert.equal(message, "the Content-Length of the Response is 3, and its body has 4 bytes: leave it out, skep sets it");
    assert.equal(length('"a\u20ac"', 4).outcome, 0);
    assert.match(length("new Uint8Array(70000)", "7e4").message, /is 7e4, and its body has 70000 bytes/);
});

test("what a handler gave in place of a Response is told", () => {
    for (const [value, name] of [["", "undefined"], ["null", "null"], ["'text'", "a string"], ["{}", "another object"]]) {
        assert.equal(serve(`return ${value};`).fetch().message, `the handler's fetch function did not return a Response, but ${name}`);
    }
});

test("a stream of text is told its remedy", async () => {
    const host = serve('return new Response(new ReadableStream({ start(c) { c.enqueue("x"); c.close(); } }));');
    const id = host.start();
    await new Promise((resolve) => setImmediate(resolve));
    assert.match(host.result(id).message, /is not a Uint8Array; text goes through new TextEncoderStream\(\)/);
});

test("the stack of a body that cannot be read has the place that waits for it, also if the body comes later", () => {
    for (const [read, expected] of [["json", /^SyntaxError: /], ["formData", /^TypeError: The content-type of the body is no form type\./]]) {
        const host = new Host().boot(`{
            async fetch(request) { return new Response(await this.inner(request)); },
            async inner(request) { return await request.${read}(); },
        }`);
        host.run("Error.stackTraceLimit = 30"); // node has frames of its own below those of an entry
        const id = host.start({ method: "POST", body: "{bad", end: false });
        host.onBody(id, "x", true);
        const { message } = host.result(id);
        assert.match(message, expected);
        assert.match(message, /\n    at async .*inner \(.*:3:\d+\)\n    at async .*fetch/);
    }
});
