/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/tenant_cursor.h"

#include <stddef.h>

#include "supervisor/tenants/tenant.h"

void tenant_cursor_open(struct tenant_cursor *cursor, struct tenants *tenants)
{
    tenant_cursor_close(cursor);
    *cursor = (struct tenant_cursor){ .tenants = tenants, .next = TAILQ_FIRST(&tenants->list) };
    LIST_INSERT_HEAD(&tenants->cursors, cursor, entry);
}

void tenant_cursor_close(struct tenant_cursor *cursor)
{
    if (cursor->tenants)
        LIST_REMOVE(cursor, entry);
    *cursor = (struct tenant_cursor){ 0 };
}

struct tenant *tenant_cursor_take(struct tenant_cursor *cursor)
{
    struct tenant *tenant = cursor->next;

    if (!tenant)
        return NULL;
    cursor->next = TAILQ_NEXT(tenant, entry);
    cursor->n_taken++;
    return tenant;
}

uint32_t tenant_cursor_total(const struct tenant_cursor *cursor)
{
    return cursor->tenants->n_listed + cursor->n_removed;
}

void tenant_cursors_add(struct tenants *tenants, struct tenant *tenant)
{
    struct tenant_cursor *cursor;

    LIST_FOREACH (cursor, &tenants->cursors, entry)
        if (!cursor->next)
            cursor->next = tenant;
}

/* The list is in the order of the tenants' numbers. */
void tenant_cursors_remove(struct tenants *tenants, const struct tenant *tenant)
{
    struct tenant_cursor *cursor;

    LIST_FOREACH (cursor, &tenants->cursors, entry) {
        if (cursor->next == tenant)
            cursor->next = TAILQ_NEXT(tenant, entry);
        else if (!cursor->next || tenant->number < cursor->next->number)
            cursor->n_removed++;
    }
}
