# SPDX-License-Identifier: Apache-2.0
"""Promises of skepd about storage, with real data processes: folder, cordons, losses, removal. Tests of the operations are test_kv.py and
test_sql.py."""

import concurrent.futures
import json
import os
import pathlib
import signal
import stat

import pytest
from deploying import deployer  # noqa: F401
from harness import descendants, is_alive, script, status_of, wait_for

KV = [{"name": "KV", "kv": "main"}]
COUNT = """
    const { pathname } = new URL(request.url);
    if (pathname === "/put") { await env.KV.put("k", "v"); return new Response("stored"); }
    if (pathname === "/many") {
        const all = await Promise.all(Array.from({ length: 40 }, (_, i) => env.KV.put("m" + i, "v").then(() => 1)));
        return new Response(String(all.length));
    }
    return new Response(String(await env.KV.get("k")));
"""
LIMITS = {"storage_rate": 1000000, "cpu_ms": 5000, "subrequests": 100}
CONFIG = {"storage": {"folder": "data"}, "limits": {"maximum": {"storage_rate": 1000000}}}


def storing(body=COUNT, **manifest):
    return {"bindings": KV, "limits": LIMITS, "files": {"worker.js": script(body)}, **manifest}


def processes(skepd):
    """The data processes that live: {cordon: pid}."""
    found = {}
    for pid in descendants(skepd.pid):
        if is_alive(pid) and status_of(pid)["Name"].strip() == "skep-data":
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            found[next(w[len(b"--cordon="):].decode() for w in words if w.startswith(b"--cordon="))] = pid
    return found


def text(skepd, tenant, path="/"):
    answer = skepd.get(tenant, path)
    assert answer.status == 200, (answer.status, answer.text, skepd.log()[-2000:])
    return answer.text


def test_tenant_with_storage_is_refused_where_no_folder_is_named(start):
    skepd = start({"a": storing(), "b": script("return new Response('b');")})
    assert skepd.get("a").status == 404
    assert 'bindings: "KV" needs storage, and skepd.yaml names no folder for it: expected storage.folder (or state) there' in skepd.log()
    assert text(skepd, "b") == "b"


def test_folder_is_made_for_skepd_alone_and_a_process_when_it_is_needed(start):
    skepd = start({"a": storing(), "b": script("return new Response('b');")}, **CONFIG)
    folder = skepd.folder / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert text(skepd, "b") == "b"
    assert processes(skepd) == {}
    assert text(skepd, "a", "/put") == "stored"
    assert list(processes(skepd)) == ["default"]
    assert [path.name for path in folder.iterdir()] == ["default"]
    assert [path.name for path in (folder / "default").iterdir()] == ["a"]
    assert skepd.admin("status")["helpers"]["data"] == "ok"


def test_each_cordon_has_a_process_and_the_loss_of_one_is_its_own(start):
    cordons = [{"name": "default"}, {"name": "other"}]
    skepd = start({"a": storing(), "b": storing(cordon="other")}, cordons=cordons, **CONFIG)
    assert text(skepd, "a", "/put") == text(skepd, "b", "/put") == "stored"
    before = processes(skepd)
    assert set(before) == {"default", "other"}
    os.kill(before["other"], signal.SIGKILL)
    assert text(skepd, "a") == "v"
    wait_for(lambda: processes(skepd).get("other") not in (None, before["other"]), "another process")
    assert text(skepd, "b") == "v"
    assert processes(skepd)["default"] == before["default"]
    assert "helper data (other) is restarting: it died" in skepd.log()
    wait_for(lambda: skepd.admin("status")["helpers"]["data"] == "ok", "a good state")


def test_operations_over_calls_wait_for_others(start):
    skepd = start({"a": storing(limits={**LIMITS, "calls": 2})}, **CONFIG)
    assert text(skepd, "a", "/many") == "40"


def test_kill_under_load_gives_clear_errors_and_then_it_works_again(start):
    code = """
        const { pathname } = new URL(request.url);
        if (pathname === "/list") return Response.json((await env.KV.list()).keys.map(({ name }) => name));
        const n = pathname.slice(1), errors = [];
        let stored = [];
        for (let i = 0; i < 40; i++)
            await env.KV.put(`${n}-${i}`, "v").then(() => stored.push(`${n}-${i}`), (e) => errors.push(e.message));
        return Response.json([stored, errors]);
    """
    skepd = start({"a": storing(code)}, **CONFIG)
    stored, errors = [], []
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        text(skepd, "a", "/list")
        before = processes(skepd)["default"]
        loads = [threads.submit(text, skepd, "a", f"/n{i}") for i in range(8)]
        wait_for(lambda: "n0-0" in json.loads(text(skepd, "a", "/list")), "a key")
        os.kill(before, signal.SIGKILL)
        for load in loads:
            now = json.loads(load.result())
            stored += now[0]
            errors += now[1]
    assert len(stored) + len(errors) == 320
    known = ("the storage process has ended: whether the write was done is not known",)
    assert all(any(line in error for line in known) for error in errors), errors
    assert set(stored) <= {name for name in _all(skepd)}
    assert processes(skepd)["default"] != before


def _all(skepd):
    return json.loads(text(skepd, "a", "/list"))


def test_process_that_does_not_start_fails_operations_after_a_while(start):
    """A data folder that is gone: the process cannot start, requests are answered all the same, and `skep status` says so."""
    failing = """
        try { await env.KV.put("k", "v"); return new Response("stored"); } catch (e) { return new Response(e.message); }
    """
    skepd = start({"a": storing(failing)}, **CONFIG)
    (skepd.folder / "data" / "default").write_text("a file where the folder of the cordon belongs")
    answer = text(skepd, "a")
    assert "the storage process is not running; nothing was done" in answer, answer
    assert skepd.admin("status")["helpers"]["data"].startswith("restarting")
    (skepd.folder / "data" / "default").unlink()
    wait_for(lambda: text(skepd, "a") == "stored", "the process", timeout=60)


def test_removal_takes_what_was_stored_with_it(deployer):  # noqa: F811
    deployer.deploy("a", script(COUNT), bindings=KV)
    assert deployer.text("a", "/put") == "stored"
    folder = deployer.state / "data" / "default" / "a"
    assert folder.is_dir()
    deployer.ask("remove", "a")
    assert not folder.exists()
    wait_for(lambda: list(folder.parent.iterdir()) == [], "the end of all files")
    deployer.deploy("a", script(COUNT), bindings=KV)
    assert deployer.text("a") == "null"


def test_folder_that_comes_back_finds_what_it_has_stored(start):
    skepd = start({"a": storing()}, **CONFIG)
    assert text(skepd, "a", "/put") == "stored"
    folder = next(skepd.folder.rglob("a/skep.yaml")).parent
    folder.rename(skepd.folder / "away")
    assert skepd.skep("reload").returncode == 0
    assert skepd.get("a").status == 404
    (skepd.folder / "away").rename(folder)
    assert skepd.skep("reload").returncode == 0
    assert text(skepd, "a") == "v"


def test_version_in_another_cordon_does_not_lose_what_is_stored(start):
    skepd = start({"a": storing()}, cordons=[{"name": "default"}, {"name": "other"}], **CONFIG)
    assert text(skepd, "a", "/put") == "stored"
    manifest = next(skepd.folder.rglob("a/skep.yaml"))
    text_before = manifest.read_text()
    changed = json.loads(text_before)
    changed["cordon"] = "other"
    manifest.write_text(json.dumps(changed))
    run = skepd.skep("reload")
    assert 'cordon: what the tenant has stored is in cordon "default", and is not moved: expected "default"' in run.stdout + run.stderr
    assert text(skepd, "a") == "v"


@pytest.mark.parametrize("kind, most", [("kv", 20), ("sql", 10)])
def test_spaces_are_bounded(start, kind, most):
    many = [{"name": f"N{i}", kind: f"s{i}"} for i in range(most + 1)]
    skepd = start({"a": storing("return new Response('a');", bindings=many), "b": storing("return new Response('b');", bindings=many[1:])}, **CONFIG)
    assert skepd.get("a").status == 404
    assert f"expected at most {most} " in skepd.log()
    assert text(skepd, "b") == "b"
