# SPDX-License-Identifier: Apache-2.0
"""skepd is replaced by another process of its program: under load, in vain, and more than once."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness import (
    BIN,
    IS_SANITIZED,
    SKEPD,
    count_cgroups,
    descendants,
    free_port,
    is_alive,
    script,
    wait_for,
)
from load import Load
from scrape import scrape
from upgradable import HELLO, SLOW, fails


def environment_of(pid):
    entries = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)


# ---- success


def test_upgrade_under_load_loses_and_refuses_nothing(upgradable):
    skepd = upgradable(more_listen=[])
    with Load(skepd.address, "a.test", answer=b"hello") as load:
        load.more(200)
        for _ in range(2):
            skepd.replace_program(SKEPD)
            old = skepd.pid
            answer = skepd.upgrade()
            assert answer["old_version"] == answer["new_version"]
            load.more(200)
            skepd.wait_gone(old)
            load.more(200)
    load.check()
    print(load)
    assert load.closes >= 4, "the old one has told its clients to go"
    assert skepd.admin("status")["pid"] == skepd.pid
    assert skepd.admin("status")["state"] == "serving"


def test_new_skepd_runs_like_the_old_one(upgradable):
    skepd = upgradable()
    old = skepd.pid
    cmdline = pathlib.Path(f"/proc/{old}/cmdline").read_bytes()
    cwd = os.readlink(f"/proc/{old}/cwd")
    environment = environment_of(old)
    layers = skepd.admin("status")
    skepd.upgrade()
    assert pathlib.Path(f"/proc/{skepd.pid}/cmdline").read_bytes() == cmdline
    assert os.readlink(f"/proc/{skepd.pid}/cwd") == cwd
    now = environment_of(skepd.pid)
    assert {b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES", b"SKEP_UPGRADE_FD"} == {
        name for name in now if name not in environment
    }
    assert now[b"LISTEN_FDNAMES"] == b"listen:admin"
    new = skepd.admin("status")
    for same in ("jail", "layers", "own_layers", "tenants", "workers"):
        assert new[same] == layers[same], same
    assert skepd.get("a").text == "hello"
    skepd.wait_gone(old)
    # The workers are not the old skepd's, so its death has changed nothing.
    assert all(is_alive(worker["pid"]) for worker in skepd.workers())
    assert skepd.get("a").text == "hello"


def test_request_in_flight_ends_on_the_old_one(upgradable):
    skepd = upgradable({"a": HELLO, "slow": SLOW}, drain_s=10)
    old = skepd.pid
    with skepd.connect() as slow, skepd.connect() as idle:
        assert idle.request("GET", "a.test").text == "hello"
        slow.send_head("GET", "slow.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
        skepd.upgrade()
        answer = slow.read_response()
        assert (answer.status, answer.text) == (200, "slow")
        assert answer.header("connection") == "close"
        # A connection that had no request is kept for one, until 5 s (or half of drain_s) before the end.
        time.sleep(1.5)
        assert is_alive(old)
        answer = idle.request("GET", "a.test")
        assert (answer.text, answer.header("connection")) == ("hello", "close")
    skepd.wait_gone(old, timeout=3)


def test_metrics_are_the_new_one_s_and_never_refused(upgradable):
    """Also while the old skepd still has a request: its figures are no longer reported."""
    port = free_port()
    skepd = upgradable(
        {"slow": script("await new Promise((done) => setTimeout(done, 3000));"
                        'return new Response("late");')},
        metrics={"listen": f"127.0.0.1:{port}"},
    )
    started = scrape(port).get("process_start_time_seconds")
    with skepd.connect() as connection:
        connection.send_head("GET", "slow.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "it to run")
        skepd.upgrade()
        for _ in range(10):
            metrics = scrape(port)
            assert metrics.get("process_start_time_seconds") > started
            assert not metrics.has("skep_in_flight", tenant="slow")
        assert connection.read_response().status == 200


def test_sigusr2_upgrades(upgradable):
    skepd = upgradable()
    old = skepd.pid
    os.kill(old, signal.SIGUSR2)
    match = skepd.wait_log(r"skepd \S+ \(pid (\d+)\) serves in place of this one")
    skepd.main_pid = int(match[1])
    skepd.all_pids.append(skepd.main_pid)
    skepd.wait_gone(old)
    assert skepd.get("a").text == "hello"


def test_new_configuration_is_read(upgradable, folder):
    skepd = upgradable()
    extra = folder / "extra.sock"
    skepd.config["listen"].append(f"unix:{extra}")
    skepd.write_config()
    skepd.write_tenant("b", HELLO)
    skepd.upgrade()
    assert skepd.get("b").text == "hello"
    assert extra.exists()
    # And back: a socket that is no longer in `listen` is closed.
    skepd.wait_gone(skepd.all_pids[0])
    skepd.config["listen"].pop()
    skepd.write_config()
    old = skepd.pid
    skepd.upgrade()
    skepd.wait_gone(old)
    skepd.wait_log(r"inherited socket \"listen\" unix:\S+extra.sock is closed")
    assert skepd.get("a").text == "hello"


def test_nothing_is_left_behind(upgradable, folder):
    skepd = upgradable(more_listen=[f"unix:{folder}/http.sock"])
    first, cgroups = skepd.pid, count_cgroups(skepd.pid)
    n_processes = len(descendants(first))
    skepd.upgrade()
    skepd.wait_gone(first)
    assert (folder / "http.sock").exists()
    wait_for(lambda: len(descendants(skepd.pid)) == n_processes, "the same processes")
    assert count_cgroups(skepd.pid) == cgroups
    skepd.stop()
    assert not (folder / "http.sock").exists()


# ---- failure: the old skepd keeps serving


def children(skepd):
    return [p for p in descendants(skepd.pid) if is_alive(p)]


@pytest.mark.parametrize(
    "program, words",
    [
        ("#!/bin/sh\nexit 7\n", ["ended with status 7"]),
        ("#!/bin/sh\nkill -SEGV $$\n", ["killed by signal 11"]),
        ("no program\n", ["cannot run", "Exec format error"]),
        ("#!/bin/sh\nexit 0\n", ["ended with status 0"]),
    ],
)
def test_program_that_cannot_start_changes_nothing(upgradable, program, words):
    skepd = upgradable()
    n = len(children(skepd))
    with Load(skepd.address, "a.test", answer=b"hello") as load:
        skepd.replace_program(program)
        fails(skepd, *words)
        load.more(50)
        assert len(children(skepd)) == n
        # An upgrade to a good program then works.
        skepd.replace_program(SKEPD)
        skepd.upgrade()
        load.more(50)
    load.check()


def test_program_that_is_gone(upgradable):
    skepd = upgradable()
    skepd.program.unlink()
    fails(skepd, "cannot run", "No such file")


def test_configuration_with_an_error_is_told(upgradable):
    skepd = upgradable()
    with Load(skepd.address, "a.test", answer=b"hello") as load:
        skepd.config["drain_s"] = 0
        skepd.write_config()
        fails(skepd, "skepd.yaml", "out of range")
        skepd.config["drain_s"] = 5
        skepd.config["listen"].append("192.0.2.1:80")
        skepd.write_config()
        fails(skepd, "cannot listen on 192.0.2.1:80")
        load.more(20)
    load.check()


def test_worker_that_does_not_start_is_told(upgradable):
    skepd = upgradable()
    skepd.replace_worker("/bin/false")
    # Without a jail no trial of it fails first; the workers themselves do.
    words = "have failed to start" if IS_SANITIZED else "the jail does not work on this host"
    fails(skepd, words)


def test_program_that_hangs_is_killed(upgradable):
    skepd = upgradable()
    n = len(children(skepd))
    skepd.replace_program("#!/bin/sh\nexec sleep 1000\n")
    began = time.monotonic()
    run = subprocess.run(
        [BIN / "skep", "--socket", skepd.admin_socket, "upgrade"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "not ready within 30 s" in run.stderr
    assert time.monotonic() - began > 25
    assert len(children(skepd)) == n
    assert skepd.get("a").text == "hello"


def test_second_upgrade_is_refused_with_a_reason(upgradable):
    skepd = upgradable()
    skepd.replace_program("#!/bin/sh\nsleep 2\nexit 3\n")
    os.kill(skepd.pid, signal.SIGUSR2)
    skepd.wait_log("the new skepd is pid")
    run = skepd.skep("upgrade")
    assert run.returncode == 1 and "an upgrade is under way" in run.stderr
    skepd.wait_log("ended with status 3")
    skepd.replace_program(SKEPD)
    with skepd.connect() as idle:
        assert idle.request("GET", "a.test").text == "hello"
        skepd.upgrade()
        run = skepd.skep("upgrade")
        assert run.returncode == 1 and "has not ended yet" in run.stderr


def test_stop_during_an_upgrade_stops_both(upgradable):
    skepd = upgradable()
    skepd.replace_program("#!/bin/sh\nexec sleep 1000\n")
    os.kill(skepd.pid, signal.SIGUSR2)
    match = skepd.wait_log(r"the new skepd is pid (\d+)")
    os.kill(skepd.pid, signal.SIGTERM)
    skepd.wait_gone(skepd.pid)
    wait_for(lambda: not is_alive(int(match[1])), "the new one to end")


def test_new_one_ends_with_an_old_one_that_dies(upgradable):
    """The new skepd dies before it was handed the service: no client notices."""
    skepd = upgradable()
    skepd.replace_program(f'#!/bin/sh\nsleep 1\nexec {SKEPD} "$@"\n')
    os.kill(skepd.pid, signal.SIGUSR2)
    match = skepd.wait_log(r"the new skepd is pid (\d+)")
    os.kill(skepd.pid, signal.SIGKILL)
    skepd.process.wait()
    wait_for(lambda: not is_alive(int(match[1])), "the new one to end", timeout=20)
    assert re.search("gone before it handed over", skepd.log()) or "cannot" in skepd.log()
    skepd.admin_socket.unlink()
    skepd.process = None
