/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the sqlite backend that go out and come in as a whole. */
#include "tests/cmocka.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "storage/sqlite_read.h"
#include "tests/support/store_case.h"

#define L0_FILE "l0/20260101T00.db"
#define L1_FILE "l1/20260101.db"
#define LATER (T0 + SECONDS(1000000))
#define MB (UINT64_C(1) << 20)

static struct hash128 id;

static int setup_series(void **state)
{
	id = series_id(1000, PROFILE_KIND_CPU, "service=a");
	return setup(state);
}

static void reopen_with(struct storage_options options)
{
	fixture_close(&f);
	f.options = options;
	fixture_open(&f);
}

static void put(int64_t time_ns, const char *stack)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, time_ns, time_ns, time_ns);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, stack, time_ns, 1, 1, 1);
	fixture_put(&f, maker_finish(&m));
}

static void expect(const char *expected)
{
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0 - SECONDS(86400), .until_ns = LATER};

	expect_scan(&f, &scan, expected);
}

/* Rows that do not compress, in a closed file. */
static void grow(const char *name, unsigned megabytes)
{
	char sql[300];
	sqlite3 *db;

	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA synchronous=OFF; CREATE TABLE ballast(x BLOB);"
		       "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
		       "INSERT INTO ballast SELECT randomblob(1048576) FROM n",
		       megabytes);
	assert_int_equal(sqlite3_open(path_of(name), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Names in a folder of the store that contain `part`. */
static unsigned names_with(const char *folder, const char *part)
{
	DIR *dir = opendir(path_of(folder));
	unsigned count = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		count += strstr(e->d_name, part) != NULL;
	(void)closedir(dir);
	return count;
}

static void expect_no_leftovers(void)
{
	static const char *const folders[] = {".", "l0", "l1", "l2"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		assert_int_equal(names_with(folders[i], "adopted"), 0);
		assert_int_equal(names_with(folders[i], "copying"), 0);
	}
}

static uint64_t copy(const char *part, int *ret_fd)
{
	struct err err = {0};
	struct stat st;
	uint64_t bytes;

	if (storage_copy(f.reader, part, ret_fd, &bytes, &err))
		fail_msg("copy: %s", err.message);
	assert_int_equal(fstat(*ret_fd, &st), 0);
	assert_int_equal(st.st_size, bytes);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(lseek(*ret_fd, 0, SEEK_CUR), 0);
	return bytes;
}

/* Take in what is left of a descriptor, in pieces of no size that means anything. */
static int take_in(int fd, const char *part, uint64_t expected, struct err *err)
{
	struct storage_incoming *incoming = NULL;
	int rc = storage_incoming_open(f.reader, part, expected, &incoming, err);
	static char piece[100001];
	ssize_t n = 0;

	while (!rc && (n = read(fd, piece, sizeof(piece))) > 0)
		rc = storage_incoming_add(incoming, piece, (size_t)n, err);
	if (!rc)
		rc = storage_incoming_check(incoming, err);
	if (!rc)
		rc = storage_adopt(f.store, incoming, err);
	storage_incoming_close(incoming);
	return rc;
}

static void a_copy_is_of_one_moment_and_holds_nothing_up(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	put(T0, "first");
	uint64_t bytes = copy(L0_FILE, &fd);

	/* While somebody has it the writer goes on, and no reader keeps its WAL. */
	put(T0 + 1, "second");
	fixture_maintain(&f, T0 + SECONDS(7200));
	assert_true(stat(path_of(L0_FILE "-wal"), &st) || st.st_size == 0);
	expect("first 1/1\nsecond 1/1\n");
	expect_no_leftovers();

	fixture_release(&f);
	fixture_init(&f, &storage_sqlite);
	assert_int_equal(take_in(fd, L0_FILE, bytes, NULL), 0);
	fd_close(&fd);
	expect("first 1/1\n");
	fixture_reopen(&f);
	expect("first 1/1\n");
	expect_no_leftovers();
}

/* Above what a symbol table or an answer in memory may have. */
static void a_part_of_any_size_goes_out_and_comes_in(void **state)
{
	struct rusage before, after;
	struct err err = {0};
	int fd;

	(void)state;
	put(T0, "main");
	fixture_close(&f);
	grow(L0_FILE, 270);
	fixture_open(&f);
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	uint64_t bytes = copy(L0_FILE, &fd);

	assert_true(bytes > 270 * MB);
	fixture_release(&f);
	fixture_init(&f, &storage_sqlite);
	if (take_in(fd, L0_FILE, 0, &err))
		fail_msg("taking in: %s", err.message);
	fd_close(&fd);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	expect("main 1/1\n");
	/* ASan has pages that it does not give back at once. */
	uint64_t grown = (uint64_t)(after.ru_maxrss - before.ru_maxrss) << 10;

	print_message("%llu KB more for %llu MB\n", (unsigned long long)grown >> 10,
		      (unsigned long long)bytes >> 20);
	assert_true(grown < bytes / 8);
}

static void what_is_not_whole_is_not_taken_in(void **state)
{
	struct storage_incoming *incoming;
	char page[4096];
	uint64_t bytes;
	int fd;

	(void)state;
	put(T0, "main");
	fixture_maintain(&f, T0 + SECONDS(60));
	bytes = copy(L0_FILE, &fd);
	assert_int_equal(take_in(fd, L0_FILE, 0, NULL), -EEXIST);
	assert_int_equal(take_in(fd, "l0/../../passwd", 0, NULL), -EINVAL);
	assert_int_equal(take_in(fd, "l0/20260101T00.db.adopted-x", 0, NULL), -EINVAL);
	/* Another hour, another level, a part, nothing. */
	assert_int_equal(take_in(fd, "l0/20260101T01.db", 0, NULL), -EINVAL);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(take_in(fd, "l1/20260102.db", 0, NULL),
			 -ENOTSUP); /* that schema's number */
	assert_int_equal(lseek(fd, 4096, SEEK_SET), 4096);
	assert_int_equal(take_in(fd, "l0/20260101T02.db", 0, NULL), -EINVAL);
	assert_int_equal(take_in(fd, "l0/20260101T02.db", 0, NULL), -EINVAL);
	/* A page that is not the first, which opening it looks at. */
	memset(page, 0x5a, sizeof(page));
	assert_int_equal(pwrite(fd, page, sizeof(page), 4 * 4096), sizeof(page));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	fixture_release(&f);
	fixture_init(&f, &storage_sqlite);
	assert_int_equal(take_in(fd, L0_FILE, 0, NULL), -EINVAL);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes - 4096), 0);
	assert_int_equal(take_in(fd, "l0/20260101T02.db", 0, NULL), -EINVAL);
	assert_int_equal(storage_incoming_open(f.reader, "l0/20260101T03.db", 0, &incoming, NULL),
			 0);
	assert_int_equal(storage_adopt(f.store, incoming, NULL), -EINVAL);
	storage_incoming_close(incoming);
	fd_close(&fd);
	assert_int_equal(storage_copy(f.reader, "l0/20260101T07.db", &fd, &bytes, NULL), -ENOENT);
	expect_no_leftovers();
}

/* Two bring the same part; and a file that is in no catalogue is not written over. */
static void a_name_is_given_once(void **state)
{
	struct storage_incoming *twice[2];
	char bytes[256 << 10];
	int fd, newer;

	(void)state;
	put(T0, "main");
	uint64_t len = copy(L0_FILE, &fd);

	assert_true(len < sizeof(bytes));
	assert_int_equal(fd_read_all(fd, bytes, len), 0);
	fixture_release(&f);
	fixture_init(&f, &storage_sqlite);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(storage_incoming_open(f.reader, L0_FILE, len, &twice[i], NULL), 0);
		assert_int_equal(storage_incoming_add(twice[i], bytes, len, NULL), 0);
		assert_int_equal(storage_incoming_check(twice[i], NULL), 0);
	}
	newer = open(path_of(L0_FILE), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(newer >= 0);
	assert_int_equal(storage_adopt(f.store, twice[0], NULL), -EEXIST);
	fd_close(&newer);
	assert_int_equal(unlink(path_of(L0_FILE)), 0);
	assert_int_equal(storage_adopt(f.store, twice[0], NULL), 0);
	assert_int_equal(storage_adopt(f.store, twice[1], NULL), -EEXIST);
	for (int i = 0; i < 2; i++)
		storage_incoming_close(twice[i]);
	fd_close(&fd);
	expect("main 1/1\n");
	expect_no_leftovers();
}

/* The floor of free disk is above what is free: nothing goes for a copy, and who asks is told. */
static void without_room_nothing_is_copied(void **state)
{
	struct storage_options options = {.free_permille = 1000};
	struct storage_incoming *incoming;
	struct err err = {0};
	uint64_t bytes;
	char byte = 0;
	int fd;

	(void)state;
	put(T0, "main");
	reopen_with(options);
	assert_int_equal(storage_copy(f.reader, L0_FILE, &fd, &bytes, &err), -ENOSPC);
	assert_non_null(strstr(err.message, L0_FILE));
	assert_non_null(strstr(err.message, "retention.free_percent"));
	assert_int_equal(
	    storage_incoming_open(f.reader, "l0/20260101T01.db", 1000, &incoming, &err), -ENOSPC);
	assert_int_equal(storage_incoming_open(f.reader, "l0/20260101T01.db", 0, &incoming, NULL),
			 0);
	assert_int_equal(storage_incoming_add(incoming, &byte, 1, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "retention.free_percent"));
	storage_incoming_close(incoming);
	expect("main 1/1\n");
	expect_no_leftovers();
}

static void more_than_the_store_may_have_does_not_come_in(void **state)
{
	struct storage_options options = {.bytes_max = 1000, .free_permille = STORAGE_NO_FLOOR};
	struct storage_incoming *incoming;
	struct err err = {0};
	char bytes[1001] = "";

	(void)state;
	reopen_with(options);
	assert_int_equal(storage_incoming_open(f.reader, L0_FILE, 1001, &incoming, &err), -E2BIG);
	assert_non_null(strstr(err.message, "retention.bytes"));
	assert_int_equal(storage_incoming_open(f.reader, L0_FILE, 0, &incoming, NULL), 0);
	assert_int_equal(storage_incoming_add(incoming, bytes, 600, NULL), 0);
	assert_int_equal(storage_incoming_add(incoming, bytes, 401, &err), -E2BIG);
	assert_non_null(strstr(err.message, "retention.bytes"));
	storage_incoming_close(incoming);
	expect_no_leftovers();
}

static void what_a_crash_left_goes_at_the_start(void **state)
{
	static const char *const names[] = {"copying-abcdef", "symbols.db.adopted-abcdef",
					    L1_FILE ".adopted-abcdef",
					    L1_FILE ".adopted-abcdef-wal"};

	(void)state;
	put(T0, "main");
	fixture_close(&f);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int fd CLOSING = open(path_of(names[i]), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
	}
	fixture_open(&f);
	expect_no_leftovers();
	expect("main 1/1\n");
}

static void *hurry(void *arg)
{
	_Atomic bool *ends = arg;

	while (!*ends) {
		(void)usleep(100);
		sqlite_of(f.store)->files[0]->hurries++;
	}
	return NULL;
}

/* As files_bound_wal asks when a WAL is full: a copy is a reader like others. */
static void a_copy_ends_when_the_writer_wants_the_wal(void **state)
{
	_Atomic bool ends = false;
	pthread_t thread;
	uint64_t bytes;
	int fd;

	(void)state;
	put(T0, "main");
	fixture_close(&f);
	grow(L0_FILE, 48);
	fixture_open(&f);
	assert_int_equal(pthread_create(&thread, NULL, hurry, &ends), 0);
	int rc = storage_copy(f.reader, L0_FILE, &fd, &bytes, NULL);

	ends = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(storage_copy(f.reader, L0_FILE, &fd, &bytes, NULL), 0);
	fd_close(&fd);
	expect_no_leftovers();
}

/* A damaged part is told of and put aside, and no half copy of it is given. */
static void a_damaged_part_is_not_copied_as_if_it_were_well(void **state)
{
	uint64_t bytes = 0;
	struct stat st;
	int fd = -1;

	(void)state;
	put(T0, "main");
	fixture_close(&f);
	grow(L0_FILE, 2);
	assert_int_equal(stat(path_of(L0_FILE), &st), 0);
	assert_int_equal(truncate(path_of(L0_FILE), st.st_size - 4096 * 10), 0);
	fixture_open(&f);
	assert_true(storage_copy(f.reader, L0_FILE, &fd, &bytes, NULL) < 0);
	expect_no_leftovers();
}

#define SERIES_CASE(name) cmocka_unit_test_setup_teardown(name, setup_series, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    SERIES_CASE(a_copy_is_of_one_moment_and_holds_nothing_up),
	    SERIES_CASE(what_is_not_whole_is_not_taken_in),
	    SERIES_CASE(a_name_is_given_once),
	    SERIES_CASE(without_room_nothing_is_copied),
	    SERIES_CASE(more_than_the_store_may_have_does_not_come_in),
	    SERIES_CASE(what_a_crash_left_goes_at_the_start),
	    SERIES_CASE(a_copy_ends_when_the_writer_wants_the_wal),
	    SERIES_CASE(a_damaged_part_is_not_copied_as_if_it_were_well),
	    SERIES_CASE(a_part_of_any_size_goes_out_and_comes_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
