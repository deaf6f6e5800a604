#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what an isolate costs, side by side with one of the same V8 without skep's JavaScript layer, and what each API costs an
isolate when it is first touched: see bench_isolate.c. Memory is the proportional set size of a process with many isolates, less
that without them."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SKEP_BIN") or TOP / "build" / "release").resolve()
GOAL_KIB = 1434
GOAL_CONTEXT_US = 1000
HELLO = "return new Response('hi');"
BUSY = 2000
# Code that a handler runs before it answers.
TOUCHES = {
    "URL": "new URL(request.url).searchParams.get('a');",
    "request.headers, Headers": "request.headers.get('accept'); new Headers({ a: 'b' });",
    "structuredClone": "structuredClone({ a: [1] });",
    "TextEncoder, TextDecoder": "new TextDecoder().decode(new TextEncoder().encode('a'));",
    "atob, btoa": "atob(btoa('a'));",
    "setTimeout": "clearTimeout(setTimeout(() => {}, 1e6));",
    "AbortController": "new AbortController().abort();",
    "EventTarget": "new EventTarget().dispatchEvent(new Event('a'));",
    "console.log of an object": "console.log({ a: [1, 'b'] });",
    "ReadableStream": "await new Response(new ReadableStream({ start(c) { c.close(); } })).text();",
    "TransformStream": "await new Response(new Blob(['a']).stream().pipeThrough(new TransformStream())).text();",
    "Blob, FormData": "const f = new FormData(); f.append('a', new Blob(['b'])); await new Response(f).formData();",
    "crypto.randomUUID": "crypto.randomUUID();",
    "crypto.subtle.digest": "await crypto.subtle.digest('SHA-256', new Uint8Array(9));",
    "CompressionStream": "await new Response(new Blob(['a']).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer();",
    "HTMLRewriter": "await new HTMLRewriter().on('p', { element(e) { e.append('a'); } }).transform(new Response('<p>')).text();",
    "URLPattern": "new URLPattern({ pathname: '/:a' }).test(request.url);",
    "MessageChannel": "const { port1, port2 } = new MessageChannel(); port2.onmessage = () => {}; port1.postMessage(1);",
    "performance.mark": "performance.mark('a'); performance.clearMarks();",
    "scheduler.postTask": "scheduler.postTask(() => {});",
    "Intl": "new Intl.NumberFormat('de').format(1e6);",
    "WebAssembly": "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));",
}


def measure(count, cases):
    lines = "".join(f"{name}\t{requests}\t{body}\n" for name, requests, body in cases)
    run = subprocess.run([BIN / "tests" / "bench_isolate", str(count)], input=lines, stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        sys.exit(f"bench_isolate failed with status {run.returncode}")
    return {row["name"]: row for row in map(json.loads, run.stdout.splitlines())}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench isolate", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="isolates of each case (100)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--check", action="store_true", help="fail if a goal is missed")
    arguments = parser.parse_args()
    cases = [("bare", 0, HELLO), ("new", 0, HELLO), ("hello", 2, HELLO), ("busy", BUSY, HELLO)]
    cases += [(name, 2, touch + HELLO) for name, touch in TOUCHES.items()]
    rows = measure(arguments.count, cases)
    held = rows["hello"]["idle_kib"] <= GOAL_KIB and rows["new"]["context_us"] <= GOAL_CONTEXT_US
    if arguments.json:
        print(json.dumps({"isolates": arguments.count, "rows": rows, "goals_held": held}, indent=1))
    else:
        show(rows)
        print(f"goals: {GOAL_KIB} KiB for an idle isolate that has served, {GOAL_CONTEXT_US} µs for a context: "
            f"{'held' if held else 'missed'}")
    if arguments.check and not held:
        sys.exit(1)


def show(rows):
    labels = {
        "bare": "V8 without the layer",
        "new": "isolate that has loaded nothing",
        "hello": "tenant that has answered twice",
        "busy": f"tenant that has answered {BUSY} times",
    }
    print(f"{'':34}{'KiB':>8}{'idle':>8}{'isolate':>9}{'context':>9}{'load':>7}{'first':>7}{'others':>8}{'rest':>7}  µs of CPU")
    for name, label in labels.items():
        row = rows[name]
        print(f"{label:34}{row['kib']:8.0f}{row['idle_kib']:8.0f}{row['new_us']:9}{row['context_us']:9}{row['load_us']:7}"
            f"{row['first_us']:7}{row['others_us']:8}{row['rest_us']:7}")
    hello = rows["hello"]
    print(f"\n{'first touch of':34}{'KiB':>8}{'µs':>8}")
    for name in TOUCHES:
        row = rows[name]
        print(f"{name:34}{row['idle_kib'] - hello['idle_kib']:8.0f}{row['first_us'] - hello['first_us']:8}")
    print()


main()
