# SPDX-License-Identifier: Apache-2.0
"""Memory that a tenant keeps, of each kind: its own limits stop the tenant, or it is blamed, or separated; its
honest neighbours, of any size, never are."""

import re

import pytest

from harness import IS_SANITIZED, SKEPD, cordon, is_alive, script, wait_for

WORKER = SKEPD.parent / "tests" / "hostile_worker"
counts_memory = pytest.mark.skipif(IS_SANITIZED, reason="sanitizers have a malloc of their own")
needs_hostile_worker = pytest.mark.skipif(
    not IS_SANITIZED or not WORKER.exists(), reason="for a skepd without jail"
)

# A module of many functions; the first calls all others, so that each is compiled.
MAKE_WASM = """
    const leb = (n) => { const out = []; do { out.push((n & 127) | (n > 127 ? 128 : 0)); n >>= 7; }
                         while (n > 0); return out; };
    const part = (id, bytes) => [id, ...leb(bytes.length), ...bytes];
    const add = Array.from({ length: 150 }, () => [0x41, 1, 0x6a]).flat();
    const body = (code) => [...leb(code.length + 4), 0, 0x20, 0, ...code, 0x0b];
    function makeWasm(count, unique) {
        const calls = Array.from({ length: count }, (_, i) => [0x10, ...leb(i + 1)]).flat();
        const bodies = [body(calls)];
        for (let i = 0; i < count; i++) bodies.push(body([0x41, unique & 63, 0x6a, ...add]));
        return new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...part(1, [1, 0x60, 1, 0x7f, 1, 0x7f]),
            ...part(3, [...leb(count + 1), ...bodies.map(() => 0)]),
            ...part(7, [1, 1, 102, 0, 0]), ...part(10, [...leb(count + 1), ...bodies.flat()])]);
    }
"""

# Code that each request adds; `kept` and `serial` live as long as the isolate.
KINDS = {
    "compiled_regular_expressions": """
        for (let i = 0; i < 200; i++) {
            const made = new RegExp(`^(?:a{1,9}|b${serial++}|[c-x]+?(d|e)*){1,9}$`.repeat(8), "iu");
            for (let j = 0; j < 3; j++) made.exec("xyzabc".repeat(4) + "\\u0416");
            kept.push(made);
        }
    """,
    "intl_objects": """
        for (let i = 0; i < 100; i++)
            kept.push(new Intl.DateTimeFormat("de", { dateStyle: "full" }), new Intl.Segmenter("ja"),
                      new Intl.NumberFormat("ja", { style: "currency", currency: "JPY" }),
                      new Intl.Collator("sv"), new Intl.PluralRules("pl"));
        for (const made of kept.slice(-500)) made.format?.(1) ?? made.compare?.("a", "b");
    """,
    "webassembly_modules": """
        const module = new WebAssembly.Module(makeWasm(400, serial++));
        kept.push(module, new WebAssembly.Instance(module).exports.f);
        kept.at(-1)(1);
    """,
    "webassembly_memories": """
        const memory = new WebAssembly.Memory({ initial: 160, maximum: 4096 });
        new Uint8Array(memory.buffer).fill(1);
        kept.push(memory);
    """,
    "pending_imports": """
        for (let i = 0; i < 40000; i++) import("./none.js?" + "x".repeat(900) + serial++).catch(() => 0);
    """,
    "text_decoders": """
        for (let i = 0; i < 8000; i++) {
            kept.push(new TextDecoder());
            kept.at(-1).decode(new Uint8Array([0xe2, 0x82]), { stream: true });
        }
    """,
    "async_stacks": """
        const never = new Promise((resolve) => kept.push(resolve));
        async function deep(n) { if (n > 0) return await deep(n - 1); await never; }
        for (let i = 0; i < 40; i++) deep(400);
    """,
    "bigints": "for (let i = 0; i < 40; i++) kept.push((1n << 800000n) + BigInt(serial++));",
    "resizable_buffers": """
        for (let i = 0; i < 10; i++) {
            kept.push(new ArrayBuffer(1, { maxByteLength: 1 << 24 }));
            kept.at(-1).resize(1 << 20);
            new Uint8Array(kept.at(-1)).fill(7);
        }
    """,
    "blobs": "for (let i = 0; i < 5; i++) kept.push(new Blob([new Uint8Array(1 << 20).fill(1)]));",
    "streams_never_read": """
        for (let i = 0; i < 5; i++)
            kept.push(new ReadableStream({
                start(controller) { controller.enqueue(new Uint8Array(1 << 20).fill(3)); } }));
    """,
    "long_strings": """
        for (let i = 0; i < 4; i++) kept.push(JSON.stringify("\\u0416".repeat(1 << 19) + serial++));
    """,
    "headers_and_urls": """
        for (let i = 0; i < 2000; i++)
            kept.push(new Headers({ a: "b".repeat(900) + serial++ }), new URL("http://h/" + serial++));
    """,
    "buffers": "for (let i = 0; i < 5; i++) kept.push(new Uint8Array(1 << 20).fill(1));",
}
LIMITS = {"heap_mib": 24, "external_mib": 24, "cpu_ms": 10000, "cpu_startup_ms": 5000}


STOPPED = r"\[{}\] (stopped|refused): (heap|external)_mib is 24.0 MiB"


def keeper(body):
    source = script(f"""
        globalThis.kept ??= []; globalThis.serial ??= 0;
        try {{ {body} }} catch (e) {{
            if (e.name !== "RangeError") throw e;
            return new Response("refused");
        }}
        return new Response("kept");
    """)
    return {"limits": LIMITS, "files": {"worker.js": MAKE_WASM + source}}


def holder(mib):
    return script(f"""
        globalThis.held ??= new Uint8Array({mib} << 20).fill(1);
        return new Response("held");
    """)


NEIGHBOURS = {"small": holder(1), "medium": holder(20), "large": holder(55)}
SOURCES = {
    "limits": LIMITS | {"external_mib": 2},
    "files": {
        "worker.js": 'import a from "./a.txt"; import b from "./b.txt";' + script("return 0;"),
        "a.txt": "a" * (7 << 20),
        "b.txt": "b" * (7 << 20),
    },
}


@pytest.fixture(scope="module")
def hive(start_module):
    tenants = {name: keeper(body) for name, body in KINDS.items()}
    tenants = {name.replace("_", "-"): tenant for name, tenant in tenants.items()}
    skepd = start_module(
        {**NEIGHBOURS, **tenants, "sources": SOURCES},
        cordons=[cordon(rss_mib=400, drift_mib="unlimited", limits={"maximum": {"cpu_ms": 20000}})],
    )
    for name in NEIGHBOURS:
        assert skepd.get(name).text == "held"
    return skepd


def assert_neighbours_are_untouched(skepd):
    for name in NEIGHBOURS:
        assert skepd.get(name).text == "held"
        seen = skepd.tenant(name)
        assert (seen["kills"], seen["strikes"], seen["apart"]) == (0, 0, None)


def ask_until_stopped(skepd, name):
    """The last answer may be a good one: the limit also counts after a request, whose sizes decide where it is met first."""
    for _ in range(100):
        answer = skepd.get(name)
        if answer.text != "kept" or re.search(STOPPED.format(name), skepd.log()):
            return answer
    raise AssertionError(f"{name} may keep what it likes")


@counts_memory
@pytest.mark.parametrize("kind", KINDS)
def test_memory_of_each_kind_counts_against_the_limits_of_who_keeps_it(hive, kind):
    pid, name = hive.worker()["pid"], kind.replace("_", "-")
    answer = ask_until_stopped(hive, name)
    assert answer.text in ("kept", "refused") or answer.code == "mem_isolate"
    hive.wait_log(STOPPED.format(name))
    assert hive.worker()["pid"] == pid
    assert_neighbours_are_untouched(hive)


# V8 makes a rope (a string of parts) flat, in the heap, wherever it has to look into it.
LEAP = 'globalThis.rope = "a".repeat(2 ** 27);'
AGE = f"{LEAP} for (let i = 0; i < 2e6; i++) globalThis.last = new Array(30);"
SAVED_LEAPS = {
    "compared": f'{LEAP} return new Response(String(rope === rope.slice(1) + "a"));',
    "kept": f"{LEAP} rope.charCodeAt(5); for (;;) globalThis.last = new Array(30);",
    "array": "globalThis.a = new Array(8e6).fill(1); for (;;) globalThis.last = new Array(30);",
    "expression": f"{LEAP} new RegExp(rope);",
}
FATAL_LEAPS = {
    "key": f"{LEAP} ({{}})[rope];",
    "logged_key": f"{LEAP} console.log({{ [rope]: 1 }});",
    "symbol": f"{LEAP} Symbol.for(rope);",
    "old": f"{AGE} rope.charCodeAt(5);",
    "old_clone": f"{AGE} structuredClone([rope]);",
}
WAITS = """
    console.log("entered"); await new Promise((resolve) => setTimeout(resolve, 500));
    return new Response("done");
"""


def leaper(body):
    limits = {"heap_mib": 32, "cpu_ms": 10000}
    return {"limits": limits, "files": {"worker.js": script(body + 'return new Response("ok");')}}


@pytest.mark.skipif(IS_SANITIZED, reason="without V8")
@pytest.mark.parametrize("name", SAVED_LEAPS)
def test_heap_that_leaps_past_its_limit_ends_the_isolate_only(start, name):
    skepd = start({"leaps": leaper(SAVED_LEAPS[name]), "waits": {"files": {"worker.js": script(WAITS)}}})
    pid = skepd.worker()["pid"]
    with skepd.connect() as connection:
        connection.send_head("POST", "waits.test", headers=[("Content-Length", 0)])
        skepd.wait_log("entered")
        assert skepd.get("leaps").code == "mem_isolate"
        assert connection.read_response().text == "done"
    assert skepd.worker()["pid"] == pid
    assert (skepd.tenant("leaps")["kills"], skepd.tenant("waits")["strikes"]) == (0, 0)


@pytest.mark.skipif(IS_SANITIZED, reason="without V8")
@pytest.mark.parametrize("name", FATAL_LEAPS)
def test_who_has_v8_end_the_worker_by_one_string_is_named(start, name):
    skepd = start({"leaps": leaper(FATAL_LEAPS[name]), "waits": {"files": {"worker.js": script(WAITS)}}})
    pid = skepd.worker()["pid"]
    with skepd.connect() as connection:
        connection.send_head("GET", "waits.test")
        skepd.wait_log("entered")
        assert skepd.get("leaps").code == "mem_isolate"
        assert connection.read_response().text == "done"
    assert not is_alive(pid)
    assert skepd.tenant("leaps")["kills"] == 1
    seen = skepd.tenant("waits")
    assert (seen["kills"], seen["strikes"], seen["apart"]) == (0, 0, None)
    assert skepd.stats()["replayed"] == 1


@pytest.mark.skipif(IS_SANITIZED, reason="without V8")
def test_who_has_v8_end_workers_by_strings_is_apart_after_three_and_then_has_strikes(start):
    skepd = start({"leaps": leaper(FATAL_LEAPS["key"]), "honest": {"files": {"worker.js": script(
        'return new Response("ok");')}}})
    for _ in range(3):
        assert skepd.get("honest").text == "ok"
        assert skepd.get("leaps").code == "mem_isolate"
    skepd.wait_log(r"\[leaps\] gets a worker of its own: 3 strikes")
    assert skepd.get("leaps").code == "mem_isolate"
    wait_for(lambda: skepd.tenant("leaps")["strikes"] == 1, "a death that only it can have caused")
    assert skepd.get("honest").text == "ok"
    seen = skepd.tenant("honest")
    assert (seen["kills"], seen["strikes"], seen["apart"]) == (0, 0, None)


# Mappings (65,530, vm.max_map_count) and addresses (47 bits) of the process; both can be used up with next to no memory.
HOARDS = {
    "mappings": "new ArrayBuffer(1, { maxByteLength: 8192 })",
    "addresses": "new WebAssembly.Memory({ initial: 0 })",
}


@pytest.mark.skipif(IS_SANITIZED, reason="without V8")
@pytest.mark.parametrize("kind", HOARDS)
def test_tenants_that_hoard_what_is_the_process_s_leave_enough_to_their_neighbours(start, kind):
    hoarder = script(f"""
        globalThis.kept ??= [];
        const more = Number(new URL(request.url).searchParams.get("more"));
        try {{ for (let i = 0; i < more; i++) kept.push({HOARDS[kind]}); }} catch (e) {{
            if (e.name !== "RangeError") throw e;
        }}
        return new Response(`${{kept.length}}`);
    """)
    honest = script("""
        const arrays = [];
        for (let i = 0; i < 200; i++) arrays.push(new Array(20000).fill(i));
        const memory = new WebAssembly.Memory({ initial: 1 });
        return new Response(`${arrays.length} ${memory.buffer.byteLength}`);
    """)
    limits = {"cpu_ms": 20000}
    hoarders = [f"hoarder{i}" for i in range(6)]
    skepd = start(
        {
            **{name: {"limits": limits, "files": {"worker.js": hoarder}} for name in hoarders},
            "honest": {"limits": limits, "files": {"worker.js": honest}},
        },
        cordons=[cordon(jit="on", solitary=0)],  # nobody goes apart
    )
    assert skepd.get("honest").text == "200 65536"
    pid = skepd.worker()["pid"]
    for name in hoarders:
        for _ in range(10):
            assert skepd.get(name, "/?more=3000").status == 200
            assert skepd.get("honest").text == "200 65536"
    assert skepd.worker()["pid"] == pid
    assert skepd.tenant("honest")["kills"] == 0


@counts_memory
def test_sources_that_a_tenant_has_count_against_its_limits(hive):
    assert hive.get("sources").code == "mem_isolate"
    assert_neighbours_are_untouched(hive)


@needs_hostile_worker
def test_who_keeps_memory_that_nobody_accounts_for_is_separated_within_three_deaths(start):
    """Native code keeps the memory. The honest tenants are not blamed, though each may hold more by the accounts."""
    names = ["a", "b", "c"]
    honest = {name: {"files": {"worker.js": "honest\n"}} for name in names}
    skepd = start({"hoards": {"files": {"worker.js": "hoards\n"}}, **honest}, worker=WORKER,
                  cordons=[cordon(rss_mib=128, drift_mib="unlimited", solitary=4)])
    for name in names:
        assert skepd.get(name).status == 200
    shared = skepd.worker()["number"]
    for _ in range(20):
        skepd.get("hoards")
        if skepd.tenant("hoards")["strikes"] > 0:
            break
    seen = skepd.tenant("hoards")
    assert seen["strikes"] > 0  # in a worker of its own, where no other tenant can have done it
    deaths = sum(w["restarts"] for w in skepd.workers() if w["number"] == shared)
    assert deaths <= 3
    for name in names:
        wait_for(lambda name=name: skepd.get(name).status == 200, "it to be answered")
        seen = skepd.tenant(name)
        assert (seen["kills"], seen["strikes"]) == (0, 0)
        wait_for(lambda name=name: skepd.tenant(name)["apart"] is None, "it to be cleared")
