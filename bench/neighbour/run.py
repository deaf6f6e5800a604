#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what honest tenants see of a tenant that holds up the worker that they share: their p50 and p99
before it begins and around its beginning, for several kinds of such tenants. Every case has a skepd of its own
with one shared worker. The victims ask at a steady rate, and an answer's time counts from when its request was
due, so a stall also costs the requests that were due meanwhile. Run by scripts/bench."""

import argparse
import json
import multiprocessing
import os
import pathlib
import platform
import re
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "integration"))

from harness import Skepd, honest, script, wait_for  # noqa: E402

CPU_MS = 50
VICTIMS = 4
EVERY_S = 0.01
SOON_S = 0.2  # the goal: within it victims are rid of the culprit
WINDOW_S = 0.1

SPIN = "for (;;);"
# V8 cannot interrupt this builtin, so the worker is killed.
STUCK = "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);"
BURN = "let x = 0; for (let i = 0; i < n; i++) x = (x * 31 + i) | 0; globalThis.x = x;"


def tenant(body, **limits):
    """Runs the body when asked for /bad?N (n is that number), else answers at once."""
    source = script(
        "const url = new URL(request.url), n = Number(url.search.slice(1));"
        f'if (url.pathname === "/bad") {{ {body} }} return new Response("ok");'
    )
    limits = {"cpu_ms": CPU_MS, **limits}
    return {"limits": limits, "files": {"worker.js": source}}


# ---- clients


class Victim:
    """A client that asks each EVERY_S. Notes when each request was due, and how long after that, and after
    it was sent, the answer came."""

    def __init__(self, skepd, name):
        self.skepd, self.name = skepd, name
        self.seen, self.wrong = [], []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        due = time.monotonic()
        with self.skepd.connect() as connection:
            while not self._end.wait(max(0, due - time.monotonic())):
                question = f"?{len(self.seen)}"
                sent = time.monotonic()
                answer = connection.request("GET", f"{self.name}.test", f"/{question}")
                now = time.monotonic()
                self.seen.append((due, now - due, now - sent))
                if (answer.status, answer.body) != (200, f"{self.name} {question}".encode()):
                    self.wrong.append(repr(answer))
                due += EVERY_S

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def ask_on(address, name, pattern, end, first):
    """One connection of a culprit. pattern: (path, seconds) in turn, None for as long as it takes."""
    sys.path.insert(0, str(TOP / "tests" / "integration"))
    from client import Connection

    while not end.is_set():
        for path, seconds in pattern:
            until = time.monotonic() + seconds
            while time.monotonic() < until and not end.is_set():
                try:
                    with Connection(address) as connection:
                        with first.get_lock():
                            first.value = first.value or time.monotonic()
                        while time.monotonic() < until and not end.is_set():
                            connection.request("GET", f"{name}.test", path)
                            if path == "/":
                                time.sleep(0.002)
                except OSError:
                    time.sleep(0.01)


def culprits_process(address, names, connections, pattern, end, first):
    threads = [
        threading.Thread(target=ask_on, args=(address, name, pattern, end, first), daemon=True)
        for name in names
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    end.wait()
    for thread in threads:
        thread.join(2)


# ---- cases


def calibrate(skepd, name, ms):
    """How many rounds of BURN take ms of CPU time."""
    n = 1000000
    for _ in range(12):
        before = skepd.tenant(name)["cpu_ms"]
        for _ in range(5):
            assert skepd.get(name, f"/bad?{n}").status == 200
        took = (skepd.tenant(name)["cpu_ms"] - before) / 5
        if abs(took - ms) < 1:
            break
        n = int(n * min(4, ms / max(took, 0.1)))
    return n


LONG = 3600
CASES = {
    "undisturbed": dict(body="", count=0, connections=0, pattern=[("/", LONG)]),
    "one spins": dict(body=SPIN, count=1),
    "ten spin": dict(body=SPIN, count=10),
    "ten, cheap until they spin": dict(body=SPIN, count=10, warm=200),
    "one, with 64 requests at a time": dict(body=SPIN, count=1, connections=64, warm=200),
    "one, cpu_ms 2000": dict(body=SPIN, count=1, limits={"cpu_ms": 2000}),
    "one, stuck in a builtin": dict(body=STUCK, count=1),
    "just under cpu_ms": dict(body=BURN, count=1, burn_ms=45),
    "ten just under cpu_ms": dict(body=BURN, count=10, burn_ms=45),
    "one spins 1 s, is calm 1 s": dict(body=SPIN, count=1, pattern=[("/bad", 1), ("/", 1)]),
    "honest, 30 ms each second": dict(
        body=BURN, count=1, connections=1, burn_ms=30, pattern=[("/bad", 0.01), ("/", 1)]
    ),
}  # fmt: skip


def run_case(folder, case, seconds, spare):
    names = [f"culprit-{i}" for i in range(case["count"])]
    tenants = {name: tenant(case["body"], **case.get("limits", {})) for name in names}
    tenants |= {f"honest-{i}": honest(f"honest-{i}") for i in range(VICTIMS)}
    tenants["gauge"] = {**tenant(BURN, cpu_ms=2000), "cordon": "gauge"}
    cordons = [{"name": "default", "workers": 1, "spare": spare, "first_credit": "on"}, {"name": "gauge", "workers": 1}]
    skepd = Skepd(folder, tenants, {"cordons": cordons})
    skepd.start()
    try:
        path = "/bad"
        if "burn_ms" in case:
            path += f"?{calibrate(skepd, 'gauge', case['burn_ms'])}"
        for name in names:
            for _ in range(case.get("warm", 0)):
                skepd.get(name)
        pattern = [(path if p == "/bad" else p, s) for p, s in case.get("pattern", [("/bad", LONG)])]
        return measure(skepd, case, names, pattern, seconds)
    finally:
        skepd.stop()


def measure(skepd, case, names, pattern, seconds):
    end, first = multiprocessing.Event(), multiprocessing.Value("d", 0.0)
    culprits = multiprocessing.Process(
        target=culprits_process,
        args=(skepd.address, names, case.get("connections", 4), pattern, end, first),
    )
    victims = [Victim(skepd, f"honest-{i}") for i in range(VICTIMS)]
    for victim in victims:
        victim.__enter__()
    try:
        time.sleep(seconds + 0.5)
        culprits.start()
        if names:
            wait_for(lambda: first.value, "the first bad request")
        begin = first.value or time.monotonic()
        time.sleep(seconds)
    finally:
        end.set()
        for victim in victims:
            victim.__exit__()
        if culprits.pid:
            culprits.join(10)
    return figures(skepd, victims, begin, seconds)


# ---- figures


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0


def back_after(seen, begin, seconds, bound):
    """From the first bad request until the p50 of two windows, one after the other, is within the bound; ms."""
    good = 0
    for i in range(int(seconds / WINDOW_S)):
        at = begin + i * WINDOW_S
        inside = [took for due, took, _ in seen if at <= due < at + WINDOW_S]
        good = good + 1 if inside and percentile(inside, 50) <= bound else 0
        if good == 2:
            return (i - 1) * WINDOW_S * 1e3
    return seconds * 1e3


def figures(skepd, victims, begin, seconds):
    seen = [one for victim in victims for one in victim.seen]
    before = [took for due, took, _ in seen if begin - seconds <= due < begin - 0.1]
    after = [took for due, took, _ in seen if begin + SOON_S <= due < begin + seconds]
    around = [one for one in seen if begin - seconds <= one[0] < begin + seconds]
    due, sent = [one[1] for one in around], [one[2] for one in around]
    p50 = percentile(before, 50)
    log = skepd.log()
    return {
        "requests": len(around),
        "wrong": sum(len(victim.wrong) for victim in victims),
        "before_p50_ms": p50 * 1e3,
        "before_p99_ms": percentile(before, 99) * 1e3,
        "soon_p50_ms": percentile(after, 50) * 1e3,
        "sent_p99_ms": percentile(sent, 99) * 1e3,
        "sent_most_ms": percentile(sent, 100) * 1e3,
        "due_p99_ms": percentile(due, 99) * 1e3,
        "back_after_ms": back_after(seen, begin, seconds, max(2 * p50, p50 + 0.001)),
        "apart": len(re.findall(r"\] uses far more CPU time", log)),
        "let_back": len(re.findall(r"shares a worker again", log)),
        "workers_left": len(re.findall(r"retires: a tenant holds it up", log)),
        "deaths": len(re.findall(r"\) died: ", log)),
    }


def print_facts(rows, seconds):
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    print(f"machine  {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} CPUs, "
          f"Linux {platform.release()}, load {os.getloadavg()[0]:.2f}")  # fmt: skip
    print(f"victims  {VICTIMS} honest tenants, a request each {EVERY_S * 1e3:.0f} ms each, in one worker "
          f"with the culprits; cpu_ms {CPU_MS}, {seconds:g} s before and after the first bad request; ms\n")  # fmt: skip
    columns = {
        "before_p50_ms": "p50 before", "soon_p50_ms": "p50 after 200 ms", "before_p99_ms": "p99 before",
        "sent_p99_ms": "p99 around", "sent_most_ms": "most", "due_p99_ms": "p99 when due",
        "back_after_ms": "back after",
    }  # fmt: skip
    print(f"{'':34}" + "".join(f"{title:>18}" for title in columns.values())
          + f"{'wrong':>8}{'apart':>7}{'back':>6}")  # fmt: skip
    for name, row in rows.items():
        cells = "".join(f"{row[key]:18.2f}" for key in columns)
        print(f"{name:34}{cells}{row['wrong']:8}{row['apart']:7}{row['let_back']:6}")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench neighbour", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="before and after the beginning (5)")
    parser.add_argument("--only", metavar="TEXT", help="cases with that in their name")
    parser.add_argument("--spare", choices=["on", "off"], default="on", help="of the cordon (on)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too; - is stdout")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    rows = {}
    for name, case in CASES.items():
        if arguments.only and arguments.only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="skep-bench-") as folder:
            out, sys.stdout = sys.stdout, sys.stderr
            try:
                rows[name] = run_case(folder, case, arguments.seconds, arguments.spare)
            finally:
                sys.stdout = out
        print(f"{name}: {json.dumps(rows[name])}", file=sys.stderr)
    print_facts(rows, arguments.seconds)
    if arguments.json == "-":
        print(json.dumps(rows, indent=1))
    elif arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
