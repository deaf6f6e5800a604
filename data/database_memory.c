/* SPDX-License-Identifier: Apache-2.0 */
#include "data/database_memory.h"

#include <malloc.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* SQLite's allocator has no owner to hand on. Negative: the thread has freed more than it has allocated. */
static _Thread_local int64_t used, most = INT64_MAX;
static _Thread_local uintptr_t stack_end; /* 0: the stack is not watched */
static _Thread_local bool is_deep;

/* Returns whether the stack is used up as far as it may be. Each recursion of SQLite that goes as deep as a schema allocates on its way down. */
static bool is_too_deep(void)
{
    const bool is_now = (uintptr_t) __builtin_frame_address(0) < stack_end;

    is_deep |= is_now;
    return is_now;
}

static int size_of(void *memory)
{
    return (int) malloc_usable_size(memory);
}

static void *allocate(int size)
{
    if (used + size > most || is_too_deep())
        return NULL;
    void *memory = malloc((size_t) size);
    if (memory)
        used += size_of(memory);
    return memory;
}

static void release(void *memory)
{
    used -= size_of(memory);
    free(memory);
}

static void *reallocate(void *memory, int size)
{
    const int before = size_of(memory);

    if (used + size - before > most || is_too_deep())
        return NULL;
    void *moved = realloc(memory, (size_t) size);
    if (moved)
        used += size_of(moved) - before;
    return moved;
}

static int round_up(int size)
{
    return (size + 7) & ~7;
}

static int init(void *owner)
{
    (void) owner;
    return SQLITE_OK;
}

static void shutdown(void *owner)
{
    (void) owner;
}

static const sqlite3_mem_methods methods = {
    .xMalloc = allocate,
    .xFree = release,
    .xRealloc = reallocate,
    .xSize = size_of,
    .xRoundup = round_up,
    .xInit = init,
    .xShutdown = shutdown,
};

int database_memory_start(void)
{
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

void database_memory_begin(int64_t bytes)
{
    used = 0;
    most = bytes;
    is_deep = false;
    stack_end = (uintptr_t) __builtin_frame_address(0) - DATABASE_STACK_BYTES;
}

bool database_memory_is_deep(void)
{
    return is_deep;
}

void database_memory_end(void)
{
    most = INT64_MAX;
    used = 0;
    stack_end = 0;
}
