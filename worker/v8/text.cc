// SPDX-License-Identifier: Apache-2.0
//
// Strings and bytes between C and V8: UTF-8 and latin-1, with fast paths for ASCII, which is
// nearly all that HTTP and most bodies are.
#include "worker/v8/internal.h"

#include <algorithm>
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

// Returns the length of the sequence at the start, or 0 if it is bad. Unicode 15, table 3-7.
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

// True if the heap has room for the string. V8 treats that allocation as fatal, so a string without
// room would end the process, not the request. Large ones are refused here, while JavaScript can
// still catch the error.
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

bool text_check_room(v8::Isolate *v8, size_t bytes)
{
    if (bytes / sizeof(uint16_t) <= v8::String::kMaxLength && fits_heap(v8, bytes))
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

// ---- UTF-16 to UTF-8 without V8
//
// V8 makes a rope flat, in its heap, before it looks into it as UTF-8, and ends the process if the
// flat string does not fit. A plain copy of its units (WriteV2, WriteOneByteV2) walks the rope as
// it is.

static constexpr size_t flatten_up_to =
    64 * 1024; // units: no more than any step of JavaScript takes

static bool is_lead(uint16_t unit)
{
    return (unit & 0xfc00) == 0xd800;
}

static bool is_trail(uint16_t unit)
{
    return (unit & 0xfc00) == 0xdc00;
}

// Returns the code point at units[*at], lone surrogates as U+FFFD; moves *at behind it.
static uint32_t next_point(const uint16_t *units, size_t n, size_t *at)
{
    const uint16_t unit = units[(*at)++];
    if (is_lead(unit) && *at < n && is_trail(units[*at]))
        return 0x10000 + ((unit & 0x3ffu) << 10) + (units[(*at)++] & 0x3ffu);
    return is_lead(unit) || is_trail(unit) ? 0xfffd : unit;
}

static size_t point_size(uint32_t point)
{
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

static uint8_t *put_point(uint8_t *to, uint32_t point)
{
    const size_t size = point_size(point);
    if (size == 1) {
        *to++ = static_cast<uint8_t>(point);
        return to;
    }
    static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    *to++ = static_cast<uint8_t>(leads[size] | point >> 6 * (size - 1));
    for (size_t left = size - 1; left > 0; left--)
        *to++ = static_cast<uint8_t>(0x80 | (point >> 6 * (left - 1) & 0x3f));
    return to;
}

static size_t utf8_size(const std::vector<uint16_t> &units)
{
    size_t size = 0;
    for (size_t at = 0; at < units.size();)
        size += point_size(next_point(units.data(), units.size(), &at));
    return size;
}

// Writes whole characters only, at most size bytes. Returns the bytes, *ret_read the units.
static size_t put_units(const std::vector<uint16_t> &units, uint8_t *to, size_t size,
                        size_t *ret_read)
{
    uint8_t *const start = to;
    size_t at = 0;
    while (at < units.size()) {
        size_t after = at;
        const uint32_t point = next_point(units.data(), units.size(), &after);
        if (point_size(point) > size - static_cast<size_t>(to - start))
            break;
        to = put_point(to, point);
        at = after;
    }
    *ret_read = at;
    return static_cast<size_t>(to - start);
}

// Reads at most that many units, and no half of a pair at the cut.
static std::vector<uint16_t> read_units(v8::Isolate *v8, v8::Local<v8::String> string, size_t most)
{
    const size_t length = static_cast<size_t>(string->Length());
    std::vector<uint16_t> units(std::min(length, most));
    if (!units.empty())
        string->WriteV2(v8, 0, static_cast<uint32_t>(units.size()), units.data());
    if (units.size() < length && !units.empty() && is_lead(units.back()))
        units.pop_back();
    return units;
}

void text_append_head(v8::Isolate *v8, v8::Local<v8::String> string, size_t max_units,
                      std::vector<uint8_t> *out)
{
    const std::vector<uint16_t> units = read_units(v8, string, max_units);
    const size_t at = out->size();
    size_t read = 0;
    out->resize(at + utf8_size(units));
    (void) put_units(units, out->data() + at, out->size() - at, &read);
}

v8::MaybeLocal<v8::String> text_head(v8::Isolate *v8, v8::Local<v8::String> string,
                                     size_t max_units)
{
    if (static_cast<size_t>(string->Length()) <= max_units)
        return string;
    const std::vector<uint16_t> units = read_units(v8, string, max_units);
    return v8::String::NewFromTwoByte(v8, units.data(), v8::NewStringType::kNormal,
                                      static_cast<int>(units.size()));
}

// Makes UTF-8 of the latin-1 bytes at *out from at on, from the last one backwards.
static void widen(std::vector<uint8_t> *out, size_t at)
{
    const size_t length = out->size() - at;
    size_t high = 0;
    for (size_t i = 0; i < length; i++)
        high += (*out)[at + i] >> 7;
    out->resize(at + length + high);
    uint8_t *to = out->data() + out->size();
    for (size_t i = length; i-- > 0;) {
        const uint8_t byte = (*out)[at + i];
        if (byte < 0x80) {
            *--to = byte;
            continue;
        }
        *--to = static_cast<uint8_t>(0x80 | (byte & 0x3f));
        *--to = static_cast<uint8_t>(0xc0 | byte >> 6);
    }
}

void text_append_utf8(v8::Isolate *v8, v8::Local<v8::String> string, std::vector<uint8_t> *out)
{
    const size_t at = out->size();
    const uint32_t length = static_cast<uint32_t>(string->Length());
    if (string->IsOneByte()) {
        out->resize(at + length);
        string->WriteOneByteV2(v8, 0, length, out->data() + at);
        if (!text_is_ascii(out->data() + at, length))
            widen(out, at);
        return;
    }
    if (length > flatten_up_to)
        return text_append_head(v8, string, length, out);
    const size_t bytes = string->Utf8LengthV2(v8);
    out->resize(at + bytes);
    string->WriteUtf8V2(v8, reinterpret_cast<char *>(out->data() + at), bytes,
                        v8::String::WriteFlags::kReplaceInvalidUtf8);
}

v8::MaybeLocal<v8::Uint8Array> text_encode(v8::Isolate *v8, v8::Local<v8::String> string)
{
    v8::Local<v8::Uint8Array> array;
    const uint32_t length = static_cast<uint32_t>(string->Length());
    if (string->IsOneByte()) { // nearly always ASCII, for which a plain copy will do
        if (!bytes_new(v8, nullptr, length).ToLocal(&array))
            return {};
        uint8_t *to = static_cast<uint8_t *>(array->Buffer()->Data());
        string->WriteOneByteV2(v8, 0, length, to);
        if (text_is_ascii(to, length))
            return array;
        std::vector<uint8_t> wide(to, to + length);
        widen(&wide, 0);
        return bytes_new(v8, wide.data(), wide.size());
    }
    if (length > flatten_up_to) {
        const std::vector<uint16_t> units = read_units(v8, string, length);
        const size_t size = utf8_size(units);
        size_t read = 0;
        if (!bytes_new(v8, nullptr, size).ToLocal(&array))
            return {};
        (void) put_units(units, static_cast<uint8_t *>(array->Buffer()->Data()), size, &read);
        return array;
    }
    const size_t size = string->Utf8LengthV2(v8);
    if (!bytes_new(v8, nullptr, size).ToLocal(&array))
        return {};
    string->WriteUtf8V2(v8, static_cast<char *>(array->Buffer()->Data()), size,
                        v8::String::WriteFlags::kReplaceInvalidUtf8);
    return array;
}

size_t text_encode_into(v8::Isolate *v8, v8::Local<v8::String> string, uint8_t *to, size_t size,
                        size_t *ret_read)
{
    *ret_read = 0;
    if (static_cast<size_t>(string->Length()) > flatten_up_to)
        return put_units(read_units(v8, string, size), to, size, ret_read);
    return string->WriteUtf8V2(v8, reinterpret_cast<char *>(to), size,
                               v8::String::WriteFlags::kReplaceInvalidUtf8, ret_read);
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
