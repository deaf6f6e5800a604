// SPDX-License-Identifier: Apache-2.0
//
// Strings and bytes between C and V8: UTF-8 and latin-1, with fast paths for ASCII, which is
// nearly all that HTTP and most bodies are.
#include "worker/v8/internal.h"

#include <cstring>

v8::Local<v8::String> literal(v8::Isolate *v8, const char *text)
{
    // Only literals of a few bytes come here: these cannot be too long.
    return v8::String::NewFromUtf8(v8, text, v8::NewStringType::kInternalized).ToLocalChecked();
}

bool text_is_ascii(const uint8_t *data, size_t size)
{
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, sizeof(word));
        if (word & 0x8080808080808080u)
            return false;
    }
    for (; i < size; i++)
        if (data[i] & 0x80)
            return false;
    return true;
}

// Length of the sequence at the start, or 0 if it is bad. Unicode 15, table 3-7.
static size_t utf8_sequence(const uint8_t *p, size_t size)
{
    const uint8_t lead = p[0];
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    if (length < 2 || length > size)
        return length > size ? 0 : length;
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    if (lead == 0xe0)
        low = 0xa0; // overlong
    else if (lead == 0xed)
        high = 0x9f; // surrogates
    else if (lead == 0xf0)
        low = 0x90; // overlong
    else if (lead == 0xf4)
        high = 0x8f; // above U+10FFFF
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool text_is_utf8(const uint8_t *data, size_t size)
{
    size_t i = 0;
    while (i < size) {
        uint64_t word;
        if (i + sizeof(word) <= size) {
            memcpy(&word, data + i, sizeof(word));
            if (!(word & 0x8080808080808080u)) {
                i += sizeof(word);
                continue;
            }
        }
        size_t n = utf8_sequence(data + i, size - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

// A string that the heap has no room for would end the process, not the request: V8 treats that
// allocation as fatal. So large ones are refused here, while JavaScript can still catch it.
static bool fits_heap(v8::Isolate *v8, size_t bytes)
{
    if (bytes < 256 * 1024)
        return true;
    v8::HeapStatistics heap;
    v8->GetHeapStatistics(&heap);
    return bytes < heap.heap_size_limit() && heap.used_heap_size() < heap.heap_size_limit() - bytes;
}

static v8::MaybeLocal<v8::String> throw_too_long(v8::Isolate *v8)
{
    v8->ThrowException(v8::Exception::RangeError(literal(v8, "Invalid string length")));
    return {};
}

v8::MaybeLocal<v8::String> text_from_latin1(v8::Isolate *v8, struct isolate_bytes bytes,
                                            v8::NewStringType type)
{
    if (bytes.size == 0)
        return v8::String::Empty(v8);
    if (bytes.size > v8::String::kMaxLength || !fits_heap(v8, bytes.size))
        return throw_too_long(v8);
    return v8::String::NewFromOneByte(v8, bytes.data, type, static_cast<int>(bytes.size));
}

v8::MaybeLocal<v8::String> text_decode(v8::Isolate *v8, const uint8_t *data, size_t size)
{
    if (text_is_ascii(data, size))
        return text_from_latin1(v8, { data, size });
    if (size > v8::String::kMaxLength || !fits_heap(v8, 2 * size))
        return throw_too_long(v8);
    return v8::String::NewFromUtf8(v8, reinterpret_cast<const char *>(data),
                                   v8::NewStringType::kNormal, static_cast<int>(size));
}

size_t text_utf8_length(v8::Isolate *v8, v8::Local<v8::String> string)
{
    return string->Utf8LengthV2(v8);
}

void text_append_utf8(v8::Isolate *v8, v8::Local<v8::String> string, std::vector<uint8_t> *out)
{
    const size_t at = out->size();
    const uint32_t length = static_cast<uint32_t>(string->Length());
    if (string->IsOneByte()) {
        out->resize(at + length);
        string->WriteOneByteV2(v8, 0, length, out->data() + at);
        if (text_is_ascii(out->data() + at, length))
            return;
    }
    const size_t bytes = string->Utf8LengthV2(v8);
    out->resize(at + bytes);
    string->WriteUtf8V2(v8, reinterpret_cast<char *>(out->data() + at), bytes,
                        v8::String::WriteFlags::kReplaceInvalidUtf8);
}

v8::MaybeLocal<v8::Uint8Array> bytes_new(v8::Isolate *v8, const uint8_t *data, size_t size)
{
    std::shared_ptr<v8::BackingStore> store = v8::ArrayBuffer::NewBackingStore(
        v8, size, v8::BackingStoreInitializationMode::kUninitialized,
        v8::BackingStoreOnFailureMode::kReturnNull);
    if (!store) {
        v8->ThrowException(
            v8::Exception::RangeError(literal(v8, "Array buffer allocation failed")));
        return {};
    }
    if (size != 0 && data)
        memcpy(store->Data(), data, size);
    return v8::Uint8Array::New(v8::ArrayBuffer::New(v8, std::move(store)), 0, size);
}

std::string to_std_string(v8::Isolate *v8, v8::Local<v8::Value> value)
{
    v8::Local<v8::String> string;
    if (value.IsEmpty() || !value->ToString(v8->GetCurrentContext()).ToLocal(&string))
        return {};
    const size_t bytes = string->Utf8LengthV2(v8);
    std::string text(bytes, '\0');
    string->WriteUtf8V2(v8, text.data(), bytes, v8::String::WriteFlags::kReplaceInvalidUtf8);
    return text;
}
