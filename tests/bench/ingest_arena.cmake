# SPDX-License-Identifier: Apache-2.0
# Only where libprotobuf is (scripts/deps.sh bench): a comparison, not a part.
find_library(PROTOBUF_CXX_LIBRARY protobuf)
find_path(PROTOBUF_CXX_INCLUDE google/protobuf/arena.h)
find_program(PROTOC protoc)
if(PROTOBUF_CXX_LIBRARY AND PROTOBUF_CXX_INCLUDE AND PROTOC AND NOT HEARTH_SANITIZE AND NOT HEARTH_FUZZ)
  set(arena_proto ${CMAKE_CURRENT_BINARY_DIR}/arena)
  file(MAKE_DIRECTORY ${arena_proto})
  add_custom_command(OUTPUT ${arena_proto}/pprof.pb.cc ${arena_proto}/pprof.pb.h
    COMMAND ${PROTOC} --cpp_out=${arena_proto} -I ${CMAKE_SOURCE_DIR}/wire/proto pprof.proto
    DEPENDS ${CMAKE_SOURCE_DIR}/wire/proto/pprof.proto)
  add_executable(bench_ingest_arena ingest_arena.cc ingest_arena_ours.c ingest_pprof_input.c ${arena_proto}/pprof.pb.cc)
  target_include_directories(bench_ingest_arena SYSTEM PRIVATE ${arena_proto} ${PROTOBUF_CXX_INCLUDE})
  target_link_libraries(bench_ingest_arena PRIVATE hearth_wire hearth_base hearth_flags ${PROTOBUF_CXX_LIBRARY} Threads::Threads)
  target_compile_definitions(bench_ingest_arena PRIVATE HEARTH_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(bench_ingest_arena PROPERTIES OUTPUT_NAME ingest_arena)
endif()
