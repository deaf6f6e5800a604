# SPDX-License-Identifier: Apache-2.0
"""fetch() of tenants, through skepd and skep-egress, from real servers: plain, TLS with a CA of its own, HTTP/2, slow,
broken and hostile ones. The tests of skep-egress alone are in test_egress.py."""

import gzip
import http.server
import json
import select
import socket
import threading
import zlib

import pytest

from egress_client import Resolver
from harness import BIN, free_port, wait_for
from test_egress import Handler as PlainHandler
from test_egress import Server, certificates, http2_server, raw_server, read_head, says, tls_context

pytestmark = pytest.mark.skipif(not (BIN / "skep-egress").exists(), reason="no skep-egress was built")
__all__ = ["certificates", "http2_server"]

ANY = ["*:*", "http://*:*"]
BOMB_BYTES = 256 << 20


def fetching(code, **manifest):
    """A tenant whose handler runs the code, which may fetch what it likes; an exception is the answer."""
    source = (
        "const failing = async (f) => { try { await f(); return 'no error'; } catch (e) { return `${e.name}: ${e.message}`; } };"
        "export default { async fetch(request, env, ctx) { try { " + code + "\n} catch (e) {"
        " return new Response(`${e.name}: ${e.message}`, { status: 500 }); } } };"
    )
    return {"files": {"worker.js": source}, "allowed_hosts": ANY, **manifest}


class Handler(PlainHandler):
    """Besides the paths of test_egress.py: /to/STATUS/URL redirects; /is/NAME is a body under a Content-Encoding."""

    def handle_all(self):
        path = self.requestline.split()[1]
        if path.startswith("/to/"):
            self.note()
            _, _, status, url = path.split("/", 3)
            return self.answer(b"moved", int(status), [("Location", url)])
        if path == "/loop":
            self.note()
            return self.answer(b"", 302, [("Location", "/loop")])
        if path.startswith("/is/"):
            self.note()
            coding, body = self.server.bodies[path[4:]]
            return self.answer(body, 200, [("Content-Encoding", coding), ("X-A", "b"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return super().handle_all()

    def note(self):
        body = self.read_body()
        self.server.seen.append((self.command, self.requestline.split()[1], list(self.headers.items()), body, self.client_address))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_all


class Upstream(Server):
    def __init__(self, context=None):
        self.bodies = {}
        super().__init__(context)
        self.RequestHandlerClass = Handler
        self.url = f"{'https://a.test' if context else 'http://127.0.0.1'}:{self.port}"

    def take(self):
        seen, self.seen = self.seen, []
        return [(method, path, dict((name.lower(), value) for name, value in headers), body) for method, path, headers, body, _ in seen]


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def resolver():
    resolver = Resolver({"a.test": ["127.0.0.1"], "b.test": ["127.0.0.1"]})
    yield resolver
    resolver.close()


@pytest.fixture
def serve(start, resolver, certificates):
    """Starts skepd with egress: serve({name: tenant}, ...)."""

    def serve(tenants, **config):
        egress = {
            "dns": [f"127.0.0.1:{resolver.server_address[1]}"], "ca": str(certificates[0]), "addresses": ["127.0.0.1/32"],
            **config.pop("egress", {}),
        }
        return start(tenants, egress=egress, **config)

    return serve


def told(response):
    return json.loads(response.body)


# ---- requests and answers


def test_a_fetch_is_what_a_server_expects(serve, upstream):
    skepd = serve({"a": fetching(
        f"const r = await fetch('{upstream.url}/x?y=1#z', {{ method: 'POST', body: 'abc', headers: {{ 'X-A': '1', Host: 'evil.test', Connection: 'close',"
        " 'Content-Length': '99', Cookie: 'c=1' } });"
        "return Response.json([r.status, r.url, r.redirected, r.type, r.headers.get('x-twice'), (await r.text()).length]);")})
    assert told(skepd.get("a")) == [200, f"{upstream.url}/x?y=1", False, "basic", "a, b", 64]
    [(method, path, headers, body)] = upstream.take()
    assert (method, path, body) == ("POST", "/x?y=1", b"abc")
    assert headers == {
        "host": f"127.0.0.1:{upstream.port}", "x-a": "1", "cookie": "c=1", "content-type": "text/plain;charset=UTF-8", "content-length": "3",
        "accept": "*/*", "accept-encoding": "gzip, br, zstd", "user-agent": "skep",
    }


def test_methods_and_bodies_arrive(serve, upstream):
    skepd = serve({"a": fetching(
        f"for (const [method, body] of [['GET'], ['HEAD'], ['DELETE'], ['POST'], ['PUT', ''], ['PATCH', new Uint8Array(300000)]])"
        f"    await (await fetch('{upstream.url}/', {{ method, body }})).text();"
        "return new Response('ok');")})
    assert skepd.get("a").body == b"ok"
    assert [(method, headers.get("content-length"), len(body)) for method, _, headers, body in upstream.take()] == [
        ("GET", None, 0), ("HEAD", None, 0), ("DELETE", None, 0), ("POST", "0", 0), ("PUT", "0", 0), ("PATCH", "300000", 300000),
    ]


def test_tls_with_an_own_ca_and_http2(serve, http2_server, certificates):
    server = Upstream(tls_context(certificates[1]["a.test"]))
    skepd = serve({"a": fetching(
        f"const one = await fetch('{server.url}/x'), two = await fetch('https://a.test:{http2_server}/y?z', {{ method: 'POST', body: new Uint8Array(200000) }});"
        "await one.text(); await two.text();"
        f"return Response.json([one.status, two.headers.get('x-path'), two.headers.get('x-got'), await failing(() => fetch('https://b.test:{server.port}/'))]);")})
    status, path, got, wrong = told(skepd.get("a"))
    assert (status, path, got) == (200, "/y?z", "200000")
    assert wrong.startswith(f"TypeError: fetch failed: https://b.test:{server.port}/: ")
    server.shutdown()


def test_what_a_server_says_goes_on_to_the_client(serve, upstream):
    upstream.bodies["page"] = ("gzip", gzip.compress(b"page" * 1000))
    skepd = serve({"a": fetching(f"return fetch('{upstream.url}/is/page');")})
    response = skepd.get("a")
    assert response.status == 200 and response.body == b"page" * 1000
    assert "content-encoding" not in response.headers and response.headers["x-a"] == "b"
    assert response.headers.get("content-length") in (None, "4000")


def test_status_text_is_the_servers_reason_phrase(serve):
    with raw_server(says(b"HTTP/1.1 418 I'm a \xe4 pot\r\nContent-Length: 0\r\n\r\n")) as port:
        skepd = serve({"a": fetching(
            f"const r = await fetch('http://127.0.0.1:{port}/'); return Response.json([r.status, r.statusText, r.clone().statusText]);")})
        assert told(skepd.get("a")) == [418, "I'm a \xe4 pot", "I'm a \xe4 pot"]


# ---- streams


def test_bodies_stream_both_ways(serve):
    def echo(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = b""
        while b"0\r\n\r\n" not in data:
            data = connection.recv(65536)
            connection.sendall(b"4\r\npong\r\n" if data and b"ping" in data else b"")
            if not data:
                return
        connection.sendall(b"0\r\n\r\n")

    with raw_server(echo) as port:
        skepd = serve({"a": fetching(
            "let give; const body = new ReadableStream({ start(c) { give = c; } });"
            f"const r = await fetch('http://127.0.0.1:{port}/', {{ method: 'POST', body, duplex: 'half' }});"
            "const reader = r.body.getReader(), out = [];"
            "for (let i = 0; i < 3; i++) { give.enqueue(new TextEncoder().encode('ping'));"
            "    out.push(new TextDecoder().decode((await reader.read()).value)); }"
            "give.close(); return Response.json([out, (await reader.read()).done]);")})
        assert told(skepd.get("a")) == [["pong"] * 3, True]


def test_a_stream_has_the_length_that_it_announces(serve, upstream):
    stream = "{ method: 'PUT', duplex: 'half', headers: { 'content-length': '%d' }, body: new Response('abcde').body }"
    skepd = serve({"a": fetching(
        f"return Response.json([(await fetch('{upstream.url}/', {stream % 5})).status, await failing(() => fetch('{upstream.url}/', {stream % 4})),"
        f"    await failing(() => fetch('{upstream.url}/', {stream % 6}))]);")})
    status, short, long = told(skepd.get("a"))
    assert status == 200
    assert [(headers.get("content-length"), headers.get("transfer-encoding"), body) for _, _, headers, body in upstream.take()][:1] == [("5", None, b"abcde")]
    for text in (short, long):
        assert text.startswith(f"TypeError: fetch failed: {upstream.url}/: ") and "Content-Length" in text, text


def test_a_server_waits_for_a_reader_that_is_slow(serve):
    sent, release = [], threading.Event()

    def pour(connection):
        read_head(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        connection.settimeout(None)
        for _ in range(1024):
            connection.sendall(bytes(65536))
            sent.append(65536)

    with raw_server(pour) as port:
        skepd = serve({
            "a": fetching(f"const r = await fetch('http://127.0.0.1:{port}/'); const reader = r.body.getReader(); await reader.read();"
                          "globalThis.reader = reader; ctx.waitUntil(new Promise((r) => { globalThis.end = r; })); return new Response('read');"),
            "b": fetching("return new Response('b')"),
        })
        assert skepd.get("a").body == b"read"
        seen = -1

        def has_stopped():
            nonlocal seen
            before, seen = seen, sum(sent)
            skepd.get("b")
            return not release.wait(0.3) and before == seen

        wait_for(has_stopped, "the server to be held back")
        assert seen < 32 << 20


def test_a_long_answer_comes_whole(serve, upstream):
    skepd = serve({"a": fetching(
        f"let n = 0; for await (const chunk of (await fetch('{upstream.url}/size/20000000')).body) n += chunk.length; return new Response(n);")})
    assert skepd.get("a").body == b"20000000"


# ---- redirects


def test_redirects_change_the_request_as_the_standard_says(serve, upstream):
    skepd = serve({"a": fetching(
        "const headers = { authorization: 'secret', cookie: 'c=1', 'x-a': '1', 'content-language': 'de' }, out = [];"
        f"const ask = async (path, init) => {{ const r = await fetch('{upstream.url}' + path, init); await r.text(); out.push([r.url, r.redirected]); }};"
        "await ask('/to/302//x', { method: 'POST', body: 'abc', headers });"
        "await ask('/to/307//y', { method: 'PUT', body: new Uint8Array(100000), headers });"
        "await ask('/to/303//z', { method: 'DELETE', headers });"
        f"await ask('/to/308/http://b.test:{upstream.port}/w', {{ method: 'POST', body: 'abc', headers }});"
        "return Response.json(out);")})
    base, other = upstream.url, f"http://b.test:{upstream.port}"
    assert told(skepd.get("a")) == [[f"{base}/x", True], [f"{base}/y", True], [f"{base}/z", True], [f"{other}/w", True]]
    seen = upstream.take()
    assert [(method, path, len(body)) for method, path, _, body in seen[1::2]] == [
        ("GET", "/x", 0), ("PUT", "/y", 100000), ("GET", "/z", 0), ("POST", "/w", 3),
    ]
    of = lambda name: [headers.get(name) for _, _, headers, _ in seen[1::2]]  # noqa: E731
    assert of("authorization") == ["secret", "secret", "secret", None] and of("cookie") == ["c=1", "c=1", "c=1", None]
    assert of("content-language") == [None, "de", None, "de"] and of("x-a") == ["1"] * 4


def test_redirects_that_lead_nowhere_say_so(serve, upstream):
    skepd = serve({"a": fetching(
        f"const f = (path, init) => failing(() => fetch('{upstream.url}' + path, init));"
        f"const manual = await fetch('{upstream.url}/to/302//x', {{ redirect: 'manual' }});"
        "return Response.json([await f('/loop'), await f('/to/302/file:///etc/passwd'), await f('/to/302/http://169.254.169.254/'),"
        "    await f('/to/302//x', { redirect: 'error' }), [manual.status, manual.headers.get('location'), await manual.text()]]);",
        limits={"subrequests": 100})})
    loop, file, metadata, error, manual = told(skepd.get("a"))
    assert loop == f"TypeError: fetch failed: {upstream.url}/loop: there are more than 20 redirects"
    assert "a URL of the scheme file" in file and error.endswith('redirect is "error"')
    assert metadata.startswith("TypeError: fetch failed: http://169.254.169.254/: ")
    assert manual == [302, "/x", "moved"]


# ---- aborts


def test_an_abort_ends_the_fetch_at_the_server_too(serve):
    ended = threading.Semaphore(0)

    def hang(connection):
        head = read_head(connection)
        if b"/head" in head:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        while connection.recv(65536):
            pass
        ended.release()

    with raw_server(hang) as port:
        skepd = serve({"a": fetching(
            f"const c = new AbortController(), base = 'http://127.0.0.1:{port}';"
            "const before = failing(() => fetch(base + '/none', { signal: c.signal }));"
            "const r = await fetch(base + '/head', { signal: c.signal }); const reading = failing(() => r.text());"
            "c.abort(new RangeError('stop')); return Response.json([await before, await reading, await failing(() => fetch(base, { signal: c.signal }))]);")})
        assert told(skepd.get("a")) == ["RangeError: stop"] * 3
        for _ in range(2):
            assert ended.acquire(timeout=20)
        skepd.wait_idle()


def test_a_client_that_leaves_ends_the_fetches(serve):
    begun, ended = threading.Event(), threading.Event()

    def hang(connection):
        read_head(connection)
        begun.set()
        while connection.recv(65536):
            pass
        ended.set()

    with raw_server(hang) as port:
        skepd = serve({"a": fetching(f"return fetch('http://127.0.0.1:{port}/');")})
        with socket.create_connection(("127.0.0.1", skepd.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert begun.wait(20)
        assert ended.wait(20)
        skepd.wait_idle()


# ---- codings

ZSTD_HELLO = b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello"
BROTLI_MANY = bytes.fromhex("5bffff8f5f222c1e0b0472ef1f00")  # 1 MiB of "a": all of it is read long before the output ends
BROTLI_HELLO = b"\x0b\x02\x80hello\x03"


def raw_deflate(data):
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(data) + encoder.flush()


def test_encoded_bodies_are_decoded(serve, upstream):
    hello = gzip.compress(b"hello")
    rows = {
        "gzip": ("gzip", hello, "hello"), "x-gzip": ("X-Gzip", hello, "hello"), "members": ("gzip", hello * 3, "hello" * 3),
        "trailing": ("gzip", hello + b"rest", "hello"), "deflate": ("deflate", zlib.compress(b"hello"), "hello"),
        "raw": ("deflate", raw_deflate(b"hello"), "hello"), "br": ("br", BROTLI_HELLO, "hello"), "zstd": ("zstd", ZSTD_HELLO, "hello"),
        "many": ("br", BROTLI_MANY, "a" * (1 << 20)), "many-twice": ("br, gzip", gzip.compress(BROTLI_MANY), "a" * (1 << 20)),
        "twice": ("gzip, gzip", gzip.compress(hello), "hello"), "mixed": ("br, gzip", gzip.compress(BROTLI_HELLO), "hello"),
        "unknown": ("sdch", b"hello", "hello"), "empty": ("gzip", b"", ""),
        "none": ("gzip", b"hello", "TypeError: fetch failed: {}: the body is not encoded as its Content-Encoding says"),
        "cut": ("gzip", hello[:-12], "TypeError: fetch failed: {}: the encoded body ends too early"),
    }
    upstream.bodies = {name: row[:2] for name, row in rows.items()}
    skepd = serve({"a": fetching(
        "const out = {};"
        f"for (const name of {json.dumps(list(rows))}) {{ const r = await fetch('{upstream.url}/is/' + name);"
        "    out[name] = [r.headers.get('content-encoding'), await r.text().catch((e) => `${e.name}: ${e.message}`)]; }"
        "return Response.json(out);")})
    assert told(skepd.get("a")) == {
        name: ["sdch" if coding == "sdch" else None, text.format(f"{upstream.url}/is/{name}")] for name, (coding, _, text) in rows.items()
    }


def test_a_bomb_costs_its_reader_alone(serve, upstream):
    upstream.bodies["bomb"] = ("gzip", gzip.compress(bytes(BOMB_BYTES), 9))
    skepd = serve({
        "a": fetching(f"const r = await fetch('{upstream.url}/is/bomb'); return new Response((await r.arrayBuffer()).byteLength);",
                      limits={"external_mib": 64, "cpu_ms": 10000}),
        "b": fetching(f"let n = 0; for await (const chunk of (await fetch('{upstream.url}/is/bomb')).body) n += chunk.length; return new Response(n);",
                      limits={"external_mib": 16, "cpu_ms": 20000}),
        "c": fetching("return new Response('c');"),
    })
    answer = skepd.get("a")
    assert answer.status in (500, 503) and b"%d" % BOMB_BYTES not in answer.body
    assert skepd.get("b").body == b"%d" % BOMB_BYTES
    assert skepd.get("c").body == b"c"
    assert "worker" not in skepd.skep("incidents").stdout


# ---- servers that are none


@pytest.mark.parametrize("answer", [
    b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 70000 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\x00: a\r\n\r\n", b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
])
def test_an_answer_that_is_none_is_a_type_error(serve, answer):
    with raw_server(says(answer)) as port:
        skepd = serve({"a": fetching(f"return new Response(await failing(async () => (await fetch('http://127.0.0.1:{port}/')).text()));")})
        text = skepd.get("a").body.decode()
        assert text.startswith(f"TypeError: fetch failed: http://127.0.0.1:{port}/: ") and len(text) > 50, text


def test_provisional_answers_and_trailers_are_passed_over(serve):
    answer = (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-B\r\n\r\n"
              b"2\r\nok\r\n0\r\nX-B: c\r\n\r\n")
    with raw_server(says(answer)) as port:
        skepd = serve({"a": fetching(
            f"const r = await fetch('http://127.0.0.1:{port}/'); return Response.json([r.status, r.headers.get('link'), r.headers.get('x-b'), await r.text()]);")})
        assert told(skepd.get("a")) == [200, None, None, "ok"]


def test_an_answer_that_breaks_off_breaks_the_clients_too(serve):
    with raw_server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(70000))) as port:
        skepd = serve({"a": fetching(f"return fetch('http://127.0.0.1:{port}/');")})
        with socket.create_connection(("127.0.0.1", skepd.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
            data = b""
            while select.select([client], [], [], 20)[0]:
                try:
                    more = client.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    break
                data += more
        head, _, body = data.partition(b"\r\n\r\n")
        assert (b" 200 " in head and len(body) < 100000) or b" 50" in head


# ---- limits, and where nothing may be asked


def test_limits_reject_with_quota_exceeded(serve, upstream):
    skepd = serve({"a": fetching(
        f"const all = await Promise.allSettled([1, 2, 3].map(() => fetch('{upstream.url}/').then((r) => r.text())));"
        "return Response.json(all.map((one) => one.reason?.name ?? 'ok'));", limits={"subrequests": 2}),
        "b": fetching(f"return Response.json(await failing(async () => (await fetch('{upstream.url}/size/3000000')).text()));", limits={"call_mib": 1})})
    assert sorted(told(skepd.get("a"))) == ["QuotaExceededError", "ok", "ok"]
    assert told(skepd.get("b")).startswith("QuotaExceededError: sub_limit: ")


def test_nothing_is_fetched_without_a_rule_a_section_or_a_request(serve, start, upstream):
    code = f"return new Response(await failing(() => fetch('{upstream.url}/')));"
    skepd = serve({"a": fetching(code, allowed_hosts=["b.test"]), "b": {"files": {"worker.js":
        f"let why = 'nothing'; fetch('{upstream.url}/').catch((e) => {{ why = e.message; }});"
        "export default { fetch: () => new Response(why) };"}, "allowed_hosts": ANY}})
    assert skepd.get("a").body.decode().startswith(f"TypeError: fetch failed: {upstream.url}/: ")
    assert "it is made for a request, and none is open here" in skepd.get("b").body.decode()
    without = start({"a": fetching(code)})
    assert without.get("a").body.decode().startswith(f"TypeError: fetch failed: {upstream.url}/: ")
    assert upstream.take() == []


def test_integrity_is_checked(serve, upstream):
    digest = "sha256-Z4HTz2XPtMFWVqJwVEAy1sUmuzOA7FnCfr2ZcMgFP20="
    skepd = serve({"a": fetching(
        f"const ask = async (integrity) => (await (await fetch('{upstream.url}/size/3', {{ integrity }})).bytes()).length;"
        f"return Response.json([await ask(`sha256-${{btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(3)))))}}`),"
        f"    await failing(() => ask('{digest}'))]);")})
    length, wrong = told(skepd.get("a"))
    assert length == 3 and wrong.endswith("the body has none of the digests that integrity names")


# ---- what a failed fetch says

LOADING = """export default {
  async fetch(request, env, ctx) { return await load(new URL(request.url).searchParams.get("url")); },
};
async function load(url) {
  const r = await fetch(url, { signal: AbortSignal.timeout(500) });
  return new Response(await r.text());
}
"""


@pytest.mark.parametrize(("what", "line", "column", "says_what"), [
    ("rule", 5, 13, "TypeError: fetch failed: https://nope.example/: "),
    ("refused", 5, 13, "/: the server refused the connection: nothing listens at that port"),
    ("cut", 6, 23, "/: the server closed the connection in the body of the answer"),
    ("slow", 5, 13, "TimeoutError: The operation was aborted due to timeout"),
    ("limit", 5, 13, "QuotaExceededError: sub_limit: a request may make 1 calls (subrequests): make fewer, or raise limits.subrequests in skep.yaml"),
])
def test_the_log_has_the_place_of_a_failed_fetch(serve, what, line, column, says_what):
    def behave(connection):
        read_head(connection)
        if what == "slow":
            connection.recv(1)
        elif what == "limit":
            connection.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /again\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    limits = {"limits": {"subrequests": 1}} if what == "limit" else {}
    skepd = serve({"a": {"files": {"worker.js": LOADING}, "allowed_hosts": ["http://127.0.0.1:*"], **limits}})
    with raw_server(behave) as port:
        url = {"rule": "https://nope.example/", "refused": f"http://127.0.0.1:{free_port()}/"}.get(what, f"http://127.0.0.1:{port}/")
        assert skepd.get("a", f"/?url={url}").status == 500
        skepd.wait_log(f"worker.js:{line}:{column}")
    log = skepd.log()
    assert says_what in log
    assert f"at async load (worker.js:{line}:{column})" in log and "at async Object.fetch (worker.js:2:43)" in log


def test_a_fetch_that_the_end_of_its_request_cuts_off_is_named_once(serve, upstream):
    with raw_server(lambda connection: connection.recv(65536) and connection.recv(1)) as port:
        skepd = serve({
            "a": fetching(f"for (const n of [1, 2]) fetch('http://127.0.0.1:{port}/forgotten' + n); return new Response('done');"),
            "b": fetching(f"ctx.waitUntil(fetch('{upstream.url}/kept')); await fetch('{upstream.url}/size/9'); return new Response('done');"),
        })
        assert skepd.get("b").body == skepd.get("a").body == b"done"
        skepd.wait_log(
            f"\\[a\\] warn: a fetch of http://127.0.0.1:{port}/forgotten1 was cut off as its request ended: await it, or give it to ctx.waitUntil")
    assert skepd.log().count("was cut off") == 1
