#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what programs cost when they are cold: the CPU time of their load, of the first request in a fresh isolate,
and of a warm one. Each program is deployed under several names, so that each name has a cold isolate. With
--burners other processes compete for the processors meanwhile. Run by scripts/bench."""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
MODULES = TOP / "build" / "bench" / "first"
sys.path.insert(0, str(TOP / "tests" / "integration"))

from harness import Skepd, wait_for  # noqa: E402

WARM = 3
# No limit is to be met: the figures say what the limits have to be.
LIMITS = {"cpu_ms": 60000, "cpu_startup_ms": 60000, "heap_mib": 256, "external_mib": 256}


def bundle(path):
    """The program with all that it imports."""
    command = [MODULES / "node_modules/@esbuild/linux-x64/bin/esbuild", path, "--bundle", "--format=esm", "--minify", "--conditions=worker,browser,import"]
    return subprocess.run(command, check=True, capture_output=True, env={"NODE_PATH": str(MODULES / "node_modules"), "PATH": "/usr/bin:/bin"}).stdout


def requests_of(skepd, name):
    """CPU time of each request, from the access log."""
    lines = skepd.log_path.read_text().splitlines()
    found = [json.loads(line) for line in lines if '"event":"access"' in line]
    return [line["cpu_ms"] for line in found if line["tenant"] == name]


def measure(skepd, name):
    """(load, first request, warm request), in ms of CPU time."""
    for _ in range(1 + WARM):
        answer = skepd.get(name)
        assert answer.status == 200, (name, answer)
    wait_for(lambda: len(requests_of(skepd, name)) == 1 + WARM, "the access log")
    requests = requests_of(skepd, name)
    tenants = json.loads(skepd.skep("tenants", "--json").stdout)["tenants"]
    total = next(t["cpu_ms"] for t in tenants if t["name"] == name)
    return total - sum(requests), requests[0], min(requests[1:])


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench first", description=__doc__)
    parser.add_argument("--names", type=int, default=5, help="cold isolates of each program")
    parser.add_argument("--burners", type=int, default=0, help="processes that spin meanwhile")
    parser.add_argument("--only", help="one program")
    options = parser.parse_args()
    programs = sorted(p for p in (HERE / "programs").iterdir() if options.only in (None, p.stem))
    tenants = {
        f"{path.stem}-{i}": {"files": {"worker.js": source}, "limits": LIMITS, "eval": "on"}
        for path in programs
        for source in [bundle(path)]
        for i in range(options.names)
    }
    cordon = {"name": "default", "workers": 1, "first_credit": "on", "solitary": 0, "rss_mib": "unlimited", "drift_mib": "unlimited"}
    print(f"{'program':10} {'load':>12} {'first':>12} {'both, most':>12} {'warm':>8}   ms of CPU time, median and most")
    with tempfile.TemporaryDirectory(prefix="skep-") as folder:
        skepd = Skepd(folder, tenants, {"access_log": True, "log_format": "json", "cordons": [cordon]}).start()
        burners = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(options.burners)]
        try:
            for path in programs:
                rows = [measure(skepd, f"{path.stem}-{i}") for i in range(options.names)]
                load, first, warm = (list(column) for column in zip(*rows))
                pair = lambda values: f"{statistics.median(values):.0f}, {max(values):.0f}"
                both = max(a + b for a, b in zip(load, first))
                print(f"{path.stem:10} {pair(load):>12} {pair(first):>12} {both:12.0f} {statistics.median(warm):8.1f}", flush=True)
        finally:
            for burner in burners:
                burner.kill()
            with contextlib.redirect_stdout(None):  # the log
                skepd.stop()


if __name__ == "__main__":
    main()
