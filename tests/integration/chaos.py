#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All hostile tenants at once, workers that are killed, stopped and broken from outside, and five
honest tenants under load that compare every byte. Run by scripts/chaos, and for 20 s by
test_chaos.py:

    tests/integration/chaos.py --seconds 300 [--seed 7] [--json FILE]

An honest request may fail in one way only: it was in JavaScript when its worker died, and must not be
sent again. Each failure is looked up among the deaths in the log."""

import argparse
import http.client
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

import faults
from chaos_verdict import HONEST_TENANTS, PATIENCE_S, deaths_in, judge, leaks, report
from harness import Skepd, cordon, descendants, remains, wait_for

HONEST = """
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
// The same bytes as in chaos.py: state = state * 1103515245 + 12345 mod 2 ** 31, its third byte.
const made = (seed, size) => {
    const part = new Uint8Array(size);
    for (let i = 0; i < size; i++) {
        seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
        part[i] = seed >> 16;
    }
    return [part, seed];
};
const get = (request, url, env) => new Response(`${env.NAME} ${url.search}`);
const all = {
    get,
    timer: async (...all) => { await sleep(10); return get(...all); },
    later: (request, url, env, ctx) => {
        ctx.waitUntil(sleep(20).then(() => console.log(`later ${url.search} done`)));
        return get(request, url, env);
    },
    post: async (request) => new Response(await request.arrayBuffer()),
    up: (request) => new Response(request.body),
    down: (request, url) => {
        let seed = Number(url.search.slice(1)), left = 16;
        return new Response(new ReadableStream({ async pull(c) {
            const [part, next] = made(seed, 16384);
            seed = next;
            c.enqueue(part);
            if (--left === 0) c.close();
            else await sleep(0);
        } }));
    },
};
export default { async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const response = await all[url.pathname.slice(1)](request, url, env, ctx);
    response.headers.set("X-Tenant", env.NAME);
    return response;
} };
"""

# Hostile tenants are half in a cordon that soon keeps them apart, and half in one that lets them go on.
# In the third there are only honest tenants, and signals.
CORDONS = [{"name": "default", "workers": 2}, cordon("rough"), {"name": "other", "workers": 1}]

# signal, weight, whether SIGCONT follows
SIGNALS = [
    (signal.SIGKILL, 4, False),
    (signal.SIGSEGV, 2, False),
    (signal.SIGSTOP, 2, True),
    (signal.SIGSTOP, 1, False),
]
CODES = {None, "boot_failed", "cpu_startup", "cpu_request", "wall_request", "mem_isolate",
         "exception", "bad_response", "worker_crashed", "tenant_busy", "overloaded", "quarantined",
         "mem_process"}  # fmt: skip
NO_CODE = {"wasm-big"}


def made(seed, size):
    out = bytearray(size)
    for i in range(size):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = seed >> 16 & 255
    return bytes(out)


def tenants():
    result = {
        name: {**tenant, "limits": {**tenant.get("limits", {})}}
        for name, tenant in faults.all_rows().items()
        if name not in NO_CODE
    }
    for number, (name, tenant) in enumerate(result.items()):
        tenant["cordon"] = ("default", "rough")[number % 2]
        # Short limits, so that many of them have their turn in the time.
        limits = tenant["limits"]
        most_ms = 2000 if name.startswith("jumps") else 300
        limits["cpu_ms"] = min(limits.get("cpu_ms", 50), most_ms)
        limits["grace_ms"] = 100
    for name, where in HONEST_TENANTS.items():
        # Long limits: stopped workers and stuck neighbours cost time, which must not count against honest
        # tenants.
        limits = {"cpu_ms": 300, "wall_ms": PATIENCE_S * 1000, "idle_ms": PATIENCE_S * 1000}
        result[name] = {
            "cordon": where,
            "env": {"NAME": name},
            "limits": limits,
            "files": {"worker.js": HONEST},
        }
    return result


class Stage:
    """The state that all actors share: the skepd, the end, and the workers that may be hit."""

    def __init__(self, skepd, seed):
        self.skepd, self.seed = skepd, seed
        self.end = threading.Event()
        self.cordon_of = {}  # pid of a worker -> its cordon

    def note_workers(self):
        workers = self.skepd.workers()
        self.cordon_of |= {worker["pid"]: worker["cordon"] for worker in workers if worker["pid"]}
        return [worker["pid"] for worker in workers if worker["pid"]]


class Actor(threading.Thread):
    def __init__(self, stage, name):
        super().__init__(name=name)
        self.stage, self.random = stage, random.Random(f"{stage.seed} {name}")
        self.broken = None

    def run(self):
        try:
            while not self.stage.end.is_set():
                self.act()
        except Exception as error:  # reported as a failure of the run
            self.broken = repr(error)


class Honest(Actor):
    """One client of one honest tenant, on one connection for as long as it stays open."""

    def __init__(self, stage, tenant, number):
        super().__init__(stage, f"{tenant}{number}")
        self.tenant = tenant
        self.answers, self.failed, self.wrong, self.seconds = 0, [], [], []
        self.laters = []  # (question, when)
        self.connection = None

    def act(self):
        kind = self.random.choice(["get", "get", "timer", "later", "post", "up", "down"])
        question = str(self.random.randrange(2**31))
        begin = time.time()
        try:
            if not self.connection:
                self.connection = self.stage.skepd.connect(timeout=2 * PATIENCE_S)
            problem, code = getattr(self, f"ask_{kind}")(question)
        except (http.client.HTTPException, OSError) as error:
            problem, code = f"cut off: {error!r}", "cut off"
        end = time.time()
        self.seconds.append(end - begin)
        self.answers += 1
        if code == "cut off" and self.connection:
            self.leave()
        if code in ("cut off", "worker_crashed"):
            self.failed.append({"kind": kind, "code": code, "begin": begin, "end": end,
                                "what": str(problem)})  # fmt: skip
        elif problem:
            self.wrong.append(f"{self.name} {kind} ?{question}: {problem}")
        elif kind == "later":
            self.laters.append((question, begin))

    def ask(self, method, kind, question, body=None):
        path = f"/{kind}?{question}"
        return self.connection.request(method, f"{self.tenant}.test", path, body=body)

    def leave(self):
        self.connection.close()
        self.connection = None

    def judge(self, answer, expected):
        if answer.header("Connection") == "close":
            self.leave()
        if answer.code:
            return answer, answer.code
        if answer.status != 200 or answer.header("X-Tenant") != self.tenant:
            return answer, None
        if answer.body != expected:
            return f"{len(answer.body)} bytes that differ from the {len(expected)} expected", None
        return None, None

    def ask_get(self, question, kind="get"):
        return self.judge(self.ask("GET", kind, question), f"{self.tenant} ?{question}".encode())

    def ask_timer(self, question):
        return self.ask_get(question, "timer")

    def ask_later(self, question):
        return self.ask_get(question, "later")

    def ask_post(self, question):
        body = self.random.randbytes(self.random.randrange(200000))
        return self.judge(self.ask("POST", "post", question, body), body)

    def ask_up(self, question):
        """Sends chunks, each when the one before it has come back."""
        self.connection.send_head(
            "POST", f"{self.tenant}.test", f"/up?{question}", [("Transfer-Encoding", "chunked")]
        )
        sent = received = b""
        response = None
        for _ in range(self.random.randrange(1, 6)):
            part = self.random.randbytes(self.random.randrange(1, 40000))
            self.connection.send_chunk(part)
            sent += part
            response = response or self.connection.start_response("POST")
            if response.status != 200:
                break
            while len(received) < len(sent):
                some = response.read1(65536)
                if not some:
                    return "the body ends early", "cut off"
                received += some
        self.connection.send(b"0\r\n\r\n")
        received += response.read()
        answer = type("", (), {"status": response.status, "body": received,
                               "code": response.headers.get("Skep-Error"),
                               "header": lambda _, name: response.headers.get(name)})()  # fmt: skip
        problem, code = self.judge(answer, sent)
        return (problem and f"{response.status} {code}"), code

    def ask_down(self, question):
        return self.judge(self.ask("GET", "down", question), made(int(question), 16 * 16384))


class Culprit(Actor):
    """Asks one hostile tenant after the other."""

    def __init__(self, stage, number, names):
        super().__init__(stage, f"culprit {number}")
        self.names, self.codes, self.wrong = names, {}, []

    def act(self):
        name = self.random.choice(self.names)
        path = "/n" if self.random.random() < 0.2 else "/"
        try:
            with self.stage.skepd.connect(timeout=2 * PATIENCE_S) as connection:
                connection.send_head("GET", f"{name}.test", path)
                if self.random.random() < 0.1:
                    connection.reset()
                    code = "left"
                else:
                    code = connection.read_response().code
                    if code not in CODES:
                        self.wrong.append(f"{name}: {code}")
        except (http.client.HTTPException, OSError):
            code = "cut off"
        self.codes[str(code or "ok")] = self.codes.get(str(code or "ok"), 0) + 1


class Reaper(Actor):
    """Sends signals to workers of that skepd, and to no other process."""

    def __init__(self, stage):
        super().__init__(stage, "reaper")
        self.counts = {}

    def act(self):
        if self.stage.end.wait(self.random.uniform(0.1, 1.2)):
            return
        pids = sorted(self.stage.note_workers())
        if not pids:
            return
        number, _, continues = self.random.choices(SIGNALS, [weight for _, weight, _ in SIGNALS])[0]
        if not self.hit(self.random.choice(pids), number, continues):
            return
        name = number.name + (" and SIGCONT" if continues else "")
        self.counts[name] = self.counts.get(name, 0) + 1

    def hit(self, pid, number, continues):
        """Sends a signal by pidfd, so that it hits the process that was checked."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if pid not in descendants(self.stage.skepd.pid):
                return False
            signal.pidfd_send_signal(pidfd, number)
            if continues:
                self.stage.end.wait(self.random.uniform(0.02, 1.0))
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True


# ---- leaks, and the log


# ---- the run


def chaos(skepd, seconds, seed, culprits=3):
    """Runs all actors on a skepd that is up. Returns a dict with all figures and "problems"."""
    stage = Stage(skepd, seed)
    hostile = [name for name in tenants() if name not in HONEST_TENANTS]
    honest = [Honest(stage, name, n) for name in HONEST_TENANTS for n in range(2)]
    reaper = Reaper(stage)
    wicked = [Culprit(stage, n, hostile) for n in range(culprits)]
    actors = [*honest, *wicked, reaper]
    pid = skepd.pid
    before = remains(skepd)
    for actor in actors:
        actor.start()
    try:
        stage.end.wait(seconds / 4)
        early = remains(skepd)
        stage.end.wait(seconds - seconds / 4)
    finally:  # actors that go on would slow down each test that follows
        stage.end.set()
        for actor in actors:
            actor.join()
    stage.note_workers()
    problems = [f"{actor.name}: {actor.broken}" for actor in actors if actor.broken]
    if skepd.process.poll() is not None or skepd.pid != pid:
        return {"problems": [*problems, "skepd has ended"]}
    for one in honest:
        if one.connection:
            one.connection.close()
    settle(skepd)
    after = remains(skepd)
    # Resident memory grows with the first load, descriptors do not.
    early["fds"], early["workers"] = before["fds"], before["workers"]
    early["cgroups"] = before["cgroups"]
    problems += leaks(early, after)
    deaths = deaths_in(skepd.log(), stage.cordon_of)
    result = judge(skepd, honest, wicked, deaths, problems)
    return {"seed": seed, "seconds": seconds, **result, "signals": reaper.counts,
            "before": before, "after": after}  # fmt: skip


def settle(skepd):
    """Waits until all is quiet again: stopped workers are killed, spares are back, clients have gone."""
    wait_for(
        lambda: all(w["state"] in ("ready", "spare") for w in skepd.workers()),
        "workers to be ready", timeout=60,
    )  # fmt: skip
    for name in HONEST_TENANTS:
        wait_for(lambda: skepd.get(name, "/get?0").status == 200, f"{name} to be served", timeout=60)
    wait_for(lambda: skepd.stats()["in_flight"] == 0, "requests to end", timeout=60)
    wait_for(lambda: skepd.stats()["connections"] == 0, "connections to end", timeout=60)


def run(folder, seconds, seed, keep_log=None):
    print(f"seed {seed}", flush=True)
    skepd = Skepd(folder, tenants(), {"cordons": CORDONS}).start()
    result = {"seed": seed, "problems": []}
    try:
        result = chaos(skepd, seconds, seed)
    except (AssertionError, OSError) as problem:  # OSError: skepd cannot be asked any more
        result["problems"].append(str(problem))
    finally:
        try:
            with open(os.devnull, "w") as nothing:
                stdout, sys.stdout = sys.stdout, nothing
                try:
                    skepd.stop()
                finally:
                    sys.stdout = stdout
        except AssertionError as problem:
            result["problems"].append(str(problem))
        if keep_log:
            pathlib.Path(keep_log).write_text(skepd.log())
    return result


def main():
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long (300)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - is stdout")
    parser.add_argument("--log", metavar="FILE", help="keep skepd's log there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skep-") as folder:
        result = run(folder, arguments.seconds, arguments.seed, arguments.log)
    is_right = report(result)
    if arguments.json == "-":
        print(json.dumps(result, indent=1))
    elif arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
