/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines without files, for tests of the process around them: what an operation does is its name (engine.c has them). The test and
 * the process share a page.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "tests/unit/data_process/player.h"

struct engine_play {
    atomic_uint n_opened, n_open, n_runs, n_running, n_interrupts;
    atomic_uint is_released; /* a futex: 1 lets "hold" and "keep" go on */
    unsigned kv_ms;          /* 0: DATA_KV_MS */
};

extern struct engine_play *engine_play; /* shared; set by player_begin */

/* Starts a data process with these engines: a fork that runs data's own code. */
void player_begin(struct player *player);
/* The same with another time of key-value. */
void player_begin_with(struct player *player, unsigned kv_ms);
/* Lets held operations go on. */
void engine_release(void);
/* Waits until n operations run. */
void engine_await_running(unsigned n);
