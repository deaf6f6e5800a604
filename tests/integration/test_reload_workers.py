# SPDX-License-Identifier: Apache-2.0
"""A reload and the workers, under load: they come, go and are replaced, and no request notices."""

import os
import pathlib
import shutil
import signal
import time

import pytest

from harness import Loader, Witness, honest, is_alive, script, wait_for
from reloads import HELLO, SLOW_TO_LOAD, Newcomers, changes, cordons, is_settled, reload, shared


# ---- cordons


def test_workers_grow_and_shrink_under_load_and_no_request_notices(start):
    names = [f"t{i}" for i in range(6)]
    skepd = start({name: honest(name) for name in names}, cordons=cordons())
    loads = [Witness(skepd, name) for name in names]
    newcomers = Newcomers(skepd, "t0")
    try:
        for load in (*loads, newcomers):
            load.__enter__()
        for workers in (3, 1, 4, 2, 1):
            report = reload(skepd, cordons=cordons(workers=workers))
            assert "cordons.default.workers" in changes(report)
            wait_for(lambda: is_settled(skepd, workers), f"{workers} workers", timeout=30)
            for load in loads:
                load.more(5)
            if workers == 4:
                # Tenants are spread, and not loaded anywhere else any more.
                wait_for(
                    lambda: sum(len(w["tenants"]) for w in shared(skepd)) == len(names)
                    and sum(w["tenants"] != [] for w in shared(skepd)) > 1,
                    "tenants to spread",
                )
    finally:
        for load in (*loads, newcomers):
            load.__exit__()
    for load in (*loads, newcomers):
        assert not load.wrong
    assert skepd.stats()["replayed"] == 0


def test_tenant_that_moves_is_served_where_it_is_until_it_is_loaded_there(start):
    limits = {"cpu_startup_ms": 60000}
    tenant = {"limits": limits, "files": {"worker.js": SLOW_TO_LOAD}}
    keys = {"spare": False, "limits": {"maximum": limits}}
    skepd = start({"moves": tenant}, cordons=cordons(**keys))
    began = time.monotonic()
    assert skepd.get("moves").text == "hello0"
    to_load = time.monotonic() - began
    first = skepd.worker()["pid"]
    with Newcomers(skepd, "moves", connections=1) as load:
        for workers in (4, 1):
            reload(skepd, cordons=cordons(workers=workers, **keys))
            wait_for(
                lambda: is_settled(skepd, workers)
                and [w["pid"] == first for w in skepd.workers() if w["tenants"]] == [workers == 1],
                f"the tenant to move among {workers}",
                timeout=60,
            )
            load.more(10)
    assert not load.wrong
    assert max(load.seconds) < to_load / 2


def test_cordon_comes_and_goes(start):
    skepd = start({"a": honest("a"), "b": honest("b")}, cordons=cordons())
    with Witness(skepd, "a") as a, Witness(skepd, "b") as b:
        skepd.write_tenant("b", honest("b", cordon="other"))
        report = reload(skepd, cordons=[*cordons(), {"name": "other", "workers": 1}])
        assert changes(report) == {"cordons.other": ("not there", "there")}
        assert report["tenants"] == {"b": "changed"}
        wait_for(lambda: skepd.worker("other")["tenants"] == ["b"], "b to move")
        wait_for(lambda: skepd.worker()["tenants"] == ["a"], "b to have moved")
        pid = skepd.worker("other")["pid"]
        b.more(10)
        skepd.write_tenant("b", honest("b"))
        report = reload(skepd, cordons=cordons())
        assert changes(report) == {"cordons.other": ("there", "not there")}
        wait_for(lambda: not is_alive(pid), "the worker of the other cordon to go")
        skepd.wait_log("cordon other is gone")
        assert all(w["cordon"] == "default" for w in skepd.workers())
        a.more(10)
        b.more(10)
        # The same name again is a cordon like any other.
        skepd.write_tenant("b", honest("b", cordon="other"))
        reload(skepd, cordons=[*cordons(), {"name": "other", "workers": 1, "jit": False}])
        wait_for(lambda: skepd.worker("other")["tenants"] == ["b"], "b to move again")
        b.more(10)
    assert not a.wrong + b.wrong


@pytest.mark.parametrize("jit", ["baseline", "off"])
def test_jit_changes_worker_by_worker(start, jit):
    skepd = start({"a": honest("a"), "b": honest("b")}, cordons=cordons(workers=2))
    old = {w["pid"] for w in skepd.workers()}
    assert executable_pages(skepd.worker()["pid"])
    with Witness(skepd, "a") as a, Witness(skepd, "b") as b:
        report = reload(skepd, cordons=cordons(workers=2, jit=jit))
        assert changes(report) == {"cordons.default.jit": ("on", jit)}
        wait_for(
            lambda: not any(map(is_alive, old)) and is_settled(skepd, 2), "workers with another jit",
            timeout=30,
        )
        for worker in skepd.workers():
            command = pathlib.Path(f"/proc/{worker['pid']}/cmdline").read_text()
            assert f"--jit={jit}\0" in command
            assert bool(executable_pages(worker["pid"])) == (jit == "baseline")
        a.more(10)
        b.more(10)
    assert not a.wrong + b.wrong
    assert "cannot show its jail" not in skepd.log()


def executable_pages(pid):
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [m for m in maps if m.split()[1].startswith("rwx")]


@pytest.mark.parametrize("first, then", [(1, "solitary"), ("solitary", 1)])
def test_cordon_becomes_solitary_and_shared(start, first, then):
    skepd = start({"a": honest("a"), "b": honest("b")}, cordons=cordons(workers=first), ready=[])
    with Witness(skepd, "a") as a, Witness(skepd, "b") as b:
        reload(skepd, cordons=cordons(workers=then))
        kind = "own" if then == "solitary" else "shared"
        wait_for(
            lambda: [(w["kind"], len(w["tenants"])) for w in skepd.workers() if w["kind"] != "spare"]
            == ([("own", 1)] * 2 if kind == "own" else [("shared", 2)]),
            f"workers that are {kind}",
            timeout=30,
        )
        a.more(10)
        b.more(10)
    assert not a.wrong + b.wrong


def test_spare_comes_and_goes(start):
    skepd = start({"a": HELLO}, cordons=cordons(spare=False))
    assert len(skepd.workers()) == 1
    reload(skepd, cordons=cordons(spare=True))
    wait_for(lambda: len(skepd.workers()) == 2, "the spare")
    reload(skepd, cordons=cordons(spare=False))
    wait_for(lambda: len(skepd.workers()) == 1, "the spare to go")


HOLDS = script("""
    globalThis.held ??= [];
    for (let i = 0; i < 10; i++) held.push(new Uint8Array(1 << 20).fill(1));
    return new Response("held");
""")


def test_lower_rss_mib_replaces_a_worker_that_holds_more_and_kills_none(start):
    limits = {"external_mib": 200, "cpu_ms": 1000}
    skepd = start(
        {"a": {"limits": limits, "files": {"worker.js": HOLDS}}, "b": honest("b")},
        cordons=cordons(rss_mib=1024, limits={"maximum": {"external_mib": 200, "cpu_ms": 1000}}),
    )
    for _ in range(12):
        assert skepd.get("a").text == "held"
    pid = skepd.worker()["pid"]
    wait_for(lambda: skepd.worker()["rss_kib"] > 120 << 10, "the memory to be seen")
    with Witness(skepd, "b") as b:
        keys = {"limits": {"maximum": {"external_mib": 200, "cpu_ms": 1000}}}
        reload(skepd, cordons=cordons(rss_mib=140, **keys))
        wait_for(lambda: skepd.worker()["pid"] != pid, "the worker to be replaced")
        b.more(10)
        skepd.wait_log("rss_mib that its cordon has now")
    assert not b.wrong
    assert skepd.stats()["replayed"] == 0
    # And the new limit is kept.
    for _ in range(14):
        if skepd.get("a").status != 200:
            break
    skepd.wait_log("rss_mib")
    wait_for(lambda: skepd.tenant("a")["kills"] == 1, "the kill over the new limit")


# ---- all at once


def test_no_request_fails_during_many_reloads(start):
    """Everything at once: workers, limits, tenants, cordons, by verb and by signal."""
    names = ["steady", "changing"]
    skepd = start({name: honest(name) for name in names}, cordons=cordons())
    with Newcomers(skepd, "steady", connections=2) as fresh, Witness(
        skepd, "steady"
    ) as steady, Witness(skepd, "changing") as changing, Loader(skepd, "changing") as loader:
        for i in range(12):
            skepd.write_tenant("changing", honest("changing", limits={"timers": 100 + i}))
            skepd.write_tenant(f"n{i}", HELLO)
            if i > 0:
                shutil.rmtree(skepd.tenants_folder / f"n{i - 1}")
            keys = {"workers": 1 + i % 3, "spare": i % 2 == 0, "cpu_weight": 100 + i}
            config = {
                "cordons": [*cordons(**keys), *([{"name": "x", "workers": 1}] if i % 2 else [])],
                "limits": {"default": {"heap_mib": 40 + i, "queue": 100 + i}},
                "http": {"keepalive_ms": 50000 + i},
            }
            if i % 4 == 3:
                skepd.config.update(config)
                skepd.write_config()
                os.kill(skepd.pid, signal.SIGHUP)
            else:
                assert reload(skepd, **config)["applied"]
            for load in (fresh, steady, changing, loader):
                load.more(5)
        wait_for(lambda: is_settled(skepd, 3), "the last config", timeout=30)
    for load in (fresh, steady, changing, loader):
        assert not load.wrong
    assert skepd.stats()["replayed"] == 0
    wait_for(lambda: skepd.tenant("changing")["limits"]["timers"] == 111, "the last version")
    wait_for(lambda: skepd.tenant("steady")["limits"]["heap_mib"] == 51, "the last limits")
