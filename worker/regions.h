/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of large objects that an isolate's heap has given back, kept for the next large object of the same isolate: the kernel
 * would clear each of their pages again, which takes ten times as long as to write a text into them. A region that another
 * isolate asks for is always a new one of the kernel's, with zeros in it. Worker process, main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { REGIONS_MOST = 64 }; /* regions of an isolate */
/* Bytes of an isolate: what V8 frees at once of large young objects when the young generation has its full size, and some more: texts of
 * 1 MiB come and go by 27. */
#define REGIONS_MOST_BYTES ((size_t) 28 << 20)
#define REGIONS_IN_ALL_BYTES ((size_t) 72 << 20) /* bytes of all isolates of the process */

struct region {
    char *data; /* whole pages from mmap, readable and writable */
    size_t size;
};

struct regions {
    uint32_t account; /* account of memory.h in which kept regions count */
    bool is_closed;   /* keeps no more */
    unsigned n;
    unsigned least; /* lowest n since the last regions_release */
    size_t bytes;
    struct region kept[REGIONS_MOST]; /* the oldest first */
};

/* Starts with no region. */
void regions_init(struct regions *self, uint32_t account);
/* Takes the region over, which then counts in the account; the oldest ones make room for it. False: it is still the caller's,
 * since it is too large, or the process keeps enough. */
bool regions_keep(struct regions *self, void *data, size_t size);
/* Returns a region of that size, whole pages, with anything of the same isolate in it; the rest of a region that is a little
 * larger goes back to the kernel. alignment: a power of two. NULL: none fits. */
void *regions_take(struct regions *self, size_t size, size_t alignment);
/* Gives the regions back to the kernel that were not needed since the last call. Returns whether some are left. */
bool regions_release(struct regions *self);
/* Gives all of them back. Returns whether there were any. */
bool regions_drain(struct regions *self);
/* Gives all of them back, and keeps none from now on: the isolate ends. */
void regions_close(struct regions *self);

/* Returns the bytes that all isolates keep. */
size_t regions_in_all(void);

#ifdef __cplusplus
}
#endif
