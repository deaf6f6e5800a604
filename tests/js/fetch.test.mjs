// SPDX-License-Identifier: Apache-2.0
//
// fetch(), object URLs, guards of headers, cloned bodies and forms as clients send them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Host, evaluate } from "./host.mjs";

const failing = `const failing = async (f) => { try { await f(); return "no error"; } catch (e) { return \`\${e.name}: \${e.message}\`; } };`;

test("data: URLs are fetched", () => {
    assert.deepEqual(evaluate(`
        const all = [];
        for (const url of ["data:,a%20b", "data:text/html;charset=x;base64,YWJj", "data:;base64,%59%57Jj#x", "DATA:image/png,%ff"]) {
            const response = await fetch(url);
            const { status, statusText, type, headers } = response;
            all.push([response.url, status, statusText, type, headers.get("content-type"), [...await response.bytes()].join()]);
        }
        return all;`), [
        ["data:,a%20b", 200, "OK", "basic", "text/plain;charset=US-ASCII", "97,32,98"],
        ["data:text/html;charset=x;base64,YWJj", 200, "OK", "basic", "text/html;charset=x", "97,98,99"],
        ["data:;base64,%59%57Jj", 200, "OK", "basic", "text/plain;charset=US-ASCII", "97,98,99"],
        ["data:image/png,%ff", 200, "OK", "basic", "image/png", "255"],
    ]);
});

test("what cannot be fetched says so", () => {
    assert.deepEqual(evaluate(`${failing} return [
        await failing(() => fetch("data:x")), await failing(() => fetch("ftp://a/")),
        await failing(() => fetch("blob:null/1")), await failing(() => fetch()), await failing(() => fetch("/x")),
        await failing(() => fetch("data:,x", { signal: AbortSignal.abort(new RangeError("stop")) })),
        await failing(() => { const c = new AbortController(); const p = fetch("data:,x", { signal: c.signal }); c.abort(); return p; })];`), [
        "TypeError: fetch failed: data:x: the data: URL is malformed", "TypeError: fetch failed: ftp://a/: the scheme ftp cannot be fetched",
        "TypeError: fetch failed: blob:null/1: there is no such object URL", "TypeError: fetch: 1 argument required, but only 0 present.",
        "TypeError: Request: '/x' is not a valid URL.", "RangeError: stop", "AbortError: This operation was aborted",
    ]);
});

test("object URLs are fetched, whole and in part, until they are revoked", () => {
    assert.deepEqual(evaluate(`${failing}
        const url = URL.createObjectURL(new Blob(["0123456789"], { type: "a/b" }));
        const request = new Request(url + "#part");
        const part = async (range) => {
            const r = await fetch(url, { headers: { range } });
            return [r.status, r.headers.get("content-range"), r.headers.get("content-length"), await r.text()];
        };
        const whole = await fetch(url);
        const before = [url.startsWith("blob:null/"), whole.headers.get("content-type"), await whole.text(), await part("bytes=2-4"),
            await part("bytes=8-"), await part("bytes=-3"), await part("bytes=8-99"),
            (await failing(() => part("bytes=10-"))).startsWith("TypeError"), (await failing(() => fetch(url, { method: "POST" }))).slice(0, 9)];
        URL.revokeObjectURL(url + "#x");
        return [...before, (await failing(() => fetch(url))).endsWith("there is no such object URL"), await (await fetch(request)).text()];`),
    [true, "a/b", "0123456789", [206, "bytes 2-4/10", "3", "234"], [206, "bytes 8-9/10", "2", "89"], [206, "bytes 7-9/10", "3", "789"],
        [206, "bytes 8-9/10", "2", "89"], true, "TypeError", true, "0123456789"]);
});

test("an object URL of a request ends with it, one of the module stays, and there are not too many", () => {
    const host = new Host();
    host.boot(`(() => { globalThis.kept = URL.createObjectURL(new Blob(["kept"]));
        return { async fetch({ url }) {
            if (url.endsWith("/make")) { return new Response(globalThis.made = URL.createObjectURL(new Blob(["x"]))); }
            if (url.endsWith("/many")) { try { for (;;) URL.createObjectURL(new Blob()); } catch (e) { return new Response(e.name); } }
            const text = async (u) => { try { return await (await fetch(u)).text(); } catch { return "gone"; } };
            return new Response(await text(made) + " " + await text(kept));
        } }; })()`);
    const ask = (url) => host.result(host.start({ url })).body;
    assert.match(ask("http://a.test/make"), /^blob:null\/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(ask("http://a.test/many"), "RangeError");
    assert.equal(ask("http://a.test/"), "gone kept");
});

test("mode no-cors guards headers, other modes do not", () => {
    assert.deepEqual(evaluate(`
        const init = { accept: "a/b", "content-type": "text/html", cookie: "c", "accept-language": "de, en", range: "bytes=0-" };
        const list = (request) => [...request.headers].join(" ");
        const { headers } = new Request("http://a.test/", { mode: "no-cors", headers: init });
        headers.append("x-own", "1"); headers.set("content-language", "de"); headers.append("accept", "x".repeat(130)); headers.delete("range");
        return [[...headers].join(" "), list(new Request("http://a.test/", { headers: init })),
            list(new Request(new Request("http://a.test/", { headers: init }), { mode: "no-cors" }))];`), [
        "accept,a/b accept-language,de, en content-language,de",
        "accept,a/b accept-language,de, en content-type,text/html cookie,c range,bytes=0-",
        "accept,a/b accept-language,de, en",
    ]);
});

test("a cloned body has chunks of its own", () => {
    assert.deepEqual(evaluate(`
        const chunk = new Uint8Array([1, 2, 3]);
        const response = new Response(new ReadableStream({ start(c) { c.enqueue(chunk); c.close(); } }));
        const copy = response.clone();
        const { value } = await response.body.getReader().read();
        value[0] = 9;
        const failed = new Response(new ReadableStream({ start(c) { c.enqueue(() => {}); c.close(); } }));
        const copyOfFailed = failed.clone();
        const [a, b] = await Promise.allSettled([failed.text(), copyOfFailed.text()]);
        return [value === chunk, [...await copy.bytes()], a.reason.name, b.reason === a.reason];`),
    [true, [1, 2, 3], "DataCloneError", true]);
});

test("a body is read without the tenant's Object.prototype.then", () => {
    assert.deepEqual(evaluate(`
        const stream = () => new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("hello")); c.close(); } });
        const seen = [];
        Object.defineProperty(Object.prototype, "then", { configurable: true, get() { seen.push(this); } });
        const all = [new Response(stream()).text(), new Response("own").text(), new Response(new Uint8Array([65])).text()];
        delete Object.prototype.then;
        return [await Promise.all(all), seen.length];`), [["hello", "own", "A"], 0]);
});

const formOf = (...lines) => JSON.stringify(lines.join("\r\n"));
const CASES = [
    ["a preamble and an epilogue", formOf("ignore", "--b", 'Content-Disposition: form-data; name="f"', "", "v", "--b--", "end"), "f=v"],
    ["--b in the preamble", formOf("x--b", "--b", 'Content-Disposition: form-data; name="f"', "", "v", "--b--", ""), "f=v"],
    ["blanks around =", formOf("--b", 'Content-Disposition: form-data; name = "f"', "", "v", "--b--", ""), "f=v"],
    ["an escaped quote", formOf("--b", 'Content-Disposition: form-data; name="a\\"b"', "", "v", "--b--", ""), 'a"b=v'],
    ["an escaped backslash", formOf("--b", 'Content-Disposition: form-data; name="a\\\\"; filename="f"', "", "v", "--b--", ""), "a\\=v (f)"],
    ["a lone backslash at the end", formOf("--b", 'Content-Disposition: form-data; name="a\\"', "", "v", "--b--", ""), "a\\=v"],
    ["a quote as a browser sends it", formOf("--b", 'Content-Disposition: form-data; name="a%22b%0D%0Ac"', "", "v", "--b--", ""), 'a"b\r\nc=v'],
    ["empty parameters", formOf("--b", 'Content-Disposition: form-data;; name="f";;', "", "v", "--b--", ""), "f=v"],
    ["a parameter without value", formOf("--b", 'Content-Disposition: form-data; x; name="f"', "", "v", "--b--", ""), "f=v"],
    ["tokens without quotes", formOf("--b", "content-disposition : form-data; name=f ; filename=g ", "", "v", "--b--", ""), "f=v (g)"],
    ["a semicolon in quotes", formOf("--b", 'Content-Disposition: form-data; name="a;b=c"; filename="x;y"', "", "v", "--b--", ""), "a;b=c=v (x;y)"],
    ["blanks behind the boundary", formOf("--b \t", 'Content-Disposition: form-data; name="f"', "", "v", "--b--", ""), "f=v"],
    ["no part", formOf("--b--", ""), ""],
    ["no end", formOf("--b", 'Content-Disposition: form-data; name="f"', "", "v"), "TypeError"],
    ["no boundary", formOf("x"), "TypeError"],
    ["no name", formOf("--b", "Content-Disposition: form-data; nam=f", "", "v", "--b--", ""), "TypeError"],
];

for (const [title, body, expected] of CASES) {
    test(`multipart/form-data with ${title}`, () => {
        assert.equal(evaluate(`
            try {
                const form = await new Response(${body}, { headers: { "content-type": "multipart/form-data; boundary=b" } }).formData();
                const shown = [];
                for (const [name, value] of form) {
                    shown.push(name + "=" + (typeof value === "string" ? value : await value.text() + " (" + value.name + ")"));
                }
                return shown.join("&");
            } catch (e) { return e.name; }`), expected);
    });
}

test("Blob.slice rounds as Web IDL says", () => {
    assert.deepEqual(evaluate(`
        const blob = new Blob(["abcdef"]);
        return Promise.all([[1.5], [2.5], [0.4, 2.6], [-1.5], [NaN, 3], [0, Infinity], [-Infinity, 1]].map((a) => blob.slice(...a).text()));`),
    ["cdef", "cdef", "abc", "ef", "abc", "abcdef", "a"]);
});

test("a body is read once, in any form, and what others have of it stays theirs", () => {
    assert.deepEqual(evaluate(`
        const show = async (value) => value instanceof Blob ? "blob " + await value.text() :
            value instanceof ArrayBuffer ? "buffer " + new TextDecoder().decode(value) :
                value instanceof Uint8Array ? "bytes " + new TextDecoder().decode(value) : value;
        const blob = new Blob(['"x"']), given = new TextEncoder().encode('"x"'), all = [];
        for (const kind of ["text", "json", "arrayBuffer", "bytes", "blob"]) {
            for (const make of [() => given, () => blob, () => '"x"', () => new Response('"x"').body]) {
                const response = new Response(make()), copy = response.clone();
                const moved = new Request(new Request("http://a/", { method: "POST", body: make(), duplex: "half" }));
                const value = await response[kind]();
                const shown = await show(value);
                if (value instanceof ArrayBuffer) { new Uint8Array(value).fill(33); }
                if (value instanceof Uint8Array) { value.fill(33); }
                const again = await response[kind]().then(() => "read twice", (e) => e.name);
                all.push(shown === await show(await copy[kind]()) && shown === await show(await moved[kind]()) &&
                    again === "TypeError" ? shown : "not " + shown);
            }
        }
        return [all.join(), await blob.text(), new TextDecoder().decode(given)];`),
    [['"x"', "x", 'buffer "x"', 'bytes "x"', 'blob "x"'].flatMap((shown) => [shown, shown, shown, shown]).join(), '"x"', '"x"']);
});

test("content-type headers are one list, and the charset of the first of an essence counts for those behind it", () => {
    const typeOf = (...values) => `await (async () => { const headers = new Headers(); for (const v of ${JSON.stringify(values)}) headers.append("content-type", v);
        return (await new Response("", { headers }).blob()).type; })()`;
    const rows = [
        [["text/plain;charset=gbk", "text/plain"], "text/plain;charset=gbk"], [["text/plain;charset=gbk", "text/html"], "text/html"],
        [["text/html;charset=gbk", "text/plain", "text/html"], "text/html"], [["text/html;charset=gbk", "*/*", "x", "text/html;a=b"], "text/html;a=b;charset=gbk"],
        [["text/plain;charset=gbk", "text/plain;charset=utf-8", "text/plain"], "text/plain;charset=gbk"],
        [['text/html;x="', "text/plain"], 'text/html;x=", text/plain"'], [['text/html;" \\" ', "text/plain", '";charset=GBK'], "text/html;charset=GBK"],
        [["text/html, text/plain"], "text/plain"], [["", "text/html", ""], "text/html"], [["x", ""], ""],
    ];
    assert.deepEqual(evaluate(`return [${rows.map(([values]) => typeOf(...values)).join(",\n")}];`), rows.map(([, type]) => type));
});
