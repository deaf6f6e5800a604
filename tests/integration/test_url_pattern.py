# SPDX-License-Identifier: Apache-2.0
"""URLPattern in a real worker, with the limits that a regular expression of a pattern meets."""

from harness import script

PATTERNS = """
const api = new URLPattern({ pathname: "/api/:version(v\\\\d+)/users/:id?" });
const match = api.exec("https://example.org/api/v2/users/7");
const base = new URLPattern(":file.png", "https://example.org:8080/a/b/c");
const nameOf = (...all) => { try { new URLPattern(...all); return "nothing"; } catch (e) { return e.name; } };
return Response.json([
    match.pathname.groups, match.hostname.input, match.inputs, api.test("https://example.org/api/x/users"),
    api.exec({ pathname: "/api/v1/users" }).pathname.groups.id === undefined, api.hasRegExpGroups, base.hasRegExpGroups,
    base.port, base.pathname, base.test("https://example.org:8080/a/b/x.png"),
    new URLPattern("https://*.example.org/*").exec("https://www.example.org/p?q").hostname.groups[0],
    new URLPattern({ hostname: "EXÄMPLE.org" }).hostname, new URLPattern({ pathname: "/A" }, { ignoreCase: true }).test("http://a/a"),
    nameOf("/relative"), nameOf({ pathname: "(" }), nameOf("(?bad)"), nameOf({ pathname: ":a/:a" }), nameOf({}, "http://a/"),
    Object.prototype.toString.call(api), URLPattern.length,
]);
"""


def test_patterns_match_urls(start):
    skepd = start({"a": script(PATTERNS)})
    assert skepd.get("a").json() == [
        {"version": "v2", "id": "7"}, "example.org", ["https://example.org/api/v2/users/7"], False,
        True, True, False,
        "8080", "/a/b/:file.png", True,
        "www",
        "xn--exmple-cua.org", True,
        *["TypeError"] * 5,
        "[object URLPattern]", 0,
    ]  # fmt: skip


BACKTRACKS = """
const slow = new URLPattern({ pathname: "/((?:a+)+)b" });
return new Response(slow.test({ pathname: "/" + "a".repeat(200) }));
"""


def test_regular_expression_that_backtracks_is_stopped(start):
    tenant = {"limits": {"cpu_ms": 50}, "files": {"worker.js": script(BACKTRACKS)}}
    skepd = start({"a": tenant, "b": script("return new Response('well')")})
    pid = skepd.worker()["pid"]
    assert skepd.get("a").code == "cpu_request"
    assert skepd.get("b").text == "well"
    assert skepd.worker()["pid"] == pid


def test_long_patterns_and_inputs_end_at_the_limits_of_their_tenant(start):
    source = script("""
        const long = (text) => text.repeat(2 ** 14);
        const names = [];
        for (const f of [() => new URLPattern({ pathname: long(":a") }), () => new URLPattern({ pathname: "x".repeat(2 ** 28) }),
            () => new URLPattern({ pathname: "/*" }).test("http://a/" + "x".repeat(2 ** 26)), () => new URLPattern(long("{") )])
            try { names.push(String(f())); } catch (e) { names.push(e.name); }
        return Response.json(names);
    """)
    huge = script("return new Response(new URLPattern({ pathname: 'x:a'.repeat(2 ** 22) }).pathname)")
    limits = {"cpu_ms": 5000}
    tenants = {"a": source, "b": huge, "c": script("return new Response('well')")}
    skepd = start({name: {"limits": limits, "files": {"worker.js": text}} for name, text in tenants.items()})
    assert skepd.get("b").code == "mem_isolate"
    assert skepd.get("c").text == "well"
    assert skepd.get("a").json() == ["TypeError", "RangeError", "RangeError", "TypeError"]
