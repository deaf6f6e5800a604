/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits that a tenant can have, as one table: name, unit, default, bounds. Read by the
 * config code, the supervisor and `skep check`. No state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In a struct limits: no limit. Must be written out as `unlimited` and be allowed by the cordon. */
#define LIMIT_UNLIMITED UINT32_MAX
/* In a struct limits that is not complete: not given. */
#define LIMIT_UNSET 0

struct limits {
    uint32_t cpu_ms;         /* thread CPU time of one request, waitUntil and timers too */
    uint32_t cpu_startup_ms; /* thread CPU time of module load */
    uint32_t cpu_rate; /* ms of CPU time for each second of time, of all the tenant's requests */
    uint32_t grace_ms; /* from the soft stop to SIGKILL */
    uint32_t wall_ms;  /* from dispatch to the end; a stream that moves is bound by idle_ms */
    uint32_t idle_ms;  /* a stream in which no byte moves */
    uint32_t heap_mib;
    uint32_t external_mib;
    uint32_t concurrency; /* requests of a tenant in workers */
    uint32_t queue;       /* requests of a tenant waiting */
    uint32_t weight;      /* share of a busy worker's CPU time, against that of its neighbours */
    uint32_t timers;      /* of one request */
    uint32_t log_kib;     /* of one request */
    uint32_t request_mib;
    uint32_t response_mib;
    uint32_t hung_ms;  /* a request that nothing but another one can wake */
    uint32_t renewals; /* isolates in 10 s that replace stopped ones, in a worker that is shared */
    uint32_t subrequests; /* calls of a request, and of all that are made on its behalf */
    uint32_t calls;       /* of one request at a time */
    uint32_t call_mib;    /* bodies of all calls of one request, both ways */
};

struct limit_info {
    const char *name; /* as in YAML */
    const char *unit; /* "ms", "MiB", "KiB", "" */
    size_t offset;    /* in struct limits */
    uint32_t preset;  /* where nobody says anything */
    uint32_t least, most;
    const char
        *word; /* for LIMIT_UNLIMITED, where a tenant needs no leave to say so; NULL: `unlimited` */
    bool may_be_unlimited; /* false: what enforces it needs a number, whatever the cordon allows */
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

/* Fills ret with the lowest of platform, cordon and tenant for each limit. Where the tenant says
 * nothing: the default of the cordon, else of the platform, else the preset, cut by the maxima.
 * A layer may be NULL: it says nothing. ret has no LIMIT_UNSET; it has LIMIT_UNLIMITED only where
 * the tenant, a default or the preset says so and no maximum is set. */
struct limits_layers {
    const struct limits *platform_default, *platform_maximum;
    const struct limits *cordon_default, *cordon_maximum;
    const struct limits *tenant;
};
void limits_resolve(const struct limits_layers *layers, struct limits *ret);

/* Where a limit's value comes from: who said it, and what has cut it down since. */
enum limit_source {
    LIMIT_FROM_PRESET,
    LIMIT_FROM_PLATFORM,
    LIMIT_FROM_CORDON,
    LIMIT_FROM_TENANT,
};
enum limit_cut {
    LIMIT_NOT_CUT,
    LIMIT_CUT_BY_PLATFORM, /* its maximum; also where the cordon's is the same */
    LIMIT_CUT_BY_CORDON,
    LIMIT_CUT_BY_PRESET, /* is_capped, and no maximum allows more */
};
struct limit_origin {
    uint32_t wanted; /* before it was cut; LIMIT_UNLIMITED too */
    enum limit_source source;
    enum limit_cut cut;
};
/* As limits_resolve, and says where each comes from, in the order of limit_table. */
void limits_trace(const struct limits_layers *layers, struct limits *ret,
                  struct limit_origin ret_origins[static LIMITS_COUNT]);
/* "built-in", "platform default", "cordon default", "tenant"; static. */
const char *limit_source_name(enum limit_source source);
/* "platform maximum", "cordon maximum", "built-in"; "" for none; static. */
const char *limit_cut_name(enum limit_cut cut);

/* The index in limit_table of a field of struct limits. */
#define LIMIT_INDEX(field) ((unsigned) (offsetof(struct limits, field) / sizeof(uint32_t)))
/* Whether a set has a field's limit. */
#define LIMIT_IS_IN(set, field) (((set) >> LIMIT_INDEX(field) & 1U) != 0)
