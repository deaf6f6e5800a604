# SPDX-License-Identifier: Apache-2.0
"""Migrations: applied once each and in order before the version serves; one that fails stops the deploy, and is undone."""

import json

from deploying import deployer  # noqa: F401
from dev_server import Dev
from harness import script, wait_for

DB = [{"name": "DB", "sql": "main", "migrations": "./migrations"}]
ROWS = script("""
    const { results } = await env.DB.prepare("SELECT * FROM t ORDER BY 1").all();
    return Response.json(results);
""")
FIRST = {"migrations/0001_init.sql": "CREATE TABLE t (id INTEGER PRIMARY KEY);\nINSERT INTO t VALUES (1);\n"}
SECOND = {**FIRST, "migrations/0002_name.sql": "ALTER TABLE t ADD COLUMN name TEXT DEFAULT 'none';\n"}


def rows(deployer, tenant, statement):  # noqa: F811
    run = deployer.skepd.skep("data", "sql", tenant, "main", statement, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)[0]["rows"]


def test_each_is_applied_once_and_in_order_before_the_version_serves(deployer):  # noqa: F811
    answer = deployer.deploy("a", ROWS, bindings=DB, files=FIRST)
    assert answer["migrations"] == ["main/0001_init.sql"]
    assert json.loads(deployer.text("a")) == [{"id": 1}]
    run = deployer.skepd.skep("deploy", deployer.bundle("a", ROWS, bindings=DB, files=SECOND))
    assert run.returncode == 0 and "applied main/0002_name.sql" in run.stdout and "0001" not in run.stdout, run.stdout
    assert json.loads(deployer.text("a")) == [{"id": 1, "name": "none"}]
    assert rows(deployer, "a", "SELECT id, name FROM d1_migrations") == [[1, "0001_init.sql"], [2, "0002_name.sql"]]
    answer = deployer.ask("deploy", deployer.bundles / "a")
    assert answer["unchanged"] and answer["migrations"] == []
    answer = deployer.deploy("a", ROWS + "// other\n", bindings=DB, files=SECOND)
    assert not answer["unchanged"] and answer["migrations"] == []
    deployer.restart()
    assert json.loads(deployer.text("a")) == [{"id": 1, "name": "none"}]


def test_one_that_fails_half_way_is_undone_and_the_version_before_serves_on(deployer):  # noqa: F811
    deployer.deploy("a", ROWS, bindings=DB, files=FIRST)
    files = {
        **SECOND,
        "migrations/0003_bad.sql": "INSERT INTO t (id) VALUES (2);\nCREATE TABLE u (id);\nCREATE TABL v (id);\n",
        "migrations/0004_next.sql": "CREATE TABLE w (id);\n",
    }
    error = deployer.fail("deploy", deployer.bundle("a", script("return new Response('new');"), bindings=DB, files=files))
    assert "0003_bad.sql" in error and 'near "TABL": syntax error' in error and "line 3" in error, error
    assert json.loads(deployer.text("a")) == [{"id": 1, "name": "none"}], "what was applied before it stays"
    assert rows(deployer, "a", "SELECT name FROM sqlite_schema WHERE name IN ('u', 'v', 'w')") == []
    assert rows(deployer, "a", "SELECT count(*) FROM d1_migrations") == [[2]]
    assert deployer.left("a") == set() and len(deployer.versions("a")) == 1
    files["migrations/0003_bad.sql"] = "INSERT INTO t (id) VALUES (2);\n"
    answer = deployer.deploy("a", ROWS, bindings=DB, files=files)
    assert answer["migrations"] == ["main/0003_bad.sql", "main/0004_next.sql"]
    assert json.loads(deployer.text("a")) == [{"id": 1, "name": "none"}, {"id": 2, "name": "none"}]


def test_a_first_version_whose_migration_fails_does_not_serve(deployer):  # noqa: F811
    error = deployer.fail("deploy", deployer.bundle("a", ROWS, bindings=DB, files={"migrations/1.sql": "nonsense"}))
    assert "1.sql" in error and "syntax error" in error
    assert deployer.skepd.get("a").status == 404


def test_a_version_that_does_not_load_is_not_migrated(deployer):  # noqa: F811
    deployer.deploy("a", ROWS, bindings=DB, files=FIRST)
    deployer.fail("deploy", deployer.bundle("a", "throw new Error('no');", bindings=DB, files=SECOND))
    assert rows(deployer, "a", "SELECT count(*) FROM d1_migrations") == [[1]]


def test_rollback_keeps_the_schema(deployer):  # noqa: F811
    deployer.deploy("a", ROWS, bindings=DB, files=FIRST)
    deployer.deploy("a", ROWS, bindings=DB, files=SECOND)
    assert deployer.ask("rollback", "a")["migrations"] == []
    assert json.loads(deployer.text("a")) == [{"id": 1, "name": "none"}]


def test_databases_have_their_own_and_workers_get_no_migration(deployer):  # noqa: F811
    source = "import text from './migrations/0001_init.sql';\n" + ROWS
    error = deployer.fail("deploy", deployer.bundle("a", source, bindings=DB, files=FIRST))
    assert "0001_init.sql" in error
    bindings = [*DB, {"name": "TWO", "sql": "two", "migrations": "sql/two/"}, {"name": "SAME", "sql": "main"}]
    files = {**FIRST, "sql/two/b.sql": "CREATE TABLE two (b)", "sql/two/a.sql": "CREATE TABLE two_a (a)", "sql/two/deep/c.sql": "no", "sql/two/x.txt": "no"}
    answer = deployer.deploy("a", ROWS, bindings=bindings, files=files)
    assert answer["migrations"] == ["main/0001_init.sql", "two/a.sql", "two/b.sql"]


def test_faults_of_the_key_are_named(deployer):  # noqa: F811
    for bindings, reason in [
        ([{"name": "KV", "kv": "main", "migrations": "migrations"}], "expected `sql`"),
        ([{"name": "DB", "sql": "main", "migrations": "nowhere"}], "no file *.sql"),
        ([{"name": "DB", "sql": "main", "migrations": "../up"}], "is not a folder"),
        ([{"name": "DB", "sql": "main", "migrations": "/etc"}], "is not a folder"),
        ([*DB, {**DB[0], "name": "B"}], "expected them once"),
    ]:
        error = deployer.fail("deploy", deployer.bundle("a", ROWS, bindings=bindings, files=FIRST))
        assert reason in error and "skep.yaml" in error, (reason, error)


def test_large_migrations_go_whole(deployer):  # noqa: F811
    lines = "".join(f"INSERT INTO t VALUES ({i});\n" for i in range(2, 20000))
    deployer.deploy("a", ROWS, bindings=DB, files={**FIRST, "migrations/0002.sql": lines})
    assert rows(deployer, "a", "SELECT count(*) FROM t") == [[19999]]


# ---- tenants without deploys


def folder_tenant(source, files, **manifest):
    return {"files": {"worker.js": source, **files}, "bindings": DB, **manifest}


def test_a_tenant_of_the_folder_is_migrated_before_its_first_request(start):
    skepd = start({"a": folder_tenant(ROWS, SECOND)}, storage={"folder": "data"})
    assert skepd.get("a").json() == [{"id": 1, "name": "none"}]


def test_a_reload_applies_what_is_new_and_keeps_the_old_version_if_that_fails(start):
    skepd = start({"a": folder_tenant(ROWS, FIRST)}, storage={"folder": "data"})
    assert skepd.get("a").json() == [{"id": 1}]
    folder = skepd.tenants_folder / "a"
    (folder / "migrations" / "0002_bad.sql").write_text("CREATE TABLE u (id);\nnonsense;\n")
    assert skepd.skep("reload").returncode == 0
    skepd.wait_log("0002_bad.sql: .*syntax error")
    assert skepd.get("a").json() == [{"id": 1}]
    (folder / "migrations" / "0002_bad.sql").write_text(SECOND["migrations/0002_name.sql"])
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: skepd.get("a").json() == [{"id": 1, "name": "none"}], "the new column")


def test_a_first_version_that_cannot_be_migrated_holds_up_no_other(start):
    hello = {"files": {"worker.js": script("return new Response('hello');")}}
    skepd = start({"a": folder_tenant(ROWS, {"migrations/1.sql": "nonsense"}), "b": hello}, storage={"folder": "data"})
    assert skepd.get("a").status == 503
    assert skepd.get("b").text == "hello"
    skepd.wait_log("1.sql: .*syntax error")
    (skepd.tenants_folder / "a" / "migrations" / "1.sql").write_text("CREATE TABLE t (id)")
    assert skepd.skep("reload").returncode == 0
    wait_for(lambda: skepd.get("a").status == 200, "the tenant serves")


def test_migrations_that_do_not_end_leave_threads_to_statements(start):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;"
    source = script("return Response.json((await env.DB.prepare('SELECT 1 AS one').all()).results);")
    hogs = {f"hog{i}": folder_tenant(ROWS, {"migrations/1.sql": endless}) for i in range(14)}
    skepd = start({"a": {"files": {"worker.js": source}, "bindings": [{"name": "DB", "sql": "main"}]}, **hogs}, storage={"folder": "data"})

    def running():
        return list(skepd.folder.glob("**/hog*/sql-main.db"))

    waiting = [skepd.connect() for _ in hogs]
    for connection, hog in zip(waiting, hogs):
        connection.send_head("GET", f"{hog}.test")
    wait_for(lambda: len(running()) >= 4, "migrations that run")
    assert skepd.get("a").json() == [{"one": 1}]
    assert len(running()) == 4, "the others wait"


def test_skep_dev_applies_a_migration_when_it_is_saved(folder):
    tenant = folder / "tenant"
    (tenant / "migrations").mkdir(parents=True)
    (tenant / "skep.yaml").write_text(json.dumps({"name": "t", "main": "worker.js", "bindings": DB}))
    (tenant / "worker.js").write_text(ROWS)
    for path, text in FIRST.items():
        (tenant / path).write_text(text)
    dev = Dev(folder, tenant)
    assert dev.get().json() == [{"id": 1}]
    (tenant / "migrations" / "0002.sql").write_text("nonsense;\n")
    dev.wait_output("syntax error")
    assert dev.get().json() == [{"id": 1}]
    (tenant / "migrations" / "0002.sql").write_text(SECOND["migrations/0002_name.sql"])
    wait_for(lambda: dev.get().json() == [{"id": 1, "name": "none"}], "the new column")
    assert dev.stop() == 0
