/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of a supervisor that serves, one row for each form of a call, with the reason.
 * Data only; README.md says how to read, add and test a row. What matches no row fails with EPERM,
 * so that a row that was forgotten costs one operation and not the service; what nobody but an
 * attacker would call kills the whole process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "sandbox-policy/rows.h"

/* What makes, cuts or appends to a file. O_TMPFILE has the bit of O_DIRECTORY too. */
#define OPEN_CHANGES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define SIGN_BIT INT32_MIN

/* clang-format off */
static const struct policy_syscall supervisor_syscalls[] = {
    /* Sockets and channels that are open or are accepted. */
    { ALLOW(read),
      .reason = "frames of workers and of the CLI, tenants' files, cgroups, signals" },
    { ALLOW(readv),
      .reason = "evbuffers read into several pieces" },
    { ALLOW(write),
      .reason = "the log, cgroups, and the pipe by which libevent tells of signals" },
    { ALLOW(writev),
      .reason = "evbuffers; glibc's last words" },
    { ALLOW(pread64),
      .reason = "stat, statm and memory.current of workers, again and again from open descriptors" },
    { ALLOW(accept4),
      .reason = "clients of HTTP and of the admin socket" },
    { ALLOW(shutdown),
      .reason = "the end of an HTTP answer, before the client's rest is read" },
    { ALLOW(setsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_LINGER) },
      .reason = "an HTTP connection that is cut off with a reset" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_ERROR) },
      .reason = "how an HTTP connection failed" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_PEERCRED) },
      .reason = "who the admin client is" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_PEERGROUPS) },
      .reason = "which groups the admin client is in, for its role" },
    { ALLOW(geteuid),
      .reason = "whether the admin client is who we are" },
    { ALLOW(sendto), .args = { LONG_EQUAL(4, 0) },
      .reason = "the refusal of an admin client; connected sockets only, no address" },
    { ALLOW(sendmsg),
      .reason = "jobs for the spawner, with descriptors of the worker to be; the journal,"
                " the service manager" },
    { ALLOW(recvmsg),
      .reason = "the spawner's answers, with pidfds" },
    { ALLOW(socketpair), .args = { INT_EQUAL(0, AF_UNIX) },
      .reason = "the channel of a new worker; no other socket is made after the start" },
    { ALLOW(ioctl), .args = { LONG_EQUAL(1, FIONREAD) },
      .reason = "evbuffer_read asks how much can be read" },
    { FAIL(ioctl, ENOTTY), .args = { LONG_DIFFERS(1, FIONREAD) },
      .reason = "stdio asks whether its file is a terminal" },
    { ALLOW(close),
      .reason = "connections and workers that are over" },

    /* Files: Landlock says which. None is made, cut or changed, but for those of cgroups. */
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_RDONLY) },
      .reason = "tenants' files on reload, cgroups" },
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_WRONLY) },
      .reason = "limits into files of a worker's cgroup, which are there already" },
    { ALLOW(getdents64),
      .reason = "which files a tenant has, on reload" },
    { ALLOW(newfstatat),
      .reason = "tenants' files on reload; whether the admin socket is still ours, at the end" },
    { ALLOW(fstat),
      .reason = "newfstatat of an open file, in newer C libraries" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_GETFL) },
      .reason = "fdopendir looks how its folder is open" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_SETFD), INT_EQUAL(2, FD_CLOEXEC) },
      .reason = "fdopendir sets what was set already, and fails if it may not" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_DUPFD_CLOEXEC) },
      .reason = "a cgroup's descriptor is kept apart from the standard ones" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_ADD_SEALS) },
      .reason = "a scoreboard's size is sealed" },
    { ALLOW(memfd_create),
      .reason = "the scoreboard of a new worker" },
    { ALLOW(ftruncate),
      .reason = "the size of a new scoreboard" },
    { ALLOW(mkdirat),
      .reason = "the cgroup of a new worker" },
    { ALLOW(unlinkat),
      .reason = "cgroups of workers that are gone" },
    { ALLOW(unlink), .arch = POLICY_X86_64,
      .reason = "the sockets in the file system, at the end; unlinkat on aarch64" },

    /* The loop. */
    { ALLOW(epoll_wait), .arch = POLICY_X86_64,
      .reason = "libevent waits for everything" },
    { ALLOW(epoll_pwait),
      .reason = "libevent waits for everything (aarch64 has no epoll_wait)" },
    { ALLOW(epoll_ctl),
      .reason = "libevent adds and removes connections" },
    { ALLOW(poll), .arch = POLICY_X86_64,
      .reason = "the log asks whether it would have to wait; the spawner's end" },
    { ALLOW(ppoll),
      .reason = "poll of aarch64" },
    { ALLOW(clock_gettime),
      .reason = "CPU clocks of workers, never in the vDSO; the others are not on every host" },
    { ALLOW(getrusage), .args = { INT_EQUAL(0, RUSAGE_THREAD) },
      .reason = "the watch of the loop asks whether a callback has waited for a disk" },
    { ALLOW(clock_getres),
      .reason = "clock_getcpuclockid asks whether a worker's CPU clock is there" },
    { ALLOW(gettimeofday),
      .reason = "libevent, on hosts whose clock source has no vDSO" },

    { ALLOW(flock), .args = { INT_EQUAL(1, LOCK_EX | LOCK_NB) },
      .reason = "the state folder of the skepd that this one has replaced" },

    /* Workers. */
    { ALLOW(pidfd_send_signal), .args = { INT_EQUAL(1, SIGKILL) },
      .reason = "the end of a worker, or of a spawner that does not end by itself" },
    { ALLOW(kill), .args = { INT_MASKED(0, SIGN_BIT, 0), INT_EQUAL(1, SIGKILL) },
      .reason = "a worker whose pidfd did not arrive; never a group or everybody" },
    { ALLOW(wait4),
      .reason = "the ends of workers and helpers, its children" },
    { ALLOW(waitid),
      .reason = "a worker that was born when its spawner died, which no pidfd is there for" },

    /* Memory: never executable. */
    { ALLOW(brk),
      .reason = "glibc's heap" },
    { ALLOW(mmap), .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE) },
      .reason = "large buffers and scoreboards" },
    { ALLOW(munmap),
      .reason = "gives them back" },
    { ALLOW(mremap), .args = { INT_EQUAL(3, MREMAP_MAYMOVE) },
      .reason = "realloc of a large buffer" },
    { ALLOW(madvise), .args = { INT_EQUAL(2, MADV_DONTNEED) },
      .reason = "glibc gives free pages back" },
    { ALLOW(sysinfo),
      .reason = "qsort of glibc asks how much memory there is, and does not look at the result" },

    /* Locks of libraries, and of glibc's heap, which two threads share; an error here would be an abort. */
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAIT) },
      .reason = "glibc aborts if this fails with anything that it does not know" },
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAKE) },
      .reason = "pthread_once of libraries wakes whoever may wait" },

    /* Signals, and what dying needs. */
    { ALLOW(rt_sigaction),
      .reason = "libevent takes its handlers away at the end; abort resets SIGABRT" },
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
    { ALLOW(getpid),
      .reason = "abort needs it" },
    { ALLOW(exit_group),
      .reason = "end of the process" },

    { ALLOW(getrandom),
      .reason = "seeds of hash tables" },

    /* What a library may try, with a way out when it is not there. */
    { FAIL(clone3, ENOSYS),
      .reason = "glibc then tries clone, which kills; its flags cannot be seen here" },

    /* A process of its own. */
    { KILL(execve), .reason = "the spawner alone runs programs" },
    { KILL(execveat), .reason = "the spawner alone runs programs" },
    { KILL(clone), .reason = "the spawner alone makes processes, and skepd has one thread" },
    { KILL(fork), .arch = POLICY_X86_64, .reason = "the spawner alone makes processes" },
    { KILL(vfork), .arch = POLICY_X86_64, .reason = "the spawner alone makes processes" },

    /* Other processes. */
    { KILL(ptrace), .reason = "takes another process over" },
    { KILL(process_vm_readv), .reason = "reads another process's memory" },
    { KILL(process_vm_writev), .reason = "writes another process's memory" },
    { KILL(process_madvise), .reason = "changes another process's memory" },
    { KILL(pidfd_getfd), .reason = "takes another process's descriptors" },

    /* Namespaces, mounts, roots. */
    { KILL(setns), .reason = "enters a worker's namespaces, or the host's" },
    { KILL(unshare), .reason = "a user namespace would give capabilities in it" },
    { KILL(mount), .reason = "changes what files there are" },
    { KILL(umount2), .reason = "changes what files there are" },
    { KILL(pivot_root), .reason = "changes what files there are" },
    { KILL(chroot), .reason = "changes what files there are" },
    { KILL(move_mount), .reason = "changes what files there are" },
    { KILL(open_tree), .reason = "changes what files there are" },
    { KILL(mount_setattr), .reason = "changes what files there are" },
    { KILL(fsopen), .reason = "changes what files there are" },
    { KILL(fsconfig), .reason = "changes what files there are" },
    { KILL(fsmount), .reason = "changes what files there are" },
    { KILL(fspick), .reason = "changes what files there are" },
    { KILL(open_by_handle_at), .reason = "opens files by number, around every folder" },

    /* Who it is. */
    { KILL(setuid), .reason = "skepd stays who it was started as" },
    { KILL(setgid), .reason = "skepd stays who it was started as" },
    { KILL(setreuid), .reason = "skepd stays who it was started as" },
    { KILL(setregid), .reason = "skepd stays who it was started as" },
    { KILL(setresuid), .reason = "skepd stays who it was started as" },
    { KILL(setresgid), .reason = "skepd stays who it was started as" },
    { KILL(setfsuid), .reason = "skepd stays who it was started as" },
    { KILL(setfsgid), .reason = "skepd stays who it was started as" },
    { KILL(setgroups), .reason = "skepd stays who it was started as" },
    { KILL(capset), .reason = "its capabilities are dropped for good" },

    /* The kernel: much code that nobody here needs, with a long record of bugs. */
    { KILL(bpf), .reason = "programs for the kernel" },
    { KILL(io_uring_setup), .reason = "makes system calls that no filter sees" },
    { KILL(io_uring_enter), .reason = "makes system calls that no filter sees" },
    { KILL(io_uring_register), .reason = "makes system calls that no filter sees" },
    { KILL(userfaultfd), .reason = "stops the kernel in the middle of a copy" },
    { KILL(perf_event_open), .reason = "observes the kernel and other processes" },
    { KILL(add_key), .reason = "the kernel's keyrings hold nothing of skepd's" },
    { KILL(request_key), .reason = "the kernel's keyrings hold nothing of skepd's" },
    { KILL(keyctl), .reason = "the kernel's keyrings hold nothing of skepd's" },
    { KILL(init_module), .reason = "code in the kernel" },
    { KILL(finit_module), .reason = "code in the kernel" },
    { KILL(delete_module), .reason = "code out of the kernel" },
    { KILL(kexec_load), .reason = "another kernel" },
    { KILL(kexec_file_load), .reason = "another kernel" },
    { KILL(personality), .reason = "READ_IMPLIES_EXEC would make every new page executable" },
    { KILL(modify_ldt), .arch = POLICY_X86_64, .reason = "16-bit segments" },
    { KILL(iopl), .arch = POLICY_X86_64, .reason = "the machine's ports" },
    { KILL(ioperm), .arch = POLICY_X86_64, .reason = "the machine's ports" },
};
/* clang-format on */

const struct policy_table policy_supervisor_table = {
    .name = "supervisor",
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = supervisor_syscalls,
    .n_rows = ARRAY_LEN(supervisor_syscalls),
};
