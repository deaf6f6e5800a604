# SPDX-License-Identifier: Apache-2.0
"""The built programs, started and asked as an operator and a client would: Skepd is a running
supervisor with its own folder, ports and tenants. client.py has the HTTP side."""

import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from client import Connection

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(
    os.environ.get("SKEP_BIN") or os.environ.get("SKEP_BUILD_DIR") or TOP / "build" / "release"
)
# Another skepd (say, one with AddressSanitizer) with the worker and the CLI from BIN.
SKEPD = pathlib.Path(os.environ.get("SKEPD_BIN") or BIN / "skepd")
IS_SANITIZED = bool(os.environ.get("SKEPD_BIN"))
EXAMPLES = TOP / "examples"

BROKEN = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed")


def wait_for(condition, what, timeout=10.0):
    """Waits for a true value of condition(), and returns it."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
        time.sleep(0.005)


def free_port():
    """A port below those that the kernel gives to connections, which could take it before skepd listens."""
    while True:
        with socket.socket() as probe:
            port = random.randrange(20000, 32000)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


# For a cordon in which tests kill so often that tenants would otherwise be quarantined.
MANY_STRIKES = {"strikes": 20}


def cordon(name="default", **keys):
    """A cordon of one worker in which tenants may do much harm before they are quarantined."""
    return {"name": name, "workers": 1, **MANY_STRIKES, **keys}


def script(body):
    """A module with that as the body of its handler."""
    return f"export default {{ async fetch(request, env, ctx) {{ {body} }} }};\n"


# ---- processes


def status_of(pid):
    """Fields of /proc/PID/status, or None once it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def is_alive(pid):
    status = status_of(pid)
    return status is not None and not status["State"].startswith("Z")


def rss_kib(pid):
    return int(status_of(pid)["VmRSS"].split()[0])


def cpu_ns(pid):
    """CPU time of a process that runs, or has ended and is not reaped; 0 once it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[11]) + int(fields[12])) * 10**9 // os.sysconf("SC_CLK_TCK")


def starved_ms(*pids):
    """Seconds in which threads of these processes were ready to run and the machine gave them no processor."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):  # the thread has ended
            for task in os.listdir(f"/proc/{pid}/task"):
                text = pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text()
                total += int(text.split()[1])
    return total / 10**6


def read_by_loop(skepd):
    """Bytes that the thread of the loop has read so far, from files and sockets."""
    text = pathlib.Path(f"/proc/{skepd.pid}/task/{skepd.pid}/io").read_text()
    return int(re.search(r"^rchar: (\d+)", text, re.M)[1])


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def descendants(pid):
    """pids of all processes below pid."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (status := status_of(name)):
            parents.setdefault(int(status["PPid"]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def count_cgroups(pid):
    """The cgroups below the process's own, in cgroup v2; None if there is none."""
    own = re.search(r"^0::(.*)$", pathlib.Path(f"/proc/{pid}/cgroup").read_text(), re.M)
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if own and pathlib.Path(top, "cgroup.controllers").exists():
            return sum(1 for path in pathlib.Path(top + own[1]).rglob("*") if path.is_dir())
    return None


def remains(skepd):
    """Counts what a skepd and its spawner hold, and processes and cgroups below them, for a look before and after."""
    below = descendants(skepd.pid)
    alive = [p for p in below if is_alive(p)]
    spawners = [p for p in alive if status_of(p)["Name"].strip() == "skep-spawner"]
    return {
        "fds": fd_count(skepd.pid),
        "spawner_fds": sum(map(fd_count, spawners)),
        "skepd_kib": rss_kib(skepd.pid),
        "spawner_kib": sum(map(rss_kib, spawners)),
        "workers": sum(1 for worker in skepd.workers() if worker["pid"]),
        "processes": len(below),
        "zombies": sum(1 for pid in below if status_of(pid) and not is_alive(pid)),
        "cgroups": count_cgroups(skepd.pid),
    }


# ---- skepd


class Skepd:
    """tenants: {name: source of worker.js} or {name: {manifest keys, files: {path: content}}}.
    A tenant without routes gets NAME.test/*. config: keys of skepd.yaml, over the defaults here;
    more_listen: addresses besides the one on self.port. worker: a program in place of skep-worker;
    ready: names of the cordons whose workers are waited for (None: all); launcher: a command that
    becomes skepd."""

    patience_s = 20  # for the start and the end; more if there is much to start, as in a benchmark

    def __init__(
        self,
        folder,
        tenants=None,
        config=None,
        tenants_folder=None,
        worker=None,
        ready=None,
        launcher=(),
    ):
        self.folder = pathlib.Path(folder)
        self.program = SKEPD
        self.worker_program = worker or BIN / "skep-worker"
        self.ready_cordons = ready
        self.launcher = launcher
        self.tenants_folder = pathlib.Path(tenants_folder or self.folder / "tenants")
        self.port = free_port()
        self.admin_socket = self.folder / "admin.sock"
        self.log_path = self.folder / "log"
        self.process = None
        self.tenants_folder.mkdir(parents=True, exist_ok=True)
        for name, tenant in (tenants or {}).items():
            self.write_tenant(name, tenant)
        config = dict(config or {})
        self.config = {
            "listen": [f"127.0.0.1:{self.port}", *config.pop("more_listen", [])],
            "admin_socket": str(self.admin_socket),
            "tenants": str(self.tenants_folder),
            "drain_s": 10,
            "cordons": [{"name": "default", "workers": 1}],
            "log_format": "human",
            **config,
        }
        self.write_config()

    def write_config(self):
        # JSON is YAML. Most tests expect the first stop at cpu_ms, however much of cpu_startup_ms a load takes.
        config = dict(self.config)
        if isinstance(config.get("cordons"), list):
            config["cordons"] = [
                {"first_credit": "off", **c} if isinstance(c, dict) and "name" in c else c
                for c in config["cordons"]
            ]
        (self.folder / "skepd.yaml").write_text(json.dumps(config, indent=1) + "\n")

    def write_tenant(self, name, tenant):
        tenant = {"files": {"worker.js": tenant}} if isinstance(tenant, str) else dict(tenant)
        files = tenant.pop("files")
        manifest = {"name": name, "main": "worker.js", "routes": [f"{name}.test/*"], **tenant}
        files = {"skep.yaml": json.dumps(manifest) + "\n", **files}
        for path, content in files.items():
            file = self.tenants_folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def command(self):
        config = self.folder / "skepd.yaml"
        return [self.program, "--config", config, "--worker", self.worker_program]

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], **self._environment()},
            )
        wait_for(self._answers, "skepd to listen", timeout=self.patience_s)
        wait_for(self._has_ready_workers, "workers to be ready", timeout=self.patience_s)
        return self

    @staticmethod
    def _environment():
        names = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "SKEP_WORKER")
        return {name: os.environ[name] for name in names if name in os.environ}

    def _answers(self):
        assert self.process.poll() is None, f"skepd has ended:\n{self.log()}"
        try:
            Connection(self.address, timeout=1).close()
            return True
        except OSError:
            return False

    def _has_ready_workers(self):
        workers = self.workers()
        return (workers or self.ready_cordons == []) and all(
            worker["state"] in ("ready", "spare")
            for worker in workers
            if self.ready_cordons is None or worker["cordon"] in self.ready_cordons
        )

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def stop(self):
        """Ends skepd by SIGTERM; anything that it leaves behind is a failure."""
        if self.process is None:
            return
        process, self.process = self.process, None
        below = descendants(process.pid)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=self.patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "none: it had to be killed"
        print(f"--- log of skepd {process.pid}\n{self.log()[-20000:]}")
        wait_for(lambda: not any(map(is_alive, below)), "skepd's processes to end")
        assert code == 0, f"skepd's exit code is {code}"
        assert not BROKEN.search(self.log())
        assert not self.admin_socket.exists(), "the admin socket is left behind"

    def reload(self, tenant):
        """Has the tenant read again and loaded. Sends bytes, because no CLI verb asks for just that."""
        name = tenant.encode()
        request = b"\x0a%c%b\x10\x01" % (len(name), name)  # ReloadRequest: name, load
        command = b"\x22%c%b" % (len(request), request)  # Command: reload
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.admin_socket))
            client.sendall(struct.pack("<I", len(command)) + command)
            return client.recv(65536)

    # -- as a client

    def connect(self, **options):
        return Connection(self.address, **options)

    def request(self, method, tenant, path="/", headers=(), body=None):
        """tenant: a tenant's name, or a host."""
        host = tenant if "." in tenant else f"{tenant}.test"
        with self.connect() as connection:
            return connection.request(method, host, path, headers, body)

    def get(self, tenant, path="/", headers=()):
        return self.request("GET", tenant, path, headers)

    def post(self, tenant, body, path="/", headers=()):
        return self.request("POST", tenant, path, headers, body)

    # -- as an operator

    def skep(self, *arguments):
        return subprocess.run(
            [BIN / "skep", "--socket", self.admin_socket, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )

    def admin(self, verb):
        run = self.skep(verb, "--json")
        if run.returncode != 0:
            raise OSError(run.stderr)
        return json.loads(run.stdout)

    def workers(self):
        try:
            return self.admin("workers")["workers"]
        except OSError:
            if self.process.poll() is None:
                return []
            raise

    def worker(self, cordon="default", slot=0):
        """The worker that serves in that slot; not one that was replaced there and still ends its requests."""
        for worker in self.workers():
            if worker["kind"] == "leaving":
                continue
            if worker["cordon"] == cordon and worker["slot"] == slot:
                return worker
        raise KeyError(cordon)

    def tenant(self, name):
        return next(t for t in self.admin("tenants")["tenants"] if t["name"] == name)

    def stats(self):
        return self.admin("stats")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, timeout=10.0):
        return wait_for(
            lambda: re.search(pattern, self.log()), f"{pattern!r} in the log", timeout=timeout
        )

    def wait_idle(self):
        """Waits until no request is left in any process."""
        wait_for(lambda: self.stats()["in_flight"] == 0, "requests in flight to end")
        wait_for(lambda: all(w["in_flight"] == 0 for w in self.workers()), "workers to be idle")


class Loader:
    """Threads that ask for the same again and again on keep-alive connections."""

    def __init__(self, skepd, tenant, path="/", connections=2):
        self.skepd, self.tenant, self.path = skepd, tenant, path
        self.answers, self.wrong, self.seconds = 0, [], []
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(connections)]

    def _ask(self, connection):
        start = time.monotonic()
        host = self.tenant if "." in self.tenant else f"{self.tenant}.test"
        answer = connection.request("GET", host, self.path)
        with self._lock:
            self.seconds.append(time.monotonic() - start)
            self.answers += 1
            if answer.status != 200:
                self.wrong.append(answer)

    def _run(self):
        connection = self.skepd.connect()
        try:
            while not self._end.is_set():
                self._ask(connection)
        except Exception as error:  # a broken connection counts as a missing answer
            self.wrong.append(error)
        finally:
            connection.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_for(lambda: self.answers or self.wrong, "the first answer under load")
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def more(self, count):
        """Waits until that many more requests were answered."""
        goal = self.answers + count
        wait_for(lambda: self.answers >= goal or self.wrong, "answers under load", timeout=30)


# Answers with the tenant's name and the query, so that no other answer can pass for it.
HONEST = script("return new Response(`${env.NAME} ${new URL(request.url).search}`);")


def honest(name, **manifest):
    return {"env": {"NAME": name}, "files": {"worker.js": HONEST}, **manifest}


class Witness(Loader):
    """Load on an honest() tenant; each request has another query, and each answer is compared."""

    def __init__(self, skepd, tenant, connections=1):
        super().__init__(skepd, tenant, connections=connections)
        self._numbers = itertools.count()

    def _ask(self, connection):
        question = f"?{next(self._numbers)}"
        start = time.monotonic()
        answer = connection.request("GET", f"{self.tenant}.test", f"/{question}")
        with self._lock:
            self.seconds.append(time.monotonic() - start)
            self.answers += 1
            if (answer.status, answer.body) != (200, f"{self.tenant} {question}".encode()):
                self.wrong.append(answer)
