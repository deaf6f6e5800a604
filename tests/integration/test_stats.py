# SPDX-License-Identifier: Apache-2.0
"""`skep stats`: its times, kills and bytes, against known load."""

from harness import cordon, script, wait_for

HELLO = script('return new Response("hello");')
FAILS = script('throw new Error("no");')
SLEEPS = script(
    "await new Promise((done) => setTimeout(done, 100)); return new Response('late');"
)
STUCK = script("Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);")
ECHO = script("return new Response(await request.text());")
# Until its client leaves.
HANGS = script("await new Promise(() => setTimeout(() => 0, 1e6));")
QUANTILES = ["p50", "p90", "p99", "p999", "max"]


def test_there_are_no_times_before_the_first_request(start):
    skepd = start({"a": HELLO})
    stats = skepd.stats()
    assert stats["latency_us"] == {} and stats["queue_us"] == {} and stats["kills"] == {}
    assert stats["abandoned"] == stats["body_bytes_in"] == stats["body_bytes_out"] == 0
    assert "latency" not in skepd.skep("stats").stdout


def test_quantiles_are_those_of_the_load(start):
    skepd = start({"slow": SLEEPS, "a": HELLO})
    for _ in range(8):
        skepd.get("a")
    for _ in range(2):
        skepd.get("slow")
    stats = skepd.stats()
    latency = stats["latency_us"]
    assert list(latency) == QUANTILES
    values = list(latency.values())
    assert values == sorted(values)
    assert latency["p50"] < 100_000 <= latency["p90"]  # 8 of 10 do not sleep
    assert 100_000 <= latency["max"] < 5_000_000
    assert list(stats["queue_us"]) == QUANTILES
    assert stats["queue_us"]["p50"] < 100_000
    assert stats["requests"] == 10


def test_what_is_refused_at_once_is_no_latency(start):
    skepd = start({"a": HELLO})
    skepd.get("a")
    before = skepd.stats()["latency_us"]
    for _ in range(20):
        skepd.get("nobody.test")
    after = skepd.stats()
    assert after["latency_us"] == before
    assert after["errors"] == {"no_route": 20}


def test_kills_are_counted_by_cause(start):
    stuck = {"files": {"worker.js": STUCK}, "limits": {"cpu_ms": 20, "grace_ms": 30}}
    skepd = start({"stuck": stuck, "a": HELLO}, cordons=[cordon()])
    for n in range(1, 3):
        assert skepd.get("stuck").code == "cpu_request"
        wait_for(lambda: skepd.stats()["kills"] == {"cpu_ms": n}, "the kill to be counted")
    text = skepd.skep("stats").stdout
    assert "kills            cpu_ms 2\n" in text
    assert "latency          p50 " in text and "time in queue    p50 " in text


def test_bytes_of_bodies_are_counted(start):
    skepd = start({"echo": ECHO})
    skepd.post("echo", b"x" * 3000)
    stats = skepd.stats()
    assert stats["body_bytes_in"] == stats["body_bytes_out"] == 3000


def test_clients_that_leave_are_counted_once(start):
    skepd = start({"hangs": HANGS})
    with skepd.connect() as connection:
        connection.send_head("GET", "hangs.test")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "it to run")
    wait_for(lambda: skepd.stats()["abandoned"] == 1, "it to be counted")
    skepd.wait_idle()
    stats = skepd.stats()
    assert stats["abandoned"] == 1 and stats["requests"] == 0


def test_help_names_each_field(start):
    skepd = start({"a": HELLO})
    text = skepd.skep("stats", "--help").stdout
    for field in skepd.stats():
        assert field in text, field
