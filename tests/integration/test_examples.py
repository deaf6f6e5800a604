# SPDX-License-Identifier: Apache-2.0
"""The tenants of examples/, as scripts/run serves them."""

import json
import re

import pytest

from harness import Loader, wait_for
from soak import HOGS, report, soak


STORAGE = {"folder": "data"}  # without it the guestbook is not served


def test_hello_greets(start, examples):
    skepd = start(tenants_folder=examples, storage=STORAGE)
    assert skepd.get("hello.localhost").text == "Hello from skep\n"


def test_guestbook_keeps_what_visitors_write(start, examples):
    skepd = start(tenants_folder=examples, storage=STORAGE)
    assert skepd.get("guestbook.localhost").json() == {"visits_today": 1, "entries": []}
    entry = {"name": "Ada", "text": "'); DROP TABLE entries --"}
    written = skepd.post("guestbook.localhost", json.dumps(entry).encode())
    assert (written.status, written.json()) == (201, {"id": 1})
    assert skepd.get("guestbook.localhost").json() == {"visits_today": 2, "entries": [entry]}


def test_shop_asks_prices(start, examples):
    skepd = start(tenants_folder=examples, storage=STORAGE)
    assert skepd.get("shop.localhost").text == "apples: 3\n"
    assert skepd.get("shop.localhost", "/nuts").text == "no nuts today\n"
    assert skepd.get("prices.localhost", "/apples").status == 403


@pytest.mark.parametrize("name", HOGS)
def test_hog_gets_its_code_again_and_again(start, examples, name):
    skepd = start(tenants_folder=examples, storage=STORAGE)
    for _ in range(3):
        answer = skepd.get(f"{name}.localhost")
        assert (answer.status, answer.code) == (503, HOGS[name])
        assert skepd.get("hello.localhost").status == 200
    deaths = {"stuck": 3}
    assert skepd.worker()["restarts"] == deaths.get(name, 0)
    assert skepd.tenant(name)["kills"] == deaths.get(name, 0)


def test_router_is_a_hono_app_that_runs_unchanged(start, examples):
    skepd = start(tenants_folder=examples, storage=STORAGE)

    def get(path, **headers):
        return skepd.get("router.localhost", path, list(headers.items()))

    assert get("/").text.startswith("skep router example")
    assert get("/users/7").json() == {"id": 7, "path": "/users/7"}
    assert get("/users/seven").status == 404
    assert get("/json", **{"User-Agent": "test"}).json() == {"hello": "world", "agent": "test"}
    assert get("/search?q=a%20b&tag=1&tag=2").json() == {"q": "a b", "all": ["1", "2"]}
    assert re.fullmatch(r"\d+", get("/").header("X-Served-Before"))
    assert get("/nowhere").json() == {"error": "nothing at /nowhere"}
    failed = get("/fail")
    assert (failed.status, failed.json()) == (500, {"error": "failed on purpose"})
    skepd.wait_log("failed on purpose")

    counted = get("/count/50")
    assert counted.header("Transfer-Encoding") == "chunked"
    assert counted.text.split() == [str(n) for n in range(1, 51)]

    body = bytes(range(256)) * 1000
    assert skepd.post("router.localhost", body, "/echo").body == body

    made = skepd.post(
        "router.localhost",
        json.dumps({"text": "bees"}).encode(),
        "/notes",
        [("Content-Type", "application/json")],
    )
    assert made.status == 201
    path = made.header("Location")
    assert get(path).json()["text"] == "bees"
    assert made.json() in get("/notes").json()
    assert skepd.request("DELETE", "router.localhost", path).status == 204
    assert get(path).status == 404


def test_hello_answers_every_request_while_hogs_die_beside_it(start, examples):
    """The short form of the soak: 10 s or longer, everything in one worker at first."""
    skepd = start(tenants_folder=examples, storage=STORAGE)
    loaders, hogs = soak(skepd, 10, answers=3)
    assert report(loaders, hogs)
    assert all(hog.right >= 3 for hog in hogs)
    assert skepd.tenant("stuck")["kills"] >= 3
    for name in ("hello", "router", "hog-array", "hog-cpu", "hog-heap"):
        assert skepd.tenant(name)["kills"] == 0
    hog = skepd.tenant("hog-cpu")
    skepd.wait_idle()
    with Loader(skepd, "hello.localhost") as hello:
        hello.more(100)
    assert not hello.wrong
    wait_for(lambda: skepd.stats()["connections"] == 0, "connections to be closed")
    print(f"hog-cpu used {hog['cpu_ms']} ms in {hog['requests']} requests")
