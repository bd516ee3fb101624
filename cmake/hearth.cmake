# SPDX-License-Identifier: Apache-2.0
# Flags that every target shares, and the functions that declare rooms and tests.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(hearth_flags INTERFACE)
target_include_directories(hearth_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(hearth_flags INTERFACE _GNU_SOURCE HEARTH_VERSION="${PROJECT_VERSION}")
target_compile_options(hearth_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wcast-qual -Wno-missing-field-initializers
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
  -fno-omit-frame-pointer -fstack-protector-strong -fno-common -fvisibility=hidden
  $<$<BOOL:${HEARTH_WERROR}>:-Werror>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
  target_compile_options(hearth_flags INTERFACE -fcf-protection)
endif()
if(HEARTH_SANITIZE)
  target_compile_options(hearth_flags INTERFACE -fsanitize=${HEARTH_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(hearth_flags INTERFACE -fsanitize=${HEARTH_SANITIZE})
else()
  target_compile_options(hearth_flags INTERFACE -fstack-clash-protection
    $<$<CONFIG:RelWithDebInfo>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()
if(HEARTH_FUZZ)
  target_compile_options(hearth_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
add_link_options(-Wl,-z,relro,-z,now)

# hearth_room(NAME [ROOMS room…] [LINK library…] [SOURCES file…])
#
# Declares the static library hearth_NAME from the folder's *.c files.  ROOMS are the rooms that it
# may include; LINK are the outside libraries that belong to this room.
function(hearth_room name)
  cmake_parse_arguments(R "" "" "ROOMS;LINK;SOURCES" ${ARGN})
  if(NOT R_SOURCES)
    file(GLOB R_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  endif()
  if(NOT R_SOURCES)
    return()
  endif()
  add_library(hearth_${name} STATIC ${R_SOURCES})
  set(rooms "")
  foreach(room IN LISTS R_ROOMS)
    list(APPEND rooms hearth_${room})
  endforeach()
  target_link_libraries(hearth_${name} PUBLIC hearth_flags ${rooms} ${R_LINK})
endfunction()

# hearth_test(NAME SOURCES file… [ROOMS room…] [LINK library…])
#
# A cmocka program that scripts/test.sh runs through ctest.
function(hearth_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "ROOMS;LINK;SOURCES;ENV" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  set(rooms "")
  foreach(room IN LISTS T_ROOMS)
    list(APPEND rooms hearth_${room})
  endforeach()
  target_link_libraries(${name} PRIVATE ${rooms} ${T_LINK} hearth_flags cmocka)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} ENVIRONMENT "${T_ENV}")
endfunction()
