# SPDX-License-Identifier: Apache-2.0
#
# skep_flags: an INTERFACE target with every compiler and linker flag of the project. Each flag is
# probed, so that an older or another compiler builds with the flags that it knows. Every target of
# ours links it; code that others wrote or that a generator made links skep_code_flags instead,
# which has the same protections and no warnings.
include(CheckCCompilerFlag)
include(CheckCXXCompilerFlag)
include(CheckLinkerFlag)

add_library(skep_code_flags INTERFACE)
add_library(skep_flags INTERFACE)
target_link_libraries(skep_flags INTERFACE skep_code_flags)
target_include_directories(skep_flags INTERFACE "${PROJECT_SOURCE_DIR}")

function(skep_probe_c_flags target)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "skep_c${flag}" var)
        check_c_compiler_flag("-Werror ${flag}" ${var})
        if(${var})
            target_compile_options(${target} INTERFACE $<$<COMPILE_LANGUAGE:C>:${flag}>)
        endif()
    endforeach()
endfunction()

function(skep_probe_cxx_flags target)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "skep_cxx${flag}" var)
        check_cxx_compiler_flag("-Werror ${flag}" ${var})
        if(${var})
            target_compile_options(${target} INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${flag}>)
        endif()
    endforeach()
endfunction()

function(skep_probe_link_flags target)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "skep_link${flag}" var)
        check_linker_flag(C "${flag}" ${var})
        if(${var})
            target_link_options(${target} INTERFACE "${flag}")
        endif()
    endforeach()
endfunction()

# Code generation, the same for C and C++.
set(code_flags
    -fPIE
    -fvisibility=hidden
    -fno-common
    -fstack-protector-strong
    -fstack-clash-protection
    -fno-strict-aliasing
    -fno-delete-null-pointer-checks)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i.86)$")
    list(APPEND code_flags -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    list(APPEND code_flags -mbranch-protection=standard)
endif()
if(SKEP_SANITIZE STREQUAL "")
    # Not in sanitizer builds: zeroed variables would hide reads of uninitialised ones.
    list(APPEND code_flags -ftrivial-auto-var-init=zero)
endif()
skep_probe_c_flags(skep_code_flags ${code_flags})
skep_probe_cxx_flags(skep_code_flags ${code_flags})
skep_probe_link_flags(skep_code_flags
    -pie
    -Wl,-z,relro
    -Wl,-z,now
    -Wl,-z,noexecstack
    -Wl,-z,separate-code
    -Wl,--as-needed)

if(SKEP_SANITIZE STREQUAL "")
    # -U first: some distributions predefine another level. 3 needs GCC 12 or clang 9; below that
    # glibc takes it as 2.
    target_compile_options(skep_code_flags INTERFACE
        $<$<COMPILE_LANGUAGE:C,CXX>:-U_FORTIFY_SOURCE>
        $<$<COMPILE_LANGUAGE:C,CXX>:-D_FORTIFY_SOURCE=3>)
else()
    # Sanitizers put their own checks where FORTIFY would, and need system calls and address space
    # that the jail takes away.
    if(SKEP_SANITIZE STREQUAL "address")
        set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=undefined)
    elseif(SKEP_SANITIZE STREQUAL "thread")
        set(sanitizers -fsanitize=thread)
    elseif(SKEP_SANITIZE STREQUAL "fuzzer")
        if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
            message(FATAL_ERROR "libFuzzer comes with clang: configure with --preset fuzz, "
                                "after scripts/setup --dev")
        endif()
        set(sanitizers -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
    else()
        message(FATAL_ERROR "SKEP_SANITIZE=${SKEP_SANITIZE}: expected address, thread or fuzzer")
    endif()
    target_compile_options(skep_code_flags INTERFACE ${sanitizers} -fno-omit-frame-pointer)
    target_link_options(skep_code_flags INTERFACE ${sanitizers})
    target_compile_definitions(skep_code_flags INTERFACE SKEP_UNJAILED=1)
endif()

target_compile_definitions(skep_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C>:_GNU_SOURCE>
    "SKEP_VERSION=\"${PROJECT_VERSION}\"")
skep_probe_c_flags(skep_flags
    -Wall
    -Wextra
    -Wformat=2
    -Wshadow
    -Wconversion
    -Wundef
    -Wvla
    -Wwrite-strings
    -Wpointer-arith
    -Wcast-align
    -Wcast-qual
    -Wimplicit-fallthrough
    -Wnull-dereference
    -Wstrict-prototypes
    -Wmissing-prototypes
    -Wold-style-definition
    -Wdouble-promotion
    -Wduplicated-cond
    -Wduplicated-branches
    -Wlogical-op
    -Wtrampolines)
skep_probe_cxx_flags(skep_flags -Wall -Wextra)
if(SKEP_WERROR)
    target_compile_options(skep_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Werror>)
endif()
