# SPDX-License-Identifier: Apache-2.0
"""A reload and the tenants: they come, change and go with their folder, and get other limits."""

import shutil
import threading

from harness import read_by_loop, script, wait_for
from reloads import HELLO, SLOW, SLOW_TO_LOAD, changes, cordons, reload, says

BUSY = script(
    "const end = Number(new URL(request.url).searchParams.get('n'));"
    "let x = 0; for (let i = 0; i < end * 1e6; i++) x = (x * 31 + i) | 0;"
    "return new Response(String(x));"
)


def remove_tenant(skepd, name):
    shutil.rmtree(skepd.tenants_folder / name)


# ---- the folder


def test_tenants_come_change_and_go_with_the_folder(start):
    skepd = start({"stays": says("stays"), "changes": says("one"), "goes": says("goes")})
    for name in ("stays", "changes", "goes"):
        assert skepd.get(name).status == 200
    before = skepd.tenant("stays")["requests"]
    skepd.write_tenant("comes", says("comes"))
    skepd.write_tenant("changes", says("two"))
    remove_tenant(skepd, "goes")
    report = reload(skepd)
    assert report["tenants"] == {"goes": "removed", "changes": "changed", "comes": "added"}
    assert report["unchanged"] == 1
    assert skepd.get("goes").code == "no_route"
    assert skepd.get("comes").text == "comes"
    wait_for(lambda: skepd.get("changes").text == "two", "the new version")
    assert skepd.tenant("stays")["requests"] == before
    assert {t["name"] for t in skepd.admin("tenants")["tenants"]} == {"stays", "changes", "comes"}
    assert reload(skepd)["tenants"] == {}


def test_files_of_tenants_are_not_read_by_the_loop(start):
    """Reading and parsing take time, in which the loop serves others."""
    size = 3 << 20
    names = [f"t{i}" for i in range(4)]

    def tenant(text):
        return {"files": {"worker.js": says(text), "data.txt": "x" * size}}

    skepd = start({name: tenant("one") for name in names})
    for name in names[:2]:
        skepd.write_tenant(name, tenant("two"))
    before = read_by_loop(skepd)
    report = reload(skepd)
    assert report["tenants"] == dict.fromkeys(names[:2], "changed") and report["unchanged"] == 2
    wait_for(lambda: skepd.get("t0").text == "two", "the new version")
    assert read_by_loop(skepd) - before < size


def test_reload_that_is_asked_for_during_another_has_what_was_changed_by_then(start):
    skepd = start({"a": says("0")})
    for i in range(1, 6):
        runs = [threading.Thread(target=skepd.skep, args=("reload",)) for _ in range(3)]
        for run in runs:
            run.start()
        skepd.write_tenant("a", says(str(i)))
        assert reload(skepd)["applied"]
        for run in runs:
            run.join()
        wait_for(lambda: skepd.get("a").text == str(i), "the new version")


def test_broken_tenant_is_named_and_serves_on_and_others_change(start):
    skepd = start({"a": says("a1"), "b": says("b1")})
    skepd.get("a")
    skepd.write_tenant("b", says("b2"))
    (skepd.tenants_folder / "a" / "skep.yaml").write_text("name: a\nmian: worker.js\n")
    run = skepd.skep("reload")
    assert run.returncode == 1
    assert run.stdout == "tenant b: changed\n"
    assert 'a/skep.yaml:2: unknown key "mian"' in run.stderr
    assert "stay as they were; all else is applied" in run.stderr
    wait_for(lambda: skepd.get("b").text == "b2", "the new version")
    assert skepd.get("a").text == "a1"
    # A tenant whose manifest cannot be read at all is not taken for a removed one.
    (skepd.tenants_folder / "a" / "skep.yaml").write_text("")
    assert reload(skepd)["tenants"] == {}
    assert skepd.get("a").text == "a1"
    # A new version that does not load.
    skepd.write_tenant("a", "throw new Error('no')\n")
    assert reload(skepd)["tenants"] == {"a": "changed"}
    skepd.wait_log("the new version does not load; the one before serves on")
    assert skepd.get("a").text == "a1"


def test_folder_that_is_gone_removes_no_tenant(start):
    skepd = start({"a": HELLO})
    skepd.tenants_folder.rename(skepd.folder / "away")
    report = reload(skepd)
    assert report["applied"] and "cannot be read" in report["tenant_errors"]
    assert report["tenants"] == {}
    assert skepd.get("a").text == "hello"


def test_tenant_that_is_renamed_keeps_its_route(start):
    skepd = start({"a": {"routes": ["x.test/*"], "files": {"worker.js": HELLO}}})
    assert skepd.get("x").text == "hello"
    (skepd.tenants_folder / "a" / "skep.yaml").write_text(
        'name: b\nmain: worker.js\nroutes: ["x.test/*"]\n'
    )
    assert reload(skepd)["tenants"] == {"a": "removed", "b": "added"}
    assert skepd.get("x").text == "hello"
    # And a folder that is renamed is the same tenant.
    (skepd.tenants_folder / "a").rename(skepd.tenants_folder / "c")
    assert reload(skepd)["tenants"] == {}
    skepd.write_tenant("c", {"name": "b", "routes": ["x.test/*"], "files": {"worker.js": says("2")}})
    assert b"c/skep.yaml" not in skepd.reload("b")
    wait_for(lambda: skepd.get("x").text == "2", "the new version")


def test_requests_of_a_tenant_that_is_removed_end(start):
    skepd = start({"slow": {"limits": {"concurrency": 1}, "files": {"worker.js": SLOW}}, "a": HELLO})
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(skepd.get("slow"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    skepd.wait_log("entered")
    wait_for(lambda: skepd.tenant("slow")["queued"] == 1, "the second to wait")
    remove_tenant(skepd, "slow")
    assert reload(skepd)["tenants"] == {"slow": "removed"}
    assert skepd.get("slow").code == "no_route"
    # The name is free, and the new tenant is another.
    skepd.write_tenant("slow", says("new"))
    assert reload(skepd)["tenants"] == {"slow": "added"}
    assert skepd.get("slow").text == "new"
    for thread in threads:
        thread.join()
    assert [a.text for a in answers] == ["done", "done"]
    # Nothing of the old tenant is left in the worker, which has the isolates of a and of the new one.
    skepd.get("a")
    wait_for(lambda: sorted(skepd.worker()["tenants"]) == ["a", "slow"], "the isolate to go")


def test_route_goes_from_one_tenant_to_another(start):
    """Works in either order of their names; and an impossible exchange is reported."""

    def routed(name, *hosts):
        routes = [f"{host}.test/*" for host in hosts]
        return {"routes": routes, "files": {"worker.js": says(name)}}

    skepd = start({"a": routed("a", "x", "y"), "b": routed("b", "z")})
    assert [skepd.get(host).text for host in "xyz"] == ["a", "a", "b"]
    skepd.write_tenant("a", routed("a", "x"))
    skepd.write_tenant("b", routed("b", "y", "z"))
    skepd.write_tenant("c", routed("c", "w"))
    report = reload(skepd)
    assert report["tenants"] == {"a": "changed", "b": "waits for a route", "c": "added"}
    wait_for(lambda: skepd.get("y").text == "b", "the route to move")
    skepd.write_tenant("b", routed("b", "z"))
    skepd.write_tenant("a", routed("a", "x", "y"))
    assert reload(skepd)["tenants"] == {"b": "changed", "a": "waits for a route"}
    wait_for(lambda: skepd.get("y").text == "a", "the route to move back")
    # Each at once wants the other's routes.
    skepd.write_tenant("a", routed("a", "z"))
    skepd.write_tenant("b", routed("b", "x", "y"))
    report = reload(skepd)
    assert report["tenants"] == {}
    assert report["tenant_errors"].count("is one of the tenant") == 2
    assert [skepd.get(host).text for host in "xyz"] == ["a", "a", "b"]


# ---- limits


def test_limit_takes_effect_lower_and_higher(start):
    skepd = start({"a": BUSY}, limits={"default": {"cpu_ms": 2000}, "maximum": {"cpu_ms": 2000}})
    assert skepd.get("a", "/?n=50").status == 200
    report = reload(skepd, limits={"default": {"cpu_ms": 20}, "maximum": {"cpu_ms": 2000}})
    assert changes(report) == {"limits.default.cpu_ms": ("2000", "20")}
    assert report["tenants"] == {"a": "other limits"}
    wait_for(lambda: skepd.tenant("a")["limits"]["cpu_ms"] == 20, "the new limits")
    assert skepd.get("a", "/?n=150").code == "cpu_request"
    reload(skepd, limits={"default": {"cpu_ms": 20000}, "maximum": {"cpu_ms": 20000}})
    wait_for(lambda: skepd.tenant("a")["limits"]["cpu_ms"] == 20000, "the new limits")
    assert skepd.get("a", "/?n=150").status == 200


def test_limit_that_skepd_keeps_itself_counts_at_once_and_loads_nothing(start):
    skepd = start({"a": SLOW})
    skepd.get("a")
    report = reload(skepd, cordons=cordons(limits={"maximum": {"wall_ms": 200}}))
    assert changes(report) == {"cordons.default.limits.maximum.wall_ms": ("not set", "200")}
    assert report["tenants"] == {"a": "other limits"}
    assert skepd.get("a").code == "wall_request"
    assert "serves a new version" not in skepd.log()
    reload(skepd, cordons=cordons(limits={"maximum": {"wall_ms": 5000}}))
    assert skepd.get("a").text == "done"


def test_limits_of_tenants_that_are_not_concerned_stay(start):
    skepd = start(
        {
            "a": {"limits": {"heap_mib": 32}, "files": {"worker.js": HELLO}},
            "b": HELLO,
            "c": HELLO,
        }
    )
    skepd.get("a"), skepd.get("b")
    report = reload(skepd, limits={"default": {"heap_mib": 48}})
    assert report["tenants"] == {"b": "other limits", "c": "other limits"}
    wait_for(lambda: skepd.tenant("b")["limits"]["heap_mib"] == 48, "the new limits")
    skepd.wait_log(r"\[b\] serves a new version")
    # c was in no worker, so nothing has to be loaded again.
    assert skepd.tenant("c")["limits"]["heap_mib"] == 48
    assert "[c] serves" not in skepd.log() and "[a] serves" not in skepd.log()


def test_limit_that_changes_while_a_version_is_loading_comes_after_it(start):
    limits = {"cpu_startup_ms": 60000}
    skepd = start({"a": HELLO}, limits={"maximum": limits})
    skepd.get("a")
    skepd.write_tenant("a", {"limits": limits, "files": {"worker.js": SLOW_TO_LOAD}})
    assert reload(skepd)["tenants"] == {"a": "changed"}
    keys = {"maximum": limits, "default": {"heap_mib": 48}}
    assert reload(skepd, limits=keys)["tenants"] == {"a": "other limits"}
    assert skepd.get("a").text == "hello"
    wait_for(lambda: skepd.tenant("a")["limits"]["heap_mib"] == 48, "the new limits", timeout=30)
    assert skepd.get("a").text == "hello0"
    # The same where the version is refused.
    burn = SLOW_TO_LOAD.replace("export", "throw 1; export")
    skepd.write_tenant("a", {"limits": limits, "files": {"worker.js": burn}})
    reload(skepd)
    reload(skepd, limits={"maximum": limits, "default": {"heap_mib": 50}})
    skepd.wait_log("the new version does not load", timeout=30)
    wait_for(lambda: skepd.tenant("a")["limits"]["heap_mib"] == 50, "the new limits", timeout=30)
    assert skepd.get("a").text == "hello0"


def test_limit_that_is_observed_from_now_on(start):
    skepd = start({"a": BUSY}, limits={"default": {"cpu_ms": 20}})
    assert skepd.get("a", "/?n=150").code == "cpu_request"
    report = reload(skepd, limits={"default": {"cpu_ms": 20}, "observe": ["cpu_ms", "strikes"]})
    assert changes(report) == {"limits.observe": ("[]", "[cpu_ms, strikes]")}
    # The isolate was stopped, so no version has to be loaded before the new one serves.
    wait_for(lambda: "cpu_ms" in skepd.tenant("a")["observed"], "the new limits")
    assert skepd.get("a", "/?n=150").status == 200
