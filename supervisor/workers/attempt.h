/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sending of a request to a worker, as far as this floor knows it. Embedded in a struct
 * request, which requests/ owns. Only the floors above know what tenant, version and placement are.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdint.h>

#include "config/limits.h"

struct placement;
struct tenant;
struct version;

struct attempt {
    /* Number on the wire: counter << 10 | row; another for each sending. 0: in no worker yet. */
    uint64_t id;
    struct tenant *tenant;       /* borrowed: outlives its requests */
    struct version *version;     /* counted; set when sent */
    uint32_t version_id;         /* id of that version */
    struct placement *placement; /* borrowed; set when sent */
    limit_set noted;             /* limits that the attempt has met */
    limit_set exceeded;          /* limits that the worker reported for it, see Exceeded */
    uint32_t cost_us;            /* expected CPU time when it was sent */
};
