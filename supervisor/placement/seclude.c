/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/seclude.h"
#include "supervisor/placement/placement.h"

#include "common/io.h"
#include "common/log.h"
#include "supervisor/placement/change.h"
#include "supervisor/workers/running.h"
#include "supervisor/workers/slots.h"

static const struct cordon_config *cordon_of(const struct tenant *tenant)
{
    return tenant->version->cordon;
}

bool seclude_is_wanted(const struct version *version)
{
    return version->tenant->conduct.seclusion != SECLUSION_NONE || version->cordon->is_solitary;
}

/* ---- the worker apart */

/* Returns where the version's tenant keeps its own slot: a candidate may be in another cordon. */
static struct slot **own_of(const struct version *version)
{
    struct tenant *tenant = version->tenant;

    return version->cordon == cordon_of(tenant) ? &tenant->own : &tenant->next_own;
}

const struct tenant *seclude_owner(const struct slot *slot)
{
    const struct placements *placements = slot->slots->owner;
    const struct tenant *tenant;

    if (slot->kind != SLOT_CROWD || slot->members != 1)
        return slot->owner;
    TAILQ_FOREACH (tenant, &placements->tenants->list, entry)
        if (tenant->own == slot || tenant->next_own == slot)
            return tenant;
    return NULL;
}

static void let_go(struct slot **own)
{
    struct slot *slot = *own;

    if (!slot)
        return;
    *own = NULL;
    if (slot->kind == SLOT_CROWD && --slot->members > 0)
        return;
    slot_close(slot);
}

/* Finds the own worker that is worth less than one for a tenant that has just got strikes: that of a tenant without
 * strikes, or of the one that has been calm for longest. A tenant with deaths in its own worker
 * more often than that gets into quarantine. */
static struct slot *find_milder(const struct slots *slots, const struct cordon_config *cordon)
{
    uint64_t since_ns = io_now_ns() - CONDUCT_WINDOW_S * NSEC_PER_SEC / cordon->strikes;
    struct slot *slot = NULL, *calmest = NULL;

    while ((slot = slots_next(slots, slot))) {
        const struct tenant *owner = slot->owner;
        if (slot->cordon != cordon || slot->kind != SLOT_OWN || !owner)
            continue;
        if (owner->conduct.seclusion != SECLUSION_STRIKES)
            return slot;
        if (owner->conduct.last_mark_ns < since_ns) {
            calmest = slot;
            since_ns = owner->conduct.last_mark_ns;
        }
    }
    return calmest;
}

/* Makes room for one more. Returns false if no worker can go. */
static bool make_room(const struct slots *slots, const struct cordon_config *cordon)
{
    struct slot *other = find_milder(slots, cordon);

    if (!other)
        return false;
    struct tenant *milder = other->owner;
    milder->conduct.seclusion = SECLUSION_NONE;
    milder->conduct.suspicion = 0;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = milder->name),
              "shares a worker again, others need one more");
    let_go(milder->own == other ? &milder->own : &milder->next_own);
    return true;
}

static bool has_room(struct slots *slots, const struct version *version)
{
    const struct cordon_config *cordon = version->cordon;

    if (slots_count(slots, cordon, SLOT_OWN) < cordon->solitary)
        return true;
    return version->tenant->conduct.seclusion == SECLUSION_STRIKES && !cordon->is_solitary &&
           make_room(slots, cordon);
}

/* A slot of the cordon apart from the shared ones, if possible one whose worker is up already. */
static struct slot *take_slot(struct slots *slots, const struct cordon_config *cordon,
                              enum slot_kind kind)
{
    struct slot *spare = slots_find_spare(slots, cordon);
    struct slot *slot = spare ? spare : slots_add(slots, cordon, kind);

    if (!slot)
        return NULL;
    slot->kind = kind;
    if (spare)
        slots_keep_spare(slots, cordon, false);
    else
        slot_start(slot);
    return slot;
}

/* ---- tenants that hold up others */

/* Returns whether there is room. One processor is left to all others, if there are several. */
static bool has_room_for_crowd(const struct slots *slots, const struct cordon_config *cordon)
{
    unsigned crowds = slots_count(slots, cordon, SLOT_CROWD);

    if (crowds == 0)
        return cordon->solitary > 0;
    return crowds + 1 < slots->processors &&
           crowds + slots_count(slots, cordon, SLOT_OWN) < cordon->solitary;
}

static struct slot *smallest_crowd(const struct slots *slots, const struct cordon_config *cordon)
{
    struct slot *slot = NULL, *smallest = NULL;

    while ((slot = slots_next(slots, slot)))
        if (slot->cordon == cordon && slot->kind == SLOT_CROWD &&
            (!smallest || slot->members < smallest->members))
            smallest = slot;
    return smallest;
}

static struct slot *find_crowd(struct slots *slots, const struct cordon_config *cordon)
{
    struct slot *slot =
        has_room_for_crowd(slots, cordon) ? take_slot(slots, cordon, SLOT_CROWD) : NULL;

    if (!slot)
        slot = smallest_crowd(slots, cordon);
    if (slot)
        slot->members++;
    return slot;
}

/* ---- */

/* Returns whether the worker is of the kind that the tenant needs now. */
static bool is_right(const struct slot *own, const struct tenant *tenant)
{
    return own && (own->kind != SLOT_CROWD || tenant->conduct.seclusion == SECLUSION_BUSY);
}

static struct slot *find_own(struct slots *slots, const struct version *version)
{
    struct slot *slot =
        has_room(slots, version) ? take_slot(slots, version->cordon, SLOT_OWN) : NULL;

    if (slot)
        slot->owner = version->tenant;
    return slot;
}

struct slot *seclude_find_slot(struct slots *slots, const struct version *version)
{
    const struct cordon_config *cordon = version->cordon;
    struct slot **own = own_of(version);
    enum seclusion seclusion = version->tenant->conduct.seclusion;
    bool is_busy = seclusion == SECLUSION_BUSY && !cordon->is_solitary;

    if (is_right(*own, version->tenant))
        return *own;
    struct slot *slot = is_busy ? find_crowd(slots, cordon) : find_own(slots, version);
    if (!slot)
        return *own;
    let_go(own);
    *own = slot;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = version->tenant->name),
              slot->members > 1 ? "shares worker %u of cordon %s with others that are busy"
                                : "has worker %u of cordon %s to itself",
              slot->number, cordon->name);
    /* A secluded tenant leaves the others at once; any other leaves when it is loaded in its own
     * worker. */
    if (seclusion != SECLUSION_NONE)
        placement_leave_others(version, slot->worker);
    return slot;
}

void seclude_follow(struct tenant *tenant)
{
    let_go(&tenant->own);
    tenant->own = tenant->next_own;
    tenant->next_own = NULL;
    if (!seclude_is_wanted(tenant->version))
        let_go(&tenant->own);
}

void seclude_fit(struct slots *slots)
{
    struct slot *slot = NULL;

    while ((slot = slots_next(slots, slot))) {
        struct tenant *owner = slot->kind == SLOT_OWN ? slot->owner : NULL;
        if (!owner)
            continue;
        struct slot **own = owner->own == slot ? &owner->own : &owner->next_own;
        const struct version *version = own == &owner->own ? owner->version : owner->candidate;
        if (version && seclude_is_wanted(version))
            continue;
        *own = NULL;
        slot_close_softly(slot);
        placements_of_tenant(owner)->ops->on_tenant(owner);
    }
}

void seclude_forget_next(struct tenant *tenant)
{
    let_go(&tenant->next_own);
}

void seclude_forget(struct tenant *tenant)
{
    let_go(&tenant->own);
    let_go(&tenant->next_own);
}

void seclude_let_back(struct tenant *tenant)
{
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "shares a worker again");
    let_go(&tenant->own);
    placements_of_tenant(tenant)->ops->on_tenant(tenant);
}

bool seclude_begin(struct tenant *tenant, const char *reason)
{
    const struct cordon_config *cordon = tenant->version->cordon;

    if (cordon->is_solitary || cordon->solitary == 0 ||
        !conduct_part(&tenant->conduct, io_now_ns()))
        return false;
    tenant->held = (struct holdup){ 0 };
    tenant->calm_looks = 0;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "%s", reason);
    return true;
}

void seclude_for_renewals(struct tenant *tenant)
{
    (void) seclude_begin(tenant,
                         "has its requests stopped more often than its isolates may be replaced");
}

/* ---- after a death */

static void begin_quarantine(struct tenant *tenant)
{
    uint32_t seconds = conduct_retry_after_s(&tenant->conduct, io_now_ns());

    if (seconds == UINT32_MAX)
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name),
                  "is in quarantine until it is released");
    else
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name), "is in quarantine for %u s",
                  seconds);
    placements_of_tenant(tenant)->ops->on_refused(tenant, ERROR_QUARANTINED,
                                                  seconds == UINT32_MAX ? 0 : seconds);
    let_go(&tenant->own);
}

static bool is_observed(const struct tenant *tenant)
{
    return cordon_of(tenant)->observe_strikes || tenant->tenants->config->observe_strikes;
}

/* Clears the tenants that were suspected together with the culprit. */
static void clear_suspects(struct tenant *culprit)
{
    uint64_t suspicion = culprit->conduct.suspicion;
    struct tenant *tenant;

    if (suspicion == 0)
        return;
    culprit->conduct.suspicion = 0;
    TAILQ_FOREACH (tenant, &culprit->tenants->list, entry) {
        if (tenant->conduct.suspicion != suspicion)
            continue;
        conduct_clear(&tenant->conduct);
        if (!seclude_is_wanted(tenant->version))
            seclude_let_back(tenant);
    }
}

/* Writes a death into the tenant's record, and does what follows. has_own: the tenant alone was in that process. */
static void blame(struct tenant *tenant, enum evidence evidence, bool has_own)
{
    struct conduct_rules rules = {
        .strikes = cordon_of(tenant)->strikes,
        .quarantine_s = cordon_of(tenant)->quarantine_s,
        /* Only the config may say so; otherwise a worker's claims could bring an innocent tenant into
         * quarantine while others take all the room. */
        .has_no_seclusion = cordon_of(tenant)->solitary == 0,
    };
    struct conduct before = tenant->conduct;
    enum conduct_step step =
        conduct_on_death(&tenant->conduct, &rules, evidence, has_own, io_now_ns());

    if (evidence == EVIDENCE_PROOF)
        clear_suspects(tenant);
    if (step == CONDUCT_NO_STEP)
        return;
    const char *text = step == CONDUCT_QUARANTINE ? "quarantine" : "a worker of its own";
    if (is_observed(tenant)) {
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name),
                  "would get %s now: %u strikes in %u s (only observed)", text, rules.strikes,
                  CONDUCT_WINDOW_S);
        tenant->conduct.seclusion = before.seclusion;
        tenant->conduct.quarantined_until_ns = before.quarantined_until_ns;
        tenant->conduct.is_by_operator = before.is_by_operator;
        tenant->conduct.quarantines = before.quarantines;
        return;
    }
    log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name), "gets %s: %u strikes in %u s",
              text, rules.strikes, CONDUCT_WINDOW_S);
    if (step == CONDUCT_QUARANTINE)
        begin_quarantine(tenant);
}

void seclude_on_blame(struct tenant *tenant, const struct worker *worker,
                      const struct verdict *verdict)
{
    bool has_own = worker_is_in(worker, SLOT_OWN) && worker->slot->owner == tenant;

    if (error_counts(verdict->code, FOR_STRIKES, verdict->evidence != EVIDENCE_NONE))
        blame(tenant, verdict->evidence, has_own);
}

void seclude_on_stuck(struct tenant *tenant, bool is_proof)
{
    tenant->kills++;
    blame(tenant, is_proof ? EVIDENCE_PROOF : EVIDENCE_CLAIM, is_proof);
}

/* Returns whether `one` has to be suspected before `other`. The tenant that was suspected longest ago, or never, comes
 * first: without room for all, each death suspects others, and finds the culprit sooner or later.
 * Between equals, the one in whose time the worker has grown by memory in no account, then the one
 * that ran by the worker's claim. */
static bool is_before(const struct worker *worker, const struct placement *one,
                      const struct placement *other)
{
    uint64_t first = one->version->tenant->conduct.suspected;
    uint64_t second = other->version->tenant->conduct.suspected;

    if (first == second && one->grown_kib != other->grown_kib)
        return one->grown_kib > other->grown_kib;
    return first < second || (first == second && worker_runs_placement(worker, one->id));
}

/* Returns the first tenant that was not suspected for this death yet; NULL: none. */
static struct tenant *next_suspect(const struct worker *worker, uint64_t suspicion, bool is_memory)
{
    const struct placement *placement, *next = NULL;

    LIST_FOREACH (placement, &worker->placements, in_worker)
        if ((is_memory || placement_is_candidate(placement)) &&
            placement->version->tenant->conduct.suspected != suspicion &&
            (!next || is_before(worker, placement, next)))
            next = placement;
    return next ? next->version->tenant : NULL;
}

bool seclude_suspects(struct worker *worker, bool is_memory)
{
    struct slots *slots = worker->slots;
    const struct cordon_config *cordon = worker->cordon;
    unsigned own = slots_count(slots, cordon, SLOT_OWN);
    unsigned room = cordon->solitary > own ? cordon->solitary - own : 0;
    uint64_t suspicion = ++placements_of_worker(worker)->last_suspicion;
    bool is_any_separated = false;
    struct tenant *tenant;

    if (worker_is_in(worker, SLOT_OWN))
        return false;
    while ((tenant = next_suspect(worker, suspicion, is_memory))) {
        /* Tenants that are separated already had nothing in this worker. */
        bool has_own = tenant->own && tenant->own->kind == SLOT_OWN;
        if (!has_own && room == 0 && !make_room(slots, cordon))
            break;
        room -= !has_own && room > 0;
        conduct_suspect(&tenant->conduct, suspicion, io_now_ns());
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name),
                  "is separated for a while: it may have killed the worker");
        is_any_separated = true;
    }
    return is_any_separated;
}

/* ---- the operator */

void seclude_quarantine(struct tenant *tenant, uint64_t seconds)
{
    conduct_quarantine(&tenant->conduct, seconds, io_now_ns());
    begin_quarantine(tenant);
}

void seclude_release(struct tenant *tenant)
{
    conduct_release(&tenant->conduct);
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "is released");
    if (!seclude_is_wanted(tenant->version))
        seclude_let_back(tenant);
}
