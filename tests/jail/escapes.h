/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways out of the jail, as calls with the verdict that each should get. Data, for
 * test_jail_escapes.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/jail/scratch.h"

/* Verdict of a sealed probe: the filter raises SIGSYS. Any other value is the error that the filter
 * gives instead. */
#define ESCAPE_REFUSED 0

/* Verdicts of a probe with every layer but the filters. Any other value is the error that the call
 * must give. */
enum {
    ESCAPE_NOT_TRIED = 0, /* only the filter stops it, or the host's settings decide */
    ESCAPE_FAILS = -1,    /* with any error: which layer is first depends on the kernel */
    ESCAPE_HARMLESS = -2, /* may succeed; nobody outside is hit */
};

/* Arguments that are known only when the test runs. */
#define ESCAPE_SIBLING (INT64_C(0x5ca8) << 48)
#define ESCAPE_SUPERVISOR (INT64_C(0x5ca9) << 48)
#define ESCAPE_SPAWNER (INT64_C(0x5caa) << 48)

struct escape {
    const char *what; /* NULL: the end */
    const char *call; /* libseccomp's name; not tried where the architecture does not have it */
    int64_t args[6];
    int sealed;
    int entered;
};

struct escape_group {
    const char *name; /* in the tests' names, before `what` */
    const struct escape *escapes;
    bool jit; /* jit of the group's probes */
};

extern const struct escape_group escape_groups[];
extern const size_t escape_n_groups;

/* Escapes to others: processes, descriptors, files, sockets, programs. escapes_reach.c */
extern const struct escape escapes_namespaces[], escapes_proc[], escapes_ptrace[],
    escapes_signals[], escapes_passing[], escapes_opening[], escapes_sockets[], escapes_exec[],
    escapes_memory[], escapes_memory_jit[], escapes_peeking[];

/* Escapes through the kernel: its subsystems, and the worker's own credentials. escapes_kernel.c */
extern const struct escape escapes_keyrings[], escapes_io_uring[], escapes_subsystems[],
    escapes_segments[], escapes_mounts[], escapes_prctl[], escapes_seccomp[], escapes_identity[],
    escapes_limits[], escapes_administration[], escapes_scheduling[], escapes_terminal[];
