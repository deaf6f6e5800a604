// SPDX-License-Identifier: Apache-2.0
//
// Strings and bytes between C and V8: UTF-8 and latin-1, with fast paths for ASCII, which is
// nearly all that HTTP and most bodies are.
#include "worker/v8/internal.h"
#include "worker/v8/simdutf.h"

#include <algorithm>
#include <cstring>

v8::Local<v8::String> literal(v8::Isolate *v8, const char *text)
{
    // Only literals of a few bytes come here: these cannot be too long.
    return v8::String::NewFromUtf8(v8, text, v8::NewStringType::kInternalized).ToLocalChecked();
}

bool text_is_ascii(const uint8_t *data, size_t size)
{
    return simdutf::validate_ascii(reinterpret_cast<const char *>(data), size);
}

bool text_is_utf8(const uint8_t *data, size_t size)
{
    return simdutf::validate_utf8(reinterpret_cast<const char *>(data), size);
}

// V8 treats that allocation as fatal, so a string without room would end the process, not the request. Large ones are refused here,
// while JavaScript can still catch the error.
bool text_fits_heap(v8::Isolate *v8, size_t bytes)
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
    if (bytes.size > v8::String::kMaxLength || !text_fits_heap(v8, bytes.size))
        return throw_too_long(v8);
    return v8::String::NewFromOneByte(v8, bytes.data, type, static_cast<int>(bytes.size));
}

bool text_check_room(v8::Isolate *v8, size_t bytes)
{
    if (bytes / sizeof(uint16_t) <= v8::String::kMaxLength && text_fits_heap(v8, bytes))
        return true;
    (void) throw_too_long(v8);
    return false;
}

v8::MaybeLocal<v8::String> text_from_units(v8::Isolate *v8, const std::vector<uint16_t> &units)
{
    uint16_t all = 0;
    for (const uint16_t unit : units)
        all |= unit;
    if (all < 0x100) {
        const std::vector<uint8_t> narrow(units.begin(), units.end());
        return text_from_latin1(v8, { narrow.data(), narrow.size() });
    }
    if (!text_check_room(v8, units.size() * sizeof(uint16_t)))
        return {};
    return v8::String::NewFromTwoByte(v8, units.data(), v8::NewStringType::kNormal,
                                      static_cast<int>(units.size()));
}

// Makes a string of good UTF-8: one of latin-1 if all its characters are. Empty with a pending exception if it does not fit the heap.
static v8::MaybeLocal<v8::String> decode_valid(v8::Isolate *v8, const char *bytes, size_t size)
{
    const size_t length = simdutf::utf16_length_from_utf8(bytes, size);
    if (size <= 2 * length) { // a character of latin-1 takes two bytes of UTF-8 at most
        TextCopy narrow(length);
        char *to = static_cast<char *>(narrow.data());
        if (simdutf::convert_utf8_to_latin1(bytes, size, to) == length)
            return text_from_latin1(v8, { reinterpret_cast<uint8_t *>(to), length });
    }
    if (!text_check_room(v8, length * sizeof(uint16_t)))
        return {};
    TextCopy wide(length * sizeof(uint16_t));
    (void) simdutf::convert_valid_utf8_to_utf16le(bytes, size,
                                                  static_cast<char16_t *>(wide.data()));
    return v8::String::NewFromTwoByte(v8, static_cast<uint16_t *>(wide.data()),
                                      v8::NewStringType::kNormal, static_cast<int>(length));
}

v8::MaybeLocal<v8::String> text_decode(v8::Isolate *v8, const uint8_t *data, size_t size)
{
    if (text_is_ascii(data, size))
        return text_from_latin1(v8, { data, size });
    if (text_is_utf8(data, size))
        return decode_valid(v8, reinterpret_cast<const char *>(data), size);
    if (size > v8::String::kMaxLength || !text_fits_heap(v8, 2 * size))
        return throw_too_long(v8);
    return v8::String::NewFromUtf8(v8, reinterpret_cast<const char *>(data),
                                   v8::NewStringType::kNormal, static_cast<int>(size));
}

v8::MaybeLocal<v8::String> text_from_base64(v8::Isolate *v8, const char *text, size_t size,
                                            bool *ret_is_bad)
{
    TextCopy bytes(simdutf::maximal_binary_length_from_base64(text, size));
    const simdutf::result got = simdutf::base64_to_binary(
        text, size, static_cast<char *>(bytes.data()), simdutf::base64_default, simdutf::loose);
    *ret_is_bad = got.error != simdutf::SUCCESS;
    if (*ret_is_bad)
        return {};
    return text_from_latin1(v8, { static_cast<uint8_t *>(bytes.data()), got.count });
}

v8::MaybeLocal<v8::String> text_to_base64(v8::Isolate *v8, const char *bytes, size_t size)
{
    const size_t length = simdutf::base64_length_from_binary(size, simdutf::base64_default);
    TextCopy text(length);
    (void) simdutf::binary_to_base64(bytes, size, static_cast<char *>(text.data()),
                                     simdutf::base64_default);
    return text_from_latin1(v8, { static_cast<uint8_t *>(text.data()), length });
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
    std::vector<uint8_t> bytes;
    text_append_head(v8, string, max_text_units, &bytes);
    return std::string(bytes.begin(), bytes.end());
}
