# SPDX-License-Identifier: Apache-2.0
"""Tenants with storage, for test_kv.py and test_sql.py."""

from harness import script

BINDINGS = [{"name": "KV", "kv": "main"}, {"name": "OTHER", "kv": "other"}, {"name": "DB", "sql": "main"}]
PRELUDE = """
    const { KV, DB, OTHER } = env, { pathname } = new URL(request.url);
    const failing = async (f) => { try { await f(); return "no error"; } catch (e) { return `${e?.name}: ${e?.message}`; } };
"""
# Tests are to meet no limit but the one that they are about.
NO_RATE = {"storage_rate": 1000000, "cpu_ms": 5000}
CONFIG = {"storage": {"folder": "data"}, "limits": {"maximum": {"storage_rate": 1000000}}}


def storing(body, bindings=BINDINGS, limits=NO_RATE, **manifest):
    """A tenant whose handler is that body, with KV, OTHER, DB, pathname and failing(f)."""
    return {"bindings": bindings, "limits": limits, "files": {"worker.js": script(PRELUDE + body)}, **manifest}


def routes(cases):
    """A tenant that answers each path with what the body of that name returns, as JSON."""
    functions = ",\n".join(f"{name}: async () => {{ {body} }}" for name, body in cases.items())
    return storing(f"const all = {{ {functions} }}; return Response.json(await all[pathname.slice(1)]() ?? null);")


def ask(skepd, tenant, path="/"):
    answer = skepd.get(tenant, path)
    assert answer.status == 200, (answer.status, answer.text, skepd.log()[-2000:])
    return answer.json()
