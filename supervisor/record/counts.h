/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of requests, tenants and workers, for reports and metrics: plain counters and histograms,
 * embedded in what they count for and written where a thing happens. No lock, no allocation, no
 * clock of its own. A tenant has series in the metrics from its first action on, as long as there
 * is room (metrics.tenants); the counts of tenants without series are summed here as they come, and
 * such a tenant gets none later, so that neither sum ever jumps. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/error_codes.h"
#include "common/histogram.h"
#include "supervisor/record/egress_log.h"
#include "supervisor/record/incident.h"
#include "supervisor/record/log_budget.h"

struct record;
struct counted;

struct counters {
    uint64_t requests; /* answered, with any code */
    uint64_t errors[ERROR_CODES];
    uint64_t failed;        /* the tenant's own failures among these: see error_counts */
    uint64_t replayed;      /* sent again after a worker's death */
    uint64_t withdrawn;     /* taken back from a worker in which they had not begun */
    uint64_t not_withdrawn; /* times that a worker had too many withdrawn requests for more */
    uint64_t worker_restarts;
    uint64_t calls[ERROR_CODES]; /* calls that were made, by their result; ERROR_NONE: an answer */
    uint64_t unread;             /* workers that were killed because they did not read */
    struct fetch_counts fetches;
};

struct traffic {
    /* From the head to the end of the answer; without requests that were refused at once or left by
     * their clients. */
    struct histogram latency_us;
    struct histogram queue_us;    /* from the head to the first sending, or the end of waiting */
    uint64_t bytes_in, bytes_out; /* bytes of bodies */
    /* Requests whose client left before the answer was complete. */
    uint64_t abandoned;
    unsigned most_queued, most_in_flight; /* at a time */
};

/* Counts of all tenants without series. */
struct traffic_rest {
    struct traffic traffic;
    struct counters counters;
    struct incident_counts incidents;
    uint64_t cpu_ns;
};

/* Limits whose overshoot is kept: how far over its limit a request or worker was when it was
 * stopped. */
#define OVERSHOOTS 8
enum { OVERSHOOT_STOPPED, OVERSHOOT_KILLED, OVERSHOOT_STAGES };

struct stats {
    struct traffic all;
    struct traffic_rest rest;
    struct counters
        no_tenant; /* requests without a tenant, or that were refused before one was looked for */
    struct histogram overshoot[OVERSHOOT_STAGES][OVERSHOOTS]; /* us or KiB, see overshoot_info */
    unsigned n_series;                                        /* tenants that have series */
};

/* The limit of a row of struct stats.overshoot: its cause, and whether it is a time. */
struct overshoot_info {
    unsigned cause;
    bool is_time; /* us; else KiB */
};
extern const struct overshoot_info overshoot_table[OVERSHOOTS];

/* Lines that a tenant has logged, and those that were too many; see log_budget.h. */
struct counted_logs {
    struct log_share share;
    uint64_t lost;               /* lines since the last one that `skep logs` has */
    uint64_t over_own, over_all; /* left-out lines that the log does not say yet */
    struct log_window incidents; /* incidents that were logged */
    /* Incidents that were not logged, and that the log does not say yet. */
    uint64_t unlogged_incidents;
    LIST_ENTRY(counted) in_left_out; /* in the record's list, if any of these is not 0 */
};

/* Counts and kept lines of one tenant. */
struct counted {
    struct record *record; /* borrowed */
    const char *name;      /* name of the tenant; borrowed */
    struct counters counters;
    struct traffic traffic;
    struct incident_counts incidents;
    bool has_series; /* the tenant has series of its own in the metrics */
    bool is_in_rest; /* counts of the tenant went into the rest */
    struct counted_logs logs;
    struct log_shelf *shelf;      /* in the record's log store; NULL: no line yet */
    struct egress_shelf *fetches; /* in the record's egress log; NULL: no fetch yet */
};

/* Notes that the tenant does something: it has series from now on, if there is room for one more
 * and no counts of it went into the rest before. */
void stats_enter(struct counted *counted);
/* Forgets a tenant that goes, and gives its room to another. */
void stats_forget(struct counted *counted);

/* Counts an answer. counted: NULL if there is no tenant. is_blamed: as for error_counts. */
void stats_count_answer(struct record *record, struct counted *counted, enum error_code code,
                        bool is_blamed);
/* Counts a call of the tenant that was answered, or has failed. */
void stats_count_call(struct record *record, struct counted *counted, enum error_code code);
/* Counts a fetch of the tenant that has ended, with the bytes of its bodies. */
void stats_count_fetch(struct record *record, struct counted *counted, enum fetch_outcome outcome,
                       uint64_t sent, uint64_t received);
/* Records the time between two times, as microseconds. */
void stats_record(struct histogram *histogram, uint64_t from_ns, uint64_t to_ns);
void stats_record_latency(struct counted *counted, uint64_t from_ns, uint64_t to_ns);
void stats_record_queue(struct counted *counted, uint64_t from_ns, uint64_t to_ns);
void stats_count_abandoned(struct counted *counted);
/* Notes how many requests of the tenant wait now, and how many are in workers. */
void stats_note_requests(struct counted *counted, unsigned queued, unsigned in_flight);
void stats_add_bytes(struct counted *counted, uint64_t in, uint64_t out);
void stats_add_cpu(struct counted *counted, uint64_t cpu_ns);
/* Counts an incident. counted: NULL if nobody is to blame. */
void stats_count_incident(struct record *record, struct counted *counted,
                          const struct incident *incident);
