/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/egress_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "supervisor/record/record.h"

/* overhead of malloc for an entry */
#define MALLOC_BYTES 16

struct egress_log {
    struct egress_entry_list entries; /* entries of all tenants, oldest first */
    LIST_HEAD(, egress_shelf) shelves;
    size_t bytes;
    uint64_t last, dropped;
};

const char *fetch_outcome_name(enum fetch_outcome outcome)
{
    static const char *const names[FETCH_OUTCOMES] = {
        [OUTCOME_ANSWERED] = "answered", [OUTCOME_GIVEN_UP] = "given_up",
        [OUTCOME_REFUSED] = "refused",   [OUTCOME_MALFORMED] = "malformed",
        [OUTCOME_LIMITED] = "limited",   [OUTCOME_OVERLOADED] = "overloaded",
        [OUTCOME_FAILED] = "failed",
    };

    return names[outcome];
}

/* ---- entries */

static size_t cost_of(const struct egress_entry *entry)
{
    return sizeof *entry + entry->text_bytes + MALLOC_BYTES;
}

static void drop(struct egress_log *log, struct egress_entry *entry)
{
    struct egress_shelf *shelf = entry->shelf;

    TAILQ_REMOVE(&log->entries, entry, in_all);
    TAILQ_REMOVE(&shelf->entries, entry, in_shelf);
    log->bytes -= cost_of(entry);
    shelf->bytes -= cost_of(entry);
    shelf->n--;
    free(entry);
}

static void make_room(struct egress_log *log, struct egress_entry *entry)
{
    log->dropped++;
    drop(log, entry);
}

static struct egress_shelf *get_shelf(struct egress_log *log, struct counted *counted)
{
    if (counted->fetches)
        return counted->fetches;
    struct egress_shelf *shelf = calloc(1, sizeof *shelf);
    if (!shelf)
        return NULL;
    shelf->counted = counted;
    TAILQ_INIT(&shelf->entries);
    LIST_INSERT_HEAD(&log->shelves, shelf, entry);
    counted->fetches = shelf;
    return shelf;
}

static struct egress_entry *copy(const struct egress_entry *from)
{
    size_t method = strlen(from->method) + 1, host = strlen(from->host) + 1;
    struct egress_entry *entry = malloc(sizeof *entry + method + host);

    if (!entry)
        return NULL;
    *entry = *from;
    entry->text_bytes = method + host;
    entry->method = memcpy(entry->text, from->method, method);
    entry->host = memcpy(entry->text + method, from->host, host);
    return entry;
}

static void keep(struct egress_log *log, struct counted *counted, const struct egress_entry *from)
{
    struct egress_shelf *shelf = get_shelf(log, counted);
    struct egress_entry *entry = shelf ? copy(from) : NULL;

    if (!entry)
        return;
    entry->number = ++log->last;
    entry->shelf = shelf;
    TAILQ_INSERT_TAIL(&log->entries, entry, in_all);
    TAILQ_INSERT_TAIL(&shelf->entries, entry, in_shelf);
    log->bytes += cost_of(entry);
    shelf->bytes += cost_of(entry);
    shelf->n++;
    while (shelf->n > EGRESS_LOG_TENANT_ENTRIES || shelf->bytes > EGRESS_LOG_TENANT_BYTES)
        make_room(log, TAILQ_FIRST(&shelf->entries));
    while (log->bytes > EGRESS_LOG_BYTES)
        make_room(log, TAILQ_FIRST(&log->entries));
}

void egress_log_add(struct counted *counted, const struct egress_entry *entry)
{
    struct record *record = counted->record;

    stats_count_fetch(record, counted, entry->outcome, entry->sent, entry->received);
    if (entry->status > 0)
        top_hosts_count(&record->top_hosts, entry->host);
    keep(record->egress_log, counted, entry);
}

/* ---- all of them */

int egress_log_new(struct egress_log **ret_log)
{
    struct egress_log *log = calloc(1, sizeof *log);

    if (!log)
        return -ENOMEM;
    TAILQ_INIT(&log->entries);
    LIST_INIT(&log->shelves);
    *ret_log = log;
    return 0;
}

struct egress_log *egress_log_free(struct egress_log *log)
{
    struct egress_shelf *shelf;
    struct egress_entry *entry;

    if (!log)
        return NULL;
    while ((entry = TAILQ_FIRST(&log->entries)))
        drop(log, entry);
    while ((shelf = LIST_FIRST(&log->shelves))) {
        LIST_REMOVE(shelf, entry);
        free(shelf);
    }
    free(log);
    return NULL;
}

size_t egress_log_bytes(const struct egress_log *log, uint64_t *ret_dropped)
{
    *ret_dropped = log->dropped;
    return log->bytes;
}

void egress_log_forget(struct egress_log *log, struct counted *counted)
{
    struct egress_shelf *shelf = TAKE_PTR(counted->fetches);
    struct egress_entry *entry;

    if (!shelf)
        return;
    while ((entry = TAILQ_FIRST(&shelf->entries)))
        drop(log, entry);
    LIST_REMOVE(shelf, entry);
    free(shelf);
}

const struct egress_entry *egress_log_newest(const struct egress_log *log,
                                             const struct counted *counted)
{
    if (!counted)
        return TAILQ_LAST(&log->entries, egress_entry_list);
    return counted->fetches ? TAILQ_LAST(&counted->fetches->entries, egress_entry_list) : NULL;
}

const struct egress_entry *egress_entry_older(const struct egress_entry *entry,
                                              const struct counted *counted)
{
    return counted ? TAILQ_PREV(entry, egress_entry_list, in_shelf)
                   : TAILQ_PREV(entry, egress_entry_list, in_all);
}

const struct egress_entry *egress_entry_newer(const struct egress_entry *entry,
                                              const struct counted *counted)
{
    return counted ? TAILQ_NEXT(entry, in_shelf) : TAILQ_NEXT(entry, in_all);
}
