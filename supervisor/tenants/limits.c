/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that a tenant's version has, by the config. Supervisor, loop thread.
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
