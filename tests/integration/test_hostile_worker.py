# SPDX-License-Identifier: Apache-2.0
"""A worker that a tenant has taken over (tests/hostile/hostile_worker.c) sends and does what no
worker may. skepd, built with the sanitizers and so without jail, has to stay up, answer the client with
one of its codes or cut the body off, replace the worker if it broke the protocol, and keep no
record of it; a tenant in another worker must not notice."""

import contextlib
import http.client
import pathlib
import re
import shutil
import tempfile
import threading
import time

import pytest

from harness import IS_SANITIZED, SKEPD, Loader, Skepd, cordon, fd_count, is_alive, wait_for
from reloads import reload

WORKER = SKEPD.parent / "tests" / "hostile_worker"

pytestmark = pytest.mark.skipif(
    not IS_SANITIZED or not WORKER.exists(),
    reason="for a skepd without jail: SKEPD_BIN=build/asan/skepd, which `ctest --preset asan` sets",
)

CORDONS = [
    cordon(spare="off"),
    cordon("other", jit="off", spare="off"),  # where the worker starts as a good one
]
GOOD = {"cordon": "other", "files": {"worker.js": "honest\n"}}
MUCH_BYTES = 256 << 10  # sent by answers_much
CPU = {"cpu_ms": 50, "cpu_startup_ms": 50, "grace_ms": 10}
LONG = {**CPU, "wall_ms": 20000, "idle_ms": 20000}
SHORT = {**CPU, "wall_ms": 300, "idle_ms": 300}  # for misdeeds that this time ends
ENDED_BY_TIME = (
    "frame_half_silence close_and_stay stops_in_response stops_reading load_silent load_never".split()
)


def bad(name, **limits):
    most = SHORT if name in ENDED_BY_TIME else LONG
    bindings = [{"name": "NOBODY", "service": "nobody"}]
    return {"limits": {**most, **limits}, "bindings": bindings, "files": {"worker.js": f"{name}\n"}}


KILLED = (502, "worker_crashed", True)
WRONG = (502, "bad_response", False)
CUT_AND_KILLED = ("cut off", None, True)
SERVED = (200, None, False)

# status, code, whether the worker is replaced
ON_REQUEST = {
    "honest": SERVED,
    "second_hello": KILLED,
    "unknown_head": KILLED,
    "unknown_body": KILLED,
    "unknown_credit": KILLED,
    "unknown_done": KILLED,
    "other_done": KILLED,
    "bad_outcome": KILLED,
    "negative_outcome": KILLED,
    "head_twice": CUT_AND_KILLED,
    "body_first": KILLED,
    "body_after_end": (200, None, True),
    "body_too_big": CUT_AND_KILLED,
    "body_empty": CUT_AND_KILLED,
    "credit_beyond": KILLED,
    "credit_most": KILLED,
    "credit_no_body": KILLED,
    "done_twice": (200, None, True),
    "done_only": WRONG,
    "done_early": ("cut off", None, False),
    "done_not_loaded": (502, "worker_crashed", False),
    "done_cancelled": (500, "exception", False),
    "loaded_again": KILLED,
    "loaded_unknown": KILLED,
    "unloaded_unknown": KILLED,
    "unloaded_twice": KILLED,
    "unloaded_answers": SERVED,
    "unloaded_not_loaded": (502, "worker_crashed", False),
    "log_unknown": KILLED,
    "log_giant": SERVED,
    "log_flood": SERVED,
    "header_flood": KILLED,
    "header_many": KILLED,
    "header_empty": WRONG,
    "header_crlf": WRONG,
    "header_name": WRONG,
    "header_nul": KILLED,
    "head_empty": KILLED,
    "head_odd": KILLED,
    "head_long": KILLED,
    "head_short": KILLED,
    "head_wraps": KILLED,
    "header_te": SERVED,
    "header_code": SERVED,
    "length_long": WRONG,
    "length_short": WRONG,
    "length_bad": WRONG,
    "length_huge": WRONG,
    "length_twice": WRONG,
    "length_over": ("cut off", None, False),
    "length_under": ("cut off", None, False),
    "status_0": WRONG,
    "status_99": WRONG,
    "status_101": WRONG,
    "status_1000": WRONG,
    "frame_giant": KILLED,
    "frame_over": KILLED,
    "frame_zero": KILLED,
    "frame_half_silence": (504, "wall_request", True),
    "frame_half_close": KILLED,
    "close_and_stay": (504, "wall_request", True),
    "exit_at_once": KILLED,
    "exit_in_response": CUT_AND_KILLED,
    "abort_at_once": KILLED,
    "signal_segv": KILLED,
    "signal_sys": KILLED,
    "exceeded_unknown": KILLED,
    "exceeded_other": KILLED,
    "exceeded_bad": KILLED,
    "exceeded_true": SERVED,
    "exceeded_used": SERVED,
    "done_long": SERVED,
    "exceeded_observed": KILLED,
    "exceeded_twice": KILLED,
    "stopped_unknown": KILLED,
    "stopped_twice": KILLED,
    "stopped_always": SERVED,
    "caught_up": SERVED,
    "caught_up_flood": KILLED,
    "credit_nothing": KILLED,
    "call_true": SERVED,
    "call_binding": KILLED,
    "call_number": KILLED,
    "call_twice": KILLED,
    "call_unknown": KILLED,
    "call_body_unknown": KILLED,
    "call_body_empty": KILLED,
    "call_credit_unknown": KILLED,
    "call_credit_most": KILLED,
    "call_cancel_unknown": KILLED,
    "stops_in_response": ("cut off", None, True),
    "stops_reading": (504, "wall_request", True),
    "body_inside": CUT_AND_KILLED,
    "tail_of_done": KILLED,
    "garbage": KILLED,
    "no_message": KILLED,
    "pong_flood": KILLED,
    "board_garbage": KILLED,  # after the request was sent twice: nothing says that it had entered
    "board_lies": KILLED,
    "board_others": KILLED,
}
ON_LOAD = {
    "load_exit": (502, "worker_crashed", True),
    "load_exit_unnamed": (502, "worker_crashed", True),
    "load_bad_result": (502, "worker_crashed", True),
    "load_fails": (503, "boot_failed", False),
    "load_twice": KILLED,
    "load_silent": (503, "overloaded", True),
    "load_never": (503, "overloaded", True),
}
IN_NEW_VERSION = ["load_exit", "load_exit_unnamed", "load_bad_result", "load_silent", "load_never"]


class Hive:
    """A skepd with every bad tenant in one worker and a good one in another, under load."""

    def __init__(self, skepd):
        self.skepd = skepd
        self.skepd.get("good")
        self.fds = fd_count(skepd.pid)
        self.loader = Loader(skepd, "good", connections=1)

    def restarts(self):
        return self.skepd.worker()["restarts"]

    def is_back(self, before):
        workers = [w for w in self.skepd.workers() if (w["cordon"], w["slot"]) == ("default", 0)]
        return any(w["restarts"] > before and w["state"] == "ready" for w in workers)

    def assert_well(self):
        assert is_alive(self.skepd.pid)
        # A tenant in the same worker is served again, and not blamed.
        assert ask(self.skepd, "beside") == (200, None)
        assert self.skepd.tenant("beside")["kills"] == 0
        assert not self.loader.wrong
        assert self.skepd.worker("other")["restarts"] == 0


def tenant_of_new_version(misdeed):
    return f"new-{misdeed}".replace("_", "-")


def remove_bad_tenants(skepd):
    """Removes the tenants, and with them the workers of their own that separated ones have."""
    for folder in skepd.tenants_folder.iterdir():
        if folder.name not in ("good", "beside"):
            shutil.rmtree(folder)
    reload(skepd)


@pytest.fixture(scope="module")
def hive():
    tenants = {name.replace("_", "-"): bad(name) for name in {**ON_REQUEST, **ON_LOAD}}
    tenants["upload"] = bad("exit_after_credit")
    tenants["flood"] = bad("body_beyond_window")
    tenants["stubborn"] = bad("never_answers", wall_ms=300)
    # One tenant for each, because one that is suspected too often gets a worker of its own.
    tenants.update({tenant_of_new_version(name): bad("honest") for name in IN_NEW_VERSION})
    tenants["kept"] = bad("honest")
    tenants["beside"] = bad("honest")
    tenants["good"] = GOOD
    with tempfile.TemporaryDirectory(prefix="skep-") as folder:
        skepd = Skepd(folder, tenants, {"cordons": CORDONS}, worker=WORKER)
        try:
            hive = Hive(skepd.start())
            with hive.loader:
                yield hive
                hive.loader.more(10)
            hive.assert_well()
            skepd.wait_idle()
            remove_bad_tenants(skepd)
            wait_for(lambda: fd_count(skepd.pid) <= hive.fds, "all descriptors to be closed")
        finally:
            skepd.stop()


def send_some(connection, body):
    with contextlib.suppress(OSError):
        connection.send(body)


def ask(skepd, tenant, method="POST"):
    """status, code of the answer; "cut off" if its body is not complete."""
    with skepd.connect() as connection:
        try:
            body = b"x" if method == "POST" else None
            answer = connection.request(method, f"{tenant}.test", body=body)
            return answer.status, answer.code
        except (http.client.IncompleteRead, ConnectionResetError):
            return "cut off", None


def check(hive, name, expected, method):
    before = hive.restarts()
    status, code, is_replaced = expected
    assert ask(hive.skepd, name.replace("_", "-"), method) == (status, code)
    if is_replaced:
        wait_for(lambda: hive.is_back(before), "the worker to be replaced")
    hive.loader.more(1)
    hive.assert_well()
    if name == "signal_sys":
        assert re.search(r"died: forbidden system call", hive.skepd.log())
    assert is_replaced or hive.restarts() == before
    assert hive.restarts() <= before + 2


@pytest.mark.parametrize("name", ON_REQUEST)
def test_misdeed_on_a_request_costs_only_its_own_client(hive, name):
    # With a body, a credit for a request without one would be right; the others must not be sent twice.
    method = "GET" if name == "credit_no_body" else "POST"
    check(hive, name, ON_REQUEST[name], method)


@pytest.mark.parametrize("name", ON_LOAD)
def test_misdeed_on_a_load_costs_only_its_own_client(hive, name):
    check(hive, name, ON_LOAD[name], "GET")


def test_worker_that_dies_in_an_upload_fails_it(hive):
    before = hive.restarts()
    with hive.skepd.connect() as connection:
        connection.send_head("PUT", "upload.test", headers=[("Content-Length", 1 << 20)])
        connection.send(bytes(300000))
        answer = connection.read_response("PUT")
    assert (answer.status, answer.code) == (502, "worker_crashed")
    wait_for(lambda: hive.is_back(before), "the worker to be replaced")
    hive.assert_well()


def test_worker_that_ignores_credit_is_killed_and_does_not_fill_memory(hive):
    before = hive.restarts()
    with hive.skepd.connect(receive_buffer=4096) as connection:
        connection.send_head("GET", "flood.test")
        wait_for(lambda: hive.is_back(before), "the worker to be replaced")
        assert connection.is_closed_by_peer()
    hive.assert_well()


def test_bodies_for_a_worker_that_does_not_read_wait_at_their_clients(start):
    clients, body = 100, bytes(256 << 10)
    tenants = {"deaf": bad("stops_reading_bodies", concurrency=200)}
    skepd = start(tenants, worker=WORKER, cordons=CORDONS[:1])

    def output():
        totals = skepd.admin("status")["totals"]
        return next(total["used"] for total in totals if total["name"] == "worker_output")

    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(skepd.connect()) for _ in range(clients)]
        for n, connection in enumerate(connections):
            connection.send_head("PUT", "deaf.test", headers=[("Content-Length", len(body))])
            # Asks one after the other, because while others wait for a place, bodies are read first.
            wait_for(lambda n=n: skepd.worker()["in_flight"] == n + 1, "the request to be sent")
        senders = [threading.Thread(target=send_some, args=(c, body)) for c in connections]
        for sender in senders:
            sender.start()
        most = 0
        before = skepd.worker()["restarts"]
        while skepd.worker()["restarts"] == before:  # the worker is killed because it does not answer
            most = max(most, output())
    for sender in senders:
        sender.join()
    assert 4 << 20 <= most < 5 << 20


def test_worker_that_keeps_a_cancelled_request_is_killed(hive):
    before = hive.restarts()
    with hive.skepd.connect() as connection:
        connection.send_head("GET", "stubborn.test")
        wait_for(lambda: hive.skepd.worker()["in_flight"] == 1, "the request to be in the worker")
    wait_for(lambda: hive.is_back(before), "the worker to be replaced", timeout=15)
    hive.assert_well()


@pytest.mark.parametrize("misdeed", IN_NEW_VERSION)
def test_new_version_that_kills_its_worker_does_not_take_over(hive, misdeed):
    skepd, name = hive.skepd, tenant_of_new_version(misdeed)
    assert ask(skepd, name) == (200, None)
    before = hive.restarts()
    skepd.write_tenant(name, bad(misdeed))
    skepd.reload(name)
    wait_for(lambda: hive.is_back(before), "the worker to be replaced")
    assert ask(skepd, name) == (200, None)
    assert hive.restarts() == before + 1
    hive.assert_well()


def test_version_whose_isolate_is_never_unloaded_costs_the_worker(hive):
    """A request's row would never be free again."""
    skepd = hive.skepd
    skepd.write_tenant("kept", bad("unload_never", wall_ms=1000))
    skepd.reload("kept")
    skepd.wait_log(r"\[kept\] serves a new version")
    assert ask(skepd, "kept") == (200, None)
    before = hive.restarts()
    skepd.write_tenant("kept", bad("honest"))
    skepd.reload("kept")
    wait_for(lambda: hive.is_back(before), "the worker to be replaced")
    assert ask(skepd, "kept") == (200, None)
    hive.assert_well()


@pytest.mark.parametrize("misdeed", ["holds_up", "holds_up_and_denies"])
def test_worker_that_runs_what_was_withdrawn_answers_nobody(start, misdeed):
    """Another worker has answered by then; a second done message breaks the protocol."""
    patient = {"cpu_ms": 20000, "wall_ms": 60000}
    tenants = {"holder": bad(misdeed, **patient), "beside": bad("cheap", **patient)}
    skepd = start(tenants, worker=WORKER, cordons=[cordon()], drain_s=1)
    assert ask(skepd, "beside") == (200, None)
    pid = skepd.worker()["pid"]
    with skepd.connect() as holder:
        holder.send_head("GET", "holder.test")
        wait_for(lambda: skepd.worker()["in_flight"] == 1, "the request to be in the worker")
        with skepd.connect() as beside:
            answer = beside.request("POST", "beside.test", body=b"x")
            assert (answer.status, answer.code) == (200, None)
            skepd.wait_log(rf"\(pid {pid}\) broke the protocol", timeout=30)
            assert beside.request("POST", "beside.test", body=b"x").body == answer.body
    assert skepd.tenant("beside")["kills"] == 0


def test_stop_waits_for_a_client_that_has_not_taken_its_answer(start):
    tenants = {"much": bad("answers_much"), "good": GOOD}
    skepd = start(tenants, worker=WORKER, cordons=CORDONS)
    pid = skepd.pid
    with skepd.connect(receive_buffer=4096) as connection:
        connection.send_head("GET", "much.test")
        response = connection.start_response()
        skepd.wait_idle()
        stopping = threading.Thread(target=skepd.stop)
        stopping.start()
        skepd.wait_log("stopping")
        time.sleep(0.1)  # longer than the end takes when nobody waits
        assert is_alive(pid)
        assert len(response.read()) == MUCH_BYTES
    stopping.join()


# ---- misdeeds before any tenant is there: each has a program of its own, whose name is the misdeed


def start_booting(start, folder, behaviour):
    program = pathlib.Path(folder) / f"hostile_worker.{behaviour}"
    shutil.copy(WORKER, program)
    return start(
        {"a": bad("honest", wall_ms=1000), "good": GOOD},
        worker=program,
        ready=["other"],
        cordons=CORDONS,
    )


BOOTS = "newer_protocol two_hellos frames_first garbage_first exit_first exit_after_hello".split()


@pytest.mark.parametrize("behaviour", BOOTS)
def test_worker_that_cannot_boot_is_tried_ever_more_slowly(start, folder, behaviour):
    skepd = start_booting(start, folder, behaviour)
    skepd.wait_log(r"slot 0 of cordon default failed \d+ times; next start in \d+ ms")
    fds = fd_count(skepd.pid)
    # No worker is left: the answer comes at once, not after a while in the queue.
    wait_for(lambda: ask(skepd, "a", "GET") == (503, "overloaded"), "the slot to be given up")
    start_ns = time.monotonic()
    while time.monotonic() < start_ns + 0.5:
        assert ask(skepd, "good") == (200, None)
    assert skepd.worker("other")["restarts"] == 0
    assert skepd.worker()["restarts"] < 20
    assert fd_count(skepd.pid) <= fds + 8


@pytest.mark.parametrize("behaviour, later", [("newer_protocol", 1), ("older_protocol", -1)])
def test_worker_of_another_release_is_named(start, folder, behaviour, later):
    skepd = start_booting(start, folder, behaviour)
    said = r"speaks version (\d+) of the protocol, this skepd version (\d+): .*of one release"
    match = skepd.wait_log(said)
    assert int(match[1]) == int(match[2]) + later
    assert ask(skepd, "good") == (200, None)


@pytest.mark.parametrize("behaviour", ["no_hello", "close_after_hello"])
def test_worker_that_does_not_get_ready_is_killed(start, folder, behaviour):
    skepd = start_booting(start, folder, behaviour)
    # worker_crashed if the load had been sent before skepd saw the end of the channel.
    assert ask(skepd, "a", "GET") in [(503, "overloaded"), (502, "worker_crashed")]
    wait_for(lambda: skepd.worker()["restarts"] > 0, "the kill", timeout=15)
    assert ask(skepd, "good") == (200, None)
