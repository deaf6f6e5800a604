/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The right to call a tenant. `callers` in skep.yaml has names; each stands for one tenant, by the
 * number that the tenant got when it was made, so that another tenant that gets the name later has
 * no right by it. Numbers last as long as skepd; over a restart each right is kept as a line that says whether its tenant
 * was still there. Supervisor, loop thread, and at the start before it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct tenant;
struct tenants;
struct version;

struct caller_right {
    LIST_ENTRY(caller_right) awaited; /* in the list of the tenants, while tenant is 0 */
    const char *name;                 /* borrowed: from the version's manifest */
    uint64_t tenant; /* the tenant's number; 0: awaited; CALLER_GONE: a tenant that is no more */
    bool was_here;   /* awaited, for the tenant that had the name before skepd started */
};
LIST_HEAD(caller_right_list, caller_right);

#define CALLER_GONE UINT64_MAX

/* Gives the version's names their tenants: those of the version before (NULL: there is none), else those that were kept,
 * else the tenants that have the names now, else the first to get them. Returns 0 or -ENOMEM. */
int callers_bind(struct tenants *tenants, struct version *version, const struct version *before);
void callers_free(struct version *version);
/* Binds names that waited for the tenant, which serves from now on, to it. */
void callers_on_served(struct tenants *tenants, const struct tenant *tenant);
/* Notes that the tenant of that name is no more, served or not: neither its rights nor those of others to it are kept. */
void callers_on_removed(struct tenants *tenants, const char *name);
/* Returns whether the version lists the tenant. */
bool callers_may_call(const struct version *version, const struct tenant *tenant);

/* ---- over a restart */

#define CALLERS_MAX_BYTES (16U << 20)

/* The text has at most CALLERS_MAX_BYTES. */

/* Takes the rights that were kept, before any tenant is installed. 0, -ENOMEM, or -EBADMSG: the text is no such text, and
 * then no name that is listed until callers_settle stands for any tenant. */
int callers_read(struct tenants *tenants, const char *text, size_t size);
/* Ends the rights whose tenants were removed while skepd did not run: all tenants are installed. */
void callers_settle(struct tenants *tenants);
/* Returns the rights as text for callers_read, freed by the caller; NULL: out of memory. */
char *callers_write(const struct tenants *tenants, size_t *ret_size);
/* Sets the function to call when the text may have changed; it may only note that. owner is borrowed. NULL: none any
 * more. */
void callers_watch(struct tenants *tenants, void (*on_changed)(void *owner), void *owner);
/* Calls it: a tenant serves another version, or is no more. */
void callers_changed(const struct tenants *tenants);
void callers_done(struct tenants *tenants);
