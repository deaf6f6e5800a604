# SPDX-License-Identifier: Apache-2.0
"""Values that a tenant's JavaScript may choose (proto/PROTOCOL.md, "Values that a tenant can steer") never break the protocol: the
worker that it shares with others lives, and the incident has a bounded figure."""

import pathlib
import re

from harness import script

TOP = pathlib.Path(__file__).parents[2]

# Handlers that each ask for more than there can be of something that is counted and reported to skepd.
WISHES = {
    "buffer": "new ArrayBuffer(2 ** 52)",
    "doubles": "new Float64Array(2 ** 49)",
    "resizable": "new ArrayBuffer(1, { maxByteLength: 2 ** 40 }).resize(2 ** 40)",
    "wasm": "new WebAssembly.Memory({ initial: 65536 })",
    "clone": "structuredClone(new Uint8Array(8), { transfer: [new ArrayBuffer(2 ** 52)] })",
    "timers": "for (let i = 0; i < 1e4; i++) setTimeout(() => {}, 2 ** 31 - 1)",
    "logs": "for (let i = 0; i < 2000; i++) console.log('x'.repeat(i))",
}
HANDLER = (
    "const wishes = {"
    + ", ".join(f"{name}: () => {{ {code}; }}" for name, code in WISHES.items())
    + "};"
    "try { wishes[new URL(request.url).pathname.slice(1)](); } catch {} return new Response('lives');"
)


def test_wish_that_cannot_be_met_costs_the_worker_nothing(start):
    skepd = start(
        {
            "greedy": {"limits": {"cpu_ms": 5000}, "files": {"worker.js": script(HANDLER)}},
            "slow": script(
                'console.log("entered"); await new Promise((r) => setTimeout(r, 500));'
                'return new Response("done");'
            ),
        }
    )
    with skepd.connect() as connection:
        connection.send_head("POST", "slow.test", headers=[("Content-Length", 0)])
        skepd.wait_log("entered")
        for name in WISHES:
            assert skepd.get("greedy", f"/{name}").text == "lives", name
        assert connection.read_response().text == "done"
    assert "broke the protocol" not in skepd.log()
    assert skepd.worker()["restarts"] == 0
    incidents = skepd.admin("incidents")
    assert any("external_mib" in str(incident) for incident in incidents["incidents"]), incidents


def test_incident_of_a_heap_death_says_what_was_in_use(start):
    """The figure is bounded: an isolate is measured after its entries, and this one dies in its first."""
    code = "const kept = []; for (let i = 0; i < 40; i++) kept.push(new Array(2 ** 17).fill(i));"
    code += "new Array(2 ** 27).fill(0); return new Response(String(kept.length));"
    limits = {"cpu_ms": 5000, "heap_mib": 96}
    skepd = start({"array": {"limits": limits, "files": {"worker.js": script(code)}}})
    assert skepd.get("array").code == "mem_isolate"
    deaths = [i for i in skepd.admin("incidents")["incidents"] if i["stage"] == "killed"]
    assert [(death["cause"], death["limit"]) for death in deaths] == [("heap_mib", 96)]
    assert deaths[0]["used"] >= 40


# ---- the table of PROTOCOL.md


def table_rows():
    """Returns the first cells of "Values that a tenant can steer", name by name."""
    text = (TOP / "proto/PROTOCOL.md").read_text()
    section = text.split("### Values that a tenant can steer", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\|([^|]*)\|", section, re.M)
    return {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}


def messages():
    """Returns the names of fields by name of message, from worker.proto."""
    text = re.sub(r"//.*", "", (TOP / "proto/worker.proto").read_text())
    return {
        name: re.findall(r"^\s*(?:repeated\s+)?\w+\s+(\w+)\s*=\s*\d+;", body, re.M)
        or re.findall(r"\w+ (\w+) = \d+;", body)
        for name, body in re.findall(r"message (\w+) \{(.*?)\}", text, re.S)
    }


def test_table_has_each_field_that_a_worker_sends():
    text = (TOP / "proto/worker.proto").read_text()
    envelope = re.search(r"message FromWorker \{.*?oneof message \{(.*?)\}", text, re.S)
    all_messages, rows, missing = messages(), table_rows(), []
    names = re.findall(r"(\w+) \w+ = \d+;", envelope[1])
    assert len(names) >= 11
    for name in names:
        missing += [f"{name}.{field}" for field in all_messages[name] if f"{name}.{field}" not in rows]
    assert not missing
    frames = {row for row in rows if "." in row}
    assert frames == {f"{name}.{field}" for name in names for field in all_messages[name]}


def test_table_has_each_place_of_the_scoreboard():
    text = re.sub(r"/\*.*?\*/", "", (TOP / "proto/scoreboard.h").read_text(), flags=re.S)
    places = set(re.findall(r"^\s+(?:_Atomic \w+|struct \w+) (\w+)(?:\[\w+\])?;", text, re.M))
    assert {"heartbeat", "cpu_ns", "entered", "placements"} <= places
    assert places - {"placement", "unused"} <= table_rows()


def test_table_has_each_native():
    text = (TOP / "worker/v8/natives.cc").read_text()
    natives = set(re.findall(r'^    \{ "(\w+)", native_\w+ \},', text, re.M))
    assert len(natives) >= 19
    assert natives <= table_rows()
