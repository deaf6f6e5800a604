/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who killed a worker, and what each client in it is told. Pure functions: the ledger's own
 * facts say who may be blamed, the worker's claims (scoreboard, last words) only choose among
 * those. Supervisor; no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/errors.h"

/* Why the supervisor killed it, if it did. */
enum kill_reason {
    KILL_NONE,     /* it died by itself or by somebody else's hand */
    KILL_CPU,      /* burnt CPU past budget and grace without an answer */
    KILL_STARTUP,  /* the same, while loading */
    KILL_WALL,     /* did not let go of a request that was cancelled */
    KILL_SILENT,   /* does not answer, and does not burn CPU either */
    KILL_PROTOCOL, /* sent what it may not */
    KILL_BOOT,     /* did not say hello, or could not show its jail */
    KILL_STOP,     /* asked to: shutdown, replacement */
};

struct death {
    enum kill_reason reason;
    int wait_status;          /* as of wait(2) */
    uint32_t last_words;      /* claim: enum last_words_cause */
    uint64_t running_request; /* claim or only candidate, already checked to be in the ledger for
                                 this worker; else 0 */
    uint32_t loading_version; /* claim or only candidate, checked likewise; else 0 */
    uint64_t blamed_request;  /* fact: the request that the supervisor killed it for, or 0 */
};

struct verdict {
    enum error_code code;   /* for the culprit */
    uint64_t request;       /* culprit, 0: none */
    uint32_t version;       /* culprit that was loading, 0: none */
    bool counts_as_failure; /* towards the slot's back-off: nobody is to blame */
    const char *cause;      /* for log and stats; static */
};

void blame_decide(const struct death *death, struct verdict *ret_verdict);

/* What happens to a request that was in the worker and is not the culprit. */
enum fate { FATE_SEND_AGAIN, FATE_FAIL };
struct fate_facts {
    bool has_entered; /* claim of the scoreboard */
    bool is_idempotent;
    bool has_answered; /* bytes went to the client */
    bool is_body_lost;
    unsigned deaths; /* that it was in before this one, having entered */
    unsigned sendings;
};
enum fate blame_fate(const struct fate_facts *facts);

/* Sendings after which a request is given up, whatever the claims say. */
#define SENDINGS_MAX 6
