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
