/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times: looks often while threads have jobs, and now and then for files that nobody uses and requests that do not come. A job that does not
 * end although its time is over ends the process: one opcode of SQLite may take for ever, and a thread cannot be killed. Loop thread.
 */
#include <string.h>
#include <unistd.h>

#include "data/internal.h"
#include "helper/helper.h"

#define LOOK_US 20000
#define SWEEP_NS (NSEC_PER_SEC / 2)
#define LAST_FRAMES_NS (NSEC_PER_SEC / 2) /* for skepd to read what is queued before the end */

void watch_arm(struct data *data)
{
    static const struct timeval often = { .tv_usec = LOOK_US }, seldom = { .tv_sec = 1 };
    bool is_fast = data->n_running > 0 || data->stuck_ns > 0;

    if (!data->watch ||
        (event_pending(data->watch, EV_TIMEOUT, NULL) && data->is_watch_fast >= is_fast))
        return;
    data->is_watch_fast = is_fast;
    if (is_fast || data->n_tenants > 0)
        (void) event_add(data->watch, is_fast ? &often : &seldom);
}

/* Ends the process as soon as skepd has been told, which must not take long. */
static void end_if_told(const struct data *data, uint64_t now_ns)
{
    if (!data->client || helper_client_queued_bytes(data->client) == 0 ||
        now_ns >= data->stuck_ns + LAST_FRAMES_NS)
        _exit(1);
}

/* Returns whether the job runs what the tenant has written: statements, but not the operator's, and migrations. */
static bool is_of_tenant(const struct job *job)
{
    const struct operation *operation = job->operations[0];

    return !operation->run.is_operator || strcmp(operation->name, "migrate") == 0;
}

/* The tenant has no part in a disk that is slow at an operator's copy. */
static void report_stuck(struct data *data, const struct lane *lane, uint64_t now_ns)
{
    uint64_t ms = (now_ns - lane->job.started_ns) / NSEC_PER_MSEC;

    if (is_of_tenant(&lane->job))
        frame_stuck(data, lane->tenant->name, ms < UINT32_MAX ? (uint32_t) ms : UINT32_MAX);
    else
        frame_notice(
            data, lane->tenant->name,
            "an operation of the operator has not ended within its time: the process ends");
    data->stuck_ns = now_ns;
}

void watch_sweep(struct data *data)
{
    const uint64_t now_ns = io_now_ns();

    if (now_ns < data->swept_ns + SWEEP_NS)
        return;
    data->swept_ns = now_ns;
    operations_check_times(data, now_ns);
    tenants_sweep(data, now_ns);
}

void watch_look(struct data *data)
{
    const uint64_t now_ns = io_now_ns();
    const struct lane *stuck = lanes_check_times(data, now_ns);

    if (stuck && data->stuck_ns == 0)
        report_stuck(data, stuck, now_ns);
    if (data->stuck_ns > 0)
        end_if_told(data, now_ns);
}
