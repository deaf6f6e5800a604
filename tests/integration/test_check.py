# SPDX-License-Identifier: Apache-2.0
"""`skep check`, and skepd itself, on config files and tenants that are wrong: FILE:LINE: text."""

import json
import re
import shutil
import subprocess

import pytest

from harness import BIN, EXAMPLES, SKEPD, TOP, script

HELLO = script('return new Response("hello\\n")')
GOOD = 'listen: ["127.0.0.1:0"]\n'


def check(*arguments):
    return subprocess.run(
        [BIN / "skep", "check", *arguments], capture_output=True, text=True, timeout=30
    )


# skepd.yaml, line, words of the error
BAD_CONFIG = {
    "unknown_key": (GOOD + "lisssten: 1\n", 2, "lisssten"),
    "unknown_inner_key": (GOOD + "http:\n  header_bites: 1\n", 3, "header_bites"),
    "wrong_type": ("listen: 8080\n", 1, "listen"),
    "wrong_number": (GOOD + "http:\n  connections: many\n", 3, "many"),
    "out_of_range": (GOOD + "http: { header_bytes: 1 }\n", 2, "1024 to 262144"),
    "bad_address": ('listen: ["127.0.0.1:99999"]\n', 1, "127.0.0.1:99999"),
    "twice_the_address": ('listen: ["[::1]:80", "[::1]:80"]\n', 1, "duplicate"),
    "bad_level": (GOOD + "log_level: loud\n", 2, "loud"),
    "twice_a_key": (GOOD + "log_level: info\nlog_level: debug\n", 3, "log_level"),
    "twice_a_cordon": (GOOD + "cordons:\n  - name: a\n  - name: a\n", 4, "duplicate"),
    "bad_cordon_name": (GOOD + "cordons: [{ name: Big Hive }]\n", 2, "Big Hive"),
    "no_workers": (GOOD + "cordons: [{ name: a, workers: 0 }]\n", 2, "1 to 64"),
    "neither_number_nor_word": (GOOD + "cordons: [{ name: a, workers: all }]\n", 2, "or solitary"),
    "small_rss": (GOOD + "cordons:\n  - name: a\n    rss_mib: 63\n", 4, "64 to 1048576 MiB"),
    "wrong_word": (GOOD + "cordons: [{ name: a, retire_after_s: no }]\n", 2, "or never"),
    "no_strikes": (GOOD + "cordons: [{ name: a, strikes: 0 }]\n", 2, "1 to 20"),
    "solitary_without_room": (
        GOOD + "cordons:\n  - name: a\n    workers: solitary\n    solitary: 0\n",
        5,
        "1 to 1024",
    ),
    "limit_of_zero": (GOOD + "limits: { default: { cpu_ms: 0 } }\n", 2, "cpu_ms|1 to"),
    "unlimited": (GOOD + "limits: { default: { cpu_ms: unlimited } }\n", 2, "unlimited"),
    "unknown_limit": (GOOD + "limits: { default: { cpu_s: 1 } }\n", 2, "cpu_s"),
    "default_above_maximum": (
        GOOD + "limits:\n  default: { cpu_ms: 20 }\n  maximum: { cpu_ms: 10 }\n",
        3,
        "maximum",
    ),
    "observes_nonsense": (GOOD + "limits:\n  observe:\n    - cpu\n", 4, '"cpu" is unknown.*rss_mib'),
    "observes_what_cannot_be": (
        GOOD + "cordons:\n  - name: a\n    limits: { observe: [grace_ms] }\n",
        4,
        "grace_ms.*cannot be observed",
    ),
    "observes_twice": (GOOD + "limits: { observe: [cpu_ms, cpu_ms] }\n", 2, "duplicate"),
    "not_yaml": (GOOD + "a: [1\n", None, ""),
    "tab": (GOOD + "http:\n\theader_bytes: 2000\n", 3, ""),
    "empty": ("", None, ""),
    "a_list": ("- 1\n", 1, ""),
}


@pytest.mark.parametrize("name", BAD_CONFIG)
def test_wrong_config_is_refused_with_file_and_line(folder, name):
    text, line, words = BAD_CONFIG[name]
    path = folder / "skepd.yaml"
    path.write_text(text)
    run = check(path)
    output = run.stdout + run.stderr
    assert run.returncode == 1, output
    where = rf"{re.escape(str(path))}:{line if line else '(?:[0-9]+)?'}"
    assert re.search(rf"^{where}[: ].*(?:{words})", output, re.M), output
    # skepd says the same and does not start. At that time it does not know the format of its log.
    served = subprocess.run(
        [SKEPD, "--config", path, "--worker", BIN / "skep-worker"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert served.returncode == 1
    said = "\n".join(json.loads(line)["message"] for line in served.stderr.splitlines())
    assert re.search(rf"^{where}[: ].*(?:{words})", said, re.M), served.stderr


NAME = "name: a\n"
MAIN = "main: worker.js\n"
ROUTES = 'routes: ["a.test/*"]\n'
BAD_MANIFEST = {
    "unknown_key": (NAME + MAIN + ROUTES + "mian: 1\n", 4, "mian"),
    "no_name": (MAIN + ROUTES, None, "name"),
    "bad_name": ("name: A_b\n" + MAIN + ROUTES, 1, "A_b"),
    "long_name": (f"name: {'a' * 64}\n" + MAIN + ROUTES, 1, "a{60}"),
    "no_main": (NAME + ROUTES, None, "main"),
    "missing_main": (NAME + "main: nowhere.js\n" + ROUTES, 2, "nowhere.js"),
    "main_outside": (NAME + "main: ../x.js\n" + ROUTES, 2, "x.js"),
    "main_absolute": (NAME + "main: /etc/passwd\n" + ROUTES, 2, "passwd"),
    "bad_route": (NAME + MAIN + 'routes: ["a.test/x*y"]\n', 3, "route|a.test"),
    "bad_host": (NAME + MAIN + 'routes: ["a b.test/*"]\n', 3, "a b.test"),
    "twice_a_route": (NAME + MAIN + 'routes:\n  - "a.test/*"\n  - "A.test/*"\n', 5, "duplicate"),
    "env_number_list": (NAME + MAIN + ROUTES + "env: { A: [1] }\n", 4, "A|env"),
    "limit_of_zero": (NAME + MAIN + ROUTES + "limits: { heap_mib: 0 }\n", 4, "8 to 4096"),
    "limit_with_unit": (NAME + MAIN + ROUTES + "limits: { heap_mib: 64M }\n", 4, "64M"),
    "negative_limit": (NAME + MAIN + ROUTES + "limits: { cpu_ms: -5 }\n", 4, "-5"),
    "unlimited": (NAME + MAIN + ROUTES + "limits: { cpu_ms: unlimited }\n", 4, "unlimited"),
    "unlimited_rate": (NAME + MAIN + ROUTES + "limits: { cpu_rate: unlimited }\n", 4, "unlimited"),
    "heavy": (NAME + MAIN + ROUTES + "limits: { weight: 1001 }\n", 4, "1 to 1000"),
    "observes": (NAME + MAIN + ROUTES + "limits:\n  observe: [cpu_ms]\n", 5, "operator"),
    "unknown_cordon": (NAME + MAIN + ROUTES + "cordon: nowhere\n", 4, "nowhere"),
}


@pytest.mark.parametrize("name", BAD_MANIFEST)
def test_wrong_manifest_is_refused_with_file_and_line(folder, name):
    text, line, words = BAD_MANIFEST[name]
    tenant = folder / "tenants" / "a"
    tenant.mkdir(parents=True)
    (tenant / "skep.yaml").write_text(text)
    (tenant / "worker.js").write_text(HELLO)
    config = folder / "skepd.yaml"
    config.write_text(GOOD + "tenants: tenants\n")
    run = check(config)
    output = run.stdout + run.stderr
    assert run.returncode == 1, output
    where = rf"[^\n]*skep\.yaml:{line if line else '(?:[0-9]+)?'}"
    assert re.search(rf"^{where}[: ].*(?:{words})", output, re.M), output


def write_tenants(folder, manifests):
    for name, text in manifests.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "skep.yaml").write_text(text)
        (folder / name / "worker.js").write_text(HELLO)


def test_duplicate_names_and_routes_of_tenants_are_refused(folder):
    write_tenants(
        folder,
        {
            "one": "name: a\nmain: worker.js\nroutes: [a.test/*]\n",
            "two": "name: a\nmain: worker.js\nroutes: [b.test/*]\n",
            "three": "name: c\nmain: worker.js\nroutes: [x.test/*, a.test/*]\n",
        },
    )
    run = check(folder)
    assert run.returncode == 1
    lines = (run.stdout + run.stderr).splitlines()
    assert any("skep.yaml:1" in line and '"a"' in line for line in lines), lines
    assert any("skep.yaml:3" in line and "a.test" in line for line in lines), lines


def test_one_bad_tenant_does_not_stop_the_others(start, folder):
    write_tenants(
        folder,
        {
            "good": "name: good\nmain: worker.js\nroutes: [good.test/*]\n",
            "bad": "name: bad\nmain: worker.js\nroutes: [bad.test/*]\nwhat: 1\n",
        },
    )
    skepd = start(tenants_folder=folder)
    assert skepd.get("good").text == "hello\n"
    assert skepd.get("bad").code == "no_route"
    assert "bad/skep.yaml:4" in skepd.log()


def test_good_tenant_is_said_to_be_good():
    run = check(EXAMPLES / "hello")
    assert run.returncode == 0, run.stderr
    run = check(EXAMPLES / "hello", "--json")
    assert json.loads(run.stdout) == {"ok": True, "configs": 0, "tenants": 1, "errors": [], "notes": []}


def test_errors_come_as_json(folder):
    path = folder / "skepd.yaml"
    path.write_text(GOOD + "lisssten: 1\n")
    run = check("--json", path)
    assert run.returncode == 1
    result = json.loads(run.stdout)
    assert result["ok"] is False
    assert result["errors"][0]["line"] == 2
    assert "lisssten" in result["errors"][0]["text"]


def test_control_characters_in_a_file_do_not_reach_the_terminal(folder):
    path = folder / "skepd.yaml"
    path.write_text(GOOD + '"bad\\e[31m\\n:1: forged": 1\n')
    run = check(path)
    assert run.returncode == 1
    assert "\x1b" not in run.stdout + run.stderr
    assert not re.search(r"^:1: forged", run.stdout + run.stderr, re.M)


def test_file_that_is_not_there_is_said_so(folder):
    run = check(folder / "nowhere.yaml")
    assert run.returncode == 1
    assert "nowhere.yaml" in run.stdout + run.stderr


def test_links_and_hidden_files_are_not_read(start, folder):
    secret = folder / "secret.js"
    secret.write_text("export const secret = 1;\n")
    tenants = folder / "tenants"
    write_tenants(tenants, {"a": "name: a\nmain: worker.js\nroutes: [a.test/*]\n"})
    (tenants / "a" / "link.js").symlink_to(secret)
    (tenants / "a" / ".hidden.js").write_text("export const secret = 1;\n")
    (tenants / "a" / "worker.js").write_text(
        script(
            'const seen = []; for (const f of ["./link.js", "./.hidden.js"])'
            "    await import(f).then(() => seen.push(f), () => {});"
            "return Response.json(seen);"
        )
    )
    skepd = start(tenants_folder=tenants)
    assert skepd.get("a").json() == []


def test_example_of_the_documentation_is_right(folder):
    example = (TOP / "docs" / "config.md").read_text().split("```yaml\n")[1].split("```")[0]
    path = folder / "skepd.yaml"
    shutil.copytree(EXAMPLES / "hello", folder / "tenants" / "hello")
    key = folder / "secrets.key"
    key.write_bytes(bytes(32))
    key.chmod(0o400)
    (folder / "more.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    path.write_text(example.replace("/etc/skep/secrets.key", str(key)))
    good = check(path)
    assert good.returncode == 0, good.stdout + good.stderr


# ---- files that a config names


def make_key(folder, size=32, mode=0o400):
    key = folder / "state" / "k" if mode == 0o401 else folder / "k"
    key.parent.mkdir(exist_ok=True)
    key.write_bytes(bytes(size))
    key.chmod(0o400 if mode == 0o401 else mode)
    return key


@pytest.mark.parametrize("size, mode, told", [
    (None, 0, "there is no key"), (31, 0o400, "it has not exactly 32 bytes"),
    (32, 0o404, "others may read it: `chmod 400` it"), (32, 0o401, "it is in the state folder"), (32, 0o400, None),
])  # fmt: skip
def test_key_of_secrets_is_looked_at_as_a_start_does(folder, size, mode, told):
    """A mode of 0401 stands for a key in the state folder."""
    key = folder / "none" if size is None else make_key(folder, size, mode)
    path = folder / "skepd.yaml"
    path.write_text(GOOD + f"state: {folder}/state\nsecrets:\n  key: {key}\n")
    run = check(path)
    if told:
        assert run.returncode == 1 and f"{path}:4: secrets.key: " in run.stdout and told in run.stdout, run.stdout
        start = subprocess.run([SKEPD, "--config", path], capture_output=True, text=True, timeout=30)
        assert start.returncode == 1 and told in start.stderr
    else:
        assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("content, told", [
    (None, "cannot be read: No such file"), ("no PEM", "has no certificates in PEM"),
    ("-----BEGIN CERTIFICATE-----\n", None),
])  # fmt: skip
def test_certificates_for_egress_are_looked_at(folder, content, told):
    ca = folder / "ca.pem"
    if content:
        ca.write_text(content)
    path = folder / "skepd.yaml"
    path.write_text(GOOD + f"egress:\n  ca: {ca}\n")
    run = check(path)
    assert run.returncode == (1 if told else 0)
    assert not told or (f"{path}:3: egress.ca: {ca} " in run.stdout and told in run.stdout), run.stdout


# ---- values that are left out


def test_links_that_no_handler_can_read_are_named(folder):
    tenant = folder / "shop"
    (tenant / "img").mkdir(parents=True)
    (tenant / "skep.yaml").write_text("name: shop\nmain: worker.js\n")
    (tenant / "worker.js").write_text("export default { fetch() {} }\n")
    (tenant / "img" / "logo.png").write_bytes(b"\x89PNG")
    (tenant / "style.css").write_text("a {}")
    for name in ("link.js", "img/link.png"):
        (tenant / name).symlink_to(tenant / "worker.js")
    (tenant / ".git").mkdir()
    run = check(tenant)
    assert run.returncode == 0, run.stdout
    note = run.stdout.splitlines()[0]
    assert note.startswith(f"note: {tenant}/skep.yaml: left out")
    for name in ("img/link.png", "link.js"):
        assert name in note
    assert ".git" not in note and "worker.js," not in note and "logo.png" not in note
    told = json.loads(check(folder, "--json").stdout)
    assert told["ok"] and "link.js" in told["notes"][0]["text"]


# ---- modules, which are compiled and linked, and not run

GOOD_MODULE = "export default { fetch() { return new Response('ok'); } };\n"


def tenant_of(folder, files, **keys):
    """A tenant's folder with these files, main.js among them."""
    path = folder / "shop"
    path.mkdir()
    manifest = {"name": "shop", "main": "main.js", **keys}
    (path / "skep.yaml").write_text(json.dumps(manifest))
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# files, and each line of the report without the tenant's folder
FAULTS = {
    "syntax_error": ({"main.js": "export default {\n  fetch() { return 1 +; }\n};\n"},
                     ["main.js:2:23: SyntaxError: Unexpected token ';'"]),
    "syntax_error_of_an_import": ({"main.js": "import './lib/a.js';\nexport default {};\n", "lib/a.js": "a = ;\n"},
                                  ["lib/a.js:1:5: SyntaxError: Unexpected token ';'"]),
    "missing_import": ({"main.js": "import './gone.js';\nexport default {};\n"},
                       ["main.js:1:8: Cannot find module './gone.js'"]),
    "package": ({"main.js": "import { Hono } from 'hono';\nexport default {};\n"},
                ["main.js:1:22: Cannot find module 'hono'; packages have to be bundled, for instance with esbuild "
                 "--bundle --format=esm"]),
    "modules_of_others": ({"main.js": "import 'fs/promises';\nimport 'buffer';\nimport 'npm:hono';\nimport 'https://esm.sh/hono';\n"
                                      "import 'cloudflare:workers';\nexport default {};\n"},
                          ["main.js:1:8: Cannot find module 'fs/promises'; it is a module of Node.js, and of these there is node:async_hooks",
                           "main.js:2:8: Cannot find module 'buffer'; it is a module of Node.js",
                           "main.js:3:8: Cannot find module 'npm:hono'; nothing is fetched: bundle it",
                           "main.js:4:8: Cannot find module 'https://esm.sh/hono'; nothing is fetched",
                           "main.js:5:8: Cannot find module 'cloudflare:workers'; env and ctx are arguments of the handler"]),
    "several": ({"main.js": "import 'a';\nimport './b';\nimport './c.js';\nexport default {};\n",
                 "b.js": GOOD_MODULE, "c.js": "}"},
                ["main.js:1:8: Cannot find module 'a'; packages", "main.js:2:8: Cannot find module './b'; did you mean './b.js'?",
                 "c.js:1:1: SyntaxError: Unexpected token '}'"]),
    "unknown_export": ({"main.js": "import { b } from './a.js';\nexport default b;\n", "a.js": "export const a = 1;\n"},
                       ["main.js:1:10: SyntaxError: The requested module './a.js' does not provide an export named 'b'"]),
    "no_default_export": ({"main.js": "export function fetch() {}\n"},
                          ["main.js: no default export: expected export default { fetch(request, env, ctx) { … } } or addEventListener(\"fetch\", …)"]),
    "wrong_json": ({"main.js": "import d from './d.json';\nexport default d;\n", "d.json": '{\n  "a": }\n'},
                   ["d.json:2:8: SyntaxError: Unexpected token '}'"]),
    "wrong_wasm": ({"main.js": "import w from './w.wasm';\nexport default w;\n", "w.wasm": b"\0asm\1\0\0\0\1\5"},
                   ["w.wasm: CompileError: "]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_of_a_module_is_told_with_its_place(folder, name):
    files, lines = FAULTS[name]
    path = tenant_of(folder, files)
    run = check(path)
    assert run.returncode == 1
    told = run.stdout.splitlines()
    assert len(told) == len(lines), run.stdout
    for line, wanted in zip(told, lines):
        assert line.startswith(f"{path}/{wanted}"), run.stdout


def test_modules_are_not_run(folder):
    spins = "import { b } from './circle.js';\nfor (;;) ;\nexport const a = 1;\n" + GOOD_MODULE
    circle = "import { a } from './main.js';\nexport const b = () => a;\nthrow 1;\n"
    path = tenant_of(folder, {"main.js": spins, "circle.js": circle})
    run = check(path)
    assert (run.returncode, run.stdout) == (0, "ok: 1 tenant\n")


def test_fault_of_a_file_that_nothing_imports_is_a_note(folder):
    path = tenant_of(folder, {"main.js": GOOD_MODULE, "old.js": "a = ;\n"})
    run = check(path, "--json")
    assert run.returncode == 0
    told = json.loads(run.stdout)
    assert told["errors"] == [] and told["ok"]
    text = "no import statement leads here, and: SyntaxError: Unexpected token ';'"
    assert told["notes"] == [{"file": f"{path}/old.js", "line": 1, "column": 5, "text": text}]


def test_script_is_checked_as_skep_dev_would_serve_it(folder):
    script_path = folder / "my.js"
    script_path.write_text("export default {;\n")
    run = check(script_path)
    assert run.returncode == 1
    assert run.stdout == f"{script_path}:1:17: SyntaxError: Unexpected token ';'\n"


def test_tenants_of_a_config_are_compiled_by_the_rules_of_their_cordons(folder):
    wasm = b"\0asm\1\0\0\0"
    files = {"main.js": "import w from './w.wasm';\nexport default w;\n", "w.wasm": wasm}
    tenant_of(folder, files, cordon="still")
    path = folder / "skepd.yaml"
    path.write_text(f"{GOOD}tenants: .\ncordons: [{{ name: still, jit: off }}]\n")
    run = check(path)
    assert run.returncode == 1 and "shop/w.wasm: TypeError: WebAssembly is not available" in run.stdout
    path.write_text(f"{GOOD}tenants: .\ncordons: [{{ name: still }}]\n")
    run = check(path)
    assert (run.returncode, run.stdout) == (0, "ok: 1 config file, 1 tenant\n")


FILES_ADVICE = "files_mib of its cordon in skepd.yaml sets that"


def test_files_beyond_the_bound_are_refused_before_they_are_compiled(folder):
    path = tenant_of(folder, {"main.js": GOOD_MODULE, "big.txt": b"x" * (16 << 20)})
    run = check(path)
    assert run.returncode == 1
    assert run.stdout == f"{path}: main.js: too large: expected at most 16 MiB in all files together; {FILES_ADVICE}\n"


@pytest.mark.parametrize("limits, files, words", [
    ({"heap_mib": 8}, {"main.js": "import d from './d.json';\nexport default d;\n",
                       "d.json": "[" + ",".join(["[{}]"] * 500_000) + "]"}, "heap_mib"),
    ({"cpu_startup_ms": 10, "heap_mib": 1024}, {"main.js": "".join(f"(function () {{ a{i} + {i}; }})();\n" for i in range(200_000)) + GOOD_MODULE},
     "cpu_startup_ms is 10"),
])
def test_compiling_keeps_to_the_limits_of_a_load(folder, limits, files, words):
    path = tenant_of(folder, files, limits=limits)
    run = check(path)
    assert run.returncode == 1
    assert run.stdout.startswith(f"{path}/main.js: ") and words in run.stdout and len(run.stdout.splitlines()) == 1


def test_without_skepd_a_note_says_that_nothing_was_compiled(folder):
    path = tenant_of(folder, {"main.js": "let let;\n"})
    alone = folder / "bin"
    alone.mkdir()
    shutil.copy(BIN / "skep", alone / "skep")
    run = subprocess.run([alone / "skep", "check", path], capture_output=True, text=True, env={"PATH": str(alone)})
    assert run.returncode == 0, run.stderr
    first = run.stdout.splitlines()[0]
    assert first.startswith(f"note: {path}: its modules were not compiled: cannot run skepd")


# ---- the unit

UNIT = TOP / "packaging" / "systemd" / "skepd.service"


@pytest.mark.parametrize("line, key, advice", [
    ("listen: ['127.0.0.1:80']", "listen[0]", "skepd.socket"),
    ("metrics: {listen: '127.0.0.1:9'}", "metrics.listen", "skepd-metrics.socket"),
    ("egress: { deny: [a.test] }", "egress", "/run/skep-egress/egress.sock"),
    ("tenants: /home/me/tenants", "tenants", "/srv"),
    ("tenants: /tmp/tenants", "tenants", "/srv"),
    ("state: /srv/skep", "state", "/var/lib/skep"),
    ("admin_socket: /run/other/socket", "admin_socket", "/run/skep/admin.sock"),
    ("admin: {group: no-such-group}", "admin.group", "addgroup"),
])
def test_configuration_that_the_unit_does_not_allow_is_refused(folder, line, key, advice):
    path = folder / "skepd.yaml"
    path.write_text(f"log_level: info\n{line}\n")
    run = check("--unit", UNIT, path)
    assert run.returncode == 1
    found = [text for text in run.stdout.splitlines() if text.startswith(f"{path}:2: {key}: ")]
    assert len(found) == 1 and advice in found[0], run.stdout
    assert UNIT.name in found[0] or key == "admin.group"


def test_configuration_of_the_package_is_right_in_its_unit(folder):
    path = folder / "skepd.yaml"
    text = (TOP / "packaging" / "skepd.yaml").read_text()
    path.write_text(text.replace("admin: { group: skep }", "admin: { group: root }"))
    run = check("--unit", UNIT, path)
    assert run.returncode == 0, run.stdout


def test_without_a_unit_that_names_the_file_nothing_is_compared(folder):
    path = folder / "skepd.yaml"
    path.write_text("listen: ['127.0.0.1:80']\nadmin: {group: no-such-group}\n")
    assert check(path).returncode == 0
    assert check("--unit", folder / "none.service", path).returncode == 1
