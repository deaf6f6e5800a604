/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a number or the word that may stand in its place. Any process; no state.
 */
#include "config/yaml_number.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Returns whether the text is digits only, without a zero before others, as YAML 1.1 reads that as
 * octal. */
static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && text[digits] == '\0' && (text[0] != '0' || digits == 1);
}

int yaml_number_parse(const struct yaml_document *document, const struct yaml_node *node,
                      const struct yaml_number *number, uint32_t *ret_value,
                      struct config_errors *errors)
{
    const char *text = node->value;
    bool has_word = number->word && !number->refusal;

    if (number->word && strcmp(text, number->word) == 0) {
        if (has_word) {
            *ret_value = YAML_NUMBER_WORD;
            return 0;
        }
        yaml_error(document, node, errors, "\"%s\" is not allowed: %s", text, number->refusal);
        return -EINVAL;
    }
    unsigned long long value = strtoull(text, NULL, 10); /* ULLONG_MAX if it is too large */
    if (is_number(text) && value >= number->least && value <= number->most) {
        *ret_value = (uint32_t) value;
        return 0;
    }
    yaml_error(document, node, errors, "%.*s is %s: expected %u to %u%s%s%s%s",
               YAML_NUMBER_TEXT_MAX, text, is_number(text) ? "out of range" : "not a number",
               number->least, number->most, number->unit ? " " : "",
               number->unit ? number->unit : "", has_word ? ", or " : "",
               has_word ? number->word : "");
    return -EINVAL;
}
