/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of metrics families share. Nobody else includes this.
 */
#pragma once

#include "supervisor/record/record.h"
#include "supervisor/requests/memory.h"
#include "supervisor/stats/families.h"
#include "supervisor/stats/text.h"

#define REST_NAME "_other" /* no tenant can be called that */

/* A tenant, or those without series together. */
struct family_source {
    const char *tenant; /* the label */
    const struct traffic *traffic;
    const struct counters *counters;
    const struct incident_counts *incidents;
    uint64_t cpu_ns;
    struct families_state state;
};

struct family {
    const char *name, *type, *help;
    /* One of these two. */
    void (*write)(const struct metrics_sources *from, const char *name, struct text *text);
    void (*write_source)(const struct family_source *source, const char *name, struct text *text);
    bool needs_state; /* write_source wants what is not a pointer in the source, besides cpu_ns */
};

extern const struct family families_of_service[], families_of_tenants[], families_of_workers[];
extern const size_t n_families_of_service, n_families_of_tenants, n_families_of_workers;

void family_write_tenant(const struct tenant *tenant, const struct family *family,
                         struct text *text);
void family_write_rest(const struct metrics_sources *from, const struct families_state *state,
                       const struct family *family, struct text *text);
void family_add_state(const struct tenant *tenant, struct families_state *state);
/* "ok" for answers without a failure. */
const char *family_code_name(enum error_code code);
