/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of loads, reported by placement: the candidate serves or is refused, its listener is told,
 * and a serving version that does not load is tried again after a while. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/versions/internal.h"

#define LOAD_AGAIN_FIRST_MS 1000
#define LOAD_AGAIN_MAX_MS 30000

static void note_load_failure(struct tenant *tenant, enum error_code code,
                              const struct failure *failure)
{
    unsigned doublings = tenant->load_failures < 5 ? tenant->load_failures : 5;
    uint64_t wait_ms = (uint64_t) LOAD_AGAIN_FIRST_MS << doublings;

    if (wait_ms > LOAD_AGAIN_MAX_MS)
        wait_ms = LOAD_AGAIN_MAX_MS;
    tenant->load_failures++;
    tenant->load_error = code;
    tenant->load_again_ns = io_now_ns() + wait_ms * NSEC_PER_MSEC;
    versions_note_error(tenant, failure);
    ledger_fail_queue(tenant, code, tenant_retry_after_s(tenant));
}

static void on_loaded(struct version *version)
{
    struct tenant *tenant = version->tenant;

    if (version->listener)
        version->listener->loaded(version->listener_owner);
    else if (tenant->candidate == version)
        versions_serve_candidate(tenant);
    if (tenant->version != version)
        return;
    tenant->load_failures = 0;
    free(tenant->last_error);
    tenant->last_error = NULL;
}

static void on_refused(struct version *version, enum error_code code, const char *text, size_t size)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    struct tenant *tenant = version->tenant;

    (void) failure_set_text(&failure, -ENOEXEC, text, size);
    if (version->listener)
        version->listener->refused(version->listener_owner, &failure);
    else if (tenant->version == version)
        note_load_failure(tenant, code, &failure);
    else if (tenant->candidate == version)
        versions_refuse_candidate(tenant, &failure);
}

static void on_died(struct version *version, enum error_code code, const char *cause)
{
    /* A serving version is not held back for a death that it has not caused. */
    if (version->listener || version->tenant->version != version ||
        error_counts(code, FOR_BACK_OFF, true))
        on_refused(version, code, cause, strlen(cause));
}

const struct version_ops versions_of_placement = {
    .may_load = versions_may_load,
    .loaded = on_loaded,
    .refused = on_refused,
    .died = on_died,
};
