# SPDX-License-Identifier: Apache-2.0
"""An isolate that has had nothing to do for some seconds gives the room of its garbage back to the kernel."""

from harness import Loader, cordon, honest, wait_for


def test_idle_isolates_give_their_garbage_back_and_serve_on(start):
    names = [f"t{i}" for i in range(8)]
    skepd = start({name: honest(name) for name in names}, cordons=[cordon()])
    for name in names:
        with Loader(skepd, name) as load:
            load.more(1500)
        assert not load.wrong
    worker = skepd.worker()
    busy = worker["memory_kib"]
    wait_for(lambda: skepd.worker()["memory_kib"] < busy - 8 * 600, "the isolates to become smaller", timeout=30)
    for name in names:
        assert skepd.get(name, "/?q=1").text == f"{name} ?q=1"
    assert skepd.worker()["pid"] == worker["pid"]
    assert skepd.tenant("t0")["cpu_ms"] > 0
