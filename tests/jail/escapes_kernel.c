/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escapes through the kernel: its large subsystems, mounts, credentials, limits, administration. And the
 * list of all groups.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/cleanup.h"
#include "tests/jail/escapes.h"

#define REFUSED .sealed = ESCAPE_REFUSED
#define FAILS .entered = ESCAPE_FAILS
#define SAYS(e) .entered = (e)

/* clang-format off */
const struct escape escapes_keyrings[] = {
    { "add a key", "add_key", { SCRATCH(user), SCRATCH(word), SCRATCH(word), 1, -3 }, REFUSED },
    { "request a key", "request_key", { SCRATCH(user), SCRATCH(word), 0, -3 }, REFUSED },
    { "join a session keyring", "keyctl", { 1, 0 }, REFUSED },
    { "read a keyring", "keyctl", { 11, -4, SCRATCH(bytes), 4096 }, REFUSED },
    { NULL },
};

const struct escape escapes_io_uring[] = {
    { "ring: set up", "io_uring_setup", { 1, SCRATCH(bytes) }, REFUSED },
    { "ring: enter", "io_uring_enter", { 3, 1, 0, 0, 0, 0 }, REFUSED, FAILS },
    { "ring: register", "io_uring_register", { 3, 0, 0, 0 }, REFUSED, FAILS },
    { "old ring: set up", "io_setup", { 1, SCRATCH(bytes) }, REFUSED },
    { "old ring: submit", "io_submit", { 0, 1, SCRATCH(bytes) }, REFUSED, FAILS },
    { NULL },
};

/* Where the host's settings decide, only the sealed probe tries. */
const struct escape escapes_subsystems[] = {
    { "userfaultfd", "userfaultfd", { O_CLOEXEC }, REFUSED },
    { "userfaultfd of user mode", "userfaultfd", { 1 }, REFUSED },
    { "bpf program", "bpf", { 5, SCRATCH(bytes), 128 }, REFUSED, FAILS },
    { "bpf map", "bpf", { 0, SCRATCH(bytes), 128 }, REFUSED, FAILS },
    { "perf event", "perf_event_open", { SCRATCH(bytes), 0, -1, -1, 0 }, REFUSED, FAILS },
    { "perf event of a sibling", "perf_event_open", { SCRATCH(bytes), ESCAPE_SIBLING, -1, -1, 0 },
      REFUSED, FAILS },
    { "message queue", "mq_open", { SCRATCH(word), O_CREAT | O_RDWR, 0600, 0 }, REFUSED, FAILS },
    { "messages of System V", "msgget", { 0, 01600 }, REFUSED },
    { "semaphores of System V", "semget", { 0, 1, 01600 }, REFUSED },
    { "membarrier", "membarrier", { 0, 0, 0 }, REFUSED },
    { "restartable sequence", "rseq", { SCRATCH(bytes), 32, 0, 0 }, REFUSED },
    { "alternate stack", "sigaltstack", { 0, SCRATCH(bytes) }, REFUSED },
    { "another ruleset of Landlock", "landlock_create_ruleset", { 0, 0, 1 }, REFUSED },
    { "cache of the host", "cachestat", { 3, 0, 0, 0 }, REFUSED, FAILS },
    { NULL },
};

const struct escape escapes_segments[] = {
    { "write a local descriptor table", "modify_ldt", { 1, SCRATCH(bytes), 16 }, REFUSED },
    { "read a local descriptor table", "modify_ldt", { 0, SCRATCH(bytes), 16 }, REFUSED },
    { "set a segment base", "arch_prctl", { 0x1001, 0 }, REFUSED },
    { "turn CPUID off", "arch_prctl", { 0x1012, 0 }, REFUSED },
    { "enable a processor feature", "arch_prctl", { 0x1023, 18 }, REFUSED },
    { "I/O privilege", "iopl", { 3 }, REFUSED, FAILS },
    { "I/O ports", "ioperm", { 0x80, 1, 1 }, REFUSED, FAILS },
    { "thread area", "set_thread_area", { SCRATCH(bytes) }, REFUSED, FAILS },
    { NULL },
};

const struct escape escapes_mounts[] = {
    { "mount", "mount", { SCRATCH(word), SCRATCH(root), SCRATCH(word) }, REFUSED, SAYS(EPERM) },
    { "remount for writing", "mount", { 0, SCRATCH(root), 0, MS_REMOUNT }, REFUSED, SAYS(EPERM) },
    { "bind mount", "mount", { SCRATCH(root), SCRATCH(root), 0, MS_BIND }, REFUSED, SAYS(EPERM) },
    { "unmount", "umount2", { SCRATCH(root), MNT_DETACH }, REFUSED, SAYS(EPERM) },
    { "pivot_root", "pivot_root", { SCRATCH(root), SCRATCH(root) }, REFUSED, SAYS(EPERM) },
    { "chroot", "chroot", { SCRATCH(root) }, REFUSED, SAYS(EPERM) },
    { "fsopen", "fsopen", { SCRATCH(word), 0 }, REFUSED, SAYS(EPERM) },
    { "fsmount", "fsmount", { 3, 0, 0 }, REFUSED, FAILS },
    { "fsconfig", "fsconfig", { 3, 0, 0, 0, 0 }, REFUSED, FAILS },
    { "fspick", "fspick", { AT_FDCWD, SCRATCH(root), 0 }, REFUSED, FAILS },
    { "clone a tree", "open_tree", { AT_FDCWD, SCRATCH(root), 1 /* OPEN_TREE_CLONE */ }, REFUSED,
      SAYS(EPERM) },
    { "move a mount", "move_mount", { AT_FDCWD, SCRATCH(root), AT_FDCWD, SCRATCH(root), 0 }, REFUSED,
      SAYS(EPERM) },
    { "mount attributes", "mount_setattr", { AT_FDCWD, SCRATCH(root), 0, SCRATCH(bytes), 32 }, REFUSED,
      FAILS },
    { "chdir", "chdir", { SCRATCH(root) }, REFUSED },
    { "fchdir", "fchdir", { 3 }, REFUSED, FAILS },
    { NULL },
};

#define PRCTL(text, ...) { text, "prctl", { __VA_ARGS__ }, .sealed = EPERM }
#define PRCTL_SAYS(text, e, ...) { text, "prctl", { __VA_ARGS__ }, .sealed = EPERM, SAYS(e) }
#define PRCTL_FAILS(text, ...) { text, "prctl", { __VA_ARGS__ }, .sealed = EPERM, FAILS }
const struct escape escapes_prctl[] = {
    PRCTL("filter that allows all", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, SCRATCH(allow_all)),
    PRCTL("strict seccomp", PR_SET_SECCOMP, SECCOMP_MODE_STRICT),
    PRCTL_FAILS("seccomp off", PR_SET_SECCOMP, SECCOMP_MODE_DISABLED),
    PRCTL("dumpable", PR_SET_DUMPABLE, 1),
    PRCTL_SAYS("dumpable for root", EINVAL, PR_SET_DUMPABLE, 2),
    PRCTL_SAYS("drop from the bounding set", EPERM, PR_CAPBSET_DROP, 0),
    PRCTL("read the bounding set", PR_CAPBSET_READ, 0),
    PRCTL_SAYS("ambient capability", EPERM, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0),
    PRCTL_SAYS("securebits", EPERM, PR_SET_SECUREBITS, 0),
    PRCTL_SAYS("keep capabilities", EPERM, PR_SET_KEEPCAPS, 1),
    PRCTL_SAYS("new privileges", EINVAL, PR_SET_NO_NEW_PRIVS, 0),
    PRCTL_FAILS("where its code begins", PR_SET_MM, PR_SET_MM_START_CODE, SCRATCH(bytes)),
    PRCTL_FAILS("which program it is", PR_SET_MM, PR_SET_MM_EXE_FILE, 3),
    PRCTL("any tracer", PR_SET_PTRACER, -1),
    PRCTL("no signal of a parent's death", PR_SET_PDEATHSIG, 0),
    PRCTL("reaper of children", PR_SET_CHILD_SUBREAPER, 1),
    PRCTL("name", PR_SET_NAME, SCRATCH(word)),
    PRCTL("time-stamp counter off", PR_SET_TSC, PR_TSC_SIGSEGV),
    PRCTL("speculation on", PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_ENABLE),
    PRCTL("dispatch of system calls", 59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, 0, 0, 0),
    PRCTL("core scheduling", 62 /* PR_SCHED_CORE */, 0, 0, 0, 0),
    PRCTL("machine check policy", PR_MCE_KILL, 0, 0, 0, 0),
    { NULL },
};

const struct escape escapes_seccomp[] = {
    { "another filter", "seccomp", { SECCOMP_SET_MODE_FILTER, 0, SCRATCH(allow_all) }, REFUSED },
    { "filter with a listener", "seccomp",
      { SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, SCRATCH(allow_all) }, REFUSED },
    { "strict mode", "seccomp", { SECCOMP_SET_MODE_STRICT, 0, 0 }, REFUSED },
    { "personality: executable reads", "personality", { READ_IMPLIES_EXEC }, REFUSED },
    { "personality: no randomness", "personality", { ADDR_NO_RANDOMIZE }, REFUSED },
    { "personality: query", "personality", { 0xffffffff }, REFUSED },
    { NULL },
};

const struct escape escapes_identity[] = {
    { "setuid", "setuid", { 1 }, REFUSED, FAILS },
    { "setgid", "setgid", { 1 }, REFUSED, FAILS },
    { "setreuid", "setreuid", { 1, 1 }, REFUSED, FAILS },
    { "setregid", "setregid", { 1, 1 }, REFUSED, FAILS },
    { "setresuid", "setresuid", { 1, 1, 1 }, REFUSED, FAILS },
    { "setresgid", "setresgid", { 1, 1, 1 }, REFUSED, FAILS },
    { "setfsuid", "setfsuid", { 1 }, REFUSED },
    { "setfsgid", "setfsgid", { 1 }, REFUSED },
    { "setgroups", "setgroups", { 0, 0 }, REFUSED, SAYS(EPERM) },
    { "capset", "capset", { SCRATCH(cap_header), SCRATCH(cap_data) }, REFUSED, SAYS(EPERM) },
    { "capabilities of a sibling", "capget", { SCRATCH(cap_header), SCRATCH(bytes) }, REFUSED },
    { "setsid", "setsid", { 0 }, REFUSED, SAYS(EPERM) },
    { "setpgid of a sibling", "setpgid", { ESCAPE_SIBLING, 0 }, REFUSED, SAYS(ESRCH) },
    { NULL },
};

const struct escape escapes_limits[] = {
    { "core files again", "setrlimit", { RLIMIT_CORE, SCRATCH(raised) }, REFUSED, SAYS(EPERM) },
    { "core files again, new", "prlimit64", { 0, RLIMIT_CORE, SCRATCH(raised), 0 }, .sealed = EPERM,
      SAYS(EPERM) },
    { "locked memory", "prlimit64", { 0, RLIMIT_MEMLOCK, SCRATCH(raised), 0 }, .sealed = EPERM,
      SAYS(EPERM) },
    { "real time", "prlimit64", { 0, RLIMIT_RTPRIO, SCRATCH(raised), 0 }, .sealed = EPERM,
      SAYS(EPERM) },
    { "limits of a sibling", "prlimit64", { ESCAPE_SIBLING, RLIMIT_CPU, SCRATCH(raised), 0 },
      .sealed = EPERM, SAYS(ESRCH) },
    { "descriptors", "prlimit64", { 0, RLIMIT_NOFILE, SCRATCH(raised), 0 }, .sealed = EPERM },
    { "processes", "prlimit64", { 0, RLIMIT_NPROC, SCRATCH(raised), 0 }, .sealed = EPERM },
    { NULL },
};

const struct escape escapes_administration[] = {
    { "quotas", "quotactl", { 0x800002 << 8, 0, 0, 0 }, REFUSED, FAILS },
    { "quotas by descriptor", "quotactl_fd", { 3, 0x800002 << 8, 0, 0 }, REFUSED, FAILS },
    { "clear the kernel's log", "syslog", { 5, 0, 0 }, REFUSED, SAYS(EPERM) },
    { "the kernel's log", "syslog", { 3, SCRATCH(bytes), 100 }, REFUSED },
    /* Wrong magic numbers, in case the call is not refused. */
    { "reboot", "reboot", { 0, 0, 0x01234567, 0 }, REFUSED, SAYS(EPERM) },
    { "load a module", "init_module", { SCRATCH(bytes), 64, SCRATCH(word) }, REFUSED, FAILS },
    { "load a module of a descriptor", "finit_module", { 3, SCRATCH(word), 0 }, REFUSED, FAILS },
    { "unload a module", "delete_module", { SCRATCH(word), O_NONBLOCK }, REFUSED, FAILS },
    { "load a kernel", "kexec_load", { 0, 0, 0, 0 }, REFUSED, FAILS },
    { "swap on", "swapon", { SCRATCH(root), 0 }, REFUSED, FAILS },
    { "swap off", "swapoff", { SCRATCH(root) }, REFUSED, FAILS },
    { "accounting", "acct", { 0 }, REFUSED, FAILS },
    { "host name", "sethostname", { SCRATCH(word), 1 }, REFUSED, SAYS(EPERM) },
    { "domain name", "setdomainname", { SCRATCH(word), 1 }, REFUSED, SAYS(EPERM) },
    { "time of day", "settimeofday", { SCRATCH(bytes), 0 }, REFUSED, SAYS(EPERM) },
    { "clock", "clock_settime", { 0, SCRATCH(bytes) }, REFUSED, SAYS(EPERM) },
    { "hang up", "vhangup", { 0 }, REFUSED, SAYS(EPERM) },
    { NULL },
};

const struct escape escapes_scheduling[] = {
    { "processors", "sched_setaffinity", { 0, 8, SCRATCH(cap_data) }, REFUSED },
    { "processors of a sibling", "sched_setaffinity", { ESCAPE_SIBLING, 8, SCRATCH(cap_data) },
      REFUSED, SAYS(ESRCH) },
    { "which processors", "sched_getaffinity", { 0, 128, SCRATCH(bytes) }, .sealed = EPERM },
    { "real-time scheduler", "sched_setscheduler", { 0, SCHED_FIFO, SCRATCH(real_time) }, REFUSED,
      SAYS(EPERM) },
    { "scheduler of a sibling", "sched_setscheduler",
      { ESCAPE_SIBLING, SCHED_OTHER, SCRATCH(bytes) }, REFUSED, SAYS(ESRCH) },
    { "scheduler by attributes", "sched_setattr", { 0, SCRATCH(bytes), 0 }, REFUSED },
    { "priority", "setpriority", { PRIO_PROCESS, 0, -5 }, REFUSED, SAYS(EACCES) },
    { "priority of a sibling", "setpriority", { PRIO_PROCESS, ESCAPE_SIBLING, 5 }, REFUSED,
      SAYS(ESRCH) },
    { "priority of its disk", "ioprio_set", { 1, 0, 1 << 13 /* real time */ }, REFUSED, SAYS(EPERM) },
    { NULL },
};

const struct escape escapes_terminal[] = {
    { "type into the terminal", "ioctl", { 0, TIOCSTI, SCRATCH(word) }, .sealed = ENOTTY, FAILS },
    { "type with a bit above", "ioctl", { 0, INT64_C(1) << 32 | TIOCSTI, SCRATCH(word) },
      .sealed = ENOTTY, FAILS },
    { "paste into the console", "ioctl", { 2, TIOCLINUX, SCRATCH(word) }, .sealed = ENOTTY, FAILS },
    { "take a terminal", "ioctl", { 0, TIOCSCTTY, 0 }, .sealed = ENOTTY, FAILS },
    { "signals to the supervisor", "ioctl", { 3, FIOASYNC, SCRATCH(bytes) }, .sealed = ENOTTY },
    { "a count that is none", "ioctl", { 3, INT64_C(1) << 32 | FIONREAD, SCRATCH(bytes) },
      .sealed = ENOTTY },
    { NULL },
};

const struct escape_group escape_groups[] = {
    { "namespaces", escapes_namespaces, true },
    { "proc", escapes_proc, true },
    { "ptrace", escapes_ptrace, true },
    { "signals", escapes_signals, true },
    { "descriptors", escapes_passing, true },
    { "opening", escapes_opening, true },
    { "sockets", escapes_sockets, true },
    { "exec", escapes_exec, true },
    { "memory without jit", escapes_memory, false },
    { "memory with jit", escapes_memory_jit, true },
    { "memory of others", escapes_peeking, true },
    { "keyrings", escapes_keyrings, true },
    { "rings", escapes_io_uring, true },
    { "subsystems", escapes_subsystems, true },
    { "segments", escapes_segments, true },
    { "mounts", escapes_mounts, true },
    { "prctl", escapes_prctl, true },
    { "seccomp", escapes_seccomp, true },
    { "identity", escapes_identity, true },
    { "limits", escapes_limits, true },
    { "administration", escapes_administration, true },
    { "scheduling", escapes_scheduling, true },
    { "terminal", escapes_terminal, true },
};
/* clang-format on */

const size_t escape_n_groups = ARRAY_LEN(escape_groups);
