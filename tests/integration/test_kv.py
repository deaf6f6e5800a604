# SPDX-License-Identifier: Apache-2.0
"""env.KV with real storage: every method and type, limits, and that what was stored stays, and stays apart."""

import concurrent.futures
import json
import os
import pathlib
import signal

import pytest

from harness import descendants, wait_for
from storing import CONFIG, NO_RATE, ask, routes, storing

def data_process(skepd):
    """The pid of the process that keeps the data of the default cordon."""
    return next(pid for pid in descendants(skepd.pid) if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "skep-data")


# Bodies of handlers, and the JSON that each must return.
CASES = {
    "types": (
        """
        await KV.put("t", '{"a":[1,"ü"]}');
        const stream = await KV.get("t", "stream");
        return [await KV.get("t"), await KV.get("t", "json"), new TextDecoder().decode(await KV.get("t", "arrayBuffer")),
            await new Response(stream).text(), await KV.get("t", { type: "json", cacheTtl: 60 }), await KV.get("t", {})];
        """,
        ['{"a":[1,"ü"]}', {"a": [1, "ü"]}] + ['{"a":[1,"ü"]}'] * 2 + [{"a": [1, "ü"]}, '{"a":[1,"ü"]}'],
    ),
    "values": (
        """
        const bytes = new Uint8Array(256).map((_, i) => i), out = [];
        const stream = new ReadableStream({ start(c) { c.enqueue(bytes); c.enqueue(bytes.slice(0, 3)); c.close(); } });
        for (const value of ["", "a\\0b", "\\ufeffé", bytes.slice(), bytes.slice().buffer, new DataView(bytes.slice().buffer, 250), stream, new ReadableStream({ start: (c) => c.close() })]) {
            await KV.put("v", value);
            const all = new Uint8Array(await KV.get("v", "arrayBuffer"));
            out.push([all.length, all.reduce((sum, byte) => sum + byte, 0)]);
        }
        return [out, (await KV.put("v", 5)) === undefined, await KV.get("v")];
        """,
        [[[0, 0], [3, 195], [5, 0xEF + 0xBB + 0xBF + 0xC3 + 0xA9], [256, 32640], [256, 32640], [6, 1515], [259, 32643], [0, 0]], True, "5"],
    ),
    "absent": (
        """
        await KV.put("gone", "x");
        await KV.delete("gone");
        await KV.delete("gone");
        return [await KV.get("gone"), await KV.get("never", "stream"), await KV.getWithMetadata("never"), [...await KV.get(["gone", "never"])]];
        """,
        [None, None, {"value": None, "metadata": None, "cacheStatus": None}, [["gone", None], ["never", None]]],
    ),
    "metadata": (
        """
        await KV.put("m", "1", { metadata: { list: [1, null], text: "ü" } });
        const one = await KV.getWithMetadata("m", "json"), stream = await KV.getWithMetadata("m", "stream");
        const text = await new Response(stream.value).text();
        await KV.put("m", "2");
        return [one, text, stream.metadata, await KV.getWithMetadata("m"), (await KV.put("m", "", { metadata: "x".repeat(1022) })) ?? null];
        """,
        [
            {"value": 1, "metadata": {"list": [1, None], "text": "ü"}, "cacheStatus": None},
            "1",
            {"list": [1, None], "text": "ü"},
            {"value": "2", "metadata": None, "cacheStatus": None},
            None,
        ],
    ),
    "many": (
        """
        const keys = Array.from({ length: 100 }, (_, i) => "many:" + i);
        await Promise.all(keys.map((key, i) => i % 2 ? undefined : KV.put(key, String(i), { metadata: i })));
        const all = await KV.get(keys, "json"), some = await KV.getWithMetadata(keys.slice(0, 2));
        return [all.size, [...all.keys()].join() === keys.join(), [...all.values()].filter((v) => v === null).length, all.get("many:98"), [...some]];
        """,
        [
            100,
            True,
            50,
            98,
            [
                ["many:0", {"value": "0", "metadata": 0, "cacheStatus": None}],
                ["many:1", None],
            ],
        ],
    ),
    "keys": (
        """
        const keys = ["ü", "\\u{1f600}", "a/b?c#d%20", " ", "\\0", "\\n", "...", "x".repeat(512), "ü".repeat(256), "__proto__", "%", "*_'\\"", "'; drop table kv"];
        for (const [i, key] of keys.entries()) await OTHER.put(key, String(i));
        const found = await Promise.all(keys.map((key) => OTHER.get(key)));
        const { keys: listed } = await OTHER.list();
        return [found.join(), listed.length, listed.every(({ name }) => keys.includes(name)), (await OTHER.list({ prefix: "%" })).keys, (await OTHER.list({ prefix: "\\0" })).keys.length];
        """,
        [",".join(map(str, range(13))), 13, True, [{"name": "%"}], 1],
    ),
    "order": (
        """
        const names = ["o:b", "o:\\u{1f600}", "o:a", "o:\\uffee", "o:B", "o:aa", "o:"];
        for (const name of names) await KV.put(name, "");
        return (await KV.list({ prefix: "o:" })).keys.map(({ name }) => name);
        """,
        ["o:", "o:B", "o:a", "o:aa", "o:b", "o:\uffee", "o:\U0001f600"],  # by their bytes
    ),
    "expiration": (
        """
        const now = Math.floor(Date.now() / 1000);
        await KV.put("e:1", "x", { expirationTtl: 60 });
        await KV.put("e:2", "x", { expiration: now + 1000 });
        await KV.put("e:3", "x", { expiration: now + 1000, expirationTtl: 2000, metadata: 1 });
        await KV.put("e:4", "x", { expirationTtl: 90 });
        await KV.put("e:4", "x");
        const { keys } = await KV.list({ prefix: "e:" });
        const ttl = (n) => keys[n].expiration - now;
        return [await KV.get("e:1"), ttl(0) >= 60 && ttl(0) < 600, ttl(1), ttl(2) >= 2000 && ttl(2) < 2600, keys[2].metadata, keys[3],
            await failing(() => KV.put("e:5", "", { expiration: now + 30 })).then((text) => text.startsWith("Error: KV PUT failed: 400 Invalid expiration of ")), await KV.get("e:5")];
        """,
        ["x", True, 1000, True, 1, {"name": "e:4"}, True, None],
    ),
    "errors": (
        """
        return [await failing(() => KV.get("x".repeat(513))), await failing(() => KV.list({ cursor: "no cursor" })).then((text) => text.slice(0, 24)),
            await failing(() => KV.put("k", "x", { expirationTtl: 59 }))];
        """,
        [
            "Error: KV GET failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512.",
            "Error: KV GET failed: 40",
            "Error: KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60.",
        ],
    ),
    "at_once": (
        """
        await KV.put("n", "1");
        const all = await Promise.all(Array.from({ length: 100 }, () => KV.get("n")));
        return all.length === 100 && all.every((text) => text === "1");
        """,
        True,
    ),
    "in_order": (
        """
        for (let i = 0; i < 50; i++) { await KV.put("same", String(i)); if (await KV.get("same") !== String(i)) return i; }
        return "each read has what was written";
        """,
        "each read has what was written",
    ),
    "printed": ("return [String(KV), String(DB), Object.keys(env).sort()];", ["[object KvNamespace]", "[object D1Database]", ["DB", "KV", "OTHER"]]),
}


@pytest.fixture(scope="module")
def served(start_module):
    return start_module({"a": routes({name: body for name, (body, _) in CASES.items()})}, **CONFIG)


@pytest.mark.parametrize("name", CASES)
def test_key_value(served, name):
    assert ask(served, "a", f"/{name}") == CASES[name][1]


BIG = """
    if (request.method === "PUT") { await KV.put("big", request.body, { metadata: "m" }); return new Response("stored"); }
    if (pathname === "/size") return new Response((await KV.get("big", "arrayBuffer")).byteLength);
    return new Response(await KV.get("big", "stream"));
"""
LARGE = {**NO_RATE, "request_mib": 64, "response_mib": 64, "external_mib": 128}
VALUE_MAX = 25 * 2**20


def test_values_of_25_mib_go_as_streams_both_ways(start):
    skepd = start({"a": storing(BIG, limits=LARGE)}, **CONFIG)
    value = bytes(range(256)) * (VALUE_MAX // 256)
    stored = skepd.request("PUT", "a", body=value)
    assert (stored.status, stored.text) == (200, "stored"), skepd.log()
    assert skepd.get("a").body == value
    assert skepd.get("a", "/size").text == str(VALUE_MAX)


def test_a_value_over_its_limit_is_refused_and_the_old_one_stays(start):
    code = 'if (request.method === "PUT") return new Response(await failing(() => KV.put("k", request.body))); await KV.put("k", "old"); return Response.json(null);'
    reading = 'return new Response(await KV.get("k"));'
    limits = {**LARGE, "kv_value_mib": 1}
    skepd = start({"a": storing(f'if (pathname === "/read") {{ {reading} }} {code}', limits=limits)}, **CONFIG)
    assert ask(skepd, "a") is None
    refused = skepd.request("PUT", "a", body=bytes(2**20 + 1))
    assert refused.text.startswith("Error: KV PUT failed: 413 "), refused.text
    assert skepd.get("a", "/read").text == "old"
    assert skepd.request("PUT", "a", body=bytes(2**20)).text == "no error"
    assert skepd.get("a", "/read").body == bytes(2**20)


def test_a_value_without_end_is_refused_as_soon_as_it_is_too_long(start):
    code = """
        let made = 0, end;
        const ended = new Promise((resolve) => { end = resolve; });
        const stream = new ReadableStream({ pull(c) { made += 65536; c.enqueue(new Uint8Array(65536)); }, cancel: end });
        const text = await failing(() => KV.put("k", stream));
        await ended;
        return Response.json([text.slice(0, 26), made < 2 ** 23, await KV.get("k")]);
    """
    skepd = start({"a": storing(code, limits={**NO_RATE, "kv_value_mib": 1})}, **CONFIG)
    assert ask(skepd, "a") == ["Error: KV PUT failed: 413 ", True, None]


def test_a_value_that_breaks_off_is_not_stored(start):
    code = """
        if (pathname === "/get") return Response.json(await KV.get("k"));
        await KV.put("k", "old");
        let n = 0;
        const stream = new ReadableStream({ pull(c) { if (n++ < 5) c.enqueue(new Uint8Array(65536)); else throw new RangeError("mine"); } });
        const text = await failing(() => KV.put("k", stream));
        return Response.json([text, await KV.get("k")]);
    """
    skepd = start({"a": storing(code)}, **CONFIG)
    assert ask(skepd, "a") == ["RangeError: mine", "old"]
    assert ask(skepd, "a", "/get") == "old"


LIST = """
    if (pathname.startsWith("/put/")) {
        const from = +pathname.slice(5);
        await Promise.all(Array.from({ length: 500 }, (_, i) => KV.put(`k${String(from + i).padStart(5, "0")}`, "", { metadata: from + i })));
        return Response.json(await KV.put("other", "") ?? null);
    }
    const pages = [];
    const limit = pathname === "/" ? undefined : +pathname.slice(1);
    for (let cursor; ; ) {
        const page = await KV.list({ prefix: "k", cursor, limit });
        pages.push(page);
        if (page.list_complete) break;
        cursor = page.cursor;
    }
    return Response.json(pages);
"""


def test_a_list_goes_on_by_cursors(start):
    skepd = start({"a": storing(LIST)}, **CONFIG)
    for first in range(0, 2500, 500):
        ask(skepd, "a", f"/put/{first}")
    for limit, sizes in (("", [1000, 1000, 500]), ("999", [999, 999, 502]), ("500", [500] * 5)):
        pages = ask(skepd, "a", f"/{limit}")
        assert [len(page["keys"]) for page in pages if page["keys"]] == sizes
        keys = [key for page in pages for key in page["keys"]]
        assert keys == [{"name": f"k{n:05}", "metadata": n} for n in range(2500)]
        assert all("cursor" in page for page in pages[:-1]) and "cursor" not in pages[-1]


def test_tenants_and_namespaces_see_nothing_of_each_other(start):
    code = """
        if (pathname === "/put") { await KV.put("k", request.headers.get("x-value")); await DB.exec("create table t (v)"); await DB.prepare("insert into t values (?)").bind(request.headers.get("x-value")).run(); }
        return Response.json([await KV.get("k"), (await KV.list()).keys, await OTHER.get("k"), await DB.prepare("select v from t").first("v").catch((e) => e.message.includes("no such table"))]);
    """
    skepd = start({"a": storing(code), "b": storing(code)}, **CONFIG)
    keys = [{"name": "k"}]
    assert skepd.get("a", "/put", [("x-value", "of a")]).json() == ["of a", keys, None, "of a"]
    assert ask(skepd, "b") == [None, [], None, True]
    assert skepd.get("b", "/put", [("x-value", "of b")]).json() == ["of b", keys, None, "of b"]
    assert ask(skepd, "a") == ["of a", keys, None, "of a"]


def test_two_bindings_may_have_one_namespace(start):
    bindings = [{"name": "KV", "kv": "one"}, {"name": "OTHER", "kv": "one"}]
    skepd = start({"a": storing('await KV.put("k", "v"); return Response.json(await OTHER.get("k"));', bindings)}, **CONFIG)
    assert ask(skepd, "a") == "v"


def test_what_was_stored_is_there_after_a_restart(start):
    code = """
        if (pathname === "/put") { await KV.put("k", "v", { metadata: 1 }); await DB.exec("create table t (v)"); await DB.prepare("insert into t values (7)").run(); }
        return Response.json([await KV.getWithMetadata("k"), await DB.prepare("select v from t").first()]);
    """
    skepd = start({"a": storing(code)}, **CONFIG)
    stored = [{"value": "v", "metadata": 1, "cacheStatus": None}, {"v": 7}]
    assert ask(skepd, "a", "/put") == stored
    skepd.stop()
    skepd.start()
    assert ask(skepd, "a") == stored


def test_what_was_stored_is_there_after_skepd_was_killed(start):
    code = """
        if (pathname === "/get") return Response.json((await KV.list()).keys.length);
        let n = 0;
        for (; n < 20; n++) await KV.put("k" + n, "v");
        return Response.json(n);
    """
    skepd = start({"a": storing(code)}, **CONFIG)
    assert ask(skepd, "a") == 20
    skepd.process.kill()
    skepd.process.wait()
    skepd.admin_socket.unlink(missing_ok=True)
    wait_for(lambda: skepd.process.poll() is not None, "the end of skepd")
    skepd.start()
    assert ask(skepd, "a", "/get") == 20


def test_operations_go_on_after_the_process_of_the_data_was_killed(start):
    """An operation that the kill meets fails with an error, or is done; what was told to be stored is there."""
    code = """
        if (pathname === "/get") return Response.json((await KV.list()).keys.map(({ name }) => name));
        const stored = [], failed = [];
        for (let i = 0; i < 200; i++) await KV.put("k" + i, "v").then(() => stored.push("k" + i), (e) => failed.push(e.message));
        return Response.json([stored, failed]);
    """
    skepd = start({"a": storing(code)}, **CONFIG)
    ask(skepd, "a", "/get")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        writing = threads.submit(ask, skepd, "a")
        wait_for(lambda: writing.done() or ask(skepd, "a", "/get"), "the first keys")
        os.kill(data_process(skepd), signal.SIGKILL)
        stored, failed = writing.result()
    assert len(stored) + len(failed) == 200 and len(stored) > 50
    assert all(text.startswith("KV PUT failed: ") for text in failed), failed
    assert set(stored) <= set(ask(skepd, "a", "/get"))


def test_quotas_are_errors_of_the_tenant_that_is_over_them(start):
    code = """
        const big = "x".repeat(600 * 1024);
        return Response.json([await failing(() => KV.put("a", big)), await failing(() => KV.put("b", big)), await failing(() => KV.put("a", "small")),
            await failing(() => KV.put("b", big))]);
    """
    many = """
        const all = [];
        for (let i = 0; i < 4; i++) all.push(await failing(() => KV.put("k" + i, "")));
        await KV.delete("k0");
        return Response.json([...all, await failing(() => KV.put("k3", ""))]);
    """
    skepd = start(
        {"bytes": storing(code, limits={**NO_RATE, "kv_mib": 1}), "keys": storing(many, limits={**NO_RATE, "kv_keys": 3})}, **CONFIG
    )
    first, over, smaller, again = ask(skepd, "bytes")
    assert (first, smaller, again) == ("no error",) * 3
    assert over.startswith("Error: KV PUT failed: 507 "), over
    *some, refused, at_last = ask(skepd, "keys")
    assert (some, at_last) == (["no error"] * 3, "no error")
    assert refused.startswith("Error: KV PUT failed: 507 "), refused


def test_operations_over_the_rate_are_refused(start):
    code = """
        const all = await Promise.all(Array.from({ length: 60 }, () => failing(() => KV.get("k"))));
        return Response.json(all.filter((text) => text !== "no error"));
    """
    skepd = start({"a": storing(code, limits={"storage_rate": 10})}, **CONFIG)
    refused = ask(skepd, "a")
    assert refused and all(text.startswith("Error: KV GET failed: 429 ") for text in refused), refused


def test_storage_is_no_part_of_the_budget_of_calls(start):
    """A request may use more operations than `subrequests`, and wait for more than `calls` at a time."""
    code = """
        const all = await Promise.all(Array.from({ length: 200 }, (_, i) => KV.get("k" + i)));
        return Response.json(all.length);
    """
    skepd = start({"a": storing(code, limits={**NO_RATE, "calls": 2, "subrequests": 3})}, **CONFIG)
    assert ask(skepd, "a") == 200


def test_a_put_that_nobody_awaits_is_named_in_the_log(start):
    skepd = start({"a": storing('KV.put("k", new ReadableStream()); return Response.json(1);')}, **CONFIG)
    assert ask(skepd, "a") == 1
    skepd.wait_log("KV PUT was cut off as its request ended")
    assert json.loads(skepd.skep("tenants", "--json").stdout)


def test_waituntil_keeps_a_put(start):
    code = """
        if (pathname === "/get") return Response.json(await KV.get("k"));
        ctx.waitUntil((async () => { await KV.get("k"); await KV.put("k", "v"); })());
        return Response.json(1);
    """
    skepd = start({"a": storing(code)}, **CONFIG)
    ask(skepd, "a")
    wait_for(lambda: ask(skepd, "a", "/get") == "v", "the put")
