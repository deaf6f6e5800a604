# SPDX-License-Identifier: Apache-2.0
"""The Debian package: installation, start, upgrade, removal."""

import os
import pathlib
import pwd
import socket
import stat
import subprocess

from harness import script, status_of
from host import cgroup_of, patient, run
from packaged import (
    ADMIN_SOCKET, ETC, OLD, UNITS, Newcomers, dpkg, find_mentions, installed_version, mentions,
    other_package, package_version, show, skep_user,
)  # fmt: skip

HELLO = script('return new Response("hello")')


def units_that(what):
    command = ["systemctl", what, *UNITS]
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


def is_refused():
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", 8080)) != 0


def test_first_installation_starts_it(bare):
    service = bare
    run("apt-get", "install", "--yes", "--no-install-recommends", OLD)
    assert installed_version() == package_version(OLD)
    assert units_that("is-enabled") == ["enabled"] * 2
    assert units_that("is-active") == ["active"] * 2
    assert skep_user().pw_shell == "/usr/sbin/nologin"
    assert service.owner() == skep_user().pw_uid
    patient(service._has_ready_workers, "workers to be ready")
    # The service answers, though it has no tenant yet.
    assert service.get("nobody.example").status == 404
    assert service.admin("status")["jail"] == "full"
    assert show("SubState", "skepd.socket") == "running"
    assert show("UnitFileState", "skepd-metrics.socket") == "disabled"


def test_folders_and_sockets_are_for_whom_they_should_be(service):
    service.set_up({"a": HELLO})
    user = skep_user()
    state = os.stat("/var/lib/skep")
    assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o700, user.pw_uid)
    admin = ADMIN_SOCKET.stat()
    assert (stat.S_IMODE(admin.st_mode), admin.st_gid) == (0o660, user.pw_gid)
    config = (ETC / "skepd.yaml").stat()
    assert (config.st_uid, config.st_mode & 0o022) == (0, 0)
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    member = ["setpriv", "--reuid=nobody", "--regid=skep", "--clear-groups"]
    assert subprocess.run([*nobody, "skep", "tenants"], capture_output=True).returncode != 0
    assert "a" in run(*member, "skep", "tenants")
    assert subprocess.run([*member, "skep", "retire", "0"], capture_output=True).returncode != 0


def test_first_request_starts_the_service(service):
    service.set_up({"a": HELLO})
    run("systemctl", "stop", "skepd.service")
    assert units_that("is-active") == ["active", "inactive"]
    assert service.get("a").text == "hello"
    assert service.is_active()


def test_exposure_of_the_running_unit_is_low(service):
    service.set_up()
    run("systemd-analyze", "security", "--threshold=15", "skepd.service")


def namespaces(pid):
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in os.listdir(f"/proc/{pid}/ns")}


def test_hardening_is_active(service):
    service.set_up({"a": HELLO})
    pid = service.pid
    status = status_of(pid)
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert int(status["Seccomp_filters"]) > 1  # skepd's own filter, and those of the unit
    own, host = namespaces(pid), namespaces(1)
    assert own["net"] != host["net"] and own["mnt"] != host["mnt"] and own["uts"] != host["uts"]
    mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
    assert "hidepid=invisible" in mounts and "subset=pid" in mounts
    listening = pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    assert listening == []
    # As skepd's user in skepd's namespaces, without its filters.
    inside = ["nsenter", f"--target={pid}", "--mount", "setpriv", "--reuid=skep", "--regid=skep",
              "--clear-groups"]  # fmt: skip
    for path in ("/usr/made", "/etc/skep/made", "/var/lib/made", "/sys/fs/cgroup/made"):
        assert subprocess.run([*inside, "touch", path], capture_output=True).returncode != 0, path
    run(*inside, "touch", "/var/lib/skep/made", "/run/skep/made")
    for path in ("/home", "/root"):
        seen = subprocess.run([*inside, "ls", "-A", path], capture_output=True, text=True)
        assert seen.returncode != 0 or seen.stdout == "", path
    assert not pathlib.Path(f"/proc/{pid}/root/dev/vda").exists()


def test_jail_is_full_below_the_hardening(service):
    service.set_up({"a": HELLO})
    status = service.admin("status")
    assert status["jail"] == "full"
    assert set(status["own_layers"].values()) == {"active"}
    assert {worker["finding"] for worker in service.admin("jail-report")["workers"]} == {None}
    assert service.worker()["rss_kib"] > 1024
    leaf = cgroup_of(service.pid)
    assert (leaf.name, leaf.parent.name) == ("supervisor", "skepd.service")
    assert cgroup_of(service.worker()["pid"]).parent == leaf.parent


def test_way_out_is_for_skepd_alone(service):
    service.set_up({"a": HELLO})
    where = "/run/skep-egress/egress.sock"
    status = os.stat(where)
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, skep_user().pw_uid)
    connect = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{where}'); assert s.recv(1)"
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "python3", "-c", connect]
    assert subprocess.run(nobody, capture_output=True).returncode != 0
    assert show("ActiveState", "skep-egress.service") == "inactive"
    # As skepd's user, in skepd's namespaces.
    run("nsenter", f"--target={service.pid}", "--mount", "--net", "setpriv", "--reuid=skep", "--regid=skep",
        "--clear-groups", "python3", "-c", connect)  # fmt: skip
    pid = int(show("MainPID", "skep-egress.service"))
    own = status_of(pid)
    assert set(own["Uid"].split()) == {str(pwd.getpwnam("skep-egress").pw_uid)}
    assert {int(own[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (own["NoNewPrivs"].strip(), own["Seccomp"].strip()) == ("1", "2")
    assert namespaces(pid)["net"] == namespaces(1)["net"] != namespaces(service.pid)["net"]


# ---- upgrades


def is_of_the_package(pid):
    """Whether the program that runs is the file that is installed now."""
    running = os.stat(f"/proc/{pid}/exe")
    target = os.readlink(f"/proc/{pid}/exe")
    return not target.endswith("(deleted)") and os.path.samestat(running, os.stat(target))


def test_upgrade_under_load_refuses_no_connection(service):
    service.set_up({"a": HELLO})
    before = service.pid, service.worker()["pid"]
    other = other_package()
    with Newcomers(service, "a") as load:
        load.more(5)
        dpkg("--install", other)
        load.more(20)
    load.check()
    assert installed_version() == package_version(other)
    assert service.is_active()
    assert is_of_the_package(service.pid)
    patient(service._has_ready_workers, "workers to be ready")
    assert service.worker()["pid"] != before[1]
    assert service.get("a").text == "hello"
    assert (ETC / "skepd.yaml").read_text().startswith("{"), "the operator's configuration"


def test_upgrade_leaves_off_what_was_off(service):
    service.set_up()
    run("systemctl", "disable", "--now", *UNITS)
    dpkg("--install", other_package())
    assert units_that("is-enabled") == ["disabled"] * 2
    assert units_that("is-active") == ["inactive"] * 2
    run("systemctl", "enable", *UNITS)


# ---- removal


def uids():
    return {os.stat(path).st_uid for path in pathlib.Path("/proc").glob("[0-9]*")}


def test_removed_package_keeps_what_the_operator_has(service):
    service.set_up({"a": HELLO})
    uid = skep_user().pw_uid
    dpkg("--remove", "skep")
    assert is_refused()
    patient(lambda: uid not in uids(), "all processes to end")
    assert (ETC / "skepd.yaml").exists() and (ETC / "tenants" / "a").exists()
    assert pathlib.Path("/var/lib/skep").exists()
    dpkg("--install", OLD)
    assert units_that("is-active") == ["active"] * 2
    assert service.get("a").text == "hello"


def test_purged_package_leaves_nothing_but_its_user(service):
    service.set_up({"a": HELLO})
    uid = skep_user().pw_uid
    dpkg("--purge", "skep")
    assert is_refused()
    patient(lambda: uid not in uids(), "all processes to end")
    assert find_mentions() - mentions() == set()
    assert [user.pw_name for user in pwd.getpwall() if user.pw_uid == uid] == ["skep"]
    assert "skepd" not in run("systemctl", "list-units", "--all", "--plain", "--no-legend", "skepd*")
