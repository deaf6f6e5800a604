# SPDX-License-Identifier: Apache-2.0
"""Connection is one HTTP/1.1 connection on which a test may also send what no client should."""

import http.client
import io
import json
import socket


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name):
        return self.headers.get(name)

    @property
    def code(self):
        """The error code of skep; None if there was no error."""
        return self.header("Skep-Error")

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.code or ''} {self.body[:200]!r}>"


class _Reader(io.RawIOBase):
    """The connection's one buffered reader, given to each HTTPResponse, which must not close it."""

    def __init__(self, file):
        self.file = file

    def readable(self):
        return True

    def read(self, size=-1):
        return self.file.read(size)

    def read1(self, size=-1):
        return self.file.read1(size)

    def readinto(self, buffer):
        return self.file.readinto(buffer)

    def readline(self, size=-1):
        return self.file.readline(size)

    def peek(self, size=0):
        return self.file.peek(size)


class Connection:
    def __init__(self, address, timeout=30, receive_buffer=None, source=None):
        """source: the address that the connection comes from; None: any."""
        self.address, self.timeout, self.receive_buffer, self.source = address, timeout, receive_buffer, source
        self.is_last = False  # the last answer said Connection: close
        self._connect()

    def _connect(self):
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if self.receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self.socket.settimeout(self.timeout)
        if self.source:
            self.socket.bind((self.source, 0))
        self.socket.connect(self.address)
        self.file = self.socket.makefile("rb", buffering=256 * 1024)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def reset(self):
        """Leaves with RST, as a client that crashed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_head(self, method, host, path="/", headers=()):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def send_chunk(self, data):
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def start_response(self, method="GET"):
        """Reads the head. The body is read from the response that this returns."""
        response = http.client.HTTPResponse(self, method=method)
        response.begin()
        self.is_last = response.will_close
        return response

    def makefile(self, *_args, **_kwargs):
        return _Reader(self.file)

    def read_response(self, method="GET"):
        response = self.start_response(method)
        return Answer(response.status, response.headers, response.read())

    def is_closed_by_peer(self):
        """Reads to the end; true unless the peer keeps the connection open."""
        try:
            while self.file.read1(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def request(self, method, host, path="/", headers=(), body=None):
        """Connects anew after an answer that said Connection: close, as each answer does that began
        while much of the request's body was still to come (RFC 9112, section 9.6)."""
        if self.is_last:
            self.close()
            self._connect()
            self.is_last = False
        headers = list(headers)
        if body is not None:
            headers.append(("Content-Length", len(body)))
        self.send_head(method, host, path, headers)
        if body:
            self.send(body)
        return self.read_response(method)
