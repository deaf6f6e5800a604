/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the files that fill reports share: report.c, report_workers.c,
 * report_tenants.c, report_incidents.c, report_jail.c, report_status.c. No other file includes
 * this. Memory comes from the arena; functions that return int return 0 or -ENOMEM.
 */
#pragma once

#include "config/manifest.h"
#include "supervisor/admin/internal.h"
#include "supervisor/record/incident.h"
#include "supervisor/requests/memory.h"
#include "supervisor/workers/slots.h"

struct worker;
struct listed;

/* Bounds of a list in one frame: that many items at most, and no more after that many bytes. */
#define PAGE_ITEMS_MAX 256U
#define PAGE_MAX_BYTES (256U << 10)
/* The same for tenants, whose rows are long: packing a page takes about a millisecond. */
#define TENANTS_PAGE_ITEMS_MAX 32U

void *report_take(struct arena *arena, size_t size); /* zeroes; NULL: no room */
/* Returns an array of pointers to `most` messages of the kind, each of them initialised. NULL: no room. */
void *report_list(struct arena *arena, size_t most, const ProtobufCMessageDescriptor *kind);
/* Returns the text, borrowed, and cut if it is too long; NULL is empty. */
ProtobufCBinaryData report_text(const char *string);

/* Lists codes that have occurred. */
int report_errors(const struct counters *counters, struct arena *arena,
                  Skep__Admin__CodeCount ***ret_counts, size_t *ret_n);
/* Lists stages and causes that have occurred. */
int report_incident_counts(const struct incident_counts *counts, struct arena *arena,
                           Skep__Admin__IncidentCount ***ret_counts, size_t *ret_n);

/* Fills the fields for counts of workers. */
void report_count_workers(const struct admin_options *with, Skep__Admin__Stats *stats);

/* Lists causes of workers' deaths that have occurred. */
int report_kills(const uint64_t counts[static CAUSES], struct arena *arena,
                 Skep__Admin__CodeCount ***ret_counts, size_t *ret_n);

/* Returns the state; idle: no worker has the tenant; failed: its last load failed, so that it is not tried for a while.
 * Static. */
const char *report_tenant_state(const struct tenant *tenant);
/* Lists the routes as they may be written in skep.yaml. */
int report_routes(const struct manifest *manifest, struct arena *arena,
                  ProtobufCBinaryData **ret_routes, size_t *ret_n);

/* Both static. */
const char *report_worker_state(const struct listed *listed);
const char *report_worker_kind(const struct listed *listed);
/* Adds the memory of the isolates in the worker, and the bodies of the tenants that are at home
 * there. */
void report_add_worker(const struct worker *worker, struct memory_use *memory);

/* Lists each layer of the set `which` as "active" or "missing: why". errors: by enum jail_layer. */
int report_layers(layer_set which, layer_set active, const int errors[static LAYERS],
                  struct arena *arena, Skep__Admin__NamedText ***ret_items, size_t *ret_n);
