/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record: counts and kept lines of all that happens, for reports, metrics and logs. One for the
 * process, and a part of it in each tenant (struct counted). Every floor above writes into the
 * record; it knows none of them. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/config.h"
#include "supervisor/record/counts.h"
#include "supervisor/record/egress_log.h"
#include "supervisor/record/ids.h"
#include "supervisor/record/incident.h"
#include "supervisor/record/log_store.h"
#include "supervisor/record/top_hosts.h"
#include "supervisor/record/totals.h"

/* Lines of all tenants since the start. */
struct log_counts {
    uint64_t written, over_own, over_all;
};

struct record {
    const struct config *config; /* borrowed; a reload changes its contents */
    struct stats stats;
    struct counters counters;
    struct incident_counts incident_counts;
    struct incidents incidents;
    struct public_ids ids;
    struct log_store *log_store;
    struct egress_log *egress_log;
    struct top_hosts top_hosts;
    struct log_window logged; /* lines of all tenants */
    struct log_counts log_counts;
    LIST_HEAD(, counted) left_out; /* tenants whose lines were left out in this second */
    struct total_source totals[TOTALS];
    char v8_version[32]; /* as the last worker reported it, checked; "" until one has */
    uint64_t started_ns;
};

/* Makes the record. 0 or -errno. config is borrowed. */
int record_init(struct record *record, const struct config *config);
/* Frees the record. All that is counted here is gone by now. A zeroed record is allowed. */
void record_done(struct record *record);

/* Makes a tenant's part. name is borrowed, and stays as long as the part. */
void counted_init(struct counted *counted, struct record *record, const char *name);
/* Ends a tenant's part, with its lines and its room in the metrics. A zeroed one is allowed. */
void counted_done(struct counted *counted);

/* Logs one line of the tenant: into skepd's log, tagged and escaped, and into the store for `skep
 * logs`, as far as the bounds allow (log_budget.h). text may hold anything. */
void counted_log(struct counted *counted, enum tenant_log_level level, const char *text,
                 size_t size);
/* Does the same for a line of a request, of which the log has the public number. request: number of the attempt; 0:
 * none. */
void counted_log_of(struct counted *counted, uint64_t request, enum tenant_log_level level,
                    const char *text, size_t size);
/* Counts an incident of the tenant that is not logged. */
void counted_leave_out_incident(struct counted *counted);
/* Logs how many lines of which tenants were left out since the last time. Called each second. */
void record_say_left_out(struct record *record);
