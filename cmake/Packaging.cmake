# SPDX-License-Identifier: Apache-2.0
#
# The Debian package, by CPack: scripts/package builds it from build/release. `cmake --install` alone
# installs the programs; files that only the package has are the component "debian".
set(unit_folder lib/systemd/system)
set(package_files EXCLUDE_FROM_ALL COMPONENT debian)
set(packaging "${PROJECT_SOURCE_DIR}/packaging")
set(made "${PROJECT_BINARY_DIR}/packaging")

file(GLOB units CONFIGURE_DEPENDS "${packaging}/systemd/*.service" "${packaging}/systemd/*.socket")
install(FILES ${units} DESTINATION ${unit_folder} ${package_files})
install(FILES "${packaging}/sysusers/skep.conf" DESTINATION lib/sysusers.d ${package_files})
install(FILES "${packaging}/tmpfiles/skep.conf" DESTINATION lib/tmpfiles.d ${package_files})
# An install of its own, since the folder is absolute: below the prefix it would be /usr/etc.
install(FILES "${packaging}/skepd.yaml" DESTINATION /etc/skep ${package_files})

# skep_install_compressed(FILE NAME FOLDER): as Debian wants documentation, without time and name.
function(skep_install_compressed file name folder)
    execute_process(COMMAND gzip -9 --no-name --stdout "${file}"
        OUTPUT_FILE "${made}/${name}.gz" COMMAND_ERROR_IS_FATAL ANY)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
    install(FILES "${made}/${name}.gz" DESTINATION "${folder}" ${package_files})
endfunction()

find_package(Python3 REQUIRED COMPONENTS Interpreter)
file(MAKE_DIRECTORY "${made}")
file(GLOB pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/man/*.[158]")
foreach(page IN LISTS pages)
    cmake_path(GET page FILENAME name)
    string(REGEX MATCH ".$" section "${name}")
    # With what the rows of skep say, see scripts/make-man.
    set(made_page "${PROJECT_BINARY_DIR}/man/${name}")
    add_custom_command(
        OUTPUT "${made_page}" "${made_page}.gz"
        COMMAND "${CMAKE_COMMAND}" -E env ASAN_OPTIONS=detect_leaks=0
                "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/scripts/make-man"
                "$<TARGET_FILE:skep>" "${page}" "${made_page}"
        COMMAND gzip -9 --no-name --force --keep "${made_page}"
        DEPENDS skep "${page}" "${PROJECT_SOURCE_DIR}/scripts/make-man"
        COMMENT "Writing ${name}" VERBATIM)
    list(APPEND made_pages "${made_page}.gz")
    install(FILES "${made_page}.gz" DESTINATION "share/man/man${section}" ${package_files})
endforeach()
add_custom_target(skep_pages ALL DEPENDS ${made_pages})
install(FILES "${packaging}/debian/copyright" "${packaging}/grafana/skep.json"
        DESTINATION share/doc/skep ${package_files})
file(STRINGS "${packaging}/debian/changelog" changelog LIMIT_COUNT 1)
if(NOT changelog MATCHES "^skep \\(${PROJECT_VERSION}\\) ")
    message(FATAL_ERROR "packaging/debian/changelog does not begin with skep ${PROJECT_VERSION}")
endif()
# A package without a Debian revision is a native one to Debian's tools: changelog.gz.
skep_install_compressed("${packaging}/debian/changelog" changelog share/doc/skep)

# Completions, under the names by which each shell looks for them.
function(skep_install_completion file folder name)
    install(FILES "${PROJECT_BINARY_DIR}/completions/${file}" RENAME "${name}"
            DESTINATION "share/${folder}" ${package_files})
endfunction()
skep_install_completion(skep.bash bash-completion/completions skep)
skep_install_completion(_skep zsh/vendor-completions _skep)
skep_install_completion(skep.fish fish/vendor_completions.d skep.fish)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME skep)
set(CPACK_PACKAGE_CONTACT "The skep maintainers <maintainers@skep.invalid>")
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_INSTALL_CMAKE_PROJECTS
    "${PROJECT_BINARY_DIR};${PROJECT_NAME};ALL;/;${PROJECT_BINARY_DIR};${PROJECT_NAME};debian;/")
# One of the destinations is absolute. With DESTDIR the prefix is not CPACK_PACKAGING_INSTALL_PREFIX.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION httpd)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"A service that runs small request handlers of untrusted tenants behind HTTP,
keeps each inside its budgets of CPU time and memory, and keeps all of them
away from the host and from each other: V8 isolates in jailed processes.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# systemd: needed for the user, the sockets and the service.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd (>= 252), init-system-helpers (>= 1.52)")
# Modes as Debian wants them, with any umask of the build.
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${packaging}/debian/preinst;${packaging}/debian/postinst;${packaging}/debian/prerm;${packaging}/debian/postrm;${packaging}/debian/conffiles")
include(CPack)
