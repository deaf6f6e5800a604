/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "mappings" of a source map (ECMA-426): where code came from. A pure function of bytes that anybody may have written; it keeps
 * nothing of what it reads but what was asked for, so that the map of a large bundle costs no memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lines and columns count from 0, columns are UTF-16 units. */
struct source_map_place {
    uint32_t line;
    uint32_t column;
    /* Results: the last mapping of the line at or before the column, if it has a source. */
    bool is_known;
    uint32_t source; /* index in "sources" */
    uint32_t source_line;
    uint32_t source_column;
};

/* Finds the origins of n places. Returns 0, or -EINVAL if the text is not valid as far as it was read: up to the last line that
 * is asked for. */
int source_map_find(const char *mappings, size_t size, struct source_map_place *places, size_t n);

#ifdef __cplusplus
}
#endif
