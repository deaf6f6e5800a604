/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when a script, or any file in a tenant's folder, was saved: by inotify, for editors that
 * write in place as well as those that write another file and rename it. Used by `skep dev`.
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"

struct watch;

struct watch_change {
    bool is_due;       /* a file was saved, moved or removed */
    unsigned delay_ms; /* wait before looking, for the other files that belong to the change */
    char name[128];    /* relative path of the last changed file; "" for the folder as a whole */
};

/* Starts to watch. path: of a script, or of a folder. 0 or -errno: -EOVERFLOW for too many folders,
 * -ENOSPC for more than fs.inotify.max_user_watches. */
int watch_new(const char *path, bool is_folder, struct watch **ret_watch);
struct watch *watch_free(struct watch *watch); /* NULL is allowed; returns NULL */
DEFINE_CLEANUP(struct watch *, watch_free, watch_cleanup)

/* Returns the descriptor for poll. May be another one after each watch_read. */
int watch_fd(const struct watch *watch);
/* Reads the changes, without waiting. 0 or -errno. */
int watch_read(struct watch *watch, struct watch_change *ret_change);
/* Returns whether the watched folder is gone: call watch_restore now and then. */
bool watch_is_lost(const struct watch *watch);
/* Tries to watch again. 0, or -errno while the folder is not there. */
int watch_restore(struct watch *watch);
