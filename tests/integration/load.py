# SPDX-License-Identifier: Apache-2.0
"""Constant load that notices every failure that a client would see: Load is some threads on keep-alive
connections and some that connect anew for each request."""

import collections
import threading
import time

from client import Connection
from harness import wait_for


class Load:
    """with Load(address, host) as load: ... load.more(100) ...; afterwards load.check().

    address: as of Connection. keep_alive, fresh: how many threads of each kind. pause: seconds between two
    requests of a thread. answer: what each body has to be (None: any). A request counts as failed if it
    is not answered with 200 and a whole body; a connection as refused if there is none."""

    def __init__(self, address, host, path="/", keep_alive=4, fresh=2, pause=0.002, answer=None):
        self.address, self.host, self.path, self.pause = address, host, path, pause
        self.answer = answer
        self.requests, self.closes = 0, 0
        self.failures, self.refused = [], []
        self.seconds = []
        self.servers = collections.Counter()  # answers by their header x-server, if there is one
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._keep_alive) for _ in range(keep_alive)]
        self._threads += [threading.Thread(target=self._fresh) for _ in range(fresh)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_for(lambda: self.requests or self.wrong, "the first answer under load")
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def wrong(self):
        return self.failures + self.refused

    def more(self, count, timeout=30):
        """Waits until that many more were answered."""
        goal = self.requests + count
        wait_for(lambda: self.requests >= goal or self.wrong, "answers under load", timeout=timeout)

    def check(self):
        """Checks that no request has failed and no connection was refused."""
        text = f"{len(self.failures)} failed, {len(self.refused)} refused of {self.requests}"
        assert not self.wrong, f"{text}: {self.wrong[:5]}"
        assert self.requests > 0

    def __str__(self):
        slowest = max(self.seconds, default=0)
        return (
            f"{self.requests} requests, {len(self.failures)} failed, {len(self.refused)} refused, "
            f"{self.closes} connections closed by skepd, slowest {slowest * 1000:.0f} ms"
        )

    def _connect(self):
        try:
            return Connection(self.address)
        except OSError as error:
            with self._lock:
                self.refused.append(error)
            time.sleep(0.05)
            return None

    def _ask(self, connection):
        """Returns whether the connection may be used again."""
        start = time.monotonic()
        try:
            answer = connection.request("GET", self.host, self.path)
        except Exception as error:  # any exception leaves a client without an answer
            with self._lock:
                self.failures.append(error)
            return False
        with self._lock:
            self.requests += 1
            self.seconds.append(time.monotonic() - start)
            if answer.status != 200 or self.answer not in (None, answer.body):
                self.failures.append(answer)
            self.servers[answer.header("x-server")] += 1
        return (answer.header("connection") or "").lower() != "close"

    def _keep_alive(self):
        connection = None
        while not self._end.is_set():
            connection = connection or self._connect()
            if connection and not self._ask(connection):
                with self._lock:
                    self.closes += 1
                connection.close()
                connection = None
            time.sleep(self.pause)
        if connection:
            connection.close()

    def _fresh(self):
        while not self._end.is_set():
            connection = self._connect()
            if connection:
                self._ask(connection)
                connection.close()
            time.sleep(self.pause)
