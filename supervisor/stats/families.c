/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table, and what goes through it; of_service.c, of_tenants.c and of_workers.c have the samples.
 */
#include "supervisor/stats/families.h"

#include "common/cleanup.h"
#include "supervisor/stats/families_internal.h"
#include "supervisor/tenants/tenant.h"

static const struct family_set {
    const struct family *families;
    const size_t *n;
} sets[] = {
    { families_of_service, &n_families_of_service },
    { families_of_tenants, &n_families_of_tenants },
    { families_of_workers, &n_families_of_workers },
};

/* NULL: there are no more. */
static const struct family *find_family(unsigned index)
{
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        if (index < *sets[i].n)
            return &sets[i].families[index];
        index -= (unsigned) *sets[i].n;
    }
    return NULL;
}

/* One tenant, or the rest after the last of them. Returns whether there is more of the family. */
static bool write_tenant(struct families_cursor *cursor, const struct family *family,
                         struct text *text)
{
    const struct tenant *tenant = tenant_cursor_take(&cursor->tenants);

    if (!tenant) {
        family_write_rest(cursor->from, &cursor->rest, family, text);
        return false;
    }
    if (tenant->counted.has_series)
        family_write_tenant(tenant, family, text);
    else if (family->needs_state)
        family_add_state(tenant, &cursor->rest);
    return true;
}

static bool write_some(struct families_cursor *cursor, const struct family *family,
                       struct text *text)
{
    if (!cursor->has_begun) {
        text_family(text, family->name, family->type, family->help);
        tenant_cursor_open(&cursor->tenants, cursor->from->tenants);
        cursor->rest = (struct families_state){ 0 };
        cursor->has_begun = true;
    }
    if (family->write_source)
        return write_tenant(cursor, family, text);
    family->write(cursor->from, family->name, text);
    return false;
}

bool families_write(struct families_cursor *cursor, struct text *text, size_t enough)
{
    const struct family *family;
    unsigned n_looks = 0;

    while ((family = find_family(cursor->family))) {
        if (text->size >= enough || n_looks++ >= TENANT_LOOKS_MAX)
            return true;
        if (!write_some(cursor, family, text)) {
            cursor->family++;
            cursor->has_begun = false;
        }
    }
    return false;
}

void families_cursor_done(struct families_cursor *cursor)
{
    tenant_cursor_close(&cursor->tenants);
}
