# SPDX-License-Identifier: Apache-2.0
"""Man pages and guides against the programs: all that they name is there, and they name all that is there."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

import pytest

from dev_server import Dev
from harness import BIN, SKEPD, TOP, free_port, script, wait_for

MAN = TOP / "docs" / "man"
PAGES = ["skep.1", "skepd.8", "skep-egress.8", "skep.yaml.5", "skepd.yaml.5"]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def plain(page):
    """Returns a page as a reader sees it, without hyphenation, bold and line breaks."""
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc")
    shown = run("mandoc", "-Tutf8", "-Owidth=100", MAN / page)
    assert shown.returncode == 0, shown.stderr
    return re.sub(r"\s+", " ", re.sub(r".\x08", "", shown.stdout))


def words(text):
    return set(re.findall(r"[\w.-]*\w", text))


def section(text, start, end):
    return text[text.index(start) : text.index(end)]


@pytest.fixture(scope="module")
def told():
    """Returns skep's own description of its verbs."""
    return json.loads(run(BIN / "skep", "help", "--json").stdout)


# ---- man pages


@pytest.mark.parametrize("page", PAGES)
def test_mandoc_has_nothing_to_say_about_a_page(page):
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc")
    lint = run("mandoc", "-Tlint", "-Wwarning", MAN / page)
    assert (lint.returncode, lint.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_groff_has_nothing_to_say_about_a_page(page):
    if not shutil.which("groff"):
        pytest.skip("no groff")
    lint = run("groff", "-ww", "-mandoc", "-Tutf8", "-z", MAN / page)
    assert (lint.returncode, lint.stderr) == (0, "")


def of_verb(name):
    """The source of a verb's part of the page."""
    text = (MAN / "skep.1").read_text()
    found = re.search(rf"^\.It Sy {name}(?: .*)?\n((?:.|\n)*?)^(?:\.It Sy|\.Ss|\.Sh)", text, re.M)
    assert found, f"skep.1 has no verb {name}"
    return found[0]


def test_skep_1_has_every_verb_with_its_arguments_and_options(told):
    for verb in told["verbs"]:
        text = of_verb(verb["name"])
        for word in re.findall(r"[A-Z]{2,}", verb["arguments"]):
            assert re.search(rf"\.It .*\b{word}\b", text), f"{verb['name']}: no argument {word}"
        for option in verb["options"]:
            argument = f" (Ar|Cm) {re.sub('[|]', ' . ', option['argument'])}" if option["argument"] else ""
            letter = f"{option['letter']} , " if option["letter"] else ""
            wanted = rf"^\.It Fl {letter}-{option['name']}{argument}$"
            assert re.search(wanted, text, re.M), f"{verb['name']}: expected {wanted}"


def test_skep_1_has_every_field_of_json(told):
    for verb in told["verbs"]:
        help_text = verb["help"] or ""
        if "--json" not in help_text:
            continue
        fields = re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)+", help_text[help_text.index("--json") :])
        first = re.search(r"Fields of --json: (\w+)", help_text)
        fields += [first[1]] if first else []
        missing = set(fields) - words(of_verb(verb["name"]))
        assert not missing, f"{verb['name']}: skep.1 lacks {sorted(missing)}"


def test_skep_1_has_what_is_common_to_all_verbs(told):
    text = plain("skep.1")
    for option in told["options"]:
        assert f"--{option['name']}" in text
    for word in ("SKEP_SOCKET", "NO_COLOR", "/run/skep/admin.sock", "EXIT STATUS"):
        assert word in text


def test_skepd_8_has_every_option():
    usage = run(SKEPD, "--help").stdout
    options = set(re.findall(r"^ +--([a-z-]+)", usage, re.M))
    assert {"config", "check", "probe"} <= options
    text = (MAN / "skepd.8").read_text()
    for option in options:
        assert re.search(rf"Fl -{option}\b", text), f"skepd.8 lacks --{option}"


def examples(page):
    """Commands of the examples of a page."""
    text = (MAN / page).read_text()
    text = text[text.index(".Sh EXAMPLES") :]
    blocks = re.findall(r"^\.Bd -literal[^\n]*\n((?:.|\n)*?)^\.Ed", text, re.M)
    return [line for block in blocks for line in block.splitlines()]


def test_examples_of_skepd_8_work_from_the_folder_of_the_config(folder):
    """Runs the commands as they are written, with a relative path, which a reload finds again."""
    found = examples("skepd.8")
    assert "skepd --config skepd.yaml" in found and "skepd --config skepd.yaml --check" in found
    (folder / "tenants").mkdir()
    port, path = free_port(), f"{SKEPD.parent}:{BIN}:{os.environ['PATH']}"
    (folder / "skepd.yaml").write_text(
        f"listen: ['127.0.0.1:{port}']\ntenants: tenants\nadmin_socket: admin.sock\n"
    )
    environment = {**os.environ, "PATH": path, "SKEP_SOCKET": str(folder / "admin.sock")}
    options = {"cwd": folder, "env": environment}
    check = run(*shlex.split("skepd --config skepd.yaml --check"), **options)
    assert (check.returncode, check.stderr) == (0, "")
    command = shlex.split("skepd --config skepd.yaml")
    if not (SKEPD.parent / "skep-worker").exists():  # a build without a worker of its own
        command += ["--worker", BIN / "skep-worker"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options) as skepd:
        try:
            wait_for(lambda: run("skep", "status", **options).returncode == 0, "skepd to serve")
            reload = run("skep", "reload", **options)
            assert reload.returncode == 0, reload.stderr
        finally:
            skepd.terminate()
            _, log = skepd.communicate(timeout=30)
    assert skepd.returncode == 0, log


def known_keys(folder, file, text):
    """{mapping: its keys}, from what skep check expects in the place of keys that do not exist."""
    path = folder / file
    path.write_text(text)
    errors = run(BIN / "skep", "check", path if file == "skepd.yaml" else folder).stdout
    found = re.findall(r'unknown key "nonsense"(?: in ([\w.\[\]]+))?: expected one of (.*)', errors)
    return {place: keys.split(", ") for place, keys in found}


@pytest.fixture
def service_keys(folder):
    mappings = ["http", "admin", "metrics", "deploy", "jail", "limits", "log", "egress", "secrets", "storage"]
    lines = ["nonsense: 1", *(f"{name}: {{ nonsense: 1 }}" for name in mappings)]
    lines[2] = "admin: { nonsense: 1, read: { nonsense: 1 } }"
    lines[6] = "limits: { nonsense: 1, default: { nonsense: 1 } }"
    lines += ["cordons:", "  - name: a", "    nonsense: 1"]
    keys = known_keys(folder, "skepd.yaml", "\n".join(lines) + "\n")
    assert set(keys) == {"", *mappings, "admin.read", "limits.default", "cordons[0]"}
    return keys


def item(text, name):
    """The text of an item of a list in the source of a page."""
    found = re.search(rf"^\.It Sy {re.escape(name)}\n((?:.|\n)*?)^(?:\.It|\.El)", text, re.M)
    assert found, f"no item {name}"
    return re.sub(r"\s+", " ", re.sub(r"^\.(Ql|Sy|Pa|Ar|Xr) ", "", found[1], flags=re.M))


def example_of_config_md():
    """{key with its mapping: the value that docs/config.md gives it}."""
    block = re.search(r"```yaml\n(listen.*?)```", (TOP / "docs" / "config.md").read_text(), re.S)[1]
    values, mapping = {}, ""
    for line in block.splitlines():
        found = re.match(r"(\s*)(?:- )?(\w+):\s*([^#]*?)\s*(?:#.*)?$", line)
        if not found:
            continue
        if not found[1] and "- " not in line:
            mapping = found[2] + "." if not found[3] else ""
        values[(mapping if found[1] else "") + found[2]] = found[3]
    return values


def test_skepd_yaml_5_has_each_key_that_config_md_has_with_its_default(service_keys):
    text = (MAN / "skepd.yaml.5").read_text()
    values = example_of_config_md()
    for mapping, keys in service_keys.items():
        if mapping in ("admin.read", "limits.default"):
            continue
        prefix = {"": "", "http": "", "cordons[0]": ""}.get(mapping, mapping + ".")
        for key in keys:
            if mapping == "" and key in service_keys or key == "cordons":
                assert re.search(rf"^\.Ss {key}$", text, re.M), f"no section {key}"
                continue
            path = {"": "", "cordons[0]": "cordons."}.get(mapping, mapping + ".") + key
            if path not in values and not re.search(rf"^\.It Sy {re.escape(prefix + key)}$", text, re.M):
                continue  # `skep schema --text` has it
            told = item(text, prefix + key)
            value = values.get(path, "")
            if re.fullmatch(r"\d+|on|off|never|info|auto", value):
                assert re.search(rf"[Dd]efault: {value}\b", told), f"{path}: {told}"
    for key in service_keys["admin.read"]:
        assert f".Sy {key}" in text


def test_skep_yaml_5_has_every_key_and_limit(folder):
    keys = known_keys(folder, "skep.yaml", "name: x\nmain: a.js\nnonsense: 1\nlimits: { nonsense: 1 }\n")
    text = (MAN / "skep.yaml.5").read_text()
    for key in keys[""]:
        item(text, key)
    rows = limits_of_docs()
    assert set(rows) == set(keys["limits"])
    for name, (preset, least, most) in rows.items():
        told = item(text, name)
        assert f"default: {preset}." in told, told
        assert f"{least} to {most};" in told, told


def limits_of_docs():
    """{limit: (default, least, most)} of docs/limits.md."""
    text = section((TOP / "docs" / "limits.md").read_text(), "## Limits of a tenant\n", "### Effects")
    rows = {}
    for line in text.splitlines():
        if found := re.match(r"\| `(\w+)` \| ([\w /]+) \| ([\d ]+) to ([\d ]+) \|", line):
            preset = re.sub(r"(?<=\d) (?=\d)", "", found[2]).split(" ")[0]
            rows[found[1]] = (preset, found[3].replace(" ", ""), found[4].replace(" ", ""))
    return rows


# ---- codes in the docs


def test_errors_md_has_every_code_with_its_status():
    text = (TOP / "docs" / "errors.md").read_text()
    table = (TOP / "common" / "error_codes.c").read_text()
    rows = re.findall(r'\{ "([a-z_]+)",\s+"[^"]*",\s+([45]\d\d),', table)
    assert len(rows) > 10
    for code, status in rows:
        assert re.search(rf"^\| `{code}` \| {status}\b", text, re.M), f"errors.md lacks {code} {status}"


# ---- links


@pytest.mark.parametrize("name", [
    str(path.relative_to(TOP)) for folder in ("", "docs") for path in sorted((TOP / folder).glob("*.md"))
])
def test_links_lead_to_files(name):
    path = TOP / name
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not re.match(r"[a-z]+:", link):
            assert (path.parent / link).exists(), f"{name}: {link}"


# ---- guides: their blocks are files, commands, and the output of these


def blocks(name):
    """(language, words behind it, text) of each fenced block."""
    text = (TOP / "docs" / name).read_text()
    return [
        (found[1], found[2].split(), found[3])
        for found in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.M | re.S)
    ]


class Guide:
    """Does what a reader would do who types in the blocks one after the other. address: the server's, in place
    of 127.0.0.1:8080; log: returns the server's log."""

    def __init__(self, folder, address, socket, log):
        self.folder, self.address, self.log = folder, address, log
        self.environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "SKEP_SOCKET": str(socket),
        }
        self.printed, self.n_run = "", 0
        told = json.loads(run(BIN / "skep", "help", "--json").stdout)
        self.verbs = {verb["name"] for verb in told["verbs"]}

    def write(self, words, text):
        for word in words:
            if word.startswith("file="):
                path = self.folder / word[5:]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    def take(self, language, words, text):
        needs = [word[6:] for word in words if word.startswith("needs=")]
        if not set(needs) <= self.verbs:
            return
        if language == "sh" and "run" in words:
            text = text.replace("127.0.0.1:8080", self.address)
            done = run("bash", "-euo", "pipefail", "-c", text, cwd=self.folder, env=self.environment)
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
            self.printed, self.n_run = done.stdout, self.n_run + 1
        elif "output" in words:
            for line in text.splitlines():
                assert line in self.printed, f"{line!r} is not in\n{self.printed}"
        elif "log" in words:
            wait_for(lambda: text in self.log(), f"in the log:\n{text}")


def test_examples_of_tenant_md_do_what_it_says(folder):
    output = pathlib.Path(tempfile.mkdtemp(dir=folder))
    guide = Guide(folder, None, "/nowhere", None)
    for language, words, text in blocks("tenant.md"):
        guide.write(words, text)
    served = Dev(output, folder / "shop")
    try:
        guide.address, guide.log = f"127.0.0.1:{served.port}", served.output
        for block in blocks("tenant.md"):
            guide.take(*block)
    finally:
        served.stop()
    assert guide.n_run >= 3


def test_tenant_md_names_each_web_api_that_there_is(start):
    everything = """const names = [];
        for (let o = globalThis; o !== Object.prototype; o = Object.getPrototypeOf(o))
            names.push(...Object.getOwnPropertyNames(o));
        return Response.json(names.filter((name) => name !== "constructor"))"""
    skepd = start({"all": script(everything)})
    globals_there = set(json.loads(skepd.get("all").text))
    text = section((TOP / "docs" / "tenant.md").read_text(), "<!-- apis", "<!-- end -->")
    named = set(re.findall(r"`(\w+)`", text))
    # The globals of ECMAScript.
    known = {
        "AggregateError", "Array", "ArrayBuffer", "AsyncDisposableStack", "Atomics", "BigInt", "BigInt64Array",
        "BigUint64Array", "Boolean", "DataView", "Date", "DisposableStack", "Error", "EvalError",
        "Float16Array", "Float32Array", "Float64Array", "Function", "Infinity", "Int16Array", "Int32Array",
        "Int8Array", "Intl", "Iterator", "JSON", "Map", "Math", "NaN", "Number", "Object", "Promise", "Proxy",
        "RangeError", "ReferenceError", "Reflect", "RegExp", "Set", "String", "SuppressedError", "Symbol",
        "SyntaxError", "TypeError", "URIError", "Uint16Array", "Uint32Array", "Uint8Array",
        "Uint8ClampedArray", "WeakMap", "WeakSet", "decodeURI", "decodeURIComponent", "encodeURI",
        "encodeURIComponent", "escape", "eval", "globalThis", "isFinite", "isNaN", "parseFloat", "parseInt",
        "undefined", "unescape",
    }
    assert named == globals_there - known
    assert known <= globals_there


def test_examples_of_operator_md_do_what_it_says(start, folder):
    keys = {"state": str(folder / "state")}
    (folder / "state").mkdir(mode=0o700)
    skepd = start({}, **keys)
    guide = Guide(folder, f"127.0.0.1:{skepd.port}", skepd.admin_socket, skepd.log)
    for block in blocks("operator.md"):
        guide.write(*block[1:])
        guide.take(*block)
    if "deploy" in guide.verbs:
        assert guide.n_run >= 2


def test_example_of_bindings_md_works(start):
    text = (TOP / "docs" / "bindings.md").read_text()
    tenants = {"shop": {}, "prices": {"worker.js": (TOP / "examples" / "prices" / "worker.js").read_text()}}
    for file, tenant, content in re.findall(r"```(?:yaml|js)\n(?:#|//) (\S+) of (\w+)\n(.*?)```", text, re.S):
        tenants[tenant][file] = content
    skepd = start({name: {"files": files} for name, files in tenants.items()})
    assert skepd.get("shop.localhost").text == 'apples cost {"fruit":"apples","price":3,"asked_by":"shop"}'


def test_examples_of_storage_md_do_what_it_says(start):
    text = (TOP / "docs" / "storage.md").read_text()
    files = dict(re.findall(r"```(?:yaml|js)\n(?:#|//) (\S+) of guestbook\n(.*?)```", text, re.S))
    handlers = dict(re.findall(r"```js\n// ([\w-]+), in a handler\n(.*?)```", text, re.S))
    bindings = [{"name": "KV", "kv": "main"}, {"name": "DB", "sql": "main"}]
    tenants = {
        name: {"bindings": bindings, "files": {"worker.js": script(f"const {{ DB, KV }} = env; {handlers[title]}")}}
        for name, title in (("kv", "key-value"), ("sql", "SQL"))
    }
    skepd = start({"guestbook": {"files": files}, **tenants}, storage={"folder": "data"})
    assert skepd.get("guestbook.localhost").json() == {"visits": 1, "entries": []}
    assert skepd.post("guestbook.localhost", b"hello").json() == {"visits": 2, "entries": ["hello"]}
    assert skepd.get("kv").json() == {
        "name": "Ada", "value": '{"name":"Ada"}', "plan": "free", "missing": None, "first": "user:7", "list_complete": True, "gone": None,
    }
    assert skepd.get("sql").json() == {
        "results": [{"name": "apple", "price": 0.5}], "read": True, "price": 0.75, "rows": [["name", "price"], ["apple", 0.5], ["pear", 0.75]],
    }


def test_configurations_of_operator_md_are_valid(folder):
    names = []
    for language, words, text in blocks("operator.md"):
        if language == "yaml" and words and not words[0].endswith("skep.yaml"):
            names.append(words[0])
            path = folder / words[0].removeprefix("file=")
            path.write_text(text)
            check = run(BIN / "skep", "check", path)
            assert check.returncode == 0, check.stdout
    assert len(names) >= 3


def block_of(name):
    return next(text for _, words, text in blocks("operator.md") if words == [f"file={name}"])


def certificate(folder):
    """A key and its certificate in one file, as both proxies take it."""
    path = folder / "pair.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.example.com"]
    made = run(*command, "-keyout", folder / "key", "-out", folder / "cert")
    assert made.returncode == 0, made.stderr
    path.write_text((folder / "cert").read_text() + (folder / "key").read_text())
    return path


def nginx(folder, text, port, to_port, pair):
    text = text.replace("listen 443", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{to_port}")
    text = re.sub(r"/etc/ssl/\S+(?=;)", str(pair), text)
    # The lines that a distribution's nginx.conf has around it.
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "whole.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/errors;\nevents {{}}\n"
        f"http {{ access_log off;\n{paths}{text} }}\n"
    )
    return ["nginx", "-p", folder, "-e", folder / "errors", "-c", folder / "whole.conf"]


def haproxy(folder, text, port, to_port, pair):
    text = text.replace("bind :443", f"bind 127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{to_port}")
    (folder / "whole.cfg").write_text(text.replace("/etc/ssl/example.com.pem", str(pair)))
    return ["haproxy", "-db", "-f", folder / "whole.cfg"]


@pytest.mark.parametrize("proxy, file", [(nginx, "nginx.conf"), (haproxy, "haproxy.cfg")])
def test_proxy_of_operator_md_serves_a_tenant_over_tls(start, folder, proxy, file):
    path = f"{os.environ['PATH']}:/usr/sbin"
    if not shutil.which(proxy.__name__, path=path) or not shutil.which("openssl"):
        pytest.skip(f"no {proxy.__name__} or no openssl")
    show = "return new Response(new URL(request.url).host + ' ' + request.headers.get('x-forwarded-for'));"
    skepd = start({"t": {"routes": ["a.example.com/*"], "files": {"worker.js": script(show)}}})
    port = free_port()
    command = proxy(folder, block_of(file), port, skepd.port, certificate(folder))
    process = subprocess.Popen(command, env={**os.environ, "PATH": path}, stderr=subprocess.PIPE)
    try:
        url = f"https://a.example.com:{port}/"
        ask = ["curl", "-sk", "--resolve", f"a.example.com:{port}:127.0.0.1", url]
        answer = wait_for(lambda: run(*ask).stdout, f"an answer through {proxy.__name__}")
        assert answer.split(":")[0].split(" ")[0] == "a.example.com"
        assert answer.endswith(" 127.0.0.1")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_readmes_way_from_the_package_to_a_tenant(start, folder):
    """Tests all but the installation, which tests/vm does."""
    text = section((TOP / "README.md").read_text(), "## From the package", "## While you write")
    script_text = re.search(r"```sh\n(.*?)```", text, re.S)[1]
    (folder / "state").mkdir(mode=0o700)
    skepd = start({}, state=str(folder / "state"))
    guide = Guide(folder, f"127.0.0.1:{skepd.port}", skepd.admin_socket, skepd.log)
    if "deploy" not in guide.verbs:
        pytest.skip("there is no skep deploy")
    lines = [line for line in script_text.splitlines() if not line.startswith("apt ")]
    guide.take("sh", ["run"], "\n".join(lines).replace("logs --follow", "logs"))
    assert "hello from hello.example.com" in guide.printed


@pytest.mark.parametrize("name", sorted(path.parent.name for path in TOP.glob("bench/*/run.py")))
def test_the_help_of_a_benchmark_needs_no_build(name):
    clean = {key: value for key, value in os.environ.items() if key != "SKEP_BIN"}
    shown = run(TOP / "scripts" / "bench", name, "--rounds", "3", "--help", env=clean)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: scripts/bench {name} ")
    # -S: only Python's own packages.
    bare = run("python3", "-S", "-B", TOP / "bench" / name / "run.py", "--help", env=clean)
    assert (bare.returncode, bare.stderr) == (0, "")


PATH = re.compile(r"`((?:common|config|proto|sandbox-policy|helper|spawner|store|supervisor|worker|cli|tests|scripts|docs|bench"
                  r"|packaging|examples|cmake)/[\w./{},*-]+)`")


def expand(path):
    """Returns the paths that the text names: `a.{h,c}` is two."""
    found = re.fullmatch(r"(.*)\{([\w,]+)\}(.*)", path)
    return [found[1] + part + found[3] for part in found[2].split(",")] if found else [path]


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md", "sandbox-policy/README.md", "proto/PROTOCOL.md"])
def test_paths_that_a_page_names_are_there(page):
    named = [path for found in PATH.findall((TOP / page).read_text()) for path in expand(found)]
    assert named
    assert [path for path in named if not any(TOP.glob(path.rstrip("/")))] == []


def test_functions_on_the_walks_are_there():
    page = (TOP / "docs/architecture.md").read_text()
    walks = page[page.index("### The walks") : page.index("In `worker/`")]
    sources = "".join(path.read_text() for path in (TOP / "supervisor").rglob("*.[ch]"))
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", walks))
    assert len(named) > 20
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", sources)] == []
