# SPDX-License-Identifier: Apache-2.0
"""A tenant's account is what the kernel's clock says, wherever its code ran; and of requests that share
an isolate each pays for its own share (docs/limits.md, "Requests that share an isolate")."""

import os
import pathlib
import re
import threading
import time

import pytest

from harness import cordon, script, wait_for

SPIN = "const spin = (n) => { for (let i = 0; i < n; i++); };"
SLEEP = "const sleep = (ms) => new Promise((r) => setTimeout(r, ms));"
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
STUCK = "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);"
# Warms up, so that the measurement has no cost of a first time.
WARM = "for (let i = 0; i < 20; i++) spin(1e6);"


def module(body):
    return f"{SPIN}\n{SLEEP}\n{WARM}\n{script(body)}"


def tenant(source, **limits):
    limits = {"cpu_ms": 10000, "cpu_startup_ms": 10000, **limits}
    return {"limits": limits, "files": {"worker.js": source}}


def clock_ms(pid):
    """CPU time of the worker's main thread, by the scheduler."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6
    except (FileNotFoundError, ProcessLookupError):
        return None


def all_threads_ms(pid):
    """CPU time of a worker, its sentry included, by the scheduler."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6


def ended_children_ms(pid):
    """CPU time of all children that the process has reaped, by the kernel."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) * TICK_MS


def is_close(used, truth):
    return abs(used - truth) <= max(2, 0.1 * truth)


class Meter:
    """CPU time that the worker used in between, and how much of it the tenants did by their accounts."""

    def __init__(self, skepd, *tenants):
        self.skepd, self.tenants = skepd, tenants
        self.pid = skepd.worker()["pid"]

    def _account(self):
        return {name: self.skepd.tenant(name)["cpu_ms"] for name in self.tenants}

    def __enter__(self):
        self.skepd.wait_idle()
        self.before, self.clock = self._account(), clock_ms(self.pid)
        return self

    def __exit__(self, *_):
        self.skepd.wait_idle()
        self.truth = clock_ms(self.pid) - self.clock
        after = self._account()
        self.used = {name: after[name] - self.before[name] for name in self.tenants}


def wait_warm(pid):
    """Waits until the worker warms up no more, which is no tenant's time: its steps are a second apart."""
    seen = [(time.monotonic(), clock_ms(pid))]

    def is_calm():
        if clock_ms(pid) != seen[0][1]:
            seen[0] = time.monotonic(), clock_ms(pid)
        return time.monotonic() - seen[0][0] > 1.5

    wait_for(is_calm, "the worker to be warm", timeout=30)


def ask_all(skepd, *asked):
    """Sends [(tenant, path)] one after the other, without waiting for the answers. Returns these, in that order."""
    answers = [None] * len(asked)

    def ask(i):
        answers[i] = skepd.get(*asked[i])

    threads = []
    for i, (name, _) in enumerate(asked):
        before = skepd.tenant(name)["requests"] + skepd.tenant(name)["in_flight"]
        threads.append(threading.Thread(target=ask, args=(i,)))
        threads[-1].start()
        wait_for(
            lambda name=name, before=before: skepd.tenant(name)["requests"]
            + skepd.tenant(name)["in_flight"] > before,
            "the request to begin",
        )  # fmt: skip
    for thread in threads:
        thread.join()
    return answers


# ---- a tenant's account

USES = {
    "one_slice": "spin(1e8); return new Response('x');",
    "slices": "for (let i = 0; i < 10; i++) { spin(1e7); await sleep(1); } return new Response('x');",
    "wait_until": "ctx.waitUntil((async () => { await sleep(5); spin(1e8); })());"
    "return new Response('x');",
    "timers": "for (let i = 0; i < 9; i++) setTimeout(() => spin(1e7), i); await sleep(20);"
    "return new Response('x');",
    "interval": "let n = 0; await new Promise((r) => setInterval(() => { spin(1e7);"
    "if (++n > 9) r(); }, 1)); return new Response('x');",
    "stream": "let n = 0; return new Response(new ReadableStream({ async pull(c) { spin(1e7);"
    "await sleep(1); if (++n > 9) c.close(); else c.enqueue(new Uint8Array(1e5)); } }));",
    "small": "return new Response('x');",
    "exception": "spin(5e7); throw new Error('x');",
    "garbage": "const a = []; for (let i = 0; i < 3e5; i++) a.push({ i }); return new Response('x');",
}


@pytest.fixture(scope="module")
def uses(start_module):
    tenants = {name.replace("_", "-"): tenant(module(body)) for name, body in USES.items()}
    return start_module(tenants, cordons=[cordon(spare="off")])


@pytest.mark.parametrize("name", USES)
def test_account_of_a_tenant_is_what_the_clock_says(uses, name):
    host = name.replace("_", "-")
    uses.get(host)
    with Meter(uses, host) as meter:
        for _ in range(3):
            assert uses.get(host).status == (500 if name == "exception" else 200)
    assert is_close(meter.used[host], meter.truth), (meter.used, meter.truth)
    if name != "small":
        assert meter.truth > 10  # there was CPU time to account for


def test_load_is_on_the_account(start):
    source = SPIN + "for (let i = 0; i < 20; i++) spin(1e7);" + script('return new Response("x");')
    skepd = start({"a": tenant(source)}, cordons=[cordon(spare="off")])
    wait_warm(skepd.worker()["pid"])
    with Meter(skepd, "a") as meter:
        assert skepd.get("a").text == "x"
    assert meter.truth > 30
    print(meter.used, meter.truth)
    assert is_close(meter.used["a"], meter.truth), (meter.used, meter.truth)


def test_timers_of_module_code_are_on_the_account(start):
    source = SPIN + "setInterval(() => spin(1e7), 1);" + SLEEP
    source += script('await sleep(50); return new Response("x");')
    skepd = start({"a": tenant(source)}, cordons=[cordon(spare="off")])
    skepd.get("a")
    with Meter(skepd, "a") as meter:
        skepd.get("a")
    assert meter.truth > 10
    assert is_close(meter.used["a"], meter.truth), (meter.used, meter.truth)


def test_two_tenants_in_turns_have_an_account_each(start):
    source = module("""
        const n = Number(new URL(request.url).searchParams.get("n"));
        for (let i = 0; i < 10; i++) { spin(n); await sleep(1); }
        return new Response("x");
    """)
    skepd = start({"a": tenant(source), "b": tenant(source)}, cordons=[cordon(spare="off")])
    ask_all(skepd, ("a", "/?n=1e6"), ("b", "/?n=1e6"))
    with Meter(skepd, "a", "b") as meter:
        for answer in ask_all(skepd, ("a", "/?n=5e6"), ("b", "/?n=2e7")):
            assert answer.text == "x"
    assert is_close(sum(meter.used.values()), meter.truth), (meter.used, meter.truth)
    assert 2.5 < meter.used["b"] / meter.used["a"] < 6.5


def test_two_requests_in_one_isolate_are_on_its_account(uses):
    with Meter(uses, "slices") as meter:
        for answer in ask_all(uses, ("slices", "/"), ("slices", "/")):
            assert answer.text == "x"
    assert is_close(meter.used["slices"], meter.truth), (meter.used, meter.truth)


def test_request_that_is_killed_is_on_the_account(start):
    limits = {"cpu_ms": 100, "grace_ms": 200}
    source = script(f'if (new URL(request.url).pathname === "/stuck") {STUCK}'
                    'return new Response("x");')  # fmt: skip
    skepd = start({"a": tenant(source, **limits)}, cordons=[cordon(spare="off")])
    assert skepd.get("a").text == "x"
    skepd.wait_idle()
    before = skepd.tenant("a")["cpu_ms"] - all_threads_ms(skepd.worker()["pid"])
    ended = ended_children_ms(skepd.pid)
    assert skepd.get("a", "/stuck").code == "cpu_request"
    used = skepd.tenant("a")["cpu_ms"] - before
    truth = ended_children_ms(skepd.pid) - ended
    assert used > 250
    # The kernel cuts user and system time to whole ticks, at both readings.
    assert abs(used - truth) <= 3 * TICK_MS, (used, truth)


def test_request_that_is_stopped_is_on_the_account(start):
    skepd = start({"a": tenant(module("for (;;);"), cpu_ms=50)}, cordons=[cordon(spare="off")])
    skepd.get("a")
    with Meter(skepd, "a") as meter:
        for _ in range(3):
            assert skepd.get("a").code == "cpu_request"
    assert meter.used["a"] >= 148  # and the cost of making an isolate anew after each stop
    assert is_close(meter.used["a"], meter.truth), (meter.used, meter.truth)


# ---- the accounts of requests that share an isolate


def request_of(skepd, pattern):
    """The number of the request that the record names."""
    return skepd.wait_log(pattern + r".*; request (\d+)")[1]


def path_of(skepd, pattern):
    """The path of the request that the record names, by the access log."""
    number = request_of(skepd, pattern)
    return skepd.wait_log(rf"GET a\.test(/\S*) \d+[^;]*;.*request {number};")[1]


def test_requests_in_turns_pay_for_their_own_slices(start):
    source = "let here = 0;" + module("""
        const asked = new URL(request.url).searchParams;
        const n = Number(asked.get("slices"));
        here++;
        while (here < Number(asked.get("together"))) await sleep(2);
        for (let i = 0; i < n; i++) { spin(1e7); await sleep(1); }
        return new Response("x");
    """)
    skepd = start({"a": tenant(source, cpu_ms=100)}, cordons=[cordon(spare="off")])
    for _ in range(2):  # the first costs more
        with Meter(skepd, "a") as meter:
            assert skepd.get("a", "/?slices=8").text == "x"
    # Together far over the budget of one.
    few = round(40 / meter.used["a"] * 8)
    with Meter(skepd, "a") as meter:
        answers = ask_all(
            skepd, *[("a", f"/?slices={few}&together=8")] * 4,
            ("a", f"/?slices={few * 100}&together=8"), ("a", f"/?slices={few}&together=8"),
        )  # fmt: skip
    assert [answer.code for answer in answers] == [None] * 4 + ["cpu_request", None]
    assert meter.used["a"] > 200, few
    stopped = request_of(skepd, r"\[a\] stopped: cpu_ms is 100.0 ms, used 10\d")
    assert stopped == answers[4].header("Skep-Request-Id")
    assert len(re.findall(r"\[a\] stopped", skepd.log())) == 1


# The first request waits for what the second one does, and goes on in the middle of it.
SHARED = """
    let wake;
    export default {{ async fetch(request, env, ctx) {{
        if (new URL(request.url).pathname === "/waits") {{
            await new Promise((r) => {{ wake = r; }});
            {waits}
            return new Response("waits");
        }}
        wake();
        await null; await null; await null;
        {wakes}
        return new Response("wakes");
    }} }};
"""
TIMERS = "for (let i = 0; i < {}; i++) setTimeout(() => {{}}, 50);"
LOGS = "for (let i = 0; i < {}; i++) console.log(`{}${{i}}:`.padEnd(999, 'x'));"


def wait_and_wake(start, waits, wakes, **limits):
    source = SLEEP + SHARED.format(waits=waits, wakes=wakes)
    skepd = start({"a": tenant(source, **limits)}, access_log=True)
    return skepd, ask_all(skepd, ("a", "/waits"), ("a", "/"))


def test_timers_count_for_the_request_that_sets_them(start):
    four = TIMERS.format(4)
    skepd, answers = wait_and_wake(start, four + "await sleep(20);", four, timers=5)
    assert [answer.text for answer in answers] == ["waits", "wakes"]
    assert "timers is" not in skepd.log()


def test_timers_of_a_continuation_are_refused_to_its_own_request(start):
    skepd, (waits, wakes) = wait_and_wake(start, TIMERS.format(6), TIMERS.format(4), timers=5)
    assert (waits.code, wakes.text) == ("exception", "wakes")
    assert path_of(skepd, r"\[a\] refused: timers is 5.0, used 6.0") == "/waits"


def test_console_output_counts_for_the_request_that_writes_it(start):
    skepd, answers = wait_and_wake(start, LOGS.format(3, "waits"), LOGS.format(3, "wakes"), log_kib=4)
    assert [answer.text for answer in answers] == ["waits", "wakes"]
    skepd.wait_log("wakes2:")
    skepd.wait_log("waits2:")
    assert "log_kib" not in skepd.log()


def test_console_output_of_a_continuation_is_cut_for_its_own_request(start):
    skepd, answers = wait_and_wake(start, LOGS.format(9, "waits"), LOGS.format(3, "wakes"), log_kib=4)
    assert [answer.text for answer in answers] == ["waits", "wakes"]
    skepd.wait_log("wakes2:")
    assert path_of(skepd, r"\[a\] refused: log_kib is 4.0 KiB, used 4.\d KiB") == "/waits"
    assert "waits3:" in skepd.log() and "waits4:" not in skepd.log()


def test_cpu_time_of_a_continuation_is_paid_by_whose_event_it_runs_in(start):
    skepd, (waits, wakes) = wait_and_wake(start, "for (;;);", "", cpu_ms=50, wall_ms=2000)
    assert (waits.code, wakes.code) == ("wall_request", "cpu_request")
    skepd.wait_log(f"request {waits.header('Skep-Request-Id')} failed with 504 wall_request")
    assert path_of(skepd, r"\[a\] stopped: cpu_ms is 50.0 ms") == "/"


def test_timer_of_a_request_that_is_answered_is_paid_by_that_one(start):
    source = SLEEP + script("""
        if (new URL(request.url).pathname === "/leaves") {
            setTimeout(() => { console.log("due"); for (;;); }, 100);
            return new Response("left");
        }
        await sleep(400);
        return new Response("stayed");
    """)
    skepd = start({"a": tenant(source, cpu_ms=50)}, access_log=True)
    stays, leaves = ask_all(skepd, ("a", "/"), ("a", "/leaves"))
    assert (leaves.text, stays.text) == ("left", "stayed")
    assert path_of(skepd, r"\[a\] stopped: cpu_ms is 50.0 ms") == "/leaves"
    # Where there is no other request, too.
    assert skepd.get("a", "/leaves").text == "left"
    wait_for(lambda: skepd.log().count("info: due") == 2, "the timer to be due")
