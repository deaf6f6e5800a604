# SPDX-License-Identifier: Apache-2.0
"""allowed_hosts of skep.yaml and egress of skepd.yaml: how they are checked, shown, and carried from version to version."""

import json
import re
import subprocess

import pytest
from deploying import deployer, reload_with, say  # noqa: F401

from harness import BIN, cordon, script, wait_for

TENANT = {"name": "a", "main": "worker.js"}


def check(*arguments):
    return subprocess.run([BIN / "skep", "check", *arguments], capture_output=True, text=True, timeout=30)


def tenant(text, **keys):
    return {"files": {"worker.js": script(f"return new Response({json.dumps(text)})")}, **keys}


def hosts_of(skepd, name):
    return json.loads(skepd.skep("explain", name, "--json").stdout)["allowed_hosts"]


# ---- errors


RULES = {
    "https://user:secret@a.test": "expected no user and password",
    "a.*.test": 'expected "*" alone or as in "*.example.com"',
    "b\u00fccher.test": "xn--",
    "a.test:25": "expected a port that browsers do not block",
    "ftp://a.test": "expected http:// or https://",
    "get a.test": "expected methods in upper case",
    "TRACE a.test": "CONNECT, TRACE and TRACK",
    "GET": "expected a host behind the methods",
    "a.test/v1/*": 'expected a path without "*"',
    "a.test/../x": 'expected a path without',
    "*.10.0.0.1": 'expected no "*" before an address',
    "A.Test.": 'duplicate rule "A.Test."',
}


def test_each_wrong_rule_is_told_with_its_line(folder):
    rules = ["a.test", *RULES]
    text = "name: a\nmain: worker.js\nallowed_hosts:\n" + "".join(f"  - {json.dumps(rule)}\n" for rule in rules)
    (folder / "skep.yaml").write_text(text)
    (folder / "worker.js").write_text(script("return new Response()"))
    run = check(folder)
    assert run.returncode == 1
    lines = run.stdout.splitlines()
    assert len(lines) == len(RULES), run.stdout
    for number, (line, expected) in enumerate(zip(lines, RULES.values()), 1):
        assert f"skep.yaml:{number + 4}: allowed_hosts[{number}]: " in line, line
        assert expected in line, line
    assert "secret" not in run.stdout


def test_more_rules_than_there_may_be_are_refused(folder):
    (folder / "worker.js").write_text(script("return new Response()"))
    for count, status in ((64, 0), (65, 1)):
        rules = [f"a{i}.test" for i in range(count)]
        (folder / "skep.yaml").write_text(json.dumps({**TENANT, "allowed_hosts": rules}))
        run = check(folder)
        assert run.returncode == status, run.stdout
    assert "65 entries are too many: expected at most 64" in run.stdout


def test_rules_that_allow_nothing_are_notes(folder):
    (folder / "t").mkdir()
    (folder / "t" / "worker.js").write_text(script("return new Response()"))
    rules = ["http://10.0.0.7", "b.test", "c.test"]
    (folder / "t" / "skep.yaml").write_text(json.dumps({**TENANT, "allowed_hosts": rules}, indent=1))
    alone = json.loads(check("--json", folder / "t").stdout)
    assert alone["ok"] and [note["line"] for note in alone["notes"]] == [5]
    assert "the host is a private address" in alone["notes"][0]["text"]
    config = folder / "skepd.yaml"
    lists = [
        ({}, ["this skepd has no way out"]),
        ({"egress": {}}, ["the host is a private address"]),
        (
            {"egress": {"addresses": ["10.0.0.0/8"], "deny": ["b.test"], "allow": ["http://10.0.0.7", "b.test"]}},
            ["egress.deny of skepd.yaml has the host", "egress.allow in skepd.yaml does not have the host"],
        ),
        ({"egress": {"addresses": ["10.0.0.0/8"]}}, []),
    ]
    for keys, words in lists:
        config.write_text(json.dumps({"tenants": str(folder), **keys}))
        told = json.loads(check("--json", config).stdout)
        assert told["ok"], told
        notes = [note["text"] for note in told["notes"] if "allowed_hosts" in note["text"]]
        assert len(notes) == len(words), notes
        for note, word in zip(notes, words):
            assert word in note


# ---- the log, explain, a reload


def test_tenant_with_rules_is_served_where_there_is_no_way_out_and_the_log_says_so(start):
    skepd = start({"a": tenant("one", allowed_hosts=["b.test"]), "c": tenant("two")})
    assert skepd.get("a").text == "one"
    skepd.wait_log(r"skep\.yaml:1: allowed_hosts: this skepd has no way out: expected egress: \{\} in its skepd\.yaml")
    assert skepd.log().count("no way out") == 1
    assert hosts_of(skepd, "a") == [
        "b.test, allows nothing: this skepd has no way out: expected egress: {} in its skepd.yaml, without fetch: off"
    ]
    assert hosts_of(skepd, "c") == []


def test_reload_with_other_rules_is_a_new_version(start):
    rules = ["GET,HEAD https://b.test:443/v1", "http://10.0.0.7:8080"]
    skepd = start(
        {"a": tenant("one", allowed_hosts=rules)}, egress={"deny": ["c.test"]}, cordons=[cordon()]
    )
    private = "http://10.0.0.7:8080, allows nothing: the host is a private address"
    told = hosts_of(skepd, "a")
    assert told[0] == "GET,HEAD b.test/v1" and told[1].startswith(private)
    assert "may fetch  GET,HEAD b.test/v1\n" in skepd.skep("explain", "a").stdout
    assert "a" not in skepd.skep("reload").stdout.split()
    # Another rule alone: the same files, and a new version all the same.
    skepd.write_tenant("a", tenant("one", allowed_hosts=["b.test"]))
    run = skepd.skep("reload")
    assert "tenant a: changed" in run.stdout, run.stdout + run.stderr
    wait_for(lambda: hosts_of(skepd, "a") == ["b.test"], "the new rules")
    # A version that does not load leaves the rules as they are.
    skepd.write_tenant("a", {"files": {"worker.js": "nonsense("}, "allowed_hosts": ["d.test"]})
    assert skepd.skep("reload").returncode == 0
    skepd.wait_log("the new version does not load")
    assert hosts_of(skepd, "a") == ["b.test"]
    # A broken rule is named, and the version before serves on.
    skepd.write_tenant("a", tenant("two", allowed_hosts=["b.test:25"]))
    run = skepd.skep("reload")
    assert run.returncode == 1 and "expected a port that browsers do not block" in run.stdout + run.stderr
    assert hosts_of(skepd, "a") == ["b.test"] and skepd.get("a").text == "one"


def test_reload_applies_the_lists_of_the_operator_at_once(start):
    skepd = start({"a": tenant("one", allowed_hosts=["b.test", "http://10.0.0.7"])}, egress={})
    skepd.config["egress"] = {"deny": ["b.test"], "addresses": ["10.0.0.0/8"], "ca": "/more.pem", "fetch": "off"}
    skepd.config["cordons"][0]["allowed_hosts"] = ["b.test", "http://10.0.0.7"]
    skepd.write_config()
    run = skepd.skep("reload")
    assert run.returncode == 0, run.stdout + run.stderr
    restart = "needs a restart; `skep upgrade` does it without losing a request"
    for line in (
        "egress.deny: not set \u2192 [b.test]",
        "egress.addresses: not set \u2192 [10.0.0.0/8]",
        f"egress.ca: not set \u2192 /more.pem: {restart}",
        f"egress.fetch: on \u2192 off: {restart}",
        "cordons.default.allowed_hosts: not set \u2192 [b.test, http://10.0.0.7]",
    ):
        assert line in run.stdout.splitlines(), run.stdout
    assert hosts_of(skepd, "a") == [
        "b.test, allows nothing: egress.deny of skepd.yaml has the host",
        "http://10.0.0.7",
    ]


# ---- deploys


def test_rules_are_those_of_the_version_that_serves(deployer):  # noqa: F811
    skepd = deployer.skepd
    first = deployer.deploy("shop", say("one"), allowed_hosts=["a.test"])["version"]
    skepd.wait_log("allowed_hosts: this skepd has no way out")
    second = deployer.deploy("shop", say("one"), allowed_hosts=["b.test"])["version"]
    assert first != second
    assert hosts_of(skepd, "shop")[0].startswith("b.test")
    deployer.restart()
    assert hosts_of(skepd, "shop")[0].startswith("b.test")
    assert skepd.skep("rollback", "shop").returncode == 0
    assert hosts_of(skepd, "shop")[0].startswith("a.test")
    deployer.restart()
    assert hosts_of(skepd, "shop")[0].startswith("a.test")
    # Other limits make a version of a copy.
    reload_with(deployer, limits={"maximum": {"heap_mib": 32}})
    wait_for(lambda: deployer.text("shop") == "one", "the copy")
    assert hosts_of(skepd, "shop")[0].startswith("a.test")


def test_check_of_a_tenant_alone_says_what_skep_dev_reaches(folder):
    (folder / "worker.js").write_text(script("return new Response()"))
    (folder / "skep.yaml").write_text(json.dumps({**TENANT, "allowed_hosts": ["http://127.0.0.1:3000"]}))
    run = check(folder)
    assert run.returncode == 0
    assert run.stdout.splitlines()[0] == (
        f'note: {folder}/skep.yaml:1: allowed_hosts: "http://127.0.0.1:3000" is reached by skep dev alone; '
        "on a service the operator must name 127.0.0.1 in egress.addresses"
    )


def test_deploy_tells_the_notes_of_skepd_and_refuses_broken_rules(deployer):  # noqa: F811
    rules = ["http://127.0.0.1:3000", "http://10.0.0.7"]
    bundle = deployer.bundle("shop", say("one"), allowed_hosts=rules)
    run = deployer.skepd.skep("deploy", bundle)
    assert run.returncode == 0 and "loopback" not in run.stderr and "skep dev" not in run.stderr
    assert re.search(r"^note: skep\.yaml:\d+: allowed_hosts: this skepd has no way out", run.stderr, re.M), run.stderr
    line = deployer.skepd.wait_log(r"[^\n]*no way out[^\n]*").group()
    assert "skep.yaml:" in line and "shop" in line and "versions/" not in line
    reload_with(deployer, cordons=[cordon(addresses=["127.0.0.0/8"], allowed_hosts=["*", "http://*:3000"])], egress={})
    deployer.restart()
    told = json.loads(deployer.skepd.skep("deploy", bundle, "--json").stdout)
    assert told["unchanged"] and len(told["notes"]) == 1
    assert re.match(
        r'skep\.yaml:\d+: allowed_hosts: "http://10.0.0.7" allows nothing: allowed_hosts of its cordon has no rule for '
        "http and port 80$",
        told["notes"][0],
    )
    run = deployer.skepd.skep("deploy", deployer.bundle("shop", say("two"), allowed_hosts=["a@b.test"]))
    assert run.returncode == 1
    assert "expected no user and password" in run.stderr
    assert deployer.text("shop") == "one"
