// SPDX-License-Identifier: Apache-2.0
// See bare.h.
#include "worker/v8/testing/bare.h"

#include "worker/v8/internal.h"

#include <cerrno>
#include <ctime>

static uint64_t thread_ns()
{
    struct timespec now;
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

int bare_new(uint32_t heap_mib)
{
    v8::Isolate::CreateParams params;
    params.array_buffer_allocator_shared = std::shared_ptr<v8::ArrayBuffer::Allocator>(
        v8::ArrayBuffer::Allocator::NewDefaultAllocator());
    params.allow_atomics_wait = false;
    isolate_set_constraints(&params.constraints, size_t{ heap_mib } << 20);
    v8::Isolate *v8 = v8::Isolate::New(params);
    if (!v8)
        return -ENOMEM;
    v8::Isolate::Scope isolate_scope(v8);
    v8::HandleScope handle_scope(v8);
    auto *context = new v8::Global<v8::Context>(v8, v8::Context::New(v8)); // lives on
    return context->IsEmpty() ? -ENOMEM : 0;
}

uint64_t isolate_time_context(struct isolate *self)
{
    v8::Isolate::Scope isolate_scope(self->v8);
    v8::HandleScope handle_scope(self->v8);
    const std::unique_ptr<v8::MicrotaskQueue> microtasks =
        v8::MicrotaskQueue::New(self->v8, v8::MicrotasksPolicy::kExplicit);
    const uint64_t before = thread_ns();
    v8::Local<v8::Context> context =
        v8::Context::New(self->v8, nullptr, {}, {}, {}, microtasks.get());
    const uint64_t after = thread_ns();
    return context.IsEmpty() ? 0 : after - before;
}
