/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a reload share, and the tenants' part of it. No other includes this. Supervisor, loop thread.
 */
#pragma once

#include <sys/queue.h>

#include "config/manifest.h"
#include "supervisor/reload/reload.h"
#include "supervisor/tenants/tenant.h"

/* Tenants that wait for a route which another gives up: see tenants.c. */
struct reload_waiting;
struct reload_waits {
    LIST_HEAD(, reload_waiting) list;
    struct event *second; /* NULL: none waits */
};

struct reload {
    struct reload_options with;
    struct reload_run *run; /* that is under way; NULL: none */
    struct reload_waits waits;
};

/* Checks what was read of the folder of config->tenants: tenants that cannot come are named in
 * report->tenant_errors, and are not in set afterwards. Checks, too, that all tenants that would serve on as they
 * are may do so with next: if not, that is in report->errors and returns -EINVAL. 0, or -ENOMEM. */
int reload_tenants_check(const struct reload *reload, const struct config *next,
                         struct manifest_set *set, struct reload_report *report);

/* How far it has come. Starts as { .set = … }; when it is given up, tenants is closed. */
struct reload_walk {
    struct manifest_set *set; /* borrowed; emptied on the way */
    enum { RELOAD_BEGINNING, RELOAD_REMOVING, RELOAD_RENEWING, RELOAD_ADDING } stage;
    struct tenant_cursor tenants; /* of those that are there */
    unsigned added;               /* of the set */
};

/* The config is the next one by now: makes the tenants what set and the limits say, for about cpu_ns of
 * the thread's time; UINT64_MAX: all of them. Returns whether it has come to the end; else it is to be called again,
 * and others may have changed the tenants meanwhile. */
bool reload_tenants_step(struct reload *reload, struct reload_walk *walk,
                         struct reload_report *report, uint64_t cpu_ns);

/* Nothing waits any more for a route that another tenant has. */
void reload_tenants_forget(struct reload *reload);
