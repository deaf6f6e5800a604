// SPDX-License-Identifier: Apache-2.0
//
// fetch() of http: and https: URLs, with a supervisor that the test plays: headers, redirects, bodies, aborts, codings, errors. Real servers:
// tests/integration/test_fetch.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./host.mjs";

const FETCH = 2 ** 32 - 1;
const KEEP = "const seen = (r) => ({ status: r.status, url: r.url, redirected: r.redirected, type: r.type, headers: Object.fromEntries(r.headers) });";

// Starts a request whose handler runs the body of an async function; its result, as JSON, or the error is the answer.
function run(body, { host = new Host(), bindings = [], ...options } = {}) {
    host.boot(`{ async fetch(request, env, ctx) {
        ${KEEP}
        const failing = async (f) => { try { await f(); return "no error"; } catch (e) { return \`\${e?.name}: \${e?.message}\`; } };
        try {
            return Response.json((await (async () => { ${body} })()) ?? null);
        } catch (error) {
            return new Response(\`\${error?.name}: \${error?.message}\`, { status: 500 });
        }
    } }`, {}, bindings);
    const id = host.start(options);
    return { host, id, value: () => {
        const { body: text, outcome, status, message } = host.result(id);
        assert.equal(outcome, 0, message);
        return status === 200 ? JSON.parse(text) : text;
    } };
}

const fields = (call) => {
    const all = {};
    for (let i = 0; i < call.headers.length; i += 2) {
        all[call.headers[i]] = call.headers[i + 1];
    }
    return all;
};
const bodyOf = (call) => Buffer.concat(call.chunks).toString();

test("a fetch is a call by no binding, with the headers that a server expects", () => {
    const { host, value } = run(`const r = await fetch("https://a.test:8443/x?y=1#z"); return { ...seen(r), text: await r.text() };`);
    const [call] = host.calls;
    assert.deepEqual([call.binding, call.method, call.url, call.ended], [FETCH, "GET", "https://a.test:8443/x?y=1", true]);
    assert.deepEqual(fields(call), { accept: "*/*", "user-agent": "skep", "accept-encoding": "gzip, br, zstd" });
    host.answer({ status: 203, headers: ["X-A", "b", "Set-Cookie", "a=1", "set-cookie", "b=2"], body: "hello" });
    assert.deepEqual(value(), { status: 203, url: "https://a.test:8443/x?y=1", redirected: false, type: "basic",
        headers: { "x-a": "b", "set-cookie": "b=2" }, text: "hello" });
});

test("headers of the connection are left out, the tenant's others stay", () => {
    const { host } = run(`const headers = new Headers([["Host", "evil.test"], ["Connection", "close"], ["TE", "trailers"], ["Trailer", "x"], ["X-A", "1"],
        ["Transfer-Encoding", "chunked"], ["Upgrade", "x"], ["Expect", "100-continue"], ["Keep-Alive", "1"], ["Proxy-Authorization", "x"], ["X-A", "2"],
        ["Proxy-Connection", "x"], ["HTTP2-Settings", "x"], ["Content-Length", "99"], ["User-Agent", "mine"], ["Accept", "text/a"], ["Accept-Encoding", "br"],
        ["Cookie", "c=1"], ["Authorization", "Bearer x"]]);
        await fetch("http://a.test/", { method: "POST", body: "abc", headers });`);
    assert.deepEqual(fields(host.calls[0]), { "x-a": "2", "user-agent": "mine", accept: "text/a", "accept-encoding": "br", cookie: "c=1",
        authorization: "Bearer x", "content-type": "text/plain;charset=UTF-8", "content-length": "3" });
    assert.equal(host.calls[0].headers.filter((name) => name === "x-a").length, 2);
    assert.equal(bodyOf(host.calls[0]), "abc");
});

test("lengths of bodies that are known are told, and modes of the cache", () => {
    const { host } = run(`const all = [];
        for (const init of [{ method: "POST" }, { method: "PUT" }, { method: "DELETE" }, { method: "POST", body: "ü" },
            { method: "POST", body: new ReadableStream(), duplex: "half" },
            { method: "POST", body: new ReadableStream(), duplex: "half", headers: { "content-length": "7" } },
            { method: "POST", body: new ReadableStream(), duplex: "half", headers: { "content-length": "7, 7" } },
            { cache: "no-store" }, { cache: "reload", headers: { pragma: "x" } }, { cache: "no-cache" }, { headers: { range: "bytes=0-1" } }])
            all.push(fetch("http://a.test/", init).catch(() => {}));
        await Promise.all(all);`);
    const of = (name) => host.calls.map((call) => fields(call)[name] ?? null);
    assert.deepEqual(of("content-length"), ["0", "0", null, "2", null, "7", null, null, null, null, null]);
    assert.deepEqual(of("cache-control").slice(7), ["no-cache", "no-cache", "max-age=0", null]);
    assert.deepEqual(of("pragma").slice(7), ["no-cache", "x", null, null]);
    assert.equal(of("accept-encoding")[10], "identity");
});

test("a long body waits for credit, and a binding is told its length, too", () => {
    for (const [ask, bindings] of [['fetch("http://a.test/", ', []], ['env.B.fetch("http://b/", ', ["B", 0]]]) {
        const { host, value } = run(`const r = await ${ask}{ method: "PUT", body: new Uint8Array(150000) }); return r.status;`, { bindings });
        const [call] = host.calls;
        assert.deepEqual([fields(call)["content-length"], bodyOf(call).length, call.ended], ["150000", 65536, false]);
        host.onCallCredit(call, 80000);
        assert.deepEqual([bodyOf(call).length, call.ended], [145536, false]);
        host.onCallCredit(call, 80000);
        assert.deepEqual([bodyOf(call).length, call.ended], [150000, true]);
        host.answer();
        assert.equal(value(), 200);
    }
});

test("a stream goes out as it is made, and is cancelled when the call is over", () => {
    const { host, value } = run(`let end;
        const ended = new Promise((resolve) => { end = resolve; });
        let n = 0;
        const body = new ReadableStream({ pull(c) { if (n++ < 3) c.enqueue(new TextEncoder().encode("part" + n)); else return new Promise(() => {}); },
            cancel(reason) { end(reason.name); } });
        const r = await fetch("http://a.test/", { method: "POST", body, duplex: "half" });
        return [r.status, await ended];`);
    assert.equal(bodyOf(host.calls[0]), "part1part2part3");
    host.answer({ status: 413 });
    assert.deepEqual(value(), [413, "AbortError"]);
});

test("an answer is read within its window, and what is not wanted is cancelled", () => {
    const { host, value } = run(`const r = await fetch("http://a.test/"); const reader = r.body.getReader();
        const out = [(await reader.read()).value.length, (await reader.read()).value.length]; await reader.cancel(); return out;`);
    const [call] = host.calls;
    host.answer({ body: "x".repeat(10), end: false });
    assert.equal(call.consumed, 10);
    host.onCallBody(call, "y".repeat(20), false);
    assert.deepEqual([call.consumed, call.cancelled], [30, true]);
    assert.deepEqual(value(), [10, 20]);
});

test("answers without a body have none", () => {
    const { host, value } = run(`const out = [];
        for (const [method, url] of [["HEAD", "http://a.test/1"], ["GET", "http://a.test/204"], ["GET", "http://a.test/304"]])
            { const r = await fetch(url, { method }); out.push([r.status, r.body, r.headers.get("content-encoding"), r.headers.get("content-length")]); }
        return out;`);
    host.answer({ headers: ["content-encoding", "gzip", "content-length", "5"] });
    host.answer({ status: 204 });
    host.answer({ status: 304, headers: ["content-encoding", "gzip"] });
    assert.deepEqual(value(), [[200, null, "gzip", "5"], [204, null, null, null], [304, null, "gzip", null]]);
});

test("headers of an answer are immutable", () => {
    const { host, value } = run(`const r = await fetch("http://a.test/"); return [await failing(() => r.headers.set("a", "b")), r.statusText, r.clone().url];`);
    host.answer();
    assert.deepEqual(value(), ["TypeError: Headers: these headers are immutable; new Response(response.body, response) and new Request(request) have headers of their own.", "", "http://a.test/"]);
});

// ---- redirects

// Answers the first call with a redirect, and returns the second one.
function redirected(init, status, location, headers = []) {
    const { host, value } = run(`const r = await fetch("https://a.test/dir/x?q#old", ${init}); return seen(r);`);
    host.answer({ status, headers: ["location", location, ...headers] });
    return { host, value, next: host.calls[1] };
}

test("redirects change method and body as the standard says", () => {
    const post = '{ method: "POST", body: "abc", headers: { "content-language": "de", "x-a": "1" } }';
    for (const [init, status, method, body] of [
        ["{}", 301, "GET", ""], ["{}", 307, "GET", ""], [post, 301, "GET", ""], [post, 302, "GET", ""], [post, 303, "GET", ""],
        [post, 307, "POST", "abc"], [post, 308, "POST", "abc"], ['{ method: "PUT", body: "abc" }', 301, "PUT", "abc"],
        ['{ method: "PUT", body: "abc" }', 303, "GET", ""], ['{ method: "HEAD" }', 303, "HEAD", ""], ['{ method: "DELETE" }', 302, "DELETE", ""],
    ]) {
        const { next, value, host } = redirected(init, status, "y");
        assert.deepEqual([status, next.method, next.url, bodyOf(next)], [status, method, "https://a.test/dir/y", body]);
        assert.equal(fields(next)["content-type"] !== undefined, body !== "");
        assert.equal(fields(next)["content-language"], init === post && body !== "" ? "de" : undefined);
        assert.equal(fields(next)["content-length"], body === "" ? undefined : "3");
        assert.equal(fields(next)["x-a"], init === post ? "1" : undefined);
        host.answer();
        assert.deepEqual(value(), { status: 200, url: "https://a.test/dir/y", redirected: true, type: "basic", headers: {} });
    }
});

test("a Location is relative to the URL that has sent it, and may have any bytes", () => {
    for (const [location, url] of [
        ["/p?q", "https://a.test/p?q"], ["//b.test:8/z", "https://b.test:8/z"], ["?n", "https://a.test/dir/x?n"], ["#f", "https://a.test/dir/x?q"],
        ["", "https://a.test/dir/x?q"], ["../u#f", "https://a.test/u"], ["HTTP://B.test:80", "http://b.test/"],
        ["/\xc3\xbc", "https://a.test/%C3%BC"], ["/a b", "https://a.test/a%20b"],
    ]) {
        const { next } = redirected("{}", 302, location);
        assert.equal(next.url.replace(/^HTTP:\/\/B\.test:80.*/, "http://b.test/"), url);
    }
});

test("secrets do not cross origins", () => {
    const init = '{ headers: { authorization: "a", cookie: "b", "proxy-authorization": "c", "x-a": "d" } }';
    for (const [location, has] of [["/y", true], ["https://a.test:443/y", true], ["http://a.test/y", false], ["https://a.test:444/", false],
        ["https://b.test/", false], ["https://sub.a.test/", false]]) {
        const { authorization, cookie, "x-a": other, "proxy-authorization": proxy } = fields(redirected(init, 307, location).next);
        assert.deepEqual([location, authorization, cookie, other, proxy], [location, has ? "a" : undefined, has ? "b" : undefined, "d", undefined]);
    }
    // A header that was taken away does not come back on the way back.
    const { host } = redirected(init, 302, "https://b.test/");
    host.answer({ status: 302, headers: ["location", "https://a.test/"] });
    assert.equal(fields(host.calls[2]).authorization, undefined);
});

test("redirects that cannot be followed say why", () => {
    const failure = (init, status, location, headers) => redirected(init, status, location, headers).value();
    const x = "TypeError: fetch failed: https://a.test/dir/x?q: ";
    assert.equal(failure("{}", 302, "file:///etc/passwd"), `${x}it redirects to a URL of the scheme file`);
    assert.equal(failure("{}", 302, "data:,x"), `${x}it redirects to a URL of the scheme data`);
    assert.equal(failure("{}", 302, "http://[::1"), `${x}it redirects to what is no URL`);
    assert.equal(failure("{}", 302, "http://u:p@b.test/"), `${x}it redirects to a URL with credentials`);
    assert.equal(failure("{}", 302, "/a", ["Location", "/b"]), `${x}it redirects to more than one URL`);
    assert.equal(failure("{}", 302, "http://b.test:25/"), "TypeError: fetch failed: http://b.test:25/: the port 25 is one that browsers block, too, redirected from https://a.test/dir/x?q");
    assert.equal(failure('{ redirect: "error" }', 302, "/a"), `${x}it redirects, and redirect is "error"`);
    const stream = '{ method: "POST", duplex: "half", body: new ReadableStream({ pull(c) { c.close(); } }) }';
    assert.equal(failure(stream, 307, "/a"), `${x}it redirects (307), and a stream cannot be sent twice`);
    assert.equal(failure(stream, 302, "/a"), `${x}it redirects (302), and a stream cannot be sent twice`);
    assert.equal(redirected(stream, 303, "/a").next.method, "GET");
});

test("at most 20 redirects are followed", () => {
    const { host, value } = run(`return seen(await fetch("http://a.test/"));`);
    for (let i = 0; i < 21; i++) {
        assert.equal(host.calls.length, i + 1);
        host.answer({ status: 302, headers: ["location", `/${i}`] });
    }
    assert.equal(host.calls.length, 21);
    assert.equal(value(), "TypeError: fetch failed: http://a.test/19: there are more than 20 redirects");
});

test("redirect: manual, and a 3xx without a Location, give the answer itself", () => {
    for (const [init, headers] of [['{ redirect: "manual" }', ["location", "/y"]], ["{}", []]]) {
        const { host, value } = run(`const r = await fetch("http://a.test/", ${init}); return [r.status, r.type, r.headers.get("location"), await r.text()];`);
        host.answer({ status: 302, headers, body: "moved" });
        assert.deepEqual(value(), [302, "basic", headers[1] ?? null, "moved"]);
    }
});

test("the next hop comes after a redirect's short body, and does not wait for a long one", () => {
    const { host } = run(`await fetch("http://a.test/");`);
    host.answer({ status: 302, headers: ["location", "/y"], body: "some", end: false });
    assert.equal(host.calls.length, 1);
    host.onCallBody(host.calls[0], " more", true);
    assert.equal(host.calls.length, 2);
    host.answer({ status: 302, headers: ["location", "/z"], body: "x".repeat(9), end: false });
    host.onCallBody(host.calls[1], "x".repeat(60000), false);
    assert.equal(host.calls.length, 2);
    host.onCallBody(host.calls[1], "x".repeat(60000), false);
    assert.deepEqual([host.calls.length, host.calls[1].cancelled, host.calls[2].url], [3, true, "http://a.test/z"]);
});

// ---- aborts

test("an abort rejects before, during and between calls, and breaks the body off after the head", () => {
    const before = run(`return failing(() => fetch("http://a.test/", { signal: AbortSignal.abort(new RangeError("stop")) }));`);
    assert.deepEqual([before.value(), before.host.calls.length], ["RangeError: stop", 0]);

    const during = run(`const c = new AbortController(); const p = fetch("http://a.test/", { signal: c.signal }); c.abort(); return failing(() => p);`);
    assert.deepEqual([during.value(), during.host.calls[0].cancelled], ["AbortError: This operation was aborted", true]);

    const between = run(`globalThis.c = new AbortController(); return failing(() => fetch("http://a.test/", { signal: c.signal }));`);
    between.host.answer({ status: 302, headers: ["location", "/y"], end: false });
    between.host.run("c.abort(new RangeError('stop'))");
    assert.deepEqual([between.value(), between.host.calls.length, between.host.calls[0].cancelled], ["RangeError: stop", 1, true]);

    for (const read of ["r.text()", "r.body.getReader().read()"]) {
        const after = run(`globalThis.c = new AbortController(); const r = await fetch("http://a.test/", { signal: c.signal });
            return failing(() => ${read});`);
        after.host.answer({ end: false });
        after.host.run("c.abort()");
        assert.deepEqual([after.value(), after.host.calls[0].cancelled], ["AbortError: This operation was aborted", true]);
    }

    const body = run(`const c = new AbortController(); let why; const stream = new ReadableStream({ cancel(reason) { why = reason; } });
        const p = fetch("http://a.test/", { method: "POST", body: stream, duplex: "half", signal: c.signal }); c.abort(new RangeError("stop"));
        return [await failing(() => p), why.message];`);
    assert.deepEqual(body.value(), ["RangeError: stop", "stop"]);
});

test("a request that is cancelled takes its fetches with it", () => {
    const { host, id } = run(`try { await fetch("http://a.test/"); } catch (e) { console.log(e.name); throw e; }`);
    host.onCancel(id, "wall_request");
    assert.equal(host.logs.at(-1).text, "TimeoutError");
});

// ---- codings; the decoders of host.mjs change nothing

test("an encoded body is decoded, and its headers go", () => {
    for (const [encoding, isDecoded] of [["gzip", true], ["X-GZIP", true], ["br", true], ["zstd", true], ["deflate", true], ["gzip, br", true],
        [" gzip ,identity", true], ["identity", false], ["sdch", false], ["gzip, sdch", false], ["", false]]) {
        for (const read of ["r.text()", "new Response(r.body).text()"]) {
            const { host, value } = run(`const r = await fetch("http://a.test/"); return [r.headers.get("content-encoding"), r.headers.get("content-length"), await ${read}];`);
            host.answer({ headers: ["content-encoding", encoding, "content-length", "5"], body: "hello" });
            assert.deepEqual(value(), [isDecoded ? null : encoding.trim(), isDecoded ? null : "5", "hello"], encoding);
        }
    }
    const { host, value } = run(`return failing(() => fetch("http://a.test/"));`);
    host.answer({ headers: ["content-encoding", "gzip, gzip, gzip, gzip, gzip, gzip"] });
    assert.equal(value(), "TypeError: fetch failed: http://a.test/: the answer is encoded 6 times");
});

test("an encoded answer without a byte is an empty one", () => {
    const { host, value } = run(`const r = await fetch("http://a.test/"); const c = r.clone(); return [await r.text(), await c.text()];`);
    host.answer({ headers: ["content-encoding", "gzip"] });
    assert.deepEqual(value(), ["", ""]);
});

// ---- errors

test("what cannot be asked is refused before a call", () => {
    const { host, value } = run(`return [
        await failing(() => fetch("http://a.test:25/")), await failing(() => fetch("http://[::1]:6667/")),
        await failing(() => fetch("http://a.test/", { cache: "only-if-cached", mode: "same-origin" })), await failing(() => fetch("http://u:p@a.test/")),
        await failing(async () => { const r = new Request("http://a.test/", { method: "POST", body: "x" }); await r.text(); await fetch(r); })];`);
    assert.deepEqual(value(), [
        "TypeError: fetch failed: http://a.test:25/: the port 25 is one that browsers block, too",
        "TypeError: fetch failed: http://[::1]:6667/: the port 6667 is one that browsers block, too",
        'TypeError: fetch failed: http://a.test/: there is no cache for "only-if-cached"', "TypeError: Request: the URL has credentials.",
        "TypeError: Body is unusable: it was read or locked before.",
    ]);
    assert.equal(host.calls.length, 0);
});

test("code of a module cannot fetch", () => {
    const host = new Host();
    host.boot('{ p: fetch("http://a.test/").catch((e) => { globalThis.message = e.message; }), fetch() {} }');
    host.start();
    assert.match(host.run("message"), /^fetch failed: http:\/\/a\.test\/: it is made for a request, and none is open here/);
});

test("failures of skepd are TypeErrors with its words, limits are QuotaExceededErrors", () => {
    const first = run(`return failing(() => fetch("https://a.test/x"));`);
    first.host.onCallFailed(first.host.calls[0], false, "no rule of allowed_hosts fits");
    assert.equal(first.value(), "TypeError: fetch failed: https://a.test/x: no rule of allowed_hosts fits");
    const limit = run(`return failing(() => fetch("https://a.test/x"));`);
    limit.host.onCallFailed(limit.host.calls[0], true, "sub_limit: a request may make 1 calls (subrequests)");
    assert.equal(limit.value(), "QuotaExceededError: sub_limit: a request may make 1 calls (subrequests)");
    const hop = run(`return failing(() => fetch("https://a.test/x"));`);
    hop.host.answer({ status: 302, headers: ["location", "https://b.test/"], end: false });
    hop.host.onCallFailed(hop.host.calls[0], false, "the answer broke off");
    assert.equal(hop.value(), "TypeError: fetch failed: https://a.test/x: the answer broke off");
    assert.equal(hop.host.calls.length, 1);
    const late = run(`const r = await fetch("https://a.test/x"); return failing(() => r.text());`);
    late.host.answer({ body: "half", end: false });
    late.host.onCallFailed(late.host.calls[0], false, "the answer broke off");
    assert.equal(late.value(), "TypeError: fetch failed: https://a.test/x: the answer broke off");
});

test("a hop that is refused names the one before", () => {
    const { host, value } = run(`return failing(() => fetch("http://a.test/away"));`);
    host.answer({ status: 302, headers: ["location", "http://b.test/"] });
    host.onCallFailed(host.calls[1], false, "no rule of allowed_hosts fits");
    assert.equal(value(), "TypeError: fetch failed: http://b.test/: no rule of allowed_hosts fits, redirected from http://a.test/away");
});

test("the stack of a failed fetch has the place that waits for it", () => {
    for (const [code, fail] of [
        ['await fetch("http://a.test/")', (host, call) => host.onCallFailed(call, false, "refused")],
        ['await fetch("http://a.test/")', (host, call) => host.onCallFailed(call, true, "sub_limit: none")],
        ['await fetch("http://a.test/")', (host) => host.answer({ status: 302, headers: ["location", "ftp://a/"] })],
        ['await (await fetch("http://a.test/")).text()', (host, call) => {
            host.answer({ body: "half", end: false });
            host.onCallFailed(call, false, "the answer broke off");
        }],
    ]) {
        const host = new Host().boot(`{
            async fetch() { return new Response(await this.inner()); },
            async inner() { return ${code}; },
        }`);
        host.run("Error.stackTraceLimit = 30"); // node has frames of its own below those of an entry
        const id = host.start();
        fail(host, host.calls[0]);
        const { message } = host.result(id);
        assert.match(message, /\n    at async .*inner \(.*:3:\d+\)\n    at async .*fetch/);
    }
});

test("an exception of the tenant keeps its stack", () => {
    const { host, value } = run(`const own = new Error("own"), { stack } = own, c = new AbortController();
        const p = fetch("http://a.test/", { signal: c.signal }); c.abort(own);
        try { await p; } catch (e) { return [e === own, e.stack === stack]; }`);
    assert.deepEqual(value(), [true, true]);
    assert.equal(host.calls[0].cancelled, true);
});

test("a fetch that is cut off by the end of its request is named once", () => {
    const { host, id } = run(`fetch("http://a.test/1"); fetch("http://a.test/2"); const r = await fetch("http://a.test/3"); return r.status;`);
    host.answer({ call: host.calls[2], body: "half", end: false });
    host.result(id);
    assert.deepEqual(host.logs.filter(({ text }) => text.includes("cut off")),
        [{ level: 2, text: "a fetch of http://a.test/1 was cut off as its request ended: await it, or give it to ctx.waitUntil()" }]);
});

test("integrity is checked before the answer is given", () => {
    const right = "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="; // the digest of "hello"
    for (const [integrity, good] of [[right, true], ["sha256-x", false], [`sha256-x ${right}?a`, true], [`${right} sha512-x`, false], ["md5-x", true],
        ["", true], [right.replace("+", "-"), true]]) {
        const { host, value } = run(`const r = await fetch("http://a.test/", { integrity: "${integrity}" }); return [r.bodyUsed, await r.text()];`);
        host.answer({ body: "hel", end: false });
        host.onCallBody(host.calls[0], "lo", true);
        assert.deepEqual(value(), good ? [false, "hello"] :
            "TypeError: fetch failed: http://a.test/: the body has none of the digests that integrity names", integrity);
    }
});
