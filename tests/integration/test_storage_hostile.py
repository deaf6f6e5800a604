# SPDX-License-Identifier: Apache-2.0
"""Tenants that do what harms their neighbours in the storage of a cordon."""

import concurrent.futures

from harness import descendants, is_alive, rss_kib, status_of, wait_for
from storing import NO_RATE, ask, storing

HOLDERS = [f"holder{i}" for i in range(6)]
# Holds values that it does not read, until the key "end" is there.
HOLD = """
    if (pathname === "/put") { await KV.put("large", new Uint8Array(24 * 2 ** 20)); return Response.json(1); }
    if (pathname === "/end") { await KV.put("end", "1"); return Response.json(1); }
    const held = Promise.allSettled([1, 2, 3].map(() => KV.get("large", "stream")));
    while (await KV.get("end").catch(() => null) === null) await new Promise((resolve) => setTimeout(resolve, 200));
    return Response.json((await held).length);
"""
GOOD = 'return Response.json(await DB.prepare("select 1 as one").first("one"));'


def hold(skepd, name):
    with skepd.connect(timeout=150) as connection:
        return connection.request("GET", f"{name}.test").status


def memory_kib(skepd):
    """The memory of the data process."""
    return next(rss_kib(pid) for pid in descendants(skepd.pid) if is_alive(pid) and status_of(pid)["Name"].strip() == "skep-data")


def test_values_that_nobody_reads_do_not_keep_neighbours_out(start):
    limits = {**NO_RATE, "wall_ms": 120000, "call_mib": 1000}
    config = {"storage": {"folder": "data"}, "limits": {"maximum": {"storage_rate": 1000000, "wall_ms": 120000}}}
    skepd = start({**{name: storing(HOLD, limits=limits) for name in HOLDERS}, "good": storing(GOOD)}, **config)
    for name in HOLDERS:
        assert ask(skepd, name, "/put") == 1

    most = 0

    def has_made_room():
        nonlocal most
        assert ask(skepd, "good") == 1
        now = memory_kib(skepd)
        most = max(most, now)
        return now < most - (20 << 10)

    with concurrent.futures.ThreadPoolExecutor(len(HOLDERS)) as pool:
        holding = [pool.submit(hold, skepd, name) for name in HOLDERS]
        try:
            wait_for(has_made_room, "values to make room", timeout=60)
            assert ask(skepd, "good") == 1
        finally:
            for name in HOLDERS:
                ask(skepd, name, "/end")
        for one in holding:
            assert one.result() == 200
