#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how soon `skep dev` serves a saved file: writes the file, then asks again and again on one
connection until the new answer comes. Run by scripts/bench."""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "integration"))

from dev_server import Dev  # noqa: E402
from harness import script  # noqa: E402

GOAL_MS = 100


def one_save(served, path, text, padding):
    """Milliseconds from the end of the save to the first new answer."""
    content = script(f'return new Response("{text}");') + padding
    with served.connect() as connection:
        path.write_text(content)
        saved = time.monotonic()
        while True:
            answer = connection.request("GET", f"localhost:{served.port}", "/")
            if answer.text == text:
                return (time.monotonic() - saved) * 1000
            if time.monotonic() - saved > 10:
                raise SystemExit(f"{text} was not served within 10 s\n{served.output()}")
            time.sleep(0.001)


def measure(what, saves, padding, pause_s):
    with tempfile.TemporaryDirectory(prefix="skep-") as folder:
        path = pathlib.Path(folder) / "worker.js"
        path.write_text(script('return new Response("first");') + padding)
        served = Dev(pathlib.Path(folder), path)
        took = []
        for n in range(saves):
            time.sleep(pause_s)
            took.append(one_save(served, path, f"version {n}", padding))
        served.process.terminate()
        served.process.wait()
    took.sort()
    print(
        f"{what:34} median {statistics.median(took):6.1f} ms   least {took[0]:6.1f}"
        f"   most {took[-1]:6.1f}   over {GOAL_MS} ms: {sum(t > GOAL_MS for t in took)} of {saves}"
    )


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench dev", description=__doc__)
    parser.add_argument("--saves", type=int, default=20, metavar="N", help="of each kind (20)")
    arguments = parser.parse_args()
    filler = "function f%d(a) { return [a, %d].map((x) => x + 1); }\n"
    large = "".join(filler % (n, n) for n in range(20000))
    measure("a small script", arguments.saves, "", 0.3)
    measure(f"with {len(large) >> 10} KiB more of code", arguments.saves, large, 0.3)
    measure("a small script, saved in a row", arguments.saves, "", 0)


if __name__ == "__main__":
    main()
