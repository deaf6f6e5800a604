#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how exactly limits are kept and how fast a dead worker is replaced, by killing workers of a
real skepd: overshoot of soft and hard stops, time to the next good answer, what 10,000 kills leave behind,
and what two victims see meanwhile, one in the culprits' worker and one in another. Run by
scripts/bench."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "integration"))

from harness import (  # noqa: E402
    Skepd,
    cordon,
    honest,
    remains,
    script,
    wait_for,
)

CPU_MS, GRACE_MS, WALL_MS = 50, 200, 100
STUCK = "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);"
SOFT = {
    "loop": "for (;;);",
    "catch": "for (;;) { try { for (;;); } catch { } }",
    "regexp": '/(a+)+$/.test("a".repeat(40) + "b");',
    "awaits": "for (;;) await null;",
    "sort": "const a = Array.from({ length: 1e5 }, (_, i) => i); for (;;) a.sort((x, y) => y - x);",
}
# Some requests of such a tenant wait in JavaScript at any time.
WAITS = script(
    "await new Promise((r) => setTimeout(r, 5));"
    "return new Response(`${env.NAME} ${new URL(request.url).search}`);"
)


def culprit(body, cordon_name="default", **limits):
    source = script(
        f'if (new URL(request.url).pathname === "/bad") {{ {body} }} return new Response("ok");'
    )
    return {
        "cordon": cordon_name,
        "limits": {"cpu_ms": CPU_MS, "grace_ms": GRACE_MS, **limits},
        "files": {"worker.js": source},
    }


def tenants_for(kills):
    """One tenant for each kill that costs a worker, so that no tenant's strikes lead to quarantine."""
    tenants = {f"soft-{name}": culprit(body) for name, body in SOFT.items()}
    for n in range(kills):
        tenants[f"stuck-{n}"] = culprit(STUCK)
        tenants[f"wall-{n}"] = culprit(STUCK, "wall", cpu_ms=300000, wall_ms=WALL_MS)
    tenants["never"] = culprit("await new Promise(() => {});", wall_ms=WALL_MS)
    tenants["with-spare"] = honest("with-spare", cordon="with-spare")
    tenants["without-spare"] = honest("without-spare", cordon="without-spare")
    tenants["loops"] = honest("loops", cordon="loops")
    tenants["beside"] = {"env": {"NAME": "beside"}, "files": {"worker.js": WAITS}}
    tenants["far"] = honest("far", cordon="far")
    return tenants


CORDONS = [
    cordon(),
    cordon("wall"),
    cordon("with-spare"),
    cordon("without-spare", spare="off"),
    cordon("loops"),
    cordon("far"),
]


class Victim:
    """A client that asks about a hundred times a second and keeps every answer that was not right."""

    def __init__(self, skepd, tenant, method):
        self.skepd, self.tenant, self.method = skepd, tenant, method
        self.answers, self.failed, self.in_javascript, self.seconds = 0, [], 0, []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with self.skepd.connect() as connection:
            while not self._end.wait(0.01):
                try:
                    self._ask(connection)
                except OSError as error:
                    self.failed.append(repr(error))
                    return

    def _ask(self, connection):
        question = f"?{self.answers}"
        begin = time.monotonic()
        body = b"" if self.method == "POST" else None
        answer = connection.request(self.method, f"{self.tenant}.test", f"/{question}", body=body)
        self.seconds.append(time.monotonic() - begin)
        self.answers += 1
        if answer.code == "worker_crashed":
            self.in_javascript += 1
        elif (answer.status, answer.body) != (200, f"{self.tenant} {question}".encode()):
            self.failed.append(repr(answer))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


# ---- figures


def percentiles(values):
    """Least, p50, p99 and most."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, -(-len(ordered) * 99 // 100) - 1)]
    return {"n": len(ordered), "min": ordered[0], "p50": statistics.median(ordered), "p99": p99, "max": ordered[-1]}


class Bench:
    def __init__(self, skepd):
        self.skepd = skepd
        self.rows = {}  # name -> figures
        self._log_at = 0

    def note(self, name, unit, values, goal=None, percentile="p99"):
        row = {"unit": unit, **percentiles(values)}
        if goal is not None:
            row |= {"goal": goal, "of": percentile, "held": row[percentile] <= goal}
        self.rows[name] = row
        print(f"{name}: {json.dumps(row)}", file=sys.stderr)

    def new_log(self):
        """Returns the lines that were logged since the last call."""
        with self.skepd.log_path.open("rb") as log:
            log.seek(self._log_at)
            text = log.read()
        whole = text.rfind(b"\n") + 1
        self._log_at += whole
        return text[:whole].decode(errors="replace")

    def wait_ready(self):
        """Waits until each cordon has its workers and its spare. Each look is a request to skepd, so there are few."""
        wait_for(self.skepd._has_ready_workers, "workers to be ready", timeout=60)

    # -- measurements

    def soft(self, kills):
        """CPU time of the thread over the budget, as the worker has counted it."""
        pattern = re.compile(r"\[soft-[a-z]+\] error: stopped after ([\d.]+) ms of CPU time")
        self.new_log()
        for n in range(kills):
            name = f"soft-{list(SOFT)[n % len(SOFT)]}"
            answer = self.skepd.get(name, "/bad")
            assert answer.code == "cpu_request", (name, answer)
        found = []

        def all_logged():
            found.extend(float(ms) for ms in pattern.findall(self.new_log()))
            return len(found) >= kills

        wait_for(all_logged, "all stops to be logged")
        self.note("soft stop, over cpu_ms", "ms CPU", [ms - CPU_MS for ms in found], goal=5)

    def hard(self, kills):
        """CPU time of the whole worker from the request to its death, over budget and grace."""
        over, after = [], []
        for n in range(kills):
            with self.skepd.connect() as connection:
                assert connection.request("GET", f"stuck-{n}.test").status == 200
                pid = self.skepd.worker()["pid"]
                cpu = process_cpu_s(pid)
                connection.send_head("GET", f"stuck-{n}.test", "/bad")
                last, death = watch_to_death(pid, cpu)
                answer = connection.read_response()
                assert answer.code == "cpu_request", answer
            over.append((last - cpu) * 1e3 - CPU_MS - GRACE_MS)
            after.append((time.monotonic() - death) * 1e3)
            self.wait_ready()
        self.note("hard kill, over cpu_ms + grace_ms", "ms CPU", over, goal=20)
        self.note("hard kill, death to the client's answer", "ms", after)

    def wall(self, kills):
        took = []
        with self.skepd.connect() as connection:
            connection.request("GET", "never.test")
            for _ in range(kills):
                begin = time.monotonic()
                answer = connection.request("GET", "never.test", "/bad")
                took.append((time.monotonic() - begin) * 1e3 - WALL_MS)
                assert answer.code == "wall_request", answer
        self.note("504, over wall_ms", "ms", took, goal=5)

    def hard_wall(self, kills):
        answered, died = [], []
        for n in range(kills):
            with self.skepd.connect() as connection:
                assert connection.request("GET", f"wall-{n}.test").status == 200
                pid = self.skepd.worker("wall")["pid"]
                begin = time.monotonic()
                answer = connection.request("GET", f"wall-{n}.test", "/bad")
                assert answer.code == "wall_request", answer
                answered.append((time.monotonic() - begin) * 1e3 - WALL_MS)
                _, death = watch_to_death(pid, process_cpu_s(pid))
            died.append((death - begin) * 1e3 - WALL_MS - GRACE_MS)
            self.wait_ready()
        self.note("504 of a stuck worker, over wall_ms", "ms", answered, goal=5)
        self.note("hard wall kill, over wall_ms + grace_ms", "ms", died, goal=20)

    def replaced(self, cordon_name, kills, goal):
        """From SIGKILL to the next good answer, on a connection that is open."""
        took = []
        with self.skepd.connect() as connection:
            for _ in range(kills):
                ask = f"{cordon_name}.test"
                assert connection.request("GET", ask).status == 200
                pid = self.skepd.worker(cordon_name)["pid"]
                begin = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                answer = connection.request("GET", ask, "/?again")
                took.append((time.monotonic() - begin) * 1e3)
                assert answer.text == f"{cordon_name} ?again", answer
                self.wait_ready()
        self.note(f"SIGKILL to the next good answer, {cordon_name}", "ms", took, goal, "p50")

    def loops(self, count):
        """kill -9 of the worker that serves, as fast as there is a new one; then what is left."""
        before = at_start = remains(self.skepd)
        warm = min(count // 10, 500)
        pattern = re.compile(r"\(pid (\d+)\) is ready after")
        workers = {w["slot"]: w["pid"] for w in self.skepd.workers() if w["cordon"] == "loops"}
        serving, spare = workers[0], workers[1]
        self.new_log()
        begin = time.monotonic()
        with self.skepd.connect() as connection:
            for n in range(count):
                os.kill(serving, signal.SIGKILL)
                ready = wait_for(lambda: pattern.findall(self.new_log()), "a new spare", 60)
                serving, spare = spare, int(ready[-1])
                assert connection.request("GET", "loops.test").status == 200, n
                if n == warm:
                    before = remains(self.skepd)
                if n % 500 == 499:
                    print(f"\r{n + 1} kills, {remains(self.skepd)}", end="", file=sys.stderr)
        seconds = time.monotonic() - begin
        print(file=sys.stderr)
        self.wait_ready()
        self.skepd.wait_idle()
        self.rows["kill -9 loops"] = {
            "n": count, "seconds": round(seconds, 1), "start": at_start,
            f"after {warm}": before, "end": remains(self.skepd),
        }  # fmt: skip


def process_cpu_s(pid):
    """CPU time of all its threads, clock_getcpuclockid(3); OSError once it is gone."""
    return time.clock_gettime((~pid << 3) | 2)


def watch_to_death(pid, cpu):
    """The last CPU time that was seen, and when it was gone."""
    while True:
        try:
            now = process_cpu_s(pid)
        except OSError:
            return cpu, time.monotonic()
        if not is_running(pid):
            return now, time.monotonic()
        cpu = now
        time.sleep(0.0003)


def is_running(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] not in (b"Z", b"X")


# ---- what is printed


def print_facts(bench):
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    print(f"machine  {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} CPUs, "
          f"Linux {platform.release()}, load {os.getloadavg()[0]:.2f}")  # fmt: skip
    print(f"limits   cpu_ms {CPU_MS}, grace_ms {GRACE_MS}, wall_ms {WALL_MS}\n")
    print(f"{'':48}{'n':>6}{'least':>9}{'p50':>9}{'p99':>9}{'most':>9}  {'':8}goal")
    for name, row in bench.rows.items():
        if "p50" not in row:
            continue
        goal = ""
        if "goal" in row:
            goal = f"{row['of']} <= {row['goal']}: {'held' if row['held'] else 'MISSED'}"
        figures = "".join(f"{row[which]:9.2f}" for which in ("min", "p50", "p99", "max"))
        print(f"{name:48}{row['n']:6}{figures}  {row['unit']:8}{goal}")


def print_remains(row):
    stages = [key for key in row if isinstance(row[key], dict)]
    print(f"\nkill -9 loops: {row['n']} in {row['seconds']} s")
    for key in row["end"]:
        print(f"  {key:14}" + "".join(f"{stage}: {row[stage][key]}   " for stage in stages))


def print_victims(victims, rows):
    print("\nvictims, asked all the while")
    for name, victim in victims.items():
        figures = percentiles([s * 1e3 for s in victim.seconds])
        rows[name] = {
            "answers": victim.answers, "failed": len(victim.failed),
            "failed_in_javascript_at_a_kill": victim.in_javascript, "ms": figures,
        }  # fmt: skip
        print(f"  {name:34}{victim.answers:8} answers, {len(victim.failed)} wrong, "
              f"{victim.in_javascript} worker_crashed, p50 {figures['p50']:.1f} ms, "
              f"p99 {figures['p99']:.1f} ms, most {figures['max']:.0f} ms")  # fmt: skip
        for wrong in victim.failed[:5]:
            print(f"    {wrong}")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench limits", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each kind (20)")
    parser.add_argument("--loops", type=int, default=200, help="kill -9 loops (200)")
    parser.add_argument("--full", action="store_true", help="200 kills of each kind, 10,000 loops")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too; - is stdout")
    arguments = parser.parse_args()
    if arguments.full:
        arguments.kills, arguments.loops = 200, 10000
    return arguments


def run(bench, arguments):
    bench.soft(arguments.kills)
    bench.hard(arguments.kills)
    bench.wall(arguments.kills)
    bench.replaced("with-spare", arguments.kills, goal=5)
    bench.replaced("without-spare", arguments.kills, goal=15)
    bench.hard_wall(arguments.kills)
    bench.loops(arguments.loops)


def main():
    arguments = parse_arguments()
    kinds = {"in another worker, GET": ("far", "GET"), "in another worker, POST": ("far", "POST"),
             "in the culprits' worker, GET": ("beside", "GET"),
             "in the culprits' worker, POST": ("beside", "POST")}  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="skep-bench-") as folder:
        tenants = tenants_for(arguments.kills)
        skepd = Skepd(folder, tenants, {"cordons": CORDONS})
        skepd.start()
        try:
            bench = Bench(skepd)
            victims = {name: Victim(skepd, *kind) for name, kind in kinds.items()}
            with contextlib.ExitStack() as stack:
                for victim in victims.values():
                    stack.enter_context(victim)
                run(bench, arguments)
            print_facts(bench)
            print_remains(bench.rows["kill -9 loops"])
            print_victims(victims, bench.rows)
        finally:
            with contextlib.redirect_stdout(sys.stderr):
                skepd.stop()
    if arguments.json == "-":
        print(json.dumps(bench.rows, indent=1))
    elif arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(bench.rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
