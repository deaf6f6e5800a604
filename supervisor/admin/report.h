/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that fill reports share: report.c, report_workers.c, report_tenants.c,
 * report_incidents.c, report_jail.c, report_status.c. Nobody else includes this. Memory comes from the arena; functions that return
 * int return 0 or -ENOMEM.
 */
#pragma once

#include "supervisor/admin/internal.h"
#include "supervisor/incident.h"

struct child;
struct placement;

/* Of a list, in one frame: so many items at most, and no more after so many bytes. */
#define PAGE_ITEMS_MAX 256U
#define PAGE_MAX_BYTES (256U << 10)

void *report_take(struct arena *arena, size_t size); /* zeroes; NULL: no room */
/* Borrowed, and cut where it is too long; NULL is empty. */
ProtobufCBinaryData report_text(const char *string);

/* Codes that have occurred. */
int report_errors(const struct counters *counters, struct arena *arena,
                  Skep__Admin__CodeCount ***ret_counts, size_t *ret_n);
/* Stages and causes that have occurred. */
int report_incident_counts(const struct incident_counts *counts, struct arena *arena,
                           Skep__Admin__IncidentCount ***ret_counts, size_t *ret_n);

/* The memory of tenants is one number in all reports: what an isolate holds by its worker's claim,
 * cut to what its limits allow, and the bodies that skepd keeps for the tenant. */
struct report_memory {
    uint64_t heap_kib, external_kib, bodies_kib;
};
void report_add_isolate(const struct placement *placement, struct report_memory *memory);
void report_add_bodies(const struct tenant *tenant, struct report_memory *memory);
/* The isolates of its versions, and its bodies. */
void report_add_tenant(const struct tenant *tenant, struct report_memory *memory);
uint64_t report_memory_kib(const struct report_memory *memory);

/* Tenants, workers, and the memory of tenants, into those fields. */
void report_count(const struct server *server, Skep__Admin__Stats *stats);

/* It is down because it failed too often, and waits. */
bool report_has_failed(const struct child *child);

/* Of the set `which`, each layer as "active" or "missing: why". errors: by enum jail_layer. */
int report_layers(layer_set which, layer_set active, const int errors[static LAYERS],
                  struct arena *arena, Skep__Admin__NamedText ***ret_items, size_t *ret_n);
