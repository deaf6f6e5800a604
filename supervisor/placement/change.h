/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots after a change of its cordons: workers come and go until they are what the config says.
 * Whoever goes serves its tenants until they are loaded elsewhere. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

/* Values of server->config and its cordons have changed, and cordons may be new or in the list of former
 * ones. Also right when nothing has changed. */
void slots_apply(struct slots *slots);
/* Each second: workers that leave go when nobody needs them, and then the former cordons. */
void slots_check_change(struct slots *slots, uint64_t now_ns);

/* Room for so many more former cordons. 0 or -ENOMEM. */
int slots_reserve_former(struct slots *slots, unsigned n);
/* The config has it no more: the slots own it, and free it when no tenant and no worker is left in it.
 * Room must be reserved. */
void slots_add_former(struct slots *slots, struct cordon_config *cordon);
/* The former cordon of that name, which is the caller's from now on; NULL: there is none. */
struct cordon_config *slots_take_former(struct slots *slots, const char *name);
