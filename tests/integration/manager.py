# SPDX-License-Identifier: Apache-2.0
"""A service manager for tests, as systemd is to a service: Manager is the other end of its notify socket,
Service a skepd that was started by one."""

import array
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

from harness import Skepd, script, wait_for

HELLO = script('return new Response("hello");')


class Manager:
    """systemd's end of $NOTIFY_SOCKET: keeps each message, its sender, and the
    descriptors to store."""

    def __init__(self, folder, abstract=False):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + self.path[1:] if abstract else self.path)
        self.address = "@" + self.path[1:] if abstract else self.path
        self.messages = []  # (time, pid, {name: value})
        self.store = []  # (name, descriptor)
        self.holds_barriers = False
        self.barriers = []  # descriptors of barriers that are not answered
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                size = socket.CMSG_SPACE(64) + socket.CMSG_SPACE(12)
                data, controls, _, _ = self.socket.recvmsg(4096, size)
            except OSError:
                return
            if not data:
                return
            self._take(data, controls)

    def _take(self, data, controls):
        fds, pid = array.array("i"), None
        for _, kind, content in controls:
            if kind == socket.SCM_RIGHTS:
                fds.frombytes(content)
            elif kind == socket.SCM_CREDENTIALS:
                pid = struct.unpack("3i", content)[0]
        fields = dict(line.split("=", 1) for line in data.decode().splitlines())
        if "FDSTOREREMOVE" in fields:
            for name, fd in list(self.store):
                if name == fields["FDNAME"]:
                    os.close(fd)
                    self.store.remove((name, fd))
        for fd in fds:
            if "FDSTORE" in fields:
                self._keep(fields["FDNAME"], fd)
            elif self.holds_barriers:
                self.barriers.append(fd)
            else:
                os.close(fd)  # BARRIER=1: this is the answer
        self.messages.append((time.monotonic(), pid, fields))

    def _keep(self, name, fd):
        """Keeps the same socket once, as systemd does."""
        if any(os.path.sameopenfile(fd, other) for _, other in self.store):
            os.close(fd)
        else:
            self.store.append((name, fd))

    def answer_barrier(self, index):
        os.close(self.barriers.pop(index))

    def all(self, name):
        return [fields[name] for _, _, fields in list(self.messages) if name in fields]

    def times(self, name):
        return [at for at, _, fields in list(self.messages) if name in fields]

    def wait(self, name, value=None, timeout=10):
        return wait_for(
            lambda: any(value in (None, v) for v in self.all(name)),
            f"{name}={value} among {self.messages[-10:]}",
            timeout=timeout,
        )

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.socket.close()
        for fd in [*(fd for _, fd in self.store), *self.barriers]:
            os.close(fd)


# Becomes a program as systemd would start it: with these descriptors from 3 on.
PASS_FDS = """
import fcntl, os, sys
names, *fds = sys.argv[1].split(","), *map(int, sys.argv[2].split(","))
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 3 + len(fds)) for fd in fds]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
os.closerange(3 + len(fds), os.sysconf("SC_OPEN_MAX"))
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(names))
os.execv(sys.argv[3], sys.argv[3:])
"""


class Service(Skepd):
    def __init__(self, folder, tenants=None, manager=None, watchdog_s=None, store=(), **config):
        super().__init__(folder, tenants or {"a": HELLO}, {"drain_s": 5, **config})
        if self.config["listen"] == []:
            del self.config["listen"]
            self.write_config()
        self.manager, self.watchdog_s, self.store = manager, watchdog_s, store
        self.expects_socket = False

    def _environment(self):
        more = {"NOTIFY_SOCKET": self.manager.address} if self.manager else {}
        if self.watchdog_s:
            more["WATCHDOG_USEC"] = str(int(self.watchdog_s * 1e6))
        return {**super()._environment(), **more}

    def start(self, wait=True):
        command = [str(part) for part in self.command()]
        fds = [fd for _, fd in self.store]
        if fds:
            names = ",".join(name for name, _ in self.store)
            command = [
                shutil.which("python3", path="/usr/bin"), "-c", PASS_FDS, names,
                ",".join(map(str, fds)), *command,
            ]  # fmt: skip
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                pass_fds=fds,
                env={"PATH": os.environ["PATH"], **self._environment()},
            )
        if wait:
            wait_for(self._answers, "skepd to listen", timeout=20)
            wait_for(self._has_ready_workers, "workers to be ready", timeout=20)
        return self

    def stop(self):
        process = self.process
        if process is None:
            return
        try:
            super().stop()
        except AssertionError as error:
            if "admin socket" not in str(error) or not self.manager:
                raise
