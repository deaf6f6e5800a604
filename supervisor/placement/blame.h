/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The culprit of a worker's death, and the fate of each request in it. Pure functions: the ledger's
 * own facts say which tenants may be blamed (the candidates: those that had a request in it, or
 * were being loaded or unloaded there); the worker's claims (scoreboard, last words) only choose
 * among them. Supervisor; no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error_codes.h"
#include "supervisor/record/incident.h"
#include "supervisor/workers/worker.h"

struct death {
    enum kill_reason reason;
    int wait_status;     /* as of wait(2) */
    uint32_t last_words; /* claim: enum last_words_cause */
    bool is_memory;      /* fact: the worker held more than rss_mib */
    bool is_kernel_oom;  /* fact: the kernel's OOM killer, by the worker's cgroup */
    bool is_stopped;     /* fact: the worker is under SIGSTOP, or is traced */
    unsigned candidates; /* fact: number of candidates */
    bool is_own;         /* fact: the worker is one tenant's own */
    bool is_shared;      /* fact: several tenants have had isolates in this process */
    /* Claim, already checked to be of a candidate in this worker: the code that ran; with is_memory, the tenant that the
     * accounts name (memory_share.h). The request is 0 if it was a load. Both 0: nothing ran, or
     * the claim cannot be true. */
    uint64_t claimed_request;
    uint32_t claimed_version;
    uint32_t only_version; /* fact: version of the only candidate; 0 if there is none, or more */
};

struct verdict {
    enum error_code code;   /* for the culprit */
    uint32_t version;       /* culprit, 0: none */
    uint64_t request;       /* the culprit's request; 0: not known, or a load */
    enum evidence evidence; /* evidence against the culprit */
    /* Separate the candidates, so that the next death tells: several candidates without a claim, or
     * one for which native code of another may have waited. */
    bool must_separate;
    bool is_untrusted;      /* the worker's marks may be forged: by native code of a tenant */
    bool is_unexplained;    /* by the marks nothing ran that could have done it */
    bool counts_as_failure; /* counts for the slot's back-off: no tenant is to blame */
    unsigned incident;      /* CAUSE_* of incident.h */
    const char *cause;      /* for log and stats; static */
};

void blame_decide(const struct death *death, struct verdict *ret_verdict);

/* The fate of a request that was in the worker and is not the culprit. */
enum fate { FATE_SEND_AGAIN, FATE_FAIL };
struct fate_facts {
    bool has_entered;  /* claim of the scoreboard */
    bool is_untrusted; /* the claim may be forged */
    bool is_suspect;   /* the request, or another of its tenant, may be the culprit */
    bool is_idempotent;
    bool has_answered; /* the client has got bytes of the answer */
    bool is_body_lost;
    unsigned deaths; /* deaths before this one that the request may have caused */
    unsigned sendings;
};
enum fate blame_fate(const struct fate_facts *facts);

/* Number of sendings after which a request is given up, with any claims. */
#define SENDINGS_MAX 6
