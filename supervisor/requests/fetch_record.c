/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of a fetch that has ended: counters, the egress log, the tenant's log, and skepd's. Supervisor, loop thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "config/egress_rules.h"
#include "supervisor/helpers/egress.h"
#include "supervisor/requests/access.h"
#include "supervisor/requests/calling.h"
#include "supervisor/requests/fetch.h"

#define TEXT_BYTES FETCH_TEXT_BYTES

/* ---- the entry */

static enum fetch_outcome outcome_of(const struct fetch *fetch, enum error_code code)
{
    switch (code) {
    case ERROR_NONE:
        return fetch->is_given_up ? OUTCOME_GIVEN_UP : OUTCOME_ANSWERED;
    case ERROR_FETCH_DENIED:
        return OUTCOME_REFUSED;
    case ERROR_BAD_REQUEST:
        return OUTCOME_MALFORMED;
    case ERROR_SUB_LIMIT:
        return OUTCOME_LIMITED;
    case ERROR_OVERLOADED:
        return OUTCOME_OVERLOADED;
    default:
        return OUTCOME_FAILED;
    }
}

/* Returns a word for the end by egress; "": none is needed. */
static const char *end_name(enum egress_end end)
{
    static const char *const names[EGRESS_ENDS] = {
        [EGRESS_COMPLETE] = "",         [EGRESS_REQUEST] = "request",
        [EGRESS_NAME] = "name",         [EGRESS_RESOLVER] = "resolver",
        [EGRESS_ADDRESS] = "address",   [EGRESS_CONNECT] = "connect",
        [EGRESS_TLS] = "tls",           [EGRESS_CLOSED] = "closed",
        [EGRESS_PROTOCOL] = "protocol", [EGRESS_HEAD_SIZE] = "head_size",
        [EGRESS_TIME] = "time",         [EGRESS_BUSY] = "busy",
        [EGRESS_INTERNAL] = "internal", [EGRESS_LOST] = "lost",
    };

    return names[end];
}

static const char *reason_of(const struct fetch *fetch, const struct egress_result *result)
{
    if (fetch->verdict != FETCH_ALLOWED)
        return fetch_verdict_name(fetch->verdict);
    return result ? end_name(result->end) : "";
}

static struct egress_entry entry_of(const struct fetch *fetch, enum error_code code,
                                    const struct egress_result *result)
{
    const struct record *record = fetch->parent->ledger->record;
    bool is_known = result && result->end != EGRESS_LOST;

    return (struct egress_entry){
        .time_ms = io_clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC,
        .request = public_id(&record->ids, fetch->parent->attempt.id),
        .outcome = outcome_of(fetch, code),
        .reason = reason_of(fetch, result),
        .status = fetch->status,
        .method = fetch->method,
        .host = fetch->host,
        .is_https = fetch->parts.is_https,
        .port = fetch->parts.target.port,
        .connects = is_known ? result->connects : 0,
        .sent = is_known ? result->sent : fetch->sent_bytes,
        .received = is_known ? result->received : fetch->received_bytes,
        .duration_us = (loop_now_ns() - fetch->asked_ns) / NSEC_PER_USEC,
    };
}

/* ---- lines */

/* Writes one line of the debug log for each end. */
static void log_end(const struct fetch *fetch, enum error_code code,
                    const struct egress_entry *entry, const char *text)
{
    const struct log_context about = {
        .tenant = fetch->parent->attempt.tenant->name,
        .code = code != ERROR_NONE ? error_info(code)->code : NULL,
        .request = entry->request,
    };

    log_event(LOG_LEVEL_DEBUG, &about,
              "fetch %s %s: status %u, %" PRIu64 " bytes sent, %" PRIu64 " received, %.1f ms%s%s",
              entry->method, entry->host, entry->status, entry->sent, entry->received,
              (double) entry->duration_us / 1e3, text[0] != '\0' ? ": " : "", text);
}

/* Tells the tenant's log of a refusal, so that its author sees the rule even where JavaScript catches the error. */
static void tell_refusal(const struct fetch *fetch, const char *text)
{
    char line[TEXT_BYTES + sizeof fetch->method + sizeof fetch->host + 32];

    int n =
        snprintf(line, sizeof line, "fetch refused: %s %s: %s", fetch->method, fetch->host, text);
    tenant_log_of(fetch->parent->attempt.tenant, fetch->parent->attempt.id, TENANT_WARN, line,
                  (size_t) n);
}

static struct log_field text_field(const char *name, const char *text)
{
    return (struct log_field){ .name = name, .text = text, .size = strlen(text) };
}

static struct log_field number_field(const char *name, enum log_field_kind kind, uint64_t number)
{
    return (struct log_field){ .name = name, .kind = kind, .number = number };
}

/* Writes the event, if the access log is on and has room. */
static void write_event(const struct fetch *fetch, enum error_code code,
                        const struct egress_entry *entry)
{
    char host[HOST_NAME_MAX_BYTES + sizeof ":65535"], text[TEXT_BYTES];

    (void) snprintf(host, sizeof host, "%s:%u", entry->host, entry->port);
    int n =
        snprintf(text, sizeof text,
                 "%s %s://%s %u %s%s%s; %" PRIu64 " bytes sent, %" PRIu64
                 " received in %.3f ms; request %" PRIu64,
                 entry->method, entry->is_https ? "https" : "http", host, entry->status,
                 fetch_outcome_name(entry->outcome), entry->reason[0] ? ": " : "", entry->reason,
                 entry->sent, entry->received, (double) entry->duration_us / 1e3, entry->request);
    struct trace_texts texts;
    struct log_field fields[11 + TRACE_LOG_FIELDS] = {
        text_field("event", "egress"),
        text_field("method", entry->method),
        text_field("scheme", entry->is_https ? "https" : "http"),
        text_field("host", host),
        number_field("status", LOG_FIELD_NUMBER, entry->status),
        text_field("outcome", fetch_outcome_name(entry->outcome)),
        text_field("reason", entry->reason),
        number_field("sent", LOG_FIELD_NUMBER, entry->sent),
        number_field("received", LOG_FIELD_NUMBER, entry->received),
        number_field("connects", LOG_FIELD_NUMBER, entry->connects),
        number_field("duration_ms", LOG_FIELD_MILLI, entry->duration_us),
    };
    size_t n_fields = 11 + trace_log_fields(&fetch->span, &texts, fields + 11);
    if (access_may_write(fetch->parent->ledger, fetch->parent->attempt.tenant))
        log_text(LOG_LEVEL_INFO,
                 LOG_ABOUT(.tenant = fetch->parent->attempt.tenant->name,
                           .code = code != ERROR_NONE ? error_info(code)->code : NULL,
                           .request = entry->request, .fields = fields, .n_fields = n_fields),
                 text, (size_t) n);
}

void fetch_note_end(struct fetch *fetch, enum error_code code, const struct egress_result *result,
                    const char *text)
{
    if (fetch->is_noted)
        return;
    fetch->is_noted = true;
    /* An answer was counted with its head, and a limit where it was met. */
    if (fetch->status == 0 && code != ERROR_NONE && code != ERROR_SUB_LIMIT)
        call_count(fetch->parent, code);
    if (code == ERROR_FETCH_DENIED)
        tell_refusal(fetch, text);
    const struct egress_entry entry = entry_of(fetch, code, result);
    egress_log_add(&fetch->parent->attempt.tenant->counted, &entry);
    if (access_is_on(fetch->parent->ledger))
        write_event(fetch, code, &entry);
    if (log_get_level() >= LOG_LEVEL_DEBUG)
        log_end(fetch, code, &entry, text);
}
