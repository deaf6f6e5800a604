/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the files of metrics families share. No other file includes this.
 */
#pragma once

#include "supervisor/record/record.h"
#include "supervisor/requests/memory.h"
#include "supervisor/stats/families.h"
#include "supervisor/stats/text.h"

#define REST_NAME "_other" /* no tenant can be called that */

/* A tenant, or the sum of those without series. */
struct family_source {
    const char *tenant; /* the label */
    const struct traffic *traffic;
    const struct counters *counters;
    const struct incident_counts *incidents;
    uint64_t cpu_ns;
    struct families_state state;
};

extern const struct family families_of_service[], families_of_tenants[], families_of_workers[];
extern const size_t n_families_of_service, n_families_of_tenants, n_families_of_workers;

/* The target of a list of one family. */
struct samples {
    const struct family *family;
    const char *tenant; /* value of the first label; NULL: the first label is not the tenant */
    struct text *text;
};

/* Values of the family's labels but the tenant: as many as it has. */
struct sample_labels {
    const char *const *values;
    size_t n;
};
#define LABELED(...)                                               \
    ((struct sample_labels){ (const char *const[]){ __VA_ARGS__ }, \
                             sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *) })
#define UNLABELED ((struct sample_labels){ 0 })

/* Adds a sample; value: in the family's unit. */
void samples_add(const struct samples *samples, struct sample_labels labels, uint64_t value);
void samples_add_histogram(const struct samples *samples, struct sample_labels labels,
                           const struct histogram *histogram);

/* of_tenants.c: the sources, and figures to count of a tenant. */
void family_of_tenant(const struct tenant *tenant, bool needs_state,
                      struct family_source *ret_source);
void family_of_rest(const struct metrics_sources *from, const struct families_state *state,
                    struct family_source *ret_source);
void family_add_state(const struct tenant *tenant, struct families_state *state);
/* Returns the code's name, "ok" for answers without a failure. */
const char *family_code_name(enum error_code code);
