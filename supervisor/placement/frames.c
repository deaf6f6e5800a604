/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers of a worker's frames about its versions. Every byte is hostile; a frame that does not
 * fit the record is -EPROTO, which gets the worker killed. Supervisor, loop thread.
 */
#include "supervisor/placement/frames.h"

#include <errno.h>

#include "common/cleanup.h"
#include "supervisor/placement/exceeded.h"
#include "supervisor/placement/placement.h"
#include "supervisor/workers/link.h"

/* Number of stopped requests after which an isolate is replaced, which bounds the rests that they
 * leave in it. */
#define STOPS_MOST 100

static struct placement *find_placement(struct worker *worker, uint32_t id)
{
    struct placement *placement;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if (placement->id == id)
            return placement;
    return NULL;
}

int placement_on_loaded_frame(void *owner, const ProtobufCMessage *message)
{
    static const enum error_code codes[] = {
        [SKEP__WORKER__LOAD_RESULT__LOAD_OK] = ERROR_NONE,
        [SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED] = ERROR_BOOT_FAILED,
        [SKEP__WORKER__LOAD_RESULT__LOAD_CPU_STARTUP] = ERROR_CPU_STARTUP,
        [SKEP__WORKER__LOAD_RESULT__LOAD_MEM_ISOLATE] = ERROR_MEM_ISOLATE,
    };
    const Skep__Worker__Loaded *loaded = (const Skep__Worker__Loaded *) message;
    struct worker *worker = owner;
    struct placement *placement = find_placement(worker, loaded->placement);

    if (!placement || !placement_expects(placement, PLACEMENT_EVENT_LOADED) ||
        (unsigned) loaded->result >= ARRAY_LEN(codes))
        return -EPROTO;
    placement_on_loaded(placement, codes[loaded->result],
                        loaded->message.len > 0 ? (const char *) loaded->message.data : "",
                        link_line_size(loaded->message), loaded->cpu_us);
    return 0;
}

int placement_on_log_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Log *line = (const Skep__Worker__Log *) message;
    struct placement *placement = find_placement(owner, line->placement);

    if (!placement || (unsigned) line->level > SKEP__WORKER__LOG_LEVEL__LOG_ERROR)
        return -EPROTO;
    const struct attempt *attempt = worker_find_attempt(owner, line->request);
    bool is_known = attempt && attempt->placement == placement;
    tenant_log_of(placement->version->tenant, is_known ? line->request : 0,
                  (enum tenant_log_level) line->level, (const char *) line->text.data,
                  link_line_size(line->text));
    return 0;
}

int placement_on_unloaded_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Unloaded *unloaded = (const Skep__Worker__Unloaded *) message;
    struct placement *placement = find_placement(owner, unloaded->placement);

    if (!placement || !placement_expects(placement, PLACEMENT_EVENT_UNLOADED))
        return -EPROTO;
    placement_on_unloaded(placement);
    return 0;
}

/* The frame is a claim: a lie costs the tenant of that isolate a new one, and no other tenant
 * anything. */
int placement_on_stopped_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Stopped *stopped = (const Skep__Worker__Stopped *) message;
    struct placement *placement = find_placement(owner, stopped->placement);

    if (!placement || placement->is_stopped ||
        !placement_expects(placement, PLACEMENT_EVENT_STOPPED) ||
        placement->version->manifest->reuse_after_stop)
        return -EPROTO;
    placement_on_stopped(placement);
    return 0;
}

int placement_on_exceeded_frame(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Exceeded *exceeded = (const Skep__Worker__Exceeded *) message;
    struct worker *worker = owner;
    struct placement *placement = find_placement(worker, exceeded->placement);
    limit_set *seen = placement ? &placement->exceeded : NULL;
    limit_set *noted = placement ? &placement->noted : NULL;
    unsigned which = (unsigned) exceeded->limit;

    if (!placement || which >= EXCEEDED_LIMITS)
        return -EPROTO;
    struct attempt *attempt =
        exceeded->request != 0 ? worker_find_attempt(worker, exceeded->request) : NULL;
    if (exceeded->request != 0) {
        if (!attempt || attempt->placement != placement)
            return -EPROTO;
        seen = &attempt->exceeded;
        noted = &attempt->noted;
    }
    uint64_t used = exceeded->used < EXCEEDED_USED_MAX ? exceeded->used : EXCEEDED_USED_MAX;
    unsigned index = exceeded_limits[which].index;
    bool is_observed = (placement->version->observed >> index & 1U) != 0;
    if ((*seen >> index & 1U) != 0 || exceeded->observed != is_observed)
        return -EPROTO;
    *seen |= 1U << index;
    if (is_observed && (*noted >> index & 1U) != 0) /* noted while it ran */
        return 0;
    *noted |= (limit_set) 1 << index;
    struct incident incident = {
        .stage = is_observed ? STAGE_OBSERVED : exceeded_limits[which].stage,
        .cause = index,
        .limit_milli = UINT64_C(1000) * limit_get(&placement->version->limits, &limit_table[index]),
        .used_milli = used * exceeded_limits[which].numerator / exceeded_limits[which].denominator,
        .request = exceeded->request,
        .worker = worker->number,
        .pid = worker->pid,
    };
    incident_note(placements_of_worker(worker)->record, &placement->version->tenant->counted,
                  &incident);
    if (attempt && !is_observed)
        placements_of_worker(worker)->ops->on_limit_met(attempt, index, incident.used_milli);
    if (incident.stage == STAGE_STOPPED && ++placement->stops >= STOPS_MOST)
        placement_wear_out(placement);
    return 0;
}
