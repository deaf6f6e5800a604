/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes all families by their rows; of_service.c, of_tenants.c and of_workers.c have the rows.
 */
#include "supervisor/stats/families.h"

#include <assert.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "supervisor/stats/families_internal.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/slots.h"

static const struct family_set {
    const struct family *families;
    const size_t *n;
} sets[] = {
    { families_of_service, &n_families_of_service },
    { families_of_tenants, &n_families_of_tenants },
    { families_of_workers, &n_families_of_workers },
};

const struct family *family_get(unsigned index)
{
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        if (index < *sets[i].n)
            return &sets[i].families[index];
        index -= (unsigned) *sets[i].n;
    }
    return NULL;
}

const char *family_type_name(enum family_type type)
{
    static const char *const names[FAMILY_TYPES] = {
        [FAMILY_COUNTER] = "counter",
        [FAMILY_GAUGE] = "gauge",
        [FAMILY_HISTOGRAM] = "histogram",
    };

    return names[type];
}

static bool family_is_of_tenants(const struct family *family)
{
    return family->read_tenant || family->read_histogram || family->list_tenant;
}

/* ---- samples */

/* The labels of one sample: the names are the family's. */
struct label_set {
    struct text_label items[FAMILY_LABELS_MAX];
    size_t n;
};

static struct label_set name_labels(const struct samples *samples, struct sample_labels labels)
{
    struct label_set set = { 0 };

    if (samples->tenant)
        set.items[set.n++].value = samples->tenant;
    for (size_t i = 0; i < labels.n && set.n < FAMILY_LABELS_MAX; i++)
        set.items[set.n++].value = labels.values[i];
    for (size_t i = 0; i < set.n; i++)
        set.items[i].name = samples->family->labels[i];
    assert(set.n == 0 || set.items[set.n - 1].name);
    assert(set.n == FAMILY_LABELS_MAX || !samples->family->labels[set.n]);
    return set;
}

void samples_add(const struct samples *samples, struct sample_labels labels, uint64_t value)
{
    const struct family *family = samples->family;
    struct label_set set = name_labels(samples, labels);
    struct text_labels named = { set.items, set.n };

    if (family->unit == UNIT_US)
        text_time(samples->text, family->name, named, value);
    else
        text_count(samples->text, family->name, named, value);
}

void samples_add_histogram(const struct samples *samples, struct sample_labels labels,
                           const struct histogram *histogram)
{
    const struct family *family = samples->family;
    struct label_set set = name_labels(samples, labels);

    text_histogram(samples->text, family->name, (struct text_labels){ set.items, set.n },
                   family->unit == UNIT_US ? TEXT_SECONDS : TEXT_BYTES, histogram);
}

/* ---- a family */

static void write_slots(const struct slots *slots, const struct samples *samples)
{
    const struct slot *slot = NULL;
    char position[16];

    while (slots && (slot = slots_next(slots, slot))) {
        (void) snprintf(position, sizeof position, "%u", slot->position);
        samples_add(samples, LABELED(slot->cordon->name, position),
                    samples->family->read_slot(slot));
    }
}

static void write_source(const struct family *family, const struct family_source *source,
                         struct text *text)
{
    struct samples samples = { family, source->tenant, text };

    if (family->read_tenant)
        samples_add(&samples, UNLABELED, family->read_tenant(source));
    else if (family->read_histogram)
        samples_add_histogram(&samples, UNLABELED, family->read_histogram(source));
    else
        family->list_tenant(source, &samples);
}

/* Writes one tenant, or the rest after the last of them. Returns whether there is more of the
 * family. */
static bool write_tenant(struct families_cursor *cursor, const struct family *family,
                         struct text *text)
{
    const struct tenant *tenant = tenant_cursor_take(&cursor->tenants);
    struct family_source source;

    if (!tenant) {
        family_of_rest(cursor->from, &cursor->rest, &source);
        write_source(family, &source, text);
        return false;
    }
    if (tenant->counted.has_series) {
        family_of_tenant(tenant, family->needs_state, &source);
        write_source(family, &source, text);
    } else if (family->needs_state) {
        family_add_state(tenant, &cursor->rest);
    }
    return true;
}

static void write_whole(const struct family *family, const struct metrics_sources *from,
                        struct text *text)
{
    struct samples samples = { family, NULL, text };

    if (family->read)
        samples_add(&samples, UNLABELED, family->read(from));
    else if (family->read_slot)
        write_slots(from->slots, &samples);
    else
        family->list(from, &samples);
}

/* ---- pieces */

static void begin_family(struct families_cursor *cursor, const struct family *family,
                         struct text *text)
{
    text_family(text, family->name, family_type_name(family->type), family->help);
    tenant_cursor_open(&cursor->tenants, cursor->from->tenants);
    cursor->rest = (struct families_state){ 0 };
    cursor->has_begun = true;
}

/* Returns whether there is more of the family. */
static bool write_some(struct families_cursor *cursor, const struct family *family,
                       struct text *text)
{
    if (!cursor->has_begun)
        begin_family(cursor, family, text);
    if (family_is_of_tenants(family))
        return write_tenant(cursor, family, text);
    write_whole(family, cursor->from, text);
    return false;
}

bool families_write(struct families_cursor *cursor, struct text *text, size_t enough)
{
    const struct family *family;
    unsigned n_looks = 0;

    while ((family = family_get(cursor->family))) {
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
