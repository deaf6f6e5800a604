# SPDX-License-Identifier: Apache-2.0
"""The places that fetch() of tenants reaches and does not reach: allowed_hosts, the operator's lists, addresses, redirects; with real
servers and a resolver of the test."""

import json
import socket
import subprocess

import pytest

from harness import BIN, wait_for
from test_fetch import Upstream, certificates, resolver, upstream  # noqa: F401

pytestmark = pytest.mark.skipif(not (BIN / "skep-egress").exists(), reason="no skep-egress was built")

ANY = ["*:*", "http://*:*"]
# Fetches each URL of the body, "METHOD URL" in each line, and answers with the bodies or the errors.
ASK = """
export default {
    async fetch(request) {
        const ask = async (line) => {
            const [method, url] = line.split(" ");
            try {
                const answer = await fetch(url, { method });
                return `${answer.status} ${await answer.text()}`;
            } catch (e) {
                return `${e.name}: ${e.message}`;
            }
        };
        const told = [];
        for (const line of (await request.text()).split("\\n")) told.push(await ask(line));
        return Response.json(told);
    },
};
"""


def asking(*rules, **manifest):
    return {"files": {"worker.js": ASK}, "allowed_hosts": list(rules), **manifest}


def ask(skepd, tenant, *lines):
    answer = skepd.post(tenant, "\n".join(lines).encode())
    assert answer.status == 200, answer.body
    told = json.loads(answer.body)
    return told if len(lines) > 1 else told[0]


@pytest.fixture
def serve(start, resolver):  # noqa: F811
    def serve(tenants, egress=None, **config):
        named = {"dns": [f"127.0.0.1:{resolver.server_address[1]}"], "addresses": ["127.0.0.0/8", "::1"]}
        return start(tenants, egress={**named, **(egress or {})}, **config)

    return serve


def lines_of(skepd, tenant):
    return skepd.skep("logs", tenant).stdout


# ---- rules of the tenant


def test_each_part_of_a_rule_counts_and_the_error_says_which(serve, upstream):  # noqa: F811
    port = upstream.port
    skepd = serve({"a": asking(f"GET http://127.0.0.1:{port}/size", "a.test", "b.test:*")})
    told = ask(
        skepd, "a",
        f"GET http://127.0.0.1:{port}/size/3",
        f"GET http://127.0.0.1:{port}/sized",
        f"PUT http://127.0.0.1:{port}/size/3",
        f"GET http://127.0.0.1:{port}/size/%2e%2e/x",
        f"GET http://127.0.0.1:{port + 1}/size/3",
        "GET http://a.test/",
        "GET http://c.test:8080/",
        "GET https://b.test:22/",
    )  # fmt: skip
    assert told[0].startswith("200 ")
    for answer, words in zip(told[1:], [
        "the path /sized is not allowed",
        "PUT is not allowed",
        "the path /x is not allowed",  # the URL parser has taken the dots away
        f"port {port + 1} is not allowed",
        'http:// is not allowed for the host a.test: allowed_hosts of skep.yaml has "a.test": expected "http://a.test" there',
        'the host c.test is not in allowed_hosts of skep.yaml: expected "http://c.test:8080" there',
        "22",
    ]):  # fmt: skip
        assert answer.startswith("TypeError: ") and words in answer, answer
    assert [path for _, path, _, _ in upstream.take()] == ["/size/3"]


def test_a_refusal_is_in_the_tenants_log(serve, upstream):  # noqa: F811
    skepd = serve({"a": asking("a.test"), "b": asking()})
    ask(skepd, "a", f"GET {upstream.url}/")
    line = f'fetch refused: GET 127.0.0.1: the host 127.0.0.1 is not in allowed_hosts of skep.yaml: expected "{upstream.url}" there'
    wait_for(lambda: line in lines_of(skepd, "a"), "the line")
    assert "fetch refused" not in lines_of(skepd, "b")


def test_a_redirect_is_asked_about_anew(serve, upstream):  # noqa: F811
    other = Upstream()
    try:
        skepd = serve({"a": asking(upstream.url), "b": asking(upstream.url, other.url)})
        line = f"GET {upstream.url}/to/302/{other.url}/size/3"
        refused = ask(skepd, "a", line)
        assert refused.startswith("TypeError: ") and f"port {other.port} is not allowed" in refused
        assert other.take() == []
        assert ask(skepd, "b", line).startswith("200 ")
        assert [path for _, path, _, _ in other.take()] == ["/size/3"]
        for place in ("http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/", "http://0.0.0.0/"):
            assert ask(skepd, "b", f"GET {upstream.url}/to/307/{place}").startswith("TypeError: ")
    finally:
        other.shutdown()


# ---- addresses


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "::1", "::ffff:10.0.0.1", "fd00::1"])
def test_a_name_that_leads_to_an_address_that_is_not_public_is_refused(serve, resolver, upstream, address):  # noqa: F811
    resolver.names["bad.test"] = [address]
    skepd = serve({"a": asking(*ANY)}, egress={"addresses": []})
    told = ask(skepd, "a", f"GET http://bad.test:{upstream.port}/")
    assert told.startswith("TypeError: ") and "bad.test" in told and "may not be reached" in told
    wait_for(lambda: "fetch refused: GET bad.test: " in lines_of(skepd, "a"), "the line in the log")
    assert upstream.take() == []


def test_addresses_of_a_cordon_are_in_place_of_those_of_all(serve, upstream):  # noqa: F811
    cordons = [
        {"name": "default", "workers": 1},
        {"name": "strict", "workers": 1, "addresses": []},
        {"name": "none", "workers": 1, "allowed_hosts": []},
        {"name": "few", "workers": 1, "allowed_hosts": ["http://b.test:*"]},
    ]
    skepd = serve(
        {name: asking(*ANY, cordon=cordon) for name, cordon in
         [("a", "default"), ("b", "strict"), ("c", "none"), ("d", "few")]},
        cordons=cordons, egress={"allow": ["http://127.0.0.1:*"]},
    )  # fmt: skip
    line = f"GET {upstream.url}/size/3"
    assert ask(skepd, "a", line).startswith("200 ")
    assert "127.0.0.1" in ask(skepd, "b", line) and "may not be reached" in ask(skepd, "b", line)
    assert 'cordon "none" allows no fetch' in ask(skepd, "c", line)
    assert 'is not in allowed_hosts of cordon "few", the operator\'s list' in ask(skepd, "d", line)
    assert "is not in egress.allow, the operator's list" in ask(skepd, "a", f"GET http://b.test:{upstream.port}/")
    assert ask(skepd, "d", f"GET http://b.test:{upstream.port}/size/3").startswith("200 ")
    assert len(upstream.take()) == 2


def test_localhost_is_the_machine_itself_where_that_is_named(serve, upstream):  # noqa: F811
    skepd = serve({"a": asking(f"http://localhost:{upstream.port}")})
    assert ask(skepd, "a", f"GET http://localhost:{upstream.port}/size/3").startswith("200 ")


# ---- reloads


def test_a_reload_of_the_operators_lists_counts_for_the_next_fetch(serve, upstream):  # noqa: F811
    skepd = serve({"a": asking(*ANY)})
    line = f"GET {upstream.url}/size/3"

    def reload_with(**egress):
        skepd.config["egress"] = {"dns": skepd.config["egress"]["dns"], **egress}
        skepd.write_config()
        run = skepd.skep("reload")
        assert run.returncode == 0, run.stdout + run.stderr

    assert ask(skepd, "a", line).startswith("200 ")
    reload_with(addresses=["127.0.0.0/8"], deny=["*"])
    assert "egress.deny, the operator's list, denies the host 127.0.0.1" in ask(skepd, "a", line)
    reload_with(addresses=["127.0.0.0/8"], allow=["a.test"])
    assert "is not in egress.allow, the operator's list" in ask(skepd, "a", line)
    # A denied address is denied by each of its names.
    reload_with(addresses=["127.0.0.0/8"], deny_addresses=["127.0.0.1"])
    for host in ("127.0.0.1", "b.test"):
        said = ask(skepd, "a", f"GET http://{host}:{upstream.port}/size/3")
        assert f"{host} leads to an address that egress.deny_addresses in skepd.yaml has" in said
    # The connection that is still open leads to an address that is not named any more.
    reload_with(addresses=[])
    assert "may not be reached" in ask(skepd, "a", line)
    reload_with(addresses=["127.0.0.0/8"])
    assert ask(skepd, "a", line).startswith("200 ")
    assert len(upstream.take()) == 2


def test_rules_of_a_tenant_are_those_of_the_version_that_asks(serve, upstream):  # noqa: F811
    skepd = serve({"a": asking("a.test")})
    line = f"GET {upstream.url}/size/3"
    assert "is not in allowed_hosts" in ask(skepd, "a", line)
    skepd.write_tenant("a", asking(upstream.url))
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: ask(skepd, "a", line).startswith("200 "), "the new rules")
    skepd.write_tenant("a", asking())
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: "is not in allowed_hosts" in ask(skepd, "a", line), "the end of the rules")


# ---- skep dev


def test_skep_dev_says_what_to_write(folder, upstream):  # noqa: F811
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "worker.js").write_text(ASK)
    (folder / "skep.yaml").write_text("name: a\nmain: worker.js\n")
    process = subprocess.Popen(
        [BIN / "skep", "dev", "--port", str(port), folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    try:
        while not any("http://127.0.0.1:" in line for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        subprocess.run(
            ["curl", "-s", "--data", f"GET http://localhost:{upstream.port}/size/3", f"http://127.0.0.1:{port}/"], check=True,
            capture_output=True,
        )  # fmt: skip
        expected = f'expected "http://localhost:{upstream.port}" there'
        while not any(expected in line for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        (folder / "skep.yaml").write_text(
            f'name: a\nmain: worker.js\nallowed_hosts: ["http://localhost:{upstream.port}"]\n'
        )
        wait_for(
            lambda: "200" in subprocess.run(
                ["curl", "-s", "--data", f"GET http://localhost:{upstream.port}/size/3", f"http://127.0.0.1:{port}/"],
                capture_output=True, text=True,
            ).stdout,
            "the rule that was written",
        )  # fmt: skip
    finally:
        process.terminate()
        process.wait(timeout=20)
