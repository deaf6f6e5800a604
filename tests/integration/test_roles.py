# SPDX-License-Identifier: Apache-2.0
"""Rights on the admin socket, tried by processes with other uids and groups. Needs root."""

import json
import os
import pathlib
import stat
import subprocess
import tempfile

import pytest

from admin_client import MESSAGES, AdminClient, Refused
from harness import SKEPD, Skepd, script

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be somebody else")

HELLO = script('console.log("said"); return new Response("hello");')
HERE = pathlib.Path(__file__).resolve().parent
GROUP, READERS, WRITERS = 61001, 61002, 61003
READER, WRITER, NOBODY = 61010, 61011, 61012

READ = {
    "stats", "workers", "tenants", "logs", "log_tail", "incidents", "status", "jail_report",
    "explain", "top", "versions", "secrets", "egress",
}  # fmt: skip

# A program that runs as another user: {command: values} in, {command: "ok" or the error} out. Fed by standard
# input, since others may not reach the checkout.
AS_SOMEBODY = """
import json, sys
out = {}
try:
    with AdminClient(sys.argv[1]) as client:
        for command, values in json.loads(sys.argv[2]).items():
            try:
                client.ask(command, **values)
                out[command] = "ok"
            except Refused as why:
                out[command] = str(why)
except (OSError, Closed) as error:
    out = type(error).__name__
print(json.dumps(out))
"""


def source():
    """Returns admin_client.py as one text that needs no file but its arguments."""
    text = (HERE / "admin_client.py").read_text()
    proto = (HERE.parents[1] / "proto" / "admin.proto").read_text()
    text = text.replace("PROTO.read_text()", repr(proto))
    return text.replace(
        'PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto" / "admin.proto"', "PROTO = None"
    )


def ask_as(skepd, uid, gid=65534, groups=(), **commands):
    run = subprocess.run(
        ["/usr/bin/python3", "-I", "-", str(skepd.admin_socket), json.dumps(commands)],
        input=source() + AS_SOMEBODY,
        user=uid,
        group=gid,
        extra_groups=list(groups),
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def start_open(start):
    """A skepd whose folder others can reach."""

    def start_one(tenants=None, **config):
        skepd = start(tenants or {"a": HELLO}, **config)
        for folder in (skepd.folder, skepd.folder.parent):
            folder.chmod(0o755)
        return skepd

    return start_one


def test_socket_has_its_group_and_mode(start_open):
    for group in (GROUP, "daemon"):
        skepd = start_open(admin={"group": str(group)})
        state = os.stat(skepd.admin_socket)
        assert stat.S_IMODE(state.st_mode) == 0o660
        assert state.st_uid == 0
        assert state.st_gid == (1 if group == "daemon" else group)


def test_group_that_is_not_there_is_an_error_with_a_hint(folder):
    skepd = Skepd(folder, config={"admin": {"group": "no-such-group"}})
    run = subprocess.run(skepd.command(), capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert 'no group "no-such-group"' in run.stderr and "groupadd" in run.stderr
    assert not skepd.admin_socket.exists()


def test_group_that_skepd_may_not_give_is_an_error_with_a_hint():
    with tempfile.TemporaryDirectory(prefix="skep-") as name:
        folder = pathlib.Path(name)
        skepd = Skepd(folder, config={"admin": {"group": str(GROUP)}})
        copy = folder / "bin"
        copy.mkdir()
        subprocess.run(["cp", SKEPD, skepd.worker_program, copy], check=True)
        subprocess.run(["chown", "-R", f"{NOBODY}:65534", folder], check=True)
        command = [copy / "skepd", *skepd.command()[1:-1], copy / "skep-worker"]
        run = subprocess.run(
            command, user=NOBODY, group=65534, extra_groups=[], capture_output=True, text=True,
            timeout=60, cwd="/", env={},
        )  # fmt: skip
        if "jail" in run.stderr and "admin" not in run.stderr:
            pytest.skip("this host gives no whole jail to a user")
        assert run.returncode == 1
        assert "cannot give the admin socket to group 61001" in run.stderr
        assert "as root or as a member" in run.stderr
        assert not skepd.admin_socket.exists()


def all_commands():
    """Returns each command of admin.proto, with values with which it fails after the check of the right."""
    values = {"name": "nobody", "cordon": "nothing", "tenant": "nobody"}
    return {
        name: {f: values[f] for _, _, f in MESSAGES[kind].values() if f in values}
        for _, kind, name in MESSAGES["Command"].values()
    }


def test_each_command_has_its_role(start_open):
    """The commands that the page lists need the right to read; all others, also new ones, the right to write."""
    skepd = start_open(admin={"group": str(GROUP), "read": {"uids": [READER]}})
    answers = ask_as(skepd, READER, groups=[GROUP], **all_commands())
    refused = {name for name, text in answers.items() if "right to write" in text}
    assert set(answers) - refused == READ
    assert all("admin.write" in answers[name] for name in refused)
    assert {"reload", "load", "quarantine", "release", "retire"} <= refused
    assert skepd.stats()["quarantined"] == 0


@pytest.mark.parametrize(
    "who",
    [
        {"uid": WRITER, "gid": GROUP},
        {"uid": NOBODY, "gid": WRITERS, "groups": [GROUP]},
        {"uid": NOBODY, "groups": [GROUP, *range(62000, 62100), WRITERS]},
        {"uid": 0},
    ],
)
def test_writers_may_write_and_read(start_open, who):
    roles = {"write": {"uids": [WRITER], "gids": [WRITERS]}, "read": {"uids": [WRITER]}}
    skepd = start_open(admin={"group": str(GROUP), **roles})
    assert ask_as(skepd, **who, stats={}, load={"name": "a"}) == {"stats": "ok", "load": "ok"}


def test_readers_by_group_may_read_and_stay_connected(start_open):
    skepd = start_open(admin={"group": str(GROUP), "read": {"gids": [READERS]}})
    answers = ask_as(
        skepd, NOBODY, groups=[GROUP, READERS], stats={}, quarantine={"name": "a"}, status={}
    )
    assert (answers["stats"], answers["status"]) == ("ok", "ok")
    assert "admin.write" in answers["quarantine"]
    assert not skepd.tenant("a")["quarantined"]


def test_group_alone_may_read_as_long_as_no_role_is_given(start_open):
    skepd = start_open(admin={"group": str(GROUP)})
    answers = ask_as(skepd, NOBODY, groups=[GROUP], stats={}, load={"name": "a"})
    assert answers["stats"] == "ok"
    assert "admin.write" in answers["load"]
    skepd = start_open(admin={"group": str(GROUP), "write": {"uids": [WRITER]}})
    assert "admin.read" in ask_as(skepd, NOBODY, groups=[GROUP], stats={})["stats"]


def test_others_are_kept_out_by_the_file_and_by_their_role(start_open):
    skepd = start_open(admin={"group": str(GROUP), "read": {"uids": [READER]}})
    assert ask_as(skepd, READER, stats={}) == "PermissionError"  # not in the group
    skepd.admin_socket.chmod(0o666)
    assert ask_as(skepd, READER, stats={}) == {"stats": "ok"}
    assert "admin.read" in ask_as(skepd, NOBODY, stats={})["stats"]
    skepd.wait_log(rf"admin client \(uid {NOBODY}, pid \d+\) is refused")


def test_skep_says_what_to_do_without_the_right(start_open):
    from harness import BIN

    skepd = start_open(admin={"group": str(GROUP), "read": {"uids": [READER]}})
    copy = skepd.folder / "skep"
    subprocess.run(["cp", BIN / "skep", copy], check=True)
    run = subprocess.run(
        [copy, "--socket", skepd.admin_socket, "quarantine", "a"],
        user=READER, group=GROUP, extra_groups=[], capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert run.returncode == 1
    assert "admin.write" in run.stderr and "sudo skep" in run.stderr


REVOKED = """
import sys
with AdminClient(sys.argv[1]) as client:
    client.ask("logs")
    client.ask("load", name="a")
    print("ready", flush=True)
    sys.stdin.readline()
    for command in ("load", "stats"):
        try:
            client.ask(command)
            print("ok", flush=True)
        except Refused as why:
            print(why, flush=True)
    sys.stdin.readline()
    print(len(client.lines), flush=True)
"""


def test_role_that_a_reload_takes_is_gone_at_once_also_on_an_open_connection(start_open):
    skepd = start_open(admin={"group": str(GROUP), "write": {"uids": [WRITER]}})
    client = subprocess.Popen(
        ["/usr/bin/python3", "-I", "-c", source() + REVOKED, str(skepd.admin_socket)],
        user=WRITER, group=GROUP, extra_groups=[], text=True, cwd="/",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    def step():
        client.stdin.write("\n")
        client.stdin.flush()

    assert client.stdout.readline() == "ready\n"
    skepd.config["admin"]["write"] = {"uids": [READER]}
    skepd.write_config()
    assert skepd.skep("reload").returncode == 0
    skepd.get("a")  # logs a line, which the client may not get any more
    skepd.wait_log("said")
    step()
    for _ in range(2):
        assert "your right to use the admin socket has ended" in client.stdout.readline()
    step()
    assert client.communicate(timeout=20)[0] == "0\n"
    assert client.returncode == 0


FLOOD = """
import sys, time
clients, refused = [], 0
for _ in range(60):
    client = AdminClient(sys.argv[1])
    try:
        client.ask("stats")
        clients.append(client)
    except (Refused, Closed, OSError) as why:
        refused += 1
print(len(clients), refused, flush=True)
sys.stdin.close()
time.sleep(60)
"""


def flood_as(skepd, uid):
    flood = subprocess.Popen(
        ["/usr/bin/python3", "-I", "-c", source() + FLOOD, str(skepd.admin_socket)],
        user=uid, group=GROUP, extra_groups=[], stdout=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    served, refused = map(int, flood.stdout.readline().split())
    assert served + refused == 60
    return flood, served


def test_users_that_flood_do_not_keep_root_out(start_open):
    skepd = start_open(admin={"group": str(GROUP)})
    floods = [flood_as(skepd, READER + i) for i in range(5)]
    try:
        assert [served for _, served in floods] == [8, 8, 8, 0, 0]
        mine = [AdminClient(skepd.admin_socket) for _ in range(7)]
        for client in mine:
            assert client.ask("stats")["pid"] == skepd.pid
        assert skepd.stats()["pid"] == skepd.pid
        for client in mine:
            client.close()
    finally:
        for flood, _ in floods:
            flood.kill()
            flood.wait()
            flood.stdout.close()
    # The client's connections are free again.
    assert ask_as(skepd, READER, gid=GROUP, stats={}) == {"stats": "ok"}
