# SPDX-License-Identifier: Apache-2.0
import hashlib
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from harness import EXAMPLES, TOP, Skepd
from manager import Manager, Service
from upgradable import HELLO, Upgradable


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=1, help="how often test_faults.py runs its rows")


def _starter():
    with tempfile.TemporaryDirectory(prefix="skep-") as folder:  # short: holds sockets
        running = []

        def start_one(
            tenants=None, tenants_folder=None, worker=None, ready=None, launcher=(), **config
        ):
            place = pathlib.Path(folder) / str(len(running))
            place.mkdir()
            skepd = Skepd(place, tenants, config, tenants_folder, worker, ready, launcher)
            running.append(skepd)
            return skepd.start()

        yield start_one
        problems = []
        for skepd in running:
            try:
                skepd.stop()
            except AssertionError as problem:
                problems.append(problem)
        assert not problems


@pytest.fixture
def start():
    """Starts skepd: start(tenants, **config), see Skepd. All are stopped, and checked, at the end."""
    yield from _starter()


@pytest.fixture(scope="module")
def start_module():
    """Does the same, until the last test of the module."""
    yield from _starter()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        yield pathlib.Path(path)


@pytest.fixture
def manager(folder):
    manager = Manager(folder)
    yield manager
    manager.close()


@pytest.fixture
def service(folder):
    running = []

    def make(*arguments, **options):
        place = folder / f"s{len(running)}"
        place.mkdir(exist_ok=True)
        running.append(Service(place, *arguments, **options))
        return running[-1]

    yield make
    for skepd in running:
        skepd.stop()


@pytest.fixture
def upgradable(folder):
    started = []

    def start_one(tenants=None, **config):
        place = folder / str(len(started))
        place.mkdir()
        skepd = Upgradable(place, tenants or {"a": HELLO}, **config)
        started.append(skepd)
        return skepd.start()

    yield start_one
    for skepd in started:
        skepd.stop()


def bundle(source, target):
    """A copy of an example that has to be bundled; kept in build/ until the example changes."""
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        if path.is_file() and "node_modules" not in path.parts:
            digest.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes())
    kept = TOP / "build" / "test-bundles" / f"{source.name}-{digest.hexdigest()[:16]}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="skep-") as folder:
            copy = pathlib.Path(folder) / source.name
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
            quiet = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
            subprocess.run(["npm", "ci", *quiet], cwd=copy, check=True)
            subprocess.run(["npm", "run", "--silent", "build"], cwd=copy, check=True)
            shutil.rmtree(copy / "node_modules")
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(copy, kept, dirs_exist_ok=True)
    target.symlink_to(kept)


def link_examples(folder):
    for example in sorted(EXAMPLES.iterdir()):
        if (example / "package.json").exists():
            bundle(example, folder / example.name)
        elif (example / "skep.yaml").exists():
            (folder / example.name).symlink_to(example)


@pytest.fixture(scope="session")
def examples():
    """A folder with all tenants of examples/, as scripts/run serves them."""
    with tempfile.TemporaryDirectory(prefix="skep-") as path:
        link_examples(pathlib.Path(path))
        yield pathlib.Path(path)
