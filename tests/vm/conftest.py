# SPDX-License-Identifier: Apache-2.0
"""For tests that need a host of their own: see scripts/test-vm. They run as root."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from host import Host  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def host(tmp_path, monkeypatch):
    with Host(tmp_path, monkeypatch) as host:
        yield host
