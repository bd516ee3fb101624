/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on a disk that loses power or fails (tests/support/disk.h).
 *
 * Power: a history is recorded; then, for many places in it, the store is opened on what a loss of
 * power there could have left, and must have what was acknowledged until then, exactly once, and go
 * on.  HEARTH_IMAGES says how many.
 *
 * Failures: the same history with the nth call of a kind failing, once or from then on; what was
 * acknowledged is there when the disk is well again.  HEARTH_FAILURES says how many of each kind;
 * they are spread over all n.
 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "storage/sqlite_db.h"
#include "tests/support/disk.h"
#include "tests/unit/storage/numbered.h"

#define STEP_NS SECONDS(400) /* nine to an hour's file */
#define PROFILES 330         /* a day and a half */
#define LATE_VALUE 1000000

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static struct profile *profiles[PROFILES + 1];
static struct hash128 id;

static int make_profiles(void **state)
{
	(void)state;
	id = series_id(1000, PROFILE_KIND_CPU, "service=a");
	for (uint64_t n = 1; n <= PROFILES; n++)
		profiles[n] = numbered(n, STEP_NS);
	return 0;
}

static int free_profiles(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= PROFILES; n++)
		profile_free(profiles[n]);
	return 0;
}

static int add_counts(void *arg, const struct storage_segment *s)
{
	for (size_t i = 0; i < s->leaves_count; i++)
		*(uint64_t *)arg += s->counts[i];
	return 0;
}

/* Short lives of files: puts, derivations, roll-ups and unlinks within a day and a half. */
static void retain_little(struct fixture *f)
{
	f->options.l0_age_ns = SECONDS(2 * 3600);
	f->options.l1_age_ns = SECONDS(12 * 3600);
}

/* Put up to `until`, as far as the disk lets us; returns the last that was acknowledged.  A profile
 * that was refused is offered again, and is a duplicate when it is there after all. */
static uint64_t live(struct storage *store, struct storage_reader *reader, uint64_t from,
		     uint64_t until, int patience)
{
	uint64_t acked = from - 1, round = 0;

	while (acked < until && patience > 0) {
		const struct profile *list[3];
		size_t count = MIN(1 + round % 3, until - acked);
		int results[3] = {0, 0, 0};
		struct err err = {0};

		for (size_t i = 0; i < count; i++)
			list[i] = profiles[acked + 1 + i];
		int rc = storage_put(store, list, count, results, &err);

		for (size_t i = 0; i < count && results[i] >= 0; i++)
			acked++;
		patience -= rc != 0;
		if (rc && (rc == -EBADMSG || !err.message[0]))
			fail_msg("a put said %d '%s'", rc, err.message);
		disk_mark(acked);
		if (round++ % 4 == 3) {
			err = (struct err){0};
			rc = storage_maintain(store, T0 + (int64_t)acked * STEP_NS + SECONDS(15),
					      &err);
			patience -= rc != 0;
			if (rc && (rc > 0 || rc == -EBADMSG))
				fail_msg("maintain said %d '%s'", rc, err.message);
		}
		if (reader && round % 16 == 5) {
			struct storage_scan scan = {.series = &id,
						    .series_count = 1,
						    .from_ns = T0,
						    .until_ns = T0 + SECONDS(10000000)};
			uint64_t counts = 0;

			rc = storage_scan(reader, &scan, add_counts, &counts, NULL);
			if (!rc && counts < acked)
				fail_msg("a scan saw %llu of %llu", (unsigned long long)counts,
					 (unsigned long long)acked);
		}
	}
	return acked;
}

/* The store is whole, takes the next profiles, and one late for an hour whose file went long
 * ago. */
static void check_and_go_on(struct fixture *f, uint64_t acked)
{
	uint64_t cursor = numbered_check(f, acked, STEP_NS);
	const struct profile *again[] = {profiles[cursor ? cursor : 1]};
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = T0 + SECONDS(10000000)};
	struct err err = {0};
	int result = -1;
	uint64_t counts = 0;

	assert_int_equal(storage_put(f->store, again, 1, &result, &err), 0);
	assert_int_equal(result, cursor ? STORAGE_DUPLICATE : STORAGE_STORED);
	uint64_t end = MIN(MAX(cursor, 1) + 5, PROFILES);

	assert_int_equal(live(f->store, f->reader, MAX(cursor, 1) + 1, end, 1), end);
	fixture_maintain(f, T0 + (int64_t)end * STEP_NS + SECONDS(15));
	assert_int_equal(numbered_check(f, end, STEP_NS), end);
	struct maker m;

	maker_init(&m, 1000, 2);
	maker_span(&m, T0 + 1, T0 + 1, T0 + (int64_t)end * STEP_NS);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, "late", T0 + 1, 1, LATE_VALUE, 1);
	fixture_put(f, maker_finish(&m));
	fixture_maintain(f, T0 + (int64_t)end * STEP_NS + SECONDS(30));
	assert_int_equal(storage_scan(f->reader, &scan, add_counts, &counts, NULL), 0);
	assert_int_equal(counts, end + 1);
}

/* ---- power ---- */

static void check_image(const struct fixture *recorded, struct disk_replay *replay,
			enum disk_loss loss, uint64_t *random, uint64_t acked)
{
	struct fixture f = *recorded;

	(void)snprintf(f.dir, sizeof(f.dir), "%.50s-image", recorded->dir);
	(void)snprintf(f.location, sizeof(f.location), "sqlite:%s", f.dir);
	assert_int_equal(mkdir(f.dir, 0700), 0);
	disk_replay_image(replay, loss, random, f.dir);
	fixture_open(&f);
	check_and_go_on(&f, acked);
	fixture_close(&f);
	numbered_check_files(f.dir);
	remove_tree(f.dir);
}

static void what_was_acknowledged_outlives_the_power(void **state)
{
	uint64_t images = setting("HEARTH_IMAGES", 80), seed = setting("HEARTH_SEED", 1);
	uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15);
	struct fixture f;

	(void)state;
	fixture_init(&f, &storage_sqlite);
	fixture_close(&f);
	remove_tree(f.dir);
	assert_int_equal(mkdir(f.dir, 0700), 0);
	retain_little(&f);
	disk_watch(f.dir);
	fixture_open(&f);
	assert_int_equal(live(f.store, f.reader, 1, PROFILES / 2, 1), PROFILES / 2);
	fixture_close(&f);
	fixture_open(&f);
	assert_int_equal(live(f.store, f.reader, PROFILES / 2 + 1, PROFILES - 6, 1), PROFILES - 6);
	fixture_close(&f);
	size_t records = disk_record_count();
	struct disk_replay *replay = disk_replay_new();

	for (uint64_t i = 0; i < images; i++) {
		uint64_t acked = disk_replay_to(replay, (size_t)((i + 1) * records / images));

		check_image(&f, replay,
			    i % 8 == 0   ? DISK_LOSE_ALL
			    : i % 8 == 1 ? DISK_KEEP_ALL
					 : DISK_LOSE_SOME,
			    &random, acked);
	}
	print_message("%llu images of %zu writes, syncs and changes of names\n",
		      (unsigned long long)images, records);
	disk_replay_free(replay);
	disk_watch(NULL);
	remove_tree(f.dir);
}

/* ---- failures ---- */

static uint64_t history_with(unsigned calls, uint64_t nth, bool sticky, int error)
{
	struct fixture f = {.backend = &storage_sqlite};
	struct storage *store = NULL;
	struct storage_reader *reader = NULL;
	uint64_t acked = 0;
	struct err err = {0};

	fixture_init(&f, &storage_sqlite);
	fixture_close(&f);
	remove_tree(f.dir);
	assert_int_equal(mkdir(f.dir, 0700), 0);
	retain_little(&f);
	disk_fail(calls, nth, sticky, error);
	int rc = storage_open(f.location, &f.options, &store, &err);

	if (rc && (rc > 0 || !err.message[0]))
		fail_msg("opening said %d '%s'", rc, err.message);
	if (!rc && storage_reader_open(store, &reader, &err))
		reader = NULL;
	if (!rc)
		acked = live(store, reader, 1, 120, 12);
	/* What failed once does not stay failed. */
	if (!rc && !sticky && acked < 120)
		fail_msg("after one failure (%d) the store did not go on", error);
	storage_reader_close(reader);
	storage_close(store);
	uint64_t made = disk_calls();

	disk_fail(0, 0, false, 0);
	fixture_open(&f);
	check_and_go_on(&f, acked);
	fixture_close(&f);
	numbered_check_files(f.dir);
	remove_tree(f.dir);
	return made;
}

static void fail_at_every(const char *what, unsigned calls, int error)
{
	uint64_t all = history_with(calls, 0, false, 0);
	uint64_t tries = MIN(setting("HEARTH_FAILURES", 8), all);

	for (uint64_t i = 0; i < tries; i++) {
		/* Every one when there are as many tries, else spread, and not in step. */
		uint64_t nth = tries == all ? i + 1 : 1 + (i * all + i * 7919 % all) / tries % all;

		for (int sticky = 0; sticky < 2; sticky++)
			(void)history_with(calls, nth, sticky, error);
	}
	print_message("%s: %llu of %llu calls, once and for ever\n", what,
		      (unsigned long long)tries, (unsigned long long)all);
	assert_true(all > 0);
}

static void a_failed_write_loses_nothing_acknowledged(void **state)
{
	(void)state;
	fail_at_every("write, EIO", DISK_WRITE, EIO);
}

static void a_full_disk_loses_nothing_acknowledged(void **state)
{
	(void)state;
	fail_at_every("write, ENOSPC", DISK_WRITE, ENOSPC);
}

static void a_failed_sync_loses_nothing_acknowledged(void **state)
{
	(void)state;
	fail_at_every("fsync", DISK_SYNC, EIO);
}

static void a_failed_name_loses_nothing_acknowledged(void **state)
{
	(void)state;
	fail_at_every("unlink, rename, mkdir, open, truncate",
		      DISK_UNLINK | DISK_RENAME | DISK_MKDIR | DISK_OPEN | DISK_TRUNCATE, EIO);
}

/* How often something was synced in a minute of puts, one each two seconds. */
static uint64_t minute_of_puts(struct fixture *f, int64_t from_ns)
{
	disk_fail(DISK_SYNC, 0, false, 0);
	for (int64_t at = 0; at < 60; at += 2) {
		struct maker m;

		maker_init(&m, 1000, 1);
		maker_span(&m, from_ns + SECONDS(at), from_ns + SECONDS(at), from_ns + SECONDS(at));
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_record(&m, "main", from_ns + SECONDS(at), 1, 1, 1);
		fixture_put(f, maker_finish(&m));
		fixture_maintain(f, from_ns + SECONDS(at));
	}
	return disk_calls();
}

/* `sync_within_seconds` holds when the clock is set back, and beside a reader that stays. */
static void commits_that_wait_are_synced_in_time(void **state)
{
	struct fixture f = {.backend = &storage_sqlite};
	const int64_t from_ns = T0 + SECONDS(3000);
	char path[300];
	struct db reader;

	(void)state;
	fixture_init(&f, &storage_sqlite);
	fixture_close(&f);
	f.options.sync_within_ns = SECONDS(10);
	fixture_open(&f);
	assert_true(minute_of_puts(&f, from_ns) >= 6);
	assert_true(minute_of_puts(&f, T0) >= 6);
	(void)snprintf(path, sizeof(path), "%s/l0/20260101T00.db", f.dir);
	assert_int_equal(db_open_reader(&reader, path, NULL), 0);
	assert_int_equal(db_exec(&reader, "BEGIN; SELECT count(*) FROM batch", NULL), 0);
	assert_true(minute_of_puts(&f, T0 + SECONDS(60)) >= 6);
	db_close(&reader);
	fixture_release(&f);
}

static struct profile *upload_make(const char *stack, const char *name)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, T0, T0, T0);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, stack, T0, 1, 1, 1);
	maker_upload(&m, name);
	return maker_finish(&m);
}

#define UPLOADS 40 /* of a store, so that what it knows has to grow */

/* How many puts were acknowledged though their nth allocation failed.  *calls: the most of one. */
static uint64_t uploads_without(uint64_t nth, uint64_t *calls)
{
	struct fixture f = {.backend = &storage_sqlite};
	uint64_t stored = 0;

	fixture_init(&f, &storage_sqlite);
	for (int i = 0; i < UPLOADS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "id%d", i);
		struct profile *p = upload_make(name, name);
		const struct profile *list[] = {p};
		int first, again;

		disk_fail(DISK_MEMORY, nth, false, ENOMEM);
		int rc = storage_put(f.store, list, 1, &first, NULL);

		*calls = MAX(*calls, disk_calls());
		disk_fail(0, 0, false, 0);
		assert_int_equal(storage_put(f.store, list, 1, &again, NULL), 0);
		if (!rc && first == STORAGE_STORED) {
			stored++;
			assert_int_equal(again, STORAGE_DUPLICATE);
		}
		profile_free(p);
	}
	fixture_release(&f);
	return stored;
}

/* Whichever allocation of a put fails: what was acknowledged and is sent again counts once. */
static void without_memory_an_upload_counts_once(void **state)
{
	uint64_t calls = 1, stored = 0;

	(void)state;
	for (uint64_t nth = 1; nth <= calls; nth++)
		stored += uploads_without(nth, &calls);
	print_message("%llu allocations, %llu times acknowledged without one\n",
		      (unsigned long long)calls, (unsigned long long)stored);
	assert_true(calls > 20 && stored > 0);
}

static void a_failed_allocation_loses_nothing_acknowledged(void **state)
{
	(void)state;
	fail_at_every("allocation", DISK_MEMORY, ENOMEM);
}

/* SQLite alone makes two for each page, and there are ten of them. */
static void a_commit_is_one_write(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, &storage_sqlite);
	assert_int_equal(live(f.store, NULL, 1, 3, 1), 3);
	for (uint64_t n = 4; n <= 6; n++) {
		const struct profile *one[] = {profiles[n]};

		disk_fail(DISK_WRITE, 0, false, 0);
		assert_int_equal(storage_put(f.store, one, 1, NULL, NULL), 0);
		assert_int_equal(disk_calls(), 1);
	}
	fixture_close(&f);
	remove_tree(f.dir);
}

/* So many uploads of one record, then how often an opening reads. */
static uint64_t reads_of_opening(unsigned uploads)
{
	struct profile *list[500];
	struct fixture f;

	fixture_init(&f, &storage_sqlite);
	for (unsigned i = 0; i < uploads; i++) {
		struct maker m;
		char text[16];

		(void)snprintf(text, sizeof(text), "id-%u", i);
		maker_init(&m, 1000, i + 1);
		maker_upload(&m, text);
		maker_cursor(&m, 0, i + 1);
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_record(&m, "main", T0, 1, 1, 1);
		list[i] = maker_finish(&m);
	}
	assert_int_equal(
	    storage_put(f.store, (const struct profile *const *)list, uploads, NULL, NULL), 0);
	for (unsigned i = 0; i < uploads; i++)
		profile_free(list[i]);
	fixture_close(&f);
	disk_fail(DISK_READ, 0, false, 0);
	fixture_open(&f);
	uint64_t reads = disk_calls();
	uint64_t position = 0;
	uint8_t runtime_id[16];

	instance_id(uploads, runtime_id);
	assert_int_equal(storage_cursor(f.store, runtime_id, 0, &position, NULL), 0);
	assert_int_equal(position, uploads);
	fixture_close(&f);
	remove_tree(f.dir);
	return reads;
}

static void opening_reads_no_more_for_more_uploads_and_processes(void **state)
{
	(void)state;
	/* A level of a tree more is a read more. */
	assert_in_range(reads_of_opening(500), 1, reads_of_opening(5) + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_commit_is_one_write),
	    cmocka_unit_test(opening_reads_no_more_for_more_uploads_and_processes),
	    cmocka_unit_test(what_was_acknowledged_outlives_the_power),
	    cmocka_unit_test(a_failed_write_loses_nothing_acknowledged),
	    cmocka_unit_test(a_full_disk_loses_nothing_acknowledged),
	    cmocka_unit_test(a_failed_sync_loses_nothing_acknowledged),
	    cmocka_unit_test(a_failed_name_loses_nothing_acknowledged),
	    cmocka_unit_test(commits_that_wait_are_synced_in_time),
	    cmocka_unit_test(without_memory_an_upload_counts_once),
	    cmocka_unit_test(a_failed_allocation_loses_nothing_acknowledged),
	};

	disk_install();
	return cmocka_run_group_tests(tests, make_profiles, free_profiles);
}
