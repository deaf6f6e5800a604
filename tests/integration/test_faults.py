# SPDX-License-Identifier: Apache-2.0
"""The faults of tenant code, each with both views: the answer to the culprit's client, and that two
honest tenants in its worker and one in another, under load all the while, have every answer right.

    fault                                              test
    loops: plain, getters, toString, stack traces      soft[loop … stack_trace_of_thrown]
    loop in finally, catch-all                         soft[finally, catch]
    regular expression                                 soft[regexp]
    microtasks, awaits                                 soft[microtasks, queued_microtasks, awaits]
    sort with comparator                               soft[sort_comparator]
    WebAssembly loop                                   soft[wasm_loop]
    Atomics.wait                                       refused[atomics_wait]
    indexOf, includes of 2**53-1                       hard[...]
    sparse reverse, typed array sort, replaceAll,
    Object.entries, sort without comparator            slow[...]
    eval, compile of much source                       refused[eval, new_function], big_source
    copyWithin, normalize, encodeURI, typed fill,
    JSON.parse, Intl, BigInt                           slow[...]
    recursion, proxies, parser depth, deep JSON        refused[...], deep_source
    stack overflow in a native callback                native_stack[...]
    arrays and objects that grow                       heap_grows[...]
    one allocation past the heap                       heap_jumps[...]
    ArrayBuffers, WebAssembly memory                   external[...]
    WebAssembly module of 37 MB, 200,000 functions     wasm_over_the_size_cap, wasm_of_many_functions
    string too long                                    refused[long_string …]
    timer flood                                        timer_flood
    console flood                                      console_flood
    response flood, slow reader                        response_flood
    bad response headers                               bad_headers[...]; forged: test_hostile_worker.py
    loop at the top level of a module                  top_level[...], new_version[...]
    waitUntil, timers after the response               after_response[...]
    handler that never resolves                        never_resolves
    late terminate and the next request                late_terminate
    prototype pollution                                pollution
    FinalizationRegistry, SharedArrayBuffer            absent, absent_shared_memory
    forged frames                                      test_hostile_worker.py
    SIGKILL, SIGSEGV, SIGSTOP from outside             signal[...]; stops_reading of test_hostile_worker.py
    forbidden system call                              signal_sys of test_hostile_worker.py, tests/jail
"""

import http.client
import os
import signal
import tempfile

import pytest

from faults import (
    AFTER_RESPONSE,
    BAD_HEADERS,
    EXTERNAL,
    HARD,
    HEAP_GROWS,
    HEAP_JUMPS,
    NATIVE_STACK,
    REFUSED,
    SIGNALS,
    SLOW,
    SOFT,
    STUCK,
    THROWN,
    all_rows,
    many_functions,
    row_name,
)
from harness import IS_SANITIZED, Skepd, Witness, cordon, honest, is_alive, rss_kib, script, wait_for

CPU = (503, "cpu_request")
HEAP = (503, "mem_isolate")


class Hive:
    """All culprits beside two honest tenants in one worker, and a third in another."""

    def __init__(self, folder):
        self.skepd = Skepd(
            folder,
            {
                **all_rows(),
                "near-a": honest("near-a"),
                "near-b": honest("near-b"),
                "far": honest("far", cordon="other"),
            },
            {"cordons": [cordon(), cordon("other")], "http": {"write_idle_ms": 2000}},
        ).start()
        self.witnesses = [Witness(self.skepd, name) for name in ("near-a", "near-b", "far")]

    def __enter__(self):
        for witness in self.witnesses:
            witness.__enter__()
        return self

    def __exit__(self, *_):
        for witness in self.witnesses:
            witness.__exit__()

    def check_neighbours(self):
        """Checks that they are answered, and were all the while."""
        for witness in self.witnesses:
            witness.more(2)
            assert not witness.wrong, (witness.tenant, witness.wrong[:3])
        assert self.skepd.worker("other")["restarts"] == 0
        for name in ("near-a", "near-b", "far"):
            assert self.skepd.tenant(name)["kills"] == 0


def pytest_generate_tests(metafunc):
    rounds = metafunc.config.getoption("--rounds")
    if "hive" in metafunc.fixturenames and rounds > 1:
        names = [f"round {n + 1}" for n in range(rounds)]
        metafunc.parametrize("hive", range(rounds), ids=names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def hive(request):
    with tempfile.TemporaryDirectory(prefix="skep-") as folder:
        hive = Hive(folder)
        try:
            with hive:
                yield hive
            hive.skepd.wait_idle()
        finally:
            hive.skepd.stop()


class Before:
    """A tenant and its worker as they are before the fault."""

    def __init__(self, hive, tenant):
        self.hive, self.skepd, self.tenant = hive, hive.skepd, tenant
        assert self.skepd.get(tenant, "/n").text == "1"
        self.worker = self.skepd.worker()
        assert {tenant, "near-a", "near-b"} <= set(self.worker["tenants"])
        self.kills = self.skepd.tenant(tenant)["kills"]

    def ask(self, path="/"):
        answer = self.skepd.get(self.tenant, path)
        return answer.status, answer.code

    def killed(self):
        """The number of workers that the tenant has killed since."""
        return self.skepd.tenant(self.tenant)["kills"] - self.kills

    def is_apart(self):
        """Whether the tenant went apart from its neighbours, as "busy", because it had held them up."""
        return self.skepd.tenant(self.tenant)["apart"] == "busy"

    def check_same_isolate(self):
        assert self.killed() == 0
        number = self.skepd.get(self.tenant, "/n").text
        assert number == "2" or (number == "1" and self.is_apart())
        self.check_same_worker()

    def check_new_isolate(self):
        assert self.killed() == 0
        assert self.skepd.get(self.tenant, "/n").text == "1"
        self.check_same_worker()

    def check_same_worker(self):
        assert self.is_apart() or self.skepd.worker()["pid"] == self.worker["pid"]
        self.hive.check_neighbours()

    def check_new_worker(self):
        wait_for(self.killed, "the tenant to be blamed")
        assert self.killed() == 1
        assert not is_alive(self.worker["pid"])
        assert self.skepd.get(self.tenant, "/n").text == "1"
        self.hive.check_neighbours()

    def check_any(self):
        assert self.killed() in (0, 1)
        assert self.skepd.get(self.tenant, "/n").status == 200
        self.hive.check_neighbours()


def rows(cases):
    return pytest.mark.parametrize("name", cases)


# ---- CPU


@rows(SOFT)
def test_soft(hive, name):
    before = Before(hive, row_name("soft", name))
    assert before.ask() == CPU
    before.check_new_isolate()


@rows(HARD)
def test_hard(hive, name):
    before = Before(hive, row_name("hard", name))
    assert before.ask() == CPU
    before.check_new_worker()


@rows(SLOW)
def test_slow(hive, name):
    before = Before(hive, row_name("slow", name))
    assert before.ask() == CPU
    before.check_any()


def test_late_terminate(hive):
    """Requests of the culprit and of a neighbour come right behind one that is terminated."""
    before = Before(hive, "late")
    with hive.skepd.connect() as connection:
        for _ in range(20):
            connection.send_head("GET", "late.test", "/")
            connection.send_head("GET", "late.test", "/n")
            connection.send_head("GET", "near-a.test", "/?x")
            assert connection.read_response().code == "cpu_request"
            assert connection.read_response().text.isdigit()
            assert connection.read_response().text == "near-a ?x"
    assert before.killed() == 0
    hive.check_neighbours()


@rows(AFTER_RESPONSE)
def test_after_response(hive, name):
    before = Before(hive, row_name("after", name))
    assert before.ask() == (200, None)
    if name.endswith("stuck"):
        before.check_new_worker()
    else:
        hive.skepd.wait_log(rf"\[{before.tenant}\].*stopped after [\d.]+ ms of CPU time")
        before.check_new_isolate()


def test_never_resolves(hive):
    before = Before(hive, "never")
    assert before.ask() == (504, "wall_request")
    before.check_same_isolate()


# ---- modules


@pytest.mark.parametrize("name", ["loop", "stuck"])
def test_top_level(hive, name):
    answer = hive.skepd.get(f"top-{name}")
    assert (answer.status, answer.code) == (503, "cpu_startup")
    hive.check_neighbours()


@pytest.mark.parametrize("name", ["loop", "stuck"])
def test_new_version(hive, name):
    tenant = f"version-{name}"
    Before(hive, tenant)
    bad = {"loop": "for (;;);", "stuck": STUCK}[name]
    limits = {"cpu_startup_ms": 50, "grace_ms": 50}
    hive.skepd.write_tenant(tenant, {"limits": limits, "files": {"worker.js": bad}})
    hive.skepd.reload(tenant)
    hive.skepd.wait_log(rf"\[{tenant}\] the new version does not load; the one before serves on")
    assert hive.skepd.get(tenant).text == "ok"
    hive.check_neighbours()


def test_big_source(hive):
    """Parsing 15 MB of source, almost all that a tenant may have, does not fit in the budget."""
    answer = hive.skepd.get("big-source")
    assert (answer.status, answer.code) == (503, "cpu_startup")
    hive.check_neighbours()


def test_deep_source(hive):
    answer = hive.skepd.get("deep-source")
    assert (answer.status, answer.code) == (503, "boot_failed")
    hive.check_neighbours()


def test_wasm_over_the_size_cap(hive):
    before = Before(hive, "wasm-big")
    hive.skepd.write_tenant(
        "wasm-big",
        {
            "files": {
                "worker.js": 'import module from "./big.wasm";' + script("return new Response();"),
                "big.wasm": many_functions(200000, 180),
            }
        },
    )
    assert b"too large" in hive.skepd.reload("wasm-big")
    before.check_same_isolate()


def test_wasm_of_many_functions(hive):
    answer = hive.skepd.get("wasm-functions")
    print(answer)
    assert (answer.status, answer.code) in [(200, None), (503, "boot_failed"), (503, "cpu_startup")]
    hive.check_neighbours()


# ---- code that V8 refuses


@rows(REFUSED)
def test_refused(hive, name):
    before = Before(hive, row_name("refused", name))
    assert before.ask() == THROWN
    before.check_same_isolate()


@rows(NATIVE_STACK)
def test_native_stack(hive, name):
    """The outcome is a RangeError where V8 sees it in time; a native that does not look may die of it; and a recursion
    that branches, as that of a console in a console, is over its budget before it is too deep."""
    before = Before(hive, row_name("native", name))
    status, code = before.ask()
    print(status, code)
    assert (status, code) in [THROWN, (200, None), CPU, (502, "worker_crashed")]
    assert before.killed() == (code == "worker_crashed")
    before.check_any()


# ---- memory


@rows(HEAP_GROWS)
def test_heap_grows(hive, name):
    before = Before(hive, row_name("grows", name))
    assert before.ask() == HEAP
    before.check_new_isolate()


@rows(HEAP_JUMPS)
def test_heap_jumps(hive, name):
    before = Before(hive, row_name("jumps", name))
    assert before.ask() == HEAP
    before.check_any()


def held_kib(pid):
    """Returns the worker's memory in KiB; 0 if it has ended, because its tenant went apart and the spare has its slot."""
    try:
        return rss_kib(pid)
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return 0


@rows(EXTERNAL)
def test_external(hive, name):
    before = Before(hive, row_name("external", name))
    resident = rss_kib(before.worker["pid"])
    assert hive.skepd.get(before.tenant).text == "RangeError"
    # external_mib, as much again for a copy while it grows, and garbage
    assert held_kib(before.worker["pid"]) < resident + 100 * 1024
    before.check_same_isolate()


# ---- floods


def test_timer_flood(hive):
    before = Before(hive, "timer-flood")
    assert hive.skepd.get("timer-flood").text == "RangeError"
    before.check_same_isolate()


def test_console_flood(hive):
    before = Before(hive, "console-flood")
    assert before.ask() == (200, None)
    hive.skepd.wait_log(r"\[console-flood\].*log_kib")
    log = hive.skepd.log()
    assert 10 < log.count("[console-flood] info: flood") < 60
    assert len([line for line in log.splitlines() if "[console-flood]" in line and "log_kib" in line])
    before.check_same_isolate()


def test_response_flood(hive):
    before = Before(hive, "response-flood")
    resident = rss_kib(hive.skepd.pid)
    with hive.skepd.connect(receive_buffer=4096) as connection:
        connection.send_head("GET", "response-flood.test")
        response = connection.start_response()
        assert response.status == 200

        def is_over():
            return hive.skepd.tenant("response-flood")["in_flight"] == 0

        wait_for(is_over, "the response to be cut off", timeout=30)
        assert not hive.skepd.tenant("response-flood")["errors"]  # the client is slow, not the tenant
        assert rss_kib(hive.skepd.pid) < resident + 8 * 1024
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
    before.check_same_isolate()


@rows(BAD_HEADERS)
def test_bad_headers(hive, name):
    before = Before(hive, row_name("header", name))
    _, expected = BAD_HEADERS[name]
    answer = hive.skepd.get(before.tenant)
    print(answer.status, answer.code, answer.headers.items()[:5])
    if expected:
        assert (answer.status, answer.code) == expected
    else:  # the header for the length is refused, or left out
        assert (answer.status, answer.code) == (502, "bad_response") or answer.text == "xxx"
    before.check_same_isolate()


# ---- escapes


def test_pollution(hive):
    answer = hive.skepd.get("polluter")
    assert (answer.status, answer.code) in [(200, None), THROWN, (502, "bad_response"),
                                            (503, "boot_failed")]  # fmt: skip
    assert hive.skepd.tenant("polluter")["kills"] == 0
    hive.check_neighbours()


def test_absent(hive):
    before = Before(hive, "absent")
    assert hive.skepd.get("absent").json() == ["undefined"] * 3
    before.check_same_isolate()


def test_absent_shared_memory(hive):
    before = Before(hive, "absent-shared")
    assert hive.skepd.get("absent-shared").text != "SharedArrayBuffer"
    before.check_same_isolate()


# ---- the worker, hit from outside


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signal(hive, number):
    """GETs that were in it are sent again. SIGSEGV does not reach the first process of a PID
    namespace, which a jailed worker is."""
    if IS_SANITIZED and number == signal.SIGSEGV:
        pytest.skip("without a jail it dies as of its own fault: signal_segv in test_hostile_worker.py")
    before = Before(hive, f"signal-{number.name.lower()}")
    with hive.skepd.connect() as connection:
        connection.send_head("GET", f"{before.tenant}.test")
        os.kill(before.worker["pid"], number)
        answer = connection.read_response()
    assert (answer.status, answer.text) == (200, "ok")
    if number != signal.SIGSEGV:
        wait_for(lambda: not is_alive(before.worker["pid"]), "the worker to be replaced")
    assert before.killed() == 0, "nobody is to blame"
    hive.check_neighbours()
