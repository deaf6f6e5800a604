# SPDX-License-Identifier: Apache-2.0
"""`skep top`: its figures against known load, on a terminal, as text and as JSON."""

import json
import os
import socket
import struct
import subprocess
import threading

import pytest

from harness import BIN, cordon, script, wait_for
from terminal import Terminal

HELLO = script('return new Response("hello");')
SLEEPS = script(
    "await new Promise((done) => setTimeout(done, 60)); return new Response('late');"
)
FAILS = script('throw new Error("no");')
STUCK = script("Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);")


class Load:
    """Requests one after the other, until the end of the block."""

    def __init__(self, skepd, *names):
        self.skepd, self.names = skepd, names
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        with self.skepd.connect() as connection:
            while not self.is_over.is_set():
                for name in self.names:
                    connection.request("GET", f"{name}.test")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def top_json(skepd, *arguments):
    run = skepd.skep("top", "--json", *arguments)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def by_name(rows):
    return {row["name"]: row for row in rows}


def command(skepd, *arguments):
    return [BIN / "skep", "--socket", skepd.admin_socket, "top", *arguments]


def rows_of(lines):
    """Names in the order of the screen."""
    return [line.split()[0] for line in lines[4:] if line]


# ---- JSON and text


def test_rates_and_times_are_of_the_interval_only(start):
    skepd = start({"slow": SLEEPS, "b": FAILS, "idle": HELLO})
    for _ in range(5):
        skepd.get("idle")  # a request from before
    with Load(skepd, "slow", "b"):
        wait_for(lambda: skepd.tenant("slow")["requests"] > 1, "load")
        before = skepd.tenant("slow")["requests"]
        top = top_json(skepd, "--interval", "1.5")
        after = skepd.tenant("slow")["requests"]
    assert 1.4 <= top["interval_s"] <= 4
    tenants = by_name(top["tenants"])
    slow = tenants["slow"]
    assert 1 <= slow["rps"] * top["interval_s"] <= after - before + 1
    assert 55_000 <= slow["p50_us"] <= slow["p99_us"] < 5_000_000
    assert slow["errors_per_s"] == 0
    assert tenants["b"]["errors_per_s"] == pytest.approx(tenants["b"]["rps"])
    assert tenants["b"]["rps"] > 0 and tenants["b"]["p50_us"] < slow["p50_us"]
    assert slow["cpu_ms_per_s"] >= 0 and slow["heap_kib"] > 100
    idle = tenants["idle"]
    assert (idle["rps"], idle["p50_us"], idle["p99_us"]) == (0, None, None)
    assert idle["requests"] == 5 and idle["cpu_ms_per_s"] == 0
    worker = next(w for w in top["workers"] if w["kind"] == "shared")
    assert worker["rps"] >= slow["rps"] and worker["tenants"] == 3
    assert worker["p99_us"] >= 55_000 and worker["cpu_ms_per_s"] > 0
    assert worker["pid"] == skepd.worker()["pid"] and worker["rss_kib"] > 10_000
    spare = next(w for w in top["workers"] if w["kind"] == "spare")
    assert (spare["rps"], spare["p50_us"], spare["tenants"]) == (0, None, 0)


def test_what_waits_and_runs_shows(start):
    slow = {
        "files": {"worker.js": script("await new Promise(() => setTimeout(() => 0, 1e5));")},
        "limits": {"concurrency": 1, "wall_ms": 20000},
    }
    skepd = start({"slow": slow})
    connections = [skepd.connect() for _ in range(3)]
    for connection in connections:
        connection.send_head("GET", "slow.test")
    wait_for(lambda: skepd.stats()["queued"] == 2, "two to wait")
    top = top_json(skepd, "--interval", "0.1")
    row = by_name(top["tenants"])["slow"]
    assert (row["in_flight"], row["queued"]) == (1, 2)
    for connection in connections:
        connection.close()
    skepd.wait_idle()


def test_kills_have_their_cause_for_tenant_and_worker(start):
    stuck = {"files": {"worker.js": STUCK}, "limits": {"cpu_ms": 20, "grace_ms": 30}}
    skepd = start({"stuck": stuck, "a": HELLO}, cordons=[cordon(spare=False)])
    assert skepd.get("stuck").code == "cpu_request"
    wait_for(lambda: skepd.tenant("stuck")["kills"] == 1, "the kill to be counted")
    top = top_json(skepd, "--interval", "0.1")
    assert by_name(top["tenants"])["stuck"]["kills"] == {"cpu_ms": 1}
    assert by_name(top["tenants"])["a"]["kills"] == {}
    assert [w["kills"] for w in top["workers"]] == [{"cpu_ms": 1}]
    line = next(
        line for line in skepd.skep("top", "--once").stdout.splitlines() if "stuck" in line
    )
    assert line.endswith("cpu_ms 1")


def test_once_is_plain_text_in_order(start):
    skepd = start({name: HELLO for name in ("c", "a", "b")})
    with Load(skepd, "b"):
        run = skepd.skep("top", "--once", "--interval", "0.3", "--sort", "rps")
    lines = run.stdout.splitlines()
    assert lines[0].split()[:3] == ["TENANT", "WHERE", "STATE"]
    assert [line.split()[0] for line in lines[1:]] == ["b", "a", "c"]
    assert "\x1b" not in run.stdout
    run = skepd.skep("top", "--once", "--interval", "0.1", "--sort", "name")
    assert [line.split()[0] for line in run.stdout.splitlines()[1:]] == ["a", "b", "c"]
    run = skepd.skep("top", "--once", "--interval", "0.1", "--workers")
    assert run.stdout.splitlines()[0].startswith("WORKER")
    assert "default/0" in run.stdout
    # The same without --once, because the output is no terminal.
    assert skepd.skep("top", "--interval", "0.1").stdout.startswith("TENANT")


def test_many_tenants_come_in_pages(start):
    names = {f"t{i:03}" for i in range(300)}
    skepd = start({name: HELLO for name in names})
    top = top_json(skepd, "--interval", "0.1")
    assert {row["name"] for row in top["tenants"]} == names
    assert len(top["tenants"]) == 300


@pytest.mark.parametrize(
    "arguments",
    [["--interval", "0"], ["--interval", "x"], ["--interval", "31"], ["--interval", "nan"],
     ["--interval", "-1"], ["--sort", "where"], ["--sort", ""], ["a"]],
)
def test_wrong_usage(arguments):
    run = subprocess.run([BIN / "skep", "top", *arguments], capture_output=True, text=True)
    assert run.returncode == 2 and "skep top --help" in run.stderr


def test_without_skepd_it_says_what_to_do(folder):
    for more in ([], ["--json"], ["--once"]):
        run = subprocess.run(
            [BIN / "skep", "--socket", folder / "none", "top", *more],
            capture_output=True,
            text=True,
        )
        assert run.returncode == 1 and run.stdout == ""
        assert "is skepd running?" in run.stderr


def test_help_names_each_field(start):
    skepd = start({"a": HELLO})
    text = skepd.skep("top", "--help").stdout
    top = top_json(skepd, "--interval", "0.1")
    for field in (*top, *top["tenants"][0], *top["workers"][0]):
        assert field in text, field


# ---- on a terminal


def test_screen_shows_tenants_and_q_quits(start):
    skepd = start({"a": HELLO, "b": HELLO})
    with Load(skepd, "b"), Terminal(command(skepd, "--interval", "0.2")) as terminal:
        lines = terminal.wait_screen(
            lambda lines: lines if len(rows_of(lines)) == 2 else None, "two tenants"
        )
        assert lines[0].startswith("skep top: 2 tenants, ")
        assert "q quit" in lines[1]
        assert lines[3].split()[0] == "TENANT"
        busy = terminal.wait_screen(
            lambda lines: next(
                (l for l in lines if l.startswith("b ") and float(l.split()[3]) > 0), None
            ),
            "requests of b",
        )
        assert rows_of(terminal.screen.text())[0] == "b"  # by CPU
        assert "us" in busy or "ms" in busy
        terminal.press("q")
        assert terminal.wait_end() == 0
        assert terminal.screen.unknown == []


def test_screen_sorts_by_keys_and_the_other_way_round(start):
    skepd = start({name: HELLO for name in ("b", "c", "a")})
    with Terminal(command(skepd, "--interval", "0.2")) as terminal:
        terminal.press("n")
        terminal.wait_screen(lambda lines: rows_of(lines) == ["a", "b", "c"], "order by name")
        assert "by name" in terminal.screen.text()[0]
        terminal.press("n")
        terminal.wait_screen(lambda lines: rows_of(lines) == ["c", "b", "a"], "it reversed")
        assert "by name (reversed)" in terminal.screen.text()[0]
        with Load(skepd, "b"):
            terminal.press("r")
            terminal.wait_screen(lambda lines: rows_of(lines)[:1] == ["b"], "order by requests")
        for key, name in zip("e59chmwik", ("errors", "p50", "p99", "cpu", "heap", "memory",
                                           "queue", "in_flight", "kills")):
            terminal.press(key)
            terminal.wait_screen(lambda lines: f"by {name}" in lines[0], f"order by {name}")
        terminal.press("x")  # no key
        terminal.press("\x1b")
        assert terminal.wait_end() == 0


def test_tab_changes_to_workers_and_back(start):
    skepd = start({"a": HELLO})
    skepd.get("a")
    with Terminal(command(skepd, "--interval", "0.2")) as terminal:
        terminal.wait_screen(lambda lines: rows_of(lines) == ["a"], "tenants")
        terminal.press("\t")
        lines = terminal.wait_screen(
            lambda lines: lines if rows_of(lines) == ["0", "1"] else None, "workers"
        )
        assert lines[3].split()[0] == "WORKER" and "2 workers" in lines[0]
        assert "default/0" in lines[4] or "default/0" in lines[5]
        terminal.press("\t")
        terminal.wait_screen(lambda lines: rows_of(lines) == ["a"], "tenants again")
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_resize_is_followed(start):
    skepd = start({f"t{i:02}": HELLO for i in range(30)})
    with Terminal(command(skepd, "--interval", "0.2", "--sort", "name")) as terminal:
        terminal.wait_screen(lambda lines: rows_of(lines) == [f"t{i:02}" for i in range(20)], "20")
        terminal.resize(10, 40)
        lines = terminal.wait_screen(
            lambda lines: lines if rows_of(lines) == [f"t{i:02}" for i in range(6)] else None, "6"
        )
        assert max(map(len, lines)) <= 40
        terminal.resize(40, 132)
        terminal.wait_screen(lambda lines: rows_of(lines) == [f"t{i:02}" for i in range(30)], "30")
        terminal.resize(1, 1)  # nothing to see, but top does not fail
        terminal.read(0.5)
        terminal.resize(24, 132)
        terminal.wait_screen(lambda lines: len(rows_of(lines)) == 20, "20 again")
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_arrows_scroll(start):
    skepd = start({f"t{i:02}": HELLO for i in range(30)})
    with Terminal(command(skepd, "--interval", "0.2", "--sort", "name")) as terminal:
        terminal.wait_screen(lambda lines: rows_of(lines)[:1] == ["t00"], "the first")
        terminal.press("\x1bOB\x1bOB")  # as a VT100 sends it in keypad mode
        terminal.wait_screen(lambda lines: rows_of(lines)[:1] == ["t02"], "two further down")
        terminal.press("\x1bOB" * 50)
        terminal.wait_screen(lambda lines: rows_of(lines)[-1:] == ["t29"], "the last")
        terminal.press("\x1bOA")
        terminal.wait_screen(lambda lines: rows_of(lines)[:1] == ["t09"], "one further up")
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_skepd_that_goes_ends_it_with_a_message(start):
    skepd = start({"a": HELLO})
    with Terminal(command(skepd, "--interval", "0.2")) as terminal:
        terminal.wait_screen(lambda lines: rows_of(lines) == ["a"], "tenants")
        skepd.stop()
        assert terminal.wait_end() == 1
        assert any("skep top: " in line for line in terminal.screen.text())
        assert b"skepd closed the connection: its log says why" in terminal.raw


def test_interrupt_leaves_the_terminal_in_order(start):
    skepd = start({"a": HELLO})
    with Terminal(command(skepd, "--interval", "0.2")) as terminal:
        terminal.wait_screen(lambda lines: rows_of(lines) == ["a"], "tenants")
        size = len(terminal.raw)
        terminal.press("\x03")
        assert terminal.wait_end() != 0
        assert len(terminal.raw) > size  # top has cleaned up


def test_terminal_that_is_not_known_is_an_error(start):
    skepd = start({"a": HELLO})
    with Terminal(["/usr/bin/env", "TERM=nix", *command(skepd)]) as terminal:
        assert terminal.wait_end() == 1
        assert b'nothing is known of terminal "nix"' in terminal.raw


# ---- bad answers


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


class FakeSkepd:
    """Answers each TopRequest with those rows."""

    def __init__(self, path, rows):
        top = b"".join(field(1, row) for row in rows) + field(2, len(rows))
        self.top, self.time_us = top, 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.fspath(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        client, _ = self.socket.accept()
        with client:
            while True:
                head = client.recv(4, socket.MSG_WAITALL)
                if len(head) < 4:
                    return
                client.recv(struct.unpack("<I", head)[0], socket.MSG_WAITALL)
                self.time_us += 100_000
                answer = field(22, self.top + field(3, self.time_us))
                client.sendall(struct.pack("<I", len(answer)) + answer)


EVIL = b"\x1b]0;owned\x07\x1b[2J\x9b31m\xff\xfe\xe2\x80\xaeevil\r\n\x00"


def test_control_characters_never_reach_the_terminal(folder):
    kills = field(1, EVIL) + field(2, 3)
    rows = [
        field(2, EVIL) + field(3, EVIL) + field(5, EVIL) + field(6, EVIL) + field(18, kills)
        + field(19, b"\xff" * 40) + field(20, EVIL)
    ]
    for more in (["--once"], ["--once", "--workers"], ["--json"]):
        path = folder / f"{len(more)}{more[-1]}"
        fake = FakeSkepd(path, rows)
        run = subprocess.run(
            [BIN / "skep", "--socket", path, "top", "--interval", "0.1", *more],
            capture_output=True,
            timeout=30,
        )
        fake.socket.close()
        assert run.returncode == 0, run.stderr
        assert not [byte for byte in run.stdout if (byte < 0x20 and byte != 0x0A) or byte == 0x7F]
        assert b"owned" in run.stdout


def test_control_characters_never_reach_the_screen(folder):
    fake = FakeSkepd(folder / "s", [field(2, EVIL) + field(3, b"c") + field(6, b"ready")])
    with Terminal([BIN / "skep", "--socket", folder / "s", "top", "--interval", "0.1"]) as terminal:
        terminal.wait_screen(lambda lines: len(lines[4]) > 10, "a row")
        terminal.read(0.3)
        assert b"\x1b]0;" not in terminal.raw and b"\x9b" not in terminal.raw
        assert b"\x1b[2J" not in terminal.raw.replace(b"\x1b[H\x1b[2J", b"")
        assert terminal.screen.unknown == []
        terminal.press("q")
        assert terminal.wait_end() == 0
    fake.socket.close()
