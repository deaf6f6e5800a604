/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of tenants, one number in all reports: the memory of an isolate by its worker's claim,
 * cut to its limits, and the bodies that skepd keeps for the tenant. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct placement;
struct tenant;

struct memory_use {
    uint64_t heap_kib, external_kib, bodies_kib;
};

void memory_add_isolate(const struct placement *placement, struct memory_use *memory);
void memory_add_bodies(const struct tenant *tenant, struct memory_use *memory);
/* Adds the isolates of the tenant's versions, and its bodies. */
void memory_add_tenant(const struct tenant *tenant, struct memory_use *memory);
uint64_t memory_sum_kib(const struct memory_use *memory);

/* Returns whether answers that wait for their clients fill the isolate, by its worker's claim: they are at least a quarter of external_mib, and
 * three quarters of it are used. A further request would meet the limit because of what clients do. False while no request is in the
 * isolate. */
bool memory_is_held_by_clients(const struct placement *placement);
