# SPDX-License-Identifier: Apache-2.0
"""skep-egress as a program, asked over its socket by frames that are made from proto/egress.proto alone, and what it
needs around it: a resolver and certificates."""

import contextlib
import fcntl
import os
import pathlib
import socket
import socketserver
import struct
import subprocess
import threading
import time

from admin_client import decode_varint, encode_varint, parse_proto, split
from harness import BIN, TOP, free_port

PROTO = "".join((TOP / "proto" / name).read_text() for name in ("stream.proto", "egress.proto"))
MESSAGES = parse_proto(PROTO)
SCALARS = {"bool": False, "uint32": 0, "uint64": 0, "bytes": b"", "Failure": 0}
FAILURES = ["NONE", "CANCELLED", "REQUEST", "NAME", "RESOLVER", "ADDRESS", "CONNECT", "TLS", "CLOSED", "PROTOCOL",
            "HEAD_SIZE", "TIME", "BUSY", "INTERNAL"]
TIMES = {"connect_ms": 5000, "head_ms": 10000, "idle_ms": 10000, "total_ms": 30000}
CREDIT = 1 << 20
TIMEOUT_S = 20
CHANNEL_FD = 3


# ---- the wire format


def encode(message, values):
    out = b""
    for number, (label, kind, name) in sorted(MESSAGES[message].items()):
        for value in values.get(name, []) if label else [values[name]] if name in values else []:
            if kind in MESSAGES:
                value = encode(kind, value)
            if isinstance(value, str):
                value = value.encode("latin-1")
            if isinstance(value, bytes):
                out += encode_varint(number << 3 | 2) + encode_varint(len(value)) + value
            else:
                out += encode_varint(number << 3) + encode_varint(int(value))
    unknown = set(values) - {name for _, _, name in MESSAGES[message].values()}
    assert not unknown, f"{message} has no {unknown}"
    return out


def decode(message, data):
    values = {name: SCALARS.get(kind) for _, kind, name in MESSAGES[message].values()}
    for number, value in split(data):
        _, kind, name = MESSAGES[message][number]
        values[name] = decode(kind, value) if kind in MESSAGES else value
    return values


def pack_head(headers):
    texts = [text.encode("latin-1") if isinstance(text, str) else text for pair in headers for text in pair]
    return struct.pack(f"<I{len(texts)}I", len(texts), *map(len, texts)) + b"".join(texts)


def unpack_head(data):
    (n,) = struct.unpack_from("<I", data)
    sizes = struct.unpack_from(f"<{n}I", data, 4)
    at, texts = 4 + 4 * n, []
    for size in sizes:
        texts.append(data[at : at + size].decode("latin-1"))
        at += size
    assert at == len(data)
    return list(zip(texts[::2], texts[1::2]))


def prefix(text):
    address, _, bits = text.partition("/")
    if ":" in address:
        return {"address": socket.inet_pton(socket.AF_INET6, address), "bits": int(bits or 128)}
    return {"address": bytes(10) + b"\xff\xff" + socket.inet_aton(address), "bits": 96 + int(bits or 32)}


LOOPBACK = [prefix("127.0.0.0/8"), prefix("::1")]


# ---- the program


class Fetch:
    """One fetch as skepd sees it; frames are added as they come."""

    def __init__(self, number):
        self.id = number
        self.head = self.done = None
        self.body = b""
        self.credit = 0

    @property
    def headers(self):
        return {name.lower(): value for name, value in unpack_head(self.head["head"])}

    @property
    def failure(self):
        return FAILURES[self.done["failure"]]

    @property
    def text(self):
        return self.done["text"].decode()


class Client:
    """skepd's end of a channel to egress."""

    def __init__(self, channel):
        self.socket = channel
        self.socket.settimeout(TIMEOUT_S)
        self._input = b""
        self.fetches = {}
        self.last_id = 0
        self.hello = self._read_hello()

    def log(self):
        return "no more frames"

    def close(self):
        self.socket.close()

    def _read_frame(self):
        while len(self._input) < 4 or len(self._input) < 4 + struct.unpack_from("<I", self._input)[0]:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError(self.log())
            self._input += more
        (size,) = struct.unpack_from("<I", self._input)
        frame, self._input = self._input[4 : 4 + size], self._input[4 + size :]
        return frame

    def _read_hello(self):
        """helper.proto: {1: {1: name, 2: version, 4: error, 5: warning}}"""
        ((_, hello),) = split(self._read_frame())
        return dict(split(hello))

    def send(self, kind, **values):
        frame = encode("ToEgress", {kind: values})
        self.socket.sendall(struct.pack("<I", len(frame)) + frame)

    def step(self):
        """Takes one frame."""
        frame = decode("FromEgress", self._read_frame())
        ((kind, values),) = [(kind, values) for kind, values in frame.items() if values is not None]
        fetch = self.fetches[values["id"]]
        assert fetch.done is None, f"{kind} after done"
        if kind == "body":
            assert fetch.head, "body before head"
            fetch.body += values["data"]
        elif kind == "credit":
            fetch.credit += values["bytes"]
        else:
            assert getattr(fetch, kind) is None, f"second {kind}"
            setattr(fetch, kind, values)
        return fetch, kind, values

    def open(self, url, method="GET", headers=(), tenant=1, body=None, named=LOOPBACK, credit=CREDIT, **values):
        """Opens a fetch. body: bytes of known length, or True: the caller sends it."""
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        host, _, port = authority.rpartition(":")
        self.last_id += 1
        fetch = self.fetches[self.last_id] = Fetch(self.last_id)
        if isinstance(body, bytes):
            values |= {"has_body": True, "has_length": True, "length": len(body)}
        elif body:
            values |= {"has_body": True}
        self.send("open", **{"id": fetch.id, "tenant": tenant, "method": method, "scheme": scheme, "host": host,
                             "port": int(port), "path": slash + path, "head": pack_head(headers), "named": named,
                             "credit": credit, **TIMES, **values})
        if isinstance(body, bytes):
            self.send("body", id=fetch.id, data=body, end=True)
        return fetch

    def wait_for(self, condition, timeout=TIMEOUT_S):
        until = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < until, "too long"
            self.step()

    def finish(self, fetch):
        """Takes frames until the fetch is done, with credit for all of its body."""
        while fetch.done is None:
            _, kind, values = self.step()
            if kind == "body":
                owner = values["id"]
                self.send("credit", id=owner, bytes=len(values["data"]))
        return fetch

    def fetch(self, url, **values):
        return self.finish(self.open(url, **values))


class Egress(Client):
    """A program, started as the spawner starts it."""

    def __init__(self, *options, env=None, launcher=()):
        """launcher: a command that executes the program."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.errors = os.memfd_create("egress-errors")
        # A high number, so that the channel's own is free in the child.
        high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD, 100)
        theirs.close()

        def place():
            os.dup2(high, CHANNEL_FD)
            os.closerange(CHANNEL_FD + 1, os.sysconf("SC_OPEN_MAX"))

        self.process = subprocess.Popen(
            [*launcher, BIN / "skep-egress", *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.errors, close_fds=False, preexec_fn=place, env=env or {})
        os.close(high)
        super().__init__(ours)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def log(self):
        os.lseek(self.errors, 0, os.SEEK_SET)
        return os.read(self.errors, 1 << 20).decode()

    def close(self):
        """Leaves, as skepd does; the helper ends by itself."""
        self.socket.close()
        assert self.process.wait(TIMEOUT_S) in (0, -9), self.log()

    def ends_by_itself(self):
        """Waits until the helper has closed the channel; returns its exit status."""
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._read_frame()
        return self.process.wait(TIMEOUT_S)


# ---- a resolver


class _Query(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        if answer := self.server.reply(data, "udp"):
            sock.sendto(answer, self.client_address)


class _LongQuery(socketserver.StreamRequestHandler):
    def handle(self):
        while size := self.rfile.read(2):
            answer = self.server.resolver.reply(self.rfile.read(*struct.unpack("!H", size)), "tcp")
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


class Resolver(socketserver.ThreadingUDPServer):
    """Answers with the rows of `names`: {name: [address]}. A row may be a function, called at each question, or None: no
    answer at all; "fail": an answer that says so. Others do not exist. Names in `long` are answered by TCP only."""

    daemon_threads = True

    def __init__(self, names):
        super().__init__(("127.0.0.1", free_port()), _Query)
        self.names = names
        self.long = set()
        self.asked = []
        self.ttl = 0
        self.tcp = socketserver.ThreadingTCPServer(self.server_address, _LongQuery)
        self.tcp.daemon_threads = True
        self.tcp.resolver = self
        for server in (self, self.tcp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def option(self):
        return f"--dns=127.0.0.1:{self.server_address[1]}"

    def reply(self, data, way):
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name = ".".join(labels).lower()
        (kind,) = struct.unpack_from("!H", data, at + 1)
        question = data[12 : at + 5]
        self.asked.append((name, kind))
        answer = self.answer(name, kind)
        if answer is None:
            return None
        status, records, ttl = answer
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(record)) + record for record in records)
        if name in self.long and way == "udp":
            return data[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + question  # truncated
        return data[:2] + struct.pack("!HHHHH", 0x8180 | status, 1, len(records), 0, 0) + question + body

    def answer(self, name, kind):
        if name not in self.names:
            return 3, [], 0
        row = self.names[name]
        row = row(kind) if callable(row) else row
        if row is None:
            return None
        if row == "fail":
            return 2, [], 0
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
        records = [socket.inet_pton(family, address) for address in row
                   if family is not None and (":" in address) == (kind == 28)]
        return 0, records, self.ttl

    def close(self):
        for server in (self, self.tcp):
            server.shutdown()
            server.server_close()


# ---- certificates


def make_certificates(folder, names):
    """Returns (CA's certificate, {name: certificate with its key}); a name may be one of a host or an address."""
    folder = pathlib.Path(folder)

    def run(*command):
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True, cwd=folder)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
        "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    pairs = {}
    for n, name in enumerate(names):
        kind = "IP" if name[0].isdigit() else "DNS"
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
            f"{n}.key", "-out", f"{n}.csr")
        (folder / f"{n}.ext").write_text(f"subjectAltName={kind}:{name}\nbasicConstraints=CA:FALSE\n")
        run("x509", "-req", "-in", f"{n}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{n}.ext", "-out", f"{n}.pem")
        pairs[name] = (folder / f"{n}.pem", folder / f"{n}.key")
    return folder / "ca.pem", pairs
