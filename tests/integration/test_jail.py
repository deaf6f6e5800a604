# SPDX-License-Identifier: Apache-2.0
"""The jail of a real skepd's workers: the claims of status are checked from outside, without
skepd's help; and the service when the jail, the spawner, or skepd itself is lost."""

import ctypes
import os
import pathlib
import re
import signal
import stat

import pytest

from harness import (
    IS_SANITIZED,
    Witness,
    descendants,
    honest,
    is_alive,
    script,
    status_of,
    wait_for,
)

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="sanitizer builds attest nothing")

IS_ROOT = os.geteuid() == 0
GOLDEN = pathlib.Path(__file__).with_name("golden")
PAIR = [
    {"name": "default", "workers": 1, "spare": False},
    {"name": "plain", "workers": 1, "spare": False, "jit": False},
]
# Gives a JIT much to compile, if there is one.
BUSY = script(
    "let n = 0; for (let i = 0; i < 2e5; i++) n += Math.imul(i, i) % 7;"
    "return new Response(`${n} ${/(a+)b/.exec('caaab')[1]} ${typeof WebAssembly}`);"
)


def busy(cordon):
    return {"cordon": cordon, "files": {"worker.js": BUSY}, "limits": {"cpu_ms": 2000}}


def maps(pid):
    """(permissions, path) of each mapping."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        yield fields[1], fields[5] if len(fields) > 5 else ""


def limits(pid):
    text = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return {row[:26].strip(): row[26:].split()[:2] for row in text.splitlines()[1:]}


def threads(pid):
    return [status_of(f"{pid}/task/{tid}") for tid in os.listdir(f"/proc/{pid}/task")]


# ---- each layer, from outside


def check_namespace(name):
    def check(pid):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")

    return check


def check_user(pid):
    check_namespace("user")(pid)
    first, outside, count = pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()
    assert (first, count) == ("0", "1")
    assert int(outside) == (status_uid(pid) if IS_ROOT else os.geteuid())


def status_uid(pid):
    return int(status_of(pid)["Uid"].split()[0])


def check_mount(pid):
    check_namespace("mnt")(pid)
    (mount,) = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert " / ro,nosuid,nodev,noexec" in mount and " - tmpfs " in mount
    if IS_ROOT:
        assert os.listdir(f"/proc/{pid}/root") == []


def check_net(pid):
    check_namespace("net")(pid)
    rows = pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    assert {row.split(":")[0].strip() for row in rows} <= {"lo", "sit0", "tunl0", "ip6tnl0"}
    assert pathlib.Path(f"/proc/{pid}/net/route").read_text().count("\n") <= 1


def check_rlimits(pid):
    have = limits(pid)
    for name in ("core file size", "file size", "processes", "locked memory", "msgqueue size"):
        assert have[f"Max {name}"] == ["0", "0"], name
    assert have["Max open files"] == ["3", "3"]
    assert have["Max realtime priority"] == have["Max nice priority"] == ["0", "0"]


def check_sets(*names):
    def check(pid):
        for thread in threads(pid):
            assert {int(thread[name], 16) for name in names} == {0}

    return check


def check_no_new_privs(pid):
    assert all(thread["NoNewPrivs"].strip() == "1" for thread in threads(pid))


def check_dumpable(pid):
    """Another process of the same uid may not read a worker's memory."""
    if not IS_ROOT:
        return
    uid, child = status_uid(pid), os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        try:
            os.readlink(f"/proc/{pid}/exe")
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def check_speculation(pid):
    for thread in threads(pid):
        for name in ("Speculation_Store_Bypass", "SpeculationIndirectBranch"):
            assert re.search("force|not |always disabled", thread[name])


def check_seccomp(pid):
    for thread in threads(pid):
        assert thread["Seccomp"].strip() == "2"
        assert int(thread["Seccomp_filters"]) >= 2


CHECKS = {
    "user": check_user,
    "pid": check_namespace("pid"),
    "net": check_net,
    "mount": check_mount,
    "ipc": check_namespace("ipc"),
    "uts": check_namespace("uts"),
    "cgroup": check_namespace("cgroup"),
    "rlimits": check_rlimits,
    "bounding": check_sets("CapBnd"),
    "capabilities": check_sets("CapInh", "CapPrm", "CapEff", "CapAmb"),
    "no_new_privs": check_no_new_privs,
    "dumpable": check_dumpable,
    "speculation": check_speculation,
    "seccomp": check_seccomp,
}


# The kernel shows the Landlock domain of a process to nobody: tests/jail/probe.c tries it from inside,
# without filters.
UNSEEN = {"landlock"}


def test_each_layer_that_status_claims_is_active_seen_from_outside(start):
    skepd = start({"a": busy("default"), "b": busy("plain")}, cordons=PAIR)
    skepd.get("a")
    skepd.get("b")
    layers = skepd.admin("status")["layers"]
    assert set(layers) == {*CHECKS, *UNSEEN}
    for worker in skepd.workers():
        for name, state in layers.items():
            if state == "active" and name not in UNSEEN:
                CHECKS[name](worker["pid"])
    uids = [status_uid(worker["pid"]) for worker in skepd.workers()]
    if IS_ROOT:
        assert len(set(uids)) == len(uids) and min(uids) >= 0x7A000000


def test_worker_holds_its_channel_and_its_loop_and_nothing_else(start):
    skepd = start({"a": busy("default")})
    skepd.get("a")
    pid = skepd.worker()["pid"]
    targets = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert [targets.pop(fd) for fd in (0, 1, 2)] == ["/dev/null"] * 3
    assert targets.pop(3).startswith("socket:")
    assert sorted(re.sub(r"\d+", "", target) for target in targets.values()) == [
        "anon_inode:[eventpoll]",
        "pipe:[]",
        "pipe:[]",
    ]
    assert stat.S_ISCHR(os.stat(f"/proc/{pid}/fd/0").st_mode)


def test_without_jit_there_is_no_executable_memory(start):
    skepd = start({"a": busy("default"), "b": busy("plain")}, cordons=PAIR)
    assert skepd.get("a").text.endswith("object")
    assert skepd.get("b").text.endswith("undefined"), "WebAssembly without JIT"

    def executable(cordon):
        """Whether executable memory is of no file, or can be written."""
        for permissions, path in maps(skepd.worker(cordon)["pid"]):
            if "x" in permissions and path not in ("[vdso]", "[vsyscall]"):
                if "w" in permissions or not path.startswith("/"):
                    yield permissions, path

    assert list(executable("plain")) == []
    assert list(executable("default")), "the test sees none where there has to be some"


# ---- status and report


def test_status_says_what_holds(start):
    skepd = start({"a": busy("default")})
    status = skepd.admin("status")
    assert status["state"] == "serving"
    assert status["jail"] == "full"
    assert {state for name, state in status["layers"].items() if name != "speculation"} == {"active"}
    assert status["own_layers"]["seccomp"] == status["own_layers"]["capabilities"] == "active"
    text = skepd.skep("status").stdout
    assert re.search(r"^jail +full: user, pid, net, mount, ", text, re.M)
    assert re.search(r"^workers +1 ready of 1, 0 failed$", text, re.M)


def normalised(text):
    """Returns the text without parts that differ from one run, kernel or C library to the next."""
    text = re.sub(r"^  speculation .*$", "  speculation  (by the host)", text, flags=re.M)
    text = re.sub(r"worker, [\d.]+ ms from", "worker, T ms from", text)
    text = re.sub(r"^Worker \d+, pid \d+, seen from outside .* ago", "Worker N", text, flags=re.M)
    text = re.sub(r"uid \d+, gid \d+, \d+ groups", "uid U, gid G, N groups", text)
    text = re.sub(r"\b\d+ filters", "N filters", text)
    # Names that only a newer libseccomp knows.
    return re.sub(r"^( +\d+) \S* +(past_filters)$", r"\1 \2", text, flags=re.M)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize("cordon, name", [("default", "jit-on"), ("plain", "jit-off")])
def test_report_is_the_golden_one(start, cordon, name):
    """After an intended change, copy the text of the failure into the file."""
    skepd = start({"a": busy("default")}, cordons=PAIR)
    run = skepd.skep("jail-report", cordon)
    assert run.returncode == 0, run.stderr
    assert normalised(run.stdout) == (GOLDEN / f"jail-report-{name}.txt").read_text()


def test_report_has_a_verdict_for_every_number(start):
    skepd = start({"a": busy("default")})
    run = skepd.skep("jail-report", "--all")
    for number in range(512):
        assert re.search(rf"^ +{number} ", run.stdout, re.M), number
    calls = skepd.admin("jail-report")["calls"]
    assert [call["number"] for call in calls] == list(range(512))
    assert {call["verdict"] for call in calls} == {
        "refused", "fails", "conditional", "allowed", *(["past_filters"] if len(calls) > 336 else []),
    }  # fmt: skip
    by_name = {call["name"]: call for call in calls}
    assert by_name["openat"] == {
        "number": by_name["openat"]["number"], "name": "openat", "verdict": "fails",
        "error": "ENOENT", "rules": [],
    }  # fmt: skip
    assert by_name["read"]["rules"] == ["arg0 = 3"]
    assert by_name["socket"]["verdict"] == by_name["execve"]["verdict"] == "refused"


def test_report_of_an_unknown_cordon_says_so(start):
    skepd = start({"a": busy("default")})
    run = skepd.skep("jail-report", "nowhere")
    assert run.returncode == 1 and "no such cordon" in run.stderr
    assert skepd.skep("jail-report", "a", "b").returncode == 2
    assert skepd.skep("status", "now").returncode == 2


# ---- losses


@pytest.mark.skipif(not IS_ROOT, reason="only root may trace a worker")
def test_worker_that_loses_its_jail_while_it_runs_is_replaced_and_nobody_blamed(start):
    """The only thing that can be done to a jail from outside is to trace the worker."""
    skepd = start({"a": honest("a"), "b": honest("b")})
    libc = ctypes.CDLL(None, use_errno=True)
    seize, detach = 0x4206, 17
    with Witness(skepd, "a") as witness:
        pid = skepd.worker()["pid"]
        assert libc.ptrace(seize, pid, 0, 0) == 0, os.strerror(ctypes.get_errno())
        try:
            skepd.wait_log(rf"worker \d+ \(pid {pid}\) cannot show its jail: TracerPid", timeout=60)
            # After a kill, the tracer has the process. The spawner serves others meanwhile.
            spare = skepd.worker(slot=1)["pid"]
            os.kill(spare, signal.SIGKILL)
            wait_for(lambda: skepd.worker(slot=1)["pid"] not in (spare, None), "another spare")
            os.waitpid(pid, 0x40000000)  # __WALL
        finally:
            libc.ptrace(detach, pid, 0, 0)
        wait_for(lambda: not is_alive(pid), "the traced worker to be killed")
        witness.more(20)
    assert witness.wrong == []
    incidents = skepd.admin("incidents")["incidents"]
    assert [(i["cause"], i["tenant"]) for i in incidents] == [("outside", None), ("jail", None)]
    assert skepd.tenant("a")["strikes"] == 0


def test_nothing_outlives_a_killed_skepd(start):
    skepd = start({"a": honest("a")}, cordons=[{"name": "default", "workers": 3}])
    skepd.get("a")
    below = descendants(skepd.pid)
    assert len(below) == 6  # spawner and reserve, three workers, spare
    skepd.process.send_signal(signal.SIGKILL)
    skepd.process.wait()
    wait_for(lambda: not any(map(is_alive, below)), "spawner and workers to end")
    skepd.process = None  # skepd could not clean up, and must not be stopped
