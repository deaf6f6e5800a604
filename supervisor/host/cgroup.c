/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroups of workers: made, read, removed. cgroup_tree.c makes the tree that they are in.
 * Supervisor process, loop thread.
 */
#include "supervisor/host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "supervisor/host/cgroup_internal.h"

/* Names that may still be taken by cgroups of a dead skepd that cannot be removed yet. */
#define MAX_TRIES 1000

/* Descriptors 0 to 2 would be taken for standard ones by their receiver. */
#define FIRST_FD 3

struct cgroup_worker {
    LIST_ENTRY(cgroup_worker) in_dying;
    struct cgroup_tree *tree; /* borrowed */
    char name[CGROUP_NAME_MAX];
    int fd;
    int memory_fd; /* descriptor of memory.current */
};

int cgroup_write(int dir_fd, const char *file, const char *text)
{
    _cleanup_fd_ int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    if (n < 0)
        return -errno;
    return (size_t) n == strlen(text) ? 0 : -EIO;
}

int cgroup_read(int dir_fd, const char *file, char *buffer, size_t size)
{
    _cleanup_fd_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, buffer, size - 1);
    if (n < 0)
        return -errno;
    buffer[n] = '\0';
    return 0;
}

/* ---- making */

static int write_number(int dir_fd, const char *file, uint64_t value)
{
    char text[24];

    (void) snprintf(text, sizeof text, "%" PRIu64, value);
    return cgroup_write(dir_fd, file, text);
}

static int set_limits(int fd, const struct cgroup_limits *limits)
{
    int r = 0;

    if (limits->memory_max_bytes != UINT64_MAX)
        r = write_number(fd, "memory.max", limits->memory_max_bytes);
    if (r == 0)
        r = cgroup_write(fd, "memory.oom.group", "1");
    if (r == 0) {
        /* A worker that swaps is over its limit and slow as well. */
        r = cgroup_write(fd, "memory.swap.max", "0");
        if (r == -ENOENT) /* a kernel without swap, or with swapaccount=0 */
            r = 0;
    }
    if (r == 0)
        r = write_number(fd, "pids.max", limits->pids_max);
    if (r == 0)
        r = write_number(fd, "cpu.weight", limits->cpu_weight);
    return r;
}

static int make_directory(struct cgroup_tree *tree, unsigned number, char *name)
{
    for (unsigned i = 0; i < MAX_TRIES; i++) {
        (void) snprintf(name, CGROUP_NAME_MAX, CGROUP_WORKER_PREFIX "%d-%u.%" PRIu64,
                        (int) getpid(), number, tree->next_serial++);
        if (mkdirat(tree->fd, name, 0755) == 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

static int open_directory(struct cgroup_worker *worker)
{
    _cleanup_fd_ int fd =
        openat(worker->tree->fd, worker->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    worker->fd = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
    if (worker->fd < 0)
        return -errno;
    worker->memory_fd = openat(worker->fd, "memory.current", O_RDONLY | O_CLOEXEC);
    return worker->memory_fd < 0 ? -errno : 0;
}

int cgroup_make_worker(struct cgroup_tree *tree, unsigned number,
                       const struct cgroup_limits *limits, struct cgroup_worker **ret_worker)
{
    cgroup_remove_dying(tree);
    struct cgroup_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return -ENOMEM;
    worker->tree = tree;
    worker->fd = worker->memory_fd = -1;
    int r = make_directory(tree, number, worker->name);
    if (r < 0) {
        free(worker);
        return r;
    }
    r = open_directory(worker);
    if (r == 0)
        r = set_limits(worker->fd, limits);
    if (r < 0) {
        (void) cgroup_worker_free(worker);
        return r;
    }
    *ret_worker = worker;
    return 0;
}

int cgroup_worker_set(const struct cgroup_worker *worker, const struct cgroup_limits *limits)
{
    int r = limits->memory_max_bytes == UINT64_MAX
                ? cgroup_write(worker->fd, "memory.max", "max")
                : write_number(worker->fd, "memory.max", limits->memory_max_bytes);

    if (r == 0)
        r = write_number(worker->fd, "pids.max", limits->pids_max);
    return r < 0 ? r : write_number(worker->fd, "cpu.weight", limits->cpu_weight);
}

/* ---- reading */

int cgroup_worker_fd(const struct cgroup_worker *worker)
{
    return worker->fd;
}

int cgroup_worker_events(const struct cgroup_worker *worker, struct cgroup_events *ret_events)
{
    struct cgroup_events events = { 0 };
    const struct {
        const char *name;
        uint64_t *value;
    } rows[] = {
        { "oom", &events.oom },
        { "oom_kill", &events.oom_kill },
        { "oom_group_kill", &events.oom_group_kill },
    };
    char text[512], name[32], *rest = text;
    uint64_t value;
    int length;

    int r = cgroup_read(worker->fd, "memory.events", text, sizeof text);
    if (r < 0)
        return r;
    while (sscanf(rest, "%31s %" SCNu64 "%n", name, &value, &length) == 2) {
        rest += length;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            if (strcmp(name, rows[i].name) == 0)
                *rows[i].value = value;
    }
    *ret_events = events;
    return 0;
}

uint64_t cgroup_worker_memory(const struct cgroup_worker *worker)
{
    char text[32];
    ssize_t n = pread(worker->memory_fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtoull(text, NULL, 10);
}

/* ---- removing */

static bool remove_directory(const struct cgroup_worker *worker)
{
    /* EBUSY: a process is in it. Any error but ENOENT may be gone the next time. */
    return unlinkat(worker->tree->fd, worker->name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

void cgroup_remove_dying(struct cgroup_tree *tree)
{
    struct cgroup_worker *next;

    for (struct cgroup_worker *worker = LIST_FIRST(&tree->dying); worker; worker = next) {
        next = LIST_NEXT(worker, in_dying);
        if (!remove_directory(worker))
            continue;
        LIST_REMOVE(worker, in_dying);
        tree->n_dying--;
        free(worker);
    }
}

const char *cgroup_first_dying(const struct cgroup_tree *tree)
{
    const struct cgroup_worker *worker = LIST_FIRST(&tree->dying);

    return worker ? worker->name : NULL;
}

bool cgroup_is_dying(const struct cgroup_tree *tree, const char *name)
{
    const struct cgroup_worker *worker;

    LIST_FOREACH (worker, &tree->dying, in_dying)
        if (strcmp(worker->name, name) == 0)
            return true;
    return false;
}

void cgroup_forget_dying(struct cgroup_tree *tree)
{
    struct cgroup_worker *worker;

    while ((worker = LIST_FIRST(&tree->dying))) {
        LIST_REMOVE(worker, in_dying);
        free(worker);
    }
    tree->n_dying = 0;
}

int cgroup_add_dying(struct cgroup_tree *tree, const char *name)
{
    struct cgroup_worker *worker = calloc(1, sizeof *worker);

    if (!worker)
        return -ENOMEM;
    worker->tree = tree;
    worker->fd = worker->memory_fd = -1;
    (void) snprintf(worker->name, sizeof worker->name, "%s", name);
    LIST_INSERT_HEAD(&tree->dying, worker, in_dying);
    tree->n_dying++;
    return 0;
}

struct cgroup_worker *cgroup_worker_free(struct cgroup_worker *worker)
{
    if (!worker)
        return NULL;
    struct cgroup_tree *tree = worker->tree;
    fd_cleanup(&worker->fd);
    fd_cleanup(&worker->memory_fd);
    cgroup_remove_dying(tree);
    if (remove_directory(worker)) {
        free(worker);
        return NULL;
    }
    worker->fd = worker->memory_fd = -1;
    LIST_INSERT_HEAD(&tree->dying, worker, in_dying);
    tree->n_dying++;
    return NULL;
}

int cgroup_tree_fd(const struct cgroup_tree *tree)
{
    return tree->fd;
}

unsigned cgroup_n_dying(const struct cgroup_tree *tree)
{
    return tree->n_dying;
}
