# SPDX-License-Identifier: Apache-2.0
"""Secrets on their way to a tenant's env, and traces of them elsewhere in skepd."""

import os
import pathlib
import signal
import subprocess

from deploying import deployer, store_of  # noqa: F401
from harness import BIN, descendants, script, wait_for

ENV = script("return Response.json(env);")


def deploy(deployer, *options, **rest):
    command = [BIN / "skep", "--socket", deployer.skepd.admin_socket, "deploy"]
    command += [deployer.bundle("shop", ENV), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **rest)


def test_env_comes_from_a_file_or_from_standard_input(deployer, tmp_path):
    file = tmp_path / "env"
    file.write_text("# of the shop\n\nKEY=s=cret\r\nEMPTY=\n")
    assert deploy(deployer, "--env-file", file, "--env", "MORE=1").returncode == 0
    assert deployer.skepd.get("shop").json() == {"KEY": "s=cret", "EMPTY": "", "MORE": "1"}
    run = deploy(deployer, "--env-file", "-", input="KEY=piped")
    assert run.returncode == 0, run.stderr
    assert deployer.skepd.get("shop").json() == {"KEY": "piped"}


def test_bad_env_file_is_refused_and_no_value_is_shown(deployer, tmp_path):
    file = tmp_path / "env"
    for text, complaint in (
        ("A=1\nhush-hush\n", f"{file}:2: expected NAME=VALUE"),
        ("=hush-hush", f"{file}:1: expected NAME=VALUE"),
        ("A=hush-hush\nA=hush-hush\n", "A is given twice"),
        ("A=hush-hush\0", "expected text"),
        ("9=hush-hush", "not a name"),
    ):
        file.write_text(text)
        run = deploy(deployer, "--env-file", file)
        assert run.returncode != 0 and complaint in run.stderr, (text, run.stderr)
        assert "hush-hush" not in run.stderr
    run = deploy(deployer, "--env-file", tmp_path / "none")
    assert run.returncode == 1 and "No such file" in run.stderr


def test_env_that_no_frame_holds_is_refused_before_it_is_sent(deployer, tmp_path):
    file = tmp_path / "env"
    file.write_text("".join(f"V{i}={'x' * 32000}\n" for i in range(33)))
    run = deploy(deployer, "--env-file", file)
    assert run.returncode == 1 and "1000 KiB of names and values together" in run.stderr
    file.write_text("".join(f"V{i}={'x' * 32000}\n" for i in range(31)))
    assert deploy(deployer, "--env-file", file).returncode == 0
    assert len(deployer.skepd.get("shop").json()) == 31


def test_no_process_of_skepd_leaves_memory_in_a_core_file(deployer):
    for pid in [deployer.skepd.pid, *descendants(deployer.skepd.pid)]:
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        line = next(x for x in limits.splitlines() if x.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"]
        assert int(pathlib.Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0


def test_second_signal_does_not_cut_the_end_of_skepd_off(deployer):
    """The store stands still, so that the end takes long."""
    skepd = deployer.skepd
    deploy(deployer)
    store = store_of(skepd)
    os.kill(store, signal.SIGSTOP)
    os.kill(skepd.pid, signal.SIGTERM)
    skepd.wait_log("stopping")
    wait_for(lambda: not skepd.admin_socket.exists(), "the sockets to be removed")
    for _ in range(3):
        if skepd.process.poll() is None:
            os.kill(skepd.pid, signal.SIGTERM)
    assert skepd.process.wait(timeout=30) == 0
    skepd.process = None
