#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests per second, latency and CPU time of "hello, world" (or of 1 MiB down or up): skep, node:http
and `deno serve`, on the same machine in the same run. All servers are up all the time; wrk asks one
after the other, round after round, so that all of them meet the same other load of the machine. CPU
time is that of all processes of a server, divided by its requests: a busy machine hardly changes it.
Run by scripts/bench."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(TOP / "bench"))

from cpu_time import cpu_seconds  # noqa: E402

BIN = pathlib.Path(os.environ.get("SKEP_BIN") or TOP / "build" / "release")
MODULES = TOP / "build" / "bench" / "hello" / "node_modules"
HOST = "hello.localhost"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def skep_command(folder, port, workers, script, tenants=1):
    """Tenants: hello, hello1, hello2 and so on, each with a host of its own."""
    for number in range(tenants):
        name = f"hello{number or ''}"
        tenant = folder / "tenants" / name
        tenant.mkdir(parents=True)
        (tenant / "skep.yaml").write_text(f'name: {name}\nmain: worker.js\nroutes: ["{name}.localhost/*"]\n')
        (tenant / "worker.js").write_bytes((HERE / script).read_bytes())
    config = {
        "listen": [f"127.0.0.1:{port}"],
        "admin_socket": str(folder / "admin.sock"),
        "tenants": str(folder / "tenants"),
        "cordons": [{"name": "default", **({"workers": workers} if workers else {})}],
    }
    (folder / "skepd.yaml").write_text(json.dumps(config))
    return [BIN / "skepd", "--config", folder / "skepd.yaml"]


def deno_program():
    for path in sorted(MODULES.glob("@deno/linux-*-glibc/deno")):
        return path
    sys.exit("error: no deno below build/bench; run scripts/bench hello")


def commands(folder, what, tenants):
    """name -> (port, command)"""
    script = "worker.js" if what == "hello" else "mib.js"
    result = {}
    for name, workers in (("skep, workers: 1", 1), ("skep, default", None)):
        port = free_port()
        result[name] = (port, skep_command(folder / f"skep-{workers}", port, workers, script))
    if tenants > 1:
        port = free_port()
        result[many(tenants)] = (port, skep_command(folder / "skep-many", port, 1, script, tenants))
    if what == "hello":
        port = free_port()
        result["node:http"] = (port, ["node", HERE / "node.mjs", str(port)])
    port = free_port()
    deno = [deno_program(), "serve", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
    result["deno serve"] = (port, [*deno, HERE / script])
    return result


def many(tenants):
    return f"skep, {tenants} tenants"


@contextlib.contextmanager
def servers(log, what, tenants):
    """All servers, up and answering: name -> (port, pid)."""
    running = []
    with tempfile.TemporaryDirectory(prefix="skep-bench-") as folder:
        try:
            ports = {}
            for name, (port, command) in commands(pathlib.Path(folder), what, tenants).items():
                environment = {**os.environ, "DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": folder}
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
                )
                running.append((name, process))
                wait_answer(name, process, port)
                ports[name] = (port, process.pid)
            yield ports
        finally:
            for _, process in running:
                process.terminate()
            for name, process in running:
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    print(f"{name} does not end: killed", file=sys.stderr)
                    process.kill()
                    process.wait()


def wait_answer(name, process, port):
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"error: {name} has ended with {process.returncode}")
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(request)
                if connection.makefile("rb").read().startswith(b"HTTP/1.1 200 "):
                    return
        time.sleep(0.05)
    sys.exit(f"error: {name} does not answer")


UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def ask(server, seconds, connections, what, tenants=1):
    """One run of wrk: requests/s, p50 and p99 in ms, microseconds of CPU time for each request."""
    port, pid = server
    url = f"http://127.0.0.1:{port}/"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if what == "up":
        command += ["-s", HERE / "up.lua"]
    elif tenants > 1:
        command += ["-s", HERE / "hosts.lua"]
    before = cpu_seconds(pid)
    run = subprocess.run(
        [*command, "-H", f"Host: {HOST}", url, "--", str(tenants)], capture_output=True, text=True, check=True
    )
    cpu = cpu_seconds(pid) - before
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", run.stdout)
    if bad:
        sys.exit(f"error: not every request was answered: {bad[0]}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)[1])
    latency = {
        percent: float(value) * UNITS[unit]
        for percent, value, unit in re.findall(r"\s(\d\d)%\s+([\d.]+)(us|ms|s)\b", run.stdout)
    }
    requests = int(re.search(r"(\d+) requests in", run.stdout)[1])
    return rate, latency["50"], latency["99"], 1e6 * cpu / requests


def first_line(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True)
        return (run.stdout or run.stderr).splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def print_facts(arguments):
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    print(f"machine   {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} CPUs, "
          f"{memory:.0f} GiB, Linux {platform.release()}, load {os.getloadavg()[0]:.2f}")
    print(f"versions  {first_line(BIN / 'skepd', '--version')}, "
          f"node {first_line('node', '--version')}, {first_line(deno_program(), '--version')}, "
          f"{first_line('wrk', '--version').split('Copyright')[0].strip()}")
    print(f"run       {arguments.rounds} rounds of {arguments.seconds} s each, "
          f"{arguments.connections} connections, wrk with 1 thread, nothing pinned")
    print("          skep is two processes and a worker's JavaScript runs on 1 thread; the others "
          "are 1 process")  # fmt: skip


def print_table(results, reference):
    rows = {
        name: [statistics.median(values) for values in zip(*rounds)]
        for name, rounds in results.items()
    }
    base, _, _, base_cpu = rows[reference]
    print(f"\n{'':18}{'requests/s':>12}{'least':>10}{'most':>10}{'p50 ms':>9}{'p99 ms':>9}"
          f"{'to ' + reference:>15}{'CPU us':>9}{'to it':>8}")
    for name, (rate, p50, p99, cpu) in rows.items():
        rates = [one[0] for one in results[name]]
        print(f"{name:18}{rate:12.0f}{min(rates):10.0f}{max(rates):10.0f}{p50:9.2f}{p99:9.2f}"
              f"{rate / base:14.2f}x{cpu:9.1f}{cpu / base_cpu:7.2f}x")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench hello", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=int, default=3, help="of each server and round (3)")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive connections (64)")
    parser.add_argument(
        "--what", choices=("hello", "down", "up"), default="hello",
        help="hello, world; or a response of 1 MiB (down) or a request of 1 MiB (up)",
    )  # fmt: skip
    parser.add_argument(
        "--tenants", type=int, default=1,
        help="also that many tenants in one worker of skep, asked in turn (1: no such row)",
    )  # fmt: skip
    arguments = parser.parse_args()
    what = arguments.what
    if what == "up" and arguments.tenants > 1:
        parser.error("--tenants is for hello and down")
    # The number of tenants that a server is asked for.
    tenants_of = {many(arguments.tenants): arguments.tenants}
    log_path = TOP / "build" / "bench" / "hello" / "servers.log"
    with log_path.open("wb") as log, servers(log, what, arguments.tenants) as ports:
        print_facts(arguments)
        for name, port in ports.items():  # warm up
            ask(port, 1, arguments.connections, what, tenants_of.get(name, 1))
        results = {name: [] for name in ports}
        for number in range(arguments.rounds):
            names = list(ports) if number % 2 == 0 else list(reversed(ports))
            for name in names:
                one = ask(ports[name], arguments.seconds, arguments.connections, what, tenants_of.get(name, 1))
                results[name].append(one)
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
        print_table(results, "deno serve")


if __name__ == "__main__":
    main()
