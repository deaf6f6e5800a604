# SPDX-License-Identifier: Apache-2.0
"""A helper of skepd (spawner, store, egress) that dies or stands still: skepd keeps serving, says so, and starts another
without losing a request."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading

import pytest
from deploying import SLOW_BOOT, THROWS, Deployer, Meanwhile, deployer, say, store_of, wait_loading  # noqa: F401
from harness import BIN, SKEPD, descendants, free_port, is_alive, status_of, wait_for
from load import Load
from manager import HELLO
from scrape import scrape

ENDS = [signal.SIGKILL, signal.SIGSTOP]
STATES = ["ok", "reserve", "restarting", "silent", "gone"]


def spawners_of(skepd):
    """Returns the spawners; the one that works comes first."""
    below = [p for p in descendants(skepd.pid) if is_alive(p)]
    return [p for p in below if status_of(p)["Name"].strip() == "skep-spawner"]


def helpers_of(skepd):
    return skepd.admin("status")["helpers"]


def wait_state(skepd, helper, state):
    def is_so():
        return helpers_of(skepd)[helper].startswith(state)

    wait_for(is_so, f"the {helper} to be {state}", timeout=30)


def wait_replaced(skepd, helper, find, lost):
    """Waits until none of the processes `lost` is left, and the helper is ok again."""

    def is_so():
        now = find(skepd)
        return now and not set(now) & set(lost) and helpers_of(skepd)[helper] == "ok"

    wait_for(is_so, f"another {helper}", timeout=60)


def stores_of(skepd):
    below = [p for p in descendants(skepd.pid) if is_alive(p)]
    return [p for p in below if status_of(p)["Name"].strip() == "skep-store"]


def end_both_spawners(skepd):
    """Kills both at the same time, since one that is left would make another."""
    both = spawners_of(skepd)
    assert len(both) == 2
    for end in ENDS[::-1]:
        for pid in both:
            os.kill(pid, end)
    wait_state(skepd, "spawner", "gone")


def check_said(skepd, port, helper, state, advice):
    """Checks the helpers in `skep status`, its --json, the metrics and the log."""
    text = skepd.skep("status").stdout
    assert f"{helper} {state}: " in text and advice in text
    assert advice in json.loads(skepd.skep("status", "--json").stdout)["helpers"][helper]
    metrics = scrape(port)
    found = {s: metrics.get("skep_helper_state", helper=helper, state=s) for s in STATES}
    assert found == {s: float(s == state) for s in STATES}
    assert metrics.get("skep_helper_losses_total", helper=helper) >= 1
    assert f"helper {helper} is {state}: " in skepd.log() and advice in skepd.log()


@pytest.fixture
def port():
    return free_port()


@pytest.mark.parametrize("end", ENDS)
def test_spawner_that_is_lost_costs_no_request_and_another_takes_its_place(upgradable, port, end):
    skepd = upgradable(metrics={"listen": f"127.0.0.1:{port}"})
    wait_state(skepd, "spawner", "ok")
    before = spawners_of(skepd)
    assert len(before) == 2
    with Load(skepd.address, "a.test", answer=b"hello") as load:
        load.more(50)
        os.kill(before[0], end)
        worker = skepd.worker()["pid"]
        os.kill(worker, signal.SIGKILL)  # skepd sees the end by the pidfd; a request there is sent again
        wait_for(lambda: "helper spawner is reserve: " in skepd.log(), "the loss to be said", timeout=20)
        wait_state(skepd, "spawner", "ok")
        load.more(50)
        wait_for(lambda: skepd.worker()["pid"] not in (None, worker), "another worker")
        wait_for(lambda: skepd.worker(slot=1)["state"] in ("ready", "spare"), "a spare by the reserve")
        assert scrape(port).get("skep_helper_losses_total", helper="spawner") == 1
        after = spawners_of(skepd)
        assert len(after) == 2 and before[1] in after and before[0] not in after
        skepd.replace_program(SKEPD)
        old = skepd.pid
        skepd.upgrade()
        load.more(50)
        skepd.wait_gone(old)
        load.more(50)
    load.check()
    wait_state(skepd, "spawner", "ok")
    assert len(spawners_of(skepd)) == 2


def test_spawner_and_store_that_are_killed_again_and_again_cost_no_request_and_no_deploy(deployer):  # noqa: F811
    skepd = deployer.skepd
    deployer.deploy("kept", say("0"))
    with Load(skepd.address, "kept.test") as load:
        for n in range(1, 9):
            for helper, find in (("spawner", lambda s: spawners_of(s)[:1]), ("store", stores_of)):
                lost = find(skepd)
                os.kill(lost[0], signal.SIGKILL)
                wait_replaced(skepd, helper, find, lost)
            wait_for(lambda: len(spawners_of(skepd)) == 2, "the reserve")
            deployer.deploy("kept", say(str(n)))
            assert deployer.text("kept") == str(n)
            load.more(20)
    load.check()
    assert helpers_of(skepd) == {"spawner": "ok", "store": "ok"}
    assert deployer.left("kept") == set()


def test_upgrade_does_not_wait_for_a_spawner_that_was_stopped_just_now(upgradable):
    skepd = upgradable()
    stopped = spawners_of(skepd)[0]
    os.kill(stopped, signal.SIGSTOP)
    skepd.upgrade()
    assert not is_alive(stopped)
    assert skepd.get("a").text == "hello"


def test_without_any_spawner_skepd_serves_with_the_workers_that_it_has(manager, service):
    skepd = service({"a": HELLO}, manager=manager).start()
    manager.wait("READY")
    with Load(skepd.address, "a.test", answer=b"hello") as load:
        load.more(20)
        end_both_spawners(skepd)
        load.more(20)
    load.check()
    wait_for(lambda: "spawner is gone" in manager.all("STATUS")[-1], "systemd to be told")
    assert "restart" in manager.all("STATUS")[-1]
    run = skepd.skep("upgrade")
    assert run.returncode == 1 and "systemctl restart skepd" in run.stderr
    assert skepd.get("a").text == "hello"
    for worker in skepd.workers():
        if worker["pid"]:
            os.kill(worker["pid"], signal.SIGKILL)
    assert skepd.process.wait(timeout=60) == 1, "systemd would not start it again"
    assert "no worker is left" in skepd.log()
    skepd.process = None


def counts_of(skepd):
    """Checks the counts of workers in `skep status` and `skep stats` against the list of `skep workers`."""
    workers = skepd.workers()
    places = [w for w in workers if w["kind"] in ("shared", "own")]
    listed = {
        "workers": len(places),
        "workers_ready": sum(w["state"] == "ready" for w in places),
        "workers_failed": sum(w["state"] == "failed" for w in workers),
    }
    return [listed, *({key: told[key] for key in listed} for told in (skepd.admin("status"), skepd.stats()))]


def test_workers_that_cannot_be_started_are_counted_as_they_are_listed(manager, service):
    skepd = service({"a": HELLO}, cordons=[{"name": "default", "workers": 2}], manager=manager).start()
    manager.wait("READY")
    wait_for(lambda: any(w["state"] == "spare" for w in skepd.workers()), "the spare")
    end_both_spawners(skepd)
    # The spare takes the slot of the first that is killed, whose slot is then the one of the spare that does
    # not start.
    killed = next(w["number"] for w in skepd.workers() if w["kind"] == "shared")
    assert skepd.skep("kill-worker", str(killed)).returncode == 0
    wait_for(lambda: counts_of(skepd)[0]["workers_failed"] == 1, "the worker to be given up", timeout=60)
    assert [w["kind"] for w in skepd.workers() if w["state"] == "failed"] == ["spare"]
    listed, status, stats = counts_of(skepd)
    assert listed == status == stats == {"workers": 2, "workers_ready": 2, "workers_failed": 1}
    assert "2 ready of 2, 1 failed" in skepd.skep("status").stdout
    wait_for(lambda: "with 2 workers" in manager.all("STATUS")[-1], "systemd to be told")


@pytest.mark.parametrize("end", ENDS)
def test_store_that_is_lost_is_started_again(deployer, end):  # noqa: F811
    skepd = deployer.skepd
    deployer.deploy("kept", say("one"))
    with Load(skepd.address, "kept.test") as load:
        load.more(20)
        lost = stores_of(skepd)
        os.kill(lost[0], end)
        # Commands that the old store has, or that come before the next one is there, fail; this finds a
        # stopped one.
        run = skepd.skep("deploy", deployer.bundle("kept", say("two")))
        assert run.returncode == 0 or "the store has ended, and is started again" in run.stderr
        wait_replaced(skepd, "store", stores_of, lost)
        load.more(20)
    load.check()
    assert "helper store is restarting: " in skepd.log() and "helper store is ok again" in skepd.log()
    deployer.deploy("kept", say("two"))
    assert deployer.text("kept") == "two"
    assert deployer.left("kept") == set()


def test_deploy_that_a_dead_store_held_fails_and_the_next_does_not(deployer):  # noqa: F811
    skepd = deployer.skepd
    deployer.deploy("kept", say("one"))
    deploy = Meanwhile(deployer, "slow", SLOW_BOOT + say("slow"))
    wait_loading(deployer, "slow")
    lost = stores_of(skepd)
    os.kill(lost[0], signal.SIGKILL)
    status, text = deploy.end()
    assert status == 1 and "the store has ended, and is started again" in text
    wait_replaced(skepd, "store", stores_of, lost)
    assert deployer.left("slow") is None
    deployer.deploy("slow", say("slow"))
    assert deployer.text("slow") == "slow" and deployer.text("kept") == "one"


def test_rollback_of_the_watch_outlasts_the_store_that_was_to_make_it_durable(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 60, "errors": 5, "error_percent": 50})
    skepd = deployer.skepd
    deployer.deploy("w", say("good"))
    deployer.deploy("w", THROWS)
    lost = stores_of(skepd)
    os.kill(lost[0], signal.SIGSTOP)
    for _ in range(5):
        assert skepd.get("w").status == 500
    wait_for(lambda: skepd.get("w").text == "good", "the version before to serve again")
    os.kill(lost[0], signal.SIGKILL)  # the store has been asked, and has not done it
    wait_replaced(skepd, "store", stores_of, lost)
    wait_for(lambda: deployer.states("w") == ["serving", "rolled_back"], "the disk to follow")
    deployer.restart()
    assert deployer.text("w") == "good"
    skepd.stop()


def test_store_is_not_started_again_without_any_spawner(upgradable, tmp_path, port):
    skepd = upgradable(state=str(tmp_path / "state"), metrics={"listen": f"127.0.0.1:{port}"})
    end_both_spawners(skepd)
    os.kill(stores_of(skepd)[0], signal.SIGKILL)
    wait_state(skepd, "store", "gone")
    check_said(skepd, port, "store", "gone", "systemctl restart skepd")
    run = skepd.skep("versions", "a")
    assert run.returncode == 1 and "systemctl restart skepd" in run.stderr
    assert skepd.get("a").text == "hello"


def test_upgrade_does_not_wait_for_a_store_that_is_busy(upgradable, tmp_path):
    """Both skepd have a store of their own; the old store still answers its commands."""
    skepd = upgradable(state=str(tmp_path / "state"))
    busy = stores_of(skepd)[0]
    os.kill(busy, signal.SIGSTOP)
    command = [BIN / "skep", "--socket", skepd.admin_socket, "versions", "a"]
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: "silent" in helpers_of(skepd)["store"], "the question to be with the store")
    old = skepd.pid
    skepd.upgrade()
    assert helpers_of(skepd)["store"] == "ok" and stores_of(skepd) != [busy]
    os.kill(busy, signal.SIGCONT)
    assert "a" in asked.communicate(timeout=30)[1] and asked.returncode == 1  # no file of the deploy is stored
    skepd.wait_gone(old)
    assert not is_alive(busy)


def start_beside(skepd, folder):
    """Another one with the same state folder, which must refuse to start."""
    config = {**skepd.config, "listen": ["127.0.0.1:0"], "admin_socket": str(folder / "other.sock")}
    (folder / "other.yaml").write_text(json.dumps(config))
    command = [SKEPD, "--config", folder / "other.yaml", "--worker", skepd.worker_program]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1, run.stderr
    return run.stderr


def test_state_folder_is_of_one_skepd_also_after_an_upgrade(upgradable, tmp_path):
    skepd = upgradable(state=str(tmp_path / "state"))
    assert "is in use by another skepd" in start_beside(skepd, tmp_path)
    old = skepd.pid
    skepd.upgrade()
    assert "is in use by another skepd" in start_beside(skepd, tmp_path)
    skepd.wait_gone(old)
    wait_for(lambda: "has ended" in skepd.log(), "the new one to see the end of the old one")
    assert "is in use by another skepd" in start_beside(skepd, tmp_path)
    lost = stores_of(skepd)
    os.kill(lost[0], signal.SIGKILL)  # the lock is skepd's, not the store's
    assert "is in use by another skepd" in start_beside(skepd, tmp_path)
    wait_replaced(skepd, "store", stores_of, lost)
    assert skepd.get("a").text == "hello"


# ---- egress


def egress_of(skepd):
    below = [p for p in descendants(skepd.pid) if is_alive(p)]
    return [p for p in below if status_of(p)["Name"].strip() == "skep-egress"]


@pytest.mark.parametrize("end", ENDS)
def test_egress_that_is_lost_is_named_and_replaced_while_skepd_serves(upgradable, port, end):
    skepd = upgradable(egress={}, metrics={"listen": f"127.0.0.1:{port}"})
    wait_for(lambda: helpers_of(skepd).get("egress") == "ok", "egress to be ready")
    lost = egress_of(skepd)
    assert len(lost) == 1
    with Load(skepd.address, "a.test", answer=b"hello") as load:
        load.more(20)
        os.kill(lost[0], end)
        wait_replaced(skepd, "egress", egress_of, lost)
        load.more(20)
    load.check()
    assert ("helper egress is silent: " in skepd.log()) == (end == signal.SIGSTOP)
    assert "helper egress is restarting: " in skepd.log() and "helper egress is ok again" in skepd.log()
    assert scrape(port).get("skep_helper_losses_total", helper="egress") == 1


def test_upgrade_brings_an_egress_of_its_own(upgradable):
    skepd = upgradable(egress={})
    wait_for(lambda: helpers_of(skepd).get("egress") == "ok", "egress to be ready")
    old, before = skepd.pid, egress_of(skepd)
    skepd.upgrade()
    wait_for(lambda: helpers_of(skepd).get("egress") == "ok", "the new egress to be ready")
    skepd.wait_gone(old)
    assert not is_alive(before[0]) and len(egress_of(skepd)) == 1


def test_skepd_without_egress_in_its_config_has_none(upgradable):
    skepd = upgradable()
    assert "egress" not in helpers_of(skepd) and egress_of(skepd) == []


@contextlib.contextmanager
def egress_unit(listener):
    """Runs skep-egress as the service manager does, with the listening socket as descriptor 3."""
    unit = subprocess.Popen(
        ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"', BIN / "skep-egress"], stdin=subprocess.DEVNULL,
        pass_fds=[3], preexec_fn=lambda: os.dup2(listener.fileno(), 3))
    try:
        yield unit
    finally:
        unit.kill()
        unit.wait()


def test_unit_of_egress_is_reached_whenever_it_is_there(upgradable, tmp_path, port):
    path = str(tmp_path / "egress.sock")
    skepd = upgradable(egress={"socket": path}, metrics={"listen": f"127.0.0.1:{port}"})
    wait_for(lambda: helpers_of(skepd).get("egress", "").startswith("restarting"), "the loss to be said")
    check_said(skepd, port, "egress", "restarting", "systemctl start skep-egress.socket")
    assert skepd.get("a").text == "hello" and egress_of(skepd) == []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        for end in (signal.SIGKILL, signal.SIGTERM):
            with egress_unit(listener) as unit:
                wait_for(lambda: helpers_of(skepd)["egress"] == "ok", "the unit to be reached", timeout=60)
                unit.send_signal(end)
                unit.wait()
                wait_for(lambda: helpers_of(skepd)["egress"] != "ok", "the loss to be said")
        with egress_unit(listener):
            wait_for(lambda: helpers_of(skepd)["egress"] == "ok", "the unit to be reached", timeout=60)
    assert skepd.get("a").text == "hello"


# Reads the first part of an answer, and says how the rest ends.
READER = """
export default { async fetch(request) {
    const answer = await fetch(new URL(request.url).searchParams.get("from"));
    const reader = answer.body.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    try {
        while (!(await reader.read()).done);
        return new Response(`${first} and whole`);
    } catch (error) {
        return new Response(`${first} and ${error.name}: ${error.message}`);
    }
} };
"""


class Endless(socketserver.ThreadingTCPServer):
    """Answers each request with one part of a body that does not end, until `are_whole` is set."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Endless.Handler)
        self.are_whole = threading.Event()
        self.begun = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
            with self.server.lock:
                self.server.begun += 1
            self.server.are_whole.wait(60)
            with contextlib.suppress(OSError):
                self.wfile.write(b"0\r\n\r\n")


def test_egress_that_is_killed_in_the_middle_of_a_hundred_streams_costs_these_alone(upgradable):
    tenants = {f"t{n}": {"files": {"worker.js": READER}, "allowed_hosts": ["http://127.0.0.1:*"]} for n in range(10)}
    skepd = upgradable(tenants={"a": HELLO, **tenants}, egress={"addresses": ["127.0.0.0/8"]})
    wait_for(lambda: helpers_of(skepd).get("egress") == "ok", "egress to be ready")
    with Endless() as server, concurrent.futures.ThreadPoolExecutor(100) as pool:
        path = f"/?from=http://127.0.0.1:{server.server_address[1]}/"
        asked = [pool.submit(skepd.get, f"t{n % 10}", path) for n in range(100)]
        wait_for(lambda: server.begun == 100, "a hundred streams", timeout=30)
        lost = egress_of(skepd)
        os.kill(lost[0], signal.SIGKILL)
        for answer in asked:
            assert "part and TypeError: " in answer.result(30).text and "skep-egress" in answer.result().text
        assert skepd.get("a").text == "hello"
        assert "egress has ended, and 100 open fetches with it" in skepd.log()
        wait_replaced(skepd, "egress", egress_of, lost)
        server.are_whole.set()
        assert skepd.get("t0", path).text == "part and whole"
        server.shutdown()


def test_fetch_that_is_open_at_an_upgrade_goes_on(upgradable):
    tenant = {"files": {"worker.js": READER}, "allowed_hosts": ["http://127.0.0.1:*"]}
    skepd = upgradable(tenants={"t": tenant}, egress={"addresses": ["127.0.0.0/8"]})
    wait_for(lambda: helpers_of(skepd).get("egress") == "ok", "egress to be ready")
    with Endless() as server, concurrent.futures.ThreadPoolExecutor(1) as pool:
        path = f"/?from=http://127.0.0.1:{server.server_address[1]}/"
        asked = pool.submit(skepd.get, "t", path)
        wait_for(lambda: server.begun == 1, "the stream")
        old = skepd.pid
        skepd.upgrade()
        assert not asked.done()
        server.are_whole.set()
        assert asked.result(30).text == "part and whole"
        assert skepd.get("t", path).text == "part and whole"
        skepd.wait_gone(old)
        server.shutdown()


def test_egress_that_is_not_installed_or_has_no_socket_is_named_with_its_remedy(upgradable, folder):
    missing = folder / "egress.sock"
    skepd = upgradable(egress={"socket": str(missing)})
    skepd.wait_log(f"helper egress: {missing} is not there: systemctl start skep-egress.socket")
    wait_state(skepd, "egress", "restarting: its socket is not there: systemctl start skep-egress.socket")
    skepd.stop()
    alone = folder / "bin"
    alone.mkdir()
    for name in ("skepd", "skep-worker"):
        shutil.copy(BIN / name, alone / name)
    skepd.program = alone / "skepd"
    skepd.config["egress"] = {}
    skepd.write_config()
    skepd.start()
    told = "no program skep-egress beside skepd: install it, then skep upgrade"
    assert helpers_of(skepd)["egress"] == f"gone: {told}"
    assert f"egress gone: {told}" in skepd.skep("status").stdout
