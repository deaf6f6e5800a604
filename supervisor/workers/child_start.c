/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker is born with: scoreboard, channel, cgroup. Supervisor, loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/host/cgroup.h"
#include "supervisor/workers/child_internal.h"
#include "supervisor/workers/link.h"

bool child_is_rss_observed(const struct child *child)
{
    return child->cordon->observe_rss || child->server->config->observe_rss;
}

static int make_scoreboard(struct scoreboard **ret_board, int *ret_fd)
{
    _cleanup_fd_ int fd = memfd_create("skep-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t) SCOREBOARD_BYTES) < 0)
        return -errno;
    /* A worker that could shrink it would have the supervisor die of SIGBUS. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    void *board = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (board == MAP_FAILED)
        return -errno;
    *ret_board = board;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

void child_cgroup_limits(const struct child *child, struct cgroup_limits *ret_limits)
{
    bool is_bound = child->rss_mib != LIMIT_UNLIMITED && !child_is_rss_observed(child);

    *ret_limits = (struct cgroup_limits){
        .memory_max_bytes = is_bound ? (uint64_t) child->rss_mib << 20 : UINT64_MAX,
        .pids_max = CGROUP_WORKER_PIDS,
        .cpu_weight = child->cordon->cpu_weight,
    };
}

/* Best effort: without it the worker's memory is polled. */
static void make_cgroup(struct child *child)
{
    struct cgroup_limits limits;

    if (!child->server->cgroups)
        return;
    child_cgroup_limits(child, &limits);
    int r = cgroup_make_worker(child->server->cgroups, child->number, &limits, &child->cgroup);
    if (r < 0)
        (void) log_event_errno(LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child), r,
                               "no cgroup for worker %u", child->number);
}

/* Makes what the process is born with. */
static int equip(struct child *child, int *ret_board_fd, int *ret_worker_end)
{
    _cleanup_fd_ int worker_end = -1, own_end = -1;
    int pair[2];

    int r = make_scoreboard(&child->board, ret_board_fd);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    own_end = pair[0];
    worker_end = pair[1];
    r = link_open(child, own_end);
    if (r < 0)
        return r;
    (void) TAKE_FD(own_end);
    *ret_worker_end = TAKE_FD(worker_end);
    make_cgroup(child);
    return 0;
}

int child_spawn(struct slot *slot)
{
    _cleanup_fd_ int board_fd = -1, worker_end = -1;
    struct pool *pool = slot->pool;
    struct child *child = child_new(pool->server, slot->cordon, slot->number);

    if (!child)
        return -ENOMEM;
    child->ops = pool->ops;
    child->frames = pool->frames;
    child->jit = slot->cordon->jit;
    child->rss_mib = slot->cordon->rss_mib;
    child_await_hello(child);
    int r = equip(child, &board_fd, &worker_end);
    struct spawner_job job = {
        .slot = child->number,
        .jit = child->jit,
        .layers = child->server->jail.layers,
        .channel_fd = worker_end,
        .scoreboard_fd = board_fd,
        .cgroup_fd = child->cgroup ? cgroup_worker_fd(child->cgroup) : -1,
    };
    if (r == 0)
        r = spawner_spawn(child->server->spawner, &job);
    if (r < 0) {
        (void) child_free(child);
        return r;
    }
    pool_put(pool, slot, child);
    return 0;
}
