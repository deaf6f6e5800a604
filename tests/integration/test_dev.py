# SPDX-License-Identifier: Apache-2.0
"""`skep dev`: one tenant, served as its author writes it."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

from harness import BIN, Connection, descendants, free_port, is_alive, script, wait_for


class Dev:
    def __init__(self, folder, path):
        self.port = free_port()
        self.output_path = folder / "output"
        with self.output_path.open("wb") as output:
            self.process = subprocess.Popen(
                [BIN / "skep", "dev", path, "--port", str(self.port)],
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

    def get(self, path="/", host="localhost"):
        with Connection(("127.0.0.1", self.port), timeout=10) as connection:
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


@pytest.fixture
def dev(folder):
    running = []

    def start_dev(path):
        output = pathlib.Path(tempfile.mkdtemp(dir=folder))
        running.append(Dev(output, path))
        return running[-1]

    yield start_dev
    for one in running:
        if one.process.poll() is None:
            one.stop()


def hello(text):
    return script(f'return new Response("{text}");')


def test_script_is_served_for_every_host(dev, folder):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    assert served.get().text == "first"
    assert served.get("/any/path", "any.host").text == "first"
    assert served.stop() == 0


@pytest.mark.parametrize("how", ["in_place", "renamed"])
def test_saved_change_is_served_within_a_second(dev, folder, how):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    assert served.get().text == "first"
    for text in ("second", "third"):
        if how == "in_place":
            path.write_text(hello(text))
        else:  # as many editors save
            other = folder / "worker.js~"
            other.write_text(hello(text))
            os.replace(other, path)
        saved = time.monotonic()
        wait_for(lambda: served.get().text == text, f"{text!r} to be served", timeout=5)
        took = time.monotonic() - saved
        print(f"served after {took * 1000:.0f} ms")
        assert took < 1


def test_folder_with_a_manifest_is_served_and_watched(dev, folder):
    tenant = folder / "tenant"
    (tenant / "lib").mkdir(parents=True)
    (tenant / "skep.yaml").write_text(
        'name: t\nmain: main.js\nroutes: ["t.test/*"]\nenv: { WHO: me }\n'
    )
    (tenant / "main.js").write_text(
        'import { text } from "./lib/text.js";\n'
        + script("return new Response(`${text} ${env.WHO}`);")
    )
    (tenant / "lib" / "text.js").write_text('export const text = "first";\n')
    served = dev(tenant)
    assert served.get().text == "first me"
    (tenant / "lib" / "text.js").write_text('export const text = "second";\n')
    wait_for(lambda: served.get().text == "second me", "the change to be served", timeout=5)
    (tenant / "skep.yaml").write_text(
        'name: t\nmain: main.js\nroutes: ["t.test/*"]\nenv: { WHO: you }\n'
    )
    wait_for(lambda: served.get().text == "second you", "the change to be served", timeout=5)


def test_error_is_shown_with_the_source_line_and_the_old_version_serves_on(dev, folder):
    path = folder / "worker.js"
    path.write_text(hello("good"))
    served = dev(path)
    assert served.get().text == "good"
    path.write_text("// broken\nconst oops = ;\n" + hello("never"))
    served.wait_output("worker.js:2")
    served.wait_output("const oops = ;")
    assert served.get().text == "good"
    path.write_text(hello("repaired"))
    wait_for(lambda: served.get().text == "repaired", "the repair to be served", timeout=5)


def test_error_of_a_handler_is_shown_where_it_was_thrown(dev, folder):
    path = folder / "worker.js"
    path.write_text("function fail() {\n    throw new Error('on purpose');\n}\n" + script("fail();"))
    served = dev(path)
    assert served.get().code == "exception"
    served.wait_output("Error: on purpose")
    served.wait_output("worker.js:2")


def test_console_is_shown(dev, folder):
    path = folder / "worker.js"
    path.write_text(script('console.log("seen", { a: 1 }); return new Response();'))
    served = dev(path)
    served.get()
    served.wait_output("seen { a: 1 }")


def test_default_limits_hold(dev, folder):
    path = folder / "worker.js"
    path.write_text(
        script('if (request.url.endsWith("loop")) for (;;); return new Response("ok");')
    )
    served = dev(path)
    assert served.get("/loop").code == "cpu_request"
    assert served.get().text == "ok"
    served.wait_output("cpu_ms")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_all_its_processes(dev, folder, how):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    assert served.stop(how) == 0


@pytest.mark.parametrize("what", ["nowhere.js", "empty"])
def test_nothing_to_serve_is_an_error(folder, what):
    (folder / "empty").mkdir()
    run = subprocess.run(
        [BIN / "skep", "dev", folder / what, "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    assert what in run.stderr


def test_port_that_is_taken_is_said(dev, folder):
    path = folder / "worker.js"
    path.write_text(hello("first"))
    served = dev(path)
    run = subprocess.run(
        [BIN / "skep", "dev", path, "--port", str(served.port)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    assert str(served.port) in run.stderr
