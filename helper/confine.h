/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement: a process gives up all that it needs no longer, once everything is set up: files but
 * for a few folders, capabilities, and the system calls that make processes or reach into them.
 * No step can be undone. Supervisor, single-threaded, just before the loop; each helper as it
 * starts (helper.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy_table;

/* The actions that stay allowed in a folder and all below it. */
enum confine_use {
    CONFINE_READ,    /* read files and folders */
    CONFINE_SOCKETS, /* remove files: the sockets that were made in it */
    CONFINE_WRITE,   /* make, read, write, rename and remove files, folders and links */
    CONFINE_KEEP,    /* the same without links; and cut files */
};

struct confine_folder {
    /* The folder; for a file, the folder that holds it. Links are followed; a missing path is left
     * out. Borrowed for the call. */
    const char *path;
    enum confine_use use;
};

struct confine_options {
    const struct confine_folder *folders;
    size_t n_folders;
    int cgroup_fd; /* below it, cgroups may be made, set and removed; 0 or less: there are none */
    /* bits by number; 0: none. Capabilities that the process does not have are left out */
    uint64_t keep_capabilities;
    bool landlock_may_be_missing;
    const struct policy_table *table; /* allowed system calls; NULL: the supervisor's */
    /* Starts threads after privileges are given up and before the filter, so that they have both;
     * NULL: there are none. 0 or -errno. */
    int (*start_threads)(void *owner);
    void *owner;
    bool no_signals;  /* also none to processes outside, where Landlock can say so */
    bool may_connect; /* by TCP; Landlock denies it otherwise, where it can */
};

/* Confines the process, in this order: no_new_privs, Landlock, capabilities, threads, seccomp
 * filter. 0; or 1: all of it but Landlock, which the kernel does not have, if that may be; or
 * -errno, and then the process must end, because it may be confined in part. If not 0, *ret_step
 * names the step that failed (static string, or the path of a folder, borrowed from options). */
int confine_process(const struct confine_options *options, const char **ret_step);

/* Returns advice for the operator about a failed step, or NULL. Static string. */
const char *confine_hint(int error, const char *step);
