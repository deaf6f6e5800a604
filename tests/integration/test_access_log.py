# SPDX-License-Identifier: Apache-2.0
"""The access log: an event for each request that was answered, and the number that a client can quote."""

import json
import os
import re
import signal

import pytest

from harness import cordon, script, wait_for

ECHO = script(
    'const url = new URL(request.url); if (url.pathname === "/throw") throw new Error("x");'
    'if (url.pathname === "/loop") for (;;);'
    'if (url.pathname === "/slow") await new Promise((r) => setTimeout(r, 200));'
    'if (url.pathname === "/hang") { console.log("hangs"); await new Promise(() => {}); }'
    'return new Response("x".repeat(1234), { status: 201,'
    ' headers: { "Skep-Request-Id": "made-up" } });'
)
KEYS = {
    "time", "level", "program", "message", "event", "method", "host", "path", "http", "client",
    "status", "bytes", "duration_ms", "queue_ms", "trace", "span",
}  # fmt: skip
OF_WORKERS = {
    "tenant", "request", "worker", "worker_pid", "route", "version", "cpu_ms", "start",
}  # fmt: skip


def accesses(skepd):
    lines = [line for line in skepd.log().splitlines(keepends=True) if line.endswith("\n")]
    return [o for o in map(json.loads, lines) if o.get("event") == "access"]


def wait_access(skepd, **fields):
    def find():
        return next((o for o in accesses(skepd) if fields.items() <= o.items()), None)

    return wait_for(find, f"{fields} in the access log")


@pytest.fixture
def skepd(start):
    tenants = {"a": ECHO, "unused": ECHO}
    return start(tenants, log_format="json", access_log=True, cordons=[cordon()])


def test_it_is_off_by_default(start):
    skepd = start({"a": ECHO}, log_format="json")
    skepd.get("a")
    skepd.get("nobody.example")
    skepd.wait_idle()
    assert accesses(skepd) == []


def test_a_reload_switches_it(start):
    """Also logs a request that came while the access log was off: fields that were not noted then are left empty."""
    skepd = start({"a": ECHO}, log_format="json", cordons=[cordon()])

    def switch(value):
        skepd.config["access_log"] = value
        skepd.write_config()
        assert skepd.skep("reload").returncode == 0

    skepd.get("a", "/before")
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test", "/slow")
        wait_for(lambda: skepd.worker()["in_flight"] == 1, "the request to be in flight")
        switch(True)
        assert connection.read_response().status == 201
    skepd.get("a", "/while")
    assert wait_access(skepd, path="/while")["client"] == "127.0.0.1"
    switch(False)
    skepd.get("a", "/after")
    skepd.wait_idle()
    lines = {o["path"]: o["client"] for o in accesses(skepd)}
    lines.setdefault("/slow", "")  # on a slow machine /slow may have ended before
    assert lines == {"/slow": "", "/while": "127.0.0.1"}


def test_lines_beyond_the_bound_are_counted_and_another_tenant_finds_room(start):
    tenants = {name: script("return new Response('x');") for name in ("loud", "quiet")}
    skepd = start(tenants, access_log="on", log_format="json", log={"access_lines": 8})

    def left_out():
        row = skepd.admin("status")["totals"]
        return next(r for r in row if r["name"] == "access_lines")["refused"]

    asked = 0
    while left_out() == 0 or not any("log.access_lines" in line for line in skepd.log().splitlines()):
        for _ in range(100):
            skepd.get("loud", "/many")
        asked += 100
    skepd.get("quiet", "/one")
    skepd.wait_idle()
    wait_access(skepd, path="/one")  # a quarter of the lines are for tenants that have not had any
    written = [o for o in accesses(skepd) if o["path"] == "/many"]
    assert len(written) + left_out() == asked


def test_an_answer_has_all_fields(skepd):
    assert skepd.get("a", "/path/of%20it?secret=1").status == 201
    line = wait_access(skepd, status=201)
    assert set(line) == KEYS | OF_WORKERS
    worker = skepd.worker()
    assert line == {
        **line,
        "level": "info",
        "tenant": "a",
        "method": "GET",
        "host": "a.test",
        "path": "/path/of%20it",
        "http": "1.1",
        "client": "127.0.0.1",
        "bytes": 1234,
        "worker": worker["number"],
        "worker_pid": worker["pid"],
    }
    assert "secret" not in skepd.log()
    assert 0 <= line["queue_ms"] <= line["duration_ms"] < 20_000
    assert (line["route"], line["start"]) == ("a.test/*", "cold")
    skepd.get("a", "/second")
    second = wait_access(skepd, path="/second")
    assert (second["start"], second["version"]) == ("warm", line["version"])


def test_cpu_time_is_that_of_the_request(skepd):
    skepd.get("a")
    skepd.get("a", "/slow")
    assert skepd.get("a", "/loop").code == "cpu_request"
    assert wait_access(skepd, path="/loop")["cpu_ms"] > 45
    assert wait_access(skepd, path="/slow")["cpu_ms"] < 45


@pytest.mark.parametrize(
    ("host", "path", "route"),
    [
        ("r.test", "/", "r.test/*"),
        ("r.test", "/exact", "r.test/exact"),
        ("r.test", "/exactly", "r.test/*"),
        ("r.test", "/api", "r.test/api/*"),
        ("r.test:81", "/api/x?q", "r.test/api/*"),
        ("a.r.test", "/exact", "*.r.test/*"),
        ("other.test", "/api", "*/api*"),
    ],
)
def test_route_is_the_one_that_has_taken_the_request(start_module, host, path, route, routed=[]):
    if not routed:
        tenant = {
            "routes": ["*/api*", "r.test/*", "r.test/exact", "r.test/api/*", "*.r.test/*"],
            "files": {"worker.js": ECHO},
        }
        routed.append(start_module({"r": tenant}, log_format="json", access_log=True))
    with routed[0].connect() as connection:
        connection.send_head("GET", host, path)
        assert connection.read_response().status == 201
    assert wait_access(routed[0], host=host, path=path.split("?")[0])["route"] == route


def test_version_is_the_one_that_has_answered(start):
    skepd = start({"a": ECHO}, log_format="json", access_log=True)
    skepd.get("a", "/1")
    skepd.write_tenant("a", ECHO + "// changed\n")
    assert skepd.skep("reload").returncode == 0
    skepd.wait_log("serves a new version")
    skepd.get("a", "/2")
    before, after = wait_access(skepd, path="/1"), wait_access(skepd, path="/2")
    assert int(before["version"]) < int(after["version"])


def test_durations_are_those_of_the_request(skepd):
    skepd.get("a")
    skepd.get("a", "/slow")
    line = wait_access(skepd, path="/slow")
    assert 190 < line["duration_ms"] < 10_000
    assert line["queue_ms"] < line["duration_ms"] - 180


def test_head_has_no_bytes_and_http10_is_told(skepd):
    skepd.request("HEAD", "a", "/head")
    assert wait_access(skepd, method="HEAD")["bytes"] == 0
    with skepd.connect() as connection:
        connection.send(b"GET /old HTTP/1.0\r\nHost: a.test\r\n\r\n")
        connection.read_response()
    assert wait_access(skepd, path="/old")["http"] == "1.0"


@pytest.mark.parametrize(
    ("tenant", "path", "status", "code"),
    [
        ("a", "/throw", 500, "exception"),
        ("a", "/loop", 503, "cpu_request"),
        ("nobody.example", "/x", 404, "no_route"),
    ],
)
def test_failures_have_code_and_the_number_that_the_client_has(skepd, tenant, path, status, code):
    answer = skepd.get(tenant, path)
    assert (answer.status, answer.code) == (status, code)
    line = wait_access(skepd, status=status, code=code, path=path)
    assert str(line["request"]) == answer.header("Skep-Request-Id")
    assert line["bytes"] == 0
    assert ("tenant" in line) == (tenant == "a")
    assert ("worker" in line) == (tenant == "a")


def test_numbers_are_never_the_same(skepd):
    numbers = [skepd.get("a", "/throw").header("Skep-Request-Id") for _ in range(3)]
    numbers += [skepd.get("nobody.example").header("Skep-Request-Id") for _ in range(3)]
    skepd.skep("quarantine", "a")
    numbers += [skepd.get("a").header("Skep-Request-Id") for _ in range(2)]
    assert len(set(numbers)) == 8
    assert all(re.fullmatch("[0-9]+", number) for number in numbers)


def test_numbers_do_not_count_and_are_others_after_a_start(skepd, start):
    def ask(service):
        return [int(service.get("nobody.example").header("Skep-Request-Id")) for _ in range(64)]

    numbers = ask(skepd)
    steps = [b - a for a, b in zip(numbers, numbers[1:])]
    assert len(set(steps)) > 50 and any(step < 0 for step in steps)
    assert max(numbers) < 2**53  # JSON's readers keep them exactly
    assert len({number % 1024 for number in numbers}) > 30
    assert not set(numbers) & set(ask(start({"a": ECHO})))


def test_tenants_cannot_set_the_number(skepd):
    assert skepd.get("a").header("Skep-Request-Id") is None


def test_client_that_leaves_is_told_once(skepd):
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test", "/hang")
        skepd.wait_log("hangs")
    line = wait_access(skepd, code="client_gone")
    assert (line["path"], line["status"], line["tenant"]) == ("/hang", 0, "a")
    skepd.get("a")
    wait_access(skepd, status=201)
    assert sum(o["path"] == "/hang" for o in accesses(skepd)) == 1


def test_what_is_no_request_is_there_too(skepd):
    with skepd.connect() as connection:
        connection.send(b"NONSENSE\r\n\r\n")
        assert connection.read_response().status == 400
    line = wait_access(skepd, code="bad_request")
    assert (line["method"], line["host"], line["path"]) == ("-", "-", "")
    assert line["client"] == "127.0.0.1" and "request" not in line


def test_long_paths_are_cut_and_bytes_are_escaped(skepd):
    skepd.get("a", "/" + "p" * 5000)
    assert wait_access(skepd, status=201)["path"] == "/" + "p" * 1023
    with skepd.connect() as connection:
        connection.send(b"GET /\xff\xc2\x9b\"\\ HTTP/1.1\r\nHost: a.test\r\n\r\n")
        connection.read_response()
    assert len(accesses(skepd)) == 2
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xff", skepd.log_path.read_bytes())


def test_every_answer_under_load_has_one_line(skepd):
    with skepd.connect() as connection:
        for i in range(200):
            connection.request("GET", "a.test", f"/{i}")
    wait_access(skepd, path="/199")
    assert [o["path"] for o in accesses(skepd)] == [f"/{i}" for i in range(200)]
    assert len({o["request"] for o in accesses(skepd)}) == 200


def test_a_line_for_people_says_the_same(start):
    skepd = start({"a": ECHO}, access_log=True, log_level="error")
    skepd.get("a", "/p?q")
    skepd.wait_log(
        r"Z skepd info: \[a\] GET a\.test/p 201; 1234 bytes in [\d.]+ ms, [\d.]+ ms of it queued, "
        r"[\d.]+ ms of CPU, cold; client 127\.0\.0\.1; request \d+; worker \d+\n"
    )


def test_requests_that_end_with_skepd_have_a_line(skepd):
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test", "/slow")
        wait_for(lambda: skepd.worker()["in_flight"] == 1, "the request to be in flight")
        os.kill(skepd.pid, signal.SIGTERM)
        assert connection.read_response().status == 201
    assert skepd.process.wait(timeout=20) == 0
    wait_access(skepd, path="/slow", status=201)
