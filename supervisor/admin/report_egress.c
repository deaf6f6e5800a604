/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last fetches of tenants. Supervisor, loop thread.
 */
#include <errno.h>

#include "common/cleanup.h"
#include "supervisor/admin/report.h"
#include "supervisor/record/egress_log.h"

#define EGRESS_ARENA_BYTES (256U << 10)

static void fill_fetch(const struct egress_entry *from, Skep__Admin__EgressFetch *fetch)
{
    fetch->number = from->number;
    fetch->time_ms = from->time_ms;
    fetch->tenant = report_text(from->shelf->counted->name);
    fetch->method = report_text(from->method);
    fetch->scheme = report_text(from->is_https ? "https" : "http");
    fetch->host = report_text(from->host);
    fetch->port = from->port;
    fetch->status = from->status;
    fetch->outcome = report_text(fetch_outcome_name(from->outcome));
    fetch->reason = report_text(from->reason);
    fetch->sent = from->sent;
    fetch->received = from->received;
    fetch->connects = from->connects;
    fetch->duration_us = from->duration_us;
    fetch->request = from->request;
}

/* Returns the oldest entry that is asked for; NULL: none. *ret_total: all that there are. */
static const struct egress_entry *find_first(const struct egress_log *log,
                                             const struct counted *counted,
                                             const Skep__Admin__EgressRequest *request,
                                             uint32_t *ret_total)
{
    const struct egress_entry *entry = egress_log_newest(log, counted), *first = NULL;
    uint32_t n = 0;

    for (; entry && (request->last == 0 || n < request->last);
         entry = egress_entry_older(entry, counted)) {
        if (entry->number > request->after)
            first = entry;
        n++;
    }
    *ret_total = n;
    return first;
}

static int fill(const struct egress_log *log, const struct counted *counted,
                const Skep__Admin__EgressRequest *request, struct arena *arena,
                Skep__Admin__Egress *ret)
{
    const struct egress_entry *entry = find_first(log, counted, request, &ret->total);
    size_t size = 0, n = 0;
    Skep__Admin__EgressFetch **page =
        report_list(arena, PAGE_ITEMS_MAX, &skep__admin__egress_fetch__descriptor);

    if (!page)
        return -ENOMEM;
    for (; entry && n < PAGE_ITEMS_MAX && size < PAGE_MAX_BYTES;
         entry = egress_entry_newer(entry, counted)) {
        fill_fetch(entry, page[n]);
        size += skep__admin__egress_fetch__get_packed_size(page[n++]);
    }
    ret->fetches = page;
    ret->n_fetches = n;
    return 0;
}

int admin_on_egress(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__EgressRequest *request = (const Skep__Admin__EgressRequest *) message;
    Skep__Admin__Egress egress = SKEP__ADMIN__EGRESS__INIT;
    _cleanup_(arena_done) struct arena arena = { 0 };
    const struct tenant *tenant = NULL;

    if (request->tenant.len > 0 && !(tenant = admin_find_tenant(owner, request->tenant)))
        return admin_send_failure(owner, ADMIN_NO_TENANT);
    int r = arena_init(&arena, EGRESS_ARENA_BYTES);
    if (r == 0)
        r = fill(admin_client_options(owner)->record->egress_log, tenant ? &tenant->counted : NULL,
                 request, &arena, &egress);
    return admin_send_report(owner, r, SKEP__ADMIN__ANSWER__MESSAGE_EGRESS, &egress);
}
