/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of a supervisor that serves, one row for each form of a call, with the reason.
 * Data only; README.md says how to read, add and test a row. A call that matches no row fails with
 * EPERM, so that a row that was forgotten costs one operation and not the service; a call that only
 * an attacker would make kills the whole process.
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

/* Flags that make, cut or append to a file. O_TMPFILE has the bit of O_DIRECTORY too. */
#define OPEN_CHANGES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define SIGN_BIT INT32_MIN

/* clang-format off */
static const struct policy_syscall supervisor_syscalls[] = {
#include "sandbox-policy/base_syscalls.inc"

    /* Sockets and channels that are open or are accepted. */
    { ALLOW(readv),
      .reason = "evbuffers read into several pieces" },
    { ALLOW(pread64),
      .reason = "stat, statm and memory.current of workers, again and again from open descriptors" },
    { ALLOW(accept4),
      .reason = "clients of HTTP and of the admin socket" },
    { ALLOW(shutdown),
      .reason = "the end of an HTTP answer, before the client's rest is read" },
    { ALLOW(setsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_LINGER) },
      .reason = "an HTTP connection that is cut off with a reset" },
    { ALLOW(setsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_SNDBUF) },
      .reason = "how much of what skepd says to a worker and to skep-egress the kernel holds" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_ERROR) },
      .reason = "how an HTTP connection failed" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_PEERCRED) },
      .reason = "who the admin client is" },
    { ALLOW(getsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_PEERGROUPS) },
      .reason = "which groups the admin client is in, for its role" },
    { ALLOW(geteuid),
      .reason = "whether the admin client has skepd's uid" },
    { ALLOW(sendto), .args = { LONG_EQUAL(4, 0) },
      .reason = "the refusal of an admin client; connected sockets only, no address" },
    { ALLOW(sendmsg),
      .reason = "jobs for the spawner, with the descriptors of a new worker; the journal,"
                " the service manager" },
    { ALLOW(recvmsg),
      .reason = "the spawner's answers, with pidfds" },
    { ALLOW(recvfrom),
      .reason = "bytes of HTTP clients; the kernel does less for it than for a read of a file" },
    { ALLOW(socketpair), .args = { INT_EQUAL(0, AF_UNIX) },
      .reason = "the channel of a new worker; no other socket is made after the start" },
    { ALLOW(ioctl), .args = { LONG_EQUAL(1, FIONREAD) },
      .reason = "evbuffer_read asks how much can be read" },
    { FAIL(ioctl, ENOTTY), .args = { LONG_DIFFERS(1, FIONREAD) },
      .reason = "stdio asks whether its file is a terminal" },

    /* Files: Landlock says which. None is made, cut or changed, but for files of cgroups. */
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_RDONLY) },
      .reason = "tenants' files on reload, cgroups" },
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_WRONLY) },
      .reason = "limits, written to existing files of a worker's cgroup" },
    { ALLOW(getdents64),
      .reason = "which files a tenant has, on reload" },
    { ALLOW(newfstatat),
      .reason = "tenants' files on reload; whether the admin socket is still skepd's, at the end" },
    { ALLOW(fstat),
      .reason = "newfstatat of an open file, in newer C libraries" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_GETFL) },
      .reason = "fdopendir looks how its folder is open" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_SETFD), INT_EQUAL(2, FD_CLOEXEC) },
      .reason = "fdopendir sets a flag that was set already, and fails if it may not" },
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
    { ALLOW(getrusage), .args = { INT_EQUAL(0, RUSAGE_THREAD) },
      .reason = "the watch of the loop asks whether a callback has waited for a disk" },
    { ALLOW(clock_getres),
      .reason = "clock_getcpuclockid asks whether a worker's CPU clock is there" },

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
      .reason = "a worker that was born when its spawner died, and that has no pidfd" },
};
/* clang-format on */

const struct policy_table policy_supervisor_table = {
    .name = "supervisor",
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = supervisor_syscalls,
    .n_rows = ARRAY_LEN(supervisor_syscalls),
};
