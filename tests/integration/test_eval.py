# SPDX-License-Identifier: Apache-2.0
"""Code from strings: eval, new Function and its kin, by `eval` in skep.yaml and the most that a cordon allows."""

import pytest

from harness import cordon

# Each compiles a string while the module loads, and by path later.
COMPILERS = {
    "eval": 'eval("40 + 2")',
    "indirect": '(0, eval)("40 + 2")',
    "function": 'new Function("a", "return a + 2")(40)',
    "async": 'Object.getPrototypeOf(async () => {}).constructor("return 42") ? 42 : 0',
    "generator": 'Object.getPrototypeOf(function* () {}).constructor("yield 42")().next().value',
}


def module(source):
    return f"""
const tried = (f) => {{ try {{ return String(f()); }} catch (e) {{ return `${{e.name}}: ${{e.message}}`; }} }};
const early = tried(() => {source});
export default {{ fetch: () => Response.json([early, tried(() => {source})]) }};
"""


def with_eval(source, mode=None):
    return {"files": {"worker.js": source}, **({"eval": mode} if mode else {})}


@pytest.mark.parametrize("how", COMPILERS)
def test_strings_are_compiled_while_the_module_loads_and_not_later(start, how):
    skepd = start({"a": with_eval(module(COMPILERS[how]))})
    early, late = skepd.get("a").json()
    assert early == "42"
    assert late.startswith("EvalError: eval and new Function are allowed only while the module loads")
    assert "eval: on" in late


def test_eval_on_allows_them_always_and_off_never(start):
    source = module(COMPILERS["function"])
    skepd = start({"a": with_eval(source, "on"), "b": with_eval(source, "off")})
    assert skepd.get("a").json() == ["42", "42"]
    early, late = skepd.get("b").json()
    assert early == late
    assert early.startswith("EvalError: eval and new Function are off: eval: load in skep.yaml")


# zod, msgpackr and cbor-x compile one of these when they load, and from then on compile while requests run.
@pytest.mark.parametrize("probe", ['new Function("")', "Function()", 'new Function(" ")', 'eval("")', "new (async () => {}).constructor",
                                   "new (function* () {}).constructor", "new (async function* () {}).constructor"])
def test_who_asks_by_an_empty_string_learns_what_is_so_while_requests_run(start, probe):
    source = module(f"typeof ({probe})")
    skepd = start({"load": with_eval(source), "on": with_eval(source, "on")})
    early, late = skepd.get("load").json()
    assert early.startswith("EvalError: an empty string is compiled to find out") and "eval: on" in early
    assert late.startswith("EvalError: ")
    assert not [text for text in skepd.get("on").json() if "Error" in text]


def test_no_later_import_opens_it_again(start):
    files = {
        "worker.js": 'export default { async fetch() { return new Response((await import("./late.js")).default); } };',
        "late.js": 'let r; try { r = eval("1") } catch (e) { r = e.name } export default r;',
    }
    skepd = start({"a": {"files": files}})
    assert skepd.get("a").text == "EvalError"


def test_top_level_await_keeps_it_open_until_the_module_has_settled(start):
    source = 'await null; const v = eval("42"); export default { fetch: () => new Response(String(v)) };'
    skepd = start({"a": with_eval(source)})
    assert skepd.get("a").text == "42"


def test_what_is_no_string_comes_back(start):
    skepd = start({"a": with_eval(module("[eval(7), typeof eval({})].join()"))})
    assert skepd.get("a").json() == ["7,object", "7,object"]


def test_a_string_has_a_bound_so_that_a_stop_is_never_late(start):
    big = 'eval("1;".repeat(600000))'
    skepd = start({"a": with_eval(module(big), "on")})
    assert skepd.get("a").json()[0].startswith("EvalError: eval and new Function take at most 1048576 characters")
    loops = module("1").replace("fetch: () =>", 'fetch: () => { for (;;) eval("1;".repeat(500000)); },  x: () =>')
    skepd = start({"a": {**with_eval(loops, "on"), "limits": {"cpu_ms": 100}}, "b": with_eval(module("1"))})
    assert skepd.get("a").code == "cpu_request"
    assert skepd.get("b").json() == ["1", "1"]


def test_a_cordon_bounds_what_its_tenants_have(start):
    source = module(COMPILERS["eval"])
    tenants = {"default": with_eval(source), "asks": with_eval(source, "on"), "load": with_eval(source, "load")}
    skepd = start(tenants, cordons=[cordon(eval="off")])
    assert skepd.get("default").json()[0].startswith("EvalError: eval and new Function are off")
    for name, mode in [("asks", "on"), ("load", "load")]:
        assert skepd.get(name).status == 404
        assert f'eval: "{mode}" is not allowed: expected off, or eval: {mode} in cordon "default"' in skepd.log()
