# SPDX-License-Identifier: Apache-2.0
"""A short test of each Web API in a real worker, by its results. The details are in
tests/js."""

import pathlib
import tempfile

import pytest

from harness import Skepd, script

# Bodies of handlers, and the JSON that each must return.
CASES = {
    "structured_clone": (
        """
        const a = { d: new Date(5), m: new Map([[1, new Set([2])]]), b: new Uint8Array([1, 2]) };
        a.self = a;
        const b = structuredClone(a);
        let error;
        try { structuredClone(() => {}); } catch (e) { error = e.name; }
        const buffer = new ArrayBuffer(4);
        structuredClone(buffer, { transfer: [buffer] });
        return [b !== a, b.self === b, b.d.getTime(), [...b.m.get(1)], [...b.b], error,
                buffer.byteLength];
        """,
        [True, True, 5, [2], [1, 2], "DataCloneError", 0],
    ),
    "text_of_large_bodies": (
        """
        const text = "0123456789abcdef".repeat(65536);
        const bytes = new TextEncoder().encode(text);
        const kept = bytes.slice();
        const read = await new Response(bytes).text();
        const twice = new Response(kept), copy = twice.clone();
        const streamed = new Response(new Response(text).body);
        const { name } = JSON.parse(await new Response(JSON.stringify({ name: text })).text());
        return [read === text, read.slice(-17, -1), await twice.text() === await copy.text(), kept.length, await streamed.text() === text,
                name === text, (await new Response(text + "ü").text()).slice(-3), new Map([[read, 1]]).get(text),
                (await new Response("\ufeff" + text).text()) === text];
        """,
        [True, "f0123456789abcde", True, 1048576, True, True, "efü", 1, True],
    ),
    "url": (
        """
        const u = new URL("../b?x=1#h", "https://user:pw@exämple.org:8443/a/c/d");
        u.searchParams.append("y", "ü &");
        let error;
        try { new URL("no url"); } catch (e) { error = e.name; }
        return [u.href, u.host, [...u.searchParams], URL.canParse("x:y"), error];
        """,
        [
            "https://user:pw@xn--exmple-cua.org:8443/a/b?x=1&y=%C3%BC+%26#h",
            "xn--exmple-cua.org:8443",
            [["x", "1"], ["y", "ü &"]],
            True,
            "TypeError",
        ],
    ),
    "url_parts": (
        """
        const parts = (u) => [u.href, u.origin, u.protocol, u.username, u.password, u.host, u.hostname, u.port, u.pathname, u.search, u.hash];
        const u = new URL("http://user:pw@h:81/a?b#c");
        const all = [parts(u), parts(new URL("foo:/.//a?#")), parts(new URL("blob:https://h:1/x"))];
        u.protocol = "https"; u.username = ""; u.password = ""; u.host = "x:443/z"; u.pathname = "d/../e"; u.hash = "#";
        const { searchParams } = u;
        u.search = "?q=1&q=2"; searchParams.delete("q", "2"); searchParams.set("r", "\\ud800");
        all.push(u.href, [...searchParams.keys()], u.port);
        u.href = "mailto:a?x=y"; u.host = "h"; u.pathname = "p"; searchParams.sort();
        all.push(u.href, `${searchParams}`, URL.parse("x"), URL.parse("x", "http://h/a/b").href, URL.canParse("http://h:x"));
        for (const bad of [() => URL("a:"), () => new URL(), () => u.href = "x", () => URL.prototype.href,
            () => new URLSearchParams([["a"]]), () => new URL("x", "y")]) {
            try { bad(); all.push("none"); } catch (e) { all.push(`${e.name}: ${e.message}`.slice(0, 40)); }
        }
        return all;
        """,
        [
            ["http://user:pw@h:81/a?b#c", "http://h:81", "http:", "user", "pw", "h:81", "h", "81", "/a", "?b", "#c"],
            ["foo:/.//a?#", "null", "foo:", "", "", "", "", "", "//a", "", ""],
            ["blob:https://h:1/x", "https://h:1", "blob:", "", "", "", "", "", "https://h:1/x", "", ""],
            "https://x/e?q=1&r=%EF%BF%BD#",
            ["q", "r"],
            "",
            "mailto:a?x=y",
            "x=y",
            None,
            "http://h/a/x",
            False,
            "TypeError: Class constructor URL cannot ",
            "TypeError: URL: 1 argument required, but",
            "TypeError: Invalid URL: x",
            "TypeError: Cannot read private member #r",
            "TypeError: URLSearchParams: an element h",
            "TypeError: Invalid base URL: y",
        ],
    ),
    "request_urls": (
        """
        const all = [];
        for (const url of ["http://a", "http://u@a/", "http://:p@a", "foo://u:p@a", "foo:/x://u@a", "http://a/@?@#@", "data:,u@a", "x"]) {
            try { all.push(new Request(url).url); } catch (e) { all.push(e.name); }
        }
        const { referrer } = new Request("http://a", { referrer: "about:client?x" });
        return [all, referrer, Response.redirect("HTTP://A/./b").headers.get("location")];
        """,
        [["http://a/", "TypeError", "TypeError", "TypeError", "foo:/x://u@a", "http://a/@?@#@", "data:,u@a", "TypeError"],
         "about:client", "http://a/b"],
    ),  # fmt: skip
    "url_search_params": (
        """
        const many = new URLSearchParams(Array.from({ length: 20000 }, (_, i) => `k${i}=${i % 7 ? i : "a+b%20%C3%BC"}`).join("&"));
        const text = many.toString();
        const long = "x".repeat(100000);
        const form = await new Response(`?a=${long}+&b`, { headers: { "content-type": "application/x-www-form-urlencoded" } }).formData();
        const twice = new URLSearchParams({ "\\ud800": 1, "\\ufffd": 2 });
        return [many.size, many.get("k19999"), many.get("k7"), new URLSearchParams(text).toString() === text, text.length,
                [...form].map(([name, value]) => [name, value.length]), [...twice].length, `${twice}`,
                `${new URLSearchParams("?a&&=b&c=d=e&%zz=%")}`, new URLSearchParams(many).getAll("k8"), many.has("k8", "9")];
        """,
        [20000, "a b ü", "a b ü", True, 253658, [["?a", 100001], ["b", 0]], 1, "%EF%BF%BD=2",
         "a=&=b&c=d%3De&%25zz=%25", ["8"], False],
    ),  # fmt: skip
    "headers": (
        """
        const h = new Headers([["B", "1"], ["a", " 2 "], ["b", "3"]]);
        h.append("set-cookie", "x=1"); h.append("Set-Cookie", "y=2");
        let error;
        try { h.set("bad name", "x"); } catch (e) { error = e.name; }
        return [[...h], h.get("B"), h.getSetCookie(), h.has("c"), error];
        """,
        [
            [["a", "2"], ["b", "1, 3"], ["set-cookie", "x=1"], ["set-cookie", "y=2"]],
            "1, 3",
            ["x=1", "y=2"],
            False,
            "TypeError",
        ],
    ),
    "text": (
        """
        const bytes = new TextEncoder().encode("aü🐝");
        let error;
        try { new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff])); }
        catch (e) { error = e.name; }
        const d = new TextDecoder();
        return [[...bytes], new TextDecoder().decode(bytes), error,
                d.decode(bytes.subarray(0, 2), { stream: true }) + d.decode(bytes.subarray(2))];
        """,
        [[97, 195, 188, 240, 159, 144, 157], "aü🐝", "TypeError", "aü🐝"],
    ),
    "streams": (
        """
        const up = new TransformStream({ transform(x, c) { c.enqueue(x * 2); } });
        const source = new ReadableStream({ start(c) { [1, 2, 3].forEach((x) => c.enqueue(x));
                                                       c.close(); } });
        const [one, two] = source.pipeThrough(up).tee();
        const all = async (s) => { const out = []; for await (const x of s) out.push(x); return out; };
        return await Promise.all([all(one), all(two)]);
        """,
        [[2, 4, 6], [2, 4, 6]],
    ),
    "bodies": (
        """
        const r = new Response(JSON.stringify({ a: [1] }));
        const copy = r.clone();
        const parsed = await r.json();
        let error;
        try { await r.text(); } catch (e) { error = e.name; }
        const q = new Request("http://x.test/", { method: "POST", body: "b=1&c=%20" });
        return [parsed, await copy.text(), error, r.bodyUsed, await q.text(),
                new Response(null, { status: 204 }).body];
        """,
        [{"a": [1]}, '{"a":[1]}', "TypeError", True, "b=1&c=%20", None],
    ),
    "abort": (
        """
        const c = new AbortController();
        const seen = [];
        c.signal.addEventListener("abort", (e) => seen.push(e.type));
        c.abort(); c.abort();
        let error;
        try { c.signal.throwIfAborted(); } catch (e) { error = e.name; }
        const late = AbortSignal.timeout(5);
        await new Promise((r) => late.addEventListener("abort", r));
        return [seen, c.signal.aborted, error, late.reason.name];
        """,
        [["abort"], True, "AbortError", "TimeoutError"],
    ),
    "timers": (
        """
        const order = [];
        const stopped = setTimeout(() => order.push("never"), 1);
        clearTimeout(stopped);
        queueMicrotask(() => order.push("micro"));
        setTimeout((x) => order.push(x), 0, "zero");
        await new Promise((r) => setTimeout(r, 30));
        let n = 0;
        await new Promise((r) => { const t = setInterval(() => { if (++n === 3) { clearInterval(t); r(); } }, 1); });
        await new Promise((r) => setTimeout(r, 10));
        return [order, n];
        """,
        [["micro", "zero"], 3],
    ),
    "base64": ("return [btoa('hive'), atob('aGl2ZQ==')];", ["aGl2ZQ==", "hive"]),
    "absent": (
        """
        return [typeof process, typeof require, typeof SharedArrayBuffer, typeof __skep,
                typeof FinalizationRegistry];
        """,
        ["undefined"] * 5,
    ),
    "response_statics": (
        """
        const j = Response.json({ a: 1 }, { status: 201 });
        const r = Response.redirect("http://x.test/y", 302);
        return [j.status, j.headers.get("content-type"), r.status, r.headers.get("location")];
        """,
        [201, "application/json", 302, "http://x.test/y"],
    ),
    "context": (
        """
        return [typeof ctx.waitUntil, Object.prototype.toString.call(request),
                request instanceof Request, globalThis === self];
        """,
        ["function", "[object Request]", True, True],
    ),
}


@pytest.fixture(scope="module")
def hive():
    tenants = {
        name.replace("_", "-"): {
            "limits": {"cpu_ms": 1000},
            "files": {
                "worker.js": script(
                    f"return Response.json(await (async () => {{ {source} }})())"
                )
            },
        }
        for name, (source, _) in CASES.items()
    }
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), tenants).start()
        yield skepd
        skepd.stop()


@pytest.mark.parametrize("name", CASES)
def test_web_api_gives_what_it_should(hive, name):
    answer = hive.get(name.replace("_", "-"))
    assert answer.status == 200, answer
    assert answer.json() == CASES[name][1]
