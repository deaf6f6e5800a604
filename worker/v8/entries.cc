// SPDX-License-Identifier: Apache-2.0
//
// Entries into JavaScript: each enters the isolate, calls one function of the JS layer, runs the
// microtasks, rejections and tasks that follow, and says how it ended.
#include "worker/v8/internal.h"
#include "worker/v8/platform.h"

#include <algorithm>
#include <cassert>

const char *const entry_names[ENTRY_COUNT] = {
    [ENTRY_BOOT] = "boot",
    [ENTRY_DESCRIBE] = "describe",
    [ENTRY_DISPATCH] = "dispatch",
    [ENTRY_ON_BODY] = "onBody",
    [ENTRY_ON_CREDIT] = "onCredit",
    [ENTRY_ON_TIMER] = "onTimer",
    [ENTRY_ON_CANCEL] = "onCancel",
    [ENTRY_FORGET] = "forget",
    [ENTRY_ON_REJECTION] = "onRejection",
    [ENTRY_PREPARE] = "prepare",
    [ENTRY_MISSING] = "missing",
    [ENTRY_ON_CALL_HEAD] = "onCallHead",
    [ENTRY_ON_CALL_BODY] = "onCallBody",
    [ENTRY_ON_CALL_CREDIT] = "onCallCredit",
    [ENTRY_ON_CALL_FAILED] = "onCallFailed",
    [ENTRY_LOAD] = "load",
    [ENTRY_TO_ASCII] = "toAscii",
};

// Rejections without a handler that one entry may report; each keeps its promise alive.
static constexpr size_t max_rejections = 256;
// Short entries look at the size of the heap only once in so many: they fill a few MiB at most.
static constexpr uint64_t brief_entry_ns = 50'000;
static constexpr unsigned brief_entries_max = 16;

// ---- one entry

v8::Local<v8::Value> entries_plain_frame(v8::Isolate *v8, uint64_t request)
{
    return v8::Number::New(v8, static_cast<double>(request));
}

void entries_set_frame(struct isolate *self, v8::Local<v8::Value> frame)
{
    self->v8->SetContinuationPreservedEmbedderData(frame);
}

v8::Local<v8::Value> entries_frame(struct isolate *self)
{
    v8::Local<v8::Value> data = self->v8->GetContinuationPreservedEmbedderData();
    // V8 clears the data after each microtask.
    return data->IsUndefined() ? entries_plain_frame(self->v8, self->request) : data;
}

uint64_t entries_owner(struct isolate *self)
{
    v8::Local<v8::Value> frame = self->v8->GetContinuationPreservedEmbedderData();
    // An object of the JS layer's own, without getters and without a prototype.
    if (frame->IsObject() && !frame.As<v8::Object>()
                                  ->Get(self->v8->GetCurrentContext(), literal(self->v8, "request"))
                                  .ToLocal(&frame))
        return self->request;
    // Frames come from the JS layer; were it broken, the number could be any.
    const double number = frame->IsNumber() ? frame.As<v8::Number>()->Value() : -1.0;
    return number >= 0.0 && number < 9007199254740992.0 ? static_cast<uint64_t>(number)
                                                        : self->request;
}

Entry::Entry(struct isolate *self, uint64_t request)
    : self_(self), payer_(self), isolate_scope_(self->v8), handle_scope_(self->v8),
      context_(self->context.Get(self->v8)), context_scope_(context_), try_catch_(self->v8)
{
    assert(!self->in_entry);
    self->in_entry = true;
    self->request = request;
    entries_set_frame(self, entries_plain_frame(self->v8, request));
}

Entry::~Entry()
{
    // A terminate may have left a frame whose stores would stay until the next entry.
    entries_set_frame(self_, v8::Undefined(self_->v8));
    self_->in_entry = false;
}

// True if the entry was terminated. V8 forgets a terminate that an inner TryCatch has met, as the
// one in error_text: the flag stays.
bool Entry::is_terminated() const
{
    return self_->terminate_requested.load(std::memory_order_relaxed) ||
           try_catch_.HasTerminated() || self_->heap_limit_hit || self_->native_limit_hit ||
           self_->v8->IsExecutionTerminating();
}

bool Entry::call(enum entry which, int argc, v8::Local<v8::Value> argv[],
                 v8::Local<v8::Value> *ret_result)
{
    v8::Local<v8::Function> function = self_->entries[which].Get(self_->v8);
    v8::Local<v8::Value> result;
    if (function->Call(context_, v8::Undefined(self_->v8), argc, argv).ToLocal(&result)) {
        if (ret_result)
            *ret_result = result;
        return true;
    }
    threw_ = true;
    if (!is_terminated())
        self_->error = error_text(self_->v8, context_, try_catch_);
    return false;
}

// Forgets that a promise got a handler while its rejection was reported: nobody is told of that again.
static void forget_handled(struct isolate *self, const v8::Global<v8::Promise> &promise)
{
    std::erase_if(self->rejections, [&](const Rejection &rejection) {
        return rejection.handled && rejection.promise == promise;
    });
}

bool Entry::run_rejections()
{
    if (self_->rejections.empty())
        return false;
    std::vector<Rejection> now = std::move(self_->rejections);
    self_->rejections.clear();
    for (Rejection &rejection : now) {
        if (is_terminated())
            return true;
        v8::HandleScope scope(self_->v8);
        entries_set_frame(self_, rejection.frame.Get(self_->v8));
        v8::Local<v8::Value> argv[] = { rejection.promise.Get(self_->v8),
                                        rejection.reason.Get(self_->v8),
                                        v8::Boolean::New(self_->v8, rejection.handled) };
        (void) call(ENTRY_ON_REJECTION, 3, argv);
        if (!rejection.handled)
            forget_handled(self_, rejection.promise);
    }
    return true;
}

// Runs tasks until none is left that could run now, or a terminate comes.
void Entry::run_pending()
{
    for (bool more = true; more && !is_terminated();) {
        self_->microtasks->PerformCheckpoint(self_->v8);
        if (is_terminated())
            break;
        more = run_rejections();
        if (!is_terminated() && platform_pump(self_->v8))
            more = true;
    }
}

// Drops the microtasks after a terminate. V8 does so itself only if it was running them; the others
// would run in the next request's entry, on its budget.
void Entry::drop_pending()
{
    std::unique_ptr<v8::MicrotaskQueue> fresh =
        v8::MicrotaskQueue::New(self_->v8, v8::MicrotasksPolicy::kExplicit);
    context_->Exit(); // V8 does not change the queue of a context that is entered
    context_->SetMicrotaskQueue(fresh.get());
    context_->Enter();
    self_->microtasks = std::move(fresh);
    self_->imports.clear();
    self_->rejections.clear();
    modules_forget_unfinished(self_);
}

// True if the heap's size has to be looked at. Asking V8 for it costs more than a short entry, and
// takes V8's allocation buffer away. An entry can allocate no faster than memory is written.
bool Entry::is_heap_due()
{
    if (++self_->brief_entries <= brief_entries_max && platform_entry_ns() <= brief_entry_ns)
        return false;
    self_->brief_entries = 0;
    return true;
}

// Ends the entry. An isolate goes on after a terminate if it is clean: it is within its heap and
// its external memory, the terminate is taken back (isolate_cancel_terminate), the microtasks,
// imports and rejections that waited are gone with their queue, and each module whose evaluation
// was cut off will be compiled anew. The dropped microtasks may have belonged to other requests: V8
// empties the queue that it was running, so nobody can tell. The caller watches those requests.
enum isolate_result Entry::finish()
{
    run_pending();
    if (self_->load_state == ISOLATE_LOADING && !self_->evaluation.IsEmpty() && !is_terminated()) {
        modules_poll(self_, this);
        run_pending();
    }
    if (self_->heap_limit_hit)
        return ISOLATE_HEAP_LIMIT;
    if (self_->native_limit_hit)
        return ISOLATE_EXTERNAL_LIMIT;
    if (is_terminated()) {
        drop_pending();
        return ISOLATE_TERMINATED;
    }
    // An observed heap may stay over its limit, and is not collected after each entry.
    if (!self_->observe_heap && is_heap_due() && isolate_heap_used(self_->v8) > self_->heap_limit) {
        self_->v8->LowMemoryNotification(); // on_collected decides, by the heap without its garbage
        if (self_->heap_limit_hit)
            return ISOLATE_HEAP_LIMIT;
    }
    if (!isolate_check_external(self_))
        return ISOLATE_EXTERNAL_LIMIT;
    return threw_ || self_->load_state == ISOLATE_LOAD_FAILED ? ISOLATE_EXCEPTION : ISOLATE_OK;
}

void entries_on_rejection(v8::PromiseRejectMessage message)
{
    v8::Local<v8::Promise> promise = message.GetPromise();
    v8::Isolate *v8 = promise->GetIsolate();
    struct isolate *self = isolate_from(v8);
    std::vector<Rejection> &all = self->rejections;
    const v8::PromiseRejectEvent event = message.GetEvent();
    if (event != v8::kPromiseRejectWithNoHandler && event != v8::kPromiseHandlerAddedAfterReject)
        return;

    const bool handled = event == v8::kPromiseHandlerAddedAfterReject;
    if (handled) {
        // Most get their handler at once; the newest is the likeliest.
        auto it = std::find_if(all.rbegin(), all.rend(), [&](const Rejection &rejection) {
            return !rejection.handled && rejection.promise == promise;
        });
        if (it != all.rend()) {
            all.erase(std::next(it).base());
            return;
        }
    }
    if (all.size() >= max_rejections)
        return;
    v8::Local<v8::Value> reason = handled ? promise->Result() : message.GetValue();
    if (reason.IsEmpty())
        reason = v8::Undefined(v8);
    all.push_back({ v8::Global<v8::Value>(v8, entries_frame(self)),
                    v8::Global<v8::Promise>(v8, promise), v8::Global<v8::Value>(v8, reason),
                    handled });
}

// ---- the entries of isolate.h

static v8::Local<v8::Value> number(v8::Isolate *v8, uint64_t value)
{
    return v8::Number::New(v8, static_cast<double>(value));
}

// Returns undefined for no bytes; empty if there is no memory for them.
static v8::MaybeLocal<v8::Value> body_value(v8::Isolate *v8, struct isolate_bytes body)
{
    if (body.size == 0)
        return v8::Undefined(v8).As<v8::Value>();
    v8::Local<v8::Uint8Array> array;
    if (!bytes_new(v8, body.data, body.size).ToLocal(&array))
        return {};
    return array.As<v8::Value>();
}

// One request mostly has the method of the one before.
static v8::MaybeLocal<v8::String> method_value(struct isolate *self, struct isolate_bytes method)
{
    const std::string_view text(reinterpret_cast<const char *>(method.data), method.size);
    if (!self->method.IsEmpty() && text == self->method_text)
        return self->method.Get(self->v8);
    v8::Local<v8::String> value;
    if (!text_from_latin1(self->v8, method, v8::NewStringType::kInternalized).ToLocal(&value))
        return {};
    self->method.Reset(self->v8, value);
    self->method_text = text;
    return value;
}

enum isolate_result isolate_dispatch(struct isolate *self, const struct isolate_request *request)
{
    Entry entry(self, request->id);
    v8::Local<v8::String> method;
    v8::Local<v8::String> url;
    v8::Local<v8::String> head;
    v8::Local<v8::Value> body;
    v8::Local<v8::Value> caller = v8::Null(self->v8);
    v8::Local<v8::String> name;
    if (request->caller.size > 0) {
        if (!text_from_latin1(self->v8, request->caller, v8::NewStringType::kInternalized)
                 .ToLocal(&name))
            return ISOLATE_EXTERNAL_LIMIT;
        caller = name;
    }
    if (!method_value(self, request->method).ToLocal(&method) ||
        !text_decode(self->v8, request->url.data, request->url.size).ToLocal(&url) ||
        !text_from_latin1(self->v8, request->head).ToLocal(&head) ||
        !body_value(self->v8, request->body).ToLocal(&body))
        return ISOLATE_EXTERNAL_LIMIT;
    v8::Local<v8::Value> argv[] = { number(self->v8, request->id),
                                    method,
                                    url,
                                    head,
                                    body,
                                    v8::Boolean::New(self->v8, request->end),
                                    v8::Boolean::New(self->v8, request->has_body),
                                    caller };
    (void) entry.call(ENTRY_DISPATCH, 8, argv);
    return entry.finish();
}

enum isolate_result isolate_on_body(struct isolate *self, uint64_t request,
                                    struct isolate_bytes data, bool end)
{
    Entry entry(self, request);
    v8::Local<v8::Value> body;
    if (!body_value(self->v8, data).ToLocal(&body))
        return ISOLATE_EXTERNAL_LIMIT;
    v8::Local<v8::Value> argv[] = { number(self->v8, request), body,
                                    v8::Boolean::New(self->v8, end) };
    (void) entry.call(ENTRY_ON_BODY, 3, argv);
    return entry.finish();
}

enum isolate_result isolate_on_credit(struct isolate *self, uint64_t request, uint64_t credit)
{
    Entry entry(self, request);
    v8::Local<v8::Value> argv[] = { number(self->v8, request), number(self->v8, credit) };
    (void) entry.call(ENTRY_ON_CREDIT, 2, argv);
    return entry.finish();
}

enum isolate_result isolate_on_call_head(struct isolate *self, uint64_t request,
                                         const struct isolate_answer *answer)
{
    Entry entry(self, request);
    v8::Local<v8::String> head, reason;
    v8::Local<v8::Value> body;
    if (!text_from_latin1(self->v8, answer->head).ToLocal(&head) ||
        !text_from_latin1(self->v8, answer->reason).ToLocal(&reason) ||
        !body_value(self->v8, answer->body).ToLocal(&body))
        return ISOLATE_EXTERNAL_LIMIT;
    v8::Local<v8::Value> argv[] = { number(self->v8, request),
                                    number(self->v8, answer->call),
                                    number(self->v8, answer->status),
                                    head,
                                    body,
                                    v8::Boolean::New(self->v8, answer->end),
                                    reason };
    (void) entry.call(ENTRY_ON_CALL_HEAD, 7, argv);
    return entry.finish();
}

enum isolate_result isolate_on_call_body(struct isolate *self, uint64_t request, uint32_t call,
                                         struct isolate_bytes data, bool end)
{
    Entry entry(self, request);
    v8::Local<v8::Value> body;
    if (!body_value(self->v8, data).ToLocal(&body))
        return ISOLATE_EXTERNAL_LIMIT;
    v8::Local<v8::Value> argv[] = { number(self->v8, request), number(self->v8, call), body,
                                    v8::Boolean::New(self->v8, end) };
    (void) entry.call(ENTRY_ON_CALL_BODY, 4, argv);
    return entry.finish();
}

enum isolate_result isolate_on_call_credit(struct isolate *self, uint64_t request, uint32_t call,
                                           uint64_t credit)
{
    Entry entry(self, request);
    v8::Local<v8::Value> argv[] = { number(self->v8, request), number(self->v8, call),
                                    number(self->v8, credit) };
    (void) entry.call(ENTRY_ON_CALL_CREDIT, 3, argv);
    return entry.finish();
}

enum isolate_result isolate_on_call_failed(struct isolate *self, uint64_t request, uint32_t call,
                                           bool is_limit, struct isolate_bytes message)
{
    Entry entry(self, request);
    v8::Local<v8::String> text;
    if (!text_decode(self->v8, message.data, message.size).ToLocal(&text))
        text = v8::String::Empty(self->v8);
    v8::Local<v8::Value> argv[] = { number(self->v8, request), number(self->v8, call),
                                    v8::Boolean::New(self->v8, is_limit), text };
    (void) entry.call(ENTRY_ON_CALL_FAILED, 4, argv);
    return entry.finish();
}

enum isolate_result isolate_on_timer(struct isolate *self, uint64_t request, int64_t timer)
{
    Entry entry(self, request);
    v8::Local<v8::Value> argv[] = { number(self->v8, request),
                                    number(self->v8, static_cast<uint64_t>(timer)) };
    (void) entry.call(ENTRY_ON_TIMER, 2, argv);
    return entry.finish();
}

enum isolate_result isolate_on_cancel(struct isolate *self, uint64_t request, const char *reason)
{
    Entry entry(self, request);
    v8::Local<v8::String> text;
    if (!v8::String::NewFromUtf8(self->v8, reason ? reason : "").ToLocal(&text))
        text = v8::String::Empty(self->v8);
    v8::Local<v8::Value> argv[] = { number(self->v8, request), text };
    (void) entry.call(ENTRY_ON_CANCEL, 2, argv);
    return entry.finish();
}

void isolate_forget(struct isolate *self, uint64_t request)
{
    // No finish(): microtasks would run the tenant's code outside the sentry's watch.
    Entry entry(self, request);
    v8::Local<v8::Value> argv[] = { number(self->v8, request) };
    (void) entry.call(ENTRY_FORGET, 1, argv);
}
