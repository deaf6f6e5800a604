/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of the store, which writes deployed versions, and nothing else: one row for each
 * form of a call, with the reason. Landlock says where it may do so. Data only; README.md says how
 * to read, add and test a row. A call that matches no row fails with EPERM, so that a row that was
 * forgotten costs one deploy; a call that only an attacker would make kills the process, and skepd
 * serves on.
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

/* Flags that make, cut or append to a file. O_TMPFILE has the bit of O_DIRECTORY too. */
#define OPEN_CHANGES \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

/* clang-format off */
static const struct policy_syscall store_syscalls[] = {
#include "sandbox-policy/base_syscalls.inc"

    /* Files: Landlock says which. */
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_RDONLY) },
      .reason = "folders, and the history" },
    { ALLOW(openat), .args = { INT_MASKED(2, OPEN_CHANGES, O_WRONLY | O_CREAT | O_EXCL) },
      .reason = "new files only: a file that is there is replaced by a rename, never written over" },
    { ALLOW(mkdirat),
      .reason = "folders of tenants, versions and bundles" },
    { ALLOW(renameat),
      .reason = "the switch to a new file, made under another name" },
    { ALLOW(symlinkat),
      .reason = "the link to the version that serves, which is then renamed" },
    { ALLOW(unlinkat),
      .reason = "versions that are old, uploads that failed, tenants that were removed" },
    { ALLOW(readlinkat),
      .reason = "which version serves" },
    { ALLOW(faccessat2),
      .reason = "whether a version is there already" },
    { ALLOW(fsync),
      .reason = "a version that was reported as stored outlasts a power cut" },
    { ALLOW(flock), .args = { INT_BITS(1, 0, LOCK_SH | LOCK_EX | LOCK_UN | LOCK_NB) },
      .reason = "a store of another skepd on the same folder waits, and leaves its uploads alone" },
    { ALLOW(getdents64),
      .reason = "which versions there are; removing a folder" },
    { ALLOW(newfstatat),
      .reason = "size and kind of files that are read" },
    { ALLOW(fstat),
      .reason = "newfstatat of an open file, in newer C libraries" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_GETFL) },
      .reason = "fdopendir looks how its folder is open" },
    { ALLOW(fcntl), .args = { INT_EQUAL(1, F_SETFD), INT_EQUAL(2, FD_CLOEXEC) },
      .reason = "fdopendir sets a flag that was set already, and fails if it may not" },

    /* The network. */
    { KILL(socket), .reason = "the store talks to skepd alone, on a socket that it was born with" },
    { KILL(connect), .reason = "the store talks to skepd alone" },
    { KILL(bind), .reason = "the store talks to skepd alone" },
};
/* clang-format on */

const struct policy_table policy_store_table = {
    .name = "store",
    .default_action = SCMP_ACT_ERRNO(EPERM),
    .rows = store_syscalls,
    .n_rows = ARRAY_LEN(store_syscalls),
};
