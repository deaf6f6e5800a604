/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of the jail that are about files: the empty root and Landlock. For jail.c only.
 */
#pragma once

/* Makes an empty read-only tmpfs the only mount in this mount namespace. Needs CAP_SYS_ADMIN over
 * the namespace. 0 or -errno; *ret_step names the step that failed. */
int jail_empty_root(const char **ret_step);

/* Denies every file, network and scope right that this kernel's Landlock knows. Needs
 * no_new_privs. 0 or -errno; -EOPNOTSUPP where the kernel has no Landlock. */
int jail_landlock(const char **ret_step);
