# SPDX-License-Identifier: Apache-2.0
"""systemd's watchdog is fed while workers answer, and no tenant can keep it from that."""

import os
import signal
import time

from harness import descendants, is_alive, script, status_of, wait_for
from manager import HELLO


def gaps(times):
    return [b - a for a, b in zip(times, times[1:])]


def test_watchdog_is_fed_at_half_the_time(manager, service):
    skepd = service(manager=manager, watchdog_s=1).start()
    manager.wait("READY")
    wait_for(lambda: len(manager.all("WATCHDOG")) > 6, "the watchdog to be fed")
    times = manager.times("WATCHDOG")
    assert max(gaps(times)) < 0.9
    assert min(gaps(times)) > 0.3
    assert skepd.get("a").text == "hello"


def test_watchdog_is_not_fed_while_skepd_stands_still(manager, service):
    skepd = service(manager=manager, watchdog_s=1).start()
    manager.wait("WATCHDOG")
    os.kill(skepd.pid, signal.SIGSTOP)
    time.sleep(0.2)
    fed = len(manager.all("WATCHDOG"))
    time.sleep(1.5)
    assert len(manager.all("WATCHDOG")) == fed
    os.kill(skepd.pid, signal.SIGCONT)
    wait_for(lambda: len(manager.all("WATCHDOG")) > fed, "the watchdog to be fed again")


def worker_pids(skepd):
    return [w["pid"] for w in skepd.workers() if w["pid"]]


def spawners_of(skepd):
    return [p for p in descendants(skepd.pid) if status_of(p)["Name"].strip() == "skep-spawner"]


def test_watchdog_is_not_fed_while_no_worker_answers(manager, service):
    """Idle workers that stand still: skepd replaces them, and then feeds the watchdog again."""
    skepd = service(manager=manager, watchdog_s=1).start()
    manager.wait("WATCHDOG")
    stopped = worker_pids(skepd)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    skepd.wait_log("no worker answers .*: the watchdog is not fed")
    fed = len(manager.all("WATCHDOG"))
    skepd.wait_log("workers answer again: the watchdog is fed", timeout=15)
    wait_for(lambda: len(manager.all("WATCHDOG")) > fed, "the watchdog to be fed again")
    assert max(gaps(manager.times("WATCHDOG"))) > 1
    wait_for(lambda: not any(map(is_alive, stopped)), "the stopped ones to be replaced")
    assert skepd.get("a").text == "hello"


def test_watchdog_is_fed_again_though_the_spawner_stands_still(manager, service):
    """The spawner's reserve also replaces idle workers that stand still."""
    skepd = service(manager=manager, watchdog_s=1).start()
    manager.wait("WATCHDOG")
    stopped = worker_pids(skepd)
    for pid in [spawners_of(skepd)[0], *stopped]:
        os.kill(pid, signal.SIGSTOP)
    skepd.wait_log("the watchdog is not fed")
    wait_for(lambda: not any(map(is_alive, stopped)), "them to be killed", timeout=20)
    fed = len(manager.all("WATCHDOG"))
    wait_for(lambda: len(manager.all("WATCHDOG")) > fed, "the watchdog to be fed again", timeout=20)


def test_watchdog_starves_when_no_worker_can_be_replaced(manager, service):
    """Both spawners are gone, too: only a restart helps."""
    skepd = service(manager=manager, watchdog_s=1).start()
    manager.wait("WATCHDOG")
    both = spawners_of(skepd)
    for end in (signal.SIGSTOP, signal.SIGKILL):  # both at the same time: one that is left would make another
        for pid in both:
            os.kill(pid, end)
    skepd.wait_log("helper spawner is gone")
    fed = len(manager.all("WATCHDOG"))
    wait_for(lambda: len(manager.all("WATCHDOG")) > fed, "the watchdog to be fed by the workers left")
    for pid in worker_pids(skepd):
        os.kill(pid, signal.SIGSTOP)
    skepd.wait_log("the watchdog is not fed")
    assert skepd.process.wait(timeout=60) == 1
    skepd.process = None


def test_busy_and_dying_workers_do_not_starve_the_watchdog(manager, service):
    """A tenant that keeps the only worker busy for longer than the watchdog waits, and a worker that
    dies again and again."""
    burn = script("while (true); return new Response();")
    tenant = {"files": {"worker.js": burn}, "limits": {"cpu_ms": 3000, "wall_ms": 30000}}
    skepd = service(
        {"a": HELLO, "burn": tenant},
        manager=manager,
        watchdog_s=1,
        cordons=[{"name": "default", "workers": 1, "spare": False, "strikes": 20}],
        limits={"maximum": {"cpu_ms": 10000, "wall_ms": 30000}},
    ).start()
    manager.wait("WATCHDOG")
    began = time.monotonic()
    # On a host that is short of CPU time the worker may be killed for its silence before the budget is used
    # up.
    assert skepd.get("burn").code in ("cpu_request", "worker_crashed")
    assert time.monotonic() - began > 2, "longer than the watchdog waits"
    for _ in range(12):
        if pid := skepd.worker()["pid"]:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    assert max(gaps(manager.times("WATCHDOG"))) < 0.95
    assert "the watchdog is not fed" not in skepd.log()
