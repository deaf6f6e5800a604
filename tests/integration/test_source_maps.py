# SPDX-License-Identifier: Apache-2.0
"""Stacks in a tenant's log show the places in its sources, where its modules have source maps (docs/tenant.md)."""

import base64
import json
import os
import pathlib
import subprocess

import pytest

from harness import BIN, script

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

SOURCE = """type Reason = string;

export function fail(reason: Reason): never {
\tthrow new RangeError(`no: ${reason}`);
}
"""
# The same as a bundler gives it, with a handler before it.
BUNDLE = """export default { async fetch(request) {
const { pathname } = new URL(request.url);
if (pathname === "/late") setTimeout(() => fail("late"), 1);
else if (pathname === "/rejected") Promise.reject(new Error("rejected", { cause: caught() }));
else if (pathname === "/console") console.error("said", caught());
else if (pathname === "/stack") return new Response(caught().stack);
else if (pathname === "/prepared") { Error.prepareStackTrace = (e, sites) => "    at own (dist/worker.js:14:30)"; fail("prepared"); }
else { function fail(r){throw new RangeError(`no: ${r}`)}
fail("plain"); }
await new Promise((r) => setTimeout(r, 5));
return new Response("x");
} };
function caught() { try { fail("caught"); } catch (e) { return e; } }
function fail(r){throw new RangeError(`no: ${r}`)}
"""


def vlq(number):
    number = -number << 1 | 1 if number < 0 else number << 1
    text = ""
    while True:
        digit, number = number & 31, number >> 5
        text += BASE64[digit | (32 if number else 0)]
        if not number:
            return text


def mappings(segments):
    """segments: (line, column, source, line there, column there), all from 0"""
    lines, before = [], [0, 0, 0]
    for line, column, *origin in sorted(segments):
        while len(lines) <= line:
            lines.append([])
            last = 0
        lines[line].append(vlq(column - last) + "".join(vlq(new - old) for new, old in zip(origin, before)))
        last, before = column, origin
    return ";".join(",".join(line) for line in lines)


def places_of(text):
    """Maps each `throw` of the bundle to that of the source, and each call of fail() to the handler's first line."""
    found = []
    for number, line in enumerate(BUNDLE.splitlines()):
        at = line.find("throw new RangeError")
        if at >= 0:
            found += [(number, 0, 0, 2, 0), (number, at, 0, 3, 1), (number, at + 6, 0, 3, 7)]
        else:
            found.append((number, 0, 1, number, 0))
    return mappings(found)


def source_map(**more):
    return {"version": 3, "sources": ["../src/fail.ts", "../src/worker.ts"], "names": [],
            "sourcesContent": [SOURCE, None], "mappings": places_of(BUNDLE), **more}


def inline(text):
    return "\n//# sourceMappingURL=data:application/json;charset=utf-8;base64," + base64.b64encode(text.encode()).decode() + "\n"


def files(given=None, comment="", name="dist/worker.js.map", **more):
    text = given if isinstance(given, str) else json.dumps(given or source_map(**more))
    return {"main": "dist/worker.js", "files": {"dist/worker.js": BUNDLE + comment, **({name: text} if name else {})}}


MAPPED = """RangeError: no: plain
src/fail.ts:4:8
    \tthrow new RangeError(`no: ${reason}`);
    \t      ^
    at fail (src/fail.ts:4:8)
    at Object.fetch (src/worker.ts:"""
UNMAPPED = "at fail (dist/worker.js:8:"

WAYS = {
    "sibling": files(),
    "comment": files(comment="\n//# sourceMappingURL=other.map\n", name="dist/other.map"),
    "inline": {**files(name=None), "files": {"dist/worker.js": BUNDLE + inline(json.dumps(source_map()))}},
    "root": files(sourceRoot="..", sources=["src/fail.ts", "./x/../src/worker.ts"]),
    "prefix": files(source_map(file="worker.js", x_google_ignoreList=[])),
}


def log_of(skepd, *wanted):
    for text in wanted:
        skepd.wait_log(text)
    return "\n".join(line["text"] for line in json.loads(skepd.skep("logs", "a", "--json").stdout)["lines"]) + "\n"


@pytest.mark.parametrize("way", WAYS)
def test_exception_shows_the_places_of_the_sources(start, way):
    skepd = start({"a": WAYS[way]})
    assert skepd.get("a", "/").code == "exception"
    text = log_of(skepd, "src/fail.ts")
    assert MAPPED in text and "dist/worker.js" not in text, text


def test_all_that_prints_a_stack_maps_it(start):
    skepd = start({"a": files()})
    for path, head in (("/late", "Uncaught RangeError: no: late"), ("/console", "said RangeError: no: caught"),
                       ("/rejected", r"Uncaught \(in promise\) Error: rejected")):
        assert skepd.get("a", path).text == "x"
        skepd.wait_log(head)
    text = log_of(skepd, "Caused by: RangeError: no: caught")
    assert text.count("at fail (src/fail.ts:4:8)") == 3 and text.count("    at caught (src/worker.ts:13:1)") == 2, text
    assert "dist/worker.js" not in text


def test_code_sees_the_stack_as_v8_gives_it(start):
    skepd = start({"a": files()})
    assert "at fail (dist/worker.js:14:" in skepd.get("a", "/stack").text
    assert skepd.get("a", "/prepared").code == "exception"
    assert "    at own (src/fail.ts:4:8)" in log_of(skepd, "RangeError: no: prepared")


def test_source_without_its_text_has_its_place(start):
    skepd = start({"a": files(sourcesContent=None)})
    assert skepd.get("a", "/").code == "exception"
    text = log_of(skepd, "no: plain")
    assert "no: plain\nsrc/fail.ts:4:8\n    at fail (src/fail.ts:4:8)" in text, text


HOSTILE = {
    "no JSON": ("{", "it is no JSON: "),
    "null": ("null", "it is no source map of version 3"),
    "version 2": (source_map(version=2), "it is no source map of version 3"),
    "no sources": (source_map(sources=None), "it is no source map of version 3"),
    "no mappings": (source_map(mappings=7), "it is no source map of version 3"),
    "bad mappings": (source_map(mappings="!!"), "its mappings are not valid"),
    "wide mappings": (source_map(mappings="ä€"), "its mappings are not valid"),
    "index": ({"version": 3, "sections": []}, "it is an index of maps, which skep does not read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_map_is_named_and_hides_nothing(start, name):
    given, problem = HOSTILE[name]
    skepd = start({"a": files(given)})
    assert skepd.get("a", "/").code == "exception"
    text = log_of(skepd, "is not used")
    assert f"(the source map of dist/worker.js is not used: {problem}" in text
    assert text.count("is not used") == 1 and UNMAPPED in text and "throw new RangeError" in text, text


@pytest.mark.parametrize("comment, problem", [
    ("\n//# sourceMappingURL=gone.map\n", "it is not among the files"),
    ("\n//# sourceMappingURL=https://example.com/x.map\n", "it is not among the files"),
    ("\n//# sourceMappingURL=data:application/json;base64,!!!!\n", "its base64 is not valid"),
    ("\n//# sourceMappingURL=data:application/json,{}\n", "it is no data: URL in base64"),
    ("\n//# sourceMappingURL=data:\n", "it is no data: URL in base64"),
])
def test_map_that_cannot_be_had_is_named(start, comment, problem):
    skepd = start({"a": {"main": "dist/worker.js", "files": {"dist/worker.js": BUNDLE + comment}}})
    assert skepd.get("a", "/").code == "exception"
    text = log_of(skepd, "is not used")
    assert f"is not used: {problem})" in text and UNMAPPED in text, text


@pytest.mark.parametrize("sources", [[], [None, {}], ["x" * 100000] * 2, [["a"], 1]])
def test_sources_that_are_no_names_leave_the_stack_alone(start, sources):
    skepd = start({"a": files(sources=sources)})
    assert skepd.get("a", "/").code == "exception"
    assert UNMAPPED in log_of(skepd, "no: plain")


def test_map_beyond_what_is_left_costs_no_request_and_no_isolate(start):
    big = source_map(sourcesContent=[SOURCE, "x" * (12 << 20)])
    skepd = start({"a": {**files(big), "limits": {"cpu_ms": 50, "external_mib": 64}}})
    for _ in range(3):
        assert skepd.get("a", "/").code == "exception"
    text = log_of(skepd, "is not used")
    assert "is not used: to read it may take more CPU time than is left (cpu_ms))" in text and UNMAPPED in text
    skepd = start({"a": {**files(big), "limits": {"cpu_ms": 20000, "heap_mib": 64, "external_mib": 64}}})
    assert skepd.get("a", "/").code == "exception"
    assert "to read it may take more memory than is left (heap_mib)" in log_of(skepd, "is not used")


def test_map_that_is_made_to_be_slow_kills_no_worker(start):
    """Segments as short as they can be, and as many frames as there may be."""
    source = "Error.stackTraceLimit = 1000;\nconst deep = (n) => { if (n === 0) throw new Error('deep'); deep(n - 1); };\n" \
             "export default { fetch() { deep(500); } };\n"
    slow = json.dumps(source_map(mappings="A," * 1_400_000 + ";;" + "A," * 100))
    skepd = start({"a": {"limits": {"cpu_ms": 50}, "files": {"worker.js": source, "worker.js.map": slow}}, "b": script("return new Response('b')")})
    pids = {worker["pid"] for worker in skepd.workers()}
    for _ in range(5):
        assert skepd.get("a").code in ("exception", "cpu_request")
        assert skepd.get("b").text == "b"
    assert {worker["pid"] for worker in skepd.workers()} == pids and "killed" not in skepd.log()


def test_prototypes_of_the_tenant_are_not_asked(start):
    spies = "".join(f"Object.defineProperty(Object.prototype, '{name}', {{ get() {{ console.log('looked up {name}'); }}, set() {{}}, configurable: true }});\n"
                    for name in ("mappings", "sources", "sections", "sourcesContent", "version", "sourceRoot", "origin", "file"))
    skepd = start({"a": {"main": "dist/worker.js", "files": {"dist/worker.js": BUNDLE + spies, "dist/worker.js.map": json.dumps(source_map())}}})
    assert skepd.get("a", "/").code == "exception"
    assert "looked up" not in log_of(skepd, "src/fail.ts")


ESBUILD = pathlib.Path(os.environ.get("SKEP_BUILD_DIR", BIN)) / "worker/js/node_modules/.bin/esbuild"


@pytest.mark.parametrize("options", [["--sourcemap"], ["--sourcemap=inline", "--minify"], ["--sourcemap=linked", "--minify"]])
def test_bundle_of_esbuild(start, folder, options):
    if not ESBUILD.exists():
        pytest.skip("esbuild is not there")
    (folder / "src").mkdir()
    (folder / "src/fail.ts").write_text(SOURCE)
    (folder / "src/worker.ts").write_text(
        "import { fail } from './fail';\ninterface Env {}\n\nexport default {\n  async fetch(request: Request, env: Env): Promise<Response> {\n"
        "    await null;\n    return fail('bundled');\n  },\n};\n")
    subprocess.run([ESBUILD, "src/worker.ts", "--bundle", "--format=esm", "--outfile=dist/worker.js", *options],
                   cwd=folder, check=True, capture_output=True)
    made = {f"dist/{path.name}": path.read_text() for path in (folder / "dist").iterdir()}
    skepd = start({"a": {"main": "dist/worker.js", "files": made}})
    assert skepd.get("a", "/").code == "exception"
    text = log_of(skepd, "no: bundled")
    assert "src/fail.ts:4:8\n    \tthrow new RangeError(`no: ${reason}`);\n    \t      ^\n" in text, text
    assert "(src/worker.ts:7:12)" in text and "dist/" not in text, text
