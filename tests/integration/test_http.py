# SPDX-License-Identifier: Apache-2.0
"""The HTTP front with clients that are wrong, hostile, or leave."""

import re
import socket

import pytest

from harness import cpu_ns, script, wait_for

HELLO = script('return new Response("hello\\n")')
READ = script('return new Response(String((await request.text()).length))')

MALFORMED = {
    "not_http": b"hello skep\r\n\r\n",
    "no_version": b"GET /\r\nHost: hello.test\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
    "bare_lf": b"GET / HTTP/1.1\nHost: hello.test\n\n",
    "bare_cr": b"GET / HTTP/1.1\r\nHost: hello.test\r\nX: a\rb\r\n\r\n",
    "nul_in_value": b"GET / HTTP/1.1\r\nHost: hello.test\r\nX: a\0b\r\n\r\n",
    "obs_fold": b"GET / HTTP/1.1\r\nHost: hello.test\r\nX: a\r\n b\r\n\r\n",
    "space_before_colon": b"GET / HTTP/1.1\r\nHost: hello.test\r\nX : a\r\n\r\n",
    "name_with_space": b"GET / HTTP/1.1\r\nHost: hello.test\r\nX Y: a\r\n\r\n",
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\nHost: hello.test\r\nHost: other.test\r\n\r\n",
    "bad_host": b"GET / HTTP/1.1\r\nHost: hello.test/x\r\n\r\n",
    "length_and_chunked": b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two_lengths": b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 3\r\n"
    b"Content-Length: 4\r\n\r\nabcd",
    "negative_length": b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: -1\r\n\r\n",
    "plus_length": b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: +3\r\n\r\nabc",
    "huge_length": b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: "
    b"99999999999999999999999\r\n\r\n",
    "unknown_coding": b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: gzip\r\n\r\n",
    "chunked_not_last": b"POST / HTTP/1.1\r\nHost: hello.test\r\n"
    b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "space_in_target": b"GET /a b HTTP/1.1\r\nHost: hello.test\r\n\r\n",
    "relative_target": b"GET a HTTP/1.1\r\nHost: hello.test\r\n\r\n",
    "five_numbers_host": b"GET / HTTP/1.1\r\nHost: 1.2.3.4.5\r\n\r\n",
    "punycode_host": b"GET / HTTP/1.1\r\nHost: xn--a\r\n\r\n",
    "two_dots_host": b"GET / HTTP/1.1\r\nHost: hello..test\r\n\r\n",
    "connection_names_host": b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: Host\r\n\r\n",
    "connect": b"CONNECT hello.test:80 HTTP/1.1\r\nHost: hello.test\r\n\r\n",
}


@pytest.fixture(scope="module")
def hive():
    import pathlib
    import tempfile

    from harness import Skepd

    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        # Ten megabytes of text take more than 50 ms on a slow machine.
        read = {"limits": {"cpu_ms": 2000}, "files": {"worker.js": READ}}
        skepd = Skepd(pathlib.Path(path), {"hello": HELLO, "read": read}).start()
        yield skepd
        skepd.stop()


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_gets_400_and_the_connection_ends(hive, name):
    with hive.connect(timeout=5) as connection:
        connection.send(MALFORMED[name])
        answer = connection.read_response()
        assert answer.status == 400
        assert answer.code == "bad_request"
        assert answer.header("Content-Type") == "application/problem+json"
        assert answer.header("Connection") == "close"
        assert connection.is_closed_by_peer()
    assert hive.get("hello").text == "hello\n"


def test_other_version_of_http_gets_505(hive):
    with hive.connect(timeout=5) as connection:
        connection.send(b"GET / HTTP/2.0\r\nHost: hello.test\r\n\r\n")
        answer = connection.read_response()
        assert (answer.status, answer.code) == (505, "bad_request")
        assert connection.is_closed_by_peer()


WEBSOCKET = (b"GET /chat HTTP/1.1\r\nHost: hello.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
# Features that skep does not have: bytes of the client, status, words of the detail.
NOT_THERE = {
    "websocket": (WEBSOCKET, 501, "skep has no WebSocket: stream a Response"),
    "http2_with_prior_knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0", 400, "speaks HTTP/1.1"),
    "http2_in_the_request_line": (b"GET / HTTP/2.0\r\nHost: hello.test\r\n\r\n", 505, "speaks HTTP/1.1"),
    "connect": (MALFORMED["connect"], 400, "opens no tunnels"),
    "proxy_protocol": (b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\nGET / HTTP/1.1\r\nHost: hello.test\r\n\r\n", 400,
                       "X-Forwarded-For, and name it in http.proxies"),
    "trace": (b"TRACE / HTTP/1.1\r\nHost: hello.test\r\n\r\n", 501, "expected GET, HEAD, POST"),
    "lower_case_method": (b"get / HTTP/1.1\r\nHost: hello.test\r\n\r\n", 501, "in upper case"),
    "transfer_coding": (b"POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501,
                        "supported is chunked"),
    "expectation": (b"POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 1\r\nExpect: miracles\r\n\r\n", 417,
                    "supported is 100-continue"),
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_client_that_wants_what_is_not_there_is_told_so(hive, name):
    sent, status, words = NOT_THERE[name]
    before = hive.tenant("hello")["requests"]
    with hive.connect(timeout=5) as connection:
        connection.send(sent)
        answer = connection.read_response()
        assert (answer.status, answer.code) == (status, "bad_request")
        assert words in answer.json()["detail"]
        assert connection.is_closed_by_peer()
    assert hive.tenant("hello")["requests"] == before


def test_upgrade_that_is_only_offered_is_passed_over(hive):
    """As clients do that would like HTTP/2 (RFC 7540 section 3.2) and can go on without it."""
    offers = [
        [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")],
        [("Upgrade", "websocket"), ("Connection", "upgrade")],  # no handshake of one: its key is missing
        [("Upgrade", "TLS/1.2, IRC/6.9"), ("Connection", "upgrade")],
    ]
    with hive.connect(timeout=5) as connection:
        for headers in offers:
            connection.send_head("GET", "hello.test", headers=headers)
            answer = connection.read_response()
            assert (answer.status, answer.text, answer.header("Upgrade")) == (200, "hello\n", None)


@pytest.mark.parametrize(
    "chunks",
    [b"x\r\nabc\r\n0\r\n\r\n", b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"-1\r\n\r\n",
     b"fffffffffffffffff\r\nabc\r\n", b"3\r\nabc\n0\r\n\r\n"],
)  # fmt: skip
def test_malformed_chunk_gets_400_or_a_cut(hive, chunks):
    with hive.connect(timeout=5) as connection:
        connection.send_head("POST", "read.test", headers=[("Transfer-Encoding", "chunked")])
        connection.send(chunks)
        answer = connection.read_response()
        assert (answer.status, answer.code) == (400, "bad_request")
        assert connection.is_closed_by_peer()
    hive.wait_idle()


def test_request_behind_a_malformed_one_is_never_run(hive):
    before = hive.tenant("hello")["requests"]
    with hive.connect(timeout=5) as connection:
        good = b"GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n"
        connection.send(good + MALFORMED["length_and_chunked"] + good)
        assert connection.read_response().text == "hello\n"
        assert connection.read_response().status == 400
        assert connection.is_closed_by_peer()
    assert hive.tenant("hello")["requests"] == before + 1


def test_header_over_the_limit_gets_431(hive):
    with hive.connect(timeout=5) as connection:
        connection.send_head("GET", "hello.test", headers=[("X-Long", "x" * 20000)])
        answer = connection.read_response()
        assert (answer.status, answer.code) == (431, "header_too_large")
        assert connection.is_closed_by_peer()


def test_request_line_over_the_limit_gets_431(hive):
    with hive.connect(timeout=5) as connection:
        connection.send_head("GET", "hello.test", "/" + "x" * 20000)
        answer = connection.read_response()
        assert (answer.status, answer.code) == (431, "header_too_large")
        assert connection.is_closed_by_peer()


def test_too_many_headers_get_431(hive):
    with hive.connect(timeout=5) as connection:
        connection.send_head("GET", "hello.test", headers=[(f"X-{i}", "1") for i in range(200)])
        answer = connection.read_response()
        assert (answer.status, answer.code) == (431, "header_too_large")


def test_endless_header_gets_431_before_it_ends(hive):
    with hive.connect(timeout=5) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: hello.test\r\nX: ")
        try:
            for _ in range(1000):
                connection.send(b"x" * 1000)
        except (BrokenPipeError, ConnectionResetError):
            return
        assert connection.read_response().status == 431


def test_length_over_the_limit_gets_413_at_once(hive):
    with hive.connect(timeout=5) as connection:
        connection.send_head("POST", "read.test", headers=[("Content-Length", 10 * 2**20 + 1)])
        answer = connection.read_response()
        assert (answer.status, answer.code) == (413, "body_too_large")
    hive.wait_idle()


def test_body_of_just_the_limit_is_taken(hive):
    assert hive.post("read", bytes(10 * 2**20)).text == str(10 * 2**20)


def test_chunks_over_the_limit_get_413(hive):
    with hive.connect(timeout=5) as connection:
        connection.send_head("POST", "read.test", headers=[("Transfer-Encoding", "chunked")])
        chunk = bytes(64 * 1024)
        try:
            for _ in range(11 * 16):
                connection.send_chunk(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = connection.read_response()
        assert (answer.status, answer.code) == (413, "body_too_large")
    hive.wait_idle()


def test_body_in_chunks_of_one_byte_does_not_hold_up_the_loop(hive):
    """The loop serves nobody else while it reads: chunks cost it no more where many come at once."""
    chunks = 200_000
    before = cpu_ns(hive.pid)
    with hive.connect(timeout=60) as connection:
        connection.send_head("POST", "read.test", headers=[("Transfer-Encoding", "chunked")])
        connection.send(b"1\r\na\r\n" * chunks + b"0\r\n\r\n")
        assert connection.read_response().text == str(chunks)
    assert (cpu_ns(hive.pid) - before) / 10**6 < 1000


def test_client_that_sends_no_more_of_its_header_gets_408(start):
    skepd = start({"hello": HELLO}, http={"header_timeout_ms": 200})
    with skepd.connect(timeout=5) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: hel")
        answer = connection.read_response()
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert connection.is_closed_by_peer()


def test_client_that_sends_no_more_of_its_body_gets_408(start):
    skepd = start({"read": READ}, http={"body_idle_ms": 200})
    with skepd.connect(timeout=5) as connection:
        connection.send_head("POST", "read.test", headers=[("Content-Length", 10)])
        connection.send(b"abc")
        answer = connection.read_response()
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert connection.is_closed_by_peer()
    skepd.wait_idle()


def test_idle_connection_is_closed(start):
    skepd = start({"hello": HELLO}, http={"keepalive_ms": 200})
    with skepd.connect(timeout=5) as connection:
        assert connection.request("GET", "hello.test").status == 200
        assert connection.is_closed_by_peer()


def test_connections_from_one_address_are_limited(start):
    skepd = start({"hello": HELLO}, http={"connections_per_ip": 5})
    kept = [skepd.connect(timeout=5) for _ in range(5)]
    for connection in kept:
        assert connection.request("GET", "hello.test").status == 200
    with skepd.connect(timeout=5) as extra:
        assert extra.read_response().code == "overloaded"
        assert extra.is_closed_by_peer()
    skepd.wait_log("http.connections_per_ip is 5: .* client 127.0.0.1")
    kept.pop().close()

    def is_served():
        try:
            with skepd.connect(timeout=5) as connection:
                return connection.request("GET", "hello.test").status == 200
        except OSError:
            return False

    wait_for(is_served, "a place to be free again")
    for connection in kept:
        connection.close()


CANCELLED = {
    "limits": {"cpu_ms": 1000},
    "files": {
        "worker.js": script(
            """
            request.signal.addEventListener("abort", () => console.log("saw the client leave"));
            console.log("entered");
            if (request.method === "POST") {
                for await (const part of request.body);
                return new Response("read all");
            }
            if (new URL(request.url).pathname === "/silent") await new Promise(() => {});
            return new Response(new ReadableStream({
                pull(c) { c.enqueue(new Uint8Array(16384)); },
                cancel() { console.log("stream cancelled"); },
            }));
            """
        )
    },
}


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_client_that_leaves_while_uploading_cancels_the_request(start, leave):
    skepd = start({"a": CANCELLED})
    connection = skepd.connect()
    connection.send_head("POST", "a.test", headers=[("Content-Length", 1000)])
    connection.send(b"some")
    skepd.wait_log("entered")
    getattr(connection, leave)()
    skepd.wait_log("saw the client leave")
    skepd.wait_idle()
    assert skepd.worker()["restarts"] == 0


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_client_that_leaves_before_the_answer_cancels_the_request(start, leave):
    skepd = start({"a": CANCELLED})
    connection = skepd.connect()
    connection.send_head("GET", "a.test", "/silent")
    skepd.wait_log("entered")
    getattr(connection, leave)()
    skepd.wait_log("saw the client leave")
    skepd.wait_idle()
    assert skepd.worker()["restarts"] == 0


def test_client_that_leaves_in_the_answer_cancels_the_request(start):
    skepd = start({"a": CANCELLED})
    connection = skepd.connect()
    connection.send_head("GET", "a.test")
    assert connection.start_response().read(100_000)
    connection.reset()
    skepd.wait_log("saw the client leave")
    skepd.wait_log("stream cancelled")
    skepd.wait_idle()
    assert skepd.worker()["restarts"] == 0


def test_client_that_takes_no_bytes_is_cut_off(start):
    skepd = start({"a": CANCELLED}, http={"write_idle_ms": 300})
    with skepd.connect(receive_buffer=4096) as connection:
        connection.send_head("GET", "a.test")
        skepd.wait_log("saw the client leave|stream cancelled")
        skepd.wait_idle()


# --- the request as a tenant sees it ---

SHOW = {
    "routes": ["*"],
    "files": {
        "worker.js": script(
            "const { host, pathname, href } = new URL(request.url);"
            "return Response.json({ host, pathname, method: request.method,"
            "    isSame: href === request.url && host === (request.headers.get('host') ?? host),"
            "    fields: Object.fromEntries(request.headers), body: await request.text() });"
        )
    },
}


@pytest.fixture(scope="module")
def shows(start_module):
    upgrade = script('return new Response(null, { status: 426, headers: { Upgrade: "x/1" } })')
    skepd = start_module(
        {"show": SHOW, "upgrade": upgrade}, http={"default_host": "Fallback.example"}
    )
    yield skepd
    assert skepd.tenant("show")["failed"] == 0


def ask_raw(skepd, request):
    with skepd.connect(timeout=5) as connection:
        connection.send(request)
        return connection.read_response()


@pytest.mark.parametrize(
    "request_bytes,host,path",
    [
        (b"OPTIONS * HTTP/1.1\r\nHost: x:80\r\n\r\n", "x", "/"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x:81\r\n\r\n", "x:81", "/"),
        (b"GET / HTTP/1.0\r\n\r\n", "fallback.example", "/"),
        (b"GET /admin/x HTTP/1.0\r\n\r\n", "fallback.example", "/admin/x"),
        (b"GET //admin/x HTTP/1.0\r\n\r\n", "fallback.example", "//admin/x"),
        (b"GET http://B.example:080/c HTTP/1.1\r\nHost: a\r\n\r\n", "b.example", "/c"),
        (b"GET http://b.example. HTTP/1.0\r\n\r\n", "b.example", "/"),
        (b"GET /a HTTP/1.1\r\nHost: A.Example.:8080\r\n\r\n", "a.example:8080", "/a"),
        (b"GET /a HTTP/1.1\r\nHost: [::FFFF:1.2.3.4]\r\n\r\n", "[::ffff:102:304]", "/a"),
        (b"GET /a HTTP/1.1\r\nHost: XN--MNCHEN-3YA.de\r\n\r\n", "xn--mnchen-3ya.de", "/a"),
        (b"GET /a HTTP/1.2\r\nHost: a\r\n\r\n", "a", "/a"),
    ],
)
def test_url_of_a_request_can_be_parsed_and_names_its_host(shows, request_bytes, host, path):
    answer = ask_raw(shows, request_bytes)
    assert answer.status == 200, answer
    seen = answer.json()
    assert (seen["host"], seen["pathname"], seen["isSame"]) == (host, path, True)


def test_answer_before_a_body_that_nobody_takes_says_that_it_is_the_last(start):
    streams = """
        const pieces = new ReadableStream({ async pull(controller) {
            controller.enqueue(new TextEncoder().encode("piece"));
            await new Promise((r) => setTimeout(r, 50));
            controller.close();
        } });
        return new Response(request.method === "POST" ? pieces : "next");
    """
    skepd = start({"a": script(streams)})
    for size, is_last in ((500_000, True), (10, False)):
        with socket.create_connection(skepd.address, timeout=20) as client:
            client.sendall(
                f"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n".encode()
                + bytes(size) + b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
            )  # fmt: skip
            answers = b"".join(iter(lambda: client.recv(65536), b""))
        first, _, rest = answers.partition(b"\r\n0\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200") and first.endswith(b"piece")
        assert (b"\r\nConnection: close\r\n" in first) == is_last
        assert rest.startswith(b"HTTP/1.1 200") != is_last
        assert rest.endswith(b"next") != is_last


def test_cookie_lines_are_joined_by_semicolons_and_others_by_commas(shows):
    answer = ask_raw(
        shows,
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nX-A: 1\r\nCOOKIE: b=2; c=3\r\nX-A: 2\r\n"
        b"cookie: d=4\r\n\r\n",
    )
    fields = answer.json()["fields"]
    assert (fields["cookie"], fields["x-a"]) == ("a=1; b=2; c=3; d=4", "1, 2")


def test_connection_takes_away_nothing_that_a_proxy_says_of_the_client(shows):
    named = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded",
             "X-Real-IP", "Authorization", "Cookie", "Via", "X-SSL-Client-Verify"]  # fmt: skip
    lines = "".join(f"{name}: kept\r\n" for name in named)
    answer = ask_raw(
        shows,
        f"GET / HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\n{lines}"
        f"Connection: close, X-Hop, {', '.join(named)}\r\n\r\n".encode(),
    )
    fields = answer.json()["fields"]
    assert {name for name in named if fields.get(name.lower()) != "kept"} == set()
    assert "x-hop" not in fields and "connection" not in fields


@pytest.mark.parametrize("size_line", [b"3 ;a=b", b"3;a", b"3\t; a = b ; c", b'3 ; a="\\"; b"'])
def test_blanks_around_a_chunk_extension_are_accepted(shows, size_line):
    answer = ask_raw(
        shows,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + size_line + b"\r\nabc\r\n0 ;x\r\n\r\n",
    )  # fmt: skip
    assert (answer.status, answer.json()["body"]) == (200, "abc")


def test_server_timing_is_told_if_the_configuration_says_so(start):
    source = script('return new Response("x", { headers: { "Server-Timing": "own;dur=1" } })')
    skepd = start({"a": source}, http={"server_timing": True})
    told = skepd.get("a").headers.get_all("Server-Timing")
    assert told[0] == "own;dur=1"
    assert re.fullmatch(r"queue;dur=\d+\.\d{3}, total;dur=\d+\.\d{3}, cold", told[1])
    assert skepd.get("nobody.example").header("Server-Timing") is None
    skepd.config["http"]["server_timing"] = False
    skepd.write_config()
    assert skepd.skep("reload").returncode == 0
    assert skepd.get("a").headers.get_all("Server-Timing") == ["own;dur=1"]


def test_426_of_a_tenant_says_what_to_upgrade_to(shows):
    answer = shows.get("upgrade")
    assert (answer.status, answer.header("Upgrade"), answer.header("Connection")) == (
        426,
        "x/1",
        "upgrade",
    )
