# SPDX-License-Identifier: Apache-2.0
"""`skep schema` and `skep explain` of codes and keys: the rows agree with the reader of the files."""

import json
import re
import subprocess

import pytest

from harness import BIN, TOP

FILES = ["skepd.yaml", "skep.yaml"]
TENANT = {"name": "a", "main": "worker.js"}


def skep(*arguments):
    return subprocess.run([BIN / "skep", *arguments], capture_output=True, text=True, timeout=60)


def schema(name):
    run = skep("schema", name)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def refuses(folder, name, value):
    """Returns what skep check says about a file with that value; "" if the value is right. JSON is YAML."""
    (folder / "worker.js").write_text("export default { fetch() {} }\n")
    path = folder / name
    path.write_text(json.dumps(value))
    run = skep("check", path)
    assert run.returncode in (0, 1)
    return run.stdout if run.returncode else ""


def leaves(node, place=()):
    """Yields (place, schema) of each value of a schema; None in a place is an entry of a list."""
    if "properties" in node:
        for name, inner in node["properties"].items():
            yield from leaves(inner, place + (name,))
    elif node.get("type") == "array" and "properties" in node["items"]:
        yield from leaves(node["items"], place + (None,))
    else:
        yield place, node


def document(place, value):
    for name in reversed(place):
        value = [{"name": "default", **value}] if name is None else {name: value}
    return value


def numbers(name):
    whole = schema(name)
    for place, node in leaves(whole):
        number = node.get("anyOf", [node])[0]
        if number.get("type") == "integer":
            yield place, number
    limits = ("limits",) if name == "skep.yaml" else ("limits", "maximum")
    for limit, node in whole["$defs"]["limits"]["properties"].items():
        yield (*limits, limit), node.get("anyOf", [node])[0]


@pytest.mark.parametrize("name", FILES)
def test_schema_is_a_schema(name):
    jsonschema = pytest.importorskip("jsonschema")
    whole = schema(name)
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(whole)


@pytest.mark.parametrize("name", FILES)
def test_bounds_of_the_schema_are_those_of_the_reader(folder, name):
    base = TENANT if name == "skep.yaml" else {}
    seen = 0
    for place, number in numbers(name):
        if place[-1] == "solitary":  # the bounds depend on `workers`
            continue
        least, most = number["minimum"], number["maximum"]
        for value in (least, most):
            assert refuses(folder, name, {**base, **companions(place, value)}) == "", place
        for value in (least - 1, most + 1):
            told = refuses(folder, name, {**base, **companions(place, value)})
            assert "expected" in told, (place, value)
        seen += 1
    assert seen >= 20


def companions(place, value):
    """Returns a document with the value, and with the keys that it needs beside it."""
    made = document(place, value)
    if place[0] == "metrics":
        made["metrics"]["listen"] = "127.0.0.1:1"
    return made


@pytest.mark.parametrize("name", FILES)
def test_every_default_of_the_schema_is_right(folder, name):
    base = TENANT if name == "skep.yaml" else {}
    for place, node in leaves(schema(name)):
        if "default" in node and not (place[0] == "cordons" and place[-1] == "name"):
            assert refuses(folder, name, {**base, **companions(place, node["default"])}) == "", place


@pytest.mark.parametrize("name, value, is_right", [
    ("skepd.yaml", {"listen": ["127.0.0.1:80"], "cordons": [{"name": "a", "jit": "baseline"}]}, True),
    ("skepd.yaml", {"cordons": [{"name": "a", "workers": "solitary", "jit": True}]}, True),
    ("skepd.yaml", {"cordons": [{"workers": 1}]}, False),
    ("skepd.yaml", {"cordons": [{"name": "a", "wrkers": 1}]}, False),
    ("skepd.yaml", {"http": {"keepalive_ms": "long"}}, False),
    ("skepd.yaml", {"log_level": "loud"}, False),
    ("skepd.yaml", {"egress": {"dns": ["192.0.2.1"], "allow": ["GET a.test/v1"], "deny": ["*"], "addresses": []}}, True),
    ("skepd.yaml", {"egress": {"fetch": "maybe"}}, False),
    ("skepd.yaml", {"egress": {"dns": []}}, False),
    ("skepd.yaml", {"egress": {"allow": "a.test"}}, False),
    ("skepd.yaml", {"cordons": [{"name": "a", "allowed_hosts": [], "addresses": ["10.0.0.0/8"]}]}, True),
    ("skepd.yaml", {"limits": {"observe": ["cpu_ms", "strikes"], "default": {"cpu_ms": 5}}}, True),
    ("skepd.yaml", {"limits": {"observe": ["weight"]}}, False),
    ("skepd.yaml", {"jail": {"minimum": "reduced", "without": ["user"]}}, True),
    ("skepd.yaml", {"jail": {"without": ["seccomp"]}}, False),
    ("skep.yaml", {**TENANT, "env": {"A": "b", "N": 5, "ON": True}, "after_stop": "reuse"}, True),
    ("skep.yaml", {**TENANT, "limits": {"hung_ms": "off"}}, True),
    ("skep.yaml", {**TENANT, "limits": {"heap_mib": "unlimited"}}, False),
    ("skep.yaml", {**TENANT, "bindings": [{"name": "B", "service": "b"}], "callers": ["c"]}, True),
    ("skep.yaml", {**TENANT, "allowed_hosts": ["GET,HEAD https://a.test:*/v1"]}, True),
    ("skep.yaml", {**TENANT, "allowed_hosts": [f"a{i}.test" for i in range(65)]}, False),
    ("skep.yaml", {**TENANT, "allowed_hosts": {"a.test": "GET"}}, False),
    ("skep.yaml", {**TENANT, "bindings": [{"name": "B"}]}, False),
    ("skep.yaml", {"name": "a"}, False),
])
def test_schema_and_reader_agree(folder, name, value, is_right):
    jsonschema = pytest.importorskip("jsonschema")
    assert (refuses(folder, name, value) == "") is is_right
    assert jsonschema.Draft202012Validator(schema(name)).is_valid(value) is is_right


def test_examples_fit_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    yaml = pytest.importorskip("yaml")
    validator = jsonschema.Draft202012Validator(schema("skep.yaml"))
    found = sorted((TOP / "examples").glob("*/skep.yaml"))
    assert found
    for path in found:
        validator.validate(yaml.safe_load(path.read_text()))


def test_text_has_each_key_once_with_its_default():
    for name in FILES:
        text = skep("schema", "--text", name).stdout
        for place, node in leaves(schema(name)):
            key = ".".join(part for part in place if part).replace("cordons.", "cordons[].")
            key = key.replace("bindings.", "bindings[].").replace("secrets.given.", "secrets.given[].")
            key = key.replace("secrets.", "secrets[].") if name == "skep.yaml" else key
            assert len(re.findall(rf"^{re.escape(key)}$", text, re.M)) == 1, key


def test_schema_of_another_file_is_refused():
    run = skep("schema", "package.json")
    assert run.returncode == 2 and "expected skepd.yaml or skep.yaml" in run.stderr


# ---- explain


def plain(text):
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").strip()


def test_each_code_is_explained_as_errors_md_does():
    text = (TOP / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d\d\d)[^|]* \| ([^|]+) \| ([^|]+) \|$", text, re.M)
    assert len(rows) >= 25
    for code, status, when, advice in rows:
        told = json.loads(skep("explain", code, "--json").stdout)
        assert told["status"] == int(status)
        assert (told["when"], told["advice"]) == (plain(when), plain(advice)), code
        assert told["causes"]
        shown = skep("explain", code).stdout
        assert told["title"] in shown and told["advice"] in shown


@pytest.mark.parametrize("name, line", [
    ("http.connections", "skepd.yaml: http.connections"),
    ("keepalive_ms", "skepd.yaml: http.keepalive_ms"),
    ("rss_mib", "skepd.yaml: cordons[].rss_mib"),
    ("after_stop", "skep.yaml: after_stop"),
    ("cpu_ms", "limits.cpu_ms"),
    ("limits.queue", "limits.queue"),
])
def test_key_is_explained_without_skepd(name, line):
    run = skep("explain", name)
    assert run.returncode == 0, run.stderr
    assert line in run.stdout.splitlines()
    assert "  allowed  " in run.stdout and "  default  " in run.stdout


@pytest.mark.parametrize("name, lines", [
    ("egress", ["skepd.yaml: egress", "    addresses              addresses and prefixes"]),
    ("secrets", ["skepd.yaml: secrets", "skep.yaml: secrets", "    inject.host            the one host"]),
    ("inject", ["skep.yaml: secrets.inject", "    header                 "]),
    ("admin.read", ["skepd.yaml: admin.read", "    uids                   "]),
    ("subrequests", ["limits.subrequests"]),
    ("cordons.addresses", ["skepd.yaml: cordons[].addresses"]),
])
def test_mappings_and_limits_are_explained_by_their_own_names(name, lines):
    run = skep("--socket", "/nowhere", "explain", name)
    assert run.returncode == 0, run.stderr
    for line in lines:
        assert f"\n{line}" in f"\n{run.stdout}", run.stdout
    assert ("skep explain --tenant " in run.stdout) == ("." not in name)


def test_mappings_have_descriptions_in_the_schema():
    config = json.loads(skep("schema", "skepd.yaml").stdout)["properties"]
    assert "skep-egress" in config["egress"]["description"] and "key" in config["secrets"]["description"]
    assert all("description" in schema for schema in config.values())


def test_deployed_tenant_is_explained_by_the_folder_and_name_of_its_version(start, folder):
    state, source = folder / "state", folder / "shop"
    state.mkdir(mode=0o700)
    source.mkdir()
    (source / "skep.yaml").write_text("name: shop\nmain: worker.js\n")
    skepd = start({}, state=str(state))
    for answer in ("one", "two"):
        (source / "worker.js").write_text(f"export default {{ fetch: () => new Response('{answer}') }};\n")
        deployed = json.loads(skepd.skep("deploy", source, "--json").stdout)
        told = json.loads(skepd.skep("explain", "shop", "--json").stdout)
        version = deployed["version"]
        assert told["deployed"] == version
        assert told["file"] == f"{state}/tenants/shop/versions/{version}/bundle/skep.yaml"
        assert version[:12] in skepd.skep("explain", "shop").stdout
    # A tenant may have the name of a code.
    (source / "skep.yaml").write_text("name: hung\nmain: worker.js\n")
    assert skepd.skep("deploy", source).returncode == 0
    assert json.loads(skepd.skep("explain", "--tenant", "hung", "--json").stdout)["tenant"] == "hung"
