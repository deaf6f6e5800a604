# SPDX-License-Identifier: Apache-2.0
"""The service as the Debian package installs it: Packaged is a Skepd whose folder, ports and life are
the unit's, not the test's."""

import functools
import http.client
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess

from client import Connection
from harness import Loader, Skepd
from host import SLOW, patient, run

PACKAGES = pathlib.Path("/skep/packages")  # made by scripts/test-vm
OLD, NEW = PACKAGES / "skep.deb", PACKAGES / "skep-next.deb"
UNITS = ["skepd.socket", "skepd.service"]
DROP_INS = pathlib.Path("/run/systemd/system/skepd.service.d")
ADMIN_SOCKET = pathlib.Path("/run/skep/admin.sock")
ETC = pathlib.Path("/etc/skep")


def package_version(file):
    return run("dpkg-deb", "-f", file, "Version").strip()


def installed_version():
    """Returns the version, None unless the package is installed with all that belongs to it."""
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "skep"],
        capture_output=True,
        text=True,
    )
    status, _, version = result.stdout.partition(" ")
    return version if status == "installed" else None


def other_package():
    """Returns the package of the version that is not installed."""
    return OLD if installed_version() == package_version(NEW) else NEW


def dpkg(*arguments):
    """--force-confold: a configuration that a test has changed stays."""
    return run("dpkg", "--force-confold", *arguments, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def show(name, unit="skepd.service"):
    return run("systemctl", "show", "--value", "-p", name, unit).strip()


class Packaged(Skepd):
    def __init__(self):
        self.folder, self.tenants_folder = ETC, ETC / "tenants"
        self.port = 8080
        self.admin_socket = ADMIN_SOCKET
        self.ready_cordons = None

    # -- its life

    def set_up(self, tenants=None, **config):
        """Starts the service anew with these tenants, and nothing of the test before."""
        run("systemctl", "stop", *UNITS)
        shutil.rmtree(DROP_INS, ignore_errors=True)
        shutil.rmtree("/var/lib/skep", ignore_errors=True)
        shutil.rmtree(self.tenants_folder, ignore_errors=True)
        self.tenants_folder.mkdir(parents=True)
        for name, tenant in (tenants or {}).items():
            self.write_tenant(name, tenant)
        self.config = {
            "state": "/var/lib/skep",
            "admin_socket": str(ADMIN_SOCKET),
            "admin": {"group": "skep"},
            "tenants": str(self.tenants_folder),
            "cordons": [{"name": "default", "workers": 1, "spare": False}],
            "limits": {"default": SLOW, "maximum": SLOW},
            **config,
        }
        self.write_config()
        run("systemctl", "daemon-reload")
        run("systemctl", "reset-failed", *UNITS)
        run("systemctl", "start", *UNITS)
        patient(self._has_ready_workers, "workers to be ready")
        return self

    def drop_in(self, text):
        """Adds lines to the unit's [Service]; they count from its next start on."""
        DROP_INS.mkdir(parents=True, exist_ok=True)
        (DROP_INS / "test.conf").write_text(f"[Service]\n{text}\n")
        run("systemctl", "daemon-reload")

    def restart(self):
        run("systemctl", "restart", "skepd.service")
        patient(self._has_ready_workers, "workers to be ready")

    @property
    def pid(self):
        return int(show("MainPID"))

    def is_active(self):
        return show("ActiveState") == "active"

    def restarts(self):
        return int(show("NRestarts"))

    # -- logs and figures

    def skep(self, *arguments):
        return subprocess.run(
            ["skep", *map(str, arguments)], capture_output=True, text=True, timeout=120
        )

    def workers(self):
        try:
            return self.admin("workers")["workers"]
        except OSError:
            return []

    def journal(self, *matches):
        """Returns the journal's entries of this run of the unit, as dicts."""
        lines = run("journalctl", "--boot", "-u", "skepd.service", "-o", "json", *matches)
        return [json.loads(line) for line in lines.splitlines()]

    def log(self):
        return "".join(f"{entry['MESSAGE']}\n" for entry in self.journal())

    def owner(self):
        """Returns the uid of skepd's process."""
        return os.stat(f"/proc/{self.pid}").st_uid


class Newcomers(Loader):
    """Load in which each request comes on a connection of its own. A request that is refused or lost is added to
    wrong, and the load goes on."""

    def _run(self):
        while not self._end.is_set():
            try:
                with Connection(self.skepd.address, timeout=120) as connection:
                    self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.wrong.append(error)

    def check(self):
        assert self.wrong == []
        assert self.answers > 0


def skep_user():
    return pwd.getpwnam("skep")


@functools.cache
def mentions():
    """Returns the files with skep in their names that the machine has before the package is installed."""
    return frozenset(find_mentions())


def find_mentions():
    """Returns files with skep in their names, but none of the tests' own disk, of a process, or of the log."""
    paths = run("find", "/", "-xdev", "(", "-path", "/tmp", "-o", "-path", "/var/log", ")", "-prune",
                "-o", "-iname", "*skep*", "-print").splitlines()  # fmt: skip
    runtime = run("find", "/run", "-iname", "*skep*", "-not", "-path", "/run/udev/*",
                  "-not", "-path", "/run/systemd/units/*").splitlines()  # fmt: skip
    return {path for path in paths + runtime if not re.match(r"/skep(/|$)", path)}
