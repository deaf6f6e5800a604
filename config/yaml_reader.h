/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML for config files, in two steps: yaml_document_parse (yaml_document.h) makes a tree of the
 * text; yaml_document_load checks the tree against a libcyaml schema, with an error for each thing
 * that does not fit, and then libcyaml fills the struct. Any process; no state.
 *
 * libcyaml alone is not enough: it stops at the first error, and it takes "50x" for 50, -1 for
 * 2^64 - 1 and "jit: of" for on.
 */
#pragma once

#include <cyaml/cyaml.h>

#include "config/errors.h"
#include "config/yaml_document.h"

/* A key that is known elsewhere: what to say where it stands here. */
struct yaml_refusal {
    const char *path; /* "limits.observe" */
    const char *text; /* "what is wrong: what was expected" */
};

/* refused: ends with a path of NULL; may be NULL. schema: a mapping with CYAML_FLAG_POINTER, made of CYAML_STRING, UINT, BOOL, ENUM (strict),
 * MAPPING, SEQUENCE and IGNORE. 0, -EINVAL with errors filled, or -ENOMEM. Free what it returns
 * with yaml_data_free and the same schema. */
int yaml_document_load(const struct yaml_document *document, const cyaml_schema_value_t *schema,
                       const struct yaml_refusal *refused, void **ret_data,
                       struct config_errors *errors);
void yaml_data_free(const cyaml_schema_value_t *schema, void *data);
