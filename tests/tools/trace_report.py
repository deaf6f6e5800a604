#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Says which rows of the policy the traced workers used; for scripts/trace-syscalls. TRACE is the output of
strace -f -e raw='!execve,execveat'; policy_dump prints the rows."""

import argparse
import collections
import json
import re
import signal
import subprocess

PHASES = ("start-up", "running")  # the names of the tables
CLONE_THREAD = 0x10000
SECCOMP_SET_MODE_FILTER = 1
NEAR = 1 << 20  # how far a thread's first data may be from the address that its clone gave
# The kernel lets these past every filter, since Linux 6.14.
PAST_FILTERS = ("uretprobe", "uprobe", "syscall_0x14f", "syscall_0x150")

LINE = re.compile(r"(\d+) +(.*)")
CALL = re.compile(r"(\w+)\((.*)")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
RESULT = re.compile(r"\) += (-?\w+)")
REFUSED = re.compile(r"--- SIGSYS .*si_code=SYS_SECCOMP")


class Worker:
    """A worker, from its exec on. phase: -1 before the first filter, then the number of the filter that decides."""

    def __init__(self, pid, jit):
        self.pid, self.jit = pid, jit
        self.phase = -1
        self.is_over = False  # after a refused call only the handler runs


class Use:
    """Counts of one phase. Rows are counted by their key, other calls by name."""

    def __init__(self):
        self.rows = collections.Counter()
        self.lacking = {}  # name -> the call as it was seen
        self.contradictions = []

    def add_lacking(self, name, args):
        entry = self.lacking.setdefault(name, {"count": 0, "refused": 0, "args": args})
        entry["count"] += 1
        return entry


class Row:
    def __init__(self, row):
        self.__dict__.update(row)
        self.checks = [
            (c["arg"], int(c["mask"], 16), c["op"] == "=", int(c["value"], 16), c["is_self"])
            for c in row["checks"]
        ]
        self.key = (self.name, self.when, self.text, self.action)

    def fits(self, args, pid):
        """Does the same as policy_row_fits. A worker without a PID namespace of its own has another pid than 1."""
        for index, mask, is_equal, wanted, is_self in self.checks:
            value = args[index] & mask
            if (value == wanted or (is_self and value == pid)) != is_equal:
                return False
        return True

    def to_json(self, count):
        names = ("name", "number", "action", "errno", "when", "text", "reason")
        return {"count": count, **{name: getattr(self, name) for name in names}}


def read_rows(policy_dump):
    """Returns {jit: {table: [Row]}}."""
    rows = {}
    for jit in ("on", "off"):
        dump = subprocess.run(
            [policy_dump, "--format", "json", "--jit", jit], check=True, stdout=subprocess.PIPE
        )
        tables = rows[jit] = {phase: [] for phase in PHASES}
        for row in json.loads(dump.stdout):
            if row["table"] in tables:
                tables[row["table"]].append(Row(row))
    return rows


def parse_args(text):
    """Returns six numbers. strace prints other things only for calls that have no checked arguments."""
    args = []
    for word in re.split(r"[,) ]+", text.split(" <unfinished")[0].split(") = ")[0]):
        try:
            args.append(int(word, 0) & (1 << 64) - 1)
        except ValueError:
            args.append(0)
    return (args + [0] * 6)[:6]


class Trace:
    """Reads one output of strace -f: follows each thread of each worker."""

    def __init__(self, rows, jit=None):
        self.rows, self.only_jit = rows, jit
        self.workers = []
        self.uses = [Use() for _ in PHASES]
        self.before = collections.Counter()  # calls before the first filter

    def read(self, file):
        self.threads = {}  # tid -> Worker, or None for every other process
        self.last = {}  # tid -> (name, text of the arguments, what was counted)
        self.clones = []  # (worker, arguments) whose thread has not been seen yet
        for line in file:
            match = LINE.match(line)
            if match:
                self.on_line(int(match[1]), match[2])

    def on_line(self, tid, text):
        if call := CALL.match(text):
            self.on_call(tid, call[1], call[2])
        elif resumed := RESUMED.match(text):
            self.on_result(tid, RESULT.search(resumed[2]))
        elif REFUSED.match(text):
            self.on_refused(tid)
        elif text.startswith("+++"):
            self.threads.pop(tid, None)
            self.last.pop(tid, None)

    def on_call(self, tid, name, text):
        args = [] if name in ("execve", "execveat") else parse_args(text)
        if tid not in self.threads:
            self.threads[tid] = self.find_parent(args)
        worker = self.threads[tid]
        counted = self.count(worker, name, args) if worker and not worker.is_over else None
        self.last[tid] = (name, text, args, counted)
        if worker and name == "clone" and args[0] & CLONE_THREAD:
            self.clones.append((worker, args))
        if not text.endswith("<unfinished ...>"):
            self.on_result(tid, RESULT.search(text))

    def find_parent(self, args):
        """Finds the clone of a new thread by the memory that it uses, because ids are of another PID namespace."""
        for pending in self.clones:
            worker, addresses = pending
            for place in filter(None, addresses[1:5]):
                if any(abs(place - value) < NEAR for value in args):
                    self.clones.remove(pending)
                    return worker
        return None

    def on_result(self, tid, result):
        name, text, args, _ = self.last.get(tid, (None, "", [], None))
        if not result or name is None:
            return
        if name in ("execve", "execveat") and result[1] == "0":
            self.on_exec(tid, text)
        worker = self.threads.get(tid)
        is_loaded = name == "seccomp" and args[0] == SECCOMP_SET_MODE_FILTER and result[1] == "0"
        if worker and is_loaded:
            worker.phase = min(worker.phase + 1, len(PHASES) - 1)
        if worker and name == "clone" and result[1].startswith("-"):
            self.clones = [c for c in self.clones if c != (worker, args)]

    def on_exec(self, tid, text):
        """A throw-away worker (--report) makes every call on purpose."""
        self.threads[tid] = None
        if '["skep-worker"' not in text or '"--report"' in text:
            return
        jit = "on" if '"--jit=on"' in text else "off"
        if self.only_jit in (None, jit):
            self.threads[tid] = Worker(tid, jit)
            self.workers.append(self.threads[tid])

    def count(self, worker, name, args):
        if worker.phase < 0:
            self.before[name] += 1
            return None
        use = self.uses[worker.phase]
        for row in self.rows[worker.jit][PHASES[worker.phase]]:
            if row.name == name and row.fits(args, worker.pid):
                use.rows[row.key] += 1
                return row
        return use.add_lacking(name, [hex(arg) for arg in args])

    def on_refused(self, tid):
        worker = self.threads.get(tid)
        if not worker or worker.is_over or tid not in self.last:
            return
        name, _, args, counted = self.last[tid]
        if isinstance(counted, Row):
            text = f"{name} was refused, but fits a row: {[hex(arg) for arg in args]}"
            self.uses[worker.phase].contradictions.append(text)
        elif counted:
            counted["refused"] += 1
        worker.is_over = True


# ---- the report


def summary(trace):
    jits = collections.Counter(worker.jit for worker in trace.workers)
    result = {"workers": {jit: jits[jit] for jit in ("on", "off")}, "phases": {}}
    for phase, use in zip(PHASES, trace.uses):
        rows = {}
        for jit in jits or ("on", "off"):
            rows.update({row.key: row for row in trace.rows[jit][phase]})
        passed = [
            f"{name} was made, but fits no row: {entry['args']}"
            for name, entry in use.lacking.items()
            if entry["refused"] < entry["count"] and name not in PAST_FILTERS
        ]
        result["phases"][phase] = {
            "used": [row.to_json(use.rows[key]) for key, row in rows.items() if use.rows[key]],
            "unused": [row.to_json(0) for key, row in rows.items() if not use.rows[key]],
            "refused": [
                {"name": name, **entry} for name, entry in use.lacking.items() if entry["refused"]
            ],
            "contradictions": use.contradictions + passed,
        }
    result["before"] = dict(trace.before.most_common())
    return result


def row_line(row, with_reason):
    action = "" if row["action"] == "allow" else f" fails with {row['errno']}"
    when = "" if row["when"] == "always" else f" [{row['when']}]"
    left = f"{row['count'] or '-':>8}  {row['name']}{when} {row['text']}{action}".rstrip()
    return f"{left:<66}  {row['reason']}" if with_reason else left


def print_phase(name, phase, with_all):
    used = sorted(phase["used"], key=lambda row: -row["count"])
    by_name = [row for row in phase["unused"] if row["reason"] == "the later filter decides"]
    unused = [row for row in phase["unused"] if row not in by_name]
    print(f"\n{name}: {len(used)} of {len(used) + len(phase['unused'])} rows were used")
    for row in used:
        print(row_line(row, with_all))
    if unused:
        print("  never:")
    for row in unused:
        print(row_line(row, True))
    if by_name:
        print(f"  never, allowed because the later filter has it: {len(by_name)}")
        if with_all:
            print("          " + ", ".join(row["name"] for row in by_name))
    print("  refused:" if phase["refused"] else "  refused: none")
    for entry in phase["refused"]:
        print(f"{entry['refused']:>8}  {entry['name']}({', '.join(entry['args'])})")
    for text in phase["contradictions"]:
        print(f"  NOT AS THE POLICY SAYS: {text}")


def print_text(report, with_all):
    jits = report["workers"]
    print(f"{sum(jits.values())} workers: {jits['on']} with JIT, {jits['off']} without")
    if with_all:
        calls = ", ".join(f"{name} {count}" for name, count in report["before"].items())
        print(f"\nbefore the first filter: {calls}")
    for name, phase in report["phases"].items():
        print_phase(name, phase, with_all)


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the report goes through head
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy-dump", required=True, help="the program")
    parser.add_argument("--jit", choices=("on", "off"), help="only workers of that kind")
    parser.add_argument("--all", action="store_true", help="also what came before, and all reasons")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("traces", metavar="TRACE", nargs="+")
    options = parser.parse_args()
    trace = Trace(read_rows(options.policy_dump), options.jit)
    for path in options.traces:
        with open(path, encoding="utf-8", errors="replace") as file:
            trace.read(file)
    if not trace.workers:
        parser.exit(1, "no worker was traced\n")
    report = summary(trace)
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        print_text(report, options.all)


if __name__ == "__main__":
    main()
