/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/seclude.h"

#include <inttypes.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/ledger/ledger.h"
#include "supervisor/workers/pool_change.h"
#include "supervisor/workers/retire.h"

/* A tenant that uses so much CPU time each second, for so many seconds, while others want their share
 * of the same worker, gets a worker of its own; and so little for so long lets it back. */
#define BUSY_US_PER_S 500000
#define BUSY_LOOKS 10
#define CALM_US_PER_S 100000
#define CALM_LOOKS 60
#define BUSY_FACTOR 4 /* times what the busiest neighbour uses */

static struct pool *pool_of(const struct tenant *tenant)
{
    return tenant->server->pool;
}

static const struct cordon_config *cordon_of(const struct tenant *tenant)
{
    return tenant->version->cordon;
}

bool seclude_is_wanted(const struct version *version)
{
    return version->tenant->conduct.seclusion != SECLUSION_NONE || version->cordon->is_solitary;
}

/* ---- the worker */

/* Where the version's tenant has its own worker noted: a candidate may be in another cordon. */
static struct child **own_of(const struct version *version)
{
    struct tenant *tenant = version->tenant;

    return version->cordon == cordon_of(tenant) ? &tenant->own : &tenant->next_own;
}

static void let_go(struct child **own)
{
    struct child *child = *own;

    if (!child)
        return;
    *own = NULL;
    child->place.owner = NULL;
    child_drain(child);
}

void seclude_take_over(const struct child *from, struct child *to)
{
    struct tenant *owner = to->place.owner;

    if (owner && owner->own == from)
        owner->own = to;
    else if (owner)
        owner->next_own = to;
}

/* Whose own worker is worth less than one for a tenant that has just got strikes: of one without, or
 * the one that has been calm for longest. Who has a death in its own worker more often than that comes
 * to quarantine. */
static struct child *find_milder(const struct pool *pool, const struct cordon_config *cordon)
{
    uint64_t since_ns = io_now_ns() - CONDUCT_WINDOW_S * NSEC_PER_SEC / cordon->strikes;
    struct child *child, *calmest = NULL;

    TAILQ_FOREACH (child, &pool->children, entry) {
        const struct tenant *owner = child->place.owner;
        if (child->cordon != cordon || child->place.kind != PLACE_OWN || !owner)
            continue;
        if (owner->conduct.seclusion != SECLUSION_STRIKES)
            return child;
        if (owner->conduct.last_mark_ns < since_ns) {
            calmest = child;
            since_ns = owner->conduct.last_mark_ns;
        }
    }
    return calmest;
}

/* Returns false if there is none that could. */
static bool make_room(const struct pool *pool, const struct cordon_config *cordon)
{
    struct child *other = find_milder(pool, cordon);

    if (!other)
        return false;
    struct tenant *milder = other->place.owner;
    milder->conduct.seclusion = SECLUSION_NONE;
    milder->conduct.suspicion = 0;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = milder->name),
              "shares a worker again, others need one more");
    let_go(milder->own == other ? &milder->own : &milder->next_own);
    return true;
}

static bool has_room(struct pool *pool, const struct version *version)
{
    const struct cordon_config *cordon = version->cordon;

    if (pool_count(pool, cordon, PLACE_OWN) < cordon->solitary)
        return true;
    return version->tenant->conduct.seclusion == SECLUSION_STRIKES && !cordon->is_solitary &&
           make_room(pool, cordon);
}

struct child *seclude_place(struct pool *pool, const struct version *version)
{
    const struct cordon_config *cordon = version->cordon;
    struct child **own = own_of(version), *spare;

    if (*own)
        return *own;
    if (!has_room(pool, version))
        return NULL;
    spare = pool_find_spare(pool, cordon);
    struct child *child = spare ? spare : pool_add(pool, cordon, PLACE_OWN);
    if (!child)
        return NULL;
    child->place.kind = PLACE_OWN;
    child->place.owner = version->tenant;
    *own = child;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = version->tenant->name),
              "has worker %u of cordon %s to itself", child->number, cordon->name);
    /* From those that it may have hurt at once; else it goes when it is loaded in its own. */
    if (version->tenant->conduct.seclusion != SECLUSION_NONE)
        placement_leave_others(version, child);
    if (spare)
        pool_keep_spare(pool, cordon, false);
    else
        child_on_event(child, EVENT_START);
    return child;
}

void seclude_follow(struct tenant *tenant)
{
    let_go(&tenant->own);
    tenant->own = tenant->next_own;
    tenant->next_own = NULL;
    if (!seclude_is_wanted(tenant->version))
        let_go(&tenant->own);
}

void seclude_fit(struct pool *pool)
{
    struct child *child;

    TAILQ_FOREACH (child, &pool->children, entry) {
        struct tenant *owner = child->place.kind == PLACE_OWN ? child->place.owner : NULL;
        if (!owner)
            continue;
        struct child **own = owner->own == child ? &owner->own : &owner->next_own;
        const struct version *version = own == &owner->own ? owner->version : owner->candidate;
        if (version && seclude_is_wanted(version))
            continue;
        *own = NULL;
        pool_leave(child);
        ledger_pump(owner);
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

/* It shares again: what waits goes to a worker of the cordon. */
static void let_back(struct tenant *tenant)
{
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name), "shares a worker again");
    let_go(&tenant->own);
    ledger_pump(tenant);
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
    ledger_fail_queue(tenant, ERROR_QUARANTINED, seconds == UINT32_MAX ? 0 : seconds);
    let_go(&tenant->own);
}

static bool is_observed(const struct tenant *tenant)
{
    return cordon_of(tenant)->observe_strikes || tenant->server->config->observe_strikes;
}

/* The death cleared those that were suspected together with the culprit. */
static void clear_suspects(struct tenant *culprit)
{
    uint64_t suspicion = culprit->conduct.suspicion;
    struct tenant *tenant;

    if (suspicion == 0)
        return;
    culprit->conduct.suspicion = 0;
    TAILQ_FOREACH (tenant, &culprit->server->tenants->list, entry) {
        if (tenant->conduct.suspicion != suspicion)
            continue;
        conduct_clear(&tenant->conduct);
        if (!seclude_is_wanted(tenant->version))
            let_back(tenant);
    }
}

void seclude_on_blame(struct tenant *tenant, const struct child *child,
                      const struct verdict *verdict)
{
    struct conduct_rules rules = {
        .strikes = cordon_of(tenant)->strikes,
        .quarantine_s = cordon_of(tenant)->quarantine_s,
        /* By the operator's will only; otherwise what a worker claims could bring an innocent into
         * quarantine while others take all the room. */
        .has_no_seclusion = cordon_of(tenant)->solitary == 0,
    };
    bool has_own = child->place.kind == PLACE_OWN && child->place.owner == tenant;

    if (!error_counts(verdict->code, FOR_STRIKES, verdict->evidence != EVIDENCE_NONE))
        return;
    struct conduct before = tenant->conduct;
    enum conduct_step step =
        conduct_on_death(&tenant->conduct, &rules, verdict->evidence, has_own, io_now_ns());

    if (verdict->evidence == EVIDENCE_PROOF)
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

/* Who was suspected longest ago, or never, comes first: where there is not room for all, each death asks
 * about others, and finds who it was sooner or later. Between equals, who ran by the worker's word. */
static bool is_before(const struct child *child, const struct placement *one,
                      const struct placement *other)
{
    uint64_t first = one->version->tenant->conduct.suspected;
    uint64_t second = other->version->tenant->conduct.suspected;

    return first < second ||
           (first == second && atomic_load(&child->board->running_tenant) == one->id);
}

/* Of those that were not suspected for this death yet; NULL: none. */
static struct tenant *next_suspect(const struct child *child, uint64_t suspicion)
{
    const struct placement *placement, *next = NULL;

    LIST_FOREACH (placement, &child->placements, in_child)
        if (child_is_candidate(placement) &&
            placement->version->tenant->conduct.suspected != suspicion &&
            (!next || is_before(child, placement, next)))
            next = placement;
    return next ? next->version->tenant : NULL;
}

bool seclude_suspects(struct child *child)
{
    struct pool *pool = child->server->pool;
    const struct cordon_config *cordon = child->cordon;
    unsigned own = pool_count(pool, cordon, PLACE_OWN);
    unsigned room = cordon->solitary > own ? cordon->solitary - own : 0;
    uint64_t suspicion = ++pool->last_suspicion;
    bool is_any_separated = false;
    struct tenant *tenant;

    if (child->place.kind == PLACE_OWN)
        return false;
    while ((tenant = next_suspect(child, suspicion))) {
        /* Those that are separated already had nothing in this worker. */
        if (!tenant->own && room == 0 && !make_room(pool, cordon))
            break;
        room -= !tenant->own && room > 0;
        conduct_suspect(&tenant->conduct, suspicion, io_now_ns());
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT(.tenant = tenant->name),
                  "is separated for a while: it may have killed the worker");
        is_any_separated = true;
    }
    return is_any_separated;
}

/* ---- each second */

static uint64_t spent_us(struct tenant *tenant)
{
    return tenant->cpu_us - tenant->cpu_seen_us;
}

/* What the busiest of the others in its worker has used since the last look. */
static uint64_t busiest_neighbour_us(const struct tenant *tenant)
{
    const struct placement *own = LIST_FIRST(&tenant->version->placements), *other;
    uint64_t most = 0;

    if (!own)
        return 0;
    LIST_FOREACH (other, &own->child->placements, in_child)
        if (other->version->tenant != tenant && spent_us(other->version->tenant) > most)
            most = spent_us(other->version->tenant);
    return most;
}

static void check_busy(struct tenant *tenant)
{
    struct conduct *conduct = &tenant->conduct;
    uint64_t spent = spent_us(tenant), others = busiest_neighbour_us(tenant);
    const struct cordon_config *cordon = cordon_of(tenant);
    bool is_busy = spent > BUSY_US_PER_S && others > 0 && spent > others * BUSY_FACTOR;

    tenant->busy_looks = is_busy ? tenant->busy_looks + 1 : 0;
    tenant->calm_looks = spent < CALM_US_PER_S ? tenant->calm_looks + 1 : 0;
    if (conduct->seclusion == SECLUSION_NONE && !cordon->is_solitary &&
        tenant->busy_looks >= BUSY_LOOKS &&
        pool_count(pool_of(tenant), cordon, PLACE_OWN) < cordon->solitary) {
        log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name),
                  "uses far more CPU time than its neighbours");
        conduct->seclusion = SECLUSION_BUSY;
    } else if (conduct->seclusion == SECLUSION_BUSY && tenant->calm_looks >= CALM_LOOKS) {
        conduct->seclusion = SECLUSION_NONE;
        let_back(tenant);
    }
}

void seclude_for_renewals(struct tenant *tenant)
{
    const struct cordon_config *cordon = cordon_of(tenant);

    if (tenant->conduct.seclusion != SECLUSION_NONE || cordon->is_solitary ||
        pool_count(pool_of(tenant), cordon, PLACE_OWN) >= cordon->solitary)
        return;
    log_event(LOG_LEVEL_INFO, LOG_ABOUT(.tenant = tenant->name),
              "has its requests stopped more often than its isolates may be replaced");
    tenant->calm_looks = 0;
    tenant->conduct.seclusion = SECLUSION_BUSY;
}

void seclude_check(struct tenant *tenant, uint64_t now_ns)
{
    if (conduct_expire(&tenant->conduct, now_ns) && !cordon_of(tenant)->is_solitary)
        let_back(tenant);
    check_busy(tenant);
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
        let_back(tenant);
}
