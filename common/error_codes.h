/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every failure that a client can see has one code: in Skep-Error, in the problem+json body,
 * in the log, in the counters. The table also says who can bring each code about, and so for what it
 * may count against the tenant. A const table; no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum error_code {
    ERROR_NONE,
    ERROR_BAD_REQUEST,
    ERROR_NO_ROUTE,
    ERROR_REQUEST_TIMEOUT,
    ERROR_HEADER_TOO_LARGE,
    ERROR_BODY_TOO_LARGE,
    ERROR_TENANT_BUSY,
    ERROR_OVERLOADED,
    ERROR_DRAINING,
    ERROR_BOOT_FAILED,
    ERROR_CPU_STARTUP,
    ERROR_EXCEPTION,
    ERROR_BAD_RESPONSE,
    ERROR_CPU_REQUEST,
    ERROR_WALL_REQUEST,
    ERROR_MEM_ISOLATE,
    ERROR_MEM_PROCESS,
    ERROR_WORKER_CRASHED,
    ERROR_QUARANTINED,
    ERROR_ISOLATE_STOPPED,
    ERROR_HUNG,
    ERROR_UNSERVED,
    /* Codes that only a calling tenant gets. */
    ERROR_NO_SERVICE,
    ERROR_CALL_DENIED,
    ERROR_CALL_CYCLE,
    ERROR_SUB_LIMIT,
    ERROR_FETCH_DENIED,
    ERROR_FETCH_FAILED,
    ERROR_CODES,
};

/* The parties of SECURITY.md; a set of them. */
enum error_party {
    BY_CLIENT = 1 << 0,
    /* The tenant's code, whatever a client sends: the handling of input is the tenant's own. */
    BY_TENANT = 1 << 1,
    BY_NEIGHBOUR = 1 << 2, /* another tenant */
    BY_OPERATOR = 1 << 3,
    BY_HOST = 1 << 4, /* the machine, or skep itself */
};

/* Accounts that a failure may count for, against the tenant whose request it ended; a set of them. */
enum error_account {
    FOR_STRIKES = 1 << 0,  /* towards a worker of its own and quarantine */
    FOR_WATCH = 1 << 1,    /* towards the rollback of a deploy that is watched */
    FOR_BACK_OFF = 1 << 2, /* the tenant's next load waits */
    FOR_FIGURES = 1 << 3,  /* the tenant's failures in `skep tenants`, `skep top` and the metrics */
};

struct error_info {
    const char *code;  /* "cpu_request" */
    const char *title; /* one sentence for the client */
    unsigned status;   /* HTTP */
    unsigned causes;   /* set of enum error_party; 0 for ERROR_NONE only */
    unsigned accounts; /* set of enum error_account; empty if the client can cause it */
    /* for operators and tenants: when the code appears, and the remedy; NULL for ERROR_NONE only */
    const char *when, *advice;
};

/* Never NULL for a valid code; "none" for ERROR_NONE. */
const struct error_info *error_info(enum error_code code);
/* Parses a code's name. Returns false for anything else. */
bool error_code_parse(const char *text, enum error_code *ret_code);

#define ERROR_PROBLEM_BYTES 512
/* Writes the body of the answer, an application/problem+json of RFC 9457. detail: at most 250 bytes, as they may stand in a
 * JSON text; NULL: none. Returns its size. */
size_t error_write_problem(enum error_code code, unsigned status, const char *detail,
                           char text[ERROR_PROBLEM_BYTES]);

/* Returns whether the failure counts for the account against the tenant. A code that others can cause as
 * well counts only if is_blamed: if other evidence names this tenant. */
bool error_counts(enum error_code code, enum error_account account, bool is_blamed);
