/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tenant.c and tenant_stage.c share. No other includes this.
 */
#pragma once

#include "supervisor/tenants/tenant.h"

/* 0 or -ENOMEM. It is in no list yet. */
int tenant_new(struct server *server, const char *name, const char *dir,
               struct tenant **ret_tenant);
struct tenant *tenant_free(struct tenant *tenant);
/* manifest is owned from success on. 0, -ENOENT if there is no such cordon, or -ENOMEM. */
int tenant_version_new(struct server *server, struct tenant *tenant, struct manifest *manifest,
                       struct version **ret_version);
/* Takes the version out of its workers: at once where it is idle, else when it is. */
void tenant_retire_version(struct version *version);
/* The routes of another version instead of those of the serving one; as before on error. */
int tenant_swap_routes(struct tenant *tenant, const struct manifest *manifest);
void tenant_drop_candidate(struct tenant *tenant);
