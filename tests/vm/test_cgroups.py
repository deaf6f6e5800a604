# SPDX-License-Identifier: Apache-2.0
"""Cgroups of workers, with skepd's cgroup delegated and not."""

import os
import signal
import subprocess

import pytest

from harness import BIN, descendants, is_alive, script
from host import DELEGATE, SLOW, cgroup_of, patient, read, run, workers_in

HELLO = script('return new Response("hello")')
MIB = 1 << 20


def program(name, folder):
    """Runs a test program in a delegated scope. Returns its exit status, None if it took too long, and its
    output."""
    output = folder / name
    with output.open("w") as file:  # no pipe: a process left behind would keep it open
        command = ["systemd-run", "--quiet", "--scope", "-p", DELEGATE, BIN / "tests" / name]
        try:
            status = subprocess.call(command, stdout=file, stderr=file, timeout=120, cwd="/skep")
        except subprocess.TimeoutExpired:
            status = None
    return status, output.read_text()


@pytest.mark.parametrize("name", ["test_cgroup", "test_jail_cgroup"])
def test_program_passes_in_a_delegated_cgroup_and_skips_nothing(name, tmp_path):
    status, text = program(name, tmp_path)
    assert status == 0, text
    assert "SKIPPED" not in text, text


def test_skepd_and_its_spawner_move_to_the_leaf(host):
    skepd = host.start_in_scope(DELEGATE, tenants={"a": HELLO})
    leaf = cgroup_of(skepd.pid)
    assert leaf.name == "supervisor"
    assert leaf.parent.name.endswith(".scope")
    spawner = next(pid for pid in descendants(skepd.pid) if name_of(pid) == "skep-spawner")
    assert cgroup_of(spawner) == leaf
    assert read(leaf.parent / "cgroup.procs") == ""
    enabled = read(leaf.parent / "cgroup.subtree_control").split()
    assert {"cpu", "memory", "pids"} <= set(enabled)
    assert "no cgroup limits" not in skepd.log()
    assert skepd.get("a").text == "hello"


def name_of(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def test_each_worker_has_a_cgroup_with_its_limits(host):
    cordons = [
        {"name": "default", "workers": 1, "rss_mib": 256, "cpu_weight": 50},
        {"name": "other", "workers": 1, "rss_mib": 512, "spare": False},
    ]
    skepd = host.start_in_scope(DELEGATE, tenants={"a": HELLO}, cordons=cordons)
    workers = skepd.workers()
    cgroups = {cgroup_of(worker["pid"]) for worker in workers}
    assert len(cgroups) == len(workers) == 3
    for worker in workers:
        cgroup = cgroup_of(worker["pid"])
        is_other = worker["cordon"] == "other"
        assert cgroup.parent == cgroup_of(skepd.pid).parent
        assert read(cgroup / "cgroup.procs") == str(worker["pid"])
        assert read(cgroup / "memory.max") == str((512 if is_other else 256) * MIB)
        assert read(cgroup / "memory.oom.group") == "1"
        assert read(cgroup / "memory.swap.max") == "0"
        assert read(cgroup / "pids.max") == "2"
        assert read(cgroup / "cpu.weight") == ("100" if is_other else "50")


HOARD = script(
    "const all = []; for (;;) { const one = new Uint8Array(4 << 20); one.fill(1); all.push(one); }"
)


def test_worker_over_its_memory_is_killed_by_the_kernel_and_blamed_so(host):
    limits = {**SLOW, "external_mib": 1024, "wall_ms": 120000}
    skepd = host.start_in_scope(
        DELEGATE,
        tenants={"hoard": {"limits": limits, "files": {"worker.js": HOARD}}, "a": HELLO},
        cordons=[{"name": "default", "workers": 1, "rss_mib": 192, "spare": False}],
        limits={"default": SLOW, "maximum": limits},
    )
    pid = skepd.worker()["pid"]
    cgroup = cgroup_of(pid)
    answer = skepd.post("hoard", b"")
    assert answer.code == "mem_process"
    assert not is_alive(pid)
    assert f"oom_memcg=/{cgroup.relative_to('/sys/fs/cgroup')}," in run("dmesg")
    assert skepd.get("a").text == "hello"
    patient(lambda: not cgroup.exists(), "the cgroup to be removed")


def test_killed_workers_leave_no_cgroups(host):
    skepd = host.start_in_scope(DELEGATE, tenants={"a": HELLO})
    top = cgroup_of(skepd.pid).parent
    for count in range(1, 4):
        os.kill(skepd.worker()["pid"], signal.SIGKILL)
        patient(lambda: skepd.worker()["restarts"] == count, "a restart")
        patient(skepd._has_ready_workers, "workers to be ready")
        names = {cgroup_of(worker["pid"]).name for worker in skepd.workers()}
        assert set(workers_in(top)) == names


def test_cgroup_made_by_hand_is_left_as_it_was_found(host):
    cgroup = host.make_cgroup("skep-by-hand")
    for _ in range(2):
        skepd = host.start_in_cgroup(cgroup, tenants={"a": HELLO})
        assert cgroup_of(skepd.pid) == cgroup / "supervisor"
        assert workers_in(cgroup)
        skepd.stop()
        assert [path for path in cgroup.iterdir() if path.is_dir()] == []
        assert read(cgroup / "cgroup.subtree_control") == ""
    cgroup.rmdir()


def test_leftovers_of_a_killed_skepd_are_removed_by_the_next(host):
    cgroup = host.make_cgroup("skep-crash")
    leaf = cgroup / "supervisor"
    leaf.mkdir()
    skepd = host.start_in_cgroup(leaf, tenants={"a": HELLO})
    assert cgroup_of(skepd.pid) == leaf
    left = workers_in(cgroup)
    below = descendants(skepd.pid)
    skepd.process.kill()
    skepd.process.wait()
    host.running.remove(skepd)
    patient(lambda: not any(map(is_alive, below)), "skepd's processes to end")
    assert workers_in(cgroup) == left
    skepd = host.start_in_cgroup(leaf, tenants={"a": HELLO})
    assert len(workers_in(cgroup)) == len(skepd.workers())
    assert skepd.get("a").text == "hello"
    skepd.stop()
    assert workers_in(cgroup) == []
    leaf.rmdir()
    cgroup.rmdir()


def test_user_without_privileges_and_without_clone3(host):
    unit = host.start_unit(
        DELEGATE,
        "User=nobody",
        "NoNewPrivileges=yes",
        "RestrictNamespaces=user pid net mnt ipc uts cgroup",
        tenants={"a": HELLO},
    )
    leaf = cgroup_of(unit.pid)
    assert leaf.name == "supervisor"
    assert leaf.parent.name == unit.name
    assert "no cgroup limits" not in unit.skepd.log()
    names = workers_in(leaf.parent)
    assert names
    for name in names:
        assert read(leaf.parent / name / "cgroup.procs") != ""
    assert unit.skepd.get("a").text == "hello"


def test_without_delegation_it_says_so_and_serves(host):
    skepd = host.start_in_scope(tenants={"a": HELLO})
    assert "no cgroup limits: systemd has not delegated" in skepd.log()
    cgroup = cgroup_of(skepd.pid)
    assert cgroup.name.endswith(".scope")
    assert [path for path in cgroup.iterdir() if path.is_dir()] == []
    assert skepd.get("a").text == "hello"


def test_without_the_memory_controller_it_says_so_and_serves(host):
    unit = host.start_unit("Delegate=pids", "User=nobody", tenants={"a": HELLO})
    assert "no cgroup limits: controllers not given" in unit.skepd.log()
    assert unit.skepd.get("a").text == "hello"
