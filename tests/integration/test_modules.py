# SPDX-License-Identifier: Apache-2.0
"""ES modules of several files."""

from harness import script


def test_graph_of_modules_is_loaded(start):
    skepd = start(
        {
            "a": {
                "main": "src/main.js",
                "files": {
                    "src/main.js": """
                        import { left } from "./left.js";
                        import right, { up } from "../lib/deep/right.mjs";
                        import data from "./data.json" with { type: "json" };
                        import text from "./words.txt";
                        import * as self from "./main.js";
                        export const mark = "cyclic";
                        export default { fetch() {
                            return Response.json([left(), right, up, data, text, self.mark]);
                        } };
                        """,
                    "src/left.js": 'import { mark } from "./main.js";\n'
                    "export const left = () => `left ${mark}`;\n",
                    "lib/deep/right.mjs": 'export { up } from "../../up.js";\n'
                    'export default "right";\n',
                    "up.js": 'export const up = "up";\n',
                    "src/data.json": '{ "deep": [1, 2, { "x": "\\u00fc" }] }',
                    "src/words.txt": "wörds\n",
                },
            }
        }
    )
    assert skepd.get("a").json() == [
        "left cyclic",
        "right",
        "up",
        {"deep": [1, 2, {"x": "ü"}]},
        "wörds\n",
        "cyclic",
    ]


def test_dynamic_import_gives_the_same_module_each_time(start):
    skepd = start(
        {
            "a": {
                "files": {
                    "worker.js": script(
                        """
                        const one = await import("./late.js");
                        const two = await import("./la" + "te.js");
                        let missing;
                        try { await import("./nowhere.js"); } catch (e) { missing = e.message; }
                        return Response.json([one === two, one.count(), two.count(), missing]);
                        """
                    ),
                    "late.js": "let n = 0; export const count = () => ++n;\n",
                }
            }
        }
    )
    same, one, two, missing = skepd.get("a").json()
    assert (same, one, two) == (True, 1, 2)
    assert "nowhere.js" in missing


def test_import_cannot_leave_the_tenants_folder(start):
    for path in ("../../b/worker.js", "/etc/passwd", "file:///etc/passwd", "https://x.test/a.js"):
        skepd = start({"a": f'import "{path}";\n' + script("return new Response()")})
        assert skepd.get("a").code == "boot_failed", path


def test_top_level_await_is_waited_for(start):
    skepd = start(
        {
            "a": {
                "files": {
                    "worker.js": 'import { value } from "./slow.js";\n'
                    "await null;\n" + script("return new Response(value);"),
                    "slow.js": "export const value = await new Promise(\n"
                    '    (r) => setTimeout(() => r("awaited"), 100));\n',
                }
            }
        }
    )
    assert skepd.get("a").text == "awaited"


def test_wasm_module_is_imported(start):
    # (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
    wasm = bytes.fromhex(
        "0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b"
    )
    skepd = start(
        {
            "a": {
                "files": {
                    "worker.js": 'import module from "./add.wasm";\n'
                    "const { exports } = new WebAssembly.Instance(module);\n"
                    + script("return new Response(exports.add(40, 2));"),
                    "add.wasm": wasm,
                }
            }
        }
    )
    assert skepd.get("a").text == "42"


def test_import_meta_does_not_tell_of_the_host(start):
    skepd = start({"a": script("return Response.json({ url: String(import.meta.url) });")})
    url = skepd.get("a").json()["url"]
    assert str(skepd.folder) not in url


def test_module_is_evaluated_once_for_many_requests(start):
    skepd = start({"a": "let n = 0;\n" + script("return new Response(++n);")})
    assert [skepd.get("a").text for _ in range(3)] == ["1", "2", "3"]


def test_no_second_isolate_is_made_for_the_same_tenant(start):
    skepd = start({"a": script("return new Response()"), "b": script("return new Response()")})
    for _ in range(5):
        skepd.get("a")
        skepd.get("b")
    assert sorted(skepd.worker()["tenants"]) == ["a", "b"]


def test_any_file_of_the_folder_is_imported_as_data(start):
    hive = start({"a": {"files": {
        "worker.js": "import font from './font.ttf';\nimport style from './img/style.css';\n"
                     "export default { fetch() { return new Response([...new Uint8Array(font), style].join()); } };\n",
        "font.ttf": b"\0\xff\x80",
        "img/style.css": "a {}",
    }}})
    assert hive.get("a").text == "0,255,128,a {}"


NAMES = {
    "lib/my file.js": "export const url = import.meta.url;\n",
    "lib/ü.js": "export const url = import.meta.url;\n",
    "lib/100%.js": "export const url = import.meta.url;\n",
    "lib/a#b.js": "export const url = import.meta.url;\n",
    "lib/t t.txt": "text",
    "lib/state.js": "export let n = 0; export const add = () => ++n;\nexport const url = import.meta.url;\n",
    "lib/from.js": "export { url } from './state.js';\n",
}


def test_specifiers_are_urls(start):
    source = """
import { url as blank } from "./lib/my%20file.js";
import { url as raw } from "./lib/my file.js";
import text from "./lib/t%20t.txt";
export default { async fetch() {
    const of = async (s) => (await import(s)).url;
    return Response.json({
        blank, raw, text, same: (await import("./lib/my%20file.js")) === (await import("file:///lib/my%20file.js")),
        umlaut: await of("./lib/%C3%BC.js"), plain: await of("./lib/ü.js"),
        percent: await of("./lib/100%.js"), hash: await of("./lib/a%23b.js"), as_named: await of("./lib/a#b.js"),
        found: (await import(new URL("./lib/t t.txt", import.meta.url).href)).default, serialised: blank === new URL(blank).href,
        missing: await of("./lib/my%2520file.js").catch((e) => e.message),
        slash: await of("./lib%2Fmy%20file.js").catch((e) => e.message),
        out: await of("./%2e%2e/%2e%2e/etc/passwd").catch((e) => e.message),
    });
} };
"""
    skepd = start({"a": {"files": {"worker.js": source, **NAMES}}})
    answer = skepd.get("a").json()
    blank = "file:///lib/my%20file.js"
    assert (answer["blank"], answer["raw"], answer["text"], answer["found"]) == (blank, blank, "text", "text")
    assert answer["same"] and answer["serialised"]
    assert answer["umlaut"] == answer["plain"] == "file:///lib/%C3%BC.js"
    assert answer["percent"] == "file:///lib/100%25.js"
    assert answer["hash"] == answer["as_named"] == "file:///lib/a%23b.js"
    for name in ("missing", "slash", "out"):
        assert answer[name].startswith("Cannot find module"), name


def test_query_and_fragment_make_a_module_of_their_own(start):
    source = """
import * as plain from "./lib/state.js";
import * as one from "./lib/state.js?v=1";
import * as from from "./lib/from.js?x";
export default { async fetch() {
    const again = await import("./lib/state.js?v=1"), other = await import("./lib/state.js?v=2"), part = await import("./lib/state.js#a b");
    plain.add(); one.add(); one.add();
    return Response.json([again === one, other === one, plain.n, one.n, other.n, one.url, part.url, from.url,
        (await import("./lib/t t.txt?raw")).default]);
} };
"""
    skepd = start({"a": {"files": {"worker.js": source, **NAMES}}})
    assert skepd.get("a").json() == [True, False, 1, 2, 0, "file:///lib/state.js?v=1", "file:///lib/state.js#a%20b", "file:///lib/state.js", "text"]


def test_error_in_a_module_with_a_query_has_its_place(start):
    files = {"worker.js": "import './bad.js?x=1';\n" + script("return new Response();"), "bad.js": "\nthrow new Error('bad');\n"}
    skepd = start({"a": {"files": files}})
    assert skepd.get("a").code == "boot_failed"
    skepd.wait_log(r"bad\.js:2:7")


def test_byte_order_mark_and_hashbang_are_passed_over(start):
    mark = "\ufeff"
    skepd = start({
        "both": mark + "#!/usr/bin/env node\n" + script("return new Response('both');"),
        "hash": "#!/usr/bin/env -S deno run\n" + script("return new Response('hash');"),
        "mark": mark + script("return new Response('mark');"),
        "late": mark + "throw new Error('late');\n",
    })
    for name in ("both", "hash", "mark"):
        assert skepd.get(name).text == name
    assert skepd.get("late").code == "boot_failed"
    skepd.wait_log(r"\[late\] .*late")
    skepd.wait_log(r"worker\.js:1:7")


def test_top_level_await_that_never_ends_is_told_with_its_place(start):
    skepd = start({
        "alone": "const a = 1;\nawait new Promise(() => {});\n" + script("return new Response();"),
        "circle": {"files": {"worker.js": "import './b.js';\n" + script("return new Response();"),
                             "b.js": "const x = 1;\n  await import('./worker.js');\n"}},
    })
    assert skepd.get("alone").code == "boot_failed"
    skepd.wait_log(r"\[alone\] error: top-level await never ends: .*worker\.js:2:")
    assert skepd.get("circle").code == "boot_failed"
    skepd.wait_log(r"\[circle\] error: top-level await never ends: .*b\.js:2:")
