/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the files of a reload share, and the tenants' part of it. No other file
 * includes this. Supervisor, loop thread.
 */
#pragma once

#include <sys/queue.h>

#include "config/manifest.h"
#include "supervisor/reload/reload.h"
#include "supervisor/tenants/tenant.h"

/* Tenants that wait for a route that another gives up: see tenants.c. */
struct reload_waiting;
struct reload_waits {
    LIST_HEAD(, reload_waiting) list;
    struct event *second; /* NULL: none waits */
};

struct reload {
    struct reload_options with;
    struct reload_run *run; /* the current run; NULL: none */
    struct reload_waits waits;
};

/* Checks the tenants that were read from the folder of config->tenants: those that cannot be installed are named in
 * report->tenant_errors, and removed from set. Checks, too, that all unchanged tenants may
 * keep serving with next: if not, fills report->errors and returns -EINVAL. 0, or -ENOMEM. */
int reload_tenants_check(const struct reload *reload, const struct config *next,
                         struct manifest_set *set, struct reload_report *report);

/* The progress of the tenants' part. Starts as { .set = … }; when it is given up, tenants is
 * closed. */
struct reload_walk {
    struct manifest_set *set; /* borrowed; emptied on the way */
    enum { RELOAD_BEGINNING, RELOAD_REMOVING, RELOAD_RENEWING, RELOAD_ADDING } stage;
    struct tenant_cursor tenants; /* cursor of the tenants that are there */
    /* The tenant whose files are being compared; it may go meanwhile, or get another version. */
    struct {
        struct manifest *
            *slot; /* borrowed; its manifest in the set; NULL: no comparison is under way */
        uint32_t version;
        struct manifest_place place;
    } comparing;
    unsigned added; /* number of tenants of the set that were added */
};

/* Changes the tenants to those of set, with the limits of the new config, for about cpu_ns of
 * the thread's time; UINT64_MAX: all of them. Returns whether it has come to the end; else call it
 * again. Others may have changed the tenants meanwhile. */
bool reload_tenants_step(struct reload *reload, struct reload_walk *walk,
                         struct reload_report *report, uint64_t cpu_ns);

/* Drops tenants that wait for a route of another. */
void reload_tenants_forget(struct reload *reload);
