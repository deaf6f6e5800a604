# SPDX-License-Identifier: Apache-2.0
"""Clients that send or read slowly, end their side of a connection, or vanish: only they pay for that."""

import json
import os
import re
import socket
import subprocess
import time

import pytest

from client import Connection
from harness import IS_SANITIZED, Skepd, cordon, free_port, script, wait_for
from reloads import reload
from scrape import scrape

SECOND_MS = 1000
READS = {
    "limits": {"wall_ms": SECOND_MS, "idle_ms": SECOND_MS, "cpu_ms": 5000},
    "files": {
        "worker.js": script(
            """
            let size = 0;
            if (request.method === "POST") {
                for await (const part of request.body) size += part.length;
                return new Response(String(size));
            }
            return new Response(new ReadableStream({
                pull(c) { if (size++ < 100) c.enqueue(new Uint8Array(65536)); else c.close(); },
            }));
            """
        )
    },
}
WAITS = {  # hung_ms would end waiting requests, too
    "limits": {"concurrency": 1000, "queue": 1000, "wall_ms": 120000, "hung_ms": "off"},
    "files": {
        "worker.js": """
            let entered = 0, aborted = 0;
            export default { async fetch(request) {
                const path = new URL(request.url).pathname;
                if (path === "/count") return Response.json({ entered, aborted });
                entered++;
                if (path === "/soon") {
                    await new Promise((resolve) => setTimeout(resolve, 20));
                    return new Response("late");
                }
                request.signal.addEventListener("abort", () => aborted++);
                await new Promise(() => {});
            } };
        """
    },
}


def access(skepd, path):
    lines = [json.loads(line) for line in skepd.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "access" and line["path"] == path]


def test_time_of_a_slow_client_is_not_the_tenants(start):
    """A body that comes slowly, and an answer that is read slowly, may take longer than wall_ms and idle_ms."""
    skepd = start({"a": READS})
    size = 200_000
    with skepd.connect() as sender, skepd.connect(receive_buffer=4096) as reader:
        reader.send_head("GET", "a.test")
        sender.send_head("POST", "a.test", headers=[("Content-Length", size)])
        sender.send(bytes(size - 1))
        time.sleep(1.5 * SECOND_MS / 1000)
        sender.send(b"x")
        assert sender.read_response().text == str(size)
        assert len(reader.read_response().body) == 100 * 65536
    assert "wall_ms" not in skepd.log()
    assert "idle_ms" not in skepd.log()


def test_body_in_tiny_pieces_costs_its_tenant_few_entries(start):
    """The number of entries depends on how long the body takes, not on how the client cuts it."""
    pieces = script(
        "let n = 0; for await (const part of request.body) n++; return new Response(String(n));"
    )
    skepd = start({"a": {"limits": {"cpu_ms": 10}, "files": {"worker.js": pieces}}})
    assert skepd.post("a", b"x").text == "1"
    size = 4000
    with skepd.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.monotonic()
        connection.send_head("POST", "a.test", headers=[("Content-Length", size)])
        for _ in range(size):
            connection.send(b"x")
            time.sleep(0.0002)  # so that the pieces come one by one
        answer = connection.read_response()
        took_ms = (time.monotonic() - begin) * 1000
    count = int(answer.text)
    assert 1 < count
    # Each waits a quarter of a millisecond longer than the one before; two may be the last ones.
    assert (count - 2) * (count - 3) / 8 < took_ms
    assert skepd.tenant("a")["errors"] == {}  # the cost of each entry itself does not count against cpu_ms


def test_slow_reader_while_buffers_are_short_does_not_use_up_the_tenants_cpu_time(start):
    """With full buffers windows are small, and each credit is an entry; their number must not cost the tenant."""
    size = 16 << 20
    # A stream's chunk, so that making the response copies nothing: only the credits cost.
    once = "return new Response(new ReadableStream({ start(c) { c.enqueue(big); c.close(); } }));"
    big = f"const big = new Uint8Array({size});\n" + script(once)
    tenant = {"limits": {"cpu_ms": 15, "wall_ms": 120000, "external_mib": 128}, "files": {"worker.js": big}}
    skepd = start({"a": tenant}, http={"buffer_mib": 1, "min_bytes_per_s": 0}, cordons=[cordon(spare="off")])
    others = [skepd.connect() for _ in range(48)]
    for connection in others:
        connection.send(b"GET / HTTP/1.1\r\nX: " + b"a" * 15_000)
    wait_for(lambda: skepd.admin("status")["totals"][1]["used"] > 3 << 18, "buffers to be nearly full")
    before = skepd.worker()["heartbeat"]
    with skepd.connect(receive_buffer=4096) as connection:
        connection.send_head("GET", "a.test")
        read = 0
        while read < size:
            got = len(connection.socket.recv(4096))
            assert got > 0, f"cut off after {read} bytes: {skepd.tenant('a')['errors']}"
            read += got
            time.sleep(0.0002)  # slower than credits go to the tenant
    skepd.wait_idle()
    assert skepd.tenant("a")["errors"] == {}
    entries = skepd.worker()["heartbeat"] - before
    assert size / (64 << 10) < entries < size / (8 << 10) * 1.1, "windows were not short, or credits too small"
    for connection in others:
        connection.close()


def test_body_that_stops_is_a_timeout_of_the_client(start):
    skepd = start({"a": READS}, http={"body_idle_ms": 200}, access_log="on", log_format="json")
    with skepd.connect() as connection:
        connection.send_head("POST", "a.test", "/up", [("Content-Length", 200_000)])
        connection.send(bytes(100_000))
        answer = connection.read_response()
        assert (answer.status, answer.code) == (408, "request_timeout")
    wait_for(lambda: access(skepd, "/up"), "the line of the access log")
    line = access(skepd, "/up")[0]
    assert (line["status"], line["code"]) == (408, "request_timeout")


def test_reader_that_stops_is_cut_off_with_a_code_of_its_own(start):
    skepd = start({"a": READS}, http={"write_idle_ms": 200}, access_log="on", log_format="json")
    with skepd.connect(receive_buffer=4096) as connection:
        connection.send_head("GET", "a.test", "/down")
        wait_for(lambda: access(skepd, "/down"), "the line of the access log")
    assert access(skepd, "/down")[0]["code"] == "client_slow"
    assert "idle_ms" not in skepd.log()


def test_client_that_ends_its_side_gets_the_answers_to_all_that_it_has_sent(start):
    skepd = start({"a": WAITS})
    with skepd.connect() as connection:
        for _ in range(3):
            connection.send_head("GET", "a.test", "/soon")
        connection.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert connection.read_response().text == "late"
        assert connection.is_closed_by_peer()


def test_thousand_clients_that_vanish_free_their_places(start):
    skepd = start({"a": WAITS}, http={"half_close_ms": 300, "connections_per_ip": 2000})
    count = 1000
    connections = [skepd.connect() for _ in range(count)]
    for connection in connections:
        connection.send_head("GET", "a.test", "/wait")
    wait_for(lambda: skepd.tenant("a")["in_flight"] == count, "all to be in the worker", 30)
    for connection in connections:
        connection.close()
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 0, "the places to be free", 30)
    assert skepd.get("a", "/count").json()["aborted"] == count


# ---- connections and descriptors


def starts_with_files(files):
    """Returns the command without the capability by which skepd would raise the limit all the same."""
    less = ["setpriv", "--bounding-set", "-sys_resource"] if os.geteuid() == 0 else []
    return [*less, "prlimit", f"--nofile={files}:{files}"]


def test_start_with_too_few_descriptors_says_what_to_raise(tmp_path):
    skepd = Skepd(tmp_path, {"a": READS}, {"log_format": "human"})
    run = subprocess.run(
        [*starts_with_files(64), *skepd.command()], capture_output=True, text=True, timeout=60
    )
    assert run.returncode != 0
    said = re.search(
        r"cannot start: http.connections: 10000 and (\d+) descriptors for admin, metrics, workers and "
        r"helpers are (\d+), and skepd may have 64: raise the limit of open files .* to (\d+)\n",
        run.stderr,
    )
    assert said, run.stderr
    assert int(said[1]) + 10000 == int(said[2]) == int(said[3])
    assert run.stderr.count("\n") <= 3


def test_reload_that_needs_more_descriptors_than_there_are_is_refused(start):
    skepd = start({"a": READS}, launcher=starts_with_files(4096), http={"connections": 100})
    report = reload(skepd, http={"connections": 4096})
    assert not report["applied"]
    assert "and skepd may have 4096" in json.dumps(report["errors"])
    assert reload(skepd, http={"connections": 2000})["applied"]


@pytest.mark.skipif(IS_SANITIZED, reason="the sanitizer's own descriptors count")
def test_admin_answers_while_all_connections_are_taken(start):
    skepd = start({"a": READS}, launcher=starts_with_files(600), http={"connections": 200})
    connections = [skepd.connect() for _ in range(300)]
    try:
        assert skepd.stats()["connections"] <= 200
        wait_for(lambda: "http.connections is 200: all" in skepd.log(), "the line in the log")
        wait_for(lambda: skepd.get("a").status == 200, "an honest client to be served", 30)
    finally:
        for connection in connections:
            connection.close()
    assert skepd.log().count("http.connections is 200: all") <= 4


# ---- places and queues


def limited(concurrency, queue):
    limits = {"concurrency": concurrency, "queue": queue, "wall_ms": 60000, "cpu_ms": 1000, "hung_ms": "off"}
    return {"limits": limits, "files": WAITS["files"]}


def connect_from(skepd, address):
    return Connection(skepd.address, source=address)


def test_small_bodies_that_come_slowly_take_no_place_from_others(start):
    skepd = start({"a": limited(2, 4)})
    slow = [skepd.connect() for _ in range(30)]
    for connection in slow:
        connection.send_head("POST", "a.test", "/soon", [("Content-Length", 3)])
        connection.send(b"x")
    assert skepd.get("a", "/soon").text == "late"
    assert skepd.tenant("a")["queued"] == 0
    for connection in slow:
        connection.send(b"yz")
    answers = [connection.read_response().status for connection in slow]
    assert set(answers) <= {200, 429}
    assert answers.count(200) >= 4
    for connection in slow:
        connection.close()
    skepd.wait_idle()


def test_places_that_wait_for_slow_clients_are_given_up(start):
    """Bodies without a length are not read before the request has a place."""
    reads = {"limits": {"concurrency": 2, "queue": 8}, "files": READS["files"]}
    skepd = start({"a": reads}, access_log="on", log_format="json")
    slow = [skepd.connect() for _ in range(2)]
    for connection in slow:
        connection.send_head("POST", "a.test", "/slow", [("Transfer-Encoding", "chunked")])
        connection.send_chunk(b"x")
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 2, "the places to be taken")
    answer = skepd.post("a", b"honest")
    assert (answer.status, answer.text) == (200, "6")
    first = slow[0].read_response()
    assert (first.status, first.code) == (408, "request_timeout")
    assert access(skepd, "/slow")[0]["code"] == "request_timeout"


def test_slow_clients_do_not_keep_out_others_of_their_address(start):
    reads = {"limits": {"concurrency": 4, "queue": 4}, "files": READS["files"]}
    skepd = start({"a": reads})
    slow = [skepd.connect() for _ in range(8)]
    for connection in slow:
        connection.send_head("POST", "a.test", "/slow", [("Transfer-Encoding", "chunked")])
        connection.send_chunk(b"x")
    wait_for(lambda: skepd.tenant("a")["queued"] == 4, "the queue to be full")
    wait_for(lambda: skepd.get("a").status == 200, "an honest client to be served", 20)
    for connection in slow:
        connection.close()


def test_places_are_kept_from_addresses_that_are_known_for_slow_clients(start):
    """Slow requests of one address get a quarter of the places, and its requests that are not slow count, too."""
    works = script("""
        if (request.method === "POST") return new Response(await request.text());
        if (request.url.endsWith("/long")) await new Promise((done) => setTimeout(done, 60000));
        return new Response("soon");
    """)
    limits = {"concurrency": 4, "queue": 8, "wall_ms": 120000}
    skepd = start({"a": {"limits": limits, "files": {"worker.js": works}}})
    slow, long = [[skepd.connect() for _ in range(4)] for _ in range(2)]
    for connection in slow:
        connection.send_head("POST", "a.test", headers=[("Transfer-Encoding", "chunked")])
        connection.send_chunk(b"x")
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 4, "the places to be taken")
    for connection in long:
        connection.send_head("GET", "a.test", "/long")
    for connection in slow:
        assert connection.read_response().code == "request_timeout"  # skepd has given up
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 3, "three of the others to run")
    with connect_from(skepd, "127.0.0.2") as other:
        assert other.request("GET", "a.test").text == "soon"
    assert skepd.tenant("a")["queued"] == 1
    for connection in slow + long:
        connection.reset()


def test_requests_of_slow_addresses_are_the_first_to_leave_a_full_queue(start):
    """Also if no address has more requests in the queue than that of the new one."""
    works = script("""
        if (request.method === "POST") return new Response(await request.text());
        if (request.url.endsWith("/long")) await new Promise((done) => setTimeout(done, 60000));
        return new Response("soon");
    """)
    limits = {"concurrency": 1, "queue": 2, "wall_ms": 120000}
    skepd = start({"a": {"limits": limits, "files": {"worker.js": works}}})

    def wait_queued(count):
        wait_for(lambda: skepd.tenant("a")["queued"] == count, f"{count} to be queued")

    slow, first, second = [skepd.connect() for _ in range(3)]
    slow.send_head("POST", "a.test", headers=[("Transfer-Encoding", "chunked")])
    slow.send_chunk(b"x")
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 1, "the place to be taken")
    first.send_head("GET", "a.test", "/long")
    assert slow.read_response().code == "request_timeout"  # skepd has given up
    wait_queued(0)
    second.send_head("GET", "a.test", "/long")
    wait_queued(1)
    with connect_from(skepd, "127.0.0.2") as honest, connect_from(skepd, "127.0.0.3") as other:
        honest.send_head("GET", "a.test", "/honest")
        wait_queued(2)
        other.send_head("GET", "a.test", "/other")
        assert second.read_response().code == "tenant_busy"
        first.reset()
        assert honest.read_response().text == other.read_response().text == "soon"
    for connection in (slow, second):
        connection.close()


def test_address_with_most_in_a_full_queue_makes_room(start):
    skepd = start({"a": limited(1, 3)})
    many = [skepd.connect() for _ in range(4)]
    for number, connection in enumerate(many):
        connection.send_head("GET", "a.test", "/wait")
        tenant = skepd.tenant
        wait_for(lambda: tenant("a")["in_flight"] + tenant("a")["queued"] > number, "it to wait")
    assert skepd.get("a").status == 429
    with connect_from(skepd, "127.0.0.2") as other:
        other.send_head("GET", "a.test", "/soon")
        assert many[-1].read_response().status == 429
        for connection in many[:2]:
            connection.reset()  # the other is second in the queue
        assert other.read_response().text == "late"


def test_address_that_has_its_share_of_places_waits_for_others(start):
    skepd = start({"a": limited(4, 8)}, http={"share_percent": 50})
    many = [skepd.connect() for _ in range(6)]
    for number, connection in enumerate(many):
        connection.send_head("GET", "a.test", "/wait")
        tenant = skepd.tenant
        wait_for(lambda: tenant("a")["in_flight"] + tenant("a")["queued"] > number, "it to wait")
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 4, "all places to be one address's")
    with connect_from(skepd, "127.0.0.2") as other:
        other.send_head("GET", "a.test", "/wait")
        wait_for(lambda: skepd.tenant("a")["queued"] == 3, "the other to wait")
        for connection in many[:2]:
            connection.reset()
        wait_for(lambda: skepd.tenant("a")["in_flight"] == 3, "the other to have a place")
        assert skepd.tenant("a")["queued"] == 2
        assert connect_from(skepd, "127.0.0.3").request("GET", "a.test", "/soon").text == "late"
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 4, "the places to be used, where all are one's")


# ---- buffers


def test_body_goes_on_while_buffers_are_short(start):
    """With full buffers windows are smaller, but never so small that each side waits for the other."""
    skepd = start({"a": READS}, http={"buffer_mib": 1, "body_buffer_kib": 16})
    others = [skepd.connect() for _ in range(40)]
    for connection in others:
        connection.send(b"GET / HTTP/1.1\r\nX: " + b"a" * 15_000)
    wait_for(
        lambda: skepd.admin("status")["totals"][1]["used"] > 1 << 19, "buffers to be half full"
    )
    assert skepd.post("a", bytes(400_000)).text == "400000"
    for connection in others:
        connection.close()


def test_slow_readers_are_cut_off_above_the_budget_and_others_served(start):
    reads = {"limits": {"concurrency": 200, "queue": 200, "cpu_ms": 5000}, "files": READS["files"]}
    port = free_port()
    skepd = start(
        {"a": reads},
        http={"buffer_mib": 1},
        access_log="on",
        log_format="json",
        metrics={"listen": f"127.0.0.1:{port}"},
    )
    slow = [skepd.connect(receive_buffer=4096) for _ in range(40)]
    for connection in slow:
        connection.send_head("GET", "a.test", "/slow")
    wait_for(lambda: access(skepd, "/slow"), "one to be cut off")
    assert access(skepd, "/slow")[0]["code"] == "client_slow"
    assert scrape(port).get("skep_bound_used", what="buffers") <= 1 << 20
    assert skepd.post("a", bytes(300_000)).text == "300000"
    assert len(skepd.get("a").body) == 100 * 65536
    for connection in slow:
        connection.reset()
    skepd.wait_idle()
    wait_for(lambda: scrape(port).get("skep_bound_used", what="buffers") == 0, "all to be given back")


def test_clients_that_read_nothing_do_not_fill_the_tenants_memory(start):
    # Each answer is a copy of 2 MiB in the isolate: eight of them would be all of external_mib.
    answers = """
        const bytes = new Uint8Array(2 << 20).fill(120);
        export default { fetch: () => new Response(bytes) };
    """
    limits = {"external_mib": 16, "wall_ms": 60000, "cpu_ms": 5000}
    skepd = start({"a": {"limits": limits, "files": {"worker.js": answers}}})
    asked = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
    clients = []
    for _ in range(24):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(skepd.address)
        client.sendall(asked)
        clients.append(client)
    wait_for(lambda: skepd.tenant("a")["queued"] > 0, "requests that wait")
    for client in clients:
        with client.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            assert len(answer.read()) > 2 << 20
        client.close()
    assert not skepd.admin("incidents")["incidents"]
