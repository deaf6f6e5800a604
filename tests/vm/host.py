# SPDX-License-Identifier: Apache-2.0
"""The machine that the tests run in: skepd started in scopes, units and cgroups of its own."""

import functools
import itertools
import os
import pathlib
import subprocess
import tempfile

import harness
from harness import BIN, Skepd, wait_for

CGROUPS = pathlib.Path("/sys/fs/cgroup")
DELEGATE = "Delegate=cpu memory pids"
# An emulated machine is slow, and the tests here are not about time.
PATIENCE = 5
SLOW = {"cpu_ms": 20000, "cpu_startup_ms": 20000}
_numbers = itertools.count()


@functools.wraps(wait_for)
def patient(condition, what, timeout=10.0):
    return wait_for(condition, what, timeout * PATIENCE)


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def cgroup_of(pid):
    """Returns the cgroup v2 directory of a process."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return CGROUPS / line[3:].strip("/")
    raise AssertionError(f"{pid} is in no cgroup v2")


def read(path):
    return path.read_text().strip()


def workers_in(cgroup):
    """Returns the names of the workers' cgroups in skepd's."""
    return sorted(path.name for path in cgroup.glob("worker-*"))


class Unit:
    """A transient service that runs skepd with these properties. As a user without privileges it
    has no home: its files are in a folder that everybody can write to."""

    def __init__(self, skepd, *properties):
        self.skepd = skepd
        self.name = f"skep-vm-test-{next(_numbers)}.service"
        options = [option for value in properties for option in ("-p", value)]
        config = skepd.folder / "skepd.yaml"
        run(
            "systemd-run", "--quiet", f"--unit={self.name}", "--service-type=exec", *options,
            "-p", f"StandardOutput=append:{skepd.log_path}", "-p", "StandardError=inherit",
            BIN / "skepd", "--config", config, "--worker", BIN / "skep-worker",
        )  # fmt: skip
        self.pid = int(run("systemctl", "show", "--value", "-p", "MainPID", self.name))
        skepd.wait_log("is ready", timeout=60)

    def stop(self):
        run("systemctl", "stop", self.name)


class Host:
    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.running, self.units, self.holders, self.folders = [], [], [], []
        monkeypatch.setattr(harness, "wait_for", patient)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for unit in self.units:
            unit.stop()
        for skepd in self.running:
            skepd.stop()
        for unit in self.holders:
            run("systemctl", "stop", unit)
        for folder in self.folders:
            folder.cleanup()

    def _make(self, tenants, config):
        folder = tempfile.TemporaryDirectory(prefix="skep-")
        self.folders.append(folder)
        pathlib.Path(folder.name).chmod(0o777)
        config.setdefault("cordons", [{"name": "default", "workers": 1, "spare": False}])
        config.setdefault("limits", {"default": SLOW, "maximum": SLOW})
        return Skepd(folder.name, tenants, config)

    def _start(self, prefix, tenants, config):
        """prefix: shell code that ends with the start of the command that follows it."""
        wrapper = self.folder / f"start-{next(_numbers)}"
        wrapper.write_text(f'#!/bin/sh\n{prefix} {BIN}/skepd "$@"\n')
        wrapper.chmod(0o755)
        self.monkeypatch.setattr(harness, "SKEPD", wrapper)
        skepd = self._make(tenants, config)
        self.running.append(skepd)
        return skepd.start()

    def start_in_scope(self, *properties, tenants=None, **config):
        options = " ".join(f"-p '{value}'" for value in properties)
        return self._start(f"exec systemd-run --quiet --scope {options}", tenants, config)

    def start_in_cgroup(self, path, tenants=None, **config):
        return self._start(f"echo $$ >{path}/cgroup.procs && exec", tenants, config)

    def start_unit(self, *properties, tenants=None, **config):
        skepd = self._make(tenants, config)
        unit = Unit(skepd, *properties)
        self.units.append(unit)
        return unit

    def make_cgroup(self, name):
        """Delegates a cgroup by hand, with all controllers, and marks it as systemd does. The unit is ours, because
        systemd takes controllers away that it did not enable itself."""
        unit = f"{name}-{next(_numbers)}.service"
        run(
            "systemd-run", "--quiet", f"--unit={unit}", "--service-type=exec", "-p", DELEGATE,
            "sleep", "infinity",
        )  # fmt: skip
        self.holders.append(unit)
        sleeper = run("systemctl", "show", "--value", "-p", "MainPID", unit).strip()
        top = cgroup_of(sleeper)
        (top / "sleeper").mkdir()
        (top / "sleeper" / "cgroup.procs").write_text(sleeper)
        (top / "cgroup.subtree_control").write_text("+cpu +memory +pids")
        path = top / name
        path.mkdir()
        os.setxattr(path, "user.delegate", b"1")
        return path
