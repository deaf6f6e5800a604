/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/failure.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/io.h"

static const char *const reasons[ERROR_CODES] = {
    [ERROR_OVERLOADED] = "it has waited for a worker in vain",
    [ERROR_DRAINING] = "skepd is stopping",
    [ERROR_BOOT_FAILED] = "the module cannot be started, and the next try has to wait",
    [ERROR_CPU_STARTUP] = "the module took too long to start, and the next try has to wait",
    [ERROR_EXCEPTION] = "the handler threw",
    [ERROR_BAD_RESPONSE] = "the response cannot be sent, or not all of it",
    [ERROR_CPU_REQUEST] = "it has used up its CPU time",
    [ERROR_WALL_REQUEST] = "it took too long",
    [ERROR_MEM_ISOLATE] = "the isolate held too much memory, and went with all that was in it",
    [ERROR_MEM_PROCESS] = "the worker held too much memory, and ended with all that was in it",
    [ERROR_WORKER_CRASHED] =
        "the worker ended while this was in it, and it could not be sent again",
    [ERROR_QUARANTINED] = "the tenant is in quarantine",
    [ERROR_ISOLATE_STOPPED] = "others of the tenant were stopped, and their isolate had to go",
    [ERROR_UNSERVED] = "what was deployed is damaged, or not allowed any more",
    [ERROR_HUNG] = "nothing could have woken it",
    [ERROR_NO_SERVICE] = "the tenant that it calls is not there",
    [ERROR_CALL_CYCLE] = "the tenant that it calls waits for it",
    [ERROR_FETCH_FAILED] = "the server that it asked gave no answer",
};
static_assert(ERROR_CODES <= 32, "a bit for each code");

const char *failure_reason(enum error_code code)
{
    return error_info(code)->status >= 500 ? reasons[code] : NULL;
}

/* Returns whether the line is due. *ret_skipped: lines that were left out since the last one. */
static bool is_due(struct tenant_books *books, enum error_code code, uint64_t *ret_skipped)
{
    uint64_t second = io_now_ns() / NSEC_PER_SEC;

    if (books->failure_second != second)
        books->failure_codes = 0;
    books->failure_second = second;
    if ((books->failure_codes >> code & 1U) != 0) {
        books->failures_skipped++;
        return false;
    }
    books->failure_codes |= UINT32_C(1) << code;
    *ret_skipped = books->failures_skipped;
    books->failures_skipped = 0;
    return true;
}

static size_t append_limit(const struct request *request, char *text, size_t size)
{
    const struct limit_info *info = &limit_table[request->met_limit];
    const char *space = info->unit[0] ? " " : "";
    uint32_t limit = limit_get(request->attempt.version ? &request->attempt.version->limits
                                                        : &request->attempt.tenant->version->limits,
                               info);

    int n = snprintf(text, size, "; %s is %u%s%s, used %.1f%s%s", info->name, limit, space,
                     info->unit, (double) request->met_used_milli / 1000, space, info->unit);
    return n > 0 && (size_t) n < size ? (size_t) n : 0;
}

void failure_log(struct tenant *tenant, const struct request *request, uint64_t id,
                 enum error_code code)
{
    const char *reason = failure_reason(code);
    uint64_t skipped;
    char text[320];

    /* The worker's own text, if there was one, says more. */
    if (!reason || (request && request->is_told) || !is_due(&tenant->books, code, &skipped))
        return;
    int n = snprintf(text, sizeof text, "request %" PRIu64 " failed with %u %s: %s",
                     public_id(&tenant->tenants->record->ids, id), error_info(code)->status,
                     error_info(code)->code, reason);
    size_t at = (size_t) n;
    if (request && request->has_met_limit)
        at += append_limit(request, text + at, sizeof text - at);
    if (skipped > 0) {
        n = snprintf(text + at, sizeof text - at,
                     "; %" PRIu64 " more lines like this were left out before", skipped);
        at += (size_t) n;
    }
    tenant_log(tenant, TENANT_ERROR, text, at < sizeof text ? at : sizeof text - 1);
}

void failure_note_limit(struct request *request, unsigned limit, uint64_t used)
{
    request->has_met_limit = true;
    request->met_limit = limit;
    request->met_used_milli = used;
}
