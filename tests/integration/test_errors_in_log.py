# SPDX-License-Identifier: Apache-2.0
"""Errors as a tenant sees them: error.stack has its own frames only; exceptions and rejections that nobody
handles are in its log, with stack, cause and request."""

import json
import re

import pytest

from harness import script, wait_for

STACKS = r"""
export default { async fetch(request) {
    const stacks = {};
    const of = (name, f) => { try { f(); } catch (e) { stacks[name] = e.stack; } };
    of("response", () => new Response("x", { status: 9 }));
    of("headers", () => new Headers([["a"]]));
    of("clone", () => structuredClone(() => {}));
    of("atob", () => atob("*"));
    of("url", () => new URL("x:// b"));
    of("each", () => [1].forEach(() => { throw new Error("in forEach"); }));
    const target = new EventTarget();
    target.addEventListener("x", () => { stacks.listener = new Error("x").stack; });
    target.dispatchEvent(new Event("x"));
    await new Promise((r) => setTimeout(() => { stacks.timer = new Error("x").stack; r(); }, 1));
    await new Response("{").json().catch((e) => { stacks.json = e.stack; });
    await new Response(new ReadableStream({ pull(c) { stacks.pull = new Error("x").stack; c.close(); } })).text();
    const own = {};
    Error.captureStackTrace(own);
    stacks.captured = own.stack;
    stacks.getter = Object.defineProperty(new Error("x"), "message", { get() { throw 1; } }).stack;
    Error.prepareStackTrace = (error, sites) => sites.map((site) => site.getFileName()).join();
    of("prepared", () => new Response("x", { status: 9 }));
    Error.prepareStackTrace = () => { throw new Error("no stack"); };
    try { new Error("x").stack; stacks.throws = "none"; } catch (e) { stacks.throws = "thrown"; }
    Error.prepareStackTrace = undefined;
    stacks.after = new Error("x").stack;
    return Response.json(stacks);
} };
"""


@pytest.fixture(scope="module")
def stacks(start_module):
    return start_module({"a": STACKS}).get("a").json()


def test_stack_has_frames_of_the_tenant_only(stacks):
    for name, stack in stacks.items():
        assert "skep:" not in stack, name
    for name in ("response", "headers", "clone", "atob", "url", "each", "captured", "json"):
        assert "Object.fetch (worker.js:" in stacks[name], name
    assert stacks["response"].splitlines()[0] == "RangeError: Response: status 9 is not in the range 200 to 599."
    assert "at Array.forEach (<anonymous>)" in stacks["each"]
    assert "<anonymous>" not in stacks["json"]
    assert stacks["getter"].startswith("<error>\n    at ")


def test_prepare_stack_trace_of_the_tenant_gets_its_own_frames(stacks):
    assert set(stacks["prepared"].split(",")) == {"worker.js"}
    assert stacks["throws"] in ("thrown", "none")
    assert stacks["after"].startswith("Error: x\n    at ")


CAUSES = """
function fail() {
    const outer = new Error("outer"), inner = new TypeError("inner", { cause: outer });
    outer.cause = inner;
    return inner;
}
"""
WAYS = {
    "thrown": ("throw fail();", r"TypeError: inner"),
    "rejected": ("Promise.reject(fail()); await new Promise((r) => setTimeout(r, 5));", r"Uncaught \(in promise\) TypeError: inner"),
    "timer": ("setTimeout(() => { throw fail(); }, 1); await new Promise((r) => setTimeout(r, 10));", r"Uncaught TypeError: inner"),
    "until": ("ctx.waitUntil(Promise.reject(fail()));", r"TypeError: inner"),
}


@pytest.mark.parametrize("name", WAYS)
def test_exception_is_in_the_log_with_stack_cause_and_request(start, name):
    body, head = WAYS[name]
    skepd = start({"a": CAUSES + script(body + "return new Response('x');")}, log_format="json", access_log=True)
    skepd.get("a")
    skepd.wait_log(head)
    skepd.wait_log('"event":"access"')
    lines = [json.loads(line) for line in skepd.log().splitlines() if '"tenant":"a"' in line]
    (number,) = {line["request"] for line in lines if line.get("event") == "access"}
    text = "\n".join(line["message"] for line in lines if line.get("request") == number and "tenant_level" in line)
    assert {line["request"] for line in json.loads(skepd.skep("logs", "a", "--json").stdout)["lines"]} == {number}
    assert "worker.js:3:" in text and "at fail (worker.js:" in text
    assert text.count("Caused by: Error: outer") == 1, text
    assert text.count("Caused by: an error that is named above already") == 1, text


def test_message_is_in_the_log_though_the_stack_has_none(start):
    source = "Error.prepareStackTrace = (e, sites) => 'sites: ' + sites.length;\n" + script("throw new RangeError('said');")
    skepd = start({"a": source})
    assert skepd.get("a").code == "exception"
    skepd.wait_log(r"\[a\] error: RangeError: said")


# Requests that overlap: they wait for the same promises, are woken by each other's events, and take turns in one queue.
OVERLAP = r"""
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
let all, wake, here = 0, last = Promise.resolve();
const queue = (task) => (last = last.then(task, task));
export default { async fetch(request, env, ctx) {
    const url = new URL(request.url), tag = url.pathname, count = Number(url.searchParams.get("of"));
    const say = (where) => console.log(`${tag} ${where}`);
    say("begins");
    all ??= new Promise((r) => { wake = r; });
    if (++here === count) wake();
    await all;
    say("behind a promise of all");
    await Promise.all([all, sleep(Math.random() * 5)]);
    say("behind a timer");
    await queue(async () => { say("in the queue"); await sleep(1); say("in the queue, later"); });
    say("behind the queue");
    await new Promise((r) => setTimeout(() => { say("in a timer"); queueMicrotask(() => { say("in a microtask"); r(); }); }, 2));
    const stream = new ReadableStream({ async pull(c) { await all; say("in pull"); c.enqueue(new Uint8Array(1)); c.close(); } });
    await new Response(stream.pipeThrough(new TransformStream({ transform(chunk, c) { say("in transform"); c.enqueue(chunk); } }))).arrayBuffer();
    const target = new EventTarget();
    target.addEventListener("x", async () => { say("in a listener"); await all; say("in a listener, later"); });
    target.dispatchEvent(new Event("x"));
    Promise.reject(new Error(`${tag} rejected`));
    ctx.waitUntil((async () => { await sleep(3); say("in waitUntil"); throw new Error(`${tag} failed behind`); })());
    return new Response(tag);
} };
"""
SAID = 15  # lines of each request


def test_no_line_of_a_request_is_in_the_log_under_anothers_number(start):
    count = 40
    skepd = start({"a": {"limits": {"cpu_ms": 5000}, "files": {"worker.js": OVERLAP}}}, log_format="json", access_log=True,
                  log={"tenant_lines": 100000, "lines": 100000, "tenant_kib": 100000, "kib": 100000})
    for name in range(2):  # cold, and warm
        connections = [skepd.connect() for _ in range(count)]
        for i, connection in enumerate(connections):
            connection.send_head("GET", "a.test", f"/{name}-{i}?of={count * (name + 1)}")
        for i, connection in enumerate(connections):
            assert connection.read_response().text == f"/{name}-{i}"
            connection.close()
    wait_for(lambda: skepd.log().count('"event":"access"') == 2 * count, "all to end")
    lines = [json.loads(line) for line in skepd.log().splitlines() if '"tenant":"a"' in line]
    tags = {line["request"]: line["path"] for line in lines if line.get("event") == "access"}
    said = [line for line in lines if "tenant_level" in line]
    wrong = [line for line in said if tags.get(line.get("request")) != re.search(r"/\d-\d+", line["message"])[0]]
    assert not wrong, wrong[:3]
    assert len(said) == 2 * count * SAID
