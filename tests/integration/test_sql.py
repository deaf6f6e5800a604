# SPDX-License-Identifier: Apache-2.0
"""env.DB with real storage: D1's methods, types, results and errors, transactions, and the bounds of statements."""

import concurrent.futures
import time

import pytest

from harness import wait_for
from storing import CONFIG, NO_RATE, ask, routes, storing
META = {"served_by", "duration", "changes", "last_row_id", "changed_db", "size_after", "rows_read", "rows_written"}

# Bodies of handlers, and the JSON that each must return.
CASES = {
    "methods": (
        """
        await DB.exec("create table people (id integer primary key, name text, age int)");
        const insert = DB.prepare("insert into people (name, age) values (?, ?)");
        const { success, meta, results } = await insert.bind("Ada", 36).run();
        await insert.bind("Grace", 85).run();
        const all = DB.prepare("select * from people order by id"), { results: rows } = await all.all();
        return [success, results, meta.changes, meta.last_row_id, meta.changed_db, rows, (await all.run()).results, await all.raw(), await all.raw({ columnNames: true }), await all.first(),
            await all.first("name"), await DB.prepare("select * from people where id = 9").first(), await DB.prepare("select * from people where age > ?2 and name <> ?1").bind("Ada", 40).first("name"),
            await failing(() => all.first("none"))];
        """,
        [
            True,
            [],
            1,
            1,
            True,
            [{"id": 1, "name": "Ada", "age": 36}, {"id": 2, "name": "Grace", "age": 85}],
            [{"id": 1, "name": "Ada", "age": 36}, {"id": 2, "name": "Grace", "age": 85}],
            [[1, "Ada", 36], [2, "Grace", 85]],
            [["id", "name", "age"], [1, "Ada", 36], [2, "Grace", 85]],
            {"id": 1, "name": "Ada", "age": 36},
            "Ada",
            None,
            "Grace",
            "Error: D1_COLUMN_NOTFOUND: Column not found (none)",
        ],
    ),
    "types": (
        """
        const bytes = new Uint8Array([0, 1, 255]);
        const values = [null, true, false, 1, -7, 2 ** 53 - 1, -(2 ** 53 - 1), 1.5, 1e300, -0.1, NaN, "", "ü\\u{1f600}", "a\\0b", bytes, bytes.buffer, [9, 8], new Uint8Array()];
        const out = [];
        for (const value of values) out.push(await DB.prepare("select typeof(?1) as t, ?1 as v").bind(value).first());
        return out.map(({ t, v }) => [t, v]);
        """,
        [
            ["null", None],
            ["real", 1],
            ["real", 0],
            ["real", 1],
            ["real", -7],
            ["real", 2**53 - 1],
            ["real", -(2**53 - 1)],
            ["real", 1.5],
            ["real", 1e300],
            ["real", -0.1],
            ["null", None],
            ["text", ""],
            ["text", "ü\U0001f600"],
            ["text", "a\0b"],
            ["blob", [0, 1, 255]],
            ["blob", [0, 1, 255]],
            ["blob", [9, 8]],
            ["blob", []],
        ],
    ),
    "columns": (
        """
        const { results } = await DB.prepare("select 1 as a, 2 as b, 3 as a").all();
        return [results, await DB.prepare("select 1 as a, 2 as a").raw({ columnNames: true }), Object.entries((await DB.prepare('select 5 as "__proto__", 6 as "x y"').first()))];
        """,
        [[{"a": 3, "b": 2}], [["a", "a"], [1, 2]], [["__proto__", 5], ["x y", 6]]],
    ),
    "meta": (
        """
        const { meta } = await DB.prepare("select 1").all();
        return [Object.keys(meta).sort(), typeof meta.duration, meta.changes, meta.changed_db, meta.size_after > 0, meta.served_by];
        """,
        [sorted(META), "number", 0, False, True, "skep"],
    ),
    "batch": (
        """
        await DB.exec("create table b (v)");
        const insert = DB.prepare("insert into b values (?)");
        const results = await DB.batch([insert.bind(1), insert.bind(2), DB.prepare("select sum(v) as s from b")]);
        return [results.map((r) => [r.success, r.results, r.meta.changes]), await failing(() => DB.batch([]))];
        """,
        [[[True, [], 1], [True, [], 1], [True, [{"s": 3}], 0]], "Error: D1_ERROR: No SQL statements detected."],
    ),
    "rollback": (
        """
        await DB.exec("create table r (v unique)");
        const insert = DB.prepare("insert into r values (?)");
        const text = await failing(() => DB.batch([insert.bind(1), insert.bind(2), insert.bind(1)]));
        const other = await failing(() => DB.exec("insert into r values (5); insert into none values (6)"));
        return [text, other, await DB.prepare("select count(*) as n from r").first("n")];
        """,
        ["Error: D1_ERROR: UNIQUE constraint failed: r.v: SQLITE_CONSTRAINT",
         "Error: D1_EXEC_ERROR: Error in line 1: no such table: none: SQLITE_ERROR", 0],
    ),
    "exec": (
        """
        const result = await DB.exec("create table x (v);\\n-- a comment; with a semicolon\\ninsert into x values ('a;b');\\ninsert into x values (2)");
        return [result.count, typeof result.duration, await DB.prepare("select v from x").raw()];
        """,
        [3, "number", [["a;b"], [2]]],
    ),
    "errors": (
        """
        const out = [];
        for (const sql of ["selec 1", "select * from nowhere", "select nothing()", "", "select 1; select 2"]) {
            try { out.push((await DB.prepare(sql).all()).results); } catch (e) { out.push([e.message.startsWith("D1_ERROR: "), e.cause instanceof Error && e.message === "D1_ERROR: " + e.cause.message]); }
        }
        return [out, await failing(() => DB.prepare("select ?").bind(undefined).all()), await failing(() => DB.prepare("select ?").bind(1n).all()),
            await failing(() => DB.prepare("select ?, ?").bind(1).all()).then((t) => t.slice(0, 16)), await failing(() => DB.dump()).then((t) => t.slice(0, 21))];
        """,
        [
            [[True, True]] * 5,
            "Error: D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'",
            "Error: D1_TYPE_ERROR: Type 'bigint' not supported for value '1'",
            "Error: D1_ERROR:",
            "Error: D1_DUMP_ERROR:",
        ],
    ),
    "sizes": (
        """
        const starts = (text) => text.startsWith("Error: D1_ERROR: ");
        await DB.exec("create table z (v)");
        const put = (value) => DB.prepare("insert into z values (?)").bind(value).run();
        return [await failing(() => put("x".repeat(2 ** 20))), starts(await failing(() => put("x".repeat(2 ** 21 + 1)))), starts(await failing(() => put(new Uint8Array(2 ** 21 + 1)))),
            starts(await failing(() => DB.prepare("select '" + "x".repeat(100 * 1024) + "'").run())), await failing(() => put(new Uint8Array(2 ** 23))),
            starts(await failing(() => DB.prepare("select " + Array(101).fill("?").join()).bind(...Array(101).fill(1)).run())),
            await DB.prepare("select count(*) as n, sum(length(v)) as l from z").raw()];
        """,
        ["no error", True, True, True, "Error: D1_ERROR: The statements and their parameters are longer than 8 MiB.", True, [[1, 2**20]]],
    ),
    "large_batch": (
        """
        await DB.exec("create table l (i, v)");
        const insert = DB.prepare("insert into l values (?, ?)"), v = "y".repeat(7000);
        const results = await DB.batch(Array.from({ length: 1000 }, (_, i) => insert.bind(i, v)));
        return [results.length, results[999].meta.last_row_id, await DB.prepare("select count(*) as n from l").first("n"), (await DB.prepare("select v from l").all()).results.length];
        """,
        [1000, 1000, 1000, 1000],
    ),
    "refused": (
        """
        const out = {};
        for (const sql of ["begin", "commit", "savepoint a", "attach 'x' as y", "attach ':memory:' as y", "detach main", "pragma journal_mode = delete", "pragma page_count = 1", "pragma writable_schema = on",
            "vacuum into 'x'", "select load_extension('x')", "create virtual table z using dbstat", "select * from sqlite_dbpage"])
            out[sql] = (await failing(() => DB.prepare(sql).run())).startsWith("Error: D1_ERROR: ");
        return Object.keys(out).filter((sql) => !out[sql]);
        """,
        [],
    ),
    "json_and_search": (
        """
        await DB.exec("create virtual table f using fts5(t)");
        await DB.prepare("insert into f values (?)").bind("the quick brown fox").run();
        return [await DB.prepare("select json_extract(?, '$.a[1]') as v").bind('{"a":[1,2]}').first("v"), await DB.prepare("select t from f where f match 'quick'").first("t")];
        """,
        [2, "the quick brown fox"],
    ),
    "session": (
        """
        const session = DB.withSession("first-unconstrained");
        await session.prepare("create table s (v)").run();
        return [session.getBookmark(), (await session.batch([session.prepare("insert into s values (1)"), session.prepare("select * from s")]))[1].results, String(session)];
        """,
        [None, [{"v": 1}], "[object D1DatabaseSession]"],
    ),
    "rows": (
        """
        const { results } = await DB.prepare("with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000) select i, 'name' || i as name, i * 0.5 as half, null as none, -i as minus from n").all();
        return [results.length, results[0], results[9999]];
        """,
        [
            10000,
            {"i": 1, "name": "name1", "half": 0.5, "none": None, "minus": -1},
            {"i": 10000, "name": "name10000", "half": 5000.0, "none": None, "minus": -10000},
        ],
    ),
    "at_once": (
        """
        await DB.exec("create table c (n)"); await DB.exec("insert into c values (0)");
        const add = DB.prepare("update c set n = n + 1");
        await Promise.all(Array.from({ length: 100 }, () => add.run()));
        return await DB.prepare("select n from c").first("n");
        """,
        100,
    ),
}


@pytest.fixture(scope="module")
def served(start_module):
    return start_module({"a": routes({name: body for name, (body, _) in CASES.items()})}, **CONFIG)


@pytest.mark.parametrize("name", CASES)
def test_sql(served, name):
    assert ask(served, "a", f"/{name}") == CASES[name][1]


ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


def test_a_statement_that_never_ends_is_stopped_at_sql_ms(start):
    code = f"""
        if (pathname === "/count") return Response.json(await DB.prepare("select count(*) as n from t").first("n"));
        await DB.exec("create table if not exists t (v)");
        return Response.json(await failing(() => DB.batch([DB.prepare("insert into t values (1)"), DB.prepare("{ENDLESS}")])));
    """
    skepd = start({"a": storing(code, limits={**NO_RATE, "sql_ms": 300}), "b": storing('return Response.json(await DB.prepare("select 1 as a").first());')}, **CONFIG)
    began = time.monotonic()
    assert ask(skepd, "a").startswith("Error: D1_ERROR: ")
    assert time.monotonic() - began >= 0.3
    assert ask(skepd, "a", "/count") == 0
    assert ask(skepd, "b") == {"a": 1}


def test_a_slow_statement_holds_no_other_tenant_up(start):
    slow = f'return Response.json(await failing(() => DB.prepare("{ENDLESS}").first()));'
    quick = """
        await DB.exec("create table if not exists t (v)");
        await DB.prepare("insert into t values (1)").run();
        await KV.put("k", "v");
        return Response.json([await DB.prepare("select count(*) as n from t").first("n"), await KV.get("k")]);
    """
    skepd = start({"slow": storing(slow, limits={**NO_RATE, "sql_ms": 5000}), "quick": storing(quick)}, **CONFIG)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        running = threads.submit(ask, skepd, "slow")
        wait_for(lambda: skepd.tenant("slow")["in_flight"] == 1, "the slow statement")
        assert ask(skepd, "quick") == [1, "v"]
        assert not running.done()
        assert running.result().startswith("Error: D1_ERROR: ")


def test_a_result_of_10_gb_is_refused(start):
    code = """
        const sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000) select hex(zeroblob(500000)) as v from n";
        return Response.json(await failing(() => DB.prepare(sql).all()));
    """
    skepd = start({"a": storing(code, limits={**NO_RATE, "sql_rows_mib": 1})}, **CONFIG)
    text = ask(skepd, "a")
    assert text.startswith("Error: D1_ERROR: "), text
    assert "sql_rows_mib" in text or "1 MiB" in text, text


def test_a_database_has_its_size(start):
    code = """
        await DB.exec("create table if not exists t (v)");
        const text = await failing(async () => { for (let i = 0; i < 5; i++) await DB.prepare("insert into t values (zeroblob(500000))").run(); });
        return Response.json([text, await DB.prepare("select count(*) as n from t").first("n"), await failing(() => DB.exec("delete from t"))]);
    """
    skepd = start({"a": storing(code, limits={**NO_RATE, "sql_mib": 1})}, **CONFIG)
    text, count, removed = ask(skepd, "a")
    assert text.startswith("Error: D1_ERROR: "), text
    assert (count >= 1, removed) == (True, "no error")


def test_databases_of_a_tenant_are_apart(start):
    bindings = [{"name": "DB", "sql": "one"}, {"name": "TWO", "sql": "two"}]
    code = """
        await DB.exec("create table t (v)");
        return Response.json([await failing(() => env.TWO.prepare("select * from t").all()), (await DB.prepare("select * from t").all()).results]);
    """
    skepd = start({"a": storing(code, bindings)}, **CONFIG)
    other, own = ask(skepd, "a")
    assert "no such table: t" in other
    assert own == []
