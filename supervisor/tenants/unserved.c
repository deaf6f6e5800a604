/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/unserved.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "supervisor/tenants/router.h"
#include "supervisor/tenants/tenant.h"

static void destroy(struct tenants *tenants, struct unserved *unserved)
{
    if (unserved->target)
        router_remove(tenants->router, unserved->target);
    (void) tenant_free(unserved->target);
    (void) manifest_free(unserved->manifest);
    free(unserved->text);
    free(unserved);
}

/* Adds the routes. Returns -ENOMEM if one could not be added; routes that another tenant has are
 * left out. */
static int add_routes(struct router *router, const struct unserved *unserved)
{
    const struct manifest *manifest = unserved->manifest;

    for (unsigned i = 0; manifest && i < manifest->n_routes; i++)
        if (router_add(router, &manifest->routes[i], unserved->target) == -ENOMEM)
            return -ENOMEM;
    return 0;
}

int unserved_add(struct tenants *tenants, const char *name, const char *version, const char *text,
                 struct manifest *manifest)
{
    struct unserved *unserved = calloc(1, sizeof *unserved);

    unserved_forget(tenants, name);
    if (!unserved) {
        (void) manifest_free(manifest);
        return -ENOMEM;
    }
    unserved->manifest = manifest;
    (void) snprintf(unserved->version, sizeof unserved->version, "%s", version);
    unserved->text = strdup(text);
    int r = unserved->text ? tenant_new(tenants, name, "", &unserved->target) : -ENOMEM;
    if (r == 0)
        r = add_routes(tenants->router, unserved);
    if (r < 0) {
        destroy(tenants, unserved);
        return r;
    }
    unserved->target->unserved = unserved;
    LIST_INSERT_HEAD(&tenants->unserved, unserved, entry);
    return 0;
}

const struct unserved *unserved_next(const struct tenants *tenants, const struct unserved *unserved)
{
    return unserved ? LIST_NEXT(unserved, entry) : LIST_FIRST(&tenants->unserved);
}

bool unserved_is_of_folder(const struct unserved *unserved)
{
    return unserved->manifest && unserved->version[0] == '\0';
}

static struct unserved *find(const struct tenants *tenants, const char *name)
{
    struct unserved *unserved;

    LIST_FOREACH (unserved, &tenants->unserved, entry)
        if (strcmp(unserved->target->name, name) == 0)
            return unserved;
    return NULL;
}

const struct unserved *unserved_find(const struct tenants *tenants, const char *name)
{
    return find(tenants, name);
}

unsigned unserved_count(const struct tenants *tenants)
{
    const struct unserved *unserved;
    unsigned n = 0;

    LIST_FOREACH (unserved, &tenants->unserved, entry)
        n++;
    return n;
}

void unserved_forget(struct tenants *tenants, const char *name)
{
    struct unserved *unserved = find(tenants, name);

    if (!unserved)
        return;
    LIST_REMOVE(unserved, entry);
    destroy(tenants, unserved);
}

void unserved_forget_all(struct tenants *tenants)
{
    struct unserved *unserved;

    while ((unserved = LIST_FIRST(&tenants->unserved))) {
        LIST_REMOVE(unserved, entry);
        destroy(tenants, unserved);
    }
}
