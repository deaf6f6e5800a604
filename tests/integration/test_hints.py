# SPDX-License-Identifier: Apache-2.0
"""The messages of `skep` when something is wrong: the error, and what to do next."""

import grp
import json
import os
import subprocess

import pytest

from harness import BIN, script
from test_cli import as_nobody, reachable_copy_of_skep

HELLO = script('return new Response("hello\\n")')
VERBS = json.loads(subprocess.check_output([BIN / "skep", "help", "--json"]))["verbs"]
LOCAL = ("check", "dev", "help", "schema", "version")  # do not need a skepd
EXAMPLES = {"TENANT": "nosuch", "CORDON": "nosuch", "NUMBER": "4000000000", "set": "list", "export": "export nosuch"}


def first_argument(verb):
    return verb["arguments"].strip("[").split(" ")[0].rstrip("]").split("|")[0]


def skep(*arguments, **options):
    run = subprocess.run(
        [BIN / "skep", *arguments], capture_output=True, text=True, timeout=30, **options
    )
    print(run.stderr)
    return run


@pytest.fixture(scope="module")
def hive(start_module, tmp_path_factory):
    return start_module({"hello": HELLO}, state=str(tmp_path_factory.mktemp("deployed") / "state"))


@pytest.fixture
def tenant_folder(folder):
    path = folder / "tenant"
    path.mkdir()
    (path / "skep.yaml").write_text("name: t\nmain: worker.js\n")
    (path / "worker.js").write_text(HELLO)
    return path


def ask(verb, tenant_folder, *options, **more):
    argument = first_argument(verb)
    values = {**EXAMPLES, "DIR": str(tenant_folder)}
    arguments = values[argument].split(" ") if argument else []
    return skep(verb["name"], *options, *arguments, **more)


REMOTE = [pytest.param(verb, id=verb["name"]) for verb in VERBS if verb["name"] not in LOCAL]


@pytest.mark.parametrize("verb", REMOTE)
def test_without_skepd_each_verb_says_how_to_start_one(folder, tenant_folder, verb):
    run = ask(verb, tenant_folder, "--socket", folder / "nobody.sock")
    assert run.returncode == 1
    assert run.stdout == ""
    first = run.stderr.splitlines()[0]
    wanted = f"skep {verb['name']}: cannot connect to {folder}/nobody.sock: there is no such socket"
    assert first == wanted
    assert "systemctl status skepd" in run.stderr
    assert "skepd --config FILE" in run.stderr


def test_where_the_default_socket_is_missing_another_can_be_named(folder):
    environment = {**os.environ, "SKEP_SOCKET": ""}
    if os.path.exists("/run/skep/admin.sock"):
        pytest.skip("a skepd runs here")
    run = skep("status", env=environment)
    assert run.returncode == 1
    assert "/run/skep/admin.sock" in run.stderr
    assert "skep --socket PATH status, or SKEP_SOCKET" in run.stderr


@pytest.mark.parametrize("verb", [row for row in REMOTE if first_argument(row.values[0]) == "TENANT"])
def test_unknown_tenant_is_said_with_where_to_look(hive, tenant_folder, verb):
    run = ask(verb, tenant_folder, "--socket", hive.admin_socket)
    assert run.returncode == 1
    assert run.stderr.startswith(f"skep {verb['name']}: ")
    assert "`skep " in run.stderr


@pytest.mark.parametrize("verb", [row for row in REMOTE if first_argument(row.values[0]) == "CORDON"])
def test_unknown_cordon_is_said_with_where_to_look(hive, tenant_folder, verb):
    run = ask(verb, tenant_folder, "--socket", hive.admin_socket)
    assert run.returncode == 1
    assert "no such cordon: `skep workers` lists them" in run.stderr


def test_slot_without_a_worker_is_said_with_where_to_look(hive):
    run = skep("--socket", hive.admin_socket, "retire", "default", "60")
    assert run.returncode == 1
    assert "no worker in that slot: `skep workers` lists them" in run.stderr


def test_socket_that_nobody_listens_on_is_said(folder):
    import socket

    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(folder / "stale.sock"))
    run = skep("--socket", folder / "stale.sock", "status")
    assert run.returncode == 1
    assert "nobody answers there: skepd has ended" in run.stderr
    assert "systemctl status skepd" in run.stderr


def test_file_that_is_no_socket_is_said(folder):
    (folder / "file").write_text("")
    run = skep("--socket", folder / "file", "status")
    assert run.returncode == 1
    assert "that is no socket" in run.stderr


def test_path_that_is_too_long_is_said(folder):
    run = skep("--socket", folder / ("x" * 120), "status")
    assert run.returncode == 1
    assert "at most 107 bytes" in run.stderr


def test_who_may_not_connect_is_told_which_group_may(start, folder):
    skepd = start({"hello": HELLO})
    for parent in list(skepd.admin_socket.parents)[:2]:
        parent.chmod(0o755)
    run = as_nobody(reachable_copy_of_skep(folder), "--socket", skepd.admin_socket, "status")
    assert run.returncode == 1
    gid = skepd.admin_socket.stat().st_gid
    group = f"the group {grp.getgrgid(gid).gr_name} ({gid})"
    assert f"it is for its owner and {group}: run skep as root (sudo skep …)" in run.stderr
    if gid != 0:
        assert f"usermod -aG {grp.getgrgid(gid).gr_name}" in run.stderr


def test_who_may_not_see_the_socket_is_told_to_be_root(start, folder):
    skepd = start({"hello": HELLO})
    skepd.admin_socket.parent.chmod(0o700)
    run = as_nobody(reachable_copy_of_skep(folder), "--socket", skepd.admin_socket, "status")
    assert run.returncode == 1
    assert "you may not go into its folder: run skep as root" in run.stderr


@pytest.mark.parametrize("words", [["tennants"], ["help", "tennants"]])
def test_nearest_verb_is_named(words):
    run = skep(*words)
    assert run.returncode == 2
    assert 'unknown verb "tennants", did you mean "tenants"?; try "skep --help"' in run.stderr


def test_nothing_is_named_where_no_verb_is_near():
    run = skep("abracadabra")
    assert run.returncode == 2
    assert "did you mean" not in run.stderr


@pytest.mark.parametrize("verb", [pytest.param(verb, id=verb["name"]) for verb in VERBS])
def test_each_verb_names_its_help_for_an_unknown_option(verb):
    run = skep(verb["name"], "--nonsense")
    assert run.returncode == 2
    assert f'unknown option "--nonsense"; try "skep {verb["name"]} --help"' in run.stderr


NEEDED = [row for row in VERBS if row["arguments"] and not row["arguments"].startswith("[")]


@pytest.mark.parametrize("verb", [pytest.param(verb, id=verb["name"]) for verb in NEEDED])
def test_each_verb_says_which_argument_is_missing(verb):
    run = skep(verb["name"])
    assert run.returncode == 2
    word = verb["arguments"].split(" ")[0].split("|")[0].rstrip("…")
    assert word in run.stderr
    assert f'try "skep {verb["name"]} --help"' in run.stderr


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["dev", "nowhere.js"], "expected a .js or .mjs file, or a folder with skep.yaml"),
        (["dev", "text.txt"], "expected a .js or .mjs file"),
        (["dev", "worker.js", "--port", "99999"], "expected 1 to 65535"),
        (["dev", "worker.js", "--jit", "perhaps"], '"on", "baseline" or "off"'),
        (["quarantine", "t", "--for", "soon"], "expected 30s, 10m, 2h or 1d"),
        (["incidents", "-n", "x"], "a number from 1 on"),
        (["retire", "default", "x"], "expected a number"),
        (["status", "--socket"], '"--socket" needs a value'),
    ],
)
def test_wrong_value_is_said_with_what_is_expected(folder, words, wanted):
    (folder / "text.txt").write_text("")
    (folder / "worker.js").write_text(HELLO)
    run = skep(*words, cwd=folder)
    assert run.returncode in (1, 2)
    assert wanted in run.stderr


def test_check_says_what_is_expected(folder, tenant_folder):
    for path, wanted in (
        (folder / "nowhere", "cannot be read: No such file or directory"),
        (tenant_folder.parent / "empty", "no tenants: expected a skep.yaml in it, or folders that have one"),
    ):
        (folder / "empty").mkdir(exist_ok=True)
        run = skep("check", path)
        assert run.returncode == 1
        assert f"{path}: {wanted}" in run.stdout
