// SPDX-License-Identifier: Apache-2.0
//
// See natives.h. Arguments come from the JS layer, which the tenant cannot reach, and are checked
// all the same: a wrong one throws, and nothing here trusts a length that it did not read itself.
#include "worker/v8/natives.h"

#include "proto/head.h"
#include "worker/v8/compress.h"
#include "worker/v8/crypto.h"
#include "worker/v8/internal.h"
#include "worker/v8/parts.h"
#include "worker/v8/platform.h"
#include "worker/v8/rewriter.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace
{

using Info = v8::FunctionCallbackInfo<v8::Value>;

constexpr size_t max_header_strings = 2 * HEAD_FIELDS_MAX; // names and values
constexpr size_t max_header_bytes = 256 * 1024;
constexpr size_t max_encode_into_bytes = (1 << 21) - 1;
constexpr int max_lazy_name = 64;
constexpr size_t max_base64_units = size_t{ 1 } << 25;
constexpr size_t scratch_keep_bytes = 256 * 1024;

void throw_type(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::TypeError(literal(v8, text)));
}

void throw_range(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::RangeError(literal(v8, text)));
}

// Converts ids, sizes and times, which are Numbers: exact up to 2^53. Anything else is 0.
uint64_t to_u64(v8::Local<v8::Value> value)
{
    if (!value->IsNumber())
        return 0;
    const double number = value.As<v8::Number>()->Value();
    if (!(number >= 1.0))
        return 0;
    return number < 9007199254740992.0 ? static_cast<uint64_t>(number) : (uint64_t{ 1 } << 53) - 1;
}

void throw_errno(v8::Isolate *v8, int64_t r)
{
    if (r == -ENOENT)
        throw_type(v8, "The request is over or was cancelled");
    else if (r == -EALREADY)
        throw_type(v8, "The response was sent already");
    else
        throw_type(v8, "The response cannot be sent");
}

void throw_call_errno(v8::Isolate *v8, int64_t r)
{
    throw_type(v8, r == -ENOENT ? "The request or the call is over" : "The call cannot be sent");
}

// Memory that a call works in, kept from call to call. JavaScript that runs meanwhile (a getter of
// an argument) may call natives again, which then have a scratch of their own.
class Scratch
{
  public:
    explicit Scratch(struct isolate *self) : bytes(std::move(self->scratch)), self_(self)
    {
        bytes.clear();
    }
    // Memory of one large body is not kept for the rest of the isolate's life.
    ~Scratch()
    {
        if (bytes.capacity() <= scratch_keep_bytes)
            self_->scratch = std::move(bytes);
    }
    Scratch(const Scratch &) = delete;
    void operator=(const Scratch &) = delete;

    struct isolate_bytes view() const
    {
        return { bytes.data(), bytes.size() };
    }

    std::vector<uint8_t> bytes;

  private:
    struct isolate *self_;
};

// Bytes of a body argument: undefined, a string, or a Uint8Array. Strings are appended to the
// scratch; bytes stay where they are.
class Body
{
  public:
    // False with a pending exception.
    bool read(struct isolate *self, v8::Local<v8::Value> value, Scratch *scratch)
    {
        if (value->IsUint8Array()) {
            v8::MemorySpan<uint8_t> span =
                value.As<v8::Uint8Array>()->GetContents({ small_, sizeof(small_) });
            bytes_ = { span.data(), span.size() };
            return true;
        }
        if (value->IsString()) {
            v8::Local<v8::String> string = value.As<v8::String>();
            // Nobody counts the copy, which is outside V8's heap.
            if (static_cast<size_t>(string->Length()) > self->allocator->limit()) {
                throw_range(self->v8, "The body is too long");
                return false;
            }
            in_scratch_ = true;
            offset_ = scratch->bytes.size();
            text_append_utf8(self->v8, string, &scratch->bytes);
            bytes_.size = scratch->bytes.size() - offset_;
            return true;
        }
        if (value->IsUndefined())
            return true;
        throw_type(self->v8, "A body must be a string or a Uint8Array");
        return false;
    }
    // Returns the bytes, once scratch does not move any more.
    struct isolate_bytes get(const Scratch &scratch) const
    {
        return in_scratch_ ? isolate_bytes{ scratch.bytes.data() + offset_, bytes_.size } : bytes_;
    }

  private:
    uint8_t small_[64]; // arrays this small may live in V8's heap, where they can move
    struct isolate_bytes bytes_ = { nullptr, 0 };
    size_t offset_ = 0;
    bool in_scratch_ = false;
};

void native_log(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    if (!info[1]->IsString())
        return;
    v8::Local<v8::String> text = info[1].As<v8::String>();
    const uint64_t level = to_u64(info[0]);

    Scratch scratch(self);
    text_append_head(self->v8, text, max_text_units, &scratch.bytes);
    const auto known =
        static_cast<enum isolate_log_level>(std::min<uint64_t>(level, ISOLATE_LOG_ERROR));
    self->ops->log(self->host, entries_owner(self), known, scratch.view());
}

// A packed head (proto/head.h) at the beginning of the scratch.
class Head
{
  public:
    Head(v8::Isolate *v8, Scratch *scratch, size_t n_texts)
        : v8_(v8), scratch_(scratch), n_(n_texts)
    {
        scratch->bytes.resize(head_table_bytes(n_texts));
        head_put_count(scratch->bytes.data(), static_cast<uint32_t>(n_texts));
    }

    // Adds a text. False: it is no latin-1 string, or one too many, or all are larger than a head
    // may be.
    bool add(v8::Local<v8::Value> value)
    {
        if (!value->IsString() || count_ == n_)
            return false;
        v8::Local<v8::String> string = value.As<v8::String>();
        const uint32_t length = static_cast<uint32_t>(string->Length());
        const size_t at = scratch_->bytes.size();
        if (at - head_table_bytes(n_) + length > max_header_bytes || !string->ContainsOnlyOneByte())
            return false;
        scratch_->bytes.resize(at + length);
        string->WriteOneByteV2(v8_, 0, length, scratch_->bytes.data() + at);
        head_put_size(scratch_->bytes.data(), count_++, length);
        return true;
    }

    bool add(const std::string &text)
    {
        const size_t at = scratch_->bytes.size();
        if (count_ == n_ || at - head_table_bytes(n_) + text.size() > max_header_bytes)
            return false;
        scratch_->bytes.insert(scratch_->bytes.end(), text.begin(), text.end());
        head_put_size(scratch_->bytes.data(), count_++, static_cast<uint32_t>(text.size()));
        return true;
    }

    // Adds [name, value, ...]. The layer's own arrays have no prototype and no getters, so no
    // JavaScript runs. False: as for add, or a getter threw.
    bool add_all(v8::Local<v8::Context> context, v8::Local<v8::Value> array)
    {
        good_ = true;
        // An element's handle is valid inside the callback only.
        auto each = [](uint32_t, v8::Local<v8::Value> element, void *data) {
            Head *head = static_cast<Head *>(data);
            head->good_ = head->add(element);
            return head->good_ ? v8::Array::CallbackResult::kContinue
                               : v8::Array::CallbackResult::kBreak;
        };
        return !array.As<v8::Array>()->Iterate(context, each, this).IsNothing() && good_;
    }

    // Returns whether the head is complete and has no NUL, which would be a breach of the protocol.
    bool finish()
    {
        const uint8_t *texts = scratch_->bytes.data() + head_table_bytes(n_);
        size_ = scratch_->bytes.size();
        return count_ == n_ && !memchr(texts, 0, size_ - head_table_bytes(n_));
    }

    // Returns the head, once scratch does not move any more.
    struct isolate_bytes view() const
    {
        return { scratch_->bytes.data(), size_ };
    }

  private:
    v8::Isolate *v8_;
    Scratch *scratch_;
    size_t n_;
    size_t count_ = 0;
    size_t size_ = 0;
    bool good_ = true;
};

// Returns the number of strings of an array of headers; more than allowed, if it is no array.
size_t count_strings(v8::Local<v8::Value> value)
{
    const size_t n = value->IsArray() ? value.As<v8::Array>()->Length() : max_header_strings + 1;
    return n % 2 == 0 ? n : max_header_strings + 1;
}

uint32_t to_u32(v8::Local<v8::Value> value)
{
    return static_cast<uint32_t>(std::min<uint64_t>(to_u64(value), UINT32_MAX));
}

void native_respond(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);
    Scratch scratch(self);
    v8::TryCatch getters(v8); // exceptions of a hostile array's getters are not reported
    const size_t n = count_strings(info[2]);
    Head head(v8, &scratch, std::min(n, max_header_strings));
    const bool good =
        n <= max_header_strings && head.add_all(v8->GetCurrentContext(), info[2]) && head.finish();
    if (!good && getters.HasTerminated())
        return (void) getters.ReThrow();
    getters.Reset();
    if (!good)
        return throw_type(
            v8, "Headers must be at most 256 pairs of latin-1 strings without NUL, in all "
                "256 KiB");
    Body body;
    if (!body.read(self, info[3], &scratch))
        return (void) getters.ReThrow();
    const int r = self->ops->respond(self->host, to_u64(info[0]), to_u32(info[1]), head.view(),
                                     body.get(scratch), info[4]->IsTrue());
    if (r < 0) {
        throw_errno(v8, r);
        getters.ReThrow();
    }
}

void native_send_body(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    Scratch scratch(self);
    Body body;
    if (!body.read(self, info[1], &scratch))
        return;
    const int64_t r =
        self->ops->send_body(self->host, to_u64(info[0]), body.get(scratch), info[2]->IsTrue());
    if (r < 0)
        return throw_errno(info.GetIsolate(), r);
    info.GetReturnValue().Set(static_cast<double>(r));
}

void native_consume_body(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    self->ops->consume_body(self->host, to_u64(info[0]), static_cast<size_t>(to_u64(info[1])));
}

// call(request, binding, method, url, headers, body, end). binding: UINT32_MAX is fetch()
void native_call(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);
    Scratch scratch(self);
    struct isolate_call call = {};
    UrlTarget url;
    if (!url_split(self, info[3], &url))
        return;
    v8::TryCatch getters(v8); // as in native_respond
    const size_t n = count_strings(info[4]);
    Head head(v8, &scratch, HEAD_CALL_TEXTS + std::min(n, max_header_strings));
    const bool good = n <= max_header_strings && head.add(info[2]) && head.add(url.scheme) &&
                      head.add(url.host) && head.add(url.path) &&
                      head.add_all(v8->GetCurrentContext(), info[4]) && head.finish();
    if (!good && getters.HasTerminated())
        return (void) getters.ReThrow();
    getters.Reset();
    if (!good) {
        throw_type(v8,
                   "A call has at most 256 headers of latin-1 strings without NUL, in all 256 KiB");
        return (void) getters.ReThrow();
    }
    Body body;
    if (!body.read(self, info[5], &scratch))
        return (void) getters.ReThrow();
    call.binding = to_u32(info[1]);
    call.port = url.port;
    call.head = head.view();
    call.body = body.get(scratch);
    call.end = info[6]->IsTrue();
    const int64_t r = self->ops->call(self->host, to_u64(info[0]), &call);
    if (r < 0) {
        throw_call_errno(v8, r);
        getters.ReThrow();
        return;
    }
    info.GetReturnValue().Set(static_cast<double>(r));
}

void native_send_call(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    Scratch scratch(self);
    Body body;
    if (!body.read(self, info[2], &scratch))
        return;
    const int64_t r = self->ops->send_call(self->host, to_u64(info[0]), to_u32(info[1]),
                                           body.get(scratch), info[3]->IsTrue());
    if (r < 0)
        return throw_call_errno(info.GetIsolate(), r);
    info.GetReturnValue().Set(static_cast<double>(r));
}

void native_consume_call(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    self->ops->consume_call(self->host, to_u64(info[0]), to_u32(info[1]),
                            static_cast<size_t>(to_u64(info[2])));
}

void native_cancel_call(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    self->ops->cancel_call(self->host, to_u64(info[0]), to_u32(info[1]));
}

void native_done(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const uint64_t outcome = std::min<uint64_t>(to_u64(info[1]), ISOLATE_REQUEST_BAD_RESPONSE);
    Scratch scratch(self);
    if (info[2]->IsString())
        text_append_head(self->v8, info[2].As<v8::String>(), max_text_units, &scratch.bytes);
    self->ops->done(self->host, to_u64(info[0]), static_cast<enum isolate_outcome>(outcome),
                    scratch.view());
}

void native_set_timer(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const int64_t id =
        self->ops->set_timer(self->host, entries_owner(self), to_u64(info[0]), info[1]->IsTrue());
    if (id < 0)
        return throw_range(info.GetIsolate(), "Too many timers in this request");
    info.GetReturnValue().Set(static_cast<double>(id));
}

void native_clear_timer(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    self->ops->clear_timer(self->host, static_cast<int64_t>(to_u64(info[0])));
}

void native_keep_timer(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const int64_t timer = static_cast<int64_t>(to_u64(info[0]));
    info.GetReturnValue().Set(static_cast<double>(self->ops->keep_timer(self->host, timer)));
}

void native_frame(const Info &info)
{
    info.GetReturnValue().Set(entries_frame(isolate_from(info.GetIsolate())));
}

void native_set_frame(const Info &info)
{
    entries_set_frame(isolate_from(info.GetIsolate()), info[0]);
}

void native_now(const Info &info)
{
    info.GetReturnValue().Set(platform_now_ms());
}

void native_locate(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[1]->IsString())
        return throw_type(v8, "not a string");
    const std::string frames = to_std_string(v8, info[1]);
    const std::string place =
        error_place(isolate_from(v8), v8->GetCurrentContext(), info[0], frames);
    v8::Local<v8::String> text;
    if (text_decode(v8, reinterpret_cast<const uint8_t *>(place.data()), place.size())
            .ToLocal(&text))
        info.GetReturnValue().Set(text);
}

void native_utf8_encode(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsString())
        return throw_type(v8, "not a string");
    v8::Local<v8::String> string = info[0].As<v8::String>();
    if (static_cast<size_t>(string->Length()) > isolate_from(v8)->allocator->limit())
        return throw_range(v8, "Array buffer allocation failed");
    v8::Local<v8::Uint8Array> array;
    if (text_encode(v8, string).ToLocal(&array))
        info.GetReturnValue().Set(array);
}

void native_utf8_encode_into(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsString() || !info[1]->IsUint8Array())
        return throw_type(v8, "not a string and a Uint8Array");
    v8::Local<v8::Uint8Array> array = info[1].As<v8::Uint8Array>();
    // Both counts share one Number, exact up to 2^53; the caller goes on from what was read.
    const size_t size = std::min(array->ByteLength(), max_encode_into_bytes);
    uint8_t *to = static_cast<uint8_t *>(array->Buffer()->Data());
    size_t read = 0;
    size_t written = 0;
    if (to && size != 0)
        written =
            text_encode_into(v8, info[0].As<v8::String>(), to + array->ByteOffset(), size, &read);
    info.GetReturnValue().Set(static_cast<double>(read) * 4294967296.0 +
                              static_cast<double>(written));
}

// native: head(string, n): the first n units, without making a rope flat; the string itself if it
// is not longer.
void native_head(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsString())
        return throw_type(v8, "not a string");
    v8::Local<v8::String> head;
    if (text_head(v8, info[0].As<v8::String>(), std::min<uint64_t>(to_u64(info[1]), max_text_units))
            .ToLocal(&head))
        info.GetReturnValue().Set(head);
}

// native: namedKeys(object, all): the object's own keys without the indices, of which an array may
// have a million; the enumerable ones, or all.
void native_named_keys(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsObject())
        return throw_type(v8, "not an object");
    v8::Local<v8::Array> keys;
    if (info[0]
            .As<v8::Object>()
            ->GetPropertyNames(v8->GetCurrentContext(), v8::KeyCollectionMode::kOwnOnly,
                               info[1]->IsTrue() ? v8::ALL_PROPERTIES : v8::ONLY_ENUMERABLE,
                               v8::IndexFilter::kSkipIndices)
            .ToLocal(&keys))
        info.GetReturnValue().Set(keys);
}

// native: proxyParts(value): target and handler of a proxy, null both if it was revoked; undefined
// for any other value.
void native_proxy_parts(const Info &info)
{
    if (!info[0]->IsProxy())
        return;
    v8::Local<v8::Value> parts[] = { info[0].As<v8::Proxy>()->GetTarget(),
                                     info[0].As<v8::Proxy>()->GetHandler() };
    info.GetReturnValue().Set(v8::Array::New(info.GetIsolate(), parts, 2));
}

// native: promiseState(value): 0 pending, 1 fulfilled, 2 rejected, and what it was settled with
void native_promise_state(const Info &info)
{
    if (!info[0]->IsPromise())
        return;
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::Promise> promise = info[0].As<v8::Promise>();
    const v8::Promise::PromiseState state = promise->State();
    v8::Local<v8::Value> parts[] = { v8::Integer::New(v8, state), v8::Undefined(v8) };
    if (state != v8::Promise::kPending)
        parts[1] = promise->Result();
    info.GetReturnValue().Set(v8::Array::New(v8, parts, 2));
}

void native_utf8_decode(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsUint8Array())
        return throw_type(v8, "not a Uint8Array");
    uint8_t small[64];
    v8::MemorySpan<uint8_t> bytes =
        info[0].As<v8::Uint8Array>()->GetContents({ small, sizeof(small) });
    if (info[1]->IsTrue() && !text_is_utf8(bytes.data(), bytes.size()))
        return throw_type(v8, "The encoded data was not valid for encoding utf-8");
    v8::Local<v8::String> string;
    if (text_decode(v8, bytes.data(), bytes.size()).ToLocal(&string))
        info.GetReturnValue().Set(string);
}

void drop_bytes(v8::Local<v8::Value> value);

constexpr size_t take_text_min = 64 * 1024; // below, a copy costs less than an external string

// The characters of a string that has taken bytes over. Their memory counts as that of the bytes until the string is gone.
class TakenText final : public v8::String::ExternalOneByteStringResource
{
  public:
    TakenText(std::shared_ptr<v8::BackingStore> store, size_t offset, size_t size)
        : store_(std::move(store)), offset_(offset), size_(size)
    {
    }
    const char *data() const override
    {
        return static_cast<const char *>(store_->Data()) + offset_;
    }
    size_t length() const override
    {
        return size_;
    }

  private:
    std::shared_ptr<v8::BackingStore> store_;
    size_t offset_;
    size_t size_;
};

// takeText(u8): a string whose characters are the bytes, which are detached; undefined if they are few, or not ASCII.
void native_take_text(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsUint8Array())
        return throw_type(v8, "not a Uint8Array");
    v8::Local<v8::Uint8Array> bytes = info[0].As<v8::Uint8Array>();
    const size_t size = bytes->ByteLength();
    const size_t offset = bytes->ByteOffset();
    if (size < take_text_min || size > v8::String::kMaxLength)
        return;
    v8::Local<v8::ArrayBuffer> buffer = bytes->Buffer();
    if (!buffer->IsDetachable() || buffer->IsResizableByUserJavaScript())
        return;
    std::shared_ptr<v8::BackingStore> store = buffer->GetBackingStore();
    if (!text_is_ascii(static_cast<const uint8_t *>(store->Data()) + offset, size))
        return;
    drop_bytes(bytes);
    // The characters of a string must not change: nothing else may have the memory.
    v8::Local<v8::String> string;
    if (store.use_count() != 1) {
        if (text_from_latin1(v8, { static_cast<const uint8_t *>(store->Data()) + offset, size })
                .ToLocal(&string))
            info.GetReturnValue().Set(string);
        return;
    }
    auto taken = std::make_unique<TakenText>(std::move(store), offset, size);
    if (v8::String::NewExternalOneByte(v8, taken.get()).ToLocal(&string)) {
        (void) taken.release(); // the string's
        info.GetReturnValue().Set(string);
    }
}

// Returns undefined for a string that cannot be converted.
void convert_base64(const Info &info,
                    v8::MaybeLocal<v8::String> (*convert)(v8::Isolate *, v8::Local<v8::String>,
                                                          bool *))
{
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::String> result;
    bool is_bad = false;
    if (!info[0]->IsString())
        return throw_type(v8, "not a string");
    if (static_cast<size_t>(info[0].As<v8::String>()->Length()) > max_base64_units)
        return throw_range(v8, "The text is too long");
    if (convert(v8, info[0].As<v8::String>(), &is_bad).ToLocal(&result))
        info.GetReturnValue().Set(result);
}

void native_atob(const Info &info)
{
    convert_base64(info, text_atob);
}

void native_btoa(const Info &info)
{
    convert_base64(info, text_btoa);
}

void native_copy_bytes(const Info &info)
{
    uint8_t small[64];
    if (!info[0]->IsUint8Array())
        return throw_type(info.GetIsolate(), "not a Uint8Array");
    // Collecting garbage for the copy moves bytes that lie in V8's heap.
    v8::Local<v8::Uint8Array> from = info[0].As<v8::Uint8Array>();
    v8::Local<v8::Uint8Array> copy;
    const size_t size = from->ByteLength();
    if (!bytes_new(info.GetIsolate(), nullptr, size).ToLocal(&copy))
        return;
    const v8::MemorySpan<uint8_t> span = from->GetContents({ small, sizeof(small) });
    if (size != 0)
        memcpy(copy->Buffer()->Data(), span.data(), size);
    info.GetReturnValue().Set(copy);
}

// Gives the memory back at once that the collector would find later.
void drop_bytes(v8::Local<v8::Value> value)
{
    if (!value->IsUint8Array())
        return;
    v8::Local<v8::ArrayBuffer> buffer = value.As<v8::Uint8Array>()->Buffer();
    if (buffer->IsDetachable() && !buffer->WasDetached())
        buffer->Detach(v8::Local<v8::Value>()).Check(); // fails only for a key, which it has none
}

void native_drop_bytes(const Info &info)
{
    drop_bytes(info[0]);
}

// noteWaiting(bytes): how much of the answers waits for clients, for the scoreboard.
void native_note_waiting(const Info &info)
{
    const struct isolate *self = isolate_from(info.GetIsolate());
    const uint64_t kib = to_u64(info[0]) >> 10;

    if (self->waiting_kib)
        __atomic_store_n(self->waiting_kib,
                         static_cast<uint32_t>(std::min<uint64_t>(kib, UINT32_MAX)),
                         __ATOMIC_RELAXED);
}

// concat(chunks, size, take): one Uint8Array of that size from all chunks; with take they are dropped.
void native_concat(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::Context> context = v8->GetCurrentContext();
    const size_t size = static_cast<size_t>(to_u64(info[1]));
    v8::Local<v8::Uint8Array> all;
    uint8_t small[64];
    if (!info[0]->IsArray())
        return throw_type(v8, "not an array");
    if (size > isolate_from(v8)->allocator->limit())
        return throw_range(v8, "Array buffer allocation failed");
    if (!bytes_new(v8, nullptr, size).ToLocal(&all))
        return;
    v8::Local<v8::Array> chunks = info[0].As<v8::Array>();
    uint8_t *const to = static_cast<uint8_t *>(all->Buffer()->Data());
    size_t at = 0;
    for (uint32_t i = 0; i < chunks->Length(); i++) {
        v8::HandleScope scope(v8);
        v8::Local<v8::Value> chunk;
        if (!chunks->Get(context, i).ToLocal(&chunk))
            return;
        if (!chunk->IsUint8Array())
            return throw_type(v8, "not a Uint8Array");
        const v8::MemorySpan<uint8_t> span =
            chunk.As<v8::Uint8Array>()->GetContents({ small, sizeof(small) });
        if (span.size() > size - at)
            return throw_range(v8, "The chunks are longer than they were");
        if (span.size() != 0)
            memcpy(to + at, span.data(), span.size());
        at += span.size();
        if (info[2]->IsTrue())
            drop_bytes(chunk);
    }
    if (at < size)
        memset(to + at, 0, size - at);
    info.GetReturnValue().Set(all);
}

void native_is_latin1(const Info &info)
{
    info.GetReturnValue().Set(info[0]->IsString() &&
                              info[0].As<v8::String>()->ContainsOnlyOneByte());
}

// native: functionText(value): what Function.prototype.toString returns for a function of this layer, which is a native one
// for its tenants; undefined for any other value.
void native_function_text(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsFunction())
        return;
    v8::Local<v8::Function> function = info[0].As<v8::Function>();
    // Lazy parts are scripts of their own. No file of a tenant has this name, and sourceURL is not looked at.
    v8::Local<v8::Value> script = function->GetScriptOrigin().ResourceName();
    if (script.IsEmpty() || !script->StrictEquals(literal(v8, js_layer_name)))
        return;
    v8::Local<v8::Value> given = function->GetDebugName();
    v8::Local<v8::String> name = v8::String::Empty(v8);
    if (given->IsString() && !text_head(v8, given.As<v8::String>(), max_lazy_name).ToLocal(&name))
        return;
    v8::Local<v8::String> text = v8::String::Concat(v8, literal(v8, "function "), name);
    info.GetReturnValue().Set(v8::String::Concat(v8, text, literal(v8, "() { [native code] }")));
}

// The value of a property that lazy() has made, when it is first looked at; V8 then puts it in the property's place.
void on_lazy(v8::Local<v8::Name> name, const v8::PropertyCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::Value> value;
    v8::Local<v8::Value> argv[] = { name };
    if (isolate_from(v8)
            ->entries[ENTRY_LOAD]
            .Get(v8)
            ->Call(v8->GetCurrentContext(), v8::Undefined(v8), 1, argv)
            .ToLocal(&value))
        info.GetReturnValue().Set(value);
}

// lazy(object, name): a data property, not enumerable, whose value the entry load(name) gives when it is first looked at.
// May be called while the snapshot is made, which cannot hold a function for each such property.
void native_lazy(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::Context> context = v8->GetCurrentContext();
    if (!info[0]->IsObject() || info[0]->IsProxy() || !info[1]->IsString() ||
        info[1].As<v8::String>()->Length() > max_lazy_name) // a name is made flat
        return throw_type(v8, "not an object and a name");
    v8::Local<v8::String> name = info[1].As<v8::String>();
    if (info[0]
            .As<v8::Object>()
            ->SetLazyDataProperty(context, name, on_lazy, {}, v8::DontEnum)
            .IsNothing())
        return;
}

void native_register(const Info &info)
{
    if (!info[0]->IsObject())
        return throw_type(info.GetIsolate(), "register() takes an object of functions");
    isolate_from(info.GetIsolate())->registered.Reset(info.GetIsolate(), info[0].As<v8::Object>());
}

const Native natives[] = {
    { "log", native_log },
    { "respond", native_respond },
    { "sendBody", native_send_body },
    { "consumeBody", native_consume_body },
    { "done", native_done },
    { "setTimer", native_set_timer },
    { "clearTimer", native_clear_timer },
    { "keepTimer", native_keep_timer },
    { "frame", native_frame },
    { "setFrame", native_set_frame },
    { "now", native_now },
    { "locate", native_locate },
    { "hasSourceMaps", native_has_source_maps },
    { "sourceMap", native_source_map },
    { "findOrigins", native_find_origins },
    { "excerpt", native_excerpt },
    { "head", native_head },
    { "namedKeys", native_named_keys },
    { "promiseState", native_promise_state },
    { "proxyParts", native_proxy_parts },
    { "utf8Encode", native_utf8_encode },
    { "utf8EncodeInto", native_utf8_encode_into },
    { "utf8Decode", native_utf8_decode },
    { "findEncoding", native_find_encoding },
    { "decode", native_decode },
    { "structuredClone", native_structured_clone },
    { "isLatin1", native_is_latin1 },
    { "atob", native_atob },
    { "btoa", native_btoa },
    { "copyBytes", native_copy_bytes },
    { "concat", native_concat },
    { "dropBytes", native_drop_bytes },
    { "takeText", native_take_text },
    { "noteWaiting", native_note_waiting },
    { "call", native_call },
    { "sendCall", native_send_call },
    { "consumeCall", native_consume_call },
    { "cancelCall", native_cancel_call },
    { "lazy", native_lazy },
    { "functionText", native_function_text },
    { "openCrypto", native_open_crypto },
    { "openCompress", native_open_compress },
    { "openRewriter", native_open_rewriter },
    { "lendStacks", native_lend_stacks },
    { "part", native_part },
    { "urlParse", native_url_parse },
    { "openUrl", native_open_url },
    { "register", native_register },
};

} // namespace

v8::MaybeLocal<v8::Object> natives_new(v8::Isolate *v8, v8::Local<v8::Context> context)
{
    v8::Local<v8::Object> object = v8::Object::New(v8);
    for (const Native &native : natives) {
        v8::Local<v8::FunctionTemplate> made = v8::FunctionTemplate::New(
            v8, native.callback, {}, {}, 0, v8::ConstructorBehavior::kThrow);
        v8::Local<v8::Function> function;
        // The functions have no names: each would be one more string in each isolate.
        if (!made->GetFunction(context).ToLocal(&function) ||
            object->CreateDataProperty(context, literal(v8, native.name), function).IsNothing())
            return {};
    }
    return object;
}

void natives_return(const v8::FunctionCallbackInfo<v8::Value> &info,
                    std::span<const Native> natives)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::Context> context = v8->GetCurrentContext();
    v8::Local<v8::Object> object = v8::Object::New(v8, v8::Null(v8), nullptr, nullptr, 0);

    for (const Native &native : natives) {
        v8::Local<v8::Function> function;
        if (!v8::Function::New(context, native.callback, {}, 0, v8::ConstructorBehavior::kThrow)
                 .ToLocal(&function) ||
            object->CreateDataProperty(context, literal(v8, native.name), function).IsNothing())
            return;
    }
    info.GetReturnValue().Set(object);
}

void natives_add_references(std::vector<intptr_t> *references)
{
    references->push_back(reinterpret_cast<intptr_t>(missing_look));
    for (const Native &native : natives)
        references->push_back(reinterpret_cast<intptr_t>(native.callback));
    references->push_back(reinterpret_cast<intptr_t>(on_lazy));
}
