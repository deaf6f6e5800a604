/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that a worker may report as met, by enum Limit of worker.proto. Supervisor.
 */
#pragma once

#include <stdint.h>

#include "config/limits.h"
#include "supervisor/record/incident.h"
#include "worker.pb-c.h"

#define EXCEEDED_LIMITS (SKEP__WORKER__LIMIT__LIMIT_LOG_KIB + 1)

/* The row of limit_table, and how many thousandths of the limit's unit one of `used` is. */
struct exceeded_limit {
    unsigned index;
    uint64_t numerator, denominator;
    enum incident_stage stage;
};
extern const struct exceeded_limit exceeded_limits[EXCEEDED_LIMITS];

/* Returns observed limits for a frame to a worker: bits by enum Limit. */
uint32_t placement_observed_limits(limit_set observed);
