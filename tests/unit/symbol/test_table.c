/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include "symbol/format.h"
#include "symbol/symbol.h"

static const char strings[] = "\0main\0main.c\0inner\0util.h\0mid\0pad";
enum { MAIN = 1, MAIN_C = 6, INNER = 13, UTIL_H = 19, MID = 26 };

static const struct symbol_header header = {.magic = SYMBOL_MAGIC,
					    .flags = SYMBOL_HAS_DWARF,
					    .segments_count = 2,
					    .functions_count = 2,
					    .lines_count = 3,
					    .scopes_count = 3,
					    .inlines_count = 3,
					    .strings_bytes = 40};
static const struct symbol_segment segments[] = {{0, 0x100, 0x1000}, {0x200, 0x50, 0x3000}};
static const struct symbol_function functions[] = {{0x1000, 0x1040, MAIN, MAIN_C, 3, 0},
						   {0x1050, 0x1060, INNER, 0, 0, 0}};
static const struct symbol_line lines[] = {
    {0x1000, MAIN_C, 5}, {0x1010, UTIL_H, 70}, {0x1030, 0, 0}};
static const struct symbol_scope scopes[] = {{0x1010, 1, 0}, {0x1014, 2, 0}, {0x1020, 0, 0}};
static const struct symbol_inline inlines[] = {
    {0, 0, 0, 0, 0}, {0, MID, 60, MAIN_C, 8}, {1, INNER, 65, UTIL_H, 61}};

static struct buf table(void)
{
	char text[40] = {0};
	struct buf b;

	memcpy(text, strings, sizeof(strings));
	buf_init(&b, BUF_UNLIMITED);
	(void)buf_add(&b, &header, sizeof(header));
	(void)buf_add(&b, segments, sizeof(segments));
	(void)buf_add(&b, functions, sizeof(functions));
	(void)buf_add(&b, lines, sizeof(lines));
	(void)buf_add(&b, scopes, sizeof(scopes));
	(void)buf_add(&b, inlines, sizeof(inlines));
	(void)buf_add(&b, "\0\0\0", b.len % 8 ? 8 - b.len % 8 : 0);
	(void)buf_add(&b, text, sizeof(text));
	return b;
}

static void assert_frame(const struct symbol_frame *f, const char *function, const char *file,
			 uint32_t line, uint32_t start_line)
{
	assert_string_equal(f->function, function);
	if (file)
		assert_string_equal(f->file, file);
	else
		assert_null(f->file);
	assert_int_equal(f->line, line);
	assert_int_equal(f->start_line, start_line);
}

static void test_find(void **state)
{
	(void)state;
	struct symbol_frame f[SYMBOL_INLINES_MAX];
	struct buf b = table();
	struct symbol_table *t;
	uint64_t address;
	struct err err;

	assert_int_equal(symbol_table_open(b.data, b.len, &t, &err), 0);
	assert_int_equal(symbol_table_find(t, 0xfff, f), 0);
	assert_int_equal(symbol_table_find(t, 0x1000, f), 1);
	assert_frame(&f[0], "main", "main.c", 5, 3);
	assert_int_equal(symbol_table_find(t, 0x1012, f), 2);
	assert_frame(&f[0], "mid", "util.h", 70, 60);
	assert_frame(&f[1], "main", "main.c", 8, 3);
	assert_int_equal(symbol_table_find(t, 0x1014, f), 3);
	assert_frame(&f[0], "inner", "util.h", 70, 65);
	assert_frame(&f[1], "mid", "util.h", 61, 60);
	assert_frame(&f[2], "main", "main.c", 8, 3);
	assert_int_equal(symbol_table_find(t, 0x1035, f), 1);
	assert_frame(&f[0], "main", "main.c", 0, 3);
	assert_int_equal(symbol_table_find(t, 0x1040, f), 0);
	assert_int_equal(symbol_table_find(t, 0x1050, f), 1);
	assert_frame(&f[0], "inner", NULL, 0, 0);
	assert_int_equal(symbol_table_find(t, UINT64_MAX, f), 0);
	assert_true(symbol_table_address(t, 0x22f, &address) && address == 0x302f);
	assert_false(symbol_table_address(t, 0x100, &address));
	assert_false(symbol_table_address(t, 0x250, &address));
	symbol_table_close(t);
	buf_release(&b);
}

/* Cut anywhere it is refused; with any one byte changed it is refused or answers something. */
static void test_damage(void **state)
{
	(void)state;
	struct symbol_frame f[SYMBOL_INLINES_MAX];
	struct buf b = table();
	struct symbol_table *t;
	size_t refused = 0;

	for (size_t len = 0; len < b.len; len++) {
		char *cut = malloc(len ? len : 1);

		memcpy(cut, b.data, len);
		assert_int_equal(symbol_table_open(cut, len, &t, NULL), -EINVAL);
		free(cut);
	}
	for (size_t at = 0; at < b.len; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			b.data[at] ^= (char)(1u << bit);
			if (symbol_table_open(b.data, b.len, &t, NULL) < 0) {
				refused++;
			} else {
				for (uint64_t a = 0xff0; a < 0x1070; a++)
					(void)symbol_table_find(t, a, f);
				symbol_table_close(t);
			}
			b.data[at] ^= (char)(1u << bit);
		}
	}
	assert_true(refused > sizeof(header) * 4);
	/* Bytes that are not aligned are read from a copy. */
	char *moved = malloc(b.len + 1);

	memcpy(moved + 1, b.data, b.len);
	assert_int_equal(symbol_table_open(moved + 1, b.len, &t, NULL), 0);
	assert_int_equal(symbol_table_find(t, 0x1014, f), 3);
	symbol_table_close(t);
	free(moved);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_find),
					   cmocka_unit_test(test_damage)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
