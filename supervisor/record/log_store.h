/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last lines of each tenant, for `skep logs`, within a bound for each and one for all. Each
 * line has a number that is never used twice and grows. Supervisor, loop thread; no I/O.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define LOG_STORE_TENANT_BYTES (64U << 10)
#define LOG_STORE_BYTES (8U << 20)

struct counted;
struct log_store;

enum tenant_log_level { TENANT_DEBUG, TENANT_INFO, TENANT_WARN, TENANT_ERROR };

struct log_line {
    TAILQ_ENTRY(log_line) in_all;
    TAILQ_ENTRY(log_line) in_shelf;
    struct log_shelf *shelf; /* borrowed */
    uint64_t number, time_ms;
    uint64_t request; /* public number; 0: of no request */
    uint64_t lost;    /* lines of the tenant before this one that skepd dropped */
    enum tenant_log_level level;
    size_t size;
    char text[];
};
TAILQ_HEAD(log_line_list, log_line);

/* Lines of a tenant; made with its first line. */
struct log_shelf {
    LIST_ENTRY(log_shelf) entry;
    const struct counted *counted; /* the tenant; borrowed */
    struct log_line_list lines;
    size_t bytes;
};

int log_store_new(struct log_store **ret_store);
/* Frees the store with all shelves; nothing may be added or forgotten afterwards. */
struct log_store *log_store_free(struct log_store *store); /* NULL is allowed; returns NULL */

/* Keeps a copy of the line. The oldest lines make room: of the tenant, then of all. Without memory
 * the line is not kept. line: number, shelf and lists of the copy are filled in, and the number
 * also in line. */
void log_store_add(struct log_store *store, struct counted *counted, struct log_line *line,
                   const char *text);
/* Sets the listener, which is called once for each line that is added, with its number: a forwarder
 * of lines. One at a time; NULL: none. owner is borrowed. */
typedef void (*log_store_fn)(void *owner, const struct counted *counted,
                             const struct log_line *line, const char *text);
void log_store_listen(struct log_store *store, log_store_fn on_line, void *owner);
/* Forgets a tenant that goes, with its lines. */
void log_store_forget(struct log_store *store, struct counted *counted);
/* Returns the number of the newest line that was ever added; 0: none. */
uint64_t log_store_last_number(const struct log_store *store);

/* Return a line of a tenant, or (NULL) of any. NULL: there is none (any more). */
const struct log_line *log_store_newest(const struct log_store *store,
                                        const struct counted *counted);
const struct log_line *log_line_older(const struct log_line *line, const struct counted *counted);
const struct log_line *log_line_newer(const struct log_line *line, const struct counted *counted);
