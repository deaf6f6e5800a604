// SPDX-License-Identifier: Apache-2.0
//
// Memory of one isolate's ArrayBuffers and WebAssembly memories: counts it, and refuses more than
// the tenant's external_mib, so that JavaScript gets a RangeError and the worker keeps its memory.
// V8's heap limit does not see any of this. Worker process, main thread.
#pragma once

#include <v8.h>

#include <atomic>
#include <cstddef>
#include <map>

class Allocator;

// What V8 takes address space from for WebAssembly memories and resizable ArrayBuffers. It
// reserves without access first and then opens parts of it; the open parts are what is counted.
class CountingPages final : public v8::PageAllocator
{
  public:
    explicit CountingPages(Allocator *owner) : owner_(owner) {}

    size_t AllocatePageSize() override;
    size_t CommitPageSize() override;
    void SetRandomMmapSeed(int64_t) override {}
    void *GetRandomMmapAddr() override { return nullptr; }
    void *AllocatePages(void *address, size_t length, size_t alignment,
                        Permission permission) override;
    bool FreePages(void *address, size_t length) override;
    bool ReleasePages(void *address, size_t length, size_t new_length) override;
    bool SetPermissions(void *address, size_t length, Permission permission) override;
    bool DecommitPages(void *address, size_t size) override;

  private:
    // Open bytes of each reservation; V8 opens from the start and never leaves holes.
    struct Reservation {
        size_t size;
        size_t open;
    };
    Reservation *find(const void *address, size_t *ret_offset);

    Allocator *owner_; // borrowed: it embeds this
    std::map<char *, Reservation> reservations_;
};

class Allocator final : public v8::ArrayBuffer::Allocator
{
  public:
    explicit Allocator(size_t limit_bytes) : limit_(limit_bytes), pages_(this) {}

    void *Allocate(size_t length) override;
    void *AllocateUninitialized(size_t length) override;
    void Free(void *data, size_t length) override;
    v8::PageAllocator *GetPageAllocator() override { return &pages_; }

    // Takes size bytes from the budget; false if they are not there.
    bool take(size_t size);
    void give_back(size_t size) { used_.fetch_sub(size, std::memory_order_relaxed); }
    size_t used() const { return used_.load(std::memory_order_relaxed); }
    size_t limit() const { return limit_; }

  private:
    // A backing store may be freed after its isolate, when the last shared_ptr to it goes.
    std::atomic<size_t> used_{0};
    const size_t limit_;
    CountingPages pages_;
};
