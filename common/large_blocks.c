/* SPDX-License-Identifier: Apache-2.0 */
#include "common/large_blocks.h"

#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>

/* Global, because libevent takes functions without an argument for an owner. */
static void *kept[LARGE_BLOCKS_KEPT];
static unsigned n_kept;

static void *get_block(size_t size)
{
    if (size <= LARGE_BLOCK_BYTES / 2 || size > LARGE_BLOCK_BYTES)
        return malloc(size);
    return n_kept > 0 ? kept[--n_kept] : malloc(LARGE_BLOCK_BYTES);
}

/* Keeps the block for get_block, or frees it. Any block of this size will do: glibc rounds up to
 * pages. */
static void put_block(void *block)
{
    size_t size = block ? malloc_usable_size(block) : 0;

    if (size >= LARGE_BLOCK_BYTES && size < LARGE_BLOCK_BYTES + 8192 && n_kept < LARGE_BLOCKS_KEPT)
        kept[n_kept++] = block;
    else
        free(block);
}

void large_blocks_start(void)
{
    event_set_mem_functions(get_block, realloc, put_block);
}

unsigned large_blocks_kept(void)
{
    return n_kept;
}
