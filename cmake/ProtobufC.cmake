# SPDX-License-Identifier: Apache-2.0
#
# skep_add_protobuf_c(TARGET FILE.proto...): runs protoc-c on the files and makes the static
# library TARGET of what it writes. Users include "proto/FILE.pb-c.h"; the header counts as a
# system header, and the code is compiled without warnings.

find_program(PROTOC_C NAMES protoc-c REQUIRED)
mark_as_advanced(PROTOC_C)

function(skep_add_protobuf_c target)
    set(sources)
    foreach(proto IN LISTS ARGN)
        cmake_path(ABSOLUTE_PATH proto NORMALIZE)
        cmake_path(GET proto STEM LAST_ONLY stem)
        cmake_path(GET proto PARENT_PATH folder)
        set(out "${CMAKE_CURRENT_BINARY_DIR}/${stem}.pb-c")
        add_custom_command(
            OUTPUT "${out}.c" "${out}.h"
            COMMAND "${PROTOC_C}" "--c_out=${CMAKE_CURRENT_BINARY_DIR}" "--proto_path=${folder}"
                    "${proto}"
            DEPENDS "${proto}"
            COMMENT "Generating ${stem}.pb-c.c"
            VERBATIM)
        list(APPEND sources "${out}.c" "${out}.h")
    endforeach()
    add_library(${target} STATIC ${sources})
    target_include_directories(${target} SYSTEM PUBLIC
        "${PROJECT_BINARY_DIR}" "${CMAKE_CURRENT_BINARY_DIR}")
    target_compile_options(${target} PRIVATE -w)
    target_link_libraries(${target} PRIVATE skep_code_flags PUBLIC PkgConfig::protobuf-c)
endfunction()
