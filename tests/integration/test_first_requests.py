# SPDX-License-Identifier: Apache-2.0
"""The credit for first requests: what the load of a version leaves of cpu_startup_ms, once."""

import re

import pytest

from harness import cordon, honest, is_alive, wait_for

# /burn takes 50 to 200 ms of CPU time.
SOURCE = """
let here = 0;
export default { fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/loop") for (;;);
    if (url.pathname === "/stuck") Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);
    if (url.pathname === "/burn") for (let i = 0; i < 1e8; i++) here += i & 1;
    return new Response(String(++here > 0));
} };
"""


@pytest.fixture
def start(start):
    """start() of cordons that give the credit, as they do by default."""

    def begin(tenants, cordons=({"name": "default", "workers": 1},), **config):
        return start(tenants, cordons=[{"first_credit": "on", **c} for c in cordons], **config)

    return begin


def tenant(**limits):
    return {"limits": {"cpu_ms": 20, **limits}, "files": {"worker.js": SOURCE}}


def used_ms(skepd, name, path):
    """CPU time that a request of that path is charged with."""
    before = skepd.tenant(name)["cpu_ms"]
    answer = skepd.get(name, path)
    skepd.wait_idle()
    return answer, skepd.tenant(name)["cpu_ms"] - before


def stops(skepd, name):
    """[(used, over)] of each stop for cpu_ms, as the log has them."""
    return [tuple(map(float, s)) for s in re.findall(rf"\[{name}\] stopped: cpu_ms is 20.0 ms, used ([\d.]+) ms \(([\d.]+) ms over\)", skepd.log())]


def test_first_request_may_use_what_the_load_has_left(start):
    skepd = start({"a": tenant(cpu_startup_ms=2000)})
    assert skepd.get("a", "/burn").status == 200  # 50 to 200 ms
    assert stops(skepd, "a") == []


def test_credit_is_used_once_and_a_stop_does_not_fill_it_up(start):
    skepd = start({"a": tenant(cpu_startup_ms=400)})
    assert skepd.get("a").status == 200  # loads, and takes nothing of the credit
    answer, used = used_ms(skepd, "a", "/loop")
    assert answer.code == "cpu_request" and 350 <= used <= 440, used
    line = skepd.wait_log(r"\[a\] error: stopped after ([\d.]+) ms of CPU time; cpu_ms is 20, and ([\d.]+) ms for first requests were left of cpu_startup_ms")
    assert 370 <= float(line[1]) - 20 <= 410 and abs(float(line[1]) - 20 - float(line[2])) < 10
    for _ in range(3):  # each in an isolate of its own
        answer, used = used_ms(skepd, "a", "/loop")
        assert answer.code == "cpu_request" and used <= 60, used
    assert len(stops(skepd, "a")) == 4 and all(over < 20 for _, over in stops(skepd, "a"))


def test_credit_of_an_isolate_that_is_reused_is_not_filled_up_either(start):
    skepd = start({"a": {**tenant(cpu_startup_ms=400), "after_stop": "reuse"}})
    assert skepd.get("a", "/loop").code == "cpu_request"
    for _ in range(2):
        answer, used = used_ms(skepd, "a", "/loop")
        assert answer.code == "cpu_request" and used <= 40, used


def test_credit_is_less_by_what_the_load_has_used(start):
    burn = "let x = 0; for (let i = 0; i < 1e8; i++) x += i & 1; globalThis.x = x;\n"
    skepd = start({"a": {"limits": {"cpu_ms": 20, "cpu_startup_ms": 1000}, "files": {"worker.js": burn + SOURCE}}})
    assert skepd.get("a").status == 200
    load = skepd.tenant("a")["cpu_ms"]
    assert skepd.get("a", "/loop").code == "cpu_request"
    credit = float(skepd.wait_log(r"and ([\d.]+) ms for first requests were left")[1])
    assert load > 20 and abs(credit - (1000 - load)) <= 15, (load, credit)


def test_stuck_first_request_is_killed_after_credit_and_grace_and_the_next_has_no_credit(start):
    skepd = start({"a": tenant(cpu_startup_ms=500, grace_ms=50), "b": honest("b")}, cordons=[cordon()])
    for least, most in ((500, 900), (50, 400)):
        worker = skepd.worker()
        answer, used = used_ms(skepd, "a", "/stuck")
        assert answer.code == "cpu_request"
        wait_for(lambda pid=worker["pid"]: not is_alive(pid), "the worker to be killed")
        assert least <= used <= most, used
    assert skepd.tenant("a")["kills"] == 2
    skepd.wait_log(r"\[a\] killed: cpu_ms is 20.0 ms, used (\d\d|1\d\d)\.\d ms")


def test_death_that_is_another_tenants_fault_leaves_the_credit(start):
    skepd = start({"a": tenant(cpu_startup_ms=2000), "bad": tenant(cpu_startup_ms=15, grace_ms=20)}, cordons=[cordon(spare="off")])
    assert skepd.get("a").status == 200
    assert skepd.get("bad", "/stuck").code == "cpu_request"
    assert skepd.get("a", "/burn").status == 200
    assert stops(skepd, "a") == []


def test_next_version_has_a_credit_of_its_own(start):
    skepd = start({"a": tenant(cpu_startup_ms=300)})
    assert skepd.get("a", "/loop").code == "cpu_request"
    skepd.write_tenant("a", {"limits": {"cpu_ms": 20, "cpu_startup_ms": 2000}, "files": {"worker.js": SOURCE + "//\n"}})
    assert skepd.skep("reload").returncode == 0
    skepd.wait_log("serves a new version")
    assert skepd.get("a", "/burn").status == 200


def test_spinner_that_uses_its_credit_goes_apart_as_soon_as_any(start):
    skepd = start({"bad": tenant(cpu_startup_ms=3000), **{n: honest(n) for n in "bcd"}}, cordons=[cordon(workers=1)])
    for name in ("bad", "b", "c", "d"):
        assert skepd.get(name).status == 200
    worker = skepd.worker()["pid"]
    with skepd.connect() as connection:
        connection.send_head("GET", "bad.test", "/loop")
        assert skepd.get("b").status == 200  # by the worker that takes over, long before the credit is used
        held = float(skepd.wait_log(r"\[bad\] uses far more CPU time than its neighbours: has held up worker \d+ for (\d+) ms")[1])
        assert held < 300
        assert stops(skepd, "bad") == []
        assert is_alive(worker)
        connection.reset()


def test_cordon_without_the_credit_gives_none(start):
    skepd = start({"a": tenant(cpu_startup_ms=2000)}, cordons=[cordon(first_credit="off")])
    assert skepd.get("a", "/loop").code == "cpu_request"
    assert all(over < 20 for _, over in stops(skepd, "a")) and stops(skepd, "a")
