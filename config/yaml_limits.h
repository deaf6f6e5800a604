/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `limits:` as it stands in both YAML files: each a number or the word `unlimited`. Private to
 * config/.
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
