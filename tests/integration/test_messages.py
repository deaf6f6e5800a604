# SPDX-License-Identifier: Apache-2.0
"""Messages, marks and scheduled tasks in a real worker: what arrives, in which order, on whose account,
and their bounds."""

import re
import threading

import pytest

from harness import script, wait_for

SLEEP = "const sleep = (ms) => new Promise((r) => setTimeout(r, ms));\n"
HELPERS = (
    SLEEP
    + """
const next = (target, type = "message") => new Promise((r) => target.addEventListener(type, r, { once: true }));
const nameOf = (f) => { try { f(); return "nothing"; } catch (e) { return e.name; } };
"""
)

# Bodies of handlers, and the JSON that each must return.
CASES = {
    "channel": (
        """
        const { port1, port2 } = new MessageChannel();
        const seen = [];
        port1.postMessage({ n: 1, d: new Date(5) });
        port1.postMessage("second");
        Promise.resolve().then(() => seen.push("microtask"));
        port2.onmessage = (e) => { seen.push(e.data, e.isTrusted, e.target === port2); Promise.resolve().then(() => seen.push("after")); };
        await sleep(20);
        port2.postMessage("back");
        const { data, ports, origin, source } = await (port1.start(), next(port1));
        return [seen, data, ports.length, Object.isFrozen(ports), origin, source];
        """,
        [
            ["microtask", {"n": 1, "d": "1970-01-01T00:00:00.005Z"}, True, True, "after"]
            + ["second", True, True, "after"],
            "back",
            0,
            True,
            "",
            None,
        ],
    ),
    "transfer": (
        """
        const a = new MessageChannel(), b = new MessageChannel();
        const buffer = new ArrayBuffer(3);
        a.port1.postMessage("before");
        b.port1.postMessage({ port: a.port2, buffer }, { transfer: [buffer, a.port2] });
        a.port1.postMessage("later");
        const got = await (b.port2.start(), next(b.port2));
        const moved = got.ports[0], seen = [];
        moved.onmessage = (e) => seen.push(e.data);
        await sleep(10);
        return [got.data.port === moved, moved !== a.port2, got.data.buffer.byteLength, buffer.byteLength, seen,
            nameOf(() => b.port1.postMessage(0, [a.port2])), nameOf(() => b.port1.postMessage(0, [b.port1])),
            nameOf(() => b.port1.postMessage({ p: a.port1 })), nameOf(() => b.port1.postMessage(() => {})),
            nameOf(() => b.port1.postMessage(0, 1)), nameOf(() => new MessagePort())];
        """,
        [True, True, 3, 0, ["before", "later"]] + ["DataCloneError"] * 4 + ["TypeError"] * 2,
    ),
    "close": (
        """
        const { port1, port2 } = new MessageChannel();
        const seen = [];
        port2.onmessage = (e) => seen.push(e.data);
        port2.onclose = () => seen.push("closed");
        port1.postMessage("in flight");
        port1.close();
        port1.postMessage("never");
        port2.postMessage("never");
        await sleep(10);
        return seen;
        """,
        ["in flight", "closed"],
    ),
    "broadcast": (
        """
        const [a, b, c, other] = ["x", "x", "x", "y"].map((name) => new BroadcastChannel(name));
        const seen = [];
        for (const [name, channel] of Object.entries({ a, b, c, other })) channel.onmessage = (e) => seen.push(`${name} ${e.data}`);
        a.postMessage(1); c.postMessage(2);
        b.close();
        await sleep(10);
        return [seen, a.name, nameOf(() => b.postMessage(1)), nameOf(() => a.postMessage(() => {})), nameOf(() => new BroadcastChannel())];
        """,
        [["c 1", "a 2"], "x", "InvalidStateError", "DataCloneError", "TypeError"],
    ),
    "marks": (
        """
        performance.clearMarks();
        const seen = [];
        const observer = new PerformanceObserver((list, self) => seen.push(list.getEntries().map((e) => e.name), self === observer));
        observer.observe({ entryTypes: ["mark", "measure", "nothing"] });
        const a = performance.mark("a", { startTime: 3, detail: { x: 1 } });
        performance.mark("b", { startTime: 10 });
        const m = performance.measure("m", "a", "b");
        await sleep(5);
        const all = performance.getEntries().map((e) => `${e.entryType} ${e.name} ${e.startTime} ${e.duration}`);
        performance.clearMarks("a"); performance.clearMeasures();
        return [a.detail, JSON.stringify(m), seen, all, performance.getEntriesByType("mark").length,
            performance.getEntriesByName("b", "mark").length, nameOf(() => performance.measure("n", "none")),
            nameOf(() => performance.mark("c", { startTime: -1 })), nameOf(() => observer.observe({})),
            PerformanceObserver.supportedEntryTypes];
        """,
        [
            {"x": 1},
            '{"name":"m","entryType":"measure","startTime":3,"duration":7,"detail":null}',
            [["a", "m", "b"], True],
            ["mark a 3 0", "measure m 3 7", "mark b 10 0"],
            1,
            1,
            "SyntaxError",
            "TypeError",
            "TypeError",
            ["mark", "measure"],
        ],
    ),
    "marks_are_bounded": (
        """
        for (let i = 0; i < 5000; i++) performance.mark("n" + i);
        const all = performance.getEntriesByType("mark");
        return [all.length <= 2000, all.length >= 1000, all.at(-1).name];
        """,
        [True, True, "n4999"],
    ),
    "scheduler": (
        """
        const order = [], c = new TaskController({ priority: "background" });
        const begin = performance.now();
        const post = (name, options) => scheduler.postTask(() => { order.push(name); return name; }, options);
        const all = [post("low", { priority: "background" }), post("usual"), post("raised", { signal: c.signal }),
            post("high", { priority: "user-blocking" })];
        const late = scheduler.postTask(() => performance.now() - begin >= 9, { delay: 9, priority: "user-blocking" });
        const events = [];
        c.signal.onprioritychange = (e) => events.push(e.previousPriority, c.signal.priority);
        c.setPriority("user-blocking");
        const results = await Promise.all(all);
        const gone = scheduler.postTask(() => order.push("never"), { signal: c.signal });
        c.abort("because");
        const before = performance.now();
        await scheduler.wait(15);
        await scheduler.yield();
        const waited = performance.now() - before;
        const stopped = await scheduler.wait(9e6, { signal: AbortSignal.timeout(1) }).catch((e) => e.name);
        return [order, results, await late, events, await gone.catch((e) => e), waited >= 15, stopped,
            await scheduler.postTask(() => { throw new RangeError(); }).catch((e) => e.name),
            await scheduler.postTask(() => {}, { priority: "none" }).catch((e) => e.name)];
        """,
        [
            ["raised", "high", "usual", "low"],
            ["low", "usual", "raised", "high"],
            True,
            ["background", "user-blocking"],
            "because",
            True,
            "TimeoutError",
            "RangeError",
            "TypeError",
        ],
    ),
}


@pytest.fixture(scope="module")
def hive(start_module):
    return start_module(
        {
            name.replace("_", "-"): {
                "limits": {"cpu_ms": 1000},
                "files": {
                    "worker.js": HELPERS
                    + script(f"return Response.json(await (async () => {{ {source} }})())")
                },
            }
            for name, (source, _) in CASES.items()
        }
    )


@pytest.mark.parametrize("name", CASES)
def test_messages_and_marks_give_what_they_should(hive, name):
    answer = hive.get(name.replace("_", "-"))
    assert answer.status == 200, answer
    assert answer.json() == CASES[name][1]


# The module owns the ports; requests post.
SHARED = """
const { port1, port2 } = new MessageChannel();
const channel = new BroadcastChannel("x");
channel.onmessage = (e) => console.log("broadcast " + e.data);
port2.onmessage = (e) => {
    console.log("got " + e.data);
    if (e.data === "/spins") for (;;);
};
export default { async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/floods") {
        const wide = "x".repeat(1e5);
        for (;;) port1.postMessage(wide + Math.random());
    }
    if (pathname === "/listens") {
        new BroadcastChannel("x").onmessage = () => console.log("of a request that is over");
        return new Response("listened");
    }
    if (pathname === "/waits") {
        await new Promise((r) => setTimeout(r, 700));
        return new Response("waited");
    }
    new BroadcastChannel("x").postMessage(pathname);
    port1.postMessage(pathname);
    if (pathname === "/spins") await new Promise(() => {});
    return new Response("posted");
} };
"""


def test_message_is_handled_on_the_account_of_the_request_that_posted_it(start):
    skepd = start({"a": {"limits": {"cpu_ms": 100}, "files": {"worker.js": SHARED}}})
    assert skepd.get("a", "/listens").text == "listened"
    # The answer is out before the message is handled; the message keeps its request.
    assert skepd.get("a", "/first").text == "posted"
    skepd.wait_log("got /first")
    skepd.wait_log("broadcast /first")
    assert "of a request that is over" not in skepd.log()
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(skepd.get("a", "/waits")))
    thread.start()
    wait_for(lambda: skepd.tenant("a")["in_flight"] == 1, "the other request")
    assert skepd.get("a", "/spins").code == "cpu_request"
    thread.join()
    assert waiting[0].text == "waited"
    assert "got /spins" in skepd.log()


OBSERVED = """
let seen = [];
new PerformanceObserver((list) => seen.push(...list.getEntries().map((e) => e.name))).observe({ type: "mark" });
export default { async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/seen") return Response.json(seen);
    performance.mark(pathname);
    if (pathname === "/stops") for (;;);
    return new Response("marked");
} };
"""


def test_request_that_is_stopped_takes_no_call_of_an_observer_from_others(start):
    tenant = {"limits": {"cpu_ms": 50}, "after_stop": "reuse", "files": {"worker.js": OBSERVED}}
    skepd = start({"a": tenant})
    assert skepd.get("a", "/stops").code == "cpu_request"
    assert skepd.get("a", "/second").text == "marked"
    wait_for(lambda: "/second" in skepd.get("a", "/seen").json(), "the observer")


def test_messages_that_nobody_takes_end_at_the_limits_of_their_tenant(start):
    tenant = {"limits": {"cpu_ms": 5000, "heap_mib": 32}, "files": {"worker.js": SHARED}}
    skepd = start({"a": tenant, "b": script("return new Response('well')")})
    assert skepd.get("a", "/floods").code == "mem_isolate"
    assert skepd.get("b").text == "well"
    assert skepd.get("a", "/again").text == "posted"
    assert not re.search("worker .* died", skepd.log())
