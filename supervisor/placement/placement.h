/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which version is in which worker: loading, unloading, and what workers say of it. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/placement/ops.h"
#include "supervisor/placement/placement.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

/* Only the files of placement/ write it. */
struct placement_books {
    LIST_ENTRY(placement) used; /* in the ledger's list, if is_used */
    bool is_used;               /* may have used CPU time that was not looked at */
    uint64_t cpu_seen_ns;       /* on the scoreboard */
    uint64_t clock_seen_ns;     /* the process's, when that was seen to grow */
    uint64_t clock_from_ns;     /* what grows next may have been used from here on */
};

/* placement.c has the table of states and events. */
enum placement_state {
    PLACEMENT_LOADING,
    PLACEMENT_UNWANTED, /* loads, and is unloaded as soon as it has */
    PLACEMENT_READY,
    PLACEMENT_RETIRING, /* as READY, but unloaded when the last request is through */
    PLACEMENT_UNLOADING,
    PLACEMENT_GONE, /* the isolate is; requests that were on their way come back */
    PLACEMENT_STATES,
};

enum placement_event {
    /* By the worker's word: */
    PLACEMENT_EVENT_LOADED,
    PLACEMENT_EVENT_REFUSED, /* the version does not load */
    PLACEMENT_EVENT_STOPPED, /* JavaScript was terminated in the isolate */
    PLACEMENT_EVENT_UNLOADED,
    /* By the supervisor: */
    PLACEMENT_EVENT_RETIRE, /* it is not wanted any more, and the worker may know */
    PLACEMENT_EVENT_WORN,   /* too many of its requests were stopped */
    PLACEMENT_EVENT_IDLE,   /* nothing is in it */
    PLACEMENT_EVENT_EVICT,  /* it goes at once, whatever is in it */
    PLACEMENT_EVENTS,
};

/* How much of a version has been sent to its worker. */
struct load_progress {
    bool is_listed; /* in the worker's to_load */
    bool has_begun;
    unsigned file; /* of the manifest: the next one */
    size_t at;     /* bytes of it that were sent */
};

/* A version in a worker. Owned by the version; goes with the worker. */
struct placement {
    TAILQ_ENTRY(placement) in_to_load;
    struct load_progress load;
    LIST_ENTRY(placement) in_version;
    LIST_ENTRY(placement) in_worker;
    struct version *version; /* borrowed */
    struct worker *worker;   /* borrowed */
    uint32_t id; /* "tenant" on the wire and on the scoreboard: of no other isolate, ever; not 0 */
    enum placement_state state;
    uint16_t place;     /* on the worker's scoreboard */
    limit_set exceeded; /* that it said of its load, see Exceeded */
    limit_set noted;    /* limits that the supervisor has seen its load meet */
    unsigned in_flight;
    unsigned stops;  /* of its requests by V8 */
    bool is_preload; /* loads, nobody waits for it, and it is one of its worker's n_preloads */
    bool is_stopped; /* JavaScript was terminated in it: it gets no other request */
    uint64_t stopped_ns;
    uint64_t ready_ns; /* when it was loaded */
    uint64_t since_ns;
    uint64_t waited_ns; /* of the worker's own time, when it began to load or unload */
    /* Fact: by how much the worker's memory has grown while this one had a request, a load or an unload
     * in it. */
    uint64_t grown_kib;
    struct placement_books books;
};

/* The version is on its way into the worker. */
static inline bool placement_is_loading(const struct placement *placement)
{
    return placement->state == PLACEMENT_LOADING || placement->state == PLACEMENT_UNWANTED;
}
/* Its isolate serves what is in it, and takes more unless it was stopped. */
static inline bool placement_is_up(const struct placement *placement)
{
    return placement->state == PLACEMENT_READY || placement->state == PLACEMENT_RETIRING;
}

/* All borrowed. */
struct placements_options {
    struct event_base *base;
    const struct config *config; /* a reload changes its contents */
    struct record *record;
    struct slots *slots;
    struct tenants *tenants;
};

/* All of placement. */
struct placements {
    /* Borrowed: the options. */
    const struct config *config;
    struct record *record;
    struct slots *slots;
    struct tenants *tenants;
    const struct placement_ops *ops; /* borrowed, as owner: of requests/ */
    void *owner;
    const struct version_ops *versions; /* borrowed, as versions_owner: of versions/ */
    void *versions_owner;
    LIST_HEAD(, placement) used; /* whose CPU time is to be looked at */
    struct event *watch;         /* ticks while any worker has work */
    struct event *care;          /* each second: retirement, seclusion */
    struct event *care_turn;     /* goes on with the tenants in the next turn of the loop */
    struct event
        *look; /* ticks while a worker that only skepd bounds may grow with nothing in it */
    uint64_t last_suspicion;
    struct cordon_config **former; /* owned: see change.h */
    unsigned n_former;
};

/* Is what the slots call from now on, and what the tenants' placements_of_tenant is. 0 or -ENOMEM. */
int placements_new(const struct placements_options *options, struct placements **ret_placements);
/* After the slots. NULL is allowed. Returns NULL. */
struct placements *placements_free(struct placements *placements);

static inline struct placements *placements_of_worker(const struct worker *worker)
{
    return worker->slots->owner;
}
/* NULL: the tenant is freed after all workers, or installed before they can be made. */
static inline struct placements *placements_of_tenant(const struct tenant *tenant)
{
    return tenant->tenants->books.placements;
}

/* Has the candidate, else the serving version, loaded in its worker without a request: at once if somebody waits for the
 * version (its listener), else when it has its turn. 0, or -EAGAIN while no worker is ready for it. */
int placement_preload(struct tenant *tenant);
/* The same for one version, for which nobody waits. */
int placement_preload_version(struct version *version);
/* The same for all candidates: a worker has come or gone. */
void placement_preload_candidates(struct placements *placements);
/* The table itself, for tests: what the event does in the state; NULL: nothing. Returns by name what the action is
 * called; *ret_next: the state after it, unless the action fails. */
const char *placement_action_name(enum placement_state state, enum placement_event event,
                                  enum placement_state *ret_next);
/* Returns whether the event belongs to the state that the placement is in: if not, a worker that says so lies. */
bool placement_expects(const struct placement *placement, enum placement_event event);
/* The answer to a load; code ERROR_NONE: it is ready. The placement may be gone afterwards. */
void placement_on_loaded(struct placement *placement, enum error_code code, const char *text,
                         size_t size, uint64_t cpu_us);
/* Too many of its requests were stopped: it is unloaded when it is idle. */
void placement_wear_out(struct placement *placement);
/* JavaScript was terminated in the isolate, says the worker: it gets no other request, and goes when those
 * in it have ended. */
void placement_on_stopped(struct placement *placement);
/* The worker has disposed of the isolate. Without requests the placement is gone afterwards. */
void placement_on_unloaded(struct placement *placement);
/* Requests wait and this worker is the place for them: has the version loaded there. 0 or -errno. */
int placement_load(struct version *version, struct worker *worker);
/* The same where nobody waits: it is one of the worker's preloads, and goes there behind what somebody waits for. */
int placement_load_early(struct version *version, struct worker *worker);
/* A request has left the placement: unloads it if it is not wanted any more. It may be gone
 * afterwards. */
void placement_on_idle(struct placement *placement);
/* The isolate of the version that takes requests in that worker, or will; NULL if there is none. */
struct placement *placement_find(const struct version *version, const struct worker *worker);
/* The version is where it should be: its isolates elsewhere go when they have nothing left to do. */
void placement_leave_others(const struct version *version, const struct worker *worker);
/* Retires a placement that gets no other request, as far as is known: it is unloaded when it is idle, and gone afterwards if it
 * is so now. */
void placement_retire(struct placement *placement);
/* 0, or -EAGAIN if the worker has no place left, or -ENOMEM. */
int placement_new(struct version *version, struct worker *worker, struct placement **ret_placement);
void placement_free(struct placement *placement);
/* The worker died while it was loading this, and this is to blame. */
void placement_on_load_death(struct version *version, enum error_code code, const char *cause);

/* ---- send.c */

/* Begins to send what the placement's isolate is made of, behind the loads that are on their way to that worker, but before
 * preloads if it is none; the rest follows in later turns of the loop. 0; or -errno of channel_send, and nothing was sent. */
int load_send(struct placement *placement);
/* Somebody waits for it from now on: it is no preload any more. */
void load_hurry(struct placement *placement);
/* The placement goes, or has failed: nothing more of its load is sent. */
void load_drop(struct placement *placement);
/* For the worker's load_turn. */
void load_on_turn(struct worker *worker);

/* ---- choose.c */

/* The slot in whose worker the version should be: its tenant's own, or by rendezvous hash in its cordon. A
 * slot whose next worker is about to come keeps its tenants; one that keeps failing gives them up. NULL if
 * there is none. */
struct slot *placement_find_slot(struct slots *slots, const struct version *version);
/* Its worker, if that is ready, else NULL. */
struct worker *placement_find_worker(struct slots *slots, const struct version *version);

/* ---- watch.c */

/* Something was sent to a worker: has it watched. */
void placements_watch(struct placements *placements);
/* Frames and entries into JavaScript so far, for comparison only; of a worker that is up. */
uint64_t placement_signs_of_life(const struct worker *worker);
/* Whether something is in it that may keep it from answering. */
bool placement_has_work(const struct worker *worker);
/* It has to answer, though nothing may be in it: it is watched until it has, and killed if it does not. It is
 * up. */
void placement_ask_worker(struct worker *worker);
/* Looks whether a worker with work in it still answers; kills it when it is stuck. */
void placement_check_worker(struct worker *worker, uint64_t now_ns);

/* ---- death.c */

/* For slot_ops. */
bool placement_bury(struct worker *worker, bool was_booting);
/* Whether its tenant can be to blame for the worker's death: it has a request in it, or an isolate that
 * is being made or unmade. JavaScript of others does not run. */
bool placement_is_candidate(const struct placement *placement);
/* Memory that the isolate holds in all, by the worker's account: the heap's pages, buffers, native memory. */
uint64_t placement_held_kib(const struct placement *placement);
struct memory_share;
size_t placement_memory_shares(const struct worker *worker, struct memory_share *ret_shares);
/* The version that loads, unloads, or whose module code a timer runs, by the worker's claim; 0 if
 * there is none that it can be. */
uint32_t placement_loading_version(const struct worker *worker);

/* ---- cpu.c: the one account of CPU time */

/* Charges the version's tenant with what its scoreboard place says it has used since the last look. The
 * worker's board is still mapped. Also before a placement goes. */
void cpu_collect(struct placement *placement);
/* As above, for a version that was loaded or would not: cpu_us is what the worker says that took. */
void cpu_collect_load(struct placement *placement, uint64_t cpu_us);
/* The placement goes. */
void cpu_forget(struct placement *placement);
/* The worker has died: charges what it used until its end, and no account has yet, to the tenant whose code ran last. */
void cpu_charge_death(struct worker *worker, const struct verdict *verdict);
/* The placement may have used CPU time from now on. */
void cpu_use(struct placement *placement);
/* Of all that have. */
void cpu_collect_all(struct placements *placements);

/* ---- preload.c: turns of loads that nobody waits for */

/* The worker may have room for the next one. */
void preload_run(struct worker *worker);
/* The placement's load has ended, or somebody waits for it, or the placement goes; what comes next in the worker is left to preload_run. */
void preload_end(struct placement *placement);
/* Each second: takes on where a load lasts. */
void preload_check(struct worker *worker, uint64_t now_ns);
/* The worker goes for good. */
void preload_forget_worker(struct worker *worker);
