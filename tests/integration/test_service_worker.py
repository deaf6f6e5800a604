# SPDX-License-Identifier: Apache-2.0
"""Tenants in service-worker syntax: addEventListener("fetch", …) instead of a default export."""

import pytest

from harness import wait_for

LISTENER = "addEventListener('fetch', (event) => event.respondWith(answer(event)));\n"


@pytest.fixture(scope="module")
def hive(start_module):
    return start_module({
        "a": {"files": {"worker.js": LISTENER + "const answer = async ({ request }) =>"
                        " new Response(GREETING + await request.text());\n"},
              "env": {"GREETING": "hello "}},
        "silent": {"files": {"worker.js": "addEventListener('fetch', () => {});\n"}},
        "both": {"files": {"worker.js": LISTENER + "export default { fetch: () => new Response('export') };\n"}},
        "none": {"files": {"worker.js": "export default { handle() {} };\n"}},
    })


def logged(hive, words):
    return wait_for(lambda: words in hive.log(), f"in the log: {words}")


def test_listener_for_fetch_answers_with_a_body_and_env(hive):
    assert hive.post("a", body=b"you").text == "hello you"


def test_request_that_no_listener_answers_is_a_bad_response(hive):
    assert hive.get("silent").code == "bad_response"
    logged(hive, "no listener for fetch events called event.respondWith()")


def test_default_export_comes_before_a_listener(hive):
    assert hive.get("both").text == "export"
    logged(hive, "the listener for fetch events gets none")


def test_module_without_a_handler_is_told_of_both_forms(hive):
    assert hive.get("none").code == "boot_failed"
    logged(hive, "the default export has no fetch function, but handle; expected export default { fetch(request, env, ctx)")
    logged(hive, 'or addEventListener("fetch", …)')
