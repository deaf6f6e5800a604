/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of limits and how its layers combine. Pure functions over const data: any process,
 * any thread.
 */
#include "config/limits.h"

#include "common/cleanup.h"

#define LIMIT(field) .name = #field, .offset = offsetof(struct limits, field)

/* clang-format off */
const struct limit_info limit_table[LIMITS_COUNT] = {
    [LIMIT_INDEX(cpu_ms)] = { LIMIT(cpu_ms), .unit = "ms", .preset = 50, .least = 1, .most = 300000,
      .may_be_unlimited = true, .may_be_observed = true,
      .help = "CPU time of one request, with its timers and waitUntil" },
    [LIMIT_INDEX(cpu_startup_ms)] = { LIMIT(cpu_startup_ms), .unit = "ms", .preset = 1000, .least = 1, .most = 60000,
      .may_be_unlimited = true, .may_be_observed = true, .help = "CPU time of loading the module" },
    [LIMIT_INDEX(cpu_rate)] = { LIMIT(cpu_rate), .unit = "ms/s", .preset = LIMIT_UNLIMITED, .least = 1, .most = 64000,
      .may_be_unlimited = true, .may_be_observed = true,
      .help = "CPU time of all the tenant's requests for each second" },
    [LIMIT_INDEX(grace_ms)] = { LIMIT(grace_ms), .unit = "ms", .preset = 200, .least = 10, .most = 10000,
      .help = "time from the soft stop until the worker is killed" },
    [LIMIT_INDEX(wall_ms)] = { LIMIT(wall_ms), .unit = "ms", .preset = 30000, .least = 10, .most = 3600000,
      .may_be_unlimited = true, .may_be_observed = true,
      .help = "time from dispatch to the end of the answer" },
    [LIMIT_INDEX(idle_ms)] = { LIMIT(idle_ms), .unit = "ms", .preset = 30000, .least = 10, .most = 3600000,
      .may_be_unlimited = true, .may_be_observed = true,
      .help = "time in which no byte of a stream moves" },
    [LIMIT_INDEX(heap_mib)] = { LIMIT(heap_mib), .unit = "MiB", .preset = 64, .least = 8, .most = 4096,
      .may_be_observed = true, .help = "JavaScript heap of one isolate" },
    [LIMIT_INDEX(external_mib)] = { LIMIT(external_mib), .unit = "MiB", .preset = 64, .least = 1, .most = 4096,
      .may_be_observed = true,
      .help = "ArrayBuffers, WebAssembly and native memory of one isolate" },
    [LIMIT_INDEX(concurrency)] = { LIMIT(concurrency), .unit = "", .preset = 64, .least = 1, .most = 10000,
      .may_be_unlimited = true, .may_be_observed = true,
      .help = "requests of the tenant in workers at a time" },
    [LIMIT_INDEX(queue)] = { LIMIT(queue), .unit = "", .preset = 128, .least = 1, .most = 10000, .may_be_observed = true,
      .help = "requests of the tenant that may wait" },
    [LIMIT_INDEX(weight)] = { LIMIT(weight), .unit = "", .preset = 100, .least = 1, .most = 1000, .is_capped = true,
      .help = "share of a busy worker, against that of its neighbours" },
    [LIMIT_INDEX(timers)] = { LIMIT(timers), .unit = "", .preset = 1000, .least = 1, .most = 100000,
      .may_be_unlimited = true, .may_be_observed = true, .help = "timers of one request" },
    [LIMIT_INDEX(log_kib)] = { LIMIT(log_kib), .unit = "KiB", .preset = 64, .least = 1, .most = 10240,
      .may_be_observed = true, .help = "console output of one request; the rest is cut off" },
    [LIMIT_INDEX(request_mib)] = { LIMIT(request_mib), .unit = "MiB", .preset = 10, .least = 1, .most = 10240,
      .may_be_unlimited = true, .may_be_observed = true, .help = "body of one request" },
    [LIMIT_INDEX(response_mib)] = { LIMIT(response_mib), .unit = "MiB", .preset = 100, .least = 1, .most = 102400,
      .may_be_unlimited = true, .may_be_observed = true, .help = "body of one response" },
    [LIMIT_INDEX(hung_ms)] = { LIMIT(hung_ms), .unit = "ms", .preset = 5000, .least = 10, .most = 3600000, .word = "off",
      .may_be_unlimited = true, .help = "time in which nothing but another request can wake one" },
    [LIMIT_INDEX(renewals)] = { LIMIT(renewals), .unit = "", .preset = 5, .least = 1, .most = 10000, .is_capped = true,
      .help = "new isolates in 10 s in place of stopped ones" },
    [LIMIT_INDEX(subrequests)] = { LIMIT(subrequests), .unit = "", .preset = 50, .least = 1, .most = 10000,
      .may_be_unlimited = true, .may_be_observed = true,
      .help = "fetches and calls of one request, and all that are made on its behalf" },
    [LIMIT_INDEX(calls)] = { LIMIT(calls), .unit = "", .preset = 16, .least = 1, .most = 64, .may_be_observed = true,
      .help = "fetches and calls of one request at a time" },
    [LIMIT_INDEX(call_mib)] = { LIMIT(call_mib), .unit = "MiB", .preset = 100, .least = 1, .most = 102400,
      .may_be_unlimited = true, .may_be_observed = true,
      .help = "bodies of all fetches and calls of one request, both ways" },
    [LIMIT_INDEX(storage_rate)] = { LIMIT(storage_rate), .unit = "/s", .preset = 1000, .least = 1, .most = 1000000,
      .may_be_unlimited = true, .is_capped = true, .help = "operations of the tenant on its storage in a second" },
    [LIMIT_INDEX(kv_mib)] = { LIMIT(kv_mib), .unit = "MiB", .preset = 1024, .least = 1, .most = 1048576,
      .may_be_unlimited = true, .is_capped = true, .help = "all keys and values of the tenant" },
    [LIMIT_INDEX(kv_keys)] = { LIMIT(kv_keys), .unit = "", .preset = 1000000, .least = 1, .most = 100000000,
      .may_be_unlimited = true, .is_capped = true, .help = "keys of the tenant in all its namespaces" },
    [LIMIT_INDEX(kv_value_mib)] = { LIMIT(kv_value_mib), .unit = "MiB", .preset = 25, .least = 1, .most = 100,
      .is_capped = true, .help = "one value" },
    [LIMIT_INDEX(sql_mib)] = { LIMIT(sql_mib), .unit = "MiB", .preset = 500, .least = 1, .most = 1048576,
      .may_be_unlimited = true, .is_capped = true, .help = "one SQL database" },
    [LIMIT_INDEX(sql_ms)] = { LIMIT(sql_ms), .unit = "ms", .preset = 5000, .least = 10, .most = 30000,
      .is_capped = true, .help = "time of one SQL operation, with all its statements" },
    [LIMIT_INDEX(sql_rows_mib)] = { LIMIT(sql_rows_mib), .unit = "MiB", .preset = 16, .least = 1, .most = 256,
      .is_capped = true, .help = "rows that one SQL operation returns, as JSON" },
};
/* clang-format on */

static uint32_t layer_get(const struct limits *layer, const struct limit_info *info)
{
    return layer ? limit_get(layer, info) : LIMIT_UNSET;
}

/* Finds the value before any maximum; ret_preset: the value if the tenant gave none. */
static void find_wanted(const struct limits_layers *layers, const struct limit_info *info,
                        struct limit_origin *ret, uint32_t *ret_preset)
{
    const struct {
        const struct limits *layer;
        enum limit_source source;
    } defaults[] = {
        { layers->cordon_default, LIMIT_FROM_CORDON },
        { layers->platform_default, LIMIT_FROM_PLATFORM },
    };
    uint32_t own = layer_get(layers->tenant, info);

    *ret = (struct limit_origin){ info->preset, LIMIT_FROM_PRESET, LIMIT_NOT_CUT };
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        uint32_t value = layer_get(defaults[i].layer, info);
        if (value == LIMIT_UNSET)
            continue;
        ret->wanted = value;
        ret->source = defaults[i].source;
        break;
    }
    *ret_preset = ret->wanted;
    if (own == LIMIT_UNSET)
        return;
    ret->wanted = own;
    ret->source = LIMIT_FROM_TENANT;
}

static uint32_t resolve_one(const struct limits_layers *layers, const struct limit_info *info,
                            struct limit_origin *ret_origin)
{
    const struct {
        const struct limits *layer;
        enum limit_cut cut;
    } maxima[] = {
        { layers->platform_maximum, LIMIT_CUT_BY_PLATFORM },
        { layers->cordon_maximum, LIMIT_CUT_BY_CORDON },
    };
    uint32_t preset;
    bool has_maximum = false;

    find_wanted(layers, info, ret_origin, &preset);
    uint32_t value = ret_origin->wanted;
    for (size_t i = 0; i < ARRAY_LEN(maxima); i++) {
        uint32_t maximum = layer_get(maxima[i].layer, info);
        has_maximum = has_maximum || maximum != LIMIT_UNSET;
        if (maximum == LIMIT_UNSET || maximum >= value) /* LIMIT_UNLIMITED is above any other */
            continue;
        value = maximum;
        ret_origin->cut = maxima[i].cut;
    }
    uint32_t cap = preset > info->preset ? preset : info->preset;
    if (!info->is_capped || has_maximum || value <= cap)
        return value;
    ret_origin->cut = LIMIT_CUT_BY_PRESET;
    return cap;
}

void limits_trace(const struct limits_layers *layers, struct limits *ret,
                  struct limit_origin ret_origins[static LIMITS_COUNT])
{
    struct limits result = { 0 };

    for (size_t i = 0; i < LIMITS_COUNT; i++)
        *limit_at(&result, &limit_table[i]) = resolve_one(layers, &limit_table[i], &ret_origins[i]);
    *ret = result; /* ret may be one of the layers */
}

void limits_resolve(const struct limits_layers *layers, struct limits *ret)
{
    struct limit_origin origins[LIMITS_COUNT];

    limits_trace(layers, ret, origins);
}

const char *limit_source_name(enum limit_source source)
{
    static const char *const names[] = {
        [LIMIT_FROM_PRESET] = "built-in",
        [LIMIT_FROM_PLATFORM] = "platform default",
        [LIMIT_FROM_CORDON] = "cordon default",
        [LIMIT_FROM_TENANT] = "tenant",
    };

    return names[source];
}

const char *limit_cut_name(enum limit_cut cut)
{
    static const char *const names[] = {
        [LIMIT_NOT_CUT] = "",
        [LIMIT_CUT_BY_PLATFORM] = "platform maximum",
        [LIMIT_CUT_BY_CORDON] = "cordon maximum",
        [LIMIT_CUT_BY_PRESET] = "built-in",
    };

    return names[cut];
}
