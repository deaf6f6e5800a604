/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Computes the limits of a tenant's version by the config. Supervisor, loop thread.
 */
#include "supervisor/tenants/tenant.h"

void tenant_resolve_limits(const struct config *config, const struct cordon_config *cordon,
                           const struct manifest *manifest, struct limits *ret,
                           struct limit_origin ret_origins[static LIMITS_COUNT])
{
    struct limits_layers layers = {
        .platform_default = &config->defaults,
        .platform_maximum = &config->maximum,
        .cordon_default = &cordon->defaults,
        .cordon_maximum = &cordon->maximum,
        .tenant = &manifest->limits,
    };

    limits_trace(&layers, ret, ret_origins);
}
