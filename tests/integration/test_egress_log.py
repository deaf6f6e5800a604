# SPDX-License-Identifier: Apache-2.0
"""The record of tenants' fetches: `skep egress`, the access log's events about them, and the metrics; with real servers."""

import json
import socket

import pytest

from harness import BIN, free_port, wait_for
from scrape import scrape
from test_fetch import resolver, upstream  # noqa: F401
from test_fetch_rules import ASK, ask, asking, serve  # noqa: F401

pytestmark = pytest.mark.skipif(not (BIN / "skep-egress").exists(), reason="no skep-egress was built")

SECRET = "s3cr3t-in-the-path"
LENGTH = 64  # bytes of the answer to most paths


def fetches(skepd, *arguments):
    run = skepd.skep("egress", *arguments, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["fetches"]


def wait_fetches(skepd, n, *arguments):
    return wait_for(lambda: (rows := fetches(skepd, *arguments)) and len(rows) >= n and rows, f"{n} fetches")


def events(skepd):
    lines = [line for line in skepd.log().splitlines(keepends=True) if line.endswith("\n")]
    return [o for o in map(json.loads, lines) if o.get("event") == "egress"]


# ---- skep egress


def test_each_end_is_told_without_its_path(serve, upstream):  # noqa: F811
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        nobody = closed.getsockname()[1]
        skepd = serve({"a": asking("http://*:*"), "b": asking()})
        ask(
            skepd, "a",
            f"POST {upstream.url}/{SECRET}?{SECRET}",
            f"GET http://127.0.0.1:{nobody}/{SECRET}",
            f"GET http://missing.test/{SECRET}",
            f"GET https://127.0.0.1:{upstream.port}/{SECRET}",
            f"GET http://10.0.0.1/{SECRET}",
            f"GET https://[::1]:1234/{SECRET}",
        )  # fmt: skip
        ask(skepd, "b", f"GET {upstream.url}/{SECRET}")
        rows = wait_fetches(skepd, 6, "a")
    assert [(r["method"], r["scheme"], r["host"], r["port"], r["status"], r["outcome"], r["reason"]) for r in rows] == [
        ("POST", "http", "127.0.0.1", upstream.port, 200, "answered", None),
        ("GET", "http", "127.0.0.1", nobody, None, "failed", "connect"),
        ("GET", "http", "missing.test", 80, None, "failed", "name"),
        ("GET", "https", "127.0.0.1", upstream.port, None, "refused", "manifest"),
        ("GET", "http", "10.0.0.1", 80, None, "refused", "address"),
        ("GET", "https", "[::1]", 1234, None, "refused", "manifest"),
    ]
    assert rows[0]["received"] == LENGTH and rows[0]["connects"] == 1 and rows[0]["duration_ms"] > 0
    assert {r["tenant"] for r in rows} == {"a"} and len({r["request"] for r in rows}) == 1
    (refused,) = fetches(skepd, "b")
    assert (refused["outcome"], refused["reason"], refused["request"] > 0) == ("refused", "manifest", True)
    assert len(fetches(skepd)) == 7
    assert [r["number"] for r in fetches(skepd, "a", "-n", "2")] == [r["number"] for r in rows[4:]]
    table = skepd.skep("egress", "a").stdout
    assert "METHOD" in table and f"http://127.0.0.1:{upstream.port}" in table and "https://[::1]:1234 " in table and "refused" in table
    assert SECRET not in table + skepd.skep("egress", "--json").stdout


def test_a_fetch_that_is_aborted_is_given_up(serve):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = f"""export default {{ async fetch() {{
            try {{
                await fetch("http://127.0.0.1:{silent.getsockname()[1]}/", {{ signal: AbortSignal.timeout(50) }});
            }} catch (e) {{ return new Response(e.name); }}
        }} }};"""
        skepd = serve({"a": {"files": {"worker.js": code}, "allowed_hosts": ["http://*:*"]}})
        assert skepd.get("a").text == "TimeoutError"
        (row,) = wait_fetches(skepd, 1, "a")
    assert (row["outcome"], row["status"], row["received"]) == ("given_up", None, 0)


def test_a_tenant_has_its_last_hundred_and_others_keep_theirs(serve, upstream):  # noqa: F811
    skepd = serve({"loud": asking(), "quiet": asking()})
    ask(skepd, "quiet", f"GET {upstream.url}/")
    for _ in range(5):
        ask(skepd, "loud", *[f"GET {upstream.url}/"] * 40)
    rows = wait_for(lambda: (rows := fetches(skepd, "loud")) and rows[-1]["number"] == 201 and rows, "all of them")
    assert [r["number"] for r in rows] == list(range(102, 202))
    assert [r["number"] for r in fetches(skepd, "quiet")] == [1]
    (bound,) = [row for row in skepd.admin("status")["totals"] if row["name"] == "egress_log"]
    assert 0 < bound["used"] < bound["limit"] and bound["refused"] == 100


def test_wrong_use_is_told(serve):  # noqa: F811
    skepd = serve({"a": asking()})
    run = skepd.skep("egress", "nobody")
    assert run.returncode == 1 and "no such tenant" in run.stderr
    run = skepd.skep("egress", "-n", "0")
    assert run.returncode == 2 and "a number from 1 on" in run.stderr
    assert fetches(skepd, "a") == []


# ---- the log


def test_the_access_log_has_an_event_for_each_fetch(serve, upstream):  # noqa: F811
    skepd = serve({"a": asking("http://*:*")}, log_format="json", access_log=True)
    ask(skepd, "a", f"GET {upstream.url}/{SECRET}?{SECRET}", f"GET https://b.test:8443/{SECRET}")
    answered, refused = wait_for(lambda: (found := events(skepd)) and len(found) == 2 and found, "both events")
    assert answered.items() >= {
        "tenant": "a", "method": "GET", "scheme": "http", "host": f"127.0.0.1:{upstream.port}", "status": 200,
        "outcome": "answered", "sent": 0, "received": LENGTH, "connects": 1, "level": "info",
    }.items()  # fmt: skip
    assert answered["duration_ms"] > 0 and "code" not in answered and answered["request"] == refused["request"]
    assert refused.items() >= {"host": "b.test:8443", "status": 0, "outcome": "refused", "reason": "manifest", "code": "fetch_denied"}.items()
    assert SECRET not in json.dumps([answered, refused])


def test_without_an_access_log_there_is_none(serve, upstream):  # noqa: F811
    skepd = serve({"a": asking("http://*:*")}, log_format="json")
    ask(skepd, "a", f"GET {upstream.url}/size/12")
    wait_fetches(skepd, 1, "a")
    assert events(skepd) == []


def test_events_take_their_share_of_the_access_logs_lines(serve, upstream):  # noqa: F811
    skepd = serve({"a": asking()}, log_format="json", access_log=True, log={"access_lines": 8})

    def left_out():
        return next(r for r in skepd.admin("status")["totals"] if r["name"] == "access_lines")["refused"]

    asked = 0
    while left_out() == 0:
        ask(skepd, "a", *[f"GET {upstream.url}/"] * 40)
        asked += 40
    assert len(events(skepd)) < asked


# ---- metrics


def test_metrics_count_fetches_and_bytes_and_name_hosts_that_are_asked_often(serve, upstream):  # noqa: F811
    port = free_port()
    skepd = serve({"a": asking("http://*:*"), "b": asking()}, metrics={"listen": f"127.0.0.1:{port}"})
    ask(skepd, "a", *[f"GET {upstream.url}/size/12"] * 3, "GET http://missing.test/", f"GET http://b.test:{upstream.port}/size/1")
    ask(skepd, "b", f"GET {upstream.url}/")
    wait_fetches(skepd, 6)
    metrics = scrape(port)
    assert metrics.get("skep_fetches_total", tenant="a", outcome="answered") == 4
    assert metrics.get("skep_fetches_total", tenant="a", outcome="failed") == 1
    assert metrics.get("skep_fetches_total", tenant="b", outcome="refused") == 1
    assert metrics.get("skep_fetch_received_bytes_total", tenant="a") == 37
    assert metrics.get("skep_fetch_sent_bytes_total", tenant="a") == 0
    assert metrics.get("skep_fetch_hosts", host="127.0.0.1") == 3
    assert metrics.get("skep_fetch_hosts", host="b.test") == 1
    assert metrics.get("skep_fetch_hosts", host="_other") == 0
    assert not metrics.has("skep_fetch_hosts", host="missing.test")  # which has answered nothing
