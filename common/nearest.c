/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Levenshtein's distance between short words. Any process; no state.
 */
#include "common/nearest.h"

#include <stdbool.h>
#include <string.h>

#define NEAR 2 /* letters that may differ */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Fills the table row by row. Both words are shorter than NEAREST_MAX_BYTES. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NEAREST_MAX_BYTES + 1];
    size_t width = strlen(b);

    for (unsigned j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned i = 0; a[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            unsigned changed = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(changed, least(row[j], diagonal) + 1);
        }
    }
    return row[width];
}

/* A word that lacks only its last part: cpu for cpu_ms, wall for wall_ms. */
static bool is_without_unit(const char *given, const char *word)
{
    size_t length = strlen(given);

    return length >= 3 && strncmp(given, word, length) == 0 && word[length] == '_' &&
           !strchr(word + length + 1, '_');
}

void nearest_add(struct nearest *nearest, const char *word)
{
    if (strlen(nearest->given) >= NEAREST_MAX_BYTES || strlen(word) >= NEAREST_MAX_BYTES)
        return;
    unsigned d = is_without_unit(nearest->given, word) ? 1 : distance(nearest->given, word);
    if (d > NEAR || 2 * d >= strlen(word) || (nearest->word && d >= nearest->distance))
        return;
    nearest->word = word;
    nearest->distance = d;
}
