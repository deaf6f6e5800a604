# SPDX-License-Identifier: Apache-2.0
"""Strikes for tenants whose requests kill workers, and none for tenants that were only there."""

import os
import re
import signal
import threading

import pytest

from harness import IS_SANITIZED, SKEPD, Loader, is_alive, script, wait_for

HELLO = script('return new Response("hello\\n")')
# V8 cannot interrupt it.
STUCK = "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);"
SHORT = {"cpu_ms": 20, "grace_ms": 10}
WORKER = SKEPD.parent / "tests" / "hostile_worker"
needs_hostile_worker = pytest.mark.skipif(
    not IS_SANITIZED or not WORKER.exists(), reason="for a skepd without jail"
)


def stuck_on(path, otherwise='return new Response("ok\\n");'):
    return {
        "limits": SHORT,
        "files": {
            "worker.js": script(
                f'if (new URL(request.url).pathname === "{path}") {STUCK} {otherwise}'
            )
        },
    }


def kill(skepd, tenant, times):
    for _ in range(times):
        assert skepd.get(tenant, "/stuck").code == "cpu_request"


def test_tenant_that_kills_workers_gets_its_own_and_then_quarantine(start):
    skepd = start({"bad": stuck_on("/stuck"), "good": HELLO})
    assert skepd.get("bad").text == "ok\n"
    with Loader(skepd, "good", connections=1) as good:
        kill(skepd, "bad", 3)
        skepd.wait_log(r"\[bad\] gets a worker of its own: 3 strikes")
        wait_for(lambda: skepd.worker()["state"] == "ready", "the shared worker to be there again")
        shared = skepd.worker()
        # From here on only the culprit's own worker dies.
        kill(skepd, "bad", 3)
        good.more(20)
        assert skepd.worker()["restarts"] == shared["restarts"]
        assert skepd.worker()["pid"] == shared["pid"]
        answer = skepd.get("bad")
        assert (answer.status, answer.code) == (503, "quarantined")
        assert 1 <= int(answer.header("Retry-After")) <= 60
        good.more(20)
    assert not good.wrong
    assert skepd.tenant("good")["kills"] == 0
    assert skepd.tenant("bad")["kills"] == 6
    assert "[good] gets" not in skepd.log()


def test_log_of_strikes_is_bounded(start):
    """As docs/limits.md says: 1 KiB for each death, and a line of 256 bytes a second for requests that fail."""
    skepd = start({"bad": stuck_on("/stuck")})
    assert skepd.get("bad").text == "ok\n"
    before = len(skepd.log())
    kill(skepd, "bad", 6)
    for _ in range(300):
        assert skepd.get("bad").code == "quarantined"
    lines = skepd.log()[before:].splitlines()
    failures = [line for line in lines if "failed with 503" in line]
    assert max(map(len, failures)) <= 256
    assert len(failures) <= 2 * len({line[:19] for line in lines}) + 2  # lines of two codes
    assert sum(len(line) + 1 for line in lines if line not in failures) <= 6 * 1024


def test_tenant_that_kills_workers_is_quarantined_where_none_can_be_its_own(start):
    skepd = start({"bad": stuck_on("/stuck"), "good": HELLO},
                  cordons=[{"name": "default", "workers": 1, "solitary": 0}])
    for _ in range(6):  # the good tenant has been in the worker, so the blame can only be a claim
        assert skepd.get("good").status == 200
        kill(skepd, "bad", 1)
    assert skepd.get("bad").code == "quarantined"
    assert skepd.get("good").text == "hello\n"


def test_quarantine_fails_what_waits_in_the_queue(start):
    skepd = start({"bad": {**stuck_on("/stuck"), "limits": {**SHORT, "concurrency": 1}}})
    kill(skepd, "bad", 5)
    with skepd.connect() as first, skepd.connect() as second:
        first.send_head("GET", "bad.test", "/stuck")
        second.send_head("GET", "bad.test", "/")
        assert first.read_response().code == "cpu_request"
        assert second.read_response().code in (None, "quarantined")
    assert skepd.get("bad").code == "quarantined"


def test_worker_that_dies_by_another_hand_is_nobodys_strike(start):
    skepd = start({"a": stuck_on("/stuck"), "b": HELLO})
    for _ in range(5):
        assert skepd.get("a").text == "ok\n"
        pid = skepd.worker()["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: skepd.worker()["pid"] != pid, "another worker")
    assert skepd.tenant("a")["kills"] == 0
    assert "strikes" not in skepd.log()


def test_worker_that_is_stopped_by_a_signal_is_nobodys_strike(start):
    skepd = start({"a": {**stuck_on("/stuck"), "limits": {**SHORT, "wall_ms": 20000}}})
    assert skepd.get("a").text == "ok\n"
    pid = skepd.worker()["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert skepd.get("a").text == "ok\n"  # in the next worker
    skepd.wait_log(rf"pid {pid}\) died: killed: did not answer")
    assert skepd.tenant("a")["kills"] == 0


class Killers:
    """Asks each tenant again and again for the path that kills its worker."""

    def __init__(self, skepd, tenants):
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(skepd, t)) for t in tenants]

    def run(self, skepd, tenant):
        while not self.end.is_set():
            skepd.get(tenant, "/stuck")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for thread in self.threads:
            thread.join()


def test_others_have_their_turn_between_deaths(start):
    bad = [f"bad{i}" for i in range(10)]
    # A cordon in which no tenant is ever quarantined.
    skepd = start(
        {**{name: stuck_on("/stuck") for name in bad}, "good": HELLO},
        cordons=[{"name": "default", "workers": 1, "strikes": 20, "solitary": 0}],
    )
    with Killers(skepd, bad):
        wait_for(lambda: all(skepd.tenant(name)["kills"] for name in bad), "all to have killed")
        deaths = skepd.worker()["restarts"]
        answers = [skepd.get("good").text for _ in range(20)]
        assert skepd.worker()["restarts"] - deaths < 100
    assert set(answers) == {"hello\n"}


def test_without_room_for_its_own_worker_nobody_is_quarantined(start):
    """Deaths in a shared worker may be another's: they lead to a worker of its own, never further."""
    skepd = start(
        {"first": stuck_on("/stuck"), "second": stuck_on("/stuck"), "good": HELLO},
        cordons=[{"name": "default", "workers": 1, "solitary": 1}],
    )
    kill(skepd, "first", 3)
    assert skepd.get("first").text == "ok\n"
    kill(skepd, "second", 6)
    assert skepd.get("second").text == "ok\n"
    skepd.wait_log(r"\[second\] gets a worker of its own")
    assert "quarantine" not in skepd.log()
    # A tenant that kills its own worker too often makes room.
    kill(skepd, "first", 3)
    assert skepd.get("first").code == "quarantined"
    kill(skepd, "second", 3)
    assert skepd.get("second").code == "quarantined"
    assert skepd.get("good").text == "hello\n"


def hostile(behaviour):
    return {"limits": {"wall_ms": 20000}, "files": {"worker.js": behaviour + "\n"}}


@needs_hostile_worker
def test_death_that_tells_nothing_separates_those_in_it(start):
    skepd = start(
        {"good": hostile("waits"), "bad": hostile("bad_outcome"), "idle": hostile("honest")},
        worker=WORKER,
    )
    assert skepd.get("idle").status == 200
    with skepd.connect() as waiting:
        waiting.send_head("GET", "good.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "a request to be in the worker")
        assert skepd.post("bad", b"x").code == "worker_crashed"
        for name in ("bad", "good"):
            skepd.wait_log(rf"\[{name}\] is separated for a while")
        assert "[idle] is separated" not in skepd.log()
        assert {skepd.tenant(name)["kills"] for name in ("bad", "good", "idle")} == {0}
        # The next death names the culprit, and clears the other.
        assert skepd.post("bad", b"x").code == "worker_crashed"
        skepd.wait_log(r"\[good\] shares a worker again")
    assert skepd.tenant("bad")["kills"] == 1
    assert skepd.tenant("good")["kills"] == 0


@needs_hostile_worker
def test_culprit_is_found_where_there_is_not_room_for_all_suspects(start):
    good = [f"good{i}" for i in range(3)]
    skepd = start(
        {"bad": hostile("bad_outcome"), **{name: hostile("waits") for name in good}},
        cordons=[{"name": "default", "workers": 1, "solitary": 1}],
        worker=WORKER,
    )
    for n in range(len(good) + 2):
        skepd.reload("bad")  # is in the worker before the others
        wait_for(lambda n=n: skepd.log().count("[bad] serves a new") == n + 1, "bad to be loaded")
        waiting = [skepd.connect() for _ in good]
        for connection, name in zip(waiting, good):
            connection.send_head("POST", f"{name}.test", headers=[("Content-Length", 0)])
        wait_for(lambda: skepd.stats()["in_flight"] == 3, "requests to be in the workers")
        assert skepd.post("bad", b"x").code == "worker_crashed"
        for connection in waiting:
            connection.reset()
        wait_for(lambda: skepd.stats()["in_flight"] == 0, "requests to end")
        if skepd.tenant("bad")["kills"]:
            break
    assert skepd.tenant("bad")["kills"] == 1
    assert {skepd.tenant(name)["kills"] for name in good} == {0}


@needs_hostile_worker
def test_only_candidate_gets_no_strike_where_others_were_in_the_worker(start):
    skepd = start({"innocent": hostile("waits"), "culprit": hostile("lurks")}, worker=WORKER)
    assert skepd.get("culprit").status == 200
    skepd.post("innocent", b"x")
    skepd.wait_log(r"\[innocent\] killed: .*by the worker's account")
    assert "nobody else can have been it" not in skepd.log()


@needs_hostile_worker
def test_worker_cannot_charge_a_limit_to_another_tenants_request(start):
    """The worker names a request together with another tenant than the request's; both are in the worker."""
    tenants = {"innocent": hostile("waits"), "culprit": hostile("frames_and_charges")}
    skepd = start(tenants, worker=WORKER)
    with skepd.connect() as waiting:
        waiting.send_head("GET", "innocent.test")
        wait_for(lambda: skepd.stats()["in_flight"] > 0, "a request to be in the worker")
        assert skepd.post("culprit", b"x").code == "worker_crashed"
        skepd.wait_log("broke the protocol")
    causes = {incident["cause"] for incident in skepd.admin("incidents")["incidents"]}
    assert "cpu_ms" not in causes


@needs_hostile_worker
@pytest.mark.parametrize("misdeed", ["frames_and_crashes", "frames_and_lies"])
def test_innocent_neighbour_that_is_framed_never_gets_a_strike(start, misdeed):
    skepd = start({"innocent": hostile("waits"), "culprit": hostile(misdeed)}, worker=WORKER)
    answer = None
    for _ in range(20):
        with skepd.connect() as waiting:
            before = skepd.stats()["in_flight"]
            waiting.send_head("GET", "innocent.test")
            wait_for(lambda: skepd.stats()["in_flight"] > before, "a request to be in the worker")
            answer = skepd.post("culprit", b"x")
            waiting.reset()
        if answer.code == "quarantined":
            break
        assert answer.code == "worker_crashed"
        wait_for(lambda: skepd.stats()["in_flight"] == 0, "requests to end")
    assert answer.code == "quarantined"
    log = skepd.log()
    assert not re.search(r"\[innocent\] killed.*nobody else can have been it", log)
    assert "[innocent] is in quarantine" not in log


def test_tenant_far_above_its_neighbours_gets_a_worker_of_its_own(start):
    """The busy tenant's pieces are too short to hold up others. Each has one request that runs on inside the worker, so
    that nothing depends on how soon skepd sends another. unit/apart tests the rule by a clock of its own."""
    turn = "await new Promise((r) => setTimeout(r, %d));"
    busy = f"for (;;) {{ for (let n = 0; n < 1e6; n++); {turn % 0} }}"
    light = f"for (;;) {{ {turn % 5} }}"
    tenants = {
        name: {
            "limits": {"cpu_ms": 300000, "wall_ms": 300000},
            "files": {"worker.js": script('if (request.method === "GET") return new Response("x");' + loop)},
        }
        for name, loop in (("busy", busy), ("light", light))
    }
    skepd = start(tenants)
    assert [skepd.get(name).text for name in tenants] == ["x", "x"]
    shared = skepd.worker()["pid"]
    with skepd.connect() as one, skepd.connect() as other:
        one.send_head("POST", "busy.test", headers=[("Content-Length", 0)])
        other.send_head("POST", "light.test", headers=[("Content-Length", 0)])
        skepd.wait_log(r"\[busy\] uses far more CPU time than its neighbours(?!:)", 240)
        skepd.wait_log(r"\[busy\] has worker \d+ of cordon default to itself")
        assert skepd.get("busy").text == "x"
        assert skepd.worker()["pid"] == shared
    own = skepd.tenant("busy")["own_worker"]
    assert next(w for w in skepd.workers() if w["number"] == own)["tenants"] == ["busy"]


@needs_hostile_worker
@pytest.mark.parametrize("misdeed", ["burns_after", "burns_in_slices"])
def test_worker_that_burns_cpu_time_with_nothing_to_do_is_replaced(start, misdeed):
    skepd = start({"bad": hostile(misdeed), "good": hostile("honest")}, worker=WORKER)
    pid = skepd.worker()["pid"]
    assert skepd.get("bad").status == 200
    wait_for(lambda: not is_alive(pid), "the worker to be ended", timeout=60)
    skepd.wait_log(rf"pid {pid}\) retires: uses CPU time with nothing to do")
    assert skepd.get("good").status == 200
    assert skepd.worker()["last_retired"] == "uses CPU time with nothing to do"


@needs_hostile_worker
def test_worker_that_grows_with_nothing_to_do_is_killed_and_nobody_is_blamed_for_it(start):
    """No account says which tenant left the memory there: all are separated, and none gets a strike."""
    skepd = start({"bad": hostile("hoards_later"), "good": hostile("honest")}, worker=WORKER,
                  cordons=[{"name": "default", "workers": 1, "rss_mib": 256}])
    pid = skepd.worker()["pid"]
    assert skepd.get("good").status == 200
    assert skepd.get("bad").status == 200
    wait_for(lambda: not is_alive(pid), "the worker to be killed", timeout=30)
    skepd.wait_log(r"died: killed: over rss_mib")
    assert skepd.get("good").status == 200
    seen = skepd.tenant("good")
    assert (seen["kills"], seen["strikes"]) == (0, 0)
