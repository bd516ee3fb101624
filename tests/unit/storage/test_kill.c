/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was acknowledged is there after SIGKILL, once.  A child puts numbered profiles and says over
 * a pipe which were acknowledged; it is killed somewhere; the store is opened again and must hold
 * every number up to its own cursor exactly once, and the cursor may not be behind the last
 * acknowledged. HEARTH_CYCLES says how often.
 */
#include "tests/cmocka.h"

#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/support/store.h"

static int64_t time_of(uint64_t n)
{
	return T0 + (int64_t)n * SECONDS(3) / 2; /* an hour every 2400 */
}

static struct profile *numbered(uint64_t n)
{
	struct maker m;
	char stack[64], id[32];
	int64_t at = time_of(n);

	maker_init(&m, 1000, 1);
	maker_span(&m, at, at, at);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	(void)snprintf(stack, sizeof(stack), "main;f%d;g%d", (int)(n % 7), (int)(n % 301));
	maker_record(&m, stack, at, 1, (int)n, 1);
	maker_cursor(&m, 0, n);
	(void)snprintf(id, sizeof(id), "upload-%llu", (unsigned long long)n);
	maker_upload(&m, id);
	return maker_finish(&m);
}

/* Put from the cursor on until killed; each number that is acknowledged goes into the pipe. */
static void child(const struct fixture *f, int pipe_fd)
{
	struct storage *store;
	uint8_t id[16];
	uint64_t n;

	instance_id(1, id);
	if (storage_open(f->location, &f->options, &store, NULL) ||
	    storage_cursor(store, id, 0, &n, NULL))
		_exit(10);
	/* The one before may have been acknowledged by nobody: it is sent again. */
	for (uint64_t round = 0;; round++) {
		struct profile *batch[3];
		size_t count = 1 + round % 3;
		uint64_t first = n ? n : 1;
		int results[3];

		for (size_t i = 0; i < count; i++)
			batch[i] = numbered(first + i);
		const struct profile *list[] = {batch[0], batch[1 % count], batch[2 % count]};

		if (storage_put(store, list, count, results, NULL))
			_exit(11);
		if (n && results[0] != STORAGE_DUPLICATE)
			_exit(12);
		n = first + count - 1;
		for (size_t i = 0; i < count; i++)
			profile_free(batch[i]);
		if (fd_write_all(pipe_fd, &n, sizeof(n)))
			_exit(13);
		if (round % 10 == 9 && storage_maintain(store, time_of(n) + SECONDS(15), NULL))
			_exit(14);
	}
}

static void check_files(const char *dir)
{
	DIR *d = opendir(dir);

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		char path[512];
		sqlite3 *db;
		sqlite3_stmt *stmt;
		size_t len = strlen(e->d_name);

		assert_null(strstr(e->d_name, "damaged"));
		if (len < 3 || strcmp(e->d_name + len - 3, ".db"))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL),
				 SQLITE_OK);
		assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
		assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
		(void)sqlite3_finalize(stmt);
		(void)sqlite3_close(db);
	}
	(void)closedir(d);
}

static int total(void *arg, size_t series, int64_t start_ns, int64_t sum, uint64_t count)
{
	(void)series;
	(void)start_ns;
	((uint64_t *)arg)[0] += count;
	((uint64_t *)arg)[1] += (uint64_t)sum;
	return 0;
}

struct seen {
	uint8_t *times;
	uint64_t until;
};

static int record_seen(void *arg, const struct storage_records *r)
{
	struct seen *seen = arg;

	for (size_t i = 0; i < r->count; i++) {
		assert_true((uint64_t)r->values[i] <= seen->until);
		seen->times[r->values[i]]++;
		assert_int_equal(r->times_ns[i], time_of((uint64_t)r->values[i]));
	}
	return 0;
}

/* Every number up to the cursor once; the levels agree. Returns the cursor. */
static uint64_t check_store(struct fixture *f, uint64_t acked)
{
	struct hash128 id = series_id(1000, PROFILE_KIND_CPU, "service=a");
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = T0 + SECONDS(10000000)};
	uint8_t runtime[16];
	uint64_t cursor, totals[2] = {0, 0};

	instance_id(1, runtime);
	assert_int_equal(storage_cursor(f->store, runtime, 0, &cursor, NULL), 0);
	if (cursor < acked)
		fail_msg("the cursor is at %llu, %llu was acknowledged", (unsigned long long)cursor,
			 (unsigned long long)acked);
	struct seen seen = {calloc(cursor + 1, 1), cursor};

	assert_int_equal(storage_records(f->reader, &scan, record_seen, &seen, NULL), 0);
	for (uint64_t n = 1; n <= cursor; n++)
		assert_int_equal(seen.times[n], 1);
	free(seen.times);
	assert_int_equal(storage_timeline(f->reader, &scan, SECONDS(10000000), total, totals, NULL),
			 0);
	assert_int_equal(totals[0], cursor);
	assert_int_equal(totals[1], cursor * (cursor + 1) / 2);
	struct answer got CLEANUP(answer_release) = {0};
	uint64_t counts = 0;

	assert_int_equal(store_scan(f->reader, &scan, &got), 0);
	for (size_t i = 0; i < got.count; i++)
		counts += got.lines[i].count;
	assert_int_equal(counts, cursor);
	return cursor;
}

static void killed_anywhere_nothing_acknowledged_is_lost(void **state)
{
	const char *cycles = getenv("HEARTH_CYCLES");
	uint64_t count = cycles ? strtoull(cycles, NULL, 10) : 20, reached = 0;
	struct fixture f;

	(void)state;
	fixture_init(&f, &storage_sqlite);
	for (uint64_t cycle = 0; cycle < count; cycle++) {
		int ends[2];
		uint64_t acked = 0;
		unsigned acks = (unsigned)(cycle * 7919 % 60), status;

		fixture_close(&f);
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			child(&f, ends[1]);
		(void)close(ends[1]);
		for (unsigned i = 0; i <= acks; i++)
			assert_int_equal(fd_read_all(ends[0], &acked, sizeof(acked)), 0);
		/* Not always right behind an acknowledgement: also within a put or a derivation. */
		for (int64_t end = clock_monotonic_ns() + (int64_t)(cycle * 104729 % 3000) * 1000;
		     clock_monotonic_ns() < end;)
			;
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, (int *)&status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (!fd_read_all(ends[0], &acked, sizeof(acked)))
			;
		(void)close(ends[0]);
		fixture_open(&f);
		reached = check_store(&f, acked);
	}
	fixture_maintain(&f, time_of(reached) + SECONDS(100));
	assert_int_equal(check_store(&f, 0), reached);
	fixture_close(&f);
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/l0", f.dir);
	check_files(path);
	(void)snprintf(path, sizeof(path), "%s/l1", f.dir);
	check_files(path);
	print_message("%llu cycles, %llu profiles\n", (unsigned long long)count,
		      (unsigned long long)reached);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(killed_anywhere_nothing_acknowledged_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
