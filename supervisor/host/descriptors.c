/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/host/descriptors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

/* Descriptors that are asked for even if the config needs fewer, so that a reload may raise
 * http.connections. */
#define FILES_WANTED 65536
/* 32 admin clients with a descriptor that each may hand over, 32 scrapes, the log, the loop, helpers, an
 * upgrade, and some for what a library opens for a moment. */
#define RESERVE 160
/* For each worker: channel, two of the pidfd, two files of /proc, the scoreboard, the cgroup, and
 * one on its way. */
#define FILES_PER_WORKER 9

/* Counts workers twice, because a worker that retires and its successor are there at the same
 * time. */
static uint64_t count_workers(const struct config *config)
{
    uint64_t workers = 0;

    for (unsigned i = 0; i < config->n_cordons; i++) {
        const struct cordon_config *cordon = config->cordons[i];
        workers += 2 * ((uint64_t) cordon->workers + cordon->spare) + cordon->solitary;
    }
    return workers;
}

uint64_t descriptors_reserve(const struct config *config)
{
    return RESERVE + config->n_listen + count_workers(config) * FILES_PER_WORKER;
}

int descriptors_check(const struct config *config, uint64_t files, char *text, size_t size)
{
    uint64_t reserve = descriptors_reserve(config);
    uint64_t needed = reserve + config->http.connections;
    char most[64];

    if (needed <= files)
        return 0;
    (void) snprintf(most, sizeof most, "or lower http.connections to %" PRIu64, files - reserve);
    (void) snprintf(
        text, size,
        "http.connections: %" PRIu32 " and %" PRIu64
        " descriptors for admin, metrics, workers and helpers are %" PRIu64
        ", and skepd may have %" PRIu64
        ": raise the limit of open files (LimitNOFILE= of the unit, ulimit -Hn) to %" PRIu64 "%s%s",
        config->http.connections, reserve, needed, files, needed, files > reserve ? ", " : "",
        files > reserve ? most : "");
    return -EMFILE;
}

int descriptors_raise(const struct config *config, uint64_t *ret_files)
{
    uint64_t needed = descriptors_reserve(config) + config->http.connections;
    rlim_t wanted = needed > FILES_WANTED ? needed : FILES_WANTED;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = { .rlim_cur = wanted, .rlim_max = limit.rlim_max };
        if (raised.rlim_max < wanted)
            raised.rlim_max = needed > limit.rlim_max ? needed : limit.rlim_max;
        if (raised.rlim_cur > raised.rlim_max)
            raised.rlim_cur = raised.rlim_max;
        /* Only a process with CAP_SYS_RESOURCE may have more than the hard limit. */
        if (setrlimit(RLIMIT_NOFILE, &raised) < 0) {
            raised.rlim_cur = raised.rlim_max = limit.rlim_max;
            (void) setrlimit(RLIMIT_NOFILE, &raised);
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
            return -errno;
    }
    *ret_files = limit.rlim_cur;
    return needed <= limit.rlim_cur ? 0 : -EMFILE;
}
