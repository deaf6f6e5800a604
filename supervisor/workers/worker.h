/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers as a table of states and events. One struct worker is one process: made when the spawner is asked for it, and
 * freed at its end. The position of a worker in a cordon is its slot, see slot.h. Supervisor, loop
 * thread.
 */
#pragma once

#include <sys/queue.h>
#include <sys/types.h>

#include "proto/scoreboard.h"
#include "spawner/facts.h"
#include "supervisor/record/holdup.h"
#include "supervisor/record/incident.h"
#include "supervisor/workers/attempt.h"
#include "supervisor/workers/books.h"
#include "supervisor/workers/idle.h"
#include "supervisor/workers/own_time.h"
#include "supervisor/workers/slot.h"
#include "supervisor/workers/vigil.h"

/* Most withdrawn requests whose rows stay taken: the other rows are for requests that the worker
 * serves. */
#define WITHDRAWN_MAX (SCOREBOARD_REQUESTS / 4)

struct worker;
struct cgroup_worker;
struct channel;
struct channel_table;
struct slots;
/* The reason for which the supervisor killed a worker. */
enum kill_reason {
    KILL_NONE,     /* died by itself or was killed from outside */
    KILL_CPU,      /* burnt CPU past budget and grace without an answer */
    KILL_STARTUP,  /* the same, while loading */
    KILL_WALL,     /* did not let go of a request that was cancelled */
    KILL_RSS,      /* holds more memory than rss_mib */
    KILL_SILENT,   /* does not answer, and does not burn CPU either */
    KILL_PROTOCOL, /* sent what it may not */
    KILL_JAIL,     /* could not show its jail any more */
    KILL_BOOT,     /* did not say hello, or could not show its jail */
    KILL_OPERATOR, /* the operator asked for it */
    KILL_STOP,     /* asked to: shutdown, retirement */
    KILL_REASONS,
};

enum worker_state {
    WORKER_BOOTING, /* asked of the spawner; hello and attestation to come */
    WORKER_READY,
    WORKER_DRAINING, /* replaced: gets no new requests, and ends with its last one */
    WORKER_KILLED,   /* SIGKILL sent; its exit to come */
    WORKER_STATES,
};

enum worker_event {
    EVENT_SPAWNED,
    EVENT_SPAWN_FAILED,
    EVENT_HELLO,
    EVENT_LOOKED, /* the spawner has looked at the jail, see jail.c */
    EVENT_RETIRE, /* the slot is another worker's, or is gone */
    EVENT_IDLE,   /* the last request has ended */
    EVENT_CLOSED, /* the channel failed or was closed */
    EVENT_STUCK,  /* a limit asks for SIGKILL; reason is set */
    EVENT_TIMEOUT,
    EVENT_EXIT,
    WORKER_EVENTS,
};

/* Functions of the floor above, which passes the table when the slots are made. */
struct slot_ops {
    /* The worker is ready: the first report about a process. */
    void (*on_ready)(struct worker *worker);
    /* The worker's process is gone, but not its requests and placements: decides which tenant is to blame, ends or moves
     * the requests, and frees the placements. was_booting: it had not said hello. Returns whether
     * that counts as a failure of the slot. */
    bool (*on_end)(struct worker *worker, bool was_booting);
    /* A worker is gone with all its records, or none could be started: tenants may go elsewhere.
     * owner: the slots' owner. */
    void (*on_lost)(void *owner);
    /* The worker has read all frames that were queued for it. */
    void (*on_drained)(struct worker *worker);
    /* The next part of a load may be sent. */
    void (*on_load_turn)(struct worker *worker);
    /* The worker is about to be freed. */
    void (*on_free)(struct worker *worker);
};

struct worker {
    TAILQ_ENTRY(worker) entry;
    /* Borrowed; NULL: it leaves; while it is ready it serves tenants that are not loaded elsewhere
     * yet. */
    struct slot *slot;
    /* Without a slot: a position that no slot has, where `skep workers` lists it. */
    unsigned list_position;
    struct slots *slots; /* borrowed */
    /* Borrowed: lives as long as the slots; values may change. */
    const struct cordon_config *cordon;
    unsigned number; /* no other worker or slot has it; the spawner's slot */
    enum worker_state state;
    enum jit_mode jit; /* the mode that the process was started with */
    uint32_t rss_mib; /* the bound of this process; another than its cordon's if that was lowered */
    pid_t pid;
    int pidfd;
    int stat_fd, statm_fd;        /* files of /proc/PID */
    struct cgroup_worker *cgroup; /* NULL: none */
    clockid_t cpu_clock;
    struct channel *channel;
    struct scoreboard *board; /* mapped; the worker writes it */
    struct event *timer;
    LIST_HEAD(, placement) placements;
    /* Placements whose files are still to be sent, in that order. */
    TAILQ_HEAD(, placement) to_load;
    struct event *load_turn; /* event that sends more of them */
    /* Versions to load for which no request waits: placement/preload.c. */
    TAILQ_HEAD(, version) preloads;
    unsigned n_preloads;   /* versions of this kind that load now */
    uint64_t first_tenant; /* number of the tenant of its first isolate; 0: none */
    bool is_shared;        /* has had another tenant's isolate since */
    unsigned n_placements;
    uint16_t free_placement_rows[SCOREBOARD_PLACEMENTS];
    unsigned n_free_placement_rows;
    struct attempt *attempts[SCOREBOARD_REQUESTS]; /* borrowed */
    uint16_t free_rows[SCOREBOARD_REQUESTS];
    unsigned n_free_rows;
    /* Ids of withdrawn requests whose done is to come; 0: none. */
    uint64_t withdrawn[SCOREBOARD_REQUESTS];
    unsigned n_withdrawn;
    bool is_withdrawn_full; /* a withdrawal was refused since the last one ended */
    unsigned in_flight;     /* requests in the worker, without withdrawn ones */
    struct worker_books books;
    struct worker_clock clock;
    struct holdup_piece piece; /* the piece of JavaScript that runs */
    struct holdup held;        /* hold-up by all tenants in it */
    uint64_t held_at_ns;       /* time of the last count of held */
    uint64_t held_waited_ns;   /* waited_ns of its own time at the last look at the counts */
    /* Liveness, see placement_check_worker. */
    uint64_t signs_seen;
    uint64_t cpu_at_sign_ns;
    uint64_t claim_seen; /* the request that the worker claimed to run */
    uint64_t cpu_at_claim_ns;
    struct own_time own;
    uint64_t cpu_seen_ns;            /* CPU time at the last look */
    struct own_mark cpu_still_since; /* since when that has not grown */
    struct own_mark ping_sent;       /* all zero: no answer is awaited */
    bool is_watched;                 /* the figures above are of this stretch of work */
    bool is_asked; /* an idle worker was asked for an answer, when it had asked_signs */
    uint64_t asked_signs;
    struct watchdog_vigil vigil;
    unsigned pings_open;   /* pings that are not answered */
    uint64_t written_seen; /* bytes that it had read, about, at written_at */
    struct own_mark written_at;
    bool has_hello;
    /* Attestation. */
    bool is_look_due; /* asked of the spawner, and not answered */
    bool is_doubted;  /* the last look did not show the worker's jail */
    bool has_facts;
    struct jail_facts facts; /* facts of the last look */
    int look_error;
    char jail_text[INCIDENT_CAUSE_BYTES]; /* the difference that the last look has shown */
    bool is_hung_up;                      /* the channel has ended */
    bool is_stopped;                      /* was under SIGSTOP when it was found silent */
    /* Death in progress. */
    enum kill_reason kill_reason;
    uint64_t blamed_request;
    /* Version of the blamed request, which may end while the kill is on its way. */
    uint32_t blamed_version;
    int wait_status;
    uint64_t end_cpu_ns;              /* CPU time of the ended process; 0: it has not ended */
    uint64_t limit_milli, used_milli; /* figures of the limit of the kill, see incident.h */
    uint64_t started_ns, ready_ns;
    /* Retirement, see retire.h. */
    const char *retire_reason; /* static; NULL: none. Waits for a spare, or drains */
    uint64_t drain_since_ns;
    uint64_t leave_since_ns; /* time since which it is ready without a slot */
    struct idle_watch idle;
    uint64_t loads;     /* loads that were sent to it */
    unsigned evictions; /* isolates that were unloaded to make room, since evictions_ns */
    uint64_t evictions_ns;
    uint64_t served;          /* requests that this process has served */
    uint64_t caught_up;       /* number of CaughtUp frames */
    uint64_t rss_bytes;       /* resident memory at the last look */
    uint64_t ready_rss_bytes; /* resident memory before its first tenant */
    uint64_t rss_at_ns;
    uint64_t rss_noted_ns; /* time of the last line that it is over an observed rss_mib */
    unsigned drifting;     /* looks in a row at which its memory had drifted */
};
TAILQ_HEAD(worker_list, worker);

/* Context of a log line about a worker; pid 0: no process yet. */
#define LOG_ABOUT_WORKER(about)                                      \
    LOG_ABOUT(.worker = (about)->number, .worker_pid = (about)->pid, \
              .cordon = (about)->cordon->name)

/* Returns whether the cordon's jit has changed since the process was started. */
static inline bool worker_is_stale(const struct worker *worker)
{
    return worker->jit != worker->cordon->jit;
}

/* For tests of the table: returns the name of the action for an event in a state; NULL: the event
 * is ignored. */
const char *worker_action_name(enum worker_state state, enum worker_event event);
const char *worker_state_name(enum worker_state state);
/* Returns whether a worker that is late with its hello gets more time, because the host is busy and it would go on.
 * elapsed_ms: since its start. */
bool worker_may_boot_on(uint64_t elapsed_ms, uint64_t cpu_ms, bool is_runnable);

void worker_on_event(struct worker *worker, enum worker_event event);
/* Kills the worker for a reason; request: the request to blame, 0 if not known. */
void worker_kill(struct worker *worker, enum kill_reason reason, uint64_t request);

/* Takes a row of the scoreboard for a request in flight, or gives it back. -EAGAIN if all are taken. */
int worker_take_row(struct worker *worker, struct attempt *attempt, unsigned *ret_row);
void worker_give_row(struct worker *worker, const struct attempt *attempt);
struct attempt *worker_find_attempt(const struct worker *worker, uint64_t id); /* may be NULL */
/* Takes the request back, if its JavaScript has not begun: then it never will. The row stays taken until
 * the worker reports that it has seen that. Returns false if the JavaScript has begun,
 * or if too many withdrawn requests are open. */
bool worker_withdraw(struct worker *worker, const struct attempt *attempt);
/* Notes that the worker is done with that id. Returns whether it was a withdrawn one. */
bool worker_end_withdrawn(struct worker *worker, uint64_t id);
/* Drains a worker, which has no slot any more: it gets no new requests and ends when it has none. */
void worker_drain(struct worker *worker);
/* Computes the bounds of the worker's cgroup, by its cordon and rss_mib. */
struct cgroup_limits;
void worker_cgroup_limits(const struct worker *worker, struct cgroup_limits *ret_limits);
/* Returns whether rss_mib is only observed in the worker's cordon. */
bool worker_is_rss_observed(const struct worker *worker);
/* Returns the CPU time of the worker's process, also when that has ended; 0 if it has none yet. */
uint64_t worker_cpu_ns(const struct worker *worker);
/* Returns true if the worker is in a slot of that kind. */
static inline bool worker_is_in(const struct worker *worker, enum slot_kind kind)
{
    return worker->slot && worker->slot->kind == kind;
}
/* Takes the facts that the spawner has seen of the worker's jail. error: as in struct spawner_ops. */
void worker_on_facts(struct worker *worker, pid_t pid, int error, const struct jail_facts *facts);
/* Has the jail of a worker looked at again, now and then, at random. Called each second. */
void worker_check_jail(struct worker *worker);
/* Returns whether the worker has not read what is queued for it: nothing that can wait is sent. */
bool worker_is_congested(const struct worker *worker);
/* Makes a worker without a process and a slot. NULL: out of memory. */
struct worker *worker_new(struct slots *slots, const struct cordon_config *cordon, unsigned number);
struct worker *worker_free(struct worker *worker); /* kills its process */
