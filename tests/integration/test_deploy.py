# SPDX-License-Identifier: Apache-2.0
"""skep deploy, rollback, versions, remove: the serving version, the messages, and the files that stay."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest
from deploying import (  # noqa: F401
    BROKEN,
    READY,
    THROWS,
    Deployer,
    Raw,
    begin,
    deployer,
    part,
    reload_with,
    say,
    store_of,
)
from harness import IS_SANITIZED, Loader, Skepd, free_port, read_by_loop, script, status_of, wait_for
from scrape import scrape


# ---- deploy


def test_deployed_tenant_serves_and_the_answer_says_what(deployer):
    answer = deployer.deploy("first", say("hello"), files={"lib/x.txt": "x"})
    assert answer["tenant"] == "first"
    assert len(answer["version"]) == 64
    assert answer["previous"] is None
    assert answer["unchanged"] is False
    assert answer["routes"] == ["first.test/*"]
    assert answer["files"] == 3
    assert answer["boot_us"] > 0
    assert deployer.text("first") == "hello"
    assert deployer.left("first") == set()


def test_people_are_told_what_serves(deployer):
    run = deployer.skepd.skep("deploy", deployer.bundle("tell"))
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("tell serves version ")
    assert "2 files" in run.stdout
    assert "route   tell.test/*" in run.stdout
    run = deployer.skepd.skep("deploy", deployer.bundle("tell"))
    assert "already: nothing has changed" in run.stdout
    run = deployer.skepd.skep("deploy", deployer.bundle("tell", say("two")))
    assert "(skep rollback tell)" in run.stdout


def test_same_content_is_no_new_version(deployer):
    first = deployer.deploy("same")
    again = deployer.deploy("same")
    assert again["unchanged"] is True
    assert again["version"] == first["version"]
    assert len(deployer.versions("same")) == 1
    assert deployer.left("same") == set()


def test_next_version_takes_over_and_names_the_one_before(deployer):
    first = deployer.deploy("next")
    second = deployer.deploy("next", say("two"))
    assert second["previous"] == first["version"] != second["version"]
    assert deployer.text("next") == "two"
    assert deployer.states("next") == ["serving", "previous"]


def test_env_is_over_that_of_the_manifest_and_part_of_the_version(deployer):
    source = script("return new Response(JSON.stringify(env));")
    bundle = deployer.bundle("env", source, env={"A": "manifest", "B": "manifest"})
    plain = deployer.ask("deploy", bundle)
    given = deployer.ask("deploy", bundle, "--env", "A=given=1", "--env", "C=")
    assert given["version"] != plain["version"]
    expected = {"A": "given=1", "B": "manifest", "C": ""}
    assert json.loads(deployer.text("env")) == expected
    turned = deployer.ask("deploy", bundle, "--env", "C=", "--env", "A=given=1")
    assert turned["unchanged"] is True
    deployer.restart()
    assert json.loads(deployer.text("env")) == expected


@pytest.mark.parametrize("option", ["A", "=x", "1A=x", "__proto__=x", "A=" + "x" * 32769])
def test_env_that_is_none_is_refused(deployer, option):
    run = deployer.skepd.skep("deploy", deployer.bundle("noenv"), "--env", option)
    assert run.returncode in (1, 2)
    assert "env" in run.stderr
    assert deployer.left("noenv") is None


def test_restart_serves_what_was_deployed(deployer):
    deployer.deploy("stays")
    deployer.deploy("stays", say("two"))
    deployer.restart()
    assert deployer.text("stays") == "two"
    assert deployer.deploy("stays", say("two"))["unchanged"] is True
    assert deployer.ask("rollback", "stays")["tenant"] == "stays"
    assert deployer.text("stays") == "one"


def test_many_and_large_files_arrive(deployer):
    files = {f"d{i % 7}/e{i % 3}/f{i}.txt": f"{i}" for i in range(300)}
    files["large.txt"] = "0123456789abcdef" * (3 << 16)
    answer = deployer.deploy("many", files=files)
    assert answer["files"] == 303
    bundle = deployer.state / "tenants/many/current/bundle"
    assert (bundle / "large.txt").read_text() == files["large.txt"]
    assert (bundle / "d1/e1/f1.txt").read_text() == "1"


def test_files_that_do_not_belong_to_a_tenant_are_not_sent(deployer):
    bundle = deployer.bundle("picky", files={".secret.js": "x", "node_modules/a.js": "x", "b.bin": "x"})
    (bundle / "link.js").symlink_to("/etc/passwd")
    assert deployer.ask("deploy", bundle)["files"] == 3  # b.bin is data


# ---- failures


def test_module_that_does_not_load_leaves_the_old_one(deployer):
    deployer.deploy("broken")
    text = deployer.fail("deploy", deployer.bundle("broken", BROKEN))
    assert "no luck" in text
    assert "worker.js:4" in text
    assert deployer.text("broken") == "one"
    assert len(deployer.versions("broken")) == 1
    assert deployer.left("broken") == set()
    deployer.restart()
    assert deployer.text("broken") == "one"


def test_first_version_that_does_not_load_leaves_nothing(deployer):
    text = deployer.fail("deploy", deployer.bundle("never", BROKEN))
    assert "no luck" in text
    assert deployer.skepd.get("never").status == 404
    wait_for(lambda: deployer.left("never") is None, "the folder to go")
    wait_for(
        lambda: all(t["name"] != "never" for t in deployer.skepd.admin("tenants")["tenants"]),
        "the tenant to go",
    )
    assert "nothing was deployed as never" in deployer.fail("versions", "never")
    assert deployer.deploy("never")["previous"] is None
    assert deployer.text("never") == "one"


def test_errors_of_the_manifest_name_the_line(deployer):
    bundle = deployer.bundle("wrong")
    (bundle / "skep.yaml").write_text("name: wrong\nmain: worker.js\nroutes: [' ']\n")
    assert "skep.yaml:3" in deployer.fail("deploy", bundle)


def test_errors_that_only_skepd_can_see_name_the_line(deployer):
    bundle = deployer.bundle("cordon")
    (bundle / "skep.yaml").write_text("name: cordon\nmain: worker.js\ncordon: nowhere\n")
    text = deployer.fail("deploy", bundle)
    assert text.startswith('skep deploy: skep.yaml:3: cordon: unknown cordon "nowhere"')
    assert str(deployer.state) not in text


def test_route_of_another_tenant_is_refused(deployer):
    deployer.deploy("owner")
    text = deployer.fail("deploy", deployer.bundle("thief", routes=["owner.test/*"]))
    assert 'the route "owner.test/*" is one of the tenant owner' in text
    assert deployer.text("owner") == "one"


def test_without_state_nothing_can_be_deployed(tmp_path):
    skepd = Skepd(tmp_path, {"x": say("x")}).start()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "skep.yaml").write_text("name: y\nmain: worker.js\n")
    (bundle / "worker.js").write_text(say("y"))
    run = skepd.skep("deploy", bundle)
    assert run.returncode == 1
    assert "`state`" in run.stderr
    for verb in ("rollback", "versions", "remove"):
        assert skepd.skep(verb, "x").returncode == 1
    skepd.stop()


def test_tenant_of_the_folder_is_not_deployed(tmp_path):
    deployer = Deployer(tmp_path, {"fixed": say("fixed")})
    for arguments in (
        ("deploy", deployer.bundle("fixed")),
        ("rollback", "fixed"),
        ("remove", "fixed"),
    ):
        text = deployer.fail(*arguments)
        assert f"fixed is served from {deployer.skepd.tenants_folder}/fixed; remove it there" in text
    assert deployer.text("fixed") == "fixed"
    deployer.deploy("other")
    assert deployer.text("other") == "one"
    deployer.skepd.stop()


def test_stored_tenant_that_is_broken_is_left_out(deployer):
    deployer.deploy("good")
    deployer.deploy("bad")
    deployer.skepd.stop()
    (deployer.state / "tenants/bad/current/bundle/skep.yaml").write_text("name: other\nmain: x.js\n")
    deployer.skepd.start()
    assert deployer.text("good") == "one"
    assert deployer.skepd.get("bad").status == 404
    assert "bad was deployed, and is not served: version" in deployer.skepd.log()
    assert "skep.yaml is not what was deployed" in deployer.skepd.log()
    deployer.deploy("bad", say("mended"))
    assert deployer.text("bad") == "mended"


# ---- rollback, versions, remove


def test_version_that_comes_back_from_the_disk_is_not_read_by_the_loop(deployer):
    """A cold disk takes time, in which the loop serves others."""
    size = 6 << 20
    name = deployer.deploy("cold", say("first"), files={"data.txt": "x" * size})["version"]
    for text in ("second", "third"):  # so that no file of the first is in memory
        deployer.deploy("cold", say(text))
    before = read_by_loop(deployer.skepd)
    deployer.ask("rollback", "cold", name)
    assert deployer.text("cold") == "first"
    assert read_by_loop(deployer.skepd) - before < size // 2


def test_rollback_goes_to_the_version_before_and_to_one_by_name(deployer):
    names = [deployer.deploy("back", say(text))["version"] for text in ("one", "two", "three")]
    answer = deployer.ask("rollback", "back")
    assert (answer["version"], answer["previous"]) == (names[1], names[2])
    assert deployer.text("back") == "two"
    answer = deployer.ask("rollback", "back", names[0][:10])
    assert answer["version"] == names[0]
    assert deployer.text("back") == "one"
    assert "serves that version already" in deployer.fail("rollback", "back", names[0])
    assert "no such version" in deployer.fail("rollback", "back", "0" * 63 + "x")
    assert "no such version" in deployer.fail("rollback", "back", "0" * 65)
    deployer.restart()
    assert deployer.text("back") == "one"


def test_rollback_needs_a_version_before(deployer):
    deployer.deploy("alone")
    assert "served before" in deployer.fail("rollback", "alone")
    assert "nothing was deployed" in deployer.fail("rollback", "nobody")


def test_rollback_to_a_version_that_does_not_load_any_more(deployer):
    """The tenant's cordon is gone."""
    reload_with(deployer, cordons=[{"name": "default", "workers": 1}, {"name": "old", "workers": 1}])
    deployer.deploy("rotten", cordon="old")
    deployer.deploy("rotten", say("two"))
    reload_with(deployer, cordons=[{"name": "default", "workers": 1}])
    assert "unknown cordon" in deployer.fail("rollback", "rotten")
    assert deployer.text("rotten") == "two"
    assert deployer.states("rotten") == ["serving", "previous"]


def test_versions_says_who_when_and_what(deployer):
    before = time.time() * 1000 - 1000
    deployer.deploy("list", say("one"))
    second = deployer.deploy("list", say("two"), files={"a.txt": "aaa"})
    rows = deployer.versions("list")
    assert rows[0]["version"] == second["version"]
    assert rows[0]["uid"] == os.getuid()
    assert rows[0]["files"] == 3
    assert rows[0]["bytes"] == sum(f.stat().st_size for f in (deployer.bundles / "list").iterdir())
    assert before < rows[0]["time_ms"] <= time.time() * 1000
    assert before < rows[0]["served_ms"] <= time.time() * 1000
    text = deployer.skepd.skep("versions", "list").stdout
    assert text.split()[:2] == ["VERSION", "STATE"]
    assert rows[0]["version"][:12] in text


def test_only_so_many_versions_are_kept(tmp_path):
    deployer = Deployer(tmp_path, deploy={"keep": 3})
    names = [deployer.deploy("keep", say(str(i)))["version"] for i in range(6)]
    assert [v["version"] for v in deployer.versions("keep")] == names[:2:-1]
    folder = deployer.state / "tenants/keep/versions"
    assert {entry.name for entry in folder.iterdir()} == set(names[3:])
    deployer.skepd.stop()


def test_removed_tenant_is_gone_and_may_come_again(deployer):
    deployer.deploy("gone")
    deployer.deploy("gone", say("two"))
    answer = deployer.ask("remove", "gone")
    assert answer == {"tenant": "gone", "versions": 2, "in_flight": 0}
    answer = deployer.skepd.get("gone")
    assert (answer.status, answer.headers["skep-error"]) == (404, "no_route")
    assert list((deployer.state / "tenants").iterdir()) == []
    assert "nothing was deployed" in deployer.fail("remove", "gone")
    deployer.deploy("gone", say("again"))
    assert deployer.text("gone") == "again"
    deployer.restart()
    assert deployer.text("gone") == "again"
    assert "gone is removed, with 1 version\n" in deployer.skepd.skep("remove", "gone").stdout


def test_removal_lets_requests_in_flight_end(deployer):
    deployer.deploy("slow", script("await new Promise((f) => setTimeout(f, 700)); return new Response('end');"))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(deployer.skepd.get("slow")))
    thread.start()
    wait_for(lambda: deployer.skepd.stats()["in_flight"] == 1, "the request to be in the worker")
    assert deployer.ask("remove", "slow")["versions"] == 1
    thread.join()
    assert (answers[0].status, answers[0].body) == (200, b"end")
    assert deployer.skepd.get("slow").status == 404


# ---- under load


def test_no_request_fails_while_versions_change(deployer):
    deployer.deploy("busy", say("0"))
    with Loader(deployer.skepd, "busy", connections=3) as loader:
        for i in range(1, 6):
            deployer.deploy("busy", say(str(i)))
            assert deployer.text("busy") == str(i)
            loader.more(20)
        deployer.fail("deploy", deployer.bundle("busy", BROKEN))
        for i in range(3):
            deployer.ask("rollback", "busy")
            loader.more(20)
    assert loader.wrong == []
    assert loader.answers > 160


def test_requests_in_flight_end_on_the_old_version(deployer):
    deployer.deploy("old", script("await new Promise((f) => setTimeout(f, 500)); return new Response('old');"))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(deployer.skepd.get("old")))
    thread.start()
    wait_for(lambda: deployer.skepd.stats()["in_flight"] == 1, "the request to be in the worker")
    deployer.deploy("old", say("new"))
    assert deployer.text("old") == "new"
    thread.join()
    assert (answers[0].status, answers[0].body) == (200, b"old")


def test_burst_of_errors_brings_the_version_before_back(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 60, "errors": 5, "error_percent": 50})
    good = deployer.deploy("burst", say("good"))["version"]
    for _ in range(20):
        deployer.text("burst")
    bad = deployer.deploy("burst", THROWS)["version"]
    failed = 0
    while deployer.skepd.get("burst").status == 500:
        failed += 1
        assert failed < 20
    assert failed == 5
    assert deployer.text("burst") == "good"
    deployer.skepd.wait_log(f"version {bad[:12]} is rolled back to {good[:12]}: 5 of 5 requests failed")
    rows = wait_for(
        lambda: (r := deployer.versions("burst"))[0]["version"] == good and r, "the disk to follow"
    )
    assert (rows[1]["state"], rows[1]["reason"]) == ("rolled_back", "5 of 5 requests failed")
    assert "5 of 5 requests failed" in deployer.skepd.skep("versions", "burst").stdout
    assert "served before" in deployer.fail("rollback", "burst")
    deployer.restart()
    assert deployer.text("burst") == "good"
    deployer.skepd.stop()


def test_version_that_fails_as_the_one_before_stays(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 60, "errors": 5, "error_percent": 50})
    deployer.deploy("both", THROWS)
    for _ in range(10):
        assert deployer.skepd.get("both").status == 500
    deployer.deploy("both", THROWS + "// another\n")
    for _ in range(20):
        assert deployer.skepd.get("both").status == 500
    assert "rolled back" not in deployer.skepd.log()
    deployer.skepd.stop()


# Reads the request's body; some paths do more.
READS = script("""
    const path = new URL(request.url).pathname;
    if (path === "/throw") throw new Error("always");
    if (path === "/wait") await new Promise((r) => request.signal.addEventListener("abort", r));
    return new Response(String((await request.text()).length));
""")


def stop_within_body(skepd):
    with skepd.connect() as connection:
        connection.send_head("POST", "calm.test", headers=[("Content-Length", 300_000)])
        connection.send(bytes(100_000))
        return connection.read_response().code


def announce_too_much(skepd):
    with skepd.connect() as connection:
        connection.send_head("POST", "calm.test", headers=[("Content-Length", 2 << 20)])
        return connection.read_response().code


def send_too_much(skepd):
    with skepd.connect() as connection:
        connection.send_head("POST", "calm.test", headers=[("Transfer-Encoding", "chunked")])
        for _ in range(5):
            connection.send_chunk(bytes(256 << 10))
        return connection.read_response().code


def ask_above_the_queue(skepd):
    with skepd.connect() as one, skepd.connect() as two:
        one.send_head("GET", "calm.test", "/wait")
        wait_for(lambda: skepd.tenant("calm")["in_flight"] == 1, "the place to be taken")
        two.send_head("GET", "calm.test", "/wait")
        wait_for(lambda: skepd.tenant("calm")["queued"] == 1, "the queue to be full")
        code = skepd.get("calm").code
    skepd.wait_idle()
    return code


CLIENTS_DO = {
    stop_within_body: "request_timeout",
    announce_too_much: "body_too_large",
    send_too_much: "body_too_large",
    ask_above_the_queue: "tenant_busy",
}


@pytest.mark.parametrize("do", CLIENTS_DO, ids=lambda do: do.__name__)
def test_what_clients_cause_is_no_failure_of_a_version_nor_of_its_tenant(tmp_path, do):
    deployer = Deployer(
        tmp_path,
        deploy={"watch_s": 60, "errors": 3, "error_percent": 50},
        http={"body_idle_ms": 100},
    )
    skepd, limits = deployer.skepd, {"request_mib": 1, "concurrency": 1, "queue": 1}
    deployer.deploy("calm", READS, limits=limits)
    deployer.text("calm")
    version = deployer.deploy("calm", READS + "// another\n", limits=limits)["version"]
    for _ in range(6):
        assert do(skepd) == CLIENTS_DO[do]
    assert deployer.text("calm") == "0"
    seen = skepd.tenant("calm")
    assert (seen["errors"], seen["failed"]) == ({CLIENTS_DO[do]: 6}, 0)
    assert "rolled back" not in skepd.log()
    # The watch goes on, and errors of the version itself count.
    wait_for(lambda: skepd.get("calm", "/throw") and "rolled back" in skepd.log(), "the way back")
    assert f"version {version[:12]} is rolled back" in skepd.log()
    assert skepd.tenant("calm")["failed"] >= 3
    skepd.stop()


def test_few_errors_and_errors_after_the_watch_stay(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 1, "errors": 5, "error_percent": 50})
    half = script("if (new URL(request.url).pathname == '/bad') throw 1; return new Response('ok');")
    deployer.deploy("few", say("good"))
    deployer.deploy("few", half)
    for _ in range(20):
        deployer.text("few")
    for _ in range(9):
        assert deployer.skepd.get("few", "/bad").status == 500
    time.sleep(2.5)  # the watch, of 1 s, is over, which nothing shows
    for _ in range(30):
        assert deployer.skepd.get("few", "/bad").status == 500
    assert "rolled back" not in deployer.skepd.log()
    deployer.skepd.stop()


# ---- the store


def test_store_is_confined(deployer):
    if IS_SANITIZED:
        pytest.skip("sanitizer builds are not confined")
    status = status_of(store_of(deployer.skepd))
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert int(status["CapPrm"], 16) == 0
    assert sorted(os.listdir(f"/proc/{store_of(deployer.skepd)}/fd"))[:4] == ["0", "1", "2", "3"]


def test_killed_skepd_takes_the_store_along_and_leaves_a_whole_version(deployer):
    deployer.deploy("whole")
    store = store_of(deployer.skepd)
    raw = Raw(deployer)
    assert raw.ask(begin(b"whole"))[0] == READY
    assert raw.ask(part(b"a.js", b"x"))[0] == READY
    deployer.skepd.process.kill()
    deployer.skepd.process.wait()
    wait_for(lambda: not pathlib.Path(f"/proc/{store}").exists(), "the store to end")
    deployer.skepd.admin_socket.unlink(missing_ok=True)
    deployer.skepd.start()
    assert deployer.text("whole") == "one"
    assert deployer.left("whole") == set()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k,nr_inodes=200", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk_leaves_the_old_version(tmp_path, small_disk):
    deployer = Deployer.__new__(Deployer)
    deployer.state, deployer.bundles = small_disk / "state", tmp_path / "bundles"
    deployer.skepd = Skepd(tmp_path, {}, {"state": str(deployer.state)}).start()
    deployer.deploy("full")
    text = deployer.fail("deploy", deployer.bundle("full", say("two"), files={"x.txt": "x" * 700000}))
    assert "No space left on device" in text
    assert deployer.text("full") == "one"
    (deployer.bundles / "full/x.txt").unlink()
    deployer.deploy("full", say("two"))
    # Room for the version, and none for the switch.
    (small_disk / "ballast").write_bytes(b"")
    with (small_disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 4096)
        except OSError:
            pass
    assert "No space left on device" in deployer.fail("deploy", deployer.bundle("full", say("three")))
    assert deployer.text("full") == "two"
    (small_disk / "ballast").unlink()
    assert deployer.left("full") == set()
    deployer.restart()
    assert deployer.text("full") == "two"
    deployer.skepd.stop()


# ---- stored and deployed files are the same


def stored_file(deployer, name, path="bundle/worker.js"):
    return deployer.state / "tenants" / name / "current" / path


DAMAGES = {
    "byte": lambda file: file.write_bytes(file.read_bytes().replace(b"good", b"evil")),
    "empty": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_version_is_named_and_not_served_and_a_deploy_heals_it(deployer, damage):
    version = deployer.deploy("hurt", say("good"))["version"]
    deployer.deploy("whole")
    deployer.skepd.stop()
    DAMAGES[damage](stored_file(deployer, "hurt"))
    deployer.skepd.start()
    assert deployer.text("whole") == "one"
    check_unserved(deployer.skepd, "hurt", "worker.js is not what was deployed; deploy it again")
    (listed,) = deployer.versions("hurt")
    assert (listed["version"], listed["state"]) == (version, "unserved")
    assert "deploy it again" in listed["reason"]
    assert "hurt was deployed, and is not served: version" in deployer.skepd.log()
    assert "worker.js is not what was deployed" in deployer.skepd.log()
    assert deployer.deploy("hurt", say("good"))["unchanged"] is False
    assert deployer.text("hurt") == "good"
    deployer.restart()
    assert deployer.text("hurt") == "good"
    assert deployer.left("hurt") == set()
    assert deployer.states("hurt") == ["serving"]
    assert deployer.skepd.admin("status")["tenants_unserved"] == 0


def check_unserved(skepd, name, words):
    """A tenant cannot be served: its clients, `skep tenants` and `skep status` say so, and no tenant's count grows."""
    answer = skepd.get(name)
    assert (answer.status, answer.header("Skep-Error")) == (503, "unserved")
    (row,) = [t for t in skepd.admin("tenants")["tenants"] if t["name"] == name]
    assert (row["state"], row["requests"], row["failed"]) == ("unserved", 0, 0)
    assert words in row["last_error"]
    status = skepd.admin("status")
    assert (list(status["unserved"]), status["tenants_unserved"]) == ([name], 1)
    assert words in status["unserved"][name]
    text = skepd.skep("status").stdout
    assert ", 1 that cannot be served\n" in text and f"{name}: version" in text and words in text


def test_deployed_version_that_the_configuration_does_not_allow_any_more_is_listed_and_answers_503(tmp_path):
    port = free_port()
    cordons = [{"name": name, "workers": 1} for name in ("default", "other")]
    deployer = Deployer(tmp_path, cordons=cordons, metrics={"listen": f"127.0.0.1:{port}"})
    deployer.deploy("moved", cordon="other")
    deployer.skepd.stop()
    deployer.skepd.config["cordons"].pop()
    deployer.skepd.write_config()
    deployer.skepd.start()
    check_unserved(deployer.skepd, "moved", "mend the configuration and restart skepd, or deploy another version")
    assert scrape(port).get("skep_tenants_unserved") == 1
    # The routes of such a tenant stay its own until it is removed.
    other = deployer.bundle("other", routes=["moved.test/*"])
    assert "one of the tenant moved" in deployer.fail("deploy", other)
    assert deployer.ask("remove", "moved")["versions"] == 1
    assert deployer.skepd.get("moved").status == 404
    assert deployer.skepd.admin("tenants")["tenants"] == []
    assert deployer.ask("deploy", other)["unchanged"] is False
    assert deployer.text("moved") == "one"
    deployer.skepd.stop()


def test_damaged_version_stays_unserved_while_a_deploy_fails(deployer):
    deployer.deploy("hurt", say("good"))
    deployer.skepd.stop()
    DAMAGES["byte"](stored_file(deployer, "hurt"))
    deployer.skepd.start()
    deployer.fail("deploy", deployer.bundle("hurt", BROKEN))
    check_unserved(deployer.skepd, "hurt", "deploy it again")
    # The hosts of a skep.yaml that was changed are not used.
    stored_file(deployer, "hurt", "bundle/skep.yaml").write_text("name: hurt\nmain: worker.js\nroutes: ['evil.test/*']\n")
    deployer.restart()
    assert deployer.skepd.admin("status")["tenants_unserved"] == 1
    assert [deployer.skepd.get(host).status for host in ("hurt", "evil")] == [404, 404]


def test_damage_under_a_version_that_serves_is_healed_by_a_deploy(deployer):
    deployer.deploy("live", say("good"))
    stored_file(deployer, "live").write_bytes(b"")
    assert deployer.text("live") == "good"
    assert deployer.deploy("live", say("good"))["unchanged"] is False
    assert deployer.deploy("live", say("good"))["unchanged"] is True
    deployer.restart()
    assert deployer.text("live") == "good"


def test_rollback_to_a_damaged_version_fails_and_what_serves_serves_on(deployer):
    deployer.deploy("back", say("one"))
    stored_file(deployer, "back", "env").write_bytes(b"A=forged\0")
    deployer.deploy("back", say("two"))
    assert "env is not what was deployed" in deployer.fail("rollback", "back")
    assert deployer.text("back") == "two"


def test_name_of_a_version_says_nothing_of_its_env(tmp_path):
    """The same content has another name in another state folder, so nobody can test guesses."""
    names = set()
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        deployer = Deployer(tmp_path / place)
        answers = [deployer.deploy("same", say("x"), "--env", "PIN=1234") for _ in range(2)]
        assert [a["unchanged"] for a in answers] == [False, True]
        names.add(answers[0]["version"])
        deployer.skepd.stop()
    assert len(names) == 2
