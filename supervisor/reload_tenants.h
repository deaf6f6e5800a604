/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tenants' part of a reload. Supervisor, loop thread.
 */
#pragma once

#include "config/manifest.h"
#include "supervisor/reload.h"

/* Reads the folder of config->tenants and checks it against next: broken tenants are named in
 * report->tenant_errors. Checks, too, that all tenants that would serve on as they are may do so with
 * next: if not, that is in report->errors and returns -EINVAL. 0, or -ENOMEM. */
int reload_tenants_read(const struct server *server, const struct config *next,
                        struct manifest_set *ret_set, struct reload_report *report);
/* server->config is the next one by now: makes the tenants what set and the limits say. Empties set. */
void reload_tenants_apply(struct server *server, struct manifest_set *set,
                          struct reload_report *report);

/* Each second: installs what waits for a route that another tenant gives up, once it has. */
void reload_tenants_retry(struct server *server);
/* Nothing waits any more. */
struct tenants;
void reload_tenants_forget(struct tenants *tenants);
