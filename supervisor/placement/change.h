/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots after a change of its cordons: workers come and go until they are what the config says.
 * A leaving worker serves its tenants until they are loaded elsewhere. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/placement/placement.h"

/* Applies a changed config: values may have changed, and cordons may be new or in the list of former
 * ones. May be called without a change. */
void placements_apply_config(struct placements *placements);
/* Ends leaving workers that no tenant needs, and then former cordons. Called each second. */
void placements_check_change(struct placements *placements, uint64_t now_ns);

/* Reserves room for n more former cordons. Returns 0 or -ENOMEM. */
int placements_reserve_former(struct placements *placements, unsigned n);
/* Takes a cordon that the config does not have any more, and frees it when no tenant and no worker is left in it.
 * Room must be reserved. */
void placements_add_former(struct placements *placements, struct cordon_config *cordon);
/* Returns the former cordon of that name, which is the caller's from then on; NULL: there is none. */
struct cordon_config *placements_take_former(struct placements *placements, const char *name);
