# SPDX-License-Identifier: Apache-2.0
"""A tenant that holds up others in the worker that they share is apart from them at once. The tests count
what ran where, and do not measure time, because the machine may have other work."""

import contextlib
import re

import pytest

from harness import Loader, Witness, free_port, honest, script, wait_for
from scrape import scrape

SPIN = "for (;;);"
# Uses some 20 to 40 ms of CPU time, and is never stopped.
LONG = "let x = 0; for (let i = 0; i < 2e7; i++) x = (x * 31 + i) | 0; globalThis.x = x;"


def culprit(body=SPIN, **limits):
    """Runs the body on the path that asks for it. A long grace_ms: a host that stops the processor on which the
    worker's sentry waits must not lead to a kill, which moves the tenant once more."""
    limits.setdefault("grace_ms", 5000)
    source = script(
        f'if (new URL(request.url).pathname === "/bad") {{ {body} }} return new Response("ok");'
    )
    return {"limits": limits, "files": {"worker.js": source}}


class Culprit(Loader):
    """Asks for the bad path; any answer will do."""

    def __init__(self, skepd, tenant, connections=4, path="/bad"):
        super().__init__(skepd, tenant, path, connections)

    def more(self, count):
        goal = self.answers + count
        wait_for(lambda: self.answers >= goal, "bad requests to be answered", timeout=60)


def stops_by_pid(skepd, tenant):
    """Counts how often the tenant was stopped in each process."""
    found = {}
    for pid in re.findall(rf"\[{tenant}\] stopped: cpu_ms .*\(pid (\d+)\)", skepd.log()):
        found[int(pid)] = found.get(int(pid), 0) + 1
    return found


def wait_apart(skepd, name):
    skepd.wait_log(rf"\[{name}\] uses far more CPU time than its neighbours: has held up", timeout=30)
    tenant = wait_for(lambda: (t := skepd.tenant(name))["own_worker"] is not None and t, "a worker")
    assert tenant["apart"] == "busy"
    assert (tenant["kills"], tenant["quarantined"]) == (0, False)
    return tenant["own_worker"]


@pytest.mark.parametrize("solitary", [8, 1])
def test_spinner_is_apart_from_the_others_after_its_first_spins(start, solitary):
    skepd = start(
        {"spins": culprit(cpu_ms=50), "a": honest("a"), "b": honest("b")},
        cordons=[{"name": "default", "workers": 1, "solitary": solitary}],
    )
    shared = skepd.worker()["pid"]
    with Witness(skepd, "a") as a, Witness(skepd, "b") as b, Culprit(skepd, "spins") as spins:
        own = wait_apart(skepd, "spins")
        spins.more(8)  # spins that were on their way are through
        before = stops_by_pid(skepd, "spins")
        spins.more(12)
        after = stops_by_pid(skepd, "spins")
        a.more(20)
        b.more(20)
        worker = next(w for w in skepd.workers() if w["number"] == own)
    assert not a.wrong + b.wrong
    # Two spins; one or two more if nobody else was waiting at the time, or skepd could not look. Without the
    # rule there would be hundreds.
    assert before.get(shared, 0) <= 4, before
    assert [pid for pid in after if after[pid] > before.get(pid, 0)] == [worker["pid"]]
    assert (worker["kind"], worker["tenants"]) == ("own", ["spins"])
    assert sorted(skepd.worker()["tenants"]) == ["a", "b"]
    assert skepd.log().count("shares a worker again") == 0


def test_more_spinners_than_workers_of_their_own_share_one(start):
    names = [f"spins-{i}" for i in range(5)]
    skepd = start(
        {**{name: culprit(cpu_ms=50) for name in names}, "good": honest("good")},
        cordons=[{"name": "default", "workers": 1, "solitary": 1}],
    )
    with Witness(skepd, "good") as good, contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(Culprit(skepd, name, connections=2))
        own = {wait_apart(skepd, name) for name in names}
        good.more(20)
    assert not good.wrong
    assert len(own) == 1
    assert skepd.stats()["own_workers"] == 1
    assert skepd.worker()["tenants"] == ["good"]
    for name in names:
        assert skepd.get(name).text == "ok"


def test_tenant_that_is_never_stopped_goes_apart_without_a_failed_request(start):
    skepd = start({"slow": culprit(LONG, cpu_ms=5000), "good": honest("good")})
    with Witness(skepd, "good", connections=2) as good, Culprit(skepd, "slow") as slow:
        wait_apart(skepd, "slow")
        slow.more(10)
        good.more(20)
    assert not good.wrong + slow.wrong
    assert skepd.tenant("good")["own_worker"] is None


def test_spinner_that_is_calm_for_a_while_is_not_moved_to_and_fro(start):
    skepd = start({"spins": culprit(cpu_ms=50), "good": honest("good")})
    with Witness(skepd, "good") as good:
        for _ in range(4):
            with Culprit(skepd, "spins") as spins:
                spins.more(8)
            with Loader(skepd, "spins") as calm:
                calm.more(50)
            good.more(10)
    assert not good.wrong and not calm.wrong
    assert skepd.log().count("[spins] uses far more CPU time") == 1
    assert "shares a worker again" not in skepd.log()
    assert skepd.tenant("spins")["apart"] == "busy"


def test_others_do_not_wait_for_one_request_that_runs_for_long(start):
    """The tenant keeps its worker, and the others get another."""
    skepd = start({"spins": culprit(cpu_ms=20000), "good": honest("good")})
    pid = skepd.worker()["pid"]
    assert skepd.get("good").status == 200
    with skepd.connect() as spinning, skepd.connect() as waiting:
        spinning.send_head("GET", "spins.test", "/bad")
        wait_for(lambda: skepd.worker()["in_flight"] == 1, "it to be in the worker")
        waiting.send_head("GET", "good.test")
        skepd.wait_log(rf"pid {pid}\) retires: a tenant holds it up", timeout=30)
        with Witness(skepd, "good") as good:
            good.more(50)
        assert skepd.get("spins").text == "ok"  # in its own worker
        assert skepd.worker()["pid"] != pid
        assert {w["pid"]: w["in_flight"] for w in skepd.workers()}[pid] >= 1  # the spin still runs
    assert not good.wrong


ECHO = script('console.log("ran", await request.text()); return new Response("echo");')


def test_request_that_has_not_begun_is_taken_back_and_runs_once_elsewhere(start):
    """Also a request that may not be sent twice; the requests of the tenant that holds it up wait, too."""
    port = free_port()
    skepd = start(
        {"spins": culprit(cpu_ms=3000), "good": {"files": {"worker.js": ECHO}}},
        metrics={"listen": f"127.0.0.1:{port}"},
        drain_s=1,  # skepd does not wait for the spin
    )
    pid = skepd.worker()["pid"]
    assert skepd.post("good", b"first").text == "echo"
    for _ in range(20):  # little is known of the cost, so several of its requests go at once
        assert skepd.get("spins").text == "ok"
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(skepd.connect()).send_head("GET", "spins.test", "/bad")
        sent = wait_for(lambda: (n := skepd.worker()["in_flight"]) > 1 and n, "spins in the worker")
        answer = skepd.post("good", b"second")
        workers = {w["pid"]: w["in_flight"] for w in skepd.workers()}
        assert answer.text == "echo"
        assert workers[pid] == 1  # the first spin still runs
        assert skepd.worker()["pid"] != pid
        # The first spin, and the spins behind it.
        metrics = scrape(port)
        assert metrics.get("skep_requests_withdrawn_total") >= sent
        assert metrics.get("skep_bound_limit", what="withdrawn") >= 256
        skepd.wait_log(r"\[good\].* ran second")
    assert len(re.findall(r"\[good\].* ran second", skepd.log())) == 1
    assert skepd.stats()["replayed"] == 0
    assert skepd.get("spins").text == "ok"


def test_others_do_not_wait_for_all_that_were_cheap_until_they_spin_at_once(start):
    """Culprits are found one after the other, and others have their turn between them."""
    names = [f"spins-{i}" for i in range(10)]
    good = script('console.log("ran", new URL(request.url).search); return new Response("good");')
    skepd = start({**{name: culprit(cpu_ms=60) for name in names}, "good": {"files": {"worker.js": good}}})
    pid = skepd.worker()["pid"]
    for name in (*names, "good"):
        for _ in range(30):
            assert skepd.get(name).status == 200
    before = skepd.log()
    with contextlib.ExitStack() as stack:
        spinning = [stack.enter_context(skepd.connect(timeout=60)) for _ in range(40)]
        waiting = [stack.enter_context(skepd.connect(timeout=60)) for _ in range(4)]
        for i, connection in enumerate(spinning):
            connection.send_head("GET", f"{names[i % 10]}.test", "/bad")
        for i, connection in enumerate(waiting):
            connection.send_head("GET", "good.test", f"/?{i}")
        assert all(connection.read_response().text == "good" for connection in waiting)
        skepd.wait_log(r"ran \?3")
        log = skepd.log()[len(before) :]
        for connection in spinning:
            assert connection.read_response().code == "cpu_request"
    spins = re.findall(rf"stopped: cpu_ms .*\(pid {pid}\)|\[good\].* ran", log)
    # Two until requests wait, and the ones that run when the good ones arrive; without the rule there would
    # be 40.
    assert len([line for line in spins[: spins.index("[good] info: ran")] if "stopped" in line]) <= 4, spins
    for name in names:
        assert skepd.get(name).text == "ok"


@pytest.mark.parametrize("solitary", [8, 1])
def test_others_do_not_wait_for_a_load_that_runs_for_long(start, solitary):
    loads = {"limits": {"cpu_startup_ms": 20000}, "files": {"worker.js": "for (;;);"}}
    skepd = start(
        {"loads": loads, "good": honest("good")},
        cordons=[{"name": "default", "workers": 1, "solitary": solitary}],
    )
    pid = skepd.worker()["pid"]
    assert skepd.get("good").status == 200
    with skepd.connect(timeout=60) as loading, skepd.connect(timeout=60) as waiting:
        loading.send_head("GET", "loads.test")
        wait_for(lambda: skepd.worker()["running_tenant"] == "loads", "it to be loaded")
        waiting.send_head("GET", "good.test")
        skepd.wait_log(rf"pid {pid}\) retires: a tenant holds it up", timeout=30)
        with Witness(skepd, "good") as good:
            good.more(50)
        assert waiting.read_response().status == 200  # nor does what was behind the load
        assert skepd.worker()["pid"] != pid
        wait_for(lambda: any(w["running_tenant"] == "loads" for w in skepd.workers()), "a load")
    assert not good.wrong
    tenant = skepd.tenant("loads")
    assert (tenant["apart"], tenant["kills"]) == ("busy", 0)
    assert skepd.tenant("good")["apart"] is None


def test_slow_tenant_that_is_alone_in_its_worker_stays(start):
    skepd = start({"slow": culprit(LONG, cpu_ms=5000), "idle": honest("idle")})
    assert skepd.get("idle").status == 200
    with Culprit(skepd, "slow") as slow:
        slow.more(40)
    assert not slow.wrong
    assert skepd.tenant("slow")["apart"] is None


def test_popular_tenant_stays_beside_a_slow_one(start):
    skepd = start({"slow": culprit(LONG, cpu_ms=5000), "popular": honest("popular")})
    with Loader(skepd, "popular", connections=16) as popular, Culprit(skepd, "slow", 2) as slow:
        slow.more(30)
        popular.more(200)
    assert not popular.wrong + slow.wrong
    assert skepd.tenant("popular")["apart"] is None
    assert "[popular] uses far more" not in skepd.log()


def test_nobody_goes_apart_where_the_operator_has_no_workers_for_that(start):
    skepd = start(
        {"slow": culprit(LONG, cpu_ms=5000), "good": honest("good")},
        cordons=[{"name": "default", "workers": 1, "solitary": 0}],
    )
    with Witness(skepd, "good") as good, Culprit(skepd, "slow") as slow:
        slow.more(20)
        good.more(5)
    assert not good.wrong + slow.wrong
    assert skepd.tenant("slow")["apart"] is None


def test_released_spinner_shares_again(start):
    skepd = start({"spins": culprit(cpu_ms=50), "good": honest("good")})
    with Witness(skepd, "good") as good, Culprit(skepd, "spins"):
        wait_apart(skepd, "spins")
    assert skepd.skep("release", "spins").returncode == 0
    assert skepd.tenant("spins")["own_worker"] is None
    assert skepd.get("spins").text == "ok"
    assert not good.wrong
    wait_for(lambda: skepd.stats()["own_workers"] == 0, "its worker to be gone")
