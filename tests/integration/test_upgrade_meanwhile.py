# SPDX-License-Identifier: Apache-2.0
"""Deaths, stops and reloads during an upgrade, and while the old skepd still has requests."""

import os
import signal
import time

import pytest

from harness import SKEPD, is_alive, script, wait_for
from upgradable import HELLO, SLOW, fails

# ---- the new skepd dies in the middle of the upgrade


# Takes the place of the new skepd: sends its messages, and the test adds what it does on "main".
FAKE = """#!/usr/bin/python3
import os, socket, time
old = socket.socket(fileno=int(os.environ["SKEP_UPGRADE_FD"]))
old.setblocking(True)
old.send(b"ready 9.9")
assert old.recv(1024).startswith(b"main ")
"""


@pytest.fixture
def managed(manager, upgradable):
    """A skepd that a service manager watches."""

    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
    return lambda *tenants, **config: upgradable(*tenants, environment=environment, **config)


def is_fed_by(manager, pid):
    """Checks that the watchdog is fed from now on."""
    count = len(manager.messages)
    wait_for(
        lambda: any(
            "WATCHDOG" in fields and sender == pid
            for _, sender, fields in list(manager.messages)[count:]
        ),
        f"WATCHDOG of {pid}",
    )


def test_manager_is_not_told_of_one_that_does_not_serve(manager, managed):
    skepd = managed()
    skepd.replace_program(FAKE + "os._exit(3)\n")
    fails(skepd, "ended with status 3")
    assert not manager.all("MAINPID")
    is_fed_by(manager, skepd.pid)
    skepd.replace_program(SKEPD)
    skepd.upgrade()
    is_fed_by(manager, skepd.pid)


def test_one_that_dies_while_the_manager_is_told_is_taken_back(manager, managed):
    skepd = managed()
    old = skepd.pid
    skepd.replace_program(FAKE + 'old.send(b"serving")\ntime.sleep(1)\nos._exit(3)\n')
    manager.holds_barriers = True
    os.kill(old, signal.SIGUSR2)
    manager.wait("BARRIER", "1")
    skepd.wait_log("this skepd serves on")
    manager.wait("MAINPID", str(old))
    assert skepd.admin("status")["pid"] == old
    assert skepd.get("a").text == "hello"
    is_fed_by(manager, old)
    # The timeout of an upgrade that is over does not end the next one early.
    skepd.replace_program(FAKE + 'old.send(b"serving")\ntime.sleep(2)\nos._exit(4)\n')
    os.kill(old, signal.SIGUSR2)
    wait_for(lambda: len(manager.all("BARRIER")) == 2, "the second barrier")
    manager.answer_barrier(0)
    skepd.wait_log("ended with status 4")
    assert is_alive(old) and "serves in place of this one" not in skepd.log()
    manager.holds_barriers = False
    skepd.replace_program(SKEPD)
    skepd.upgrade()
    is_fed_by(manager, skepd.pid)


# ---- a stop while the old one still has requests


def slow_on_old_one(skepd):
    """A connection whose request is in flight on the old one, after an upgrade."""
    slow = skepd.connect()
    slow.send_head("GET", "slow.test")
    wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
    skepd.upgrade()
    return slow


def test_stop_waits_for_requests_of_the_old_one(upgradable):
    """When the main process has ended, systemd kills the others."""
    skepd = upgradable({"a": HELLO, "slow": SLOW})
    old = skepd.pid
    with slow_on_old_one(skepd) as slow:
        os.kill(skepd.pid, signal.SIGTERM)
        assert slow.read_response().text == "slow"
        assert is_alive(skepd.pid)
        skepd.wait_gone(old)
    skepd.wait_gone(skepd.pid, timeout=2)


def test_stop_signal_for_both_is_not_the_second_one(upgradable):
    skepd = upgradable({"a": HELLO, "slow": SLOW})
    with slow_on_old_one(skepd) as slow, skepd.connect() as idle:
        assert idle.request("GET", "a.test").text == "hello"
        for pid in skepd.all_pids:
            os.kill(pid, signal.SIGTERM)
        assert slow.read_response().text == "slow"


def test_stop_waits_for_the_old_one_no_longer_than_for_its_own(upgradable):
    stuck = script("await new Promise(() => {}); return new Response();")
    skepd = upgradable({"a": HELLO, "slow": stuck}, drain_s=2)
    with slow_on_old_one(skepd):
        began = time.monotonic()
        os.kill(skepd.all_pids[0], signal.SIGSTOP)
        os.kill(skepd.pid, signal.SIGTERM)
        wait_for(lambda: not is_alive(skepd.pid), "the new one to end")
        assert 1.5 < time.monotonic() - began < 4
        os.kill(skepd.all_pids[0], signal.SIGCONT)


# ---- a reload meanwhile


def test_reload_during_an_upgrade_is_refused(upgradable):
    skepd = upgradable()
    skepd.replace_program("#!/bin/sh\nsleep 2\nexit 3\n")
    os.kill(skepd.pid, signal.SIGUSR2)
    skepd.wait_log("the new skepd is pid")
    run = skepd.skep("reload")
    assert run.returncode == 1 and "an upgrade is under way" in run.stderr
    skepd.wait_log("ended with status 3")
    assert skepd.skep("reload").returncode == 0


def test_reload_signal_to_one_that_waits_is_not_lost(upgradable):
    skepd = upgradable()
    old = skepd.pid
    os.kill(old, signal.SIGUSR2)
    match = skepd.wait_log(r"the new skepd is pid (\d+)")
    skepd.main_pid = int(match[1])
    skepd.all_pids.append(skepd.main_pid)
    os.kill(old, signal.SIGSTOP)
    try:
        skepd.wait_log("ready to take over")  # the configuration has been read by now
        skepd.write_tenant("b", HELLO)
        os.kill(skepd.main_pid, signal.SIGHUP)
        time.sleep(0.3)  # the signal has been caught by now
    finally:
        os.kill(old, signal.SIGCONT)
    skepd.wait_log("a reload is asked for by SIGHUP")
    wait_for(lambda: skepd.get("b").status == 200, "the new tenant")


# ---- afterwards


def test_new_one_that_dies_later_is_an_error_of_the_old_one(upgradable):
    """The manager does not notice, since the old skepd is no child of it."""
    skepd = upgradable({"a": HELLO, "slow": SLOW})
    with slow_on_old_one(skepd) as slow:
        os.kill(skepd.pid, signal.SIGKILL)
        skepd.wait_log("nobody serves now", timeout=1)
        assert slow.read_response().text == "slow"
    assert skepd.process.wait(timeout=5) == 1
    wait_for(lambda: not is_alive(skepd.pid), "the new one to end")
    skepd.admin_socket.unlink()
    skepd.process = None


def test_last_request_of_an_idle_connection_has_time(upgradable):
    """The upgrade is asked for before the old skepd's time is over."""
    skepd = upgradable({"a": HELLO, "slow": SLOW}, drain_s=3)
    old = skepd.pid
    with skepd.connect() as idle, slow_on_old_one(skepd) as slow:
        began = time.monotonic()
        assert idle.is_closed_by_peer()
        assert 1.2 < time.monotonic() - began < 2.5
        assert slow.read_response().text == "slow"
    skepd.wait_gone(old)
