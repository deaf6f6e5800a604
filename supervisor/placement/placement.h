/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placements of versions in workers: loading, unloading, and the workers' reports. Supervisor,
 * loop thread.
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
    bool is_used;               /* may have used CPU time since the last look */
    uint64_t cpu_seen_ns;       /* CPU time on the scoreboard */
    uint64_t clock_seen_ns;     /* the process's CPU time, when cpu_seen_ns was seen to grow */
    uint64_t clock_from_ns;     /* start of the process's CPU time that the next growth may be of */
};

/* placement.c has the table of states and events. */
enum placement_state {
    PLACEMENT_LOADING,
    PLACEMENT_UNWANTED, /* loads, and is unloaded as soon as it has loaded */
    PLACEMENT_READY,
    PLACEMENT_RETIRING, /* as READY, but unloaded when the last request has ended */
    PLACEMENT_UNLOADING,
    PLACEMENT_GONE, /* the isolate is gone; requests that were on their way come back */
    PLACEMENT_STATES,
};

enum placement_event {
    /* Reported by the worker: */
    PLACEMENT_EVENT_LOADED,
    PLACEMENT_EVENT_REFUSED, /* the version does not load */
    PLACEMENT_EVENT_STOPPED, /* JavaScript was terminated in the isolate */
    PLACEMENT_EVENT_UNLOADED,
    /* By the supervisor: */
    PLACEMENT_EVENT_RETIRE, /* the placement is not wanted any more, and the worker may know */
    PLACEMENT_EVENT_WORN,   /* too many of its requests were stopped */
    PLACEMENT_EVENT_IDLE,   /* no request is in it */
    PLACEMENT_EVENT_EVICT,  /* unloads at once, even with requests in it */
    PLACEMENT_EVENTS,
};

/* How much of a version has been sent to its worker. */
struct load_progress {
    bool is_listed; /* in the worker's to_load */
    bool has_begun;
    unsigned file; /* index in the manifest of the next file */
    size_t at;     /* bytes of that file that were sent */
};

/* A version in a worker. Owned by the version; ends with the worker. */
struct placement {
    TAILQ_ENTRY(placement) in_to_load;
    struct load_progress load;
    LIST_ENTRY(placement) in_version;
    LIST_ENTRY(placement) in_worker;
    struct version *version; /* borrowed */
    struct worker *worker;   /* borrowed */
    /* Number in frames and on the scoreboard; never that of another isolate; not 0. */
    uint32_t id;
    enum placement_state state;
    uint16_t row;       /* on the worker's scoreboard */
    limit_set exceeded; /* limits that the worker reported for the load, see Exceeded */
    limit_set noted;    /* limits that the supervisor has seen the load meet */
    unsigned in_flight;
    unsigned stops; /* stops of its requests by V8 */
    /* CPU time that its requests may use beyond cpu_ms, see first_credit.h; until the end of the load with the load's. */
    uint32_t first_credit_us;
    bool has_used_credit; /* a request of it has */
    /* Loads without a waiting request, and counts in its worker's n_preloads. */
    bool is_preload;
    bool is_stopped; /* JavaScript was terminated in it, so it gets no other request */
    uint64_t stopped_ns;
    uint64_t ready_ns; /* time of the end of the load */
    uint64_t since_ns;
    uint64_t waited_ns; /* waited_ns of the worker's own time, when it began to load or unload */
    /* Fact: growth of the worker's memory while this placement had a request, a load or an unload
     * in it. */
    uint64_t grown_kib;
    struct placement_books books;
};

/* Returns whether the version is on its way into the worker. */
static inline bool placement_is_loading(const struct placement *placement)
{
    return placement->state == PLACEMENT_LOADING || placement->state == PLACEMENT_UNWANTED;
}
/* Returns whether the isolate serves its requests, and takes more unless it was stopped. */
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
    const struct placement_ops *ops; /* borrowed, as owner; of requests/ */
    void *owner;
    const struct version_ops *versions; /* borrowed, as versions_owner: of versions/ */
    void *versions_owner;
    LIST_HEAD(, placement) used; /* placements whose CPU time has to be looked at */
    struct event *watch;         /* ticks while any worker has work */
    struct event *care;          /* each second: retirement, seclusion */
    struct event *care_turn;     /* continues with the tenants in the next turn of the loop */
    struct event *look; /* ticks while an idle worker whose memory only skepd bounds may grow */
    uint64_t last_suspicion;
    struct cordon_config **former; /* owned: see change.h */
    unsigned n_former;
};

/* Makes placement, attaches it to the slots, and sets the tenants' placements_of_tenant. Returns 0
 * or -ENOMEM. */
int placements_new(const struct placements_options *options, struct placements **ret_placements);
/* Call after slots_free. NULL is allowed. Returns NULL. */
struct placements *placements_free(struct placements *placements);

static inline struct placements *placements_of_worker(const struct worker *worker)
{
    return worker->slots->owner;
}
/* Returns NULL for a tenant that is freed after all workers, or installed before they can be made. */
static inline struct placements *placements_of_tenant(const struct tenant *tenant)
{
    return tenant->tenants->books.placements;
}

/* Has the candidate, else the serving version, loaded in its worker without a request: at once if a listener waits for the
 * version, else in its turn. 0, or -EAGAIN while no worker is ready for it. */
int placement_preload(struct tenant *tenant);
/* Does the same for one version, for which no listener waits. */
int placement_preload_version(struct version *version);
/* Does the same for all candidates, after a worker has come or gone. */
void placement_preload_candidates(struct placements *placements);
/* For tests of the table: returns the name of the action for the event in the state; NULL: none. *ret_next: the state
 * after it, unless the action fails. */
const char *placement_action_name(enum placement_state state, enum placement_event event,
                                  enum placement_state *ret_next);
/* Returns whether the event is possible in the placement's state: if not, a worker that reports it
 * lies. */
bool placement_expects(const struct placement *placement, enum placement_event event);
/* Takes the answer to a load; code ERROR_NONE: the version is ready. The placement may be gone
 * afterwards. */
void placement_on_loaded(struct placement *placement, enum error_code code, const char *text,
                         size_t size, uint64_t cpu_us);
/* Wears out a placement of which too many requests were stopped: it is unloaded when it is idle. */
void placement_wear_out(struct placement *placement);
/* Takes the worker's report that JavaScript was terminated in the isolate: it gets no other request, and goes when those
 * in it have ended. */
void placement_on_stopped(struct placement *placement);
/* Takes the worker's report that the isolate is gone. Without requests the placement is gone
 * afterwards. */
void placement_on_unloaded(struct placement *placement);
/* Has the version loaded in the worker, which is the right one for waiting requests. 0 or -errno. */
int placement_load(struct version *version, struct worker *worker);
/* Does the same without a waiting request: the load is one of the worker's preloads, behind loads
 * for which requests wait. */
int placement_load_early(struct version *version, struct worker *worker);
/* Unloads the placement if it is not wanted any more, after a request has left it. May free it. */
void placement_on_idle(struct placement *placement);
/* Returns the placement of the version that takes requests in that worker, or will; NULL if there
 * is none. */
struct placement *placement_find(const struct version *version, const struct worker *worker);
/* Retires the version's placements in other workers, when it is in the right one. */
void placement_leave_others(const struct version *version, const struct worker *worker);
/* Retires a placement that gets no other request, as far as is known: it is unloaded when it is idle. May free it, if it
 * is idle now. */
void placement_retire(struct placement *placement);
/* Makes a placement. Returns 0, -EAGAIN if the worker has no row left, or -ENOMEM. */
int placement_new(struct version *version, struct worker *worker, struct placement **ret_placement);
void placement_free(struct placement *placement);
/* Notes that the worker died while it was loading this version, which is to blame. */
void placement_on_load_death(struct version *version, enum error_code code, const char *cause);

/* ---- send.c */

/* Begins to send the placement's files, behind the loads that are on their way to that worker, but before
 * preloads if it is none; the rest follows in later turns of the loop. 0; or -errno of channel_send, and nothing was sent. */
int load_send(struct placement *placement);
/* Makes a preload an ordinary load, because a request waits for it now. */
void load_hurry(struct placement *placement);
/* Stops sending a load whose placement goes or has failed. */
void load_drop(struct placement *placement);
/* Sends the next part, for the worker's load_turn. */
void load_on_turn(struct worker *worker);

/* ---- choose.c */

/* Returns the slot for the version: its tenant's own, or by rendezvous hash in its cordon. A
 * slot whose next worker is about to come keeps its tenants; one that keeps failing gives them up. NULL if
 * there is none. */
struct slot *placement_find_slot(struct slots *slots, const struct version *version);
/* Returns the worker of that slot, if it is ready, else NULL. */
struct worker *placement_find_worker(struct slots *slots, const struct version *version);

/* ---- watch.c */

/* Starts to watch workers, after a frame was sent to one. */
void placements_watch(struct placements *placements);
/* Returns the number of frames and entries into JavaScript so far, for comparison only; of a worker
 * that is up. */
uint64_t placement_signs_of_life(const struct worker *worker);
/* Returns whether the worker has work that may keep it from answering. */
bool placement_has_work(const struct worker *worker);
/* Asks a worker that is up, and may be idle, for an answer: it is watched until it has answered, and killed if it does
 * not. */
void placement_ask_worker(struct worker *worker);
/* Checks whether a worker with work still answers; kills it when it is stuck. */
void placement_check_worker(struct worker *worker, uint64_t now_ns);

/* ---- death.c */

/* For slot_ops. */
bool placement_bury(struct worker *worker, bool was_booting);
/* Returns whether the placement's tenant can be to blame for the worker's death: it has a request in it, or an isolate that
 * is being made or unmade. JavaScript of others does not run. */
bool placement_is_candidate(const struct placement *placement);
/* Returns the memory that the isolate holds in all, by the worker's account: the heap's pages,
 * buffers, native memory. */
uint64_t placement_held_kib(const struct placement *placement);
struct memory_share;
/* Returns the version that loads, unloads, or whose module code a timer runs, by the worker's claim; 0 if
 * the claim fits none. */
uint32_t placement_loading_version(const struct worker *worker, uint32_t claim);

/* ---- cpu.c: the one account of CPU time */

/* Charges the version's tenant with the CPU time of its row on the scoreboard since the last look. The
 * worker's board must still be mapped. Call it also before a placement goes. */
void cpu_collect(struct placement *placement);
/* Does the same for a load that has ended or failed. cpu_us: CPU time of the load that the worker
 * claims. */
void cpu_collect_load(struct placement *placement, uint64_t cpu_us);
/* Forgets a placement that goes. */
void cpu_forget(struct placement *placement);
/* Charges the CPU time of a dead worker that is in no account yet to the tenant whose code ran
 * last. */
void cpu_charge_death(struct worker *worker, const struct verdict *verdict);
/* Notes that the placement may use CPU time from now on. */
void cpu_use(struct placement *placement);
/* Collects the CPU time of all placements that may have used some. */
void cpu_collect_all(struct placements *placements);

/* ---- preload.c: turns of loads for which no request waits */

/* Begins the next preloads, if the worker has room for them. */
void preload_run(struct worker *worker);
/* Ends a preload: its load has ended, a request waits for it, or the placement goes. preload_run
 * begins the next. */
void preload_end(struct placement *placement);
/* Begins the next preload if a load lasts long. Called each second. */
void preload_check(struct worker *worker, uint64_t now_ns);
/* Empties the queue of a worker that goes for good. */
void preload_forget_worker(struct worker *worker);
