# SPDX-License-Identifier: Apache-2.0
"""skep-egress over its socket, with real servers, a resolver and certificates of its own."""

import contextlib
import gzip
import hashlib
import http.server
import os
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from egress_client import Client, Egress, Resolver, make_certificates, pack_head, prefix, unpack_head
from harness import BIN, cpu_ns, wait_for

needs_egress = pytest.mark.skipif(not (BIN / "skep-egress").exists(), reason="no skep-egress was built")
pytestmark = needs_egress


# ---- servers


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, body, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_all(self):
        body = self.read_body()
        path = self.requestline.split()[1]  # self.path has no second slash at its beginning
        self.server.seen.append((self.command, path, list(self.headers.items()), body, self.client_address))
        if self.path == "/redirect":
            return self.answer(b"", 302, [("Location", "http://169.254.169.254/")])
        if self.path == "/gzip":
            return self.answer(b"\x1f\x8b not for egress to look at", 200, [("Content-Encoding", "gzip")])
        if self.path.startswith("/size/"):
            return self.answer(bytes(int(self.path[6:])))
        return self.answer(hashlib.sha256(body).hexdigest().encode(), 200, [("X-Twice", "a"), ("X-Twice", "b")])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_all


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET

    def __init__(self, context=None):
        self.seen = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def raw_server(behave):
    """A server whose connections are given to behave(connection), each in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            behave(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise OSError
        data += more
    return data


def says(data):
    """The behaviour of a server that reads a head, sends the bytes, and closes."""

    def behave(connection):
        read_head(connection)
        connection.sendall(data)

    return behave


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"), ["a.test", "127.0.0.1"])


def tls_context(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


@pytest.fixture(scope="module")
def resolver():
    resolver = Resolver({"a.test": ["127.0.0.1"]})
    yield resolver
    resolver.close()


@pytest.fixture
def egress(resolver, certificates):
    resolver.asked.clear()
    with Egress(resolver.option, f"--ca={certificates[0]}") as egress:
        yield egress


# ---- requests and answers


def test_a_fetch_has_head_body_and_end(egress, server):
    fetch = egress.fetch(f"http://127.0.0.1:{server.port}/x?y=%2F&z", headers=[("X-A", "1"), ("x-empty", "")])
    assert fetch.head["status"] == 200 and fetch.head["version"] == 11
    assert fetch.failure == "NONE" and fetch.text == ""
    assert fetch.body == hashlib.sha256(b"").hexdigest().encode()
    assert fetch.done["received"] == len(fetch.body) and fetch.done["sent"] == 0
    assert fetch.done["address"] == f"127.0.0.1:{server.port}".encode()
    assert fetch.done["connects"] == 1
    assert 0 < fetch.done["connect_us"] <= fetch.done["head_us"] <= fetch.done["total_us"]
    method, path, headers, _, _ = server.seen[-1]
    assert (method, path) == ("GET", "/x?y=%2F&z")
    assert dict(headers) == {"Host": f"127.0.0.1:{server.port}", "X-A": "1", "x-empty": ""}


def test_a_path_arrives_as_it_was_written(egress, server):
    for path in ["//x", "/a/../b", "/%2e%2E/", "/a%2fb?x=http://h/#"[:-1], "/|^[]{}\\", "/?"]:
        assert egress.fetch(f"http://127.0.0.1:{server.port}{path}").failure == "NONE"
        assert server.seen[-1][1] == path


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH"])
def test_methods_go_out_as_they_are(egress, server, method):
    fetch = egress.fetch(f"http://127.0.0.1:{server.port}/", method=method)
    assert fetch.failure == "NONE" and fetch.head["status"] == 200
    assert (fetch.body == b"") == (method == "HEAD")
    assert server.seen[-1][0] == method
    assert not any(name in ("Content-Length", "Transfer-Encoding", "Expect") for name, _ in server.seen[-1][2])


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_methods_that_want_a_body_say_that_they_have_none(egress, server, method):
    assert egress.fetch(f"http://127.0.0.1:{server.port}/", method=method).failure == "NONE"
    assert dict(server.seen[-1][2]).get("Content-Length") == "0"


def test_a_body_of_known_length_is_sent_whole(egress, server):
    body = os.urandom(40000)
    fetch = egress.fetch(f"http://127.0.0.1:{server.port}/", method="PATCH", body=body)
    assert fetch.body.decode() == hashlib.sha256(body).hexdigest()
    assert fetch.done["sent"] == len(body)
    assert dict(server.seen[-1][2])["Content-Length"] == "40000"


def test_a_body_without_length_is_streamed_by_credit(egress, server):
    fetch = egress.open(f"http://127.0.0.1:{server.port}/", method="POST", body=True)
    window, sent, digest = 64 << 10, 0, hashlib.sha256()
    while sent < 2 << 20:
        egress.wait_for(lambda: window + fetch.credit - sent >= 16384)
        data = os.urandom(16384)
        digest.update(data)
        egress.send("body", id=fetch.id, data=data)
        sent += len(data)
        assert fetch.credit <= sent, "more credit than was used"
    egress.send("body", id=fetch.id, end=True)
    egress.finish(fetch)
    assert fetch.failure == "NONE" and fetch.body.decode() == digest.hexdigest()
    assert dict(server.seen[-1][2])["Transfer-Encoding"] == "chunked"


def test_an_answer_comes_as_credit_allows(egress, server):
    fetch = egress.open(f"http://127.0.0.1:{server.port}/size/1000000", credit=1000)
    egress.wait_for(lambda: len(fetch.body) == 1000)
    got = 1000
    for credit in [1, 7, 20000, 65536, 300000]:
        egress.send("credit", id=fetch.id, bytes=credit)
        got += credit
        egress.wait_for(lambda: len(fetch.body) == got)
    egress.send("credit", id=fetch.id, bytes=1000000 - got - 1)
    egress.wait_for(lambda: len(fetch.body) == 999999)
    assert not fetch.done
    egress.send("credit", id=fetch.id, bytes=1)
    egress.finish(fetch)
    assert fetch.failure == "NONE" and len(fetch.body) == 1000000


def test_an_answer_without_credit_holds_its_server_back(egress, server):
    connections = []

    def pour(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        connections.append(connection)
        while True:
            connection.send(bytes(65536))

    with raw_server(pour) as port:
        fetch = egress.open(f"http://127.0.0.1:{port}/", credit=100000)
        egress.wait_for(lambda: len(fetch.body) == 100000)

        def is_held_back():
            # Egress would have read on by the end of another fetch, and the connection could be written again.
            is_full = not select.select([], connections, [], 0)[1]
            assert egress.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"
            return is_full and not select.select([], connections, [], 0)[1]

        wait_for(is_held_back, "the server to be held back")
        rss = int(next(line for line in open(f"/proc/{egress.process.pid}/status") if line.startswith("VmRSS")).split()[1])
        assert rss < 64 << 10
        egress.send("cancel", id=fetch.id)
        egress.finish(fetch)
        assert fetch.failure == "CANCELLED" and fetch.done["received"] == 100000


@pytest.mark.parametrize("credit", [256 << 10, 1 << 20])
def test_small_pieces_of_an_answer_are_gathered(egress, credit):
    """Credit bounds the memory for a skepd that does not read, however small the pieces of the server are."""
    connections = []

    def drip(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        connections.append(connection)
        while True:
            connection.sendall(b"1\r\nx\r\n" * 10000)

    with raw_server(drip) as port:
        fetches = [egress.open(f"http://127.0.0.1:{port}/", credit=credit) for _ in range(16)]

        def is_held_back():
            before = cpu_ns(egress.process.pid)
            for _ in range(3):
                if len(connections) < len(fetches) or select.select([], connections, [], 0.05)[1]:
                    return False
            return cpu_ns(egress.process.pid) == before

        wait_for(is_held_back, "the servers to be held back")
        rss = int(next(line for line in open(f"/proc/{egress.process.pid}/status") if line.startswith("VmRSS")).split()[1])
        assert rss < 64 << 10
        frames = 0
        while any(len(fetch.body) < credit for fetch in fetches):
            frames += egress.step()[1] == "body"
        assert all(fetch.body == b"x" * credit for fetch in fetches)
        assert frames < len(fetches) * credit // 100
        for fetch in fetches:
            egress.send("cancel", id=fetch.id)
        for fetch in fetches:
            assert egress.finish(fetch).failure == "CANCELLED"


def test_an_answer_may_begin_before_the_body_has_ended(egress):
    def echo(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while data := connection.recv(65536):
            if b"0\r\n\r\n" in data:
                break
            connection.sendall(b"2\r\nok\r\n")
        connection.sendall(b"0\r\n\r\n")

    with raw_server(echo) as port:
        fetch = egress.open(f"http://127.0.0.1:{port}/", method="POST", body=True)
        egress.wait_for(lambda: fetch.head)
        egress.send("body", id=fetch.id, data=b"ping")
        egress.wait_for(lambda: b"ok" in fetch.body)
        egress.send("body", id=fetch.id, end=True)
        assert egress.finish(fetch).failure == "NONE"


@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("sent", [0, 1000, 65536])
@pytest.mark.parametrize("answer", [
    b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
])
def test_an_answer_that_is_complete_waits_for_no_more_of_the_body(egress, answer, sent, status):
    def behave(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 %d X\r\n" % status + answer)
        while connection.recv(1 << 20):
            pass

    with raw_server(behave) as port:
        fetch = egress.open(f"http://127.0.0.1:{port}/", method="POST", body=True)
        if sent:
            egress.send("body", id=fetch.id, data=bytes(sent))
        assert egress.finish(fetch).failure == "NONE" and fetch.body == b"ok"
        assert fetch.done["total_us"] < 5_000_000


def test_an_answer_beside_a_body_that_never_ends_is_not_cut(egress):
    size = 700_000

    def behave(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // 1000):
            connection.sendall(b"3e8\r\n" + bytes(1000) + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        while connection.recv(1 << 20):
            pass

    with raw_server(behave) as port:
        fetch = egress.open(f"http://127.0.0.1:{port}/", method="POST", body=True, credit=1)
        granted = 1
        while not fetch.done:
            egress.step()
            if not fetch.done and len(fetch.body) == granted < size:
                more = min(17_001, size - granted)
                egress.send("credit", id=fetch.id, bytes=more)
                granted += more
                egress.send("body", id=fetch.id, data=b"x")
        assert fetch.failure == "NONE" and len(fetch.body) == size


def test_encoded_bodies_pass_as_they_are(egress, server):
    fetch = egress.fetch(f"http://127.0.0.1:{server.port}/gzip")
    assert fetch.headers["content-encoding"] == "gzip" and fetch.body.startswith(b"\x1f\x8b not")


def test_a_redirect_is_an_answer_like_any_other(egress, server):
    before = len(server.seen)
    fetch = egress.fetch(f"http://127.0.0.1:{server.port}/redirect")
    assert fetch.head["status"] == 302 and fetch.headers["location"] == "http://169.254.169.254/"
    assert len(server.seen) == before + 1


def test_provisional_answers_and_trailers_are_passed_over(egress):
    answer = (b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nX-A:  b \t\r\nTransfer-Encoding: "
              b"chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: 1\r\n\r\n")
    with raw_server(says(answer)) as port:
        fetch = egress.fetch(f"http://127.0.0.1:{port}/")
    assert fetch.failure == "NONE" and fetch.body == b"x"
    assert fetch.headers == {"x-a": "b", "transfer-encoding": "chunked"}


# ---- connections


@contextlib.contextmanager
def server_of_rounds(size):
    """A server that keeps connections, and answers when it has that many requests. One thread."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=size)
    poll, connections, asked = select.epoll(), {}, []
    poll.register(listener, select.EPOLLIN)

    def serve():
        while True:
            for fd, _ in poll.poll():
                if fd == listener.fileno():
                    connection, _ = listener.accept()
                    connections[connection.fileno()] = connection
                    poll.register(connection, select.EPOLLIN)
                elif fd not in connections:
                    return
                elif connections[fd].recv(65536):
                    asked.append(connections[fd])
                else:
                    poll.unregister(fd)
                    connections.pop(fd).close()
            if len(asked) == size:
                for connection in asked:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                asked.clear()

    ours, theirs = socket.socketpair()
    poll.register(theirs, select.EPOLLIN)
    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    ours.close()
    thread.join()
    for one in (theirs, listener, poll, *connections.values()):
        one.close()


def connects_of_round(egress, port, tenant):
    fetches = [egress.open(f"http://127.0.0.1:{port}/", tenant=tenant) for _ in range(64)]
    assert [egress.finish(fetch).failure for fetch in fetches] == ["NONE"] * 64
    return sum(fetch.done["connects"] for fetch in fetches)


def test_as_many_connections_wait_for_a_tenant_as_it_has_fetches(egress):
    with server_of_rounds(64) as port:
        assert [connects_of_round(egress, port, 1) for _ in range(2)] == [64, 0]


def test_a_tenant_keeps_fewer_connections_when_all_have_many(resolver):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8192:
        pytest.skip(f"needs 8192 open files, and has {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8192), hard))
    try:
        silent = socket.create_server(("127.0.0.1", 0), backlog=256)
        with Egress(resolver.option) as egress, server_of_rounds(64) as port, silent:
            for tenant in range(1, 61):
                assert connects_of_round(egress, port, tenant) == 64
            assert connects_of_round(egress, port, 1) == 0
            for tenant in range(61, 65):
                for _ in range(64):
                    egress.open(f"http://127.0.0.1:{silent.getsockname()[1]}/", tenant=tenant)
            # The connections beyond 8 are closed as fetches end.
            assert [connects_of_round(egress, port, 1) for _ in range(2)] == [0, 56]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_has_come_of_a_body_goes_on_in_one_part(egress, server):
    fetch = egress.open(f"http://127.0.0.1:{server.port}/size/1000000")
    parts = []
    while fetch.done is None:
        _, kind, values = egress.step()
        parts += [len(values["data"])] if kind == "body" else []
    assert sum(parts) == 1000000 and fetch.failure == "NONE"
    assert 16384 < max(parts) <= 1 << 18  # libcurl gives 16 KiB at a time


def test_a_tenant_uses_its_connections_again_and_shares_none(egress, server):
    def client(tenant):
        fetch = egress.fetch(f"http://127.0.0.1:{server.port}/", tenant=tenant)
        assert fetch.failure == "NONE"
        return server.seen[-1][4], fetch.done["connects"]

    first, connects = client(1)
    assert connects == 1
    assert client(1) == (first, 0)
    other, connects = client(2)
    assert other != first and connects == 1
    assert client(1) == (first, 0)
    egress.send("forget", tenant=1)
    assert client(1)[0] not in (first, other)
    assert client(2) == (other, 0)


@pytest.mark.parametrize("length, connects", [(b"", 0), (b"Content-Length: 0\r\n", 0), (b"Content-Length: 2\r\n", 1)])
def test_the_connection_of_a_204_with_a_body_is_not_used_again(egress, length, connects):
    def behave(connection):
        while read_head(connection):
            connection.sendall(b"HTTP/1.1 204 No Content\r\n" + length + b"\r\n")

    with raw_server(behave) as port:
        url = f"http://127.0.0.1:{port}/"
        assert egress.fetch(url).done["connects"] == 1
        fetch = egress.fetch(url)
        assert (fetch.failure, fetch.head["status"], fetch.done["connects"]) == ("NONE", 204, connects)


def test_a_connection_that_was_closed_meanwhile_costs_nothing(egress):
    seen = []

    def close_after_one(connection):
        seen.append(read_head(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with raw_server(close_after_one) as port:
        for _ in range(5):
            fetch = egress.fetch(f"http://127.0.0.1:{port}/", method="POST", body=b"hello")
            assert fetch.failure == "NONE" and fetch.body == b"ok"


def test_a_fetch_under_way_outlives_a_forget(egress, server):
    fetch = egress.open(f"http://127.0.0.1:{server.port}/size/200000", credit=10)
    egress.wait_for(lambda: len(fetch.body) == 10)
    egress.send("forget", tenant=1)
    egress.send("credit", id=fetch.id, bytes=200000)
    assert egress.finish(fetch).failure == "NONE"
    assert len(fetch.body) == 200000


# ---- names and addresses


def test_a_name_is_asked_absolutely_and_pinned(egress, server, resolver):
    fetch = egress.fetch(f"http://a.test:{server.port}/")
    assert fetch.failure == "NONE"
    assert dict(server.seen[-1][2])["Host"] == f"a.test:{server.port}"
    assert {name for name, _ in resolver.asked} == {"a.test"}


def test_an_address_of_a_name_is_kept_as_long_as_dns_says(egress, server, resolver):
    for ttl, times in [(0, 2), (60, 1)]:
        resolver.ttl = ttl
        resolver.asked.clear()
        for _ in range(2):
            assert egress.fetch(f"http://a.test:{server.port}/", tenant=100 + ttl).failure == "NONE"
        assert sum(kind == 1 for _, kind in resolver.asked) == times
    resolver.ttl = 0


@pytest.mark.parametrize("address", [
    "127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0", "100.64.0.1", "192.168.1.1", "198.18.0.1", "240.0.0.1",
    "224.0.0.1", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2001::1", "fe80::1",
    "fd00::1", "::", "::7f00:1",
])
def test_a_name_that_leads_to_such_an_address_is_refused(egress, resolver, server, address):
    resolver.names["bad.test"] = [address]
    fetch = egress.fetch(f"http://bad.test:{server.port}/", named=[])
    assert fetch.failure == "ADDRESS" and not fetch.head
    assert "bad.test leads to" in fetch.text and "may not be reached unless egress.addresses in skepd.yaml names it" in fetch.text
    literal = f"[{address}]" if ":" in address else address
    if "::ffff:" in address or address == "::7f00:1":
        literal = "[::7f00:1]" if address == "::7f00:1" else f"[::ffff:{'a00:1' if '10.' in address else '7f00:1'}]"
    fetch = egress.fetch(f"http://{literal}:{server.port}/", named=[])
    assert fetch.failure == "ADDRESS", fetch.text


def test_localhost_is_the_loopback_address_and_nobody_is_asked(egress, resolver, server):
    for name in ("localhost", "a.localhost"):
        resolver.names[name] = ["192.0.2.1"]
        fetch = egress.fetch(f"http://{name}:{server.port}/", named=[])
        assert fetch.failure == "ADDRESS" and "a loopback address" in fetch.text
        # Both addresses have to be named, as those of each other name.
        fetch = egress.fetch(f"http://{name}:{server.port}/", named=[prefix("127.0.0.1")])
        assert fetch.failure == "ADDRESS"
        fetch = egress.fetch(f"http://{name}:{server.port}/", named=[prefix("127.0.0.1"), prefix("::1")])
        assert fetch.failure == "NONE", fetch.text
    assert not resolver.asked


def test_one_bad_address_spoils_the_good_ones(egress, resolver, server):
    resolver.names["mixed.test"] = ["127.0.0.1", "10.0.0.1"]
    fetch = egress.fetch(f"http://mixed.test:{server.port}/", named=[prefix("127.0.0.1")])
    assert fetch.failure == "ADDRESS" and "private" in fetch.text


def test_a_name_that_changes_its_address_wins_nothing(egress, resolver, server):
    turns = {1: 0, 28: 0}

    def rebind(kind):
        if kind == 28:
            return []
        turns[kind] += 1
        return ["127.0.0.1"] if turns[kind] % 2 else ["127.0.0.2"]

    resolver.names["rebind.test"] = rebind
    results = [egress.fetch(f"http://rebind.test:{server.port}/", tenant=50 + n, named=[prefix("127.0.0.1")]) for n in range(4)]
    assert [fetch.failure for fetch in results] == ["NONE", "ADDRESS", "NONE", "ADDRESS"]
    assert [fetch.done["address"].decode().split(":")[0] for fetch in results] == ["127.0.0.1", "", "127.0.0.1", ""]


def test_the_own_address_of_the_host_is_not_public(egress, server):
    with open("/proc/net/fib_trie") as file:
        lines = file.read().split()
    own = {lines[n - 1] for n, word in enumerate(lines) if word == "/32" and lines[n + 1 : n + 3] == ["host", "LOCAL"]}
    own = {address for address in own if not address.startswith("127.")}
    for address in own:
        fetch = egress.fetch(f"http://{address}:{server.port}/", named=[])
        assert fetch.failure == "ADDRESS"


def test_names_without_address_and_dead_resolvers_are_told_apart(egress, resolver, server):
    resolver.names |= {"none.test": [], "dead.test": None, "fail.test": "fail"}
    for name, failure in [("none", "NAME"), ("missing", "NAME"), ("fail", "RESOLVER")]:
        fetch = egress.fetch(f"http://{name}.test:{server.port}/")
        assert fetch.failure == failure and f"{name}.test" in fetch.text
    fetch = egress.fetch(f"http://dead.test:{server.port}/", connect_ms=300)
    assert fetch.failure == "TIME" and "name" in fetch.text
    assert {name for name, _ in resolver.asked} <= {f"{name}.test" for name in ("none", "missing", "dead", "fail")}


def test_a_long_answer_of_the_resolver_comes_by_tcp(egress, resolver, server):
    resolver.names["long.test"] = ["127.0.0.1"]
    resolver.long = {"long.test"}
    fetch = egress.fetch(f"http://long.test:{server.port}/")
    assert fetch.failure == "NONE", fetch.text


def test_an_address_of_this_host_is_refused_though_it_looks_public(server):
    """In a network of its own, whose loopback has such an address."""
    commands = 'ip link set lo up && ip address add 192.31.196.1/32 dev lo && exec "$0" "$@"'
    launcher = ["unshare", "--net", "--map-root-user", "sh", "-c", commands]
    env = {"PATH": os.environ["PATH"]}
    tried = subprocess.run([*launcher, "true"], capture_output=True, text=True, env=env)
    if tried.returncode != 0:
        pytest.skip(f"no network of its own: {tried.stderr}")
    with Egress("--dns=127.0.0.1:53", launcher=launcher, env=env) as egress:
        fetch = egress.fetch("http://192.31.196.1:8080/", named=[])
        assert fetch.failure == "ADDRESS" and "of this host" in fetch.text
        fetch = egress.fetch("http://192.31.196.1:8080/", named=[prefix("192.31.196.1")])
        assert fetch.failure == "CONNECT", fetch.text


# ---- requests that are none


@pytest.mark.parametrize("values", [
    {"method": "CONNECT"}, {"method": "trace"}, {"method": ""}, {"method": "GET\r\nX: y"}, {"method": "G ET"},
    {"scheme": "ftp"}, {"scheme": "file"}, {"scheme": "HTTP"}, {"scheme": "https\r"}, {"host": ""}, {"host": "A.test"},
    {"host": "a.test."}, {"host": "user@a.test"}, {"host": "0x7f.1"}, {"host": "127.1"}, {"host": "a.test:80"},
    {"host": "a.test/"}, {"host": "a b"}, {"host": "[::1"}, {"host": "[::1%25lo]"}, {"port": 0}, {"port": 22},
    {"port": 6667}, {"port": 65536}, {"path": ""}, {"path": "x"}, {"path": "/ x"}, {"path": "/\r\nX: y"},
    {"path": "/#"}, {"path": "/\x7f"}, {"path": "/\xe4"}, {"method": "GET", "has_body": True},
    {"head": pack_head([("Host", "b")])}, {"head": pack_head([("content-length", "1")])},
    {"head": pack_head([("Transfer-Encoding", "chunked")])}, {"head": pack_head([("Proxy-Authorization", "x")])},
    {"head": pack_head([("TE", "x")])}, {"head": pack_head([("Connection", "x")])}, {"head": pack_head([("Expect", "x")])},
    {"head": pack_head([("X", "a\r\nb: c")])}, {"head": pack_head([("X: y\r\nZ", "a")])}, {"head": pack_head([("", "a")])},
    {"head": pack_head([("X", "a\x01")])}, {"head": pack_head([("Upgrade", "h2c")])},
], ids=repr)
def test_a_request_that_is_none_is_refused(egress, server, values):
    before = len(server.seen)
    fetch = egress.fetch(f"http://127.0.0.1:{server.port}/", **values)
    assert fetch.failure == "REQUEST" and fetch.text and not fetch.head
    assert len(server.seen) == before
    assert egress.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"


@pytest.mark.parametrize("parts", [[b"123456"], [b"12"], [b"12345", b"1"]], ids=repr)
def test_a_body_of_another_length_is_refused(egress, server, parts):
    fetch = egress.open(f"http://127.0.0.1:{server.port}/", method="POST", has_body=True, has_length=True, length=5)
    for n, part in enumerate(parts):
        egress.send("body", id=fetch.id, data=part, end=n + 1 == len(parts))
    assert egress.finish(fetch).failure == "REQUEST"


@pytest.mark.parametrize("frame", [
    ("body", {"id": 9, "data": b"x"}), ("credit", {"id": 9, "bytes": 1}), ("cancel", {"id": 9}), ("open", {"id": 1}),
    ("open", {"id": 2, "connect_ms": 1, "head_ms": 1, "idle_ms": 1, "total_ms": 0}),
    ("open", {"id": 2, "connect_ms": 1, "head_ms": 1, "idle_ms": 1, "total_ms": 1, "head": b"\xff"}),
    ("open", {"id": 2, "connect_ms": 1, "head_ms": 1, "idle_ms": 1, "total_ms": 1, "credit": 1 << 21}),
    ("open", {"id": 2, "connect_ms": 1, "head_ms": 1, "idle_ms": 1, "total_ms": 1, "named": [{"bits": 8}]}),
    ("body", {"id": 1, "data": b"x"}), ("credit", {"id": 1, "bytes": 1 << 20}),
], ids=repr)
def test_frames_that_skepd_does_not_send_end_the_program(egress, frame):
    with raw_server(lambda connection: read_head(connection) and connection.recv(1)) as port:
        egress.open(f"http://127.0.0.1:{port}/")
        egress.send(frame[0], **frame[1])
        assert egress.ends_by_itself() == 1
    egress.process.wait()
    egress.process.returncode = 0  # for the end of the fixture


def test_frames_for_a_fetch_that_is_over_are_passed_over(egress, server):
    fetch = egress.fetch(f"http://127.0.0.1:{server.port}/")
    for kind, values in [("body", {"data": b"x"}), ("credit", {"bytes": 1}), ("cancel", {})]:
        egress.send(kind, id=fetch.id, **values)
    assert egress.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"


# ---- servers that misbehave

ZIPPED = gzip.compress(bytes(1 << 20))
CHUNK_OF_GZIP = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED)


@pytest.mark.parametrize("answer, failure", [
    (b"", "CLOSED"),
    (b"HTTP/1.1 200 OK\r\nContent-Le", "CLOSED"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "CLOSED"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "CLOSED"),
    (b"\x00\x01\x02 garbage\r\n\r\n", "PROTOCOL"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "PROTOCOL"),
    (b"<html>HTTP/0.9</html>", "PROTOCOL"),
    (b"HTTP/1.1 99999 OK\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nX y: a\r\nContent-Length: 0\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "CLOSED"),
    (b"HTTP/1.1 101 Switching\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.0 101 Switching\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/2 101 Switching\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.1 101 Switching\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 101 Switching\r\nContent-Length: 0\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNK_OF_GZIP, "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: deflate\r\n\r\n" + CHUNK_OF_GZIP, "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nx", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5,\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5, 05\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.1\r200 OK\r\nContent-Length: 0\r\n\r\n", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", "PROTOCOL"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70000 + b"\r\n\r\n", "HEAD_SIZE"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 2000 + b"\r\n", "HEAD_SIZE"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 300 + b"\r\n", "HEAD_SIZE"),
    (b"HTTP/1.1 103 Early\r\nX: a\r\n\r\n" * 5000, "HEAD_SIZE"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: a\r\n" * 20000 + b"\r\n", "HEAD_SIZE"),
], ids=lambda value: repr(value)[:60])
def test_an_answer_that_is_none_is_a_failure(egress, server, answer, failure):
    with raw_server(says(answer)) as port:
        fetch = egress.fetch(f"http://127.0.0.1:{port}/")
        assert fetch.failure == failure, fetch.text
        assert fetch.text
    assert egress.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"


@pytest.mark.parametrize("lengths, left", [
    (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n5\r\nhello\r\n0\r\n\r\n", []),
    (b"Content-Length: 2\r\nX: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", []),
    (b"Content-Length: 5\r\nX: a\r\ncontent-length: 5\r\n\r\nhello", ["5"]),
    (b"Content-Length: 5, 5,5\r\nX: a\r\ncontent-length: 5\t,5\r\n\r\nhello", ["5"]),
])
def test_an_answer_has_one_length_or_none(egress, lengths, left):
    with raw_server(says(b"HTTP/1.1 200 OK\r\n" + lengths)) as port:
        fetch = egress.fetch(f"http://127.0.0.1:{port}/")
        assert (fetch.failure, fetch.body) == ("NONE", b"hello"), fetch.text
        assert [value for name, value in unpack_head(fetch.head["head"]) if name.lower() == "content-length"] == left


def test_a_reset_is_a_failure(egress):
    has_head = threading.Event()

    def reset(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab")
        has_head.wait(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with raw_server(reset) as port:
        fetch = egress.open(f"http://127.0.0.1:{port}/")
        egress.wait_for(lambda: fetch.body == b"ab")
        has_head.set()
        egress.finish(fetch)
        assert fetch.failure == "CLOSED" and fetch.head["status"] == 200


def test_a_port_where_nobody_listens_is_a_failure(egress):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        fetch = egress.fetch(f"http://127.0.0.1:{sock.getsockname()[1]}/")
    assert fetch.failure == "CONNECT" and fetch.done["connect_us"] == 0


@pytest.mark.parametrize("answer, limits, text", [
    (b"", {"head_ms": 200}, "did not answer"),
    (b"HTTP/1.1 200 OK\r\nX: ", {"head_ms": 200}, "did not answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab", {"idle_ms": 200}, "nothing more"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab", {"total_ms": 200}, "the whole"),
])
def test_a_server_that_is_silent_is_given_up(egress, answer, limits, text):
    def behave(connection):
        read_head(connection)
        connection.sendall(answer)
        connection.recv(1)

    with raw_server(behave) as port:
        fetch = egress.fetch(f"http://127.0.0.1:{port}/", **limits)
    assert fetch.failure == "TIME" and text in fetch.text
    assert 200_000 <= fetch.done["total_us"] < 5_000_000


def pass_time(egress, ms):
    """Returns when egress has given up a server that is silent: so much time has passed by its clock."""
    with raw_server(lambda connection: connection.recv(1 << 20) and connection.recv(1)) as port:
        assert egress.fetch(f"http://127.0.0.1:{port}/", tenant=99, total_ms=ms).failure == "TIME"


def test_a_reader_that_is_slow_is_not_the_servers_fault(egress, server):
    fetch = egress.open(f"http://127.0.0.1:{server.port}/size/500000", credit=10, idle_ms=100)
    egress.wait_for(lambda: len(fetch.body) == 10)
    pass_time(egress, 400)
    egress.send("credit", id=fetch.id, bytes=500000)
    assert egress.finish(fetch).failure == "NONE"


def test_many_hung_fetches_of_one_tenant_hold_up_no_other(egress, server):
    def hang(connection):
        connection.recv(1 << 20)
        connection.recv(1 << 20)

    with raw_server(hang) as port:
        hung = [egress.open(f"http://127.0.0.1:{port}/", tenant=7) for _ in range(64)]
        busy = egress.fetch(f"http://127.0.0.1:{port}/", tenant=7)
        assert busy.failure == "BUSY" and busy.text
        for _ in range(20):
            assert egress.fetch(f"http://127.0.0.1:{server.port}/", tenant=8).failure == "NONE"
        assert not any(fetch.done for fetch in hung)
        for fetch in hung:
            egress.send("cancel", id=fetch.id)
        for fetch in hung:
            assert egress.finish(fetch).failure == "CANCELLED"
        assert egress.fetch(f"http://127.0.0.1:{server.port}/", tenant=7).failure == "NONE"


def test_hung_fetches_of_many_tenants_cost_others_nothing(egress, server):
    def hang(connection):
        connection.recv(1 << 20)
        connection.recv(1)

    def median():
        times = []
        for _ in range(100):
            began = time.perf_counter()
            assert egress.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"
            times.append(time.perf_counter() - began)
        return sorted(times)[50]

    limits = {"head_ms": 600_000, "total_ms": 600_000}
    alone = median()
    with raw_server(hang) as port:
        hung = [egress.open(f"http://127.0.0.1:{port}/", tenant=100 + n // 6, **limits) for n in range(300)]
        beside = median()
        before = cpu_ns(egress.process.pid)
        pass_time(egress, 1000)
        assert cpu_ns(egress.process.pid) - before < 50_000_000  # 5 % of a second
        alone = min(alone, median())
        assert beside < 3 * alone, (alone, beside)
        assert not any(fetch.done for fetch in hung)
        egress.socket.close()  # and all end with it
        assert egress.process.wait(10) == 0


def h2_frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


H2_SETTINGS = h2_frame(4, 0, 0)
H2_FLOODS = {
    "ping acknowledged": (b"", h2_frame(6, 1, 0, bytes(8))),
    "ping": (b"", h2_frame(6, 0, 0, bytes(8))),
    "unknown": (b"", h2_frame(0x77, 0, 0, b"")),
    "empty data": (h2_frame(1, 4, 1, b"\x88"), h2_frame(0, 0, 1, b"")),
    "padding": (h2_frame(1, 4, 1, b"\x88"), h2_frame(0, 8, 1, b"\xff" + bytes(255))),
}


@contextlib.contextmanager
def flood_server(pair, first, frame, taken):
    """A server of HTTP/2 that sends the frame for ever. taken: gets each connection's bytes that went out."""
    context = tls_context(pair)
    context.set_alpn_protocols(["h2"])

    def flood(connection):
        count = [0]
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(H2_SETTINGS + h2_frame(4, 1, 0) + first)
            taken.append(count)
            while True:
                tls.sendall(frame * 2000)
                count[0] += len(frame) * 2000

    with raw_server(flood) as port:
        yield port


@pytest.mark.parametrize("kind", H2_FLOODS)
def test_a_server_that_sends_frames_without_an_answer_is_given_up(egress, certificates, kind):
    taken = []
    with flood_server(certificates[1]["a.test"], *H2_FLOODS[kind], taken) as port:
        fetch = egress.fetch(f"https://a.test:{port}/")
        if kind == "ping":  # nghttp2 may give up first: its answers wait
            assert fetch.failure in ("PROTOCOL", "CLOSED")
        else:
            assert fetch.failure == "PROTOCOL" and fetch.text == "the server sends bytes that are no answer"
        # The connection is not used again.
        assert egress.fetch(f"https://a.test:{port}/").done["connects"] == 1


def test_extensions_of_chunks_without_end_are_given_up(egress):
    def extend(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1;" + b"a" * 10000 + b"\r\nx\r\n")

    with raw_server(extend) as port:
        fetch = egress.fetch(f"http://127.0.0.1:{port}/")
        assert fetch.failure == "PROTOCOL" and fetch.text == "the server sends bytes that are no answer"


def test_bytes_that_wait_for_the_reader_are_no_flood(egress, server):
    """Bytes that egress has not read from the socket count for nothing."""
    fetch = egress.open(f"http://127.0.0.1:{server.port}/size/4000000", credit=1)
    egress.wait_for(lambda: len(fetch.body) == 1)
    for n in range(30):
        egress.send("credit", id=fetch.id, bytes=1)
        egress.wait_for(lambda n=n: len(fetch.body) == n + 2)
    egress.send("credit", id=fetch.id, bytes=900000)
    assert len(egress.finish(fetch).body) == 4000000 and fetch.failure == "NONE"


def test_a_tenant_whose_servers_flood_leaves_the_loop_to_others(egress, server, certificates):
    """Another tenant's fetch is through while floods are under way, which would never end by themselves."""
    with flood_server(certificates[1]["a.test"], *H2_FLOODS["ping acknowledged"], []) as port:
        floods = [egress.open(f"https://a.test:{port}/", tenant=7) for _ in range(24)]
        n = 0
        while not all(fetch.done for fetch in floods):
            plain = egress.open(f"http://127.0.0.1:{server.port}/", tenant=8)
            egress.wait_for(lambda plain=plain: plain.done is not None)
            assert plain.failure == "NONE"
            n += 1
        assert n >= 2
        assert {fetch.failure for fetch in floods} == {"PROTOCOL"}


@pytest.mark.parametrize("phase", ["look-up", "connect", "head", "body", "sending"])
def test_a_fetch_can_be_cancelled_in_each_phase(egress, resolver, phase):
    resolver.names["dead.test"] = None

    def behave(connection):
        if phase == "connect":
            connection.recv(1)
        read_head(connection)
        if phase == "body":
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nab")
        connection.recv(1)

    with raw_server(behave) as port:
        host, scheme = ("dead.test" if phase == "look-up" else "127.0.0.1"), ("https" if phase == "connect" else "http")
        fetch = egress.open(f"{scheme}://{host}:{port}/", method="POST", body=phase == "sending")
        if phase == "body":
            egress.wait_for(lambda: fetch.body)
        egress.send("cancel", id=fetch.id)
        assert egress.finish(fetch).failure == "CANCELLED"


# ---- TLS


def test_tls_is_checked_against_certificates_and_names(certificates, resolver):
    ca, pairs = certificates
    resolver.names["b.test"] = ["127.0.0.1"]
    server = Server(tls_context(pairs["a.test"]))
    by_address = Server(tls_context(pairs["127.0.0.1"]))
    with Egress(resolver.option, f"--ca={ca}") as egress:
        fetch = egress.fetch(f"https://a.test:{server.port}/")
        assert fetch.failure == "NONE", fetch.text
        assert egress.fetch(f"https://127.0.0.1:{by_address.port}/").failure == "NONE"
        for url in [f"https://b.test:{server.port}/", f"https://127.0.0.1:{server.port}/",
                    f"https://a.test:{by_address.port}/"]:
            fetch = egress.fetch(url)
            assert fetch.failure == "TLS" and not fetch.head, fetch.text
    with Egress(resolver.option) as egress:
        fetch = egress.fetch(f"https://a.test:{server.port}/")
        assert fetch.failure == "TLS" and "certificate" in fetch.text
    for one in (server, by_address):
        one.shutdown()


def test_tls_with_a_server_that_speaks_none_fails(egress, server):
    fetch = egress.fetch(f"https://127.0.0.1:{server.port}/")
    assert fetch.failure == "TLS"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(egress, certificates):
    context = tls_context(certificates[1]["a.test"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = Server(context)
    assert egress.fetch(f"https://a.test:{server.port}/").failure == "TLS"
    server.shutdown()


def test_a_server_cannot_choose_a_field_for_diffie_hellman(egress, certificates, tmp_path):
    parameters = tmp_path / "dh.pem"
    subprocess.run(["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", parameters],
                   check=True, capture_output=True, timeout=60)
    for ciphers, failure in (("DHE-RSA-AES128-GCM-SHA256:DHE-ECDSA-AES128-GCM-SHA256", "TLS"), ("ECDHE+AESGCM", "NONE")):
        context = tls_context(certificates[1]["a.test"])
        context.load_dh_params(parameters)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        server = Server(context)
        assert egress.fetch(f"https://a.test:{server.port}/").failure == failure
        server.shutdown()


# ---- HTTP/2

NODE_SERVER = """
const http2 = require("http2"), crypto = require("crypto"), fs = require("fs");
const server = http2.createSecureServer({ cert: fs.readFileSync(process.argv[2]), key: fs.readFileSync(process.argv[3]) });
server.on("stream", (stream, headers) => {
  const path = headers[":path"];
  stream.on("error", () => {});
  if (path === "/big") {
    stream.respond({ ":status": 200, "x-version": "2" });
    return void stream.end(Buffer.alloc(3000000, 97));
  }
  if (path === "/early") {
    stream.respond({ ":status": 200, "content-length": "2" });
    return void stream.end("ok");
  }
  if (path === "/reset") {
    stream.respond({ ":status": 200 });
    stream.write("ab");
    return void setTimeout(() => stream.destroy(new Error("reset")), 50);
  }
  if (path === "/cut") {
    stream.respond({ ":status": 200 });
    stream.write("ab");
    return void setTimeout(() => stream.session.socket.destroy(), 50);
  }
  const digest = crypto.createHash("sha256");
  let got = 0;
  stream.on("data", (data) => { digest.update(data); got += data.length; });
  stream.on("end", () => {
    stream.respond({ ":status": 200, "x-path": path, "x-authority": headers[":authority"], "x-got": String(got),
                     "x-names": Object.keys(headers).join(",") });
    stream.end(digest.digest("hex"));
  });
});
for (const event of ["error", "sessionError", "tlsClientError"]) server.on(event, () => {});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@pytest.fixture(scope="module")
def http2_server(certificates, tmp_path_factory):
    node = shutil.which("node") or pytest.skip("no node")
    script = tmp_path_factory.mktemp("http2") / "server.cjs"
    script.write_text(NODE_SERVER)
    process = subprocess.Popen([node, script, *certificates[1]["a.test"]], stdout=subprocess.PIPE, text=True)
    yield int(process.stdout.readline())
    process.kill()
    process.wait()


def test_http2_has_head_and_bodies(egress, http2_server):
    fetch = egress.fetch(f"https://a.test:{http2_server}/x?y", headers=[("X-A", "1")])
    assert fetch.failure == "NONE" and fetch.head["version"] == 20, fetch.text
    assert fetch.headers["x-path"] == "/x?y" and fetch.headers["x-authority"] == f"a.test:{http2_server}"
    assert fetch.headers["x-names"] == ":method,:path,:scheme,:authority,x-a"
    body = os.urandom(50000)
    fetch = egress.fetch(f"https://a.test:{http2_server}/", method="POST", body=body)
    assert fetch.failure == "NONE" and fetch.body.decode() == hashlib.sha256(body).hexdigest()
    assert fetch.done["connects"] == 0


def test_http2_streams_a_body_by_credit(egress, http2_server):
    fetch = egress.open(f"https://a.test:{http2_server}/", method="POST", body=True)
    window, sent, digest = 64 << 10, 0, hashlib.sha256()
    while sent < 1 << 20:
        egress.wait_for(lambda: window + fetch.credit - sent >= 16384)
        data = os.urandom(16384)
        digest.update(data)
        egress.send("body", id=fetch.id, data=data)
        sent += len(data)
    egress.send("body", id=fetch.id, end=True)
    assert egress.finish(fetch).body.decode() == digest.hexdigest()


def test_http2_answers_come_as_credit_allows_and_hold_up_no_other(egress, http2_server):
    slow = egress.open(f"https://a.test:{http2_server}/big", credit=1000)
    egress.wait_for(lambda: len(slow.body) == 1000)
    for _ in range(3):
        assert len(egress.fetch(f"https://a.test:{http2_server}/big").body) == 3000000
    assert len(slow.body) == 1000
    egress.send("credit", id=slow.id, bytes=1 << 19)
    assert len(egress.finish(slow).body) == 3000000


@pytest.mark.parametrize("sent", [0, 1000])
def test_http2_answer_that_is_complete_waits_for_no_more_of_the_body(egress, http2_server, sent):
    fetch = egress.open(f"https://a.test:{http2_server}/early", method="POST", body=True)
    if sent:
        egress.send("body", id=fetch.id, data=bytes(sent))
    assert egress.finish(fetch).failure == "NONE" and fetch.body == b"ok"


@pytest.mark.parametrize("way", ["reset", "cut"])
def test_http2_stream_that_breaks_off_is_a_failure(egress, http2_server, way):
    fetch = egress.fetch(f"https://a.test:{http2_server}/{way}")
    assert fetch.failure == "CLOSED" and fetch.head["status"] == 200, fetch.text


# ---- the process


def test_a_proxy_in_the_environment_and_a_netrc_are_not_used(certificates, resolver, server, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    proxy = "http://127.0.0.1:9"
    names = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
    env = {name: proxy for name in names} | {"HOME": str(tmp_path)}
    with Egress(resolver.option, env=env) as egress:
        assert egress.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"
        assert "Authorization" not in dict(server.seen[-1][2])


def test_the_process_is_confined(egress):
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{egress.process.pid}/status") if ":\t" in line)
    assert status["Name"].strip() == "skep-egress"
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0


def test_hello_names_the_helper_and_its_version(egress):
    assert egress.hello[1] == b"egress" and egress.hello[2] == 2
    assert 4 not in egress.hello or egress.hello[4] == b""


@pytest.mark.parametrize("option, text", [("--dns=nowhere", b"resolvers"), ("--ca=/dev/null", b"/dev/null")])
def test_options_that_cannot_be_used_are_told(option, text):
    egress = Egress(option)
    assert text in egress.hello[4]
    assert egress.ends_by_itself() == 1
    egress.socket.close()


def test_no_descriptor_is_left_of_fetches(egress, server, resolver):
    def fds():
        return len(os.listdir(f"/proc/{egress.process.pid}/fd"))

    egress.fetch(f"http://a.test:{server.port}/")
    before = fds()
    for n in range(50):
        egress.fetch(f"http://a.test:{server.port}/", tenant=1000 + n)
        egress.send("forget", tenant=1000 + n)
    egress.fetch(f"http://a.test:{server.port}/")
    wait_for(lambda: fds() <= before + 1, "descriptors to be closed")


def test_skepd_that_leaves_in_the_middle_ends_the_program(resolver):
    with raw_server(lambda connection: connection.recv(1 << 20) and connection.recv(1)) as port:
        egress = Egress(resolver.option)
        for _ in range(20):
            egress.open(f"http://127.0.0.1:{port}/")
        egress.socket.close()
        assert egress.process.wait(10) == 0, egress.log()


def test_an_egress_that_is_killed_is_an_end_of_its_channel(resolver, server):
    egress = Egress(resolver.option)
    egress.open(f"http://127.0.0.1:{server.port}/size/5000000", credit=10)
    egress.process.send_signal(signal.SIGKILL)
    assert egress.ends_by_itself() == -signal.SIGKILL
    egress.socket.close()



# ---- the unit


@pytest.fixture
def unit(resolver, tmp_path):
    """The path of the socket of an egress that was started as a unit: by socket activation."""
    path = tmp_path / "egress.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        high = os.dup(listener.fileno())

    def place():
        os.dup2(high, 3)

    command = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"', str(BIN / "skep-egress"), resolver.option]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=place, pass_fds=[3])
    os.close(high)
    yield path
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM


def reach(path):
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(str(path))
    return Client(channel)


def test_a_unit_serves_two_skepd_apart(unit, server):
    """As at an upgrade: with the same numbers of fetches and tenants, and one of them leaves in the middle."""
    old, new = reach(unit), reach(unit)
    slow = [client.open(f"http://127.0.0.1:{server.port}/size/400000", credit=10) for client in (old, new)]
    assert slow[0].id == slow[1].id
    for client, fetch in zip((old, new), slow):
        client.wait_for(lambda fetch=fetch: len(fetch.body) == 10)
        assert client.fetch(f"http://127.0.0.1:{server.port}/").done["connects"] == 1
    old.close()
    for _ in range(3):
        assert new.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"
    new.send("credit", id=slow[1].id, bytes=400000)
    assert len(new.finish(slow[1]).body) == 400000
    another = reach(unit)
    assert another.fetch(f"http://127.0.0.1:{server.port}/").done["connects"] == 1
    for client in (new, another):
        client.close()


def test_a_unit_outlives_a_client_that_breaks_the_protocol(unit, server):
    client = reach(unit)
    client.open(f"http://127.0.0.1:{server.port}/size/400000", credit=10)
    client.send("credit", id=77, bytes=1)
    with pytest.raises((EOFError, ConnectionError)):
        while True:
            client.step()
    client.close()
    client = reach(unit)
    assert client.fetch(f"http://127.0.0.1:{server.port}/").failure == "NONE"
    client.close()


def test_people_who_start_it_are_told_what_it_is():
    def run(*arguments):
        return subprocess.run([BIN / "skep-egress", *arguments], capture_output=True, text=True, timeout=30)

    help = run("--help")
    assert help.returncode == 0 and help.stdout.startswith("Usage: skep-egress [--dns=") and help.stderr == ""
    assert "started by systemd or skepd" in help.stdout
    version = run("--version")
    assert version.returncode == 0 and re.fullmatch(r"skep-egress \d+\.\d+\.\d+\S*\n", version.stdout)
    wrong = run("--bogus")
    assert wrong.returncode == 2 and wrong.stderr.startswith('skep-egress: unknown argument "--bogus"\nUsage: ')
    alone = run("--dns=127.0.0.1")
    assert alone.returncode == 2
    assert alone.stderr == "skep-egress is started by systemd or skepd, and not by hand\n"
