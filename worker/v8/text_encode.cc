// SPDX-License-Identifier: Apache-2.0
//
// From V8's strings to UTF-8. V8 makes a rope flat, in its heap, before it looks into it, and ends the process if the flat string
// does not fit. A plain copy of its units (WriteV2, WriteOneByteV2) walks the rope as it is; simdutf works on the copy. Only a string of
// some length, whose flat copy fits for sure, is looked at where it is (ValueView), which saves the copy. Main thread.
#include "worker/v8/internal.h"
#include "worker/v8/simdutf.h"

#include <algorithm>
#include <cstring>

namespace
{

alignas(16) char short_block[64 * 1024];
bool is_short_taken;

constexpr uint16_t replacement_unit = 0xfffd;

// Units of a string that may be looked at in place: shorter ones are copied at no cost, a longer rope might become a flat string that
// takes much of the heap.
constexpr size_t view_min = 16 * 1024;
constexpr size_t view_max = 2 * 1024 * 1024;
// Size of a piece that is still in the processor's nearest cache when it is looked at again.
constexpr size_t piece_bytes = 8 * 1024;

bool is_lead(uint16_t unit)
{
    return (unit & 0xfc00) == 0xd800;
}

bool is_trail(uint16_t unit)
{
    return (unit & 0xfc00) == 0xdc00;
}

// The first units of a string, with U+FFFD for lone surrogates, and no half of a pair at the cut.
class Units
{
  public:
    Units(v8::Isolate *v8, v8::Local<v8::String> string, size_t most)
        : n_(std::min(static_cast<size_t>(string->Length()), most)), copy_(n_ * sizeof(uint16_t))
    {
        if (n_ == 0)
            return;
        uint16_t *const units = static_cast<uint16_t *>(copy_.data());
        string->WriteV2(v8, 0, static_cast<uint32_t>(n_), units);
        if (n_ < static_cast<size_t>(string->Length()) && is_lead(units[n_ - 1]))
            n_--;
        if (!simdutf::validate_utf16le(data(), n_))
            mend(units);
    }
    const char16_t *data()
    {
        return static_cast<const char16_t *>(copy_.data());
    }
    size_t size() const
    {
        return n_;
    }
    size_t utf8_size()
    {
        return simdutf::utf8_length_from_utf16le(data(), n_);
    }

  private:
    void mend(uint16_t *units) const
    {
        for (size_t i = 0; i < n_; i++) {
            if (is_lead(units[i]) && i + 1 < n_ && is_trail(units[i + 1]))
                i++;
            else if (is_lead(units[i]) || is_trail(units[i]))
                units[i] = replacement_unit;
        }
    }
    size_t n_;
    TextCopy copy_;
};

char *chars(uint8_t *bytes)
{
    return reinterpret_cast<char *>(bytes);
}

// The bytes of a string of latin-1.
class Latin1
{
  public:
    Latin1(v8::Isolate *v8, v8::Local<v8::String> string, size_t most)
        : n_(std::min(static_cast<size_t>(string->Length()), most)), copy_(n_)
    {
        if (n_ != 0)
            string->WriteOneByteV2(v8, 0, static_cast<uint32_t>(n_),
                                   static_cast<uint8_t *>(copy_.data()));
    }
    const char *data()
    {
        return static_cast<const char *>(copy_.data());
    }
    size_t size() const
    {
        return n_;
    }

  private:
    size_t n_;
    TextCopy copy_;
};

} // namespace

TextCopy::TextCopy(size_t bytes) : size_(bytes)
{
    if (bytes <= sizeof short_block && !is_short_taken)
        is_short_taken = is_short_ = true;
    else
        block_ = allocator_take_block(bytes);
}

TextCopy::~TextCopy()
{
    if (is_short_)
        is_short_taken = false;
    else
        allocator_return_block(block_, size_);
}

void *TextCopy::data()
{
    return is_short_ ? short_block : block_;
}

void text_append_head(v8::Isolate *v8, v8::Local<v8::String> string, size_t max_units,
                      std::vector<uint8_t> *out)
{
    Units units(v8, string, max_units);
    const size_t at = out->size();
    out->resize(at + units.utf8_size());
    (void) simdutf::convert_valid_utf16le_to_utf8(units.data(), units.size(),
                                                  chars(out->data() + at));
}

v8::MaybeLocal<v8::String> text_head(v8::Isolate *v8, v8::Local<v8::String> string,
                                     size_t max_units)
{
    if (static_cast<size_t>(string->Length()) <= max_units)
        return string;
    std::vector<uint16_t> units(max_units);
    if (max_units == 0)
        return v8::String::Empty(v8);
    string->WriteV2(v8, 0, static_cast<uint32_t>(max_units), units.data());
    if (is_lead(units.back()))
        units.pop_back();
    return v8::String::NewFromTwoByte(v8, units.data(), v8::NewStringType::kNormal,
                                      static_cast<int>(units.size()));
}

void text_append_utf8(v8::Isolate *v8, v8::Local<v8::String> string, std::vector<uint8_t> *out)
{
    const size_t at = out->size();
    const size_t length = static_cast<size_t>(string->Length());
    if (!string->IsOneByte())
        return text_append_head(v8, string, length, out);
    out->resize(at + length);
    string->WriteOneByteV2(v8, 0, static_cast<uint32_t>(length), out->data() + at);
    if (text_is_ascii(out->data() + at, length))
        return;
    const std::vector<uint8_t> narrow(out->begin() + static_cast<ptrdiff_t>(at), out->end());
    const char *from = reinterpret_cast<const char *>(narrow.data());
    out->resize(at + simdutf::utf8_length_from_latin1(from, length));
    (void) simdutf::convert_latin1_to_utf8(from, length, chars(out->data() + at));
}

// True if the string may be looked at in place. V8 then keeps it flat, and in the same way until JavaScript runs again.
static bool may_view(v8::Isolate *v8, v8::Local<v8::String> string)
{
    const size_t length = static_cast<size_t>(string->Length());
    return length >= view_min && length <= view_max &&
           text_fits_heap(v8, string->IsOneByte() ? length : length * sizeof(uint16_t));
}

// True if V8 keeps a byte for each unit; a string for which V8 says so beforehand is not the only one.
static bool is_narrow(v8::Isolate *v8, v8::Local<v8::String> string)
{
    const v8::String::ValueView view(v8, string);
    return view.is_one_byte();
}

static uint8_t *bytes_of(v8::Local<v8::Uint8Array> array)
{
    return static_cast<uint8_t *>(array->Buffer()->Data());
}

// Gives the memory of an array back that nobody has seen.
static void drop(v8::Local<v8::Uint8Array> array)
{
    array->Buffer()->Detach(v8::Local<v8::Value>()).Check();
}

// Copies pieces as long as they are ASCII. Returns the bytes of good pieces.
static size_t copy_ascii(const uint8_t *from, size_t size, uint8_t *to)
{
    size_t at = 0;
    while (at < size) {
        const size_t n = std::min(piece_bytes, size - at);
        memcpy(to + at, from + at, n);
        if (!text_is_ascii(to + at, n))
            break;
        at += n;
    }
    return at;
}

// Encodes a string that is looked at in place, of one byte for each unit. No V8 memory may be asked for while a view is there. Empty as
// text_encode.
static v8::MaybeLocal<v8::Uint8Array> encode_latin1_view(v8::Isolate *v8,
                                                         v8::Local<v8::String> string)
{
    const size_t length = static_cast<size_t>(string->Length());
    v8::Local<v8::Uint8Array> array;
    v8::Local<v8::Uint8Array> wide;
    size_t ascii;
    size_t rest;
    if (!bytes_new(v8, nullptr, length).ToLocal(&array))
        return {};
    {
        const v8::String::ValueView view(v8, string);
        ascii = copy_ascii(view.data8(), length, bytes_of(array));
        if (ascii == length)
            return array;
        rest = simdutf::utf8_length_from_latin1(
            reinterpret_cast<const char *>(view.data8()) + ascii, length - ascii);
    }
    if (!bytes_new(v8, nullptr, ascii + rest).ToLocal(&wide))
        return {};
    memcpy(bytes_of(wide), bytes_of(array), ascii);
    const v8::String::ValueView view(v8, string);
    (void) simdutf::convert_latin1_to_utf8(reinterpret_cast<const char *>(view.data8()) + ascii,
                                           length - ascii, chars(bytes_of(wide) + ascii));
    drop(array);
    return wide;
}

// The same for two bytes. *ret_is_bad: a surrogate is alone, and the result is empty without an exception.
static v8::MaybeLocal<v8::Uint8Array>
encode_utf16_view(v8::Isolate *v8, v8::Local<v8::String> string, bool *ret_is_bad)
{
    const size_t length = static_cast<size_t>(string->Length());
    v8::Local<v8::Uint8Array> array;
    size_t size;
    *ret_is_bad = false;
    {
        const v8::String::ValueView view(v8, string);
        // The length of a text with lone surrogates is wrong, but never below that of the part before the first one.
        size = simdutf::utf8_length_from_utf16le(reinterpret_cast<const char16_t *>(view.data16()),
                                                 length);
    }
    if (!bytes_new(v8, nullptr, size).ToLocal(&array))
        return {};
    {
        const v8::String::ValueView view(v8, string);
        *ret_is_bad =
            simdutf::convert_utf16le_to_utf8_with_errors(
                reinterpret_cast<const char16_t *>(view.data16()), length, chars(bytes_of(array)))
                .error != simdutf::SUCCESS;
    }
    if (!*ret_is_bad)
        return array;
    drop(array);
    return {};
}

v8::MaybeLocal<v8::Uint8Array> text_encode(v8::Isolate *v8, v8::Local<v8::String> string)
{
    v8::Local<v8::Uint8Array> array;
    const size_t length = static_cast<size_t>(string->Length());
    if (may_view(v8, string)) {
        bool is_bad = false;
        v8::MaybeLocal<v8::Uint8Array> encoded = is_narrow(v8, string)
                                                     ? encode_latin1_view(v8, string)
                                                     : encode_utf16_view(v8, string, &is_bad);
        if (!is_bad)
            return encoded;
    }
    if (!string->IsOneByte()) {
        Units units(v8, string, length);
        if (!bytes_new(v8, nullptr, units.utf8_size()).ToLocal(&array))
            return {};
        char *to = static_cast<char *>(array->Buffer()->Data());
        (void) simdutf::convert_valid_utf16le_to_utf8(units.data(), units.size(), to);
        return array;
    }
    // Nearly always ASCII, for which a plain copy will do.
    if (!bytes_new(v8, nullptr, length).ToLocal(&array))
        return {};
    uint8_t *to = static_cast<uint8_t *>(array->Buffer()->Data());
    string->WriteOneByteV2(v8, 0, static_cast<uint32_t>(length), to);
    if (text_is_ascii(to, length))
        return array;
    v8::Local<v8::Uint8Array> wide;
    const size_t size = simdutf::utf8_length_from_latin1(chars(to), length);
    if (!bytes_new(v8, nullptr, size).ToLocal(&wide))
        return {};
    (void) simdutf::convert_latin1_to_utf8(chars(to), length,
                                           static_cast<char *>(wide->Buffer()->Data()));
    drop(array);
    return wide;
}

// Writes the next units that fit. Returns the bytes written.
static size_t put_piece(const char16_t *units, size_t n, char *to, size_t size, size_t *ret_read)
{
    *ret_read = n;
    if (simdutf::utf8_length_from_utf16le(units, n) <= size)
        return simdutf::convert_valid_utf16le_to_utf8(units, n, to);
    size_t written = 0;
    size_t at = 0;
    while (at < n) {
        const size_t pair = is_lead(units[at]) ? 2 : 1;
        if (simdutf::utf8_length_from_utf16le(units + at, pair) > size - written)
            break;
        written += simdutf::convert_valid_utf16le_to_utf8(units + at, pair, to + written);
        at += pair;
    }
    *ret_read = at;
    return written;
}

size_t text_encode_into(v8::Isolate *v8, v8::Local<v8::String> string, uint8_t *to, size_t size,
                        size_t *ret_read)
{
    constexpr size_t piece_units = 4096;
    size_t written = 0;
    size_t read = 0;
    Units units(v8, string, size == SIZE_MAX ? size : size + 1); // each unit takes a byte at least
    while (read < units.size()) {
        size_t n = std::min(piece_units, units.size() - read);
        size_t got = 0;
        if (n < units.size() - read && is_lead(units.data()[read + n - 1]))
            n--;
        written += put_piece(units.data() + read, n, chars(to + written), size - written, &got);
        read += got;
        if (got < n)
            break;
    }
    *ret_read = read;
    return written;
}

v8::MaybeLocal<v8::String> text_atob(v8::Isolate *v8, v8::Local<v8::String> string,
                                     bool *ret_is_bad)
{
    *ret_is_bad = !string->ContainsOnlyOneByte();
    if (*ret_is_bad)
        return {};
    Latin1 text(v8, string, SIZE_MAX);
    return text_from_base64(v8, text.data(), text.size(), ret_is_bad);
}

v8::MaybeLocal<v8::String> text_btoa(v8::Isolate *v8, v8::Local<v8::String> string,
                                     bool *ret_is_bad)
{
    *ret_is_bad = !string->ContainsOnlyOneByte();
    if (*ret_is_bad)
        return {};
    Latin1 bytes(v8, string, SIZE_MAX);
    return text_to_base64(v8, bytes.data(), bytes.size());
}
