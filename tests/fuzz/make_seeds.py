#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes corpus/worker_frames, corpus/admin_frames, corpus/egress_frames, corpus/data_frames and corpus/frame: one small file for each kind of input.

Numbers are those of fuzz_worker_frames.c, fuzz_admin_frames.c, fuzz_egress_frames.c, fuzz_data_frames.c and fuzz_frame.c. Run this after a change of the
protocol, and commit the files that it writes; inputs that a fuzzer has found are kept beside them, with other names."""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"

# ---- protobuf


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, value):
    """Encodes a field: an int as a varint, anything else as bytes or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(**fields):
    """Encodes a message of f1=..., f2=...; a list is a repeated field. Defaults are left out, as every encoder does."""
    out = b""
    for name, value in fields.items():
        for item in value if isinstance(value, list) else [value] if value not in (0, "", b"") else []:
            out += field(int(name[1:]), item)
    return out


def raw(content):
    return struct.pack("<I", len(content)) + content


def frame(case, **fields):
    return raw(field(case, message(**fields)))


def with_tail(content, tail):
    """Encodes a frame whose message has its bytes behind it."""
    tail = tail.encode() if isinstance(tail, str) else tail
    if not tail:
        return raw(content)
    size = len(content) + len(tail) + 4
    return struct.pack("<II", size | 1 << 31, len(tail)) + content + tail


def frame_with_tail(case, tail, **fields):
    return with_tail(field(case, message(**fields)), tail)


# ---- a worker

BOOTING, HELLO, IDLE, LOADING, SERVING, UPLOADING, RESPONDING, ANSWERED = range(8)
CANCELLED, UNLOADING, GONE, UPDATING, DRAINING, CHOKED = range(8, 14)
PIECES_1, PIECES_3, PIECES_7, DEAF, CLOSES, SPARES, CRASHES, LATE = 1, 2, 4, 8, 16, 32, 64, 128
HONEST, ALPHA, BETA, NEXT = 1, 2, 3, 4
HONEST_REQUEST, FIRST, SECOND, OF_BETA = 1024, 2048, 3073, 4098


def hello(version="13.8.258.26", protocol=5):
    return frame(1, f1=protocol, f2=version)


def loaded(tenant, result=0, text=""):
    return frame(2, f1=tenant, f2=result, f3=text, f4=1000)


def pack(*texts):
    """A packed head: proto/head.h."""
    texts = [text.encode() if isinstance(text, str) else text for text in texts]
    return struct.pack(f"<I{len(texts)}I", len(texts), *map(len, texts)) + b"".join(texts)


def head(request, body="", end=0, status=200, texts=(), packed=None):
    packed = pack(*texts) if packed is None else packed
    return frame_with_tail(3, body, f1=request, f2=status, f3=packed, f5=end)


def body(request, data="x", end=0):
    return frame_with_tail(4, data, f1=request, f3=end)


def credit(request, size):
    return frame(5, f1=request, f2=size)


def done(request, outcome=0, text=""):
    return frame(6, f1=request, f2=outcome, f3=text, f4=500)


def log(tenant, text="a line", level=1):
    return frame(7, f1=tenant, f2=0, f3=level, f4=text)


def unloaded(tenant):
    return frame(8, f1=tenant)


def pong():
    return frame(9, f1=1)


def exceeded(tenant, request, limit, used=60000, observed=0):
    return frame(10, f1=tenant, f2=request, f3=limit, f4=used, f5=observed)


def call(request, number=1, binding=0, body="", end=1, scheme="http", host="beta", path="/", port=80, packed=None):
    packed = pack("GET", scheme, host, path, "X-A", "b") if packed is None else packed
    return frame_with_tail(13, body, f1=request, f2=number, f3=binding, f4=packed, f6=end, f7=port)


FETCH = (1 << 32) - 1


def call_body(request, number=1, data="x", end=0):
    return frame_with_tail(14, data, f1=request, f2=number, f4=end)


def call_credit(request, number, size):
    return frame(15, f1=request, f2=number, f3=size)


def call_cancel(request, number=1):
    return frame(16, f1=request, f2=number)


CAUGHT_UP = frame(11)

# name: scene, how, claims, frames
WORKER = {
    "hello": (HELLO, 0, 0, hello()),
    "hello-before-the-spawner-answers": (BOOTING, 0, 0, hello()),
    "hello-twice": (HELLO, 0, 0, hello() * 2),
    "hello-of-another-protocol": (HELLO, 0, 0, hello(protocol=1)),
    "hello-with-an-escape": (HELLO, 0, 0, hello("\x1b[2J")),
    "hello-when-ready": (IDLE, 0, 0, hello()),
    "wrong-phase": (HELLO, 0, 0, loaded(ALPHA) + hello()),
    "loaded": (LOADING, 0, 0, loaded(ALPHA) + head(FIRST, "ok", 1) + done(FIRST)),
    "loaded-twice": (LOADING, 0, 0, loaded(ALPHA) * 2),
    "loaded-foreign": (LOADING, 0, 0, loaded(HONEST)),
    "load-failed": (LOADING, 0, 0, loaded(ALPHA, 1, "a.js:1:1: SyntaxError\nlet let")),
    "load-of-the-next": (UPDATING, 0, 0, loaded(NEXT) + done(SECOND, 6) + unloaded(ALPHA)),
    "load-of-the-next-failed": (UPDATING, 0, 0, loaded(NEXT, 2, "too slow")),
    "answer": (SERVING, 0, 0, head(FIRST, "ok", 1, 200, ("Content-Type", "text/plain"))
               + done(FIRST)),
    "answer-in-parts": (SERVING, PIECES_7, 0, head(FIRST) + body(FIRST) + body(FIRST, "", 1)
                        + done(FIRST)),
    "answer-that-splits": (SERVING, 0, 0, head(FIRST, "", 1, 200, (
        "X", "1\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))),
    "answer-with-a-short-length": (SERVING, 0, 0, head(FIRST, "long", 0, 200, (
        "Content-Length", "9")) + body(FIRST, "", 1)),
    "answer-without-a-body": (SERVING, 0, 0, head(FIRST, "body", 0, 204) + body(FIRST, "", 1)),
    "answer-with-status-100": (SERVING, 0, 0, head(FIRST, "", 1, 100)),
    "answer-to-a-post-that-waits": (UPLOADING, 0, 0, head(FIRST, "no", 1) + done(FIRST)),
    "head-twice": (RESPONDING, 0, 0, head(FIRST)),
    "head-with-300-headers": (SERVING, 0, 0, head(FIRST, "", 1, 200, [b""] * 600)),
    "head-of-no-bytes": (SERVING, 0, 0, head(FIRST, "", 1, packed=b"")),
    "head-with-a-name-alone": (SERVING, 0, 0, head(FIRST, "", 1, 200, ("name",))),
    "head-with-a-nul": (SERVING, 0, 0, head(FIRST, "", 1, 200, ("x", "a\0b"))),
    "head-with-sizes-over-its-end": (SERVING, 0, 0, head(FIRST, "", 1, packed=struct.pack("<3I", 2, 1, 1) + b"x")),
    "head-with-sizes-that-wrap": (SERVING, 0, 0, head(FIRST, packed=struct.pack("<3I", 2, 2**32 - 1, 2) + b"x")),
    "head-with-bytes-behind-it": (SERVING, 0, 0, head(FIRST, "", 1, packed=pack() + b"x")),
    "head-with-a-count-over-its-end": (SERVING, 0, 0, head(FIRST, "", 1, packed=struct.pack("<I", 2**30))),
    "fields-in-another-order": (SERVING, 0, 0, frame(6, f2=1, f1=FIRST)),
    "field-twice": (SERVING, 0, 0, raw(field(6, field(1, FIRST) * 2))),
    "default-written-out": (SERVING, 0, 0, raw(field(6, field(1, FIRST) + field(2, 0)))),
    "body": (RESPONDING, 0, 0, body(FIRST, "more") + body(FIRST, "end", 1) + done(FIRST)),
    "body-after-the-end": (ANSWERED, 0, 0, body(FIRST)),
    "body-before-the-head": (SERVING, 0, 0, body(FIRST)),
    "body-of-nothing": (RESPONDING, 0, 0, body(FIRST, "")),
    "body-inside-its-message": (RESPONDING, 0, 0, frame(4, f1=FIRST, f2="x")),
    "body-on-both-sides": (RESPONDING, 0, 0, frame_with_tail(4, "y", f1=FIRST, f2="x")),
    "tail-of-a-message-that-has-none": (SERVING, 0, 0, frame_with_tail(6, "x", f1=FIRST)),
    "tail-without-a-message": (SERVING, 0, 0, with_tail(b"", "x")),
    "tail-of-nothing": (RESPONDING, 0, 0, struct.pack("<II", 8 | 1 << 31, 0) + field(4, message(f1=1))),
    "tail-longer-than-its-frame": (RESPONDING, 0, 0, struct.pack("<II", 8 | 1 << 31, 5) + bytes(4)),
    "tail-without-its-size": (RESPONDING, 0, 0, struct.pack("<IH", 2 | 1 << 31, 1)),
    "body-over-the-window": (CHOKED, 0, 0, body(FIRST, "12345678") + body(FIRST, "9")),
    "body-for-a-client-that-left": (CANCELLED, 0, 0, head(FIRST) + body(FIRST) + done(FIRST, 5)),
    "credit": (UPLOADING, 0, 0, credit(FIRST, 40000)),
    "credit-of-nothing": (UPLOADING, 0, 0, credit(FIRST, 0)),
    "credit-over-the-window": (UPLOADING, 0, 0, credit(FIRST, 0xFFFFFFFF)),
    "credit-without-a-body": (SERVING, 0, 0, credit(FIRST, 1)),
    "done": (ANSWERED, 0, 0, done(FIRST)),
    "done-twice": (ANSWERED, 0, 0, done(FIRST) * 2),
    "done-forged": (SERVING, 0, 0, done(HONEST_REQUEST)),
    "done-with-each-outcome": (SERVING, 0, 0, done(FIRST, 1, "Error: x") + done(SECOND, 3)
                               + done(OF_BETA, 4)),
    "done-unknown-outcome": (SERVING, 0, 0, done(FIRST, 7)),
    "not-loaded": (GONE, 0, 0, done(FIRST, 6) + done(SECOND, 6) + loaded(ALPHA)),
    "not-loaded-over-and-over": (SERVING, 0, 0, done(FIRST, 6) + b"".join(
        done(1024 * i, 6) for i in range(5, 11))),
    "log": (SERVING, 0, 0, log(ALPHA, "two\nlines\x1b[0m\xff") + log(BETA, "", 3)),
    "log-foreign": (SERVING, 0, 0, log(HONEST)),
    "log-flood": (SERVING, 0, 0, log(ALPHA, "x") * 60),
    "unloaded": (UNLOADING, 0, 0, unloaded(ALPHA)),
    "unloaded-with-requests-in-it": (SERVING, 0, 0, unloaded(ALPHA) + unloaded(ALPHA)),
    "unloaded-while-loading": (LOADING, 0, 0, unloaded(ALPHA)),
    "pong": (SERVING, 0, 0, pong()),
    "pong-unasked": (SERVING, 0, 0, pong() * 2),
    "exceeded": (SERVING, 0, 0, exceeded(ALPHA, FIRST, 0) + done(FIRST, 3)),
    "exceeded-observed": (SERVING, 0, 0, exceeded(ALPHA, 0, 4, 5, 1)),
    "exceeded-foreign": (SERVING, 0, 0, exceeded(BETA, FIRST, 0)),
    "caught-up-flood": (SERVING, 0, 0, CAUGHT_UP * 40),
    "call": (SERVING, 0, 0, call(FIRST) + call(FIRST, 2) + done(FIRST) + done(SECOND)),
    "call-with-a-body": (SERVING, 0, 0, call(FIRST, 1, 0, "part", 0, "https", "beta", "/x?y", 8) + call_body(FIRST)
                         + call_body(FIRST, 1, "", 1) + call_cancel(FIRST) + call_cancel(FIRST)),
    "call-that-cannot-be-sent": (SERVING, 0, 0, call(FIRST, path="/\r\nX: y") + call(FIRST, 2, scheme="ftp") + call(FIRST, 3, host="[::1")
                                 + call(FIRST, 4, path="x") + call(FIRST, 5, path="/#") + call(FIRST, 6, port=0)
                                 + call(FIRST, 7, port=65536) + call(FIRST, 8, host="") + done(FIRST)),
    "call-of-fetch": (SERVING, 0, 0, call(FIRST, 1, FETCH, host="example.com") + call(FIRST, 2, FETCH, "part", 0, "https", "a.test", "/", 443)
                      + call_body(FIRST, 2) + done(FIRST)),
    "call-without-parts": (SERVING, 0, 0, call(FIRST, packed=pack("GET", "http://beta/"))),
    "call-of-nobody": (SERVING, 0, 0, call(FIRST, 1, 1) + done(FIRST)),
    "call-by-a-binding-that-is-not-there": (SERVING, 0, 0, call(FIRST, 1, 2)),
    "call-by-a-tenant-without-bindings": (SERVING, 0, 0, call(OF_BETA)),
    "call-out-of-order": (SERVING, 0, 0, call(FIRST, 2)),
    "call-twice": (SERVING, 0, 0, call(FIRST) * 2),
    "call-for-another-request": (SERVING, 0, 0, call(HONEST_REQUEST)),
    "call-for-a-client-that-left": (CANCELLED, 0, 0, call(FIRST) + call_body(FIRST) + done(FIRST, 5)),
    "call-body-after-the-end": (SERVING, 0, 0, call(FIRST) + call_body(FIRST)),
    "call-body-of-nothing": (SERVING, 0, 0, call(FIRST, end=0) + call_body(FIRST, 1, "")),
    "call-body-of-no-call": (SERVING, 0, 0, call_body(FIRST)),
    "call-credit-that-was-not-given": (SERVING, 0, 0, call(FIRST) + call_credit(FIRST, 1, 1)),
    "call-credit-of-no-call": (SERVING, 0, 0, call_credit(FIRST, 1, 1)),
    "call-cancel-of-no-call": (SERVING, 0, 0, call_cancel(FIRST)),
    "call-in-a-circle": (SERVING, 0, 0, call(FIRST) + done(SECOND) + call(OF_BETA)),
    "draining": (DRAINING, 0, 0, head(FIRST, "ok", 1) + done(FIRST) + done(SECOND, 1)
                 + done(OF_BETA, 5)),
    "half-frame": (SERVING, CLOSES, 0, head(FIRST, "never to end")[:-4]),
    "closes-and-is-not-gone": (SERVING, CLOSES | LATE, 0, b""),
    "says-no-hello": (HELLO, LATE, 0, b""),
    "over-its-cpu-rate": (SERVING, 0, 64, head(FIRST, "ok", 1) + done(FIRST) + done(SECOND, 1)),
    "giant-length": (SERVING, 0, 0, b"\xff\xff\xff\xff" + done(FIRST)),
    "zero-length": (SERVING, 0, 0, bytes(4)),
    "unknown-fields": (SERVING, 0, 0, raw(field(6, message(f1=FIRST, f100="a" * 50, f536870911=1))
                                          + field(99, 1))),
    "deep": (SERVING, 0, 0, raw(field(3, field(3, field(3, field(3, field(1, "x"))))))),
    "overlong-varint": (SERVING, 0, 0, raw(b"\x32\x0c\x08" + b"\x80" * 10 + b"\x01")),
    "garbage": (SERVING, PIECES_3, 0, raw(bytes(range(256)))),
    "suspects-are-separated": (SERVING, SPARES, 0, raw(b"\x08\x01")),
    "crash-with-claims": (SERVING, CRASHES, 1 | 8 | 16, b""),
    "claims-of-garbage": (SERVING, CRASHES, 32 | 64 | 128, CAUGHT_UP),
    "deaf": (UPDATING, DEAF, 0, loaded(NEXT, 1) + unloaded(ALPHA) + done(FIRST, 6)),
}

# ---- a client of the admin socket

STATS, WORKERS, TENANTS, RELOAD, LOGS, LOAD, INCIDENTS, QUARANTINE, RELEASE, RETIRE, STATUS, JAIL_REPORT = (
    range(1, 13)
)
DEPLOY, DEPLOY_PART, ROLLBACK, VERSIONS, REMOVE = range(13, 18)
CONFIG_RELOAD = 18
DRAIN, UPGRADE, EXPLAIN, TOP, KILL_WORKER = range(19, 24)
LOG_TAIL = 24
SECRET_SET, SECRET_REMOVE, SECRETS = range(25, 28)

# name: how, frames
ADMIN = {
    "stats": (0, frame(STATS)),
    "workers": (0, frame(WORKERS)),
    "workers-skipped": (0, frame(WORKERS, f1=0xFFFFFFFF)),
    "tenants": (0, frame(TENANTS)),
    "tenants-skipped": (0, frame(TENANTS, f1=1)),
    "reload": (0, frame(RELOAD, f1="alpha")),
    "reload-and-load": (0, frame(RELOAD, f1="alpha", f2=1)),
    "reload-all": (0, frame(RELOAD, f2=1)),
    "reload-a-folder-that-is-gone": (0, frame(RELOAD, f1="beta")),
    "reload-over-and-over": (0, frame(RELOAD, f1="alpha", f2=1) * 20),
    "load": (0, frame(LOAD, f1="alpha")),
    "load-all": (0, frame(LOAD)),
    "logs": (0, frame(LOGS, f1="alpha")),
    "logs-of-all": (0, frame(LOGS) + frame(STATS)),
    "logs-twice": (0, frame(LOGS) + frame(LOGS, f1="beta")),
    "logs-of-nobody": (0, frame(LOGS, f1="nobody")),
    "logs-resumed": (0, frame(LOGS, f1="alpha", f2=1, f3=1, f4="info")),
    "logs-of-no-level": (0, frame(LOGS, f4="loud")),
    "log-tail": (0, frame(STATS) + frame(LOG_TAIL)),
    "log-tail-of-one": (0, frame(STATS) * 3 + frame(LOG_TAIL, f1="alpha", f2=1, f3=1, f4="warn")),
    "log-tail-after-the-last": (0, frame(LOG_TAIL, f2=2**64 - 1, f3=2**32 - 1)),
    "log-tail-of-nobody": (0, frame(LOG_TAIL, f1="nobody", f4="loud")),
    "incidents": (0, frame(INCIDENTS)),
    "incidents-of-one": (0, frame(INCIDENTS, f1=1, f2="alpha", f3=2)),
    "incidents-after-the-last": (0, frame(INCIDENTS, f1=2**64 - 1, f3=2**32 - 1)),
    "incidents-of-nobody": (0, frame(INCIDENTS, f2="nobody")),
    "quarantine": (0, frame(QUARANTINE, f1="alpha", f2=60) + frame(TENANTS)),
    "quarantine-for-ever": (0, frame(QUARANTINE, f1="alpha") + frame(LOAD, f1="alpha")),
    "quarantine-too-long": (0, frame(QUARANTINE, f1="alpha", f2=2**64 - 1)),
    "release": (0, frame(QUARANTINE, f1="alpha") + frame(RELEASE, f1="alpha")),
    "release-of-nobody": (0, frame(RELEASE, f1="")),
    "retire": (0, frame(RETIRE)),
    "explain": (0, frame(EXPLAIN, f1="alpha")),
    "explain-nobody": (0, frame(EXPLAIN) + frame(EXPLAIN, f1="alpha\0")),
    "top": (0, frame(TOP) + frame(TOP, f1=1)),
    "top-skipped": (0, frame(TOP, f2=1) + frame(TOP, f1=1, f2=2**32 - 1)),
    "kill-worker": (0, frame(KILL_WORKER, f1=1) + frame(WORKERS)),
    "kill-worker-twice": (0, frame(KILL_WORKER) * 2),
    "kill-worker-of-none": (0, frame(KILL_WORKER, f1=2**32 - 1)),
    "deploy": (0, frame(DEPLOY, f1="alpha") + frame(STATS)),
    "deploy-of-no-name": (0, frame(DEPLOY, f1="../x") + frame(DEPLOY)),
    "deploy-part": (0, frame(DEPLOY, f1="new") + frame(DEPLOY_PART, f1="a.js", f3="x", f4=1)),
    "deploy-end": (0, frame(DEPLOY_PART, f5=1) + frame(DEPLOY_PART, f2="A", f3="1")),
    "rollback": (0, frame(ROLLBACK, f1="alpha") + frame(ROLLBACK, f1="new", f2="ab" * 40)),
    "versions": (0, frame(VERSIONS, f1="alpha") + frame(VERSIONS)),
    "remove": (0, frame(REMOVE, f1="alpha") + frame(REMOVE, f1="new") + frame(TENANTS)),
    "secret-set": (0, frame(SECRET_SET, f1="alpha", f2="KEY", f3="x") + frame(STATS)),
    "secret-set-of-no-name": (0, frame(SECRET_SET, f1="../x", f2="KEY", f3="x") + frame(SECRET_SET)),
    "secret-remove": (0, frame(SECRET_REMOVE, f1="alpha", f2="KEY") + frame(SECRET_REMOVE)),
    "secrets": (0, frame(SECRETS) + frame(SECRETS, f1="alpha", f2=1) + frame(SECRETS, f1="a" * 600)),
    "status": (0, frame(STATUS)),
    "drain": (0, frame(DRAIN) + frame(STATUS)),
    "upgrade": (0, frame(UPGRADE) + frame(STATUS)),
    "upgrade-pipelined": (PIECES_7, frame(UPGRADE) * 4 + frame(DRAIN)),
    "jail-report": (0, frame(JAIL_REPORT)),
    "jail-report-of-a-cordon": (0, frame(JAIL_REPORT, f1="shared")),
    "jail-report-of-none": (0, frame(JAIL_REPORT, f1="nothing")),
    "retire-a-cordon": (0, frame(RETIRE, f1="shared") + frame(WORKERS)),
    "retire-a-slot": (0, frame(RETIRE, f1="shared", f2=1, f3=1)),
    "retire-a-slot-of-none": (0, frame(RETIRE, f2=1)),
    "retire-no-slot": (0, frame(RETIRE, f1="shared", f2=1, f3=99)),
    "config-reload": (0, frame(CONFIG_RELOAD) + frame(STATUS)),
    "retire-no-cordon": (0, frame(RETIRE, f1="nothing")),
    "name-with-zero": (0, frame(LOAD, f1="alpha\0")),
    "name-is-long": (0, frame(LOAD, f1="a" * 600)),
    "all-commands": (0, b"".join(frame(case) for case in range(1, 11))),
    "byte-by-byte": (PIECES_1, frame(STATS) + frame(TENANTS, f1=0)),
    "pipelined": (PIECES_7, (frame(STATS) + frame(WORKERS)) * 10),
    "more-answers-than-are-queued": (0, frame(TENANTS) * 165),
    "does-not-read": (DEAF, frame(LOGS) + frame(TENANTS) * 60),
    "half-frame": (CLOSES, frame(LOAD, f1="alpha")[:-2]),
    "leaves-before-the-answer": (CLOSES | DEAF, frame(TENANTS)),
    "giant-length": (0, b"\xff\xff\xff\xff"),
    "zero-length": (0, bytes(4) + frame(STATS)),
    "no-command": (0, raw(field(11, ""))),
    "two-commands-in-one": (0, raw(field(STATS, "") + field(TENANTS, ""))),
    "unknown-fields": (0, raw(field(STATS, message(f9="a" * 40)) + field(99, 1))),
    "deep": (0, raw(field(RETIRE, field(1, field(1, field(1, field(1, "x"))))))),
    "overlong-varint": (0, raw(b"\x12\x0c\x08" + b"\x80" * 10 + b"\x01")),
    "wrong-wire-type": (0, raw(b"\x08\x01")),
    "garbage": (PIECES_3, raw(bytes(range(256)))),
    "http": (0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
}

# ---- egress: numbers of fetches, and options, of fuzz_egress_frames.c

PLAIN, UPLOADS, UPLOADED, DROPPED, ENDED = range(1, 6)
EGRESS_CLOSES, MORE_CREDIT = 8, 16
NO_FAILURE, OF_CANCEL, BY_TIME = 0, 1, 11


def answer_head(fetch, *fields, status=200, version=11):
    return frame(2, f1=fetch, f2=status, f3=version, f4=pack(*fields))


def answer_body(fetch, text):
    return frame(3, f1=fetch, f2=text)


def answer_done(fetch, failure=NO_FAILURE, text="", received=0, sent=0):
    return frame(5, f1=fetch, f2=failure, f3=text, f4="192.0.2.1:80", f5=sent, f6=received, f7=1, f8=5, f9=6, f10=7)


EGRESS = {
    "whole-answer": (0, answer_head(PLAIN, "content-type", "text/plain", "x", "") + answer_body(PLAIN, "hello") +
                     answer_done(PLAIN, received=5)),
    "in-pieces": (PIECES_3, answer_head(PLAIN, version=20) + answer_body(PLAIN, "a") + answer_done(PLAIN, received=1)),
    "credit-for-uploads": (0, frame(4, f1=UPLOADS, f2=3000) + frame(4, f1=UPLOADED, f2=3000) + answer_done(UPLOADS, BY_TIME, "late", sent=3000)),
    "cancelled": (0, answer_head(DROPPED) + answer_body(DROPPED, "x") + answer_done(DROPPED, OF_CANCEL, "cancelled", 1)),
    "many-parts": (MORE_CREDIT, answer_head(PLAIN) + answer_body(PLAIN, "x" * 900) * 4 + answer_done(PLAIN, received=3600)),
    "closes": (EGRESS_CLOSES, answer_head(PLAIN) + frame(6)),
    "pong": (0, frame(6) * 3),
    "over-its-credit": (0, answer_head(PLAIN) + answer_body(PLAIN, "x" * 1001)),
    "credit-of-nothing": (0, frame(4, f1=PLAIN, f2=1)),
    "more-credit-than-bytes": (0, frame(4, f1=UPLOADS, f2=3001)),
    "body-before-head": (0, answer_body(PLAIN, "x")),
    "second-head": (0, answer_head(PLAIN) * 2),
    "done-twice": (0, answer_done(PLAIN, BY_TIME) * 2),
    "of-one-that-ended": (0, answer_head(ENDED)),
    "of-none": (0, answer_done(99, BY_TIME)),
    "complete-without-head": (0, answer_done(PLAIN)),
    "wrong-count": (0, answer_done(PLAIN, BY_TIME, received=1)),
    "text-with-escape": (0, answer_done(PLAIN, BY_TIME, "\x1b[2J")),
    "line-in-a-value": (0, answer_head(PLAIN, "a", "b\r\nc: d")),
    "status-of-100": (0, answer_head(PLAIN, status=100)),
    "broken-head": (0, frame(2, f1=PLAIN, f2=200, f3=11, f4=b"\x01\0\0\0\x09")),
    "second-hello": (0, frame(1, f1="egress", f2=1)),
    "empty": (0, raw(b"\0")),
    "giant-length": (0, b"\xff\xff\xff\xff"),
}

# ---- data: options of fuzz_data_frames.c

DATA_LATE, DATA_DEAF = 8, 16
KV, SQL = 0, 1
NO_LIMIT = 2**32 - 1


def data_open(number, operation="echo", kind=KV, tenant="a", space="main", body=False, credit=1 << 20, rate=NO_LIMIT, ms=NO_LIMIT):
    limits = message(f1=rate, f2=NO_LIMIT, f3=NO_LIMIT, f4=1, f5=NO_LIMIT, f6=ms, f7=4)
    return frame(1, f1=number, f2=tenant, f3=kind, f4=space, f5=operation, f6=int(body), f7=credit, f8=limits)


def data_body(number, text, end=False):
    return frame(2, f1=number, f2=text, f3=int(end))


def data_credit(number, count):
    return frame(3, f1=number, f2=count)


def data_cancel(number):
    return frame(4, f1=number)


def data_close(number, tenant="a"):
    return frame(5, f1=number, f2=tenant)


DATA = {
    "echo": (0, data_open(1, body=True) + data_body(1, "hello", True)),
    "in-pieces": (PIECES_3, data_open(1, body=True) + data_body(1, "a") + data_body(1, "", True) + data_open(2, kind=SQL)),
    "credit-later": (0, data_open(1, body=True, credit=0) + data_body(1, "hello", True) + data_credit(1, 4) + data_credit(1, 1)),
    "large-answers": (0, data_open(1, "large") + data_open(2, "large", SQL, credit=0) + data_credit(2, 1 << 20)),
    "deaf": (DATA_DEAF, b"".join(data_open(i, "large") for i in range(1, 9))),
    "together": (DATA_LATE, b"".join(data_open(i, credit=9) for i in range(1, 20))),
    "cancelled": (DATA_LATE, data_open(1, body=True) + data_open(2) + data_open(3) + data_open(4, "large", credit=0) +
                  b"".join(data_cancel(i) for i in range(1, 5))),
    "closed": (DATA_LATE, data_open(1, body=True) + data_open(2, kind=SQL) + data_open(3) + data_close(4) + data_open(5) + data_close(6)),
    "closed-then-opened": (0, data_open(1) + frame(6) * 3 + data_close(2) + frame(6) * 3 + data_open(3)),
    "over-its-rate": (0, b"".join(data_open(i, rate=2) for i in range(1, 6))),
    "no-time": (DATA_LATE, data_open(1, kind=SQL, ms=0) + data_open(2, kind=SQL, ms=1)),
    "many-files": (0, b"".join(data_open(i, kind=SQL, space=f"s{i}") for i in range(1, 50))),
    "full": (0, data_open(1, tenant="full") + data_open(2, kind=SQL, tenant="full")),
    "spoilt": (0, data_open(1, "spoil") + data_open(2) + data_open(3, "none")),
    "leaves": (DATA_LATE, data_open(1, body=True) + data_body(1, "x") + data_open(2) + data_open(3, kind=SQL) + data_close(4, "b")),
    "ping": (0, frame(6) * 3),
    "number-again": (0, data_open(1) * 2),
    "of-none": (0, data_cancel(1)),
    "late-frames": (0, data_open(1) + frame(6) * 9 + data_cancel(1) + data_credit(1, 1)),
    "body-unasked": (0, data_open(1, credit=0) + data_body(1, "x")),
    "much-credit": (0, data_open(1, credit=1 << 20, body=True) + data_credit(1, 1)),
    "bad-tenant": (0, data_open(1, tenant="..")),
    "bad-operation": (0, data_open(1, "GET")),
    "bad-kind": (0, data_open(1, kind=2)),
    "no-limits": (0, frame(1, f1=1, f2="a", f4="main", f5="get")),
    "empty": (0, raw(b"\0")),
    "giant-length": (0, b"\xff\xff\xff\xff"),
}

# ---- frames of every envelope, see fuzz_frame.c

FROM_WORKER, TO_WORKER, COMMAND, ANSWER, STORE_REQUEST, STORE_ANSWER = range(6)
FRAMES = {
    "from-worker": (FROM_WORKER, hello() + frame(2, f1=1, f2=0, f3="text", f4=7) + frame(9, f1=1)),
    "to-worker-with-a-tail": (TO_WORKER, frame_with_tail(6, "body", f1=2048) + frame_with_tail(2, "file", f1=1, f2="a")),
    "from-worker-with-a-tail": (FROM_WORKER, frame_with_tail(4, "body", f1=2048) + frame_with_tail(3, "x", f1=1, f2=200)),
    "command-with-a-tail": (COMMAND, frame_with_tail(4, "x", f1="alpha")),
    "to-worker": (TO_WORKER, frame(1, f1=1, f2="a", f3="worker.js") + frame(4, f1=5, f2="GET", f3="/")),
    "command": (COMMAND, b"".join(frame(case, f1="alpha") for case in range(1, 26))),
    "answer": (ANSWER, frame(1, f1="0.1", f2="13.6", f3=9) + frame(2, f1="gone", f2="why")),
    "store-request": (STORE_REQUEST, b"".join(frame(case, f1=1, f2="a") for case in range(1, 12))),
    "store-answer": (STORE_ANSWER, b"".join(frame(case, f1=1, f2="a" * 64) for case in range(1, 9))),
    "repeated": (ANSWER, frame(3, f1=[message(f1="a", f2=1)] * 30)),
    "truncated": (COMMAND, frame(4, f1="alpha")[:-1]),
    "giant-length": (COMMAND, b"\xff\xff\xff\xff"),
    "most-length": (COMMAND, b"\x00\x00\x10\x00"),
    "zero-length": (COMMAND, bytes(4) + frame(1)),
    "overlong-varint": (STORE_ANSWER, raw(b"\x12\x0c\x08" + b"\x80" * 10 + b"\x01")),
    "unknown-fields": (TO_WORKER, raw(field(99, "x") + field(1, message(f98=1)))),
}


def write(folder, seeds):
    for name, (*options, frames) in seeds.items():
        content = bytes(options) + frames
        assert len(content) < 4096, name
        (CORPUS / folder).mkdir(exist_ok=True)
        (CORPUS / folder / name).write_bytes(content)


write("worker_frames", WORKER)
write("admin_frames", ADMIN)
write("egress_frames", EGRESS)
write("data_frames", DATA)
write("frame", FRAMES)
