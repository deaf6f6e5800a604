/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads limits: a number within the bounds of limit_table, or `unlimited` where that is allowed;
 * and the names of those that are only observed. Any process; no state.
 */
#include "config/yaml_limits.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "config/yaml_number.h"

#define FIELD(name, place)                                                          \
    {                                                                               \
        .key = #name, .data_offset = (place) * sizeof(char *), .value = {           \
            CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, 1, \
                               YAML_NUMBER_TEXT_MAX)                                \
        }                                                                           \
    }

/* The names and order of limit_table: a unit test compares them. */
const cyaml_schema_field_t yaml_limits_fields[LIMITS_COUNT + 1] = {
    FIELD(cpu_ms, LIMIT_INDEX(cpu_ms)),
    FIELD(cpu_startup_ms, LIMIT_INDEX(cpu_startup_ms)),
    FIELD(cpu_rate, LIMIT_INDEX(cpu_rate)),
    FIELD(grace_ms, LIMIT_INDEX(grace_ms)),
    FIELD(wall_ms, LIMIT_INDEX(wall_ms)),
    FIELD(idle_ms, LIMIT_INDEX(idle_ms)),
    FIELD(heap_mib, LIMIT_INDEX(heap_mib)),
    FIELD(external_mib, LIMIT_INDEX(external_mib)),
    FIELD(concurrency, LIMIT_INDEX(concurrency)),
    FIELD(queue, LIMIT_INDEX(queue)),
    FIELD(weight, LIMIT_INDEX(weight)),
    FIELD(timers, LIMIT_INDEX(timers)),
    FIELD(log_kib, LIMIT_INDEX(log_kib)),
    FIELD(request_mib, LIMIT_INDEX(request_mib)),
    FIELD(response_mib, LIMIT_INDEX(response_mib)),
    FIELD(hung_ms, LIMIT_INDEX(hung_ms)),
    FIELD(renewals, LIMIT_INDEX(renewals)),
    FIELD(subrequests, LIMIT_INDEX(subrequests)),
    FIELD(calls, LIMIT_INDEX(calls)),
    FIELD(call_mib, LIMIT_INDEX(call_mib)),
    CYAML_FIELD_END,
};

static uint32_t parse_one(const struct yaml_document *document, const struct yaml_node *node,
                          const struct limit_info *info, const char *refusal,
                          struct config_errors *errors)
{
    const struct yaml_number number = {
        .least = info->least,
        .most = info->most,
        .unit = info->unit[0] ? info->unit : NULL,
        .word = info->word ? info->word : "unlimited",
        .refusal = !info->may_be_unlimited ? "this limit needs a number"
                   : info->word            ? NULL
                                           : refusal,
    };
    uint32_t value = LIMIT_UNSET;

    (void) yaml_number_parse(document, node, &number, &value, errors);
    return value;
}

void yaml_limits_parse(const struct yaml_document *document, const char *path,
                       const struct raw_limits *raw, const char *refusal, struct limits *ret,
                       struct config_errors *errors)
{
    *ret = (struct limits){ 0 };
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        const struct limit_info *info = &limit_table[i];
        const struct yaml_node *node = yaml_find(document, "%s.%s", path, info->name);
        if (raw->values[i] && node)
            *limit_at(ret, info) = parse_one(document, node, info, refusal, errors);
    }
}

void yaml_limits_compare(const struct yaml_document *document, const char *path,
                         const struct limits *defaults, const struct limits *maximum,
                         struct config_errors *errors)
{
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        const struct limit_info *info = &limit_table[i];
        uint32_t most = limit_get(maximum, info);
        const struct yaml_node *node = yaml_find(document, "%s.default.%s", path, info->name);
        if (node && most != LIMIT_UNSET && limit_get(defaults, info) > most)
            yaml_error(document, node, errors, "%s is above the maximum: expected at most %u",
                       node->value, most);
    }
}

enum {
    OBSERVE_RSS = LIMITS_COUNT, /* below: the index in limit_table */
    OBSERVE_STRIKES,
    OBSERVE_COUNT,
};
static_assert(OBSERVE_COUNT == YAML_OBSERVE_MAX, "each name once");
static_assert(OBSERVE_COUNT <= 8 * sizeof(limit_set), "a bit for each name");

static const char *observe_name(unsigned i)
{
    if (i < LIMITS_COUNT)
        return limit_table[i].name;
    return i == OBSERVE_RSS ? "rss_mib" : "strikes";
}

static bool may_be_observed(unsigned i)
{
    return i >= LIMITS_COUNT || limit_table[i].may_be_observed;
}

static unsigned observe_find(const char *name)
{
    unsigned i = 0;

    while (i < OBSERVE_COUNT && strcmp(observe_name(i), name) != 0)
        i++;
    return i;
}

static void refuse_observe(const struct yaml_document *document, const struct yaml_node *node,
                           const char *what, struct config_errors *errors)
{
    char names[512] = "";

    for (unsigned i = 0; i < OBSERVE_COUNT; i++) {
        size_t have = strlen(names);
        if (may_be_observed(i))
            (void) snprintf(names + have, sizeof names - have, "%s%s", have > 0 ? ", " : "",
                            observe_name(i));
    }
    yaml_error(document, node, errors, "\"%.64s\" %s: expected one of %s", node->value, what,
               names);
}

static void refuse_duplicate(const struct yaml_document *document, const struct yaml_node *node,
                             struct config_errors *errors)
{
    const struct yaml_node *first = node->parent->first_child;

    while (strcmp(first->value, node->value) != 0)
        first = first->next;
    yaml_error(document, node, errors, "duplicate \"%s\": it is in line %u already", node->value,
               first->line);
}

void yaml_observe_parse(const struct yaml_document *document, const char *path,
                        limit_set *ret_limits, bool *ret_rss, bool *ret_strikes,
                        struct config_errors *errors)
{
    const struct yaml_node *list = yaml_find(document, "%s", path);
    limit_set seen = 0;

    for (const struct yaml_node *node = list ? list->first_child : NULL; node; node = node->next) {
        unsigned i = observe_find(node->value);
        if (i == OBSERVE_COUNT)
            refuse_observe(document, node, "is unknown", errors);
        else if (!may_be_observed(i))
            refuse_observe(document, node, "cannot be observed", errors);
        else if (seen >> i & 1U)
            refuse_duplicate(document, node, errors);
        else
            seen |= (limit_set) 1 << i;
    }
    *ret_limits = seen & (((limit_set) 1 << LIMITS_COUNT) - 1);
    *ret_rss = seen >> OBSERVE_RSS & 1U;
    *ret_strikes = seen >> OBSERVE_STRIKES & 1U;
}
