# SPDX-License-Identifier: Apache-2.0
"""Traces by W3C Trace Context: a line for each request, call and fetch, and `traceparent` on its way through them, with real servers."""

import json
import re

import pytest

from harness import BIN, wait_for
from test_fetch import resolver, upstream  # noqa: F401
from test_fetch_rules import serve  # noqa: F401

pytestmark = pytest.mark.skipif(not (BIN / "skep-egress").exists(), reason="no skep-egress was built")

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
OWN = "00-11111111111111111111111111111111-2222222222222222-01"
# Answers with the header that JavaScript sees; /URL fetches that with the headers of x-with.
WORKER = """
export default {
    async fetch(request, env) {
        const url = new URL(request.url).searchParams.get("url");
        const headers = JSON.parse(request.headers.get("x-with") ?? "{}");
        if (request.headers.has("x-pass")) headers.traceparent = request.headers.get("traceparent");
        if (url === "service") return env.NEXT.fetch("http://next/", { headers });
        if (url) await (await fetch(url, { headers })).text();
        return new Response(request.headers.get("traceparent"));
    },
};
"""
TENANTS = {
    "a": {"files": {"worker.js": WORKER}, "allowed_hosts": ["http://*:*"], "bindings": [{"name": "NEXT", "service": "b"}]},
    "b": {"files": {"worker.js": WORKER}, "callers": ["a"]},
}


def lines(skepd, n):
    """The events, when there are n of them: the request's first, then those of its calls and fetches."""

    def find():
        whole = [line for line in skepd.log().splitlines(keepends=True) if line.endswith("\n")]
        found = [o for o in map(json.loads, whole) if o.get("event") in ("access", "egress")]
        return sorted(found, key=lambda o: (o["event"], "caller" in o)) if len(found) >= n else None

    return wait_for(find, f"{n} lines")


@pytest.fixture
def skepd(serve):  # noqa: F811
    return serve(TENANTS, log_format="json", access_log=True)


def test_a_fetch_goes_on_with_the_clients_trace(skepd, upstream):  # noqa: F811
    answer = skepd.get("a", f"/?url={upstream.url}/", [("traceparent", PARENT), ("tracestate", "x=1,y=2")])
    assert answer.text == PARENT  # which JavaScript sees as it came
    request, fetch = lines(skepd, 2)
    assert (request["trace"], request["parent"]) == (TRACE, SPAN)
    assert (fetch["trace"], fetch["parent"]) == (TRACE, request["span"])
    assert len({SPAN, request["span"], fetch["span"]}) == 3 and fetch["duration_ms"] > 0
    ((_, _, headers, _),) = upstream.take()
    assert headers["traceparent"] == f"00-{TRACE}-{fetch['span']}-01" and headers["tracestate"] == "x=1,y=2"


@pytest.mark.parametrize("sent", [None, "nonsense", PARENT.upper(), f"00-{'0' * 32}-{SPAN}-01"])
def test_without_a_valid_header_there_is_a_new_trace(skepd, upstream, sent):  # noqa: F811
    answer = skepd.get("a", f"/?url={upstream.url}/", [("traceparent", sent), ("tracestate", "x=1")] if sent else [])
    assert answer.text == (sent or "")
    request, fetch = lines(skepd, 2)
    assert re.fullmatch("[0-9a-f]{32}", request["trace"]) and request["trace"] != TRACE and "parent" not in request
    assert (fetch["trace"], fetch["parent"]) == (request["trace"], request["span"])
    ((_, _, headers, _),) = upstream.take()
    assert headers["traceparent"] == f"00-{request['trace']}-{fetch['span']}-01" and "tracestate" not in headers


def test_a_client_that_does_not_sample_is_passed_on(skepd, upstream):  # noqa: F811
    skepd.get("a", f"/?url={upstream.url}/", [("traceparent", PARENT[:-2] + "00")])
    ((_, _, headers, _),) = upstream.take()
    assert headers["traceparent"].endswith("-00")


def test_a_tenants_own_header_stays_and_one_that_it_passes_on_does_not(skepd, upstream):  # noqa: F811
    skepd.get("a", f"/?url={upstream.url}/", [("traceparent", PARENT), ("x-with", json.dumps({"traceparent": OWN}))])
    ((_, _, headers, _),) = upstream.take()
    assert headers["traceparent"] == OWN
    _, fetch = lines(skepd, 2)
    assert fetch["trace"] + fetch["span"] == "1" * 32 + "2" * 16
    skepd.get("a", f"/?url={upstream.url}/", [("traceparent", PARENT), ("x-pass", "1")])
    ((_, _, headers, _),) = upstream.take()
    fetch = next(o for o in lines(skepd, 4) if o["event"] == "egress" and o["trace"] == TRACE)
    assert headers["traceparent"] == f"00-{TRACE}-{fetch['span']}-01"


def test_a_call_to_another_tenant_is_a_span(skepd):
    seen = skepd.get("a", "/?url=service", [("traceparent", PARENT)]).text
    request, call = lines(skepd, 2)
    assert (call["tenant"], call["caller"], call["trace"], call["parent"]) == ("b", "a", TRACE, request["span"])
    assert seen == f"00-{TRACE}-{call['span']}-01"


def test_a_request_that_is_refused_is_a_span(skepd):
    assert skepd.get("nobody", "/", [("traceparent", PARENT)]).status == 404
    (request,) = lines(skepd, 1)
    assert (request["trace"], request["parent"], request["code"]) == (TRACE, SPAN, "no_route")


def test_without_an_access_log_nothing_is_added(serve, upstream):  # noqa: F811
    skepd = serve(TENANTS, log_format="json")
    skepd.get("a", f"/?url={upstream.url}/", [("traceparent", PARENT), ("tracestate", "x=1")])
    skepd.get("a", f"/?url={upstream.url}/", [("x-with", json.dumps({"traceparent": OWN}))])
    first, second = (headers for _, _, headers, _ in upstream.take())
    assert "traceparent" not in first and "tracestate" not in first and second["traceparent"] == OWN
    assert skepd.get("a", "/?url=service", [("traceparent", PARENT)]).text == ""
