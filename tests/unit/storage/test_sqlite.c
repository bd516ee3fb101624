/* SPDX-License-Identifier: Apache-2.0 */
/* What the sqlite backend promises beyond the contract: its files, its lock, damage. */
#include "tests/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "storage/sqlite_read.h"
#include "storage/sqlite_wal.h"
#include "tests/support/store_case.h"

#define LATER (T0 + SECONDS(1000000))
#define L0_FILE "l0/20260101T00.db"
#define L1_FILE "l1/20260101.db"

static bool is_there(const char *name)
{
	struct stat st;

	return !stat(path_of(name), &st);
}

static struct profile *cpu_at(int64_t time_ns, const char *stack, int value)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, time_ns, time_ns, time_ns);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, stack, time_ns, 1, value, 1);
	maker_loss(&m, "ring_full", (uint64_t)value, time_ns);
	return maker_finish(&m);
}

static struct storage_scan scan_of(const struct hash128 *id, int64_t from_ns, int64_t until_ns)
{
	return (struct storage_scan){
	    .series = id, .series_count = 1, .from_ns = from_ns, .until_ns = until_ns};
}

static struct hash128 cpu_series(void)
{
	return series_id(1000, PROFILE_KIND_CPU, "service=a");
}

static void execute(const char *name, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path_of(name), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void expect_note(const char *part)
{
	struct storage_stats stats;

	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	if (!strstr(stats.note, part))
		fail_msg("the note is '%s', not '%s'", stats.note, part);
}

/* ---- files ---- */

static void files_are_private_and_named_by_their_hour(void **state)
{
	struct stat st;

	(void)state;
	fixture_put(&f, cpu_at(T0 + SECONDS(3599), "main", 1));
	fixture_put(&f, cpu_at(T0 + SECONDS(3600), "main", 1));
	fixture_maintain(&f, LATER);
	assert_true(is_there(L0_FILE));
	assert_true(is_there("l0/20260101T01.db"));
	assert_true(is_there(L1_FILE));
	assert_int_equal(stat(f.dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	fixture_close(&f);
	assert_false(is_there(L0_FILE "-wal"));
	fixture_open(&f);
}

static void a_native_batch_goes_where_it_arrived_and_an_upload_where_it_was(void **state)
{
	struct maker m;

	(void)state;
	for (int native = 0; native < 2; native++) {
		maker_init(&m, 1000, 1);
		maker_span(&m, T0 + SECONDS(3000), T0 + SECONDS(4000), T0 + SECONDS(9000));
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_record(&m, "main", T0 + SECONDS(3500), 1, 1, 1);
		if (native)
			maker_cursor(&m, 0, 10);
		fixture_put(&f, maker_finish(&m));
		assert_int_equal(is_there(L0_FILE), 1);
		assert_int_equal(is_there("l0/20260101T02.db"), native);
	}
}

static void the_library_is_named_and_judged(void **state)
{
	struct storage_stats stats;
	int v = sqlite3_libversion_number();

	(void)state;
	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	assert_non_null(strstr(stats.version, sqlite3_libversion()));
	if (v <= 3044005)
		expect_note("WAL-reset");
}

static int64_t pragma(struct db *db, const char *sql)
{
	sqlite3_stmt *stmt;

	assert_int_equal(db_prepare(db, sql, &stmt, NULL), 0);
	assert_int_equal(db_step(db, stmt, NULL), 1);
	int64_t value = sqlite3_column_int64(stmt, 0);

	(void)sqlite3_reset(stmt);
	return value;
}

/* SIGKILL cannot show a missing fsync, nor a short run the WAL-reset bug: the settings are asked.
 */
static void connections_are_what_durability_needs(void **state)
{
	struct db writer, reader;
	int no_checkpoint = 0;

	(void)state;
	fixture_put(&f, cpu_at(T0, "main", 1));
	fixture_close(&f);
	assert_int_equal(db_open_writer(&writer, path_of(L0_FILE), DB_L0, false, NULL), 0);
	assert_int_equal(pragma(&writer, "PRAGMA synchronous"), 2);
	assert_int_equal(pragma(&writer, "PRAGMA mmap_size"), 0);
	assert_int_equal(db_open_reader(&reader, path_of(L0_FILE), NULL), 0);
	assert_int_equal(pragma(&reader, "PRAGMA query_only"), 1);
	assert_int_equal(pragma(&reader, "PRAGMA wal_autocheckpoint"), 0);
	assert_int_equal(
	    sqlite3_db_config(reader.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, -1, &no_checkpoint),
	    SQLITE_OK);
	assert_int_equal(no_checkpoint, 1);
	assert_int_not_equal(db_exec(&reader, "DELETE FROM batch", NULL), 0);
	db_close(&reader);
	db_close(&writer);
	fixture_open(&f);
}

static int sync_of(struct db *db)
{
	assert_int_equal(db_begin(db, NULL), 0);
	assert_int_equal(db_exec(db, "UPDATE meta SET records = records + 1", NULL), 0);
	assert_int_equal(db_commit(db, NULL), 0);
	return wal_sync(db->handle);
}

/* Who wrote a WAL may have been told that it could not be synced, of which the kernel tells nobody
 * again: another's WAL counts when it has been moved. */
static void what_another_left_in_a_wal_is_moved_before_it_counts(void **state)
{
	struct db db;

	(void)state;
	fixture_put(&f, cpu_at(T0, "main", 1));
	fixture_maintain(&f, LATER);
	fixture_close(&f);
	assert_int_equal(db_open_writer(&db, path_of(L1_FILE), DB_L1, false, NULL), 0);
	db_sync_later(&db);
	assert_int_equal(sync_of(&db), SQLITE_OK);
	db_close_still(&db);
	assert_true(is_there(L1_FILE "-wal"));
	assert_int_equal(db_open_writer(&db, path_of(L1_FILE), DB_L1, false, NULL), 0);
	db_sync_later(&db);
	assert_int_equal(sync_of(&db), SQLITE_IOERR_FSYNC);
	assert_true(db_checkpoint_within(&db, 0));
	assert_int_equal(sync_of(&db), SQLITE_OK);
	db_close(&db);
	fixture_open(&f);
}

static void overwrite(const char *name, off_t at, size_t len)
{
	char *junk CLEANUP(cleanup_free) = malloc(len);
	int fd CLOSING = open(path_of(name), O_WRONLY | O_CLOEXEC);

	memset(junk, 0x5a, len);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, len, at), (ssize_t)len);
}

static uint64_t file_sum(const char *name)
{
	size_t room = 4 << 20;
	char *bytes CLEANUP(cleanup_free) = malloc(room);
	ssize_t len = fd_read_file(AT_FDCWD, path_of(name), bytes, room);

	assert_true(len > 0);
	return hash128(bytes, (size_t)len).lo;
}

/* The guard against the WAL-reset bug: one of our readers moves nothing from the WAL into the file,
 * asked to or when it is the last to close.  The control: an ordinary connection does both. */
static void a_reader_cannot_checkpoint(void **state)
{
	struct db reader;
	sqlite3 *ordinary;
	char killed[96];

	(void)state;
	fixture_put(&f, cpu_at(T0, "main", 1));
	uint64_t before = file_sum(L0_FILE);

	assert_int_equal(db_open_reader(&reader, path_of(L0_FILE), NULL), 0);
	assert_int_equal(db_exec(&reader, "SELECT count(*) FROM batch", NULL), 0);
	(void)sqlite3_wal_checkpoint_v2(reader.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	(void)sqlite3_wal_checkpoint_v2(reader.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
					NULL);
	assert_int_equal(file_sum(L0_FILE), before);
	db_close(&reader);
	assert_int_equal(file_sum(L0_FILE), before);
	assert_true(is_there(L0_FILE "-wal"));
	/* The files as a killed agent leaves them; nobody else has them open. */
	(void)snprintf(killed, sizeof(killed), "%s/killed.db", f.dir);
	char command[400];

	(void)snprintf(command, sizeof(command), "cp %s/%s %s && cp %s/%s-wal %s-wal", f.dir,
		       L0_FILE, killed, f.dir, L0_FILE, killed);
	assert_int_equal(system(command), 0);
	assert_int_equal(db_open_reader(&reader, killed, NULL), 0);
	assert_int_equal(db_exec(&reader, "SELECT count(*) FROM batch", NULL), 0);
	db_close(&reader);
	assert_true(is_there("killed.db-wal"));
	assert_int_equal(file_sum("killed.db"), before);
	assert_int_equal(sqlite3_open(killed, &ordinary), SQLITE_OK);
	assert_int_equal(sqlite3_exec(ordinary, "SELECT count(*) FROM batch", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(ordinary), SQLITE_OK);
	assert_int_not_equal(file_sum("killed.db"), before);
	assert_false(is_there("killed.db-wal"));
}

/* An hour that cannot be opened stays where it is, and the others go when their time is over. */
static void what_one_file_cannot_do_costs_the_others_nothing(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);
	char away[300];

	(void)state;
	for (int hour = 0; hour < 6; hour++)
		fixture_put(&f, cpu_at(T0 + SECONDS(3600) * hour, "main", 1));
	fixture_close(&f);
	f.options.l0_age_ns = SECONDS(3600);
	fixture_open(&f);
	(void)snprintf(away, sizeof(away), "%s/away", f.dir);
	assert_int_equal(rename(path_of("l0/20260101T01.db"), away), 0);
	assert_int_equal(mkdir(path_of("l0/20260101T01.db"), 0700), 0);
	assert_true(storage_maintain(f.store, T0 + SECONDS(3600) * 8, NULL) < 0);
	assert_false(is_there(L0_FILE));
	assert_true(is_there("l0/20260101T01.db"));
	for (int hour = 2; hour < 5; hour++) {
		char name[40];

		(void)snprintf(name, sizeof(name), "l0/20260101T%02d.db", hour);
		assert_false(is_there(name));
	}
	assert_int_equal(rmdir(path_of("l0/20260101T01.db")), 0);
	assert_int_equal(rename(away, path_of("l0/20260101T01.db")), 0);
	fixture_maintain(&f, T0 + SECONDS(3600) * 8);
	assert_false(is_there("l0/20260101T01.db"));
	expect_scan(&f, &scan, "main 6/6\n");
}

static int64_t count_of(const char *name, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;

	assert_int_equal(sqlite3_open_v2(path_of(name), &db, SQLITE_OPEN_READONLY, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t count = sqlite3_column_int64(stmt, 0);

	(void)sqlite3_finalize(stmt);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return count;
}

/* An hour that goes for its size before its last batches are due does not keep L2 from the next. */
static void an_hour_that_goes_early_keeps_no_other_from_l2(void **state)
{
	(void)state;
	fixture_close(&f);
	f.options.l0_bytes_max = 1; /* all but the newest */
	fixture_open(&f);
	for (int64_t at = 0; at < 6 * 3600; at += at % 3600 < 20 || at % 3600 >= 3580 ? 2 : 20) {
		int64_t now_ns = T0 + SECONDS(at);

		fixture_put(&f, cpu_at(now_ns, "main", 1));
		fixture_maintain(&f, now_ns);
	}
	assert_false(is_there(L0_FILE));
	assert_true(count_of(L1_FILE, "SELECT count(*) FROM pack") >= 4);
}

/* A day with more hours than are derived in one call, and than are open for writing at once. */
static void every_hour_is_derived(void **state)
{
	struct storage_stats stats;

	(void)state;
	for (int hour = 0; hour < 20; hour++)
		fixture_put(&f, cpu_at(T0 + SECONDS(3600) * hour, "main", 1));
	for (int call = 0; call < 3; call++)
		fixture_maintain(&f, T0 + SECONDS(3600) * 21);
	fixture_close(&f);
	assert_int_equal(count_of(L1_FILE, "SELECT count(*) FROM source"), 20);
	fixture_open(&f);
	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	assert_true(stats.l2_bytes > 0);
}

/* L1 alone answers what is left when L0 is gone: whole windows, at their start. */
static void a_cut_window_without_l0_counts_at_its_start(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan late = scan_of(&id, T0 + SECONDS(5), T0 + SECONDS(40));
	struct storage_scan early = scan_of(&id, T0, T0 + SECONDS(35));
	struct answer losses CLEANUP(answer_release) = {0};

	(void)state;
	f.options.l0_age_ns = SECONDS(3600);
	fixture_close(&f);
	fixture_open(&f);
	fixture_put(&f, cpu_at(T0 + SECONDS(7), "first", 1));
	fixture_put(&f, cpu_at(T0 + SECONDS(20), "middle", 2));
	fixture_put(&f, cpu_at(T0 + SECONDS(37), "last", 4));
	fixture_put(&f, cpu_at(T0 + SECONDS(86400 * 5), "newest", 8));
	fixture_maintain(&f, T0 + SECONDS(100));
	assert_true(is_there(L0_FILE));
	expect_scan(&f, &late, "first 1/1\nlast 4/1\nmiddle 2/1\n");
	expect_scan(&f, &early, "first 1/1\nmiddle 2/1\n");
	fixture_maintain(&f, LATER);
	assert_false(is_there(L0_FILE));
	assert_false(is_there(L0_FILE "-wal"));
	assert_false(is_there(L0_FILE "-shm"));
	expect_scan(&f, &late, "last 4/1\nmiddle 2/1\n");
	expect_scan(&f, &early, "first 1/1\nlast 4/1\nmiddle 2/1\n");
	assert_int_equal(store_losses(f.reader, &late, &losses), 0);
	char *text CLEANUP(cleanup_free) = answer_text(&losses);

	assert_string_equal(text, "0 ring_full 0/6\n");
	fixture_reopen(&f);
	expect_scan(&f, &late, "last 4/1\nmiddle 2/1\n");
}

/* Nothing goes from L0 before L1 has it, even when maintain was never called in time. */
static void retention_rolls_up_first(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);

	(void)state;
	f.options.l0_age_ns = SECONDS(3600);
	fixture_close(&f);
	fixture_open(&f);
	fixture_put(&f, cpu_at(T0, "old", 1));
	fixture_put(&f, cpu_at(T0 + SECONDS(86400), "new", 2));
	fixture_maintain(&f, T0 + SECONDS(86401));
	assert_false(is_there(L0_FILE));
	expect_scan(&f, &scan, "new 2/1\nold 1/1\n");
	/* A late batch makes the hour anew; its batches are not those of the file that went. */
	fixture_put(&f, cpu_at(T0 + SECONDS(1), "again", 4));
	expect_scan(&f, &scan, "again 4/1\nnew 2/1\nold 1/1\n");
	fixture_maintain(&f, T0 + SECONDS(86401));
	expect_scan(&f, &scan, "again 4/1\nnew 2/1\nold 1/1\n");
}

static void the_wal_stays_bounded(void **state)
{
	struct stat st;
	off_t largest = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct maker m;

		maker_init(&m, 1000, 1);
		maker_span(&m, T0, T0, T0 + i);
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		for (int k = 0; k < 500; k++) {
			char stack[64];

			(void)snprintf(stack, sizeof(stack), "f%d;g%d", i, k * 7919);
			maker_record(&m, stack, T0 + k, 1, k, 1);
		}
		fixture_put(&f, maker_finish(&m));
		if (i % 10 == 0)
			fixture_maintain(&f, T0);
		if (!stat(path_of(L0_FILE "-wal"), &st))
			largest = MAX(largest, st.st_size);
	}
	assert_true(largest > 0);
	assert_true(largest < 12 << 20);
}

static struct profile *many_new_stacks(int number)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, T0, T0, T0 + number);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	for (int k = 0; k < 4000; k++) {
		char stack[64];

		(void)snprintf(stack, sizeof(stack), "f%d;g%d;h%d", number, k * 7919, k * number);
		maker_record(&m, stack, T0 + k, 1, k, 1);
	}
	return maker_finish(&m);
}

/* A reader that stands still in its transaction holds a put up for its bound and no longer; when it
 * moves it is told to ask again, and the WAL is cut off. */
static void a_reader_cannot_grow_the_wal(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, T0 + SECONDS(3599));
	struct plan plan CLEANUP(plan_release) = {0};
	struct stat st;
	int i = 0;

	(void)state;
	fixture_put(&f, many_new_stacks(i++));
	assert_int_equal(
	    plan_init(&plan, reader_of(f.reader), &scan, scan.until_ns - scan.from_ns, NULL), 0);
	struct open_file *file = plan_file(&plan, 0);

	assert_int_equal(plan_begin(&plan, file, NULL), 0);
	do
		fixture_put(&f, many_new_stacks(i++));
	while (!stat(path_of(L0_FILE "-wal"), &st) && (uint64_t)st.st_size < SQLITE_WAL_FULL);
	int rc = db_exec(&file->db,
			 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
			 " LIMIT 100000) SELECT count(*) FROM n",
			 NULL);

	assert_int_equal(plan_end(&plan, file, rc, NULL), -EAGAIN);
	fixture_put(&f, many_new_stacks(i));
	assert_int_equal(stat(path_of(L0_FILE "-wal"), &st), 0);
	assert_true((uint64_t)st.st_size < SQLITE_WAL_FULL);
	/* Who asks again gets an answer. */
	assert_int_equal(plan_begin(&plan, file, NULL), 0);
	assert_int_equal(plan_end(&plan, file, 0, NULL), 0);
}

/* ---- uploads ---- */

static int put_upload_of(const char *upload_id, int64_t time_ns, int64_t arrived_ns)
{
	struct maker m;
	int result = -1;

	maker_init(&m, 1000, 0);
	maker_span(&m, time_ns, time_ns, arrived_ns);
	maker_upload(&m, upload_id);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, "main", time_ns, 1, 1, 1);
	struct profile *p = maker_finish(&m);
	const struct profile *list[] = {p};

	assert_int_equal(storage_put(f.store, list, 1, &result, NULL), 0);
	profile_free(p);
	return result;
}

static int put_upload(int64_t time_ns)
{
	return put_upload_of("upload-1", time_ns, time_ns);
}

static void an_upload_id_outlives_its_file(void **state)
{
	(void)state;
	f.options.l0_bytes_max = 1;
	fixture_close(&f);
	fixture_open(&f);
	assert_int_equal(put_upload(T0), STORAGE_STORED);
	fixture_put(&f, cpu_at(T0 + SECONDS(3600), "main", 1));
	fixture_maintain(&f, T0 + SECONDS(3700));
	assert_false(is_there(L0_FILE));
	fixture_reopen(&f);
	assert_int_equal(put_upload(T0 + SECONDS(1)), STORAGE_DUPLICATE);
	/* And once more, from one that was carried. */
	fixture_put(&f, cpu_at(T0 + SECONDS(7200), "main", 1));
	fixture_maintain(&f, T0 + SECONDS(7300));
	fixture_reopen(&f);
	assert_int_equal(put_upload(T0 + SECONDS(2)), STORAGE_DUPLICATE);
}

/* It came days after what it tells of: its file's time is over at once, its id's is not. */
static void a_late_uploads_id_outlives_its_file(void **state)
{
	const int64_t now_ns = T0 + SECONDS(3 * 86400);

	(void)state;
	f.options.l0_age_ns = SECONDS(86400);
	fixture_close(&f);
	fixture_open(&f);
	assert_int_equal(put_upload_of("late", T0, now_ns), STORAGE_STORED);
	fixture_put(&f, cpu_at(now_ns, "main", 1));
	/* Also when it goes before anybody asked for its ids. */
	fixture_reopen(&f);
	fixture_maintain(&f, now_ns + SECONDS(60));
	assert_false(is_there(L0_FILE));
	assert_int_equal(put_upload_of("late", T0, now_ns + SECONDS(61)), STORAGE_DUPLICATE);
	fixture_reopen(&f);
	assert_int_equal(put_upload_of("late", T0, now_ns + SECONDS(62)), STORAGE_DUPLICATE);
}

/* Of files of other hours than that of the upload that is sent again, closed or left by a crash. */
static void the_first_upload_after_a_start_knows_all_of_before(void **state)
{
	const int64_t later_ns = T0 + SECONDS(5 * 3600);

	(void)state;
	assert_int_equal(put_upload_of("a", T0, T0), STORAGE_STORED);
	assert_int_equal(put_upload_of("b", T0 + SECONDS(3600), T0 + SECONDS(3600)),
			 STORAGE_STORED);
	fixture_reopen(&f);
	assert_int_equal(put_upload_of("a", later_ns, later_ns), STORAGE_DUPLICATE);
	fixture_kill(&f);
	assert_int_equal(put_upload_of("b", later_ns, later_ns), STORAGE_DUPLICATE);
	fixture_reopen(&f);
	fixture_put(&f, cpu_at(later_ns, "main", 1));
	assert_int_equal(put_upload_of("a", later_ns, later_ns), STORAGE_DUPLICATE);
	assert_int_equal(put_upload_of("c", later_ns, later_ns), STORAGE_STORED);
}

/* It goes aside when they are asked for, and keeps no other upload out. */
static void a_damaged_file_keeps_no_upload_out(void **state)
{
	int64_t later_ns = T0 + SECONDS(2 * 3600);

	(void)state;
	assert_int_equal(put_upload_of("lost", T0, T0), STORAGE_STORED);
	assert_int_equal(put_upload_of("there", later_ns, later_ns), STORAGE_STORED);
	fixture_close(&f);
	execute(L0_FILE, "PRAGMA writable_schema=ON;"
			 "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'upload'");
	fixture_open(&f);
	assert_int_equal(put_upload_of("new", later_ns, later_ns), STORAGE_STORED);
	assert_true(is_there(L0_FILE ".damaged-1"));
	assert_int_equal(put_upload_of("there", later_ns, later_ns), STORAGE_DUPLICATE);
}

/* ---- schemas of before ---- */

/* What the first schema did not have is taken away, and the store finds it as that release left
 * it. */
static void a_file_of_the_first_schema_is_migrated(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);

	(void)state;
	assert_int_equal(put_upload(T0), STORAGE_STORED);
	fixture_close(&f);
	execute(L0_FILE, "DROP TABLE upload; PRAGMA user_version=1");
	fixture_open(&f);
	assert_int_equal(put_upload(T0 + SECONDS(1)), STORAGE_DUPLICATE);
	expect_scan(&f, &scan, "main 1/1\n");
	fixture_close(&f);
	execute(L0_FILE, "INSERT INTO upload VALUES (x'00', 0)");
	execute(L0_FILE, "PRAGMA user_version=2"); /* 0.4: no block with its columns apart */
	fixture_open(&f);
	expect_scan(&f, &scan, "main 1/1\n");
	fixture_close(&f);
	/* 0.5: no block with lists, no segment with its nodes apart (test_codec.c and test_dict.c
	 * have such). */
	execute(L0_FILE, "PRAGMA user_version=3");
	fixture_open(&f);
	expect_scan(&f, &scan, "main 1/1\n");
}

/* ---- the lock ---- */

static void a_second_writer_is_refused(void **state)
{
	struct storage *second;
	struct err err = {0};

	(void)state;
	assert_int_equal(storage_open(f.location, NULL, &second, &err), -EBUSY);
	assert_non_null(strstr(err.message, "in use by process"));
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(storage_open(f.location, NULL, &second, NULL) == -EBUSY ? 7 : 1);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	/* The losers left the winner's lock and files alone. */
	fixture_put(&f, cpu_at(T0, "main", 1));
	assert_int_equal(storage_open(f.location, NULL, &second, &err), -EBUSY);
}

/* ---- damage ---- */

static void what_is_no_database_is_put_aside(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);
	struct err err = {0};

	(void)state;
	fixture_put(&f, cpu_at(T0, "gone", 1));
	fixture_put(&f, cpu_at(T0 + SECONDS(3600), "kept", 2));
	for (int n = 1; n <= 2; n++) {
		char aside[64];

		fixture_close(&f);
		overwrite(L0_FILE, 0, 4096);
		assert_int_equal(storage_open(f.location, &f.options, &f.store, &err), 0);
		assert_non_null(strstr(err.message, "damaged"));
		assert_int_equal(storage_reader_open(f.store, &f.reader, NULL), 0);
		(void)snprintf(aside, sizeof(aside), "%s.damaged-%d", L0_FILE, n);
		assert_true(is_there(aside));
		assert_false(is_there(L0_FILE));
		expect_note("damaged");
		expect_scan(&f, &scan, "kept 2/1\n");
		fixture_put(&f, cpu_at(T0, "gone", 1));
		expect_scan(&f, &scan, "gone 1/1\nkept 2/1\n");
	}
}

static void write_file(const char *name, const void *bytes, size_t len)
{
	int fd CLOSING = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_int_equal(fd_write_all(fd, bytes, len), 0);
}

/* What a loss of power can leave of a file that was being made
 * (https://www.sqlite.org/fileformat2.html, section 3): the journal says that there was no page
 * before, and of the first page some sectors are there. */
static void a_file_whose_making_was_cut_short_is_made_again(void **state)
{
	static const uint8_t head[28] = {0xd9, 0xd5, 0x05, 0xf9,     0x20,
					 0xa1, 0x63, 0xd7, [22] = 2, [26] = 0x10};
	static const uint8_t sectors[3584];
	uint8_t journal[512] = {0};
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);

	(void)state;
	fixture_put(&f, cpu_at(T0 + SECONDS(3600), "before", 1));
	fixture_close(&f);
	memcpy(journal, head, sizeof(head));
	write_file(L0_FILE, sectors, sizeof(sectors));
	write_file(L0_FILE "-journal", journal, sizeof(journal));
	fixture_open(&f);
	assert_false(is_there(L0_FILE ".damaged-1"));
	fixture_put(&f, cpu_at(T0, "again", 2));
	fixture_reopen(&f);
	assert_false(is_there(L0_FILE ".damaged-1"));
	expect_scan(&f, &scan, "again 2/1\nbefore 1/1\n");
}

/* A page that goes bad while the store is open: the next question says so, then the rest serves. */
static void damage_that_a_reader_meets_is_put_aside_by_the_writer(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);
	struct answer got CLEANUP(answer_release) = {0};

	(void)state;
	fixture_put(&f, cpu_at(T0, "gone", 1));
	fixture_put(&f, cpu_at(T0 + SECONDS(3600), "kept", 2));
	fixture_close(&f);
	execute(L0_FILE, "UPDATE block SET data = x'00112233445566778899'");
	fixture_open(&f);
	assert_int_equal(store_scan(f.reader, &scan, &got), -EIO);
	fixture_maintain(&f, T0);
	assert_true(is_there(L0_FILE ".damaged-1"));
	expect_scan(&f, &scan, "kept 2/1\n");
	expect_note("damaged");
}

/* Of an hour that L1 has, records are not opened: bad pages there disturb no question but one that
 * cuts a window. */
static void records_that_sums_hold_stay_closed(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan whole = scan_of(&id, T0, T0 + SECONDS(60));
	struct storage_scan cut = scan_of(&id, T0 + SECONDS(5), T0 + SECONDS(60));
	struct answer got CLEANUP(answer_release) = {0};

	(void)state;
	fixture_put(&f, cpu_at(T0 + SECONDS(7), "first", 1));
	fixture_put(&f, cpu_at(T0 + SECONDS(20), "second", 2));
	fixture_maintain(&f, T0 + SECONDS(100));
	fixture_reopen(&f);
	overwrite(L0_FILE, 0, 4096);
	expect_scan(&f, &whole, "first 1/1\nsecond 2/1\n");
	assert_int_equal(store_scan(f.reader, &cut, &got), -EIO);
	fixture_maintain(&f, T0 + SECONDS(100));
	assert_true(is_there(L0_FILE ".damaged-1"));
	expect_scan(&f, &whole, "first 1/1\nsecond 2/1\n");
	expect_note("damaged");
}

/* The file opens, but its dictionary is gone: a put finds out, and gets a new file. */
static void damage_that_a_put_meets_costs_no_put(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);

	(void)state;
	fixture_put(&f, cpu_at(T0, "gone", 1));
	fixture_close(&f);
	execute(L0_FILE, "UPDATE dict SET data = x'00112233445566778899'");
	fixture_open(&f);
	fixture_put(&f, cpu_at(T0, "kept", 2));
	assert_true(is_there(L0_FILE ".damaged-1"));
	expect_scan(&f, &scan, "kept 2/1\n");
}

/* Likewise a day's file that the writer meets while it derives. */
static void damage_that_deriving_meets_loses_nothing(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, LATER);

	(void)state;
	fixture_put(&f, cpu_at(T0, "first", 1));
	fixture_maintain(&f, LATER);
	fixture_close(&f);
	execute(L1_FILE, "UPDATE dict SET data = x'00112233445566778899'");
	fixture_open(&f);
	fixture_put(&f, cpu_at(T0 + SECONDS(11), "second", 2));
	fixture_maintain(&f, LATER);
	fixture_maintain(&f, LATER);
	assert_true(is_there(L1_FILE ".damaged-1"));
	assert_true(is_there(L1_FILE));
	expect_scan(&f, &scan, "first 1/1\nsecond 2/1\n");
}

static void a_lost_day_is_derived_again(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0, T0 + SECONDS(60));

	(void)state;
	fixture_put(&f, cpu_at(T0, "main", 1));
	fixture_maintain(&f, LATER);
	fixture_close(&f);
	overwrite(L1_FILE, 0, 4096);
	fixture_open(&f);
	assert_true(is_there(L1_FILE ".damaged-1"));
	expect_scan(&f, &scan, "main 1/1\n");
	f.options.l0_age_ns = SECONDS(1);
	fixture_put(&f, cpu_at(T0 + SECONDS(86400), "other", 1));
	fixture_close(&f);
	fixture_open(&f);
	fixture_maintain(&f, LATER);
	assert_false(is_there(L0_FILE));
	expect_scan(&f, &scan, "main 1/1\n");
}

static void a_file_of_a_newer_release_is_left_alone(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, T0 - SECONDS(3600), LATER);
	struct profile *p = cpu_at(T0, "main", 1);
	const struct profile *list[] = {p};
	char command[400];
	int result;

	(void)state;
	fixture_put(&f, cpu_at(T0, "newer", 1));
	fixture_put(&f, cpu_at(T0 - SECONDS(3600), "kept", 2));
	/* As a release that was killed leaves it: all is in its WAL. */
	execute(L0_FILE, "PRAGMA user_version = 99");
	(void)snprintf(command, sizeof(command), "cd %s && cp " L0_FILE "* .", f.dir);
	assert_int_equal(system(command), 0);
	fixture_close(&f);
	(void)snprintf(command, sizeof(command),
		       "cd %s && rm " L0_FILE " && mv 20260101T00.db 20260101T00.db-wal l0", f.dir);
	assert_int_equal(system(command), 0);
	fixture_open(&f);
	expect_note("newer release");
	expect_scan(&f, &scan, "kept 2/1\n");
	assert_int_equal(storage_put(f.store, list, 1, &result, NULL), -ENOTSUP);
	assert_int_equal(result, -ENOTSUP);
	profile_free(p);
	assert_int_equal(count_of(L0_FILE, "PRAGMA user_version"), 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(files_are_private_and_named_by_their_hour),
	    CASE(a_native_batch_goes_where_it_arrived_and_an_upload_where_it_was),
	    CASE(the_library_is_named_and_judged),
	    CASE(connections_are_what_durability_needs),
	    CASE(what_another_left_in_a_wal_is_moved_before_it_counts),
	    CASE(a_reader_cannot_checkpoint),
	    CASE(what_one_file_cannot_do_costs_the_others_nothing),
	    CASE(an_hour_that_goes_early_keeps_no_other_from_l2),
	    CASE(every_hour_is_derived),
	    CASE(a_cut_window_without_l0_counts_at_its_start),
	    CASE(retention_rolls_up_first),
	    CASE(the_wal_stays_bounded),
	    CASE(a_reader_cannot_grow_the_wal),
	    CASE(an_upload_id_outlives_its_file),
	    CASE(a_late_uploads_id_outlives_its_file),
	    CASE(the_first_upload_after_a_start_knows_all_of_before),
	    CASE(a_damaged_file_keeps_no_upload_out),
	    CASE(a_file_of_the_first_schema_is_migrated),
	    CASE(a_second_writer_is_refused),
	    CASE(what_is_no_database_is_put_aside),
	    CASE(a_file_whose_making_was_cut_short_is_made_again),
	    CASE(damage_that_a_reader_meets_is_put_aside_by_the_writer),
	    CASE(records_that_sums_hold_stay_closed),
	    CASE(damage_that_a_put_meets_costs_no_put),
	    CASE(damage_that_deriving_meets_loses_nothing),
	    CASE(a_lost_day_is_derived_again),
	    CASE(a_file_of_a_newer_release_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
