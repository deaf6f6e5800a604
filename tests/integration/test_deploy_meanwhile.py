# SPDX-License-Identifier: Apache-2.0
"""Deploys beside reloads, other deploys, an end of skepd, and an operator who does something."""

import http.client
import os
import signal
import subprocess
import threading
import time

from deploying import (  # noqa: F401
    FAILURE,
    READY,
    SLOW_BOOT,
    THROWS,
    Deployer,
    Meanwhile,
    Raw,
    begin,
    deployer,
    part,
    reload_with,
    say,
    store_of,
    wait_cpu_ms,
    wait_loading,
)
from harness import BIN, script, wait_for


def test_limits_that_change_while_a_first_version_loads_are_those_it_serves_with(deployer):
    going = Meanwhile(deployer, "early", SLOW_BOOT + say("early"))
    wait_loading(deployer, "early")
    reload_with(deployer, limits={"default": {"cpu_ms": 77, "wall_ms": 7777}})
    assert deployer.skepd.get("early").status == 404
    assert going.end()[0] == 0
    assert deployer.text("early") == "early"
    wait_cpu_ms(deployer, "early", 77)
    assert deployer.text("early") == "early"
    deployer.restart()
    assert deployer.text("early") == "early"


def test_limits_that_change_while_a_next_version_loads_are_those_it_serves_with(deployer):
    deployer.deploy("later")
    going = Meanwhile(deployer, "later", SLOW_BOOT + say("two"))
    time.sleep(0.7)  # within its 1.5 s: the load has begun, which nothing shows
    reload_with(deployer, limits={"default": {"cpu_ms": 77}})
    assert going.end()[0] == 0
    assert deployer.text("later") == "two"
    wait_cpu_ms(deployer, "later", 77)
    assert deployer.text("later") == "two"


def test_version_that_fails_is_not_rolled_back_over_the_one_that_mends_it(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 60, "errors": 5, "error_percent": 50})
    deployer.deploy("mend", say("good"))
    deployer.deploy("mend", THROWS)
    going = Meanwhile(deployer, "mend", SLOW_BOOT + say("mended"))
    time.sleep(0.7)  # within its 1.5 s: the load has begun, which nothing shows
    store = store_of(deployer.skepd)
    os.kill(store, signal.SIGSTOP)
    time.sleep(2)  # the version has loaded, and its commit is on the way
    for _ in range(8):
        assert deployer.skepd.get("mend").status == 500
    os.kill(store, signal.SIGCONT)
    assert going.end()[0] == 0
    assert deployer.text("mend") == "mended"
    assert deployer.states("mend")[0] == "serving"
    assert "rolled back" not in deployer.skepd.log()
    deployer.restart()
    assert deployer.text("mend") == "mended"
    deployer.skepd.stop()


def test_limits_that_change_while_a_version_fails_to_load_count_all_the_same(deployer):
    deployer.deploy("kept")
    going = Meanwhile(deployer, "kept", SLOW_BOOT + "throw new Error('no luck');\n")
    time.sleep(0.7)  # within its 1.5 s: the load has begun, which nothing shows
    reload_with(deployer, limits={"default": {"cpu_ms": 77}})
    assert going.end()[0] == 1
    wait_cpu_ms(deployer, "kept", 77)
    assert deployer.text("kept") == "one"


def test_limits_that_change_while_a_version_is_watched_are_those_of_the_one_that_comes_back(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 60, "errors": 5, "error_percent": 50})
    deployer.deploy("back", say("good"))
    deployer.deploy("back", THROWS)
    reload_with(deployer, limits={"default": {"wall_ms": 7777}})  # which needs no load
    while deployer.skepd.get("back").status == 500:
        pass
    assert deployer.text("back") == "good"
    assert deployer.skepd.tenant("back")["limits"]["wall_ms"] == 7777
    deployer.skepd.stop()


def test_name_that_the_folder_takes_during_an_upload_is_not_deployed(deployer):
    raw = Raw(deployer)
    assert raw.ask(begin(b"name"))[0] == READY
    manifest = b"name: name\nmain: a.js\nroutes: [name.test/*]\n"
    assert raw.ask(part(b"skep.yaml", manifest))[0] == READY
    assert raw.ask(part(b"a.js", say("deployed").encode()))[0] == READY
    deployer.skepd.write_tenant("name", say("folder"))
    reload_with(deployer)
    number, text = raw.ask(part(end=1))
    assert (number, b"is served from" in text) == (FAILURE, True)
    assert deployer.text("name") == "folder"
    wait_for(lambda: deployer.left("name") is None, "the upload to go")


def test_errors_by_the_thousand_count_as_well(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 600, "errors": 4200, "error_percent": 100})
    deployer.deploy("many", say("good"))
    deployer.deploy("many", THROWS)
    failed = 0
    connection = http.client.HTTPConnection(*deployer.skepd.address)
    while failed < 5000:
        connection.request("GET", "/", headers={"Host": "many.test"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            break
        failed += 1
    connection.close()
    assert failed == 4200
    deployer.skepd.stop()


# ---- skepd ends


def test_stop_waits_for_a_commit(deployer):
    deployer.deploy("commit")
    store = store_of(deployer.skepd)
    going = Meanwhile(deployer, "commit", SLOW_BOOT + say("two"))
    time.sleep(0.7)  # within its 1.5 s: the load has begun, which nothing shows
    os.kill(store, signal.SIGSTOP)
    time.sleep(2)  # the version has loaded, and its commit is on the way
    deployer.skepd.process.send_signal(signal.SIGTERM)
    deployer.skepd.wait_log("stopping: ")
    time.sleep(1.5)
    os.kill(store, signal.SIGCONT)
    assert going.end()[0] == 0
    deployer.skepd.process.wait(timeout=20)
    deployer.restart()
    assert deployer.text("commit") == "two"


def test_stop_fails_a_deploy_that_loads_and_leaves_nothing(deployer):
    deployer.deploy("loads")
    going = Meanwhile(deployer, "loads", SLOW_BOOT * 4 + say("two"))
    time.sleep(1)
    deployer.skepd.process.send_signal(signal.SIGTERM)
    code, text = going.end()
    assert code == 1
    assert "about to end" in text
    deployer.skepd.process.wait(timeout=20)
    deployer.restart()
    assert deployer.text("loads") == "one"
    assert deployer.left("loads") == set()


def test_stop_does_not_lose_a_removal(deployer):
    deployer.deploy("leaves", script("await new Promise((f) => setTimeout(f, 3000)); return new Response('end');"))
    deployer.deploy("stays")
    thread = threading.Thread(target=lambda: deployer.skepd.get("leaves"))
    thread.start()
    wait_for(lambda: deployer.skepd.stats()["in_flight"] == 1, "the request to be in the worker")
    command = [BIN / "skep", "--socket", deployer.skepd.admin_socket, "remove", "leaves"]
    remove = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: deployer.skepd.get("leaves").status == 404, "the routes to go")
    deployer.restart()
    assert remove.wait() == 0
    thread.join()
    assert deployer.skepd.get("leaves").status == 404
    assert deployer.text("stays") == "one"
    assert deployer.left("leaves") is None


def test_tenant_that_cannot_be_read_does_not_keep_others_from_being_served(deployer):
    deployer.deploy("good")
    deployer.deploy("odd")
    deployer.skepd.stop()
    history = deployer.state / "tenants/odd/history"
    history.unlink()
    history.mkdir()
    deployer.skepd.start()
    assert deployer.text("good") == "one"
    deployer.skepd.wait_log("left as they are, for they cannot be read: odd ")


# ---- an operator meanwhile


def test_quarantine_by_the_operator_is_no_failure_of_the_version(tmp_path):
    deployer = Deployer(tmp_path, deploy={"watch_s": 60, "errors": 5, "error_percent": 50})
    deployer.deploy("calm", say("one"))
    deployer.deploy("calm", say("two"))
    assert deployer.skepd.skep("quarantine", "calm").returncode == 0
    for _ in range(15):
        assert deployer.skepd.get("calm").code == "quarantined"
    time.sleep(1.2)
    assert deployer.skepd.get("calm").code == "quarantined"
    assert "rolled back" not in deployer.skepd.log()
    assert deployer.skepd.skep("release", "calm").returncode == 0
    assert deployer.text("calm") == "two"
    deployer.skepd.stop()
