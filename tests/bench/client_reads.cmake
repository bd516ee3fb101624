# What bench/client.py counts the instructions of; no benchmark by itself.
add_executable(client_reads client_reads.c)
set_target_properties(client_reads PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
