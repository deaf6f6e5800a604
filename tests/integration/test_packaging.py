# SPDX-License-Identifier: Apache-2.0
"""packaging/: tests of the units and the Debian package that need no machine of their own;
tests/vm installs them in one."""

import http.server
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from egress_client import Client
from harness import BIN, TOP, descendants, script, status_of

PACKAGING = TOP / "packaging"
SERVICE = PACKAGING / "systemd" / "skepd.service"
EGRESS = PACKAGING / "systemd" / "skep-egress.service"
EGRESS_SOCKET = PACKAGING / "systemd" / "skep-egress.socket"
EXPOSURE = {SERVICE.name: 15, EGRESS.name: 14}  # tenths
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze: package systemd"
)


def run(*command, **options):
    return subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True, **options
    ).stdout


def settings(unit):
    """[(key, value)] in their order, of all sections."""
    lines = unit.read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"[A-Z]\w*=", line)]


def setting(unit, key):
    (value,) = [value for name, value in settings(unit) if name == key]
    return value


# ---- units


def analyze(unit):
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[unit.name]}", unit]
    return subprocess.run(command, capture_output=True, text=True)


@needs_systemd
@pytest.mark.parametrize("service", [SERVICE, EGRESS], ids=lambda path: path.stem)
def test_exposure_of_the_service_is_low(service):
    result = analyze(service)
    assert result.returncode == 0, result.stdout


@needs_systemd
@pytest.mark.parametrize("service, key", [
    (SERVICE, "CapabilityBoundingSet"), (SERVICE, "SystemCallFilter"), (SERVICE, "PrivateNetwork"), (SERVICE, "User"),
    (EGRESS, "CapabilityBoundingSet"), (EGRESS, "SystemCallFilter"), (EGRESS, "RestrictNamespaces"), (EGRESS, "User"),
])  # fmt: skip
def test_exposure_is_what_the_unit_says(service, key, tmp_path):
    unit = tmp_path / service.name
    unit.write_text(re.sub(rf"(?m)^{key}=.*\n", "", service.read_text()))
    assert analyze(unit).returncode != 0


@needs_systemd
def test_units_have_no_errors(tmp_path):
    programs = {
        "/usr/sbin/skepd": BIN / "skepd",
        "/usr/bin/skep": BIN / "skep",
        "/usr/libexec/skep/skep-egress": BIN / "skep-egress",
    }
    for unit in (PACKAGING / "systemd").iterdir():
        text = unit.read_text()
        for path, program in programs.items():
            text = text.replace(f"={path} ", f"={program} ")
        (tmp_path / unit.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_service_may_take_as_long_to_stop_as_it_drains():
    config = (PACKAGING / "skepd.yaml").read_text()
    assert "drain_s" not in config
    default = re.search(r"^drain_s: (\d+)", (TOP / "docs" / "config.md").read_text(), re.M)
    assert int(setting(SERVICE, "TimeoutStopSec")) > int(default[1])


# System calls of the spawner that no table names, and calls of skepd before it confines itself, which every
# program makes.
SPAWNER = """clone clone3 unshare execve execveat close_range prctl capget capset setresuid setresgid
    setsid waitid wait4 pidfd_send_signal pipe2 dup2 dup3 openat readlink fcntl poll rt_sigaction
    rt_sigprocmask kill chdir recvmsg sendmsg exit_group"""
SET_UP = """socket bind listen socketpair umask chmod fchmod unlink renameat2 fsync mkdir getpeername
    prlimit64 statfs seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self mprotect
    getxattr fgetxattr faccessat faccessat2"""


def named_in_policies(*sources):
    names = set()
    for source in sources:
        names |= set(re.findall(r"ALLOW\((\w+)\)", (TOP / "sandbox-policy" / source).read_text()))
    return names


def set_of(name):
    text = run("systemd-analyze", "syscall-filter", name)
    words = [line.strip() for line in text.splitlines()[1:] if not line.strip().startswith("#")]
    return {call for word in words if word for call in (set_of(word) if word[0] == "@" else {word})}


def filter_of(unit):
    """Returns the calls that SystemCallFilter= allows. @default is always among them."""
    allowed = set_of("@default")
    for key, value in settings(unit):
        if key == "SystemCallFilter":
            names = value.lstrip("~").split()
            calls = set().union(*(set_of(name) if name[0] == "@" else {name} for name in names))
            allowed = allowed - calls if value[0] == "~" else allowed | calls
    return allowed


@needs_systemd
def test_filter_of_the_service_has_all_that_skep_calls():
    named = named_in_policies(*(TOP / "sandbox-policy").glob("*_*.c"))
    assert {"pivot_root", "epoll_ctl", "memfd_create"} <= named
    named.remove("setrlimit")  # by which glibc means prlimit64
    wanted = named | set(SPAWNER.split()) | set(SET_UP.split())
    assert wanted - filter_of(SERVICE) == set()


@needs_systemd
def test_filter_of_the_service_has_little_more():
    refused = """ptrace bpf io_uring_setup userfaultfd init_module kexec_load reboot swapon settimeofday
        open_by_handle_at process_vm_readv setns keyctl add_key iopl chroot fsopen move_mount acct
        perf_event_open pidfd_getfd"""
    assert filter_of(SERVICE) & set(refused.split()) == set()


# System calls of skep-egress before its filter: the dynamic linker, the kit of helpers, OpenSSL and c-ares at their start.
EGRESS_SET_UP = """execve brk mmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 openat read pread64
    newfstatat statfs access getpid getuid geteuid getgid getegid prctl rt_sigaction epoll_create1 eventfd2 timerfd_create capget
    capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self readlink uname sysinfo getsockname"""


@needs_systemd
def test_filter_of_egress_has_all_that_egress_calls():
    named = named_in_policies("base_syscalls.inc", "egress_syscalls.c")
    assert {"connect", "sendto", "accept4", "epoll_ctl"} <= named
    assert (named | set(EGRESS_SET_UP.split())) - filter_of(EGRESS) == set()


@needs_systemd
def test_filter_of_egress_has_little_more():
    refused = """bind listen ptrace bpf io_uring_setup userfaultfd init_module mount umount2 pivot_root chroot setns
        keyctl add_key setuid setresuid setgroups process_vm_readv open_by_handle_at perf_event_open pidfd_getfd shmget
        chown mlock sched_setscheduler"""
    assert filter_of(EGRESS) & set(refused.split()) == set()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def calls_of_a_unit(folder, *options):
    """How fetches of a skep-egress ended that was started as systemd does it, and its system calls, from its first one on."""
    path, trace = folder / "egress.sock", folder / "trace"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        high = os.dup(listener.fileno())
    command = ["strace", "-f", "-o", trace, "-e", "signal=none", "sh", "-c",
               'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"', BIN / "skep-egress", *options]  # fmt: skip
    process = subprocess.Popen(command, preexec_fn=lambda: os.dup2(high, 3), pass_fds=[3])
    os.close(high)
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(str(path))
    client = Client(channel)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        place = f"127.0.0.1:{server.server_address[1]}"
        failures = [client.fetch(f"{url}/").failure for url in (f"http://{place}", f"https://{place}", "http://name.example:80")]
        server.shutdown()
    channel.close()
    (pid,) = [pid for pid in descendants(process.pid) if status_of(pid)["Name"].strip() == "skep-egress"]
    os.kill(pid, signal.SIGTERM)
    process.wait(10)
    lines = trace.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if "execve(" in line and "skep-egress" in line and "= 0" in line)
    return failures, [(call[1], line) for line in lines[first:] if (call := re.match(r"\d+ +(\w+)\(", line))]


@needs_systemd
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_egress_works_with_what_its_unit_allows(tmp_path):
    failures, calls = calls_of_a_unit(tmp_path, "--dns=127.0.0.1:9")
    assert failures == ["NONE", "TLS", "RESOLVER"]
    allowed = filter_of(EGRESS)
    assert {line for name, line in calls if name not in allowed and not line.endswith("ENOSYS (Function not implemented)")} == set()
    families = set(setting(EGRESS, "RestrictAddressFamilies").split())
    sockets = [line for name, line in calls if name in ("socket", "socketpair") and "= -1" not in line]
    assert sockets and {re.search(r"AF_\w+", line)[0] for line in sockets} <= families


def test_only_skepd_can_reach_egress():
    user = setting(SERVICE, "User")
    assert (setting(EGRESS_SOCKET, "SocketUser"), setting(EGRESS_SOCKET, "SocketMode")) == (user, "0600")
    assert setting(EGRESS, "User") not in (user, "root")
    # With users of its own, it could not tell skepd's from another one.
    assert "PrivateUsers" not in dict(settings(EGRESS))
    where = setting(EGRESS_SOCKET, "ListenStream")
    assert re.search(rf"^egress: {{ socket: {re.escape(where)} }}$", (PACKAGING / "skepd.yaml").read_text(), re.M)
    wanted = setting(SERVICE, "Wants").split()
    assert EGRESS_SOCKET.name in wanted and EGRESS_SOCKET.name in " ".join(
        value for key, value in settings(SERVICE) if key == "After"
    )
    for key in ("Requires", "BindsTo", "PartOf"):
        assert not any("egress" in value for name, value in settings(SERVICE) if name == key), "egress must not end skepd"


def test_the_way_out_leaves_skepd_without_a_network():
    assert setting(SERVICE, "PrivateNetwork") == "yes"
    assert setting(SERVICE, "RestrictAddressFamilies") == "AF_UNIX"
    assert setting(SERVICE, "IPAddressDeny") == "any"


# ---- user, folders, configuration


@needs_systemd
def test_user_and_folders_are_made(tmp_path):
    (tmp_path / "etc").mkdir()
    run("systemd-sysusers", f"--root={tmp_path}", PACKAGING / "sysusers" / "skep.conf")
    user = re.search(r"^skep:.*$", (tmp_path / "etc" / "passwd").read_text(), re.M)[0].split(":")
    group = re.search(r"^skep:.*$", (tmp_path / "etc" / "group").read_text(), re.M)[0].split(":")
    assert (user[3], user[5], user[6]) == (group[2], "/var/lib/skep", "/usr/sbin/nologin")
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create", PACKAGING / "tmpfiles" / "skep.conf")
    status = (tmp_path / "var" / "lib" / "skep").stat()
    assert status.st_mode & 0o7777 == 0o700
    assert status.st_uid == int(user[2])
    other = re.search(r"^skep-egress:.*$", (tmp_path / "etc" / "passwd").read_text(), re.M)[0].split(":")
    assert other[2] != user[2] and other[3] != user[3] and other[6] == "/usr/sbin/nologin"


def test_configuration_has_no_errors_and_opens_no_port():
    config = PACKAGING / "skepd.yaml"
    assert run(BIN / "skep", "check", config).startswith("ok")
    keys = re.findall(r"^(\w+):", config.read_text(), re.M)
    assert "listen" not in keys and "metrics" not in keys
    assert run(BIN / "skepd", "--check", "--config", config) == ""


# ---- the package


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Returns the package's file, and its contents."""
    folder = tmp_path_factory.mktemp("package")
    config = BIN / "CPackConfig.cmake"
    assert config.exists(), "not a build tree that packages are made of"
    run("cpack", "-G", "DEB", "--config", config, "-B", folder, "-D", "CPACK_PACKAGE_VERSION=7.8.9")
    (file,) = folder.glob("*.deb")
    root = folder / "root"
    run("dpkg-deb", "-x", file, root)
    return file, root


def test_package_names_itself_and_what_it_needs(package):
    file, _ = package
    architecture = run("dpkg", "--print-architecture").strip()
    assert file.name == f"skep_7.8.9_{architecture}.deb"
    fields = dict(re.findall(r"^(\S+): (.*)$", run("dpkg-deb", "-f", file), re.M))
    assert fields["Package"] == "skep"
    assert {"libc6", "libseccomp2", "systemd"} <= set(re.findall(r"[a-z][\w.+-]+", fields["Depends"]))
    assert run("dpkg-deb", "-I", file, "conffiles").split() == ["/etc/skep/skepd.yaml"]


WANTED = {
    "usr/sbin/skepd": 0o755,
    "usr/bin/skep": 0o755,
    "usr/libexec/skep/skep-worker": 0o755,
    "usr/libexec/skep/skep-store": 0o755,
    "usr/libexec/skep/skep-data": 0o755,
    "usr/libexec/skep/skep-egress": 0o755,
    "usr/lib/systemd/system/skep-egress.service": 0o644,
    "usr/lib/systemd/system/skep-egress.socket": 0o644,
    "usr/lib/systemd/system/skepd.service": 0o644,
    "usr/lib/systemd/system/skepd.socket": 0o644,
    "usr/lib/systemd/system/skepd-metrics.socket": 0o644,
    "usr/lib/sysusers.d/skep.conf": 0o644,
    "usr/lib/tmpfiles.d/skep.conf": 0o644,
    "etc/skep/skepd.yaml": 0o644,
    "usr/share/doc/skep/copyright": 0o644,
    "usr/share/doc/skep/changelog.gz": 0o644,
    "usr/share/doc/skep/skep.json": 0o644,
}


def test_package_has_all_files(package):
    _, root = package
    found = {
        str(path.relative_to(root)): path.stat().st_mode & 0o7777
        for path in root.rglob("*")
        if not path.is_dir()
    }
    missing = {path: mode for path, mode in WANTED.items() if found.get(path) != mode}
    assert missing == {}
    manual = {f"usr/share/man/man{p.suffix[1]}/{p.name}.gz" for p in TOP.glob("docs/man/*.[158]")}
    extra = set(found) - set(WANTED) - manual
    assert all(re.match(r"usr/share/(bash-completion|zsh|fish)/", path) for path in extra), extra
    assert manual <= set(found)
    assert len(extra) == 3, extra


def test_programs_of_the_package_are_stripped_and_find_each_other(package, tmp_path):
    _, root = package
    helpers = ["usr/libexec/skep/skep-" + name for name in ("worker", "store", "egress")]
    for name in ("usr/sbin/skepd", "usr/bin/skep", *helpers):
        sections = run("readelf", "--wide", "--section-headers", root / name)
        assert ".debug_info" not in sections and ".symtab" not in sections
    config = tmp_path / "skepd.yaml"
    config.write_text("admin_socket: admin.sock\njail: { minimum: reduced }\n")
    answer = run(root / "usr/sbin/skepd", "--config", config, "--probe")
    assert "seccomp" in answer


def test_packaged_programs_serve(package, start, monkeypatch, tmp_path):
    _, root = package
    monkeypatch.setattr("harness.SKEPD", root / "usr/sbin/skepd")
    skepd = start(
        {"a": script('return new Response("hello")')}, worker=root / "usr/libexec/skep/skep-worker",
        state=str(tmp_path / "state"),
    )  # fmt: skip
    assert skepd.get("a").text == "hello"
    assert skepd.admin("status")["helpers"] == {"spawner": "ok", "store": "ok"}


@pytest.mark.parametrize("name", ["preinst", "postinst", "prerm", "postrm"])
def test_maintainer_script_is_in_the_package_and_has_no_errors(name, package):
    file, _ = package
    text = run("dpkg-deb", "-I", file, name)
    assert text == (PACKAGING / "debian" / name).read_text()
    assert "set -e\n" in text
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


UNITS = {path.name for path in (PACKAGING / "systemd").iterdir()}


def test_every_unit_of_the_package_is_stopped_and_forgotten_with_it():
    for name in ("prerm", "postrm"):
        text = (PACKAGING / "debian" / name).read_text()
        assert UNITS <= set(re.findall(r"skep[\w-]*\.\w+", text))


def configure(folder, skep):
    """postinst of an upgrade where a skepd runs, and every program is one that notes its arguments."""
    text = (PACKAGING / "debian" / "postinst").read_text()
    programs = ["systemctl", "systemd-sysusers", "systemd-tmpfiles", "deb-systemd-helper", "deb-systemd-invoke"]
    for name in programs:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/calls\n')
    (folder / "skep").write_text(f"#!/bin/sh\n{skep}\n")
    for name in [*programs, "skep"]:
        (folder / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-s", "configure", "0.0.9"],
        input=text.replace("/run/systemd/system", str(folder)),
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "calls").read_text(), done.stderr


def test_upgrade_that_goes_well_restarts_only_egress(tmp_path):
    calls, told = configure(tmp_path, f"echo skep $* >>{tmp_path}/calls")
    assert told == ""
    assert [line for line in calls.splitlines() if "restart" in line or line == "skep upgrade"] == [
        "skep upgrade", "deb-systemd-invoke try-restart skep-egress.service",
    ]  # fmt: skip
    (unmasked,) = re.findall(r"deb-systemd-helper unmask (.*)", calls)
    assert set(unmasked.split()) == UNITS


def test_upgrade_that_cannot_serve_leaves_the_old_one_alone(tmp_path):
    calls, told = configure(tmp_path, "echo skep upgrade: no such folder >&2; exit 1")
    assert "restart" not in calls
    assert told.startswith("skep: the old skepd keeps serving: no such folder\n")


def test_upgrade_of_a_skepd_that_does_not_know_it_restarts_it(tmp_path):
    """`skep upgrade` fails with its message for a connection that skepd closes at a command it does not know."""
    where = tmp_path / "old.sock"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(where))
        listener.listen()
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        calls, told = configure(bin_folder, f'exec {BIN / "skep"} --socket {where} "$@"')
        thread.join()
    assert "deb-systemd-invoke try-restart skepd.service" in calls
    assert told == ""


def test_changelog_of_the_package_is_of_this_version():
    version = re.search(r"project\(skep VERSION ([\d.]+)", (TOP / "CMakeLists.txt").read_text())[1]
    first = pathlib.Path(PACKAGING / "debian" / "changelog").read_text().splitlines()[0]
    assert first.startswith(f"skep ({version}) ")
