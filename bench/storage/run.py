#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and CPU time of operations of storage: skep, miniflare with its KV and D1 on disk, and SQLite within the process that answers (deno,
node:sqlite, with the settings of skep-data), all up in one run, asked one after the other, round after round. The handler (handler.js) does an operation
a few times in a request; a figure is the time of such a request, without that of one that does nothing, divided by the operations. Run by
scripts/bench."""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path[:0] = [str(TOP / "bench"), str(TOP / "tests" / "integration")]

from cpu_time import cpu_seconds, processes  # noqa: E402
from harness import BIN, Skepd, free_port  # noqa: E402

FOLDER = TOP / "build" / "bench" / "storage"
MODULES = FOLDER / "node_modules"
HOST = "storage.test"
LIMITS = {"storage_rate": 1000000}
NONE = "none"
PARTS = 20  # requests that fill the table, with 500 rows each
SKEP, MINIFLARE, PLAIN = "skep", "miniflare", "in process"

# name -> (what it is, times in a request, requests in a round, operations that one of them is)
CASES = {
    NONE: ("request without an operation", 1, 100, 1),
    "point": ("point read by SQL", 10, 60, 1),
    "batch": ("batch of 100 inserts", 1, 30, 1),
    "rows": ("10,000 rows of 5 columns", 1, 15, 1),
    "get": ("KV get of 1 KiB", 10, 60, 1),
    "gets": ("KV get of 1 KiB, 32 at once", 2, 50, 32),
    "put": ("KV put of 1 KiB", 2, 30, 1),
    "large": ("KV get of 1 MiB", 2, 15, 1),
}

# (case, what, the value by the figures of the case, the least that it may be, how it is shown)
GOALS = [
    ("point", "p50 of 250 us at most", lambda of: 250 / of[SKEP], 1, lambda of: f"{of[SKEP]:.0f} us"),
    ("point", "as fast as miniflare's D1", lambda of: of[MINIFLARE] / of[SKEP], 1, None),
    ("batch", "0.2 x in process", lambda of: of[PLAIN] / of[SKEP], 0.2, None),
    ("rows", "0.3 x in process", lambda of: of[PLAIN] / of[SKEP], 0.3, None),
    ("gets", "as fast as miniflare's KV", lambda of: of[MINIFLARE] / of[SKEP], 1, None),
]


class Server:
    """A server that runs."""

    def __init__(self, port, pid):
        self.pid = pid
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def warm(self):
        """Makes the connection anew: a server may have closed one that was idle."""
        self.connection.close()
        self.ask(NONE)

    def ask(self, case, times=1):
        self.connection.request("GET", f"/{case}?n={times}", headers={"Host": HOST})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        return text if answer.status == 200 else f"{answer.status} {text[:500]}"


@contextlib.contextmanager
def skep(folder, programs):
    config = {"storage": {"folder": str(folder / "data")}, "limits": {"maximum": LIMITS}}
    bindings = [{"name": "DB", "sql": "main"}, {"name": "KV", "kv": "main"}]
    tenant = {"bindings": bindings, "limits": LIMITS, "files": {"worker.js": (HERE / "handler.js").read_text()}}
    skepd = Skepd(folder, {"storage": tenant}, config, worker=programs and programs / "skep-worker")
    if programs:
        skepd.program = programs / "skepd"
    skepd.start()
    try:
        yield Server(skepd.port, skepd.process.pid)
    finally:
        with contextlib.redirect_stdout(sys.stderr if sys.exc_info()[0] else open(os.devnull, "w")):
            skepd.stop()


@contextlib.contextmanager
def other(command, folder, log, *more):
    port = free_port()
    words = [str(word) for word in [*command, port, folder, *more]]
    environment = {**os.environ, "DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": str(folder)}
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        end = time.monotonic() + 60
        while True:
            server = Server(port, process.pid)
            with contextlib.suppress(OSError, http.client.HTTPException):
                server.ask(NONE)
                break
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"error: {command[0]} does not answer: see build/bench/storage/servers.log")
            time.sleep(0.05)
        yield server
    finally:
        below = processes(process.pid)[1:]
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in below:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def deno_program():
    for path in sorted(MODULES.glob("@deno/linux-*-glibc/deno")):
        return path
    sys.exit("error: no deno below build/bench; run scripts/bench storage")


@contextlib.contextmanager
def servers(log, before):
    """name -> server, all up, with their data"""
    with contextlib.ExitStack() as stack:
        top = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=FOLDER)))
        folders = {name: top / name.replace(" ", "-") for name in ("skep", "before", "miniflare", "plain")}
        for folder in folders.values():
            folder.mkdir()
        found = {SKEP: stack.enter_context(skep(folders["skep"], None))}
        if before:
            found["before"] = stack.enter_context(skep(folders["before"], before))
        plain = [deno_program(), "run", "--quiet", "--allow-all", HERE / "plain.js"]
        found[MINIFLARE] = stack.enter_context(other(["node", HERE / "miniflare.mjs"], folders["miniflare"], log, MODULES))
        found[PLAIN] = stack.enter_context(other(plain, folders["plain"], log))
        for name, server in found.items():
            said = {server.ask(case) for case in ["setup", *PARTS * ["fill"]]}
            if said != {"ok"}:
                sys.exit(f"error: {name} has no data: {said}")
        yield found


def run_case(server, case, share=1.0):
    """One round of a case: the seconds of each request, and CPU seconds of all."""
    _, times, requests, _ = CASES[case]
    seconds = []
    server.warm()
    before = cpu_seconds(server.pid)
    for _ in range(max(1, int(requests * share))):
        began = time.perf_counter()
        said = server.ask(case, times)
        seconds.append(time.perf_counter() - began)
        if said != "ok":
            sys.exit(f"error: {case}: {said}")
    return seconds, cpu_seconds(server.pid) - before


def compare(found, cases, rounds):
    """case -> name of a server -> (seconds of all requests, CPU seconds of them)"""
    results = {case: {name: ([], [0.0]) for name in found} for case in cases}
    for case in cases:  # warm up
        for server in found.values():
            run_case(server, case, 0.3)
    for number in range(rounds):
        names = list(found) if number % 2 == 0 else list(reversed(found))
        for case in cases:
            for name in names:
                seconds, cpu = run_case(found[name], case)
                results[case][name][0].extend(seconds)
                results[case][name][1][0] += cpu
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return results


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]


def to_figures(results):
    """case -> name -> microseconds of an operation: p50, p99, cpu"""
    none = results[NONE]
    figures = {}
    for case, by_name in results.items():
        _, times, _, each = CASES[case]
        figures[case] = {}
        for name, (seconds, (cpu,)) in by_name.items():
            base, base_cpu = (0, 0)
            if case != NONE:
                base, base_cpu = percentile(none[name][0], 50), none[name][1][0] / len(none[name][0])
            scale = 1e6 / (times * each)
            figures[case][name] = {
                "p50": (percentile(seconds, 50) - base) * scale, "p99": (percentile(seconds, 99) - base) * scale,
                "cpu": (cpu / len(seconds) - base_cpu) * scale,
            }  # fmt: skip
    return figures


def print_rows(figures):
    print(f"\n{'us for each operation':32}{'':12}{'p50':>10}{'p99':>10}{'CPU':>10}{'p50 to skep':>14}")
    for case, by_name in figures.items():
        for name, one in by_name.items():
            title = CASES[case][0] if name == SKEP else ""
            ratio = one["p50"] / by_name[SKEP]["p50"]
            print(f"{title:32}{name:12}{one['p50']:10.1f}{one['p99']:10.1f}{one['cpu']:10.1f}{ratio:13.2f}x")


def print_goals(figures):
    print(f"\n{'goal':62}{'seen':>10}")
    for case, what, value, least, show in GOALS:
        if case not in figures:
            continue
        of = {name: one["p50"] for name, one in figures[case].items()}
        seen = show(of) if show else f"{value(of):.2f} x"
        print(f"{CASES[case][0] + ': ' + what:62}{seen:>10}   {'met' if value(of) >= least else 'MISSED'}")


def first_line(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True)
        return (run.stdout or run.stderr).splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def print_facts(rounds):
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    miniflare = json.loads((MODULES / "miniflare" / "package.json").read_text())["version"]
    print(f"machine   {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.2f}")
    print(f"versions  {first_line(BIN / 'skepd', '--version')}, miniflare {miniflare}, {first_line(deno_program(), '--version')}")
    print(f"run       {rounds} rounds, one worker, one connection, nothing pinned, data on the disk of build/")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench storage", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(list(CASES)[1:])} (all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--before", metavar="FOLDER", type=pathlib.Path, help="skep of another build, as a server more")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    if set(arguments.cases) - set(CASES):
        parser.error(f"cases are {', '.join(list(CASES)[1:])}")
    cases = [case for case in CASES if case == NONE or case in (arguments.cases or CASES)]
    print_facts(arguments.rounds)
    with (FOLDER / "servers.log").open("wb") as log, servers(log, arguments.before) as found:
        figures = to_figures(compare(found, cases, arguments.rounds))
    print_rows(figures)
    print_goals(figures)
    print(f"\nload {os.getloadavg()[0]:.2f} at the end")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
