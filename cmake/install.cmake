# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where.  Component `client` is the library, what builds against it, and its
# manual; component `programs` the agent and the command line.
include(CMakePackageConfigHelpers)

set(hearth_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hearth)
# From the folder of hearth.pc, and from that of the CMake package, up to the prefix: an installed tree may
# be moved.
file(RELATIVE_PATH HEARTH_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
file(RELATIVE_PATH HEARTH_CMAKE_UP /${hearth_cmake_dir} /)
string(REGEX REPLACE "/$" "" HEARTH_PC_UP "${HEARTH_PC_UP}")
string(REGEX REPLACE "/$" "" HEARTH_CMAKE_UP "${HEARTH_CMAKE_UP}")
configure_file(cmake/hearth.pc.in ${CMAKE_BINARY_DIR}/install/hearth.pc @ONLY)
configure_file(cmake/hearthConfig.cmake.in ${CMAKE_BINARY_DIR}/install/hearthConfig.cmake @ONLY)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/install/hearthConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)

install(TARGETS hearth LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT client)
install(TARGETS hearth_preload LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/hearth COMPONENT client)
install(FILES ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/libhearth.a DESTINATION ${CMAKE_INSTALL_LIBDIR}
  COMPONENT client)
install(FILES client/hearth.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT client)
install(FILES ${CMAKE_BINARY_DIR}/install/hearth.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT client)
install(FILES ${CMAKE_BINARY_DIR}/install/hearthConfig.cmake
  ${CMAKE_BINARY_DIR}/install/hearthConfigVersion.cmake DESTINATION ${hearth_cmake_dir}
  COMPONENT client)
install(FILES docs/man/libhearth.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT client)

foreach(program hearthd hearth hearth-symbolizer)
  install(PROGRAMS ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${program} DESTINATION ${CMAKE_INSTALL_BINDIR}
    COMPONENT programs)
endforeach()
install(FILES docs/man/hearth.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT programs)
install(FILES docs/man/hearthd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT programs)

# Of the built program, so that they say what it does.
set(hearth_pages ${CMAKE_BINARY_DIR}/pages)
add_custom_command(OUTPUT ${hearth_pages}/stamp
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${hearth_pages}
  COMMAND ${CMAKE_SOURCE_DIR}/cli/verb_pages.sh $<TARGET_FILE:hearth_cli> ${hearth_pages}
  COMMAND ${CMAKE_COMMAND} -E touch ${hearth_pages}/stamp
  DEPENDS hearth_cli ${CMAKE_SOURCE_DIR}/cli/verb_pages.sh VERBATIM)
add_custom_target(hearth_verb_pages ALL DEPENDS ${hearth_pages}/stamp)
install(DIRECTORY ${hearth_pages}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT programs
  FILES_MATCHING PATTERN "*.1")
install(FILES ${hearth_pages}/hearth.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME hearth COMPONENT programs)
install(FILES ${hearth_pages}/hearth.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions
  RENAME _hearth COMPONENT programs)
install(FILES ${hearth_pages}/hearth.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
  COMPONENT programs)
