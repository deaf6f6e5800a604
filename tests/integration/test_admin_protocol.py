# SPDX-License-Identifier: Apache-2.0
"""proto/PROTOCOL.md, as the author of another client reads it: admin_client.py is made from it and
admin.proto alone, and must learn the same as `skep --json`, which shares skepd's code."""

import re
import socket
import struct
import time

import pytest

from admin_client import MESSAGES, AdminClient, Closed, Refused, encode_varint
from harness import IS_SANITIZED, TOP, script, wait_for

HELLO = script('console.log("hello"); return new Response("hello");')
# Fields that are different at each look.
FLEETING = {
    "uptime_ms", "rss_kib", "cpu_ms", "heartbeat", "memory_kib", "heap_kib", "external_kib",
    "attested_ms", "connections", "running_ms", "last_retired_ms",
}  # fmt: skip


@pytest.fixture(scope="module")
def skepd(start_module):
    skepd = start_module(
        {
            "a": HELLO,
            "b": HELLO,
            "throws": script('throw new Error("on purpose");'),
            "hog": script("for (;;);"),
        },
        cordons=[{"name": "default", "workers": 2}],
    )
    for tenant in ("a", "b", "throws", "hog"):
        skepd.get(tenant)
    skepd.wait_idle()
    return skepd


@pytest.fixture
def client(skepd):
    with AdminClient(skepd.admin_socket) as client:
        yield client


def as_json(message, value):
    """Returns a message as `skep --json` shows it, by what admin.proto says of its maps."""
    out = {}
    for label, kind, name in MESSAGES[message].values():
        field = value[name]
        if name in FLEETING:
            continue
        if label and kind == "bytes":
            field = [item.decode() for item in field]
        elif label:
            field = as_map(kind, field) if is_map(kind) else [as_json(kind, i) for i in field]
        elif kind == "bytes":
            field = field.decode() or None
        out[name] = field
    return out


def is_map(message):
    return MESSAGES[message][1][1] == "bytes"


def as_map(message, items):
    names = [name for _, _, name in MESSAGES[message].values()]
    out = {}
    for item in items:
        inner = out
        for key in names[:-2]:
            inner = inner.setdefault(item[key].decode(), {})
        last = item[names[-1]]
        inner[item[names[-2]].decode()] = last.decode() if isinstance(last, bytes) else last
    return out


def zero_is_null(mine, theirs):
    """Returns a value as `skep` shows it: null for a number whose 0 means none."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return {key: zero_is_null(mine.get(key), value) for key, value in theirs.items()}
    return mine if theirs is None and mine == 0 else theirs


def compare(mine, theirs):
    """Checks all fields of the message that `skep` shows under that name; it may show some differently."""
    common = (set(mine) & set(theirs)) - FLEETING
    assert common
    theirs = zero_is_null(mine, {key: theirs[key] for key in common})
    assert {key: mine[key] for key in common} == theirs
    return set(mine) - common


def test_stats_are_those_of_skep(skepd, client):
    assert not compare(as_json("Stats", client.ask("stats")), skepd.stats())


def test_status_is_that_of_skep(skepd, client):
    mine, theirs = as_json("Status", client.ask("status")), skepd.admin("status")
    totals, others = mine.pop("totals"), theirs.pop("totals")
    assert not compare(mine, theirs)
    assert [(t["name"], t["limit"]) for t in totals] == [(t["name"], t["limit"]) for t in others]
    clients = next(t for t in totals if t["name"] == "admin_clients")
    assert clients["used"] == 1 and clients["limit"] == 32


def test_workers_are_those_of_skep(skepd, client):
    mine = client.pages("workers", "workers")
    theirs = skepd.workers()
    assert len(mine) == len(theirs) == 3
    for worker, other in zip(mine, theirs):
        assert compare(as_json("Worker", worker), other) <= {"rss_limit_kib"}
        assert worker["pid"] == other["pid"]


def test_tenants_are_those_of_skep(skepd, client):
    mine = client.pages("tenants", "tenants")
    theirs = skepd.admin("tenants")["tenants"]
    assert sorted(t["name"] for t in mine) == [b"a", b"b", b"hog", b"throws"]
    for tenant, other in zip(mine, theirs):
        left = compare(as_json("Tenant", tenant), other)
        assert left <= {"has_own_worker"}, left
        assert tenant["requests"] == other["requests"] == 1


def test_incidents_are_those_of_skep(skepd, client):
    mine = client.ask("incidents")
    theirs = skepd.admin("incidents")["incidents"]
    assert mine["total"] == len(mine["incidents"]) == len(theirs) >= 1
    for incident, other in zip(mine["incidents"], theirs):
        compare(as_json("Incident", incident), other)
        assert incident["limit_milli"] == other["limit"] * 1000
    after = mine["incidents"][-1]["number"]
    assert client.ask("incidents", after=after)["incidents"] == []
    assert client.ask("incidents", tenant="hog", last=1)["incidents"][0]["tenant"] == b"hog"


def test_jail_report_is_that_of_skep(skepd, client):
    mine = as_json("JailReport", client.ask("jail_report", cordon="default"))
    theirs = skepd.admin("jail-report")
    assert mine["calls"]
    assert mine["workers"] or IS_SANITIZED  # a build that does not look at jails
    for call, other in zip(mine["calls"], theirs["calls"]):
        compare(call, other)
    mine.pop("calls"), mine.pop("workers")
    compare(mine, theirs)


def test_log_tail_is_that_of_skep(skepd, client):
    mine = client.ask("log_tail")
    theirs = skepd.admin("logs")["lines"]
    assert [as_json("LogLine", line) for line in mine["lines"]] == theirs
    assert mine["newest"] == theirs[-1]["number"]
    assert client.ask("log_tail", name="a")["lines"][0]["text"] == b"hello"
    assert client.ask("log_tail", level="error", last=1)["lines"][0]["level"] == b"error"
    assert client.ask("log_tail", after=mine["newest"])["lines"] == []


def test_log_stream_resumes_without_gap_or_double(skepd, client):
    first = client.ask("log_tail", name="a")
    skepd.get("a")  # a line between the tail and the subscription
    wait_for(
        lambda: client.ask("log_tail", name="a")["newest"] > first["newest"], "the line between"
    )
    client.ask("logs", name="a", resume=True, after=first["newest"])
    skepd.get("b")  # not asked for
    skepd.get("a")
    lines = [client.line() for _ in range(2)]
    assert [line["tenant"] for line in lines] == [b"a", b"a"]
    assert first["newest"] < lines[0]["number"] < lines[1]["number"]
    assert client.ask("stats")["requests"] > 0  # commands work beside the stream
    client.ask("logs", name="b", level="warn")  # replaces the subscription before
    skepd.get("a"), skepd.get("b")
    client.ask("status")
    assert client.lines == []


def test_write_commands_have_their_answers(skepd, client):
    assert client.ask("load", name="a")["loading"]
    assert client.ask("reload", name="a")["tenants"] == 1
    put = client.ask("quarantine", name="b", seconds=60)
    assert (put["tenant"], put["was_quarantined"], put["seconds"]) == (b"b", False, 60)
    assert client.ask("release", name="b")["was_quarantined"]
    with pytest.raises(Refused, match="cordon"):
        client.ask("retire", cordon="nothing")


def test_failures_leave_the_connection_open(client):
    for command, values, words in (
        ("logs", {"name": "nobody"}, "no such tenant"),
        ("logs", {"level": "loud"}, "level"),
        ("log_tail", {"name": "nobody"}, "no such tenant"),
        ("incidents", {"tenant": "nobody"}, "no such tenant"),
        ("jail_report", {"cordon": "nothing"}, "no such cordon"),
    ):
        with pytest.raises(Refused, match=words):
            client.ask(command, **values)
    assert client.ask("stats")["pid"] > 0


def test_long_lists_come_in_pages(start):
    skepd = start({f"tenant-{i}": HELLO for i in range(300)})
    with AdminClient(skepd.admin_socket) as client:
        assert len(client.ask("tenants")["tenants"]) == 32
        assert len({t["name"] for t in client.pages("tenants", "tenants")}) == 300
        assert client.ask("tenants", skip=2**32 - 1) == {"tenants": [], "total": 300}


# ---- framing, good and bad


def test_session_of_the_page_is_as_it_says(skepd):
    """The bytes that PROTOCOL.md shows."""
    text = (TOP / "proto" / "PROTOCOL.md").read_text()
    session = re.search(r"A session, byte by byte:(.*?)and reads", text, re.S)[1]
    sent = b"".join(
        bytes.fromhex(line[:23]) for line in re.findall(r"^    ([0-9a-f ]+?)  ", session, re.M)
    )
    assert sent == b"\x02\0\0\0\x5a\0"
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(20)
        raw.connect(str(skepd.admin_socket))
        raw.sendall(sent)
        head = raw.recv(65536)
        assert struct.unpack("<I", head[:4])[0] == len(head) - 4
        assert head[4] == 12 << 3 | 2


def test_commands_may_be_pipelined_and_cut_anywhere(skepd, client):
    frames = b""
    for number in (1, 11, 3) * 20:
        message = bytes([number << 3 | 2, 0])
        frames += struct.pack("<I", len(message)) + message
    for at in range(0, len(frames), 7):
        client.socket.sendall(frames[at : at + 7])
    kinds = [client.answer()[0] for _ in range(60)]
    assert kinds == ["stats", "status", "tenants"] * 20


def expect_closed(skepd, data, words):
    with AdminClient(skepd.admin_socket) as client:
        client.socket.sendall(data)
        client.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(Closed):
            client.receive()
        pid = skepd.pid
    skepd.wait_log(words)
    assert skepd.pid == pid


@pytest.mark.parametrize(
    "data",
    [
        b"\x02\0\0\0\x5a",  # half a frame
        b"\x02\0",  # half a length
        b"\0\0\0\0",  # no message
        b"\xff\xff\xff\xff",  # longer than allowed
        b"\x03\0\0\0" + encode_varint(99 << 3 | 2) + b"\0",  # an unknown command
        b"\x02\0\0\0\x08\x01",  # a command that is a number
        b"\x05\0\0\0hello",
    ],
)
def test_what_is_no_command_closes_the_connection_and_nothing_else(skepd, client, data):
    expect_closed(skepd, data, r"admin client \(uid \d+, pid \d+\) is closed: Protocol error")
    assert client.ask("stats")["pid"] == skepd.pid
    assert skepd.get("a").text == "hello"


def test_clients_that_break_the_protocol_again_and_again_do_not_fill_the_log(start):
    skepd = start({"a": script('return new Response("hello");')})
    began = time.monotonic()
    clients = 0
    # Asks until the line of a later second says how many were left out.
    while not re.search(r"is closed: .*; \d+ more lines like this were left out before", skepd.log()):
        for _ in range(50):
            with AdminClient(skepd.admin_socket) as client:
                client.socket.sendall(b"\0\0\0\0")
                with pytest.raises(Closed):
                    client.receive()
        clients += 50
        assert time.monotonic() - began < 60
    seconds = time.monotonic() - began
    lines = skepd.log().count("is closed: ")
    assert lines <= seconds + 2 < clients


def test_unknown_fields_are_skipped(client):
    later = encode_varint(99 << 3) + b"\x01" + encode_varint(100 << 3 | 2) + b"\x02hi"
    client.send_frame(bytes([11 << 3 | 2, len(later)]) + later + later)
    assert client.answer()[0] == "status"


def test_every_command_is_in_the_page():
    """PROTOCOL.md has a row for each command of admin.proto, and its answer."""
    text = (TOP / "proto" / "PROTOCOL.md").read_text()
    for _, kind, _ in MESSAGES["Command"].values():
        assert re.search(rf"^\| `{kind}` \| `\w+` \|", text, re.M), kind


# ---- misbehaving clients


def test_client_that_never_reads_holds_up_nobody(skepd):
    """A client asks for everything and for every line, again and again, and reads nothing; others are served."""
    with AdminClient(skepd.admin_socket) as deaf, AdminClient(skepd.admin_socket) as other:
        deaf.send("logs")
        deaf.socket.setblocking(False)
        report = b"\x02\0\0\0" + bytes([12 << 3 | 2, 0])
        try:
            for _ in range(200_000):
                deaf.socket.sendall(report)
        except BlockingIOError:
            pass  # not read from any more
        worst = 0
        for _ in range(50):
            began = time.monotonic()
            assert other.ask("stats")["pid"] == skepd.pid
            assert skepd.get("a").status == 200
            worst = max(worst, time.monotonic() - began)
        assert worst < 2


def test_slow_subscriber_is_told_what_it_lost(start):
    """Counts of lines that the client did not take, and of lines that the tenant wrote too fast."""
    source = script(
        'const n = request.url.endsWith("last") ? 1 : 300;'
        'for (let i = 0; i < n; i++) console.log("x".repeat(700)); return new Response();'
    )
    manifest = {"limits": {"log_kib": 1024}, "files": {"worker.js": source}}
    skepd = start({"loud": manifest})
    with AdminClient(skepd.admin_socket) as client:
        client.ask("logs", name="loud")
        for _ in range(8):
            skepd.get("loud")
        time.sleep(1.1)  # a tenant's lines are counted by the second
        skepd.get("loud", "/last")
        seen = lost = 0
        while seen + lost < 8 * 300 + 1:
            line = client.line()
            seen += line["tenant"] != b""
            lost += line["lost"]
        assert seen + lost == 8 * 300 + 1
        assert lost > 0
