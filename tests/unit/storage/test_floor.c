/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little room: the floor of free disk, beside readers that have open what goes, and a full disk.
 *
 * The floor asks statvfs(), which the linker wraps: a disk of as many bytes as a case wants, on
 * which the store's files stand, and those that were unlinked for as long as this process has them
 * open.
 */
#include "tests/cmocka.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/sqlite_read.h"
#include "tests/support/store_case.h"

#define HOUR(n) (T0 + SECONDS(3600) * (n))
#define LATER (T0 + SECONDS(1000000))
#define HOURS 10
#define READERS 3
#define FLOOR_PERMILLE 500

/* ---- the disk ---- */

#define BLOCK 4096
#define VAST (UINT64_C(1) << 40)

static uint64_t disk_bytes; /* 0: the real one */
static uint64_t walked_bytes;

static int add_file(const char *path, const struct stat *st, int flag)
{
	(void)path;
	walked_bytes += flag == FTW_F ? (uint64_t)st->st_blocks * 512 : 0;
	return 0;
}

static uint64_t named_bytes(void)
{
	walked_bytes = 0;
	assert_int_equal(ftw(f.dir, add_file, 8), 0);
	return walked_bytes;
}

/* Of the store's, each once however many have it open. */
static uint64_t unlinked_bytes(void)
{
	static const char gone[] = " (deleted)";
	ino_t seen[1024];
	size_t count = 0;
	uint64_t bytes = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		char path[400] = "";
		ssize_t len = readlinkat(dirfd(dir), e->d_name, path, sizeof(path) - 1);
		size_t i = 0;
		struct stat st;

		if (len < (ssize_t)sizeof(gone) || strncmp(path, f.dir, strlen(f.dir)) ||
		    strcmp(path + len - (sizeof(gone) - 1), gone) ||
		    fstatat(dirfd(dir), e->d_name, &st, 0))
			continue;
		while (i < count && seen[i] != st.st_ino)
			i++;
		if (i < count)
			continue;
		assert_true(count < ARRAY_LEN(seen));
		seen[count++] = st.st_ino;
		bytes += (uint64_t)st.st_blocks * 512;
	}
	(void)closedir(dir);
	return bytes;
}

static uint64_t free_bytes(void)
{
	uint64_t used = named_bytes() + unlinked_bytes();

	return used < disk_bytes ? disk_bytes - used : 0;
}

int __real_statvfs(const char *path, struct statvfs *fs);
int __wrap_statvfs(const char *path, struct statvfs *fs);

int __wrap_statvfs(const char *path, struct statvfs *fs)
{
	if (!disk_bytes)
		return __real_statvfs(path, fs);
	*fs = (struct statvfs){.f_bsize = BLOCK,
			       .f_frsize = BLOCK,
			       .f_blocks = disk_bytes / BLOCK,
			       .f_bfree = free_bytes() / BLOCK,
			       .f_bavail = free_bytes() / BLOCK};
	return 0;
}

static bool is_below_the_floor(void)
{
	return free_bytes() < disk_bytes / 1000 * FLOOR_PERMILLE;
}

static int setup_disk(void **state)
{
	disk_bytes = 0;
	return setup(state);
}

static const char *hour_path(int hour, const char *suffix)
{
	char name[48];

	(void)snprintf(name, sizeof(name), "l0/20260101T%02d.db%s", hour, suffix);
	return path_of(name);
}

static bool is_there(int hour)
{
	return !access(hour_path(hour, ""), F_OK);
}

static void expect_hours_from(int first)
{
	for (int hour = 0; hour < HOURS; hour++)
		if (is_there(hour) != (hour >= first))
			fail_msg("hour %d is %s", hour, is_there(hour) ? "there" : "gone");
}

static uint64_t hour_bytes(int hour)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	uint64_t bytes = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (!stat(hour_path(hour, suffixes[i]), &st))
			bytes += (uint64_t)st.st_blocks * 512;
	return bytes;
}

/* From now on there is too little free: by one hour and a half of the next. */
static void disk_run_short(void)
{
	uint64_t missing = hour_bytes(0) + hour_bytes(1) / 2;

	disk_bytes = (named_bytes() + unlinked_bytes() - missing) * 1000 / (1000 - FLOOR_PERMILLE);
	assert_true(is_below_the_floor());
	assert_true(free_bytes() > 0);
}

static struct profile *cpu_at(int64_t time_ns, const char *stack)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, time_ns, time_ns, time_ns);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, stack, time_ns, 1, 1, 1);
	return maker_finish(&m);
}

static struct hash128 cpu_series(void)
{
	return series_id(1000, PROFILE_KIND_CPU, "service=a");
}

/* ---- the floor ---- */

/* Much larger than what SQLite has beside a file that is open. */
static void pad(int hour)
{
	struct db db;

	assert_int_equal(db_open_alone(&db, hour_path(hour, ""), DB_L0, NULL), 0);
	assert_int_equal(db_exec(&db,
				 "CREATE TABLE padding(data BLOB);"
				 "INSERT INTO padding VALUES (randomblob(400000))",
				 NULL),
			 0);
	db_close(&db);
}

/* A few hours of records, all derived, with readers that have each of them open. */
static int64_t fill_hours(struct storage_reader **readers, size_t count)
{
	int64_t now_ns = HOUR(HOURS);

	fixture_close(&f);
	f.options.free_permille = FLOOR_PERMILLE;
	disk_bytes = VAST;
	fixture_open(&f);
	for (int hour = 0; hour < HOURS; hour++)
		fixture_put(&f, cpu_at(HOUR(hour) + SECONDS(1), "main"));
	for (int i = 0; i < 400; i++)
		fixture_maintain(&f, now_ns += SECONDS(2));
	fixture_close(&f);
	for (int hour = 0; hour < HOURS; hour++)
		pad(hour);
	fixture_open(&f);
	fixture_maintain(&f, now_ns += SECONDS(12));
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(storage_reader_open(f.store, &readers[i], NULL), 0);
		for (int hour = 0; hour < HOURS; hour++) {
			struct hash128 id = cpu_series();
			struct storage_scan scan = {.series = &id,
						    .series_count = 1,
						    .from_ns = HOUR(hour) + 1,
						    .until_ns = HOUR(hour + 1) - 1};
			struct answer got CLEANUP(answer_release) = {0};

			assert_int_equal(store_scan(readers[i], &scan, &got), 0);
			assert_int_equal(got.count, 1);
		}
	}
	return now_ns;
}

/* With too little free the oldest of each level goes, but never the newest. */
static void a_floor_of_free_disk_is_kept(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = LATER};

	(void)state;
	for (int hour = 0; hour < 5; hour++)
		fixture_put(&f, cpu_at(HOUR(hour), "main"));
	fixture_close(&f);
	f.options.free_permille = 1000; /* all of it: there is never enough */
	fixture_open(&f);
	fixture_maintain(&f, HOUR(5));
	assert_false(is_there(0));
	assert_false(is_there(3));
	assert_true(is_there(4));
	assert_false(access(path_of("l1/20260101.db"), F_OK));
	expect_scan(&f, &scan, "main 5/5\n");
}

static void expect_two_to_go_beside(size_t count)
{
	struct storage_reader *readers[READERS];
	int64_t now_ns = fill_hours(readers, count);

	disk_run_short();
	for (int call = 0; call < 3; call++) {
		fixture_maintain(&f, now_ns += SECONDS(12));
		expect_hours_from(2);
		assert_int_equal(unlinked_bytes(), 0);
		assert_false(is_below_the_floor());
	}
	for (size_t i = 0; i < count; i++)
		storage_reader_close(readers[i]);
}

static void as_much_goes_as_has_to(void **state)
{
	(void)state;
	expect_two_to_go_beside(0);
}

/* They close what went without being asked a question. */
static void idle_readers_cost_no_more_files(void **state)
{
	(void)state;
	expect_two_to_go_beside(READERS);
}

/* Likewise where it was the age. */
static void an_idle_reader_lets_go_of_what_is_too_old(void **state)
{
	struct storage_reader *reader;

	(void)state;
	f.options.l0_age_ns = SECONDS(86400);
	fill_hours(&reader, 1);
	fixture_maintain(&f, HOUR(24 + HOURS / 2) + 1);
	expect_hours_from(HOURS / 2);
	assert_int_equal(unlinked_bytes(), 0);
	storage_reader_close(reader);
}

struct question {
	int64_t now_ns;
	uint64_t count;
	bool asked;
};

static int maintain_meanwhile(void *arg, const struct storage_records *records)
{
	struct question *q = arg;

	q->count += records->count;
	if (q->asked)
		return 0;
	q->asked = true;
	disk_run_short();
	for (int call = 0; call < 3; call++) {
		fixture_maintain(&f, q->now_ns += SECONDS(12));
		expect_hours_from(2);
		assert_true(unlinked_bytes() > 0);
	}
	return 0;
}

/* What a question still reads is on its way to being free.  The question ends as it began. */
static void a_question_costs_no_more_files(void **state)
{
	struct storage_reader *reader;
	struct question q = {.now_ns = fill_hours(&reader, 1)};
	struct hash128 id = cpu_series();
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = HOUR(HOURS)};

	(void)state;
	assert_int_equal(storage_records(reader, &scan, maintain_meanwhile, &q, NULL), 0);
	assert_int_equal(q.count, HOURS);
	assert_true(unlinked_bytes() > 0);
	fixture_maintain(&f, q.now_ns += SECONDS(2));
	assert_int_equal(unlinked_bytes(), 0);
	expect_hours_from(2);
	assert_false(is_below_the_floor());
	storage_reader_close(reader);
}

/* A question that does not end: its files are not waited for longer than a while. */
static void what_is_never_given_back_is_not_waited_for(void **state)
{
	struct storage_reader *reader;
	int64_t now_ns = fill_hours(&reader, 1);
	struct hash128 id = cpu_series();
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = HOUR(HOURS)};
	struct plan plan = {.l0_only = true};

	(void)state;
	assert_int_equal(plan_init(&plan, reader_of(reader), &scan, SECONDS(3600), NULL), 0);
	disk_run_short();
	fixture_maintain(&f, now_ns += SECONDS(12));
	expect_hours_from(2);
	fixture_maintain(&f, now_ns + FILES_PENDING_NS - 1);
	expect_hours_from(2);
	now_ns += FILES_PENDING_NS;
	fixture_maintain(&f, now_ns);
	expect_hours_from(4);
	plan_release(&plan);
	fixture_maintain(&f, now_ns += SECONDS(2));
	assert_int_equal(unlinked_bytes(), 0);
	expect_hours_from(4);
	storage_reader_close(reader);
}

/* ---- a full disk ---- */

static struct profile *large(int n)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, T0, T0, T0 + n);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	for (int k = 0; k < 300; k++) {
		char stack[64];

		(void)snprintf(stack, sizeof(stack), "f%d;g%d", n, k * 7919 + n);
		maker_record(&m, stack, T0 + k, 1, 1, 1);
	}
	maker_cursor(&m, 0, (uint64_t)n + 1);
	return maker_finish(&m);
}

/* Put until it fails; returns how many were acknowledged. */
static int fill_up(int from)
{
	for (int n = from; n < from + 5000; n++) {
		struct profile *p = large(n);
		const struct profile *list[] = {p};
		struct err err = {0};
		int result = -1, rc = storage_put(f.store, list, 1, &result, &err);

		profile_free(p);
		if (!rc)
			continue;
		if (rc != -ENOSPC)
			fail_msg("put %d: %d, %s", n, rc, err.message);
		assert_int_equal(result, -ENOSPC);
		return n;
	}
	fail_msg("the disk never filled up");
	return 0;
}

static void expect_acknowledged(int count)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = LATER};
	struct answer got CLEANUP(answer_release) = {0};
	uint8_t runtime[16];
	uint64_t cursor;

	instance_id(1, runtime);
	assert_int_equal(storage_cursor(f.store, runtime, 0, &cursor, NULL), 0);
	assert_int_equal(cursor, count);
	assert_int_equal(store_scan(f.reader, &scan, &got), 0);
	assert_int_equal(got.count, count * 300);
}

static void a_full_disk_refuses_whole_puts_until_there_is_room(void **state)
{
	struct rlimit before, small;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	small = before;
	small.rlim_cur = 600 << 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	/* After a failure the file is opened anew, which can make a little room: go on to the end.
	 */
	int acked = fill_up(fill_up(fill_up(0)));

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	expect_acknowledged(acked);
	fixture_put(&f, large(acked));
	expect_acknowledged(acked + 1);
	fixture_reopen(&f);
	expect_acknowledged(acked + 1);
}

static void a_full_file_system_as_well(void **state)
{
	char ballast[256];

	(void)state;
	fixture_close(&f);
	if (mount("tmpfs", f.dir, "tmpfs", 0, "size=3m,mode=0700")) {
		fixture_open(&f);
		skip();
	}
	fixture_open(&f);
	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", f.dir);
	int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(posix_fallocate(fd, 0, 1 << 20), 0);
	int acked = fill_up(0);

	expect_acknowledged(acked);
	acked = fill_up(acked);
	(void)close(fd);
	assert_int_equal(unlink(ballast), 0);
	fixture_put(&f, large(acked));
	expect_acknowledged(acked + 1);
	/* Closed with room, nothing has shared memory; and there is none for it at the start. */
	fixture_close(&f);
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, ballast, sizeof(ballast)) > 0)
		;
	fixture_open(&f);
	expect_acknowledged(acked + 1);
	(void)close(fd);
	assert_int_equal(unlink(ballast), 0);
	fixture_reopen(&f);
	expect_acknowledged(acked + 1);
	fixture_close(&f);
	assert_int_equal(umount2(f.dir, MNT_DETACH), 0);
	fixture_open(&f);
}

/* A question that has open what would make room: puts are refused until it ends, and then taken. */
static void a_full_disk_goes_on_when_a_question_ends(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = HOUR(HOURS)};
	struct plan plan = {.l0_only = true};
	char block[BLOCK] = {0};
	int64_t now_ns;

	(void)state;
	fixture_close(&f);
	if (mount("tmpfs", f.dir, "tmpfs", 0, "size=8m,mode=0700")) {
		fixture_open(&f);
		skip();
	}
	fixture_open(&f);
	now_ns = fill_hours(NULL, 0);
	fixture_close(&f);
	f.options.free_permille = 100;
	disk_bytes = 0;
	fixture_open(&f);
	assert_int_equal(plan_init(&plan, reader_of(f.reader), &scan, SECONDS(3600), NULL), 0);
	int fd = open(path_of("ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	while (write(fd, block, sizeof(block)) > 0)
		;
	(void)close(fd);
	for (int call = 0; call < 3; call++)
		(void)!storage_maintain(f.store, now_ns += SECONDS(12), NULL);
	assert_false(is_there(0));
	assert_true(is_there(HOURS - 2));
	struct profile *p = cpu_at(now_ns, "main");
	const struct profile *list[] = {p};

	assert_int_equal(storage_put(f.store, list, 1, NULL, NULL), -ENOSPC);
	plan_release(&plan);
	fixture_maintain(&f, now_ns += SECONDS(2));
	assert_true(is_there(HOURS - 2));
	assert_int_equal(storage_put(f.store, list, 1, NULL, NULL), 0);
	profile_free(p);
	fixture_close(&f);
	assert_int_equal(umount2(f.dir, MNT_DETACH), 0);
	fixture_open(&f);
}

#define DISK_CASE(fn) cmocka_unit_test_setup_teardown(fn, setup_disk, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    DISK_CASE(a_floor_of_free_disk_is_kept),
	    DISK_CASE(as_much_goes_as_has_to),
	    DISK_CASE(idle_readers_cost_no_more_files),
	    DISK_CASE(an_idle_reader_lets_go_of_what_is_too_old),
	    DISK_CASE(a_question_costs_no_more_files),
	    DISK_CASE(what_is_never_given_back_is_not_waited_for),
	    DISK_CASE(a_full_disk_refuses_whole_puts_until_there_is_room),
	    DISK_CASE(a_full_file_system_as_well),
	    DISK_CASE(a_full_disk_goes_on_when_a_question_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
