# SPDX-License-Identifier: Apache-2.0
"""Limits that are only observed: a request over one is served as if there were none, and the log says
once what the limit would have done. The same tenant in a cordon that observes nothing meets the limit."""

import http.client
import os
import re
import signal
import threading
import time

import pytest

from harness import (
    cordon, honest, is_alive, rss_kib, script, wait_for,
)

OBSERVED = [
    "cpu_ms", "cpu_startup_ms", "cpu_rate", "wall_ms", "idle_ms", "heap_mib", "external_mib",
    "concurrency", "queue", "timers", "log_kib", "request_mib", "response_mib",
]  # fmt: skip
SPIN = "for (let i = 0; i < {}; i++);"
LONG = SPIN.format("1e8")  # some 50 to 100 ms
STUCK = "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);"
PAUSE = "await new Promise((r) => setTimeout(r, 200));"
DONE = 'return new Response("done");'
MIB = 1 << 20


def tenant(body, where="default", files=None, **limits):
    source = body if "export default" in body else script(body)
    return {"cordon": where, "limits": {**limits}, "files": {"worker.js": source, **(files or {})}}


def observed(skepd, name, limit):
    """Returns the lines about that limit: [(limit, used)]. name None: lines about no tenant."""
    who = rf"\[{name}\] " if name else "skepd info: "
    pattern = rf"{who}observed: {limit} is ([\d.]+)(?: [\w/]+)?, used ([\d.]+)(?: [\w/]+)? \("
    return [(float(a), float(b)) for a, b in re.findall(pattern, skepd.log())]


def enforced(skepd, name, limit):
    return re.findall(rf"\[{name}\] (?:refused|stopped|killed): {limit} is", skepd.log())


def wait_observed(skepd, name, limit):
    """Returns the only line about that limit, once all requests of the tenant are over."""
    wait_for(lambda: observed(skepd, name, limit), f"{limit} of {name} to be observed")
    skepd.wait_idle()
    (line,) = observed(skepd, name, limit)
    return line


def get_all(skepd, name, count):
    """Sends that many requests at a time. Returns the answers in any order."""
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(skepd.get(name))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == count
    return answers


def get_whole(skepd, name):
    """Returns the answer, None if it is cut off."""
    try:
        return skepd.get(name)
    except (http.client.HTTPException, OSError):
        return None


# ---- each limit of what one request does: body, limits, the use, the answer when enforced

STREAM = """
    let n = 0;
    return new Response(new ReadableStream({ async pull(c) {
        if (n++ === 1) PAUSE
        if (n > 2) c.close(); else c.enqueue(new TextEncoder().encode("part"));
    } }));
""".replace("PAUSE", PAUSE)
HEAP = "const a = []; for (let i = 0; i < 20; i++) a.push(Array.from({ length: 1 << 16 }, () => ({ i })));"
EXTERNAL = "const a = []; for (let i = 0; i < 10; i++) a.push(new Uint8Array(4 << 20)); globalThis.a = a;"
WASM = "new WebAssembly.Memory({ initial: 1 }).grow(200);"
TIMERS = "for (let i = 0; i < 9; i++) setTimeout(() => {}, 1);"
LOGS = "for (let i = 0; i < 9; i++) console.log(`${i}:`.padEnd(999, 'x'));"
READS = "const read = (await request.arrayBuffer()).byteLength;"
WRITES = "return new Response(new Uint8Array(3 << 20));"
ROUGH = 1e9

REQUESTS = {
    "cpu_ms": (LONG + DONE, {"cpu_ms": 10}, (10, ROUGH), "cpu_request"),
    "wall_ms": (PAUSE + DONE, {"wall_ms": 60}, (60, 160), "wall_request"),
    "idle_ms": (STREAM, {"idle_ms": 60}, (60, 160), None),
    "heap_mib": (HEAP + DONE, {"heap_mib": 16, "cpu_ms": 5000}, (16, 60), "mem_isolate"),
    "external_mib": (EXTERNAL + DONE, {"external_mib": 9}, (40, 41), "exception"),
    "timers": (TIMERS + DONE, {"timers": 5}, (6, 6), "exception"),
    "log_kib": (LOGS + DONE, {"log_kib": 4}, (4, 5), None),
    "response_mib": (WRITES, {"response_mib": 1}, (1, 1.3), None),
}


def names_of(limit):
    name = limit.replace("_", "-")
    return name, f"{name}-seen"


@pytest.fixture(scope="module")
def both(start_module):
    """Each tenant twice: NAME-seen is in the cordon that observes everything."""
    tenants = {"good": honest("good", cordon="watch")}
    for limit, (body, limits, _, _) in REQUESTS.items():
        name, seen = names_of(limit)
        tenants[name] = tenant(body, **limits)
        tenants[seen] = tenant(body, "watch", **limits)
    upload = f"{READS} return new Response(read);"
    at_a_time = f"""
        let now = 0, most = 0;
        {script("most = Math.max(most, ++now);" + PAUSE + "now--; return new Response(most);")}
    """
    for suffix, where in (("", "default"), ("-seen", "watch")):
        more = {
            "upload": tenant(upload, where, request_mib=1),
            "load": tenant(SPIN.format("5e7") + script(DONE), where, cpu_startup_ms=10),
            "rate": tenant(LONG + DONE, where, cpu_rate=10, cpu_ms=1000, wall_ms=1000),
            "parallel": tenant(at_a_time, where, concurrency=2),
            "queue": tenant(at_a_time, where, concurrency=1, queue=2),
        }
        tenants.update({name + suffix: value for name, value in more.items()})
    watch = cordon("watch", limits={"observe": OBSERVED})
    return start_module(tenants, cordons=[cordon(), watch])


@pytest.mark.parametrize("limit", REQUESTS)
def test_request_over_a_limit_that_is_observed_is_served(both, limit):
    name, seen = names_of(limit)
    _, limits, (least, most), code = REQUESTS[limit]
    pid = both.worker("watch")["pid"]
    answer = both.get(seen)
    assert answer.status == 200
    assert len(answer.body) == (3 * MIB if limit == "response_mib" else len(b"partpart")
                                if limit == "idle_ms" else len(b"done"))
    said, used = wait_observed(both, seen, limit)
    assert said == limits[limit]
    assert least <= used <= most
    assert not enforced(both, seen, limit)
    # And where nothing is observed:
    answer = get_whole(both, name)
    assert (answer and answer.code) == code
    wait_for(lambda: enforced(both, name, limit), f"{limit} of {name} to be met")
    assert not observed(both, name, limit)
    assert both.worker("watch")["pid"] == pid
    assert both.get("good", "/?1").text == "good ?1"


def test_log_over_log_kib_is_whole(both):
    wait_for(lambda: "[log-kib-seen]" in both.log() or both.get("log-kib-seen"), "a first request")
    both.get("log-kib-seen")
    both.wait_idle()
    lines = re.findall(r"\[log-kib-seen\].* 8:x{997}", both.log())
    assert lines
    assert not re.search(r"\[log-kib-seen\].*log cut off", both.log())
    both.get("log-kib")
    both.wait_log(r"\[log-kib\].*log cut off")
    assert not re.search(r"\[log-kib\].* 8:x{997}", both.log())


def test_body_over_request_mib_is_taken_and_said_once(both):
    body = bytes(3 * MIB)
    assert both.post("upload-seen", body).text == str(3 * MIB)
    assert wait_observed(both, "upload-seen", "request_mib") == (1, 3)
    # A body of an unknown size, and at the same time one of a known size.
    with both.connect() as first, both.connect() as second:
        first.send_head("POST", "upload-seen.test", headers=[("Transfer-Encoding", "chunked")])
        for _ in range(30):
            first.send_chunk(bytes(MIB // 10))
        first.send_chunk(b"")
        assert second.request("POST", "upload-seen.test", body=body).text == str(3 * MIB)
        assert int(first.read_response().text) == 30 * (MIB // 10)
    both.wait_idle()
    lines = sorted(observed(both, "upload-seen", "request_mib"))
    assert len(lines) == 3
    assert 1 <= lines[0][1] < 1.5 and lines[1:] == [(1, 3), (1, 3)]
    assert both.post("upload", body).code == "body_too_large"
    assert not observed(both, "upload", "request_mib")


def test_load_over_cpu_startup_ms_serves(both):
    assert both.get("load-seen").text == "done"
    said, used = wait_observed(both, "load-seen", "cpu_startup_ms")
    assert said == 10
    assert abs(used - both.tenant("load-seen")["cpu_ms"]) <= 3 + used / 10  # making the isolate counts, too
    assert both.get("load").code == "cpu_startup"


def test_tenant_over_cpu_rate_does_not_wait(both):
    begin = time.monotonic()
    for _ in range(3):
        assert both.get("rate-seen").status == 200
    took = time.monotonic() - begin
    one = both.tenant("rate-seen")["cpu_ms"] / 3
    lines = observed(both, "rate-seen", "cpu_rate")
    assert 1 <= len(lines) <= took + 2
    assert all(said == 10 and used <= 3 * one + 12 for said, used in lines)
    assert lines[0][1] >= 0.8 * one
    # Use before the last line is not in the next.
    wait_for(lambda: both.get("rate-seen") and len(observed(both, "rate-seen", "cpu_rate")) > 3,
             "more lines")
    for _, used in observed(both, "rate-seen", "cpu_rate")[1:]:
        assert used < 1200
    assert both.get("rate").status == 200
    assert both.get("rate").code == "tenant_busy"
    assert not observed(both, "rate", "cpu_rate")


def test_more_than_concurrency_run_at_a_time(both):
    most = max(int(answer.text) for answer in get_all(both, "parallel-seen", 6))
    assert most == 6
    both.wait_idle()
    lines = observed(both, "parallel-seen", "concurrency")
    assert 1 <= len(lines) <= 2
    assert all(said == 2 and 3 <= used <= 6 for said, used in lines)
    assert max(int(answer.text) for answer in get_all(both, "parallel", 6)) == 2
    assert not observed(both, "parallel", "concurrency")


def test_more_than_queue_wait(start):
    """Enforces concurrency, else no request would wait."""
    source = script(PAUSE.replace("200", "50") + DONE)
    limits = {"concurrency": 1, "queue": 2}
    skepd = start(
        {"seen": {"cordon": "watch", "limits": limits, "files": {"worker.js": source}},
         "not": {"limits": limits, "files": {"worker.js": source}}},
        cordons=[cordon(), cordon("watch", limits={"observe": ["queue"]})],
    )  # fmt: skip
    assert all(answer.status == 200 for answer in get_all(skepd, "seen", 8))
    lines = observed(skepd, "seen", "queue")
    assert 1 <= len(lines) <= 2
    assert all(said == 2 and 3 <= used <= 7 for said, used in lines)
    assert {answer.code for answer in get_all(skepd, "not", 8)} == {None, "tenant_busy"}
    assert not observed(skepd, "not", "queue")


def test_queue_is_not_full_of_what_runs_beyond_an_observed_concurrency(start):
    # They end together, each once the one before it runs: none waits in the queue for the worker to have begun.
    source = """let n = 0, open; const all = new Promise((r) => open = r);
        export default { async fetch(request) {
            if (new URL(request.url).pathname == "/wait") { if (++n == 8) open(); await all; }
            return new Response("done"); } };"""
    limits = {"concurrency": 1, "queue": 2}
    skepd = start(
        {"a": {"limits": limits, "files": {"worker.js": source}}},
        limits={"observe": ["concurrency"]},
    )
    assert skepd.get("a").text == "done"
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(skepd.get("a", "/wait"))) for _ in range(8)
    ]
    for n, thread in enumerate(threads, 1):
        thread.start()
        if n < len(threads):
            wait_for(lambda n=n: skepd.tenant("a")["in_flight"] == n, "the request to run")
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 8
    assert not enforced(skepd, "a", "queue")


def test_request_that_waits_longer_than_wall_ms_is_said_and_waits_on(start):
    body = PAUSE.replace("200", "80") + DONE
    limits = {"concurrency": 1, "wall_ms": 150}
    skepd = start(
        {"seen": tenant(body, "watch", **limits), "not": tenant(body, **limits)},
        cordons=[cordon(), cordon("watch", limits={"observe": ["wall_ms"]})],
    )
    assert skepd.get("seen").status == skepd.get("not").status == 200  # loaded: the first one waits for nothing
    assert all(answer.status == 200 for answer in get_all(skepd, "seen", 4))
    skepd.wait_idle()
    lines = observed(skepd, "seen", "wall_ms")
    assert 1 <= len(lines) <= 3
    assert all(said == 150 and 150 <= used < 250 for said, used in lines)
    assert "overloaded" in {answer.code for answer in get_all(skepd, "not", 4)}


# ---- code that does not yield


def test_request_that_runs_on_past_its_grace_is_said_once_while_it_runs(start):
    body = SPIN.format("3e8") + DONE
    skepd = start({"a": tenant(body, cpu_ms=20, grace_ms=20), "b": honest("b")},
                  limits={"observe": ["cpu_ms"]})  # fmt: skip
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test")
        skepd.wait_log(r"\[a\] observed: cpu_ms is 20.0 ms, used \d+\.\d ms .*; it still runs; request")
        assert skepd.tenant("a")["in_flight"] == 1
        assert connection.read_response().text == "done"
    _, used = wait_observed(skepd, "a", "cpu_ms")
    assert 40 <= used <= skepd.tenant("a")["cpu_ms"] + 1
    assert skepd.tenant("a")["kills"] == 0


def test_stuck_builtin_ends_at_wall_ms(start):
    skepd = start(
        {"a": tenant(STUCK, cpu_ms=20, grace_ms=20, wall_ms=400), "b": honest("b")},
        limits={"observe": ["cpu_ms"]},
    )
    assert skepd.get("b", "/?1").text == "b ?1"
    pid = skepd.worker()["pid"]
    begin = time.monotonic()
    answer = skepd.get("a")
    assert (answer.status, answer.code) == (504, "wall_request")
    assert time.monotonic() - begin >= 0.4
    assert skepd.get("b", "/?2").text == "b ?2"
    assert not is_alive(pid)
    skepd.wait_log(r"\[a\] observed: cpu_ms is 20.0 ms, used \d+\.\d ms .*; it still runs")
    skepd.wait_log(r"\[a\] killed: wall_ms")
    assert len(observed(skepd, "a", "cpu_ms")) == 1
    assert skepd.tenant("a")["kills"] == 1
    assert skepd.tenant("b")["kills"] == 0


def test_stuck_load_is_said_and_ends(start):
    skepd = start(
        {"a": tenant(SPIN.format("3e8") + script(DONE), cpu_startup_ms=20, grace_ms=20),
         "stuck": tenant(STUCK + script(DONE), cpu_startup_ms=20, grace_ms=20, wall_ms=10)},
        limits={"observe": ["cpu_startup_ms"]},
    )  # fmt: skip
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test")
        skepd.wait_log(r"\[a\] observed: cpu_startup_ms is 20.0 ms, .*; it still runs; worker")
        assert connection.read_response().text == "done"
    wait_observed(skepd, "a", "cpu_startup_ms")
    assert skepd.get("stuck").status == 503
    wait_for(lambda: skepd.tenant("stuck")["kills"] == 1, "the stuck load to be killed")
    assert len(observed(skepd, "stuck", "cpu_startup_ms")) == 1
    assert skepd.tenant("a")["kills"] == 0


def test_timers_of_module_code_run_on_past_cpu_startup_ms(start):
    source = f"setInterval(() => {{ {SPIN.format('1e8')} }}, 5);" + script(PAUSE + DONE)
    limits = {"cpu_ms": 10, "grace_ms": 10, "cpu_startup_ms": 20}
    skepd = start(
        {"seen": tenant(source, "watch", **limits), "not": tenant(source, **limits)},
        cordons=[cordon(), cordon("watch", limits={"observe": ["cpu_startup_ms"]})],
    )
    assert skepd.get("seen").text == "done"
    wait_observed(skepd, "seen", "cpu_startup_ms")
    assert skepd.tenant("seen")["kills"] == 0
    assert skepd.tenant("seen")["cpu_ms"] > 100
    skepd.get("not")
    wait_for(lambda: enforced(skepd, "not", "cpu_startup_ms"), "the timers to be stopped")
    assert not observed(skepd, "not", "cpu_startup_ms")


def test_worker_that_is_stopped_is_found_although_cpu_ms_is_observed(start):
    body = 'console.log("entered"); await new Promise((r) => setTimeout(r, 60000));'
    skepd = start({"a": tenant(body)}, limits={"observe": ["cpu_ms", "wall_ms"]})
    pid = skepd.worker()["pid"]
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test")
        skepd.wait_log("entered")
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: not is_alive(pid), "the stopped worker to be killed", timeout=15)
    assert skepd.tenant("a")["kills"] == 0


# ---- together, and apart


def test_two_limits_at_once_have_a_line_each(start):
    body = TIMERS + LONG + EXTERNAL + DONE
    limits = {"timers": 5, "cpu_ms": 10, "external_mib": 9}
    skepd = start({"a": tenant(body, **limits)}, limits={"observe": list(limits)})
    for count in (1, 2):
        assert skepd.get("a").text == "done"
        skepd.wait_idle()
        for limit in limits:
            lines = wait_for(lambda limit=limit: observed(skepd, "a", limit), limit)
            assert len(lines) == count, limit


def test_what_platform_and_cordon_observe_counts_together(start):
    body = LOGS + TIMERS + DONE
    limits = {"timers": 5, "log_kib": 4}
    skepd = start(
        {"some": tenant(body, **limits), "all": tenant(body, "more", **limits)},
        cordons=[cordon(), cordon("more", limits={"observe": ["timers"]})],
        limits={"observe": ["log_kib"]},
    )
    assert skepd.get("all").text == "done"
    assert skepd.get("some").code == "exception"
    for name, limit in (("all", "timers"), ("all", "log_kib"), ("some", "log_kib")):
        wait_observed(skepd, name, limit)
    skepd.wait_log(r"\[some\] refused: timers is 5.0")
    assert not observed(skepd, "some", "timers")


# ---- memory of the worker, and deaths

GROWS = """
    globalThis.held ??= [];
    for (let i = 0; i < 8; i++) held.push(new Array(1 << 20).fill(i));
    return new Response(String(held.length));
"""


def test_heap_may_grow_to_hundreds_of_mib_in_a_worker_over_rss_mib(start):
    skepd = start(
        {"big": tenant(GROWS, heap_mib=16, cpu_ms=5000), "good": honest("good")},
        cordons=[cordon(rss_mib=100, drift_mib="unlimited")],
        limits={"observe": ["heap_mib", "rss_mib"]},
    )
    pid = skepd.worker()["pid"]
    for count in range(1, 9):
        assert skepd.get("big").text == str(8 * count)
    skepd.wait_idle()
    assert rss_kib(pid) > 300 << 10
    assert skepd.get("good", "/?1").text == "good ?1"
    assert skepd.worker()["pid"] == pid
    lines = observed(skepd, "big", "heap_mib")
    assert 1 <= len(lines) <= 8
    assert all(said == 16 and 15 <= used < 600 for said, used in lines)
    assert lines[-1][1] > 100
    (rss,) = observed(skepd, None, "rss_mib")
    assert rss[0] == 100 and 100 < rss[1] < 600


def test_observed_heap_counts_against_rss_mib(start):
    skepd = start(
        {"big": tenant(GROWS, heap_mib=16, cpu_ms=5000), "good": honest("good")},
        cordons=[cordon(rss_mib=200, drift_mib="unlimited")],
        limits={"observe": ["heap_mib"]},
    )
    pid = skepd.worker()["pid"]
    wait_for(lambda: skepd.get("big").code, "rss_mib to be met")
    wait_for(lambda: not is_alive(pid), "the worker to be killed")
    skepd.wait_log(r"\[big\] killed: rss_mib is 200.0 MiB")
    assert skepd.tenant("good")["kills"] == 0
    assert skepd.get("good", "/?1").text == "good ?1"


def test_death_is_a_death_whatever_is_observed(start):
    skepd = start({"a": tenant(STUCK), "good": honest("good")},
                  limits={"observe": [*OBSERVED, "rss_mib", "strikes"]})  # fmt: skip
    pid = skepd.worker()["pid"]
    with skepd.connect() as connection:
        connection.send_head("POST", "a.test", headers=[("Content-Length", "0")])
        skepd.wait_log(r"\[a\] observed: cpu_ms")
        os.kill(pid, signal.SIGKILL)
        assert connection.read_response().code == "worker_crashed"
    assert skepd.get("good", "/?1").text == "good ?1"
    assert skepd.worker()["pid"] != pid
    skepd.wait_log(r"died: SIGKILL from outside")


def test_strikes_that_are_observed_bring_nothing(start):
    limits = {"cpu_ms": 20, "grace_ms": 10}
    bad = script(f'if (new URL(request.url).pathname === "/stuck") {STUCK} {DONE}')
    tenants = {"bad": {"limits": limits, "files": {"worker.js": bad}}}
    skepd = start(tenants, limits={"observe": ["strikes"]})
    for _ in range(6):
        assert skepd.get("bad", "/stuck").code == "cpu_request"
    said = r"\[bad\] would get (a worker of its own|quarantine) now: 3 strikes in 60 s \(only observed\)"
    wait_for(lambda: len(re.findall(said, skepd.log())) == 2, "both to be said")
    assert skepd.get("bad").text == "done"
    assert "[bad] has worker" not in skepd.log()
    assert skepd.tenant("bad")["kills"] == 6
