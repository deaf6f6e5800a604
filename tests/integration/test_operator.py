# SPDX-License-Identifier: Apache-2.0
"""Limits that were met, as the operator sees and handles them: incidents, quarantine, release,
retire, and the reports on tenants, workers and stats."""

import json
import os
import signal
import threading
import time

import pytest

from harness import BIN, Loader, is_alive, script, wait_for

HELLO = script('return new Response("hello\\n")')
STUCK = script(
    'if (request.url.endsWith("/stuck")) Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);'
    'return new Response("ok");'
)


def tenant(source, **limits):
    return {"limits": limits, "files": {"worker.js": source}}


def stuck_tenant():
    return tenant(STUCK, cpu_ms=20, grace_ms=30)


def kill_worker_by(skepd, name):
    """Gets the tenant's code stuck, so that its worker is killed."""
    kills = skepd.tenant(name)["kills"]
    assert skepd.get(name, "/stuck").code == "cpu_request"
    wait_for(lambda: skepd.tenant(name)["kills"] == kills + 1, "the kill to be counted")


def incidents(skepd, *arguments):
    run = skepd.skep("incidents", *arguments, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["incidents"]


def operate(skepd, *arguments):
    run = skepd.skep(*arguments, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# ---- incidents


def test_worker_that_is_killed_for_cpu_time_is_an_incident_with_limit_and_use(start):
    skepd = start({"a": stuck_tenant(), "b": HELLO})
    before = skepd.worker()
    began = time.time()
    kill_worker_by(skepd, "a")
    (incident,) = incidents(skepd)
    assert incident["number"] == 1
    assert began - 1 <= incident["time_ms"] / 1000 <= time.time() + 1
    assert (incident["tenant"], incident["stage"], incident["cause"]) == ("a", "killed", "cpu_ms")
    assert (incident["limit"], incident["unit"]) == (20.0, "ms")
    assert 40 <= incident["used"] <= 1000  # counted from when skepd saw it run
    assert incident["over"] == pytest.approx(incident["used"] - 20, abs=0.11)
    assert round(incident["used"], 1) == incident["used"]
    assert (incident["code"], incident["evidence"]) == ("cpu_request", "proof")
    assert (incident["worker"], incident["pid"]) == (before["number"], before["pid"])
    assert incident["request"] > 0
    assert "grace_ms" in incident["text"]
    assert skepd.tenant("a")["incidents"] == {"killed": {"cpu_ms": 1}}
    assert skepd.tenant("b")["incidents"] == {}
    assert skepd.stats()["incidents"] == {"killed": {"cpu_ms": 1}}


def test_incidents_of_one_tenant_and_the_last_of_them(start):
    skepd = start({"a": stuck_tenant(), "b": stuck_tenant(), "c": HELLO})
    for name in ("a", "b", "a"):
        kill_worker_by(skepd, name)
    assert [i["tenant"] for i in incidents(skepd)] == ["a", "b", "a"]
    assert [i["number"] for i in incidents(skepd)] == [1, 2, 3]
    assert [i["number"] for i in incidents(skepd, "a")] == [1, 3]
    assert [i["number"] for i in incidents(skepd, "-n", "2")] == [2, 3]
    assert [i["number"] for i in incidents(skepd, "a", "-n1")] == [3]
    assert [i["number"] for i in incidents(skepd, "--last", "9", "b")] == [2]
    assert incidents(skepd, "c") == []


def test_worker_that_dies_of_nobody_is_an_incident_without_tenant(start):
    skepd = start({"a": HELLO})
    skepd.get("a")
    pid = skepd.worker()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: incidents(skepd), "the incident")
    (incident,) = incidents(skepd)
    assert (incident["stage"], incident["cause"], incident["pid"]) == ("killed", "outside", pid)
    for name in ("tenant", "limit", "used", "over", "code", "evidence", "request"):
        assert incident[name] is None, name
    assert skepd.tenant("a")["incidents"] == {}


def test_incidents_speak_to_people(start):
    skepd = start({"a": stuck_tenant()})
    kill_worker_by(skepd, "a")
    run = skepd.skep("incidents")
    assert run.returncode == 0, run.stderr
    heading, line = run.stdout.splitlines()
    for title in ("TIME", "TENANT", "STAGE", "CAUSE", "LIMIT", "USED", "OVER", "CODE", "EVIDENCE"):
        assert title in heading.split()
    assert time.strftime("%Y-") in line
    assert " a " in line and " killed " in line and " cpu_ms " in line
    assert " 20.0 ms " in line and " proof " in line
    run = skepd.skep("stats")
    assert "killed cpu_ms 1" in run.stdout


@pytest.mark.parametrize(
    "arguments", [["-n", "0"], ["-n", "x"], ["-n", "-1"], ["-n"], ["a", "b"], ["-x"]]
)
def test_incidents_with_nonsense_is_wrong_usage(start, arguments):
    skepd = start({"a": HELLO})
    run = skepd.skep("incidents", *arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert "skep incidents --help" in run.stderr


# ---- quarantine


def test_tenant_in_quarantine_gets_no_requests_until_it_is_released(start):
    skepd = start({"a": HELLO, "b": HELLO})
    assert skepd.get("a").text == "hello\n"
    answer = operate(skepd, "quarantine", "a")
    assert answer == {"tenant": "a", "was_quarantined": False, "seconds": None, "refused": 0}
    refused = skepd.get("a")
    assert (refused.status, refused.code) == (503, "quarantined")
    assert refused.header("Retry-After") is None
    assert skepd.get("b").text == "hello\n"
    shown = skepd.tenant("a")
    assert (shown["quarantined"], shown["quarantine_s"]) == (True, None)
    assert skepd.stats()["quarantined"] == 1
    assert " quarantine " in skepd.skep("tenants").stdout
    answer = operate(skepd, "release", "a")
    assert answer == {"tenant": "a", "was_quarantined": True, "apart": None}
    assert skepd.get("a").text == "hello\n"
    assert skepd.tenant("a")["quarantined"] is False
    assert skepd.stats()["quarantined"] == 0


def test_quarantine_for_a_time_says_when_to_come_back_and_ends(start):
    skepd = start({"a": HELLO})
    assert operate(skepd, "quarantine", "a", "--for", "10m")["seconds"] == 600
    refused = skepd.get("a")
    assert refused.code == "quarantined"
    assert 590 <= int(refused.header("Retry-After")) <= 600
    assert 590 <= skepd.tenant("a")["quarantine_s"] <= 600
    # The same again sets the new time.
    answer = operate(skepd, "quarantine", "a", "--for", "1s")
    assert (answer["was_quarantined"], answer["seconds"]) == (True, 1)
    wait_for(lambda: skepd.get("a").status == 200, "the quarantine to end")
    assert skepd.tenant("a")["quarantined"] is False


@pytest.mark.parametrize(
    "text, seconds", [("90s", 90), ("2h", 7200), ("1d", 86400), ("365d", 31536000)]
)
def test_quarantine_takes_units(start, text, seconds):
    skepd = start({"a": HELLO})
    assert operate(skepd, "quarantine", "a", "--for", text)["seconds"] == seconds
    assert seconds - 5 <= skepd.tenant("a")["quarantine_s"] <= seconds


def test_requests_that_wait_are_refused_and_those_in_a_worker_end(start):
    body = (
        'console.log("entered");'
        "const start = Date.now(); while (Date.now() - start < 1500)"
        " await new Promise((r) => setTimeout(r, 20));"
        'return new Response("done");'
    )
    skepd = start({"a": tenant(script(body), concurrency=1, wall_ms=20000, cpu_ms=1000)})
    answers = {}

    def ask(name):
        answers[name] = skepd.get("a")

    first = threading.Thread(target=ask, args=("first",))
    first.start()
    skepd.wait_log("entered")
    second = threading.Thread(target=ask, args=("second",))
    second.start()
    wait_for(lambda: skepd.tenant("a")["queued"] == 1, "the second to wait")
    answer = operate(skepd, "quarantine", "a", "--for", "1h")
    assert answer["refused"] == 1
    first.join()
    second.join()
    assert answers["second"].code == "quarantined"
    assert int(answers["second"].header("Retry-After")) > 3500
    assert answers["first"].text == "done"


@pytest.mark.parametrize("text", ["10", "m", "", "10x", "0s", "-1m", "1.5h", "366d", "9" * 40 + "s"])
def test_quarantine_for_nonsense_is_wrong_usage(start, text):
    skepd = start({"a": HELLO})
    run = skepd.skep("quarantine", "a", "--for", text)
    assert (run.returncode, run.stdout) == (2, "")
    assert "10m" in run.stderr
    assert skepd.tenant("a")["quarantined"] is False


@pytest.mark.parametrize("verb", ["quarantine", "release", "incidents"])
def test_tenant_that_does_not_exist_is_an_error_that_says_where_to_look(start, verb):
    skepd = start({"a": HELLO})
    run = skepd.skep(verb, "nobody")
    assert (run.returncode, run.stdout) == (1, "")
    assert "no such tenant" in run.stderr and "skep tenants" in run.stderr


@pytest.mark.parametrize("verb", ["quarantine", "release"])
def test_no_tenant_or_two_are_wrong_usage(start, verb):
    skepd = start({"a": HELLO})
    assert skepd.skep(verb).returncode == 2
    assert skepd.skep(verb, "a", "b").returncode == 2


def test_release_of_a_tenant_that_is_free_is_no_error(start):
    skepd = start({"a": HELLO})
    answer = operate(skepd, "release", "a")
    assert answer == {"tenant": "a", "was_quarantined": False, "apart": None}
    run = skepd.skep("release", "a")
    assert run.returncode == 0 and "not in quarantine" in run.stdout


def test_quarantine_speaks_to_people(start):
    skepd = start({"a": HELLO})
    assert "until it is released" in skepd.skep("quarantine", "a").stdout
    run = skepd.skep("quarantine", "a", "--for", "2h")
    assert "still" in run.stdout and "2 h 0 min" in run.stdout
    assert "released from quarantine" in skepd.skep("release", "a").stdout
    skepd.wait_log(r"\[a\] quarantine is asked for by uid")


# ---- strikes


def test_tenant_with_strikes_is_shown_with_its_own_worker_and_goes_back_when_released(start):
    skepd = start({"a": stuck_tenant(), "b": HELLO})
    for _ in range(3):
        kill_worker_by(skepd, "a")
    assert skepd.get("a").text == "ok"
    a = skepd.tenant("a")
    assert (a["strikes"], a["kills"], a["apart"]) == (3, 3, "strikes")
    (own,) = [w for w in skepd.workers() if w["kind"] == "own"]
    assert (own["number"], own["owner"], own["tenants"]) == (a["own_worker"], "a", ["a"])
    assert skepd.stats()["own_workers"] == 1
    assert f"apart in {own['number']}: strikes" in skepd.skep("tenants").stdout
    assert "own: a" in skepd.skep("workers").stdout
    b = skepd.tenant("b")
    assert (b["strikes"], b["apart"], b["own_worker"]) == (0, None, None)
    answer = operate(skepd, "release", "a")
    assert (answer["was_quarantined"], answer["apart"]) == (False, "strikes")
    a = skepd.tenant("a")
    assert (a["apart"], a["own_worker"], a["marks"]) == (None, None, 0)
    wait_for(lambda: all(w["kind"] != "own" for w in skepd.workers()), "its worker to go")
    assert skepd.get("a").text == "ok"
    assert "a" in skepd.worker()["tenants"]


# ---- retire


def pids(skepd, kind="shared"):
    return {w["number"]: w["pid"] for w in skepd.workers() if w["kind"] == kind}


def test_retired_worker_is_replaced_and_no_request_fails(start):
    skepd = start({"a": HELLO})
    before = skepd.worker()
    with Loader(skepd, "a") as load:
        load.more(20)
        assert operate(skepd, "retire", "default", "0") == {"workers": 1, "leaving": 0, "down": 0}
        wait_for(lambda: skepd.worker()["pid"] != before["pid"], "another worker in its place")
        wait_for(lambda: not is_alive(before["pid"]), "the old one to go")
        load.more(20)
    assert load.wrong == []
    assert skepd.get("a").text == "hello\n"
    assert incidents(skepd) == []
    skepd.wait_log("retires: the operator asked for it")


def test_retire_without_arguments_replaces_the_shared_workers_of_all_cordons(start):
    skepd = start(
        {"a": HELLO},
        cordons=[
            {"name": "default", "workers": 2},
            {"name": "other", "workers": 1, "spare": "off"},
        ],
    )
    before = set(pids(skepd).values())
    assert len(before) == 3
    assert operate(skepd, "retire")["workers"] == 3
    wait_for(lambda: not before & set(pids(skepd).values()), "all to be replaced", timeout=30)
    wait_for(lambda: not any(map(is_alive, before)), "the old ones to go")
    assert len(pids(skepd)) == 3
    assert skepd.get("a").text == "hello\n"


def test_retire_of_a_cordon_replaces_its_spare_too_and_leaves_other_cordons(start):
    skepd = start(
        {"a": HELLO},
        cordons=[{"name": "default", "workers": 1}, {"name": "other", "workers": 1}],
    )
    spare = skepd.worker("default", 1)
    assert spare["kind"] == "spare"
    old = {skepd.worker("default", 0)["pid"], spare["pid"]}
    other = {skepd.worker("other", 0)["pid"], skepd.worker("other", 1)["pid"]}
    assert operate(skepd, "retire", "default")["workers"] == 2
    wait_for(lambda: not any(map(is_alive, old)), "both to be replaced")
    assert all(map(is_alive, other))
    wait_for(lambda: skepd.worker("default", 0)["state"] == "ready", "the new one")
    assert skepd.get("a").text == "hello\n"


def test_worker_that_ends_what_it_has_is_leaving_and_says_why(start):
    body = 'console.log("entered"); await new Promise((r) => setTimeout(r, 1500)); return new Response("done");'
    skepd = start({"a": tenant(script(body), wall_ms=20000), "b": HELLO})
    before = skepd.worker()
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test")
        skepd.wait_log("entered")
        operate(skepd, "retire", "default", "0")
        leaving = wait_for(
            lambda: [w for w in skepd.workers() if w["kind"] == "leaving"], "a leaving worker"
        )[0]
        assert (leaving["pid"], leaving["state"]) == (before["pid"], "draining")
        assert leaving["retire_reason"] == "the operator asked for it"
        assert skepd.worker()["pid"] != before["pid"]
        with pytest.raises(KeyError):  # the worker has no slot any more
            skepd.worker(slot=leaving["slot"])
        assert "goes: the operator asked for it" in skepd.skep("workers").stdout
        assert connection.read_response().text == "done"
    wait_for(lambda: not is_alive(before["pid"]), "it to go")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing"], "no such cordon"),
        (["nothing", "0"], "no such cordon"),
        (["default", "99"], "no worker in that slot"),
    ],
)
def test_retire_of_what_is_not_there_fails(start, arguments, words):
    skepd = start({"a": HELLO})
    before = skepd.worker()["pid"]
    run = skepd.skep("retire", *arguments)
    assert (run.returncode, run.stdout) == (1, "")
    assert words in run.stderr and "skep workers" in run.stderr
    assert skepd.worker()["pid"] == before


@pytest.mark.parametrize(
    "arguments", [["default", "x"], ["default", "-1"], ["default", "0", "1"], [""], ["default", ""]]
)
def test_retire_with_nonsense_is_wrong_usage(start, arguments):
    skepd = start({"a": HELLO})
    run = skepd.skep("retire", *arguments)
    assert (run.returncode, run.stdout) == (2, "")


def test_retire_speaks_to_people(start):
    skepd = start({"a": HELLO})
    run = skepd.skep("retire", "default", "0")
    assert run.returncode == 0 and run.stdout.startswith("1 worker is replaced")


# ---- reports


def test_memory_is_one_number_for_tenants_workers_and_stats(start):
    hold = "globalThis.kept = new Uint8Array(8 << 20).fill(1); return new Response('ok');"
    skepd = start({"a": script(hold), "b": HELLO})
    for name in ("a", "b"):
        assert skepd.get(name).status == 200
    skepd.wait_idle()
    # A worker measures now and then, when it runs something.
    wait_for(
        lambda: skepd.get("a") and skepd.tenant("a")["external_kib"] >= 8192,
        "the worker to say what it holds",
    )
    skepd.wait_idle()

    def add_up():
        tenants = [skepd.tenant("a"), skepd.tenant("b")]
        shown = [*tenants, skepd.worker(), skepd.stats()]
        for entry in shown:
            assert entry["memory_kib"] == (
                entry["heap_kib"] + entry["external_kib"] + entry["bodies_kib"]
            )
        a, b, worker, stats = (entry["memory_kib"] for entry in shown)
        assert a > b > 0
        return a + b == worker == stats

    wait_for(add_up, "the same sum everywhere")


def test_tenant_shows_its_limits(start):
    skepd = start({"a": tenant(HELLO, cpu_ms=77)})
    shown = skepd.tenant("a")
    assert shown["limits"]["cpu_ms"] == 77
    assert shown["limits"]["heap_mib"] == 64
    assert shown["limits"]["cpu_rate"] is None
    assert len(shown["limits"]) == 27
    assert shown["observed"] == []


def test_worker_shows_what_runs_now(start):
    body = 'if (request.url.endsWith("/spin")) for (;;); return new Response("ok");'
    skepd = start({"spins": tenant(script(body), cpu_ms=3000), "b": HELLO})
    assert skepd.get("spins").text == "ok"
    skepd.wait_idle()
    idle = skepd.worker()
    assert (idle["running_tenant"], idle["running_request"], idle["running_ms"]) == (None, None, 0)
    assert idle["heartbeat"] > 0
    with skepd.connect() as connection:
        connection.send_head("GET", "spins.test", "/spin")
        wait_for(lambda: skepd.worker()["running_ms"] > 50, "the worker to be seen running")
        busy = skepd.worker()
        assert (busy["running_tenant"], busy["in_flight"]) == ("spins", 1)
        assert busy["running_request"] > 0
        assert busy["running_ms"] < 60000
        assert "runs spins, " in skepd.skep("workers").stdout
        assert connection.read_response().code == "cpu_request"


def test_workers_show_kind_and_numbers(start):
    skepd = start({"a": HELLO})
    for _ in range(3):
        skepd.get("a")
    skepd.wait_idle()
    worker, spare = skepd.worker(), skepd.worker(slot=1)
    assert (worker["kind"], worker["state"], worker["served"]) == ("shared", "ready", 3)
    assert (spare["kind"], spare["state"], spare["served"]) == ("spare", "spare", 0)
    assert worker["number"] != spare["number"]
    assert worker["rss_limit_kib"] == 1024 * 1024
    assert 1000 < worker["rss_kib"] < worker["rss_limit_kib"]
    assert worker["owner"] is None and worker["retire_reason"] is None
    # A slot's count of served requests outlives the process.
    os.kill(worker["pid"], signal.SIGKILL)
    wait_for(lambda: skepd.worker()["pid"] not in (None, worker["pid"]), "the next one")
    skepd.get("a")
    skepd.wait_idle()
    after = skepd.worker()
    assert (after["served"], after["requests"]) == (1, 4)
    assert all(len(line) <= 110 for line in skepd.skep("workers").stdout.splitlines())


def test_worker_that_keeps_dying_is_shown_as_failed(start):
    skepd = start({"a": HELLO}, worker=BIN / "tests" / "dying_worker", ready=[])

    def failed():
        return [w for w in skepd.workers() if w["slot"] == 0 and w["state"] == "failed"]

    worker = wait_for(failed, "the slot to be given up", timeout=30)[0]
    assert worker["pid"] is None
    assert worker["last_death"]
    assert worker["restarts"] >= 5
    wait_for(lambda: skepd.stats()["workers_failed"] >= 1, "it to be counted", timeout=30)
    assert skepd.stats()["workers_ready"] == 0
    wait_for(lambda: " failed " in skepd.skep("workers").stdout, "people to see it", timeout=30)


def test_help_of_a_verb_is_the_same_both_ways(start):
    skepd = start({"a": HELLO})
    for verb in ("incidents", "quarantine", "release", "retire"):
        one, other = skepd.skep("help", verb), skepd.skep(verb, "--help")
        assert one.returncode == other.returncode == 0
        assert one.stdout == other.stdout
        assert "--json" in one.stdout
    assert skepd.skep("help").stdout == skepd.skep("--help").stdout
    assert skepd.skep("help", "nonsense").returncode == 2
