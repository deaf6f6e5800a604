# SPDX-License-Identifier: Apache-2.0
"""files_mib: the files of a tenant together, wherever they come from."""

import json
import subprocess

import pytest
from deploying import FAILURE, Deployer, Raw, begin, part, store_of, wait_for  # noqa: F401
from harness import BIN, script
from reloads import cordons, reload

MIB = 1 << 20
MAIN = "import font from './f.ttf';\n" + script("return new Response(String(font.byteLength));")
ADVICE = "files_mib of its cordon in skepd.yaml sets that"


def large(bytes_in_all):
    """Files of exactly so many bytes."""
    return {"worker.js": MAIN, "f.ttf": b"f" * (bytes_in_all - len(MAIN))}


def write(folder, name, files, **keys):
    folder = folder / name
    folder.mkdir(parents=True)
    (folder / "skep.yaml").write_text(json.dumps({"name": name, "main": "worker.js", "routes": [f"{name}.test/*"], **keys}))
    for path, content in files.items():
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_tenant_of_exactly_the_limit_is_served_and_one_byte_more_is_refused(start):
    skepd = start({"just": {"files": large(2 * MIB)}, "over": {"files": large(2 * MIB + 1)}}, cordons=cordons(files_mib=2))
    assert skepd.get("just").body == str(2 * MIB - len(MAIN)).encode()
    assert skepd.get("over").code == "no_route"
    skepd.wait_log(r"over: (f\.ttf|worker\.js): too large: expected at most 2 MiB in all files together; " + ADVICE)


def test_reload_reads_tenants_by_the_new_limit(start):
    skepd = start({"shop": {"files": large(MIB)}}, cordons=cordons(files_mib=1))
    assert skepd.get("shop").status == 200
    skepd.write_tenant("shop", {"files": large(MIB + 1)})
    report = reload(skepd)
    assert report["applied"] and ADVICE in str(report["tenant_errors"])
    assert skepd.get("shop").body == str(MIB - len(MAIN)).encode()
    report = reload(skepd, cordons=cordons(files_mib=3))
    assert report["applied"] and not report["tenant_errors"]
    wait_for(lambda: skepd.get("shop").body == str(MIB + 1 - len(MAIN)).encode(), "the new version")


def test_files_above_the_old_bound_of_16_mib_are_served(start):
    files = large(40 * MIB)
    tenants = {"shop": {"files": files, "limits": {"external_mib": 100}}, "less": {"files": files}}
    skepd = start(tenants, cordons=cordons(files_mib=40))
    assert skepd.get("shop").body == str(40 * MIB - len(MAIN)).encode()
    assert skepd.get("less").code == "boot_failed"
    skepd.wait_log(r"\[less\] refused: external_mib is 64.0 MiB")
    skepd.wait_log(r"\[less\] error: RangeError: f.ttf: Array buffer allocation failed")


@pytest.fixture
def two(tmp_path):
    made = Deployer(tmp_path, cordons=[{"name": "default", "workers": 1, "files_mib": 1}, {"name": "ours", "workers": 1, "files_mib": 2}])
    yield made
    made.skepd.stop()


def test_deploy_is_bounded_by_the_files_mib_of_its_cordon(two):
    assert two.ask("deploy", write(two.bundles, "just", large(MIB)))["tenant"] == "just"
    text = two.fail("deploy", write(two.bundles, "over", large(MIB + 1)))
    assert 'its files are too large: 1.0 MiB: expected at most 1 MiB together, files_mib of cordon "default"' in text
    assert two.ask("deploy", write(two.bundles, "ours", large(2 * MIB), cordon="ours"))["tenant"] == "ours"
    text = two.fail("deploy", write(two.bundles, "more", large(2 * MIB + (257 << 10)), cordon="ours"))
    assert "too large: expected at most 2 MiB in all files together; " + ADVICE in text
    assert two.left("over") is None and two.left("more") is None
    two.restart()
    assert two.skepd.get("ours").body == str(2 * MIB - len(MAIN)).encode()


def test_upload_without_end_is_cut_off_at_the_largest_files_mib(two):
    raw = Raw(two)
    raw.ask(begin(b"endless"))
    sent = 0
    while raw.ask(part(b"a.txt", b"x" * (256 << 10), more=1))[0] != FAILURE:
        sent += 256 << 10
    assert sent == 2 * MIB + (256 << 10)  # skep.yaml, too, has room
    wait_for(lambda: two.left("endless") is None, "the upload to go")


def test_lower_limit_than_what_serves_is_refused_at_a_reload_and_named_at_a_start(two):
    two.ask("deploy", write(two.bundles, "ours", large(2 * MIB), cordon="ours"))
    two.skepd.config["cordons"][1]["files_mib"] = 1
    two.skepd.write_config()
    run = two.skepd.skep("reload")
    assert run.returncode == 1 and 'expected at most 1 MiB together, files_mib of cordon "ours"' in run.stdout + run.stderr
    assert two.skepd.get("ours").status == 200
    two.restart()
    assert two.skepd.get("ours").code == "unserved"
    two.skepd.wait_log(r"ours was deployed, and is not served: .*files_mib")


def test_check_counts_with_the_config_and_without_one_with_the_default(tmp_path, start):
    tenants = tmp_path / "tenants"
    just = write(tenants, "just", large(16 * MIB))
    over = write(tenants, "over", large(16 * MIB + 1))
    check = lambda path: subprocess.run([BIN / "skep", "check", path], capture_output=True, text=True)
    assert check(just).returncode == 0
    run = check(over)
    assert run.returncode == 1 and run.stdout.endswith(f"too large: expected at most 16 MiB in all files together; {ADVICE}\n")
    config = tmp_path / "skepd.yaml"
    config.write_text(f"listen: [127.0.0.1:8080]\nadmin_socket: {tmp_path}/a.sock\ntenants: {tenants}\ncordons: [{{ name: default, files_mib: 17 }}]\n")
    run = check(config)
    assert (run.returncode, run.stdout) == (0, "ok: 1 config file, 2 tenants\n"), run.stdout
