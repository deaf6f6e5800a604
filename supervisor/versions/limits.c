/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applies a change of the config to the limits of a tenant's versions, and a change of the tenant's secrets to its isolates.
 * Supervisor, loop thread.
 */
#include "common/cleanup.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/versions/internal.h"

/* Limits that a worker gets with a version's files; the supervisor enforces the others. */
#define LIMIT_BIT(field) ((limit_set) 1 << LIMIT_INDEX(field))
static const limit_set told_limits = LIMIT_BIT(cpu_ms) | LIMIT_BIT(cpu_startup_ms) |
                                     LIMIT_BIT(heap_mib) | LIMIT_BIT(external_mib) |
                                     LIMIT_BIT(timers) | LIMIT_BIT(log_kib) | LIMIT_BIT(hung_ms);

/* Returns the limits that differ, in value or in being observed only. */
static limit_set differing(const struct version *version, const struct limits *limits,
                           limit_set observed)
{
    limit_set set = version->observed ^ observed;

    for (size_t i = 0; i < LIMITS_COUNT; i++)
        if (limit_get(&version->limits, &limit_table[i]) != limit_get(limits, &limit_table[i]))
            set |= (limit_set) 1 << i;
    return set;
}

/* Sets all limits but the kept ones. */
static void set_limits(struct version *version, const struct limits *limits,
                       const struct limit_origin *origins, limit_set observed, limit_set kept)
{
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        if ((kept >> i & 1U) != 0)
            continue;
        *limit_at(&version->limits, &limit_table[i]) = limit_get(limits, &limit_table[i]);
        version->origins[i] = origins[i];
    }
    version->observed = (version->observed & kept) | (observed & ~kept);
}

/* Returns the limits that differ and could not be set, as its workers know them. */
static limit_set renew_version(struct version *version, limit_set *ret_differing)
{
    const struct config *config = version->tenant->tenants->config;
    limit_set observed = limits_observed(config, version->cordon);
    struct limit_origin origins[LIMITS_COUNT];
    struct limits limits;

    tenant_resolve_limits(config, version->cordon, version->manifest, &limits, origins);
    limit_set differ = differing(version, &limits, observed);
    limit_set told = LIST_EMPTY(&version->placements) && version->refs == 1 ? 0 : told_limits;
    set_limits(version, &limits, origins, observed, differ & told);
    *ret_differing |= differ;
    return differ & told;
}

/* Returns whether the version's isolates have values in env that were changed since. Those that are injected are asked for at
 * each fetch. */
static bool has_old_secrets(const struct version *version)
{
    return version->secrets_stamp !=
           secrets_stamp(version->tenant->tenants->secrets, version->manifest);
}

bool version_has_old_limits(const struct version *version)
{
    const struct config *config = version->tenant->tenants->config;
    struct limit_origin origins[LIMITS_COUNT];
    struct limits limits;

    tenant_resolve_limits(config, version->cordon, version->manifest, &limits, origins);
    return differing(version, &limits, limits_observed(config, version->cordon)) != 0 ||
           has_old_secrets(version);
}

int versions_renew_limits(struct tenant *tenant)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    struct manifest *copy;
    limit_set differ = 0;
    bool is_old = renew_version(tenant->version, &differ) != 0 || has_old_secrets(tenant->version);

    if (tenant->candidate) { /* the rest of both changes when it serves, or is refused */
        (void) renew_version(tenant->candidate, &differ);
        is_old = false;
    }
    if (differ != 0)
        ledger_on_limits(tenant);
    /* A version that has not loaded yet gets the others when it serves: no other version may
     * overtake it. */
    if (!is_old || tenant->version->listener || tenant->deployed.is_unrouted)
        return differ != 0;
    int r = manifest_copy(tenant->version->manifest, &copy);
    if (r < 0)
        return r;
    r = versions_install(versions_of(tenant), copy, tenant->dir, &failure);
    if (r < 0)
        (void) manifest_free(copy);
    return r < 0 ? r : 1;
}
