/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads limits: a number within the bounds of limit_table, or `unlimited` where that is allowed.
 * Any process; no state.
 */
#include "config/yaml_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name, place)                                                              \
    {                                                                                   \
        .key = #name, .data_offset = (place) * sizeof(char *), .value = {               \
            CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, 1, 32) \
        }                                                                               \
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

static const char *space_unit(const struct limit_info *info, char *buffer, size_t size)
{
    (void) snprintf(buffer, size, "%s%s", info->unit[0] ? " " : "", info->unit);
    return buffer;
}

static uint32_t parse_one(const struct yaml_document *document, const struct yaml_node *node,
                          const struct limit_info *info, const char *refusal,
                          struct config_errors *errors)
{
    const char *text = node->value;
    bool may_be_unlimited = info->may_be_unlimited && !refusal;
    char unit[8];

    if (strcmp(text, "unlimited") == 0) {
        if (may_be_unlimited)
            return LIMIT_UNLIMITED;
        yaml_error(document, node, errors, "\"unlimited\" is not allowed: %s",
                   info->may_be_unlimited ? refusal : "this limit needs a number");
        return LIMIT_UNSET;
    }
    size_t digits = strspn(text, "0123456789");
    bool is_number =
        digits > 0 && digits < 10 && text[digits] == '\0' && (text[0] != '0' || digits == 1);
    unsigned long value = is_number ? strtoul(text, NULL, 10) : 0;
    if (value >= info->least && value <= info->most)
        return (uint32_t) value;
    yaml_error(document, node, errors, "%.32s is %s: expected %u to %u%s%s", text,
               digits > 0 && text[digits] == '\0' ? "out of range" : "not a limit", info->least,
               info->most, space_unit(info, unit, sizeof unit),
               may_be_unlimited ? ", or unlimited" : "");
    return LIMIT_UNSET;
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
