# SPDX-License-Identifier: Apache-2.0
"""CompressionStream and DecompressionStream in a real worker, inside the real jail: data of other programs, what the standard says
about bad data, back-pressure, and what a bomb meets. The libraries themselves are tests/unit/compress's."""

import gzip
import pathlib
import tempfile
import zlib

import pytest

from harness import Loader, Skepd, cordon, script

# Before each case.
HELPERS = """
const utf8 = (text) => new TextEncoder().encode(text);
const FORMATS = ["deflate", "deflate-raw", "gzip", "brotli", "zstd"];
const through = (data, stream) => new Response(new Blob([data]).stream().pipeThrough(stream));
const pack = async (data, format) => (await through(data, new CompressionStream(format)).bytes?.()) ??
    new Uint8Array(await through(data, new CompressionStream(format)).arrayBuffer());
const unpack = async (data, format) => new Uint8Array(
    await through(data, new DecompressionStream(format)).arrayBuffer());
const nameOf = async (f) => { try { await f(); return "nothing"; } catch (e) {
    return `${e.constructor === globalThis[e.name]} ${e.name}`; } };
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
"""

# Bodies of handlers, and the JSON that each must return.
CASES = {
    "round-trip": (
        """
        const data = new Uint8Array(300000).map((_, i) => i % 7 === 0 ? (i * 2654435761) >>> 24 : i >> 10);
        const result = [];
        for (const format of FORMATS) for (const size of [0, 1, 70000, 300000]) {
            const packed = await pack(data.subarray(0, size), format);
            result.push(same(await unpack(packed, format), data.subarray(0, size)) && (size < 300000 || packed.length < size / 2));
        }
        return result.every((x) => x === true);
        """,
        True,
    ),
    "bad-data": (
        """
        const result = [];
        for (const format of FORMATS) {
            const packed = await pack(utf8("expected output"), format);
            const changed = packed.slice(); changed[0] ^= 0xff;
            for (const bad of [packed.subarray(0, -1), new Uint8Array([...packed, 0]), new Uint8Array(0), changed])
                result.push(await nameOf(() => unpack(bad, format)));
        }
        return [...new Set(result)];
        """,
        ["true TypeError"],
    ),
    "more-after-the-end": (
        """
        const stream = new DecompressionStream("gzip"), reader = stream.readable.getReader();
        const writer = stream.writable.getWriter();
        writer.closed.catch(() => {});
        const first = writer.write(await pack(utf8("abc"), "gzip")), value = (await reader.read()).value;
        await first;
        const next = nameOf(() => reader.read()), empty = await nameOf(() => writer.write(new Uint8Array(0)));
        const late = nameOf(() => writer.write(utf8("x")));
        return [new TextDecoder().decode(value), empty, await next, await late];
        """,
        ["abc", "nothing", "true TypeError", "true TypeError"],
    ),
    "wrong-use": (
        """
        const bad = (chunk) => { const { readable, writable } = new CompressionStream("gzip"), writer = writable.getWriter();
            writer.closed.catch(() => {});
            const results = [nameOf(() => writer.write(chunk)), nameOf(() => readable.getReader().read())];
            return Promise.all(results).then((names) => names.join()); };
        return [await nameOf(() => new CompressionStream()), await nameOf(() => new DecompressionStream("br")),
            await nameOf(() => new CompressionStream("gzip".repeat(2 ** 26))), await nameOf(() => CompressionStream("gzip")),
            await nameOf(() => new CompressionStream({ toString() { throw new RangeError("x"); } })),
            await bad(undefined), await bad("text"), await bad([1]), await bad({}), await bad(1.5),
            await bad(new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 }))),
            await nameOf(() => Reflect.get(CompressionStream.prototype, "readable", {})),
            String(new CompressionStream("zstd")), CompressionStream.length, Object.keys(CompressionStream.prototype)];
        """,
        ["true TypeError"] * 4
        + ["true RangeError"]
        + ["true TypeError,true TypeError"] * 6
        + ["true TypeError", "[object CompressionStream]", 1, ["readable", "writable"]],
    ),
    "cancel-and-abort": (
        """
        const reason = new RangeError("enough"), ended = [];
        const a = new CompressionStream("gzip"), aw = a.writable.getWriter();
        const held = nameOf(() => aw.write(new Uint8Array(9)));
        aw.closed.catch(() => {});
        await a.readable.cancel(reason);
        ended.push(await held, await aw.closed.catch((e) => e === reason), await nameOf(() => aw.write(new Uint8Array(1))));
        const b = new CompressionStream("gzip"), br = b.readable.getReader();
        br.closed.catch(() => {});
        await b.writable.abort(reason);
        ended.push(await br.closed.catch((e) => e === reason), await br.read().catch((e) => e === reason));
        return ended;
        """,
        ["true RangeError", True, "true RangeError", True, True],
    ),
    # A chunk that was written is the stream's, also while the tenant changes or transfers it.
    "chunk-is-kept": (
        """
        const data = new Uint8Array(2 ** 20);
        for (let i = 0; i < 16; i++) crypto.getRandomValues(data.subarray(i * 65536, (i + 1) * 65536));
        const copy = data.slice();
        const stream = new CompressionStream("gzip"), writer = stream.writable.getWriter();
        writer.write(data); writer.close();
        const parts = [], reader = stream.readable.getReader();
        for (;;) {
            const { value, done } = await reader.read();
            if (done) break;
            parts.push(value);
            if (data.length) { data.fill(1); data.buffer.transfer(); }
        }
        return [parts.length > 10, same(await unpack(new Blob(parts), "gzip"), copy)];
        """,
        [True, True],
    ),
    # 64 MiB of zeros come in parts of 64 KiB, each when it is asked for.
    "back-pressure": (
        """
        const result = [];
        for (const format of FORMATS) {
            const zeros = new ReadableStream({ n: 0, pull(c) { this.n++ < 64 ? c.enqueue(new Uint8Array(2 ** 20)) : c.close(); } },
                { highWaterMark: 0 });
            const bomb = new Uint8Array(await new Response(zeros.pipeThrough(new CompressionStream(format))).arrayBuffer());
            const reader = new Blob([bomb]).stream().pipeThrough(new DecompressionStream(format)).getReader();
            let size = 0, longest = 0;
            for (;;) { const { value, done } = await reader.read(); if (done) break;
                size += value.length; longest = Math.max(longest, value.length); }
            result.push(size === 2 ** 26 && longest === 65536 && bomb.length < 2 ** 26 / 200);
        }
        return result;
        """,
        [True] * 5,
    ),
    "many-at-a-time": (
        """
        let made = 0, kept = [];
        const failed = await nameOf(() => { for (;; made++) kept.push(new DecompressionStream("deflate-raw")); });
        for (const stream of kept) stream.readable.cancel();
        kept = [];
        for (let i = 0; i < 3000; i++) { new DecompressionStream("gzip"); await undefined; } // garbage
        return [made, failed];
        """,
        [1024, "true RangeError"],
    ),
}


def tenant(body, **limits):
    return {"limits": limits, "files": {"worker.js": HELPERS + script(f"return Response.json(await (async () => {{ {body} }})())")}}


ECHO = """
const { pathname } = new URL(request.url), [, way, format] = pathname.split("/");
const Stream = way === "pack" ? CompressionStream : DecompressionStream;
return new Response(request.body.pipeThrough(new Stream(format)));
"""


@pytest.fixture(scope="module")
def hive():
    tenants = {name: tenant(source, cpu_ms=20000, external_mib=64) for name, (source, _) in CASES.items()}
    tenants["echo"] = {"limits": {"cpu_ms": 5000}, "files": {"worker.js": script(ECHO)}}
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), tenants).start()
        yield skepd
        skepd.stop()


@pytest.mark.parametrize("name", CASES)
def test_compression_gives_what_it_should(hive, name):
    answer = hive.get(name)
    assert answer.status == 200, (answer, hive.log()[-2000:])
    assert answer.json() == CASES[name][1]
    assert hive.worker()["restarts"] == 0  # no call that the jail does not have


def test_other_programs_read_and_write_the_same(hive):
    data = bytes(i * i % 251 for i in range(200_000))
    raw = zlib.compressobj(wbits=-15)
    packed = {"gzip": gzip.compress(data), "deflate": zlib.compress(data), "deflate-raw": raw.compress(data) + raw.flush()}
    wbits = {"gzip": 31, "deflate": 15, "deflate-raw": -15}
    with hive.connect() as connection:
        for name, content in packed.items():
            assert connection.request("POST", "echo.test", f"/unpack/{name}", body=content).body == data, name
            answer = connection.request("POST", "echo.test", f"/pack/{name}", body=data)
            assert zlib.decompress(answer.body, wbits[name]) == data, name


# Each holds on to what it makes, until its memory is used up.
BOMBS = {
    "collects": """
        const kept = [], reader = new Blob([bomb]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
        for (;;) kept.push(await reader.read());
    """,
    "reads": "return (await new Response(new Blob([bomb]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer()).byteLength;",
    "opens": """
        const kept = [];
        for (;;) { kept.push(new CompressionStream("brotli")); kept.at(-1).readable.getReader().read();
            await kept.at(-1).writable.getWriter().write(new Uint8Array(70000)); }
    """,
}
SPINS = "for (;;) await through(bomb, new DecompressionStream('gzip')).body.pipeTo(new WritableStream());"
# Made by the load: 128 MiB in some 130 KiB.
BOMB = "import bomb from './bomb.gz' with { type: 'bytes' };\n"


def test_bombs_meet_the_budgets_and_a_neighbour_is_served_meanwhile():
    content = gzip.compress(bytes(1 << 27))
    tenants = {}
    for name, body in {**BOMBS, "spins": SPINS}.items():
        limits = {"cpu_ms": 300 if name == "spins" else 20000, "heap_mib": 32, "external_mib": 16}
        tenants[name] = tenant(body, **limits)
        source = tenants[name]["files"]["worker.js"]
        tenants[name]["files"] = {"worker.js": BOMB + source, "bomb.gz": content}
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        skepd = Skepd(pathlib.Path(path), {**tenants, "hello": script("return new Response('hi')")},
            {"cordons": [cordon()]})
        skepd.start()
        try:
            with Loader(skepd, "hello") as neighbour:
                for name in ["collects", "reads", "opens"]:
                    answer = skepd.get(name)
                    assert answer.status in (500, 503), (name, answer)
                    if answer.code != "mem_isolate":  # a RangeError, which it does not catch
                        assert skepd.wait_log(rf"\[{name}\].*RangeError")
                    neighbour.more(1)
                assert skepd.get("spins").code == "cpu_request"
                neighbour.more(1)
            assert not neighbour.wrong
            assert all(t["kills"] == 0 for t in skepd.admin("tenants")["tenants"])
        finally:
            skepd.stop()
