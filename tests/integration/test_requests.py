# SPDX-License-Identifier: Apache-2.0
"""The main job: a request finds its tenant, the handler runs, the answer comes back."""

import email.utils
import socket

import pytest

from harness import Connection, script, wait_for

HELLO = script('return new Response("hello\\n")')
ECHO = script(
    """
    return Response.json({
        method: request.method,
        url: request.url,
        headers: [...request.headers],
        body: await request.text(),
    });
    """
)


def test_hello_goes_through_both_processes(start):
    skepd = start({"hello": HELLO})
    answer = skepd.get("hello")
    assert (answer.status, answer.text) == (200, "hello\n")
    assert answer.code is None
    assert answer.header("Content-Type") == "text/plain;charset=UTF-8"
    assert answer.header("Content-Length") == "6"
    assert email.utils.parsedate_to_datetime(answer.header("Date"))


def test_env_is_visible_and_is_the_tenants_own(start):
    read = script("return Response.json({ ...env })")
    skepd = start(
        {
            "a": {"env": {"GREETING": "grüß dich", "EMPTY": ""}, "files": {"worker.js": read}},
            "b": {"env": {"OTHER": "b"}, "files": {"worker.js": read}},
            "c": read,
        }
    )
    assert skepd.get("a").json() == {"GREETING": "grüß dich", "EMPTY": ""}
    assert skepd.get("b").json() == {"OTHER": "b"}
    assert skepd.get("c").json() == {}


def test_handler_sees_the_request_as_it_was_sent(start):
    skepd = start({"echo": ECHO})
    answer = skepd.request(
        "PUT",
        "echo",
        "/a%20b/c?x=1&y=%2F",
        [("X-One", "1"), ("X-Two", "a"), ("x-two", "b"), ("User-Agent", "test")],
        b"some body",
    )
    seen = answer.json()
    assert seen["method"] == "PUT"
    assert seen["url"] == "http://echo.test/a%20b/c?x=1&y=%2F"
    headers = dict(seen["headers"])
    assert headers["x-one"] == "1"
    assert headers["x-two"] == "a, b"
    assert headers["user-agent"] == "test"
    assert headers["content-length"] == "9"
    assert seen["body"] == "some body"


def test_response_has_the_handlers_status_and_headers(start):
    skepd = start(
        {
            "a": script(
                """
                const headers = new Headers({ "x-one": "1", "content-type": "text/x-test" });
                headers.append("set-cookie", "a=1");
                headers.append("set-cookie", "b=2");
                return new Response("body", { status: 418, statusText: "ignored", headers });
                """
            )
        }
    )
    answer = skepd.get("a")
    assert answer.status == 418
    assert answer.header("X-One") == "1"
    assert answer.header("Content-Type") == "text/x-test"
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.body == b"body"


def tenant_called(name, *routes):
    return {"routes": list(routes), "files": {"worker.js": script(f'return new Response("{name}")')}}


def test_the_most_specific_route_wins(start):
    skepd = start(
        {
            "exact": tenant_called("exact", "www.one.test/*"),
            "api": tenant_called("api", "www.one.test/api/*"),
            "page": tenant_called("page", "www.one.test/api/page"),
            "suffix": tenant_called("suffix", "*.one.test/*"),
            "deep": tenant_called("deep", "*.sub.one.test/*"),
        }
    )
    for host, path, name in [
        ("www.one.test", "/", "exact"),
        ("WWW.One.Test", "/", "exact"),
        ("www.one.test:8080", "/x", "exact"),
        ("www.one.test", "/api/x?y", "api"),
        ("www.one.test", "/api/page", "page"),
        ("www.one.test", "/api/page?q=1", "page"),
        ("www.one.test", "/api/page/2", "api"),
        ("other.one.test", "/api/x", "suffix"),
        ("a.sub.one.test", "/", "deep"),
        ("a.b.one.test", "/", "suffix"),
    ]:
        answer = skepd.get(host, path)
        assert (answer.status, answer.text) == (200, name), f"{host}{path}"
    for host in ("one.test", "elsewhere.test", "127.0.0.1"):
        assert skepd.get(host).code == "no_route", host


def test_unknown_host_is_told_so_as_problem_json(start):
    skepd = start({"hello": HELLO})
    answer = skepd.get("nobody.example")
    assert answer.status == 404
    assert answer.code == "no_route"
    assert answer.header("Content-Type") == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 404
    assert "no_route" in answer.text
    assert problem["title"]


def test_connection_is_kept_for_more_requests(start):
    skepd = start({"hello": HELLO, "echo": ECHO})
    with skepd.connect() as connection:
        for _ in range(5):
            assert connection.request("GET", "hello.test").text == "hello\n"
            assert connection.request("POST", "echo.test", body=b"x").json()["body"] == "x"
        assert connection.request("GET", "nobody.test").status == 404
        assert connection.request("GET", "hello.test").text == "hello\n"


def test_connection_close_is_honoured(start):
    skepd = start({"hello": HELLO})
    with skepd.connect() as connection:
        answer = connection.request("GET", "hello.test", headers=[("Connection", "close")])
        assert answer.header("Connection") == "close"
        assert connection.is_closed_by_peer()


def test_pipelined_requests_are_answered_in_order(start):
    skepd = start(
        {
            "slow": script(
                "const n = new URL(request.url).searchParams.get('n');"
                "await new Promise((r) => setTimeout(r, n === '0' ? 50 : 0));"
                "return new Response(n + await request.text());"
            )
        }
    )
    with skepd.connect() as connection:
        parts = []
        for n in range(20):
            body = b"!" * n
            parts.append(
                b"POST /?n=%d HTTP/1.1\r\nHost: slow.test\r\nContent-Length: %d\r\n\r\n%b"
                % (n, len(body), body)
            )
        connection.send(b"".join(parts))
        for n in range(20):
            assert connection.read_response().text == str(n) + "!" * n


def test_head_has_the_headers_and_no_body(start):
    skepd = start({"a": script('return new Response("four", { headers: { "x-m": request.method } })')})
    with skepd.connect() as connection:
        answer = connection.request("HEAD", "a.test")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("X-M") == "HEAD"
        assert answer.header("Content-Length") == "4"
        assert connection.request("GET", "a.test").text == "four"


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_body_sends_none(start, status):
    skepd = start({"a": script(f"return new Response(null, {{ status: {status} }})")})
    with skepd.connect() as connection:
        answer = connection.request("GET", "a.test")
        assert (answer.status, answer.body) == (status, b"")
        assert connection.request("GET", "a.test").status == status


def test_expect_continue_is_answered_before_the_body(start):
    skepd = start({"echo": ECHO})
    with skepd.connect() as connection:
        connection.send_head(
            "POST", "echo.test", headers=[("Expect", "100-continue"), ("Content-Length", "4")]
        )
        assert connection.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert connection.file.readline() == b"\r\n"
        connection.send(b"body")
        assert connection.read_response().json()["body"] == "body"


def test_http_1_0_gets_a_response_without_chunks(start):
    skepd = start(
        {
            "a": script(
                """
                const encoder = new TextEncoder();
                return new Response(new ReadableStream({
                    async start(c) {
                        c.enqueue(encoder.encode("one "));
                        await new Promise((r) => setTimeout(r, 5));
                        c.enqueue(encoder.encode("two"));
                        c.close();
                    } }));
                """
            )
        }
    )
    with skepd.connect() as connection:
        connection.send(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
        data = connection.file.read()
    head, body = data.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"chunked" not in head
    assert body == b"one two"


def test_unix_socket_is_served_too(start, folder):
    path = str(folder / "http.sock")
    skepd = start({"hello": HELLO}, more_listen=[f"unix:{path}"])
    with Connection(path) as connection:
        assert connection.request("GET", "hello.test").text == "hello\n"
    assert skepd.get("hello").text == "hello\n"


def test_many_connections_are_served_at_once(start):
    limits = {"queue": 200}  # the first requests come before the tenant is loaded
    skepd = start({"hello": {"limits": limits, "files": {"worker.js": HELLO}}})
    connections = [skepd.connect() for _ in range(200)]
    try:
        for connection in connections:
            connection.send_head("GET", "hello.test")
        for connection in connections:
            assert connection.read_response().text == "hello\n"
        assert skepd.stats()["connections"] == 200
    finally:
        for connection in connections:
            connection.close()
    wait_for(lambda: skepd.stats()["connections"] == 0, "connections to be closed")


def test_request_that_comes_byte_by_byte_is_served(start):
    skepd = start({"echo": ECHO})
    with skepd.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 3\r\n\r\nabc":
            connection.send(bytes([byte]))
        assert connection.read_response().json()["body"] == "abc"


def test_wait_until_has_its_time_after_a_stream_that_was_longer_than_wall_ms(start):
    source = script(
        """
        const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
        const text = new TextEncoder();
        const body = new ReadableStream({
            async start(controller) {
                for (let i = 0; i < 8; i++) {
                    await wait(100);
                    controller.enqueue(text.encode("tick"));
                }
                controller.close();
                ctx.waitUntil(wait(150).then(() => console.log("after all")));
                ctx.waitUntil(wait(2000).then(() => console.log("too late")));
            },
        });
        return new Response(body);
        """
    )
    skepd = start({"a": {"limits": {"wall_ms": 400}, "files": {"worker.js": source}}})
    assert skepd.get("a").text == "tick" * 8
    skepd.wait_log("after all")
    skepd.wait_idle()
    assert "too late" not in skepd.log()
