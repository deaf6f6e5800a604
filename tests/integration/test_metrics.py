# SPDX-License-Identifier: Apache-2.0
"""The endpoint for Prometheus: its grammar and conventions, and its figures against known load.
test_metrics_load.py has many tenants and bad scrapers."""

import json
import math
import re
import socket
import subprocess
import time

import pytest

from client import Connection
from harness import TOP, Skepd, cordon, free_port, script, wait_for
from scrape import ask, scrape

HELLO = script('return new Response("hello");')
FAILS = script('throw new Error("no");')
SLEEPS = script(
    "await new Promise((done) => setTimeout(done, 150)); return new Response('late');"
)
WAITS = script(
    'const ms = request.url.endsWith("/long") ? 2500 : 0;'
    "await new Promise((done) => setTimeout(done, ms)); return new Response('late');"
)
# Until its client leaves.
HANGS = script("await new Promise(() => setTimeout(() => 0, 1e6));")
# Runs in a builtin that V8 cannot stop.
STUCK = script("Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);")
ECHO = script("return new Response(await request.text());")


@pytest.fixture
def start_metrics(start):
    """Is start, with metrics; returns skepd, whose metrics_port is their port."""

    def start_one(tenants, most=1000, **config):
        port = free_port()
        skepd = start(
            tenants, metrics={"listen": f"127.0.0.1:{port}", "tenants": most}, **config
        )
        skepd.metrics_port = port
        return skepd

    return start_one


# ---- the format


def busy_scrape(start_metrics):
    """Returns the metrics of a service in which something of each kind has happened."""
    stuck = {"files": {"worker.js": STUCK}, "limits": {"cpu_ms": 20, "grace_ms": 30}}
    tenants = {"a": HELLO, "b": FAILS, "stuck": stuck}
    skepd = start_metrics(tenants, cordons=[cordon()])
    skepd.get("a")
    skepd.get("b")
    skepd.get("nobody.test")
    assert skepd.get("stuck").code == "cpu_request"
    wait_for(lambda: skepd.tenant("stuck")["kills"] == 1, "the kill to be counted")
    return scrape(skepd.metrics_port)


UNITS = {"seconds", "bytes"}
NOT_BASE = {"ms", "milliseconds", "us", "kib", "mib", "kilobytes", "megabytes", "percent", "minutes"}


def test_format_and_names_follow_the_conventions(start_metrics):
    metrics = busy_scrape(start_metrics)
    names = [family.name for family in metrics.families]
    assert len(set(names)) == len(names)
    for family in metrics.families:
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.documentation, family.name
        assert re.fullmatch(r"(skep|process)_[a-z0-9_]+", family.name)
        assert not NOT_BASE & set(family.name.split("_")), family.name
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == family.name + "_total"
            elif family.type == "gauge":
                assert sample.name == family.name and not sample.name.endswith("_total")
            else:
                assert family.name.split("_")[-1] in UNITS
            assert sample.value >= 0 and math.isfinite(sample.value)
            assert set(sample.labels) <= {
                "tenant", "code", "cause", "limit", "stage", "level", "layer", "cordon", "slot", "bound",
                "reason", "callback", "outcome", "host",
                "state", "version", "v8", "v8_date", "what", "le", "cap",
                "helper",
            }


def test_histograms_are_cumulative(start_metrics):
    metrics = busy_scrape(start_metrics)
    for family in metrics.families:
        if family.type != "histogram":
            continue
        series = {}
        for sample in family.samples:
            labels = dict(sample.labels)
            bound = labels.pop("le", None)
            one = series.setdefault(tuple(sorted(labels.items())), {"buckets": []})
            if bound is not None:
                one["buckets"].append((float(bound), sample.value))
            else:
                one[sample.name.rsplit("_", 1)[1]] = sample.value
        assert series
        for one in series.values():
            bounds = [bound for bound, _ in one["buckets"]]
            counts = [count for _, count in one["buckets"]]
            assert bounds == sorted(bounds) and bounds[-1] == math.inf
            assert counts == sorted(counts) and counts[-1] == one["count"]
            assert one["sum"] >= 0


def test_documentation_names_each_family_and_its_labels(start_metrics):
    metrics = busy_scrape(start_metrics)
    text = (TOP / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `([a-z_0-9]+)` \| (\w+) \|([^|]*)\|", text, re.M)
    documented = {
        name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }
    found = {}
    for family in metrics.families:
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {key for sample in family.samples for key in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    assert documented == found


def test_dashboard_and_examples_use_only_metrics_that_exist(start_metrics):
    metrics = busy_scrape(start_metrics)
    exist = {sample.name for family in metrics.families for sample in family.samples}
    dashboard = json.loads((TOP / "packaging" / "grafana" / "skep.json").read_text())
    used = set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert target["expr"]
            used |= set(re.findall(r"\b((?:skep|process)_[a-z0-9_]+)", target["expr"]))
    for variable in dashboard["templating"]["list"]:
        used |= set(re.findall(r"\b(skep_[a-z0-9_]+)", json.dumps(variable)))
    assert len(used) >= 15
    assert used <= exist
    docs = (TOP / "docs" / "metrics.md").read_text()
    queries = " ".join(re.findall(r"```(?:promql|yaml)\n(.*?)```", docs, re.S))
    in_docs = set(re.findall(r"\b((?:skep|process)_[a-z0-9_]+)", queries))
    assert in_docs and in_docs <= exist


# ---- answers


def test_other_pages_and_methods(start_metrics):
    skepd = start_metrics({"a": HELLO})
    port = skepd.metrics_port
    index = ask(port, path="/")
    assert index.status == 200 and b'href="/metrics"' in index.body
    assert ask(port, path="/metrics?x=1").status == 200
    assert ask(port).headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    head = ask(port, "HEAD")
    assert head.status == 200 and head.body == b""
    for path in ("/metrics/", "/metric", "/admin", "/%2e%2e/metrics"):
        assert ask(port, path=path).status == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = ask(port, method)
        assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD"
    with Connection(("127.0.0.1", port)) as connection:
        assert connection.request("POST", "metrics", "/metrics", body=b"x" * 1000).status == 405


def test_there_is_no_endpoint_without_its_address(start):
    skepd = start({"a": HELLO})
    assert "metrics are at" not in skepd.log()


def test_address_that_is_taken_ends_the_start(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        skepd = Skepd(folder, {"a": HELLO}, {"metrics": {"listen": address}})
        run = subprocess.run(skepd.command(), capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert f"cannot listen on {address} for metrics: Address already in use" in run.stderr


def test_tenants_are_not_served_there_and_metrics_not_elsewhere(start_metrics):
    skepd = start_metrics({"a": HELLO})
    with Connection(("127.0.0.1", skepd.metrics_port)) as connection:
        assert connection.request("GET", "a.test", "/").body != b"hello"
    assert skepd.get("x.test", "/metrics").code == "no_route"


# ---- figures


def test_requests_are_counted_by_tenant_and_code(start_metrics):
    skepd = start_metrics({"a": HELLO, "b": FAILS})
    for _ in range(7):
        skepd.get("a")
    for _ in range(4):
        assert skepd.get("b").code == "exception"
    for _ in range(3):
        assert skepd.get("nobody.test").code == "no_route"
    metrics = scrape(skepd.metrics_port)
    assert metrics.get("skep_requests_total", tenant="a", code="ok") == 7
    assert metrics.get("skep_requests_total", tenant="b", code="ok") == 0
    assert metrics.get("skep_requests_total", tenant="b", code="exception") == 4
    assert metrics.get("skep_requests_total", tenant="_other", code="ok") == 0
    assert metrics.get("skep_unrouted_requests_total", code="no_route") == 3
    assert metrics.get("skep_request_duration_seconds_count", tenant="a") == 7
    assert metrics.get("skep_queue_duration_seconds_count", tenant="b") == 4
    assert metrics.get("skep_worker_requests_total", cordon="default", slot="0") == 11
    assert metrics.get("skep_tenants") == 2
    assert metrics.get("skep_cpu_seconds_total", tenant="a") > 0
    assert metrics.get("skep_heap_bytes", tenant="a") > 100_000
    resident = metrics.get("skep_worker_resident_bytes", cordon="default", slot="0")
    assert resident > 10_000_000
    assert metrics.get("skep_workers", cordon="default", state="ready") == 2


def test_latency_is_that_of_the_answers(start_metrics):
    skepd = start_metrics({"slow": SLEEPS, "a": HELLO})
    skepd.get("a")
    for _ in range(3):
        skepd.get("slow")
    metrics = scrape(skepd.metrics_port)
    name = "skep_request_duration_seconds"
    assert metrics.get(f"{name}_bucket", tenant="slow", le="0.1") == 0
    assert metrics.get(f"{name}_bucket", tenant="slow", le="+Inf") == 3
    assert 0.45 <= metrics.get(f"{name}_sum", tenant="slow") <= 5
    assert metrics.get(f"{name}_count", tenant="a") == 1


def test_time_in_the_queue_is_that_of_waiting(start_metrics):
    slow = {"files": {"worker.js": WAITS}, "limits": {"concurrency": 1}}
    skepd = start_metrics({"slow": slow})
    skepd.get("slow")  # loads the tenant
    before = scrape(skepd.metrics_port)
    with skepd.connect() as first, skepd.connect() as second:
        first.send_head("GET", "slow.test", "/long")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the first to run")
        second.send_head("GET", "slow.test")
        wait_for(lambda: skepd.stats()["queued"] == 1, "the second to wait")
        busy = scrape(skepd.metrics_port)
        assert busy.get("skep_in_flight", tenant="slow") == 1
        assert busy.get("skep_queued", tenant="slow") == 1
        first.read_response()
        second.read_response()
    metrics = scrape(skepd.metrics_port)
    name = "skep_queue_duration_seconds"
    waited = metrics.get(f"{name}_sum", tenant="slow") - before.get(f"{name}_sum", tenant="slow")
    assert 0.02 <= waited <= 5
    assert metrics.get(f"{name}_count", tenant="slow") == 3


def test_bytes_of_bodies_and_clients_that_leave(start_metrics):
    skepd = start_metrics({"echo": ECHO, "hangs": HANGS})
    skepd.post("echo", b"x" * 5000)
    with skepd.connect() as connection:
        connection.send_head("GET", "hangs.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "it to run")
    wait_for(lambda: skepd.stats()["abandoned"] == 1, "it to be counted")
    skepd.wait_idle()
    metrics = scrape(skepd.metrics_port)
    assert metrics.get("skep_request_body_bytes_total", tenant="echo") == 5000
    assert metrics.get("skep_response_body_bytes_total", tenant="echo") == 5000
    assert metrics.get("skep_requests_abandoned_total", tenant="hangs") == 1
    assert metrics.get("skep_requests_total", tenant="hangs", code="ok") == 0
    assert metrics.get("skep_request_duration_seconds_count", tenant="hangs") == 0


def test_kills_have_their_cause_and_how_far_over_the_limit_it_was(start_metrics):
    metrics = busy_scrape(start_metrics)
    assert metrics.get("skep_kills_total", cause="cpu_ms") == 1
    assert metrics.get("skep_kills_total", cause="crash") == 0
    assert metrics.get("skep_tenant_kills_total", tenant="stuck", cause="cpu_ms") == 1
    assert metrics.get("skep_worker_restarts_total") == 1
    over = {"limit": "cpu_ms", "stage": "killed"}
    assert metrics.get("skep_limit_overshoot_seconds_count", **over) == 1
    # The budget is 20 ms, and grace_ms 30 after it.
    assert 0.02 <= metrics.get("skep_limit_overshoot_seconds_sum", **over) <= 1
    assert metrics.get("skep_limit_overshoot_seconds_bucket", le="0.001", **over) == 0
    assert metrics.get("skep_requests_total", tenant="stuck", code="cpu_request") == 1


def test_limit_that_stops_a_request_is_met_and_not_a_kill(start_metrics):
    spin = {"files": {"worker.js": script("for (;;) ;")}, "limits": {"cpu_ms": 20}}
    skepd = start_metrics({"spin": spin})
    assert skepd.get("spin").code == "cpu_request"
    metrics = scrape(skepd.metrics_port)
    assert metrics.get("skep_limits_met_total", limit="cpu_ms", stage="stopped") == 1
    assert metrics.get("skep_kills_total", cause="cpu_ms") == 0
    assert metrics.get("skep_limit_overshoot_seconds_count", limit="cpu_ms", stage="stopped") == 1


def test_jail_and_build_are_what_status_says(start_metrics):
    skepd = start_metrics({"a": HELLO})
    metrics = scrape(skepd.metrics_port)
    status, stats = skepd.admin("status"), skepd.stats()
    for level in ("full", "reduced", "none"):
        assert metrics.get("skep_jail_level", level=level) == (status["jail"] == level)
    for layer, state in status["layers"].items():
        assert metrics.get("skep_jail_layer", layer=layer) == (state == "active")
    build = {"version": stats["version"], "v8": stats["v8_version"], "v8_date": status["v8_date"]}
    assert status["v8_version"] == stats["v8_version"] and status["v8_date"] == "2025-12-10"
    assert metrics.get("skep_build_info", **build) == 1
    assert abs(metrics.get("process_start_time_seconds") - time.time()) < 60


def test_quarantine_shows(start_metrics):
    skepd = start_metrics({"a": HELLO})
    skepd.get("a")
    assert skepd.skep("quarantine", "a").returncode == 0
    assert skepd.get("a").code == "quarantined"
    metrics = scrape(skepd.metrics_port)
    assert metrics.get("skep_quarantined", tenant="a") == 1
    assert metrics.get("skep_requests_total", tenant="a", code="quarantined") == 1


# ---- cardinality


def test_only_so_many_tenants_have_series_and_no_counter_goes_back(start_metrics):
    names = ["a", "b", "c", "d"]
    skepd = start_metrics({name: HELLO for name in names}, most=2)
    before = {}
    for turn in (["c", "a"], ["b", "d", "d"], ["a", "b", "c", "d"]):
        for name in turn:
            skepd.get(name)
        metrics = scrape(skepd.metrics_port)
        assert metrics.labels("tenant") == {"a", "c", "_other"}
        for (name, labels), value in metrics.samples.items():
            if name.endswith(("_total", "_count", "_sum", "_bucket")):
                assert value >= before.get((name, labels), 0), name
                before[(name, labels)] = value
    assert metrics.get("skep_requests_total", tenant="_other", code="ok") == 5
    assert metrics.get("skep_request_duration_seconds_count", tenant="_other") == 5
    assert metrics.get("skep_requests_total", tenant="c", code="ok") == 2
    assert metrics.get("skep_cpu_seconds_total", tenant="_other") > 0
    assert metrics.get("skep_heap_bytes", tenant="_other") > 100_000
    assert metrics.get("skep_tenants_with_series") == 2


def test_tenant_without_requests_has_no_series(start_metrics):
    skepd = start_metrics({"a": HELLO, "idle": HELLO})
    skepd.get("a")
    assert scrape(skepd.metrics_port).labels("tenant") == {"a", "_other"}


def test_nothing_that_clients_or_tenants_say_becomes_a_label(start_metrics):
    noisy = script(
        'console.log("canary-log"); const e = new Error("canary-error"); e.name = "canary-name";'
        'if (request.url.includes("throw")) throw e;'
        'return new Response("canary-body", { status: 418, headers: { "x-canary": "canary-head" } });'
    )
    skepd = start_metrics({"a": {"files": {"worker.js": noisy}, "routes": ["*"]}})
    before = scrape(skepd.metrics_port)
    skepd.get("a", "/warm"), skepd.get("a", "/throw")
    first = scrape(skepd.metrics_port)
    for i in range(50):
        skepd.request("GET", f"canary{i}.test", f"/canary{i}?canary={i}", [("x-canary", f"{i}")])
        skepd.request("GET", "a", f"/throw/canary{i}")
        skepd.request(f"CANARY{i}", "a", "/")
    metrics = scrape(skepd.metrics_port)
    assert "canary" not in metrics.text.lower()
    assert len(metrics.samples) == len(first.samples) > len(before.samples)
