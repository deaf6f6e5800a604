/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes in the file system that survive a power cut: what these functions have returned 0 for is on
 * the disk, and what was to be replaced is the old or the new, never half. Store process; no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Names of what is being made; recovery takes them away. */
#define TREE_TEMPORARY ".tmp-"

/* Opens a folder below dir_fd, never through a link. make: it is made, durably, if it is not there. Returns a
 * descriptor or -errno. */
int tree_enter(int dir_fd, const char *name, bool make);
/* A new file with that content. 0, -EEXIST, or another -errno; then it is gone again. The folder is
 * not synced. */
int tree_write(int dir_fd, const char *name, const void *data, size_t size);
/* The file with that content, in place of the one that was there. 0 or -errno. */
int tree_replace(int dir_fd, const char *name, const void *data, size_t size);
/* The same for a symbolic link. 0 or -errno; if is_switched is true then, it is the new one, but may
 * not outlast a power cut. */
int tree_link(int dir_fd, const char *name, const char *target, bool *ret_is_switched);
/* Within one folder. 0 or -errno. */
int tree_rename(int dir_fd, const char *from, const char *to);
/* Whatever has that name, and all below it. 0, also if there is nothing, or -errno. Not synced. */
int tree_remove(int dir_fd, const char *name);
/* All folders at and below dir_fd, from below. 0 or -errno. */
int tree_sync_folders(int dir_fd);

/* Calls for each entry but "." and "..", in no order. Stops at what is not 0, and returns it; -errno if
 * the folder cannot be read. visit may remove the entry. */
int tree_each(int dir_fd, int (*visit)(void *arg, int dir_fd, const char *name), void *arg);
