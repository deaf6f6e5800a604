# SPDX-License-Identifier: Apache-2.0
"""The global scope in a real worker: events of exceptions and rejections, the order of timers, the
clock, and the interfaces as Web IDL has them."""

import pathlib

import pytest

from harness import script

HERE = pathlib.Path(__file__)
SLEEP = "const sleep = (ms) => new Promise((r) => setTimeout(r, ms));\n"

EVENTS = (
    SLEEP
    + """
const seen = [];
self.onerror = (...all) => { seen.push(["onerror", ...all.slice(0, 3), String(all[4])]); return all[4] !== "shown"; };
addEventListener("unhandledrejection", (e) => {
    seen.push([e.type, String(e.reason), e.cancelable, e.isTrusted, e.target === self, e.promise instanceof Promise]);
    if (e.reason !== "shown") e.preventDefault();
    if (e.reason === "late") e.promise.catch(() => {});
});
self.onrejectionhandled = (e) => { seen.push([e.type, String(e.reason), e.cancelable]); };
export default { async fetch() {
    reportError(new TypeError("wrong"));
    reportError("shown");
    queueMicrotask(() => { throw new Error("in a microtask"); });
    setTimeout(() => { throw new Error("in a timer"); }, 1);
    await sleep(5);
    const p = Promise.reject("first");
    Promise.reject("shown");
    Promise.reject("late");
    await sleep(1);
    p.catch(() => {});
    await sleep(1);
    self.onerror = () => { throw new Error("of the handler"); };
    reportError(new Error("the first"));
    return Response.json(seen);
} };
"""
)


def test_exceptions_and_rejections_are_events_of_the_global_object(start):
    skepd = start({"a": EVENTS})
    answer = skepd.get("a")
    assert answer.status == 200, answer
    assert answer.json() == [
        ["onerror", "Uncaught TypeError: wrong", "worker.js", 12, "TypeError: wrong"],
        ["onerror", "Uncaught shown", "worker.js", 13, "shown"],
        ["onerror", "Uncaught Error: in a microtask", "worker.js", 14, "Error: in a microtask"],
        ["onerror", "Uncaught Error: in a timer", "worker.js", 15, "Error: in a timer"],
        ["unhandledrejection", "first", True, True, True, True],
        ["unhandledrejection", "shown", True, True, True, True],
        ["unhandledrejection", "late", True, True, True, True],
        ["rejectionhandled", "first", False],
    ]
    skepd.wait_log("Error: the first")
    log = skepd.log()
    assert log.count("Uncaught shown") == 1
    assert log.count("Uncaught (in promise) shown") == 1
    assert "Error: of the handler" in log
    for cancelled in ("Error: wrong", "in a microtask", "in a timer", "in promise) first"):
        assert cancelled not in log


CASES = {
    "target": (
        """
        const out = [], f = (e) => out.push(e.target === self, e.currentTarget === self, e.type);
        const other = new EventTarget();
        self.addEventListener("x", f);
        addEventListener("x", f);
        EventTarget.prototype.addEventListener.call(undefined, "y", f, { once: true });
        const calls = [dispatchEvent(new Event("x")), self.dispatchEvent(new Event("y")), dispatchEvent(new Event("y"))];
        EventTarget.prototype.removeEventListener.call(self, "x", f);
        dispatchEvent(new Event("x"));
        let error;
        try { Object.getOwnPropertyDescriptor(self, "onerror").get.call(other); } catch (e) { error = e.name; }
        return [self instanceof EventTarget, ...calls, ...out, onerror, error];
        """,
        [True] * 4 + [True, True, "x", True, True, "y"] + [None, "TypeError"],
    ),
    "handlers": (
        """
        const signal = new AbortController().signal, object = {}, f = () => {};
        const set = (value) => { signal.onabort = value; return signal.onabort === value; };
        return [set(f), set(object), set(null), (signal.onabort = 1, signal.onabort)];
        """,
        [True, True, True, None],
    ),
    "text_of_functions": (
        """
        const own = function (a) { return a; };
        return [String(URL), `${fetch_}`, String(own), Function.prototype.toString.call(setTimeout),
            [Function.prototype.toString, Object, Request.prototype.clone, crypto.subtle.sign].every((f) =>
                String(f) === `function ${f.name}() { [native code] }`)];
        function fetch_() {}
        """,
        [
            "function URL() { [native code] }",
            "function fetch_() {}",
            "function (a) { return a; }",
            "function setTimeout() { [native code] }",
            True,
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_global_scope_gives_what_it_should(start, name):
    source, expected = CASES[name]
    skepd = start({"a": script(f"return Response.json(await (async () => {{ {source} }})())")})
    assert skepd.get("a").json() == expected


ORDER = SLEEP + script("""
    const order = [];
    for (const name of "abcd") setTimeout(() => order.push(name));
    setTimeout(() => order.push("last"), 9);
    for (let i = 0; i < 20; i++) setTimeout(() => order.push(i), 1);
    const ticks = [];
    const stop = ["x", "y", "z"].map((name) => setInterval(() => ticks.push(name), 3));
    const gone = setTimeout(() => order.push("gone"), 2);
    clearTimeout(gone);
    do await sleep(30); while (ticks.length < 6); // a busy machine lets intervals pass
    stop.forEach(clearInterval);
    return Response.json([order, ticks.slice(0, 6)]);
""")


def test_timers_run_in_the_order_of_their_time_then_of_their_making(start):
    skepd = start({"a": ORDER})
    for _ in range(5):
        order, ticks = skepd.get("a").json()
        assert order == [*"abcd", *range(20), "last"]
        assert ticks == [*"xyzxyz"]


CLOCK = (
    SLEEP
    + """
const top = [performance.now(), performance.timeOrigin, new Event("x").timeStamp, Date.now()];
await sleep(20);
const awaited = performance.now();
export default { async fetch() {
    const times = [performance.now()];
    for (let i = 0; i < 5; i++) { await sleep(2); times.push(performance.now()); }
    return Response.json({ top, awaited, times, origin: performance.timeOrigin, date: Date.now() });
} };
"""
)


def test_time_begins_with_the_isolate_and_never_goes_back(start):
    skepd = start({"a": CLOCK})
    answers = [skepd.get("a").json() for _ in range(2)]
    now, origin, stamp, date = answers[0]["top"]
    assert 0 < now < 1000 and stamp == now and abs(origin + now - date) < 50
    times = [now, answers[0]["awaited"]] + [time for answer in answers for time in answer["times"]]
    assert times == sorted(times) and times[1] >= now + 20
    assert {answer["origin"] for answer in answers} == {origin}
    assert abs(answers[1]["date"] - origin - answers[1]["times"][-1]) < 50


def test_interfaces_are_those_of_the_golden_file(start):
    """Names, lengths and attributes by Web IDL; what is new has to be added, what differs to be explained."""
    skepd = start({"a": HERE.with_name("interfaces.js").read_text()})
    assert skepd.get("a").text == HERE.with_name("golden").joinpath("interfaces.txt").read_text()
