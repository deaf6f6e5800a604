# SPDX-License-Identifier: Apache-2.0
"""`skep explain`: where each limit of a tenant comes from, and how much of it is left."""

import json
import subprocess
import time

import pytest

from harness import BIN, script, wait_for

HELLO = script('return new Response("hello");')
SLEEPS = script(
    "await new Promise((done) => setTimeout(done, 2500)); return new Response('late');"
)
HOLDS = script(
    "globalThis.kept = globalThis.kept ?? new ArrayBuffer(10 << 20);"
    "new Uint8Array(globalThis.kept).fill(1); return new Response('kept');"
)
SPINS = script("const t = Date.now(); for (let i = 0; i < 3e7; i++) ; return new Response('');")


def explain(skepd, name):
    run = skepd.skep("explain", name, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def limits(skepd, name):
    return {limit["name"]: limit for limit in explain(skepd, name)["limits"]}


def tenant(source, **keys):
    return {"files": {"worker.js": source}, **keys}


def origin(limit):
    return limit["value"], limit["source"], limit["wanted"], limit["cut_by"]


def test_each_limit_says_who_set_it_and_what_cut_it(start):
    wishes = {
        "cpu_ms": 300,
        "heap_mib": 100,
        "external_mib": 90,
        "wall_ms": "unlimited",
        "weight": 500,
        "timers": 7,
    }
    skepd = start(
        {"a": tenant(HELLO, limits=wishes, cordon="own"), "b": HELLO},
        limits={
            "default": {"queue": 50, "log_kib": 20},
            "maximum": {"cpu_ms": 200, "heap_mib": 80, "idle_ms": 10000},
            "observe": ["queue"],
        },
        cordons=[
            {"name": "default", "workers": 1, "spare": False},
            {
                "name": "own",
                "workers": 1,
                "spare": False,
                "allow_unlimited": True,
                "limits": {
                    "default": {"log_kib": 30, "concurrency": 9},
                    "maximum": {"heap_mib": 70, "wall_ms": 40000},
                    "observe": ["timers"],
                },
            },
        ],
    )
    a = limits(skepd, "a")
    assert origin(a["cpu_ms"]) == (200, "tenant", 300, "platform maximum")
    assert origin(a["heap_mib"]) == (70, "tenant", 100, "cordon maximum")
    assert origin(a["external_mib"]) == (90, "tenant", 90, None)
    assert origin(a["wall_ms"]) == (40000, "tenant", None, "cordon maximum")
    assert origin(a["weight"]) == (100, "tenant", 500, "built-in")
    assert origin(a["queue"]) == (50, "platform default", 50, None)
    assert origin(a["log_kib"]) == (30, "cordon default", 30, None)
    assert origin(a["concurrency"]) == (9, "cordon default", 9, None)
    assert origin(a["idle_ms"]) == (10000, "built-in", 30000, "platform maximum")
    assert origin(a["grace_ms"]) == (200, "built-in", 200, None)
    assert origin(a["cpu_rate"]) == (None, "built-in", None, None)
    assert [name for name, limit in a.items() if limit["observed"]] == ["queue", "timers"]
    b = limits(skepd, "b")
    assert origin(b["log_kib"]) == (20, "platform default", 20, None)
    assert [name for name, limit in b.items() if limit["observed"]] == ["queue"]
    # The same figures as in the report on tenants.
    for name in ("a", "b"):
        values = {key: limit["value"] for key, limit in limits(skepd, name).items()}
        assert values == skepd.tenant(name)["limits"]


def test_where_it_is(start):
    skepd = start({"a": tenant(HELLO, routes=["a.test/*", "b.test/x"])})
    skepd.get("a")
    told = explain(skepd, "a")
    assert told["tenant"] == "a" and told["cordon"] == "default" and told["state"] == "ready"
    assert told["routes"] == ["a.test/*", "b.test/x"]
    assert told["file"] == str(skepd.tenants_folder / "a" / "skep.yaml")
    assert told["version"] > 0 and told["apart"] is None
    assert told["own_worker"] is None and told["quarantined"] is False
    skepd.skep("quarantine", "a", "--for", "1h")
    skepd.skep("quarantine", "a")
    assert explain(skepd, "a")["quarantined"] is True


def test_headroom_of_memory_is_of_the_isolate(start):
    skepd = start({"a": tenant(HOLDS, limits={"external_mib": 32, "cpu_ms": 5000})})
    before = limits(skepd, "a")["external_mib"]
    assert before["used"] == 0 and before["headroom"] == 32
    skepd.get("a")

    def held():
        limit = limits(skepd, "a")["external_mib"]
        return limit if limit["used"] >= 10 else None

    limit = wait_for(held, "the memory to show")
    assert limit["used"] < 15
    assert limit["headroom"] == pytest.approx(32 - limit["used"], abs=0.01)
    assert limit["measure"] == "largest isolate now"
    heap = limits(skepd, "a")["heap_mib"]
    assert 0 < heap["used"] < 64 and heap["headroom"] == pytest.approx(64 - heap["used"], abs=0.01)


def test_headroom_of_concurrency_and_queue_is_now_and_peak_is_kept(start):
    skepd = start({"a": tenant(SLEEPS, limits={"concurrency": 2, "queue": 5})})
    connections = [skepd.connect() for _ in range(3)]
    for connection in connections:
        connection.send_head("GET", "a.test")

    def is_busy():
        now = limits(skepd, "a")
        return now if now["queue"]["used"] == 1 and now["concurrency"]["used"] == 2 else None

    now = wait_for(is_busy, "two to run and one to wait")
    assert now["concurrency"]["headroom"] == 0 and now["queue"]["headroom"] == 4
    wait_for(lambda: limits(skepd, "a")["wall_ms"]["used"] > 50, "time to pass")
    for connection in connections:
        assert connection.read_response().status == 200
        connection.close()
    after = limits(skepd, "a")
    assert after["concurrency"]["used"] == after["queue"]["used"] == 0
    assert after["concurrency"]["peak"] == 2
    assert after["queue"]["peak"] >= 1
    assert after["wall_ms"]["used"] == 0 and after["wall_ms"]["peak"] is None


def test_headroom_of_cpu(start):
    skepd = start({"a": tenant(SPINS, limits={"cpu_rate": 20, "cpu_ms": 5000})})
    assert limits(skepd, "a")["cpu_ms"]["used"] is None
    assert limits(skepd, "a")["cpu_rate"]["headroom"] == 20
    skepd.get("a")
    used = limits(skepd, "a")
    assert used["cpu_ms"]["used"] > 1
    assert used["cpu_rate"]["used"] > 0 and used["cpu_rate"]["headroom"] < 20
    end = time.monotonic() + 30
    while limits(skepd, "a")["cpu_rate"]["headroom"] < 20:
        assert time.monotonic() < end, "the bucket does not fill"


def test_text_has_a_line_for_each_limit(start):
    skepd = start(
        {"a": tenant(HELLO, limits={"cpu_ms": 300})}, limits={"maximum": {"cpu_ms": 200}}
    )
    text = skepd.skep("explain", "a").stdout
    assert "tenant     a\n" in text and "routes     a.test/*\n" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert "tenant: 300, cut by platform maximum" in lines["cpu_ms"]
    assert "200 ms" in lines["cpu_ms"] and "unlimited" in lines["cpu_rate"]
    assert set(skepd.tenant("a")["limits"]) <= set(lines)
    assert lines["timers"].split()[1:] == ["1000", "-", "-", "-", "enforced", "built-in", "-"]


def test_unknown_tenant_is_an_error(start):
    skepd = start({"a": HELLO})
    run = skepd.skep("explain", "nobody")
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr == "skep explain: no such tenant: `skep tenants` lists them\n"
    run = skepd.skep("explain", "\x1b[31mred")
    assert run.returncode == 1 and "\x1b" not in run.stderr


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--nix"]])
def test_wrong_usage(arguments):
    run = subprocess.run([BIN / "skep", "explain", *arguments], capture_output=True, text=True)
    assert run.returncode == 2 and "skep explain --help" in run.stderr


def test_without_skepd_it_says_what_to_do(folder):
    run = subprocess.run(
        [BIN / "skep", "--socket", folder / "none", "explain", "a"], capture_output=True, text=True
    )
    assert run.returncode == 1 and "is skepd running?" in run.stderr
