/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the watchdog keeps of a worker from one look to the next; embedded in struct worker, which is where it
 * goes when the worker does. For watchdog.c only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct watchdog_vigil {
    pid_t pid;
    unsigned state;    /* enum worker_state */
    uint64_t since_ns; /* since when it is in it, seen at a look */
    uint64_t signs;
    bool was_asked;
};
