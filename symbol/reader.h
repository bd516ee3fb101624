/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbol/reader.h - ELF and DWARF -> a symbol table.  Runs in the child only: the files are
 * hostile.
 */
#ifndef SYMBOL_READER_H
#define SYMBOL_READER_H

#include <elfutils/libdw.h>
#include <gelf.h>

#include "base/intern.h"
#include "symbol/format.h"
#include "symbol/symbol.h"

struct reader_function {
	uint64_t start, end; /* end 0: unknown */
	uint32_t name, file, start_line;
	uint32_t rank; /* of two at one address the higher is kept */
};

/* An inlined function's range, before ranges become scopes. */
struct reader_range {
	uint64_t start, end;
	uint32_t inlined, depth;
};

/* A table in the making. Strings are interned; demangled names are found by the mangled ones. */
struct reader {
	struct intern strings, mangled;
	uint32_t *demangled; /* string by mangled name's number */
	size_t demangled_room;
	struct buf scratch;
	struct symbol_segment *segments;
	struct reader_function *symbols, *subprograms, *frames;
	struct symbol_line *lines;
	struct reader_range *ranges;
	struct symbol_inline *inlines;
	size_t segments_count, symbols_count, subprograms_count, frames_count, lines_count,
	    ranges_count, inlines_count;
	size_t segments_room, symbols_room, subprograms_room, frames_room, lines_room, ranges_room,
	    inlines_room;
	uint32_t flags;
	int failed; /* sticky: -ENOMEM or -E2BIG */
};

int reader_init(struct reader *r); /* 0, or a failure that leaves nothing to release */
void reader_release(struct reader *r);

/* A text's number; `mangled` names are demangled first. 0 for NULL. */
uint32_t reader_text(struct reader *r, const char *text);
uint32_t reader_name(struct reader *r, const char *mangled);

/* Room for one more item of a table, or NULL with the failure noted. */
void *reader_grow(struct reader *r, void *table, size_t item_bytes, size_t *room, size_t count);
#define READER_ADD(r, table)                                                                       \
	((__typeof__((r)->table))reader_grow(r, &(r)->table, sizeof(*(r)->table),                  \
					     &(r)->table##_room, (r)->table##_count++))

/* Add what a file has. */
void reader_segments(struct reader *r, Elf *elf);
void reader_symbols(struct reader *r, Elf *elf);
void reader_plt(struct reader *r, Elf *elf);
void reader_frames(struct reader *r, Elf *elf); /* where functions begin and end, by .eh_frame */
void reader_mini(struct reader *r, Elf *elf);   /* .gnu_debugdata */
bool reader_has_dwarf(Elf *elf);
/* `alt`: what dwz moved away, or NULL.  A file that has an alt must not be read without one: libdw
 * would go and open it. */
void reader_dwarf(struct reader *r, Elf *elf, Elf *alt);

/* Sort, resolve overlaps, and write the table. Returns 0, -E2BIG or -ENOMEM. */
MUST_CHECK int reader_finish(struct reader *r, struct buf *to);

#endif
