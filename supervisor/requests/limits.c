/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that the supervisor itself sees met, and the memory of a tenant's bodies in skepd.
 * Supervisor, loop thread.
 */
#include "common/io.h"
#include "supervisor/requests/failure.h"
#include "supervisor/requests/internal.h"
#include "supervisor/workers/worker.h"

/* Returns whether a request that meets the limit only waits: no incident, unless the limit is only
 * observed. */
static bool is_only_waiting(unsigned limit)
{
    return limit == LIMIT_INDEX(concurrency) || limit == LIMIT_INDEX(cpu_rate);
}

static enum incident_stage stage_of(unsigned limit)
{
    return limit == LIMIT_INDEX(queue) || limit == LIMIT_INDEX(request_mib) ||
                   limit == LIMIT_INDEX(subrequests) || limit == LIMIT_INDEX(calls) ||
                   limit == LIMIT_INDEX(call_mib)
               ? STAGE_REFUSED
               : STAGE_STOPPED;
}

static void note_limit(const struct version *version, const struct request *request, unsigned limit,
                       uint64_t used, bool is_observed)
{
    struct tenant *tenant = version->tenant;
    const struct placement *placement = request ? request->attempt.placement : NULL;
    struct incident incident = {
        .stage = is_observed ? STAGE_OBSERVED : stage_of(limit),
        .cause = limit,
        .limit_milli = UINT64_C(1000) * limit_get(&version->limits, &limit_table[limit]),
        .used_milli = used,
        .request = request ? request->attempt.id : 0,
        .worker = placement ? placement->worker->number : 0,
        .pid = placement ? placement->worker->pid : 0,
    };

    if (is_observed || !is_only_waiting(limit))
        incident_note(tenant->tenants->record, &tenant->counted, &incident);
}

/* Returns whether ledger_meet_limit would not note it again. */
static bool ledger_is_noted(const struct version *version, const struct request *request,
                            unsigned limit)
{
    struct tenant_books *books = &version->tenant->books;

    if (request)
        return ledger_is_met(request, limit);
    uint64_t second = io_now_ns() / NSEC_PER_SEC;
    if (books->noted_second != second)
        books->noted = 0;
    books->noted_second = second;
    return (books->noted >> limit & 1U) != 0;
}

bool ledger_meet_limit(const struct version *version, struct request *request, unsigned limit,
                       uint64_t used)
{
    bool is_observed = (version->observed >> limit & 1U) != 0;
    limit_set *noted = request ? &request->attempt.noted : &version->tenant->books.noted;

    if (!ledger_is_noted(version, request, limit)) {
        *noted |= (limit_set) 1 << limit;
        if (request && !is_observed)
            failure_note_limit(request, limit, used);
        note_limit(version, request, limit, used, is_observed);
    }
    return !is_observed;
}

bool ledger_is_met(const struct request *request, unsigned limit)
{
    return (request->attempt.noted >> limit & 1U) != 0;
}

static void set_counted(struct request *request, size_t bytes)
{
    request->attempt.tenant->books.queued_bytes += bytes;
    request->attempt.tenant->books.queued_bytes -= request->counted_bytes;
    request->counted_bytes = bytes;
}

/* Tells the front, which bounds the memory for all clients, the bytes that are kept here; it knows
 * its own part. */
static void set_kept(struct request *request, size_t bytes)
{
    struct http_exchange *exchange = request->client.ops->is_caller ? NULL : request->client.to;

    if (request->ledger->front) /* otherwise the front has gone before the ledger */
        http_front_note_kept(request->ledger->front, exchange, request->kept_bytes, bytes);
    request->kept_bytes = bytes;
}

void ledger_count_bytes(struct request *request)
{
    size_t bytes = request->body ? evbuffer_get_length(request->body) : 0;
    size_t kept = bytes + caller_waiting_bytes(&request->calls) + request->fetch_bytes;

    /* A request without a client ends soon, and there are no more of these than rows in workers. */
    set_kept(request, request->client.to ? kept + request->head_bytes : kept);
    bytes += caller_kept_bytes(&request->calls) + request->fetch_bytes;
    if (request->client.to)
        bytes += request->client.ops->queued(request->client.to);
    set_counted(request, bytes);
}

void ledger_uncount_bytes(struct request *request)
{
    set_kept(request, 0);
    set_counted(request, 0);
}

uint64_t ledger_queued_bytes(const struct tenant *tenant)
{
    return tenant->books.queued_bytes;
}

/* ---- cpu_rate */

uint64_t ledger_debt_ns(struct tenant *tenant)
{
    const struct version *version = tenant->version;
    struct rate *rate = &tenant->books.rate;
    uint32_t ms_per_s = version->limits.cpu_rate;

    if (ms_per_s == LIMIT_UNLIMITED)
        return 0;
    rate_refill(rate, ms_per_s, io_now_ns());
    uint64_t wait_ns = rate_wait_ns(rate, ms_per_s);
    if (wait_ns == 0)
        return 0;
    /* The use in this second: the budget of the second, and the debt. */
    uint64_t used_ms = ms_per_s + (uint64_t) -rate->left_ns / NSEC_PER_MSEC;
    bool is_noted = ledger_is_noted(version, NULL, LIMIT_INDEX(cpu_rate));
    if (ledger_meet_limit(version, NULL, LIMIT_INDEX(cpu_rate), used_ms * 1000))
        return wait_ns;
    if (!is_noted) /* only observed: the next second does not inherit this debt */
        rate->left_ns = 0;
    return 0;
}

unsigned ledger_retry_after_s(struct tenant *tenant)
{
    uint64_t seconds = (ledger_debt_ns(tenant) + NSEC_PER_SEC - 1) / NSEC_PER_SEC;

    return seconds < 1 ? 1 : seconds < UINT32_MAX ? (unsigned) seconds : UINT32_MAX;
}
