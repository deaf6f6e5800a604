#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time of a handler that asks a server: skep (skepd, worker and skep-egress together) and `deno serve`, with the
same handler and the same upstream, which is a process of its own and not counted. All servers are up all the time; wrk
asks one after the other, round after round. The case `hung` has no other program beside it: 50 tenants hold fetches to
a server that never answers, with full queues, while honest tenants fetch at a steady rate. Run by scripts/bench."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path[:0] = [str(TOP / "bench"), str(TOP / "tests" / "integration")]

from cpu_time import processes  # noqa: E402
from egress_client import make_certificates  # noqa: E402
from harness import BIN, Skepd, free_port, wait_for  # noqa: E402

MODULES = TOP / "build" / "bench" / "fetch" / "node_modules"
REACH = {"allowed_hosts": ["http://127.0.0.1:*", "https://127.0.0.1:*"]}
EGRESS = {"addresses": ["127.0.0.1/32"]}

# name -> (what it is, handler)
CASES = {
    "small": ("GET, http", "export default {{ fetch: () => fetch('{http}/') }};"),
    "tls": ("GET, https", "export default {{ fetch: () => fetch('{https}/') }};"),
    "down": ("1 MiB down, http", "export default {{ fetch: () => fetch('{http}/mib') }};"),
    "up": (
        "1 MiB up, http",
        "export default {{ fetch: (r) => fetch('{http}/', {{ method: 'POST', body: r.body, duplex: 'half' }}) }};",
    ),
}
HUNG = "hung"

HUNG_TENANTS = 50
HUNG_AT_ONCE = 4  # requests that a tenant handles at a time
HUNG_QUEUE = 4  # requests in its queue
HUNG_FETCHES = 50  # each request makes so many: 6 wait for their heads, the others behind them
VICTIMS = 4
EVERY_S = 0.01


# ---- processes


def by_name(root):
    """CPU seconds of the process and all that come from it, by their names."""
    found = {}
    for pid in processes(root):
        with contextlib.suppress(OSError):
            name = pathlib.Path("/proc", str(pid), "comm").read_text().strip()
            found[name] = found.get(name, 0.0) + time.clock_gettime(~pid << 3 | 2)
    return found


def deno_program():
    for path in sorted(MODULES.glob("@deno/linux-*-glibc/deno")):
        return path
    sys.exit("error: no deno below build/bench; run scripts/bench fetch")


@contextlib.contextmanager
def running(command, **more):
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def upstream(folder):
    """name of a server -> its URL; and the file of its CA."""
    ca, pairs = make_certificates(folder, ["127.0.0.1"])
    with running(["node", HERE / "upstream.mjs", *pairs["127.0.0.1"]], stdout=subprocess.PIPE, text=True) as process:
        http, https, silent = process.stdout.readline().split()
        urls = {
            "http": f"http://127.0.0.1:{http}", "https": f"https://127.0.0.1:{https}",
            "silent": f"http://127.0.0.1:{silent}",
        }  # fmt: skip
        yield urls, ca


@contextlib.contextmanager
def skep_of(folder, tenants, ca, **config):
    folder.mkdir()
    config = {"cordons": [{"name": "default", "workers": 1}], "egress": {"ca": str(ca), **EGRESS}, **config}
    skepd = Skepd(folder, tenants, config)
    skepd.start()
    try:
        yield skepd
    finally:
        skepd.stop()


# ---- skep and deno


@contextlib.contextmanager
def servers(names, log):
    """(case, name of a server) -> (port, pid, host), all up and answering."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skep-bench-")))
        (folder / "upstream").mkdir()
        urls, ca = stack.enter_context(upstream(folder / "upstream"))
        sources = {name: CASES[name][1].format(**urls) for name in names}
        tenants = {name: {**REACH, "files": {"worker.js": source}} for name, source in sources.items()}
        skepd = stack.enter_context(skep_of(folder / "skep", tenants, ca))
        found = {}
        for name, source in sources.items():
            found[name, "skep"] = (skepd.port, skepd.process.pid, f"{name}.test")
            script, port = folder / f"{name}.js", free_port()
            script.write_text(source)
            command = [deno_program(), "serve", "--quiet", "--allow-net", "--cert", ca, "--host", "127.0.0.1", "--port", port]
            environment = {**os.environ, "DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": str(folder)}
            deno = stack.enter_context(running([*command, script], stdout=log, stderr=log, env=environment))
            found[name, "deno serve"] = (port, deno.pid, "127.0.0.1")
        for one in found.values():
            wait_for(lambda one=one: answers(*one), "an answer", timeout=30)
        yield found


def answers(port, _, host):
    head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    with contextlib.suppress(OSError):
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(head)
            # A handler that hands its request's body on has none to hand on here.
            return connection.makefile("rb").read(12) in (b"HTTP/1.1 200", b"HTTP/1.1 500")
    return False


def ask(server, case, seconds, connections):
    """One run of wrk: requests/s, p50 and p99 in ms, CPU-µs for each request, and those by process."""
    port, pid, host = server
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Host: {host}"]
    if case == "up":
        command += ["-s", HERE / "up.lua"]
    before = by_name(pid)
    run = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True)
    after = by_name(pid)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", run.stdout)
    if bad:
        sys.exit(f"error: not every request of {case} was answered: {bad[0]}")
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latency = {
        percent: float(value) * units[unit]
        for percent, value, unit in re.findall(r"\s(\d\d)%\s+([\d.]+)(us|ms|s)\b", run.stdout)
    }
    n = int(re.search(r"(\d+) requests in", run.stdout)[1])
    parts = {name: 1e6 * (after[name] - before.get(name, 0.0)) / n for name in after}
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)[1]),
        "p50_ms": latency["50"], "p99_ms": latency["99"], "cpu_us": sum(parts.values()), "parts_us": parts,
    }  # fmt: skip


def compare(names, arguments):
    """(case, server) -> its rounds"""
    log_path = TOP / "build" / "bench" / "fetch" / "servers.log"
    with log_path.open("wb") as log, servers(names, log) as found:
        for (case, _), server in found.items():  # warm up
            ask(server, case, 1, arguments.connections)
        results = {key: [] for key in found}
        for number in range(arguments.rounds):
            keys = list(found) if number % 2 == 0 else list(reversed(found))
            for key in keys:
                results[key].append(ask(found[key], key[0], arguments.seconds, arguments.connections))
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
    return results


def median(rounds, key):
    return statistics.median(one[key] for one in rounds)


def print_rows(results):
    print(f"\n{'':18}{'':12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>10}{'to deno':>9}   by process, us")
    for (case, server), rounds in results.items():
        cpu = median(rounds, "cpu_us")
        ratio = cpu / median(results[case, "deno serve"], "cpu_us")
        names = sorted({name for one in rounds for name in one["parts_us"]})
        parts = {name: statistics.median(one["parts_us"].get(name, 0.0) for one in rounds) for name in names}
        text = ", ".join(f"{name} {us:.1f}" for name, us in parts.items() if us >= 0.05) if server == "skep" else ""
        print(f"{CASES[case][0]:18}{server:12}{median(rounds, 'rate'):12.0f}{median(rounds, 'p50_ms'):9.2f}"
              f"{median(rounds, 'p99_ms'):9.2f}{cpu:10.1f}{ratio:8.2f}x   {text}")  # fmt: skip


# ---- hung


class Victim:
    """A client that asks each EVERY_S, and notes how long each answer took."""

    def __init__(self, skepd, name):
        self.skepd, self.name = skepd, name
        self.took, self.wrong = [], 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        due = time.monotonic()
        with self.skepd.connect() as connection:
            while not self._end.wait(max(0, due - time.monotonic())):
                sent = time.monotonic()
                answer = connection.request("GET", f"{self.name}.test", "/")
                self.took.append(time.monotonic() - sent)
                self.wrong += (answer.status, answer.body) != (200, b"Hello, world\n")
                due = max(due + EVERY_S, sent)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


class Culprits:
    """Connections with a request each to tenants whose fetches hang; the requests that are not handled fill the
    tenants' queues. They come from several addresses, since one has a share of a queue."""

    def __init__(self, address, names):
        self.connections = []
        for number, name in enumerate(names * (HUNG_AT_ONCE + HUNG_QUEUE)):
            connection = socket.socket()
            connection.bind((f"127.0.1.{1 + number % 200}", 0))
            connection.connect(address)
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}.test\r\n\r\n".encode())
            self.connections.append(connection)

    def answered(self):
        """The number of connections that have an answer, or have ended."""
        with selectors.DefaultSelector() as selector:
            for connection in self.connections:
                selector.register(connection, selectors.EVENT_READ)
            return len(selector.select(0))

    def close(self):
        for connection in self.connections:
            connection.close()


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]


def measure(skepd, seconds):
    """Returns the victims' p50 and p99 in ms, the CPU share of skep-egress and of skepd, and wrong answers."""
    before, begin = by_name(skepd.process.pid), time.monotonic()
    with contextlib.ExitStack() as stack:
        victims = [stack.enter_context(Victim(skepd, f"honest-{i}")) for i in range(VICTIMS)]
        time.sleep(seconds)
    after, took = by_name(skepd.process.pid), time.monotonic() - begin
    seen = [1e3 * one for victim in victims for one in victim.took]
    share = {name: 100 * (after[name] - before[name]) / took for name in ("skep-egress", "skepd")}
    return {
        "p50_ms": percentile(seen, 50), "p99_ms": percentile(seen, 99), "egress_percent": share["skep-egress"],
        "skepd_percent": share["skepd"], "requests": len(seen), "wrong": sum(victim.wrong for victim in victims),
    }  # fmt: skip


def has_settled(skepd):
    """Whether skep is idle: the culprits have all their fetches."""
    before = sum(by_name(skepd.process.pid).values())
    time.sleep(0.5)
    return sum(by_name(skepd.process.pid).values()) - before < 0.05


def run_hung(arguments):
    """name -> rounds, without and with culprits in turn"""
    hanging = (
        f"export default {{{{ fetch: () => Promise.all(Array.from({{{{ length: {HUNG_FETCHES} }}}}, () => fetch('{{silent}}/'))) }}}};"
    )
    limits = {"concurrency": HUNG_AT_ONCE, "queue": HUNG_QUEUE, "subrequests": HUNG_FETCHES, "calls": HUNG_FETCHES, "wall_ms": 600000}
    rows = {"undisturbed": [], "beside hung ones": []}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skep-bench-")))
        (folder / "upstream").mkdir()
        urls, ca = stack.enter_context(upstream(folder / "upstream"))
        hung = [f"hung-{i}" for i in range(HUNG_TENANTS)]
        tenants = {name: {**REACH, "limits": limits, "files": {"worker.js": hanging.format(**urls)}} for name in hung}
        honest = {**REACH, "files": {"worker.js": CASES["small"][1].format(**urls)}}
        tenants |= {f"honest-{i}": honest for i in range(VICTIMS)}
        skepd = stack.enter_context(skep_of(folder / "skep", tenants, ca))
        measure(skepd, 2)  # warm up
        for number in range(arguments.rounds):
            wait_for(lambda: has_settled(skepd), "skep to be idle", timeout=60)
            rows["undisturbed"].append(measure(skepd, arguments.seconds))
            culprits = Culprits(skepd.address, hung)
            try:
                wait_for(lambda: has_settled(skepd), "the culprits to hang", timeout=60)
                rows["beside hung ones"].append(measure(skepd, arguments.seconds))
                if culprits.answered() > 0:
                    print(f"warning: {culprits.answered()} hung requests have ended", file=sys.stderr)
            finally:
                culprits.close()
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
    return rows


def print_hung(rows):
    print(f"\n{HUNG_TENANTS} tenants, {HUNG_AT_ONCE} requests with {HUNG_FETCHES} fetches each (6 at once, the others "
          f"behind them) and {HUNG_QUEUE} more in the queue;\n{VICTIMS} honest tenants fetch every {EVERY_S * 1e3:.0f} ms each")  # fmt: skip
    print(f"{'':18}{'p50 ms':>9}{'p99 ms':>9}{'to undisturbed':>16}{'egress CPU %':>14}{'skepd CPU %':>13}{'requests':>10}{'wrong':>7}")
    base = median(rows["undisturbed"], "p99_ms")
    for name, rounds in rows.items():
        p99 = median(rounds, "p99_ms")
        print(f"{name:18}{median(rounds, 'p50_ms'):9.2f}{p99:9.2f}{p99 / base:15.2f}x{median(rounds, 'egress_percent'):14.1f}"
              f"{median(rounds, 'skepd_percent'):13.1f}{sum(r['requests'] for r in rounds):10}{sum(r['wrong'] for r in rounds):7}")  # fmt: skip


# ---- the command


def first_line(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True)
        return (run.stdout or run.stderr).splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def print_facts(arguments):
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    print(f"machine   {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
          f"load {os.getloadavg()[0]:.2f}")
    print(f"versions  {first_line(BIN / 'skepd', '--version')}, {first_line(deno_program(), '--version')}, "
          f"upstream node {first_line('node', '--version')}")
    print(f"run       {arguments.rounds} rounds of {arguments.seconds} s each, {arguments.connections} connections, wrk with "
          "1 thread, one worker, nothing pinned; medians")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench fetch", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}, {HUNG} (all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=int, default=3, help="of each server and round (3)")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections of wrk (32)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    cases = arguments.cases or [*CASES, HUNG]
    if set(cases) - {*CASES, HUNG}:
        parser.error(f"cases are {', '.join(CASES)} and {HUNG}")
    names = [name for name in CASES if name in cases]
    print_facts(arguments)
    figures = {}
    if names:
        results = compare(names, arguments)
        print_rows(results)
        figures = {" ".join(key): rounds for key, rounds in results.items()}
    if HUNG in cases:
        rows = run_hung(arguments)
        print_hung(rows)
        figures[HUNG] = rows
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
