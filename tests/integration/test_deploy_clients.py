# SPDX-License-Identifier: Apache-2.0
"""Clients of the admin socket that deploy as no client should."""

import os
import shutil
import signal
import subprocess
import time
from subprocess import PIPE

import pytest
from deploying import (  # noqa: F401
    FAILURE,
    READY,
    Raw,
    begin,
    deployer,
    field,
    frame,
    part,
    say,
    store_of,
)
from harness import BIN, wait_for


# ---- programs that are no clients


def test_client_that_leaves_half_way_leaves_nothing(deployer):
    raw = Raw(deployer)
    assert raw.ask(begin(b"half"))[0] == READY
    assert raw.ask(part(b"skep.yaml", b"name: half\n", more=1))[0] == READY
    assert deployer.left("half")
    raw.close()
    wait_for(lambda: deployer.left("half") is None, "the upload to go")
    assert deployer.deploy("half")["tenant"] == "half"


def test_killed_cli_leaves_the_old_version(deployer):
    deployer.deploy("killed")
    bundle = deployer.bundle("killed", files={f"{i}.txt": "x" * 50000 for i in range(200)})
    command = [BIN / "skep", "--socket", deployer.skepd.admin_socket, "deploy", bundle]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: deployer.left("killed"), "the upload to begin")
    process.kill()
    process.wait()
    wait_for(lambda: deployer.left("killed") == set(), "the upload to go")
    assert deployer.text("killed") == "one"


@pytest.mark.parametrize(
    "path",
    [
        b"../x.js", b"/etc/x.js", b"a/../x.js", b".x.js", b"a//x.js", b"x.js/", b"\xff.js", b"./x.js",
        b"node_modules/x.js", b"x\n.js", b"a/" * 17 + b"x.js", b"x\0.js",
    ],
    ids=range(12),
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(deployer, path):
    raw = Raw(deployer)
    assert raw.ask(begin(b"paths"))[0] == READY
    assert raw.ask(part(path, b"x"))[0] == FAILURE
    raw.close()
    wait_for(lambda: deployer.left("paths") is None, "the upload to go")


@pytest.mark.parametrize(
    "parts",
    [
        [part(b"a.js", b"x"), part(b"a.js", b"y")],
        [part(b"a.js", b"x"), part(b"a.js/b.js", b"y")],
        [part(b"a.js", b"x", more=1), part(b"b.js", b"y")],
        [part(b"a.js", b"x", more=1), part(end=1)],
        [part(env=b"A", data=b"x"), part(env=b"A", data=b"y")],
        [part(env=b"A B", data=b"x")],
        [part(env=b"A", data=b"x\0y")],
        [part(b"a.js", b"x"), part(end=1)],
        [part(b"skep.yaml", b"name: other\nmain: a.js\n"), part(b"a.js", b"x"), part(end=1)],
        [part(b"skep.yaml", b"name: order\nmain: b.js\n"), part(b"a.js", b"x"), part(end=1)],
        [part(b"skep.yaml", b"\xff\xfe"), part(end=1)],
    ],
    ids=range(11),
)
def test_parts_that_make_no_bundle_are_refused(deployer, parts):
    raw = Raw(deployer)
    assert raw.ask(begin(b"order"))[0] == READY
    for one in parts[:-1]:
        assert raw.ask(one)[0] == READY
    assert raw.ask(parts[-1])[0] == FAILURE
    wait_for(lambda: deployer.left("order") is None, "the upload to go")
    raw.close()
    assert deployer.deploy("order")["tenant"] == "order"


@pytest.mark.parametrize(
    "frames",
    [
        begin(b"rude") + begin(b"rude"),
        begin(b"rude") + part(b"a.js", b"x" * (256 * 1024 + 1)),
    ],
    ids=["two at once", "large part"],
)
def test_client_that_does_not_wait_is_closed(deployer, frames):
    raw = Raw(deployer)
    raw.socket.sendall(frames)
    wait_for(lambda: raw.receive() is None, "the end of the connection")
    wait_for(lambda: deployer.left("rude") is None, "the upload to go")


def test_part_of_no_deploy_is_refused(deployer):
    raw = Raw(deployer)
    assert raw.ask(part(b"a.js", b"x"))[0] == FAILURE
    assert raw.ask(begin(b"part"))[0] == READY


@pytest.mark.parametrize("last", [part(b"a.js", end=1), part(b"a.js", env=b"A"), part(), part(env=b"A", more=1)], ids=range(4))
def test_part_that_is_two_things_closes(deployer, last):
    raw = Raw(deployer)
    assert raw.ask(begin(b"two"))[0] == READY
    assert raw.ask(last) is None
    wait_for(lambda: deployer.left("two") is None, "the upload to go")


def test_upload_without_end_is_cut(deployer):
    raw = Raw(deployer)
    assert raw.ask(begin(b"endless"))[0] == READY
    for _ in range(70):
        answer = raw.ask(part(b"a.txt", b"x" * (256 << 10), more=1))
        if answer[0] == FAILURE:
            break
    assert b"too large" in answer[1]
    wait_for(lambda: deployer.left("endless") is None, "the upload to go")


def test_deploys_of_a_tenant_at_the_same_time_come_one_after_the_other(deployer):
    bundles = [
        shutil.copytree(deployer.bundle("together", say(str(i))), deployer.bundles / f"copy-{i}") for i in range(12)
    ]
    command = [BIN / "skep", "--socket", deployer.skepd.admin_socket, "deploy"]
    running = [subprocess.Popen([*command, path], stdout=PIPE, stderr=PIPE, text=True) for path in bundles]
    for one in running:
        _, said = one.communicate(timeout=60)
        assert (one.returncode, said) == (0, "")
    versions = deployer.ask("versions", "together")["versions"]
    assert deployer.text("together") in [str(i) for i in range(12)] and len(versions) > 1


def test_one_deploy_of_a_tenant_at_a_time(deployer):
    raw = Raw(deployer)
    assert raw.ask(begin(b"twice"))[0] == READY
    assert "by somebody else" in deployer.fail("deploy", deployer.bundle("twice"))
    assert "by somebody else" in deployer.fail("remove", "twice")
    others = [Raw(deployer) for _ in range(4)]
    answers = [other.ask(begin(b"other-%d" % i))[0] for i, other in enumerate(others)]
    assert answers == [READY, READY, READY, FAILURE]
    for one in [raw, *others]:
        one.close()
    wait_for(lambda: deployer.skepd.skep("deploy", deployer.bundle("twice")).returncode == 0, "room")


@pytest.mark.parametrize("number", [13, 15, 16, 17], ids=["deploy", "rollback", "versions", "remove"])
def test_clients_that_ask_and_leave_are_bounded(deployer, number):
    deployer.deploy("asked")
    store = store_of(deployer.skepd)
    os.kill(store, signal.SIGSTOP)
    try:
        for i in range(40):
            raw = Raw(deployer)
            raw.socket.sendall(frame(field(number, field(1, b"asked-%d" % i))))
            time.sleep(0.02)
            raw.close()
        answer = Raw(deployer).ask(begin(b"another"))
        assert answer[0] == FAILURE
        assert b"try again" in answer[1]
    finally:
        os.kill(store, signal.SIGCONT)
    wait_for(lambda: deployer.skepd.skep("versions", "asked").returncode == 0, "room")
    assert deployer.deploy("asked", say("two"))["tenant"] == "asked"
    wait_for(lambda: len(list((deployer.state / "tenants").iterdir())) == 1, "the uploads to go")
