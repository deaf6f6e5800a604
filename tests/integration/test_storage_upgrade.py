# SPDX-License-Identifier: Apache-2.0
"""Storage while skepd is replaced: two data processes use the same folder until the old skepd has gone."""

import concurrent.futures
import json
import threading

from harness import script, wait_for

BINDINGS = [{"name": "KV", "kv": "main"}, {"name": "DB", "sql": "main"}]
LIMITS = {"storage_rate": 1000000, "cpu_ms": 20000, "subrequests": 1000, "sql_ms": 20000, "wall_ms": 30000}
CONFIG = {"storage": {"folder": "data"}, "limits": {"maximum": {"storage_rate": 1000000, "subrequests": 1000}}}
CODE = """
    const { pathname } = new URL(request.url);
    const [, verb, name] = pathname.split("/");
    if (verb === "make") { await env.DB.exec("CREATE TABLE t (name TEXT PRIMARY KEY)"); return new Response("made"); }
    if (verb === "all") {
        const { results } = await env.DB.prepare("SELECT name FROM t").all();
        const keys = [];
        for (let cursor; ;) {
            const page = await env.KV.list({ cursor });
            keys.push(...page.keys.map(({ name }) => name));
            if (page.list_complete)
                break;
            cursor = page.cursor;
        }
        return Response.json([results.map(({ name }) => name), keys]);
    }
    const write = async (name) => {
        await env.KV.put(name, name);
        await env.DB.prepare("INSERT INTO t VALUES (?)").bind(name).run();
        if (await env.KV.get(name) !== name)
            throw new Error("a put that was done is not there");
        if (await env.DB.prepare("SELECT name FROM t WHERE name = ?").bind(name).first("name") !== name)
            throw new Error("a row that was written is not there");
    };
    if (verb === "write") { await write(name); return new Response("written"); }
    const until = Date.now() + 2500;
    const names = [];
    while (Date.now() < until || names.length < 5) {
        names.push(`${name}-${names.length}`);
        await write(names.at(-1));
    }
    return Response.json(names);
"""


def storing():
    return {"bindings": BINDINGS, "limits": LIMITS, "files": {"worker.js": script(CODE)}}


class Writers:
    """Connections that write one name after the other, each of which has to be there at once."""

    def __init__(self, skepd, n):
        self.skepd, self.is_over = skepd, threading.Event()
        self.written = [[] for _ in range(n)]
        self.threads = concurrent.futures.ThreadPoolExecutor(n)
        self.loads = [self.threads.submit(self._write, i) for i in range(n)]

    def _write(self, i):
        while not self.is_over.is_set():
            name = f"w{i}-{len(self.written[i])}"
            answer = self.skepd.get("a", f"/write/{name}")
            assert (answer.status, answer.text) == (200, "written"), (name, answer.status, answer.text)
            self.written[i].append(name)

    def await_more(self, n):
        goals = [len(names) + n for names in self.written]
        wait_for(
            lambda: any(load.done() for load in self.loads) or all(len(names) >= goal for names, goal in zip(self.written, goals)),
            f"{n} more writes of each", timeout=60)

    def end(self):
        self.is_over.set()
        for load in self.loads:
            load.result()
        self.threads.shutdown()
        return [name for names in self.written for name in names]


def test_no_operation_fails_and_none_is_lost_by_an_upgrade(upgradable):
    skepd = upgradable({"a": storing()}, drain_s=20, **CONFIG)
    assert skepd.get("a", "/make").text == "made"
    writers = Writers(skepd, 4)
    names = []
    try:
        writers.await_more(3)
        for i in range(2):
            old = skepd.pid
            with concurrent.futures.ThreadPoolExecutor(2) as threads:
                # Requests that go on in the old skepd after the other one serves.
                slow = [threads.submit(skepd.get, "a", f"/slow/s{i}-{j}") for j in range(2)]
                wait_for(lambda: skepd.stats()["in_flight"] >= 2, "requests in flight")
                writers.await_more(1)
                skepd.upgrade()
                writers.await_more(3)
                for one in slow:
                    answer = one.result()
                    assert answer.status == 200, answer.text
                    names += json.loads(answer.text)
            skepd.wait_gone(old, timeout=30)
            writers.await_more(3)
    finally:
        names += writers.end()
    rows, keys = json.loads(skepd.get("a", "/all").text)
    assert len(rows) == len(set(rows))
    assert set(names) <= set(rows) and set(names) <= set(keys)


LATE = """
    const { pathname } = new URL(request.url);
    if (pathname === "/late") await new Promise((done) => setTimeout(done, 3000));
    if (pathname !== "/") { await env.KV.put("k", "v"); return new Response("stored"); }
    return new Response(String(await env.KV.get("k")));
"""


def test_removal_waits_for_requests_of_the_old_skepd_that_store(upgradable, folder):
    """A tenant that is made anew after a removal finds nothing of before."""
    skepd = upgradable(drain_s=10, state=str(folder / "state"))
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "skep.yaml").write_text(json.dumps({"name": "b", "main": "worker.js", "routes": ["b.test/*"], "bindings": BINDINGS[:1]}))
    (bundle / "worker.js").write_text(script(LATE))

    def run(*arguments):
        done = skepd.skep(*arguments)
        assert done.returncode == 0, done.stderr

    run("deploy", bundle)
    old = skepd.pid
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        late = threads.submit(skepd.get, "b", "/late")
        wait_for(lambda: skepd.stats()["in_flight"] == 1, "the request to be in flight")
        skepd.upgrade()
        run("remove", "b")
        assert late.result().text == "stored"
    skepd.wait_gone(old)
    assert not (folder / "state" / "data" / "default" / "b").exists()
    run("deploy", bundle)
    assert skepd.get("b").text == "null"
