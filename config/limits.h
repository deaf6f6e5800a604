/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that a tenant can have, as one table: name, unit, default, bounds. Read by the
 * config code, the supervisor and `skep check`. No state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No limit, in a struct limits. Must be written as `unlimited` and be allowed by the cordon. */
#define LIMIT_UNLIMITED UINT32_MAX
/* A limit that is not given, in a struct limits that is not complete. */
#define LIMIT_UNSET 0

struct limits {
    uint32_t cpu_ms;         /* thread CPU time of one request, waitUntil and timers too */
    uint32_t cpu_startup_ms; /* thread CPU time of module load */
    uint32_t cpu_rate;       /* ms of CPU time for each second, of all the tenant's requests */
    uint32_t grace_ms;       /* time from the soft stop to SIGKILL */
    uint32_t wall_ms; /* time from dispatch to the end; a stream that moves is bound by idle_ms */
    uint32_t idle_ms; /* time in which no byte of a stream moves */
    uint32_t heap_mib;
    uint32_t external_mib;
    uint32_t concurrency; /* requests of a tenant in workers */
    uint32_t queue;       /* requests of a tenant waiting */
    uint32_t weight;      /* share of a busy worker's CPU time, against that of its neighbours */
    uint32_t timers;      /* timers of one request */
    uint32_t log_kib;     /* console output of one request */
    uint32_t request_mib;
    uint32_t response_mib;
    uint32_t hung_ms;  /* time in which nothing but another request can wake one */
    uint32_t renewals; /* isolates in 10 s that replace stopped ones, in a worker that is shared */
    uint32_t subrequests;  /* calls of a request, and of all that are made on its behalf */
    uint32_t calls;        /* calls of one request at a time */
    uint32_t call_mib;     /* bodies of all calls of one request, both ways */
    uint32_t storage_rate; /* operations of storage in a second */
    uint32_t kv_mib;       /* keys and values of all namespaces of a tenant */
    uint32_t kv_keys;      /* keys of all of them */
    uint32_t kv_value_mib; /* one value */
    uint32_t sql_mib;      /* one database */
    uint32_t sql_ms;       /* time of one operation, of all its statements */
    uint32_t sql_rows_mib; /* rows of one operation, as JSON */
};

struct limit_info {
    const char *name; /* as in YAML */
    const char *unit; /* "ms", "MiB", "KiB", "" */
    size_t offset;    /* in struct limits */
    uint32_t preset;  /* value if nobody gives one */
    uint32_t least, most;
    /* Stands for LIMIT_UNLIMITED, and any tenant may write it; NULL: `unlimited`, which a cordon must
     * allow. */
    const char *word;
    bool may_be_unlimited; /* false: its enforcement needs a number, whatever the cordon allows */
    bool may_be_observed;  /* noted and not enforced, if the operator says so */
    bool is_capped; /* more than the preset, or the operator's default, needs a maximum to be set */
    const char *help; /* one line */
};

/* A set of limits: bit 1 << index in limit_table. */
typedef uint32_t limit_set;

#define LIMITS_COUNT (sizeof(struct limits) / sizeof(uint32_t))
extern const struct limit_info limit_table[LIMITS_COUNT]; /* in the order of struct limits */

static inline uint32_t *limit_at(struct limits *limits, const struct limit_info *info)
{
    return (uint32_t *) (void *) ((char *) limits + info->offset);
}

static inline uint32_t limit_get(const struct limits *limits, const struct limit_info *info)
{
    return *(const uint32_t *) (const void *) ((const char *) limits + info->offset);
}

/* The layers of limits, from which limits_resolve takes the lowest of platform, cordon and tenant
 * for each limit. If the tenant gives no value: the default of the cordon, else of the platform,
 * else the preset, cut by the maxima. A layer may be NULL: it gives no values. The result has no
 * LIMIT_UNSET; LIMIT_UNLIMITED only where the tenant, a default or the preset says so and no
 * maximum is set. */
struct limits_layers {
    const struct limits *platform_default, *platform_maximum;
    const struct limits *cordon_default, *cordon_maximum;
    const struct limits *tenant;
};
void limits_resolve(const struct limits_layers *layers, struct limits *ret);

/* Origin of a limit's value: who gave it, and what has cut it. */
enum limit_source {
    LIMIT_FROM_PRESET,
    LIMIT_FROM_PLATFORM,
    LIMIT_FROM_CORDON,
    LIMIT_FROM_TENANT,
};
enum limit_cut {
    LIMIT_NOT_CUT,
    LIMIT_CUT_BY_PLATFORM, /* the platform's maximum; also where the cordon's is the same */
    LIMIT_CUT_BY_CORDON,
    LIMIT_CUT_BY_PRESET, /* is_capped, and no maximum allows more */
};
struct limit_origin {
    uint32_t wanted; /* before the cut; may be LIMIT_UNLIMITED */
    enum limit_source source;
    enum limit_cut cut;
};
/* Resolves as limits_resolve, and returns the origin of each limit, in the order of limit_table. */
void limits_trace(const struct limits_layers *layers, struct limits *ret,
                  struct limit_origin ret_origins[static LIMITS_COUNT]);
/* Names a source: "built-in", "platform default", "cordon default", "tenant"; static. */
const char *limit_source_name(enum limit_source source);
/* Names a cut: "platform maximum", "cordon maximum", "built-in"; "" for none; static. */
const char *limit_cut_name(enum limit_cut cut);

/* Index in limit_table of a field of struct limits. */
#define LIMIT_INDEX(field) ((unsigned) (offsetof(struct limits, field) / sizeof(uint32_t)))
/* True if a set has a field's limit. */
#define LIMIT_IS_IN(set, field) (((set) >> LIMIT_INDEX(field) & 1U) != 0)
