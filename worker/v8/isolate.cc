// SPDX-License-Identifier: Apache-2.0
//
// Birth, death and limits of an isolate. Worker process; main thread, but for isolate_terminate.
#include "worker/crypto/crypto.h"
#include "worker/v8/compress.h"
#include "worker/v8/crypto.h"
#include "worker/v8/internal.h"
#include "worker/v8/platform.h"
#include "worker/v8/snapshot.h"

#include <malloc.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

static constexpr size_t mib = 1024 * 1024;
// Room for V8 to unwind in, above the size of the heap when its limit is met. More would only let a
// builtin that never looks at the terminate flag take more.
static constexpr size_t heap_slack_bytes = 8 * mib;
static constexpr size_t max_young_bytes = 24 * mib;
// An observed heap grows in steps, and not for ever.
static constexpr size_t observed_step_bytes = 64 * mib;
static constexpr size_t observed_max_bytes = 4096 * mib;

// A heap that is larger does not rest: the collection would hold up others. One that has grown less is not worth it.
static constexpr size_t rest_most_bytes = 8 * mib;
static constexpr size_t rest_least_bytes = mib / 4;

static std::atomic<size_t> n_isolates{ 0 };

static void publish_heap(struct isolate *self)
{
    v8::HeapStatistics heap;
    if (!self->heap_held_kib)
        return;
    self->v8->GetHeapStatistics(&heap);
    __atomic_store_n(self->heap_held_kib, static_cast<uint32_t>(heap.total_physical_size() >> 10),
                     __ATOMIC_RELAXED);
}

static size_t heap_committed(v8::Isolate *v8)
{
    v8::HeapStatistics heap;
    v8->GetHeapStatistics(&heap);
    return heap.total_heap_size();
}

// Raises the limit once. V8 ends the process if the heap does not fit the limit returned here. A
// large young object may have taken the heap past its limit by any amount (see on_collected); that
// memory is in use already, so the new limit begins above it. The slack is given once: a heap that
// meets its limit again ends the process.
static size_t on_near_heap_limit(void *data, size_t limit, size_t initial_limit)
{
    struct isolate *self = static_cast<struct isolate *>(data);
    (void) initial_limit;
    if (self->heap_slack_given)
        return limit;
    const size_t held = std::max(limit, heap_committed(self->v8));
    // V8 gives up from 80 % of the limit on, when collection after collection is in vain: then all of it counts as used.
    self->heap_excess = std::max(
        { self->heap_excess, isolate_heap_used(self->v8), self->heap_limit - heap_slack_bytes });
    if (self->observe_heap && limit < observed_max_bytes)
        return std::min(observed_max_bytes, held + std::max(observed_step_bytes, limit / 2));
    self->heap_limit_hit = true;
    self->heap_slack_given = true;
    self->v8->TerminateExecution();
    return held + heap_slack_bytes;
}

// Decides when native memory is over the limit: only a stack check may collect garbage, and this
// runs at one; Entry::finish decides where none comes.
static void on_native_interrupt(v8::Isolate *v8, void *data)
{
    struct isolate *self = static_cast<struct isolate *>(data);
    if (!isolate_check_external(self)) {
        self->native_limit_hit = true;
        v8->TerminateExecution();
    }
}

// Gives the regions back that the isolate keeps; if that is not enough, asks for an interrupt. Runs inside an allocation.
static void on_native_alarm(void *owner)
{
    struct isolate *self = static_cast<struct isolate *>(owner);
    if (self->allocator->drain_regions() &&
        memory_held(self->allocator->account()) < self->allocator->native_alarm())
        memory_set_alarm(self->allocator->account(), self->allocator->native_alarm(),
                         on_native_alarm, self);
    else
        self->v8->RequestInterrupt(on_native_interrupt, self);
}

bool isolate_check_external(struct isolate *self)
{
    if (self->allocator->is_over())
        self->v8->LowMemoryNotification();
    if (self->allocator->is_over()) {
        self->allocator->note_excess(); // some of the memory goes while JavaScript unwinds
        return false;
    }
    memory_set_alarm(self->allocator->account(), self->allocator->native_alarm(), on_native_alarm,
                     self);
    return true;
}

// Checks the heap after a collection. V8 lets one object of any size into an empty space of large
// young objects, past its own limit; the sum is compared here, as V8 would have done.
static void on_collected(v8::Isolate *v8, v8::GCType type, v8::GCCallbackFlags flags, void *data)
{
    struct isolate *self = static_cast<struct isolate *>(data);
    (void) type;
    (void) flags;
    publish_heap(self);
    if (!isolate_check_heap(self))
        v8->TerminateExecution();
}

bool isolate_check_heap(struct isolate *self)
{
    const size_t used = isolate_heap_used(self->v8);
    if (self->heap_limit_hit || used <= self->heap_limit)
        return true;
    self->heap_excess = std::max(self->heap_excess, used);
    self->heap_limit_hit = !self->observe_heap || used > observed_max_bytes;
    return !self->heap_limit_hit;
}

size_t isolate_heap_used(v8::Isolate *v8)
{
    v8::HeapStatistics heap;
    v8->GetHeapStatistics(&heap);
    return heap.used_heap_size();
}

void isolate_set_constraints(v8::ResourceConstraints *constraints, size_t heap_bytes)
{
    // The young generation is part of the budget: three semi-spaces' worth.
    const size_t young = std::min(max_young_bytes, heap_bytes / 4);
    constraints->set_max_young_generation_size_in_bytes(young);
    constraints->set_max_old_generation_size_in_bytes(heap_bytes - young);
}

// The compiler cannot be interrupted, so one text for it is bounded.
constexpr int max_eval_units = 1 << 20;

// True for the text of a function without parameters and body, and for one that is blank. Libraries
// (zod, msgpackr, cbor-x) compile that to find out, once, whether they may compile later.
static bool is_probe(v8::Isolate *v8, v8::Local<v8::String> source)
{
    static const std::string_view probes[] = { "", "(functionanonymous(){})",
                                               "(asyncfunctionanonymous(){})",
                                               "(function*anonymous(){})",
                                               "(asyncfunction*anonymous(){})" };
    if (source->Length() > 64)
        return false;
    const v8::String::Utf8Value text(v8, source);
    std::string dense;
    for (size_t i = 0; i < text.length(); i++)
        if (!strchr(" \t\n\r", (*text)[i]))
            dense += (*text)[i];
    return std::find(std::begin(probes), std::end(probes), dense) != std::end(probes);
}

// Returns why this string may not be compiled now; nullptr if it may.
static const char *refuse_eval(const struct isolate *self, v8::Local<v8::String> source)
{
    if (self->eval == EVAL_OFF)
        return "eval and new Function are off: eval: load in skep.yaml allows them while the "
               "module loads, "
               "eval: on always, if its cordon does";
    if (self->eval == EVAL_LOAD && self->load_state != ISOLATE_LOADING)
        return "eval and new Function are allowed only while the module loads: eval: on in "
               "skep.yaml "
               "allows them always, if its cordon does";
    if (self->eval == EVAL_LOAD && is_probe(self->v8, source))
        return "an empty string is compiled to find out whether strings may be: while requests run "
               "they may not, unless skep.yaml has eval: on";
    return source->Length() > max_eval_units
               ? "eval and new Function take at most 1048576 characters: put "
                 "longer code into a file"
               : nullptr;
}

// V8 calls this before each eval and new Function, since the context does not allow them by itself.
static v8::ModifyCodeGenerationFromStringsResult
on_eval(v8::Local<v8::Context> context, v8::Local<v8::Value> source, bool is_code_like)
{
    v8::Isolate *v8 = context->GetIsolate();
    (void) is_code_like;
    if (!source->IsString())
        return { true, {} }; // eval returns it unchanged
    const char *why = refuse_eval(isolate_from(v8), source.As<v8::String>());
    if (why)
        context->SetErrorMessageForCodeGenerationFromStrings(literal(v8, why));
    return { !why, {} };
}

// Takes the entries out of the snapshot's context. Empty if one is missing.
static v8::MaybeLocal<v8::Context> open_context(struct isolate *self)
{
    v8::EscapableHandleScope scope(self->v8);
    self->microtasks = v8::MicrotaskQueue::New(self->v8, v8::MicrotasksPolicy::kExplicit);
    v8::Local<v8::Context> context =
        v8::Context::New(self->v8, nullptr, {}, {}, {}, self->microtasks.get());
    if (context.IsEmpty())
        return {};
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        v8::Local<v8::Function> function;
        if (!context->GetDataFromSnapshotOnce<v8::Function>(i).ToLocal(&function))
            return {};
        self->entries[i].Reset(self->v8, function);
    }
    context->AllowCodeGenerationFromStrings(false); // on_eval decides
    v8::Context::Scope context_scope(context);
    v8::Local<v8::Value> result;
    if (!self->entries[ENTRY_PREPARE]
             .Get(self->v8)
             ->Call(context, v8::Undefined(self->v8), 0, nullptr)
             .ToLocal(&result))
        return {};
    return scope.Escape(context);
}

int isolate_new(const struct isolate_options *options, struct isolate **ret_isolate)
{
    if (!snapshot_blob() || options->heap_mib < 4)
        return -EINVAL;
    std::unique_ptr<struct isolate> self(new (std::nothrow) isolate);
    if (!self)
        return -ENOMEM;
    self->ops = options->ops;
    self->host = options->host;
    self->tenant = options->tenant ? options->tenant : "";
    self->observe_heap = options->observe_heap;
    self->eval = options->eval;
    self->keeps_code = options->keeps_code;
    self->allocator =
        std::make_shared<Allocator>(options->external_mib * mib, options->observe_external);
    Payer payer(self.get());

    v8::Isolate::CreateParams params;
    params.snapshot_blob = snapshot_blob();
    params.external_references = snapshot_references();
    params.array_buffer_allocator_shared = self->allocator;
    params.allow_atomics_wait = false;
    params.fatal_error_callback = platform_on_fatal;
    params.oom_error_callback = platform_on_oom;
    isolate_set_constraints(&params.constraints, options->heap_mib * mib);

    v8::Isolate *v8 = v8::Isolate::Allocate();
    if (!v8)
        return -ENOMEM;
    self->v8 = v8;
    v8->SetData(0, self.get());
    v8::Isolate::Initialize(v8, params);
    n_isolates++;
    v8->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
    v8->SetPromiseRejectCallback(entries_on_rejection);
    v8->AddNearHeapLimitCallback(on_near_heap_limit, self.get());
    v8->AddGCEpilogueCallback(on_collected, self.get());
    self->heap_limit = options->heap_mib * mib + heap_slack_bytes;
    modules_install(v8);
    v8->SetModifyCodeGenerationFromStringsCallback(on_eval);

    bool good = false;
    {
        v8::Isolate::Scope isolate_scope(v8);
        v8->SetStackLimit(platform_stack_limit());
        v8::HandleScope handle_scope(v8);
        v8::Local<v8::Context> context;
        good = open_context(self.get()).ToLocal(&context);
        if (good)
            self->context.Reset(v8, context);
        good = good && stack_install(self.get(), context);
    }
    if (!good) {
        isolate_free(self.release());
        return -EINVAL;
    }
    self->allocator->set_native_base();
    (void) isolate_check_external(self.get());
    *ret_isolate = self.release();
    return 0;
}

int isolate_adopt(struct isolate *self, const struct isolate_options *options)
{
    if (self->heap_limit != options->heap_mib * mib + heap_slack_bytes)
        return -EINVAL;
    self->ops = options->ops;
    self->host = options->host;
    self->tenant = options->tenant ? options->tenant : "";
    self->observe_heap = options->observe_heap;
    self->eval = options->eval;
    self->allocator->set_limit(options->external_mib * mib, options->observe_external);
    (void) isolate_check_external(self);
    return 0;
}

struct isolate *isolate_free(struct isolate *self)
{
    if (!self)
        return nullptr;
    assert(!self->in_entry);
    v8::Isolate *v8 = self->v8;
    {
        v8::Isolate::Scope isolate_scope(v8);
        self->imports.clear();
        self->rejections.clear();
        self->files_by_module.clear();
        self->variants.clear();
        self->files.clear();
        self->main.Reset();
        self->evaluation.Reset();
        self->fetch.Reset();
        self->registered.Reset();
        self->method.Reset();
        crypto_close(self);
        compress_close(self);
        self->parts.clear();
        for (v8::Global<v8::Function> &function : self->entries)
            function.Reset();
        self->error_constructor.Reset();
        self->context.Reset();
    }
    const uint32_t account = self->allocator->account();
    isolate_publish(self, nullptr);
    memory_set_alarm(account, SIZE_MAX, nullptr, nullptr);
    platform_forget(v8);
    self->microtasks.reset();
    self->allocator->close_regions();
    v8->Dispose();
    delete self;
    memory_close(account);
    n_isolates--;
    return nullptr;
}

void isolate_terminate(struct isolate *self)
{
    self->terminate_requested.store(true, std::memory_order_relaxed);
    self->v8->TerminateExecution();
}

void isolate_cancel_terminate(struct isolate *self)
{
    self->v8->CancelTerminateExecution();
    self->terminate_requested.store(false, std::memory_order_relaxed);
}

void isolate_get_memory(struct isolate *self, struct isolate_memory *ret_memory)
{
    v8::HeapStatistics heap;
    self->v8->GetHeapStatistics(&heap);
    ret_memory->heap_used = heap.used_heap_size();
    ret_memory->heap_limit = heap.heap_size_limit();
    ret_memory->heap_held = heap.total_physical_size();
    ret_memory->external = self->allocator->used();
    ret_memory->native = memory_held(self->allocator->account());
    if (self->heap_held_kib)
        __atomic_store_n(self->heap_held_kib, static_cast<uint32_t>(ret_memory->heap_held >> 10),
                         __ATOMIC_RELAXED);
}

void isolate_publish(struct isolate *self, const struct isolate_meter *meter)
{
    self->heap_held_kib = meter ? meter->heap_held_kib : nullptr;
    self->waiting_kib = meter ? meter->waiting_kib : nullptr;
    self->allocator->publish_to(meter ? meter->external_kib : nullptr);
    memory_publish(self->allocator->account(), meter ? meter->native_kib : nullptr);
    if (meter)
        publish_heap(self);
}

bool isolate_release_regions(struct isolate *self)
{
    return self->allocator->release_regions();
}

bool isolate_release_spare(void)
{
    return allocator_release_spare();
}

void isolate_trim(void)
{
    (void) malloc_trim(0);
}

bool isolate_rest(struct isolate *self)
{
    v8::HeapStatistics heap;
    (void) self->allocator->drain_regions();
    self->v8->GetHeapStatistics(&heap);
    const size_t least = self->rested_bytes != 0 ? self->rested_bytes + rest_least_bytes : 0;
    if (heap.used_heap_size() > rest_most_bytes || heap.total_physical_size() < least)
        return false;
    {
        Payer payer(self);
        v8::Isolate::Scope isolate_scope(self->v8);
        self->v8->LowMemoryNotification();
    }
    (void) self->allocator->drain_regions();
    self->v8->GetHeapStatistics(&heap);
    self->rested_bytes = heap.total_physical_size();
    return true;
}

void isolate_take_excess(struct isolate *self, struct isolate_excess *ret_excess)
{
    ret_excess->heap = self->heap_excess;
    ret_excess->external = self->allocator->take_excess();
    self->heap_excess = 0;
}

size_t isolate_count(void)
{
    return n_isolates;
}

const char *isolate_error(const struct isolate *self)
{
    return self->error.c_str();
}

enum isolate_load isolate_load_state(const struct isolate *self)
{
    return self->load_state;
}

// Makes an isolate of skep's own that runs a script, for what that loads into the process.
static int run_once(const char *text, uint32_t heap_mib, struct isolate **ret_isolate)
{
    static const struct isolate_host no_host = {};
    struct isolate_options options = {};
    options.ops = &no_host;
    options.heap_mib = heap_mib;
    options.external_mib = 16;
    options.tenant = "warm-up";
    struct isolate *self = nullptr;
    int r = isolate_new(&options, &self);
    if (r < 0)
        return r;
    {
        Entry entry(self, 0);
        v8::Local<v8::Script> script;
        v8::Local<v8::Value> value;
        if (!v8::Script::Compile(entry.context(), literal(self->v8, text)).ToLocal(&script) ||
            !script->Run(entry.context()).ToLocal(&value))
            r = -EIO;
    }
    if (r < 0)
        self = isolate_free(self);
    *ret_isolate = self;
    return r;
}

bool isolate_warm_up(unsigned step)
{
    // V8 lists all of ICU's locales at the first use of each; a tenant would pay for it.
    static const char *const steps[] = {
        "(1234.5).toLocaleString()",
        "new Date(0).toLocaleString()",
        "'b'.localeCompare('a'), 'x'.normalize('NFD')",
    };
    struct isolate *self = nullptr;
    if (step < std::size(steps))
        (void) run_once(steps[step], 32, &self);
    isolate_free(self);
    return step + 1 < std::size(steps);
}

int isolate_platform_init(const struct isolate_platform_options *options,
                          struct isolate **ret_blank)
{
    int r = snapshot_open(options->snapshot);
    if (r < 0)
        return r;
    r = crypto_init();
    if (r < 0)
        return r;
    r = platform_start(options);
    if (r < 0)
        return r;
    // The time zone is looked up here, while files can be read.
    struct isolate *self = nullptr;
    r = run_once("new Date(0).toString()", options->blank_heap_mib, &self);
    if (r < 0)
        return r;
    if (ret_blank)
        *ret_blank = self;
    else
        isolate_free(self);
    return 0;
}
