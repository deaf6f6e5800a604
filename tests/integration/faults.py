# SPDX-License-Identifier: Apache-2.0
"""Tenants with the faults that tenant code can have: one for each row of the table of faults, so that the
strikes of one are not another's. test_faults.py says what must happen; chaos.py runs them all at once."""

import signal

from harness import script

# A long grace for faults that V8 stops: on a busy machine the stop may come late, and must still be soft.
SOFTLY = {"cpu_ms": 30, "grace_ms": 2000}
HARDLY = {"cpu_ms": 30, "grace_ms": 50}
THROWN = (500, "exception")


def wasm_module(*sections):
    """An array of bytes as JavaScript: the header and sections of (id, bytes)."""
    data = b"\0asm\1\0\0\0"
    for number, content in sections:
        data += bytes([number]) + leb128(len(content)) + content
    return data


def leb128(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


# (module (func (export "f") (loop (br 0))))
WASM_LOOP = wasm_module(
    (1, b"\1\x60\0\0"), (3, b"\1\0"), (7, b"\1\1f\0\0"), (10, b"\1\7\0\3\x40\x0c\0\x0b\x0b")
)


def many_functions(count, body_bytes):
    """(func) count times, each with so many bytes of code."""
    code = b"\0" + b"\x01" * (body_bytes - 2) + b"\x0b"  # no locals, nop …, end
    functions = leb128(count) + b"\0" * count
    return wasm_module(
        (1, b"\1\x60\0\0"), (3, functions), (10, leb128(count) + (leb128(len(code)) + code) * count)
    )


# ---- rows: name -> body of the handler

SOFT = {
    "loop": "for (;;);",
    "getters": "const o = { get x() { for (;;); } }; o.x;",
    "getters_in_a_loop": "const o = { get x() { return 1; } }; for (;;) o.x;",
    "to_string": "const o = { toString() { for (;;); } }; return new Response(o);",
    "prepare_stack_trace": "Error.prepareStackTrace = () => { for (;;); }; new Error().stack;",
    "stack_of_thrown": 'const e = new Error("x");'
    'Object.defineProperty(e, "stack", { get() { for (;;); } }); throw e;',
    "finally": "for (;;) { try { for (;;); } finally { continue; } }",
    "catch": "for (;;) { try { for (;;); } catch { } }",
    "regexp": 'return new Response(/(a+)+$/.test("a".repeat(40) + "b"));',
    "microtasks": "const f = () => Promise.resolve().then(f); f(); await new Promise(() => {});",
    "queued_microtasks": "const f = () => queueMicrotask(f); f(); await new Promise(() => {});",
    "awaits": "for (;;) await null;",
    "sort_comparator": "const a = Array.from({ length: 1e5 }, (_, i) => i);"
    "for (;;) a.sort((x, y) => y - x);",
    "wasm_loop": f"const m = new WebAssembly.Module(new Uint8Array({list(WASM_LOOP)}));"
    "new WebAssembly.Instance(m).exports.f();",
    "timers": "const f = () => { for (let i = 0; i < 1e6; i++); setTimeout(f, 0); }; f();"
    "await new Promise(() => {});",
    "stream": "return new Response(new ReadableStream({ pull() { for (;;); } }));",
    "console": "for (;;) console.log({ get x() { return 1; } });",
}

HARD = {
    "index_of": "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);",
    "includes": "Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1);",
}

# Random numbers, made by builtins so that the budget ends in the builtin under test.
NOISE = (
    "const a = new Float64Array(2 ** 23); for (let i = 0; i < 1024; i++) a[i] = Math.random();"
    "for (let n = 1024; n < a.length; n *= 2) a.copyWithin(n, 0, n);"
)
# Builtins that look at the terminate flag late, or only between two calls. The stage that ends
# them depends on V8's version and on how far they are when the grace is over.
SLOW = {
    "sparse_reverse": "const a = []; a.length = 2 ** 32 - 1; a[0] = 1; a.reverse();",
    "typed_sort": f"{NOISE} for (;;) {{ a.sort(); a.reverse(); }}",
    "replace_all": 'const s = "ab".repeat(2 ** 22); for (;;) s.replaceAll("a", "$&$&");',
    "entries": "const a = new Array(3e6).fill(0); for (;;) Object.entries(a);",
    "sort": 'const a = "7,3,9,1,8,2,6,4,5,".repeat(3e6 / 9).split(","); for (;;) a.sort().reverse();',
    "copy_within": "const a = new Uint8Array(6e7); for (;;) a.copyWithin(0, 1);",
    "normalize": 'const s = "A\\u030a\\u0323".repeat(2 ** 21);'
    'for (;;) { s.normalize("NFC"); s.normalize("NFKD"); }',
    "encode_uri": 'const s = "\\u00e9".repeat(2 ** 22); for (;;) encodeURIComponent(s);',
    "typed_fill": "const a = new Float64Array(7e6); for (let i = 0; ; i++) a.fill(i);",
    "json_parse": 'const s = `[${"1,".repeat(5e6)}1]`; for (;;) JSON.parse(s);',
    "intl": 'for (;;) new Intl.DateTimeFormat("de", { dateStyle: "full" }).format(new Date(0));',
    "locale_compare": 'const a = Array.from({ length: 1e5 }, (_, i) => `${i}`);'
    "for (;;) a.sort(new Intl.Collator().compare).reverse();",
    "bigint": "let b = 3n ** (2n ** 20n); for (;;) b * b;",
}
ROOMY = {"heap_mib": 1024, "external_mib": 256}

REFUSED = {
    "recursion": "const f = (n) => f(n + 1) + 1; f(0);",
    "recursive_getter": "const o = { get x() { return this.x; } }; o.x;",
    "recursive_to_string": "const o = { toString() { return `${o}`; } }; `${o}`;",
    "proxies": "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x;",
    "parser_depth": 'new RegExp("(".repeat(1e5) + ")".repeat(1e5));',
    "deep_json": 'JSON.parse("[".repeat(1e6));',
    "deep_json_out": "let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; JSON.stringify(o);",
    "atomics_wait": "Atomics.wait(new Int32Array(new ArrayBuffer(4)), 0, 0);",
    "eval": 'eval("1;".repeat(1e7));',
    "new_function": 'new Function("1;".repeat(1e7));',
    "long_string": 'let s = "x"; for (;;) s += s;',
    "long_repeat": '"x".repeat(2 ** 30);',
    "long_join": 'new Array(2 ** 24).join("x".repeat(2 ** 10));',
    "long_array": "new Array(2 ** 32);",
}

# A recursion that goes through our C++ or V8's in each turn.
NATIVE_STACK = {
    "headers": "const o = { toString() { return new Headers([['a', o]]).get('a'); } }; `${o}`;",
    "url": "const o = { toString() { return new URL(o).href; } }; `${o}`;",
    "response": "const o = { toString() { new Response(o); return ''; } }; `${o}`;",
    "console": "const o = { toString() { console.log(`${o}`); return ''; } }; console.log(`${o}`);",
    "console_proxy": "const p = new Proxy({}, { get() { console.log(p); }, ownKeys() { console.log(p);"
    "return []; } }); console.log(p); const f = () => f(); f();",
    "clone": "const o = { get x() { return structuredClone(o); } }; structuredClone(o);",
    "decoder": "const o = { get fatal() { return new TextDecoder('utf-8', o); } };"
    "new TextDecoder('utf-8', o);",
    "to_json": "const o = { toJSON() { return JSON.stringify(o); } }; JSON.stringify(o);",
    "replace": 'const f = () => "a".replace(/a/, f); f();',
    "sort": "const f = () => [1, 2].sort(f); f();",
    "reflect": "const f = () => Reflect.apply(f, null, []); f();",
    "proxy_trap": "const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x;",
    "regexp": "const f = () => /(a|b)*c/.exec({ toString: f }); f();",
}

HEAP_GROWS = {
    "array": "const a = []; for (;;) a.push({ n: a.length, l: [a.length] });",
    "object": "const o = {}; for (let i = 0; ; i++) o[`key ${i}`] = { i };",
    "strings": 'const a = []; for (;;) a.push(`${a.length}`.padStart(100, "x"));',
    "closures": "let f = () => 0; for (;;) { const g = f; f = () => g; }",
    "promises": "const a = []; for (;;) a.push(new Promise(() => {}).then(() => {}));",
}

# One allocation past the limit. V8 can only end the process, unless a collection comes between: then the request
# is stopped like those that grow. The version of V8 decides.
HEAP_JUMPS = {
    "array_fill": "new Array(2 ** 27).fill(0);",
    "spread": "[...new Uint8Array(2 ** 26)];",
    "array_from": "Array.from({ length: 2 ** 31 });",
    "map": "const m = new Map(); for (let i = 0; ; i++) m.set(i, i);",
}

EXTERNAL = {
    "array_buffers": "for (let i = 0; i < 2000; i++) kept.push(new Uint8Array(2 ** 20).fill(1));",
    "array_buffer_grows": "const b = new ArrayBuffer(1, { maxByteLength: 2 ** 30 });"
    "for (let n = 1; ; n *= 2) { b.resize(n); new Uint8Array(b).fill(1); }",
    "wasm_memory": "const m = new WebAssembly.Memory({ initial: 1 });"
    "for (;;) { m.grow(16); new Uint8Array(m.buffer).fill(1); }",
    "wasm_memory_at_once": "new WebAssembly.Memory({ initial: 25600 });",
    "wasm_shared_memory": "for (;;) kept.push(new WebAssembly.Memory({ initial: 16, maximum: 16,"
    "shared: true }));",
    "wasm_memories": "for (;;) kept.push(new WebAssembly.Memory({ initial: 16 }));",
}

# Headers of a Response that is refused where it is made, or where it is sent.
BAD_HEADERS = {
    "crlf": ('new Response("x", { headers: { a: "b\\r\\nSet-Cookie: c" } })', THROWN),
    "nul": ('new Response("x", { headers: { a: "b\\0c" } })', THROWN),
    "name": ('new Response("x", { headers: { "a: b\\r\\nc": "d" } })', THROWN),
    "length_short": ('new Response("xxx", { headers: { "Content-Length": "1" } })', None),
    "length_and_coding": (
        'new Response("xxx", { headers: { "Content-Length": "9", "Transfer-Encoding": "chunked" } })',
        None,
    ),
    "status": ('new Response("x", { status: 101 })', THROWN),
    "many": (
        'new Response("x", { headers: Array.from({ length: 5e4 }, (_, i) => [`a${i}`, "b"]) })',
        (502, "bad_response"),
    ),
    "large": ('new Response("x", { headers: { a: "b".repeat(2 ** 20) } })', (502, "bad_response")),
}

SIGNALS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP]

STUCK = HARD["index_of"]
AFTER_RESPONSE = {
    "wait_until": "ctx.waitUntil((async () => { await sleep(1); for (;;); })());",
    "wait_until_stuck": f"ctx.waitUntil((async () => {{ await sleep(1); {STUCK} }})());",
    "timer": "ctx.waitUntil(sleep(1000)); setTimeout(() => { for (;;); }, 1);",
    "timer_stuck": f"ctx.waitUntil(sleep(1000)); setTimeout(() => {{ {STUCK} }}, 1);",
}

POLLUTION = """
for (const it of [Array, Map, Set, WeakMap, Promise, Uint8Array, Object, Function, String,
                  Headers, Request, Response, ReadableStream, URL, RegExp]) {
    for (const key of Reflect.ownKeys(it.prototype)) {
        if (key === "constructor") continue;
        try {
            Object.defineProperty(it.prototype, key, { get() { throw new Error("polluted"); },
                                                       set() { throw new Error("polluted"); } });
        } catch {}
    }
}
Object.defineProperty(Object.prototype, "0", { get() { throw new Error("zero"); } });
Object.prototype.then = (f) => f("forged");
Object.prototype.get = Object.prototype.set = Object.prototype.value = () => "forged";
"""

# ---- tenants: one for each row, so that the strikes of one are not another's


def row_name(kind, name):
    return f"{kind}-{name}".replace("_", "-")


def row(body, **limits):
    """A handler that runs the body on /, and on /n counts the requests that this isolate has served."""
    source = (
        "let served = 0; const kept = []; const sleep = (ms) => new Promise((r) => setTimeout(r, ms));"
        + script(
            'if (new URL(request.url).pathname === "/n") return new Response(++served);'
            f'{body}\nreturn new Response("ok");'
        )
    )
    return {"limits": {**SOFTLY, **limits}, "files": {"worker.js": source}}


def caught(body):
    return f"try {{ {body} }} catch (e) {{ kept.length = 0; return new Response(e.name); }}"


def all_rows():
    tenants = {}

    def add(kind, cases, **limits):
        for name, body in cases.items():
            tenants[row_name(kind, name)] = row(body, **limits)

    add("soft", SOFT)
    add("hard", HARD, **HARDLY)
    add("slow", SLOW, **ROOMY, cpu_ms=100, grace_ms=50)
    add("refused", REFUSED, cpu_ms=5000)
    add("native", NATIVE_STACK, cpu_ms=500)
    add("grows", HEAP_GROWS, cpu_ms=10000, heap_mib=32)
    add("jumps", HEAP_JUMPS, cpu_ms=10000, external_mib=128)
    add("external", {k: caught(v) for k, v in EXTERNAL.items()}, cpu_ms=5000, external_mib=32)
    add("header", {k: f"return {v[0]};" for k, v in BAD_HEADERS.items()}, cpu_ms=5000)
    for name, body in AFTER_RESPONSE.items():
        limits = HARDLY if name.endswith("stuck") else SOFTLY
        tenants[row_name("after", name)] = row(body, **limits)
    tenants["top-loop"] = {"limits": {"cpu_startup_ms": 50}, "files": {"worker.js": "for (;;);\n"}}
    tenants["top-stuck"] = {
        "limits": {"cpu_startup_ms": 50, "grace_ms": 50},
        "files": {"worker.js": STUCK + "\n"},
    }
    for name in ("version-loop", "version-stuck"):
        tenants[name] = row("")
    tenants["big-source"] = {
        "limits": {"cpu_startup_ms": 10, "grace_ms": 50},
        "files": {"worker.js": "let x = [" + "{a:[1,2,'b']}," * 1100000 + "];\n"},
    }
    tenants["deep-source"] = {"files": {"worker.js": "(" * 500000 + ")" * 500000}}
    tenants["wasm-big"] = row("")
    tenants["wasm-functions"] = {
        "limits": {"cpu_startup_ms": 2000, "external_mib": 128},  # V8 keeps 400 bytes for each
        "files": {
            "worker.js": 'import module from "./big.wasm";' + script("return new Response('ok');"),
            "big.wasm": many_functions(200000, 60),
        },
    }
    tenants["timer-flood"] = row(
        caught("for (let n = 0; ; n++) setTimeout(() => {}, 60000);"), cpu_ms=1000, timers=100
    )
    tenants["console-flood"] = row(
        'for (let i = 0; i < 3000; i++) console.log("flood", i, "x".repeat(100));',
        cpu_ms=2000,
        log_kib=4,
    )
    tenants["response-flood"] = row(
        "const part = new Uint8Array(65536); let n = 0;"
        "return new Response(new ReadableStream({ pull(c) { c.enqueue(part); } }));",
        cpu_ms=5000,
        idle_ms=200,
    )
    tenants["never"] = row("await new Promise(() => {});", wall_ms=100)
    tenants["late"] = {**row("for (;;);", cpu_ms=25), "after_stop": "reuse"}
    tenants["polluter"] = {"files": {"worker.js": POLLUTION + row("")["files"]["worker.js"]}}
    tenants["absent"] = row(
        "return Response.json([typeof SharedArrayBuffer, typeof FinalizationRegistry, typeof WeakRef]);"
    )
    tenants["absent-shared"] = row(
        caught(
            "const m = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });"
            "return new Response(m.buffer.constructor.name);"
        )
    )
    for number in SIGNALS:
        tenants[f"signal-{number.name.lower()}"] = row("await sleep(20);")
    return tenants
