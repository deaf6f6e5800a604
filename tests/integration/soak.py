#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Constant load on hello and router while every hog of examples/ is asked once a second, all in
one worker. test_examples.py runs it for 10 s; by hand, for as long as you like:

    tests/integration/soak.py --seconds 60 [--port 8080]

With --port it asks a skepd that runs already (scripts/run), and cannot look inside."""

import argparse
import pathlib
import statistics
import sys
import tempfile
import threading
import time

from harness import Loader, Skepd

HOGS = {
    "hog-cpu": "cpu_request",
    "hog-heap": "mem_isolate",
    "hog-array": "mem_isolate",
    "stuck": "cpu_request",
}


# Hogs that cost a worker each time: skep quarantines them after some strikes.
KILLERS = {"stuck"}


class Hog(threading.Thread):
    """Asks one hog once a second and keeps its answers."""

    def __init__(self, skepd, name, end):
        super().__init__()
        self.skepd, self.name_, self.end = skepd, name, end
        self.right, self.quarantined, self.wrong, self.seconds = 0, 0, [], []

    def run(self):
        while not self.end.is_set():
            begin = time.monotonic()
            try:
                answer = self.skepd.get(f"{self.name_}.localhost")
                told = (answer.status, answer.code)
            except OSError as error:
                answer, told = error, None
            self.seconds.append(time.monotonic() - begin)
            if told == (503, HOGS[self.name_]):
                self.right += 1
            elif told == (503, "quarantined") and self.name_ in KILLERS:
                self.quarantined += 1
            else:
                self.wrong.append(answer)
            self.end.wait(max(0.0, 1 - self.seconds[-1]))


def soak(skepd, seconds, answers=0):
    """Returns the loaders and the hogs, all ended: after that time, and when each hog has had so many right
    answers."""
    end = threading.Event()
    hogs = [Hog(skepd, name, end) for name in HOGS]
    loaders = [
        Loader(skepd, "hello.localhost"),
        Loader(skepd, "router.localhost", "/users/7", connections=1),
    ]
    with loaders[0], loaders[1]:
        for hog in hogs:
            hog.start()
        time.sleep(seconds)
        patience = time.monotonic() + 120
        while any(hog.right < answers for hog in hogs) and time.monotonic() < patience:
            time.sleep(0.1)
        end.set()
        for hog in hogs:
            hog.join()
    return loaders, hogs


def report(loaders, hogs):
    """Prints a table of the results. Returns whether all was right."""
    for one in loaders:
        p = statistics.quantiles(one.seconds, n=100) if len(one.seconds) > 1 else [0] * 99
        print(f"{one.tenant:18} {one.answers:6} answers, {len(one.wrong)} wrong, "
              f"p50 {p[49] * 1e3:.1f} ms, p99 {p[98] * 1e3:.1f} ms, "
              f"most {max(one.seconds) * 1e3:.0f} ms")
    for hog in hogs:
        print(f"{hog.name_:18} {hog.right:6} times {HOGS[hog.name_]}, {hog.quarantined} quarantined, "
              f"{len(hog.wrong)} wrong, "
              f"median {statistics.median(hog.seconds) * 1e3:.0f} ms, "
              f"most {max(hog.seconds) * 1e3:.0f} ms")
    for one in [*loaders, *hogs]:
        for wrong in one.wrong[:5]:
            print(f"  {getattr(one, 'tenant', None) or one.name_}: {wrong}")
    return not any(one.wrong for one in [*loaders, *hogs])


class Running:
    """A skepd that somebody else has started."""

    get, request, connect = Skepd.get, Skepd.request, Skepd.connect

    def __init__(self, port):
        self.address = ("127.0.0.1", port)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    if arguments.port:
        return 0 if report(*soak(Running(arguments.port), arguments.seconds)) else 1
    from conftest import link_examples

    with tempfile.TemporaryDirectory(prefix="skep-") as folder:
        tenants = pathlib.Path(folder) / "tenants"
        tenants.mkdir()
        link_examples(tenants)
        skepd = Skepd(folder, config={"storage": {"folder": "data"}}, tenants_folder=tenants).start()
        try:
            is_right = report(*soak(skepd, arguments.seconds))
            print(skepd.skep("stats").stdout, end="")
            print(skepd.skep("tenants").stdout, end="")
        finally:
            log = skepd.log()
            skepd.process.terminate()
            print(f"skepd's exit code: {skepd.process.wait(timeout=20)}")
            pathlib.Path("soak.log").write_text(log) if not is_right else None
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
