/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/regions.h"

#include <string.h>
#include <sys/mman.h>

#include "worker/memory.h"

#define WASTE_PARTS \
    4 /* a region may be larger than what is asked for by one of these parts of itself */

static size_t in_all;

/* Takes the region out of the list and the accounts. */
static struct region pull(struct regions *self, unsigned i)
{
    struct region region = self->kept[i];

    self->n--;
    memmove(&self->kept[i], &self->kept[i + 1], (self->n - i) * sizeof region);
    if (self->least > self->n)
        self->least = self->n;
    self->bytes -= region.size;
    in_all -= region.size;
    memory_remove(self->account, region.size);
    return region;
}

static void drop(struct regions *self, unsigned i)
{
    struct region region = pull(self, i);

    (void) munmap(region.data, region.size);
}

void regions_init(struct regions *self, uint32_t account)
{
    *self = (struct regions){ .account = account };
}

bool regions_keep(struct regions *self, void *data, size_t size)
{
    if (self->is_closed || size > REGIONS_MOST_BYTES)
        return false;
    while (self->n == REGIONS_MOST || self->bytes + size > REGIONS_MOST_BYTES)
        drop(self, 0);
    if (in_all + size > REGIONS_IN_ALL_BYTES)
        return false;
    self->kept[self->n++] = (struct region){ data, size };
    self->bytes += size;
    in_all += size;
    memory_add_to(self->account, size); /* may ask for all of them: see memory_set_alarm */
    return true;
}

void *regions_take(struct regions *self, size_t size, size_t alignment)
{
    unsigned best = self->n;

    for (unsigned i = self->n; i-- > 0;) {
        const struct region *region = &self->kept[i];
        if (region->size < size || region->size - size > region->size / WASTE_PARTS ||
            ((uintptr_t) region->data & (alignment - 1)) != 0)
            continue;
        if (best == self->n || region->size < self->kept[best].size)
            best = i;
    }
    if (best == self->n)
        return NULL;
    struct region region = pull(self, best);
    if (region.size > size)
        (void) munmap(region.data + size, region.size - size);
    return region.data;
}

bool regions_release(struct regions *self)
{
    for (unsigned n = self->least; n > 0; n--)
        drop(self, 0);
    self->least = self->n;
    return self->n > 0;
}

bool regions_drain(struct regions *self)
{
    bool had_any = self->n > 0;

    while (self->n > 0)
        drop(self, 0);
    return had_any;
}

void regions_close(struct regions *self)
{
    self->is_closed = true;
    (void) regions_drain(self);
}

size_t regions_in_all(void)
{
    return in_all;
}
