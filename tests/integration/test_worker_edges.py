# SPDX-License-Identifier: Apache-2.0
"""Less obvious attacks of a hostile tenant on its worker: work that outlives its request,
memory that no heap limit sees, streams that are left alone, files with odd names."""

import os
import random
import time

import pytest

from harness import BIN, IS_SANITIZED, rss_kib, script, wait_for

HELLO = script('return new Response("hello\\n")')


def tenant(source, more=None, **limits):
    return {"limits": limits, "files": {"worker.js": source, **(more or {})}}


def on_path(cases):
    branches = "".join(f'if (path === "/{name}") {{ {body} }}' for name, body in cases.items())
    return script(
        f'const path = new URL(request.url).pathname; {branches} return new Response("ok");'
    )


@pytest.fixture
def one_worker(start):
    """start, with a check that the worker has lived through the test."""
    running = []

    def start_one(tenants, **config):
        skepd = start(tenants, **config)
        running.append((skepd, skepd.worker()["pid"]))
        return skepd

    yield start_one
    for skepd, pid in running:
        assert skepd.worker()["pid"] == pid, "the worker had to be replaced"


# ---- work outside of requests


def test_interval_of_module_code_ends_with_its_budget_and_the_tenant_serves_on(one_worker):
    cases = {"n": "return new Response(++n);", "wait": "await new Promise(() => {});"}
    burn = "setInterval(() => { for (let i = 0; i < 3e6; i++); }, 1);\n"
    skepd = one_worker(
        {"a": {**tenant(burn + "let n = 0;" + on_path(cases), cpu_startup_ms=50, hung_ms="off"),
               "after_stop": "reuse"}}
    )
    with skepd.connect() as waiting, skepd.connect() as connection:
        waiting.send_head("GET", "a.test", "/wait")
        assert connection.request("GET", "a.test", "/n").text == "1"
        skepd.wait_log("timers of module code were stopped")
        assert connection.request("GET", "a.test", "/n").text == "2"


def test_interval_of_an_idle_tenant_stands_still(one_worker):
    source = "let n = 0; setInterval(() => { n++; }, 1);" + script("return new Response(n)")
    skepd = one_worker({"a": source, "b": HELLO})
    assert int(skepd.get("a").text) == 0
    with skepd.connect() as connection:  # time passes, in which the worker is not busy
        for _ in range(100):
            assert connection.request("GET", "b.test").status == 200
    assert int(skepd.get("a").text) <= 1


def test_heap_that_an_interval_of_module_code_fills_ends_the_isolate_only(one_worker):
    grow = "const kept = []; setInterval(() => { for (let i = 0; i < 1e4; i++) kept.push([i]); }, 1);"
    skepd = one_worker(
        {
            "a": tenant(
                grow + on_path({"wait": "await new Promise(() => {})"}),
                heap_mib=16,
                cpu_startup_ms=20000,
            ),
            "hello": HELLO,
        }
    )
    assert skepd.get("a").text == "ok"
    assert skepd.get("a", "/wait").code == "mem_isolate"
    assert skepd.get("a").text == "ok"
    assert skepd.get("hello").status == 200


def test_microtasks_of_a_stopped_request_do_not_run_in_the_next(one_worker):
    late = "Promise.resolve().then(() => { for (;;); }); for (;;);"
    skepd = one_worker({"a": tenant(on_path({"late": late}))})
    for _ in range(3):
        assert skepd.get("a", "/late").code == "cpu_request"
        assert skepd.get("a").text == "ok"


def test_import_of_a_stopped_request_does_not_take_the_place_of_the_next(one_worker):
    cases = {
        "stopped": 'import("./x.js"); for (;;);',
        "y": 'return new Response((await import("./y.js")).default);',
    }
    files = {"x.js": 'console.log("x was run");', "y.js": "export default 'y';"}
    skepd = one_worker({"a": tenant(on_path(cases), files, wall_ms=5000)})
    assert skepd.get("a", "/stopped").code == "cpu_request"
    assert skepd.get("a", "/y").text == "y"
    assert "x was run" not in skepd.log()


def test_module_whose_evaluation_was_stopped_is_evaluated_again(one_worker):
    files = {
        "top.js": 'import "./slow.js"; export { default } from "./leaf.js";',
        "slow.js": "globalThis.runs = (globalThis.runs ?? 0) + 1; if (globalThis.runs === 1) for (;;);",
        "leaf.js": "export default `run ${globalThis.runs}`;",
    }
    source = script('return new Response((await import("./top.js")).default)')
    skepd = one_worker({"a": {**tenant(source, files, wall_ms=5000), "after_stop": "reuse"}})
    assert skepd.get("a").code == "cpu_request"
    assert skepd.get("a").text == "run 2"
    assert skepd.get("a").text == "run 2"


def test_timers_of_one_tenant_cannot_be_counted_by_another(one_worker):
    source = script("return new Response(setTimeout(() => {}, 0))")
    skepd = one_worker({"a": source, "b": source})
    assert [skepd.get(name).text for name in ("a", "a", "b")] == ["1", "2", "1"]


def test_idle_worker_pays_for_intl_before_its_first_tenant_does(one_worker):
    source = script("return new Response(new Date(0).toLocaleString() + (1.5).toLocaleString())")
    # Less than the first use of Intl costs in a process that was not warmed up.
    skepd = one_worker({"a": tenant(source, cpu_ms=8 if not IS_SANITIZED else 50)})
    before = skepd.worker()["cpu_ms"]
    wait_for(lambda: skepd.worker()["cpu_ms"] >= before + 15, "the worker to warm up")
    wait_for(lambda: is_still(lambda: skepd.worker()["cpu_ms"], 1.5), "the worker to be warm", timeout=30)
    assert skepd.get("a").text.startswith("1/1/1970")


def is_still(value, seconds):
    """Whether the value stays as it is for so long; the steps of a worker's warm-up are a second apart."""
    first, end = value(), time.monotonic() + seconds
    while time.monotonic() < end:
        if value() != first:
            return False
        time.sleep(0.01)
    return True


# ---- memory that V8 does not see

UNREAD = {
    "bytes": "return new Response(new Uint8Array(20 << 20));",
    "string": 'return new Response("x".repeat(20 << 20));',
    "chunk": """return new Response(new ReadableStream({ pull(c) {
        const chunk = new Uint8Array(20 << 20);
        Object.defineProperty(chunk, "length", { value: 10 });
        c.enqueue(chunk);
        c.close();
    } }));""",
}


@pytest.mark.skipif(IS_SANITIZED, reason="memory is not the same under AddressSanitizer")
@pytest.mark.parametrize("kind", UNREAD)
def test_body_that_a_client_does_not_read_stays_in_the_tenants_memory(one_worker, kind):
    skepd = one_worker({"a": tenant(script(UNREAD[kind]), external_mib=64, cpu_ms=5000)})
    before = rss_kib(skepd.worker()["pid"])
    connections = [skepd.connect(receive_buffer=4096) for _ in range(20)]
    try:
        for connection in connections:
            connection.send_head("GET", "a.test")
        statuses = [connection.start_response().status for connection in connections]
        grown = rss_kib(skepd.worker()["pid"]) - before
    finally:
        for connection in connections:
            connection.reset()
    print(statuses, f"grown by {grown} KiB")
    assert 200 in statuses
    assert grown < 192 * 1024  # 64 MiB of each kind, and some for V8
    skepd.wait_idle()


def test_array_that_lies_about_its_length_is_sent_whole(one_worker):
    chunk = UNREAD["chunk"].replace("20 << 20", "3 << 20")
    skepd = one_worker({"a": tenant(script(chunk), cpu_ms=5000)})
    assert skepd.get("a").body == bytes(3 << 20)


def test_tenant_that_changes_the_length_of_arrays_gets_no_more_credit(one_worker):
    lie = """
    Object.defineProperty(Object.getPrototypeOf(Uint8Array.prototype), "length",
        { get() { return 1e9; } });
    """
    read = "let n = 0; for await (const part of request.body) n += part.byteLength;"
    skepd = one_worker(
        {"a": tenant(lie + script(f"{read} return new Response(String(n));"), cpu_ms=5000)}
    )
    assert skepd.post("a", bytes(1_000_000)).text == "1000000"


def test_import_specifier_that_is_too_long_is_refused(one_worker):
    body = """
    const names = await Promise.all([0, 1, 2].map((i) =>
        import("./" + i + "x".repeat(1 << 20)).catch((error) => error.message)));
    return Response.json(names);
    """
    skepd = one_worker({"a": script(body)})
    assert skepd.get("a").json() == ["The import specifier is too long"] * 3


def test_string_that_cannot_be_encoded_is_a_range_error(one_worker):
    body = """
    try { return new Response(new TextEncoder().encode("x".repeat(2 ** 29 - 24)).length); }
    catch (error) { return new Response(error.name); }
    """
    skepd = one_worker({"a": script(body)})
    assert skepd.get("a").text == "RangeError"


# ---- bodies and their ends


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 262143, 262144, 262145, 1_000_000])
def test_body_of_any_size_around_the_window_is_exact(one_worker, size):
    cases = {
        "bytes": f"return new Response(new Uint8Array({size}).fill(97));",
        "string": f'return new Response("a".repeat({size}));',
        "wide": f'return new Response("\\u20ac".repeat({size}));',
        "stream": f"return new Response(new Response(new Uint8Array({size}).fill(97)).body);",
        "echo": "return new Response(request.body);",
    }
    skepd = one_worker({"a": tenant(on_path(cases), cpu_ms=5000)})
    with skepd.connect() as connection:
        for name in ("bytes", "string", "stream"):
            answer = connection.request("GET", "a.test", f"/{name}")
            assert answer.body == b"a" * size, name
        assert connection.request("GET", "a.test", "/wide").body == "\u20ac".encode() * size
        body = random.Random(size).randbytes(size)
        assert connection.request("POST", "a.test", "/echo", body=body).body == body


def test_large_body_with_its_length_said_keeps_the_connection(one_worker):
    body = 'return new Response("x".repeat(1e6), { headers: { "content-length": "1000000" } });'
    skepd = one_worker({"a": tenant(script(body), cpu_ms=5000)})
    with skepd.connect() as connection:
        for _ in range(3):
            answer = connection.request("GET", "a.test")
            assert answer.header("Content-Length") == "1000000"
            assert answer.body == b"x" * 1_000_000


def test_empty_chunks_neither_end_nor_stall_a_response(one_worker):
    body = """
    let n = 0;
    return new Response(new ReadableStream({ async pull(c) {
        await new Promise((r) => setTimeout(r, 0));
        if (n++ === 100) c.close();
        else c.enqueue(n % 10 === 0 ? new Uint8Array([97]) : new Uint8Array(0));
    } }));
    """
    skepd = one_worker({"a": tenant(script(body), cpu_ms=5000)})
    assert skepd.get("a").text == "a" * 10


def test_head_of_an_endless_stream_is_answered_and_the_stream_cancelled(one_worker):
    body = """
    return new Response(new ReadableStream({
        pull(c) { c.enqueue(new Uint8Array(65536)); },
        cancel(reason) { console.log(`cancelled: ${reason.name}`); },
    }), { headers: { "x-kind": "endless" } });
    """
    skepd = one_worker({"a": script(body), "hello": HELLO})
    with skepd.connect(timeout=5) as connection:
        answer = connection.request("HEAD", "a.test")
        assert (answer.status, answer.header("x-kind")) == (200, "endless")
        assert connection.request("GET", "hello.test").text == "hello\n"
    skepd.wait_log("cancelled: AbortError")
    skepd.wait_idle()


def test_stream_that_waits_for_credit_is_cancelled_when_its_client_leaves(one_worker):
    stream = """
    return new Response(new ReadableStream({
        pull(c) { pulled++; c.enqueue(new Uint8Array(65536)); },
        cancel() { console.log("cancelled"); },
    }));
    """
    source = "let pulled = 0;" + on_path({"stream": stream, "n": "return new Response(pulled);"})
    skepd = one_worker({"a": tenant(source, cpu_ms=5000)})
    with skepd.connect(receive_buffer=4096) as connection:
        connection.send_head("GET", "a.test", "/stream")
        assert connection.start_response().status == 200
        wait_for(lambda: is_still(lambda: skepd.get("a", "/n").text, 0.3), "the stream to stand")
        connection.reset()
    skepd.wait_log("cancelled")
    skepd.wait_idle()


def test_hundreds_of_requests_wait_in_one_isolate_at_once(one_worker):
    body = "await new Promise((r) => setTimeout(r, 50)); return new Response(request.url);"
    skepd = one_worker({"a": tenant(script(body), concurrency=300, queue=10)})
    connections = [skepd.connect() for _ in range(300)]
    try:
        for n, connection in enumerate(connections):
            connection.send_head("GET", "a.test", f"/{n}")
        for n, connection in enumerate(connections):
            assert connection.read_response().text == f"http://a.test/{n}"
    finally:
        for connection in connections:
            connection.close()
    skepd.wait_idle()


def test_stream_whose_state_throws_is_an_exception_and_not_a_wait(one_worker):
    body = """
    const stream = new ReadableStream({ pull(c) { c.close(); } });
    const response = new Response(stream);
    Object.defineProperty(stream, "_disturbed", { get() { throw new Error("not for you"); } });
    return response;
    """
    skepd = one_worker({"a": tenant(script(body), wall_ms=3000)})
    assert skepd.get("a").code == "bad_response"


def test_upload_into_a_stream_that_the_tenant_broke_ends_the_request(one_worker):
    body = """
    const stream = request.body;
    stream.getReader().read();
    await null; // the stream has started, and waits for its first part
    stream._readableStreamController.close();
    console.log("closed");
    await new Promise(() => {});
    """
    skepd = one_worker({"a": tenant(script(body), wall_ms=3000)})
    with skepd.connect() as connection:
        connection.send_head("POST", "a.test", headers=[("Transfer-Encoding", "chunked")])
        skepd.wait_log("closed")
        connection.send_chunk(b"more")
        assert connection.read_response("POST").code == "exception"


# ---- files


def test_file_whose_name_is_not_utf8_fails_its_own_tenant_only(one_worker):
    files = {os.fsdecode(b"caf\xe9.txt"): "x", "lib/after.js": "1"}
    skepd = one_worker({"a": tenant(HELLO, files), "hello": HELLO})
    assert skepd.get("hello").status == 200
    assert skepd.get("a").code == "no_route"  # the folder is refused when it is read
    skepd.wait_log(r"caf\\xe9.txt")
    assert skepd.get("hello").status == 200


def test_byte_order_marks_and_crlf_are_no_part_of_what_is_imported(one_worker):
    mark = b"\xef\xbb\xbf"
    source = (
        "import data from './data.json';\r\nimport text from './text.txt';\r\n"
        "import './empty.js';\r\nimport empty from './empty.txt';\r\n"
        + script("return Response.json([data, text, empty])")
    )
    files = {
        "data.json": mark + b'{"a": 1}\r\n',
        "text.txt": mark + "h\u00e9\r\n".encode(),
        "empty.js": b"",
        "empty.txt": b"",
    }
    skepd = one_worker({"a": tenant(mark + source.encode(), files)})
    assert skepd.get("a").json() == [{"a": 1}, "h\u00e9\r\n", ""]


def test_modules_in_a_chain_of_hundreds_and_in_cycles_are_loaded(one_worker):
    chain = {f"m{i}.js": f'export {{ n }} from "./m{i + 1}.js";' for i in range(900)}
    chain["m900.js"] = 'import { name } from "./worker.js"; export const n = () => name;'
    source = 'import { n } from "./m0.js"; export const name = "cycle";' + script(
        "return new Response(n())"
    )
    skepd = one_worker({"a": tenant(source, chain)})
    assert skepd.get("a").text == "cycle"


def test_top_level_await_ends_with_its_wall_time(one_worker):
    source = "await new Promise((r) => setTimeout(r, 1e9));\n" + HELLO
    skepd = one_worker({"a": tenant(source, cpu_startup_ms=20), "hello": HELLO})
    assert skepd.get("a").code == "cpu_startup"
    skepd.wait_log("top-level await took too long")
    assert skepd.get("hello").status == 200


def test_more_tenants_than_a_worker_has_places_for_are_all_served(one_worker):
    skepd = one_worker({f"t{n}": HELLO for n in range(260)})
    with skepd.connect() as connection:
        for n in [*range(260), 0, 1, 2]:
            assert connection.request("GET", f"t{n}.test").text == "hello\n", n


def test_worker_of_another_release_is_named(start):
    skepd = start({"a": script("return new Response('x')")}, worker=BIN / "tests" / "old_worker", ready=[])
    skepd.wait_log(
        r"worker \d+ \(pid \d+\) speaks version 1 of the protocol, this skepd version \d+: "
        "skepd and skep-worker are not of one release"
    )
