/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/record.h"

#include <inttypes.h>
#include <time.h>

#include "common/io.h"
#include "common/log.h"
#include "proto/frame.h"

/* Tenants with left-out lines that are named in one second; the others are counted. */
#define TENANTS_SAID 20

static void read_incidents(void *owner, struct total *total)
{
    const struct record *record = owner;
    uint64_t last = record->incidents.last;

    total->limit = INCIDENTS_KEPT;
    total->used = last < INCIDENTS_KEPT ? last : INCIDENTS_KEPT;
    total->refused = last - total->used;
}

static void read_egress_log(void *owner, struct total *total)
{
    const struct record *record = owner;

    total->limit = EGRESS_LOG_BYTES;
    total->used = egress_log_bytes(record->egress_log, &total->refused);
}

static void read_log_lines(void *owner, struct total *total)
{
    const struct record *record = owner;

    total->limit = record->config->log.lines;
    total->used = record->logged.second == io_now_ns() / NSEC_PER_SEC ? record->logged.lines : 0;
    total->refused = record->log_counts.over_all + record->log_counts.over_own;
}

int record_init(struct record *record, const struct config *config)
{
    *record = (struct record){ .config = config, .started_ns = io_now_ns() };
    LIST_INIT(&record->left_out);
    total_set(record->totals, TOTAL_INCIDENTS, read_incidents, record);
    total_set(record->totals, TOTAL_LOG_LINES, read_log_lines, record);
    int r = public_ids_init(&record->ids);
    if (r == 0)
        r = log_store_new(&record->log_store);
    if (r == 0)
        r = egress_log_new(&record->egress_log);
    if (r == 0)
        total_set(record->totals, TOTAL_EGRESS_LOG, read_egress_log, record);
    return r;
}

void record_done(struct record *record)
{
    record->log_store = log_store_free(record->log_store);
    record->egress_log = egress_log_free(record->egress_log);
}

static void forget_left_out(struct counted *counted);

void counted_init(struct counted *counted, struct record *record, const char *name)
{
    *counted = (struct counted){ .record = record, .name = name };
}

void counted_done(struct counted *counted)
{
    if (!counted->record)
        return;
    forget_left_out(counted);
    stats_forget(counted);
    log_store_forget(counted->record->log_store, counted);
    egress_log_forget(counted->record->egress_log, counted);
}

/* ---- lines of tenants */

static bool has_left_out(const struct counted_logs *logs)
{
    return logs->over_own + logs->over_all + logs->unlogged_incidents > 0;
}

static void list_left_out(struct counted *counted)
{
    if (!has_left_out(&counted->logs))
        LIST_INSERT_HEAD(&counted->record->left_out, counted, logs.in_left_out);
}

void counted_leave_out_incident(struct counted *counted)
{
    list_left_out(counted);
    counted->logs.unlogged_incidents++;
}

static void leave_out(struct counted *counted, enum log_verdict verdict, uint64_t lines)
{
    struct record *record = counted->record;
    struct counted_logs *logs = &counted->logs;

    list_left_out(counted);
    if (verdict == LOG_OVER_ALL) {
        logs->over_all += lines;
        record->log_counts.over_all += lines;
    } else {
        logs->over_own += lines;
        record->log_counts.over_own += lines;
    }
}

static void forget_left_out(struct counted *counted)
{
    if (has_left_out(&counted->logs))
        LIST_REMOVE(counted, logs.in_left_out);
    counted->logs.over_own = counted->logs.over_all = counted->logs.unlogged_incidents = 0;
}

static void say_left_out(const struct counted *counted)
{
    const struct log_config *limits = &counted->record->config->log;
    const struct counted_logs *logs = &counted->logs;
    const struct log_field field = { .name = "left_out",
                                     .kind = LOG_FIELD_NUMBER,
                                     .number = logs->over_own + logs->over_all +
                                               logs->unlogged_incidents };
    const struct log_context *about =
        LOG_ABOUT(.tenant = counted->name, .fields = &field, .n_fields = 1);

    if (logs->over_own > 0)
        log_event(LOG_LEVEL_WARNING, about,
                  "%" PRIu64
                  " lines of tenant %s left out: a tenant may log %u lines and %u KiB in "
                  "a second (log.tenant_lines, log.tenant_kib)",
                  logs->over_own, counted->name, limits->tenant_lines, limits->tenant_kib);
    if (logs->over_all > 0)
        log_event(LOG_LEVEL_WARNING, about,
                  "%" PRIu64 " lines of tenant %s left out of this log: all tenants together may "
                  "log %u lines and %u KiB in a second (log.lines, log.kib); `skep logs` has them",
                  logs->over_all, counted->name, limits->lines, limits->kib);
    if (logs->unlogged_incidents > 0)
        log_event(LOG_LEVEL_INFO, about,
                  "%" PRIu64 " more incidents of tenant %s were counted and not logged",
                  logs->unlogged_incidents, counted->name);
}

void record_say_left_out(struct record *record)
{
    struct counted *counted;
    uint64_t n_lines = 0, n_tenants = 0;

    while ((counted = LIST_FIRST(&record->left_out))) {
        if (n_tenants++ < TENANTS_SAID)
            say_left_out(counted);
        else
            n_lines +=
                counted->logs.over_own + counted->logs.over_all + counted->logs.unlogged_incidents;
        forget_left_out(counted);
    }
    if (n_tenants > TENANTS_SAID)
        log_warning("%" PRIu64 " lines and incidents of %" PRIu64 " more tenants left out", n_lines,
                    n_tenants - TENANTS_SAID);
}

void counted_log(struct counted *counted, enum tenant_log_level level, const char *text,
                 size_t size)
{
    counted_log_of(counted, 0, level, text, size);
}

void counted_log_of(struct counted *counted, uint64_t request, enum tenant_log_level level,
                    const char *text, size_t size)
{
    static const char *const names[] = {
        [TENANT_DEBUG] = "debug",
        [TENANT_INFO] = "info",
        [TENANT_WARN] = "warn",
        [TENANT_ERROR] = "error",
    };
    struct record *record = counted->record;
    struct counted_logs *logs = &counted->logs;
    struct log_cost cost = log_cost_of(text, size);
    enum log_verdict verdict =
        log_budget_take(&record->logged, &logs->share, &counted->record->config->log,
                        io_now_ns() / NSEC_PER_SEC, cost);

    if (verdict != LOG_TAKEN)
        leave_out(counted, verdict, cost.lines);
    if (verdict == LOG_OVER_TENANT) {
        logs->lost += cost.lines;
        return;
    }
    struct log_line line = {
        .time_ms = io_clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC,
        .request = request != 0 ? public_id(&record->ids, request) : 0,
        .lost = logs->lost,
        .level = level,
        .size = size < LOG_LINE_MAX_BYTES ? size : LOG_LINE_MAX_BYTES,
    };
    logs->lost = 0;
    log_store_add(record->log_store, counted, &line, text);
    if (verdict == LOG_OVER_ALL)
        return;
    record->log_counts.written += cost.lines;
    if (log_get_level() >= LOG_LEVEL_INFO)
        log_text(LOG_LEVEL_INFO,
                 LOG_ABOUT(.tenant = counted->name, .tenant_level = names[level],
                           .request = line.request),
                 text, size);
}
