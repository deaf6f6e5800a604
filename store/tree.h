/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes in the file system that survive a power cut: once one of these functions has returned 0,
 * its change is on the disk; until then the old or the new is there, never half. Store process; no
 * state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Prefix of files that are being made; recovery removes them. */
#define TREE_TEMPORARY ".tmp-"

/* Opens a folder below dir_fd, never through a link. make: makes it, durably, if it is missing.
 * Returns a descriptor or -errno. */
int tree_enter(int dir_fd, const char *name, bool make);
/* Makes a new file with that content. 0, -EEXIST, or another -errno; then the file is gone again.
 * The folder is not synced. */
int tree_write(int dir_fd, const char *name, const void *data, size_t size);
/* Replaces a file by one with that content. 0 or -errno. */
int tree_replace(int dir_fd, const char *name, const void *data, size_t size);
/* Replaces a symbolic link. 0 or -errno; if is_switched is true then, the link is the new one, but
 * may not outlast a power cut. */
int tree_link(int dir_fd, const char *name, const char *target, bool *ret_is_switched);
/* Renames within one folder. 0 or -errno. */
int tree_rename(int dir_fd, const char *from, const char *to);
/* Removes the file or folder of that name, and all below it. 0, also if there is none, or -errno.
 * Not synced. */
int tree_remove(int dir_fd, const char *name);
/* Syncs all folders at and below dir_fd, from below. 0 or -errno. */
int tree_sync_folders(int dir_fd);

/* Calls visit for each entry but "." and "..", in no order. Stops at a result that is not 0, and
 * returns it; -errno if the folder cannot be read. visit may remove the entry. */
int tree_each(int dir_fd, int (*visit)(void *arg, int dir_fd, const char *name), void *arg);
