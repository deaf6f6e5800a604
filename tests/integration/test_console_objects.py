# SPDX-License-Identifier: Apache-2.0
"""The platform's own objects in a tenant's log."""

import json

from harness import wait_for

PAGE = """
class Mine extends Request {}
const circular = new CustomEvent("c", { detail: {} });
circular.detail.event = circular;
const form = new FormData();
form.append("a", "1");
form.append("a", new File(["abc"], "f.txt", { type: "text/plain", lastModified: 5 }));
form.append("__proto__", "own");
const values = {
    request: (request) => request,
    headers: (request) => [request.headers.get("x-a"), new Headers([["b", "1"], ["A", "2"], ["b", "3"], ["set-cookie", "x"], ["set-cookie", "y"]])],
    response: () => Response.json({}, { status: 201 }),
    params: () => new URLSearchParams("a=1&b=2&a=3"),
    form: () => form,
    blob: () => [new Blob(["abc"]), new Blob(["x"], { type: "text/x" })],
    abort: () => [new AbortController(), AbortSignal.abort("why")],
    events: () => [new Event("e"), new CustomEvent("c", { detail: { a: 1 } }), new MessageEvent("m", { data: [1] })],
    circular: () => circular,
    streams: () => [new ReadableStream(), new TransformStream(), new TextDecoder("latin1")],
    key: () => crypto.subtle.importKey("raw", new Uint8Array(16), "AES-GCM", true, ["encrypt"]),
    pattern: () => new URLPattern({ pathname: "/a/:b" }),
    promises: () => [Promise.resolve({ a: 1 }), Promise.reject(new RangeError("r")).catch(() => 0) && Promise.resolve(), new Promise(() => {})],
    rejected: () => { const p = Promise.reject("no"); p.catch(() => {}); return { p }; },
    deep: () => ({ a: { b: { c: new Headers({ x: "y" }) } } }),
    subclass: () => new Mine("http://x.test/"),
    prototypes: () => [Request.prototype, Object.create(new Headers({ a: "b" }))],
    replaced: () => {
        Object.defineProperty(Response.prototype, "status", { get() { return "the tenant's"; } });
        Object.defineProperty(Object.prototype, "ok", { set() { throw 1; }, configurable: true });
        const shown = new Response("");
        queueMicrotask(() => delete Object.prototype.ok);
        return shown;
    },
};
export default {
    async fetch(request) {
        const name = new URL(request.url).pathname.slice(1);
        const value = await values[name](request);
        console.log(`begin of ${name}`);
        console.log(value);
        console.log(`end of ${name}`);
        return new Response("");
    },
};
"""

EXPECTED = {
    "headers": "[ 'y', Headers { b: '1, 3', a: '2', 'set-cookie': [ 'x', 'y' ] } ]",
    "response": """Response {
  status: 201,
  statusText: '',
  ok: true,
  headers: Headers { 'content-type': 'application/json' },
  bodyUsed: false,
  type: 'default',
  url: ''
}""",
    "params": "URLSearchParams { a: [ '1', '3' ], b: '2' }",
    "form": """FormData {
  a: [
    '1',
    File { name: 'f.txt', size: 3, type: 'text/plain', lastModified: 5 }
  ],
  ['__proto__']: 'own'
}""",
    "blob": "[ Blob { size: 3, type: '' }, Blob { size: 1, type: 'text/x' } ]",
    "abort": """[
  AbortController { signal: AbortSignal { aborted: false } },
  AbortSignal { aborted: true, reason: 'why' }
]""",
    "events": """[
  Event { type: 'e', defaultPrevented: false },
  CustomEvent { type: 'c', detail: { a: 1 } },
  MessageEvent { type: 'm', data: [ 1 ] }
]""",
    "circular": "CustomEvent { type: 'c', detail: { event: [Circular *1] } }",
    "streams": """[
  ReadableStream { locked: false },
  TransformStream {
    readable: ReadableStream { locked: false },
    writable: WritableStream { locked: false }
  },
  TextDecoder { encoding: 'windows-1252', fatal: false, ignoreBOM: false }
]""",
    "key": """CryptoKey {
  type: 'secret',
  extractable: true,
  algorithm: { name: 'AES-GCM', length: 128 },
  usages: [ 'encrypt' ]
}""",
    "pattern": """URLPattern {
  protocol: '*',
  username: '*',
  password: '*',
  hostname: '*',
  port: '*',
  pathname: '/a/:b',
  search: '*',
  hash: '*'
}""",
    "promises": "[ Promise { { a: 1 } }, Promise { undefined }, Promise { <pending> } ]",
    "rejected": "{ p: Promise { <rejected> 'no' } }",
    "deep": "{ a: { b: { c: [Headers] } } }",
    "subclass": """Request {
  method: 'GET',
  url: 'http://x.test/',
  headers: Headers {},
  bodyUsed: false
}""",
    "replaced": "Response {\n  statusText: '',\n  ok: true,",
}


def shown(skepd, name):
    """Returns the lines that console.log has written for a request of that path."""
    answer = skepd.get("a", f"/{name}", headers=[("X-A", "y")])
    assert answer.status == 200, answer
    wait_for(lambda: f"end of {name}" in skepd.skep("logs", "a").stdout, f"the log of {name}")
    lines = json.loads(skepd.skep("logs", "a", "--json").stdout)["lines"]
    texts = [line["text"] for line in lines]
    end = texts.index(f"end of {name}")
    begin = texts.index(f"begin of {name}")
    return "\n".join(texts[begin + 1:end])


def test_objects_of_the_platform_show_their_attributes(start):
    skepd = start({"a": {"files": {"worker.js": PAGE}}})
    for name, expected in EXPECTED.items():
        text = shown(skepd, name)
        assert text == expected or (name == "replaced" and text.startswith(expected)), name


def test_a_request_shows_what_came_with_it(start):
    text = shown(start({"a": {"files": {"worker.js": PAGE}}}), "request")
    assert "method: 'GET'" in text and "url: 'http://a.test/request'" in text and "'x-a': 'y'" in text


def test_a_prototype_has_no_attributes(start):
    assert shown(start({"a": {"files": {"worker.js": PAGE}}}), "prototypes").startswith("[")
