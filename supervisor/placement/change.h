/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool after a change of its cordons: workers come and go until they are what the config says.
 * Whoever goes serves its tenants until they are loaded elsewhere. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/workers/child.h"

/* Values of server->config and its cordons have changed, and cordons may be new or in the list of former
 * ones. Also right when nothing has changed. */
void pool_apply(struct pool *pool);
/* Each second: workers that leave go when nobody needs them, and then the former cordons. */
void pool_check_change(struct pool *pool, uint64_t now_ns);

/* Room for so many more former cordons. 0 or -ENOMEM. */
int pool_reserve_former(struct pool *pool, unsigned n);
/* The config has it no more: the pool owns it, and frees it when no tenant and no worker is left in it.
 * Room must be reserved. */
void pool_add_former(struct pool *pool, struct cordon_config *cordon);
/* The former cordon of that name, which is the caller's from now on; NULL: there is none. */
struct cordon_config *pool_take_former(struct pool *pool, const char *name);
