#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures whether the loop of skepd ever stands: the longest callback by skepd's own watch, and the latency of an
honest client while skepd has much else to do. Each case has a skepd of its own. Run by scripts/bench."""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "integration"))

from client import Connection  # noqa: E402
from harness import Skepd, cordon, free_port, script, wait_for  # noqa: E402
from scrape import scrape  # noqa: E402

HONEST = script('return new Response("honest");')
FLOOD = script('for (let i = 0; i < 400; i++) console.log("line " + i); return new Response("x");')


def say(text):
    return script(f"return new Response({json.dumps(text)});")


def ask_on(port, until, results):
    """The honest client: one request after the other on one connection; milliseconds of each."""
    took = []
    with Connection(("127.0.0.1", port)) as connection:
        while not until.is_set():
            began = time.monotonic()
            assert connection.request("GET", "honest.test", "/").status == 200
            took.append((time.monotonic() - began) * 1000)
            time.sleep(0.002)
    results.put(took)


class Case:
    def __init__(self, folder, tenants, **config):
        self.metrics_port = free_port()
        config = {"log_level": "warning", "metrics": {"listen": f"127.0.0.1:{self.metrics_port}"}, **config}
        self.skepd = Skepd(folder, {"honest": HONEST, **tenants}, config)
        self.skepd.patience_s = 600  # if skepd ends before, that is seen at once
        self.skepd.start()
        for _ in range(50):
            assert self.skepd.get("honest").status == 200

    def meanwhile(self, work, seconds=0):
        """Runs the work again and again for that many seconds, and returns the honest client's latencies."""
        until, results = multiprocessing.Event(), multiprocessing.Queue()
        client = multiprocessing.Process(target=ask_on, args=(self.skepd.port, until, results))
        client.start()
        time.sleep(0.3)
        ends = time.monotonic() + seconds
        while True:
            work()
            if time.monotonic() >= ends:
                break
        until.set()
        took = results.get()
        client.join()
        return sorted(took)

    def report(self, what, took):
        metrics = scrape(self.metrics_port)
        slow = {
            dict(labels)["callback"]: value
            for (name, labels), value in metrics.samples.items()
            if name == "skep_loop_slow_callback_seconds" and value > 0
        }
        p99 = took[int(len(took) * 0.99)]
        print(
            f"{what:44} longest {metrics.get('skep_loop_longest_callback_seconds') * 1000:6.1f} ms CPU"
            f"   disk {metrics.get('skep_loop_slow_callbacks_total', reason='disk'):3.0f}"
            f"   client p50 {took[len(took) // 2]:5.2f}  p99 {p99:6.2f}  most {took[-1]:6.2f} ms"
        )
        for name, seconds in sorted(slow.items(), key=lambda item: -item[1]):
            print(f"{'':44} above 5 ms: {name} {seconds * 1000:.1f} ms")
        with contextlib.redirect_stdout(None):  # the log
            self.skepd.stop()


def undisturbed(folder, _):
    case = Case(folder, {})
    case.report("undisturbed", case.meanwhile(lambda: time.sleep(0.1), 3))


def reload_many(folder, arguments):
    names = [f"t{i}" for i in range(arguments.reloaded)]
    case = Case(folder, {name: say("one") for name in names})
    for name in names:
        case.skepd.write_tenant(name, say("two"))

    def reload():
        assert case.skepd.skep("reload").returncode == 0
        wait_for(lambda: case.skepd.get(names[-1]).text == "two", "the last new version", timeout=600)

    case.report(f"reload of {len(names)} tenants", case.meanwhile(reload))


def reload_large(folder, _):
    """200 tenants with 80 MB of files."""
    names = [f"t{i}" for i in range(200)]

    def tenant(text):
        return {"files": {"worker.js": say(text), "data.txt": text[0] * 400000}}

    case = Case(folder, {name: tenant("one") for name in names})
    for name in names:
        case.skepd.write_tenant(name, tenant("two"))
    case.report(
        "reload of 200 tenants with 80 MB", case.meanwhile(lambda: case.skepd.skep("reload"))
    )


def reload_same(folder, _):
    """One tenant with 200 MiB of files, which are compared: they are the same, or one has another last byte."""
    data = {f"data{i}.txt": "x" * (50 << 20) for i in range(4)}
    for what in ("the same", "with another last byte"):
        (folder / what).mkdir()
        case = Case(
            folder / what, {"large": {"files": {"worker.js": say("one"), **data}}}, cordons=[cordon(files_mib=256)]
        )
        if what != "the same":
            with (case.skepd.tenants_folder / "large" / "data3.txt").open("r+b") as file:
                file.seek(-1, os.SEEK_END)
                file.write(b"y")

        def reload(case=case):
            assert case.skepd.skep("reload").returncode == 0

        case.report(f"reload of 200 MiB, {what}", case.meanwhile(reload, 1))


def rollback_cold(folder, _):
    state = folder / "state"
    case = Case(folder, {}, state=str(state))
    for text in ("one", "two", "three"):
        bundle = folder / "bundle"
        bundle.mkdir(exist_ok=True)
        (bundle / "skep.yaml").write_text(json.dumps({"name": "cold", "main": "worker.js"}))
        (bundle / "worker.js").write_text(say(text))
        for i in range(14):
            (bundle / f"data{i}.txt").write_bytes(os.urandom(1) * (1 << 20))
        assert case.skepd.skep("deploy", str(bundle)).returncode == 0
    versions = json.loads(case.skepd.skep("versions", "cold", "--json").stdout)["versions"]
    first = versions[-1]["version"]
    for path in (state / "tenants" / "cold" / "versions" / first).rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)

    def roll_back():
        run = case.skepd.skep("rollback", "cold", first)
        assert run.returncode == 0, run.stderr

    case.report("rollback to 14 MiB on a cold disk", case.meanwhile(roll_back))


def many_tenants(folder, arguments):
    tenants = {f"t{i}": say("x") for i in range(arguments.tenants)}
    asked = {
        "stats --json": lambda case: case.skepd.skep("stats", "--json"),
        "tenants --json": lambda case: case.skepd.skep("tenants", "--json"),
        "metrics": lambda case: scrape(case.metrics_port),
    }
    for what, ask in asked.items():
        (folder / what).mkdir()
        case = Case(folder / what, tenants)
        took = case.meanwhile(lambda ask=ask, case=case: ask(case), 3)
        case.report(f"{what} with {len(tenants)} tenants", took)


def log_flood(folder, _):
    case = Case(folder, {f"flood{i}": FLOOD for i in range(4)})

    def flood():
        for i in range(4):
            case.skepd.get(f"flood{i}")

    case.report("four tenants that log at full rate", case.meanwhile(flood, 5))


CASES = {
    "undisturbed": undisturbed,
    "reload": reload_many,
    "large": reload_large,
    "same": reload_same,
    "rollback": rollback_cold,
    "many": many_tenants,
    "flood": log_flood,
}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench loop", description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)} (all)")
    parser.add_argument("--tenants", type=int, default=10000, help="of the case many (10000)")
    parser.add_argument("--reloaded", type=int, default=1000, help="of the case reload (1000)")
    arguments = parser.parse_args()
    for name in arguments.cases or CASES:
        with tempfile.TemporaryDirectory(prefix="skep-") as folder:
            os.chmod(folder, 0o755)
            CASES[name](pathlib.Path(folder), arguments)


if __name__ == "__main__":
    main()
