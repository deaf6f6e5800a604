# SPDX-License-Identifier: Apache-2.0
"""After a stop: an isolate in which JavaScript was terminated takes no other request, so that none
meets work that is half-done; the cost of that is the tenant's, and bounded."""

import pytest

from harness import cordon, cpu_ns, wait_for

LIMITS = {"cpu_ms": 30, "wall_ms": 20000}

# The first request is stopped in the middle of what all others wait for.
INIT = """
let ready;
let loops = true;
async function init() {
    await null;
    while (loops);
    return "ready";
}
export default { async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/calm") loops = false;
    return new Response(await (ready ??= init()));
} };
"""

# A wait that only the request itself can end, and one without end.
WAIT = """
let n = 0;
export default { async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/loop") for (;;);
    if (path === "/wait") {
        console.log("waits");
        await new Promise((r) => setTimeout(r, 300));
        return new Response("waited");
    }
    if (path === "/long") {
        console.log("long");
        await new Promise((r) => setTimeout(r, 15000));
    }
    return new Response(`${++n}`);
} };
"""


def tenant(source, limits=LIMITS, **manifest):
    return {"limits": limits, "files": {"worker.js": source}, **manifest}


def test_no_request_meets_what_a_stop_left_half_done(start):
    skepd = start({"a": tenant(INIT)})
    assert skepd.get("a").code == "cpu_request"
    for _ in range(3):
        assert skepd.get("a", "/calm").text == "ready"
    assert skepd.tenant("a")["kills"] == 0
    assert skepd.worker()["restarts"] == 0


STOPS = {
    "loop": "for (;;);",
    "slices": "for (;;) { for (let i = 0; i < 1e6; i++); await new Promise((r) => setTimeout(r, 1)); }",
    "wait_until": "ctx.waitUntil((async () => { await null; for (;;); })());",
    "abort": "request.signal.addEventListener('abort', () => { for (;;); });"
    "console.log('entered'); await new Promise(() => {});",
    "heap": "for (let list = [];;) list = [list, 1, 2, 3];",
    "stream": "return new Response(new ReadableStream({ pull() { for (;;); } }));",
}


@pytest.mark.parametrize("name", STOPS)
def test_each_kind_of_stop_is_followed_by_a_fresh_isolate(start, name):
    source = f"""
    let n = 0;
    export default {{ async fetch(request, env, ctx) {{
        if (new URL(request.url).pathname === "/stop") {{ {STOPS[name]} }}
        return new Response(`${{++n}}`);
    }} }};
    """
    skepd = start({"a": tenant(source, {**LIMITS, "heap_mib": 16, "cpu_ms": 200})})
    assert [skepd.get("a").text for _ in range(2)] == ["1", "2"]
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test", "/stop")
        if name == "abort":
            skepd.wait_log("entered")
        else:
            skepd.wait_log(r"\[a\] stopped: ")
        connection.reset()
    skepd.wait_log(r"\[a\] stopped: ")
    skepd.wait_idle()
    assert skepd.get("a").text == "1"
    assert skepd.worker()["restarts"] == 0


def test_requests_beside_a_stopped_one_end_in_peace(start):
    skepd = start({"a": tenant(WAIT)})
    with skepd.connect() as connection:
        connection.send_head("POST", "a.test", "/wait", headers=[("Content-Length", 0)])
        skepd.wait_log("waits")
        assert skepd.get("a", "/loop").code == "cpu_request"
        assert skepd.get("a").text == "1"
        assert connection.read_response().text == "waited"
    assert skepd.get("a").text == "2"


def test_isolate_that_is_reused_keeps_its_state_after_a_stop(start):
    skepd = start({"a": tenant(WAIT, after_stop="reuse")})
    assert skepd.get("a").text == "1"
    assert skepd.get("a", "/loop").code == "cpu_request"
    assert skepd.get("a").text == "2"


def test_oldest_of_three_stopped_isolates_is_cut_off(start):
    """The GET in it is sent again, to an isolate that is not stopped; the POST may not be."""
    skepd = start({"a": tenant(WAIT)})
    with skepd.connect() as post, skepd.connect() as get, skepd.connect() as second:
        post.send_head("POST", "a.test", "/long", headers=[("Content-Length", 0)])
        wait_for(lambda: skepd.log().count("long") == 1, "the first request")
        get.send_head("GET", "a.test", "/long")
        wait_for(lambda: skepd.log().count("long") == 2, "the second request")
        assert skepd.get("a", "/loop").code == "cpu_request"
        second.send_head("GET", "a.test", "/long")
        wait_for(lambda: skepd.log().count("long") == 3, "one in the second isolate")
        assert skepd.get("a", "/loop").code == "cpu_request"
        assert skepd.get("a").text == "1"
        assert skepd.get("a", "/loop").code == "cpu_request"
        answer = post.read_response()
        assert (answer.status, answer.code) == (503, "isolate_stopped")
        wait_for(lambda: skepd.log().count("long") == 4, "the GET to be sent again")
        assert skepd.get("a").text == "1"
    assert skepd.tenant("a")["kills"] == 0


def test_new_isolates_after_memory_stops_are_bounded_too(start):
    source = WAIT.replace("for (;;);", "for (let list = [];;) list = [list, 1, 2, 3];")
    limits = {"cpu_ms": 5000, "heap_mib": 8, "wall_ms": 300, "renewals": 2}
    skepd = start({"a": tenant(source, limits)}, cordons=[cordon(solitary=0)])
    for _ in range(3):
        assert skepd.get("a", "/loop").code == "mem_isolate"
    assert skepd.get("a").code == "overloaded"


def test_new_isolates_are_bounded_in_a_worker_that_is_shared(start):
    """After more stops than `renewals`, the tenant gets a worker of its own; if there is none, its requests wait."""
    limits = {**LIMITS, "cpu_ms": 10}
    skepd = start(
        {"a": tenant(WAIT, limits), "b": tenant(WAIT, {**limits, "wall_ms": 300}, cordon="none")},
        cordons=[cordon(solitary=1), cordon("none", solitary=0)],
    )
    for _ in range(5):
        assert skepd.get("b", "/loop").code == "cpu_request"
    assert skepd.get("b").text == "1"
    assert skepd.get("b", "/loop").code == "cpu_request"
    assert skepd.get("b").code == "overloaded"
    assert "new isolates in 10 s (renewals) are used up" in skepd.log()
    assert len(skepd.workers()) == 2 + 2  # with the spares
    for _ in range(8):
        assert skepd.get("a", "/loop").code == "cpu_request"
    assert skepd.get("a").text == "1"
    assert any(worker["owner"] == "a" for worker in skepd.workers())


def test_a_thousand_loops_cost_what_they_may_and_a_fifth(start):
    """Bounds the CPU time of 20 stops, in the worker that the tenant has to itself by then: skepd and that worker
    together, with the isolates that are made anew, for which the tenant pays."""
    n, limit_ms = 20, 100
    skepd = start({"a": tenant(WAIT, {"cpu_ms": limit_ms, "renewals": 1})})
    for _ in range(3):
        assert skepd.get("a", "/loop").code == "cpu_request"
    own = next(worker["pid"] for worker in skepd.workers() if worker["owner"] == "a")
    before = [cpu_ns(pid) for pid in (skepd.pid, own)]
    charged = skepd.tenant("a")["cpu_ms"]
    for _ in range(n):
        assert skepd.get("a", "/loop").code == "cpu_request"
    used = [(cpu_ns(pid) - was) / 1e6 for pid, was in zip((skepd.pid, own), before)]
    ratio = sum(used) / (n * limit_ms)
    # The account is written after the answer: skepd looks at the scoreboard now and then.
    wait_for(lambda: skepd.tenant("a")["cpu_ms"] - charged >= 0.95 * used[1], f"{used[1]} ms to be charged")
    print(f"{ratio:.3f} times cpu_ms each; skepd and worker: {used} ms")
    assert ratio <= 1.2
