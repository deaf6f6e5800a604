/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who killed a worker, and what each client in it is told. Pure functions: the ledger's own
 * facts say who may be blamed (the candidates: tenants that had a request in it, or were being
 * loaded or unloaded there), the worker's claims (scoreboard, last words) only choose among
 * those. Supervisor; no state.
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
    bool is_memory;      /* fact: it held more than rss_mib */
    bool is_kernel_oom;  /* fact: the kernel's OOM killer, by the worker's cgroup */
    bool is_stopped;     /* fact: somebody had sent it SIGSTOP, or traces it */
    unsigned candidates; /* fact: how many tenants */
    bool is_own;         /* fact: the worker is one tenant's own */
    bool is_shared;      /* fact: several tenants have had isolates in this process */
    /* Claim, already checked to be of a candidate in this worker: what ran; where is_memory, whom the
     * accounts name (memory_share.h). The request is 0 if it was a load. Both 0: nothing ran, or nothing that can be true. */
    uint64_t claimed_request;
    uint32_t claimed_version;
    uint32_t only_version; /* fact: of the only candidate; 0 if there is none, or more */
};

struct verdict {
    enum error_code code;   /* for the culprit */
    uint32_t version;       /* culprit, 0: none */
    uint64_t request;       /* the culprit's request that it was, 0: not known, or it was a load */
    enum evidence evidence; /* that it was this one */
    bool must_separate;  /* the next death shall tell: several candidates, and nothing to choose by,
                               or one that native code of another may have waited for */
    bool is_untrusted;   /* the worker's marks may be forged: by native code of a tenant */
    bool is_unexplained; /* nothing ran that could have done it, by the marks */
    bool counts_as_failure; /* towards the slot's back-off: nobody is to blame */
    unsigned incident;      /* CAUSE_* of incident.h */
    const char *cause;      /* for log and stats; static */
};

void blame_decide(const struct death *death, struct verdict *ret_verdict);

/* What happens to a request that was in the worker and is not the culprit. */
enum fate { FATE_SEND_AGAIN, FATE_FAIL };
struct fate_facts {
    bool has_entered;  /* claim of the scoreboard */
    bool is_untrusted; /* the claim may be forged */
    bool is_suspect;   /* it, or another of its tenant, may be what did it: which is not known */
    bool is_idempotent;
    bool has_answered; /* bytes went to the client */
    bool is_body_lost;
    unsigned deaths; /* that it was in before this one, and may have caused */
    unsigned sendings;
};
enum fate blame_fate(const struct fate_facts *facts);

/* Sendings after which a request is given up, whatever the claims say. */
#define SENDINGS_MAX 6
