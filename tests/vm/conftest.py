# SPDX-License-Identifier: Apache-2.0
"""For tests that need a host of their own: see scripts/test-vm. They run as root. host: skepd as each
test starts it; service: skepd as the package does."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import harness  # noqa: E402
import packaged  # noqa: E402
from host import Host, patient, run  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def host(tmp_path, monkeypatch):
    with Host(tmp_path, monkeypatch) as host:
        yield host


@pytest.fixture
def service(monkeypatch):
    """The package, installed, running or not: service.set_up(tenants) starts it."""
    monkeypatch.setattr(harness, "wait_for", patient)
    packaged.mentions()
    if not packaged.installed_version():
        packaged.dpkg("--install", packaged.OLD)
    service = packaged.Packaged()
    yield service
    print(service.log()[-10000:])
    if packaged.installed_version():
        run("systemctl", "stop", *packaged.UNITS)


@pytest.fixture
def bare(monkeypatch):
    """The service of a package that is not installed yet."""
    monkeypatch.setattr(harness, "wait_for", patient)
    packaged.mentions()
    if packaged.installed_version():
        packaged.dpkg("--purge", "skep")
    return packaged.Packaged()
