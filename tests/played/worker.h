/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers without processes, for tests of a floor: each is the other end of a real channel, and
 * honest. A worker says hello, answers pings and unloads at once; loads and requests wait until the
 * test says what comes of them. The linker has the supervisor start them: link with
 * --wrap=spawner_spawn.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker.pb-c.h"

struct slots;

/* Workers that are asked for from now on are of these slots. */
void played_workers_start(struct event_base *base, struct slots *slots);
/* Closes all; their ends are not told. */
void played_workers_end(void);

/* Isolates of the tenant that load, serve (or would), and its requests in workers. */
unsigned played_loading(const char *tenant);
unsigned played_loaded(const char *tenant);
unsigned played_requests(const char *tenant);

/* The oldest load of the tenant ends: text is what is wrong, NULL: nothing. Fails the test if there is none. */
void played_load_ends(const char *tenant, const char *text);
/* The tenant's oldest request is answered with that status; 0: its handler has thrown. Fails the test if there is none. */
void played_request_ends(const char *tenant, unsigned status);
/* All workers end, killed by that signal. */
void played_workers_die(int signal);
