# SPDX-License-Identifier: Apache-2.0
"""skep kill-worker: a worker that the operator ends at once."""

from concurrent.futures import ThreadPoolExecutor
import json

from harness import is_alive, script, wait_for

HELLO = script("return new Response('hello\\n');")
# Logs that it is in JavaScript, then takes long.
SLOW = script(
    "console.log('begun'); await new Promise((r) => setTimeout(r, 3000)); return new Response('late');"
)


def kill(skepd, number):
    run = skepd.skep("kill-worker", str(number), "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_killed_worker_is_replaced_and_nobody_is_blamed(start):
    skepd = start({"a": HELLO})
    assert skepd.get("a").status == 200
    before = skepd.worker()
    assert kill(skepd, before["number"]) == {
        "number": before["number"], "pid": before["pid"], "in_flight": 0,
    }  # fmt: skip
    wait_for(lambda: not is_alive(before["pid"]), "the worker to end")
    wait_for(lambda: skepd.worker()["state"] == "ready", "another worker")
    assert skepd.worker()["last_death"] == "killed by the operator"
    assert skepd.get("a").text == "hello\n"
    (incident,) = skepd.admin("incidents")["incidents"]
    assert (incident["cause"], incident["tenant"]) == ("outside", None)
    assert (skepd.tenant("a")["kills"], skepd.tenant("a")["strikes"]) == (0, 0)


def test_request_in_it_is_sent_again_once_if_that_is_safe_and_else_fails(start):
    skepd = start({"a": {"limits": {"wall_ms": 10000}, "files": {"worker.js": SLOW}}})
    for method, status in (("GET", 200), ("POST", 502)):
        begun = skepd.log().count("begun")
        pool = ThreadPoolExecutor(1)
        asked = pool.submit(skepd.request, method, "a")
        wait_for(lambda begun=begun: skepd.log().count("begun") > begun, "the request to begin")
        assert kill(skepd, skepd.worker()["number"])["in_flight"] == 1
        answer = asked.result()
        assert answer.status == status
        if status == 502:
            assert answer.header("Skep-Error") == "worker_crashed"
        pool.shutdown()
        wait_for(lambda: skepd.worker()["state"] == "ready", "another worker")


def test_kill_of_what_is_not_there_fails(start):
    skepd = start({"a": HELLO})
    run = skepd.skep("kill-worker", "4000")
    assert (run.returncode, run.stdout) == (1, "")
    assert "no worker of that number" in run.stderr and "skep workers" in run.stderr
    for arguments in ([], ["x"], ["-1"], ["0", "1"]):
        assert skepd.skep("kill-worker", *arguments).returncode == 2


def test_it_speaks_to_people(start):
    skepd = start({"a": HELLO})
    worker = skepd.worker()
    run = skepd.skep("kill-worker", str(worker["number"]))
    assert run.stdout == f"worker {worker['number']} (pid {worker['pid']}) is killed\n"
    skepd.wait_log("asked for by uid")
