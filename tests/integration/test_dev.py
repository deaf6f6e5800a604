# SPDX-License-Identifier: Apache-2.0
"""`skep dev`: one tenant, served as its author writes it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import pytest

from dev_server import Dev
from harness import BIN, free_port, script, wait_for
from test_egress import Server, make_certificates, tls_context


@pytest.fixture
def dev(folder):
    running = []

    def start_dev(path, *options):
        output = pathlib.Path(tempfile.mkdtemp(dir=folder))
        running.append(Dev(output, path, *options))
        return running[-1]

    yield start_dev
    for one in running:
        if one.process.poll() is None:
            one.stop()


def hello(text):
    return script(f'return new Response("{text}");')


def test_script_is_served_for_every_host(dev, folder):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    assert served.get().text == "first"
    assert served.get("/any/path", "any.host").text == "first"
    assert served.stop() == 0


@pytest.mark.parametrize("how", ["in_place", "renamed"])
def test_saved_change_is_served_within_a_second(dev, folder, how):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    assert served.get().text == "first"
    for text in ("second", "third"):
        if how == "in_place":
            path.write_text(hello(text))
        else:  # as many editors save
            other = folder / "worker.js~"
            other.write_text(hello(text))
            os.replace(other, path)
        saved = time.monotonic()
        wait_for(lambda: served.get().text == text, f"{text!r} to be served", timeout=5)
        took = time.monotonic() - saved
        print(f"served after {took * 1000:.0f} ms")
        assert took < 1


def test_folder_with_a_manifest_is_served_and_watched(dev, folder):
    tenant = folder / "tenant"
    (tenant / "lib").mkdir(parents=True)
    (tenant / "skep.yaml").write_text(
        'name: t\nmain: main.js\nroutes: ["t.test/*"]\nenv: { WHO: me }\n'
    )
    (tenant / "main.js").write_text(
        'import { text } from "./lib/text.js";\n'
        + script("return new Response(`${text} ${env.WHO}`);")
    )
    (tenant / "lib" / "text.js").write_text('export const text = "first";\n')
    served = dev(tenant)
    assert served.get().text == "first me"
    (tenant / "lib" / "text.js").write_text('export const text = "second";\n')
    wait_for(lambda: served.get().text == "second me", "the change to be served", timeout=5)
    (tenant / "skep.yaml").write_text(
        'name: t\nmain: main.js\nroutes: ["t.test/*"]\nenv: { WHO: you }\n'
    )
    wait_for(lambda: served.get().text == "second you", "the change to be served", timeout=5)


def test_error_is_shown_with_the_source_line_and_the_old_version_serves_on(dev, folder):
    path = folder / "worker.js"
    path.write_text(hello("good"))
    served = dev(path)
    assert served.get().text == "good"
    path.write_text("// broken\nconst oops = ;\n" + hello("never"))
    served.wait_output("worker.js:2")
    served.wait_output("const oops = ;")
    assert served.get().text == "good"
    path.write_text(hello("repaired"))
    wait_for(lambda: served.get().text == "repaired", "the repair to be served", timeout=5)


def test_error_of_a_handler_is_shown_where_it_was_thrown(dev, folder):
    path = folder / "worker.js"
    path.write_text("function fail() {\n    throw new Error('on purpose');\n}\n" + script("fail();"))
    served = dev(path)
    assert served.get().code == "exception"
    served.wait_output("Error: on purpose")
    served.wait_output("worker.js:2")


def test_console_is_shown(dev, folder):
    path = folder / "worker.js"
    path.write_text(script('console.log("seen", { a: 1 }); return new Response();'))
    served = dev(path)
    served.get()
    served.wait_output("seen { a: 1 }")


def test_default_limits_hold(dev, folder):
    path = folder / "worker.js"
    path.write_text(
        script('if (request.url.endsWith("loop")) for (;;); return new Response("ok");')
    )
    served = dev(path)
    assert served.get("/loop").code == "cpu_request"
    assert served.get().text == "ok"
    served.wait_output("cpu_ms")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_all_its_processes(dev, folder, how):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    assert served.stop(how) == 0


def test_trace_shows_the_frames_of_a_request_with_times_and_not_more_than_its_bound(dev, folder):
    path = folder / "worker.js"
    path.write_text(script(
        "let left = 150;"
        "const parts = new ReadableStream({ pull(c) { left-- > 0 ? c.enqueue(new Uint8Array(9000)) : c.close(); } });"
        "return new Response(request.url.endsWith('/much') ? parts : 'plain');"))
    served = dev(path, "--trace")
    assert served.get("/some/path?q=1").text == "plain"
    first = re.compile(r"^trace: (\d+) +0\.\d{3} ms -> Request GET http://\S+/some/path\?q=1, end$", re.M)
    number = wait_for(lambda: first.search(served.output()), "the request in the trace")[1]
    wait_for(lambda: re.search(rf"^trace: {number} .* Done", served.output(), re.M), "its end")
    own = re.findall(rf"^trace: {number} +(\d+\.\d+) ms (->|<-) (\w+)(.*)$", served.output(), re.M)
    assert [(way, frame) for _, way, frame, _ in own] == [("->", "Request"), ("<-", "ResponseHead"), ("<-", "Done")]
    assert " status 200" in own[1][3] and [float(time) for time, *_ in own] == sorted(float(time) for time, *_ in own)
    assert len(served.get("/much").body) == 150 * 9000
    served.wait_output("and more frames, which are not shown")
    number = re.findall(r"^trace: (\d+) .*-> Request GET \S+/much", served.output(), re.M)[-1]
    assert len(re.findall(rf"^trace: {number} ", served.output(), re.M)) == 101
    assert "is ready after" not in served.output()


def test_trace_shows_the_answer_of_an_operation_of_storage_as_one_frame(dev, folder):
    bindings = [{"name": "KV", "kv": "main"}]
    (folder / "skep.yaml").write_text(json.dumps({"name": "kept", "main": "worker.js", "bindings": bindings}))
    (folder / "worker.js").write_text(script(
        "await env.KV.put('key', 'v'.repeat(1024)); return new Response(await env.KV.get('key'));"))
    served = dev(folder, "--trace")
    assert served.get().text == 1024 * "v"
    wait_for(lambda: re.search(r"^trace: .* Done", served.output(), re.M), "its end")
    frames = re.findall(r"^trace: \d+ +\S+ ms -> (Call\w+)(.*)$", served.output(), re.M)
    heads = [rest for frame, rest in frames if frame == "CallHead"]
    assert len(heads) >= 2 and all(rest.endswith(", end") for rest in heads), frames
    assert not [frame for frame, _ in frames if frame == "CallBody"], frames


@pytest.mark.parametrize("what", ["nowhere.js", "empty"])
def test_nothing_to_serve_is_an_error(folder, what):
    (folder / "empty").mkdir()
    run = subprocess.run(
        [BIN / "skep", "dev", folder / what, "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    assert what in run.stderr


def test_port_that_is_taken_is_said(dev, folder):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    run = subprocess.run(
        [BIN / "skep", "dev", path, "--port", str(served.port)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    assert f"skep dev: port {served.port} of 127.0.0.1 is taken: another one is skep dev --port N {path}\n" in run.stderr


def test_reload_is_told_once_it_is_known_whether_it_loads(dev, folder):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    path.write_text("export default {;\n")
    served.wait_output("\ndoes not load: worker.js\n")
    told = served.output()
    assert told.index("SyntaxError: Unexpected token ';'") < told.index("does not load: worker.js")
    assert "\nreloaded" not in told and served.get().text == "first"
    path.write_text(hello("second"))
    served.wait_output("\nreloaded: worker.js\n")
    assert served.get().text == "second"
    assert served.output().count("reloaded: worker.js") == 1


# ---- the output for an error: the place, the line of the source with a caret, the frames

ERRORS = {
    "thrown": (
        "function fail() {\n\tthrow new Error('on purpose');\n}\n" + script("fail();"),
        "error: Error: on purpose\n"
        "worker.js:2:8\n"
        "    \tthrow new Error('on purpose');\n"
        "    \t      ^\n"
        "    at fail (worker.js:2:8)\n"
        "    at Object.fetch (worker.js:4:51)\n",
    ),
    "after an umlaut": (
        script("\n'ü𝄞'; throw new Error('x');"),
        "worker.js:2:14\n    'ü𝄞'; throw new Error('x'); } };\n" + " " * 16 + "^\n",
    ),
    "by an API after an umlaut": (
        script("\r\n'ü𝄞'; new Response('', { status: 9 });"),
        "worker.js:2:8\n    'ü𝄞'; new Response('', { status: 9 }); } };\n" + " " * 10 + "^\n",
    ),
    "by an API": (
        script("\n  new Response('', { status: 9 });"),
        "worker.js:2:3\n      new Response('', { status: 9 }); } };\n      ^\n    at Object.fetch ",
    ),
    "of a body that came later": (
        script(
            "const body = new ReadableStream({ async pull(c) { await null; c.enqueue(new Uint8Array([123])); c.close(); } });\n"
            "  await new Response(body).json();"
        ),
        "worker.js:2:3\n      await new Response(body).json(); } };\n      ^\n    at async Object.fetch (worker.js:2:3)\n",
    ),
    "with a cause": (
        "function low() {\n  throw new RangeError('low');\n}\n"
        + script("\ntry { low(); } catch (cause) { throw new Error('high', { cause }); }"),
        "Caused by: RangeError: low\n"
        "worker.js:2:9\n"
        "      throw new RangeError('low');\n"
        "            ^\n"
        "    at low (worker.js:2:9)\n",
    ),
    "no error": (script("throw 'text';"), "error: text (not an Error: it has no stack)\n"),
    "in waitUntil": (
        script("ctx.waitUntil((async () => {\nnull.x;\n})()); return new Response();"),
        "Uncaught (in waitUntil) TypeError: Cannot read properties of null (reading 'x')\n"
        "worker.js:2:6\n    null.x;\n         ^\n",
    ),
    "in a promise": (
        script("Promise.reject(\nnew Error('unseen'));\nreturn new Response();"),
        "Uncaught (in promise) Error: unseen\n"
        "worker.js:2:1\n    new Error('unseen'));\n    ^\n",
    ),
    "in a timer": (
        script(
            "setTimeout(() => {\n  nowhere();\n}, 1);"
            "await new Promise((resolve) => setTimeout(resolve, 5)); return new Response();"
        ),
        "Uncaught ReferenceError: nowhere is not defined\n"
        "worker.js:2:3\n      nowhere();\n      ^\n",
    ),
    "in a long line": (
        script("/*" + "x" * 5000 + "*/ throw new Error('long');/*" + "y" * 5000 + "*/"),
        "worker.js:1:5062\n    " + "x" * 51 + "*/ throw new Error('long');/*" + "y" * 40 + "\n",
    ),
    "in a line that would control the terminal": (
        script("\n'\x1b[31m\u202e'; throw new Error('x');"),
        "    ' [31m\\xe2\\x80\\xae'; throw new Error('x'); } };\n",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_of_a_handler_shows_its_line_and_the_tenants_frames(dev, folder, name):
    source, expected = ERRORS[name]
    path = folder / "worker.js"
    path.write_text(source)
    served = dev(path)
    answer = served.get()
    served.wait_output(expected)
    assert "skep:" not in served.output()
    # The client gets none of these details.
    assert b"worker.js" not in answer.body
    assert not any("worker.js" in value for value in answer.headers.values())


LOAD_ERRORS = {
    "syntax": (
        "const a = 1;\nconst oops = ;\n",
        "SyntaxError: Unexpected token ';'\n"
        "main.js:2:14\n    const oops = ;\n                 ^\n",
    ),
    "in an import": (
        'import "./lib.js";\n',
        "Error: from lib\n"
        "lib.js:2:9\n      throw new Error('from lib');\n            ^\n"
        "    at f (lib.js:2:9)\n    at lib.js:4:1\n",
    ),
    "syntax in an import": (
        'import "./bad.js";\n',
        "bad.js:1:14\n    export const = 1;\n                 ^\n",
    ),
    "missing import": (
        '// first\nimport x from "./nowhere.js";\n',
        "Cannot find module './nowhere.js' imported from main.js:2:15\n"
        'main.js:2:15\n    import x from "./nowhere.js";\n                  ^\n',
    ),
    "missing export": (
        'import { zzz } from "./good.js";\n',
        'main.js:1:10\n    import { zzz } from "./good.js";\n             ^\n',
    ),
    "bad JSON": ('import x from "./bad.json";\n', "SyntaxError: bad.json: Unexpected token"),
    "no error": ("throw 'text';\n", "text (not an Error: it has no stack)\n"),
    "with a cause": (
        "throw new Error('a',\n  { cause: new Error('b') });\n",
        "Caused by: Error: b\nmain.js:2:12\n      { cause: new Error('b') });\n",
    ),
    "by an API": (
        "\nnew Response('', { status: 3 });\n",
        "main.js:2:1\n    new Response('', { status: 3 });\n    ^\n    at main.js:2:1\n",
    ),
    "awaited": (
        "await Promise.reject(new Error('later'));\n",
        "Error: later\nmain.js:1:22\n    await Promise.reject(new Error('later'));\n",
    ),
}


@pytest.mark.parametrize("name", LOAD_ERRORS)
def test_error_at_load_shows_its_line(dev, folder, name):
    source, expected = LOAD_ERRORS[name]
    tenant = folder / "tenant"
    tenant.mkdir()
    (tenant / "skep.yaml").write_text('name: t\nmain: main.js\nroutes: ["t.test/*"]\n')
    (tenant / "lib.js").write_text("function f() {\n  throw new Error('from lib');\n}\nf();\n")
    (tenant / "good.js").write_text("export const a = 1;\n")
    (tenant / "bad.js").write_text("export const = 1;\n")
    (tenant / "bad.json").write_text('{ "a": }\n')
    (tenant / "main.js").write_text(source + hello("never"))
    served = dev(tenant)
    served.wait_output(expected)
    assert served.output().count("main.js:") <= 4  # reported once
    assert b"main.js" not in served.get().body


def test_error_is_the_same_in_the_log_line_by_line(start):
    skepd = start({"t": "function f() {\n  throw new Error('x');\n}\n" + script("f();")})
    assert skepd.get("t").code == "exception"
    skepd.wait_log(r"\[t\] error: Error: x\n")
    skepd.wait_log(r"\[t\] error: worker\.js:2:9\n")
    skepd.wait_log(r"\[t\] error:       throw new Error\('x'\);\n")
    skepd.wait_log(r"\[t\] error:             \^\n")
    skepd.wait_log(r"\[t\] error:     at f \(worker\.js:2:9\)\n")


@pytest.mark.parametrize("n_files", [1, 20])
def test_files_that_are_saved_together_are_reloaded_together(dev, folder, n_files):
    tenant = folder / "tenant"
    tenant.mkdir()
    (tenant / "skep.yaml").write_text('name: t\nmain: main.js\nroutes: ["t.test/*"]\n')

    def save(value):
        for n in range(n_files):
            (tenant / f"part{n}.js").write_text(f"export const part{n} = {value};\n")
        imports = "".join(f'import {{ part{n} }} from "./part{n}.js";\n' for n in range(n_files))
        names = ", ".join(f"part{n}" for n in range(n_files))
        (tenant / "main.js").write_text(
            imports + script(f"return new Response(String(new Set([{names}]).size + {value}));")
        )

    save(0)
    served = dev(tenant)
    assert served.get().text == "1"
    for value in (1, 2, 3):
        save(value)
        seen = set()

        def is_served(value=value, seen=seen):
            seen.add(served.get().text)
            return str(value + 1) in seen

        wait_for(is_served, "what was saved", timeout=5)
    wait_for(lambda: served.output().count("reloaded") >= 3, "the reloads to be shown")
    assert "not reloaded" not in served.output()


# ---- the way out


def test_ca_is_trusted_by_fetch_and_is_a_file(dev, folder):
    ca, pairs = make_certificates(folder, ["127.0.0.1"])
    server = Server(tls_context(pairs["127.0.0.1"]))
    path = folder / "worker.js"
    path.write_text(script(f"return new Response((await fetch('https://127.0.0.1:{server.port}/')).status);"))
    (folder / "skep.yaml").write_text("name: a\nmain: worker.js\nallowed_hosts: ['127.0.0.1:*']\n")
    assert dev(folder, "--ca", ca).get().text == "200"
    without = dev(folder)
    assert without.get().status == 500
    without.wait_output("the server's certificate is not valid: ")
    server.shutdown()
    run = subprocess.run([BIN / "skep", "dev", path, "--ca", folder / "none.pem"], capture_output=True, text=True, timeout=20, check=False)
    assert run.returncode == 1 and "none.pem: No such file" in run.stderr


def test_help_names_the_variables_of_secrets():
    run = subprocess.run([BIN / "skep", "dev", "--help"], capture_output=True, text=True, timeout=20, check=True)
    assert "SKEP_SECRET_NAME" in run.stdout
