# SPDX-License-Identifier: Apache-2.0
"""The log of skepd, in each format, and `skep logs`. All text of a tenant stays within its value."""

import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import unicodedata

import pytest

from harness import BIN, TOP, Skepd, cordon, script, wait_for

HELLO = script('return new Response("hello");')
EVIL = (
    'first\\nPRIORITY=0\\n2026-01-01T00:00:00.000Z skepd error: [b] forged\\n'
    '{\\"level\\":\\"error\\"}\\u001b[31m\\u009b\\u0000\\ud800 end'
)
TALKS = script(f'console.warn("{EVIL}"); return new Response("said");')
LOOPS = script("for (;;);")


def objects(skepd):
    """Returns the lines of the log as JSON, all but the last, which may not be complete."""
    return [json.loads(line) for line in skepd.log().splitlines(keepends=True) if line[-1] == "\n"]


def wait_object(skepd, **fields):
    def find():
        for line in objects(skepd):
            if fields.items() <= line.items():
                return line

    return wait_for(find, f"{fields} in the log")


# ---- JSON


def test_json_has_an_object_on_each_line_with_the_fields_that_are_known(start):
    skepd = start({"a": LOOPS}, log_format="json")
    answer = skepd.get("a")
    assert answer.code == "cpu_request"
    line = wait_object(skepd, event="incident")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    worker = skepd.worker()
    assert line == {
        **line,
        "level": "info",
        "program": "skepd",
        "tenant": "a",
        "code": "cpu_request",
        "stage": "stopped",
        "cause": "cpu_ms",
        "worker": worker["number"],
        "worker_pid": worker["pid"],
        "incident": 1,
    }
    assert str(line["request"]) == answer.header("Skep-Request-Id")
    assert skepd.admin("incidents")["incidents"][0]["request"] == line["request"]
    ready = wait_object(skepd, worker_pid=worker["pid"], cordon="default")
    assert "is ready" in ready["message"] and "tenant" not in ready


def test_json_keeps_what_a_tenant_says_in_its_value(start):
    skepd = start({"a": TALKS}, log_format="json")
    skepd.get("a")
    line = wait_object(skepd, tenant="a", tenant_level="warn")
    said = line["message"]
    assert said.startswith("first\nPRIORITY=0\n2026-01-01")
    assert said.endswith('{"level":"error"}\x1b[31m\x9b\x00\ufffd end')
    assert set(line) == {"time", "level", "program", "message", "tenant", "tenant_level", "request"}
    assert line["level"] == "info"
    raw = skepd.log_path.read_bytes()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", raw)


def test_auto_is_json_where_nobody_looks_and_nothing_is_the_journals(start):
    skepd = start({"a": HELLO}, log_format="auto", launcher=("env", "JOURNAL_STREAM=1:2"))
    assert wait_object(skepd, message=f"listening on 127.0.0.1:{skepd.port}")


def test_auto_is_human_on_a_terminal(folder):
    skepd = Skepd(folder, {"a": HELLO}, {"log_format": "auto"})
    master, slave = pty.openpty()
    skepd.log_path.touch()
    skepd.process = subprocess.Popen(skepd.command(), stderr=slave, cwd=folder)
    os.close(slave)
    seen = b""
    try:
        end = time.monotonic() + 20
        while b"is ready" not in seen and time.monotonic() < end:
            if select.select([master], [], [], 1)[0]:
                seen += os.read(master, 65536)
        assert re.search(rb"Z skepd info: listening on 127", seen), seen
    finally:
        skepd.stop()
        os.close(master)


# ---- human


def test_human_lines_all_have_the_tag_of_the_tenant(start):
    skepd = start({"a": TALKS})
    skepd.get("a")
    skepd.wait_log("end")
    lines = [line for line in skepd.log().split("\n") if "[a]" in line]
    assert len(lines) == 4
    assert all(re.match(r"\S+Z skepd info: \[a\] warn: ", line) for line in lines)
    assert lines[3].endswith('{"level":"error"}\\x1b[31m\\xc2\\x9b\\x00\ufffd end')


# ---- the journal

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to stand in for journald")
# skepd finds our socket in the place of journald's, and $JOURNAL_STREAM says (unless told otherwise) that standard
# error is the journal's.
LAUNCHER = (
    'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && '
    'mount --bind "$1" /run/systemd/journal && shift && '
    'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"'
)


class Journal:
    """Takes journald's place, and reads its native protocol."""

    def __init__(self, folder):
        self.folder = folder / "journal"
        self.folder.mkdir()
        self.launcher = ("unshare", "-m", "sh", "-c", LAUNCHER, "sh", str(self.folder))
        self.entries = []
        self.socket = None
        self.open()

    def open(self):
        path = self.folder / "socket"
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(0)

    @staticmethod
    def parse(data):
        """https://systemd.io/JOURNAL_NATIVE_PROTOCOL/"""
        fields = []
        while data:
            name, _, data = data.partition(b"\n")
            if b"=" in name:
                name, _, value = name.partition(b"=")
            else:
                (size,) = struct.unpack("<Q", data[:8])
                value, data = data[8 : 8 + size], data[8 + size :]
                assert data[:1] == b"\n"
                data = data[1:]
            fields.append((name.decode(), value.decode()))
        assert len(dict(fields)) == len(fields)
        return dict(fields)

    def read(self):
        try:
            while True:
                self.entries.append(self.parse(self.socket.recv(1 << 20)))
        except BlockingIOError:
            return self.entries

    def read_on(self):
        """Reads all the time, as journald does, so that skepd never waits for the test."""

        def read_all():
            while True:
                select.select([self.socket], [], [])
                self.read()

        threading.Thread(target=read_all, daemon=True).start()

    def find(self, **fields):
        def look():
            for entry in self.read():
                if fields.items() <= entry.items():
                    return entry

        return wait_for(look, f"{fields} in the journal")


@pytest.fixture
def journal(folder):
    return Journal(folder)


@needs_root
def test_journal_has_fields(start, journal):
    skepd = start({"a": LOOPS}, log_format="auto", launcher=journal.launcher)
    answer = skepd.get("a")
    entry = journal.find(EVENT="incident")
    worker = skepd.worker()
    assert entry == {
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "skepd",
        "MESSAGE": entry["MESSAGE"],
        "TENANT": "a",
        "REQUEST_ID": answer.header("Skep-Request-Id"),
        "CODE": "cpu_request",
        "WORKER": str(worker["number"]),
        "WORKER_PID": str(worker["pid"]),
        "EVENT": "incident",
        "STAGE": "stopped",
        "CAUSE": "cpu_ms",
        "INCIDENT": "1",
    }
    assert "cpu_ms is 50.0 ms" in entry["MESSAGE"]
    ready = journal.find(CORDON="default", WORKER_PID=str(worker["pid"]))
    assert "TENANT" not in ready
    assert skepd.log() == ""  # each line is logged once


@needs_root
def test_journal_keeps_what_a_tenant_says_in_its_value(start, journal):
    skepd = start({"a": TALKS}, log_format="journal", launcher=journal.launcher)
    skepd.get("a")
    entry = journal.find(TENANT="a", TENANT_LEVEL="warn")
    assert entry["MESSAGE"].startswith("first\nPRIORITY=0\n2026-01-01")
    assert "\\x1b[31m\\xc2\\x9b\\x00" in entry["MESSAGE"]
    assert entry["PRIORITY"] == "6"
    fields = {"PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE", "TENANT", "TENANT_LEVEL", "REQUEST_ID"}
    assert set(entry) == fields


@needs_root
def test_journal_takes_long_entries(start, journal):
    long = script('console.log("\\u0001".repeat(8000)); return new Response();')
    skepd = start({"a": long}, log_format="journal", launcher=journal.launcher)
    skepd.get("a")
    assert len(journal.find(TENANT="a")["MESSAGE"]) > 16000


@needs_root
def test_journal_that_is_not_read_holds_up_nobody_and_is_told_what_it_lost(start, journal):
    chatty = script('for (let i = 0; i < 50; i++) console.log("n" + i); return new Response("x");')
    much = {"tenant_lines": 1000000, "lines": 1000000, "tenant_kib": 99999, "kib": 99999}
    skepd = start({"a": chatty}, log_format="journal", log=much, launcher=journal.launcher)
    began = time.monotonic()
    for _ in range(60):
        assert skepd.get("a").text == "x"
    assert time.monotonic() - began < 20
    journal.read()  # the lines that the queue had room for
    skepd.get("a")
    lost = wait_for(
        lambda: [int(e["LOST"]) for e in journal.read() if "LOST" in e], "word of what was lost"
    )
    told = sum(1 for e in journal.entries if e.get("TENANT") == "a" and "TENANT_LEVEL" in e)
    assert sum(lost) > 1000 and sum(lost) + told <= 61 * 50 + 20
    assert skepd.get("a").text == "x"


@needs_root
def test_journal_that_comes_back_has_the_next_entries(start, journal):
    skepd = start({"a": LOOPS, "b": TALKS}, log_format="journal", launcher=journal.launcher)
    journal.find(CORDON="default")
    journal.socket.close()
    skepd.get("b")  # no journal is there: the line goes to standard error
    skepd.wait_log(r"\[b\] warn: first")
    journal.open()
    skepd.get("a")
    assert journal.find(TENANT="a")["EVENT"] == "incident"


def test_journal_that_is_not_there_leaves_lines_for_people(start):
    if os.path.exists("/run/systemd/journal/socket"):
        pytest.skip("a journald runs here")
    skepd = start({"a": TALKS}, log_format="journal")
    skepd.get("a")
    skepd.wait_log(r"Z skepd info: \[a\] warn: first")


# ---- errors before the configuration is read


@pytest.mark.parametrize("text", ["listen: 1\n", "log_format: human\nnonsense: 1\n"])
def test_errors_of_the_configuration_are_events_too(folder, text):
    (folder / "skepd.yaml").write_text(text)
    run = subprocess.run(
        [BIN / "skepd", "--config", folder / "skepd.yaml"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    (line,) = map(json.loads, run.stderr.splitlines())
    assert line["level"] == "error" and "skepd.yaml:" in line["message"]
    check = subprocess.run(
        [BIN / "skepd", "--check", "--config", folder / "skepd.yaml"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert check.stderr == line["message"] + "\n"  # for people


# ---- skep logs

COUNTS = script(
    'const url = new URL(request.url); const n = Number(url.searchParams.get("n") ?? 1);'
    'const level = url.searchParams.get("level") ?? "log";'
    'for (let i = 0; i < n; i++) console[level](`${url.pathname.slice(1)} ${i}`);'
    "return new Response();"
)


def texts(run):
    assert run.returncode == 0, run.stderr
    return [re.sub(r"^\S+ \S+ ", "", line) for line in run.stdout.splitlines()]


def test_logs_shows_what_is_kept_of_one_or_all(start):
    skepd = start({"a": COUNTS, "b": COUNTS, "silent": HELLO})
    skepd.get("a", "/one?n=2")
    skepd.get("b", "/two?level=error")
    skepd.get("a", "/three?level=debug")
    assert texts(skepd.skep("logs", "a")) == ["info: one 0", "info: one 1", "debug: three 0"]
    everything = ["[a] info: one 0", "[a] info: one 1", "[b] error: two 0", "[a] debug: three 0"]
    assert texts(skepd.skep("logs")) == everything
    assert texts(skepd.skep("logs", "-n", "2")) == everything[2:]
    assert texts(skepd.skep("logs", "-n", "0")) == []
    assert texts(skepd.skep("logs", "--level", "info")) == everything[:3]
    assert texts(skepd.skep("logs", "--level", "warn", "a")) == []
    assert texts(skepd.skep("logs", "silent")) == []
    document = json.loads(skepd.skep("logs", "b", "--json").stdout)
    (line,) = document["lines"]
    assert line == {**line, "tenant": "b", "level": "error", "text": "two 0", "lost": 0}
    assert abs(line["time_ms"] / 1000 - time.time()) < 60 and line["number"] == 3


def test_logs_fails_with_what_to_do(start):
    skepd = start({"a": HELLO})
    for arguments, status, words in (
        (["nobody"], 1, "skep tenants"),
        (["--level", "loud"], 1, "expected debug, info, warn or error"),
        (["-f", "nobody"], 1, "skep tenants"),
        (["-n", "many"], 2, "is a number"),
        (["a", "b"], 2, "unexpected argument"),
    ):
        run = skepd.skep("logs", *arguments)
        assert run.returncode == status and words in run.stderr, run


def test_logs_escapes_and_no_tenant_can_make_up_a_line(start):
    skepd = start({"a": TALKS})
    skepd.get("a")
    run = skepd.skep("logs")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", run.stdout)
    assert all(re.match(r"\S+ \S+ \[a\] warn: ", line) for line in run.stdout.splitlines())


def fools(text):
    """Returns the characters of a text that could mislead its reader and must not be printed (newline and tab may)."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\n\t"}


def test_nothing_that_is_printed_of_a_tenant_fools_its_reader(start):
    codes = [c for c in range(0x110000) if fools(chr(c))] + list(range(0xFE00, 0xFE10))
    body = f"""
        const codes = {json.dumps(codes)};
        if (request.url.endsWith("/throw")) throw new Error(String.fromCodePoint(...codes));
        console.log(String.fromCodePoint(...codes));
        return new Response("said");"""
    skepd = start({"a": script(body)}, log_format="json")
    skepd.get("a")
    skepd.get("a", "/throw")
    wait_for(lambda: "Error: " in skepd.log(), "the exception in the log")
    text = skepd.skep("logs", "a")
    one, lines = (skepd.skep("logs", "a", *more, "--json") for more in ([], ["-n", "2"]))
    for printed in (text, one, lines):
        assert printed.returncode == 0
        assert not fools(printed.stdout)
        assert "\ufe0f" not in printed.stdout
    assert "\\xe2\\x80\\xae" in text.stdout
    said = json.loads(one.stdout)["lines"][0]["text"]
    assert said == "".join(map(chr, codes))
    assert not fools(skepd.log())
    assert any(line["message"] == said for line in objects(skepd))


def test_logs_keeps_a_bounded_tail_of_each_tenant(start):
    skepd = start({"loud": COUNTS, "quiet": COUNTS})
    skepd.get("quiet", "/first")
    for i in range(4):
        skepd.get("loud", f"/{i}-{'x' * 1000}?n=60")
    lines = json.loads(skepd.skep("logs", "loud", "--json").stdout)["lines"]
    assert lines[-1]["text"].startswith("3-x") and lines[-1]["text"].endswith(" 59")
    kept = sum(len(line["text"]) for line in lines)
    assert 50_000 < kept <= 65_536
    numbers = [line["number"] for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert texts(skepd.skep("logs", "quiet")) == ["info: first 0"]


def test_logs_of_many_lines_come_in_pages(start):
    skepd = start({f"t{i}": COUNTS for i in range(3)})
    for i in range(3):
        skepd.get(f"t{i}", "/line?n=300")
    lines = json.loads(skepd.skep("logs", "--json").stdout)["lines"]
    assert len(lines) == 900
    assert len(json.loads(skepd.skep("logs", "--json", "-n", "700").stdout)["lines"]) == 700
    assert [line["number"] for line in lines] == sorted(line["number"] for line in lines)


class Follower:
    """`skep logs -f`, read line by line as it writes."""

    def __init__(self, skepd, *arguments):
        self.process = subprocess.Popen(
            [BIN / "skep", "--socket", skepd.admin_socket, "logs", "-f", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._have = b""

    def raw_line(self):
        while b"\n" not in self._have:
            assert select.select([self.process.stdout], [], [], 10)[0], "no line"
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, "it has ended"
            self._have += more
        line, self._have = self._have.split(b"\n", 1)
        return line.decode()

    def line(self):
        return re.sub(r"^\S+ \S+ ", "", self.raw_line())

    def end(self):
        self.process.kill()
        self.process.communicate()


def test_logs_follows_and_ends_with_skepd(start):
    skepd = start({"a": COUNTS, "b": COUNTS})
    skepd.get("a", "/before?n=12")
    follower = Follower(skepd, "a")
    assert [follower.line() for _ in range(10)] == [f"info: before {i}" for i in range(2, 12)]
    skepd.get("b", "/others")
    for i in range(3):
        skepd.get("a", f"/live{i}")
        assert follower.line() == f"info: live{i} 0"
    os.kill(skepd.pid, signal.SIGTERM)
    _, errors = follower.process.communicate(timeout=20)
    assert follower.process.returncode == 1
    assert skepd.process.wait(timeout=20) == 0
    assert b"skepd has ended" in errors


def test_logs_follows_as_json_from_a_level_on(start):
    skepd = start({"a": COUNTS, "b": COUNTS})
    skepd.get("a", "/old?level=error")
    follower = Follower(skepd, "--json", "--level", "warn", "-n", "5")
    try:
        assert json.loads(follower.raw_line())["text"] == "old 0"
        skepd.get("a", "/not-this")
        skepd.get("b", "/this?level=warn")
        line = json.loads(follower.raw_line())
        assert (line["tenant"], line["level"], line["text"]) == ("b", "warn", "this 0")
    finally:
        follower.end()


# ---- docs/logs.md


def test_examples_of_the_page_are_what_skepd_writes(start):
    """Each JSON example of docs/logs.md has the keys of a real event, and is one itself."""
    skepd = start(
        {"hello": TALKS, "hog": LOOPS},
        log_format="json",
        access_log=True,
        cordons=[cordon(name="default")],
    )
    skepd.get("hello")
    skepd.get("hog")
    real = {
        "tenant": wait_object(skepd, tenant="hello", tenant_level="warn"),
        "incident": wait_object(skepd, event="incident"),
        "access": wait_object(skepd, event="access", tenant="hello"),
        "worker": next(line for line in objects(skepd) if "is ready" in line["message"]),
    }
    text = (TOP / "docs" / "logs.md").read_text()
    examples = [json.loads(line) for line in re.findall(r'^\{"time".*\}$', text, re.M)]
    assert len(examples) >= 4
    kinds = set()
    for example in examples:
        kind = example.get("event") or ("tenant" if "tenant_level" in example else "worker")
        if kind == "egress":  # needs a server: test_egress_log.py
            continue
        assert list(example) == list(real[kind]), kind
        kinds.add(kind)
    assert kinds == set(real)


# ---- bounds of the log


@needs_root
def test_tenants_at_full_rate_drown_neither_skepd_nor_a_quiet_neighbour(start, journal):
    """skepd bounds the lines of tenants before the journal does, which would drop lines of any tenant."""
    flood = script('for (let i = 0; i < 900; i++) console.log("x"); return new Response();')
    quiet = script('console.log("quiet"); return new Response();')
    names = [f"flood{i}" for i in range(4)]
    tenants = {**dict.fromkeys(names, flood), "quiet": quiet, "loops": LOOPS}
    limits = {"tenant_lines": 40, "lines": 100}
    skepd = start(tenants, log_format="journal", log=limits, launcher=journal.launcher)
    journal.read_on()
    for _ in range(3):
        for name in names:
            skepd.get(name)
        assert skepd.get("loops").code == "cpu_request"
        skepd.get("quiet")
    journal.find(MESSAGE="quiet", TENANT="quiet", SYSLOG_IDENTIFIER="skep-tenant")
    incident = journal.find(EVENT="incident", TENANT="loops")
    assert incident["SYSLOG_IDENTIFIER"] == "skepd"
    for name in names:
        said = journal.find(TENANT=name, SYSLOG_IDENTIFIER="skepd", PRIORITY="4")
        assert re.match(rf"\d+ lines of tenant {name} left out", said["MESSAGE"])
        assert int(said["LEFT_OUT"]) >= 900 - 2 * 40
