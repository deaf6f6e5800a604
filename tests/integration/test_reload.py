# SPDX-License-Identifier: Apache-2.0
"""A reload of skepd.yaml: the report, refusals, and keys of the service. Tenants and
workers have files of their own."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import BIN, IS_SANITIZED, Skepd, script, wait_for
from reloads import HELLO, SLOW, changes, cordons, reload, says, shared

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="to be another user takes root")


# ---- the report


def test_each_key_is_named_with_old_and_new_value(start):
    skepd = start({"a": HELLO}, cordons=cordons(workers=2))
    report = reload(skepd, drain_s=7, access_log=True, cordons=cordons(workers=3, strikes=5))
    assert report == {
        "applied": True,
        "changes": [
            {"needs_restart": False, "key": "access_log", "before": "off", "after": "on"},
            {"needs_restart": False, "key": "drain_s", "before": "10", "after": "7"},
            {
                "needs_restart": False,
                "key": "cordons.default.workers",
                "before": "2",
                "after": "3",
            },
            {
                "needs_restart": False,
                "key": "cordons.default.strikes",
                "before": "3",
                "after": "5",
            },
        ],
        "tenants": {},
        "unchanged": 1,
        "not_listed": 0,
        "errors": None,
        "tenant_errors": None,
    }
    assert reload(skepd)["changes"] == []
    skepd.config["drain_s"] = 8
    skepd.write_config()
    run = skepd.skep("reload")
    assert (run.returncode, run.stdout, run.stderr) == (0, "drain_s: 7 → 8\n", "")
    run = skepd.skep("reload")
    assert (run.returncode, run.stdout) == (0, "nothing has changed\n")


def test_keys_that_need_a_restart_stay_as_they_are_and_are_named_each_time(start):
    skepd = start({"a": HELLO})
    first = skepd.config["listen"]
    wanted = {
        "listen": ["127.0.0.1:1"],
        "admin_socket": str(skepd.folder / "other.sock"),
        "tenants": str(skepd.folder / "others"),
        "state": str(skepd.folder / "state"),
        "metrics": {"listen": "127.0.0.1:2"},
        "jail": {"minimum": "reduced"},
        "log_format": "json",
        "admin": {"group": "0"},
        "log_level": "warning",
    }
    for _ in range(2):
        report = reload(skepd, **wanted)
        needing = {c["key"] for c in report["changes"] if c["needs_restart"]}
        assert needing == {
            "listen", "admin_socket", "tenants", "state", "metrics.listen", "jail.minimum",
            "log_format", "admin.group", "storage.folder",
        }  # fmt: skip
        assert changes(report)["listen"] == (f"[{first[0]}]", "[127.0.0.1:1]")
        assert report["tenants"] == {}
        assert skepd.get("a").text == "hello"
    run = skepd.skep("reload")
    assert run.returncode == 0
    assert (
        f"listen: [{first[0]}] → [127.0.0.1:1]: needs a restart; `skep upgrade` does it without "
        "losing a request\n" in run.stdout
    )
    assert "log_level" not in run.stdout


# ---- errors


@pytest.mark.parametrize("how", ["verb", "signal"])
def test_wrong_config_changes_nothing_and_is_named_with_its_line(start, how):
    skepd = start({"a": HELLO})
    before = skepd.worker()["pid"]
    skepd.write_tenant("b", HELLO)
    skepd.config.update(cordons=cordons(workers=3), http={"connections": 0})
    skepd.write_config()
    wrong = r"skepd.yaml:\d+: http.connections|skepd.yaml:\d+: 0 is out of range"
    if how == "verb":
        run = skepd.skep("reload")
        assert (run.returncode, run.stdout) == (1, "")
        assert "skepd.yaml:" in run.stderr and "0 is out of range" in run.stderr
        assert "nothing has changed" in run.stderr
        report = json.loads(skepd.skep("reload", "--json").stdout)
        assert (report["applied"], report["changes"]) == (False, [])
        assert "0 is out of range: expected 1 to 1000000" in report["errors"]
    else:
        os.kill(skepd.pid, signal.SIGHUP)
    skepd.wait_log(wrong)
    skepd.wait_log("nothing has changed")
    assert [w["pid"] for w in shared(skepd)] == [before]
    assert skepd.get("a").text == "hello"
    assert skepd.get("b").code == "no_route"


def test_config_that_is_gone_or_no_yaml_changes_nothing(start):
    skepd = start({"a": HELLO})
    (skepd.folder / "skepd.yaml").write_text("listen: [\n")
    assert skepd.skep("reload").returncode == 1
    (skepd.folder / "skepd.yaml").unlink()
    run = skepd.skep("reload")
    assert run.returncode == 1
    assert "cannot be read: No such file" in run.stderr
    assert skepd.get("a").text == "hello"
    assert reload(skepd)["applied"]


def test_cordon_that_a_tenant_needs_cannot_go(start):
    skepd = start(
        {"a": HELLO, "b": {"cordon": "other", "files": {"worker.js": HELLO}}},
        cordons=[*cordons(), {"name": "other", "workers": 1}],
    )
    report = reload(skepd, cordons=cordons(workers=3))
    assert not report["applied"]
    assert 'b/skep.yaml:1: cordon: unknown cordon "other"' in report["errors"]
    assert len(shared(skepd)) == 1
    assert skepd.get("b").text == "hello"
    # The same for limits that a cordon allows.
    skepd.config["cordons"] = [*cordons(), {"name": "other", "workers": 1, "allow_unlimited": True}]
    skepd.write_tenant(
        "b", {"cordon": "other", "limits": {"wall_ms": "unlimited"}, "files": {"worker.js": HELLO}}
    )
    assert reload(skepd)["tenants"] == {"b": "changed"}
    wait_for(lambda: skepd.tenant("b")["limits"]["wall_ms"] is None, "the new version")
    report = reload(skepd, cordons=[*cordons(), {"name": "other", "workers": 1}])
    assert not report["applied"]
    assert "allow_unlimited" in report["errors"]
    # And for code from strings.
    skepd.write_tenant("b", {"eval": "on", "files": {"worker.js": HELLO}})
    assert reload(skepd)["tenants"] == {"b": "changed"}
    report = reload(skepd, cordons=cordons(eval="load"))
    assert not report["applied"]
    assert 'eval: "on" is not allowed: expected load, or eval: on in cordon "default"' in report["errors"]
    skepd.write_tenant("b", {"files": {"worker.js": HELLO}})
    assert reload(skepd, cordons=cordons(eval="load"))["applied"]


# ---- the service


def test_http_limits_change_for_connections_that_are_open(start):
    skepd = start({"a": HELLO}, http={"keepalive_ms": 60000})
    with skepd.connect() as idle:
        assert idle.request("GET", "a.test").text == "hello"
        began = time.monotonic()
        report = reload(
            skepd, http={"keepalive_ms": 300, "header_bytes": 1024, "connections_per_ip": 2}
        )
        assert changes(report)["http.keepalive_ms"] == ("60000", "300")
        assert idle.socket.recv(1) == b""
        assert 0.2 < time.monotonic() - began < 5
    assert skepd.get("a", headers=[("X", "y" * 2000)]).status == 431
    with skepd.connect() as first, skepd.connect() as second:
        assert first.request("GET", "a.test").status == 200
        assert second.request("GET", "a.test").status == 200
        assert skepd.get("a").status == 503
    reload(skepd, http={"header_bytes": 16384, "header_count": 500})
    answer = skepd.get("a", headers=[(f"X-{i}", "y") for i in range(400)])
    assert answer.status == 200


def test_log_level_changes(start):
    skepd = start({"a": script('console.log("a line"); return new Response("hello")')})
    skepd.get("a")
    skepd.wait_log("a line")
    reload(skepd, log_level="error")
    size = len(skepd.log())
    assert skepd.get("a").text == "hello"
    skepd.wait_idle()
    assert skepd.log()[size:] == ""
    reload(skepd, log_level="info")
    skepd.get("a")
    wait_for(lambda: "a line" in skepd.log()[size:], "lines of the tenant")


def test_reload_is_refused_while_skepd_ends(start):
    skepd = start({"a": SLOW})
    thread = threading.Thread(target=skepd.get, args=("a",))
    thread.start()
    skepd.wait_log("entered")
    os.kill(skepd.pid, signal.SIGTERM)
    skepd.wait_log("stopping")
    run = skepd.skep("reload")
    assert run.returncode == 1
    assert "skepd is ending" in run.stderr
    thread.join()


def test_reload_takes_no_arguments(start):
    skepd = start({"a": HELLO})
    assert skepd.skep("reload", "x").returncode == 2


@needs_root
def test_who_may_come_changes(start, folder):
    skepd = start({"a": HELLO})
    folder.chmod(0o755)
    shutil.copy(BIN / "skep", folder / "skep")
    skepd.folder.parent.chmod(0o711)
    skepd.admin_socket.chmod(0o666)
    ask = [*AS_NOBODY, folder / "skep", "--socket", skepd.admin_socket, "status"]

    def may_come():
        run = subprocess.run(ask, capture_output=True, text=True, timeout=30)
        return run.returncode == 0

    assert not may_come()
    report = reload(skepd, admin={"write": {"uids": [NOBODY]}})
    assert changes(report) == {"admin.write.uids": ("[]", f"[{NOBODY}]")}
    assert may_come()
    reload(skepd, admin={})
    assert not may_come()


# ---- with the rights that skepd has left


@needs_root
@pytest.mark.skipif(IS_SANITIZED, reason="sanitizer builds are not confined, and have no jail")
def test_skepd_of_a_user_without_privileges_reads_its_config_again(folder):
    skepd = Skepd(folder, {"a": HELLO})
    for name in ("program", "worker_program"):
        copy = folder / name
        shutil.copy(getattr(skepd, name), copy)
        setattr(skepd, name, copy)
    shutil.chown(folder, NOBODY, NOBODY)
    skepd.launcher = AS_NOBODY
    try:
        skepd.start()
        skepd.write_tenant("b", says("b"))
        report = reload(skepd, drain_s=5)
        assert changes(report) == {"drain_s": ("10", "5")}
        assert skepd.get("b").text == "b"
        (folder / "skepd.yaml").chmod(0o600)  # root's
        run = skepd.skep("reload")
        assert run.returncode == 1
        assert "Permission denied" in run.stderr and "without capabilities" in run.stderr
        assert skepd.get("a").text == "hello"
    finally:
        skepd.stop()


def test_config_that_was_a_link_becomes_a_file(folder):
    (folder / "elsewhere").mkdir()
    (folder / "etc").mkdir()
    skepd = Skepd(folder / "etc", {"a": HELLO}, tenants_folder=folder / "tenants")
    path = skepd.folder / "skepd.yaml"
    path.rename(folder / "elsewhere" / "skepd.yaml")
    path.symlink_to(folder / "elsewhere" / "skepd.yaml")
    try:
        skepd.start()
        assert reload(skepd, drain_s=5)["applied"]  # the file is written through the link
        path.unlink()
        assert changes(reload(skepd, drain_s=6)) == {"drain_s": ("5", "6")}
    finally:
        skepd.stop()


def test_config_is_replaced_by_another_file_or_link(start):
    """Replaces the file as editors, and tools for configuration, do."""
    skepd = start({"a": HELLO})
    path = skepd.folder / "skepd.yaml"
    for i, place in enumerate(("new.yaml", "below/skepd.yaml")):
        other = skepd.folder / place
        other.parent.mkdir(exist_ok=True)
        other.write_text(json.dumps({**json.loads(path.read_text()), "drain_s": 5 + i}))
        if i == 0:
            other.rename(path)
        else:
            path.unlink()
            path.symlink_to(place)
        run = skepd.skep("reload")
        assert (run.returncode, run.stdout) == (0, f"drain_s: {(10, 5)[i]} → {5 + i}\n"), run.stderr
