/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbol/format.h - the bytes of a symbol table (docs/formats/symbols.md).  Private to symbol/.
 *
 *	header | segments | functions | lines | scopes | inlines | strings
 *
 * Each part follows the one before it, at a multiple of 8.  Numbers are in the host's order: a
 * table is made and read on one host.  Strings are offsets into the last part, NUL-terminated; 0 is
 * none.
 */
#ifndef SYMBOL_FORMAT_H
#define SYMBOL_FORMAT_H

#include <stdint.h>

#define SYMBOL_MAGIC UINT64_C(0x316d79736874) /* "thsym1" */

enum symbol_flags { SYMBOL_HAS_DWARF = 1, SYMBOL_DEBUG_SEPARATE = 2, SYMBOL_FLAGS = 3 };

struct symbol_header {
	uint64_t magic;
	uint32_t flags, segments_count, functions_count, lines_count, scopes_count, inlines_count;
	uint64_t strings_bytes;
};

struct symbol_segment {
	uint64_t offset, size, address; /* size: in the file */
};

/* Sorted by start; do not overlap. */
struct symbol_function {
	uint64_t start, end;
	uint32_t name, file, start_line, unused;
};

/* Sorted by address; holds up to the next row. file 0: nothing is known from here on. */
struct symbol_line {
	uint64_t address;
	uint32_t file, line;
};

/* Sorted by start; `inlined` is the innermost inlined function up to the next scope. */
struct symbol_scope {
	uint64_t start;
	uint32_t inlined; /* place in inlines; 0: none */
	uint32_t unused;
};

/* Place 0 is none. A parent's place is below its children's. */
struct symbol_inline {
	uint32_t parent, name, start_line;
	uint32_t call_file, call_line; /* where the function around it calls it */
};

#endif
