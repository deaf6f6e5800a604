# SPDX-License-Identifier: Apache-2.0
"""A running `skep dev`, for the tests and scripts/bench dev."""

import signal
import subprocess

from harness import BIN, Connection, descendants, free_port, is_alive, wait_for


class Dev:
    def __init__(self, folder, path, *options):
        self.port = free_port()
        self.output_path = folder / "output"
        with self.output_path.open("wb") as output:
            self.process = subprocess.Popen(
                [BIN / "skep", "dev", path, "--port", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_for(self._listens, "skep dev to listen", timeout=20)

    def _listens(self):
        assert self.process.poll() is None, self.output()
        try:
            return self.get().status
        except OSError:
            return False

    def connect(self):
        return Connection(("127.0.0.1", self.port), timeout=10)

    def get(self, path="/", host="localhost"):
        with self.connect() as connection:
            return connection.request("GET", f"{host}:{self.port}", path)

    def output(self):
        return self.output_path.read_text(errors="replace")

    def wait_output(self, words):
        wait_for(lambda: words in self.output(), f"{words!r} in the output of skep dev")

    def stop(self, signal_number=signal.SIGINT):
        below = descendants(self.process.pid)
        self.process.send_signal(signal_number)
        code = self.process.wait(timeout=20)
        print(f"--- output of skep dev\n{self.output()}")
        wait_for(lambda: not any(map(is_alive, below)), "the processes of skep dev to end")
        return code
