/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nearest of the words that would have been right, for messages: "did you mean …?". Pure functions.
 */
#pragma once

#include <stddef.h>

#define NEAREST_MAX_BYTES 64 /* longer words are near to none */

/* Starts as { .given = TEXT }. */
struct nearest {
    const char *given; /* borrowed: from the caller */
    const char *word;  /* borrowed: the nearest so far; NULL while none is near */
    unsigned distance; /* letters in which word differs from given */
};

/* Compares one word that would have been right. A word is near if few of its letters differ, fewer than
 * half, or if only its last part is missing: cpu for cpu_ms. */
void nearest_add(struct nearest *nearest, const char *word);
