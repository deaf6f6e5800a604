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
    pid = skepd.worker()["pid"]
    held = lambda: sum(skepd.tenant(name)["heap_kib"] for name in names)
    wait_for(lambda: held() > 8 * 1000, "the last requests to be measured")
    busy = held()
    wait_for(lambda: held() < busy - 8 * 50, "the heaps to become smaller, with nothing to do", timeout=30)
    for name in names:
        assert skepd.get(name, "/?q=1").text == f"{name} ?q=1"
    assert skepd.worker()["pid"] == pid
    assert skepd.tenant("t0")["cpu_ms"] > 0
