# SPDX-License-Identifier: Apache-2.0
"""Faulty tenants: each fault has its status and code; the reason goes to the tenant's log and
never to the client."""

import json

import pytest

from harness import fd_count, script, wait_for

HELLO = script('return new Response("hello\\n")')

# source, status, code, text of the log
WRONG = {
    "syntax_error": ("export default { fetch( { };\n", 503, "boot_failed", "SyntaxError"),
    "throws_on_load": ('throw new Error("se" + "cret");\n', 503, "boot_failed", "Error: secret"),
    "rejects_on_load": (
        'await Promise.reject(new Error("se" + "cret"));\n' + HELLO,
        503,
        "boot_failed",
        "Error: secret",
    ),
    "await_for_ever": ("await new Promise(() => {});\n" + HELLO, 503, "boot_failed", "await"),
    "no_default": ("export const fetch = 1;\n", 503, "boot_failed", "fetch"),
    "no_fetch": ("export default { scheduled() {} };\n", 503, "boot_failed", "fetch"),
    "missing_import": ('import "./nowhere.js";\n' + HELLO, 503, "boot_failed", "nowhere.js"),
    "missing_name": (
        'import { nothing } from "./worker.js";\n' + HELLO,
        503,
        "boot_failed",
        "nothing",
    ),
    "bare_import": ('import "left-pad";\n' + HELLO, 503, "boot_failed", "left-pad"),
    "loops_on_load": ("for (;;);\n", 503, "cpu_startup", ""),
    "throws": (script('throw new Error("se" + "cret");'), 500, "exception", "Error: secret"),
    "throws_null": (script("throw null;"), 500, "exception", "null"),
    "throws_getter": (
        script('throw { get stack() { throw 1; }, toString() { throw 2; } };'),
        500,
        "exception",
        "",
    ),
    "rejects": (
        script('return Promise.reject(new TypeError("se" + "cret"));'),
        500,
        "exception",
        "TypeError: secret",
    ),
    "throws_later": (
        script('await new Promise((r) => setTimeout(r, 5)); throw new Error("se" + "cret");'),
        500,
        "exception",
        "Error: secret",
    ),
    "overflows": (
        script("const f = () => f() + 1; return new Response(f());"),
        500,
        "exception",
        "RangeError",
    ),
    "returns_nothing": (script(""), 502, "bad_response", "Response"),
    "returns_string": (script('return "text";'), 502, "bad_response", "Response"),
    "returns_look_alike": (
        script("return { status: 200, headers: new Headers(), body: null, ok: true };"),
        502,
        "bad_response",
        "Response",
    ),
    "response_used_twice": (
        'const kept = new Response("once");\n' + script("await kept.text(); return kept;"),
        502,
        "bad_response",
        "",
    ),
    "stream_of_wrong_things": (
        script(
            "return new Response(new ReadableStream({ start(c) { c.enqueue({}); c.close(); } }));"
        ),
        None,
        None,
        "",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tenant_gets_its_code_and_a_reason_in_the_log(start, name):
    source, status, code, reason = WRONG[name]
    skepd = start({"wrong": source, "hello": HELLO})
    if status is None:
        with skepd.connect(timeout=5) as connection:
            connection.send_head("GET", "wrong.test")
            with pytest.raises(Exception):
                answer = connection.read_response()
                assert answer.status != 200, "an incomplete body looks complete"
                raise ValueError(answer)
    else:
        answer = skepd.get("wrong")
        assert (answer.status, answer.code) == (status, code)
        assert answer.header("Content-Type") == "application/problem+json"
        assert answer.json()["status"] == status
        assert "secret" not in answer.text
        if reason:
            skepd.wait_log(f"wrong.*{reason}|{reason}.*wrong|{reason}")
    assert skepd.get("hello").text == "hello\n"
    assert skepd.worker()["restarts"] == 0
    skepd.wait_idle()


def test_syntax_error_is_shown_with_file_line_and_source(start):
    source = 'const ok = 1;\n\nconst broken = ;\n' + HELLO
    skepd = start({"wrong": source})
    assert skepd.get("wrong").code == "boot_failed"
    skepd.wait_log(r"worker\.js:3")
    skepd.wait_log(r"const broken = ;")
    assert "worker.js:3" in skepd.tenant("wrong")["last_error"]


def test_handler_that_never_resolves_gets_504(start):
    skepd = start(
        {
            "never": {
                "limits": {"wall_ms": 200},
                "files": {
                    "worker.js": script(
                        'request.signal.addEventListener("abort", () => console.log("told"));'
                        "return new Promise(() => {});"
                    )
                },
            }
        }
    )
    answer = skepd.get("never")
    assert (answer.status, answer.code) == (504, "wall_request")
    skepd.wait_log("told")
    skepd.wait_idle()
    assert skepd.worker()["restarts"] == 0


def test_response_that_stalls_is_cut_off(start):
    skepd = start(
        {
            "stalls": {
                "limits": {"idle_ms": 200},
                "files": {
                    "worker.js": script(
                        "return new Response(new ReadableStream({"
                        '    start(c) { c.enqueue(new TextEncoder().encode("some")); } }));'
                    )
                },
            }
        }
    )
    with skepd.connect(timeout=10) as connection:
        connection.send_head("GET", "stalls.test")
        response = connection.start_response()
        assert response.status == 200
        with pytest.raises((OSError, __import__("http").client.IncompleteRead)):
            response.read()
    skepd.wait_idle()


def test_stream_that_fails_midway_is_cut_off(start):
    skepd = start(
        {
            "fails": script(
                """
                let n = 0;
                return new Response(new ReadableStream({ pull(c) {
                    if (++n > 3) throw new Error("midway");
                    c.enqueue(new Uint8Array(1000));
                } }));
                """
            )
        }
    )
    with skepd.connect(timeout=5) as connection:
        connection.send_head("GET", "fails.test")
        with pytest.raises((OSError, __import__("http").client.HTTPException)):
            answer = connection.read_response()
            assert answer.status == 200, answer
    skepd.wait_log("midway")
    skepd.wait_idle()


# Headers that the Headers class lets pass or not: either way the client must not be misled.
BAD_HEADERS = [
    ("x-a", "one\\r\\ntwo: 3"),
    ("x-a", "one\\ntwo: 3"),
    ("x-a", "nul\\0"),
    ("bad name", "x"),
    ("bad\\r\\nname", "x"),
    ("", "x"),
    ("x:y", "x"),
    ("x-a", "\\u{1F41D}"),
]


@pytest.mark.parametrize("name,value", BAD_HEADERS)
def test_header_that_cannot_be_sent_is_refused(start, name, value):
    skepd = start({"a": script(f'return new Response("x", {{ headers: [["{name}", "{value}"]] }})')})
    with skepd.connect(timeout=5) as connection:
        connection.send_head("GET", "a.test")
        answer = connection.read_response()
        assert answer.code in ("exception", "bad_response")
        assert answer.header("two") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"transfer-encoding": "chunked"},
        {"content-length": "100"},
        {"content-length": "1"},
        {"content-length": "3", "transfer-encoding": "chunked"},
        {"connection": "close, x-secret"},
        {"keep-alive": "timeout=5"},
        {"upgrade": "websocket"},
        {"skep-error": "forged"},
    ],
)
def test_framing_headers_of_a_handler_never_break_the_connection(start, headers):
    skepd = start(
        {
            "a": script(f'return new Response("xyz", {{ headers: {json.dumps(headers)} }})'),
            "hello": HELLO,
        }
    )
    with skepd.connect(timeout=5) as connection:
        connection.send_head("GET", "a.test")
        answer = connection.read_response()
        assert answer.text == "xyz" or answer.code == "bad_response"
        assert answer.code != "forged"
        if answer.header("Connection") != "close":
            assert connection.request("GET", "hello.test").text == "hello\n"


def test_tenant_with_more_than_its_queue_is_told_at_once(start):
    skepd = start(
        {
            "slow": {
                "limits": {"concurrency": 2, "queue": 3, "wall_ms": 10000},
                "files": {
                    "worker.js": script(
                        'console.log("entered"); await new Promise((r) => setTimeout(r, 1000));'
                        'return new Response("done");'
                    )
                },
            },
            "hello": HELLO,
        }
    )
    connections = [skepd.connect() for _ in range(5)]
    for connection in connections:
        connection.send_head("GET", "slow.test")
    wait_for(lambda: skepd.tenant("slow")["queued"] == 3, "the queue to be full")
    answer = skepd.get("slow")
    assert (answer.status, answer.code) == (429, "tenant_busy")
    assert int(answer.header("Retry-After")) >= 1
    assert skepd.get("hello").status == 200
    assert [c.read_response().text for c in connections] == ["done"] * 5
    for connection in connections:
        connection.close()


def test_storm_of_bad_requests_leaves_nothing_behind(start):
    tenants = {name.replace("_", "-"): source for name, (source, *_) in WRONG.items()}
    skepd = start({**tenants, "hello": HELLO})
    names = [name for name in tenants if name not in ("loops-on-load", "await-for-ever")]

    def ask_all():
        for name in names:
            with skepd.connect(timeout=5) as connection:
                connection.send_head("GET", f"{name}.test")
                try:
                    connection.read_response()
                except Exception:
                    pass
            with skepd.connect(timeout=5) as connection:
                connection.send_head("POST", f"{name}.test", headers=[("Content-Length", 100)])
                connection.send(b"some")
                connection.reset()
        with skepd.connect(timeout=5) as connection:
            connection.send(b"\r\n\r\nnonsense\r\n\r\n")
            connection.read_response()
        assert skepd.get("nobody.example").status == 404
        assert skepd.get("hello").status == 200
        skepd.wait_idle()
        wait_for(lambda: skepd.stats()["connections"] == 0, "connections to be closed")

    def count():
        worker = skepd.worker()
        return {
            "skepd's fds": fd_count(skepd.pid),
            "worker's fds": fd_count(worker["pid"]),
            "isolates": sorted(worker["tenants"]),
            "worker": worker["pid"],
        }

    ask_all()
    before = count()
    for _ in range(10):
        ask_all()
    wait_for(lambda: count() == before, f"{before}, not {count()}")
