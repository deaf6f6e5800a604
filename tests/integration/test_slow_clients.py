# SPDX-License-Identifier: Apache-2.0
"""Clients that send or read slowly, end their side of a connection, or vanish: what they cost is theirs."""

import json
import socket
import time

from harness import script, wait_for

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
WAITS = {
    "limits": {"concurrency": 1000, "queue": 1000, "wall_ms": 120000},
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
    """Beyond wall_ms and idle_ms, by a body that comes slowly and by an answer that is read slowly."""
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
