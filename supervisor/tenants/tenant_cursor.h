/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place in the list of tenants that is kept from one turn of the loop to the next, so that no callback has to
 * look at all of them: each tenant that stays in the list is taken once, while others come and go.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdint.h>
#include <sys/queue.h>

struct tenant;
struct tenants;

/* Most tenants that one callback looks at. */
#define TENANT_LOOKS_MAX 512U

/* All zero: closed. */
struct tenant_cursor {
    LIST_ENTRY(tenant_cursor) entry;
    struct tenants *tenants; /* borrowed; NULL: closed */
    struct tenant *next;     /* borrowed; NULL: behind the last one */
    uint32_t n_taken;        /* tenants before the cursor, with those that were removed since */
    uint32_t n_removed;      /* the removed ones of these */
};
LIST_HEAD(tenant_cursor_list, tenant_cursor);

/* Puts the cursor before the first tenant. Close it before the tenants are freed. */
void tenant_cursor_open(struct tenant_cursor *cursor, struct tenants *tenants);
/* Closes the cursor; a closed one stays closed. */
void tenant_cursor_close(struct tenant_cursor *cursor);
/* Returns the next tenant, borrowed, and goes behind it; NULL: there is none. */
struct tenant *tenant_cursor_take(struct tenant_cursor *cursor);
/* Returns the number of tenants that the cursor has taken or will take, as far as is known now. */
uint32_t tenant_cursor_total(const struct tenant_cursor *cursor);

/* ---- for tenant.c */

/* Counts a tenant that was added to the end of the list. */
void tenant_cursors_add(struct tenants *tenants, struct tenant *tenant);
/* Moves cursors past a tenant that is to be removed from the list. */
void tenant_cursors_remove(struct tenants *tenants, const struct tenant *tenant);
