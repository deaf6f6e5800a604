// SPDX-License-Identifier: Apache-2.0
// See compress.h.
#include "worker/v8/compress.h"

#include "worker/compress/compress.h"
#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <cerrno>
#include <memory>
#include <unordered_set>

namespace
{

using Info = v8::FunctionCallbackInfo<v8::Value>;

constexpr size_t max_streams = 1024; // in an isolate
constexpr size_t max_output_bytes = size_t{ 64 } << 10;

void throw_type(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::TypeError(literal(v8, text)));
}

void throw_range(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::RangeError(literal(v8, text)));
}

} // namespace

// The object behind a handle.
struct Stream {
    explicit Stream(struct compress_stream *stream) : stream(stream)
    {
    }
    ~Stream()
    {
        compress_free(stream);
    }
    Stream(const Stream &) = delete;
    void operator=(const Stream &) = delete;

    struct compress_stream *stream; // null: the layer has freed it
    CompressState *state = nullptr; // borrowed: the owner
    v8::Global<v8::Object> handle;
};

// The state of an isolate that has opened its natives. Owns the streams.
struct CompressState {
    ~CompressState()
    {
        for (Stream *stream : streams)
            delete stream;
    }
    v8::Global<v8::FunctionTemplate> kind; // the template of all handles
    std::unordered_set<Stream *> streams;
    size_t n_live = 0; // streams that the layer has not freed
};

namespace
{

// Frees the work of a stream; its handle stays until V8 finds that it is garbage.
void end_stream(Stream *stream)
{
    if (!stream->stream)
        return;
    stream->stream = compress_free(stream->stream);
    stream->state->n_live--;
}

void on_garbage(const v8::WeakCallbackInfo<Stream> &info)
{
    Stream *stream = info.GetParameter();
    stream->handle.Reset();
    end_stream(stream);
    stream->state->streams.erase(stream);
    delete stream;
}

// NULL if the value is no handle, or is one of a stream that was freed.
Stream *to_stream(struct isolate *self, v8::Local<v8::Value> value)
{
    if (!self->compress || !value->IsObject() ||
        !self->compress->kind.Get(self->v8)->HasInstance(value))
        return nullptr;
    Stream *stream =
        static_cast<Stream *>(value.As<v8::Object>()->GetAlignedPointerFromInternalField(0));
    return stream && stream->stream ? stream : nullptr;
}

// Returns a handle of a new stream. Empty with an exception pending.
v8::MaybeLocal<v8::Object> new_handle(struct isolate *self, std::unique_ptr<Stream> stream)
{
    CompressState *state = self->compress.get();
    v8::Local<v8::Object> handle;
    if (!state->kind.Get(self->v8)
             ->InstanceTemplate()
             ->NewInstance(self->v8->GetCurrentContext())
             .ToLocal(&handle))
        return {};
    handle->SetAlignedPointerInInternalField(0, stream.get());
    stream->state = state;
    stream->handle.Reset(self->v8, handle);
    stream->handle.SetWeak(stream.get(), on_garbage, v8::WeakCallbackType::kParameter);
    state->n_live++;
    state->streams.insert(stream.release());
    return handle;
}

// compressNew(format, isDecoder): the number of the format is that of enum compress_format.
void native_new(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    if (!info[0]->IsUint32())
        return throw_type(self->v8, "not a format");
    // Handles that nobody has any more are found when garbage is collected.
    if (self->compress->n_live >= max_streams)
        self->v8->LowMemoryNotification();
    if (self->compress->n_live >= max_streams)
        return throw_range(self->v8, "Too many compression streams are open");
    struct compress_stream *made = nullptr;
    const int r = compress_new(static_cast<enum compress_format>(info[0].As<v8::Uint32>()->Value()),
                               info[1]->IsTrue(), &made);
    if (r < 0)
        return r == -ENOMEM ? throw_range(self->v8, "No memory for a compression stream")
                            : throw_type(self->v8, "not a format");
    v8::Local<v8::Object> handle;
    if (new_handle(self, std::make_unique<Stream>(made)).ToLocal(&handle))
        info.GetReturnValue().Set(handle);
}

bool is_stopped(void *owner)
{
    return static_cast<struct isolate *>(owner)->terminate_requested.load(
        std::memory_order_relaxed);
}

// compressStep(stream, bytes, from, isLast): one slice of work on bytes from that place on. Returns [state, taken, output]: the
// number of enum compress_state, the bytes that were taken, and a Uint8Array or undefined. Undefined for bad data.
void native_step(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);
    Stream *stream = to_stream(self, info[0]);
    if (!stream || !info[1]->IsUint8Array() || !info[2]->IsNumber())
        return throw_type(v8, "not a stream, a Uint8Array and a number");
    uint8_t small[64];
    uint8_t room[max_output_bytes] __attribute__((uninitialized));
    const v8::MemorySpan<uint8_t> span =
        info[1].As<v8::Uint8Array>()->GetContents({ small, sizeof(small) });
    const double from = info[2].As<v8::Number>()->Value();
    if (!(from >= 0.0 && from <= static_cast<double>(span.size())))
        return throw_range(v8, "The bytes are fewer than they were");
    const size_t offset = static_cast<size_t>(from);
    struct compress_input input = { span.data() + offset, span.size() - offset };
    struct compress_output output = { room, sizeof(room) };
    const struct compress_caller caller = { is_stopped, self };
    const int r = compress_step(stream->stream, &input, info[3]->IsTrue(), &output, &caller);
    if (r == -EBADMSG)
        return;
    if (r < 0) // no JavaScript sees the end of a terminated one
        return throw_range(v8, "No memory for a compression stream");
    const size_t written = sizeof(room) - output.size;
    v8::Local<v8::Value> values[] = {
        v8::Integer::New(v8, r),
        v8::Number::New(v8, static_cast<double>(span.size() - offset - input.size)),
        v8::Undefined(v8),
    };
    v8::Local<v8::Uint8Array> bytes;
    if (written > 0) {
        if (!bytes_new(v8, room, written).ToLocal(&bytes))
            return;
        values[2] = bytes;
    }
    info.GetReturnValue().Set(v8::Array::New(v8, values, std::size(values)));
}

// compressFree(stream): frees its memory at once.
void native_free(const Info &info)
{
    Stream *stream = to_stream(isolate_from(info.GetIsolate()), info[0]);
    if (stream)
        end_stream(stream);
}

const Native natives[] = {
    { "compressNew", native_new },
    { "compressStep", native_step },
    { "compressFree", native_free },
};

} // namespace

void native_open_compress(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);

    if (!self->compress) {
        self->compress = std::make_shared<CompressState>();
        v8::Local<v8::FunctionTemplate> kind = v8::FunctionTemplate::New(v8);
        kind->InstanceTemplate()->SetInternalFieldCount(1);
        self->compress->kind.Reset(v8, kind);
    }
    natives_return(info, natives);
}

void compress_close(struct isolate *self)
{
    self->compress.reset();
}
