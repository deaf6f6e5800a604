/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `limits:` as it stands in both YAML files: each a number or the word `unlimited`; and in
 * skepd.yaml which of them are only observed. Private to config/.
 */
#pragma once

#include "config/limits.h"
#include "config/yaml_reader.h"

/* As libcyaml loads them: text, NULL where not given; in the order of limit_table. */
struct raw_limits {
    char *values[LIMITS_COUNT];
};

extern const cyaml_schema_field_t yaml_limits_fields[LIMITS_COUNT + 1];

/* A `limits` mapping of a schema. */
#define YAML_FIELD_LIMITS(key, structure, member) \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, structure, member, yaml_limits_fields)

/* path: of the mapping in the document. refusal: why `unlimited` is not allowed there, or NULL if
 * it is. Adds an error for each limit that is wrong. ret has LIMIT_UNSET for those and for what is
 * not given. */
void yaml_limits_parse(const struct yaml_document *document, const char *path,
                       const struct raw_limits *raw, const char *refusal, struct limits *ret,
                       struct config_errors *errors);

/* Adds an error for each default that is above its maximum. */
void yaml_limits_compare(const struct yaml_document *document, const char *path,
                         const struct limits *defaults, const struct limits *maximum,
                         struct config_errors *errors);

/* Entries of `observe`: the limits that may be, and the two that are of a worker and a cordon. */
#define YAML_OBSERVE_MAX (LIMITS_COUNT + 2)

/* path: of the list in the document; an empty set if it is not there. Adds an error for each entry
 * that is unknown, cannot be observed, or is there already. */
void yaml_observe_parse(const struct yaml_document *document, const char *path,
                        limit_set *ret_limits, bool *ret_rss, bool *ret_strikes,
                        struct config_errors *errors);
