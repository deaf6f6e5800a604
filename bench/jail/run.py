#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how much longer a worker takes to start because of the jail: see bench_jail.c. The cost is the median
of a sealed birth less that of a plain one, in one run."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SKEP_BIN") or TOP / "build" / "release").resolve()
GOAL_MS = 3.0


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench jail", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="births of each kind (300)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    command = [BIN / "tests" / "bench_jail", str(arguments.rounds), BIN / "skep-worker"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if run.returncode != 0:
        sys.exit(f"{command[0]} failed with status {run.returncode}")
    rows = {}
    for name, times in json.loads(run.stdout).items():
        times = sorted(time / 1000 for time in times)
        rows[name] = {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)]}
    cost = rows["sealed"]["p50"] - rows["plain"]["p50"]
    result = {"births": arguments.rounds, "ms": rows, "cost_ms": cost, "goal_ms": GOAL_MS}
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{'births of each: ' + str(arguments.rounds):32}{'p50':>9}{'p99':>9}  ms")
    labels = {
        "plain": "fork and exec only",
        "namespaces": "in namespaces",
        "sealed": "in the whole jail",
        "worker": "skep-worker, with V8, to its hello",
    }
    for name, label in labels.items():
        print(f"{label:32}{rows[name]['p50']:9.2f}{rows[name]['p99']:9.2f}")
    held = "held" if cost <= GOAL_MS else "missed"
    print(f"the jail costs {cost:.2f} ms of a start (goal {GOAL_MS:.0f}: {held})")


main()
