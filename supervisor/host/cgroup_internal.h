/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that cgroup.c (workers) and cgroup_tree.c (the tree) share. For these two only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "supervisor/host/cgroup.h"

#define CGROUP_LEAF "supervisor"
#define CGROUP_WORKER_PREFIX "worker-"
#define CGROUP_NAME_MAX 48

struct cgroup_tree {
    int fd; /* the delegated cgroup */
    /* This skepd, or the one that it replaces, made the leaf and moved there. */
    bool has_moved;
    uint64_t next_serial;             /* makes names of workers unique */
    LIST_HEAD(, cgroup_worker) dying; /* freed, but not removed yet */
    unsigned n_dying;
};

/* Write and read a whole short file of a cgroup. 0 or -errno. */
int cgroup_write(int dir_fd, const char *file, const char *text);
int cgroup_read(int dir_fd, const char *file, char *buffer, size_t size);

void cgroup_remove_dying(struct cgroup_tree *tree);
int cgroup_add_dying(struct cgroup_tree *tree, const char *name);
/* Returns the name of one cgroup on the list; NULL if there is none. */
const char *cgroup_first_dying(const struct cgroup_tree *tree);
bool cgroup_is_dying(const struct cgroup_tree *tree, const char *name);
/* Frees the list, and leaves the cgroups. */
void cgroup_forget_dying(struct cgroup_tree *tree);
