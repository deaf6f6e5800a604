/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog's state of a worker between two looks; embedded in struct worker, so that it ends
 * with the worker. For watchdog.c only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct watchdog_vigil {
    pid_t pid;
    unsigned state;    /* enum worker_state */
    uint64_t since_ns; /* time of the look that first saw this state */
    uint64_t signs;
    bool was_asked;
};
