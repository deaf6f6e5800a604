/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes all that a worker is born with: scoreboard, channel, cgroup. Supervisor, loop thread.
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
#include "supervisor/workers/internal.h"
#include "supervisor/workers/link.h"
#include "supervisor/workers/slots.h"

/* Buffer of each direction between skepd and a worker; the kernel doubles it for its own needs. */
#define SOCKET_BYTES (512 << 10)

bool worker_is_rss_observed(const struct worker *worker)
{
    return worker->cordon->observe_rss || worker->slots->config->observe_rss;
}

static int make_scoreboard(struct scoreboard **ret_board, int *ret_fd)
{
    _cleanup_fd_ int fd = memfd_create("skep-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t) SCOREBOARD_BYTES) < 0)
        return -errno;
    /* A worker that could shrink the file would kill the supervisor by SIGBUS. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    void *board = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (board == MAP_FAILED)
        return -errno;
    *ret_board = board;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

void worker_cgroup_limits(const struct worker *worker, struct cgroup_limits *ret_limits)
{
    bool is_bound = worker->rss_mib != LIMIT_UNLIMITED && !worker_is_rss_observed(worker);

    *ret_limits = (struct cgroup_limits){
        .memory_max_bytes = is_bound ? (uint64_t) worker->rss_mib << 20 : UINT64_MAX,
        .pids_max = CGROUP_WORKER_PIDS,
        .cpu_weight = worker->cordon->cpu_weight,
    };
}

/* Best effort: without a cgroup the worker's memory is polled. */
static void make_cgroup(struct worker *worker)
{
    struct cgroup_limits limits;

    if (!worker->slots->cgroups)
        return;
    worker_cgroup_limits(worker, &limits);
    int r = cgroup_make_worker(worker->slots->cgroups, worker->number, &limits, &worker->cgroup);
    if (r < 0)
        (void) log_event_errno(LOG_LEVEL_WARNING, LOG_ABOUT_WORKER(worker), r,
                               "no cgroup for worker %u", worker->number);
}

/* Makes all that the process is born with. */
static int equip(struct worker *worker, int *ret_board_fd, int *ret_worker_end)
{
    _cleanup_fd_ int worker_end = -1, own_end = -1;
    int pair[2];

    static const int socket_bytes = SOCKET_BYTES;
    int r = make_scoreboard(&worker->board, ret_board_fd);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    own_end = pair[0];
    worker_end = pair[1];
    /* Without it the bytes of large bodies wait in this process, in a copy. As much as the host allows. */
    (void) setsockopt(own_end, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes);
    (void) setsockopt(worker_end, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes);
    r = link_open(worker, own_end);
    if (r < 0)
        return r;
    (void) TAKE_FD(own_end);
    *ret_worker_end = TAKE_FD(worker_end);
    make_cgroup(worker);
    return 0;
}

int worker_spawn(struct slot *slot)
{
    _cleanup_fd_ int board_fd = -1, worker_end = -1;
    struct slots *slots = slot->slots;
    struct worker *worker = worker_new(slots, slot->cordon, slot->number);

    if (!worker)
        return -ENOMEM;
    worker->jit = slot->cordon->jit;
    worker->rss_mib = slot->cordon->rss_mib;
    worker_await_hello(worker);
    int r = equip(worker, &board_fd, &worker_end);
    struct spawner_job job = {
        .slot = worker->number,
        .jit = worker->jit,
        .layers = slots->jail->layers,
        .channel_fd = worker_end,
        .scoreboard_fd = board_fd,
        .cgroup_fd = worker->cgroup ? cgroup_worker_fd(worker->cgroup) : -1,
    };
    if (r == 0)
        r = spawner_spawn(slots->spawner, &job);
    if (r < 0) {
        (void) worker_free(worker);
        return r;
    }
    slots_put(slots, slot, worker);
    return 0;
}
