# SPDX-License-Identifier: Apache-2.0
"""The confinement of a serving skepd, seen from outside."""

import os
import shutil
import signal

import pathlib

import pytest

from harness import BIN, IS_SANITIZED, SKEPD, Skepd, is_alive, script, status_of, wait_for

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="sanitizer builds are not confined")

SETS = ["CapInh", "CapPrm", "CapEff", "CapAmb"] + (["CapBnd"] if os.geteuid() == 0 else [])


def hello(text):
    return script(f'return new Response("{text}");')


def test_skepd_has_a_filter_and_no_capabilities(start):
    skepd = start({"a": hello("first")})
    status = status_of(skepd.pid)
    assert status["Seccomp"].strip() == "2"
    assert status["NoNewPrivs"].strip() == "1"
    assert {name: int(status[name], 16) for name in SETS} == {name: 0 for name in SETS}


def test_each_thread_of_skepd_has_the_filter_and_no_capabilities(start):
    """Capabilities and Landlock are per thread: the thread that reads files is started between them and the filter."""
    threads = [path / "status" for path in pathlib.Path(f"/proc/{start().pid}/task").iterdir()]
    assert len(threads) == 2
    for thread in threads:
        status = dict(line.split(":\t", 1) for line in thread.read_text().splitlines())
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


def test_tenant_behind_a_link_is_read_again(start, folder):
    real = folder / "elsewhere"
    real.mkdir()
    (real / "skep.yaml").write_text('name: a\nmain: worker.js\nroutes: ["a.test/*"]\n')
    (real / "worker.js").write_text(hello("first"))
    tenants = folder / "tenants"
    tenants.mkdir()
    (tenants / "a").symlink_to(real)
    skepd = start(tenants_folder=tenants)
    assert skepd.get("a").text == "first"
    (real / "worker.js").write_text(hello("second"))
    skepd.reload("a")
    wait_for(lambda: skepd.get("a").text == "second", "the new version")


def test_tenant_that_moves_out_of_the_folders_is_refused_with_a_reason(start, folder):
    """A link leads to a folder that no tenant had: the old version keeps serving."""
    for name in ("first", "second"):
        (folder / name).mkdir()
        (folder / name / "skep.yaml").write_text('name: a\nmain: worker.js\nroutes: ["a.test/*"]\n')
        (folder / name / "worker.js").write_text(hello(name))
    tenants = folder / "tenants"
    tenants.mkdir()
    (tenants / "a").symlink_to(folder / "first")
    skepd = start(tenants_folder=tenants)
    assert skepd.get("a").text == "first"
    (tenants / "a").unlink()
    (tenants / "a").symlink_to(folder / "second")
    assert b"skepd reads only folders" in skepd.reload("a")
    assert skepd.get("a").text == "first"
    # Below the tenants' folder another folder may take a tenant's place.
    (tenants / "a").unlink()
    (folder / "second").rename(tenants / "a")
    skepd.reload("a")
    wait_for(lambda: skepd.get("a").text == "second", "the new version")


def test_socket_in_the_file_system_is_removed_at_the_end(start, folder):
    path = folder / "http.sock"
    skepd = start({"a": hello("first")}, more_listen=[f"unix:{path}"])
    assert path.exists()
    skepd.stop()
    assert not path.exists()


# Hides processes as ProtectProc=invisible and ProcSubset=pid do.
HIDDEN = """#!/bin/sh
exec unshare --mount sh -ec '
    mount -t proc -o hidepid=invisible,subset=pid proc /proc
    exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"' sh "$@"
"""


@pytest.fixture
def hidden(folder):
    """A skepd without privileges that cannot see other processes, not even its workers."""
    if os.geteuid() != 0:
        pytest.skip("another user's view of /proc needs root")
    folder.chmod(0o777)
    wrapper = folder / "hidden"
    wrapper.write_text(HIDDEN)
    wrapper.chmod(0o755)
    for program in (SKEPD, BIN / "skep-worker"):  # the checkout may be where others cannot go
        shutil.copy(program, folder)
    cordon = {"name": "default", "workers": 1, "rss_mib": 128, "spare": False}
    limits = {"maximum": HOARD["limits"]}
    skepd = Skepd(
        folder, {"a": hello("first"), "hoard": HOARD}, {"cordons": [cordon], "limits": limits},
        worker=folder / "skep-worker", launcher=[wrapper],
    )  # fmt: skip
    skepd.program = folder / "skepd"
    yield skepd.start()
    skepd.stop()


HOARD = {
    "limits": {"external_mib": 512, "cpu_ms": 5000},
    "files": {
        "worker.js": script(
            "globalThis.all ??= []; for (let i = 0; i < 60; i++) {"
            " const one = new Uint8Array(4 << 20); one.fill(1); all.push(one); }"
        )
    },
}


def test_skepd_from_which_processes_are_hidden_sees_its_workers(hidden):
    assert status_of(hidden.pid)["Uid"].split() == ["65534"] * 4
    worker = hidden.worker()
    assert worker["rss_kib"] > 1024
    assert {one["finding"] for one in hidden.admin("jail-report")["workers"]} == {None}
    assert hidden.get("a").text == "first"


def test_skepd_from_which_processes_are_hidden_kills_a_worker_over_its_memory(hidden):
    pid = hidden.worker()["pid"]
    assert hidden.get("hoard").code == "mem_process"
    assert not is_alive(pid)


def test_skepd_from_which_processes_are_hidden_sees_that_one_was_stopped(hidden):
    assert hidden.get("a").text == "first"
    pid = hidden.worker()["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert hidden.get("a").text == "first"  # by the next worker
    assert not is_alive(pid)
    assert hidden.tenant("a")["kills"] == 0, "nobody is to blame"
