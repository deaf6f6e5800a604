/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confinement of the worker process. Runs once, in the worker, before hello. The rows come from
 * sandbox-policy/. Each failure is fatal for the worker (the caller names the step and exits): a
 * worker never runs with fewer layers than it was told to have.
 */
#pragma once

#include <stdbool.h>

#include "common/jit.h"
#include "common/layers.h"

struct scoreboard;

struct jail_options {
    layer_set layers;  /* layers that this worker has; those of the spawner are in place already */
    enum jit_mode jit; /* JIT_OFF: no executable mapping may be made */
    int channel_fd;    /* stays open; read, write and poll only */
    struct scoreboard *scoreboard; /* borrowed: for the last words; may be NULL */
    bool is_report;                /* jail_report.h: a refused call fails, and the process lives */
};

/* The layer and step that failed. */
struct jail_failure {
    enum jail_layer layer;
    const char *step; /* static */
};

/* Installs the handler of SIGSYS and the start-up filter. First thing in main(), single-threaded. 0
 * or -errno with *ret_failure. */
int jail_start(const struct jail_options *options, struct jail_failure *ret_failure);

/* Makes all layers but the running filter: empty root, rlimits, capabilities, securebits,
 * no_new_privs, dumpable, speculation controls, Landlock. After everything that needs files is
 * loaded; the process is single-threaded. 0 or -errno with *ret_failure. */
int jail_enter(const struct jail_options *options, struct jail_failure *ret_failure);

/* Loads the running filter, for all threads (TSYNC), on top of the first. The sentry runs already.
 * 0 or -errno with *ret_failure. */
int jail_seal(const struct jail_options *options, struct jail_failure *ret_failure);
