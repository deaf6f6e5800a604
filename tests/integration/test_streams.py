# SPDX-License-Identifier: Apache-2.0
"""Bodies: streamed both ways, byte-exact, and never whole in skepd's memory."""

import hashlib
import random
import threading

import pytest

from harness import IS_SANITIZED, rss_kib, script, wait_for

GIB = 2**30
WIDE = {
    "cpu_ms": 60000,
    "wall_ms": 120000,
    "request_mib": 2048,
    "response_mib": 2048,
    "external_mib": 128,
}


def wide(source):
    return {"limits": WIDE, "files": {"worker.js": source}}


@pytest.mark.parametrize("chunked", [False, True])
def test_20_mb_echo_is_byte_exact(start, chunked):
    skepd = start({"echo": wide(script("return new Response(request.body)"))})
    body = random.Random(7).randbytes(20_000_003)
    with skepd.connect() as connection:
        length = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", len(body))
        connection.send_head("POST", "echo.test", headers=[length])

        def upload():
            if not chunked:
                return connection.send(body)
            sizes, start = random.Random(8), 0
            while start < len(body):
                size = sizes.choice([1, 2, 100, 65535, 65536, 65537, 300_000])
                connection.send_chunk(body[start : start + size])
                start += size
            connection.send(b"0\r\n\r\n")

        sender = threading.Thread(target=upload)
        sender.start()
        answer = connection.read_response()
        sender.join()
    assert answer.status == 200
    assert len(answer.body) == len(body)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


def test_body_that_does_not_fit_in_one_piece_fails_its_promise(start):
    tenant = wide(script("""
        try { return new Response(String((await request.arrayBuffer()).byteLength)); }
        catch (error) { return new Response(error.name); }
    """))
    skepd = start({"a": {**tenant, "limits": {**WIDE, "external_mib": 12}}})
    assert skepd.post("a", bytes(9_000_000)).text == "RangeError"
    assert skepd.post("a", bytes(1000)).text == "1000"


def test_20_mb_body_is_buffered_and_given_back(start):
    skepd = start({"echo": wide(script("return new Response(await request.arrayBuffer())"))})
    body = random.Random(9).randbytes(20_000_003)
    answer = skepd.post("echo", body)
    assert answer.status == 200
    assert answer.body == body


def test_response_parts_arrive_as_they_are_made(start):
    skepd = start(
        {
            "echo": script(
                """
                const decoder = new TextDecoder(), encoder = new TextEncoder();
                const reader = request.body.getReader();
                return new Response(new ReadableStream({ async pull(c) {
                    const { value, done } = await reader.read();
                    if (done) c.close();
                    else c.enqueue(encoder.encode(decoder.decode(value).toUpperCase()));
                } }));
                """
            )
        }
    )
    with skepd.connect(timeout=5) as connection:
        connection.send_head("POST", "echo.test", headers=[("Transfer-Encoding", "chunked")])
        connection.send_chunk(b"one")
        response = connection.start_response("POST")
        assert response.status == 200
        assert response.read1(100) == b"ONE"
        connection.send_chunk(b"two")
        assert response.read1(100) == b"TWO"
        connection.send(b"0\r\n\r\n")
        assert response.read() == b""


def test_response_with_a_known_length_is_not_chunked(start):
    skepd = start(
        {
            "a": script(
                'return new Response(new ReadableStream({ async pull(c) {'
                '    await null; c.enqueue(new Uint8Array(10)); c.close(); } }),'
                '    { headers: { "content-length": "10" } });'
            )
        }
    )
    answer = skepd.get("a")
    assert answer.header("Content-Length") == "10"
    assert answer.header("Transfer-Encoding") is None
    assert answer.body == bytes(10)


def test_handler_may_answer_without_reading_the_body(start):
    skepd = start({"a": wide(script('return new Response("no, thanks")'))})
    with skepd.connect(timeout=5) as connection:
        for _ in range(3):
            answer = connection.request("POST", "a.test", body=bytes(20_000))
            assert answer.text == "no, thanks"
    with skepd.connect(timeout=5) as connection:  # too much to be worth reading
        connection.send_head("POST", "a.test", headers=[("Content-Length", 10**9)])
        assert connection.read_response().text == "no, thanks"
        try:
            for _ in range(10_000):
                connection.send(bytes(65536))
        except OSError:
            pass
        else:
            pytest.fail("skepd reads a body that nobody wants")
    skepd.wait_idle()


def test_body_over_response_mib_is_cut_off(start):
    source = script(
        "return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)); } }));"
    )
    limits = {"response_mib": 1, "cpu_ms": 5000}
    skepd = start({"a": {"limits": limits, "files": {"worker.js": source}}})
    with skepd.connect(timeout=10) as connection:
        connection.send_head("GET", "a.test")
        response = connection.start_response()
        got = 0
        with pytest.raises((OSError, __import__("http").client.HTTPException)):
            while part := response.read1(65536):
                got += len(part)
            raise ConnectionError("looks complete") if got < 2**20 else AssertionError(got)
    assert got <= 2**20
    skepd.wait_idle()


class Watch:
    """Returns the most by which skepd's memory grew meanwhile."""

    def __init__(self, pid):
        self.pid, self.base, self.most = pid, rss_kib(pid), 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._end.wait(0.01):
            self.most = max(self.most, rss_kib(self.pid) - self.base)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


MEMORY_KIB = 8 * 1024
BIG = wide(
    """
    const part = new Uint8Array(1 << 16).fill(7);
    export default { async fetch(request) {
        const total = Number(new URL(request.url).searchParams.get("bytes"));
        if (request.method === "POST") {
            let size = 0;
            for await (const chunk of request.body) size += chunk.length;
            return new Response(String(size));
        }
        let left = total;
        return new Response(new ReadableStream({ pull(c) {
            if (left <= 0) return c.close();
            left -= part.length;
            c.enqueue(part);
        } }));
    } };
    """
)


def warm_up(skepd):
    skepd.get("big", f"/?bytes={2**22}")
    skepd.post("big", bytes(2**20))


@pytest.mark.skipif(IS_SANITIZED, reason="memory is not the same under AddressSanitizer")
def test_1_gib_response_to_a_slow_reader_stays_out_of_skepds_memory(start):
    skepd = start({"big": BIG})
    warm_up(skepd)
    with Watch(skepd.pid) as watch, skepd.connect(receive_buffer=65536) as connection:
        connection.send_head("GET", "big.test", f"/?bytes={GIB}")
        response = connection.start_response()
        # Does not read at all until the handler has come to a stand.
        stands = []

        def is_standing():
            stands.append(skepd.worker()["cpu_ms"])
            # A stuck handler leaves only answers to pings; one that runs uses all of the time.
            return len(stands) > 20 and stands[-1] - stands[-20] <= 10

        wait_for(is_standing, "the handler to be stopped by the slow reader")
        buffer, got = bytearray(2**20), 0
        while size := response.readinto(buffer):
            got += size
    assert got == GIB
    print(f"skepd grew by {watch.most} KiB")
    assert watch.most < MEMORY_KIB


@pytest.mark.skipif(IS_SANITIZED, reason="memory is not the same under AddressSanitizer")
def test_1_gib_upload_stays_out_of_skepds_memory(start):
    skepd = start({"big": BIG})
    warm_up(skepd)
    with Watch(skepd.pid) as watch, skepd.connect(timeout=60) as connection:
        connection.send_head("POST", "big.test", headers=[("Content-Length", GIB)])
        part = bytes(2**20)
        for _ in range(GIB // len(part)):
            connection.send(part)
        assert connection.read_response("POST").text == str(GIB)
    print(f"skepd grew by {watch.most} KiB")
    assert watch.most < MEMORY_KIB


@pytest.mark.skipif(IS_SANITIZED, reason="memory is not the same under AddressSanitizer")
def test_upload_to_a_handler_that_does_not_read_is_held_back(start):
    skepd = start(
        {
            "holds": wide(
                script(
                    'console.log("entered"); await new Promise((r) => setTimeout(r, 60000));'
                    "return new Response();"
                )
            ),
            "big": BIG,
        }
    )
    warm_up(skepd)
    with Watch(skepd.pid) as watch, skepd.connect(timeout=1) as connection:
        connection.send_head("POST", "holds.test", headers=[("Content-Length", GIB)])
        with pytest.raises(TimeoutError):
            for _ in range(256):
                connection.send(bytes(2**20))
        connection.reset()
    assert watch.most < MEMORY_KIB
    skepd.wait_idle()


def test_body_in_tiny_chunks_reaches_the_tenant_in_few_pieces(start):
    skepd = start(
        {
            "pieces": script(
                """
                let bytes = 0, pieces = 0;
                for await (const chunk of request.body) { bytes += chunk.length; pieces++; }
                return Response.json({ bytes, pieces });
                """
            )
        }
    )
    with skepd.connect() as connection:
        connection.send_head("POST", "pieces.test", headers=[("Transfer-Encoding", "chunked")])
        wait_for(lambda: skepd.worker()["in_flight"] == 1, "the request to be in the worker")
        connection.send(b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n")
        answer = connection.read_response().json()
    assert answer["bytes"] == 5000
    assert answer["pieces"] < 100


def test_length_of_a_big_body_that_is_known_is_announced(start):
    skepd = start({"big": script('return new Response("\\u00e9".repeat(100000));')})
    with skepd.connect() as connection:
        for method in ("GET", "HEAD"):
            answer = connection.request(method, "big.test")
            assert answer.header("Content-Length") == "200000"
            assert answer.header("Transfer-Encoding") is None
            assert len(answer.body) == (200000 if method == "GET" else 0)
