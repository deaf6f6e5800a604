# SPDX-License-Identifier: Apache-2.0
"""scripts/trace-syscalls: the rows of the policy that a workload uses, from the output of strace."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from harness import BIN, IS_SANITIZED, SKEPD, TOP

REPORT = TOP / "tests" / "tools" / "trace_report.py"
DUMP = BIN / "tests" / "policy_dump"

# Output of strace 6: a worker (11) with its sentry (12), a throw-away worker (21) that tries every
# call on purpose, and a process (31) that is born meanwhile and is none of ours.
TRACE = """\
11 execveat(17, "", ["skep-worker", "--jit=off", "--layers=6fff"], 0x7ffc /* 0 vars */, AT_EMPTY_PATH <unfinished ...>
21 execveat(17, "", ["skep-worker", "--jit=on", "--layers=6fff", "--report"], 0x7ffc, AT_EMPTY_PATH) = 0
11 <... execveat resumed>) = 0
11 arch_prctl(0x1002, 0x7f0000000000) = 0
11 seccomp(0x1, 0x1, 0) = -1 EFAULT (Bad address)
11 seccomp(0x1, 0x11, 0x5500) = 0
21 socket(0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff) = 0x29
21 --- SIGSYS {si_signo=SIGSYS, si_code=SYS_SECCOMP, si_call_addr=0x7f, si_syscall=__NR_socket} ---
11 mprotect(0x7f0000000000, 0x1000, 0x3) = 0
11 clone(0x3d0f00, 0x7f0debe1ceb0, 0x7f0debe1d990, 0x7f0debe1d990, 0x7f0debe1d6c0 <unfinished ...>
31 close(0x7) = 0
31 socket(0x1, 0x2, 0) = 0x3
12 set_robust_list(0x7f0debe1d9a0, 0x18 <unfinished ...>
11 <... clone resumed>) = 0x2
12 <... set_robust_list resumed>) = 0
11 seccomp(0x1, 0x11, 0x5500) = 0
12 clock_nanosleep(0x1, 0x1, 0x7f00, 0) = 0
11 writev(0x3, 0x7ffc, 0x1) = 10
11 openat(0xffffffffffffff9c, 0x5500, 0) = -1 ENOENT (No such file or directory)
11 getrandom(0x7f00, 0x8, 0) = 0x8
12 madvise(0x7f0000000000, 0x1000, 0x64) = 0x1c
12 --- SIGSYS {si_signo=SIGSYS, si_code=SYS_SECCOMP, si_call_addr=0x7f, si_syscall=__NR_madvise} ---
12 getppid() = 0x6e
11 +++ killed by SIGSYS +++
"""


def report(trace, *options):
    command = [sys.executable, "-B", REPORT, "--policy-dump", DUMP, *options, trace]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def counts(phase):
    return {(row["name"], row["text"]): row["count"] for row in phase["used"]}


@pytest.fixture
def trace(folder):
    path = folder / "trace"
    path.write_text(TRACE)
    return path


def test_calls_are_counted_by_row_and_phase(trace):
    result = json.loads(report(trace, "--json").stdout)
    start, running = result["phases"]["start-up"], result["phases"]["running"]
    assert result["workers"] == {"on": 0, "off": 1}
    assert result["before"] == {"arch_prctl": 1, "seccomp": 2}
    rows = counts(start)
    assert {name for name, _ in rows} == {"mprotect", "clone", "set_robust_list", "seccomp"}
    assert rows[("mprotect", "arg2 & 0xfffffffffffffffc = 0x0")] == 1
    assert start["refused"] == []
    assert counts(running) == {
        ("clock_nanosleep", ""): 1,
        ("writev", "arg0 = 3"): 1,
        ("openat", ""): 1,
        ("getrandom", ""): 1,
    }
    assert "read" in {row["name"] for row in running["unused"]}


def test_refused_calls_are_named_with_their_arguments(trace):
    running = json.loads(report(trace, "--json").stdout)["phases"]["running"]
    assert [(entry["name"], entry["refused"]) for entry in running["refused"]] == [("madvise", 1)]
    assert running["refused"][0]["args"][2] == "0x64"
    assert running["contradictions"] == []
    assert "madvise(0x7f0000000000, 0x1000, 0x64" in report(trace, "--all").stdout


def test_what_contradicts_the_policy_is_said(trace):
    """A call without a row that is not refused: here there is no filter behind it."""
    text = TRACE[: TRACE.index("12 madvise")].replace("11 openat", "11 socket")
    trace.write_text(text)
    running = json.loads(report(trace, "--json").stdout)["phases"]["running"]
    assert [said.split()[0] for said in running["contradictions"]] == ["socket"]


def test_without_workers_there_is_no_report(trace):
    trace.write_text("11 close(0x3) = 0\n")
    assert report(trace).returncode == 1
    trace.write_text(TRACE)
    assert report(trace, "--jit", "on").returncode == 1


def can_strace():
    run = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], check=False)
    return run.returncode == 0


@pytest.mark.skipif(not IS_SANITIZED, reason="needs a skepd that does not attest: SKEPD_BIN")
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace (scripts/setup --dev)")
def test_script_traces_real_workers(folder):
    if not can_strace():
        pytest.skip("strace may not trace here")
    tenant = folder / "tenants" / "one"
    tenant.mkdir(parents=True)
    (tenant / "skep.yaml").write_text("name: one\nmain: worker.js\nroutes: ['one.localhost/*']\n")
    (tenant / "worker.js").write_text("export default { fetch() { return new Response('1'); } };\n")
    asked = folder / "asked"
    command = [TOP / "scripts/trace-syscalls", "--json", "--jit", "off", "--serve", tenant.parent]
    ask = f"curl -sS -m 15 -H 'Host: one.localhost' -o {asked} $SKEP_URL"
    run = subprocess.run(
        [*command, "--", "sh", "-c", ask],
        env={**os.environ, "SKEP_BIN": str(BIN), "SKEPD_BIN": str(SKEPD), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert asked.read_text() == "1"
    result = json.loads(run.stdout)
    assert result["workers"]["off"] >= 1 and result["workers"]["on"] == 0
    start, running = result["phases"]["start-up"], result["phases"]["running"]
    assert {"pivot_root", "seccomp", "clone", "rseq"} <= {row["name"] for row in start["used"]}
    assert {("read", "arg0 = 3"), ("writev", "arg0 = 3")} <= set(counts(running))
    for phase in (start, running):
        assert phase["refused"] == [] and phase["contradictions"] == []
    assert list(folder.glob("skep-trace*")) == []
