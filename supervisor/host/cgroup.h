/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup v2 for workers, where skepd's own cgroup is delegated to it: skepd and the spawner move to
 * a leaf "supervisor", and each worker gets a sibling of it, "worker-PID-N.M", by the pid of its
 * skepd: during an upgrade two of them share the leaf, and neither touches the cgroups of the
 * other. Attributes of the delegated cgroup itself are its owner's and stay untouched:
 * https://systemd.io/CGROUP_DELEGATION/ Supervisor process, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroup_tree;
struct cgroup_worker;

/* A worker's main thread and its sentry: at this limit, code that gets around the filter cannot
 * fork. */
#define CGROUP_WORKER_PIDS 2
#define CGROUP_WEIGHT_DEFAULT 100

struct cgroup_limits {
    uint64_t memory_max_bytes; /* UINT64_MAX: none */
    unsigned pids_max;
    unsigned cpu_weight; /* 1 to 10000, against the weight of other workers */
};

/* Events of one cgroup since it was made; counted by the kernel. */
struct cgroup_events {
    uint64_t oom;            /* times that it was at its limit and nothing could be reclaimed */
    uint64_t oom_kill;       /* processes killed for that */
    uint64_t oom_group_kill; /* kills of the whole group; always 0 before Linux 5.17 */
};

/* Finds the path of skepd's own cgroup v2 directory, from the text of /proc/self/cgroup and of
 * /proc/self/mountinfo. *ret_path is owned by the caller. 0, -ENOENT (no cgroup v2 is mounted where
 * skepd's cgroup is in sight) or -ENOMEM. */
int cgroup_find(const char *self_cgroup, const char *mountinfo, char **ret_path);

/* Moves this process to the leaf and enables the controllers memory, pids and cpu. Call in a
 * single-threaded process, before any other is forked: processes are in the leaf only if they are
 * born there. Removes the cgroups of dead skepds; one is dead if the leaf has no process of its
 * pid. 0, or -errno with the reason in text (at most size bytes), and then nothing is changed. */
int cgroup_new(struct cgroup_tree **ret_tree, char *text, size_t size);

/* Removes the cgroups of another skepd that is dead by now. */
void cgroup_collect(struct cgroup_tree *tree);
/* Returns whether the tree was made by this skepd, or by the one that it replaces, and is to be
 * undone at the end. */
bool cgroup_is_to_undo(const struct cgroup_tree *tree);
void cgroup_set_to_undo(struct cgroup_tree *tree, bool is_to_undo);

/* Removes all cgroups of this skepd's workers, with the processes still in them, and undoes
 * cgroup_new unless another skepd is still in the leaf. All struct cgroup_worker must be freed
 * before, and the spawner too. NULL is allowed. Returns NULL. */
struct cgroup_tree *cgroup_free(struct cgroup_tree *tree);

/* Makes a cgroup with these limits. number: of the worker; several cgroups of one number may live side
 * by side. If the worker outgrows memory_max_bytes the kernel kills all of it; it never swaps. 0 or
 * -errno (-ENODEV: skepd's cgroup was removed, -EAGAIN: a limit on cgroups); nothing is left
 * then. */
int cgroup_make_worker(struct cgroup_tree *tree, unsigned number,
                       const struct cgroup_limits *limits, struct cgroup_worker **ret_worker);

/* Changes the limits while the worker runs. memory_max_bytes must be above the worker's memory,
 * else the worker is killed. 0 or -errno; some limits may be changed then. */
int cgroup_worker_set(const struct cgroup_worker *worker, const struct cgroup_limits *limits);

/* Returns the cgroup's directory, for struct spawner_job; never 0. Borrowed: lives as long as the
 * worker. */
int cgroup_worker_fd(const struct cgroup_worker *worker);

/* Reads the events. 0 or -errno. Possible also after the process died, until cgroup_worker_free. */
int cgroup_worker_events(const struct cgroup_worker *worker, struct cgroup_events *ret_events);

/* Returns the memory that memory_max_bytes is compared with: anonymous memory, page cache that the
 * worker was the first to touch, kernel memory. One pread; 0 if it cannot be read. */
uint64_t cgroup_worker_memory(const struct cgroup_worker *worker);

/* Removes the cgroup. While a process is still dying in it, that is put off until the next make or
 * free. NULL is allowed. Returns NULL. */
struct cgroup_worker *cgroup_worker_free(struct cgroup_worker *worker);

/* Returns the delegated cgroup's own directory; borrowed. */
int cgroup_tree_fd(const struct cgroup_tree *tree);

/* Returns the number of cgroups that are still to be removed. */
unsigned cgroup_n_dying(const struct cgroup_tree *tree);
