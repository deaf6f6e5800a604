# SPDX-License-Identifier: Apache-2.0
"""fetch() of tenants through skepd and skep-egress: what rules refuse, turns, pace, and the end of egress. The servers
and the resolver are the tests' own, on loopback, which the operator's egress.addresses names."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import threading

import pytest

from egress_client import Resolver
from harness import BIN, descendants, free_port, script, wait_for
from scrape import scrape
from test_egress import Server, raw_server, read_head

pytestmark = pytest.mark.skipif(not (BIN / "skep-egress").exists(), reason="no skep-egress was built")

EVERYTHING = ["*", "http://*:*"]

# Fetches ?url=, and tells the answer or the exception.
ASKING = script(
    "const query = new URL(request.url).searchParams;"
    "try {"
    "    const method = query.get('method') ?? 'GET';"
    "    const answer = await fetch(query.get('url'), { method, redirect: 'manual',"
    "        body: request.method === 'POST' ? request.body : undefined, duplex: 'half' });"
    "    return Response.json({ status: answer.status, fields: [...answer.headers], body: await answer.text() });"
    "} catch (error) {"
    "    return Response.json({ error: `${error.name}: ${error.message}` });"
    "}"
)
# Passes the answer on as it comes.
PASSING = script("return fetch(new URL(request.url).searchParams.get('url'));")


def tenant(source=ASKING, hosts=EVERYTHING, **manifest):
    limits = {"cpu_ms": 5000, **manifest.pop("limits", {})}
    return {"allowed_hosts": hosts, "files": {"worker.js": source}, "limits": limits, **manifest}


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.shutdown()


@pytest.fixture
def resolver():
    resolver = Resolver({"a.test": ["127.0.0.1"]})
    yield resolver
    resolver.close()


def egress(resolver=None, **keys):
    dns = {"dns": [f"127.0.0.1:{resolver.server_address[1]}"]} if resolver else {}
    return {"addresses": ["127.0.0.0/8"], **dns, **keys}


def ask(skepd, url, name="a", **query):
    path = "/?" + "&".join(f"{key}={value}" for key, value in {"url": url, **query}.items())
    answer = skepd.get(name, path)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def egress_pid(skepd):
    found = [pid for pid in descendants(skepd.pid) if b"skep-egress" in open(f"/proc/{pid}/cmdline", "rb").read()]
    return found[0] if found else None


@contextlib.contextmanager
def silent_server():
    """A server that reads heads and says nothing. Yields its port and the connections that it has read a head of."""
    heads = []

    def behave(connection):
        heads.append(read_head(connection))
        connection.recv(1)

    with raw_server(behave) as port:
        yield port, heads


# ---- what passes


def test_answer_and_body_pass(start, server, resolver):
    skepd = start({"a": tenant()}, egress=egress(resolver))
    answer = ask(skepd, f"http://a.test:{server.port}/x")
    assert answer["status"] == 200 and answer["body"] == hashlib.sha256(b"").hexdigest()
    assert ["x-twice", "a, b"] in answer["fields"]
    assert ("a.test", 1) in resolver.asked
    method, path, headers, body, _ = server.seen[-1]
    assert (method, path, body) == ("GET", "/x", b"")
    assert dict(headers)["Host"] == f"a.test:{server.port}"
    body = os.urandom(3_000_000)
    reply = skepd.post("a", body, f"/?method=POST&url=http://a.test:{server.port}/y")
    assert json.loads(reply.body)["body"] == hashlib.sha256(body).hexdigest()
    answer = ask(skepd, f"http://a.test:{server.port}/size/3000000")
    assert len(answer["body"]) == 3_000_000
    skepd.wait_idle()


def test_heads_have_no_body(start, server):
    skepd = start({"a": tenant()}, egress=egress())
    answer = ask(skepd, f"http://127.0.0.1:{server.port}/size/100", method="HEAD")
    assert answer["status"] == 200 and answer["body"] == "" and ["content-length", "100"] in answer["fields"]


# ---- what is refused


def test_denied_hosts_are_not_looked_up(start, server, resolver):
    skepd = start(
        {
            "a": tenant(hosts=[f"http://a.test:{server.port}/open"]),
            "none": tenant(hosts=[]),
            "all": tenant(),
        },
        egress=egress(resolver, deny=["*.denied.test"]),
    )
    seen = len(server.seen)
    for name, url, says in [
        ("a", f"http://b.test:{server.port}/open", "b.test is not in allowed_hosts"),
        ("a", f"https://a.test:{server.port}/open", "https:// is not allowed"),
        ("a", "http://a.test:1234/open", "port 1234"),
        ("a", f"http://a.test:{server.port}/other", "/other is not allowed"),
        ("a", f"http://a.test:{server.port}/open/%2e%2e/other", "is not allowed"),
        ("none", f"http://a.test:{server.port}/", "a.test is not in allowed_hosts"),
        ("all", f"http://x.denied.test:{server.port}/", "egress.deny"),
        ("all", "http://a.test:25/", "25"),
    ]:
        error = ask(skepd, url, name).get("error", "")
        assert error.startswith("TypeError: fetch failed: ") and says in error, (url, error)
    assert resolver.asked == [] and len(server.seen) == seen
    assert ask(skepd, f"http://a.test:{server.port}/open")["status"] == 200


def test_without_the_key_nothing_goes_out(start, server):
    skepd = start({"a": tenant()})
    error = ask(skepd, f"http://127.0.0.1:{server.port}/")["error"]
    assert "egress" in error
    assert egress_pid(skepd) is None


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["127.0.0.1", "10.0.0.1"],
        ["::ffff:10.0.0.1"],
        ["0.0.0.0"],
        ["::1"],
        ["64:ff9b::7f00:1"],
    ],
    ids=" and ".join,
)
def test_names_of_private_addresses_are_refused(start, server, resolver, addresses):
    resolver.names["a.test"] = addresses
    skepd = start({"a": tenant()}, egress=egress(resolver))
    seen = len(server.seen)
    error = ask(skepd, f"http://a.test:{server.port}/")["error"]
    assert error.startswith("TypeError: fetch failed: ") and "a.test" in error
    assert len(server.seen) == seen


def test_addresses_are_private_unless_the_operator_names_them(start, server):
    skepd = start({"a": tenant()}, egress={})
    for host in ["127.0.0.1", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0", "100.64.0.1"]:
        error = ask(skepd, f"http://{host}:{server.port}/").get("error", "")
        assert error.startswith("TypeError: fetch failed: "), (host, error)


def test_other_rules_hold_after_a_reload(start, server, resolver):
    skepd = start({"a": tenant()}, egress=egress(resolver))
    url = f"http://a.test:{server.port}/"
    assert ask(skepd, url)["status"] == 200
    skepd.config["egress"] = egress(resolver, deny=["a.test"])
    skepd.write_config()
    assert skepd.skep("reload").returncode == 0
    assert "egress.deny" in ask(skepd, url).get("error", "")


def test_results_are_counted(start, server, resolver):
    port = free_port()
    skepd = start({"a": tenant()}, egress=egress(resolver, deny=["denied.test"]), metrics={"listen": f"127.0.0.1:{port}"})
    resolver.names["private.test"] = ["10.0.0.1"]
    for host in ["a.test", "denied.test", "private.test", "nobody.test"]:
        ask(skepd, f"http://{host}:{server.port}/")
    metrics = scrape(port)
    counts = {code: metrics.get("skep_calls_total", tenant="a", code=code) for code in ("ok", "fetch_denied", "fetch_failed")}
    assert counts == {"ok": 1, "fetch_denied": 2, "fetch_failed": 1}
    assert metrics.get("skep_bound_used", what="fetches") == 0
    assert metrics.get("skep_bound_limit", what="fetches") == 4096


# ---- ends


def test_ends_say_why(start, resolver):
    resolver.names["fails.test"] = "fail"
    skepd = start({"a": tenant(), "b": tenant(PASSING)}, egress=egress(resolver))
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    for url, says in [
        (f"http://127.0.0.1:{port}/", "127.0.0.1"),
        ("http://nobody.test/", "nobody.test"),
        ("http://fails.test/", "fails.test"),
    ]:
        error = ask(skepd, url).get("error", "")
        assert error.startswith("TypeError: fetch failed: ") and says in error, error

    def breaks_off(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")

    with raw_server(breaks_off) as port:
        error = ask(skepd, f"http://127.0.0.1:{port}/").get("error", "")
        assert error, "the body is whole"
        with skepd.connect() as connection:
            connection.send_head("GET", "b.test", f"/?url=http://127.0.0.1:{port}/")
            with pytest.raises(http.client.IncompleteRead):
                connection.read_response()
    skepd.wait_idle()


def test_what_fails_for_the_hosts_sake_is_in_the_log_once_a_minute_for_each_kind(start, resolver):
    resolver.names["fails.test"] = "fail"
    skepd = start({"a": tenant(allowed_hosts=["*:*", "http://*:*"])}, egress=egress(resolver))
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with raw_server(lambda connection: connection.sendall(b"no TLS\r\n")) as plain:
        for _ in range(3):
            for url in ("http://fails.test/", f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{plain}/", "http://nobody.test/"):
                assert ask(skepd, url).get("error", "").startswith("TypeError: fetch failed: ")
    lines = [line for line in skepd.log().splitlines() if "fetches of tenants fail: " in line]
    assert len(lines) == 3 and all("(the first)" in line for line in lines), lines
    assert "a resolver (egress.dns, else /etc/resolv.conf) does not answer or fails: the address of fails.test" in lines[0]
    assert "servers cannot be reached: " in lines[1] and "TLS with servers fails (egress.ca" in lines[2]


def test_a_fetch_ends_with_its_request(start):
    skepd = start({"a": tenant(limits={"wall_ms": 300, "hung_ms": 60000})}, egress=egress())
    closed = threading.Event()

    def behave(connection):
        read_head(connection)
        assert connection.recv(1) == b""
        closed.set()

    with raw_server(behave) as port:
        answer = skepd.get("a", f"/?url=http://127.0.0.1:{port}/")
        assert answer.status == 504
        assert closed.wait(10), "the server still has the connection"
    skepd.wait_idle()


def test_an_abort_reaches_the_server(start):
    skepd = start(
        {
            "a": tenant(
                script(
                    "const abort = new AbortController();"
                    "const answer = await fetch(new URL(request.url).searchParams.get('url'), { signal: abort.signal });"
                    "abort.abort();"
                    "try { await answer.text(); } catch (error) { return new Response(error.name); }"
                    "return new Response('whole');"
                )
            )
        },
        egress=egress(),
    )
    closed = threading.Event()

    def behave(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")
        assert connection.recv(1) == b""
        closed.set()

    with raw_server(behave) as port:
        assert skepd.get("a", f"/?url=http://127.0.0.1:{port}/").body == b"AbortError"
        assert closed.wait(10), "the server still has the connection"


def test_a_tenant_that_does_not_read_stops_the_server(start):
    skepd = start(
        {
            "a": tenant(
                script(
                    "const answer = await fetch(new URL(request.url).searchParams.get('url'));"
                    "const stream = answer.body.getReader();"
                    "await stream.read();"
                    "await new Promise((resolve) => setTimeout(resolve, 60000));"
                ),
                limits={"wall_ms": 60000, "call_mib": 1000},
            )
        },
        egress=egress(),
    )
    sent = [0]
    stuck = threading.Event()

    def behave(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.settimeout(2)
        try:
            while True:
                sent[0] += connection.send(bytes(65536))
        except TimeoutError:
            stuck.set()
        connection.settimeout(60)
        connection.recv(1)

    with raw_server(behave) as port:
        with skepd.connect() as connection:
            connection.send_head("GET", "a.test", f"/?url=http://127.0.0.1:{port}/")
            assert stuck.wait(60), f"{sent[0]} bytes, and no end"
            # Windows, and the buffers of the sockets between, which the kernel makes as large as 6 MiB.
            assert sent[0] < 16 << 20
    skepd.wait_idle()


# ---- turns


def test_six_of_a_request_wait_for_their_heads(start):
    many = script(
        "const url = new URL(request.url).searchParams.get('url');"
        "const all = Array.from({ length: 16 }, (_, i) => fetch(`${url}${i}`));"
        "const over = await fetch(url).catch((error) => error);"
        "console.log('refused', over.name, over.message);"
        "await Promise.all(all);"
    )
    skepd = start({"a": tenant(many), "b": tenant()}, egress=egress())
    with silent_server() as (port, heads), skepd.connect() as connection:
        connection.send_head("GET", "a.test", f"/?url=http://127.0.0.1:{port}/")
        skepd.wait_log("refused QuotaExceededError.*calls")
        wait_for(lambda: len(heads) == 6, "six requests at the server")
        # The others have not come, although all of them were made before this one.
        with raw_server(lambda other: (read_head(other), other.sendall(b"HTTP/1.1 204 No\r\n\r\n"))) as other:
            assert ask(skepd, f"http://127.0.0.1:{other}/", "b")["status"] == 204
        assert sorted(head.split()[1] for head in heads) == [b"/%d" % i for i in range(6)]
    skepd.wait_idle()


def test_fifty_tenants_that_hang_take_no_place_of_others(start, server):
    hung = script(
        "const url = new URL(request.url).searchParams.get('url');"
        "await Promise.all(Array.from({ length: 16 }, () => fetch(url)));"
    )
    tenants = {f"h{i}": tenant(hung) for i in range(50)}
    skepd = start({**tenants, "a": tenant()}, egress=egress())
    with silent_server() as (port, heads), contextlib.ExitStack() as stack:
        for name in tenants:
            connection = stack.enter_context(skepd.connect())
            connection.send_head("GET", f"{name}.test", f"/?url=http://127.0.0.1:{port}/")
        wait_for(lambda: len(heads) == 300, f"six of each: {len(heads)}", timeout=60)
        for _ in range(20):
            assert ask(skepd, f"http://127.0.0.1:{server.port}/")["status"] == 200
        assert len(heads) == 300
    skepd.wait_idle()


# ---- the end of egress


def test_a_killed_egress_in_the_middle_of_a_hundred_streams(start, server):
    skepd = start(
        {f"p{i}": tenant(PASSING) for i in range(4)} | {"a": tenant()},
        egress=egress(),
    )

    def behave(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nfirst")
        connection.recv(1)

    with raw_server(behave) as port, contextlib.ExitStack() as stack:
        connections = []
        for i in range(100):
            connection = stack.enter_context(skepd.connect())
            connection.send_head("GET", f"p{i % 4}.test", f"/?url=http://127.0.0.1:{port}/")
            connections.append(connection)
        for connection in connections:
            assert connection.start_response().status == 200
        first = egress_pid(skepd)
        os.kill(first, signal.SIGKILL)
        for connection in connections:
            assert connection.is_closed_by_peer()
        # Fetches wait for the next one, which is there soon.
        assert ask(skepd, f"http://127.0.0.1:{server.port}/")["status"] == 200
        assert egress_pid(skepd) not in (first, None)
    skepd.wait_log("egress has ended, and 100 open fetches with it")
    skepd.wait_idle()


def test_what_ends_with_egress_says_so(start):
    skepd = start({"a": tenant()}, egress=egress())
    with silent_server() as (port, heads):
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask(skepd, f"http://127.0.0.1:{port}/")))
        asking.start()
        wait_for(lambda: heads, "the request at the server")
        os.kill(egress_pid(skepd), signal.SIGKILL)
        asking.join(20)
    assert "skep-egress" in answers[0]["error"]
