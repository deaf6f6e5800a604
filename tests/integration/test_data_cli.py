# SPDX-License-Identifier: Apache-2.0
"""`skep data`: what a tenant stores goes out whole and comes back as it was; statements of the operator; who may."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from admin_client import AdminClient, Closed, Refused
from harness import BIN, descendants, wait_for
from storing import CONFIG, ask, routes

LARGE = 3 << 20
FILLING = {
    "fill": f"""
        const bytes = new Uint8Array({LARGE}).map((_, i) => i * 7 + (i >> 8));
        for (const name of ["a", "b", "c"]) await KV.put(`large-${{name}}`, bytes.slice());
        await KV.put("text", "é\\0", {{ metadata: {{ plan: "free" }}, expiration: 4102444800 }});
        await OTHER.put("text", "of the other");
        await OTHER.put("ключ", "");
        await DB.exec("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB); CREATE VIRTUAL TABLE f USING fts5(text)");
        await DB.prepare("INSERT INTO f VALUES ('the quick brown fox')").run();
        for (let i = 0; i < 8; i++) await DB.prepare("INSERT INTO t (data) VALUES (?)").bind(bytes.slice(0, 500000)).run();
        await DB.prepare("DELETE FROM t WHERE id > 6").run();
        await DB.prepare("INSERT INTO t (data) VALUES (?)").bind(new Uint8Array([0, 255, 39])).run();
    """,
    "look": """
        const out = [];
        for (const [name, kv] of [["kv", KV], ["other", OTHER]])
            for (const { name: key, expiration, metadata } of (await kv.list()).keys) {
                const digest = await crypto.subtle.digest("SHA-256", await kv.get(key, "arrayBuffer"));
                out.push([name, key, expiration ?? null, metadata ?? null, [...new Uint8Array(digest)].join()]);
            }
        const rows = (await DB.prepare("SELECT id, length(data) AS n, hex(substr(data, 1, 3)) AS start FROM t").all()).results;
        const found = await DB.prepare("SELECT text FROM f WHERE f MATCH 'quick'").first("text");
        return [out, rows, found];
    """,
    "more": """
        await DB.prepare("INSERT INTO t (data) VALUES (?)").bind("next").run();
        return await DB.prepare("SELECT max(id) AS id FROM t").first("id");
    """,
    "clear": "await DB.exec('DROP TABLE IF EXISTS t'); await KV.delete('text'); await KV.put('kept', 'x');",
}


def data_process(skepd):
    """The pid of the process that keeps the data, or None."""
    for pid in descendants(skepd.pid):
        try:
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "skep-data":
                return pid
        except OSError:
            pass
    return None


@pytest.fixture
def skepd(start):
    """Two tenants that store nothing yet."""
    return start({"a": routes(FILLING), "b": routes(FILLING)}, **CONFIG)


def skep(skepd, *arguments, stdin=b"", **options):
    """Runs skep with bytes as its input; the outputs are text."""
    command = [BIN / "skep", "--socket", skepd.admin_socket, *arguments]
    run = subprocess.run(command, input=stdin, capture_output=True, timeout=120, **options)
    run.stdout, run.stderr = run.stdout.decode(), run.stderr.decode()
    return run


def sql(skepd, tenant, *statements):
    """Returns the rows of each statement."""
    run = skep(skepd, "data", "sql", tenant, "main", *statements, "--json")
    assert run.returncode == 0, run.stderr
    return [result["rows"] for result in json.loads(run.stdout)]


def export(skepd, tenant, path):
    run = skep(skepd, "data", "export", tenant, "--output", str(path))
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_all_comes_back_in_another_tenant_and_after_a_kill(skepd, tmp_path):
    ask(skepd, "a", "/fill")
    before = ask(skepd, "a", "/look")
    lines = export(skepd, "a", tmp_path / "a.jsonl")
    assert lines[0]["tenant"] == "a" and lines[0]["databases"] == ["main"] and lines[0]["skep_data"] == 1
    assert lines[-1] == {"end": True, "keys": 6, "databases": 1}
    assert sum(len(line.get("value", "")) for line in lines) > 9 << 20
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o600 and not (tmp_path / "a.jsonl.partial").exists()

    run = skep(skepd, "data", "import", "b", str(tmp_path / "a.jsonl"), "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"tenant": "b", "keys": 6, "expired": 0, "databases": 1}
    assert ask(skepd, "b", "/look") == before
    assert ask(skepd, "a", "/look") == before

    pid = data_process(skepd)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: data_process(skepd) not in (pid, None), "the data process is back")
    assert ask(skepd, "b", "/look") == before
    assert ask(skepd, "b", "/more") == 10, "AUTOINCREMENT goes on where it was"


def test_a_tenant_may_have_had_any_number_of_databases(skepd, tmp_path):
    names = [f"db{i:02}" for i in range(66)]
    for name in names:
        assert skep(skepd, "data", "sql", "a", name, "CREATE TABLE t (a)").returncode == 0
    lines = export(skepd, "a", tmp_path / "a")
    assert lines[0]["databases"] == names and lines[-1]["databases"] == 66
    run = skep(skepd, "data", "import", "b", str(tmp_path / "a"), "--json")
    assert run.returncode == 0 and json.loads(run.stdout)["databases"] == 66, run.stderr


def test_values_over_a_limit_that_is_lower_now_are_exported_too(start, tmp_path):
    tenant = routes(FILLING)
    skepd = start({"a": tenant}, **CONFIG)
    ask(skepd, "a", "/fill")
    tenant["limits"] = {**tenant.get("limits", {}), "kv_value_mib": 1}
    skepd.write_tenant("a", tenant)
    assert skepd.skep("reload").returncode == 0
    assert export(skepd, "a", tmp_path / "a.jsonl")[-1] == {"end": True, "keys": 6, "databases": 1}


def test_import_overwrites_keys_and_asks_before_it_replaces_a_database(skepd, tmp_path):
    ask(skepd, "a", "/fill")
    before = ask(skepd, "a", "/look")
    export(skepd, "a", tmp_path / "a.jsonl")
    ask(skepd, "a", "/clear")
    run = skep(skepd, "data", "import", "a", str(tmp_path / "a.jsonl"))
    assert run.returncode == 1 and "not empty" in run.stderr and "--replace" in run.stderr
    [rows] = sql(skepd, "a", "SELECT name FROM sqlite_schema WHERE name IN ('t', 'f')")
    assert rows == [["f"]], "a refused import has changed nothing"
    run = skep(skepd, "data", "import", "a", "--replace", stdin=(tmp_path / "a.jsonl").read_bytes())
    assert run.returncode == 0, run.stderr
    kv, rows, found = ask(skepd, "a", "/look")
    assert [row for row in kv if row[1] != "kept"] == before[0] and len(kv) == len(before[0]) + 1
    assert [rows, found] == before[1:]


def test_a_copy_that_is_cut_off_or_is_none_is_an_error(skepd, tmp_path):
    ask(skepd, "a", "/fill")
    export(skepd, "a", tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    for text, reason in [
        (b"".join(lines[:-1]), "ends too early"),
        (b"".join(lines[:1] + lines[2:]), "is missing"),
        (b"".join(lines[:-2] + lines[-1:]), "more keys"),
        (b"".join(lines[1:]), "first line"),
        (lines[0].replace(b'"skep_data":1', b'"skep_data":9'), "version"),
        (b"".join(lines) + lines[-1], "behind the last"),
        (b"{}\n" + lines[0], "first line"),
        (lines[0] + b'{"kv":"x","key":"k","value":"?"}\n', "base64"),
        (b"nothing", "not JSON"),
        (b"", "too early"),
    ]:
        run = skep(skepd, "data", "import", "b", "--replace", stdin=text)
        assert run.returncode == 1 and reason in run.stderr, (reason, run.stderr)
    run = skep(skepd, "data", "import", "b", "--replace", stdin=b"".join(lines))
    assert run.returncode == 0, run.stderr
    assert ask(skepd, "b", "/look") == ask(skepd, "a", "/look")


def test_a_copy_of_a_database_is_one_state_while_the_tenant_writes(start, tmp_path):
    tenant = routes({
        "begin": "await DB.exec('CREATE TABLE t (n, pad)');",
        "write": "await DB.batch([0, 1].map(() => DB.prepare('INSERT INTO t VALUES ((SELECT count(*) / 2 FROM t), zeroblob(200000))')));",
    })  # fmt: skip
    skepd = start({"a": tenant, "b": routes(FILLING)}, **CONFIG)
    ask(skepd, "a", "/begin")
    for _ in range(30):
        ask(skepd, "a", "/write")
    command = [BIN / "skep", "--socket", skepd.admin_socket, "data", "export", "a", "--output", tmp_path / "a"]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            ask(skepd, "a", "/write")
    assert process.returncode == 0
    run = skep(skepd, "data", "import", "b", str(tmp_path / "a"))
    assert run.returncode == 0, run.stderr
    [[[count, pairs, odd]], [[check]]] = sql(
        skepd, "b", "SELECT count(*), count(DISTINCT n), (SELECT count(*) FROM (SELECT n FROM t GROUP BY n HAVING count(*) <> 2)) FROM t", "PRAGMA quick_check"
    )
    assert count >= 60 and count == 2 * pairs and odd == 0 and check == "ok", "no half of a batch is in the copy"


def test_statements_have_their_rows_and_errors(skepd):
    run = skep(skepd, "data", "sql", "a", "main", "--script", "CREATE TABLE t (id, name); INSERT INTO t VALUES (1, 'ü\x1b[31m'), (2, x'0102');")
    assert run.returncode == 0 and "2 statements" in run.stdout, run.stderr
    run = skep(skepd, "data", "sql", "a", "main", "SELECT id, name FROM t ORDER BY id", "UPDATE t SET id = id + 1")
    assert run.returncode == 0, run.stderr
    assert "ID" in run.stdout.upper() and "ü" in run.stdout and "base64:AQI=" in run.stdout and "2 rows changed" in run.stdout
    assert "\x1b" not in run.stdout
    assert sql(skepd, "a", "SELECT id, name FROM t ORDER BY id") == [[[2, "ü\x1b[31m"], [3, ["AQI="]]]]
    run = skep(skepd, "data", "sql", "a", "main", stdin=b"SELECT count(*) AS n FROM t\n")
    assert run.returncode == 0 and run.stdout.split() == ["n", "2"]
    for statement, reason in [
        ("SELECT * FROM missing", "no such table: missing"),
        ("ATTACH '/etc/passwd' AS x", "not authorized"),
        ("SELECT 1; SELECT 2", "D1_ERROR"),
        ("", "D1_ERROR"),
    ]:
        run = skep(skepd, "data", "sql", "a", "main", statement)
        assert run.returncode == 1 and reason in run.stderr and run.stdout == "", (statement, run)
    run = skep(skepd, "data", "sql", "a", "main", "DELETE FROM t", "SELECT * FROM missing")
    assert run.returncode == 1 and sql(skepd, "a", "SELECT count(*) FROM t") == [[[2]]], "all in one transaction"


def test_storage_rate_is_the_tenants(start):
    tenant = routes(FILLING)
    tenant["limits"] = {"storage_rate": 1}
    skepd = start({"a": tenant}, **CONFIG)
    for _ in range(5):
        assert sql(skepd, "a", "SELECT 1") == [[[1]]]


def test_errors_name_what_is_wrong(skepd, start, tmp_path):
    for arguments, reason in [
        (["export", "nobody"], "no such tenant"),
        (["sql", "nobody", "main", "SELECT 1"], "no such tenant"),
        (["sql", "a", "No Name", "SELECT 1"], "no name"),
        (["import", "a", str(tmp_path / "none")], "No such file"),
        (["export", "a", "--output", str(tmp_path / "none" / "x")], "No such file"),
    ]:
        run = skep(skepd, "data", *arguments)
        assert run.returncode == 1 and reason in run.stderr, run
    for arguments in (["copy", "a"], ["export", "a", "b"], ["export", "a", "--replace"], ["sql", "a"], ["import", "a", "b", "c"], ["export"]):
        assert skep(skepd, "data", *arguments).returncode == 2, arguments
    run = skep(start({"a": {"files": {"worker.js": "export default {};"}}}), "data", "export", "a")
    assert run.returncode == 1 and "no storage" in run.stderr


# ---- who may, and clients that go


def test_the_right_to_read_is_not_enough(start):
    skepd = start({"a": routes(FILLING)}, admin={"read": {"uids": [4711]}, "group": "4711"}, **CONFIG)
    for folder in (skepd.folder, skepd.folder.parent):
        folder.chmod(0o755)
    for arguments in (["export", "a"], ["sql", "a", "main", "SELECT 1"], ["import", "a"]):
        line = b'{"skep_data":1,"databases":["x"]}\n'
        run = skep(skepd, "data", *arguments, stdin=line, user=4711, group=4711, extra_groups=[])
        assert run.returncode == 1 and "right to write" in run.stderr and run.stdout == "", run
    assert skep(skepd, "tenants", user=4711, group=4711, extra_groups=[]).returncode == 0


def values(*texts):
    packed = b"".join(b"s" + len(text).to_bytes(4, "little") + text for text in texts)
    return len(packed).to_bytes(4, "little") + packed


ENDLESS = b"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_client_that_goes_ends_its_statement(start):
    tenant = routes(FILLING)
    tenant["limits"] = {"sql_ms": 30000}
    skepd = start({"a": tenant}, **{**CONFIG, "limits": {"maximum": {"storage_rate": 1000000, "sql_ms": 30000}}})
    sql(skepd, "a", "SELECT 1")
    client = AdminClient(skepd.admin_socket)
    client.send("data", tenant="a", sql=True, space="main", operation="query", data=values(ENDLESS))
    waiting = subprocess.Popen([BIN / "skep", "--socket", skepd.admin_socket, "data", "sql", "a", "main", "SELECT 1"], stdout=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    client.close()
    begun = time.monotonic()
    assert waiting.wait(25) == 0
    assert time.monotonic() - begun < 20, "the statement has not gone on until sql_ms"


def run_operation(client, command="data", **values):
    """Returns status and bytes of the whole answer."""
    answer = client.ask(command, **values)
    data = answer["data"]
    while answer["more"]:
        answer = client.ask("data_read")
        data += answer["data"]
    return answer["status"], data


def test_commands_out_of_order_are_refused(skepd):
    client = AdminClient(skepd.admin_socket)
    for name in ("data_part", "data_read"):
        with pytest.raises(Refused):
            client.ask(name)
    query = {"tenant": "a", "sql": True, "space": "main", "operation": "query"}
    status, data = run_operation(client, **query, data=values(b"SELECT 1"))
    assert status == 200 and b'"rows":[[1]]' in data
    answer = client.ask("data", **query, data=values(b"SELECT 1")[:3], more=True)
    assert answer["status"] == 0 and answer["more"]
    status, data = run_operation(client, "data_part", data=values(b"SELECT 1")[3:])
    assert status == 200 and b'"rows":[[1]]' in data
    status, data = run_operation(client, **query, data=values(ENDLESS.replace(b"FROM n)", b"FROM n LIMIT 100000)").replace(b"count(*)", b"i")))
    assert status == 200 and len(data) > 256 << 10
    with pytest.raises(Refused):
        client.ask("data", tenant="a", sql=True, space="../x", operation="query", data=values(b"SELECT 1"))
    with pytest.raises(Refused):
        client.ask("data", tenant="a", sql=True, space="main", operation="NO", data=values(b"SELECT 1"))
    assert run_operation(client, tenant="a", space="main", operation="put", data=bytes(4))[0] == 400
    client.ask("data", **query, data=b"x", more=True)
    client.send("data_read")
    with pytest.raises(Closed):
        client.answer()
