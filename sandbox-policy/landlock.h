/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock, for whatever ABI the running kernel has: every right that it knows is denied, except
 * for those that rules give back. Used by the worker (no rules), the supervisor and helpers.
 */
#pragma once

#include <linux/landlock.h>
#include <stdint.h>

/* Rights that a ruleset leaves alone; bits. */
enum landlock_leave {
    LANDLOCK_LEAVE_NOTHING = 0,
    LANDLOCK_LEAVE_SIGNALS = 1, /* to processes outside (ABI 6) */
    LANDLOCK_LEAVE_CONNECT = 2, /* TCP connect (ABI 4) */
};

/* The right to cut a file, of ABI 3, which older headers lack. */
#define LANDLOCK_TRUNCATE (UINT64_C(1) << 14)

/* Makes a ruleset that denies every file right, TCP bind and connect (ABI 4), abstract unix sockets of others and signals to
 * processes outside (ABI 6), but for what `leave` says. 0 or -errno, -EOPNOTSUPP where the kernel has no Landlock; *ret_step names the step that
 * failed (static string). */
int landlock_new(unsigned leave, int *ret_ruleset_fd, const char **ret_step);

/* Gives rights back in a folder and all below it. folder_fd: may be O_PATH; stays the caller's. access:
 * LANDLOCK_ACCESS_FS_…; rights that the kernel's Landlock does not know are not denied, and passed over. 0 or -errno as above. */
int landlock_allow(int ruleset_fd, int folder_fd, uint64_t access, const char **ret_step);

/* Restricts the calling thread and all that it starts later, for good. Needs no_new_privs. 0 or
 * -errno as above. */
int landlock_restrict(int ruleset_fd, const char **ret_step);
