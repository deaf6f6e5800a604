/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of placement: a cordon with tenants and workers, none of which is a process, on a false
 * clock (tests/events/clock.h). All code from tenants to placement is real; the test plays the
 * workers, and takes the place of requests/. The linker wraps spawner_spawn.
 */
#pragma once

#include "supervisor/placement/placement.h"

#define TOWN_TENANTS 4
#define TOWN_WORKERS 16 /* at the most, in all */

struct town {
    struct event_base *base;
    struct config *config;
    struct cordon_config *cordon; /* cordon of all tenants; a test may change the values */
    struct cordon_config *other;
    struct record record;
    struct life life;
    struct health health;
    struct jail_state jail;
    struct slots *slots;
    struct tenants *tenants;
    struct placements *placements;
    struct tenant *tenant[TOWN_TENANTS];
    int fds[TOWN_WORKERS]; /* the workers' ends of the channels */
    unsigned n_workers;
    pid_t last_pid;
    /* Calls that requests/ would have got. */
    unsigned pumped[TOWN_TENANTS]; /* on_tenant */
    unsigned n_refused;
    const struct tenant *refused;
    enum error_code refused_code;
    unsigned refused_retry_s;
    unsigned n_withdrawn;
    bool others_wait; /* the answer of requests/ */
};

/* Makes a town with one worker, which is shared and has all tenants loaded. */
struct town *town_new(void);
struct town *town_free(struct town *town);
/* Makes the started worker of the slot ready. */
struct worker *town_make_ready(struct town *town, struct slot *slot);
/* Returns the worker of the tenant's next request; NULL: none is ready. */
struct worker *town_find_worker(const struct town *town, unsigned tenant);
struct slot *town_find_slot(const struct town *town, unsigned tenant);
/* Loads the tenant's version in that worker. */
struct placement *town_load(struct town *town, unsigned tenant, struct worker *worker);
struct placement *town_find(const struct town *town, unsigned tenant, const struct worker *worker);
/* Looks at all tenants, as placement does each second. */
void town_look(struct town *town);
/* Does the rest of placement's work of each second. */
void town_care(struct town *town);
/* Lets that many seconds pass, with a look after each; the tenants use no CPU time. */
void town_pass_s(struct town *town, unsigned seconds);
enum seclusion town_seclusion(const struct town *town, unsigned tenant);
