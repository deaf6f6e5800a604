/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The health of skepd's helper processes, as told to everybody who looks on: `skep status`, metrics, the
 * service manager's status line, the log. Supervisor, loop thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct server;

enum helper { HELPER_SPAWNER, HELPER_STORE, HELPERS };

enum helper_state {
    HELPER_ABSENT, /* not configured */
    HELPER_OK,
    HELPER_RESERVE, /* its reserve does its work, and there is no other */
    HELPER_SILENT,  /* it has not answered for long; what it was asked still waits */
    HELPER_GONE,
    HELPER_STATES,
};

struct helper_health {
    enum helper_state state;
    const char *why; /* static text; of a state that is not good */
    uint64_t losses; /* processes that died or were ended, since skepd's start */
};

const char *helper_name(enum helper helper);
/* "ok", "reserve", "silent", "gone". */
const char *helper_state_name(enum helper_state state);
/* Says what is lost by that state, and what to do. Static text; "" for a good one. */
const char *helper_advice(enum helper helper, enum helper_state state);

/* Notes a change, with its reason (static text), and says it to the log and the service manager. */
void helper_note(struct server *server, enum helper helper, enum helper_state state,
                 const char *why);
/* One more of its processes is lost. */
void helper_note_loss(struct server *server, enum helper helper, enum helper_state state,
                      const char *why);

/* The first helper that is not well, in few words, or "". */
void helper_summary(const struct server *server, char *text, size_t size);
