# SPDX-License-Identifier: Apache-2.0
"""Names of other platforms that skep has not: the log of a tenant that runs into one says what to do instead."""

import re

import pytest

from harness import TOP, cordon, script, wait_for

SOURCE = (TOP / "worker" / "js" / "src" / "missing" / "main.js").read_text()
ROWS = {
    name: advice
    for names, advice in re.findall(r'\["([\w ]+)",\s*"([^"]+)"\]', SOURCE)
    for name in names.split()
}


@pytest.fixture(scope="module")
def hive(start_module):
    cases = "".join(f"case '/{name}': return new Response(typeof ({name}.x));" for name in ROWS)
    cases += "case '/window.connect': return globalThis.connect('a:80');"
    cases += "case '/new': return new globalThis.WebSocketPair();"
    cases += "case '/self': return self.importScripts('/a.js');"
    cases += "case '/upgrade': return new Response(null, { status: 101 });"
    cases += "case '/own': return unknown_name;"
    cases += "case '/typeof': return new Response(typeof process + typeof caches);"
    return start_module({
        "a": script(f"switch (new URL(request.url).pathname) {{ {cases} }}"),
        "b": {"files": {"worker.js": "const key = process.env.KEY;\nexport default { fetch() {} };\n"}},
        "still": {"cordon": "still", "files": {"worker.js": script("return new HTMLRewriter();")}},
    }, cordons=[cordon(), cordon("still", jit="off")])


def logged(hive, words):
    return wait_for(lambda: words in hive.log(), f"in the log: {words}")


@pytest.mark.parametrize("name", set(ROWS) - {"HTMLRewriter"})
def test_name_that_is_not_there_is_told_with_what_to_do(hive, name):
    assert hive.get("a", path=f"/{name}").code == "exception"
    logged(hive, f"{name}: {ROWS[name]} (docs/tenant.md)")


def test_html_rewriter_is_missing_where_there_is_no_webassembly(hive):
    assert hive.get("still").code == "exception"
    logged(hive, f"HTMLRewriter: {ROWS['HTMLRewriter']} (docs/tenant.md)")


@pytest.mark.parametrize("path, words", [
    ("window.connect", "connect: there are no sockets"),
    ("new", "WebSocketPair: there is no WebSocket"),
    ("self", "importScripts: there are no threads"),
    ("upgrade", "status 101 is not in the range 200 to 599. There is no WebSocket: stream a Response instead."),
])
def test_other_ways_to_run_into_one_are_told_as_well(hive, path, words):
    assert hive.get("a", path=f"/{path}").code == "exception"
    logged(hive, words)


def test_module_that_does_not_load_for_it_is_told_as_well(hive):
    assert hive.get("b").code == "boot_failed"
    logged(hive, f"process: {ROWS['process']} (docs/tenant.md)")


def test_what_is_not_there_can_be_asked_for_and_other_names_have_no_advice(hive):
    assert hive.get("a", path="/typeof").text == "undefinedundefined"
    assert hive.get("a", path="/own").code == "exception"
    logged(hive, "ReferenceError: unknown_name is not defined")
    assert "unknown_name:" not in hive.log()


def test_tenant_md_has_the_same_rows():
    text = (TOP / "docs" / "tenant.md").read_text()
    text = text[text.index("Not there, although") : text.index("`crypto` is Web Crypto")]
    rows = {
        name: re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", advice)
        for names, advice in re.findall(r"^\| (`.+`) \| (.+) \|$", text, re.M)
        for name in re.findall(r"`(\w+)`", names)
    }
    assert rows == ROWS


SWALLOWED = """
const results = [];
const tests = () => [typeof process, typeof Buffer, globalThis.require, globalThis?.window?.document, "caches" in globalThis,
    Object.keys(globalThis).includes("global"), typeof  document, typeof(window)];
function attempt() { try { return process.env.KEY; } catch { return "swallowed"; } }
function make() { try { return new  XMLHttpRequest(); } catch { return "swallowed"; } }
export default { fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/tests") return Response.json(tests());
    if (path === "/many") { for (let i = 0; i < 1000; i++) results.push(typeof process); return new Response(); }
    if (path === "/make") return new Response(make());
    return new Response(attempt());
} };
"""


def test_swallowed_exception_leaves_one_warning_with_its_place(start):
    skepd = start({"a": SWALLOWED, "b": SWALLOWED})
    assert skepd.get("a", path="/tests").json() == ["undefined", "undefined", None, None, False, False, "undefined", "undefined"]
    assert "is not there" not in skepd.log()
    for _ in range(3):
        assert skepd.get("a").text == "swallowed"
    assert skepd.get("a", path="/make").text == "swallowed"
    skepd.wait_log(rf"\[a\] warn: process is not there \(worker\.js:5:\d+\)\. process: {re.escape(ROWS['process'])} \(docs/tenant\.md\)")
    assert skepd.log().count("is not there") == 1
    assert skepd.get("b", path="/make").text == "swallowed"
    skepd.wait_log(r"\[b\] warn: XMLHttpRequest is not there \(worker\.js:6:\d+\)")


def test_tests_for_names_that_are_not_there_end_up_cheap_and_silent(start):
    skepd = start({"a": SWALLOWED})
    skepd.get("a", path="/many")
    assert skepd.get("a").text == "swallowed"
    assert "is not there" not in skepd.log()


# ---- a module that cannot be loaded says what to do

@pytest.mark.parametrize("source, words", [
    ("import { Hono } from 'hono';\nexport default new Hono();",
     "Cannot find module 'hono' imported from worker.js:1:22; packages have to be bundled, for instance with esbuild --bundle --format=esm"),
    ("import './lib/a';\n", "Cannot find module './lib/a' imported from worker.js:1:8; did you mean './lib/a.js'?"),
    ("import fs from 'node:fs';\n", "Cannot find module 'node:fs' imported from worker.js:1:16; of the modules of Node.js there is node:async_hooks only"),
    ("export function fetch() {}", "the main module has no handler: there is no default export; expected export default { fetch(request, env, ctx)"),
    ("export default () => new Response();", "the main module has no handler: the default export is a function or class, not an object"),
    ("export default { handle() {}, scheduled() {} };", "the default export has no fetch function, but handle, scheduled; expected"),
    ("export default { fetch: 'x' };", "the default export's fetch is of type string, not a function"),
])
def test_module_that_cannot_be_loaded_says_what_to_do(start, source, words):
    skepd = start({"a": {"files": {"worker.js": source, "lib/a.js": ""}}})
    assert skepd.get("a").code == "boot_failed"
    skepd.wait_log(re.escape(words))
