/* SPDX-License-Identifier: Apache-2.0 */
/* "{limits}" and "{observable}" in messages that tests expect: the names in limit_table, which may
 * grow. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/limits.h"

static inline void print_limit_names(FILE *stream, bool is_for_observe)
{
    const char *comma = "";

    for (size_t i = 0; i < LIMITS_COUNT; i++)
        if (!is_for_observe || limit_table[i].may_be_observed) {
            (void) fprintf(stream, "%s%s", comma, limit_table[i].name);
            comma = ", ";
        }
    if (is_for_observe)
        (void) fputs(", rss_mib, strikes", stream);
}

/* Prints size bytes of text with the names in their places. */
static inline void print_with_names(FILE *stream, const char *text, size_t size)
{
    static const char limits[] = "{limits}", observable[] = "{observable}";

    for (const char *end = text + size; text < end;) {
        bool is_limits = strncmp(text, limits, strlen(limits)) == 0;
        if (!is_limits && strncmp(text, observable, strlen(observable)) != 0) {
            (void) fputc(*text++, stream);
            continue;
        }
        print_limit_names(stream, !is_limits);
        text += is_limits ? strlen(limits) : strlen(observable);
    }
}
