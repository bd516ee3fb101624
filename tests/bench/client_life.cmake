# SPDX-License-Identifier: Apache-2.0
add_executable(bench_client_life ${CMAKE_CURRENT_LIST_DIR}/client_life.c)
target_link_libraries(bench_client_life PRIVATE hearth_static hearth_flags)
set_target_properties(bench_client_life PROPERTIES OUTPUT_NAME client_life)
