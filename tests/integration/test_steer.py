# SPDX-License-Identifier: Apache-2.0
"""What a tenant's JavaScript may choose (proto/PROTOCOL.md, "What a tenant can steer") never breaks the protocol: the
worker that it shares with others lives, and the incident says a bounded figure."""

from harness import script

# Each asks for more than there can be, of something that is counted and told to skepd.
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
