/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sending of a request to a worker, as the worker and those who look after it know it. Embedded in what is sent;
 * requests/ owns it. What tenant, version and placement are is known to the floors above only.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdint.h>

#include "config/limits.h"

struct placement;
struct tenant;
struct version;

struct attempt {
    uint64_t
        id; /* on the wire: counter << 10 | slot; another one for each sending. 0: in no worker yet */
    struct tenant *tenant;       /* borrowed: outlives its requests */
    struct version *version;     /* counted; set when sent */
    uint32_t version_id;         /* of that */
    struct placement *placement; /* borrowed; set when sent */
    limit_set noted;             /* limits that it has met */
    limit_set exceeded;          /* that the worker said of it, see Exceeded */
    uint32_t cost_us;            /* CPU time that it was expected to take when it was sent */
};
