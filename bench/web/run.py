#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time of the Web APIs: the same handler (cases.js) in skep, `deno serve` and workerd, all up in one run, asked one after the other,
round after round. Each case does its operation N times in a request, or reads a body of 1 MiB in each of N requests; the figure is
CPU-microseconds of all processes of a server for each operation, the least of the rounds. Run by scripts/bench."""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(TOP / "bench"))

from cpu_time import cpu_seconds  # noqa: E402

BIN = pathlib.Path(os.environ.get("SKEP_BIN") or TOP / "build" / "release")
MODULES = TOP / "build" / "bench" / "web" / "node_modules"
HOST = "web.localhost"
MIB = 2**20
GOAL = 0.7

# name -> (what, times in a request); for POST, requests with a body
READS = {
    "text": ("POST of 1 MiB, text()", 20),
    "json": ("POST of 1 MiB, json()", 20),
    "arrayBuffer": ("POST of 1 MiB, arrayBuffer()", 20),
    "stream": ("POST of 1 MiB, for await of body", 20),
}
CASES = {
    "transform": ("TransformStream, 16 chunks of 64 KiB", 50),
    "sha256_1k": ("SHA-256 of 1 KiB", 2000),
    "sha256_1m": ("SHA-256 of 1 MiB", 50),
    "hmac_1k": ("HMAC of 1 KiB", 2000),
    "hmac_1m": ("HMAC of 1 MiB", 50),
    "gcm_1k": ("AES-GCM of 1 KiB", 2000),
    "gcm_1m": ("AES-GCM of 1 MiB", 200),
    "gzip": ("gzip of 1 MiB", 5),
    "gunzip": ("gunzip to 1 MiB", 20),
    "decode_ascii": ("TextDecoder, 1 MiB of ASCII", 200),
    "decode_mixed": ("TextDecoder, 0.5 MiB of other text", 200),
    "decode_1k": ("TextDecoder, 1 KiB", 20000),
    "encode_ascii": ("TextEncoder, 1 MiB of ASCII", 200),
    "encode_mixed": ("TextEncoder, 0.5 MiB of other text", 200),
    "atob": ("atob to 64 KiB", 200),
    "btoa": ("btoa of 64 KiB", 200),
    "clone_small": ("structuredClone of a record", 5000),
    "clone_1000": ("structuredClone of 1000 records", 20),
    "clone_bytes": ("structuredClone of 1 MiB of bytes", 200),
    "url": ("new URL", 10000),
    "url_search": ("new URLSearchParams", 10000),
    "url_change": ("new URL with a base, and changes", 5000),
    "url_parts": ("new URL, its parts", 10000),
    "form_text": ("URLSearchParams of a record, toString()", 10000),
    "headers": ("Headers: made, changed, read", 10000),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def skep_command(folder, port):
    tenant = folder / "tenants" / "web"
    tenant.mkdir(parents=True)
    limits = {"cpu_ms": 60000, "cpu_startup_ms": 20000, "wall_ms": 120000}
    (tenant / "skep.yaml").write_text(json.dumps(
        {"name": "web", "main": "cases.js", "routes": [f"{HOST}/*"], "limits": limits}))  # fmt: skip
    (tenant / "cases.js").write_bytes((HERE / "cases.js").read_bytes())
    (folder / "skepd.yaml").write_text(json.dumps({
        "listen": [f"127.0.0.1:{port}"],
        "admin_socket": str(folder / "admin.sock"),
        "tenants": str(folder / "tenants"),
        "limits": {"maximum": limits},
        "cordons": [{"name": "default", "workers": 1}],
    }))  # fmt: skip
    return [BIN / "skepd", "--config", folder / "skepd.yaml"]


def deno_command(port):
    for program in sorted(MODULES.glob("@deno/linux-*-glibc/deno")):
        return [program, "serve", "--quiet", "--host", "127.0.0.1", "--port", str(port), HERE / "cases.js"]
    sys.exit("error: no deno below build/bench; run scripts/bench web")


def workerd_command(folder, port):
    folder.mkdir()
    (folder / "cases.js").write_bytes((HERE / "cases.js").read_bytes())
    (folder / "config.capnp").write_text(f"""using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "cases.js", esModule = embed "cases.js")], compatibilityDate = "2026-11-01"))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "main")]);
""")
    for program in sorted(MODULES.glob("@cloudflare/workerd-linux-*/bin/workerd")):
        return [program, "serve", folder / "config.capnp"]
    sys.exit("error: no workerd below build/bench; run scripts/bench web")


class Server:
    def __init__(self, name, port, command, log, environment):
        self.port = port
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)  # fmt: skip
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                if self.ask("GET", "/") == "ready":
                    return
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"error: {name} does not answer: see build/bench/web/servers.log")
            time.sleep(0.05)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body, {"Host": HOST})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        return text if answer.status == 200 else f"{answer.status} {text[:200]}"

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


BODY = json.dumps([{"id": i, "name": f"record {i}"} for i in range(MIB // 44)]).encode().ljust(MIB)
assert len(BODY) == MIB


def measure(server, case):
    """CPU-microseconds of one operation; None if the server cannot do it."""
    is_read = case in READS
    times = (READS if is_read else CASES)[case][1]
    before = cpu_seconds(server.process.pid)
    if is_read:
        answers = {server.ask("POST", f"/{case}", BODY) for _ in range(times)}
    else:
        answers = {server.ask("GET", f"/{case}?n={times}")}
    cpu = cpu_seconds(server.process.pid) - before
    if answers != {"ok"}:
        print(f"{case}: {answers}", file=sys.stderr)
        return None
    return 1e6 * cpu / times


def print_gzip(servers, paths):
    """Prints the size of files in gzip, and CPU time for each MiB, the least of three rounds."""
    print(f"{'gzip':24}{'bytes':>10}" + "".join(f"{name:>24}" for name in servers))
    for path in paths:
        data = path.read_bytes()
        cells = []
        for server in servers.values():
            cpu = []
            for _ in range(3):
                before = cpu_seconds(server.process.pid)
                size = int(server.ask("POST", "/packed", data))
                cpu.append(1e6 * (cpu_seconds(server.process.pid) - before) / 10 * MIB / len(data))
            cells.append(f"{size:>9} {100 * size / len(data):5.1f}% {min(cpu):5.0f} us")
        print(f"{path.name:24}{len(data):>10}" + "".join(f"{cell:>24}" for cell in cells))


def print_table(names, rows):
    print(f"\n{'CPU us for each operation':40}" + "".join(f"{name:>12}" for name in names)
          + f"{'best / skep':>14}")  # fmt: skip
    for case, figures in rows.items():
        title = (READS | CASES)[case][0]
        cells = "".join(f"{'-' if f is None else format(f, '.1f'):>12}" for f in figures)
        peers = [figure for figure in figures[1:] if figure is not None]
        ratio = f"{min(peers) / figures[0]:13.2f}x" if peers and figures[0] else f"{'-':>14}"
        low = peers and figures[0] and min(peers) / figures[0] < GOAL
        print(f"{title:40}{cells}{ratio}{'  below the goal' if low else ''}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench web", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5), the first of which warms up")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    parser.add_argument("--gzip", metavar="FILE", nargs="+", type=pathlib.Path,
                        help="only this: size and CPU time of these files in gzip")  # fmt: skip
    parser.add_argument("cases", nargs="*", help="only these; " + " ".join([*READS, *CASES]))
    arguments = parser.parse_args()
    cases = arguments.cases or [*READS, *CASES]
    for case in cases:
        if case not in READS | CASES:
            parser.error(f"no case is called {case}")
    log_path = TOP / "build" / "bench" / "web" / "servers.log"
    with log_path.open("wb") as log, tempfile.TemporaryDirectory(prefix="skep-bench-") as name:
        folder = pathlib.Path(name)
        environment = {**os.environ, "DENO_NO_UPDATE_CHECK": "1", "DENO_DIR": name}
        with contextlib.ExitStack() as stack:
            servers = {}
            for which, make in (
                ("skep", lambda port: skep_command(folder / "skep", port)),
                ("deno", deno_command),
                ("workerd", lambda port: workerd_command(folder / "workerd", port)),
            ):
                port = free_port()
                servers[which] = Server(which, port, make(port), log, environment)
                stack.callback(servers[which].end)
            if arguments.gzip:
                print_gzip(servers, arguments.gzip)
                return
            rows = {}
            for case in cases:
                best = [None] * len(servers)
                for number in range(arguments.rounds):
                    for i, server in enumerate(servers.values()):
                        figure = measure(server, case)
                        if figure is not None and number > 0:
                            best[i] = figure if best[i] is None else min(best[i], figure)
                rows[case] = best
                print(case, best, file=sys.stderr)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {arguments.rounds} rounds")
    print_table(list(servers), rows)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
