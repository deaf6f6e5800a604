# SPDX-License-Identifier: Apache-2.0
"""The operator's view: skep VERB on the admin socket of a running skepd."""

import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess

import pytest

from harness import BIN, is_alive, script, wait_for

HELLO = script('return new Response("hello\\n")')


def test_stats_count_requests_and_errors(start):
    skepd = start({"hello": HELLO, "throws": script("throw new Error('x')")})
    for _ in range(3):
        skepd.get("hello")
    for _ in range(2):
        skepd.get("throws")
    skepd.get("nobody.example")
    stats = skepd.stats()
    assert stats["pid"] == skepd.pid
    assert stats["requests"] == 6
    assert stats["errors"] == {"exception": 2, "no_route": 1}
    assert stats["tenants"] == 2
    assert (stats["workers"], stats["workers_ready"]) == (1, 1)
    assert stats["in_flight"] == 0
    assert re.match(r"13\.\d+", stats["v8_version"])


def test_workers_show_processes_and_what_is_in_them(start):
    skepd = start(
        {"a": HELLO, "b": {"cordon": "other", "files": {"worker.js": HELLO}}},
        cordons=[{"name": "default", "workers": 2}, {"name": "other", "workers": 1}],
    )
    skepd.get("a")
    skepd.get("b")
    workers = skepd.workers()
    assert sorted((w["cordon"], w["slot"]) for w in workers) == [
        ("default", 0),
        ("default", 1),
        ("default", 2),
        ("other", 0),
        ("other", 1),
    ]
    spares = [(w["cordon"], w["slot"]) for w in workers if w["state"] == "spare"]
    assert sorted(spares) == [("default", 2), ("other", 1)]
    for worker in workers:
        assert worker["state"] in ("ready", "spare")
        assert is_alive(worker["pid"])
        assert worker["rss_kib"] > 1000
    tenants = sorted(name for w in workers if w["cordon"] == "default" for name in w["tenants"])
    assert tenants == ["a"]
    assert skepd.worker("other")["tenants"] == ["b"]


def test_tenants_show_what_each_has_done(start):
    source = script(
        'if (request.url.endsWith("loop")) for (;;);'
        'if (request.url.endsWith("throw")) throw 1; return new Response();'
    )
    skepd = start({"a": source, "idle": HELLO, "broken": "syntax error"})
    skepd.get("a")
    skepd.get("a", "/loop")
    skepd.get("a", "/throw")
    skepd.get("broken")
    tenant = skepd.tenant("a")
    assert tenant["state"] == "ready"
    assert tenant["requests"] == 3
    assert tenant["errors"] == {"cpu_request": 1, "exception": 1}
    assert tenant["cpu_ms"] >= 50
    assert tenant["heap_kib"] > 0
    assert tenant["routes"] == ["a.test/*"]
    assert skepd.tenant("idle")["state"] == "idle"
    broken = skepd.tenant("broken")
    assert broken["state"] == "failed"
    assert "SyntaxError" in broken["last_error"]


@pytest.mark.parametrize("verb", ["stats", "workers", "tenants", "incidents"])
def test_verbs_also_speak_to_people(start, verb):
    skepd = start({"hello": HELLO})
    skepd.get("hello")
    run = skepd.skep(verb)
    assert run.returncode == 0, run.stderr
    assert run.stdout and not run.stdout.startswith("{")
    assert "\x1b" not in run.stdout


def test_many_tenants_are_all_listed(start):
    skepd = start({f"tenant-{i}": HELLO for i in range(600)})
    names = [tenant["name"] for tenant in skepd.admin("tenants")["tenants"]]
    assert sorted(names) == sorted(f"tenant-{i}" for i in range(600))
    assert skepd.get("tenant-599").text == "hello\n"


def as_nobody(*command):
    """Returns the command, run as a user without any rights; needs root, or sudo without a password."""
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if become and subprocess.run([*become, "true"], capture_output=True, check=False).returncode:
        pytest.skip("another user's view needs root, or sudo without a password")
    return subprocess.run(
        [*become, *nobody, *command], capture_output=True, text=True, timeout=30, check=False
    )


def reachable_copy_of_skep(folder):
    """Copies the program, since others may not reach the checkout."""
    folder.chmod(0o755)
    copy = folder / "skep"
    shutil.copy(BIN / "skep", copy)
    return copy


def test_admin_socket_is_for_its_owner_and_group(start, folder):
    skepd = start({"hello": HELLO})
    state = os.stat(skepd.admin_socket)
    assert stat.S_ISSOCK(state.st_mode)
    assert stat.S_IMODE(state.st_mode) == 0o660
    run = as_nobody(reachable_copy_of_skep(folder), "--socket", skepd.admin_socket, "stats")
    assert run.returncode == 1
    assert "in flight" not in run.stdout


def test_admin_peer_with_a_wrong_uid_is_refused_even_if_the_file_lets_it_in(start, folder):
    skepd = start({"hello": HELLO})
    socket_path = pathlib.Path(skepd.admin_socket)
    socket_path.chmod(0o666)
    for parent in list(socket_path.parents)[:3]:
        if parent.stat().st_uid == os.geteuid() and parent != pathlib.Path("/tmp"):
            parent.chmod(0o755)
    run = as_nobody(reachable_copy_of_skep(folder), "--socket", socket_path, "stats")
    assert run.returncode == 1
    assert "admin.write" in run.stderr
    skepd.wait_log("uid 65534")
    assert "in flight" not in run.stdout
    assert skepd.stats()["requests"] == 0


def test_skep_without_skepd_says_what_to_do(folder):
    run = subprocess.run(
        [BIN / "skep", "--socket", folder / "nobody.sock", "stats"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    assert "nobody.sock" in run.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["stats", "--nonsense"], ["check"], ["stats", "extra"]]
)
def test_wrong_usage_has_exit_status_2(arguments):
    run = subprocess.run([BIN / "skep", *arguments], capture_output=True, text=True, timeout=30)
    assert run.returncode == 2


def test_help_is_everywhere():
    run = subprocess.run([BIN / "skep", "--help"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0
    verbs = re.findall(r"^  ([a-z-]+) ", run.stdout, re.M)
    assert {"check", "dev", "stats", "tenants", "workers", "incidents"} <= set(verbs)
    assert {"quarantine", "release", "retire"} <= set(verbs)
    for verb in verbs:
        if verb.startswith("-"):
            continue
        run = subprocess.run(
            [BIN / "skep", verb, "--help"], capture_output=True, text=True, timeout=30
        )
        assert run.returncode == 0
        assert verb in run.stdout


def test_version_is_the_same_everywhere():
    run = subprocess.run(
        [BIN / "skep", "version", "--json"], capture_output=True, text=True, timeout=30
    )
    version = json.loads(run.stdout)["version"]
    for program in ("skep", "skepd"):
        run = subprocess.run([BIN / program, "--version"], capture_output=True, text=True)
        assert version in run.stdout, program


def test_nonsense_on_the_admin_socket_does_no_harm(start):
    from harness import Connection

    skepd = start({"hello": HELLO})
    for nonsense in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x04\x00\x00\x00\xff\xff\xff\xff",
        b"\x02\x00\x00\x00",
    ):
        with Connection(str(skepd.admin_socket), timeout=5) as connection:
            connection.send(nonsense)
            if nonsense[0] != 2:
                assert connection.is_closed_by_peer()
    assert skepd.stats()["tenants"] == 1
    assert skepd.get("hello").text == "hello\n"


def test_sigterm_lets_requests_end_and_refuses_new_ones(start):
    import signal

    skepd = start(
        {
            "slow": script(
                'console.log("entered"); await new Promise((r) => setTimeout(r, 500));'
                'return new Response("done");'
            )
        }
    )
    with skepd.connect() as connection:
        connection.send_head("GET", "slow.test")
        skepd.wait_log("entered")
        os.kill(skepd.pid, signal.SIGTERM)
        answer = connection.read_response()
        assert answer.text == "done"
        assert answer.header("Connection") == "close"
    assert skepd.process.wait(timeout=10) == 0
    wait_for(lambda: not skepd.admin_socket.exists(), "the admin socket to be removed")


def test_port_that_is_taken_is_said_and_nothing_is_left_running(start, folder):
    from harness import SKEPD

    first = start({"hello": HELLO})
    path = folder / "skepd.yaml"
    path.write_text(f'listen: ["127.0.0.1:{first.port}"]\nadmin_socket: {folder}/admin.sock\n')
    run = subprocess.run(
        [SKEPD, "--config", path, "--worker", BIN / "skep-worker"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    assert str(first.port) in run.stderr
    assert first.get("hello").text == "hello\n"


def test_verbs_wait_for_an_answer_as_long_as_they_are_told(start):
    skepd = start({"a": HELLO})
    os.kill(skepd.pid, signal.SIGSTOP)
    try:
        for verb in (["status"], ["tenants"], ["stats"], ["reload"], ["upgrade"], ["logs"]):
            run = skepd.skep("--timeout", "1", *verb)
            assert run.returncode == 1, verb
            assert "does not answer in time" in run.stderr and "--timeout" in run.stderr, verb
    finally:
        os.kill(skepd.pid, signal.SIGCONT)
    assert skepd.skep("status", "--timeout", "20").returncode == 0
    for wrong in ("0", "-1", "1s", "86401", ""):
        run = skepd.skep("status", "--timeout", wrong)
        assert run.returncode == 2 and "expected seconds, 1 to 86400" in run.stderr, wrong
