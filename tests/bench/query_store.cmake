# SPDX-License-Identifier: Apache-2.0
# Beside the benchmarks, not one of them: tests/bench/query.py runs it.
add_executable(bench_query_store query_store.c store_model.c)
target_link_libraries(bench_query_store PRIVATE hearth_testsupport hearth_storage hearth_profile hearth_base hearth_flags cmocka zstd m)
set_target_properties(bench_query_store PROPERTIES OUTPUT_NAME query_store RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
