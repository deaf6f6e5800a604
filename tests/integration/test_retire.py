# SPDX-License-Identifier: Apache-2.0
"""Workers that retire: another takes over, and no request notices."""

import os
import pathlib

import pytest

from harness import IS_SANITIZED, SKEPD, Loader, is_alive, rss_kib, script, wait_for

WORKER = SKEPD.parent / "tests" / "hostile_worker"
needs_hostile_worker = pytest.mark.skipif(
    not IS_SANITIZED or not WORKER.exists(), reason="for a skepd without jail"
)
HELLO = script('return new Response("hello\\n")')
SLOW = script(
    'console.log("entered"); await new Promise((r) => setTimeout(r, 700));'
    'return new Response("done");'
)
STREAM = script("""
    let n = 0;
    return new Response(new ReadableStream({
        async pull(controller) {
            await new Promise((r) => setTimeout(r, 20));
            if (++n > 40) controller.close();
            else controller.enqueue(new TextEncoder().encode("tick"));
        },
    }));
""")


def cordon(**keys):
    return [{"name": "default", "workers": 1, **keys}]


@pytest.mark.parametrize("spare", ["on", "off"])
def test_worker_that_has_served_enough_is_replaced_and_no_request_fails(start, spare):
    skepd = start(
        {"hello": HELLO, "slow": SLOW, "stream": STREAM},
        cordons=cordon(retire_after_requests=300, spare=spare),
    )
    pids = set()
    with Loader(skepd, "hello") as hello, Loader(skepd, "slow", connections=3) as slow, Loader(
        skepd, "stream", connections=2
    ) as stream:
        wait_for(
            lambda: pids.add(skepd.worker()["pid"]) or len(pids) > 3, "workers to retire",
            timeout=30,
        )
        hello.more(10)
        slow.more(3)
        stream.more(2)
    assert not hello.wrong + slow.wrong + stream.wrong
    assert "over retire_after_requests" in skepd.log()
    worker = skepd.worker()
    assert worker["last_retired"] == "over retire_after_requests"
    assert worker["last_retired_ms"] < worker["uptime_ms"] + 60000
    assert skepd.stats()["replayed"] == 0
    skepd.wait_idle()
    # The replaced workers are gone.
    old = pids - {skepd.worker()["pid"]}
    wait_for(lambda: not any(map(is_alive, old)), "old workers to end")


def test_worker_of_an_age_is_replaced(start):
    skepd = start({"hello": HELLO}, cordons=cordon(retire_after_s=10))
    pid = skepd.worker()["pid"]
    with Loader(skepd, "hello", connections=1) as hello:
        wait_for(lambda: skepd.worker()["pid"] != pid, "the worker to retire", timeout=15)
        hello.more(10)
    assert not hello.wrong
    wait_for(lambda: not is_alive(pid), "the old worker to end")


HOLDS = script("""
    globalThis.held ??= [];
    for (let i = 0; i < 10; i++) held.push(new Uint8Array(1 << 20).fill(1));
    return new Response("held");
""")


def holder(mib):
    return {"limits": {"external_mib": mib, "cpu_ms": 1000}, "files": {"worker.js": HOLDS}}


def test_worker_over_rss_mib_is_killed_and_who_holds_most_is_told(start):
    skepd = start({"big": holder(400), "good": HELLO}, cordons=cordon(rss_mib=200))
    pid = skepd.worker()["pid"]
    code = None
    with Loader(skepd, "good", connections=1) as good:
        for _ in range(40):
            code = skepd.get("big").code
            if not is_alive(pid):
                break
        good.more(10)
    assert not good.wrong
    assert not is_alive(pid)
    skepd.wait_log(r"\[big\] killed: rss_mib is 200.0 MiB, used 2\d\d\.\d MiB")
    assert code in (None, "mem_process")
    assert skepd.tenant("good")["kills"] == 0
    assert skepd.get("big").text == "held"


def test_rss_that_is_only_observed_kills_nobody(start):
    skepd = start(
        {"big": holder(400)},
        cordons=cordon(rss_mib=100, drift_mib="unlimited", limits={"observe": ["rss_mib"]}),
    )
    pid = skepd.worker()["pid"]
    for _ in range(15):
        assert skepd.get("big").text == "held"
    skepd.wait_log(r"observed: rss_mib is 100.0 MiB, used 1\d\d\.\d MiB")
    assert rss_kib(pid) > 100 << 10
    assert skepd.worker()["pid"] == pid


def test_solitary_cordon_gives_each_tenant_its_own_worker(start):
    skepd = start(
        {"a": HELLO, "b": HELLO, "c": HELLO},
        ready=[],
        cordons=[{"name": "default", "workers": "solitary", "spare": "off"}],
    )
    for name in "abc":
        assert skepd.get(name).text == "hello\n"
    workers = [w for w in skepd.workers() if w["tenants"]]
    assert sorted(w["tenants"] for w in workers) == [["a"], ["b"], ["c"]]
    assert len({w["pid"] for w in workers}) == 3
    os.kill(workers[0]["pid"], 9)
    for name in "abc":
        assert skepd.get(name).text == "hello\n"


def test_solitary_cordon_that_is_full_says_so(start):
    skepd = start(
        {"a": HELLO, "b": HELLO},
        cordons=[{"name": "default", "workers": "solitary", "solitary": 1}],
    )
    assert skepd.get("a").text == "hello\n"
    answer = skepd.get("b")
    assert (answer.status, answer.code, answer.header("Retry-After")) == (503, "overloaded", "1")
    assert pathlib.Path(f"/proc/{skepd.pid}").exists()


def in_cordon(name, text):
    return {"cordon": name, "files": {"worker.js": script(f'return new Response("{text}")')}}


def workers_of(skepd, cordon):
    return [w["pid"] for w in skepd.workers() if w["cordon"] == cordon]


def test_tenant_that_moves_to_another_cordon_is_served_there(start):
    solitary = {"workers": "solitary", "spare": "off"}
    cordons = [{"name": "shared", "workers": 1}]
    cordons += [{"name": name, **solitary} for name in ("alone", "own")]
    skepd = start({"moves": in_cordon("shared", "0")}, cordons=cordons)
    assert skepd.get("moves").text == "0"
    with Loader(skepd, "moves", connections=2) as loader:
        for text, name in enumerate(["alone", "own", "shared", "alone", "shared"], start=1):
            skepd.write_tenant("moves", in_cordon(name, str(text)))
            skepd.reload("moves")
            wait_for(lambda text=str(text): skepd.get("moves").text == text, "the new version")
            for other in ("alone", "own"):
                wait_for(
                    lambda other=other, n=int(other == name): len(workers_of(skepd, other)) == n,
                    f"{name} to be the only cordon with a worker of the tenant",
                )
            loader.more(10)
    assert not loader.wrong


@needs_hostile_worker
def test_worker_that_holds_more_than_its_isolates_account_for_is_replaced(start):
    skepd = start({"big": {"files": {"worker.js": "hoards\n"}},
                   "good": {"files": {"worker.js": "honest\n"}}},
                  worker=WORKER, cordons=cordon(drift_mib=16))
    pid = skepd.worker()["pid"]
    with Loader(skepd, "good", connections=1) as good:
        assert skepd.get("big").status == 200
        skepd.wait_log(r"retires: holds more than drift_mib", timeout=30)
        good.more(5)
    assert not good.wrong
    wait_for(lambda: not is_alive(pid), "the old worker to end")
