/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of a sealed worker, one row for each form of a call, with the reason. Data only;
 * README.md says how to read, add and test a row. A call that matches no row kills the whole
 * process: that is the point, so a row needs a better reason than "it is safe".
 */
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "sandbox-policy/rows.h"

/* clang-format off */
static const struct policy_syscall rows[] = {
    /* The channel. */
    { ALLOW(read), .args = { CHANNEL_FD(0) },
      .reason = "frames from the supervisor" },
    { ALLOW(write), .args = { CHANNEL_FD(0) },
      .reason = "the report of a throw-away worker; libevent where it has no writev" },
    { ALLOW(writev), .args = { CHANNEL_FD(0) },
      .reason = "frames to the supervisor, out of evbuffers" },
    { ALLOW(write), .args = { INT_EQUAL(0, STDOUT_FILENO) },
      .reason = "V8 prints some of its fatal errors here; it is /dev/null" },
    { ALLOW(write), .args = { INT_EQUAL(0, STDERR_FILENO) },
      .reason = "V8, libevent and abort messages of glibc; it is /dev/null once sealed" },
    { ALLOW(writev), .args = { INT_EQUAL(0, STDERR_FILENO) },
      .reason = "glibc prints \"stack smashing detected\" and malloc errors with writev" },
    { ALLOW(ioctl), .args = { LONG_EQUAL(1, FIONREAD) },
      .reason = "the host asks whether a frame waits before it spends time on what can wait" },
    { FAIL(ioctl, ENOTTY), .args = { LONG_DIFFERS(1, FIONREAD) },
      .reason = "stdio asks whether its file is a terminal" },
    { ALLOW(close),
      .reason = "the channel, at the end; a worker can hurt only itself" },

    /* The loop. */
    { ALLOW(epoll_wait), .arch = POLICY_X86_64,
      .reason = "libevent waits for frames and timers" },
    { ALLOW(epoll_pwait),
      .reason = "libevent waits for frames and timers (aarch64 has no epoll_wait)" },
    { ALLOW(epoll_ctl),
      .reason = "libevent adds and removes the channel as buffers fill and drain" },
    { ALLOW(clock_gettime),
      .reason = "CPU clocks are never in the vDSO; the others are not on every host" },
    { ALLOW(gettimeofday),
      .reason = "Date.now() on hosts whose clock source has no vDSO" },
    { ALLOW(clock_nanosleep),
      .reason = "the sentry sleeps until the next budget may be over" },

    /* Memory. */
    { ALLOW(brk),
      .reason = "glibc's main heap" },
    { ALLOW(mmap),
      .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE),
                LONG_BITS(3, MAP_PRIVATE | MAP_ANONYMOUS,
                          MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_NORESERVE) },
      .reason = "heaps and ArrayBuffers: private, anonymous, never executable from the start" },
    { FAIL(mmap, ENOMEM),
      .args = { LONG_EQUAL(2, PROT_NONE),
                LONG_EQUAL(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK) },
      .reason = "pthread_create asks for a stack before it asks for the thread, which it cannot have" },
    { ALLOW(munmap),
      .reason = "gives memory back" },
    { ALLOW(mprotect), .when = POLICY_WITHOUT_JIT,
      .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE) },
      .reason = "V8 commits reserved pages; without JIT no page ever becomes executable" },
    { ALLOW(mprotect), .when = POLICY_WITH_JIT,
      .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE | PROT_EXEC) },
      .reason = "V8 commits reserved pages; its JIT makes code ranges read-write-execute" },
    { ALLOW(madvise), .args = { INT_EQUAL(2, MADV_NORMAL) },
      .reason = "V8 resets the advice of recycled pages" },
    { ALLOW(madvise), .args = { INT_EQUAL(2, MADV_DONTNEED) },
      .reason = "V8 and glibc give free pages back at once" },
    { ALLOW(madvise), .args = { INT_EQUAL(2, MADV_FREE) },
      .reason = "V8 gives free pages back when the kernel wants them" },
    { FAIL(mremap, ENOMEM),
      .reason = "realloc of a large block then copies; V8 never calls it" },

    /* Threads and locks. */
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAIT) },
      .reason = "mutexes that are taken" },
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAKE) },
      .reason = "mutexes and condition variables that are let go" },
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAIT_BITSET) },
      .reason = "condition variables and joins, with an absolute time" },
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAKE_BITSET) },
      .reason = "the other end of FUTEX_WAIT_BITSET" },
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_REQUEUE) },
      .reason = "condition variables of other C libraries" },
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_CMP_REQUEUE) },
      .reason = "condition variables of other C libraries" },
    { ALLOW(sched_yield),
      .reason = "spin locks of V8" },
    { ALLOW(gettid),
      .reason = "V8 names the thread that runs; abort needs it" },
    { ALLOW(getpid),
      .reason = "V8 asks for each new isolate; abort needs it" },
    { FAIL(clone3, ENOSYS),
      .reason = "no thread starts after the seal; glibc then tries clone, which fails for good" },
    { FAIL(clone, EAGAIN), .args = { THREAD_FLAGS(0) },
      .reason = "no thread starts after the seal; pthread_create reports it" },
    { FAIL(sched_getaffinity, EPERM),
      .reason = "the number of processors is asked for again; every caller has a default" },

    /* Signals: only those of a death. */
    { ALLOW(rt_sigreturn),
      .reason = "return from a signal handler that was set before the seal" },
    { ALLOW(rt_sigprocmask),
      .reason = "abort unblocks SIGABRT" },
    { ALLOW(rt_sigaction), .args = { INT_EQUAL(0, SIGABRT) },
      .reason = "abort resets SIGABRT to its default" },
    { ALLOW(rt_sigaction), .args = { INT_EQUAL(0, SIGTRAP) },
      .reason = "V8's fatal errors end in a trap instruction" },
    { ALLOW(tgkill), .args = { SELF(0), INT_EQUAL(2, SIGABRT) },
      .reason = "abort of a thread of this process; nobody else can be signalled" },
    { ALLOW(restart_syscall),
      .reason = "the kernel's own, after SIGSTOP and SIGCONT in a sleep" },
    { ALLOW(exit),
      .reason = "end of a thread" },
    { ALLOW(exit_group),
      .reason = "end of the process" },

    /* Randomness. */
    { ALLOW(getrandom),
      .reason = "hash seeds of new isolates, crypto.getRandomValues" },

    /* Asked by libraries, with a way out when it fails. The root is empty anyway. */
    { FAIL(openat, ENOENT),
      .reason = "ICU data, time zones, /proc and /sys: there are no files" },
    { FAIL(newfstatat, ENOENT),
      .reason = "stdio asks for the kind of its file; ICU and libraries look for files" },
    { FAIL(statx, ENOENT),
      .reason = "the newer form of newfstatat" },
    { FAIL(readlink, ENOENT), .arch = POLICY_X86_64,
      .reason = "ICU reads /etc/localtime, V8 /proc/self/exe" },
    { FAIL(readlinkat, ENOENT), .arch = POLICY_AARCH64,
      .reason = "readlink of x86-64" },
    { FAIL(access, ENOENT), .arch = POLICY_X86_64,
      .reason = "libraries look for their configuration" },
    { FAIL(faccessat, ENOENT), .arch = POLICY_AARCH64,
      .reason = "access of x86-64" },
    { FAIL(lseek, ESPIPE),
      .reason = "stdio asks where it is in its file" },
    { FAIL(prctl, EPERM),
      .reason = "V8 names its mappings (PR_SET_VMA) and threads; both may fail" },
    { FAIL(sysinfo, ENOSYS),
      .reason = "a tenant need not know the memory of the host" },
    { FAIL(prlimit64, EPERM),
      .reason = "V8 and glibc ask for the stack limit; limits cannot be read or changed" },
};
/* clang-format on */

const struct policy_table policy_worker_running = {
    .name = "running",
    .default_action = SCMP_ACT_TRAP,
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
};
