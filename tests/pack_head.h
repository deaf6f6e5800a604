/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed heads from texts that end with NUL, for tests.
 */
#pragma once

#include <string.h>

#include "proto/head.h"

/* Packs so many texts to memory that holds them. Returns the size of the whole. */
static inline size_t pack_head(uint8_t *packed, size_t n_texts, const char *const texts[])
{
    struct head_writer to = head_write(packed, (uint32_t) n_texts);

    for (size_t i = 0; i < n_texts; i++)
        (void) head_add(&to, texts[i], strlen(texts[i]));
    return (size_t) (to.at - packed);
}
