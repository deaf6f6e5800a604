/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant's record: strikes, seclusion in a worker of its own, quarantine. Pure functions over a
 * struct conduct; the caller gives the time and acts on their results. Supervisor.
 *
 * Deaths in a shared worker for which a tenant is blamed lead to a worker of its own, which hurts
 * no tenant if the blame was wrong. Only deaths in that worker, where no other tenant can be to
 * blame, lead to quarantine.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/record/incident.h"

#define CONDUCT_STRIKES_MAX 20
#define CONDUCT_WINDOW_S 60     /* time in which strikes add up */
#define CONDUCT_PROBATION_S 600 /* time without a mark after which a secluded tenant is let back */
#define CONDUCT_SUSPICION_S 60  /* the same for a tenant that was only separated */
#define CONDUCT_QUARANTINE_MAX_S 3600
/* Time for which a tenant that held up others has to be calm until it is let back. Each time that it
 * was let back too soon the time doubles, up to the most; after an hour among the others it is the
 * first again. */
#define CONDUCT_CALM_S 60
#define CONDUCT_CALM_MAX_S 960
#define CONDUCT_CALM_FORGET_S 3600

enum seclusion {
    SECLUSION_NONE,    /* shares a worker with others */
    SECLUSION_SUSPECT, /* was in a worker that died, and nothing said which tenant was to blame */
    SECLUSION_STRIKES, /* too many deaths */
    SECLUSION_BUSY,    /* held up its neighbours, or used far more CPU time than they did */
    SECLUSIONS,
};

struct conduct {
    enum seclusion seclusion;
    /* Number of the death that made it a suspect: the same for all tenants that were in the worker. */
    uint64_t suspicion;
    /* Number of the last death that made it a suspect, also when it is cleared. */
    uint64_t suspected;
    uint64_t last_mark_ns; /* time of the last death for which it was blamed or suspected */
    /* Times of the marks since the last step; oldest first. */
    uint64_t marks_ns[CONDUCT_STRIKES_MAX];
    unsigned n_marks;
    uint64_t strikes;     /* strikes in all: deaths that no other tenant can have caused */
    unsigned quarantines; /* quarantines in a row: each is twice as long as the one before */
    uint64_t quarantined_until_ns; /* 0: not in quarantine; UINT64_MAX: until it is released */
    bool is_by_operator;  /* the operator began the quarantine; it says nothing of a version */
    unsigned parts;       /* number of times that it went apart for being busy */
    uint64_t rejoined_ns; /* time when it was let back after the last of these */
};

struct conduct_rules {
    unsigned strikes; /* within CONDUCT_WINDOW_S, for the next step; 1 to CONDUCT_STRIKES_MAX */
    unsigned quarantine_s;
    bool
        has_no_seclusion; /* the cordon has no workers of single tenants: quarantine comes instead */
};

enum conduct_step {
    CONDUCT_NO_STEP,
    CONDUCT_SECLUDE,    /* the tenant needs a worker of its own now */
    CONDUCT_QUARANTINE, /* the tenant gets no requests until conduct_retry_after_s returns 0 */
};

/* Blames the tenant for the death of a worker. has_own: the worker was its own. Returns the step,
 * which is in the record already. */
enum conduct_step conduct_on_death(struct conduct *conduct, const struct conduct_rules *rules,
                                   enum evidence evidence, bool has_own, uint64_t now_ns);
/* Marks the tenant as one of several that may be to blame. */
void conduct_suspect(struct conduct *conduct, uint64_t suspicion, uint64_t now_ns);
/* Ends the suspicion: another tenant was found to be the culprit. */
void conduct_clear(struct conduct *conduct);
/* Notes that the tenant holds up others. Returns true if it has to go apart because of that; false if it is apart. */
bool conduct_part(struct conduct *conduct, uint64_t now_ns);
/* Notes that the tenant has been calm for calm_s. Lets it back if it went apart for being busy and that is enough.
 * Returns true if it did. */
bool conduct_rejoin(struct conduct *conduct, uint64_t calm_s, uint64_t now_ns);
/* Returns whether a tenant takes far more than its share. spent_us: CPU time that it has used; others_us: that of the
 * busiest other tenant in its worker; own_us: the worker's own time (own_time.h), which is little
 * on a busy host, so that less CPU time is much there. */
bool conduct_is_busy(uint64_t spent_us, uint64_t others_us, uint64_t own_us);
/* Returns whether a tenant uses so little that others would not notice. */
bool conduct_is_calm(uint64_t spent_us, uint64_t own_us);
/* Lets the tenant back among the others when its time has come, unless it is apart for being busy. Returns true if it
 * did. */
bool conduct_expire(struct conduct *conduct, uint64_t now_ns);

/* Begins a quarantine by the operator. seconds 0: until it is released. */
void conduct_quarantine(struct conduct *conduct, uint64_t seconds, uint64_t now_ns);
/* Ends quarantine and seclusion, and forgets all marks. */
void conduct_release(struct conduct *conduct);

/* Returns the seconds until a quarantine ends, rounded up; 0: it is not in quarantine; UINT32_MAX: until it is
 * released. */
uint32_t conduct_retry_after_s(const struct conduct *conduct, uint64_t now_ns);
/* Returns whether the tenant was blamed or suspected for a death a short while ago. */
bool conduct_is_marked(const struct conduct *conduct, uint64_t now_ns);
/* Returns the number of marks that count now. */
unsigned conduct_marks(const struct conduct *conduct, uint64_t now_ns);
/* Returns "", "suspect", "strikes" or "busy"; static. */
const char *conduct_seclusion_name(enum seclusion seclusion);
