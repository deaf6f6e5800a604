/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The health of skepd's helper processes, as told to everybody who looks on: `skep status`, metrics, the
 * service manager's status line, the log. Supervisor, loop thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum helper_id { HELPER_SPAWNER, HELPER_STORE, HELPERS };

enum helper_state {
    HELPER_ABSENT, /* not configured */
    HELPER_OK,
    HELPER_RESERVE,    /* its reserve does its work, and there is no other */
    HELPER_RESTARTING, /* it is lost, and is started again */
    HELPER_SILENT,     /* it has not answered for long; what it was asked still waits */
    HELPER_GONE,
    HELPER_STATES,
};

struct helper_health {
    enum helper_state state;
    const char *why; /* static text; of a state that is not good */
    uint64_t losses; /* processes that died or were ended, since skepd's start */
};

struct health {
    struct helper_health of[HELPERS];
    void (*on_change)(void *owner); /* a state is another; NULL: nobody looks on */
    void *owner;                    /* borrowed */
};

const char *helper_name(enum helper_id helper);
/* "ok", "reserve", "restarting", "silent", "gone". */
const char *helper_state_name(enum helper_state state);
/* Says what is lost by that state, and what to do. Static text; "" for a good one. */
const char *helper_advice(enum helper_id helper, enum helper_state state);

/* Notes a change, with its reason (static text), and says it to the log and to on_change. */
void helper_note(struct health *health, enum helper_id helper, enum helper_state state,
                 const char *why);
/* One more of its processes is lost. */
void helper_note_loss(struct health *health, enum helper_id helper, enum helper_state state,
                      const char *why);

/* The first helper that is not well, in few words, or "". */
void helper_summary(const struct health *health, char *text, size_t size);
