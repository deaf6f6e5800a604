# SPDX-License-Identifier: Apache-2.0
"""skepd under a service manager: its messages on a real notify socket, the sockets that it inherits and
has kept, and its end. test_watchdog.py has the watchdog."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from client import Connection
from harness import BIN, Skepd, descendants, free_port, is_alive, script, status_of, wait_for
from load import Load
from manager import HELLO, Manager

SLOW = script(
    "await new Promise((done) => setTimeout(done, 1500)); return new Response('slow');"
)
STUCK = script("await new Promise(() => {}); return new Response();")


# ---- signals


def test_signal_that_comes_as_soon_as_skepd_listens_ends_it_in_order(folder):
    for _ in range(5):
        skepd = Skepd(folder, {"a": HELLO})
        with subprocess.Popen(skepd.command(), stderr=subprocess.PIPE, cwd=folder, text=True) as process:
            listening = next((line for line in process.stderr if "listening on" in line), None)
            assert listening, "skepd has ended"
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(20) == 0, rest
        assert not skepd.admin_socket.exists()


# ---- notify


def test_ready_and_status_are_said_once_it_serves(manager, service):
    skepd = service(manager=manager, cordons=[{"name": "default", "workers": 2}]).start()
    manager.wait("READY", "1")
    ready_at = manager.times("READY")[0]
    assert len(manager.all("READY")) == 1
    assert [w["state"] for w in skepd.workers()].count("ready") >= 2
    manager.wait("STATUS")
    jail = skepd.admin("status")["jail"]
    assert re.fullmatch(rf"serving 1 tenants with \d workers, jail {jail}", manager.all("STATUS")[-1])
    # Logged before: from then on the kernel takes the connections that users make once systemd reports ready.
    assert "listening on" in skepd.log()
    # No child has the notify socket's name, and skepd itself has forgotten it.
    for pid in descendants(skepd.pid):
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        if status_of(pid)["Name"].strip() != "skep-spawner":  # the spawner has a copy of skepd's environment block
            assert b"NOTIFY_SOCKET" not in environment
    assert ready_at > 0


def test_abstract_socket(folder, service):
    manager = Manager(folder, abstract=True)
    service(manager=manager).start()
    manager.wait("READY", "1")
    manager.close()


def test_status_follows_what_is_served_once_a_second_at_most(manager, service):
    skepd = service(manager=manager).start()
    manager.wait("READY")
    worker = skepd.worker()["pid"]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: len(manager.all("STATUS")) > 1 or skepd.worker()["pid"] != worker, "a change")
    time.sleep(2.5)
    times = manager.times("STATUS")
    assert all(b - a > 0.9 for a, b in zip(times[1:], times[2:])), times
    assert not manager.all("STOPPING")


def test_workers_that_fail_keep_neither_the_start_nor_the_watchdog(manager, service):
    """Workers die before they are ready, and wait longer and longer for their next start."""
    skepd = service(manager=manager, watchdog_s=1)
    skepd.worker_program = BIN / "tests" / "dying_worker"
    skepd.ready_cordons = []
    skepd.start()
    manager.wait("READY", timeout=25)
    skepd.wait_log(r"serving, with 0 of \d workers")
    skepd.wait_log(r"failed \d+ times; next start in")
    fed = len(manager.all("WATCHDOG"))
    wait_for(lambda: len(manager.all("WATCHDOG")) > fed + 3, "the watchdog to be fed")


def test_manager_that_is_not_there_does_not_keep_it_from_starting(service):
    skepd = service()
    skepd.manager = type("Gone", (), {"address": "/nowhere/notify"})()
    skepd.start()
    assert "cannot reach the service manager" in skepd.log()
    assert skepd.get("a").text == "hello"


def test_manager_that_reads_nothing_stalls_nothing(folder, service):
    class Deaf:
        address = str(folder / "deaf")

    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    deaf.bind(Deaf.address)
    skepd = service(manager=Deaf, watchdog_s=0.2).start()
    time.sleep(3)  # more messages than the socket takes
    assert skepd.get("a").text == "hello"
    # Once the manager reads, it gets all of them, in order.
    deaf.settimeout(2)
    seen = b""
    while b"READY=1" not in seen:
        seen += deaf.recv(4096) + b"\n"
    assert b"FDSTORE=1" in seen
    deaf.close()


def test_reload_is_said_and_ends_with_ready(manager, service):
    skepd = service(manager=manager).start()
    manager.wait("READY")
    os.kill(skepd.pid, signal.SIGHUP)
    manager.wait("RELOADING", "1")
    assert manager.all("MONOTONIC_USEC")[0].isdigit()
    wait_for(lambda: len(manager.all("READY")) == 2, "READY after the reload")


# ---- the end


def test_stopping_is_said_and_the_time_extended(manager, service):
    skepd = service({"slow": SLOW}, manager=manager).start()
    manager.wait("READY")
    with skepd.connect() as slow:
        slow.send_head("GET", "slow.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
        os.kill(skepd.pid, signal.SIGTERM)
        manager.wait("STOPPING", "1")
        manager.wait("EXTEND_TIMEOUT_USEC", "5000000")
        manager.wait("STATUS", "stopping, 1 in flight, for at most 5 s")
        answer = slow.read_response()
        assert (answer.status, answer.text) == (200, "slow")
        assert answer.header("connection") == "close"
    assert skepd.process.wait(timeout=5) == 0


def test_idle_connection_brings_one_more_request_while_it_stops(service):
    skepd = service({"a": HELLO, "slow": SLOW}).start()
    with skepd.connect() as slow, skepd.connect() as idle, skepd.connect() as silent:
        assert idle.request("GET", "a.test").text == "hello"
        assert silent.request("GET", "a.test").text == "hello"
        slow.send_head("GET", "slow.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
        os.kill(skepd.pid, signal.SIGTERM)
        skepd.wait_log("stopping")
        wait_for(lambda: is_refused(("127.0.0.1", skepd.port)), "no process to listen")
        answer = idle.request("GET", "a.test")
        assert (answer.status, answer.text) == (200, "hello")
        assert answer.header("connection") == "close"
        assert idle.is_closed_by_peer()
        # A connection without a request is closed after a moment, before the slow one has ended.
        began = time.monotonic()
        assert silent.is_closed_by_peer() and time.monotonic() - began < 1.4
        assert slow.read_response().text == "slow"
    assert skepd.process.wait(timeout=5) == 0


def test_stop_waits_for_nobody_if_nothing_is_open(service):
    skepd = service().start()
    skepd.get("a")
    began = time.monotonic()
    os.kill(skepd.pid, signal.SIGTERM)
    assert skepd.process.wait(timeout=5) == 0
    assert time.monotonic() - began < 0.9


def test_request_over_the_limit_is_cut_off(service):
    skepd = service({"stuck": STUCK}, drain_s=1).start()
    with skepd.connect() as stuck:
        stuck.send_head("GET", "stuck.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
        began = time.monotonic()
        os.kill(skepd.pid, signal.SIGTERM)
        assert skepd.process.wait(timeout=5) == 0
        assert 0.9 < time.monotonic() - began < 3
        assert "1 still in flight after 1 s (drain_s): cut off" in skepd.log()


def test_second_sigterm_ends_it_at_once(service):
    skepd = service({"stuck": STUCK}, drain_s=60).start()
    with skepd.connect() as stuck:
        stuck.send_head("GET", "stuck.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
        os.kill(skepd.pid, signal.SIGTERM)
        skepd.wait_log("stopping")
        assert skepd.admin("status")["state"] == "draining"
        os.kill(skepd.pid, signal.SIGTERM)
        assert skepd.process.wait(timeout=5) == 0


def test_drain_says_what_is_in_flight_and_ends(service):
    skepd = service({"slow": SLOW}).start()
    with skepd.connect() as slow:
        slow.send_head("GET", "slow.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
        expected = {"in_flight": 1, "connections": 1, "limit_s": 5}
        assert skepd.admin("drain") == {**expected, "was_draining": False}
        assert skepd.admin("drain") == {**expected, "was_draining": True}
        run = skepd.skep("drain")
        assert run.returncode == 0
        assert "drains already: 1 request is in flight, 1 connection" in run.stdout
        assert "after 5 s at the latest" in run.stdout
        run = skepd.skep("upgrade")
        assert run.returncode == 1 and "it drains" in run.stderr
        assert slow.read_response().text == "slow"
    assert skepd.process.wait(timeout=5) == 0
    assert not skepd.admin_socket.exists()
    run = skepd.skep("drain")
    assert run.returncode == 1 and "cannot connect" in run.stderr


def test_stop_under_load_fails_no_request(service):
    """Only connections after the end are refused; no request is lost."""
    skepd = service().start()
    with Load(skepd.address, "a.test", answer=b"hello") as load:
        load.more(200)
        os.kill(skepd.pid, signal.SIGTERM)
        assert skepd.process.wait(timeout=8) == 0
        wait_for(lambda: load.refused, "a refused connection")
    resets = [f for f in load.failures if isinstance(f, ConnectionResetError)]
    # A connection that came to the backlog between the last accept and the close is reset by the
    # kernel; that is a refusal, only later.
    assert len(resets) == len(load.failures) <= 2, load.failures


# ---- inherited sockets and the store


def listening(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(128)
    return sock


def test_what_skepd_bound_is_stored_and_used_by_the_next(manager, service, folder):
    skepd = service(manager=manager, more_listen=[f"unix:{folder}/http.sock"]).start()
    manager.wait("READY")
    assert sorted(name for name, _ in manager.store) == ["admin", "listen", "listen"]
    ports = []
    with Load(skepd.address, "a.test", keep_alive=0, answer=b"hello") as load:
        load.more(50)
        for _ in range(2):
            os.kill(skepd.pid, signal.SIGTERM)
            skepd.process.wait(timeout=8)
            assert skepd.admin_socket.exists() and (folder / "http.sock").exists()
            skepd.store = list(manager.store)
            skepd.start()
            load.more(50)
            ports.append(skepd.admin("status")["pid"])
    # While none ran, connections waited in the sockets that systemd held.
    load.check()
    assert len(set(ports)) == 2
    assert len(manager.store) == 3, "the same sockets are kept once"
    with Connection(str(folder / "http.sock")) as connection:
        assert connection.request("GET", "a.test").text == "hello"
    assert skepd.log().count("(inherited)") == 4


def is_refused(address):
    try:
        Connection(address).close()
        return False
    except ConnectionRefusedError:
        return True


def test_stored_socket_that_listen_has_not_any_more_is_closed(manager, service):
    skepd = service(manager=manager, more_listen=[f"127.0.0.1:{free_port()}"]).start()
    manager.wait("READY")
    gone = skepd.config["listen"].pop()
    skepd.write_config()
    os.kill(skepd.pid, signal.SIGTERM)
    skepd.process.wait(timeout=8)
    skepd.store = list(manager.store)
    skepd.start()
    skepd.wait_log(re.escape(f'inherited socket "listen" {gone} is closed'))
    host, port = gone.split(":")
    wait_for(lambda: len(manager.store) == 2, "the store to have let go of it")
    wait_for(lambda: is_refused((host, int(port))), "no process to listen there")


def test_inherited_sockets_are_used_by_name(service, folder):
    more, metrics = listening(("127.0.0.1", 0)), listening(("127.0.0.1", 0))
    twice, unknown = more.dup(), listening(("127.0.0.1", 0))
    pair = socket.socketpair()
    skepd = service()
    ours = listening(("127.0.0.1", skepd.port))
    admin = listening(str(skepd.admin_socket))
    other_admin = listening(f"{folder}/other.sock")
    skepd.store = [
        ("http", ours.fileno()), ("http", more.fileno()), ("http", twice.fileno()),
        ("admin", admin.fileno()), ("admin", other_admin.fileno()),
        ("metrics", metrics.fileno()), ("unknown", unknown.fileno()), ("http", pair[0].fileno()),
    ]  # fmt: skip
    inode = skepd.admin_socket.stat().st_ino
    skepd.start()
    log = skepd.log()
    assert f"listening on 127.0.0.1:{skepd.port} (inherited)" in log
    with Connection(more.getsockname()) as connection:  # `listen` does not name it
        assert connection.request("GET", "a.test").text == "hello"
    assert skepd.admin_socket.stat().st_ino == inode
    # The line is from before the configuration was read, so its format depends on standard error.
    assert re.search(r"descriptor 5 .*http.* is closed: another one has the same address", log)
    assert re.search(r'"admin" unix:\S+other.sock is closed: the configuration has no use', log)
    assert re.search(r"descriptor 9 .*unknown.* is closed: no socket has that name", log)
    assert re.search(r"descriptor 10 .*http.* is closed: it is no listening stream socket", log)
    os.kill(skepd.pid, signal.SIGTERM)
    assert skepd.process.wait(timeout=8) == 0
    assert skepd.admin_socket.exists(), "it is not skepd's to remove"
    skepd.admin_socket.unlink()


def test_without_any_socket_it_says_what_to_do(service):
    skepd = service(listen=[])
    skepd.start(wait=False)
    assert skepd.process.wait(timeout=20) == 1
    log = skepd.log()
    skepd.process = None
    assert "nothing to listen on: give `listen` in" in log
    assert "FileDescriptorName=http" in log


def test_socket_activation(service, folder):
    """With systemd's own tool: the first connection starts skepd, and is answered."""
    tool = shutil.which("systemd-socket-activate")
    assert tool, "scripts/setup installs it"
    skepd = service(listen=[])
    command = [str(part) for part in skepd.command()]
    with skepd.log_path.open("ab") as log:
        skepd.process = subprocess.Popen(
            [tool, "-l", f"127.0.0.1:{skepd.port}", "--fdname=http", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    skepd.wait_log("Listening on")
    assert "workers" not in skepd.log()
    assert skepd.get("a").text == "hello"
    assert f"listening on 127.0.0.1:{skepd.port} (inherited)" in skepd.log()


# ---- upgrade, as systemd sees it


def test_upgrade_tells_the_manager_in_order(manager, service):
    skepd = service(manager=manager, watchdog_s=2).start()
    old = skepd.pid
    manager.wait("READY")
    run = skepd.skep("upgrade", "--json")
    assert run.returncode == 0, run.stderr
    new = json.loads(run.stdout)["new_pid"]
    wait_for(lambda: skepd.process.poll() is not None, "the old one to end")
    assert skepd.process.returncode == 0
    wait_for(lambda: len(manager.all("READY")) == 2, "READY of the new one")
    # All messages of the old one came before the one that names another main process.
    order = [(pid, fields) for _, pid, fields in manager.messages]
    main = next(i for i, (_, fields) in enumerate(order) if fields == {"MAINPID": str(new)})
    assert order[main][0] == old
    assert order[main + 1] == (old, {"BARRIER": "1"})
    assert {pid for pid, _ in order[: main + 2]} == {old}
    assert {pid for pid, _ in order[main + 2 :]} == {new}
    assert not manager.all("STOPPING")
    # The new process feeds the watchdog from then on.
    fed = len(manager.all("WATCHDOG"))
    wait_for(lambda: len(manager.all("WATCHDOG")) > fed + 1, "the watchdog to be fed")
    os.kill(new, signal.SIGTERM)
    wait_for(lambda: not is_alive(new), "the new one to end")
    assert manager.all("STOPPING") == ["1"]
    skepd.process = None
