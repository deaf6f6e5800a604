# SPDX-License-Identifier: Apache-2.0
"""skepd under systemd, as the package starts it: failures, changes by the operator, and load meanwhile."""

import os
import signal
import socket
import threading

from harness import is_alive, script
from host import SLOW, cgroup_of, patient, run, workers_in
from packaged import Newcomers, show

HELLO = script('return new Response("hello")')
LATE = script("await new Promise((done) => setTimeout(done, 3000)); return new Response('late')")
HOARD = script(
    "const all = []; for (;;) { const one = new Uint8Array(4 << 20); one.fill(1); all.push(one); }"
)
LOOP = script("for (;;);")
WALL = {**SLOW, "wall_ms": 120000}


def test_status_says_how_it_is(service):
    service.set_up({"a": HELLO})
    assert show("Type") == "notify"
    assert show("StatusText") != ""
    assert f"Status: \"{show('StatusText')}\"" in run("systemctl", "status", "skepd.service")
    assert "skep, serves untrusted tenants" in run("systemctl", "status", "skepd.service")


# ---- failures


def test_worker_without_memory_is_killed_by_its_cgroup_and_the_right_tenant_blamed(service):
    limits = {**WALL, "external_mib": 1024}
    service.set_up(
        {"hoard": {"limits": limits, "files": {"worker.js": HOARD}}, "a": HELLO},
        cordons=[{"name": "default", "workers": 1, "rss_mib": 192, "spare": False}],
        limits={"default": SLOW, "maximum": limits},
    )
    pid, worker = service.pid, service.worker()["pid"]
    cgroup = cgroup_of(worker)
    assert (cgroup / "memory.max").read_text().strip() == str(192 << 20)
    assert service.post("hoard", b"").code == "mem_process"
    assert not is_alive(worker)
    assert f"oom_memcg=/{cgroup.relative_to('/sys/fs/cgroup')}," in run("dmesg")
    assert service.get("a").text == "hello"
    incidents = service.admin("incidents")["incidents"]
    assert {(i["tenant"], i["code"]) for i in incidents} == {("hoard", "mem_process")}
    # For systemd nothing has happened to the service.
    assert (service.pid, service.restarts(), show("Result")) == (pid, 0, "success")


def test_skepd_that_hangs_is_killed_and_started_again(service):
    service.set_up({"a": HELLO})
    service.drop_in("WatchdogSec=4")
    service.restart()
    assert show("WatchdogUSec") == "4s"
    pid, below = service.pid, workers_in(cgroup_of(service.pid).parent)
    assert below != []
    os.kill(pid, signal.SIGSTOP)
    assert service.get("a").text == "hello"  # by the next skepd
    assert service.restarts() == 1
    assert service.pid != pid
    assert not is_alive(pid)
    assert "Watchdog timeout" in run("journalctl", "--boot", "-u", "skepd.service", "-o", "cat")
    assert len(workers_in(cgroup_of(service.pid).parent)) <= len(below)


def test_skepd_that_serves_is_left_alone_by_the_watchdog(service):
    service.set_up({"a": HELLO})
    service.drop_in("WatchdogSec=4")
    service.restart()
    with Newcomers(service, "a") as load:
        start = int(show("WatchdogTimestampMonotonic"))
        patient(
            lambda: int(show("WatchdogTimestampMonotonic")) - start > 9_000_000, "three looks", timeout=30
        )
    load.check()
    assert service.restarts() == 0


def test_killed_skepd_is_started_again_and_no_connection_refused(service):
    service.set_up({"a": HELLO})
    leaf = cgroup_of(service.pid)
    stop = threading.Event()
    refused = []

    def knock():
        while not stop.is_set():
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", 8080)) != 0:
                    refused.append(1)

    knocker = threading.Thread(target=knock)
    knocker.start()
    for count in (1, 2):
        os.kill(service.pid, signal.SIGKILL)
        patient(lambda: service.restarts() == count and service.is_active(), "a restart")
    stop.set()
    knocker.join()
    assert refused == []
    patient(service._has_ready_workers, "workers to be ready")
    assert service.get("a").text == "hello"
    assert cgroup_of(service.pid) == leaf
    assert len(workers_in(leaf.parent)) == len(service.workers())


def test_configuration_with_an_error_ends_in_a_failed_unit_that_says_why(service):
    service.set_up({"a": HELLO})
    (service.folder / "skepd.yaml").write_text("no_such_key: 1\n")
    run("systemctl", "stop", "skepd.service")
    service.drop_in("Restart=no")
    os.system("systemctl start skepd.service")
    assert show("ActiveState") == "failed"
    assert "no_such_key" in service.log()


# ---- changes by the operator, under load


def test_restart_under_load_refuses_and_loses_nothing(service):
    service.set_up({"a": HELLO})
    with Newcomers(service, "a") as load:
        for _ in range(2):
            pid = service.pid
            load.more(5)
            service.restart()
            assert service.pid != pid
            load.more(5)
    load.check()


def test_stop_waits_for_what_is_in_flight(service):
    service.set_up({"late": {"limits": WALL, "files": {"worker.js": LATE}}},
                   limits={"default": SLOW, "maximum": WALL})  # fmt: skip
    with service.connect() as connection:
        connection.send_head("GET", "late.test")
        patient(lambda: service.stats()["in_flight"] == 1, "the request to be in flight")
        stopper = threading.Thread(target=run, args=("systemctl", "stop", "skepd.service"))
        stopper.start()
        answer = connection.read_response()
        stopper.join()
    assert (answer.status, answer.text) == (200, "late")
    assert show("Result") == "success"


def test_reload_under_load_loses_nothing(service):
    service.set_up({"a": HELLO})
    pid = service.pid
    with Newcomers(service, "a") as load:
        load.more(5)
        service.write_tenant("b", HELLO)
        service.config["cordons"].append({"name": "more", "workers": 1, "spare": False})
        service.write_config()
        run("systemctl", "reload", "skepd.service")
        load.more(5)
    load.check()
    assert service.pid == pid
    patient(lambda: "more" in {worker["cordon"] for worker in service.workers()}, "the new cordon")
    assert service.get("b").text == "hello"
    assert "Reloaded" in run("journalctl", "--boot", "-u", "skepd.service", "-o", "cat")


def test_reload_of_a_configuration_with_an_error_fails_and_changes_nothing(service):
    service.set_up({"a": HELLO})
    pid = service.pid
    (service.folder / "skepd.yaml").write_text("no_such_key: 1\n")
    assert os.system("systemctl reload skepd.service") != 0
    assert "no_such_key" in service.log()
    assert (service.pid, service.is_active()) == (pid, True)
    assert service.get("a").text == "hello"


# ---- state and logs


def test_deployed_tenant_is_served_and_survives_a_restart(service, tmp_path):
    service.set_up()
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "skep.yaml").write_text('name: shop\nmain: worker.js\nroutes: ["shop.test/*"]\n')
    (folder / "worker.js").write_text(HELLO)
    assert service.get("shop").status == 404
    result = service.skep("deploy", folder)
    assert result.returncode == 0, result.stderr
    assert service.get("shop").text == "hello"
    (folder / "worker.js").write_text(script('return new Response("second")'))
    assert service.skep("deploy", folder).returncode == 0
    assert service.get("shop").text == "second"
    service.restart()
    assert service.get("shop").text == "second"
    assert service.skep("rollback", "shop").returncode == 0
    assert service.get("shop").text == "hello"
    assert service.skep("remove", "shop").returncode == 0
    assert service.get("shop").status == 404


def test_journal_can_be_asked_by_tenant_and_code(service):
    limits = {**SLOW, "cpu_ms": 500}
    service.set_up(
        {"loop": {"limits": limits, "files": {"worker.js": LOOP}}, "a": HELLO},
        limits={"default": SLOW, "maximum": SLOW},
    )
    assert service.get("loop").code == "cpu_request"
    entries = patient(
        lambda: service.journal("TENANT=loop", "CODE=cpu_request"), "the incident in the journal"
    )
    assert entries[0]["WORKER_PID"] == str(service.worker()["pid"])
    assert int(entries[0]["REQUEST_ID"]) > 0
    assert service.journal("TENANT=a", "CODE=cpu_request") == []


def test_output_of_a_tenant_is_in_the_journal_as_its_own(service):
    forged = "console.log('one\\n\\u001b[31mCODE=forged\\nTENANT=other'); return new Response('ok')"
    service.set_up({"a": script(forged)})
    assert service.get("a").text == "ok"
    patient(lambda: service.journal("TENANT=a"), "the tenant's lines")
    assert service.journal("TENANT=other") == []
    assert service.journal("CODE=forged") == []


def test_metrics_are_served_where_their_socket_is_enabled(service):
    service.set_up({"a": HELLO})
    run("systemctl", "enable", "skepd-metrics.socket")
    try:
        service.restart()
        assert service.get("a").text == "hello"
        service.port, http = 9464, service.port
        text = service.request("GET", "127.0.0.1:9464", "/metrics").text
        assert 'tenant="a"' in text
        service.port = http
    finally:
        run("systemctl", "disable", "skepd-metrics.socket")
        run("systemctl", "stop", "skepd.service", "skepd-metrics.socket")
