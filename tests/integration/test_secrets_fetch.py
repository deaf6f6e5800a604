# SPDX-License-Identifier: Apache-2.0
"""Secrets that go into fetches: which requests have them, and that the tenant never does. The servers are those of
test_fetch.py."""

import json
import os
import pathlib
import subprocess

import pytest

from harness import BIN, wait_for
from test_egress import make_certificates, tls_context
from test_fetch import Upstream, fetching, resolver, serve

pytestmark = pytest.mark.skipif(not (BIN / "skep-egress").exists(), reason="no skep-egress was built")
__all__ = ["resolver", "serve"]

MARKER = "Marker-9pXw4t-value"
ASK = """
    const { url, headers } = await request.json();
    const response = await fetch(url, { headers });
    return Response.json([response.status, Object.keys(env), JSON.stringify(env)]);
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"), ["a.test", "b.test"])


@pytest.fixture
def shop(certificates):
    """A server by https, known as a.test and b.test."""
    contexts = {name: tls_context(pair) for name, pair in certificates[1].items()}

    def choose(connection, name, _):
        connection.context = contexts[name]

    contexts["a.test"].sni_callback = choose
    server = Upstream(contexts["a.test"])
    yield server
    server.shutdown()


def uses(server, **inject):
    rule = {"host": f"a.test:{server.port}", "header": "authorization", "format": "Bearer {}", **inject}
    return [{"name": "KEY", "inject": rule}]


@pytest.fixture
def asking(serve, tmp_path):
    """Starts a tenant that asks what it is told: asking(secrets) returns a function that asks, and skepd."""

    def begin(secrets):
        (tmp_path / "value").write_text(MARKER)
        given = [{"tenant": "a", "name": "KEY", "file": str(tmp_path / "value")}]
        skepd = serve({"a": fetching(ASK, secrets=secrets)}, secrets={"given": given})

        def ask(url, **headers):
            answer = skepd.post("a", json.dumps({"url": url, "headers": headers}).encode())
            assert answer.status == 200, answer.body
            status, names, text = json.loads(answer.body)
            assert names == [] and MARKER not in text
            return status

        return ask, skepd

    return begin


def authorization(server):
    return [headers.get("authorization") for _, _, headers, _ in server.take()]


def test_named_host_gets_it_in_place_of_what_the_tenant_has_set(asking, shop):
    ask, _ = asking(uses(shop))
    assert ask(f"https://a.test:{shop.port}/x") == 200
    assert ask(f"https://a.test:{shop.port}/x", Authorization="mine") == 200
    assert authorization(shop) == [f"Bearer {MARKER}"] * 2


def test_another_host_gets_what_the_tenant_has_set(asking, shop):
    ask, _ = asking(uses(shop))
    assert ask(f"https://b.test:{shop.port}/x") == 200
    assert ask(f"https://b.test:{shop.port}/x", Authorization="mine") == 200
    assert authorization(shop) == [None, "mine"]


def test_only_its_path_gets_it(asking, shop):
    ask, _ = asking(uses(shop, path="/v1"))
    for path in ("/v1", "/v1/x", "/v10", "/", "/v1/../v2", "/v1/%2e%2e/v2", "/v1/..%2fv2"):
        assert ask(f"https://a.test:{shop.port}{path}") == 200
    assert authorization(shop) == [f"Bearer {MARKER}"] * 2 + [None] * 5


def test_each_hop_of_a_redirect_is_decided_anew(asking, shop):
    ask, _ = asking(uses(shop))
    there, back = f"https://b.test:{shop.port}/end", f"https://a.test:{shop.port}/end"
    assert ask(f"https://a.test:{shop.port}/to/302/{there}") == 200
    assert authorization(shop) == [f"Bearer {MARKER}", None]
    assert ask(f"https://b.test:{shop.port}/to/302/{back}", Authorization="mine") == 200
    assert authorization(shop) == ["mine", f"Bearer {MARKER}"]


def test_plain_http_gets_nothing(asking):
    server = Upstream()
    try:
        ask, _ = asking(uses(server))
        assert ask(f"http://a.test:{server.port}/x") == 200
        assert authorization(server) == [None]
    finally:
        server.shutdown()


def memory_of(pid):
    """All private memory of a process that can be written."""
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if rights.startswith("rw") and "[v" not in line:
                start, end = (int(part, 16) for part in span.split("-"))
                try:
                    memory.seek(start)
                    yield memory.read(end - start)
                except (OSError, ValueError, OverflowError):
                    continue


@pytest.mark.skipif(os.geteuid() != 0, reason="reads the memory of a worker")
def test_no_worker_ever_has_it(asking, shop):
    ask, skepd = asking(uses(shop))
    for _ in range(3):
        assert ask(f"https://a.test:{shop.port}/x") == 200
    assert authorization(shop) == [f"Bearer {MARKER}"] * 3
    workers = [worker["pid"] for worker in skepd.workers()]
    assert workers
    served = 0
    for pid in workers:
        for page in memory_of(pid):
            served += b"a.test" in page
            assert MARKER.encode() not in page
    assert served, "no worker has what the tenant asked for: this is not their memory"


def test_another_value_counts_for_the_next_request_of_the_same_isolate(serve, shop, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o400)
    skepd = serve({"b": fetching("return new Response('b')")}, secrets={"key": str(key)}, state=str(tmp_path / "state"))

    def set_value(value):
        command = [BIN / "skep", "--socket", skepd.admin_socket, "secrets", "set", "shop", "KEY"]
        run = subprocess.run(command, input=value, capture_output=True, text=True, timeout=30)
        assert run.returncode == 0, run.stderr
        return run.stdout

    set_value("one")
    source = f"globalThis.n ??= 0; const r = await fetch('https://a.test:{shop.port}/x'); return Response.json([r.status, ++globalThis.n]);"
    tenant = fetching(source, name="shop", main="worker.js", routes=["shop.test/*"], secrets=uses(shop))
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "worker.js").write_text(tenant.pop("files")["worker.js"])
    (folder / "skep.yaml").write_text(json.dumps(tenant))
    run = skepd.skep("deploy", folder)
    assert run.returncode == 0, run.stderr
    assert json.loads(skepd.get("shop").body) == [200, 1]
    assert set_value("two") == "KEY of shop has another value; the next requests to a.test have it\n"
    assert json.loads(skepd.get("shop").body) == [200, 2]
    assert authorization(shop) == ["Bearer one", "Bearer two"]
    # A line end cannot be in a header: the value is refused, and the one before counts.
    command = [BIN / "skep", "--socket", skepd.admin_socket, "secrets", "set", "shop", "KEY"]
    run = subprocess.run(command, input="a\nb", capture_output=True, text=True, timeout=30)
    assert run.returncode == 1 and "KEY cannot be injected" in run.stderr
    wait_for(lambda: json.loads(skepd.get("shop").body)[0] == 200, "the former value")
    assert authorization(shop)[-1] == "Bearer two"
