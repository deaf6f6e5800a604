// SPDX-License-Identifier: Apache-2.0
//
// Declarations of those functions of simdutf (https://github.com/simdutf/simdutf, Apache-2.0 or MIT) that worker/v8 uses. V8's library
// has all of simdutf, and the package of V8 has not its header. tests/unit/v8/test_simdutf.c fails where these do not fit the library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simdutf
{

enum error_code { SUCCESS = 0 };

struct result {
    error_code error;
    size_t count; // bytes that were written, where there is no error; else the place of the error in the input
};

enum base64_options : uint64_t { base64_default = 0 };
enum last_chunk_handling_options : uint64_t { loose = 0 };

bool validate_ascii(const char *bytes, size_t size) noexcept;
bool validate_utf8(const char *bytes, size_t size) noexcept;
bool validate_utf16le(const char16_t *units, size_t n) noexcept;

size_t utf16_length_from_utf8(const char *bytes, size_t size) noexcept;
size_t utf8_length_from_utf16le(const char16_t *units, size_t n) noexcept;
size_t utf8_length_from_latin1(const char *bytes, size_t size) noexcept;

// Return what was written; 0 for a text that cannot be converted.
size_t convert_utf8_to_latin1(const char *bytes, size_t size, char *to) noexcept;
size_t convert_valid_utf8_to_utf16le(const char *bytes, size_t size, char16_t *to) noexcept;
size_t convert_valid_utf16le_to_utf8(const char16_t *units, size_t n, char *to) noexcept;
// Writes nothing for a lone surrogate or what follows it.
result convert_utf16le_to_utf8_with_errors(const char16_t *units, size_t n, char *to) noexcept;
size_t convert_latin1_to_utf8(const char *bytes, size_t size, char *to) noexcept;

// Forgiving-base64 of the Infra standard, with the default options.
size_t maximal_binary_length_from_base64(const char *text, size_t size) noexcept;
result base64_to_binary(const char *text, size_t size, char *to, base64_options options,
                        last_chunk_handling_options last_chunk) noexcept;
size_t base64_length_from_binary(size_t size, base64_options options) noexcept;
size_t binary_to_base64(const char *bytes, size_t size, char *to, base64_options options) noexcept;

} // namespace simdutf
