/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which version is in which worker: loading, unloading, and what workers say of it. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/placement/placement.h"
#include "supervisor/tenants/tenant.h"

struct child;

/* Loads the candidate, else the serving version, into its worker without a request. 0, or -EAGAIN
 * while no worker is ready for it. */
int placement_preload(struct tenant *tenant);
/* The answer to a load; code ERROR_NONE: it is ready. The placement may be gone afterwards. */
void placement_on_loaded(struct placement *placement, enum error_code code, const char *text,
                         size_t size, uint64_t cpu_us);
/* JavaScript was terminated in the isolate, says the worker: it gets no other request, and goes when those
 * in it have ended. */
void placement_on_stopped(struct placement *placement);
/* The worker has disposed of the isolate. Without requests the placement is gone afterwards. */
void placement_on_unloaded(struct placement *placement);
/* Requests wait and this worker is the place for them: has the version loaded there. 0 or -errno. */
int placement_load(struct version *version, struct child *child);
/* A request has left the placement: unloads it if it is not wanted any more. It may be gone
 * afterwards. */
void placement_on_idle(struct placement *placement);
/* The isolate of the version that takes requests in that worker, or will; NULL if there is none. */
struct placement *placement_find(const struct version *version, const struct child *child);
/* The version is where it should be: its isolates elsewhere go when they have nothing left to do. */
void placement_leave_others(const struct version *version, const struct child *child);
/* Retires a placement that gets no other request, as far as is known: it is unloaded when it is idle, and gone afterwards if it
 * is so now. */
void placement_retire(struct placement *placement);
/* 0, or -EAGAIN if the worker has no place left, or -ENOMEM. */
int placement_new(struct version *version, struct child *child, struct placement **ret_placement);
void placement_free(struct placement *placement);
/* The worker died while it was loading this, and this is to blame. */
void placement_on_load_death(struct version *version, enum error_code code, const char *cause);
