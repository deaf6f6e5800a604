// SPDX-License-Identifier: Apache-2.0
//
// Memory of one isolate outside V8's heap, whose limit does not see any of it. ArrayBuffers and
// WebAssembly memories are counted here, and refused above the tenant's external_mib, so that
// JavaScript gets a RangeError and the worker keeps its memory. Native memory is counted by
// worker/memory.h, and the part of it above native_free_bytes counts against the same limit: an
// isolate over the limit has its garbage collected, and if that is in vain the JavaScript is
// terminated (isolate.cc), because a malloc that fails would end the process. Worker process, main
// thread.
#pragma once

#include "worker/memory.h"
#include "worker/regions.h"

#include <v8.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>

// Addresses are shared by all isolates of a process, and so are the kernel's mappings (vm.max_map_count, 65,530 by default): with
// none left, V8 ends the process, whoever runs. An isolate may reserve this many bytes, with or without memory behind them: those of
// 256 isolates fit into 47 bits of addresses.
inline constexpr size_t max_reserved_bytes = size_t{ 384 } << 30;
// Reservations of an isolate, each of which takes up to two mappings: the number that it may always have, and the most while those of
// all isolates beyond that number are fewer than max_extra_reservations.
inline constexpr size_t own_reservations = 64;
inline constexpr size_t max_reservations = 1024;
inline constexpr size_t max_extra_reservations = 8192;

// Native memory that each isolate may have beside its external_mib, for V8's own needs.
inline constexpr size_t native_free_bytes = size_t{ 8 } << 20;

class Allocator final : public v8::ArrayBuffer::Allocator
{
  public:
    // observe: allocations over the limit are noted, and succeed all the same.
    Allocator(size_t limit_bytes, bool observe)
        : account_(memory_open()), limit_(limit_bytes), observe_(observe)
    {
        regions_init(&regions_, account_);
    }
    ~Allocator() override
    {
        regions_close(&regions_);
    }

    // Sets the limit of the tenant that gets the isolate; JavaScript has allocated nothing yet.
    void set_limit(size_t limit_bytes, bool observe)
    {
        limit_ = limit_bytes;
        observe_ = observe;
    }

    void *Allocate(size_t length) override;
    void *AllocateUninitialized(size_t length) override;
    void Free(void *data, size_t length) override;

    // Takes size bytes from the budget; false if there are fewer. is_retried: V8 then collects
    // garbage and asks for the same again. Main thread only.
    bool take(size_t size, bool is_retried);
    // Notes the bytes that count by now, which are over the limit.
    void note_excess();
    // Returns the most bytes that were used, or refused, over the limit since the last call; 0:
    // none.
    size_t take_excess();
    // Returns whether the isolate is over the limit, even without the regions that it keeps.
    bool is_over()
    {
        return !observe_ && !make_room(0);
    }
    void give_back(size_t size)
    {
        used_.fetch_sub(size, std::memory_order_relaxed);
        publish();
    }
    // Returns the bytes that count against the limit.
    size_t charged() const
    {
        return used() + native_charged();
    }
    // Notes that the isolate is made: its native memory until now is not the tenant's.
    void set_native_base()
    {
        native_base_ = memory_held(account_);
    }
    // Returns the bytes in the account of memory.h at which native memory alone is over the limit;
    // SIZE_MAX: the limit is only observed.
    size_t native_alarm() const
    {
        return observe_ ? SIZE_MAX : native_base_ + native_free_bytes + limit_ + 1;
    }
    // Regions of the heap's large objects that the isolate uses again: see regions.h. They count as native memory, and are given
    // back before the limit is met. keep_region: false if the region is still the caller's.
    bool keep_region(void *data, size_t size);
    void *take_region(size_t size, size_t alignment)
    {
        return regions_take(&regions_, size, alignment);
    }
    bool release_regions()
    {
        return regions_release(&regions_);
    }
    bool drain_regions()
    {
        return regions_drain(&regions_);
    }
    // The isolate ends: gives all regions back, and keeps no more.
    void close_regions()
    {
        regions_close(&regions_);
    }
    uint32_t account() const
    {
        return account_;
    }
    // Addresses that are reserved for the isolate: how many times, and how many bytes. Main thread only.
    struct Reserved {
        size_t n = 0;
        size_t bytes = 0;
    };
    Reserved reserved;
    // See isolate_publish. nullptr: ends it.
    void publish_to(uint32_t *kib);
    size_t used() const
    {
        return used_.load(std::memory_order_relaxed);
    }
    size_t limit() const
    {
        return limit_;
    }

  private:
    void *allocate(size_t length, bool is_zeroed);
    size_t native_charged(size_t more = 0) const
    {
        const size_t held = memory_held(account_) + more;
        const size_t free = native_base_ + native_free_bytes;
        return held > free ? held - free : 0;
    }
    // Returns whether size bytes fit the limit, for which the regions go if need be.
    bool make_room(size_t size);
    void publish();
    uint32_t account_;
    struct regions regions_;
    size_t native_base_ = 0;
    uint32_t *published_kib_ = nullptr; // borrowed
    // A backing store may be freed after its isolate, when the last shared_ptr to it goes.
    std::atomic<size_t> used_{ 0 };
    size_t limit_;
    bool observe_;
    size_t excess_ = 0;
    // A refusal counts only if the collections that V8 makes after it were in vain.
    static constexpr int collections_ = 2;
    void settle_refusal();
    size_t refused_ = 0;           // size of the last refusal, which may be asked for again
    size_t wanted_ = 0;            // bytes that would be in use with it
    int refusals_ = 0;             // refusals of this size, one after the other
    bool is_garbage_gone_ = false; // observed: live memory alone is over the limit
};

// Returns memory for a moment, with anything in it, that counts for nobody; ends the process where there is none. The caller has
// bounded its size. Main thread only.
void *allocator_take_block(size_t size);
void allocator_return_block(void *data, size_t size);

// Gives blocks that were freed, and not needed since the last call, back to the kernel: at most 76 MiB of the process. Returns
// whether some are left.
bool allocator_release_spare();

// While there is one, address space that V8 reserves is counted for nobody. Main thread only.
class NobodysPages
{
  public:
    NobodysPages();
    ~NobodysPages();
    NobodysPages(const NobodysPages &) = delete;
    void operator=(const NobodysPages &) = delete;
};

// V8's page allocator, with WebAssembly memories and resizable ArrayBuffers counted: these do not
// come from ArrayBuffer::Allocator. V8 reserves addresses without access for them and opens parts
// later. WebAssembly's code is opened executable, and counted as native memory. V8's heap pages are
// mapped open at once, and the range for its code is opened as a whole while the isolate is made:
// neither is counted here. Reservations for memories and buffers are bounded, see max_reserved_bytes: V8
// answers a refusal as those of Allocator. Pages of large objects, but not of code, go to the regions that
// the isolate keeps when they are freed: V8 writes all of such a page that it reads, as it does with ordinary pages of its own pool.
class CountingPages final : public v8::PageAllocator
{
  public:
    explicit CountingPages(v8::PageAllocator *inner) : inner_(inner)
    {
    }

    size_t AllocatePageSize() override
    {
        return inner_->AllocatePageSize();
    }
    size_t CommitPageSize() override
    {
        return inner_->CommitPageSize();
    }
    void SetRandomMmapSeed(int64_t seed) override
    {
        inner_->SetRandomMmapSeed(seed);
    }
    void *GetRandomMmapAddr() override
    {
        return inner_->GetRandomMmapAddr();
    }
    void *AllocatePages(void *address, size_t length, size_t alignment,
                        Permission permission) override;
    bool FreePages(void *address, size_t length) override;
    bool ReleasePages(void *address, size_t length, size_t new_length) override;
    bool SetPermissions(void *address, size_t length, Permission permission) override;
    bool RecommitPages(void *address, size_t length, Permission permission) override;
    bool DiscardSystemPages(void *address, size_t size) override
    {
        return inner_->DiscardSystemPages(address, size);
    }
    bool DecommitPages(void *address, size_t size) override;
    bool SealPages(void *address, size_t length) override
    {
        return inner_->SealPages(address, length);
    }

  private:
    // V8 opens a reservation from its start and leaves no holes, so one number says how much.
    struct Reservation {
        size_t size;
        size_t open;
        bool is_code;
        bool is_bounded; // for a memory or a buffer: counts in Allocator::reserved
        std::shared_ptr<Allocator> owner;
    };
    // A page of a large object that was mapped open for an isolate, and is still as it was mapped.
    struct LargePage {
        size_t size;
        std::shared_ptr<Allocator> owner;
    };
    Reservation *find(const void *address, size_t *ret_offset);
    bool may_reserve(const Allocator &owner, size_t length) const;
    void note(Allocator *owner, size_t length);
    void forget(Allocator *owner, size_t length);
    // Notes that the page with the address is no longer as it was mapped: the kernel gets it when it is freed.
    void forget_large_page(const void *address);
    void close(Reservation *reservation, size_t from);

    v8::PageAllocator *inner_; // borrowed: the platform's
    std::map<char *, Reservation> reservations_;
    size_t n_extra_ = 0; // reservations beyond own_reservations, of all isolates
    std::map<char *, LargePage> large_pages_;
};
