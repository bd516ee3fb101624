/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/storage/numbered.h"

#include "tests/cmocka.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

struct profile *numbered(uint64_t n, int64_t step_ns)
{
	struct maker m;
	char stack[64], id[32];
	int64_t at = T0 + (int64_t)n * step_ns;

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

static void check_folder(const char *dir)
{
	DIR *d = opendir(dir);

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		char path[768];
		sqlite3 *db;
		sqlite3_stmt *stmt;
		size_t len = strlen(e->d_name);

		assert_null(strstr(e->d_name, "damaged"));
		if (len < 3 || strcmp(e->d_name + len - 3, ".db"))
			continue;
		(void)snprintf(path, sizeof(path), "%.400s/%.255s", dir, e->d_name);
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

void numbered_check_files(const char *dir)
{
	static const char *const levels[] = {"l0", "l1", "l2"};

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		char path[768];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, levels[i]);
		check_folder(path);
	}
}

static int total(void *arg, size_t series, int64_t start_ns, int64_t sum, uint64_t count)
{
	(void)series;
	(void)start_ns;
	((uint64_t *)arg)[0] += count;
	((uint64_t *)arg)[1] += (uint64_t)sum;
	return 0;
}

static int add_counts(void *arg, const struct storage_segment *s)
{
	for (size_t i = 0; i < s->leaves_count; i++)
		*(uint64_t *)arg += s->counts[i];
	return 0;
}

struct seen {
	uint8_t *times;
	uint64_t until;
	int64_t step_ns;
};

static int record_seen(void *arg, const struct storage_records *r)
{
	struct seen *seen = arg;

	for (size_t i = 0; i < r->count; i++) {
		uint64_t n = (uint64_t)r->values[i];

		assert_true(n && n <= seen->until);
		assert_int_equal(seen->times[n]++, 0);
		assert_int_equal(r->times_ns[i], T0 + (int64_t)n * seen->step_ns);
	}
	return 0;
}

uint64_t numbered_check(struct fixture *f, uint64_t acked, int64_t step_ns)
{
	struct hash128 id = series_id(1000, PROFILE_KIND_CPU, "service=a");
	int64_t width_ns = SECONDS(100000000);
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = T0 + width_ns};
	uint8_t runtime[16];
	uint64_t cursor, totals[2] = {0, 0}, counts = 0;

	instance_id(1, runtime);
	assert_int_equal(storage_cursor(f->store, runtime, 0, &cursor, NULL), 0);
	if (cursor < acked)
		fail_msg("the cursor is at %llu, %llu was acknowledged", (unsigned long long)cursor,
			 (unsigned long long)acked);
	struct seen seen = {calloc(cursor + 1, 1), cursor, step_ns};

	assert_int_equal(storage_records(f->reader, &scan, record_seen, &seen, NULL), 0);
	free(seen.times);
	assert_int_equal(storage_timeline(f->reader, &scan, width_ns, total, totals, NULL), 0);
	assert_int_equal(totals[0], cursor);
	/* Each has a value of its own: with the right number of them, none is there twice. */
	assert_int_equal(totals[1], cursor * (cursor + 1) / 2);
	assert_int_equal(storage_scan(f->reader, &scan, add_counts, &counts, NULL), 0);
	assert_int_equal(counts, cursor);
	return cursor;
}
