# SPDX-License-Identifier: Apache-2.0
"""skep secrets, and secrets that skepd.yaml gives: who gets a value, when another one counts, and where it never is."""

import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from deploying import Deployer, store_of
from dev_server import Dev
from harness import BIN, descendants, free_port, script, wait_for
from upgradable import Upgradable

SHOW = script("return Response.json([env.API_KEY ?? null, Object.keys(env)]);")
MARKER = "Marker-7f3Kq2-value"
NAMED = [{"name": "API_KEY"}]


def make_key(path, content=None):
    path.write_bytes(content or os.urandom(32))
    path.chmod(0o400)
    return path


class Keeper(Deployer):
    def __init__(self, folder, tenants=None, **keys):
        self.key = make_key(folder / "secrets.key")
        super().__init__(folder, tenants, **{"secrets": {"key": str(self.key)}, **keys})

    def run(self, *arguments, value=None):
        command = [BIN / "skep", "--socket", self.skepd.admin_socket, "secrets", *arguments]
        return subprocess.run(command, input=value, capture_output=True, text=True, timeout=30)

    def set(self, tenant, name, value):
        """Sets a secret, which must succeed. Returns the answer."""
        run = self.run("set", tenant, name, "--json", value=value)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def refused(self, *arguments, value=None):
        run = self.run(*arguments, value=value)
        assert (run.returncode, run.stdout) == (1, "")
        return run.stderr

    def rows(self, *tenant):
        run = self.run("list", *tenant, "--json")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)["secrets"]

    def value(self, tenant):
        return json.loads(self.text(tenant))[0]

    def wait_value(self, tenant, value):
        wait_for(lambda: self.value(tenant) == value, f"the value {value!r}")

    def folder_of(self, tenant):
        return self.state / "secrets" / tenant


@pytest.fixture
def keeper(tmp_path):
    made = Keeper(tmp_path)
    yield made
    made.skepd.stop()


# ---- set, use, list, remove


def test_tenant_gets_its_secret_and_no_other_one(keeper):
    """The value may be set before the tenant is there. A line end at its end does not count."""
    answer = keeper.set("shop", "API_KEY", MARKER + "\n")
    assert (answer["tenant"], answer["name"], answer["replaced"]) == ("shop", "API_KEY", False)
    keeper.deploy("shop", SHOW, secrets=NAMED)
    assert json.loads(keeper.text("shop")) == [MARKER, ["API_KEY"]]
    keeper.deploy("other", SHOW)
    assert json.loads(keeper.text("other")) == [None, []]
    error = keeper.fail("deploy", keeper.bundle("other", SHOW, secrets=NAMED))
    assert "API_KEY is not set: `skep secrets set other API_KEY` sets it" in error
    (row,) = keeper.rows()
    assert (row["tenant"], row["name"], row["origin"], row["used"]) == ("shop", "API_KEY", "kept", "env")
    assert row["uid"] == os.getuid() and row["time_ms"] > 0
    assert keeper.rows("other") == []


def test_deploy_without_its_secret_says_what_to_do_and_the_old_version_serves(keeper):
    keeper.deploy("shop", script("return new Response('old')"))
    error = keeper.fail("deploy", keeper.bundle("shop", SHOW, secrets=NAMED))
    assert "skep.yaml" in error and "`skep secrets set shop API_KEY`" in error
    assert keeper.text("shop") == "old"
    keeper.set("shop", "API_KEY", "v")
    keeper.deploy("shop", SHOW, secrets=NAMED)
    assert keeper.value("shop") == "v"


def test_another_value_counts_without_a_deploy(keeper):
    keeper.set("shop", "API_KEY", "one")
    keeper.deploy("shop", SHOW, secrets=NAMED)
    version = keeper.versions("shop")[0]["version"]
    assert keeper.value("shop") == "one"
    assert keeper.set("shop", "API_KEY", "two")["replaced"] is True
    keeper.wait_value("shop", "two")
    assert [row["version"] for row in keeper.versions("shop")] == [version]
    keeper.restart()
    assert keeper.value("shop") == "two"


def test_request_under_way_ends_in_its_isolate(keeper):
    source = """export default { async fetch(request, env) {
        if (new URL(request.url).pathname === '/slow') {
            const body = await request.text();
            return new Response(env.API_KEY + body);
        }
        return Response.json([env.API_KEY]);
    } };"""
    keeper.set("shop", "API_KEY", "one")
    keeper.deploy("shop", source, secrets=NAMED)
    with keeper.skepd.connect() as connection:
        connection.socket.sendall(b"POST /slow HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nab")
        wait_for(lambda: keeper.skepd.stats()["in_flight"] == 1, "the request")
        keeper.set("shop", "API_KEY", "two")
        keeper.wait_value("shop", "two")
        connection.socket.sendall(b"c")
        assert connection.read_response().body == b"oneabc"


def test_secret_that_is_used_cannot_be_removed(keeper):
    keeper.set("shop", "API_KEY", "one")
    keeper.deploy("shop", SHOW, secrets=NAMED)
    assert "shop uses API_KEY" in keeper.refused("remove", "shop", "API_KEY")
    keeper.set("shop", "UNUSED", "x")
    run = keeper.run("remove", "shop", "UNUSED")
    assert run.stdout == "UNUSED of shop is removed\n", run.stderr
    assert "has no secret UNUSED" in keeper.refused("remove", "shop", "UNUSED")
    assert [row["name"] for row in keeper.rows("shop")] == ["API_KEY"]
    assert {path.name for path in keeper.folder_of("shop").iterdir()} == {".owner", "API_KEY"}


def test_removed_tenant_takes_its_secrets_along(keeper):
    keeper.set("shop", "API_KEY", MARKER)
    keeper.deploy("shop", SHOW, secrets=NAMED)
    kept = keeper.state.parent / "copy"
    shutil.copytree(keeper.folder_of("shop"), kept)
    keeper.ask("remove", "shop")
    assert keeper.rows() == [] and not keeper.folder_of("shop").exists()
    keeper.fail("deploy", keeper.bundle("shop", SHOW, secrets=NAMED))
    # Somebody puts the old file back, below the new tenant's id.
    keeper.set("shop", "OTHER", "x")
    shutil.copy(kept / "API_KEY", keeper.folder_of("shop"))
    keeper.restart()
    assert "it is of a tenant of this name that was removed" in keeper.skepd.log()
    assert [row["problem"] for row in keeper.rows() if row["name"] == "API_KEY"] == ["other_tenant"]
    error = keeper.fail("deploy", keeper.bundle("shop", SHOW, secrets=NAMED))
    assert "is of a tenant of this name that was removed" in error
    keeper.set("shop", "API_KEY", "new")
    keeper.deploy("shop", SHOW, secrets=NAMED)
    assert keeper.value("shop") == "new"


# ---- values and names


@pytest.mark.parametrize("value, told", [
    ("", "no byte"), ("\n", "no byte"), ("x" * 32769, "more than 32 KiB"), ("a\0b", "not UTF-8"),
])  # fmt: skip
def test_values_that_are_refused(keeper, value, told):
    assert told in keeper.refused("set", "shop", "API_KEY", value=value)
    assert keeper.rows() == []


def test_largest_value_and_all_of_utf8(keeper):
    keeper.deploy("other")
    for value in ("x" * 32768, "ä\u2028\n \U0001f511 \\\" '\n"):
        keeper.set("shop", "API_KEY", value + "\n")
        keeper.deploy("shop", SHOW, secrets=NAMED)
        keeper.wait_value("shop", value)


@pytest.mark.parametrize("tenant, name", [("Shop", "A"), ("shop", "9A"), ("shop", "a-b"), ("shop", "A" * 65), ("..", "A")])
def test_names_that_are_refused(keeper, tenant, name):
    assert "not the name of a" in keeper.refused("set", tenant, name, value="x")


def test_a_tenant_has_at_most_64(keeper):
    for i in range(64):
        keeper.set("shop", f"S{i}", "x")
    assert "shop has 64 secrets" in keeper.refused("set", "shop", "S64", value="x")
    keeper.set("shop", "S0", "y")
    assert len(keeper.rows("shop")) == 64


@pytest.mark.parametrize("arguments", [[], ["set", "shop"], ["list", "a", "b"], ["show", "shop", "A"]])
def test_wrong_usage(keeper, arguments):
    assert keeper.run(*arguments, value="x").returncode == 2


# ---- keys


def test_without_a_key_nothing_is_kept(tmp_path):
    deployer = Deployer(tmp_path)
    try:
        run = subprocess.run(
            [BIN / "skep", "--socket", deployer.skepd.admin_socket, "secrets", "set", "shop", "A"],
            input="x", capture_output=True, text=True,
        )  # fmt: skip
        assert run.returncode == 1 and "head -c 32 /dev/urandom" in run.stderr
        assert not (deployer.state / "secrets").exists()
    finally:
        deployer.skepd.stop()


def test_another_key_opens_nothing_and_the_log_says_so(keeper):
    keeper.set("shop", "API_KEY", MARKER)
    keeper.deploy("shop", SHOW, secrets=NAMED)
    right = keeper.key.read_bytes()
    keeper.key.unlink()
    make_key(keeper.key)
    keeper.restart()
    assert "1 secrets in" in keeper.skepd.log() and "were sealed with another key than" in keeper.skepd.log()
    assert [row["problem"] for row in keeper.rows()] == ["other_key"]
    assert keeper.skepd.get("shop").status == 503
    keeper.set("blog", "API_KEY", "x")
    assert keeper.set("shop", "OTHER", "x")["note"] == "skep.yaml of shop names API_KEY"
    keeper.key.unlink()
    make_key(keeper.key, right)
    keeper.restart()
    assert keeper.value("shop") == MARKER


@pytest.mark.parametrize("change, told", [
    (lambda key, state: key.unlink(), "`head -c 32 /dev/urandom` makes one"),
    (lambda key, state: (key.chmod(0o600), key.write_bytes(b"x" * 33)), "not exactly 32 bytes"),
    (lambda key, state: key.chmod(0o440), "others may read it"),
])  # fmt: skip
def test_wrong_keys_keep_skepd_from_starting(keeper, change, told):
    keeper.skepd.stop()
    change(keeper.key, keeper.state)
    command = keeper.skepd.command()
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=keeper.skepd.folder)
    assert run.returncode == 1 and told in run.stderr
    # Where there is a file, the advice to write over it would destroy all secrets.
    assert ("/dev/urandom" in run.stderr) == (not keeper.key.exists())


def test_key_in_the_state_folder_is_refused(keeper):
    keeper.skepd.stop()
    shutil.move(keeper.key, keeper.state / "secrets.key")
    keeper.skepd.config["secrets"] = {"key": str(keeper.state / "secrets.key")}
    keeper.skepd.write_config()
    run = subprocess.run(keeper.skepd.command(), capture_output=True, text=True, timeout=30, cwd=keeper.skepd.folder)
    assert run.returncode == 1 and "it is in the state folder" in run.stderr


def test_file_that_was_copied_to_another_tenant_is_refused_and_named(keeper):
    keeper.set("rich", "API_KEY", MARKER)
    keeper.set("poor", "API_KEY", "own")
    shutil.copy(keeper.folder_of("rich") / "API_KEY", keeper.folder_of("poor") / "API_KEY")
    # The id alone does not make it the same tenant.
    shutil.copy(keeper.folder_of("rich") / ".owner", keeper.folder_of("poor") / ".owner")
    keeper.restart()
    keeper.skepd.wait_log(r"\[poor\] the secret API_KEY cannot be opened: its file was changed, or is another secret's")
    error = keeper.fail("deploy", keeper.bundle("poor", SHOW, secrets=NAMED))
    assert "its file was changed, or is another secret's" in error
    keeper.deploy("rich", SHOW, secrets=NAMED)
    assert keeper.value("rich") == MARKER


# ---- given by skepd.yaml


def test_given_secrets_come_from_files_credentials_and_variables(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "shop-token").write_text("by credential\n")
    (tmp_path / "file").write_text("by file\n")
    monkeypatch.setenv("SHOP_TOKEN", "by variable")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setattr("harness.Skepd._environment", staticmethod(lambda: {
        name: os.environ[name] for name in ("SHOP_TOKEN", "CREDENTIALS_DIRECTORY")}))  # fmt: skip
    given = [
        {"tenant": "shop", "name": "API_KEY", "file": "file"},
        {"tenant": "shop", "name": "B", "credential": "shop-token"},
        {"tenant": "shop", "name": "C", "environment": "SHOP_TOKEN"},
        {"tenant": "shop", "name": "D", "file": "none"},
    ]
    keeper = Keeper(tmp_path, secrets={"given": given, "key": str(make_key(tmp_path / "k"))})
    try:
        keeper.deploy("shop", script("return Response.json(env)"), secrets=[{"name": n} for n in ("API_KEY", "B", "C")])
        expected = {"API_KEY": "by file", "B": "by credential", "C": "by variable"}
        assert json.loads(keeper.text("shop")) == expected
        assert "is given in skepd.yaml" in keeper.refused("set", "shop", "API_KEY", value="x")
        assert {row["origin"] for row in keeper.rows()} == {"given"}
        keeper.skepd.wait_log(r"\[shop\] the secret D, given by .*none, cannot be read")
        assert "D is not set" in keeper.fail("deploy", keeper.bundle("shop", SHOW, secrets=[{"name": "D"}]))
    finally:
        keeper.skepd.stop()


def test_tenant_of_a_folder_gets_it_too(tmp_path):
    (tmp_path / "file").write_text("by file")
    tenants = {"shop": {"files": {"worker.js": SHOW}, "secrets": NAMED}, "free": script("return new Response('x')")}
    keeper = Keeper(tmp_path, tenants, secrets={"given": [{"tenant": "shop", "name": "API_KEY", "file": "file"}],
                                                "key": str(make_key(tmp_path / "k"))})  # fmt: skip
    try:
        assert keeper.value("shop") == "by file"
        assert keeper.skepd.get("free").status == 200
    finally:
        keeper.skepd.stop()


def test_skep_dev_takes_secrets_from_the_environment(tmp_path, monkeypatch):
    """No variable without the prefix: the folder may be a stranger's."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "skep.yaml").write_text(json.dumps({"name": "shop", "main": "worker.js", "secrets": NAMED}))
    (folder / "worker.js").write_text(SHOW)
    monkeypatch.setenv("API_KEY", "never")
    monkeypatch.setenv("SKEP_SECRET_API_KEY", "from the terminal")
    dev = Dev(tmp_path, folder)
    try:
        assert json.loads(dev.get().body) == ["from the terminal", ["API_KEY"]]
    finally:
        dev.stop()
    monkeypatch.delenv("SKEP_SECRET_API_KEY")
    command = [BIN / "skep", "dev", folder, "--port", str(free_port())]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 1 and "expected the variable SKEP_SECRET_API_KEY" in run.stdout + run.stderr


def test_all_missing_secrets_are_named_at_once_with_a_remedy_that_works(keeper):
    keeper.set("shop", "THERE", "x")
    error = keeper.fail("deploy", keeper.bundle("shop", SHOW, secrets=[{"name": n} for n in ("A", "THERE", "B")]))
    assert "secrets: A is not set, B is not set: `skep secrets set shop NAME` sets it" in error


def test_missing_variable_is_named(tmp_path):
    given = [{"tenant": "shop", "name": "TOK", "environment": "NOPE"}]
    deployer = Deployer(tmp_path, secrets={"given": given})
    try:
        deployer.skepd.wait_log(r"\[shop\] the secret TOK is missing: skepd's environment has no variable NOPE")
        error = deployer.fail("deploy", deployer.bundle("shop", SHOW, secrets=[{"name": "TOK"}]))
        assert "`secrets.given` of skepd.yaml" in error and "secrets set shop" not in error
    finally:
        deployer.skepd.stop()


def test_tenant_of_a_folder_without_its_secret_is_listed_until_it_has_it(tmp_path):
    files = {"worker.js": SHOW}
    tenants = {"shop": {"files": files, "secrets": NAMED}, "gone": {"files": files, "secrets": NAMED}}
    keeper = Keeper(tmp_path, tenants)
    try:
        assert keeper.skepd.get("shop").status == 503 and keeper.skepd.get("gone").status == 503
        status = json.loads(keeper.skepd.skep("status", "--json").stdout)
        assert set(status["unserved"]) == {"shop", "gone"}
        assert "API_KEY is not set: `skep secrets set shop API_KEY` sets it" in status["unserved"]["shop"]
        assert keeper.set("shop", "U2", "x")["note"] == "skep.yaml of shop names API_KEY"
        assert keeper.set("shop", "API_KEY", "v")["note"] == "shop is not served: `skep reload`"
        shutil.rmtree(keeper.skepd.folder / "tenants" / "gone")
        assert keeper.skepd.skep("reload").returncode == 0
        assert keeper.value("shop") == "v"
        assert json.loads(keeper.skepd.skep("status", "--json").stdout)["unserved"] == {}
        assert keeper.skepd.get("gone").status == 404
    finally:
        keeper.skepd.stop()


def test_secret_that_the_code_does_not_have_loads_nothing_anew(keeper):
    keeper.set("shop", "API_KEY", "v")
    keeper.set("shop", "INJECTED", "v")
    injected = {"name": "INJECTED", "inject": {"host": "a.test", "header": "authorization", "format": "Bearer {}"}}
    keeper.deploy("shop", SHOW, secrets=[*NAMED, injected], allowed_hosts=["a.test"])
    assert keeper.set("shop", "INJECTED", "w")["note"] is None
    assert keeper.value("shop") == "v"
    assert keeper.set("shop", "U2", "x")["note"] == "skep.yaml of shop names API_KEY, INJECTED"
    assert "other limits" not in keeper.skepd.skep("reload").stdout
    assert keeper.run("remove", "shop", "U2").returncode == 0
    assert "other limits" not in keeper.skepd.skep("reload").stdout
    assert keeper.skepd.log().count("serves a new version") == 0
    keeper.set("shop", "API_KEY", "w")
    keeper.wait_value("shop", "w")


def test_secret_of_the_version_before_is_kept_while_rollback_goes_there(keeper):
    keeper.set("shop", "API_KEY", "v")
    first = keeper.deploy("shop", SHOW, secrets=NAMED)["version"]
    keeper.deploy("shop", script("return new Response('second')"))
    told = f"version {first[:12]}, to which rollback goes, uses API_KEY: deploy once more, or remove it later"
    assert told in keeper.refused("remove", "shop", "API_KEY")


# ---- an upgrade


def test_upgrade_with_another_key_changes_nothing(tmp_path):
    """Whether a tenant was deployed or is one of a folder. The reason is in the answer, as that of a key that is not there."""
    tenants = {"blog": {"files": {"worker.js": SHOW}, "secrets": NAMED}}
    key, other = make_key(tmp_path / "right.key"), make_key(tmp_path / "other.key")
    skepd = Upgradable(tmp_path, tenants, state=str(tmp_path / "state"), secrets={"key": str(key)})
    skepd.start()

    def refused(*told):
        skepd.write_config()
        run = skepd.skep("upgrade")
        assert run.returncode == 1 and all(text in run.stderr for text in told), run.stderr
        assert [json.loads(skepd.get(name).body)[0] for name in ("blog", "shop")] == ["one", "one"]

    try:
        command = [BIN / "skep", "--socket", skepd.admin_socket, "secrets", "set", "blog", "API_KEY"]
        assert subprocess.run(command, input="one", text=True, timeout=30).returncode == 0
        assert skepd.skep("reload").returncode == 0
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        manifest = {"name": "shop", "main": "worker.js", "routes": ["shop.test/*"], "secrets": NAMED}
        (bundle / "skep.yaml").write_text(json.dumps(manifest))
        (bundle / "worker.js").write_text(SHOW)
        command[-2] = "shop"
        assert subprocess.run(command, input="one", text=True, timeout=30).returncode == 0
        assert skepd.skep("deploy", bundle).returncode == 0
        skepd.config["secrets"] = {"key": str(other)}
        refused("2 secrets that tenants need were sealed with another key than", "other.key", "put the old key back")
        skepd.config["secrets"] = {"key": str(tmp_path / "none.key")}
        refused("there is no key", "none.key")
        del skepd.config["secrets"]
        refused("cannot be opened without their key")
        skepd.config["secrets"] = {"key": str(key)}
        skepd.write_config()
        skepd.upgrade()
        assert json.loads(skepd.get("blog").body)[0] == "one"
    finally:
        skepd.stop()


def test_upgrade_keeps_secrets_and_they_can_be_set_afterwards(tmp_path):
    key = make_key(tmp_path / "secrets.key")
    skepd = Upgradable(tmp_path, {}, state=str(tmp_path / "state"), secrets={"key": str(key)})
    skepd.start()
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = {"name": "shop", "main": "worker.js", "routes": ["shop.test/*"], "secrets": NAMED}
    (folder / "skep.yaml").write_text(json.dumps(manifest))
    (folder / "worker.js").write_text(SHOW)

    def set_value(value):
        command = [BIN / "skep", "--socket", skepd.admin_socket, "secrets", "set", "shop", "API_KEY"]
        run = subprocess.run(command, input=value, capture_output=True, text=True, timeout=30)
        assert run.returncode == 0, run.stderr
        return run.stdout

    try:
        assert set_value("one") == "API_KEY of shop is set; there is no tenant shop yet\n"
        assert skepd.skep("deploy", folder).returncode == 0
        skepd.upgrade()
        assert json.loads(skepd.get("shop").body)[0] == "one"
        assert set_value("two") == "API_KEY of shop has another value; new isolates with it take over\n"
        wait_for(lambda: json.loads(skepd.get("shop").body)[0] == "two", "the new value")
    finally:
        skepd.stop()


# ---- where a value never is


def is_in_memory_of(pid):
    """Whether the marker is in a file that others may read of the process."""
    return any(
        MARKER.encode() in pathlib.Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")
    )


def test_value_is_in_no_file_log_report_or_command_line(keeper):
    keeper.set("shop", "API_KEY", MARKER)
    keeper.deploy("shop", SHOW, secrets=NAMED)
    assert keeper.value("shop") == MARKER
    keeper.set("shop", "API_KEY", MARKER + "2")
    keeper.wait_value("shop", MARKER + "2")
    for path in keeper.state.rglob("*"):
        assert path.is_dir() or path.is_symlink() or MARKER.encode() not in path.read_bytes(), path
        assert path.is_dir() or path.is_symlink() or path.stat().st_mode & 0o077 == 0, path
    assert MARKER not in keeper.skepd.log()
    for pid in [keeper.skepd.pid, *descendants(keeper.skepd.pid)]:
        assert not is_in_memory_of(pid)
    for command in (["explain", "shop"], ["tenants"], ["stats"], ["status"], ["workers"], ["versions", "shop"],
                    ["incidents"], ["secrets", "list"]):  # fmt: skip
        for form in ([], ["--json"]):
            run = keeper.skepd.skep(*command, *form)
            assert run.returncode == 0 and MARKER not in run.stdout + run.stderr


def test_value_is_not_in_the_version_of_the_tenant(keeper):
    keeper.set("shop", "API_KEY", "one")
    first = keeper.deploy("shop", SHOW, secrets=NAMED)["version"]
    keeper.set("shop", "API_KEY", "two")
    assert keeper.deploy("shop", SHOW, secrets=NAMED)["version"] == first
    assert len(keeper.versions("shop")) == 1


# ---- a store that dies


def test_store_that_is_killed_leaves_the_old_or_the_new_value(keeper):
    keeper.set("shop", "API_KEY", "0")
    keeper.deploy("shop", SHOW, secrets=NAMED)
    seen = {"0"}
    for i in range(1, 6):
        command = [BIN / "skep", "--socket", keeper.skepd.admin_socket, "secrets", "set", "shop", "API_KEY"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.kill(store_of(keeper.skepd), signal.SIGKILL)
        process.communicate(str(i), timeout=30)
        seen.add(str(i))
        wait_for(lambda: keeper.skepd.admin("status")["helpers"]["store"] == "ok", "the store")
    keeper.restart()
    assert keeper.value("shop") in seen
    assert {path.name for path in keeper.folder_of("shop").iterdir()} == {".owner", "API_KEY"}
    keeper.set("shop", "API_KEY", "last")
    keeper.wait_value("shop", "last")
