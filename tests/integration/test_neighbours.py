# SPDX-License-Identifier: Apache-2.0
"""Tenants that share a worker or a host with one that misbehaves must not notice."""

import os
import pathlib
import signal
import time

from harness import Loader, is_alive, script, wait_for

HELLO = script('return new Response("hello\\n")')
def assert_untouched(loader):
    assert not loader.wrong, loader.wrong[:3]
    assert loader.answers


def test_request_that_a_neighbour_kills_is_sent_again(start):
    skepd = start(
        {
            "slow": script(
                'console.log("entered"); await new Promise((r) => setTimeout(r, 300));'
                'return new Response("done");'
            ),
            "array": {
                "limits": {"cpu_ms": 5000},
                "files": {"worker.js": script("return new Response(new Array(2**27).fill(0));")},
            },
        }
    )
    with skepd.connect() as connection:
        connection.send_head("GET", "slow.test")
        skepd.wait_log("entered")
        assert skepd.get("array").code == "mem_isolate"
        assert connection.read_response().text == "done"
    assert skepd.stats()["replayed"] == 1


def test_post_that_was_running_when_a_neighbour_kills_is_not_sent_again(start):
    skepd = start(
        {
            "slow": script(
                'console.log("entered"); await new Promise((r) => setTimeout(r, 2000));'
                'return new Response("done");'
            ),
            "array": {
                "limits": {"cpu_ms": 5000},
                "files": {"worker.js": script("return new Response(new Array(2**27).fill(0));")},
            },
        }
    )
    with skepd.connect() as connection:
        connection.send_head("POST", "slow.test", headers=[("Content-Length", 0)])
        skepd.wait_log("entered")
        assert skepd.get("array").code == "mem_isolate"
        answer = connection.read_response()
        assert (answer.status, answer.code) == (502, "worker_crashed")
    assert skepd.log().count("entered") == 1


TWO_CORDONS = [{"name": "a", "workers": 1}, {"name": "b", "workers": 1}]


def in_cordon(name):
    return {"cordon": name, "files": {"worker.js": HELLO}}


def kill(skepd, cordon):
    """Kills a worker from outside. Returns the ms until another worker has answered a request."""
    worker = skepd.worker(cordon)
    with skepd.connect() as connection:
        begin = time.monotonic()
        os.kill(worker["pid"], signal.SIGKILL)
        wait_for(lambda: not is_alive(worker["pid"]), "the worker to be dead")
        answer = connection.request("GET", f"{cordon}.test")
        took = (time.monotonic() - begin) * 1000
    assert answer.text == "hello\n"
    assert skepd.worker(cordon)["pid"] != worker["pid"]
    return took


def test_killed_worker_is_back_within_50_ms_and_no_other_notices(start):
    skepd = start({"a": in_cordon("a"), "b": in_cordon("b")}, cordons=TWO_CORDONS)
    assert skepd.get("a").status == 200
    other = skepd.worker("b")
    with Loader(skepd, "b", connections=1) as loader:
        # Other load on the machine only ever adds, so the best of a few is skep's own time.
        took = [kill(skepd, "a") for _ in range(3)]
        while min(took) >= 50 and len(took) < 10:
            took.append(kill(skepd, "a"))
        loader.more(10)
    print(f"back after {[round(ms) for ms in took]} ms under load")
    assert_untouched(loader)
    assert skepd.worker("b")["pid"] == other["pid"]
    assert skepd.worker("b")["restarts"] == 0
    assert min(took) < 50


def test_spare_takes_over_the_place_of_a_dead_worker(start):
    skepd = start({"a": in_cordon("a")}, cordons=TWO_CORDONS[:1])
    assert skepd.get("a").status == 200
    spare = skepd.worker("a", slot=1)
    assert (spare["state"], spare["tenants"]) == ("spare", [])
    os.kill(skepd.worker("a")["pid"], signal.SIGKILL)
    wait_for(lambda: skepd.worker("a")["pid"] == spare["pid"], "the spare to take over")
    assert skepd.get("a").status == 200
    assert skepd.worker("a")["tenants"] == ["a"]
    assert skepd.worker("a")["restarts"] == 1
    wait_for(lambda: skepd.worker("a", slot=1)["state"] == "spare", "another spare")


def test_cordon_without_spare_waits_for_the_next_worker(start):
    skepd = start({"a": in_cordon("a")}, cordons=[{**TWO_CORDONS[0], "spare": "off"}])
    assert len(skepd.workers()) == 1
    pid = skepd.worker("a")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert skepd.get("a").status == 200
    assert skepd.worker("a")["pid"] != pid


def test_killed_workers_own_requests_are_sent_again(start):
    skepd = start({"a": in_cordon("a")}, cordons=TWO_CORDONS[:1])
    with Loader(skepd, "a") as loader:
        for _ in range(3):
            worker = skepd.worker("a")
            os.kill(worker["pid"], signal.SIGKILL)
            loader.more(50)
            wait_for(lambda: skepd.worker("a")["restarts"] > worker["restarts"], "a restart")
    assert_untouched(loader)


def test_worker_that_is_stopped_is_replaced(start):
    skepd = start(
        {"a": {"limits": {"wall_ms": 500}, "files": {"worker.js": HELLO}}, "hello": HELLO}
    )
    assert skepd.get("a").status == 200
    pid = skepd.worker()["pid"]
    os.kill(pid, signal.SIGSTOP)
    answer = skepd.get("a")
    assert answer.status in (200, 502, 504), answer
    wait_for(lambda: not is_alive(pid), "the stopped worker to be killed")
    assert skepd.get("a").status == 200
    assert skepd.get("hello").status == 200


def test_tenants_do_not_see_each_others_globals(start):
    source = script(
        """
        const seen = [globalThis.mark, Array.prototype.mark, Response.prototype.mark];
        globalThis.mark = Array.prototype.mark = Response.prototype.mark = env.NAME;
        return Response.json(seen.map(String));
        """
    )
    skepd = start(
        {name: {"env": {"NAME": name}, "files": {"worker.js": source}} for name in ("a", "b")}
    )
    nothing = ["undefined"] * 3
    assert skepd.get("a").json() == nothing
    assert skepd.get("b").json() == nothing
    assert skepd.get("a").json() == ["a"] * 3


def test_tenant_that_breaks_every_prototype_still_answers_in_order(start):
    source = """
    for (const it of [Array, Map, Set, WeakMap, Promise, Uint8Array, Object, Function, String,
                      Headers, Request, Response, ReadableStream, URL, RegExp]) {
        for (const key of Reflect.ownKeys(it.prototype)) {
            if (key === "constructor") continue;
            try {
                Object.defineProperty(it.prototype, key, { get() { throw new Error("polluted"); },
                                                           set() { throw new Error("polluted"); } });
            } catch {}
        }
    }
    Object.defineProperty(Object.prototype, "0", { get() { throw new Error("zero"); } });
    export default { fetch() { return new Response("still here"); } };
    """
    skepd = start({"a": source, "hello": HELLO})
    answer = skepd.get("a")
    assert answer.status in (200, 500, 502, 503)
    for _ in range(3):
        assert skepd.get("hello").text == "hello\n"
    assert skepd.worker()["restarts"] == 0
    skepd.wait_idle()


def test_stuck_tenant_has_only_its_own_budget_also_beside_one_with_more(start):
    stuck = script("return new Response(Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1));")
    skepd = start(
        {
            "stuck": {"limits": {"cpu_ms": 50, "grace_ms": 100}, "files": {"worker.js": stuck}},
            "rich": {"limits": {"cpu_ms": 20000}, "files": {"worker.js": HELLO}},
        }
    )
    assert skepd.get("rich").status == 200
    with skepd.connect() as first, skepd.connect() as second:
        begin = time.monotonic()
        first.send_head("GET", "stuck.test")
        wait_for(lambda: skepd.worker()["in_flight"] == 1, "the request to be in the worker")
        second.send_head("GET", "rich.test")
        assert first.read_response().code == "cpu_request"
        took = time.monotonic() - begin
        assert second.read_response().text == "hello\n"
    print(f"took {took * 1000:.0f} ms")
    assert took < 5


def test_cordon_with_baseline_jit_compiles_but_optimises_nothing(start):
    source = script(
        """
        const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 126, 1, 126, 3, 2, 1,
            0, 7, 7, 1, 3, 115, 117, 109, 0, 0, 10, 29, 1, 27, 1, 1, 126, 3, 64, 32, 1, 32, 0, 124, 33, 1,
            32, 0, 66, 1, 125, 34, 0, 80, 69, 13, 0, 11, 32, 1, 11]);
        const { sum } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
        let x = 1;
        for (let i = 0; i < 2e7; i++) x = (x * 33 + i) | 0;
        return Response.json([x, String(sum(100000n))]);
        """
    )
    modes = ("on", "baseline")
    used = {name: [] for name in modes}
    limits = {"cpu_ms": 20000, "wall_ms": 60000}
    skepd = start(
        {name: {"cordon": name, "limits": limits, "files": {"worker.js": source}} for name in modes},
        cordons=[{"name": name, "workers": 1, "jit": name} for name in modes],
    )

    def ask(name):
        """CPU time of one more request."""
        before = skepd.tenant(name)["cpu_ms"]
        assert skepd.get(name).json() == [-833853055, "5000050000"]
        skepd.wait_idle()
        used[name].append(skepd.tenant(name)["cpu_ms"] - before)

    # A loop of arithmetic takes some ten times as long without optimising compilers. They run beside the loop, in threads
    # that a busy machine lets wait, so optimised code may come to a later request.
    # CPU time of one request is noisy on a busy machine, so the least of several counts, and both are asked until they differ.
    def differ():
        for name in modes:
            ask(name)
        return 3 * min(used["on"]) < min(used["baseline"])

    for _ in range(4):
        ask("baseline")
    wait_for(differ, f"optimised code to take a third of the time: {used}", 60)


def test_cordon_without_jit_has_no_writable_code_and_no_webassembly(start):
    source = script(
        """
        let sum = 0;
        for (let i = 0; i < 100000; i++) sum += /a(b+)/.exec("xabb")[1].length;
        return Response.json([sum, typeof WebAssembly]);
        """
    )
    tenants = {
        name: {"cordon": name, "limits": {"cpu_ms": 5000}, "files": {"worker.js": source}}
        for name in ("interpreted", "compiled")
    }
    cordons = [
        {"name": "interpreted", "workers": 1, "jit": "off"},
        {"name": "compiled", "workers": 1},
    ]
    skepd = start(tenants, cordons=cordons)
    assert skepd.get("interpreted").json() == [200000, "undefined"]
    assert skepd.get("compiled").json() == [200000, "object"]

    def writable_code(cordon):
        maps = pathlib.Path(f"/proc/{skepd.worker(cordon)['pid']}/maps").read_text()
        return [line for line in maps.splitlines() if line.split()[1].startswith("rwx")]

    assert not writable_code("interpreted")
    assert writable_code("compiled")
