# SPDX-License-Identifier: Apache-2.0
"""Helpers of the tests of reloads."""

import json

from harness import Loader, script

HELLO = script('return new Response("hello")')
SLOW = script(
    'console.log("entered"); await new Promise((r) => setTimeout(r, 700));'
    'return new Response("done");'
)
SLOW_TO_LOAD = (
    "function burn() { let x = 0; for (let i = 0; i < 4e7; i++) x = (x * 31 + i) | 0; return x; }\n"
    "const burnt = burn();\n"
    'export default { fetch() { return new Response("hello" + (burnt & 0)); } };\n'
)


def says(text):
    return script(f'return new Response("{text}")')


def reload(skepd, **config):
    """Reloads the config with these keys changed. Returns the report of `skep reload`."""
    skepd.config.update(config)
    skepd.write_config()
    run = skepd.skep("reload", "--json")
    assert run.stdout, run.stderr
    report = json.loads(run.stdout)
    assert run.returncode == (0 if report["applied"] and not report["tenant_errors"] else 1)
    return report


def changes(report):
    return {c["key"]: (c["before"], c["after"]) for c in report["changes"]}


def cordons(**keys):
    return [{"name": "default", "workers": 1, **keys}]


def shared(skepd, cordon="default"):
    return [w for w in skepd.workers() if w["cordon"] == cordon and w["kind"] == "shared"]


def is_settled(skepd, count, cordon="default"):
    """Whether that many workers serve, and none is starting or ending."""
    workers = [w for w in skepd.workers() if w["cordon"] == cordon]
    return all(w["state"] in ("ready", "spare") for w in workers) and count == len(
        [w for w in workers if w["kind"] == "shared"]
    )


class Newcomers(Loader):
    """A connection for each request, so that one that is refused is seen, too."""

    def _ask(self, connection):
        with self.skepd.connect() as fresh:
            super()._ask(fresh)
