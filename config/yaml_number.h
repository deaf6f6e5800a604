/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value of a YAML file that is a whole number within bounds, or, where it has one, a word:
 * `unlimited`, `never`. Private to config/.
 */
#pragma once

#include <stdint.h>

#include "config/limits.h"
#include "config/yaml_document.h"

/* Value that is returned for the word. */
#define YAML_NUMBER_WORD LIMIT_UNLIMITED
#define YAML_NUMBER_TEXT_MAX 32 /* bytes, in messages */

struct yaml_number {
    uint32_t least, most; /* most is below YAML_NUMBER_WORD */
    const char *unit;     /* for messages; NULL: none */
    const char *word;     /* instead of a number; NULL: none */
    const char *refusal;  /* why the word is not allowed here; NULL: it is */
};

/* Parses a number. 0, or -EINVAL with an error added. node: a single value. */
int yaml_number_parse(const struct yaml_document *document, const struct yaml_node *node,
                      const struct yaml_number *number, uint32_t *ret_value,
                      struct config_errors *errors);
