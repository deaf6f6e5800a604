/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process gives up what it needs no longer, once everything is set up: files but for a few folders,
 * capabilities, and the system calls that make processes or reach into them. Nothing here can be undone.
 * Supervisor, single-threaded, just before the loop; each helper as it starts (helper.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy_table;

/* What may be done in a folder and all below it, from now on. */
enum confine_use {
    CONFINE_READ,    /* read files and folders */
    CONFINE_SOCKETS, /* remove files: the sockets that were made in it */
    CONFINE_WRITE,   /* make, read, write, rename and remove files, folders and links */
};

struct confine_folder {
    /* Of a file: the folder that holds it. Links are followed; what is not there is left out. Borrowed
     * for the call. */
    const char *path;
    enum confine_use use;
};

struct confine_options {
    const struct confine_folder *folders;
    size_t n_folders;
    int cgroup_fd; /* below it, cgroups may be made, set and removed; 0 or less: there are none */
    uint64_t keep_capabilities; /* bits by number; 0: none. What is not there is not missed */
    bool landlock_may_be_missing;
    const struct policy_table *table; /* of system calls; NULL: the supervisor's */
    /* Makes threads, which have all that is given up before the filter, and the filter; NULL: there are none.
     * 0 or -errno. */
    int (*start_threads)(void *owner);
    void *owner;
    bool no_signals; /* also none to processes outside, where Landlock can say so */
};

/* In this order: no_new_privs, Landlock, capabilities, threads, seccomp filter. 0; or 1, and all of it but
 * Landlock, which the kernel does not have, if that may be; or -errno, and then the process must end,
 * because some of it may be done. If not 0, *ret_step names what failed (static string, or the path
 * of a folder, borrowed from options). */
int confine_process(const struct confine_options *options, const char **ret_step);

/* What the operator can do about it, or NULL. Static string. */
const char *confine_hint(int error, const char *step);
