/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted of requests, tenants and workers, for reports and metrics: plain counters and
 * histograms in what they are of, written where a thing happens. No lock, no allocation, no clock of its
 * own. A tenant has series in the metrics from when it first does something, as long as there is room
 * (metrics.tenants); what tenants without series do is summed here as it happens, and they get none later, so
 * that neither sum ever jumps. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/error_codes.h"
#include "common/histogram.h"
#include "supervisor/record/incident.h"
#include "supervisor/record/log_budget.h"

struct record;
struct counted;

struct counters {
    uint64_t requests; /* answered, with whatever code */
    uint64_t errors[ERROR_CODES];
    uint64_t failed;    /* of these, what counts as the tenant's own failures: see error_counts */
    uint64_t replayed;  /* sent again after a worker's death */
    uint64_t withdrawn; /* taken back from a worker in which they had not begun */
    uint64_t not_withdrawn; /* times that a worker had too many of these for more */
    uint64_t worker_restarts;
    uint64_t calls[ERROR_CODES]; /* that were made, by what came of each: ERROR_NONE: an answer */
    uint64_t unread;             /* workers that were killed because they did not read */
};

struct traffic {
    struct histogram latency_us; /* from the head to the end of the answer; without what was refused
                                    at once and what clients did not wait for */
    struct histogram queue_us;   /* from the head to the first sending, or the end of waiting */
    uint64_t bytes_in, bytes_out;         /* of bodies */
    uint64_t abandoned;                   /* the client left before its answer was complete */
    unsigned most_queued, most_in_flight; /* at a time */
};

/* What all tenants without series have done. */
struct traffic_rest {
    struct traffic traffic;
    struct counters counters;
    struct incident_counts incidents;
    uint64_t cpu_ns;
};

/* Limits of which it is kept how far over it was when the request or worker was stopped. */
#define OVERSHOOTS 8
enum { OVERSHOOT_STOPPED, OVERSHOOT_KILLED, OVERSHOOT_STAGES };

struct stats {
    struct traffic all;
    struct traffic_rest rest;
    struct counters
        no_tenant; /* requests that no tenant was found for, or that were not looked at */
    struct histogram overshoot[OVERSHOOT_STAGES][OVERSHOOTS]; /* us or KiB, see below */
    unsigned n_series;                                        /* tenants that have them */
};

/* The limit of struct stats.overshoot: its cause, and whether it is a time. */
struct overshoot_info {
    unsigned cause;
    bool is_time; /* us; else KiB */
};
extern const struct overshoot_info overshoot_table[OVERSHOOTS];

/* Lines that a tenant has logged, and those that were too many; see log_budget.h. */
struct counted_logs {
    struct log_share share;
    uint64_t lost;                   /* lines since the last one that `skep logs` has */
    uint64_t over_own, over_all;     /* lines that were left out, not said yet */
    struct log_window incidents;     /* that were logged */
    uint64_t unlogged_incidents;     /* not said yet */
    LIST_ENTRY(counted) in_left_out; /* of the record, where any of those is not 0 */
};

/* What is counted and kept of one tenant. */
struct counted {
    struct record *record; /* borrowed */
    const char *name;      /* of the tenant; borrowed */
    struct counters counters;
    struct traffic traffic;
    struct incident_counts incidents;
    bool has_series; /* of its own in the metrics */
    bool is_in_rest; /* it has done something without them */
    struct counted_logs logs;
    struct log_shelf *shelf; /* of the record's log store; NULL: no line yet */
};

/* The tenant does something: it has series from now on, if there is room for one more and nothing of it was
 * summed in the rest before. */
void stats_enter(struct counted *counted);
/* It goes, and leaves its room to another. */
void stats_forget(struct counted *counted);

/* Counts an answer. counted: NULL if there is no tenant. is_blamed: as for error_counts. */
void stats_count_answer(struct record *record, struct counted *counted, enum error_code code,
                        bool is_blamed);
/* A call of the tenant was answered, or has failed. */
void stats_count_call(struct record *record, struct counted *counted, enum error_code code);
/* The time between two, as microseconds. */
void stats_record(struct histogram *histogram, uint64_t from_ns, uint64_t to_ns);
void stats_record_latency(struct counted *counted, uint64_t from_ns, uint64_t to_ns);
void stats_record_queue(struct counted *counted, uint64_t from_ns, uint64_t to_ns);
void stats_count_abandoned(struct counted *counted);
/* So many requests of the tenant wait now, and are in workers. */
void stats_note_load(struct counted *counted, unsigned queued, unsigned in_flight);
void stats_add_bytes(struct counted *counted, uint64_t in, uint64_t out);
void stats_add_cpu(struct counted *counted, uint64_t cpu_ns);
/* counted: NULL if nobody is to blame. */
void stats_count_incident(struct record *record, struct counted *counted,
                          const struct incident *incident);
