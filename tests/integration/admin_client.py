# SPDX-License-Identifier: Apache-2.0
"""A client of the admin socket that is written from proto/PROTOCOL.md and proto/admin.proto alone: no
library of skep's or of protobuf. Reads the .proto, and so knows every message by name."""

import pathlib
import re
import socket
import struct

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto" / "admin.proto"
FRAME_MAX_BYTES = 1 << 20
TIMEOUT_S = 20


class Refused(Exception):
    """skepd's Failure."""


class Closed(Exception):
    """skepd has closed the connection."""


# ---- admin.proto


def parse_proto(text):
    """{message: {number: (label, type, name)}}; members of a oneof are fields like others."""
    messages = {}
    text = re.sub(r"//[^\n]*", "", text)
    for name, body in re.findall(r"message\s+(\w+)\s*\{((?:[^{}]|\{[^{}]*\})*)\}", text):
        fields = re.findall(r"(repeated\s+)?(\w+)\s+(\w+)\s*=\s*(\d+)\s*;", body)
        messages[name] = {int(n): (label.strip(), kind, field) for label, kind, field, n in fields}
    return messages


MESSAGES = parse_proto(PROTO.read_text())
SCALARS = {"bool": False, "uint32": 0, "uint64": 0, "bytes": b""}


# ---- the wire format (https://protobuf.dev/programming-guides/encoding/)


def encode_varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def decode_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return number, at


def encode(message, values):
    out = b""
    for number, (_, kind, name) in sorted(MESSAGES[message].items()):
        if name not in values:
            continue
        value = values[name]
        if kind in ("bool", "uint32", "uint64"):
            out += encode_varint(number << 3) + encode_varint(int(value))
            continue
        if kind != "bytes":
            value = encode(kind, value)
        elif isinstance(value, str):
            value = value.encode()
        out += encode_varint(number << 3 | 2) + encode_varint(len(value)) + value
    unknown = set(values) - {name for _, _, name in MESSAGES[message].values()}
    assert not unknown, f"{message} has no {unknown}"
    return out


def split(data):
    """(number, value) of each field: an integer, or bytes."""
    at = 0
    while at < len(data):
        key, at = decode_varint(data, at)
        if key & 7 == 0:
            value, at = decode_varint(data, at)
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size, at = decode_varint(data, at)
            value, at = data[at : at + size], at + size
            assert len(value) == size
        yield key >> 3, value


def decode(message, data):
    fields = MESSAGES[message]
    values = {
        name: [] if label else SCALARS.get(kind) for label, kind, name in fields.values()
    }
    for number, value in split(data):
        if number not in fields:
            continue  # a field of a later release
        label, kind, name = fields[number]
        if kind == "bool":
            value = bool(value)
        elif kind not in SCALARS:
            value = decode(kind, value)
        if label:
            values[name].append(value)
        else:
            values[name] = value
    return values


# ---- the socket


class AdminClient:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(str(path))
        self._input = b""
        self.lines = []  # LogLine frames that came between

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_frame(self, message):
        try:
            self.socket.sendall(struct.pack("<I", len(message)) + message)
        except BrokenPipeError:
            pass  # skepd refused before we had asked; the refusal can still be read

    def send(self, command, **values):
        kinds = {name: kind for _, kind, name in MESSAGES["Command"].values()}
        body = {command: values}
        assert command in kinds, command
        self.send_frame(encode("Command", body))

    def _read(self, size):
        while len(self._input) < size:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed
            self._input += more
        taken, self._input = self._input[:size], self._input[size:]
        return taken

    def receive(self):
        """(kind, message) of the next frame."""
        (size,) = struct.unpack("<I", self._read(4))
        assert 1 <= size <= FRAME_MAX_BYTES
        ((number, data),) = split(self._read(size))
        _, kind, name = MESSAGES["Answer"][number]
        return name, decode(kind, data)

    def answer(self):
        """(kind, message) of the next answer to a command."""
        while True:
            kind, message = self.receive()
            if kind == "failure":
                raise Refused(message["message"].decode())
            if kind != "log":
                return kind, message
            self.lines.append(message)

    def ask(self, command, **values):
        self.send(command, **values)
        return self.answer()[1]

    def pages(self, command, field, **values):
        """Returns all rows of a list, by `skip`."""
        rows = []
        while True:
            page = self.ask(command, skip=len(rows), **values)
            rows += page[field]
            if not page[field] or len(rows) >= page["total"]:
                return rows

    def line(self):
        """The next LogLine."""
        if self.lines:
            return self.lines.pop(0)
        kind, message = self.receive()
        assert kind == "log", kind
        return message
