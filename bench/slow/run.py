#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures honest clients' latency beside slow ones, and what skepd and the kernel keep meanwhile: slowhttptest's
four modes with 2,000 connections from one address; the same from 200 addresses of 127.0.0.0/8 by a client of
our own, since slowhttptest binds to none; then slow readers of large answers, and clients that vanish. The
reference is the latency without an attack in the same run. Run by scripts/bench."""

import argparse
import contextlib
import json
import multiprocessing
import pathlib
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "integration"))

from harness import Skepd, cordon, free_port, rss_kib, script, wait_for  # noqa: E402
from scrape import scrape  # noqa: E402

HONEST_ADDRESS = "127.9.9.9"
FILES = 16384
WORKER = script(
    """
    const path = new URL(request.url).pathname;
    if (path === "/big") return new Response(new ReadableStream({
        pull(c) { ctx.left = (ctx.left ?? 160) - 1; c.enqueue(new Uint8Array(65536));
                  if (ctx.left === 0) c.close(); },
    }));
    if (path === "/wait") await new Promise(() => {});
    if (request.method === "POST") return new Response(String((await request.text()).length));
    return new Response("hello");
    """
)
MODES = {
    "headers": ("-H", "slow headers"),
    "body": ("-B", "slow bodies"),
    "range": ("-R", "ranges"),
    "read": ("-X", "slow reads"),
}
READING = ("read", "readers")


# ---- the attackers


class Attacker(socket.socket):
    number = 0
    is_open = False


def opening(mode):
    head = b"HTTP/1.1\r\nHost: attacked.test\r\n"
    return {
        "headers": b"GET / " + head,
        "body": b"POST / " + head + b"Content-Length: 8192\r\n\r\n",
        "range": b"GET / " + head + b"Range: bytes=0-" + b",".join(
            b"5-%d" % i for i in range(1500)
        ) + b"\r\n\r\n",
        "read": b"GET /big " + head + b"\r\n",
        "readers": b"GET /big " + head.replace(b"attacked", b"many") + b"\r\n",
        "vanish": b"GET /wait " + head.replace(b"attacked", b"many") + b"\r\n",
    }[mode]


def attack(address, mode, count, addresses, started, stop, interval=1.0):
    """Keeps count connections open, opens those again that are closed, and moves a few bytes on each in
    every interval."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    selector = selectors.DefaultSelector()
    said = opening(mode)
    open_ones = set()

    def connect(number):
        one = Attacker()
        if mode in READING:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        one.bind((f"127.0.{1 + number % addresses // 200}.{1 + number % addresses % 200}", 0))
        with contextlib.suppress(BlockingIOError):
            one.connect(address)
        one.number = number
        selector.register(one, selectors.EVENT_WRITE)
        open_ones.add(one)

    for number in range(count):
        connect(number)
    due = time.monotonic() + interval
    while not stop.is_set():
        for key, _ in selector.select(0.05):
            one = key.fileobj
            try:
                if not one.is_open:
                    one.send(said)
                    one.is_open = True
                    events = selectors.EVENT_READ
                    if mode in READING:
                        selector.unregister(one)
                    else:
                        selector.modify(one, events)
                elif not one.recv(65536):
                    raise ConnectionError
            except BlockingIOError:
                pass
            except OSError:
                with contextlib.suppress(KeyError):
                    selector.unregister(one)
                open_ones.discard(one)
                one.close()
        started.set()
        if time.monotonic() < due:
            continue
        due = time.monotonic() + interval
        for one in list(open_ones):
            if not one.is_open:
                continue
            try:
                if mode == "headers":
                    one.send(b"X-a: b\r\n")
                elif mode == "body":
                    one.send(b"x")
                elif mode in READING:
                    one.recv(5)
            except BlockingIOError:
                pass
            except OSError:
                with contextlib.suppress(KeyError):
                    selector.unregister(one)
                open_ones.discard(one)
                one.close()
        missing = set(range(count)) - {one.number for one in open_ones}
        for number in list(missing)[:500]:
            connect(number)


@contextlib.contextmanager
def by_own_client(address, mode, count, addresses):
    context = multiprocessing.get_context("fork")
    started, stop = context.Event(), context.Event()
    process = context.Process(
        target=attack, args=(address, mode, count, addresses, started, stop), daemon=True
    )
    process.start()
    started.wait(60)
    try:
        yield
    finally:
        stop.set()
        process.join(20)
        process.kill()


@contextlib.contextmanager
def by_slowhttptest(address, mode, count, seconds):
    path = "/big" if mode == "read" else "/"
    process = subprocess.Popen(
        ["slowhttptest", MODES[mode][0], "-c", str(count), "-r", "1000", "-i", "1"]
        + ["-l", str(seconds), "-u", f"http://localhost:{address[1]}{path}", "-p", "3"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


# ---- the honest ones


def ask_for(address, seconds, results):
    times, failed = [], 0
    end = time.monotonic() + seconds
    connection = None
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            if connection is None:
                connection = socket.create_connection(address, 10, (HONEST_ADDRESS, 0))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: attacked.test\r\n\r\n")
            answer = connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                failed += 1
            if not answer or b"connection: close" in answer.lower():
                connection = None
        except OSError:
            failed += 1
            connection = None
        times.append(time.monotonic() - start)
        time.sleep(0.002)
    results.put((times, failed))


def ask(address, seconds, clients):
    """Latencies in ms, and how many requests failed."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=ask_for, args=(address, seconds, results)) for _ in range(clients)
    ]
    for process in processes:
        process.start()
    parts = [results.get() for _ in processes]
    for process in processes:
        process.join()
    times = sorted(time * 1000 for part, _ in parts for time in part)
    return {
        "requests": len(times),
        "failed": sum(failed for _, failed in parts),
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "max": times[-1],
    }


# ---- memory


def kernel_kib():
    """Memory of all TCP sockets of this machine, ends of clients too."""
    for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * resource.getpagesize() // 1024
    return 0


def look(skepd):
    metrics = scrape(skepd.metrics_port)
    return {
        "connections": int(metrics.get("skep_connections")),
        "buffered_kib": int(metrics.get("skep_bound_used", what="buffers")) // 1024,
        "rss_mib": rss_kib(skepd.pid) // 1024,
        "kernel_mib": kernel_kib() // 1024,
    }


def row(name, figures, kept, undisturbed):
    ratio = figures["p99"] / undisturbed["p99"]
    print(
        f"{name:34} {figures['requests']:6} {figures['failed']:4} {figures['p50']:7.2f} "
        f"{figures['p99']:7.2f} {ratio:5.2f} {figures['max']:8.1f}  {kept['connections']:5} "
        f"{kept['buffered_kib']:8} {kept['rss_mib']:5} {kept['kernel_mib']:5}",
        flush=True,
    )
    return ratio


# ---- the benchmark


def measure(skepd, options):
    header = f"{'':34} {'asked':>6} {'bad':>4} {'p50 ms':>7} {'p99 ms':>7} {'x':>5} {'max ms':>8}"
    print(f"{header}  {'conns':>5} {'kept KiB':>8} {'rss':>5} {'tcp':>5}")
    alone = [ask(skepd.address, options.seconds, options.clients) for _ in range(2)]
    undisturbed = max(alone, key=lambda figures: figures["p99"])
    row("nobody else", undisturbed, look(skepd), undisturbed)
    ratios = {}
    for mode, (_, name) in MODES.items():
        ways = {
            f"{name}, 1 address": by_own_client(skepd.address, mode, options.connections, 1),
            f"{name}, 200 addresses": by_own_client(skepd.address, mode, options.connections, 200),
        }
        if shutil.which("slowhttptest"):
            ways[f"{name}, slowhttptest"] = by_slowhttptest(
                skepd.address, mode, options.connections, int(options.seconds) + 10
            )
        for label, way in ways.items():
            with way:
                time.sleep(options.settle)
                figures = ask(skepd.address, options.seconds, options.clients)
                ratios[label] = row(label, figures, look(skepd), undisturbed)
            wait_for(lambda: look(skepd)["connections"] < 50, "the attackers to be gone", 60)
    return ratios


def measure_readers(skepd, options):
    """Large answers to clients that hardly read."""
    before = look(skepd)
    with by_own_client(skepd.address, "readers", options.readers, 200):
        time.sleep(options.settle)
        figures = ask(skepd.address, options.seconds, options.clients)
        kept = look(skepd)
    count = max(1, kept["connections"] - options.clients)
    print(
        f"{count} slow readers of 10 MiB: {kept['buffered_kib'] // count} KiB each in skepd, "
        f"{(kept['kernel_mib'] - before['kernel_mib']) * 1024 // count} KiB each in the kernel, "
        f"both ends; honest p50 {figures['p50']:.2f} ms, p99 {figures['p99']:.2f} ms"
    )


def measure_vanishing(skepd, options):
    context = multiprocessing.get_context("fork")
    started, stop = context.Event(), context.Event()
    process = context.Process(
        target=attack, args=(skepd.address, "vanish", options.vanish, 200, started, stop)
    )
    process.start()
    wait_for(lambda: skepd.tenant("many")["in_flight"] >= options.vanish, "all to wait", 60)
    process.kill()
    process.join()
    start = time.monotonic()
    wait_for(lambda: skepd.tenant("many")["in_flight"] == 0, "the places to be free", 60)
    print(f"{options.vanish} clients that vanish: places free after {time.monotonic() - start:.2f} s")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench slow", description=__doc__)
    parser.add_argument("--connections", type=int, default=2000, help="of the attackers")
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--vanish", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4, help="honest ones")
    parser.add_argument("--seconds", type=float, default=10, help="for each measurement")
    parser.add_argument("--settle", type=float, default=3, help="before it, under attack")
    parser.add_argument("--only", choices=["attacks", "readers", "vanish"])
    parser.add_argument("--limit", type=float, help="fail if a p99 is over so many times the first")
    options = parser.parse_args()
    port = free_port()
    files = {"worker.js": WORKER}
    limits = {"cpu_ms": 5000, "wall_ms": 600000}
    many = {"limits": {"concurrency": 2000, "queue": 1000, **limits}, "files": files}
    tenants = {"attacked": {"limits": limits, "files": files}, "many": many}
    config = {
        "cordons": [cordon(workers=1)],
        "metrics": {"listen": f"127.0.0.1:{port}"},
        "http": {"connections": 4000},
        "log_format": "json",
    }
    ratios = {}
    with tempfile.TemporaryDirectory(prefix="skep-bench-") as folder:
        skepd = Skepd(folder, tenants, config)
        skepd.metrics_port = port
        try:
            skepd.start()
            if options.only in (None, "attacks"):
                ratios = measure(skepd, options)
            if options.only in (None, "readers"):
                measure_readers(skepd, options)
            if options.only in (None, "vanish"):
                measure_vanishing(skepd, options)
        finally:
            skepd.process.terminate()
            skepd.process.wait(30)
    worst = max(ratios.values(), default=0)
    print(json.dumps({"worst": worst}))
    if options.limit and worst > options.limit:
        sys.exit(1)


if __name__ == "__main__":
    main()
