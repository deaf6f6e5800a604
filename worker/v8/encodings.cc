// SPDX-License-Identifier: Apache-2.0
//
// The natives of TextDecoder: labels, and the decoders of worker/encoding. Decoded text is made in pieces, between which a stop
// of the request is seen, and is refused before it takes more heap than there is.
#include "worker/encoding/encoding.h"
#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <algorithm>
#include <cstring>

namespace
{

using Info = v8::FunctionCallbackInfo<v8::Value>;

constexpr size_t piece_bytes = 64 * 1024;

void throw_type(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::TypeError(literal(v8, text)));
}

uint32_t to_u32(v8::Local<v8::Value> value)
{
    return value->IsUint32() ? value.As<v8::Uint32>()->Value() : 0;
}

// The bytes of a view or a buffer; none if it is detached, or beyond its buffer. Small ones are a copy, because V8 may move them.
class Source
{
  public:
    // False if the value is neither.
    bool read(v8::Local<v8::Value> value)
    {
        if (value->IsArrayBufferView()) {
            bytes_ = value.As<v8::ArrayBufferView>()->GetContents({ small_, sizeof(small_) });
            return true;
        }
        if (!value->IsArrayBuffer())
            return false;
        v8::Local<v8::ArrayBuffer> buffer = value.As<v8::ArrayBuffer>();
        bytes_ = { static_cast<uint8_t *>(buffer->Data()), buffer->ByteLength() };
        return true;
    }
    const uint8_t *data() const
    {
        return bytes_.data();
    }
    size_t size() const
    {
        return bytes_.size();
    }

  private:
    uint8_t small_[64];
    v8::MemorySpan<uint8_t> bytes_;
};

// ---- UTF-8: the state is the bytes of a sequence that is not whole, and their number

// Counts the bytes at the end that are the start of a sequence which may still become valid.
size_t incomplete_tail(const uint8_t *bytes, size_t size)
{
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        const uint8_t *at = bytes + size - back;
        if ((at[0] & 0xc0) == 0x80)
            continue;
        const size_t needed = at[0] >= 0xf0 && at[0] <= 0xf4   ? 4
                              : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                              : at[0] >= 0xc2 && at[0] <= 0xdf ? 2
                                                               : 0;
        if (needed <= back)
            return 0;
        // The second byte of E0, ED, F0 and F4 has a narrower range.
        if (back > 1 && ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
                         (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)))
            return 0;
        return back;
    }
    return 0;
}

v8::MaybeLocal<v8::String> decode_utf8(v8::Isolate *v8, const Source &source, bool is_fatal,
                                       bool is_end, uint32_t *state)
{
    const uint8_t *bytes = source.data();
    size_t size = source.size();
    std::vector<uint8_t> joined;
    const size_t held = std::min<size_t>(*state >> 24, 3);

    if (held > 0) {
        for (size_t i = 0; i < held; i++)
            joined.push_back(static_cast<uint8_t>(*state >> 8 * i));
        joined.insert(joined.end(), bytes, bytes + size);
        bytes = joined.data();
        size = joined.size();
    }
    *state = 0;
    if (!is_end) {
        const size_t tail = incomplete_tail(bytes, size);
        size -= tail;
        for (size_t i = 0; i < tail; i++)
            *state |= static_cast<uint32_t>(bytes[size + i]) << 8 * i;
        *state |= static_cast<uint32_t>(tail) << 24;
    }
    if (is_fatal && !text_is_utf8(bytes, size)) {
        *state = 0;
        throw_type(v8, "The encoded data was not valid for encoding utf-8");
        return {};
    }
    return text_decode(v8, bytes, size);
}

// ---- the others

void throw_bad_data(v8::Isolate *v8, unsigned encoding)
{
    const char *name = encoding_name(encoding);
    const std::string text =
        std::string("The encoded data was not valid for encoding ") + (name ? name : "");
    throw_type(v8, text.c_str());
}

v8::MaybeLocal<v8::String> decode_other(struct isolate *self, unsigned encoding,
                                        const Source &source, bool is_fatal, bool is_end,
                                        uint32_t *state)
{
    struct decoder decoder;
    std::vector<uint16_t> units;
    size_t n = 0;
    int r = 0;

    static_assert(sizeof decoder == sizeof *state);
    memcpy(&decoder, state, sizeof decoder);
    *state = 0;
    for (size_t at = 0; r == 0 && at < source.size(); at += piece_bytes) {
        const size_t size = std::min(piece_bytes, source.size() - at);
        size_t got = 0;
        if (self->terminate_requested.load(std::memory_order_relaxed))
            return {};
        if (!text_check_room(self->v8, n + size)) // a byte for each unit at least
            return {};
        units.resize(n + size + DECODER_MORE_UNITS);
        r = decoder_run(&decoder, encoding, is_fatal, source.data() + at, size, units.data() + n,
                        &got);
        n += got;
    }
    if (r == 0 && is_end) {
        size_t got = 0;
        units.resize(n + DECODER_MORE_UNITS);
        r = decoder_end(&decoder, encoding, is_fatal, units.data() + n, &got);
        n += got;
    }
    if (r < 0) {
        throw_bad_data(self->v8, encoding);
        return {};
    }
    memcpy(state, &decoder, sizeof decoder);
    units.resize(n);
    return text_from_units(self->v8, units);
}

} // namespace

void native_find_encoding(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    char label[ENCODING_LABEL_MAX];

    if (!info[0]->IsString())
        return throw_type(v8, "not a string");
    v8::Local<v8::String> string = info[0].As<v8::String>();
    const uint32_t length = static_cast<uint32_t>(string->Length());
    if (length > sizeof label || !string->ContainsOnlyOneByte())
        return;
    string->WriteOneByteV2(v8, 0, length, reinterpret_cast<uint8_t *>(label));
    for (uint32_t i = 0; i < length; i++)
        if (label[i] >= 'A' && label[i] <= 'Z')
            label[i] = static_cast<char>(label[i] + 'a' - 'A');
    const int encoding = encoding_find(label, length);
    if (encoding < 0)
        return;
    v8::Local<v8::Value> found[] = {
        v8::Integer::New(v8, encoding),
        literal(v8, encoding_name(static_cast<unsigned>(encoding))),
    };
    info.GetReturnValue().Set(v8::Array::New(v8, found, 2));
}

void native_decode(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    Source source;
    const unsigned encoding = to_u32(info[0]);
    uint32_t state = to_u32(info[2]);
    v8::Local<v8::String> text;

    if (!source.read(info[1]))
        return throw_type(v8, "not a view or a buffer");
    const bool is_fatal = info[3]->IsTrue();
    const bool is_end = info[4]->IsTrue();
    if (!(encoding == ENCODING_UTF_8
              ? decode_utf8(v8, source, is_fatal, is_end, &state)
              : decode_other(isolate_from(v8), encoding, source, is_fatal, is_end, &state))
             .ToLocal(&text))
        return;
    if (state == 0)
        return info.GetReturnValue().Set(text);
    v8::Local<v8::Value> both[] = { text, v8::Integer::NewFromUnsigned(v8, state) };
    info.GetReturnValue().Set(v8::Array::New(v8, both, 2));
}
