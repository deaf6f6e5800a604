/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant's record: strikes, seclusion in a worker of its own, quarantine. Pure functions over a
 * struct conduct; the caller gives the time and acts on what they return. Supervisor.
 *
 * In a worker that it shares, deaths that a tenant is blamed for lead to a worker of its own, which
 * hurts nobody if the blame was wrong. Only deaths in there, where nobody else can be to blame, lead
 * to quarantine.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/record/incident.h"

#define CONDUCT_STRIKES_MAX 20
#define CONDUCT_WINDOW_S 60     /* in which strikes add up */
#define CONDUCT_PROBATION_S 600 /* without a mark, until a secluded tenant is let back */
#define CONDUCT_SUSPICION_S 60  /* the same for one that was only separated */
#define CONDUCT_QUARANTINE_MAX_S 3600
/* For how long a tenant that held up others has to be calm until it is let back. Each time that this
 * was too soon it is twice as long, up to the most; after an hour among the others it is the first
 * again. */
#define CONDUCT_CALM_S 60
#define CONDUCT_CALM_MAX_S 960
#define CONDUCT_CALM_FORGET_S 3600

enum seclusion {
    SECLUSION_NONE,    /* shares a worker with others */
    SECLUSION_SUSPECT, /* was in a worker that died, and nothing chose among those in it */
    SECLUSION_STRIKES, /* too many deaths */
    SECLUSION_BUSY,    /* holds up its neighbours, or uses far more CPU time than they do */
    SECLUSIONS,
};

struct conduct {
    enum seclusion seclusion;
    uint64_t suspicion; /* which death made it a suspect: the same number for all that were in it */
    uint64_t suspected; /* the number of the last death that made it one, also when it is cleared */
    uint64_t last_mark_ns; /* of the last death that it was blamed or suspected for */
    uint64_t marks_ns[CONDUCT_STRIKES_MAX]; /* since the last step; oldest first */
    unsigned n_marks;
    uint64_t strikes;              /* in all: deaths that nobody else can have caused */
    unsigned quarantines;          /* one after the other: each is twice as long */
    uint64_t quarantined_until_ns; /* 0: not; UINT64_MAX: until it is released */
    bool is_by_operator;           /* the quarantine; it says nothing of a version */
    unsigned parts;                /* times that it came to be busy */
    uint64_t rejoined_ns;          /* when it was let back after the last one */
};

struct conduct_rules {
    unsigned strikes; /* within CONDUCT_WINDOW_S, for the next step; 1 to CONDUCT_STRIKES_MAX */
    unsigned quarantine_s;
    bool
        has_no_seclusion; /* the cordon has no workers of single tenants: quarantine comes instead */
};

enum conduct_step {
    CONDUCT_NO_STEP,
    CONDUCT_SECLUDE,    /* it needs a worker of its own now */
    CONDUCT_QUARANTINE, /* it gets no requests until conduct_retry_after_s says 0 */
};

/* A worker died, and this tenant is to blame. has_own: the worker was its own. The step is taken in the record already. */
enum conduct_step conduct_on_death(struct conduct *conduct, const struct conduct_rules *rules,
                                   enum evidence evidence, bool has_own, uint64_t now_ns);
/* It is one of several that may be to blame. */
void conduct_suspect(struct conduct *conduct, uint64_t suspicion, uint64_t now_ns);
/* Another one was found to be the culprit. */
void conduct_clear(struct conduct *conduct);
/* Notes that the tenant holds up others. Returns true if it has to go apart because of that; false if it is apart. */
bool conduct_part(struct conduct *conduct, uint64_t now_ns);
/* Notes that the tenant has been calm for so long: lets it back if it went apart for being busy and that is enough.
 * Returns true if it did. */
bool conduct_rejoin(struct conduct *conduct, uint64_t calm_s, uint64_t now_ns);
/* Returns whether a tenant takes far more than its share: it has used spent_us of CPU time, the busiest of the others in
 * its worker others_us, and the worker has had own_us of its own time (own_time.h), so that on a busy host, which
 * gives the worker little, little is much. */
bool conduct_is_busy(uint64_t spent_us, uint64_t others_us, uint64_t own_us);
/* Returns whether it uses so little that others would not notice. */
bool conduct_is_calm(uint64_t spent_us, uint64_t own_us);
/* Lets it back among the others when its time has come. Returns true if it did. Not if it is busy. */
bool conduct_expire(struct conduct *conduct, uint64_t now_ns);

/* By the operator. seconds 0: until it is released. */
void conduct_quarantine(struct conduct *conduct, uint64_t seconds, uint64_t now_ns);
/* Ends quarantine and seclusion, and forgets all marks. */
void conduct_release(struct conduct *conduct);

/* Seconds until a quarantine ends, rounded up; 0: it is not in quarantine; UINT32_MAX: until it is
 * released. */
uint32_t conduct_retry_after_s(const struct conduct *conduct, uint64_t now_ns);
/* Whether it was blamed or suspected for a death a short while ago. */
bool conduct_is_marked(const struct conduct *conduct, uint64_t now_ns);
/* Marks that count now. */
unsigned conduct_marks(const struct conduct *conduct, uint64_t now_ns);
/* "shared", "suspect", "strikes", "busy"; static. */
const char *conduct_seclusion_name(enum seclusion seclusion);
