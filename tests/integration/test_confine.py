# SPDX-License-Identifier: Apache-2.0
"""What a skepd that serves has given up, looked at from outside."""

import os

import pytest

from harness import IS_SANITIZED, script, status_of, wait_for

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="sanitizer builds are not confined")

SETS = ["CapInh", "CapPrm", "CapEff", "CapAmb"] + (["CapBnd"] if os.geteuid() == 0 else [])


def hello(text):
    return script(f'return new Response("{text}");')


def test_skepd_has_a_filter_and_no_capabilities(start):
    skepd = start({"a": hello("first")})
    status = status_of(skepd.pid)
    assert status["Seccomp"].strip() == "2"
    assert status["NoNewPrivs"].strip() == "1"
    assert {name: int(status[name], 16) for name in SETS} == {name: 0 for name in SETS}


def test_tenant_behind_a_link_is_read_again(start, folder):
    real = folder / "elsewhere"
    real.mkdir()
    (real / "skep.yaml").write_text('name: a\nmain: worker.js\nroutes: ["a.test/*"]\n')
    (real / "worker.js").write_text(hello("first"))
    tenants = folder / "tenants"
    tenants.mkdir()
    (tenants / "a").symlink_to(real)
    skepd = start(tenants_folder=tenants)
    assert skepd.get("a").text == "first"
    (real / "worker.js").write_text(hello("second"))
    skepd.reload("a")
    wait_for(lambda: skepd.get("a").text == "second", "the new version")


def test_tenant_that_moves_out_of_the_folders_is_refused_with_a_reason(start, folder):
    """A link that leads to a folder which no tenant had: the old version serves on."""
    for name in ("first", "second"):
        (folder / name).mkdir()
        (folder / name / "skep.yaml").write_text('name: a\nmain: worker.js\nroutes: ["a.test/*"]\n')
        (folder / name / "worker.js").write_text(hello(name))
    tenants = folder / "tenants"
    tenants.mkdir()
    (tenants / "a").symlink_to(folder / "first")
    skepd = start(tenants_folder=tenants)
    assert skepd.get("a").text == "first"
    (tenants / "a").unlink()
    (tenants / "a").symlink_to(folder / "second")
    assert b"skepd reads only folders" in skepd.reload("a")
    assert skepd.get("a").text == "first"
    # Below the tenants' folder a folder may take another's place.
    (tenants / "a").unlink()
    (folder / "second").rename(tenants / "a")
    skepd.reload("a")
    wait_for(lambda: skepd.get("a").text == "second", "the new version")


def test_socket_in_the_file_system_is_removed_at_the_end(start, folder):
    path = folder / "http.sock"
    skepd = start({"a": hello("first")}, more_listen=[f"unix:{path}"])
    assert path.exists()
    skepd.stop()
    assert not path.exists()
