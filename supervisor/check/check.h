/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles and links the modules of tenants, and runs none, each tenant in a throw-away jailed
 * worker. For `skepd --compile`, which serves nothing. Supervisor process, main thread.
 */
#pragma once

#include <stdio.h>

#include "config/manifest.h"

struct event_base;
struct jail_state;
struct spawner;

struct check_options {
    struct event_base *base; /* without other events; all are borrowed for the call */
    struct spawner *spawner; /* not attached yet */
    const struct jail_state *jail;
    /* For cordons and limits; a cordon that is not there counts as the first one. */
    const struct config *config;
};

/* Faults in the tenants' files. */
struct check_faults {
    struct config_errors errors;
    struct config_errors notes; /* faults in files to which no import statement leads */
};

/* Checks one tenant after the other; runs the loop until the last one is done. 0, or -errno, which is logged, when no worker
 * can be started. faults: { 0 }, or the faults of before; check_faults_done in any case. */
int check_modules(const struct check_options *options, struct manifest *const *tenants,
                  unsigned n_tenants, struct check_faults *faults);
void check_faults_done(struct check_faults *faults);

/* Prints one JSON object with the lists errors and notes, each of objects with file, line, column (0: unknown) and text.
 * 0 or -errno. */
int check_print(const struct check_faults *faults, FILE *file);
