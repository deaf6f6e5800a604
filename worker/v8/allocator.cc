// SPDX-License-Identifier: Apache-2.0
//
// See allocator.h. V8 answers a refusal with a garbage collection, asks again, and then throws.
#include "worker/v8/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

// Blocks from this size on come from mmap: zero pages cost nothing until they are touched, and a
// block that is freed goes back to the kernel at once. malloc's own threshold moves up to 32 MiB
// when such blocks are freed, and would keep them.
static constexpr size_t mmap_from_bytes = 256 * 1024;

static void *map_zeroed(size_t size)
{
    void *p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? nullptr : p;
}

bool Allocator::take(size_t size)
{
    size_t used = used_.load(std::memory_order_relaxed);
    do {
        if (size > limit_ || used > limit_ - size)
            return false;
    } while (!used_.compare_exchange_weak(used, used + size, std::memory_order_relaxed));
    return true;
}

void *Allocator::Allocate(size_t length)
{
    if (!take(length))
        return nullptr;
    void *p = length >= mmap_from_bytes ? map_zeroed(length) : calloc(1, length ? length : 1);
    if (!p)
        give_back(length);
    return p;
}

void *Allocator::AllocateUninitialized(size_t length)
{
    if (length >= mmap_from_bytes)
        return Allocate(length);
    if (!take(length))
        return nullptr;
    void *p = malloc(length ? length : 1);
    if (!p)
        give_back(length);
    return p;
}

void Allocator::Free(void *data, size_t length)
{
    if (!data)
        return;
    if (length >= mmap_from_bytes)
        munmap(data, length);
    else
        free(data);
    give_back(length);
}

// ---- address space for WebAssembly memories and resizable buffers

static size_t page_size()
{
    static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return size;
}

static int to_prot(v8::PageAllocator::Permission permission)
{
    switch (permission) {
    case v8::PageAllocator::kRead:
        return PROT_READ;
    case v8::PageAllocator::kReadWrite:
        return PROT_READ | PROT_WRITE;
    case v8::PageAllocator::kNoAccess:
    case v8::PageAllocator::kNoAccessWillJitLater:
        return PROT_NONE;
    default:
        return -1; // executable: never for a buffer
    }
}

static bool is_open(v8::PageAllocator::Permission permission)
{
    return permission == v8::PageAllocator::kRead || permission == v8::PageAllocator::kReadWrite;
}

size_t CountingPages::AllocatePageSize()
{
    return page_size();
}

size_t CountingPages::CommitPageSize()
{
    return page_size();
}

CountingPages::Reservation *CountingPages::find(const void *address, size_t *ret_offset)
{
    char *at = static_cast<char *>(const_cast<void *>(address));
    auto it = reservations_.upper_bound(at);
    if (it == reservations_.begin())
        return nullptr;
    --it;
    size_t offset = static_cast<size_t>(at - it->first);
    if (offset >= it->second.size)
        return nullptr;
    *ret_offset = offset;
    return &it->second;
}

void *CountingPages::AllocatePages(void *, size_t length, size_t alignment, Permission permission)
{
    int prot = to_prot(permission);
    size_t open = is_open(permission) ? length : 0;
    if (prot < 0 || length == 0 || !owner_->take(open))
        return nullptr;

    // Map more than asked for, then cut it to the alignment.
    size_t extra = alignment > page_size() ? alignment - page_size() : 0;
    size_t size = length + extra;
    void *p = size < length ? MAP_FAILED
                            : mmap(nullptr, size, prot,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        owner_->give_back(open);
        return nullptr;
    }
    char *begin = static_cast<char *>(p);
    char *aligned = begin;
    if (extra != 0) {
        uintptr_t raw = (reinterpret_cast<uintptr_t>(begin) + alignment - 1) & ~(alignment - 1);
        aligned = reinterpret_cast<char *>(raw);
        if (aligned != begin)
            munmap(begin, static_cast<size_t>(aligned - begin));
        size_t tail = static_cast<size_t>((begin + size) - (aligned + length));
        if (tail != 0)
            munmap(aligned + length, tail);
    }
    reservations_[aligned] = {length, open};
    return aligned;
}

bool CountingPages::FreePages(void *address, size_t length)
{
    auto it = reservations_.find(static_cast<char *>(address));
    if (it != reservations_.end()) {
        owner_->give_back(it->second.open);
        reservations_.erase(it);
    }
    return munmap(address, length) == 0;
}

bool CountingPages::ReleasePages(void *address, size_t length, size_t new_length)
{
    auto it = reservations_.find(static_cast<char *>(address));
    if (it != reservations_.end()) {
        it->second.size = new_length;
        if (it->second.open > new_length) {
            owner_->give_back(it->second.open - new_length);
            it->second.open = new_length;
        }
    }
    return munmap(static_cast<char *>(address) + new_length, length - new_length) == 0;
}

bool CountingPages::SetPermissions(void *address, size_t length, Permission permission)
{
    int prot = to_prot(permission);
    if (prot < 0)
        return false;
    size_t offset = 0;
    Reservation *r = find(address, &offset);
    size_t grown = 0;
    if (r && is_open(permission) && offset + length > r->open)
        grown = offset + length - r->open;
    if (!owner_->take(grown))
        return false;
    if (mprotect(address, length, prot) != 0) {
        owner_->give_back(grown);
        return false;
    }
    if (!r)
        return true;
    r->open += grown;
    if (!is_open(permission) && offset < r->open) {
        owner_->give_back(r->open - offset);
        r->open = offset;
        madvise(address, length, MADV_DONTNEED);
    }
    return true;
}

bool CountingPages::DecommitPages(void *address, size_t size)
{
    return SetPermissions(address, size, kNoAccess);
}
