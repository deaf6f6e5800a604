/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a worker may make while it starts, besides those that it may make later:
 * from main() to the seal no byte of a tenant is in it, but V8, ICU and the C library run with the
 * most privileges that they will ever have. Data only. A call that the running filter names is
 * allowed here with any arguments, unless there are rows for it here, which then allow no less than
 * the rows there: the two filters are stacked, and the stricter verdict counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "sandbox-policy/rows.h"

/* clang-format off */
static const struct policy_syscall rows[] = {
    /* Files: time zone, /proc/self. */
    { ALLOW(pread64),
      .reason = "the C library reads parts of files" },
    { ALLOW(getdents64),
      .reason = "ICU lists the folder of time zones" },
    { ALLOW(chdir),
      .reason = "into the new root" },

    /* The loop and its descriptors. */
    { ALLOW(epoll_create1),
      .reason = "libevent's loop" },
    { ALLOW(pipe2),
      .reason = "libevent, for signals" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_DUPFD_CLOEXEC) },
      .reason = "keeps standard error for the message should the seal fail" },
    { ALLOW(dup2), .arch = POLICY_X86_64,
      .reason = "points standard error at /dev/null" },
    { ALLOW(dup3), .arch = POLICY_AARCH64,
      .reason = "dup2 of x86-64" },
    { ALLOW(poll), .arch = POLICY_X86_64,
      .reason = "the log asks whether somebody takes its line" },
    { ALLOW(ppoll), .arch = POLICY_AARCH64,
      .reason = "poll of x86-64" },
    { ALLOW(getuid),
      .reason = "libevent asks whether its environment can be trusted" },
    { ALLOW(geteuid),
      .reason = "libevent asks whether its environment can be trusted" },
    { ALLOW(getgid),
      .reason = "libevent asks whether its environment can be trusted" },
    { ALLOW(getegid),
      .reason = "libevent asks whether its environment can be trusted" },
    { ALLOW(ioctl), .args = { LONG_EQUAL(1, FIONREAD) },
      .reason = "the host asks for waiting frames, as later" },
    { FAIL(ioctl, ENOTTY), .args = { LONG_DIFFERS(1, FIONREAD) },
      .reason = "as later; standard error may still be the terminal of an operator" },

    /* Memory: executable only where V8's JIT needs it, never mapped so. */
    { ALLOW(mmap), .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE) },
      .reason = "as later, the stack of the sentry, and files of the C library" },
    { ALLOW(mprotect), .when = POLICY_WITHOUT_JIT,
      .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE) },
      .reason = "without JIT no page ever becomes executable, not even before the seal" },
    { ALLOW(mprotect), .when = POLICY_WITH_JIT,
      .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE | PROT_EXEC) },
      .reason = "V8 makes the code range of the first isolate" },
    { ALLOW(madvise),
      .reason = "V8 asks for huge pages and for what is not in a core file" },

    /* The sentry, a thread. clone3 hides its flags from filters; without clone3 the C library takes
     * clone. */
    { FAIL(clone3, ENOSYS),
      .reason = "its flags cannot be seen, and would allow a process" },
    { ALLOW(clone), .args = { THREAD_FLAGS(0) },
      .reason = "the sentry's thread; never a process, never a namespace" },
    { ALLOW(set_robust_list),
      .reason = "start of a thread" },
    { ALLOW(rseq),
      .reason = "start of a thread" },
    { ALLOW(sched_getparam),
      .reason = "each thread has the C library remember what V8's mutexes ask for later" },
    { ALLOW(sched_getscheduler),
      .reason = "each thread has the C library remember what V8's mutexes ask for later" },

    /* The jail itself. */
    { ALLOW(mount),
      .reason = "the empty root" },
    { ALLOW(pivot_root),
      .reason = "the empty root becomes the root" },
    { ALLOW(umount2),
      .reason = "the old root goes" },
    { ALLOW(capget),
      .reason = "libcap reads what is left" },
    { ALLOW(capset),
      .reason = "drops all capabilities" },
    { ALLOW(landlock_create_ruleset),
      .reason = "the ruleset without rules" },
    { ALLOW(landlock_restrict_self),
      .reason = "takes effect" },
    { ALLOW(seccomp),
      .reason = "the running filter" },
    { ALLOW(rt_sigaction),
      .reason = "pthread_create takes a signal of the C library's own; abort" },
    { ALLOW(tgkill), .args = { SELF(0), INT_EQUAL(2, SIGABRT) },
      .reason = "abort, as later; without a PID namespace others could be reached" },
    { ALLOW(setrlimit),
      .reason = "the limits, on systems whose C library does not use prlimit64" },
};
/* clang-format on */

const struct policy_table policy_worker_startup = {
    .name = "start-up",
    .default_action = SCMP_ACT_TRAP,
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .later = &policy_worker_running,
};
