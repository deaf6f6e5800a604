/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of data, which keeps what tenants store: one row for each form of a call, with the reason. SQLite runs statements of
 * tenants in it, by threads that are started before the filter. Landlock says in which folder files may be. Data only; README.md
 * says how to read, add and test a row. A call that matches no row fails with EPERM, so that a row that was forgotten costs one operation; a
 * call that only an attacker would make kills the process, and skepd serves on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "sandbox-policy/rows.h"

/* Flags that make, cut or append to a file. O_TMPFILE has the bit of O_DIRECTORY too. */
#define OPEN_CHANGES \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

/* clang-format off */
static const struct policy_syscall data_syscalls[] = {
#include "sandbox-policy/base_syscalls.inc"

    /* Files: Landlock says which. */
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_RDONLY) },
      .reason = "folders, which are synced when a file is new in them" },
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_RDWR) },
      .reason = "databases that are there, and their logs" },
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_RDWR | O_CREAT) },
      .reason = "databases and their logs, made if they are not there" },
    { ALLOW(pread64),
      .reason = "SQLite reads pages" },
    { ALLOW(pwrite64),
      .reason = "SQLite writes pages" },
    { ALLOW(fsync),
      .reason = "folders" },
    { ALLOW(fdatasync),
      .reason = "what was acknowledged outlasts a power cut" },
    { ALLOW(ftruncate),
      .reason = "a log that was written back is cut; a database that has become smaller" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_SETLK) },
      .reason = "the locks of SQLite: two data processes on one folder, at an upgrade" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_GETLK) },
      .reason = "SQLite asks whether another process has a database" },
    { ALLOW(newfstatat),
      .reason = "size and kind of files" },
    { ALLOW(fstat),
      .reason = "size and kind of open files" },
    { ALLOW(unlink), .arch = POLICY_X86_64,
      .reason = "logs of databases that are closed" },
    { ALLOW(unlinkat),
      .reason = "unlink of aarch64" },
    { ALLOW(rename), .arch = POLICY_X86_64,
      .reason = "a corrupt database is put aside" },
    { ALLOW(renameat),
      .reason = "rename of aarch64" },
    { ALLOW(mkdirat),
      .reason = "the folder of a tenant that stores something for the first time" },
    { ALLOW(getdents64),
      .reason = "the files in the folder of a tenant that is removed" },
    { ALLOW(clock_nanosleep),
      .reason = "SQLite waits for a database that another data process has" },
    { ALLOW(getcwd),
      .reason = "SQLite makes paths absolute" },
    { ALLOW(geteuid),
      .reason = "SQLite gives files that root makes to the owner of the database" },

    { ALLOW(setsockopt), .args = { INT_EQUAL(1, SOL_SOCKET), INT_EQUAL(2, SO_SNDBUF) },
      .reason = "answers wait for skepd in its socket, as far as the kernel allows" },

    /* Threads, which are there before the filter. */
    { ALLOW(futex), .args = { FUTEX_COMMAND(1, FUTEX_WAIT_BITSET) },
      .reason = "threads wait for work; glibc aborts if this fails" },
    { ALLOW(mprotect), .args = { LONG_BITS(2, 0, PROT_READ | PROT_WRITE) },
      .reason = "glibc's heaps of threads grow" },
    { ALLOW(exit),
      .reason = "the end of a thread, when the process ends" },

    /* The network. */
    { KILL(socket), .reason = "data talks to skepd alone, on a socket that it was born with" },
    { KILL(connect), .reason = "data talks to skepd alone" },
    { KILL(bind), .reason = "data talks to skepd alone" },
};
/* clang-format on */

const struct policy_table policy_data_table = {
    .name = "data",
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = data_syscalls,
    .n_rows = ARRAY_LEN(data_syscalls),
};
