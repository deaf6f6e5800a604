# SPDX-License-Identifier: Apache-2.0
#
# Finds V8 as one static library and defines V8::V8. -DV8_ROOT=DIR (or V8_ROOT in the environment
# at the first configure) points at any V8 >= 13; without it, the folder where scripts/setup unpacks
# the RubyGems package libv8-node. Two layouts of DIR:
#   vendor/v8/include, vendor/v8/PLATFORM/libv8/obj/libv8_monolith.a   (the package)
#   include/v8.h, lib/libv8_monolith.a or obj/libv8_monolith.a         (a build of your own)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(v8_platform aarch64-linux)
else()
    set(v8_platform x86_64-linux)
endif()
# scripts/setup reads the next line: the version is pinned in this one place.
set(SKEP_V8_GEM_VERSION 24.12.0.1)

if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(v8_cache "$ENV{XDG_CACHE_HOME}/skep")
else()
    set(v8_cache "$ENV{HOME}/.cache/skep")
endif()
set(v8_default "${v8_cache}/libv8-node-${SKEP_V8_GEM_VERSION}-${v8_platform}")
if(DEFINED ENV{V8_ROOT} AND NOT "$ENV{V8_ROOT}" STREQUAL "")
    set(v8_default "$ENV{V8_ROOT}")
endif()
set(V8_ROOT "${v8_default}"
    CACHE PATH "folder of V8: its headers and libv8_monolith.a")

# After a change of V8_ROOT nothing found in the old folder may be used.
if(NOT "${V8_ROOT}" STREQUAL "${V8_ROOT_SEARCHED}")
    unset(V8_INCLUDE_DIR CACHE)
    unset(V8_LIBRARY CACHE)
    set(V8_ROOT_SEARCHED "${V8_ROOT}" CACHE INTERNAL "the V8_ROOT of the last configure")
endif()
find_path(V8_INCLUDE_DIR v8-version.h
    PATHS "${V8_ROOT}/vendor/v8/include" "${V8_ROOT}/include" "${V8_ROOT}"
    NO_DEFAULT_PATH)
find_library(V8_LIBRARY NAMES libv8_monolith.a v8_monolith
    PATHS "${V8_ROOT}/vendor/v8/${v8_platform}/libv8/obj" "${V8_ROOT}/lib" "${V8_ROOT}/obj"
          "${V8_ROOT}"
    NO_DEFAULT_PATH)
mark_as_advanced(V8_INCLUDE_DIR V8_LIBRARY)

if(V8_INCLUDE_DIR)
    file(STRINGS "${V8_INCLUDE_DIR}/v8-version.h" v8_version_lines
         REGEX "#define V8_(MAJOR_VERSION|MINOR_VERSION|BUILD_NUMBER|PATCH_LEVEL) [0-9]+")
    string(REGEX REPLACE "#define V8_[A-Z_]+ " "" V8_VERSION "${v8_version_lines}")
    string(REPLACE ";" "." V8_VERSION "${V8_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(V8
    REQUIRED_VARS V8_LIBRARY V8_INCLUDE_DIR
    VERSION_VAR V8_VERSION
    REASON_FAILURE_MESSAGE "no V8 >= 13 in ${V8_ROOT}: run scripts/setup, or configure with \
-DV8_ROOT=DIR, or with -DSKEP_WITH_V8=OFF for a build without skep-worker")

if(V8_FOUND AND NOT TARGET V8::V8)
    # An INTERFACE target, so that the few symbols an older system lacks can come along.
    add_library(V8::V8 INTERFACE IMPORTED)
    set_target_properties(V8::V8 PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${V8_INCLUDE_DIR}"
        INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${V8_INCLUDE_DIR}"
        INTERFACE_COMPILE_FEATURES cxx_std_20
        # V8 is built without both. A class of ours that derives from one of V8's must not ask
        # for the type information of its base.
        INTERFACE_COMPILE_OPTIONS
            "$<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>;$<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>")
    set(v8_system_libraries Threads::Threads ${CMAKE_DL_LIBS})

    # Does a program that starts V8 link on this system? The answer is kept for the next configure,
    # for as long as the library stays the same one.
    if(NOT "${V8_LIBRARY}" STREQUAL "${V8_LINKS_ALONE_LIBRARY}")
        set(v8_program "${CMAKE_CURRENT_LIST_DIR}/v8-links.cc")
        message(STATUS "Checking that V8 ${V8_VERSION} links")
        try_compile(V8_LINKS_ALONE "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/v8-links"
            SOURCES "${v8_program}"
            CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${V8_INCLUDE_DIR}"
            LINK_LIBRARIES "${V8_LIBRARY}" ${v8_system_libraries}
            CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)
        if(NOT V8_LINKS_ALONE)
            try_compile(V8_LINKS_WITH_COMPAT "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/v8-links"
                SOURCES "${v8_program}" "${PROJECT_SOURCE_DIR}/worker/v8/libc_compat.cc"
                CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${V8_INCLUDE_DIR}"
                LINK_LIBRARIES "${V8_LIBRARY}" ${v8_system_libraries}
                CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON
                OUTPUT_VARIABLE v8_link_output)
            if(NOT V8_LINKS_WITH_COMPAT)
                message(FATAL_ERROR "${V8_LIBRARY} does not link with this compiler and C "
                                    "library:\n${v8_link_output}")
            endif()
        endif()
        set(V8_LINKS_ALONE_LIBRARY "${V8_LIBRARY}" CACHE INTERNAL "the library of V8_LINKS_ALONE")
    endif()
    if(V8_LINKS_ALONE)
        message(STATUS "Checking that V8 ${V8_VERSION} links - yes")
        target_link_libraries(V8::V8 INTERFACE "${V8_LIBRARY}" ${v8_system_libraries})
    else()
        message(STATUS "Checking that V8 ${V8_VERSION} links - with libc_compat.cc")
        add_library(skep_libc_compat STATIC "${PROJECT_SOURCE_DIR}/worker/v8/libc_compat.cc")
        target_link_libraries(skep_libc_compat PRIVATE skep_flags)
        target_link_libraries(V8::V8 INTERFACE
            "${V8_LIBRARY}" skep_libc_compat ${v8_system_libraries})
    endif()
endif()
