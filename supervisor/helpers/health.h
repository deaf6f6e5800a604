/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The health of skepd's helper processes, for all its readers: `skep status`, metrics, the service
 * manager's status line, the log. Supervisor, loop thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum helper_id { HELPER_SPAWNER, HELPER_STORE, HELPER_EGRESS, HELPER_DATA, HELPERS };

enum helper_state {
    HELPER_ABSENT, /* not configured, or not ready for the first time yet */
    HELPER_OK,
    HELPER_RESERVE,    /* the reserve does the work, and there is no other reserve */
    HELPER_RESTARTING, /* lost, and being started again */
    HELPER_SILENT,     /* has not answered for long, or is stopped; its requests still wait */
    HELPER_GONE,
    HELPER_STATES,
};

struct helper_health {
    enum helper_state state;
    const char *why; /* static text; reason of a state that is not good */
    const char *
        remedy; /* static text; what to do where that state has another remedy than usual; NULL: it has not */
    uint64_t losses; /* processes that died or were ended, since skepd's start */
};

struct health {
    struct helper_health of[HELPERS];
    const char *
        detail; /* for the log: of several processes of one helper, the one that this is about; NULL: there are not several */
    void (*on_change)(void *owner); /* a state has changed; NULL: nobody is told */
    void *owner;                    /* borrowed */
};

const char *helper_name(enum helper_id helper);
/* "ok", "reserve", "restarting", "silent", "gone". */
const char *helper_state_name(enum helper_state state);
/* Returns the consequences of that state, and advice. Static text; "" for a good state. */
const char *helper_advice(enum helper_id helper, enum helper_state state);

/* Returns the remedy of the helper's state as it is now, else the advice for such a state. Static text. */
const char *helper_advice_now(const struct health *health, enum helper_id helper);

/* Notes a change, with its reason (static text), in the log and by on_change. */
void helper_note(struct health *health, enum helper_id helper, enum helper_state state,
                 const char *why);
/* Notes that one more process of the helper is lost. */
void helper_note_loss(struct health *health, enum helper_id helper, enum helper_state state,
                      const char *why);

/* Notes the remedy (static text; NULL: none) for the next state that is noted of the helper. */
void helper_set_remedy(struct health *health, enum helper_id helper, const char *remedy);

/* Writes the first helper that is not well, in few words, or "". */
void helper_summary(const struct health *health, char *text, size_t size);
