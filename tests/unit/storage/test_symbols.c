/* SPDX-License-Identifier: Apache-2.0 */
/* The symbol store of the sqlite backend: its share, damage, and tables of another store. */
#include "tests/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/support/store_case.h"

#define FILE_NAME "symbols.db"
#define TABLE_MAX 400000

static bool is_there(const char *name)
{
	return !access(path_of(name), F_OK);
}

/* A table that does not compress; another seed, another table. */
static void put(uint8_t build, uint64_t seed, size_t len)
{
	static uint8_t table[TABLE_MAX];
	uint8_t id[20] = {build};
	uint64_t epoch = 0;
	struct err err = {0};

	for (size_t i = 0; i < len; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		table[i] = (uint8_t)(seed >> 56);
	}
	if (storage_symbols_put(f.store, 0, id, sizeof(id), table, len, &epoch, &err))
		fail_msg("put: %s", err.message);
	assert_true(epoch > 0);
}

/* Its length, 0: there is none. */
static size_t get(uint8_t build)
{
	uint8_t id[20] = {build};
	void *table;
	size_t len;
	uint64_t epoch;

	if (storage_symbols_get(f.reader, 0, id, sizeof(id), &table, &len, &epoch, NULL))
		return 0;
	free(table);
	return len;
}

static void overwrite(off_t at, size_t len)
{
	static uint8_t noise[1 << 20];
	int fd CLOSING = open(path_of(FILE_NAME), O_WRONLY | O_CLOEXEC);

	memset(noise, 0x5a, sizeof(noise));
	assert_true(fd >= 0 && len <= sizeof(noise));
	assert_int_equal(pwrite(fd, noise, len, at), len);
}

static void the_oldest_tables_go_when_they_take_more_than_their_share(void **state)
{
	struct storage_stats stats = {0};

	(void)state;
	fixture_close(&f);
	f.options.bytes_max = 8 << 20;
	fixture_open(&f);
	for (uint8_t i = 1; i <= 10; i++)
		put(i, i, TABLE_MAX);
	for (int i = 0; i < 4; i++)
		fixture_maintain(&f, T0 + SECONDS(2) * i);
	assert_int_equal(get(1), 0);
	assert_int_equal(get(10), TABLE_MAX);
	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	/* but for the pages between them */
	assert_true(stats.symbols_bytes <= f.options.bytes_max / 8 + 65536);
	assert_non_null(strstr(stats.note, "an eighth of retention.bytes"));
	/* What went is put again when it is asked for. */
	put(1, 1, 1000);
	assert_int_equal(get(1), 1000);
}

static void a_damaged_file_is_put_aside_by_what_meets_it(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 10; i++)
		put(i, i, TABLE_MAX);
	fixture_close(&f);
	overwrite(0, 4096);
	fixture_open(&f);
	assert_int_equal(get(1), 0);
	fixture_maintain(&f, T0);
	assert_true(is_there(FILE_NAME ".damaged-1"));
	put(1, 1, 1000);
	assert_int_equal(get(1), 1000);
	fixture_close(&f);
	overwrite(0, 4096);
	fixture_open(&f);
	put(2, 2, 2000); /* the writer meets it */
	assert_true(is_there(FILE_NAME ".damaged-2"));
	assert_int_equal(get(2), 2000);
	assert_int_equal(get(1), 0);
}

static void a_damaged_table_is_as_none_until_it_is_put_again(void **state)
{
	struct stat st;

	(void)state;
	put(1, 1, TABLE_MAX);
	fixture_close(&f);
	assert_int_equal(stat(path_of(FILE_NAME), &st), 0);
	overwrite(st.st_size - 100 * 1024, 50 * 1024);
	fixture_open(&f);
	assert_int_equal(get(1), 0);
	put(1, 1, TABLE_MAX);
	assert_int_equal(get(1), TABLE_MAX);
}

static int take_in(const void *bytes, size_t len)
{
	struct storage_incoming *incoming;
	struct err err = {0};

	assert_int_equal(storage_incoming_open(f.reader, FILE_NAME, 0, &incoming, NULL), 0);
	assert_int_equal(storage_incoming_add(incoming, bytes, len, NULL), 0);
	int rc = storage_incoming_check(incoming, &err);

	if (!rc)
		rc = storage_adopt(f.store, incoming, &err);
	if (rc && rc != -EINVAL)
		fail_msg("taking in: %s", err.message);
	storage_incoming_close(incoming);
	return rc;
}

static void another_stores_tables_are_taken_in(void **state)
{
	uint64_t len;
	int fd;

	(void)state;
	for (uint8_t i = 1; i <= 3; i++)
		put(i, i, 1000);
	for (uint8_t i = 4; i < 30; i++) /* more than one transaction takes */
		put(i, i, TABLE_MAX);
	assert_int_equal(storage_copy(f.reader, FILE_NAME, &fd, &len, NULL), 0);
	char *bytes = malloc(len);

	assert_int_equal(fd_read_all(fd, bytes, len), 0);
	fd_close(&fd);
	fixture_release(&f);
	fixture_init(&f, &storage_sqlite);
	put(3, 9, 500);
	assert_int_equal(take_in(bytes, len), 0);
	assert_int_equal(get(1), 1000);
	assert_int_equal(get(2), 1000);
	assert_int_equal(get(3), 500); /* its own stays */
	for (uint8_t i = 4; i < 30; i++)
		assert_int_equal(get(i), TABLE_MAX);
	memset(bytes + 100, 0x5a, 1000);
	assert_int_equal(take_in(bytes, len), -EINVAL);
	assert_int_equal(get(1), 1000);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(the_oldest_tables_go_when_they_take_more_than_their_share),
	    CASE(a_damaged_file_is_put_aside_by_what_meets_it),
	    CASE(a_damaged_table_is_as_none_until_it_is_put_again),
	    CASE(another_stores_tables_are_taken_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
