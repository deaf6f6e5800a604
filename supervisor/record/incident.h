/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incidents: each time that a limit was met, a tenant was stopped, or a worker died. One line in
 * the log, counters for each cause, and the last ones kept for `skep incidents`. Supervisor, loop
 * thread.
 */
#pragma once

#include <sys/types.h>

#include "common/error_codes.h"
#include "config/limits.h"
#include "supervisor/record/log_budget.h"

struct record;
struct counted;

/* Cause: the limits of limit_table by their index, then these. */
enum {
    CAUSE_RSS = LIMITS_COUNT, /* rss_mib of the worker */
    CAUSE_CRASH,              /* died by itself */
    CAUSE_JAIL,               /* a forbidden system call */
    CAUSE_PROTOCOL,           /* sent a frame that it may not */
    CAUSE_SILENT,             /* did not answer */
    CAUSE_OUTSIDE,            /* SIGKILL from outside skepd */
    CAUSES,
};

/* Certainty of the blame for a death. */
enum evidence {
    EVIDENCE_NONE, /* nobody is blamed */
    /* The worker's word chose among several tenants, or there is no evidence against another. */
    EVIDENCE_CLAIM,
    EVIDENCE_PROOF, /* no other tenant was in that process */
};

enum incident_stage {
    STAGE_OBSERVED, /* noted; not enforced */
    STAGE_REFUSED,  /* an error to the tenant, or a part cut off: the request went on */
    STAGE_STOPPED,  /* first stage: the request or load was ended */
    STAGE_KILLED,   /* second stage, or a death: the worker is gone */
    INCIDENT_STAGES,
};

struct incident_counts {
    uint64_t by[INCIDENT_STAGES][CAUSES];
};

#define INCIDENT_TENANT_BYTES 64
#define INCIDENT_CAUSE_BYTES 80

struct incident {
    enum incident_stage stage;
    unsigned cause;
    /* Code that the client got; ERROR_NONE: the one of stage and cause, if there is one. */
    enum error_code code;
    /* In thousandths of the limit's unit; limit 0: no limit was met. */
    uint64_t limit_milli, used_milli;
    uint64_t request;                /* 0: a load, or not known */
    unsigned worker;                 /* number of the worker */
    pid_t pid;                       /* pid of the worker; 0: none */
    enum evidence evidence;          /* in STAGE_KILLED: the certainty that it was this tenant */
    char text[INCIDENT_CAUSE_BYTES]; /* more about the cause, or "" */
    /* Filled by incident_note. */
    uint64_t number;                    /* from 1 on */
    uint64_t time_ms;                   /* since 1970 */
    char tenant[INCIDENT_TENANT_BYTES]; /* "" if nobody is to blame */
};

/* The last incidents, oldest first. */
#define INCIDENTS_KEPT 256
struct incidents {
    struct incident kept[INCIDENTS_KEPT];
    uint64_t last; /* number of the newest; it is kept[last % INCIDENTS_KEPT] */
    struct log_window logged;
};

/* Notes an incident, of which it keeps a copy. counted: the tenant's; NULL if nobody is to
 * blame. */
void incident_note(struct record *record, struct counted *counted, const struct incident *incident);
/* Names a cause: "cpu_ms", …, "rss_mib", "crash", "jail", "protocol", "silent", "outside";
 * static. */
const char *incident_cause_name(unsigned cause);
const char *incident_cause_unit(unsigned cause); /* "ms", "MiB", …; "" if it has none */
const char *incident_stage_name(enum incident_stage stage);
/* Finds an incident by its number; NULL if it is not kept (any more). */
const struct incident *incident_get(const struct incidents *incidents, uint64_t number);
