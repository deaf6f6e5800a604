# SPDX-License-Identifier: Apache-2.0
"""WebAssembly.compileStreaming and instantiateStreaming in a real worker."""

import pytest

from harness import script

# A module that exports add(), and imports nothing.
ADD = bytes([
    *b"\0asm", 1, 0, 0, 0, 1, 7, 1, 0x60, 2, 0x7F, 0x7F, 1, 0x7F, 3, 2, 1, 0,
    7, 7, 1, 3, *b"add", 0, 0, 10, 9, 1, 7, 0, 0x20, 0, 0x20, 1, 0x6A, 0x0B,
])  # fmt: skip

HELPERS = """
    const failing = async (f) => { try { await f(); return "no error"; } catch (e) { return `${e.name}: ${e.message}`; } };
    const code = () => request.clone().arrayBuffer();
    const make = async (init = {}) => new Response(await code(), { headers: { "content-type": " Application/WASM" }, ...init });
"""

CASES = {
    "a_response": (
        """const module = await WebAssembly.compileStreaming(await make());
        return [module instanceof WebAssembly.Module, WebAssembly.Module.exports(module).length];""",
        [True, 1],
    ),
    "a_promise": (
        """const { module, instance } = await WebAssembly.instantiateStreaming(make(), {});
        return [module instanceof WebAssembly.Module, instance.exports.add(2, 3)];""",
        [True, 5],
    ),
    "a_stream": (
        """const wasm = new Response(request.body, { headers: { "content-type": "application/wasm" } });
        return [(await WebAssembly.instantiateStreaming(wasm)).instance.exports.add(4, 5)];""",
        [9],
    ),
    "wrong_arguments": (
        """return [await failing(() => WebAssembly.compileStreaming()), await failing(() => WebAssembly.compileStreaming(1)),
            await failing(() => WebAssembly.compileStreaming(Promise.reject(new RangeError("mine")))),
            await failing(() => WebAssembly.instantiateStreaming(make(), 1))];""",
        [
            "TypeError: WebAssembly.compileStreaming: 1 argument required, but only 0 present.",
            "TypeError: WebAssembly: the value is not a Response.",
            "RangeError: mine",
            "TypeError: WebAssembly.instantiateStreaming: parameter 2 is not an object.",
        ],
    ),
    "wrong_responses": (
        """const used = await make();
        await used.text();
        return [await failing(() => WebAssembly.compileStreaming(make({ headers: {} }))),
            await failing(() => WebAssembly.compileStreaming(make({ headers: { "content-type": "application/wasm;x" } }))),
            await failing(() => WebAssembly.compileStreaming(make({ status: 404 }))),
            await failing(() => WebAssembly.compileStreaming(used)),
            (await failing(() => WebAssembly.compileStreaming(new Response("x",
                { headers: { "content-type": "application/wasm" } })))).slice(0, 13)];""",
        [
            "TypeError: WebAssembly: the content-type of the Response is not application/wasm.",
            "TypeError: WebAssembly: the content-type of the Response is not application/wasm.",
            "TypeError: WebAssembly: the status of the Response is 404, not one of 200 to 299.",
            "TypeError: Body is unusable: it was read or locked before.",
            "CompileError:",
        ],
    ),
    "replaced_functions": (
        """WebAssembly.compile = WebAssembly.instantiate = () => { throw new Error("the tenant's"); };
        Promise.prototype.then = () => { throw new Error("the tenant's"); };
        return [(await WebAssembly.instantiateStreaming(make())).instance.exports.add(1, 1)];""",
        [2],
    ),
}


@pytest.fixture(scope="module")
def hive(start_module):
    tenants = {
        name.replace("_", "-"): script(f"{HELPERS} return Response.json(await (async () => {{ {body} }})());")
        for name, (body, _) in CASES.items()
    }
    tenants["without"] = {
        "files": {"worker.js": script("return new Response(typeof WebAssembly);")}, "cordon": "no-jit",
    }
    return start_module(
        tenants, cordons=[{"name": "default", "workers": 1}, {"name": "no-jit", "workers": 1, "jit": "off"}]
    )


@pytest.mark.parametrize("name", CASES)
def test_response_is_compiled_or_the_error_says_why_not(hive, name):
    answer = hive.post(name.replace("_", "-"), ADD)
    assert answer.json() == CASES[name][1]


def test_without_writable_code_there_is_none(hive):
    assert hive.get("without").text == "undefined"
