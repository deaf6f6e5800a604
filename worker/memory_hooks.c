/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The malloc family of skep-worker: glibc's, with each block counted for the isolate that it was
 * allocated for (memory.h). The definitions here take the place of glibc's for all of the program and its
 * libraries, as its manual describes ("Replacing malloc"). The last four bytes of a block name its
 * account; programs do not get these four, malloc_usable_size included. Linked into skep-worker
 * only, and not in sanitizer builds, which have a malloc of their own. Any thread; called before
 * main, too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/memory.h"

/* glibc's own, under the names by which a replacement may call them. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

#define EXPORTED __attribute__((visibility("default")))
#define MARK_BYTES sizeof(uint32_t)
#define CHUNK_HEAD_BYTES 8 /* bytes that glibc keeps beside each block */
#define NAME_BITS 12       /* bits of a name, for MEMORY_ACCOUNTS */
#define SIZE_MOST ((size_t) PTRDIFF_MAX - 64)

typedef size_t (*usable_size_fn)(void *block);

/* Returns the size of the whole block, mark included. malloc_usable_size is the one function of
 * glibc that has no second name. */
static size_t block_size(void *block)
{
    static usable_size_fn usable_size;

    if (!usable_size) {
        void *symbol = dlsym(RTLD_NEXT, "malloc_usable_size");
        if (!symbol)
            abort();
        memcpy(&usable_size, &symbol, sizeof usable_size);
    }
    return usable_size(block);
}

/* Returns bits that tell a mark from other bytes in a block that was not marked. */
static uint32_t check_bits(const void *block)
{
    uint64_t mixed = ((uintptr_t) block >> 4) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint32_t) (mixed >> 32) >> NAME_BITS << NAME_BITS;
}

static void *mark(void *block)
{
    if (!block)
        return NULL;
    size_t size = block_size(block);
    uint32_t word = memory_add(size + CHUNK_HEAD_BYTES) | check_bits(block);
    memcpy((char *) block + size - MARK_BYTES, &word, sizeof word);
    return block;
}

/* Reads the mark. Returns false if the block has none. */
static bool read_mark(void *block, size_t *ret_size, uint32_t *ret_name)
{
    size_t size = block_size(block);
    uint32_t word;

    memcpy(&word, (char *) block + size - MARK_BYTES, sizeof word);
    uint32_t name = word & ((1U << NAME_BITS) - 1);
    if ((word ^ name) != check_bits(block))
        return false;
    *ret_size = size;
    *ret_name = name;
    return true;
}

static void *refuse(void)
{
    errno = ENOMEM;
    return NULL;
}

EXPORTED void *malloc(size_t size)
{
    return size > SIZE_MOST ? refuse() : mark(__libc_malloc(size + MARK_BYTES));
}

EXPORTED void *calloc(size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MOST)
        return refuse();
    return mark(__libc_calloc(1, bytes + MARK_BYTES));
}

EXPORTED void free(void *block)
{
    uint32_t name;
    size_t size;

    if (!block)
        return;
    if (read_mark(block, &size, &name))
        memory_remove(name, size + CHUNK_HEAD_BYTES);
    __libc_free(block);
}

EXPORTED void *realloc(void *block, size_t size)
{
    uint32_t name = MEMORY_OWN;
    size_t size_before = 0;

    if (!block)
        return malloc(size);
    if (size == 0) { /* as glibc does */
        free(block);
        return NULL;
    }
    if (size > SIZE_MOST)
        return refuse();
    bool is_marked = read_mark(block, &size_before, &name);
    void *moved = __libc_realloc(block, size + MARK_BYTES);
    if (!moved)
        return NULL;
    if (is_marked)
        memory_remove(name, size_before + CHUNK_HEAD_BYTES);
    return mark(moved);
}

EXPORTED void *memalign(size_t alignment, size_t size)
{
    return size > SIZE_MOST ? refuse() : mark(__libc_memalign(alignment, size + MARK_BYTES));
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

EXPORTED int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    int error_before = errno;

    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    void *block = memalign(alignment, size);
    errno = error_before;
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

EXPORTED void *valloc(size_t size)
{
    return memalign((size_t) sysconf(_SC_PAGESIZE), size);
}

EXPORTED void *pvalloc(size_t size)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);

    return size > SIZE_MOST - page ? refuse() : memalign(page, (size + page - 1) / page * page);
}

EXPORTED size_t malloc_usable_size(void *block)
{
    return block ? block_size(block) - MARK_BYTES : 0;
}
