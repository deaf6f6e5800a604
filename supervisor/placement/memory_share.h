/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the tenant that brought a worker over rss_mib. A pure function of the kernel's sum and the
 * worker's accounts. Size alone is no blame: a tenant within its own limits is not to blame for the
 * memory of others beside it. Supervisor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_UNEXPLAINED_PERCENT 10 /* part of the sum; with more the accounts name no tenant */
/* Memory that an isolate may hold above heap_mib + external_mib: V8's own native memory, and the room in which
 * V8 unwinds at its heap limit. */
#define MEMORY_SLACK_KIB (UINT64_C(16) << 10)

/* One isolate, by the worker's account. */
struct memory_share {
    uint32_t version;
    uint64_t held_kib;  /* claim */
    uint64_t limit_kib; /* fact: heap_mib + external_mib; UINT64_MAX: not bounded */
};

struct memory_sum {
    uint64_t used_kib;  /* fact: resident memory of the worker when it was killed */
    uint64_t base_kib;  /* fact: the same before its first tenant */
    uint64_t limit_kib; /* fact: rss_mib */
};

struct memory_finding {
    uint32_t version;  /* the version that the accounts name, 0: none */
    bool is_explained; /* the accounts explain the sum */
    uint64_t unexplained_kib;
};

void memory_share_find(const struct memory_sum *sum, const struct memory_share *shares, size_t n,
                       struct memory_finding *ret_finding);
