/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots after a change of its cordons: workers come and go until they are what the config says.
 * Whoever goes serves its tenants until they are loaded elsewhere. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/placement/placement.h"

/* Values of the config and its cordons have changed, and cordons may be new or in the list of former
 * ones. Also right when nothing has changed. */
void placements_apply_config(struct placements *placements);
/* Each second: workers that leave go when nobody needs them, and then the former cordons. */
void placements_check_change(struct placements *placements, uint64_t now_ns);

/* Room for so many more former cordons. 0 or -ENOMEM. */
int placements_reserve_former(struct placements *placements, unsigned n);
/* The config has it no more: placement owns it, and frees it when no tenant and no worker is left in it.
 * Room must be reserved. */
void placements_add_former(struct placements *placements, struct cordon_config *cordon);
/* The former cordon of that name, which is the caller's from now on; NULL: there is none. */
struct cordon_config *placements_take_former(struct placements *placements, const char *name);
