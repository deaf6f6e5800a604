/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers as a table of states and events. One struct worker is one process: made when the spawner is asked for it, and
 * freed at its end. Where it works is its slot, see slot.h. Supervisor, loop thread.
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

/* Withdrawn requests whose slots a worker keeps taken: the rest is for those that it serves. */
#define WITHDRAWN_MAX (SCOREBOARD_SLOTS / 4)

struct worker;
struct cgroup_worker;
struct channel;
struct channel_table;
struct slots;
/* Why the supervisor killed it, if it did. */
enum kill_reason {
    KILL_NONE,     /* it died by itself or by somebody else's hand */
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
    WORKER_DRAINING, /* replaced: gets nothing new, and ends when nothing is left in it */
    WORKER_KILLED,   /* SIGKILL sent; its exit to come */
    WORKER_STATES,
};

enum worker_event {
    EVENT_SPAWNED,
    EVENT_SPAWN_FAILED,
    EVENT_HELLO,
    EVENT_LOOKED, /* the spawner has looked at its jail, see jail.c */
    EVENT_RETIRE, /* its slot is another worker's, or is no more */
    EVENT_IDLE,   /* the last request has left it */
    EVENT_CLOSED, /* the channel failed or was closed */
    EVENT_STUCK,  /* a limit asks for SIGKILL; reason is set */
    EVENT_TIMEOUT,
    EVENT_EXIT,
    WORKER_EVENTS,
};

/* What workers tell the floor above, which hands the table down when the slots are made. */
struct slot_ops {
    /* It is ready: the first thing that is said of a process. */
    void (*on_ready)(struct worker *worker);
    /* Its process is gone, and what it has left is still there: decides who is to blame, tells everybody concerned, and
     * empties what is kept of the worker. was_booting: it had not said hello. Returns whether it counts as a
     * failure of its slot. */
    bool (*on_end)(struct worker *worker, bool was_booting);
    /* A worker is gone, and nothing is left of it, or none could be started: tenants may go elsewhere. owner: the
     * slots' owner. */
    void (*on_lost)(void *owner);
    /* It has read what was queued for it. */
    void (*on_drained)(struct worker *worker);
    /* The next part of what is to be loaded may go. */
    void (*on_load_turn)(struct worker *worker);
    /* It is about to be freed. */
    void (*on_free)(struct worker *worker);
};

struct worker {
    TAILQ_ENTRY(worker) entry;
    struct slot *
        slot; /* borrowed; NULL: it leaves. While it is ready it serves whoever is not loaded elsewhere yet */
    unsigned
        list_position;   /* without a slot: one that no slot has, where `skep workers` lists it */
    struct slots *slots; /* borrowed */
    const struct cordon_config *cordon; /* borrowed: lives as long as they; values may change */
    unsigned number;                    /* of no other worker or slot; the spawner's slot */
    enum worker_state state;
    enum jit_mode jit; /* that the process was started with */
    uint32_t rss_mib;  /* that bounds it; another one than its cordon's where that was lowered */
    pid_t pid;
    int pidfd;
    int stat_fd, statm_fd;        /* of /proc/PID */
    struct cgroup_worker *cgroup; /* NULL: none */
    clockid_t cpu_clock;
    struct channel *channel;
    struct scoreboard *board; /* mapped; the worker writes it */
    struct event *timer;
    LIST_HEAD(, placement) placements;
    TAILQ_HEAD(, placement) to_load; /* of these, whose files it is still to get, in that order */
    struct event *load_turn;         /* sends it more of them */
    TAILQ_HEAD(, version) preloads;  /* that nobody waits for, to be loaded: placement/preload.c */
    unsigned n_preloads;             /* of such, those that load */
    uint64_t first_tenant;           /* number of whose isolate the process had first; 0: none */
    bool is_shared;                  /* it has had another's since */
    unsigned n_placements;
    uint16_t free_places[SCOREBOARD_TENANTS];
    unsigned n_free_places;
    struct attempt *attempts[SCOREBOARD_SLOTS]; /* borrowed */
    uint16_t free_slots[SCOREBOARD_SLOTS];
    unsigned n_free_slots;
    uint64_t withdrawn[SCOREBOARD_SLOTS]; /* ids whose done is to come; 0: none */
    unsigned n_withdrawn;
    bool is_withdrawn_full; /* one more was refused since the last one ended */
    unsigned in_flight;     /* without those */
    struct worker_books books;
    struct worker_clock clock;
    struct holdup_piece piece; /* of JavaScript that runs */
    struct holdup held;        /* by all tenants in it */
    uint64_t held_at_ns;       /* when that was counted last */
    uint64_t held_waited_ns;   /* of its own time, when its counts were looked at last */
    /* Liveness, see placement_check_worker. */
    uint64_t signs_seen;
    uint64_t cpu_at_sign_ns;
    uint64_t claim_seen; /* what the worker said it runs */
    uint64_t cpu_at_claim_ns;
    struct own_time own;
    uint64_t cpu_seen_ns; /* at the last look, and since when it has been that */
    struct own_mark cpu_still_since;
    struct own_mark ping_sent; /* all zero: none is waited for */
    bool is_watched;           /* the above are of this stretch of work */
    bool is_asked;             /* to answer, though nothing is in it, since it had asked_signs */
    uint64_t asked_signs;
    struct watchdog_vigil vigil;
    unsigned pings_open;   /* sent and not answered */
    uint64_t written_seen; /* bytes that it had read, more or less, at written_at */
    struct own_mark written_at;
    bool has_hello;
    /* Attestation. */
    bool is_look_due; /* asked of the spawner, and not answered */
    bool is_doubted;  /* the last look showed something else than its jail */
    bool has_facts;
    struct jail_facts facts; /* of the last look */
    int look_error;
    char jail_text[INCIDENT_CAUSE_BYTES]; /* what it could not show */
    bool is_hung_up;                      /* its channel has ended */
    bool is_stopped; /* somebody had sent it SIGSTOP when it was found silent */
    /* Death in progress. */
    enum kill_reason kill_reason;
    uint64_t blamed_request;
    uint32_t blamed_version; /* what it was killed for: it may end while the kill is on its way */
    int wait_status;
    uint64_t end_cpu_ns;              /* CPU time of the process in all; 0: it has not ended */
    uint64_t limit_milli, used_milli; /* of the limit that it was killed for, see incident.h */
    uint64_t started_ns, ready_ns;
    /* Retirement, see retire.h. */
    const char *retire_reason; /* static; NULL: none. Waits for a spare, or drains */
    uint64_t drain_since_ns;
    uint64_t leave_since_ns; /* without a slot, and ready */
    struct idle_watch idle;
    uint64_t loads;     /* that it was sent */
    unsigned evictions; /* isolates that have made room for others, since evictions_ns */
    uint64_t evictions_ns;
    uint64_t served;          /* requests, by this process */
    uint64_t caught_up;       /* how often it has said so */
    uint64_t rss_bytes;       /* at the last look */
    uint64_t ready_rss_bytes; /* before it had any tenant */
    uint64_t rss_at_ns;
    uint64_t rss_noted_ns; /* when it was last said to be over an observed rss_mib */
    unsigned drifting;     /* looks in a row at which it had drifted */
};
TAILQ_HEAD(worker_list, worker);

/* For the log; pid 0: no process is there yet. */
#define LOG_ABOUT_WORKER(about)                                      \
    LOG_ABOUT(.worker = (about)->number, .worker_pid = (about)->pid, \
              .cordon = (about)->cordon->name)

/* Whether its cordon's jit is another one since the process was started. */
static inline bool worker_is_stale(const struct worker *worker)
{
    return worker->jit != worker->cordon->jit;
}

/* The table itself, for tests: what an event does in a state; NULL: ignored. Returns by name
 * what the action is called. */
const char *worker_action_name(enum worker_state state, enum worker_event event);
const char *worker_state_name(enum worker_state state);
/* Whether a worker that is late with its hello has more time: the host is busy, and the worker would go on.
 * elapsed_ms: since its start. */
bool worker_may_boot_on(uint64_t elapsed_ms, uint64_t cpu_ms, bool is_runnable);

void worker_on_event(struct worker *worker, enum worker_event event);
/* Kills the worker for a reason; request: whom to blame, 0 if not known. */
void worker_kill(struct worker *worker, enum kill_reason reason, uint64_t request);

/* Rows of the scoreboard for requests in flight. -EAGAIN if all are taken. */
int worker_take_row(struct worker *worker, struct attempt *attempt, unsigned *ret_slot);
void worker_give_row(struct worker *worker, const struct attempt *attempt);
struct attempt *worker_find_attempt(const struct worker *worker, uint64_t id); /* may be NULL */
/* Takes the request back, if its JavaScript has not begun by the worker's word: it will not. The slot that
 * it gives then stays taken until the worker says that it has seen that. Returns false if it has begun,
 * or too many are open. */
bool worker_withdraw(struct worker *worker, const struct attempt *attempt);
/* The worker is through with that id. Returns whether it was a withdrawn one. */
bool worker_end_withdrawn(struct worker *worker, uint64_t id);
/* It gets no new requests and ends when it has none. It has no slot any more. */
void worker_drain(struct worker *worker);
/* What its cgroup bounds, by its cordon and rss_mib. */
struct cgroup_limits;
void worker_cgroup_limits(const struct worker *worker, struct cgroup_limits *ret_limits);
/* Whether rss_mib is only noted in the worker's cordon. */
bool worker_is_rss_observed(const struct worker *worker);
/* CPU time of its process, also when that has ended; 0 if it has none yet. */
uint64_t worker_cpu_ns(const struct worker *worker);
/* True if it is in a slot of that kind. */
static inline bool worker_is_in(const struct worker *worker, enum slot_kind kind)
{
    return worker->slot && worker->slot->kind == kind;
}
/* What the spawner has seen of its jail. error: as in struct spawner_ops. */
void worker_on_facts(struct worker *worker, pid_t pid, int error, const struct jail_facts *facts);
/* Has the jail of a worker looked at again, now and then, at random. Each second. */
void worker_check_jail(struct worker *worker);
/* Returns whether the worker has not read what is queued for it: nothing that can wait is sent. */
bool worker_is_congested(const struct worker *worker);
/* Without a process and a slot. NULL: out of memory. */
struct worker *worker_new(struct slots *slots, const struct cordon_config *cordon, unsigned number);
struct worker *worker_free(struct worker *worker); /* kills what runs in it */
