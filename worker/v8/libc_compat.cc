// SPDX-License-Identifier: Apache-2.0
//
// The V8 library that skep links was built with GCC >= 13 and glibc >= 2.38, and asks for seven
// functions that older systems (Debian 12: GCC 12, glibc 2.36) do not have. They are defined here,
// on top of what those systems do have. CMake (cmake/FindV8.cmake) links this file only where a
// test program fails to link without it. Nothing else calls these functions.

#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// glibc 2.38 gives programs built in C23 mode (and by default in C++ with GNU extensions) a strtol
// family under these names. The one difference: they read "0b1010" when the base is 0 or 2. V8 has
// parsers of its own for JavaScript numbers and uses these for its command-line flags and for
// files below /proc, so the older functions answer the same.
// https://sourceware.org/glibc/wiki/Release/2.38
extern "C" {

long __isoc23_strtol(const char *text, char **end, int base) noexcept
{
    return strtol(text, end, base);
}

long long __isoc23_strtoll(const char *text, char **end, int base) noexcept
{
    return strtoll(text, end, base);
}

unsigned long __isoc23_strtoul(const char *text, char **end, int base) noexcept
{
    return strtoul(text, end, base);
}

unsigned long long __isoc23_strtoull(const char *text, char **end, int base) noexcept
{
    return strtoull(text, end, base);
}

// The same change in the scanf family, for the %i conversion only. V8 reads /proc/self/maps with
// it.
int __isoc23_sscanf(const char *text, const char *format, ...) noexcept
{
    va_list args;
    va_start(args, format);
    int r = vsscanf(text, format, args);
    va_end(args);
    return r;
}

int __isoc23_fscanf(FILE *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = vfscanf(file, format, args);
    va_end(args);
    return r;
}

// std::string::_M_replace_cold: GCC 13 moved the rare half of std::string::replace, where the new
// text lies inside the string that is changed, out of line into libstdc++.so. At `at`, `old_len`
// bytes give way to `new_len` bytes from `with`, and the `tail_len` bytes behind them move along.
// The caller has made sure of the capacity and sets the length and the final zero byte itself.
// A member function of this kind has the same calling convention as a C function whose first
// argument is `this` (Itanium C++ ABI), hence the name given by hand.
void skep_string_replace_cold(std::string *self, char *at, size_t old_len, const char *with,
                              size_t new_len,
                              size_t tail_len) __asm__("_ZNSt7__cxx1112basic_stringIcSt11char_"
                                                       "traitsIcESaIcEE15_M_replace_coldEPcmPKcmm");

void skep_string_replace_cold(std::string *, char *at, size_t old_len, const char *with,
                              size_t new_len, size_t tail_len)
{
    // A copy, because moving the tail may overwrite the text to be put in. Slower than what
    // libstdc++ does, and this path is rare.
    const std::string text(with, new_len);
    if (tail_len != 0 && old_len != new_len)
        memmove(at + new_len, at + old_len, tail_len);
    memcpy(at, text.data(), new_len);
}
}
