/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that the floors above keep in each tenant and for all tenants. Only the files of the named
 * folder write it, and pointers in it are to that folder's own data. A new one is all zero.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/run_queue.h"
#include "config/limits.h"
#include "supervisor/record/lists.h"
#include "supervisor/record/log_budget.h"
#include "supervisor/tenants/rate.h"

struct placements;
struct worker;
struct request;
struct share;
struct fetch_share;
struct storage_share;
struct tenant;
TAILQ_HEAD(share_list, share);

/* State for all tenants. */
struct tenants_books {
    struct placements *placements; /* placement/'s; borrowed; NULL: not made yet, or gone */
};

/* State of requests/ for one tenant. */
struct tenant_books {
    struct log_window access;    /* lines of the tenant in the access log */
    TAILQ_ENTRY(tenant) waiting; /* in the ledger's list of tenants whose queue is not empty */
    struct run_entry run;
    /* Borrowed; the worker whose run queue the tenant is in; NULL: none. */
    struct worker *run_worker;
    uint32_t cost_us;        /* expected CPU time of a request; 0: not known yet */
    uint64_t cheap_ns;       /* time of the last end of a request that had used little */
    struct rate rate;        /* bucket of cpu_rate */
    uint64_t cpu_ns;         /* CPU time that the tenant has used in all */
    uint64_t queued_bytes;   /* bytes of queued bodies, see ledger_queued_bytes */
    uint64_t failure_second; /* see failure.c */
    uint64_t failures_skipped;
    uint32_t failure_codes; /* bit 1 << code: a failure with it was logged in that second */
    uint64_t noted_second;
    limit_set noted;             /* limits whose meeting was noted in that second */
    struct share_list shares;    /* the queue's shares, in the order of their turns (share.c) */
    unsigned n_shares;           /* addresses with requests at the tenant */
    unsigned n_calls_placed;     /* requests of other tenants in workers (share.c) */
    unsigned n_calls_queued;     /* likewise, in the queue */
    unsigned n_gathering;        /* requests whose bodies come before they wait for a place */
    uint64_t way_made_ns;        /* last time that slow clients had to give up places */
    struct fetch_share *fetches; /* fetches.c; NULL: none wait or are open */
    struct storage_share
        *storage;     /* storages.c, one for each cordon; NULL: no operation waits or is open */
    bool has_fetched; /* egress may have connections of the tenant */
    bool waits_for_clients; /* the last look found its isolate full of answers, see memory.h */
};
