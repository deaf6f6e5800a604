/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last fetches of each tenant, for `skep egress`, within a bound for each and one for all, and the counts of all of them.
 * Hosts alone are kept: paths and queries may hold secrets. Each entry has a number that is never used twice and grows.
 * Supervisor, loop thread; no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Bounds of a tenant, and of all tenants together. A tenant that is at one of its own makes room for itself, so that no number of
 * its fetches takes more of the others' room than this. */
#define EGRESS_LOG_TENANT_ENTRIES 100U
#define EGRESS_LOG_TENANT_BYTES (32U << 10)
#define EGRESS_LOG_BYTES (4U << 20)

struct counted;
struct egress_log;

/* The ways in which a fetch ends. */
enum fetch_outcome {
    OUTCOME_ANSWERED,   /* the answer is complete */
    OUTCOME_GIVEN_UP,   /* nobody wanted it any more: the tenant, or the end of its request */
    OUTCOME_REFUSED,    /* by a rule, or for the address */
    OUTCOME_MALFORMED,  /* the request cannot be sent */
    OUTCOME_LIMITED,    /* a limit of the tenant was met */
    OUTCOME_OVERLOADED, /* skepd or skep-egress had no room, or no place for too long */
    OUTCOME_FAILED,     /* by the server, its name or the way to it */
    FETCH_OUTCOMES,
};
/* Returns "answered", "given_up", "refused", …; static. */
const char *fetch_outcome_name(enum fetch_outcome outcome);

/* Counts of fetches that have ended. */
struct fetch_counts {
    uint64_t by[FETCH_OUTCOMES];
    uint64_t sent, received; /* bytes of bodies */
};

struct egress_entry {
    TAILQ_ENTRY(egress_entry) in_all;
    TAILQ_ENTRY(egress_entry) in_shelf;
    struct egress_shelf *shelf; /* borrowed */
    uint64_t number, time_ms;   /* time of the end, since 1970 */
    uint64_t request;           /* public number */
    enum fetch_outcome outcome;
    const char *reason;      /* a word, static; "" if there is none */
    unsigned status;         /* status of the answer; 0: there was none */
    const char *method;      /* "" where the request had none that can be sent; so has host */
    const char *host;        /* in a kept entry both are in text */
    bool is_https;           /* scheme */
    unsigned port, connects; /* connects: new connections; 0: it went over one that was there */
    uint64_t sent, received; /* bytes of bodies */
    uint64_t duration_us;    /* from the call to the end */
    size_t text_bytes;       /* bytes of both texts, with their NULs */
    char text[];
};
TAILQ_HEAD(egress_entry_list, egress_entry);

/* Fetches of a tenant; made with its first one. */
struct egress_shelf {
    LIST_ENTRY(egress_shelf) entry;
    const struct counted *counted; /* the tenant; borrowed */
    struct egress_entry_list entries;
    unsigned n;
    size_t bytes;
};

int egress_log_new(struct egress_log **ret_log); /* 0 or -ENOMEM */
/* Frees the log with all shelves; nothing may be added or forgotten afterwards. */
struct egress_log *egress_log_free(struct egress_log *log); /* NULL is allowed; returns NULL */
/* Returns the bytes that are kept; *ret_dropped: entries that made room for others since the start. */
size_t egress_log_bytes(const struct egress_log *log, uint64_t *ret_dropped);

/* Counts the fetch, and keeps a copy of the entry. The oldest entries make room: of the tenant, then of all. Without memory the entry
 * is not kept. number, shelf, lists and texts of the copy are filled in. */
void egress_log_add(struct counted *counted, const struct egress_entry *entry);
/* Forgets a tenant that goes, with its entries. */
void egress_log_forget(struct egress_log *log, struct counted *counted);

/* Return an entry of a tenant, or (NULL) of any. NULL: there is none (any more). */
const struct egress_entry *egress_log_newest(const struct egress_log *log,
                                             const struct counted *counted);
const struct egress_entry *egress_entry_older(const struct egress_entry *entry,
                                              const struct counted *counted);
const struct egress_entry *egress_entry_newer(const struct egress_entry *entry,
                                              const struct counted *counted);
