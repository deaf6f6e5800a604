/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of incidents. Supervisor, loop thread.
 */
#include <errno.h>
#include <string.h>

#include "supervisor/admin/report.h"

static const char *evidence_name(enum evidence evidence)
{
    switch (evidence) {
    case EVIDENCE_CLAIM:
        return "claim";
    case EVIDENCE_PROOF:
        return "proof";
    case EVIDENCE_NONE:
        break;
    }
    return NULL;
}

static void fill_incident(const struct incident *from, Skep__Admin__Incident *incident)
{
    incident->number = from->number;
    incident->time_ms = from->time_ms;
    incident->tenant = report_text(from->tenant);
    incident->stage = report_text(incident_stage_name(from->stage));
    incident->cause = report_text(incident_cause_name(from->cause));
    incident->unit = report_text(incident_cause_unit(from->cause));
    incident->limit_milli = from->limit_milli;
    incident->used_milli = from->used_milli;
    if (from->code != ERROR_NONE)
        incident->code = report_text(error_info(from->code)->code);
    incident->evidence = report_text(evidence_name(from->evidence));
    incident->worker = from->worker;
    incident->pid = from->pid > 0 ? (uint32_t) from->pid : 0;
    incident->request = from->request;
    incident->text = report_text(from->text);
}

static bool is_of(const struct incident *incident, ProtobufCBinaryData tenant)
{
    return tenant.len == 0 || (strlen(incident->tenant) == tenant.len &&
                               memcmp(incident->tenant, tenant.data, tenant.len) == 0);
}

/* Selects the numbers of the incidents that are asked for, oldest first. */
static uint32_t select_numbers(const struct incidents *incidents, ProtobufCBinaryData tenant,
                               uint32_t most, uint64_t *ret_numbers)
{
    uint64_t first = incidents->last < INCIDENTS_KEPT ? 1 : incidents->last - INCIDENTS_KEPT + 1;
    uint32_t n = 0;

    for (uint64_t number = first; number <= incidents->last; number++) {
        const struct incident *incident = incident_get(incidents, number);
        if (incident && is_of(incident, tenant))
            ret_numbers[n++] = number;
    }
    uint32_t too_many = most > 0 && n > most ? n - most : 0;
    memmove(ret_numbers, ret_numbers + too_many, (n - too_many) * sizeof *ret_numbers);
    return n - too_many;
}

int admin_report_incidents(const struct admin_options *with,
                           const Skep__Admin__IncidentsRequest *request, struct arena *arena,
                           Skep__Admin__Incidents *ret)
{
    Skep__Admin__Incident **page =
        report_list(arena, PAGE_ITEMS_MAX, &skep__admin__incident__descriptor);
    uint64_t *numbers = report_take(arena, INCIDENTS_KEPT * sizeof *numbers);
    size_t size = 0, n = 0;

    if (!page || !numbers)
        return -ENOMEM;
    uint32_t total =
        select_numbers(&with->record->incidents, request->tenant, request->last, numbers);
    for (uint32_t i = 0; i < total && n < PAGE_ITEMS_MAX && size < PAGE_MAX_BYTES; i++) {
        if (numbers[i] <= request->after)
            continue;
        fill_incident(incident_get(&with->record->incidents, numbers[i]), page[n]);
        size += skep__admin__incident__get_packed_size(page[n++]);
    }
    ret->incidents = page;
    ret->n_incidents = n;
    ret->total = total;
    return 0;
}
