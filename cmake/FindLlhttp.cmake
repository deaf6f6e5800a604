# SPDX-License-Identifier: Apache-2.0
#
# Finds the HTTP/1.1 parser llhttp and defines Llhttp::Llhttp; `#include <llhttp.h>`. A system
# with libllhttp-dev has it as a library. Debian 12 has it as C sources only, in the package
# node-llhttp; they are built here.

find_path(LLHTTP_SYSTEM_INCLUDE_DIR llhttp.h)
find_library(LLHTTP_SYSTEM_LIBRARY llhttp)
find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
find_path(LLHTTP_SOURCE_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp NO_DEFAULT_PATH)
mark_as_advanced(LLHTTP_SYSTEM_INCLUDE_DIR LLHTTP_SYSTEM_LIBRARY
                 LLHTTP_SOURCE_DIR LLHTTP_SOURCE_INCLUDE_DIR)

if(LLHTTP_SYSTEM_INCLUDE_DIR AND LLHTTP_SYSTEM_LIBRARY)
    set(LLHTTP_INCLUDE_DIR "${LLHTTP_SYSTEM_INCLUDE_DIR}")
elseif(LLHTTP_SOURCE_DIR AND LLHTTP_SOURCE_INCLUDE_DIR)
    set(LLHTTP_INCLUDE_DIR "${LLHTTP_SOURCE_INCLUDE_DIR}")
endif()

if(LLHTTP_INCLUDE_DIR)
    file(STRINGS "${LLHTTP_INCLUDE_DIR}/llhttp.h" llhttp_version_lines
         REGEX "#define LLHTTP_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
    string(REGEX REPLACE "#define LLHTTP_VERSION_[A-Z]+ " "" LLHTTP_VERSION
           "${llhttp_version_lines}")
    string(REPLACE ";" "." LLHTTP_VERSION "${LLHTTP_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Llhttp
    REQUIRED_VARS LLHTTP_INCLUDE_DIR
    VERSION_VAR LLHTTP_VERSION
    REASON_FAILURE_MESSAGE "run scripts/setup, which installs libllhttp-dev or node-llhttp")

if(Llhttp_FOUND AND NOT TARGET Llhttp::Llhttp)
    if(LLHTTP_SYSTEM_LIBRARY)
        add_library(Llhttp::Llhttp UNKNOWN IMPORTED)
        set_target_properties(Llhttp::Llhttp PROPERTIES
            IMPORTED_LOCATION "${LLHTTP_SYSTEM_LIBRARY}"
            INTERFACE_INCLUDE_DIRECTORIES "${LLHTTP_INCLUDE_DIR}")
    else()
        add_library(skep_llhttp STATIC
            "${LLHTTP_SOURCE_DIR}/api.c"
            "${LLHTTP_SOURCE_DIR}/http.c"
            "${LLHTTP_SOURCE_DIR}/llhttp.c")
        target_include_directories(skep_llhttp SYSTEM PUBLIC "${LLHTTP_INCLUDE_DIR}")
        target_compile_options(skep_llhttp PRIVATE -w)
        target_link_libraries(skep_llhttp PRIVATE skep_code_flags)
        add_library(Llhttp::Llhttp ALIAS skep_llhttp)
    endif()
endif()
