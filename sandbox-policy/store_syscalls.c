/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of the store, which writes what was deployed, and nothing else: one row for each form
 * of a call, with the reason. Landlock says where it may do so. Data only; README.md says how to read, add
 * and test a row. What matches no row fails with EPERM, so that a row that was forgotten costs one
 * deploy; what nobody but an attacker would call kills the process, and the service serves on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "sandbox-policy/rows.h"

/* What makes, cuts or appends to a file. O_TMPFILE has the bit of O_DIRECTORY too. */
#define OPEN_CHANGES \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

/* clang-format off */
static const struct policy_syscall store_syscalls[] = {
    /* The socket to skepd; files. */
    { ALLOW(read),
      .reason = "requests of skepd; history and info of versions" },
    { ALLOW(write),
      .reason = "answers to skepd; files of versions; the log" },
    { ALLOW(writev),
      .reason = "glibc's last words" },
    { ALLOW(close),
      .reason = "files and folders that are done" },
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_RDONLY) },
      .reason = "folders, and the history" },
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_WRONLY | O_CREAT | O_EXCL) },
      .reason = "new files only: what is there is replaced by a rename, never written over" },
    { ALLOW(mkdirat),
      .reason = "folders of tenants, versions and bundles" },
    { ALLOW(renameat),
      .reason = "the switch from what was made to what is there" },
    { ALLOW(symlinkat),
      .reason = "the link to the version that serves, which is then renamed" },
    { ALLOW(unlinkat),
      .reason = "versions that are old, uploads that failed, tenants that were removed" },
    { ALLOW(readlinkat),
      .reason = "which version serves" },
    { ALLOW(faccessat2),
      .reason = "whether a version is there already" },
    { ALLOW(fsync),
      .reason = "what was said to be stored outlasts a power cut" },
    { ALLOW(flock), .args = { INT_BITS(1, 0, LOCK_SH | LOCK_EX | LOCK_UN | LOCK_NB) },
      .reason = "a store of another skepd on the same folder waits, and leaves its uploads alone" },
    { ALLOW(getdents64),
      .reason = "which versions there are; removing a folder" },
    { ALLOW(newfstatat),
      .reason = "size and kind of what is read" },
    { ALLOW(fstat),
      .reason = "newfstatat of an open file, in newer C libraries" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_GETFL) },
      .reason = "fdopendir looks how its folder is open" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_SETFD), INT_EQUAL(2, FD_CLOEXEC) },
      .reason = "fdopendir sets what was set already, and fails if it may not" },

    { ALLOW(clock_gettime),
      .reason = "when a version was deployed, where the vDSO cannot say" },
    { ALLOW(getpid),
      .reason = "the name of an upload; abort needs it" },

    /* Memory: never executable. */
    { ALLOW(brk),
      .reason = "glibc's heap" },
    { ALLOW(mmap), .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE) },
      .reason = "large buffers" },
    { ALLOW(munmap),
      .reason = "gives them back" },
    { ALLOW(mremap), .args = { INT_EQUAL(3, MREMAP_MAYMOVE) },
      .reason = "realloc of a large buffer" },
    { ALLOW(madvise), .args = { INT_EQUAL(2, MADV_DONTNEED) },
      .reason = "glibc gives free pages back" },
    { ALLOW(sysinfo),
      .reason = "qsort of glibc asks how much memory there is, and does not look at the result" },

    /* Locks of libraries: there is one thread, so nobody waits; an error here would be an abort. */
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAIT) },
      .reason = "glibc aborts if this fails with anything that it does not know" },
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAKE) },
      .reason = "pthread_once of libcrypto wakes whoever may wait" },

    /* Signals, and what dying needs. */
    { ALLOW(rt_sigaction),
      .reason = "abort resets SIGABRT" },
    { ALLOW(rt_sigprocmask),
      .reason = "abort unblocks SIGABRT" },
    { ALLOW(rt_sigreturn),
      .reason = "return from a signal handler" },
    { ALLOW(restart_syscall),
      .reason = "the kernel's own, after SIGSTOP and SIGCONT in a wait" },
    { ALLOW(tgkill), .args = { SELF(0), INT_EQUAL(2, SIGABRT) },
      .reason = "abort of this process; nobody else can be signalled" },
    { ALLOW(gettid),
      .reason = "abort needs it" },
    { ALLOW(exit_group),
      .reason = "end of the process" },
    { ALLOW(getrandom),
      .reason = "seeds of malloc in newer C libraries" },

    { FAIL(clone3, ENOSYS),
      .reason = "glibc then tries clone, which kills; its flags cannot be seen here" },

    /* Other processes, and programs. */
    { KILL(execve), .reason = "the store runs no programs" },
    { KILL(execveat), .reason = "the store runs no programs" },
    { KILL(clone), .reason = "the store makes no processes, and has one thread" },
    { KILL(fork), .arch = POLICY_X86_64, .reason = "the store makes no processes" },
    { KILL(vfork), .arch = POLICY_X86_64, .reason = "the store makes no processes" },
    { KILL(ptrace), .reason = "takes another process over" },
    { KILL(process_vm_readv), .reason = "reads another process's memory" },
    { KILL(process_vm_writev), .reason = "writes another process's memory" },
    { KILL(pidfd_getfd), .reason = "takes another process's descriptors" },

    /* The network. */
    { KILL(socket), .reason = "the store talks to skepd alone, on a socket that it was born with" },
    { KILL(connect), .reason = "the store talks to skepd alone" },
    { KILL(bind), .reason = "the store talks to skepd alone" },

    /* Namespaces, mounts, roots. */
    { KILL(setns), .reason = "enters a worker's namespaces, or the host's" },
    { KILL(unshare), .reason = "a user namespace would give capabilities in it" },
    { KILL(mount), .reason = "changes what files there are" },
    { KILL(umount2), .reason = "changes what files there are" },
    { KILL(pivot_root), .reason = "changes what files there are" },
    { KILL(chroot), .reason = "changes what files there are" },
    { KILL(open_by_handle_at), .reason = "opens files by number, around every folder" },

    /* The kernel: much code that nobody here needs, with a long record of bugs. */
    { KILL(bpf), .reason = "programs for the kernel" },
    { KILL(io_uring_setup), .reason = "makes system calls that no filter sees" },
    { KILL(io_uring_enter), .reason = "makes system calls that no filter sees" },
    { KILL(userfaultfd), .reason = "stops the kernel in the middle of a copy" },
    { KILL(perf_event_open), .reason = "observes the kernel and other processes" },
    { KILL(keyctl), .reason = "the kernel's keyrings hold nothing of skep's" },
    { KILL(personality), .reason = "READ_IMPLIES_EXEC would make every new page executable" },
};
/* clang-format on */

const struct policy_table policy_store_table = {
    .name = "store",
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = store_syscalls,
    .n_rows = ARRAY_LEN(store_syscalls),
};
