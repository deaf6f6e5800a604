// SPDX-License-Identifier: Apache-2.0
//
// See allocator.h. V8 answers a refusal with a garbage collection, asks again, and then throws.
#include "worker/v8/allocator.h"

#include "worker/v8/internal.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>

// Blocks from this size on come from mmap: zero pages cost nothing until they are touched, and a
// freed block goes back to the kernel at once, or in a moment. malloc's own threshold moves up to
// 32 MiB when such blocks are freed, and would keep them.
static constexpr size_t mmap_from_bytes = 256 * 1024;

static constexpr size_t page_bytes = 4096;

static size_t pages_of(size_t size)
{
    return (size + page_bytes - 1) & ~(page_bytes - 1);
}

// A few blocks that were freed a moment ago, of any isolate: a tenant that needs the same again and again for each request
// (a body of 1 MiB) would have the kernel map, clear and unmap each page of it again and again, for twenty times what copying the body
// costs. They are nobody's, are few, and go when they were not needed for a moment (allocator_release_spare).
class SpareBlocks
{
  public:
    // Returns a block of that size, with zeros in it if is_zeroed, or nullptr.
    void *take(size_t size, bool is_zeroed)
    {
        std::unique_lock<std::mutex> guard(lock_);
        for (size_t i = 0; i < n_; i++) {
            if (blocks_[i].size != pages_of(size))
                continue;
            const Block block = blocks_[i];
            blocks_[i] = blocks_[--n_];
            least_ = std::min(least_, n_);
            guard.unlock();
            if (is_zeroed)
                memset(block.data, 0, block.size);
            return block.data;
        }
        return nullptr;
    }
    // Keeps a block. False: there is no room for it.
    bool keep(void *data, size_t size)
    {
        const std::lock_guard<std::mutex> guard(lock_);
        if (n_ == max_blocks || pages_of(size) > max_bytes)
            return false;
        blocks_[n_++] = { data, pages_of(size) };
        return true;
    }
    // Frees the blocks that were never needed since the last call. Returns whether some are left.
    bool release()
    {
        const std::lock_guard<std::mutex> guard(lock_);
        for (; least_ > 0; least_--) {
            n_--;
            munmap(blocks_[n_].data, blocks_[n_].size);
        }
        least_ = n_;
        return n_ > 0;
    }

  private:
    static constexpr size_t max_blocks =
        72; // V8 collects an isolate's young buffers when there are 8 MiB of them
    // A block may have 1 MiB, and what is put before or behind such a body: a header of V8's serialiser, the tag of a cipher.
    static constexpr size_t max_bytes = (1024 + 64) * 1024;
    struct Block {
        void *data;
        size_t size;
    };
    std::mutex lock_; // V8 may free a block on a thread of its own
    Block blocks_[max_blocks];
    size_t n_ = 0;
    size_t least_ = 0; // since the last release()
};

static SpareBlocks spare_blocks;

bool allocator_release_spare()
{
    return spare_blocks.release();
}

// A new block has zeros in it in any case.
static void *map_block(size_t size, bool is_zeroed)
{
    if (void *spare = spare_blocks.take(size, is_zeroed))
        return spare;
    void *p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? nullptr : p;
}

bool Allocator::take(size_t size, bool is_retried)
{
    const bool fits = make_room(size);
    const size_t before = charged();
    if (size != refused_) {
        settle_refusal();
        refused_ = size;
    }
    if (!fits) {
        wanted_ = size < SIZE_MAX - before ? before + size : SIZE_MAX;
        const bool is_last = !is_retried || ++refusals_ > collections_;
        if (!observe_ || (!is_last && !is_garbage_gone_))
            return false;
        settle_refusal();
        is_garbage_gone_ = is_retried;
    } else {
        is_garbage_gone_ = false;
    }
    refused_ = 0;
    refusals_ = 0;
    wanted_ = 0;
    used_.fetch_add(size, std::memory_order_relaxed);
    publish();
    return true;
}

bool Allocator::make_room(size_t size)
{
    const auto fits = [this, size] { return size <= limit_ && charged() <= limit_ - size; };
    return fits() || (drain_regions() && fits());
}

bool Allocator::keep_region(void *data, size_t size)
{
    return used() + native_charged(size) <= limit_ && regions_keep(&regions_, data, size);
}

void Allocator::publish()
{
    constexpr size_t kib = 1024;
    if (published_kib_)
        __atomic_store_n(published_kib_,
                         static_cast<uint32_t>(std::min(used() / kib, size_t{ UINT32_MAX })),
                         __ATOMIC_RELAXED);
}

void Allocator::publish_to(uint32_t *kib)
{
    published_kib_ = kib;
    publish();
}

void Allocator::settle_refusal()
{
    excess_ = std::max(excess_, wanted_);
    refused_ = 0;
    refusals_ = 0;
    wanted_ = 0;
}

void Allocator::note_excess()
{
    (void) make_room(0);
    excess_ = std::max(excess_, charged());
}

size_t Allocator::take_excess()
{
    settle_refusal();
    (void) make_room(0);
    const size_t excess = std::max(excess_, charged() > limit_ ? charged() : 0);
    excess_ = 0;
    return excess;
}

// Allocates memory that the allocator has counted already.
static void *malloc_uncounted(size_t length, bool is_zeroed)
{
    const uint32_t before = memory_enter(MEMORY_UNCOUNTED);
    const size_t size = length ? length : 1;
    void *p = is_zeroed ? calloc(1, size) : malloc(size);
    memory_leave(before);
    return p;
}

void *Allocator::Allocate(size_t length)
{
    return allocate(length, true);
}

// V8 and the natives write all of it before JavaScript sees any.
void *Allocator::AllocateUninitialized(size_t length)
{
    return allocate(length, false);
}

void *Allocator::allocate(size_t length, bool is_zeroed)
{
    if (!take(length, true))
        return nullptr;
    void *p = length >= mmap_from_bytes ? map_block(length, is_zeroed)
                                        : malloc_uncounted(length, is_zeroed);
    if (!p)
        give_back(length);
    return p;
}

void *allocator_take_block(size_t size)
{
    void *p = size >= mmap_from_bytes ? map_block(size, false) : malloc_uncounted(size, false);
    if (!p)
        std::abort();
    return p;
}

void allocator_return_block(void *data, size_t size)
{
    if (size < mmap_from_bytes)
        free(data);
    else if (!spare_blocks.keep(data, size))
        munmap(data, size);
}

void Allocator::Free(void *data, size_t length)
{
    if (!data)
        return;
    allocator_return_block(data, length);
    give_back(length);
}

// ---- address space for WebAssembly memories and resizable buffers

static int nobodys_pages;

NobodysPages::NobodysPages()
{
    nobodys_pages++;
}

NobodysPages::~NobodysPages()
{
    nobodys_pages--;
}

// Returns the allocator of the isolate whose code runs now; NULL while V8 itself starts, an
// isolate is made, or the pages are nobody's.
static std::shared_ptr<Allocator> current_owner()
{
    if (nobodys_pages > 0)
        return nullptr;
    v8::Isolate *v8 = v8::Isolate::TryGetCurrent();
    struct isolate *self = v8 ? isolate_from(v8) : nullptr;
    return self && !self->context.IsEmpty() ? self->allocator : nullptr;
}

CountingPages::Reservation *CountingPages::find(const void *address, size_t *ret_offset)
{
    char *at = static_cast<char *>(const_cast<void *>(address));
    auto it = reservations_.upper_bound(at);
    if (it == reservations_.begin())
        return nullptr;
    --it;
    const size_t offset = static_cast<size_t>(at - it->first);
    if (offset >= it->second.size)
        return nullptr;
    *ret_offset = offset;
    return &it->second;
}

void CountingPages::close(Reservation *reservation, size_t from)
{
    if (reservation->open <= from)
        return;
    if (reservation->is_code)
        memory_remove(reservation->owner->account(), reservation->open - from);
    else
        reservation->owner->give_back(reservation->open - from);
    reservation->open = from;
}

bool CountingPages::may_reserve(const Allocator &owner, size_t length) const
{
    const Allocator::Reserved &has = owner.reserved;

    return has.n < max_reservations &&
           (has.n < own_reservations || n_extra_ < max_extra_reservations) &&
           length <= max_reserved_bytes && has.bytes <= max_reserved_bytes - length;
}

void CountingPages::note(Allocator *owner, size_t length)
{
    owner->reserved.bytes += length;
    if (++owner->reserved.n > own_reservations)
        n_extra_++;
}

void CountingPages::forget(Allocator *owner, size_t length)
{
    owner->reserved.bytes -= length;
    if (owner->reserved.n-- > own_reservations)
        n_extra_--;
}

// Alignment of V8's pages, and the size of its ordinary ones, of which it keeps some itself.
static constexpr size_t heap_page_bytes = 256 * 1024;

void CountingPages::forget_large_page(const void *address)
{
    char *at = static_cast<char *>(const_cast<void *>(address));
    auto it = large_pages_.upper_bound(at);
    if (it == large_pages_.begin())
        return;
    --it;
    if (static_cast<size_t>(at - it->first) < it->second.size)
        large_pages_.erase(it);
}

void *CountingPages::AllocatePages(void *address, size_t length, size_t alignment,
                                   Permission permission)
{
    // Code is never refused, as below: native memory bounds it.
    const bool is_bounded = permission == kNoAccess;
    const bool is_reservation = is_bounded || permission == kNoAccessWillJitLater;
    const bool is_large_page =
        permission == kReadWrite && alignment == heap_page_bytes && length > heap_page_bytes;
    std::shared_ptr<Allocator> owner = is_reservation || is_large_page ? current_owner() : nullptr;

    if (owner && is_bounded && !may_reserve(*owner, length))
        return nullptr;
    void *p = owner && is_large_page ? owner->take_region(length, alignment) : nullptr;
    if (!p)
        p = inner_->AllocatePages(address, length, alignment, permission);
    if (!p || !owner)
        return p;
    if (is_large_page) {
        large_pages_[static_cast<char *>(p)] = { length, std::move(owner) };
        return p;
    }
    if (is_bounded)
        note(owner.get(), length);
    reservations_[static_cast<char *>(p)] = { length, 0, false, is_bounded, std::move(owner) };
    return p;
}

bool CountingPages::FreePages(void *address, size_t length)
{
    auto it = reservations_.find(static_cast<char *>(address));
    if (it != reservations_.end()) {
        close(&it->second, 0);
        if (it->second.is_bounded)
            forget(it->second.owner.get(), it->second.size);
        reservations_.erase(it);
    }
    auto large = large_pages_.find(static_cast<char *>(address));
    if (large != large_pages_.end()) {
        const LargePage page = std::move(large->second);
        large_pages_.erase(large);
        if (page.size == length && page.owner->keep_region(address, length))
            return true;
    }
    return inner_->FreePages(address, length);
}

bool CountingPages::ReleasePages(void *address, size_t length, size_t new_length)
{
    auto it = reservations_.find(static_cast<char *>(address));
    if (it != reservations_.end()) {
        if (it->second.is_bounded)
            it->second.owner->reserved.bytes -= it->second.size - new_length;
        it->second.size = new_length;
        close(&it->second, new_length);
    }
    auto large = large_pages_.find(static_cast<char *>(address));
    if (large != large_pages_.end())
        large->second.size = new_length;
    return inner_->ReleasePages(address, length, new_length);
}

bool CountingPages::SetPermissions(void *address, size_t length, Permission permission)
{
    size_t offset = 0;
    Reservation *r = find(address, &offset);
    forget_large_page(address);
    if (!r)
        return inner_->SetPermissions(address, length, permission);

    const bool is_code = permission == kReadWriteExecute || permission == kReadExecute;
    const bool opens = is_code || permission == kRead || permission == kReadWrite;
    const size_t end = offset + length;
    const size_t grown = opens && end > r->open ? end - r->open : 0;
    // Code is never refused: V8 would end the process.
    if (!is_code && !r->owner->take(grown, false))
        return false;
    if (!inner_->SetPermissions(address, length, permission)) {
        if (!is_code)
            r->owner->give_back(grown);
        return false;
    }
    if (is_code && grown > 0) {
        r->is_code = true;
        memory_add_to(r->owner->account(), grown);
    }
    r->open += grown;
    if (!opens)
        close(r, offset);
    return true;
}

bool CountingPages::RecommitPages(void *address, size_t length, Permission permission)
{
    return SetPermissions(address, length, permission);
}

bool CountingPages::DecommitPages(void *address, size_t size)
{
    size_t offset = 0;
    forget_large_page(address);
    if (Reservation *r = find(address, &offset))
        close(r, offset);
    return inner_->DecommitPages(address, size);
}
