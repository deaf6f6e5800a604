# SPDX-License-Identifier: Apache-2.0
"""Requests that nothing can wake any more are found, and honest waits never end as hung."""

import http.client
import threading
import time

import pytest

from harness import script, wait_for

HUNG_MS = 400
SLEEP = "const sleep = (ms) => new Promise((r) => setTimeout(r, ms));\n"


def tenant(source, **limits):
    return {"limits": {"hung_ms": HUNG_MS, **limits}, "files": {"worker.js": SLEEP + source}}


def test_request_that_nothing_can_wake_is_hung_and_its_place_is_in_the_log(start):
    source = """
    let resolve;
    async function forever() {
        await new Promise((r) => { resolve = r; });
    }
    export default { async fetch(request) {
        await forever();
    } };
    """
    skepd = start({"a": tenant(source), "b": script('return new Response("b")')})
    answer = skepd.get("a")
    assert (answer.status, answer.code) == (500, "hung")
    skepd.wait_log(r"\[a\] error: hung: for 400 ms .*it waits at .*worker.js:5:9 \(in forever\)")
    assert "worker.js:8:9 (in fetch)" in skepd.log()
    assert skepd.tenant("a")["strikes"] == 0
    assert skepd.get("b").text == "b"
    assert skepd.worker()["restarts"] == 0


def test_wait_for_a_promise_that_nothing_refers_to_is_told_by_its_handler(start):
    """The waiting function is garbage, and V8 has forgotten where it was."""
    skepd = start({"a": tenant(script("await new Promise(() => {});"))})
    assert skepd.get("a").code == "hung"
    skepd.wait_log(r"hung: .* in fetch \(worker.js:2:\d+\) or what it calls")


def test_top_level_await_that_never_ends_says_where(start):
    source = "const x = 1;\nawait new Promise(() => {});\n" + script("")
    skepd = start({"a": {"files": {"worker.js": source}}})
    assert skepd.get("a").code == "boot_failed"
    skepd.wait_log(r"top-level await never ends: .*it waits at worker.js:2:1")


def test_hung_ms_off_leaves_a_request_to_wall_ms(start):
    skepd = start({"a": tenant(script("await new Promise(() => {});"), hung_ms="off", wall_ms=900)})
    assert skepd.get("a").code == "wall_request"


def test_request_that_a_stop_left_hanging_is_sent_again_at_once(start):
    """A request waits for the stopped one, and no other can wake it; a POST may not be sent
    again."""
    source = """
    let ready;
    async function init() {
        await sleep(200);
        if (!globalThis.calm) for (;;);
    }
    export default { async fetch(request) {
        console.log(request.method);
        await (ready ??= init());
        return new Response("ready");
    } };
    """
    skepd = start({"a": tenant(source, hung_ms=60000, cpu_ms=20)})
    with skepd.connect() as first, skepd.connect() as get, skepd.connect() as post:
        first.send_head("GET", "a.test")
        wait_for(lambda: skepd.log().count("GET") == 1, "the first request")
        get.send_head("GET", "a.test")
        post.send_head("POST", "a.test", headers=[("Content-Length", 0)])
        assert first.read_response().code == "cpu_request"
        assert post.read_response().code == "hung"
        # In the next isolate the GET is the one that is stopped.
        assert get.read_response().code == "cpu_request"


# Honest waits, each longer than hung_ms: paths that are asked for at the same time, or one after the
# other with a pause, and the answer of the last one.
LONG = HUNG_MS * 3
HONEST = {
    "sleep": f"await sleep({LONG}); return new Response('good');",
    "poll": f"let n = 0; while (n++ < 12) await sleep({LONG} / 12); return new Response('good');",
    "interval": f"""await new Promise((r) => {{
        let n = 0; const i = setInterval(() => {{ if (++n === 6) {{ clearInterval(i); r(); }} }},
        {LONG} / 6); }}); return new Response('good');""",
    "abort_timeout": f"""await new Promise((r) => AbortSignal.timeout({LONG})
        .addEventListener('abort', r)); return new Response('good');""",
    "race": f"""await Promise.race([new Promise(() => {{}}), sleep({LONG})]);
        return new Response('good');""",
    "slow_stream": f"""let n = 0; return new Response(new ReadableStream({{ async pull(c) {{
        await sleep({LONG} / 3); c.enqueue(new TextEncoder().encode('good'.slice(n, ++n)));
        if (n === 4) c.close(); }} }}));""",
    "nested": f"""await (async () => {{ for (let i = 0; i < 3; i++) await (async () =>
        sleep({LONG} / 3))(); }})(); return new Response('good');""",
    "queue": f"""globalThis.tail ??= Promise.resolve();
        const mine = globalThis.tail.then(() => sleep({LONG})); globalThis.tail = mine;
        await mine; return new Response('good');""",
    "lock": f"""while (globalThis.locked) await new Promise((r) => (globalThis.waiting ??= []).push(r));
        globalThis.locked = true; await sleep({LONG}); globalThis.locked = false;
        globalThis.waiting?.shift()?.(); return new Response('good');""",
    "memo": f"""globalThis.ready ??= sleep({LONG}); await globalThis.ready;
        return new Response('good');""",
    "module_timer": """await globalThis.module; return new Response('good');""",
    "wait_until": f"""ctx.waitUntil(sleep({LONG}).then(() => console.log('waited')));
        return new Response('good');""",
    "transform": f"""const t = new TransformStream(); const w = t.writable.getWriter();
        (async () => {{ await sleep({LONG}); await w.write(new TextEncoder().encode('good'));
        await w.close(); }})(); return new Response(t.readable);""",
    "generator": f"""async function* all() {{ for (const c of 'good') {{ await sleep({LONG} / 4);
        yield c; }} }} let s = ''; for await (const c of all()) s += c; return new Response(s);""",
    "own_response": f"""const s = new ReadableStream({{ async start(c) {{ await sleep({LONG});
        c.enqueue(new TextEncoder().encode('good')); c.close(); }} }});
        return new Response(await new Response(s).text());""",
    "clone": f"""const r = new Response(new ReadableStream({{ async start(c) {{ await sleep({LONG});
        c.enqueue(new TextEncoder().encode('good')); c.close(); }} }})); const other = r.clone();
        await r.text(); return new Response(await other.text());""",
    "event": f"""const t = new EventTarget(); sleep({LONG}).then(() => t.dispatchEvent(new Event('go')));
        await new Promise((r) => t.addEventListener('go', r, {{ once: true }}));
        return new Response('good');""",
    "all": f"""await Promise.all([sleep({LONG}), sleep({LONG} / 2)]); return new Response('good');""",
    "retry": f"""for (let i = 0; ; i++) try {{ await sleep({LONG} / 3); if (i < 2) throw new Error('again');
        return new Response('good'); }} catch {{}}""",
    "thenable": f"""await {{ then(r) {{ setTimeout(r, {LONG}); }} }}; return new Response('good');""",
}


@pytest.fixture(scope="module")
def honest(start_module):
    module = f"globalThis.module = sleep({LONG});\n"
    return start_module(
        {name.replace("_", "-"): tenant((module if name == "module_timer" else "") + script(body))
         for name, body in HONEST.items()}
    )


@pytest.mark.parametrize("name", HONEST)
def test_honest_wait_is_never_hit(honest, name):
    host = name.replace("_", "-")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(honest.get(host))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.text for answer in answers] == ["good", "good"]
    assert "hung" not in honest.log()


MEET = """
const waiting = [];
let got = "";
export default { async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/take") {
        console.log("waits");
        for (const n of [1, 2, 3, 4]) got += await new Promise((r) => waiting.push(r));
        return new Response(got);
    }
    if (path === "/give") {
        waiting.shift()(request.headers.get("x-letter"));
        return new Response("given");
    }
    if (path === "/read") {
        console.log("waits");
        return new Response(await request.text());
    }
    if (path === "/big") return new Response("x".repeat(3e6));
} };
"""


def test_rendezvous_of_requests_is_never_hit(start):
    """Each request that gives a part comes within hung_ms of the one before; together they take longer."""
    skepd = start({"a": tenant(MEET, hung_ms=3000)})
    with skepd.connect() as taker:
        taker.send_head("GET", "a.test", "/take")
        skepd.wait_log("waits")
        for letter in "good":
            time.sleep(0.9)
            assert skepd.get("a", "/give", headers=[("X-Letter", letter)]).text == "given"
        assert taker.read_response().text == "good"


def test_request_beside_others_that_do_not_wake_it_is_hung_all_the_same(start):
    skepd = start({"a": tenant(MEET + "//")})
    answers = []
    with skepd.connect() as taker:
        taker.send_head("GET", "a.test", "/take")
        skepd.wait_log("waits")
        thread = threading.Thread(target=lambda: answers.append(taker.read_response()))
        thread.start()
        wait_for(lambda: skepd.get("a", "/none") and answers, "the end", timeout=20)
        thread.join()
    assert answers[0].code == "hung"


# Hung requests, each alone in its isolate, because a request beside it that can be woken may wake it.


def test_body_that_is_to_come_is_a_reason_to_wait(start):
    skepd = start({"a": tenant(MEET)})
    with skepd.connect() as sender:
        sender.send_head("POST", "a.test", "/read", headers=[("Content-Length", 4)])
        sender.send(b"go")
        skepd.wait_log("waits")
        time.sleep(HUNG_MS * 2.5 / 1000)
        sender.send(b"od")
        assert sender.read_response().text == "good"
    assert "hung" not in skepd.log()


def test_body_that_is_to_go_is_a_reason_to_wait(start):
    skepd = start({"a": tenant(MEET)})
    with skepd.connect(receive_buffer=4096) as reader:
        reader.send_head("GET", "a.test", "/big")
        reader.file.peek(1)  # the answer has begun
        time.sleep(HUNG_MS * 2.5 / 1000)
        assert len(reader.read_response().text) == 3_000_000
    assert "hung" not in skepd.log()


# ---- timers at the end of a request

TIMERS = """
let fired = 0;
const log = [];
export default { async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/zero") { setTimeout(() => fired++, 0); return new Response("0"); }
    if (path === "/chain") {
        const next = (n) => setTimeout(() => { fired++; if (n > 1) next(n - 1); }, 20);
        next(5);
        return new Response("chain");
    }
    if (path === "/init") {
        globalThis.ready ??= sleep(300).then(() => "ready");
        console.log("entered");
        return new Response(await globalThis.ready);
    }
    if (path === "/late") setTimeout(() => fired++, 60000);
    if (path === "/burn") setTimeout(() => { for (;;); }, 10);
    if (path === "/interval") setInterval(() => fired++, 50);
    return new Response(`${fired}`);
} };
"""


def test_timers_that_are_due_soon_run_after_the_end_of_their_request(start):
    skepd = start({"a": tenant(TIMERS, hung_ms=5000)})
    assert skepd.get("a", "/zero").text == "0"
    skepd.wait_idle()
    assert skepd.get("a").text == "1"
    assert skepd.get("a", "/chain").text == "chain"
    skepd.wait_idle()
    assert skepd.get("a").text == "6"
    assert "dropped" not in skepd.log()


def test_timers_that_are_due_later_are_dropped_with_a_line(start):
    skepd = start({"a": tenant(TIMERS)})
    assert skepd.get("a", "/late").text == "0"
    skepd.wait_log(r"\[a\] warn: timers were dropped with their request: 1")
    skepd.wait_idle()


def test_interval_ends_5_seconds_after_its_request_at_the_latest(start):
    """The bound is half of wall_ms, here 500 ms, if that is less."""
    skepd = start({"a": tenant(TIMERS, wall_ms=1000)})
    assert skepd.get("a", "/interval").text == "0"
    skepd.wait_idle()
    skepd.wait_log(r"\[a\] warn: timers were dropped with their request: 1")
    fired = int(skepd.get("a").text)
    assert 1 <= fired <= 10
    assert int(skepd.get("a").text) == fired


def test_what_a_client_that_left_has_begun_is_not_lost_for_others(start):
    skepd = start({"a": tenant(TIMERS)})
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test", "/init")
        skepd.wait_log("entered")
        connection.reset()
    assert skepd.get("a", "/init").text == "ready"


def test_timer_of_a_request_that_is_over_is_charged_to_that_request(start):
    skepd = start({"a": tenant(TIMERS, cpu_ms=20)})
    assert skepd.get("a", "/burn").text == "0"
    assert skepd.get("a").text == "0"
    skepd.wait_log(r"\[a\] stopped: cpu_ms is 20.0 ms")
    skepd.wait_idle()
    assert skepd.tenant("a")["errors"] == {}


# ---- messages to the tenant


FAILURES = {
    "wall": ("await new Promise((r) => setTimeout(r, 60000));", {"wall_ms": 100}, "wall_request",
             r"request \d+ failed with 504 wall_request: it took too long; "
             r"wall_ms is 100 ms, used 1\d\d\.\d ms"),
    "heap": ("for (let list = [];;) list = [list, 1, 2, 3];", {"heap_mib": 16, "cpu_ms": 5000},
             "mem_isolate", r"failed with 503 mem_isolate: .*; heap_mib is 16 MiB, used \d+\.\d MiB"),
    "cpu": ("for (;;);", {"cpu_ms": 20}, "cpu_request", r"error: stopped after [23]\d\.\d ms of CPU time; "
            r"cpu_ms is 20"),
    "stuck": ("Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);",
              {"cpu_ms": 20, "grace_ms": 20}, "cpu_request",
              r"failed with 503 cpu_request: it has used up its CPU time"),
    "big": ("return new Response('x'.repeat(2 ** 21));", {"response_mib": 1}, "bad_response",
            r"failed with 502 bad_response: .*; response_mib is 1 MiB, used 1\.[01] MiB"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failed_answer_leaves_its_reason_in_the_tenants_log(start, name):
    body, limits, code, line = FAILURES[name]
    skepd = start({"a": {"limits": limits, "files": {"worker.js": script(body)}}})
    try:
        assert skepd.get("a").code == code
    except http.client.IncompleteRead:
        assert name == "big"  # the response of "big" had begun
    skepd.wait_log(r"\[a\] .*" + line)


def test_lines_of_failed_answers_are_bounded(start):
    skepd = start({"a": {"limits": {"wall_ms": 20}, "files": {
        "worker.js": script("await new Promise((r) => setTimeout(r, 60000));")}}})
    for _ in range(60):
        assert skepd.get("a").code in ("wall_request", "overloaded")  # over wall_ms in its queue
    lines = skepd.log().count("failed with 504 wall_request")
    assert 1 <= lines < 30
