# SPDX-License-Identifier: Apache-2.0
"""Hosts that do not give every layer: skepd says which are missing, starts only if its configuration agrees to
each by name, and then shows the layers that are left. As root and as a user without privileges."""

import os
import re
import shutil
import subprocess

import pytest

from harness import BIN, IS_SANITIZED, SKEPD, Skepd, honest, script, status_of

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="sanitizer builds have no jail")

IS_ROOT = os.geteuid() == 0
IN_CONTAINER = [BIN / "tests" / "in_container"]
NAMESPACES = ["user", "pid", "net", "mount", "ipc", "uts", "cgroup"]
NOBODY = 65534


def as_nobody(skepd):
    """Has skepd run by a user without privileges, who may not even reach the folder of the build."""
    for name in ("program", "worker_program"):
        copy = skepd.folder / name
        shutil.copy(getattr(skepd, name), copy)
        setattr(skepd, name, copy)
    shutil.chown(skepd.folder, NOBODY, NOBODY)
    skepd.launcher = [
        *skepd.launcher, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"
    ]  # fmt: skip


def refusal(skepd):
    """Returns the log of a skepd that does not start."""
    command = [*skepd.launcher, *skepd.command()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=skepd.folder)
    assert run.returncode == 1, run.stderr
    return run.stderr


def consent(*layers):
    return {"minimum": "reduced", "without": [*layers, "speculation"]}


def check_reduced(skepd, missing):
    assert skepd.get("a").text == "a "
    status = skepd.admin("status")
    assert status["jail"] == "reduced"
    layers = status["layers"]
    assert {name for name in layers if layers[name].startswith("missing: ")} - {"speculation"} == (
        missing
    )
    assert "jail: no layer \"user\"" in skepd.log()
    for worker in skepd.workers():
        status = status_of(worker["pid"])
        assert status["Seccomp"].strip() == "2"
        assert status["NoNewPrivs"].strip() == "1"
        assert {status[name].strip("0\n ") for name in ("CapPrm", "CapEff", "CapAmb")} == {""}
    assert not re.search("cannot show its jail", skepd.log())


def check_kill_and_recovery(skepd):
    """A loop that only SIGKILL stops, and the jail's own end of a worker, work as in a full jail."""
    answer = skepd.get("stuck")
    assert answer.code == "cpu_request"
    skepd.wait_log("killed: over cpu_ms and grace_ms")
    assert skepd.get("a").text == "a "


TENANTS = {
    "a": honest("a"),
    "stuck": {
        "limits": {"cpu_ms": 50, "grace_ms": 100},
        "files": {"worker.js": script("Array.prototype.indexOf.call({length: 2**53 - 1}, 1);")},
    },
}


def test_container_without_user_namespaces_is_refused_with_each_layer_named(folder):
    skepd = Skepd(folder, TENANTS, launcher=IN_CONTAINER)
    text = refusal(skepd)
    for name in NAMESPACES:
        assert f'jail: no layer "{name}"' in text, text
    assert "allow user namespaces: sysctl" in text
    assert re.search(r"write: jail: \{ minimum: reduced, without: \[user, pid, net, mount", text)
    assert not skepd.admin_socket.exists()


@pytest.mark.skipif(not IS_ROOT, reason="has to become root of a container")
def test_root_of_a_container_serves_with_a_reduced_jail(start):
    skepd = start(TENANTS, launcher=IN_CONTAINER, jail=consent(*NAMESPACES))
    check_reduced(skepd, set(NAMESPACES))
    pids = [worker["pid"] for worker in skepd.workers()]
    uids = [int(status_of(pid)["Uid"].split()[0]) for pid in pids]
    assert min(uids) >= 0x7A000000, "a worker is root of the container"
    assert {status_of(pid)["CapBnd"].strip("0\n ") for pid in pids} == {""}
    check_kill_and_recovery(skepd)


def test_user_of_a_container_serves_with_a_reduced_jail(start, folder):
    """Without any capability the bounding set cannot be emptied either, so that has to be agreed to by name, too."""
    skepd = Skepd(folder, TENANTS, {"jail": consent(*NAMESPACES)}, launcher=IN_CONTAINER)
    if IS_ROOT:
        as_nobody(skepd)
    text = refusal(skepd)
    assert 'jail: no layer "bounding"' in text, text
    skepd.config["jail"]["without"].append("bounding")
    skepd.write_config()
    skepd.start()
    try:
        check_reduced(skepd, {*NAMESPACES, "bounding"})
        check_kill_and_recovery(skepd)
    finally:
        skepd.stop()


@pytest.mark.skipif(not IS_ROOT, reason="the other tests run as such a user already")
def test_user_without_privileges_has_a_full_jail(folder):
    skepd = Skepd(folder, TENANTS)
    as_nobody(skepd)
    skepd.start()
    try:
        assert skepd.get("a").text == "a "
        assert skepd.admin("status")["jail"] == "full"
        report = skepd.admin("jail-report")
        assert {worker["finding"] for worker in report["workers"]} == {None}
        assert {worker["uid"] for worker in report["workers"]} == {NOBODY}
        check_kill_and_recovery(skepd)
    finally:
        skepd.stop()


def test_consent_to_other_layers_is_no_consent(folder):
    skepd = Skepd(folder, TENANTS, {"jail": consent("landlock")}, launcher=IN_CONTAINER)
    assert 'jail: no layer "pid"' in refusal(skepd)


def test_consent_that_is_not_needed_changes_nothing(start):
    skepd = start(TENANTS, jail=consent(*NAMESPACES, "landlock"))
    status = skepd.admin("status")
    assert status["jail"] == "full"
    assert status["layers"]["user"] == status["layers"]["landlock"] == "active"


def test_probe_says_what_the_host_gives(folder):
    skepd = Skepd(folder, TENANTS)

    def probe(*launcher):
        command = [*launcher, *skepd.command(), "--probe"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    full = probe()
    assert full.returncode == 0, full.stderr
    assert full.stdout.startswith("jail: full\n")
    assert re.search(r"^  seccomp +active ", full.stdout, re.M)
    reduced = probe(*IN_CONTAINER)
    assert reduced.returncode == 1
    assert reduced.stdout.startswith("jail: reduced\n")
    assert re.search(r"^  user +missing .*: Operation not permitted$", reduced.stdout, re.M)


def test_dev_warns_and_serves(folder):
    """The user who starts it runs their own code."""
    (folder / "worker.js").write_text(script('return new Response("hi")'))
    skepd = Skepd(folder, {})
    skepd.command = lambda: [
        SKEPD, "--config", folder / "skepd.yaml", "--worker", skepd.worker_program,
        "--dev", folder / "worker.js",
    ]  # fmt: skip
    skepd.launcher = IN_CONTAINER
    skepd.start()
    try:
        assert skepd.get("any").text == "hi"
        assert "the jail is reduced: workers run without user, pid" in skepd.log()
    finally:
        skepd.stop()
