# SPDX-License-Identifier: Apache-2.0
add_executable(bench_agent_clients ${CMAKE_CURRENT_LIST_DIR}/agent_clients.c)
target_link_libraries(bench_agent_clients PRIVATE hearth_client hearth_flags m)
target_compile_options(bench_agent_clients PRIVATE -fno-omit-frame-pointer -fno-optimize-sibling-calls)
set_target_properties(bench_agent_clients PROPERTIES OUTPUT_NAME agent_clients)
