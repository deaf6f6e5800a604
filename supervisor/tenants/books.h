/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the floors above keep in each tenant and of all tenants. Only the files of the folder that is named write it;
 * what it points to is theirs. All zero is right for a new one. Supervisor, loop thread.
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
struct tenant;
TAILQ_HEAD(share_list, share);

/* Of all tenants. */
struct tenants_books {
    struct placements
        *placements; /* of placement/; borrowed; NULL: none are made yet, or they are gone */
};

/* Of one; requests/. */
struct tenant_books {
    struct log_window access;    /* its lines in the access log */
    TAILQ_ENTRY(tenant) waiting; /* in the ledger's list of those whose queue is not empty */
    struct run_entry run;
    struct worker *run_worker; /* borrowed; in whose run queue it is; NULL: in none */
    uint32_t cost_us;          /* CPU time of a request, as far as is known; 0: not yet */
    uint64_t cheap_ns;         /* when a request last ended that had used little */
    struct rate rate;          /* of cpu_rate */
    uint64_t cpu_ns;           /* all that it has used */
    uint64_t queued_bytes;     /* of bodies, see ledger_queued_bytes */
    uint64_t failure_second;   /* see failure.c */
    uint64_t failures_skipped;
    uint32_t failure_codes; /* bit 1 << code: the log was told in that second */
    uint64_t noted_second;
    limit_set noted;          /* limits that were met in that second */
    struct share_list shares; /* of the queue, by turn (share.c) */
    unsigned n_shares;        /* addresses with requests here */
    unsigned n_gathering;     /* requests whose bodies come before they wait for a place */
    uint64_t way_made_ns;     /* when slow clients had to give up places last */
};
