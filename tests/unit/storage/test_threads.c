/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One writer, eight readers: what a reader sees never falls behind what was acknowledged when it
 * asked, never runs ahead of what was begun when it was answered, and is never counted twice while
 * L1 is derived under it.
 */
#include "tests/cmocka.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/support/store.h"

#define READERS 8
#define PUTS 150
#define RECORDS 20
#define STEP_S 30 /* between two puts: hours end, and are packed, under the readers */
#define ASKS_MAX 400

static struct {
	struct fixture f;
	struct hash128 series;
	atomic_int begun, acked, wrong;
	atomic_bool over;
} shared;

static struct profile *batch_of(int n)
{
	struct maker m;
	int64_t at = T0 + SECONDS(n) * STEP_S;

	maker_init(&m, 1000, 1 + (unsigned)n % 3);
	maker_span(&m, at, at, at);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	for (int i = 0; i < RECORDS; i++) {
		char stack[64];

		(void)snprintf(stack, sizeof(stack), "main;f%d;g%d", n % 11, i);
		maker_record(&m, stack, at + i, 1, 1, 1);
	}
	return maker_finish(&m);
}

static int add_segment(void *arg, const struct storage_segment *s)
{
	for (size_t i = 0; i < s->leaves_count; i++)
		*(uint64_t *)arg += s->counts[i];
	return 0;
}

static int add_total(void *arg, size_t series, int64_t start_ns, int64_t sum, uint64_t count)
{
	(void)series;
	(void)start_ns;
	(void)sum;
	*(uint64_t *)arg += count;
	return 0;
}

static int add_records(void *arg, const struct storage_records *r)
{
	*(uint64_t *)arg += r->count;
	return 0;
}

static bool ask(struct storage_reader *reader, int kind)
{
	struct storage_scan scan = {.series = &shared.series,
				    .series_count = 1,
				    .from_ns = T0 - SECONDS(3),
				    .until_ns = T0 + SECONDS(10000003)};
	uint64_t before = (uint64_t)atomic_load(&shared.acked) * RECORDS, got = 0;
	struct err err = {0};
	int rc = kind == 0   ? storage_scan(reader, &scan, add_segment, &got, &err)
		 : kind == 1 ? storage_timeline(reader, &scan, SECONDS(600), add_total, &got, &err)
			     : storage_records(reader, &scan, add_records, &got, &err);
	uint64_t after = (uint64_t)atomic_load(&shared.begun) * RECORDS;

	/* Time is fast here: an hour can be packed within one question. */
	if (rc == -EAGAIN)
		return ask(reader, kind);
	if (rc || got < before || got > after || got % RECORDS) {
		(void)fprintf(stderr, "kind %d: %d (%s), %llu not in %llu..%llu\n", kind, rc,
			      err.message, (unsigned long long)got, (unsigned long long)before,
			      (unsigned long long)after);
		return false;
	}
	return true;
}

static int first_part(void *arg, const struct storage_part *part)
{
	(void)snprintf(arg, 40, "%s", part->name);
	return 1;
}

/* Of one moment: what the file says of itself is what it has. */
static bool is_consistent(unsigned char *bytes, uint64_t len)
{
	sqlite3_stmt *stmt = NULL;
	bool good = false;
	sqlite3 *db;

	bytes[18] = bytes[19] = 1; /* no WAL, which a database in memory cannot have */
	/* A file is there before its first batch is. */
	if (sqlite3_open(":memory:", &db) ||
	    sqlite3_deserialize(db, "main", bytes, (int64_t)len, (int64_t)len,
				SQLITE_DESERIALIZE_READONLY) ||
	    sqlite3_prepare_v2(db,
			       "SELECT (SELECT ifnull(sum(records), 0) FROM block), records,"
			       " (SELECT * FROM pragma_integrity_check) FROM meta",
			       -1, &stmt, NULL))
		(void)fprintf(stderr, "a copy: %s\n", sqlite3_errmsg(db));
	else if (sqlite3_step(stmt) == SQLITE_ROW)
		good = sqlite3_column_int64(stmt, 0) == sqlite3_column_int64(stmt, 1) &&
		       !strcmp((const char *)sqlite3_column_text(stmt, 2), "ok");
	if (!good && stmt)
		(void)fprintf(stderr, "a copy: %lld records of %lld, %s\n",
			      (long long)sqlite3_column_int64(stmt, 0),
			      (long long)sqlite3_column_int64(stmt, 1),
			      (const char *)sqlite3_column_text(stmt, 2));
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(db);
	return good;
}

static bool copy(struct storage_reader *reader)
{
	unsigned char *bytes CLEANUP(cleanup_free) = NULL;
	char name[40] = "";
	struct err err = {0};
	uint64_t len = 0;
	int fd CLOSING = -1;

	if (storage_parts(reader, first_part, name, NULL) != 1 || name[1] != '0')
		return true; /* a store without files, or without any yet */
	int rc = storage_copy(reader, name, &fd, &len, &err);

	if (rc == -EAGAIN)
		return true;
	bytes = rc ? NULL : malloc(len);
	if (!rc)
		rc = bytes ? fd_read_all(fd, bytes, len) : -ENOMEM;
	if (!rc && is_consistent(bytes, len))
		return true;
	(void)fprintf(stderr, "a copy of %s: %d (%s)\n", name, rc, err.message);
	return false;
}

static void *reading(void *arg)
{
	struct storage_reader *reader;
	int kind = *(int *)arg;

	if (storage_reader_open(shared.f.store, &reader, NULL)) {
		atomic_fetch_add(&shared.wrong, 1);
		return NULL;
	}
	for (int i = 0; (i < ASKS_MAX || getenv("HEARTH_SECONDS")) && !atomic_load(&shared.over);
	     i++)
		if (!ask(reader, (kind + i) % 3) || (i % 16 == kind && !copy(reader)))
			atomic_fetch_add(&shared.wrong, 1);
	if (!ask(reader, kind % 3))
		atomic_fetch_add(&shared.wrong, 1);
	storage_reader_close(reader);
	return NULL;
}

/* HEARTH_SECONDS: go on for so long. */
static bool goes_on(int n, int puts, int64_t until_ns)
{
	return until_ns ? clock_monotonic_ns() < until_ns : n < puts;
}

static int64_t until(void)
{
	const char *seconds = getenv("HEARTH_SECONDS");

	return seconds ? clock_monotonic_ns() + SECONDS(strtoll(seconds, NULL, 10)) : 0;
}

static void readers_agree_with_the_writer(void **state)
{
	int64_t until_ns = until(), slowest_ns = 0;

	pthread_t threads[READERS];
	int kinds[READERS];

	memset(&shared, 0, sizeof(shared));
	fixture_init(&shared.f, *state);
	shared.series = series_id(1000, PROFILE_KIND_CPU, "service=a");
	for (int i = 0; i < READERS; i++) {
		kinds[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, reading, &kinds[i]), 0);
	}
	for (int n = 0; goes_on(n, PUTS, until_ns); n++) {
		struct profile *p = batch_of(n);
		int64_t start_ns = clock_monotonic_ns();

		atomic_store(&shared.begun, n + 1);
		fixture_put(&shared.f, p);
		slowest_ns = MAX(slowest_ns, clock_monotonic_ns() - start_ns);
		atomic_store(&shared.acked, n + 1);
		if (n % 4 == 3)
			fixture_maintain(&shared.f, T0 + SECONDS(n) * STEP_S + SECONDS(10));
	}
	atomic_store(&shared.over, true);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&shared.wrong), 0);
	print_message("%d puts beside %d readers, the slowest took %.1f ms\n",
		      atomic_load(&shared.acked), READERS, (double)slowest_ns / 1e6);
	fixture_release(&shared.f);
}

/* Until there was a put: the writer finds the reader idle, or at the beginning of a question. */
static void idle(void)
{
	int seen = atomic_load(&shared.acked);

	while (atomic_load(&shared.acked) == seen && !atomic_load(&shared.over))
		(void)sched_yield();
}

/* Files go while they are read: an answer is right for what is left, and no error. */
static void *reading_what_goes(void *arg)
{
	struct storage_reader *reader;
	int number = *(int *)arg;

	if (storage_reader_open(shared.f.store, &reader, NULL)) {
		atomic_fetch_add(&shared.wrong, 1);
		return NULL;
	}
	for (int i = 0; i < ASKS_MAX && !atomic_load(&shared.over); i++) {
		struct storage_scan scan = {.series = &shared.series,
					    .series_count = 1,
					    .from_ns = T0,
					    .until_ns = T0 + SECONDS(86400 * 1000)};
		uint64_t got = 0;
		struct err err = {0};

		if (storage_scan(reader, &scan, add_segment, &got, &err) || got % RECORDS) {
			(void)fprintf(stderr, "%s: %llu\n", err.message, (unsigned long long)got);
			atomic_fetch_add(&shared.wrong, 1);
		}
		if (number % 2)
			idle();
	}
	storage_reader_close(reader);
	return NULL;
}

static void retention_does_not_disturb_readers(void **state)
{
	pthread_t threads[READERS];
	int numbers[READERS];

	memset(&shared, 0, sizeof(shared));
	fixture_init(&shared.f, *state);
	shared.series = series_id(1000, PROFILE_KIND_CPU, "service=a");
	fixture_close(&shared.f);
	shared.f.options.l0_age_ns = SECONDS(7200);
	shared.f.options.l1_age_ns = SECONDS(2 * 86400);
	fixture_open(&shared.f);
	for (int i = 0; i < READERS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, reading_what_goes, &numbers[i]),
				 0);
	}
	for (int n = 0; n < 60; n++) {
		fixture_put(&shared.f, batch_of(n * 360)); /* three hours each */
		atomic_store(&shared.acked, n + 1);
		fixture_maintain(&shared.f, T0 + SECONDS(n) * 3 * 3600 + SECONDS(30));
	}
	atomic_store(&shared.over, true);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&shared.wrong), 0);
	fixture_release(&shared.f);
}

/* What a scan gives is named while the next file is read: symbols and the hashes of stacks are
 * asked for from within. */
struct naming {
	struct storage_reader *reader;
	uint64_t count;
	const char *symbols;
};

static const uint8_t build_id[20] = {1, 2, 3};

static int name_segment(void *arg, const struct storage_segment *s)
{
	struct naming *naming = arg;

	for (int i = 0; i < 20; i++) {
		void *table = NULL;
		uint64_t epoch;
		size_t len;

		assert_int_equal(storage_symbols_get(naming->reader, 0, build_id, sizeof(build_id),
						     &table, &len, &epoch, NULL),
				 0);
		assert_int_equal(len, strlen(naming->symbols));
		assert_memory_equal(table, naming->symbols, len);
		free(table);
	}
	assert_non_null(s->hashes(s->tables));
	return add_segment(&naming->count, s);
}

static void what_a_scan_gives_can_be_named_meanwhile(void **state)
{
	struct storage_scan scan = {.series = &shared.series,
				    .series_count = 1,
				    .from_ns = T0 + 1,
				    .until_ns = T0 + SECONDS(86400 * 1000)};
	char symbols[20000];
	uint64_t epoch;

	memset(&shared, 0, sizeof(shared));
	fixture_init(&shared.f, *state);
	shared.series = series_id(1000, PROFILE_KIND_CPU, "service=a");
	memset(symbols, 's', sizeof(symbols));
	symbols[sizeof(symbols) - 1] = 0;
	assert_int_equal(storage_symbols_put(shared.f.store, 0, build_id, sizeof(build_id), symbols,
					     strlen(symbols), &epoch, NULL),
			 0);
	for (int n = 0; n < 12; n++)
		fixture_put(&shared.f, batch_of(n * 120)); /* a file each */
	for (int i = 0; i < 20; i++) {
		struct naming naming = {.symbols = symbols};

		/* Each its own: nothing is loaded before. */
		assert_int_equal(storage_reader_open(shared.f.store, &naming.reader, NULL), 0);
		assert_int_equal(storage_scan(naming.reader, &scan, name_segment, &naming, NULL),
				 0);
		/* one record stands before the range */
		assert_int_equal(naming.count, 12 * RECORDS - 1);
		storage_reader_close(naming.reader);
	}
	fixture_release(&shared.f);
}

int main(void)
{
	struct storage_backend sqlite = storage_sqlite, memory = storage_memory;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(readers_agree_with_the_writer, &sqlite),
	    cmocka_unit_test_prestate(readers_agree_with_the_writer, &memory),
	    cmocka_unit_test_prestate(retention_does_not_disturb_readers, &sqlite),
	    cmocka_unit_test_prestate(retention_does_not_disturb_readers, &memory),
	    cmocka_unit_test_prestate(what_a_scan_gives_can_be_named_meanwhile, &sqlite),
	    cmocka_unit_test_prestate(what_a_scan_gives_can_be_named_meanwhile, &memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
