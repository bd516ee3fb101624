/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary as the symbolizer's child reads it: the table that comes out opens and answers.  The
 * first byte says whether it is read as if it had a debug file beside it, which is the same bytes.
 * libelf and libdw are not instrumented: what is looked at is what we do with what they say.
 */
#include <string.h>

#include "symbol/reader.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/refuse.h"

static void table_check(const struct buf *table)
{
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	struct symbol_table *opened;
	struct err err;

	FUZZ_CHECK(!symbol_table_open(table->data, table->len, &opened, &err));
	for (uint64_t address = 0; address < 0x4000; address += 61)
		FUZZ_CHECK(symbol_table_find(opened, address, frames) <= SYMBOL_INLINES_MAX);
	symbol_table_close(opened);
}

static void elf_read(Elf *elf, bool separate)
{
	struct reader r;
	struct buf table;

	if (reader_init(&r)) {
		FUZZ_CHECK(refusing);
		return;
	}
	buf_init(&table, SYMBOL_TABLE_MAX);
	reader_segments(&r, elf);
	reader_symbols(&r, elf);
	reader_plt(&r, elf);
	reader_frames(&r, elf);
	if (separate)
		reader_symbols(&r, elf);
	if (reader_has_dwarf(elf))
		reader_dwarf(&r, elf, NULL);
	else
		reader_mini(&r, elf);
	if (!reader_finish(&r, &table) && !refusing)
		table_check(&table);
	reader_release(&r);
	buf_release(&table);
}

static void image_read(const uint8_t *bytes, size_t len, bool separate)
{
	GElf_Ehdr head;
	unsigned long left = refuse_left;

	refuse_left = 0;
	/* Writable, as in the child: libelf changes headers in place.  Aligned as a mapping is. */
	char *copy = malloc(len);

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, bytes, len);
	Elf *elf = elf_memory(copy, len);

	refuse_left = left;
	if (elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &head) &&
	    (head.e_type == ET_EXEC || head.e_type == ET_DYN))
		elf_read(elf, separate);
	(void)elf_end(elf);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len < 2 || elf_version(EV_CURRENT) == EV_NONE)
		return 0;
	image_read(bytes + 1, len - 1, bytes[0] & 1);
	refusing = true;
	refuse_left = refuse_draw(bytes, len, 64);
	image_read(bytes + 1, len - 1, bytes[0] & 1);
	refusing = false;
	refuse_left = 0;
	return 0;
}
