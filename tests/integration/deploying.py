# SPDX-License-Identifier: Apache-2.0
"""Helpers of the tests of deploys: a skepd with a state folder, and bundles to deploy."""

import json
import socket
import struct
import subprocess

import pytest
from harness import BIN, Skepd, descendants, script, status_of, wait_for


def say(text):
    return script(f"return new Response({json.dumps(text)});")


BROKEN = "\n\nexport default { fetch() { return new Response('x') } };\nthrow new Error('no luck');\n"
THROWS = script("throw new Error('always');")


class Deployer:
    """A skepd with a state folder, and bundles to deploy."""

    def __init__(self, folder, tenants=None, **keys):
        self.state = folder / "state"
        config = {"state": str(self.state), **keys}
        self.skepd = Skepd(folder, tenants or {}, config).start()
        self.bundles = folder / "bundles"

    def bundle(self, name, source=None, files=None, **manifest):
        folder = self.bundles / name
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"name": name, "main": "worker.js", "routes": [f"{name}.test/*"], **manifest}
        (folder / "skep.yaml").write_text(json.dumps(manifest))
        for path, content in {"worker.js": source or say("one"), **(files or {})}.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return folder

    def deploy(self, name, source=None, *options, **rest):
        """Deploys, which must succeed. Returns the answer."""
        return self.ask("deploy", self.bundle(name, source, **rest), *options)

    def ask(self, *arguments):
        run = self.skepd.skep(*arguments, "--json")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def fail(self, *arguments):
        """Runs a command that must fail. Returns its error."""
        run = self.skepd.skep(*arguments)
        assert run.returncode == 1, run.stdout
        assert run.stdout == ""
        return run.stderr

    def text(self, name, path="/"):
        answer = self.skepd.get(name, path)
        assert answer.status == 200, answer
        return answer.body.decode()

    def versions(self, name):
        return self.ask("versions", name)["versions"]

    def states(self, name):
        return [version["state"] for version in self.versions(name)]

    def restart(self):
        self.skepd.stop()
        self.skepd.start()

    def left(self, name):
        """Returns the stored files that are not part of whole versions."""
        folder = self.state / "tenants" / name
        if not folder.exists():
            return None
        known = {"current", "history", "versions"}
        try:
            odd = {entry.name for entry in folder.iterdir()} - known
            return odd | {e.name for e in (folder / "versions").iterdir() if len(e.name) != 64}
        except FileNotFoundError:  # removed just now
            return {"versions"}


@pytest.fixture
def deployer(tmp_path):
    made = Deployer(tmp_path)
    yield made
    made.skepd.stop()


SLOW_BOOT = "await new Promise((f) => setTimeout(f, 1500));\n"


class Meanwhile:
    """A deploy that runs while the test does something else."""

    def __init__(self, deployer, name, source, **manifest):
        command = [BIN / "skep", "--socket", deployer.skepd.admin_socket, "deploy"]
        command += [deployer.bundle(name, source, **manifest)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes)
        self.deployer = deployer

    def end(self):
        """Waits for the end. Returns the exit status, 0 or 1, and the output."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out + err


def wait_loading(deployer, name):
    def is_loading():
        return any(t["name"] == name for t in deployer.skepd.admin("tenants")["tenants"])

    wait_for(is_loading, "the version to load")


def reload_with(deployer, **keys):
    deployer.skepd.config.update(keys)
    deployer.skepd.write_config()
    run = deployer.skepd.skep("reload")
    assert run.returncode == 0, run.stderr


def wait_cpu_ms(deployer, name, value):
    wait_for(lambda: deployer.skepd.tenant(name)["limits"]["cpu_ms"] == value, "the limits")


def store_of(skepd):
    return next(p for p in descendants(skepd.pid) if status_of(p)["Name"].strip() == "skep-store")


# ---- a client that sends anything


def frame(message):
    return struct.pack("<I", len(message)) + message


def field(number, data):
    if isinstance(data, bytes):
        size, more = len(data), b""
        while size > 127:
            more += bytes([size & 127 | 128])
            size >>= 7
        return varint(number << 3 | 2) + more + bytes([size]) + data
    return varint(number << 3) + varint(data)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def begin(name):
    return frame(field(13, field(1, name)))


def part(path=b"", data=b"", more=0, end=0, env=b""):
    body = b"".join(
        field(number, value)
        for number, value in ((1, path), (2, env), (3, data), (4, more), (5, end))
        if value
    )
    return frame(field(14, body))


class Raw:
    """A client that sends anything."""

    def __init__(self, deployer):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(deployer.skepd.admin_socket))

    def ask(self, data):
        self.socket.sendall(data)
        return self.receive()

    def receive(self):
        """Number and content of the answer; None: closed."""
        try:
            head = self.socket.recv(4, socket.MSG_WAITALL)
            if len(head) < 4:
                return None
            body = self.socket.recv(struct.unpack("<I", head)[0], socket.MSG_WAITALL)
        except ConnectionResetError:
            return None
        return body[0] >> 3, body

    def close(self):
        self.socket.close()


READY, FAILURE = 14, 1
