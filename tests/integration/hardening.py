# SPDX-License-Identifier: Apache-2.0
"""The notes of hardened.js: names that the layer looks up where a tenant may have put anything. Used by
test_hardened.py with all properties replaced at once, and by scripts/hardening with one at a time."""

import argparse
import contextlib
import io
import pathlib
import sys
import tempfile

from harness import Skepd

HERE = pathlib.Path(__file__)
SOURCE = HERE.with_name("hardened.js").read_text()
# Names that the libraries behind international hosts, streams and the console look up when they run; see worker/js/README.md.
LOOKED_UP = set(HERE.with_name("golden").joinpath("looked-up.txt").read_text().splitlines())
AT_ONCE = 64


CONFIG = {"storage": {"folder": "data"}}


def tenant(only=None):
    env = {} if only is None else {"ONLY": str(only)}
    limits = {"cpu_ms": 20000, "cpu_startup_ms": 5000, "log_kib": 1024}
    bindings = [{"name": "KV", "kv": "main"}, {"name": "DB", "sql": "main"}]
    return {"limits": limits, "env": env, "bindings": bindings, "files": {"worker.js": SOURCE}}


def run(skepd, name):
    """Returns the number of properties that can be replaced, and what is wrong."""
    answer = skepd.get(name)
    if answer.status != 200:
        return 0, [f"{answer.status} {answer.code}"]
    notes = skepd.get(name, "/notes").text.splitlines()[1:]
    return int(answer.text), [note for note in notes if note and is_wrong(note)]


def is_wrong(note):
    step, _, title = note.partition(": ")
    if step not in ("idna", "streams", "inspect"):
        return note not in LOOKED_UP
    return f"{step}: {title.partition(': ')[2]}" not in LOOKED_UP


def turn(first, last):
    """Replaces one property after the other, each in an isolate of its own. Returns whether all is well."""
    is_well, count = True, last
    while first < min(last, count):
        numbers = range(first, min(first + AT_ONCE, last, count))
        with tempfile.TemporaryDirectory(prefix="skep-") as path:
            skepd = Skepd(pathlib.Path(path), {f"n{n}": tenant(n) for n in numbers}, CONFIG).start()
            try:
                for n in numbers:
                    count, wrong = run(skepd, f"n{n}")
                    for note in wrong:
                        print(f"{n}: {note}", flush=True)
                    is_well &= not wrong
            finally:
                with contextlib.redirect_stdout(io.StringIO()):  # the log of skepd
                    skepd.stop()
        first = numbers[-1] + 1
        print(f"{first} of {count}", flush=True)
    return is_well


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=10**6)
    options = parser.parse_args()
    sys.exit(not turn(options.first, options.last))
