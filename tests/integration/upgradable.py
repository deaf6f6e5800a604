# SPDX-License-Identifier: Apache-2.0
"""A skepd whose program can be replaced, for tests of upgrades."""

import json
import os
import shutil
import signal

from harness import SKEPD, Skepd, descendants, is_alive, script, wait_for

HELLO = script('return new Response("hello");')
SLOW = script(
    "await new Promise((done) => setTimeout(done, 1500)); return new Response('slow');"
)


class Upgradable(Skepd):
    """Runs a copy of the program, so that another can take its place; follows the service from
    one process to the next."""

    def __init__(self, folder, tenants, environment=None, **config):
        self.more_environment = environment or {}
        config = {"drain_s": 5, **config}
        super().__init__(folder, tenants, config)
        self.program = self.folder / "skepd"
        shutil.copy(SKEPD, self.program)
        shutil.copy(SKEPD.parent / "skep-store", self.folder)
        shutil.copy(SKEPD.parent / "skep-egress", self.folder)
        shutil.copy(SKEPD.parent / "skep-data", self.folder)
        shutil.copy(self.worker_program, self.folder / "skep-worker")
        self.worker_program = self.folder / "skep-worker"
        self.all_pids = []
        self.main_pid = None

    def _environment(self):
        return {**super()._environment(), **self.more_environment}

    def start(self):
        super().start()
        self.main_pid = self.process.pid
        self.all_pids.append(self.main_pid)
        return self

    @property
    def pid(self):
        return self.main_pid

    def replace_program(self, content):
        """Replaces the program as a package manager does: another file at the same path."""
        new = self.folder / "skepd.new"
        if isinstance(content, str):
            new.write_text(content)
            new.chmod(0o755)
        else:
            shutil.copy(content, new)
        new.rename(self.program)

    def replace_worker(self, path):
        shutil.copy(path, self.folder / "worker.new")
        (self.folder / "worker.new").rename(self.worker_program)

    def upgrade(self):
        run = self.skep("upgrade", "--json")
        assert run.returncode == 0, run.stderr + self.log()
        answer = json.loads(run.stdout)
        assert answer["old_pid"] == self.main_pid
        self.main_pid = answer["new_pid"]
        self.all_pids.append(self.main_pid)
        return answer

    def reap(self):
        """Ends the service, whose first process is our child."""
        if self.process.poll() is None:
            return False
        assert self.process.returncode == 0, self.log()
        return True

    def wait_gone(self, pid, timeout=20):
        def is_gone():
            self.reap()
            return not is_alive(pid)

        wait_for(is_gone, f"skepd {pid} to end", timeout=timeout)

    def stop(self):
        if self.process is None:
            return
        below = {p for pid in self.all_pids if is_alive(pid) for p in descendants(pid)}
        if is_alive(self.main_pid):
            os.kill(self.main_pid, signal.SIGTERM)
        try:
            for pid in self.all_pids:
                self.wait_gone(pid)
            wait_for(lambda: not any(map(is_alive, below)), "all processes to end")
        finally:
            for pid in {*self.all_pids, *below}:
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            print(f"--- log\n{self.log()[-20000:]}")
        # A manager keeps the socket for the next start, so its file stays.
        is_kept = "NOTIFY_SOCKET" in self.more_environment
        assert self.admin_socket.exists() == is_kept, "the admin socket's file"


def fails(skepd, *words):
    """Runs an upgrade that must fail, with these words."""
    run = skepd.skep("upgrade", "--json")
    assert run.returncode == 1 and run.stdout == ""
    for word in words:
        assert word in run.stderr, run.stderr
    assert skepd.admin("status")["pid"] == skepd.pid
    assert skepd.get("a").text == "hello"
    skepd.wait_log("this skepd serves on")
