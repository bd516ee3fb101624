/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/refuse.h"

#include <string.h>

#include "symbol/symbol.h"

/* Whatever the bytes are: a table that opens can be asked for any address. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	struct symbol_table_stats stats;
	struct symbol_table *table;
	size_t seen = 0; /* every text is read to its end */
	struct err err;

	refuse_left = 1;
	FUZZ_CHECK(symbol_table_open(bytes, len, &table, &err) < 0);
	refuse_left = 0;
	if (symbol_table_open(bytes, len, &table, &err) < 0)
		return 0;
	symbol_table_stats(table, &stats);
	for (size_t at = 0; at + 8 <= len && at < 4096; at += 8) {
		uint64_t address;

		memcpy(&address, bytes + at, sizeof(address));
		(void)symbol_table_address(table, address, &address);
		size_t count = symbol_table_find(table, address, frames);

		FUZZ_CHECK(count <= SYMBOL_INLINES_MAX);
		for (size_t i = 0; i < count; i++) {
			seen += frames[i].function ? strlen(frames[i].function) : 0;
			seen += frames[i].file ? strlen(frames[i].file) : 0;
		}
	}
	FUZZ_CHECK(seen < SIZE_MAX);
	symbol_table_close(table);
	return 0;
}
