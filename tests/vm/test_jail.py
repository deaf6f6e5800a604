# SPDX-License-Identifier: Apache-2.0
"""The tests of the jail on Debian's own kernel: an older Landlock, a gate for int 0x80, and cgroups
below systemd's."""

import subprocess

import pytest

from harness import BIN, script
from host import DELEGATE

PROGRAMS = sorted(path.name for path in (BIN / "tests").glob("test_jail_*"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_passes(name, tmp_path):
    output = tmp_path / name
    with output.open("w") as file:
        status = subprocess.call([BIN / "tests" / name], stdout=file, stderr=file, timeout=200)
    assert status == 0, output.read_text()[-5000:]


def test_all_programs_of_the_jail_are_there():
    assert {"test_jail_filter", "test_jail_numbers", "test_jail_spawner"} <= set(PROGRAMS)


def test_service_has_a_full_jail_and_confines_itself(host):
    skepd = host.start_in_scope(DELEGATE, tenants={"a": script('return new Response("hello")')})
    status = skepd.admin("status")
    assert status["jail"] == "full"
    assert set(status["own_layers"].values()) == {"active"}
    assert {worker["finding"] for worker in skepd.admin("jail-report")["workers"]} == {None}
