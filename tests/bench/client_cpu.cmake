# SPDX-License-Identifier: Apache-2.0
add_executable(bench_client_cpu ${CMAKE_CURRENT_LIST_DIR}/client_cpu.c
  ${CMAKE_CURRENT_LIST_DIR}/client_cpu_frames.c)
target_link_libraries(bench_client_cpu PRIVATE hearth_client m)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/client_cpu_frames.c PROPERTIES
  COMPILE_OPTIONS "-fomit-frame-pointer;-fno-optimize-sibling-calls")
set_target_properties(bench_client_cpu PROPERTIES OUTPUT_NAME client_cpu)
