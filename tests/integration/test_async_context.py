# SPDX-License-Identifier: Apache-2.0
"""Stores of AsyncLocalStorage go with code through promises, timers, tasks, streams and events, and with them the request whose
lines in the log are its own (docs/tenant.md, "AsyncLocalStorage")."""

import json
import re
import subprocess

import pytest

from harness import BIN, script, wait_for

IMPORT = "import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';\n"
SLEEP = "const sleep = (ms) => new Promise((r) => setTimeout(r, ms));\n"

# Requests that overlap: all wait for one promise, and so each wakes the others in its own entry.
OVERLAP = IMPORT + SLEEP + r"""
const store = new AsyncLocalStorage(), other = new AsyncLocalStorage();
let all, wake, here = 0;
async function* twice() { await all; yield 1; await sleep(1); yield 2; }
addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    console.log(`${store.getStore()} unhandled ${event.reason}`);
});
async function work(tag, request, ctx, count) {
    const said = [];
    const say = (where) => { said.push(where); console.log(`${store.getStore()} ${where} of ${tag} ${other.getStore()}`); };
    all ??= new Promise((r) => { wake = r; });
    if (++here === count) wake();
    await all; say("await");
    await Promise.all([all, sleep(Math.random() * 5)]); say("combined");
    await new Promise((r) => setTimeout(() => { say("timer"); queueMicrotask(() => { say("microtask"); r(); }); }, 2));
    await new Promise((r) => { let n = 0; const id = setInterval(() => { say("interval"); if (++n === 2) { clearInterval(id); r(); } }, 1); });
    await { then(resolve) { say("thenable"); all.then(resolve); } }; say("behind a thenable");
    for await (const n of twice()) say(`iterator ${n}`);
    const source = new ReadableStream({ async pull(c) { await all; say("pull"); c.enqueue(new Uint8Array(1)); c.close(); } });
    const through = new TransformStream({ async transform(chunk, c) { await all; say("transform"); c.enqueue(chunk); } });
    await new Response(source.pipeThrough(through)).arrayBuffer(); say("behind streams");
    await request.text(); say("body");
    const target = new EventTarget();
    target.addEventListener("x", async () => { say("listener"); await all; say("listener, later"); });
    target.dispatchEvent(new Event("x"));
    const controller = new AbortController();
    controller.signal.addEventListener("abort", () => say("abort"));
    await Promise.all([all.then(() => controller.abort()), sleep(1)]);
    await new Promise((r) => AbortSignal.timeout(1).addEventListener("abort", () => { say("timeout"); r(); }));
    const { port1, port2 } = new MessageChannel();
    await new Promise((r) => { port2.onmessage = () => { say("port"); r(); }; port1.postMessage(1); });
    await Promise.all(["background", "user-blocking", "user-visible"].map((priority, i) =>
        other.run(i, () => scheduler.postTask(() => say(priority), { priority }))));
    await scheduler.wait(1); say("wait");
    await scheduler.yield(); say("yield");
    await import("./late.js"); say("import");
    await other.run("inner", async () => { say("inner"); await sleep(1); say("inner, later"); });
    all.then(() => Promise.reject("rejection"));
    await sleep(2);
    const resource = other.run("made", () => new AsyncResource("x"));
    other.run("else", () => resource.runInAsyncScope(() => say("resource")));
    ctx.waitUntil((async () => { await sleep(3); say("waitUntil"); throw new Error(`${tag} failed behind`); })());
    return said.length;
}
export default { async fetch(request, env, ctx) {
    const url = new URL(request.url), tag = url.pathname;
    const said = await store.run(tag, work, tag, request, ctx, Number(url.searchParams.get("of")));
    return Response.json([said, store.getStore() === undefined]);
} };
"""
OTHERS = {"background": "0", "user-blocking": "1", "user-visible": "2", "inner": "inner", "inner, later": "inner", "resource": "made"}


def test_each_line_is_of_its_own_request_and_its_own_stores(start):
    count = 50
    files = {"worker.js": OVERLAP, "late.js": "await 0; export default 1;"}
    skepd = start({"a": {"limits": {"cpu_ms": 5000, "concurrency": 100}, "files": files}}, log_format="json", access_log=True,
                  log={"tenant_lines": 100000, "lines": 100000, "tenant_kib": 100000, "kib": 100000})
    connections = [skepd.connect() for _ in range(count)]
    for i, connection in enumerate(connections):
        connection.send_head("POST", "a.test", f"/{i}?of={count}", [("Content-Length", "2")])
    for connection in connections:
        connection.send(b"ab")
    answers = [connection.read_response() for connection in connections]
    assert {answer.status for answer in answers} == {200}, answers[0].text
    said = [answer.json() for answer in answers]
    assert all(outside for _, outside in said)
    wait_for(lambda: skepd.log().count('"event":"access"') == count, "all to end")
    lines = [json.loads(line) for line in skepd.log().splitlines() if '"tenant":"a"' in line]
    paths = {line["request"]: line["path"] for line in lines if line.get("event") == "access"}
    texts = [(paths[line["request"]], line["message"].split("\n")[0]) for line in lines if "tenant_level" in line]
    places = 0
    for path, text in texts:
        if match := re.search(r"^(?:info: )?(\S+) (.*) of (\S+) (\S+)$", text):
            places += 1
            assert match[1] == match[3] == path, text
            assert match[4] == OTHERS.get(match[2], "undefined"), text
        elif "unhandled" in text:
            assert re.search(rf"{path} unhandled rejection$", text)
        else:
            assert f"Error: {path} failed behind" in text
    assert places == sum(n for n, _ in said) + count  # waitUntil comes behind the answer
    assert len(texts) == places + 2 * count


# getStore() and what the functions give; each is compared with what Node.js gives.
SCRIPT = IMPORT + SLEEP + r"""
const als = new AsyncLocalStorage({ defaultValue: "preset", name: "mine" }), get = () => als.getStore();
const outside = AsyncLocalStorage.snapshot();
const steps = {
    name: () => [als.name, new AsyncLocalStorage().name],
    run: () => als.run(1, (...args) => [get(), ...args], "a", "b"),
    nested: () => als.run(1, () => [als.run(2, get), get()]),
    exit: () => als.run(1, () => [als.exit((a) => [get() ?? "undefined", a], "a"), get()]),
    preset: () => [get(), new AsyncLocalStorage().getStore() ?? "undefined"],
    throws: () => { try { als.run(1, () => { throw new Error("x"); }); } catch (e) { return [e.message, get()]; } },
    snapshot: () => { const inside = als.run(1, () => AsyncLocalStorage.snapshot()); return als.run(2, () => [inside(get), inside((a) => a, "a"), outside(get), get()]); },
    bind: () => { const f = als.run(1, () => AsyncLocalStorage.bind(function (a) { return [get(), this?.x ?? "no", a]; })); return [f.call({ x: 3 }, "a"), f.length]; },
    resource: () => { const r = als.run(1, () => new (class Own extends AsyncResource { constructor() { super("own"); } })());
        return als.run(2, () => [r.runInAsyncScope(function (a) { return [get(), this.x, a]; }, { x: 3 }, "a"), r.bind(get)(), get()]); },
    resourceBind: () => [als.run(1, () => AsyncResource.bind(function () { return [get(), this.x]; }, "t", { x: 4 }))()],
    two: () => { const more = new AsyncLocalStorage(); return als.run(1, () => more.run(2, () => als.run(3, () => [get(), more.getStore()]))); },
    generator: () => { const g = als.run(1, () => (function* () { yield get(); })()); return als.run(2, () => [...g]); },
    chain: () => als.run(1, () => Promise.resolve()).then(() => [get()]),
    later: () => als.run(1, async () => { await sleep(1); return [get()]; }),
    resolver: async () => { let go; const p = als.run(1, () => new Promise((r) => { go = r; }).then(() => [get()])); als.run(2, go); return p; },
    dispatched: () => { const t = new EventTarget(), got = []; als.run(1, () => t.addEventListener("x", () => got.push(get()))); als.run(2, () => t.dispatchEvent(new Event("x"))); return got; },
    waiting: async () => { const { port1, port2 } = new MessageChannel(); als.run(1, () => port1.postMessage(0)); await sleep(3);
        return new Promise((r) => als.run(2, () => { port2.onmessage = () => r([get()]); })); },
    ports: () => Promise.all([1, 2, 3].map((n) => new Promise((r) => { const { port1, port2 } = new MessageChannel(); port2.onmessage = () => r(get());
        als.run(n, () => port1.postMessage(0)); }))),
    tasks: () => { const got = []; return Promise.all([1, 2, 3].map((n) => als.run(n, () => scheduler.postTask(() => got.push(n === get()))))).then(() => got); },
};
export default { async fetch() {
    const got = {};
    for (const [name, step] of Object.entries(steps)) got[name] = await als.exit(() => outside(step));
    got.module = [typeof AsyncLocalStorage.prototype.run, Object.keys(await import("node:async_hooks")).join(), (await import("node:async_hooks")).default.AsyncLocalStorage === AsyncLocalStorage];
    got.wrong = [];
    for (const f of [() => als.run(1), () => als.exit(), () => AsyncLocalStorage.bind(1), () => new AsyncResource(), () => als.enterWith(1), () => als.disable(),
        () => AsyncLocalStorage.prototype.run.call({}, 1, get), () => outside()])
        try { f(); got.wrong.push("none"); } catch (e) { got.wrong.push(`${e.name}: ${e.message}`); }
    return Response.json(got);
} };
"""
WANTED = {
    "name": ["mine", ""],
    "run": [1, "a", "b"],
    "nested": [2, 1],
    "exit": [["undefined", "a"], 1],
    "preset": ["preset", "undefined"],
    "throws": ["x", "preset"],
    "snapshot": [1, "a", "preset", 2],
    "bind": [[1, 3, "a"], 1],
    "resource": [[1, 3, "a"], 1, 2],
    "resourceBind": [[1, 4]],
    "two": [3, 2],
    "generator": [2],
    "chain": ["preset"],
    "later": [1],
    "resolver": [1],
    "dispatched": [2],
    "waiting": [1],
    "ports": [1, 2, 3],
    "tasks": [True, True, True],
    "module": ["function", "AsyncLocalStorage,AsyncResource,default", True],
    "wrong": [
        "TypeError: AsyncLocalStorage.run: parameter 2 is not a function.",
        "TypeError: AsyncLocalStorage.exit: parameter 1 is not a function.",
        "TypeError: AsyncLocalStorage.bind: parameter 1 is not a function.",
        "TypeError: AsyncResource: parameter 1 is not a string.",
        "Error: AsyncLocalStorage.enterWith is not there: use run(store, callback), whose store ends with its function.",
        "Error: AsyncLocalStorage.disable is not there: use exit(callback), whose store ends with its function.",
        "TypeError: Cannot read private member #name from an object whose class did not declare it",
        "TypeError: The function of AsyncLocalStorage.snapshot: parameter 1 is not a function.",
    ],
}


@pytest.fixture(scope="module")
def given(start_module):
    return start_module({"a": SCRIPT}).get("a").json()


@pytest.mark.parametrize("name", WANTED)
def test_async_local_storage(given, name):
    assert given[name] == WANTED[name]


def test_stores_hold_no_memory_once_their_request_is_over(start):
    body = """
        const big = new Uint8Array(4 << 20).fill(1);
        als.run(big, () => {
            setTimeout(() => {}, 1e9);
            new Promise(() => {}).then(() => als.getStore());
            (async () => { await new Promise(() => {}); })();
            new MessageChannel().port1.postMessage(1);
        });
        return new Response(`${als.getStore()}`);
    """
    skepd = start({"a": {"limits": {"external_mib": 32, "cpu_ms": 5000},
                         "files": {"worker.js": IMPORT + "const als = new AsyncLocalStorage();" + script(body)}}})
    assert {skepd.get("a").text for _ in range(60)} == {"undefined"}


def test_stopped_code_leaves_no_store_behind(start):
    body = "if (request.url.endsWith('/stop')) als.run('left', () => { for (;;); }); return new Response(`${als.getStore()}`);"
    skepd = start({"a": {"limits": {"cpu_ms": 20}, "after_stop": "reuse",
                         "files": {"worker.js": IMPORT + "const als = new AsyncLocalStorage();" + script(body)}}})
    assert skepd.get("a", "/").text == "undefined"
    assert skepd.get("a", "/stop").code == "cpu_request"
    assert skepd.get("a", "/").text == "undefined"


def test_line_of_a_request_that_is_over_is_no_other_requests(start):
    source = "let go; const gate = new Promise((r) => { go = r; });" + script("""
        if (request.url.endsWith("/first")) { gate.then(() => console.log("behind the end")); return new Response("first"); }
        console.log("mine"); go(); await gate; return new Response("second");
    """)
    skepd = start({"a": source}, log_format="json")
    assert [skepd.get("a", path).text for path in ("/first", "/second")] == ["first", "second"]
    skepd.wait_log("behind the end")
    lines = [json.loads(line) for line in skepd.log().splitlines() if "tenant_level" in line]
    requests = {line["message"].removeprefix("info: "): line.get("request", 0) for line in lines}
    assert requests["mine"] != 0 and requests["behind the end"] == 0


def test_check_knows_the_module(folder):
    tenant = folder / "t"
    tenant.mkdir()
    (tenant / "skep.yaml").write_text("name: t\nmain: worker.js\n")
    for specifier, name, wanted in (
        ("node:async_hooks", "AsyncLocalStorage", "ok: 1 tenant"),
        ("node:async_hooks", "createHook", "does not provide an export named 'createHook'"),
        ("async_hooks", "AsyncLocalStorage", "did you mean 'node:async_hooks'?"),
        ("node:fs", "x", "of the modules of Node.js there is node:async_hooks only"),
    ):
        (tenant / "worker.js").write_text(f"import {{ {name} }} from '{specifier}';\n" + script("return new Response(String(" + name + "))"))
        run = subprocess.run([BIN / "skep", "check", tenant], capture_output=True, text=True, timeout=60)
        assert wanted in run.stdout + run.stderr
