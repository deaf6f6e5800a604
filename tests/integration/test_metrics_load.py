# SPDX-License-Identifier: Apache-2.0
"""The endpoint for Prometheus with many tenants, and with scrapers that are slow, many, or hostile:
nothing is held up, and nothing grows."""

import socket
import threading
import time

import pytest

from harness import cordon, free_port, rss_kib, script, wait_for
from scrape import ask, scrape

HELLO = script('return new Response("hello");')


@pytest.fixture(scope="module")
def crowded(start_module):
    """300 tenants, each with series."""
    port = free_port()
    tenants = {f"t{i:03}": HELLO for i in range(300)}
    skepd = start_module(
        tenants, metrics={"listen": f"127.0.0.1:{port}"}, cordons=[cordon(workers=2)]
    )
    skepd.metrics_port = port
    with skepd.connect() as connection:
        for name in tenants:
            assert connection.request("GET", f"{name}.test").status == 200
    return skepd


def test_hundreds_of_tenants_are_all_there(crowded):
    metrics = scrape(crowded.metrics_port)
    assert len(metrics.labels("tenant")) == 301
    assert len(metrics.text) > 500_000
    for i in range(300):
        assert metrics.get("skep_requests_total", tenant=f"t{i:03}", code="ok") >= 1


def test_scrape_does_not_hold_up_requests(crowded):
    """While scrapes go on without end, requests are answered between their pieces."""
    stop = threading.Event()
    scrapes = []

    def scrape_on():
        while not stop.is_set():
            scrapes.append(len(ask(crowded.metrics_port).body))

    threads = [threading.Thread(target=scrape_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    times = []
    try:
        with crowded.connect() as connection:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                began = time.monotonic()
                assert connection.request("GET", "t000.test").status == 200
                times.append(time.monotonic() - began)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    times.sort()
    assert len(scrapes) > 2 and min(scrapes) > 500_000
    assert times[len(times) // 2] < 0.05


def slow_scraper(port):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n")
    return client


def test_scrapers_that_read_nothing_hold_up_nobody_and_take_little_memory(crowded):
    before = rss_kib(crowded.pid)
    clients = [slow_scraper(crowded.metrics_port) for _ in range(4)]
    try:
        wait_for(lambda: ask(crowded.metrics_port).status == 503, "all places to be taken")
        assert ask(crowded.metrics_port).headers["retry-after"] == "1"
        assert crowded.get("t000").status == 200
        assert rss_kib(crowded.pid) - before < 8 * 1024
        # Their answers are cut off in the end, not completed.
        wait_for(lambda: ask(crowded.metrics_port).status == 200, "them to go", timeout=40)
    finally:
        for client in clients:
            client.close()


def test_scraper_that_leaves_in_the_middle_leaves_nothing(crowded):
    for _ in range(20):
        client = slow_scraper(crowded.metrics_port)
        client.recv(1000)
        client.close()
    wait_for(lambda: ask(crowded.metrics_port).status == 200, "their places to be free")


def test_flood_of_scrapers_is_bounded(crowded):
    before = rss_kib(crowded.pid)
    clients = []
    try:
        for _ in range(200):
            client = socket.socket()
            client.settimeout(5)
            client.connect(("127.0.0.1", crowded.metrics_port))
            try:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n" * 5)
            except OSError:
                pass  # closed at once: too many of this address
            clients.append(client)
        for _ in range(20):
            assert crowded.get("t000").status == 200
        assert rss_kib(crowded.pid) - before < 16 * 1024
    finally:
        for client in clients:
            client.close()

    def answers():
        try:
            return ask(crowded.metrics_port).status == 200
        except OSError:
            return False

    wait_for(answers, "the flood to be over")
    assert len(scrape(crowded.metrics_port).labels("tenant")) == 301


def test_garbage_is_refused_like_at_the_front(crowded):
    for garbage in (
        b"GET /metrics\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: m\r\nX: " + b"x" * 20000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", crowded.metrics_port), timeout=10) as client:
            client.sendall(garbage + b"\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 4")
    assert ask(crowded.metrics_port).status == 200


def test_scrape_that_is_under_way_at_the_end_holds_up_nothing(start):
    port = free_port()
    skepd = start({"a": HELLO}, metrics={"listen": f"127.0.0.1:{port}"})
    client = slow_scraper(port)
    skepd.stop()  # checks that it ends well
    client.close()


