/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <string.h>

#include "server/table_cache.h"
#include "symbol/format.h"

struct fixture {
	struct storage *store;
	struct storage_reader *reader;
	struct table_cache *cache;
};

/* The least that is a table. */
static const struct {
	struct symbol_header header;
	char strings[8];
} whole = {{.magic = SYMBOL_MAGIC, .strings_bytes = 8}, {0}};

static const uint8_t id[] = {1, 2, 3, 4};

static void put(struct fixture *f, const void *table, size_t len)
{
	uint64_t epoch;

	assert_int_equal(storage_symbols_put(f->store, 0, id, sizeof(id), table, len, &epoch, NULL),
			 0);
	table_cache_forget(f->cache, 0, id, sizeof(id));
}

static bool is_stored(struct fixture *f)
{
	return table_cache_is_stored(f->cache, f->reader, 0, id, sizeof(id));
}

static struct table_ref *get(struct fixture *f)
{
	return table_cache_get(f->cache, f->reader, 0, id, sizeof(id));
}

static void expect_kept(struct fixture *f, uint64_t tables, uint64_t bytes)
{
	uint64_t tables_now, bytes_now;

	table_cache_stats(f->cache, &tables_now, &bytes_now);
	assert_int_equal(tables_now, tables);
	assert_int_equal(bytes_now, bytes);
}

static int setup(void **state)
{
	const struct storage_options options = {0};
	static struct fixture f;

	assert_int_equal(storage_open("memory:", &options, &f.store, NULL), 0);
	assert_int_equal(storage_reader_open(f.store, &f.reader, NULL), 0);
	assert_int_equal(table_cache_new(&f.cache), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	table_cache_free(f->cache);
	storage_reader_close(f->reader);
	storage_close(f->store);
	return 0;
}

static void asking_whether_it_is_stored_keeps_nothing(void **state)
{
	struct fixture *f = *state;

	assert_false(is_stored(f));
	put(f, &whole, sizeof(whole));
	assert_true(is_stored(f));
	assert_true(is_stored(f));
	expect_kept(f, 0, 0);
	/* A question loads it then. */
	struct table_ref *ref = get(f), *again = get(f);

	assert_non_null(ref);
	assert_ptr_equal(ref, again);
	assert_non_null(table_ref_table(ref));
	expect_kept(f, 1, sizeof(whole));
	/* Who asks now takes it from nobody. */
	assert_true(is_stored(f));
	expect_kept(f, 1, sizeof(whole));
	table_cache_release(f->cache, again);
	assert_non_null(table_ref_table(ref));
	table_cache_release(f->cache, ref);
	expect_kept(f, 1, sizeof(whole));
}

static void a_damaged_table_is_none_until_a_new_one_comes(void **state)
{
	struct fixture *f = *state;

	put(f, "damaged", 7);
	assert_false(is_stored(f));
	assert_null(get(f));
	expect_kept(f, 0, 0);
	put(f, &whole, sizeof(whole));
	struct table_ref *ref = get(f);

	assert_non_null(ref);
	/* A newer one comes while this one is in use. */
	put(f, &whole, sizeof(whole));
	struct table_ref *newer = get(f);

	assert_non_null(newer);
	assert_ptr_not_equal(ref, newer);
	expect_kept(f, 2, 2 * sizeof(whole));
	table_cache_release(f->cache, ref);
	expect_kept(f, 1, sizeof(whole));
	table_cache_release(f->cache, newer);
}

static void more_programs_than_it_remembers(void **state)
{
	struct fixture *f = *state;
	uint64_t epoch;

	for (uint32_t i = 0; i < TABLE_CACHE_ENTRIES + 100; i++) {
		assert_int_equal(storage_symbols_put(f->store, 0, (uint8_t *)&i, sizeof(i), &whole,
						     sizeof(whole), &epoch, NULL),
				 0);
		assert_true(
		    table_cache_is_stored(f->cache, f->reader, 0, (uint8_t *)&i, sizeof(i)));
	}
	expect_kept(f, 0, 0);
	for (uint32_t i = 0; i < TABLE_CACHE_ENTRIES + 100; i++) {
		struct table_ref *ref =
		    table_cache_get(f->cache, f->reader, 0, (uint8_t *)&i, sizeof(i));

		assert_non_null(ref);
		table_cache_release(f->cache, ref);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(asking_whether_it_is_stored_keeps_nothing, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_damaged_table_is_none_until_a_new_one_comes, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(more_programs_than_it_remembers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
