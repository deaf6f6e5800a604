/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports to the supervisor of limits that were met, and which of them are only observed. Worker,
 * main thread, jailed.
 */
#include "common/io.h"
#include "proto/frame.h"
#include "worker/host_internal.h"

bool exceeded_is_observed(const struct app *app, Skep__Worker__Limit limit)
{
    return (app->observed >> limit & 1) != 0;
}

bool exceeded_note(struct job *job, Skep__Worker__Limit limit, uint64_t used)
{
    Skep__Worker__Exceeded exceeded = SKEP__WORKER__EXCEEDED__INIT;
    bool observed = exceeded_is_observed(job->app, limit);

    if (job->exceeded >> limit & 1)
        return !observed;
    job->exceeded |= UINT32_C(1) << limit;
    exceeded.placement = job->app->id;
    exceeded.request = job->id;
    exceeded.limit = limit;
    /* A tenant may ask for any size: new ArrayBuffer(2 ** 52). */
    exceeded.used = used < EXCEEDED_USED_MAX ? used : EXCEEDED_USED_MAX;
    exceeded.observed = observed;
    host_send(job->app->host, SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED, &exceeded);
    return !observed;
}

void exceeded_check(struct job *job)
{
    struct app *app = job->app;
    bool is_boot = job == &app->boot;
    uint32_t limit_ms = is_boot ? app->cpu_startup_ms : app->cpu_ms;
    struct isolate_excess excess;

    if (limit_ms != UINT32_MAX &&
        job->cpu_ns - job->first_ns >= limit_ms * NSEC_PER_MSEC + job->spared_ns)
        (void) exceeded_note(job,
                             is_boot ? SKEP__WORKER__LIMIT__LIMIT_CPU_STARTUP_MS
                                     : SKEP__WORKER__LIMIT__LIMIT_CPU_MS,
                             (job->cpu_ns - job->first_ns) / 1000);
    isolate_take_excess(app->isolate, &excess);
    if (excess.heap > 0)
        (void) exceeded_note(job, SKEP__WORKER__LIMIT__LIMIT_HEAP_MIB, excess.heap >> 10);
    if (excess.external > 0)
        (void) exceeded_note(job, SKEP__WORKER__LIMIT__LIMIT_EXTERNAL_MIB, excess.external >> 10);
}
