/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads limits: a number within the bounds of limit_table, or `unlimited` where that is allowed.
 * Any process; no state.
 */
#include "config/yaml_limits.h"

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
        .word = "unlimited",
        .refusal = info->may_be_unlimited ? refusal : "this limit needs a number",
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
