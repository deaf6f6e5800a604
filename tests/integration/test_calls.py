# SPDX-License-Identifier: Apache-2.0
"""Calls from tenant to tenant by a binding (docs/bindings.md): what passes, the right to call, costs and ends."""

import contextlib
import hashlib
import json
import os
import random
import signal
import threading
import time

import pytest

from client import Connection
from harness import cordon, descendants, free_port, script, status_of, wait_for


def calling(body, *callees, **manifest):
    """A tenant with a binding for each callee: env.B to b."""
    return {
        "bindings": [{"name": name.upper().replace("-", "_"), "service": name} for name in callees],
        "files": {"worker.js": script(body)},
        **manifest,
    }


def called(body, *callers, **manifest):
    return {"callers": list(callers), "files": {"worker.js": script(body)}, **manifest}


FORWARD = "return env.B.fetch(request);"


# ---- what passes


def test_call_is_answered_by_the_other_tenant(start):
    skepd = start(
        {
            "a": calling(
                'const answer = await env.B.fetch("http://anything.example/x?y=1#z", {'
                '    method: "POST", headers: { "X-Own": "1" }, body: "question" });'
                "return Response.json({ status: answer.status, text: answer.statusText, ok: answer.ok,"
                '    own: answer.headers.get("x-answer"), url: answer.url, body: await answer.json() },'
                "    { status: 201 });",
                "b",
            ),
            "b": called(
                "return Response.json({ url: request.url, method: request.method, caller: ctx.caller,"
                '    own: request.headers.get("x-own"), host: request.headers.get("host"),'
                '    length: request.headers.get("content-length"), body: await request.text() },'
                '    { status: 202, headers: { "x-answer": "2" } });',
                "a",
            ),
        }
    )
    answer = skepd.get("a")
    assert answer.status == 201
    assert json.loads(answer.body) == {
        "status": 202,
        "text": "",
        "ok": True,
        "own": "2",
        "url": "http://anything.example/x?y=1",
        "body": {
            "url": "http://anything.example/x?y=1",
            "method": "POST",
            "caller": "a",
            "own": "1",
            "host": "anything.example",
            "length": "8",
            "body": "question",
        },
    }


def test_caller_is_null_for_http_clients_and_cannot_be_made_up(start):
    skepd = start(
        {
            "a": calling('return env.B.fetch("https://x/", { headers: { "skep-caller": "root" } })', "b"),
            "b": called("return Response.json([ctx.caller, ...request.headers])", "a"),
        }
    )
    assert json.loads(skepd.get("b", headers=[("Skep-Caller", "root")]).body)[0] is None
    caller, *headers = json.loads(skepd.get("a").body)
    assert caller == "a"
    assert headers == [["host", "x"]]


def test_fields_of_connections_and_of_skepd_do_not_pass(start):
    skepd = start(
        {
            "a": calling(
                'const answer = await env.B.fetch("http://b/", { headers: [["skep-error", "x"],'
                '    ["Skep-Anything", "x"], ["keep-alive", "1"], ["te", "trailers"], ["x-kept", "é"]] });'
                "return Response.json([...answer.headers, ...await answer.json()]);",
                "b",
            ),
            "b": called(
                "return new Response(JSON.stringify([...request.headers]), { headers: {"
                '    "skep-error": "made_up", "skep-request-id": "1", "skep-other": "1",'
                '    "x-answer": "kept" } });',
                "a",
            ),
        }
    )
    fields = {name: value for name, value in json.loads(skepd.get("a").body)}
    assert fields == {
        "content-type": "text/plain;charset=UTF-8",
        "content-length": fields["content-length"],
        "x-answer": "kept",
        "host": "b",
        "x-kept": "é",
    }


def test_request_of_a_client_is_passed_on_whole(start):
    skepd = start(
        {
            "a": calling(FORWARD, "b", limits={"request_mib": 64, "response_mib": 64, "call_mib": 128, "cpu_ms": 5000}),
            "b": called(
                "return new Response(request.body)", "a", limits={"request_mib": 64, "response_mib": 64, "cpu_ms": 5000}
            ),
        }
    )
    body = random.Random(3).randbytes(20_000_003)
    with skepd.connect() as connection:
        connection.send_head("POST", "a.test", headers=[("Content-Length", len(body))])
        sender = threading.Thread(target=connection.send, args=[body])
        sender.start()
        answer = connection.read_response()
        sender.join()
    assert answer.status == 200
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    skepd.wait_idle()


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
def test_bodies_of_all_sizes_pass_both_ways(start, size):
    skepd = start(
        {
            "a": calling(
                "const size = Number(new URL(request.url).searchParams.get('size'));"
                'const answer = await env.B.fetch("http://b/", { method: "PUT", body: new Uint8Array(size).fill(7) });'
                "const bytes = await answer.bytes();"
                "return Response.json([bytes.length, bytes.every((byte) => byte === 8)]);",
                "b",
            ),
            "b": called(
                "const bytes = await request.bytes();"
                "return new Response(bytes.map((byte) => byte + 1));",
                "a",
            ),
        }
    )
    assert json.loads(skepd.get("a", f"/?size={size}").body) == [size, True]


def test_parts_arrive_as_they_are_made(start):
    """Through two tenants, both ways at once."""
    skepd = start(
        {
            "a": calling(FORWARD, "b"),
            "b": {
                **called(
                    "const decoder = new TextDecoder(), encoder = new TextEncoder();"
                    "const reader = request.body.getReader();"
                    "return new Response(new ReadableStream({ async pull(c) {"
                    "    const { value, done } = await reader.read();"
                    "    if (done) c.close();"
                    "    else c.enqueue(encoder.encode(decoder.decode(value).toUpperCase()));"
                    "} }));",
                    "a",
                )
            },
        }
    )
    with skepd.connect(timeout=5) as connection:
        connection.send_head("POST", "a.test", headers=[("Transfer-Encoding", "chunked")])
        connection.send_chunk(b"one")
        response = connection.start_response("POST")
        assert response.read1(100) == b"ONE"
        connection.send_chunk(b"two")
        assert response.read1(100) == b"TWO"
        connection.send(b"0\r\n\r\n")
        assert response.read() == b""


def test_reader_that_does_not_read_stops_the_writer(start):
    skepd = start(
        {
            "a": calling(
                "const answer = await env.B.fetch(request);"
                "const reader = answer.body.getReader();"
                "await reader.read();"
                "await new Promise((resolve) => setTimeout(resolve, 300));"
                'const made = await (await env.B.fetch("http://b/made")).text();'
                "await reader.cancel();"
                "return new Response(made);",
                "b",
            ),
            "b": {
                "callers": ["a"],
                "limits": {"response_mib": 1000, "cpu_ms": 5000},
                "files": {
                    "worker.js": "let made = 0; export default { fetch(request) {"
                    '    if (request.url.endsWith("made")) return new Response(String(made));'
                    "    return new Response(new ReadableStream({ pull(c) {"
                    "        made += 65536; c.enqueue(new Uint8Array(65536)); } })); } }"
                },
            },
        }
    )
    assert 65536 <= int(skepd.get("a").text) <= 1_000_000
    skepd.wait_idle()


def test_calls_of_a_request_run_beside_each_other(start):
    skepd = start(
        {
            "a": calling(
                "const texts = await Promise.all([1, 2, 3].map(async (i) =>"
                "    (await env.B.fetch(`http://b/${i}`)).text()));"
                'return new Response(texts.join(" "));',
                "b",
            ),
            "b": {
                "callers": ["a"],
                "files": {
                    "worker.js": "const waiting = []; export default { async fetch(request) {"
                    "    await new Promise((resolve) => { waiting.push(resolve);"
                    "        if (waiting.length === 3) for (const next of waiting) next(); });"
                    "    return new Response(new URL(request.url).pathname); } }"
                },
            },
        }
    )
    assert skepd.get("a").text == "/1 /2 /3"


def test_head_and_empty_answers_have_no_body(start):
    skepd = start(
        {
            "a": calling(
                'const head = await env.B.fetch("http://b/", { method: "HEAD" });'
                'const none = await env.B.fetch("http://b/none");'
                "return Response.json([head.status, head.body, none.status, none.body])",
                "b",
            ),
            "b": called(
                'return request.url.endsWith("none") ? new Response(null, { status: 204 }) : new Response("x")',
                "a",
            ),
        }
    )
    assert json.loads(skepd.get("a").body) == [200, None, 204, None]


STREAM = (
    "const stream = (parts) => new ReadableStream({ pull(c) {"
    "    if (parts-- > 0) c.enqueue(new Uint8Array(10)); else c.close(); } });"
)


@pytest.mark.parametrize("body", ["'x'.repeat(20)", "stream(2)"])
@pytest.mark.parametrize("announced, fits", [(19, False), (20, True), (21, False)])
def test_answer_that_is_not_as_long_as_announced_is_the_called_tenants_fault(start, body, announced, fits):
    skepd = start(
        {
            "a": calling(
                "const answer = await env.B.fetch('http://b/');"
                "const head = [answer.status, answer.headers.get('content-length'), answer.headers.get('skep-error')];"
                "try { return Response.json([...head, (await answer.text()).length]); }"
                "catch (error) { return Response.json([...head, error.message]); }",
                "b",
            ),
            "b": called(
                STREAM + f"return new Response({body}, {{ headers: {{ 'content-length': '{announced}' }} }})", "a"
            ),
        }
    )
    status, length, code, text = json.loads(skepd.get("a").body)
    if fits:
        assert (status, length, code, text) == (200, "20", None, 20)
    elif code:  # the head had not gone
        assert (status, code) == (502, "bad_response")
    else:
        assert body == "stream(2)"
        assert "bad_response" in text
    skepd.wait_idle()
    assert skepd.tenant("b")["failed"] == (0 if fits else 1)
    assert skepd.tenant("a")["failed"] == 0


@pytest.mark.parametrize("body", ["'x'.repeat(20)", "stream(2)"])
@pytest.mark.parametrize("announced, fits", [(19, False), (20, True), (21, False)])
def test_body_that_is_not_as_long_as_announced_is_the_callers_fault(start, body, announced, fits):
    skepd = start(
        {
            "a": calling(
                STREAM + "try { const answer = await env.B.fetch('http://b/', { method: 'POST', duplex: 'half',"
                f"    body: {body}, headers: {{ 'content-length': '{announced}' }} }});"
                "return Response.json([answer.status, answer.headers.get('skep-error'), await answer.text()]);"
                "} catch (error) { return Response.json([0, error.message, '']); }",
                "b",
            ),
            "b": called(
                "const length = request.headers.get('content-length');"
                "return new Response(`${length}, ${(await request.text()).length}`)",
                "a",
            ),
        }
    )
    status, code, text = json.loads(skepd.get("a").body)
    if fits:
        assert (status, code, text) == (200, None, "20, 20")
    elif body == "stream(2)":
        assert code == "The call has failed: bad_request: the body is not as long as its Content-Length"
    else:
        assert (status, code) == (400, "bad_request")
    skepd.wait_idle()
    assert skepd.tenant("b")["failed"] == 0


def test_answer_to_head_may_announce_a_length(start):
    skepd = start(
        {
            "a": calling(
                "const answer = await env.B.fetch('http://b/', { method: 'HEAD' });"
                "return Response.json([answer.status, answer.headers.get('content-length')])",
                "b",
            ),
            "b": called("return new Response(null, { headers: { 'content-length': '7' } })", "a"),
        }
    )
    assert json.loads(skepd.get("a").body) == [200, "7"]


# ---- the right to call


ASK = 'const answer = await env.B.fetch("http://b/"); return answer;'
YES = 'return new Response("yes")'


def test_tenant_that_is_not_listed_may_not_call(start):
    skepd = start({"a": calling(ASK, "b"), "b": called(YES, "c"), "c": calling(ASK, "b")})
    assert skepd.get("c").text == "yes"
    answer = skepd.get("a")
    assert (answer.status, json.loads(answer.body)["code"]) == (403, "call_denied")
    assert answer.header("Skep-Error") is None  # only skepd sends this header, never a tenant


def test_code_is_in_the_fields_of_the_answer(start):
    skepd = start(
        {
            "a": calling(
                'const answer = await env.B.fetch("http://b/");'
                "return Response.json([answer.status, ...answer.headers])",
                "b",
            ),
            "b": called('throw new Error("no")', "a"),
        }
    )
    status, *fields = json.loads(skepd.get("a").body)
    fields = dict(fields)
    assert status == 500
    assert fields["skep-error"] == "exception"
    assert fields["content-type"] == "application/problem+json"
    assert int(fields["skep-request-id"]) > 0


def test_tenant_that_is_not_there_is_said_so(start):
    skepd = start({"a": calling(ASK, "b")})
    answer = skepd.get("a")
    assert (answer.status, json.loads(answer.body)["code"]) == (502, "no_service")
    skepd.write_tenant("b", called(YES, "a"))
    assert skepd.skep("reload").returncode == 0
    assert wait_for(lambda: skepd.get("a").status == 200 and skepd.get("a").text, "b") == "yes"


def remove(skepd, name):
    for path in sorted((skepd.tenants_folder / name).rglob("*"), reverse=True):
        path.unlink()
    (skepd.tenants_folder / name).rmdir()
    assert skepd.skep("reload").returncode == 0


def test_right_is_the_tenants_and_not_its_names(start):
    skepd = start({"b": called(YES, "a")})
    skepd.write_tenant("a", calling(ASK, "b"))  # the first tenant of that name, made after b
    assert skepd.skep("reload").returncode == 0
    assert skepd.get("a").text == "yes"
    remove(skepd, "a")
    wait_for(lambda: skepd.get("a").status == 404, "a to go")
    skepd.write_tenant("a", calling(ASK, "b"))  # another tenant
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: skepd.get("a").status != 404, "a to come back")
    assert skepd.get("a").status == 403
    # The next version of b that lists the name gives it nothing anew,
    skepd.write_tenant("b", called("return new Response('yes 2')", "a"))
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: skepd.get("b").text == "yes 2", "the next version of b")
    assert skepd.get("a").status == 403
    # but one after a version without it does.
    skepd.write_tenant("b", called("return new Response('yes 3')"))
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: skepd.get("b").text == "yes 3", "the version of b without callers")
    skepd.write_tenant("b", called("return new Response('yes 4')", "a"))
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: skepd.get("b").text == "yes 4", "the version of b with callers")
    assert skepd.get("a").text == "yes 4"


# ---- the right to call, over a restart


@pytest.fixture
def keeping(start, tmp_path):
    """Starts a skepd with a state folder: b, which lets a call it, and a, unless it is deployed later."""

    def start_one(**tenants):
        state = tmp_path / "state"
        skepd = start({"b": called(YES, "a"), **tenants}, state=str(state))
        skepd.kept = lambda: (state / "callers").read_text() if (state / "callers").exists() else ""
        return skepd

    return start_one


def restart(skepd, kill=False):
    if kill:
        skepd.process.kill()
        skepd.process.wait()
        skepd.process = None
    else:
        skepd.stop()
    skepd.start()


def reload(skepd):
    assert skepd.skep("reload").returncode == 0


@pytest.mark.parametrize("kill", [False, True])
def test_tenant_made_anew_has_no_right_after_a_restart_either(keeping, kill):
    skepd = keeping(a=calling(ASK, "b"))
    assert skepd.get("a").text == "yes"
    remove(skepd, "a")
    wait_for(lambda: "b a gone" in skepd.kept(), "the end of the right to be on the disk")
    skepd.write_tenant("a", calling(ASK, "b"))
    reload(skepd)
    wait_for(lambda: skepd.get("a").status == 403, "another a")
    restart(skepd, kill)
    assert skepd.get("a").status == 403
    assert "a, gone: another tenant has the name by now" in skepd.skep("explain", "b").stdout


def test_right_lasts_over_a_restart(keeping):
    skepd = keeping(a=calling(ASK, "b"))
    wait_for(lambda: "b a here" in skepd.kept(), "the right to be on the disk")
    restart(skepd)
    assert skepd.get("a").text == "yes"
    restart(skepd)
    assert skepd.get("a").text == "yes"


def test_tenant_removed_while_skepd_does_not_run_has_gone(keeping):
    skepd = keeping(a=calling(ASK, "b"))
    wait_for(lambda: "b a here" in skepd.kept(), "the right to be on the disk")
    skepd.stop()
    for path in [*(skepd.tenants_folder / "a").iterdir(), skepd.tenants_folder / "a"]:
        path.unlink() if path.is_file() else path.rmdir()
    skepd.start()
    wait_for(lambda: "b a gone" in skepd.kept(), "the end of the right to be on the disk")
    skepd.write_tenant("a", calling(ASK, "b"))
    reload(skepd)
    assert wait_for(lambda: skepd.get("a").status != 404 and skepd.get("a"), "a").status == 403


def test_right_is_kept_for_a_tenant_whose_files_are_broken_at_the_start(keeping):
    skepd = keeping(a=calling(ASK, "b"))
    wait_for(lambda: "b a here" in skepd.kept(), "the right to be on the disk")
    skepd.stop()
    manifest = skepd.tenants_folder / "a/skep.yaml"
    whole = manifest.read_text()
    manifest.write_text(whole + "\nunknown: 1\n")
    skepd.start()
    assert skepd.get("a").status == 404
    manifest.write_text(whole)
    reload(skepd)
    assert wait_for(lambda: skepd.get("a").status != 404 and skepd.get("a"), "a").text == "yes"


def deploy(skepd, folder, source, name="a", **manifest):
    bundle = folder / name
    bundle.mkdir(exist_ok=True)
    manifest = {"name": name, "main": "worker.js", "routes": [f"{name}.test/*"], **manifest}
    (bundle / "skep.yaml").write_text(json.dumps(manifest))
    (bundle / "worker.js").write_text(source)
    return skepd.skep("deploy", bundle)


def test_deployed_tenant_made_anew_has_no_right_after_a_restart(keeping, folder):
    skepd = keeping()
    bindings = [{"name": "B", "service": "b"}]
    # One that never served was no tenant: its name still waits for the first.
    assert deploy(skepd, folder, "throw new Error('no')", bindings=bindings).returncode == 1
    assert deploy(skepd, folder, script(ASK), bindings=bindings).returncode == 0
    assert skepd.get("a").text == "yes"
    assert skepd.skep("remove", "a").returncode == 0
    assert deploy(skepd, folder, script(ASK), bindings=bindings).returncode == 0
    assert skepd.get("a").status == 403
    restart(skepd, kill=True)
    assert skepd.get("a").status == 403


def may_upgrade(skepd):
    """Upgrades, unless the store is at work for skepd."""
    try:
        return skepd.upgrade()
    except AssertionError as refusal:
        assert "is under way: try again when it has ended" in str(refusal)
        return None


def test_right_lasts_over_an_upgrade(upgradable, tmp_path):
    tenants = {"b": called(YES, "a"), "a": calling(ASK, "b")}
    skepd = upgradable(tenants, state=str(tmp_path / "state"))
    assert skepd.get("a").text == "yes"
    skepd.wait_gone(skepd.upgrade()["old_pid"])
    assert skepd.get("a").text == "yes"
    remove(skepd, "a")
    skepd.write_tenant("a", calling(ASK, "b"))
    reload(skepd)
    wait_for(lambda: "b a gone" in (tmp_path / "state/callers").read_text(), "the end of the right")
    wait_for(lambda: may_upgrade(skepd), "skepd to know that the store is done")
    assert skepd.get("a").status == 403


def test_right_that_was_not_kept_in_time_is_kept_when_the_store_is_back(keeping):
    skepd = keeping(a=calling(ASK, "b"))
    wait_for(lambda: "b a here" in skepd.kept(), "the right to be on the disk")
    store = next(p for p in descendants(skepd.pid) if status_of(p)["Name"].strip() == "skep-store")
    os.kill(store, signal.SIGSTOP)
    remove(skepd, "a")
    os.kill(store, signal.SIGKILL)
    wait_for(lambda: "b a gone" in skepd.kept(), "the next store to have it", timeout=30)


def test_damaged_rights_let_no_tenant_call(keeping, tmp_path):
    skepd = keeping(a=calling(ASK, "b"))
    wait_for(lambda: "b a here" in skepd.kept(), "the right to be on the disk")
    skepd.stop()
    (tmp_path / "state/callers").write_text("skep callers 1\nb a here\nb")
    skepd.start()
    assert skepd.get("a").status == 403
    assert skepd.get("b").text == "yes"
    assert "callers cannot be read" in skepd.log()
    skepd.stop()
    (tmp_path / "state/callers").unlink()
    skepd.start()
    assert skepd.get("a").text == "yes"


@pytest.mark.parametrize("mine, other, status", [(True, True, 200), (True, False, 403), (False, True, 403)])
def test_cordons_are_crossed_only_where_both_allow_it(start, mine, other, status):
    skepd = start(
        {"a": calling(ASK, "b"), "b": called(YES, "a", cordon="other")},
        cordons=[cordon(calls_across=mine), cordon("other", calls_across=other)],
    )
    assert skepd.get("a").status == status


def test_circle_is_refused_at_once(start):
    skepd = start(
        {
            "a": calling('return env.B.fetch("http://b/");', "b", callers=["c"]),
            "b": calling('return env.C.fetch("http://c/");', "c", callers=["a"]),
            "c": calling(
                'const answer = await env.A.fetch("http://a/");'
                'return new Response(answer.headers.get("skep-error"))',
                "a",
                callers=["b"],
            ),
        }
    )
    answer = skepd.get("a")
    assert (answer.status, answer.text) == (200, "call_cycle")
    skepd.wait_idle()


def test_quarantined_tenant_answers_so(start):
    skepd = start({"a": calling(ASK, "b"), "b": called(YES, "a")})
    assert skepd.skep("quarantine", "b", "--for", "60s").returncode == 0
    answer = skepd.get("a")
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "quarantined")
    assert int(answer.header("Retry-After")) > 0


def test_module_code_cannot_call(start):
    skepd = start(
        {
            "a": {
                "bindings": [{"name": "B", "service": "b"}],
                "files": {
                    "worker.js": "let error; const make = (env) => env.B.fetch('http://b/').catch((e) => { error = e; });"
                    "let kept; setTimeout(() => kept && make(kept), 1);"
                    "export default { async fetch(request, env) { kept = env;"
                    "    const answer = await env.B.fetch('http://b/'); return answer; } }"
                },
            },
            "b": called(YES, "a"),
        }
    )
    assert skepd.get("a").text == "yes"


# ---- limits


MANY = """
const count = Number(new URL(request.url).searchParams.get("count")), made = [];
for (let i = 0; i < count; i++) {
    try { made.push((await env.B.fetch("http://b/")).status); }
    catch (error) { made.push(`${error.name}: ${error.message}`); }
}
return Response.json(made);
"""


def test_subrequests_are_counted(start):
    skepd = start({"a": calling(MANY, "b", limits={"subrequests": 3}), "b": called(YES, "a")})
    made = json.loads(skepd.get("a", "/?count=5").body)
    assert made[:3] == [200] * 3
    assert made[3:] == ["QuotaExceededError: sub_limit: a request may make 3 calls (subrequests): make fewer, or raise limits.subrequests in skep.yaml"] * 2
    incidents = skepd.admin("incidents")["incidents"]
    assert [(i["tenant"], i["cause"], i["stage"]) for i in incidents] == [("a", "subrequests", "refused")]
    assert json.loads(skepd.get("a", "/?count=3").body) == [200] * 3  # each request has its own count


def test_service_calls_of_a_request_are_bounded(start):
    skepd = start({"a": calling(MANY, "b"), "b": called(YES, "a")})
    made = json.loads(skepd.get("a", "/?count=34").body)
    assert made[:32] == [200] * 32
    assert all("32 times" in one for one in made[32:])


def test_budget_is_one_for_the_whole_tree(start):
    skepd = start(
        {
            "a": calling(
                'const first = await (await env.B.fetch("http://b/?count=3")).json();'
                'const second = await (await env.B.fetch("http://b/?count=3")).json();'
                "return Response.json([first, second])",
                "b",
                limits={"subrequests": 6},
            ),
            "b": calling(MANY.replace("env.B", "env.C"), "c", callers=["a"]),
            "c": called(YES, "b"),
        }
    )
    first, second = json.loads(skepd.get("a").body)
    assert first == [200] * 3
    assert second[0] == 200
    assert all("all that is done for one request may make 6 calls" in one for one in second[1:])
    assert {i["tenant"] for i in skepd.admin("incidents")["incidents"]} == {"a"}


def test_calls_at_a_time_are_bounded(start):
    skepd = start(
        {
            "a": calling(
                "const all = await Promise.allSettled([1, 2, 3].map(() => env.B.fetch('http://b/')));"
                "return Response.json(all.map((one) => one.value?.status ?? one.reason.name))",
                "b",
                limits={"calls": 2},
            ),
            "b": called(YES, "a"),
        }
    )
    assert json.loads(skepd.get("a").body) == [200, 200, "QuotaExceededError"]


def test_bytes_of_calls_are_bounded_both_ways(start):
    skepd = start(
        {
            "a": calling(
                'const size = 1 << 20, out = [];'
                "try { await (await env.B.fetch('http://b/', { method: 'PUT', body: new Uint8Array(2 * size) })).text(); }"
                "catch (error) { out.push(error.name, error.message); }"
                "return Response.json(out);",
                "b",
                limits={"call_mib": 1},
            ),
            "b": called("return new Response(await request.bytes())", "a"),
            "c": calling(
                "try { await (await env.D.fetch('http://d/')).bytes(); return new Response('all'); }"
                "catch (error) { return new Response(`${error.name}: ${error.message}`); }",
                "d",
                limits={"call_mib": 1},
            ),
            "d": called("return new Response(new Uint8Array(2 << 20))", "c"),
        }
    )
    assert json.loads(skepd.get("a").body) == [
        "QuotaExceededError",
        "sub_limit: the bodies of a request's calls may have 1 MiB (call_mib): send and read less, or raise limits.call_mib in skep.yaml",
    ]
    assert skepd.get("c").text.startswith("QuotaExceededError: sub_limit")
    skepd.wait_idle()
    assert skepd.tenant("d")["failed"] == 0  # not the tenant's own fault


def test_limits_that_are_only_observed_are_noted(start):
    skepd = start(
        {"a": calling(MANY, "b", limits={"subrequests": 2, "calls": 1}), "b": called(YES, "a")},
        limits={"observe": ["subrequests", "calls", "call_mib"]},
    )
    assert json.loads(skepd.get("a", "/?count=4").body) == [200] * 4
    stages = {(i["cause"], i["stage"]) for i in skepd.admin("incidents")["incidents"]}
    assert stages == {("subrequests", "observed")}


def test_one_caller_gets_a_part_of_the_places(start):
    """Calls of one caller get a quarter of four places and of a queue of four: they wait, others' requests do not."""
    hold = (
        "if (new URL(request.url).pathname === '/hold')"
        "    await new Promise((resolve) => { globalThis.free = [...(globalThis.free ?? []), resolve]; });"
        "else if (new URL(request.url).pathname === '/free') globalThis.free.forEach((go) => go());"
        "return new Response('held');"
    )
    skepd = start(
        {
            "a": calling(
                "const all = await Promise.all([1, 2, 3, 4].map(() => env.B.fetch('http://b/hold')));"
                "return Response.json(all.map((answer) => answer.status))",
                "b",
            ),
            "b": called(hold, "a", limits={"concurrency": 4, "queue": 4, "hung_ms": "off"}),
        }
    )
    result = []
    thread = threading.Thread(target=lambda: result.append(json.loads(skepd.get("a").body)))
    thread.start()
    wait_for(lambda: skepd.tenant("b")["in_flight"] == 1, "the first call")
    assert skepd.get("b").text == "held"  # others still get a place
    wait_for(lambda: skepd.tenant("b")["queued"] == 1, "the second call")
    skepd.get("b", "/free")
    wait_for(lambda: skepd.tenant("b")["queued"] == 0, "the second call's place")
    skepd.get("b", "/free")
    thread.join(10)
    assert sorted(result[0]) == [200, 200, 429, 429]


HOLD = (
    "if (new URL(request.url).pathname === '/hold')"
    "    await new Promise((resolve) => { globalThis.free = [...(globalThis.free ?? []), resolve]; });"
    "else if (new URL(request.url).pathname === '/free') (globalThis.free ?? []).splice(0).forEach((go) => go());"
    "return new Response('held');"
)
CALL_EIGHT = calling(
    "const all = await Promise.all(Array.from({ length: 8 }, () => env.B.fetch('http://b/hold')));"
    "return Response.json(all.map((answer) => answer.status))",
    "b",
)


def test_all_callers_together_leave_places_and_queue_to_clients(start):
    """Callers have six of eight places, and of a queue of eight."""
    a_lot = {**CALL_EIGHT, "limits": {"hung_ms": "off"}}
    skepd = start(
        {
            "a": a_lot,
            "c": a_lot,
            "b": called(HOLD, "a", "c", "d", limits={"concurrency": 8, "queue": 8, "hung_ms": "off"}),
            "d": calling(ASK, "b"),
        },
        cordons=[cordon(caller_percent=100)],
    )
    results = []
    ask = lambda name: results.extend(json.loads(skepd.get(name).body))
    threads = [threading.Thread(target=ask, args=[name]) for name in ("a", "c")]
    for thread in threads:
        thread.start()
    waiting = lambda: (skepd.tenant("b")["in_flight"], skepd.tenant("b")["queued"])
    wait_for(lambda: waiting() == (6, 6), "calls to fill their part")
    assert skepd.get("d").status == 429  # the fourth caller
    assert [skepd.get("b").text for _ in range(3)] == ["held"] * 3  # but not a client
    while any(thread.is_alive() for thread in threads):
        skepd.get("b", "/free")
    assert sorted(results) == [200] * 12 + [429] * 4


def buffers_of(skepd):
    totals = skepd.admin("status")["totals"]
    return next(total["used"] for total in totals if total["name"] == "buffers")


def test_answers_that_wait_for_the_callers_worker_are_counted(start):
    """Requests count with their heads, which are all that these have: a worker that stops reading does not fill skepd's
    memory unseen."""
    skepd = start(
        {
            "a": calling(
                "const all = await Promise.all(Array.from({ length: 16 }, () => env.B.fetch('http://b/hold')));"
                "return Response.json(all.map((answer) => answer.status))",
                "b",
                limits={"hung_ms": "off"},
            ),
            "b": called(
                "if (new URL(request.url).pathname === '/hold')"
                "    await new Promise((resolve) => { globalThis.free = [...(globalThis.free ?? []), resolve]; });"
                "else globalThis.free.forEach((go) => go());"
                "const fields = Array.from({ length: 50 }, (_, i) => [`x-${i}`, 'y'.repeat(2000)]);"
                "return new Response(null, { status: 204, headers: fields });",
                "a",
                cordon="other",
                limits={"concurrency": 128, "hung_ms": "off", "cpu_ms": 5000},
            ),
        },
        cordons=[cordon(calls_across=True), cordon("other", calls_across=True, caller_percent=100)],
    )
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(skepd.get("a").status)) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: skepd.tenant("b")["in_flight"] == 96, "all calls")
    caller = skepd.worker()["pid"]
    os.kill(caller, signal.SIGSTOP)
    skepd.get("b", "/free")  # 96 answers of 100 KB: LINK_OUTPUT_HIGH_BYTES go to the worker's channel, the others wait
    wait_for(lambda: buffers_of(skepd) > 3_000_000, "the answers to be counted")
    os.kill(caller, signal.SIGCONT)
    for thread in threads:
        thread.join(20)
    assert answers == [200] * 6
    skepd.wait_idle()
    assert buffers_of(skepd) == 0


def test_large_answer_comes_while_buffers_are_short(start):
    """With full buffers the windows of answers are smaller, but never so small that two workers wait for each other."""
    large = "return new Response(new Uint8Array(4_000_000))"
    skepd = start(
        {
            "a": calling(
                "const answer = await env.B.fetch('http://b/');"
                "return new Response(String((await answer.bytes()).length))",
                "b",
                limits={"wall_ms": 10000},
            ),
            "b": called(large, "a", limits={"cpu_ms": 5000}),
            "c": called(large),
        },
        http={"buffer_mib": 1},
    )
    with contextlib.ExitStack() as slow:
        while (before := buffers_of(skepd)) < 3 << 18:  # three quarters: the smallest windows
            slow.enter_context(skepd.connect()).send_head("GET", "c.test")
            # All of its window is kept before the next one comes: else they run over together.
            seen = []

            def is_kept():
                seen.append(buffers_of(skepd))  # noqa: B023
                return seen[-1] > before and len(seen) >= 6 and len(set(seen[-6:])) == 1  # noqa: B023

            wait_for(is_kept, "an answer that nobody reads")
        assert skepd.get("a").text == "4000000"


def test_cpu_of_a_call_is_the_called_tenants(start):
    spin = "const end = performance.now(); for (let i = 0; i < 3e7; i++) Math.sqrt(i); return new Response('x');"
    skepd = start({"a": calling(ASK, "b"), "b": called(spin, "a", limits={"cpu_ms": 5000})})
    assert skepd.get("a").status == 200
    skepd.wait_idle()
    usage = wait_for(
        lambda: skepd.tenant("b")["cpu_ms"] > 10 and {n: skepd.tenant(n)["cpu_ms"] for n in "ab"}, "CPU time of b"
    )
    assert usage["a"] < usage["b"] / 2, usage


# ---- ends


def test_called_tenant_over_its_cpu_time_is_an_answer(start):
    skepd = start({"a": calling(ASK, "b"), "b": called("for (;;);", "a", limits={"cpu_ms": 20})})
    answer = skepd.get("a")
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "cpu_request")


def test_abort_ends_the_call_and_tells_the_called_tenant(start):
    skepd = start(
        {
            "a": calling(
                "const controller = new AbortController();"
                "const call = env.B.fetch('http://b/wait', { signal: controller.signal });"
                "setTimeout(() => controller.abort(new Error('enough')), 50);"
                "try { await call; } catch (error) { return new Response(error.message); }",
                "b",
            ),
            "b": called(
                "request.signal.addEventListener('abort', () => console.log(`aborted: ${request.signal.reason.name}`));"
                "await new Promise((resolve) => setTimeout(resolve, 20000)); return new Response('late');",
                "a",
            ),
        }
    )
    assert skepd.get("a").text == "enough"
    skepd.wait_log("aborted: AbortError")
    skepd.wait_idle()


def test_calls_end_with_their_request(start):
    """The client leaves, so the whole tree of calls is cancelled."""
    wait = "await new Promise((resolve) => setTimeout(resolve, 20000)); return new Response('late');"
    listen = "console.log('entered'); request.signal.addEventListener('abort', () => console.log('aborted'));"
    skepd = start(
        {
            "a": calling(FORWARD, "b"),
            "b": calling('return env.C.fetch("http://c/")', "c", callers=["a"]),
            "c": called(listen + wait, "b"),
        }
    )
    with skepd.connect() as connection:
        connection.send_head("GET", "a.test")
        skepd.wait_log("entered")
    skepd.wait_log("aborted")
    skepd.wait_idle()


def test_tree_ends_at_the_wall_time_of_its_first_request(start):
    wait = (
        "if (request.url.endsWith('/warm')) return new Response('ok');"
        "await new Promise((resolve) => setTimeout(resolve, 20000)); return new Response('late');"
    )
    skepd = start({"a": calling(FORWARD, "b", limits={"wall_ms": 200}), "b": called(wait, "a")})
    # A request that has to wait for the load of its tenant fails in another way.
    wait_for(lambda: skepd.get("a", "/warm").status == 200, "both are loaded")
    failed = skepd.tenant("b")["failed"]
    began = time.monotonic()
    assert skepd.get("a").code == "wall_request"
    skepd.wait_idle()
    assert time.monotonic() - began < 10
    assert skepd.tenant("b")["failed"] == failed


def test_request_that_waits_for_a_call_does_not_hang(start):
    skepd = start(
        {
            "a": calling(ASK, "b", limits={"hung_ms": 20}),
            "b": called("await new Promise((r) => setTimeout(r, 300)); return new Response('yes')", "a"),
        }
    )
    assert skepd.get("a").text == "yes"


def test_call_that_nobody_waits_for_ends_with_its_request(start):
    wait = "await new Promise((resolve) => setTimeout(resolve, 20000)); return new Response('late');"
    skepd = start(
        {
            "a": calling("env.B.fetch('http://b/').catch(() => {}); return new Response('done')", "b"),
            "b": called("console.log('entered');" + wait, "a"),
        }
    )
    assert skepd.get("a").text == "done"
    skepd.wait_idle()


def test_wait_until_may_call(start):
    skepd = start(
        {
            "a": calling("ctx.waitUntil(env.B.fetch('http://b/')); return new Response('done')", "b"),
            "b": called("console.log('came'); return new Response('x')", "a"),
        }
    )
    assert skepd.get("a").text == "done"
    skepd.wait_log("came")
    skepd.wait_idle()


@pytest.mark.parametrize("method, expected", [("GET", "yes again"), ("POST", "worker_crashed")])
def test_death_of_the_called_tenants_worker(start, method, expected):
    """As for an HTTP client: the request is sent again where that is safe, else the answer says that it was lost."""
    skepd = start(
        {
            "a": calling(
                "const answer = await env.B.fetch(new Request('http://b/', { method: request.method }));"
                "return new Response(answer.headers.get('skep-error') ?? await answer.text())",
                "b",
            ),
            "b": called(
                "console.log('entered'); if (!request.url.endsWith('?free'))"
                "    await new Promise((r) => setTimeout(r, 1500)); return new Response('yes again')",
                "a",
                cordon="other",
            ),
        },
        cordons=[cordon(calls_across=True), cordon("other", calls_across=True)],
    )
    result = []
    thread = threading.Thread(target=lambda: result.append(skepd.request(method, "a").text))
    thread.start()
    skepd.wait_log("entered")
    os.kill(skepd.worker("other")["pid"], signal.SIGKILL)
    thread.join(15)
    assert result == [expected]


def test_death_of_the_calling_tenants_worker_ends_its_calls(start):
    wait = "await new Promise((resolve) => setTimeout(resolve, 20000)); return new Response('late');"
    listen = "console.log('entered'); request.signal.addEventListener('abort', () => console.log('aborted'));"
    skepd = start(
        {"a": calling(ASK, "b"), "b": called(listen + wait, "a", cordon="other")},
        cordons=[cordon(calls_across=True), cordon("other", calls_across=True)],
    )
    result = []
    thread = threading.Thread(target=lambda: result.append(skepd.post("a", b"").status))
    thread.start()
    skepd.wait_log("entered")
    os.kill(skepd.worker()["pid"], signal.SIGKILL)
    skepd.wait_log("aborted")
    thread.join(15)
    assert result == [502]
    skepd.wait_idle()


def test_next_version_of_either_side_takes_over_without_a_failure(start):
    skepd = start({"a": calling(ASK, "b"), "b": called("return new Response('b1')", "a")})
    stop, answers = threading.Event(), []

    def ask():
        with skepd.connect() as connection:
            while not stop.is_set():
                answers.append(connection.request("GET", "a.test"))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(2, 5):
        skepd.write_tenant("b", called(f"return new Response('b{i}')", "a"))
        skepd.write_tenant("a", calling(ASK + f"// {i}", "b"))
        assert skepd.skep("reload").returncode == 0
        wait_for(lambda: skepd.get("b").text == f"b{i}", "the next version")
    stop.set()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200}
    assert answers[-1].text in ("b3", "b4")
    skepd.wait_idle()


def test_answer_that_breaks_off_fails_where_it_is_read(start):
    skepd = start(
        {
            "a": calling(
                "const answer = await env.B.fetch('http://b/'), out = [answer.status];"
                "try { await answer.text(); } catch (error) { out.push(error.name, error.message); }"
                "return Response.json(out)",
                "b",
            ),
            "b": called(
                "return new Response(new ReadableStream({ async pull(c) {"
                "    c.enqueue(new Uint8Array(10)); await null; c.error(new Error('broken')); } }))",
                "a",
            ),
        }
    )
    status, name, message = json.loads(skepd.get("a").body)
    assert (status, name) == (200, "TypeError")
    assert "exception" in message
    skepd.wait_idle()


def test_arguments_that_cannot_be_sent_are_refused(start):
    skepd = start(
        {
            "a": calling(
                "const out = [];"
                "for (const [url, init] of [['nowhere'], ['ftp://b/'], ['http://b..c/'], ['http://u:p@b/'],"
                "    ['http://b/', { method: 'CONNECT' }], ['http://b/', { method: 'X'.repeat(40) }],"
                "    ['http://b/' + 'x'.repeat(100000)], ['http://b/', { headers: { a: 'x'.repeat(70000) } }]])"
                "    try { const answer = await env.B.fetch(url, init); out.push(answer.headers.get('skep-error')); }"
                "    catch (error) { out.push(error.name); }"
                "return Response.json(out)",
                "b",
            ),
            "b": called(YES, "a"),
        }
    )
    assert json.loads(skepd.get("a").body) == [
        "TypeError",
        "TypeError",
        "bad_request",
        "TypeError",
        "TypeError",
        "bad_request",
        "header_too_large",
        "header_too_large",
    ]
    assert "broke the protocol" not in skepd.log()


# ---- the operator's view


def test_calls_are_in_the_access_log(start):
    skepd = start({"a": calling(ASK, "b"), "b": called(YES, "a")}, access_log=True, log_format="json")
    assert skepd.get("a").text == "yes"

    def lines():
        events = [json.loads(line) for line in skepd.log().splitlines() if line.startswith("{")]
        return {event["tenant"]: event for event in events if event.get("event") == "access"}

    found = wait_for(lambda: len(lines()) == 2 and lines(), "both requests in the access log")
    assert (found["b"]["caller"], found["b"]["client"], found["b"]["host"]) == ("a", "call", "b")
    assert "route" not in found["b"]
    assert "caller" not in found["a"]


def test_refused_call_is_in_the_access_log_with_its_caller(start):
    skepd = start({"a": calling(ASK, "b"), "b": called(YES, "a")}, access_log=True, log_format="json")
    assert skepd.skep("quarantine", "b", "--for", "60s").returncode == 0
    assert skepd.get("a").status == 503

    def find():
        events = [json.loads(line) for line in skepd.log().splitlines() if line.startswith("{")]
        return [e for e in events if e.get("event") == "access" and e["tenant"] == "b"]

    found = wait_for(find, "the call in the access log")
    assert [(e["code"], e["caller"], e["client"]) for e in found] == [("quarantined", "a", "call")]


def test_calls_are_counted_by_what_came_of_them(start):
    port = free_port()
    skepd = start(
        {"a": calling(MANY, "b", limits={"subrequests": 2}), "b": called(YES, "a"), "c": calling(ASK, "b")},
        metrics={"listen": f"127.0.0.1:{port}"},
    )
    skepd.get("a", "/?count=3")
    skepd.get("c")
    with Connection(("127.0.0.1", port)) as connection:
        text = connection.request("GET", "localhost", "/metrics").text
    assert 'skep_calls_total{tenant="a",code="ok"} 2' in text
    assert 'skep_calls_total{tenant="a",code="sub_limit"} 1' in text
    assert 'skep_calls_total{tenant="c",code="call_denied"} 1' in text
    assert 'skep_calls_total{tenant="b",code="ok"} 0' in text
    assert 'skep_requests_total{tenant="b",code="ok"} 2' in text


def test_explain_says_what_bindings_and_names_stand_for(start):
    skepd = start(
        {
            "a": calling(ASK, "b", "nobody", "c"),
            "b": called(YES, "a", "later"),
            "c": called(YES, "b"),
        }
    )
    told = json.loads(skepd.skep("explain", "a", "--json").stdout)
    assert told["bindings"] == [
        "B: service b",
        "NOBODY: service nobody, refused: no_service",
        "C: service c, refused: call_denied",
    ]
    assert json.loads(skepd.skep("explain", "b", "--json").stdout)["callers"] == ["a", "later, not there yet"]
    remove(skepd, "a")
    assert "a, gone" in skepd.skep("explain", "b").stdout
    skepd.write_tenant("a", calling(ASK, "b"))
    assert skepd.skep("reload").returncode == 0
    assert "a, gone: another tenant has the name by now" in skepd.skep("explain", "b").stdout
