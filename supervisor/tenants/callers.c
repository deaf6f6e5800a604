/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/callers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/tenants/tenant.h"

static const struct caller_right *find(const struct version *version, const char *name)
{
    if (version)
        for (unsigned i = 0; i < version->manifest->n_callers; i++)
            if (strcmp(version->rights[i].name, name) == 0)
                return &version->rights[i];
    return NULL;
}

int callers_bind(struct tenants *tenants, struct version *version, const struct version *before)
{
    unsigned n = version->manifest->n_callers;

    if (n == 0)
        return 0;
    version->rights = calloc(n, sizeof *version->rights);
    if (!version->rights)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        struct caller_right *right = &version->rights[i];
        right->name = version->manifest->callers[i];
        const struct caller_right *old = find(before, right->name);
        const struct tenant *tenant =
            old ? NULL : tenant_find(tenants, right->name, strlen(right->name));
        right->tenant = old ? old->tenant : tenant ? tenant->number : 0;
        if (right->tenant == 0)
            LIST_INSERT_HEAD(&tenants->awaited, right, awaited);
    }
    return 0;
}

void callers_free(struct version *version)
{
    for (unsigned i = 0; version->rights && i < version->manifest->n_callers; i++)
        if (version->rights[i].name && version->rights[i].tenant == 0)
            LIST_REMOVE(&version->rights[i], awaited);
    free(version->rights);
}

void callers_on_made(struct tenants *tenants, const struct tenant *tenant)
{
    struct caller_right *right, *next;

    for (right = LIST_FIRST(&tenants->awaited); right; right = next) {
        next = LIST_NEXT(right, awaited);
        if (strcmp(right->name, tenant->name) != 0)
            continue;
        LIST_REMOVE(right, awaited);
        right->tenant = tenant->number;
    }
}

bool callers_may_call(const struct version *version, const struct tenant *tenant)
{
    for (unsigned i = 0; i < version->manifest->n_callers; i++)
        if (version->rights[i].tenant == tenant->number)
            return true;
    return false;
}
