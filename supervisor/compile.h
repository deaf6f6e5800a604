/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skepd --compile`, which `skep check` runs: finds faults in the modules of some tenants without
 * running them. Starts a spawner and throw-away workers, and serves nothing.
 */
#pragma once

struct compile_options {
    const char *config; /* skepd.yaml; NULL: the defaults of one */
    const char *worker; /* the program */
    char *const *paths; /* scripts and tenants' folders; NULL-ended */
};

/* Prints a JSON object to standard output, see check_print. Call at the start of a process that does nothing else. 0, or -errno,
 * which is logged: this host gives no jail, the config cannot be read, and the like. */
int compile_run(const struct compile_options *options);
