# SPDX-License-Identifier: Apache-2.0
add_executable(bench_store store.c store_model.c store_recorded.c)
target_link_libraries(bench_store PRIVATE hearth_testsupport hearth_ingest hearth_storage hearth_profile hearth_base hearth_flags cmocka zstd m)
set_target_properties(bench_store PROPERTIES OUTPUT_NAME store)
