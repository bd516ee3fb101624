/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's contract, run over every line of storage/backends.def.  Where levels could matter, a
 * case asks before L1 is derived, after it, and after reopening: the answers must not change.
 */
#include "tests/contract/storage.h"

#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/store.h"

#define LATER (T0 + SECONDS(1000000))

static struct fixture f;
static const struct storage_backend *backend;

static int setup(void **state)
{
	backend = *state;
	fixture_init(&f, backend);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_release(&f);
	return 0;
}

static struct storage_scan scan_of(const struct hash128 *series, size_t column, int64_t from_ns,
				   int64_t until_ns)
{
	return (struct storage_scan){.series = series,
				     .series_count = 1,
				     .column = column,
				     .from_ns = from_ns,
				     .until_ns = until_ns};
}

/* The same answer from L0, from L1 and from files that were opened again. */
static void expect_at_every_level(const struct storage_scan *scan, const char *expected)
{
	expect_scan(&f, scan, expected);
	fixture_maintain(&f, LATER);
	expect_scan(&f, scan, expected);
	fixture_reopen(&f);
	expect_scan(&f, scan, expected);
}

static struct profile *cpu_profile(unsigned instance, const char *stack, int64_t time_ns, int value)
{
	struct maker m;

	maker_init(&m, 1000, instance);
	maker_span(&m, time_ns, time_ns, time_ns);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, stack, time_ns, 1, value, 1);
	return maker_finish(&m);
}

static struct hash128 cpu_series(void)
{
	return series_id(1000, PROFILE_KIND_CPU, "service=a");
}

static void sums_by_stack_over_batches_and_files(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(90000));

	(void)state;
	fixture_put(&f, cpu_profile(1, "main;work", T0, 10));
	fixture_put(&f, cpu_profile(1, "main;idle", T0 + SECONDS(1), 20));
	fixture_put(&f, cpu_profile(2, "main;work", T0 + SECONDS(4000), 5));
	fixture_put(&f, cpu_profile(2, "main;work;0x10@app", T0 + SECONDS(87000), 7));
	expect_at_every_level(&scan, "main;idle 20/1\nmain;work 15/2\nmain;work;0x10@app 7/1\n");
}

static void columns_are_asked_one_at_a_time(void **state)
{
	struct maker m;
	struct hash128 id = cpu_series();

	(void)state;
	maker_init(&m, 1000, 1);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, "main", T0, 3, 1000, 3);
	fixture_put(&f, maker_finish(&m));
	struct storage_scan first = scan_of(&id, 0, T0, T0 + 1);
	struct storage_scan second = scan_of(&id, 1, T0, T0 + SECONDS(10));
	struct storage_scan none = scan_of(&id, 2, T0, T0 + SECONDS(10));

	expect_at_every_level(&first, "main 1000/3\n");
	expect_at_every_level(&second, "main 3/3\n");
	expect_at_every_level(&none, "");
}

static void range_is_exact_to_the_nanosecond(void **state)
{
	struct hash128 id = cpu_series();

	(void)state;
	fixture_put(&f, cpu_profile(1, "early", T0 + SECONDS(3) - 1, 1));
	fixture_put(&f, cpu_profile(1, "first", T0 + SECONDS(3), 2));
	fixture_put(&f, cpu_profile(1, "middle", T0 + SECONDS(25), 4));
	fixture_put(&f, cpu_profile(1, "last", T0 + SECONDS(43) - 1, 8));
	fixture_put(&f, cpu_profile(1, "late", T0 + SECONDS(43), 16));
	struct storage_scan scan = scan_of(&id, 0, T0 + SECONDS(3), T0 + SECONDS(43));

	expect_at_every_level(&scan, "first 2/1\nlast 8/1\nmiddle 4/1\n");
	scan.until_ns = scan.from_ns;
	expect_at_every_level(&scan, "");
}

static void a_root_stack_and_negative_values_count(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(60));

	(void)state;
	fixture_put(&f, cpu_profile(1, "", T0, 0));
	fixture_put(&f, cpu_profile(1, "main", T0, -5));
	expect_at_every_level(&scan, " 0/1\nmain -5/1\n");
}

static void a_series_that_is_not_there_is_skipped(void **state)
{
	struct hash128 ids[2] = {{1, 2}, cpu_series()};
	struct storage_scan scan = scan_of(ids, 0, T0, T0 + SECONDS(60));

	(void)state;
	expect_at_every_level(&scan, "");
	fixture_put(&f, cpu_profile(1, "main", T0, 5));
	expect_at_every_level(&scan, "");
	scan.series_count = 2;
	expect_at_every_level(&scan, "main 5/1\n");
}

static void late_data_is_added_once(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(60));

	(void)state;
	fixture_put(&f, cpu_profile(1, "main", T0 + SECONDS(5), 1));
	expect_at_every_level(&scan, "main 1/1\n");
	struct profile *late = cpu_profile(1, "main;more", T0 + SECONDS(6), 2);

	late->arrived_ns = T0 + SECONDS(7200);
	fixture_put(&f, late);
	expect_at_every_level(&scan, "main 1/1\nmain;more 2/1\n");
	fixture_maintain(&f, LATER);
	fixture_maintain(&f, LATER + SECONDS(100));
	expect_scan(&f, &scan, "main 1/1\nmain;more 2/1\n");
}

static void owners_have_series_of_their_own(void **state)
{
	struct hash128 mine = series_id(1000, PROFILE_KIND_CPU, "service=a");
	struct hash128 theirs = series_id(1001, PROFILE_KIND_CPU, "service=a");
	struct storage_scan a = scan_of(&mine, 0, T0, T0 + SECONDS(10));
	struct storage_scan b = scan_of(&theirs, 0, T0, T0 + SECONDS(10));

	(void)state;
	for (uint32_t owner = 1000; owner <= 1001; owner++) {
		struct maker m;

		maker_init(&m, owner, owner);
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_record(&m, "main", T0, 1, (int)owner, 1);
		fixture_put(&f, maker_finish(&m));
	}
	expect_at_every_level(&a, "main 1000/1\n");
	expect_at_every_level(&b, "main 1001/1\n");
}

static int owner_seen(void *arg, const struct storage_segment *segment)
{
	*(uint32_t *)arg = segment->owner;
	return 0;
}

static void a_segment_names_its_owner(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));
	uint32_t owner = 0;

	(void)state;
	fixture_put(&f, cpu_profile(1, "main", T0, 1));
	assert_int_equal(storage_scan(f.reader, &scan, owner_seen, &owner, NULL), 0);
	assert_int_equal(owner, 1000);
	fixture_maintain(&f, LATER);
	owner = 0;
	assert_int_equal(storage_scan(f.reader, &scan, owner_seen, &owner, NULL), 0);
	assert_int_equal(owner, 1000);
}

/* ---- timelines ---- */

static void expect_timeline(const struct storage_scan *scan, int64_t step_ns, const char *expected)
{
	struct answer got CLEANUP(answer_release) = {0};

	assert_int_equal(store_timeline(f.reader, scan, step_ns, &got), 0);
	char *text CLEANUP(cleanup_free) = answer_text(&got);

	assert_string_equal(text, expected);
}

static void timeline_at_every_level(const struct storage_scan *scan, int64_t step_ns,
				    const char *expected)
{
	expect_timeline(scan, step_ns, expected);
	fixture_maintain(&f, LATER);
	expect_timeline(scan, step_ns, expected);
	fixture_reopen(&f);
	expect_timeline(scan, step_ns, expected);
}

static void a_timeline_gives_the_steps_that_have_samples(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(60));

	(void)state;
	fixture_put(&f, cpu_profile(1, "a", T0, 1));
	fixture_put(&f, cpu_profile(1, "b", T0 + SECONDS(19), 2));
	fixture_put(&f, cpu_profile(1, "a", T0 + SECONDS(20), 4));
	fixture_put(&f, cpu_profile(1, "a", T0 + SECONDS(60), 8));
	timeline_at_every_level(&scan, SECONDS(20),
				"0 @ 01767225600000000000 3/2\n0 @ 01767225620000000000 4/1\n");
	/* Steps that cut windows are answered as exactly. */
	timeline_at_every_level(&scan, SECONDS(7),
				"0 @ 01767225600000000000 1/1\n0 @ 01767225614000000000 6/2\n");
}

static struct profile *heap(unsigned instance, const char *stack, int64_t time_ns, int bytes,
			    bool ended)
{
	struct maker m;

	maker_init(&m, 1000, instance);
	maker_span(&m, time_ns, time_ns, time_ns);
	maker_series(&m, PROFILE_KIND_INUSE, "service=a");
	if (stack)
		maker_record(&m, stack, time_ns, 1, bytes, 1);
	if (ended)
		maker_ended(&m);
	return maker_finish(&m);
}

/* Stacks of one name count. */
static int only_named(void *arg, const struct storage_segment *tables, bool *passes)
{
	for (uint32_t i = 0; i < tables->nodes_count; i++) {
		char *stack CLEANUP(cleanup_free) = segment_stack(tables, i);

		assert_false(passes[i]);
		passes[i] = !strcmp(stack, arg);
	}
	return 0;
}

static void a_timeline_of_some_stacks_gives_theirs(void **state)
{
	struct hash128 cpu = cpu_series(), inuse = series_id(1000, PROFILE_KIND_INUSE, "service=a");
	struct storage_scan sums = scan_of(&cpu, 0, T0, T0 + SECONDS(60));
	struct storage_scan gauges = scan_of(&inuse, 0, T0, T0 + SECONDS(60));
	char name[] = "a;b";

	(void)state;
	sums.passes = gauges.passes = only_named;
	sums.passes_arg = gauges.passes_arg = name;
	fixture_put(&f, cpu_profile(1, "a", T0, 1));
	fixture_put(&f, cpu_profile(1, "a;b", T0 + SECONDS(19), 2));
	fixture_put(&f, cpu_profile(1, "a;b", T0 + SECONDS(21), 4));
	fixture_put(&f, cpu_profile(1, "b", T0 + SECONDS(22), 8));
	fixture_put(&f, heap(1, "a;b", T0 + SECONDS(1), 100, false));
	fixture_put(&f, heap(1, "a", T0 + SECONDS(15), 200, false)); /* a;b is not live any more */
	fixture_put(&f, heap(1, "a;b", T0 + SECONDS(40), 300, false));
	timeline_at_every_level(&sums, SECONDS(20),
				"0 @ 01767225600000000000 2/1\n0 @ 01767225620000000000 4/1\n");
	timeline_at_every_level(&sums, SECONDS(7),
				"0 @ 01767225614000000000 2/1\n0 @ 01767225621000000000 4/1\n");
	timeline_at_every_level(&gauges, SECONDS(20), "0 @ 01767225640000000000 300/1\n");
}

static void a_timeline_of_too_many_steps_is_refused(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, 0, T0);
	struct answer got = {0};

	(void)state;
	assert_int_equal(store_timeline(f.reader, &scan, 1, &got), -E2BIG);
	assert_int_equal(store_timeline(f.reader, &scan, 0, &got), -EINVAL);
}

/* ---- gauges ---- */

static void a_gauge_is_the_last_snapshot_of_each_instance(void **state)
{
	struct hash128 id = series_id(1000, PROFILE_KIND_INUSE, "service=a");
	struct storage_scan all = scan_of(&id, 0, T0, T0 + SECONDS(120));
	struct storage_scan before = scan_of(&id, 0, T0, T0 + SECONDS(30));
	struct storage_scan cut = scan_of(&id, 0, T0, T0 + SECONDS(42));

	(void)state;
	fixture_put(&f, heap(1, "a", T0 + SECONDS(1), 100, false));
	fixture_put(&f, heap(1, "b", T0 + SECONDS(40), 200, false));
	fixture_put(&f, heap(1, "c", T0 + SECONDS(40), 300, false)); /* the same snapshot */
	fixture_put(&f, heap(1, "d", T0 + SECONDS(43), 50, false));
	fixture_put(&f, heap(2, "a", T0 + SECONDS(7), 1000, false));
	expect_at_every_level(&all, "a 1000/1\nd 50/1\n");
	expect_at_every_level(&before, "a 1100/2\n");
	expect_at_every_level(&cut, "a 1000/1\nb 200/1\nc 300/1\n");
	timeline_at_every_level(&all, SECONDS(60), "0 @ 01767225600000000000 1050/2\n");
}

static void the_end_of_an_instance_closes_its_gauges(void **state)
{
	struct hash128 id = series_id(1000, PROFILE_KIND_INUSE, "service=a");
	struct storage_scan alive = scan_of(&id, 0, T0, T0 + SECONDS(50));
	struct storage_scan ended = scan_of(&id, 0, T0, T0 + SECONDS(50) + 1);

	(void)state;
	fixture_put(&f, heap(1, "a", T0 + SECONDS(1), 100, false));
	fixture_put(&f, heap(2, "b", T0 + SECONDS(2), 200, false));
	fixture_put(&f, heap(1, NULL, T0 + SECONDS(50), 0, true));
	expect_at_every_level(&alive, "a 100/1\nb 200/1\n");
	expect_at_every_level(&ended, "b 200/1\n");
	timeline_at_every_level(&ended, SECONDS(40), "0 @ 01767225600000000000 300/2\n");
}

static void a_snapshot_of_nothing_closes_the_one_before(void **state)
{
	struct hash128 id = series_id(1000, PROFILE_KIND_INUSE, "service=a");
	struct storage_scan before = scan_of(&id, 0, T0, T0 + SECONDS(20));
	struct storage_scan after = scan_of(&id, 0, T0, T0 + SECONDS(30));

	(void)state;
	fixture_put(&f, heap(1, "a", T0 + SECONDS(1), 100, false));
	fixture_put(&f, heap(2, "b", T0 + SECONDS(2), 200, false));
	fixture_put(&f, heap(1, "", T0 + SECONDS(20), 0, false));
	expect_at_every_level(&before, "a 100/1\nb 200/1\n");
	expect_at_every_level(&after, " 0/1\nb 200/1\n");
}

/* ---- series, records, losses ---- */

static int series_checked(void *arg, const struct storage_series *s)
{
	++*(int *)arg;
	assert_true(
	    hash128_equal(s->identity, series_id(7, PROFILE_KIND_CPU, "service=a,env=prod")));
	assert_int_equal(s->owner, 7);
	assert_true(s->name.len == 11 && !memcmp(s->name.ptr, "process_cpu", 11));
	assert_true(s->period_type.len == 3 && !memcmp(s->period_type.ptr, "cpu", 3));
	assert_int_equal(s->period, 10000000);
	assert_int_equal(s->columns_count, 2);
	assert_true(s->columns[1].type.len == 7 && !memcmp(s->columns[1].type.ptr, "samples", 7));
	assert_false(s->columns[0].gauge);
	assert_int_equal(s->labels_count, 2);
	assert_true(!memcmp(s->labels[0].key.ptr, "env", 3));
	assert_true(!memcmp(s->labels[0].value.ptr, "prod", 4));
	assert_true(!memcmp(s->labels[1].value.ptr, "a", 1));
	assert_int_equal(s->first_ns, T0 + SECONDS(1));
	assert_int_equal(s->last_ns, T0 + SECONDS(2));
	return 0;
}

static void a_series_is_described_once(void **state)
{
	int seen = 0;

	(void)state;
	for (int i = 1; i <= 2; i++) {
		struct maker m;

		maker_init(&m, 7, 1);
		maker_series(&m, PROFILE_KIND_CPU, "service=a,env=prod");
		maker_record(&m, "main", T0 + SECONDS(i), 1, 1, 1);
		fixture_put(&f, maker_finish(&m));
	}
	for (int level = 0; level < 2; level++) {
		seen = 0;
		assert_int_equal(
		    storage_series(f.reader, T0, T0 + SECONDS(9), series_checked, &seen, NULL), 0);
		assert_int_equal(seen, 1);
		fixture_maintain(&f, LATER);
		fixture_reopen(&f);
	}
	assert_int_equal(storage_series(f.reader, T0, T0 + SECONDS(1), series_checked, &seen, NULL),
			 0);
	assert_int_equal(seen, 1);
}

static int stop(void *arg, const struct storage_series *s)
{
	(void)arg;
	(void)s;
	return 77;
}

static int stop_segment(void *arg, const struct storage_segment *s)
{
	(void)arg;
	(void)s;
	return -77;
}

static void a_callback_ends_the_walk(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));

	(void)state;
	fixture_put(&f, cpu_profile(1, "main", T0, 1));
	assert_int_equal(storage_series(f.reader, T0, T0 + 1, stop, NULL, NULL), 77);
	assert_int_equal(storage_scan(f.reader, &scan, stop_segment, NULL, NULL), -77);
	expect_scan(&f, &scan, "main 1/1\n");
}

static void a_deadline_that_passed_ends_a_scan(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));
	struct answer got CLEANUP(answer_release) = {0};

	(void)state;
	fixture_put(&f, cpu_profile(1, "main", T0, 1));
	scan.deadline_ns = 1;
	assert_int_equal(store_scan(f.reader, &scan, &got), -ETIME);
	assert_int_equal(store_timeline(f.reader, &scan, SECONDS(10), &got), -ETIME);
	assert_int_equal(store_records(f.reader, &scan, &got), -ETIME);
}

static void records_keep_time_thread_and_process(void **state)
{
	struct model model = {0};
	struct maker m;
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));

	(void)state;
	maker_init(&m, 1000, 5);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_context(&m, "thread=worker,span=#-42");
	maker_record(&m, "main;a", T0 + 123, 2, 7, 2);
	maker_context(&m, "thread=worker,span=#43");
	maker_record(&m, "main;a", T0 + 456, 1, 8, 1);
	model_take(&model, maker_finish(&m));
	const struct profile *list[] = {model.profiles[0]};

	assert_int_equal(storage_put(f.store, list, 1, NULL, NULL), 0);
	expect_as_model(&f, &model, &scan, SECONDS(10));
	fixture_maintain(&f, LATER);
	fixture_reopen(&f);
	expect_as_model(&f, &model, &scan, SECONDS(10));
	model_release(&model);
}

static void losses_are_counted_by_reason(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));
	struct maker m;

	(void)state;
	maker_init(&m, 1000, 5);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_loss(&m, "ring_full", 3, T0);
	maker_loss(&m, "ring_full", 4, T0 + SECONDS(9));
	maker_loss(&m, "stack_depth", 5, T0 + SECONDS(10) - 1);
	maker_loss(&m, "stack_depth", 50, T0 + SECONDS(10));
	fixture_put(&f, maker_finish(&m));
	for (int level = 0; level < 2; level++) {
		struct answer got CLEANUP(answer_release) = {0};

		assert_int_equal(store_losses(f.reader, &scan, &got), 0);
		char *text CLEANUP(cleanup_free) = answer_text(&got);

		assert_string_equal(text, "0 ring_full 0/7\n0 stack_depth 0/5\n");
		fixture_maintain(&f, LATER);
		fixture_reopen(&f);
	}
}

/* ---- exactly once ---- */

static void an_upload_id_counts_once_a_day(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(200000));
	const int64_t arrivals[] = {T0, T0 + SECONDS(5), T0 + SECONDS(86399), T0 + SECONDS(86400)};
	const int expected[] = {STORAGE_STORED, STORAGE_DUPLICATE, STORAGE_DUPLICATE,
				STORAGE_STORED};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(arrivals); i++) {
		struct maker m;
		int result = -1;

		maker_init(&m, 1000, 0);
		maker_span(&m, arrivals[i], arrivals[i], arrivals[i]);
		maker_upload(&m, "upload-1");
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_record(&m, "main", arrivals[i], 1, 1, 1);
		struct profile *p = maker_finish(&m);
		const struct profile *list[] = {p};

		assert_int_equal(storage_put(f.store, list, 1, &result, NULL), 0);
		assert_int_equal(result, expected[i]);
		profile_free(p);
		fixture_reopen(&f);
	}
	expect_scan(&f, &scan, "main 2/2\n");
}

static void an_upload_id_counts_once_in_a_batch_and_belongs_to_its_owner(void **state)
{
	struct profile *profiles[3];
	int results[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct maker m;

		maker_init(&m, i < 2 ? 1000 : 1001, 0);
		maker_upload(&m, "same");
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_record(&m, "main", T0, 1, 1, 1);
		profiles[i] = maker_finish(&m);
	}
	const struct profile *list[] = {profiles[0], profiles[1], profiles[2]};

	assert_int_equal(storage_put(f.store, list, 3, results, NULL), 0);
	assert_int_equal(results[0], STORAGE_STORED);
	assert_int_equal(results[1], STORAGE_DUPLICATE);
	assert_int_equal(results[2], STORAGE_STORED);
	for (unsigned i = 0; i < 3; i++)
		profile_free(profiles[i]);
	struct storage_stats stats;

	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	assert_int_equal(stats.duplicates, 1);
	assert_int_equal(stats.profiles, 2);
	assert_int_equal(stats.records, 2);
}

static void a_duplicate_takes_nothing_else_of_its_batch_along(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));
	struct profile *profiles[2];
	int results[2];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 2; i++) {
			struct maker m;

			maker_init(&m, 1000, 0);
			maker_upload(&m, i ? (round ? "third" : "second") : "first");
			maker_series(&m, PROFILE_KIND_CPU, "service=a");
			maker_record(&m, i ? (round ? "third" : "second") : "first", T0, 1, 1, 1);
			profiles[i] = maker_finish(&m);
		}
		const struct profile *list[] = {profiles[0], profiles[1]};

		assert_int_equal(storage_put(f.store, list, 2, results, NULL), 0);
		assert_int_equal(results[0], round ? STORAGE_DUPLICATE : STORAGE_STORED);
		assert_int_equal(results[1], STORAGE_STORED);
		profile_free(profiles[0]);
		profile_free(profiles[1]);
	}
	expect_at_every_level(&scan, "first 1/1\nsecond 1/1\nthird 1/1\n");
}

static void cursors_are_kept_with_their_samples(void **state)
{
	uint8_t id[16];
	uint64_t at = 99;

	(void)state;
	instance_id(3, id);
	assert_int_equal(storage_cursor(f.store, id, 0, &at, NULL), 0);
	assert_int_equal(at, 0);
	for (uint64_t position = 1000; position <= 3000; position += 1000) {
		struct maker m;

		maker_init(&m, 1000, 3);
		maker_span(&m, T0, T0, T0 + SECONDS(position));
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_cursor(&m, 0, position);
		maker_cursor(&m, 7, position + 7);
		fixture_put(&f, maker_finish(&m));
		fixture_reopen(&f);
		assert_int_equal(storage_cursor(f.store, id, 0, &at, NULL), 0);
		assert_int_equal(at, position);
		assert_int_equal(storage_cursor(f.store, id, 7, &at, NULL), 0);
		assert_int_equal(at, position + 7);
	}
	assert_int_equal(storage_cursor(f.store, id, 1, &at, NULL), 0);
	assert_int_equal(at, 0);
}

static void a_time_outside_the_calendar_is_refused_alone(void **state)
{
	struct profile *bad = cpu_profile(1, "bad", T0, 1), *good = cpu_profile(1, "good", T0, 2);
	const struct profile *list[] = {bad, good};
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));
	struct err err = {0};
	int results[2];

	(void)state;
	bad->records[0].time_ns = -1;
	assert_int_equal(storage_put(f.store, list, 2, results, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_int_equal(results[0], -EINVAL);
	assert_int_equal(results[1], STORAGE_STORED);
	profile_free(bad);
	profile_free(good);
	expect_at_every_level(&scan, "good 2/1\n");
}

/* ---- readers, symbols, retention ---- */

static void readers_see_what_was_put_before_they_ask(void **state)
{
	struct storage_reader *early = f.reader, *late;
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10));

	(void)state;
	expect_scan(&f, &scan, "");
	fixture_put(&f, cpu_profile(1, "main", T0, 1));
	assert_int_equal(storage_reader_open(f.store, &late, NULL), 0);
	expect_scan(&f, &scan, "main 1/1\n");
	fixture_put(&f, cpu_profile(1, "main;more", T0, 1));
	f.reader = late;
	expect_scan(&f, &scan, "main 1/1\nmain;more 1/1\n");
	f.reader = early;
	expect_scan(&f, &scan, "main 1/1\nmain;more 1/1\n");
	storage_reader_close(late);
}

static void symbols_are_replaced_with_a_higher_epoch(void **state)
{
	const uint8_t build_id[20] = {1, 2, 3};
	uint64_t first = 0, second = 0, epoch = 0;
	void *table = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(storage_symbols_get(f.reader, 0, build_id, 20, &table, &len, &epoch, NULL),
			 -ENOENT);
	assert_int_equal(storage_symbols_put(f.store, 0, build_id, 20, "old", 3, &first, NULL), 0);
	assert_int_equal(storage_symbols_put(f.store, 0, build_id, 20, "newer", 5, &second, NULL),
			 0);
	assert_int_equal(storage_symbols_put(f.store, 9, build_id, 20, "", 0, &epoch, NULL), 0);
	assert_true(second > first);
	fixture_reopen(&f);
	assert_int_equal(storage_symbols_get(f.reader, 0, build_id, 20, &table, &len, &epoch, NULL),
			 0);
	assert_int_equal(len, 5);
	assert_memory_equal(table, "newer", 5);
	assert_int_equal(epoch, second);
	free(table);
	assert_int_equal(storage_symbols_get(f.reader, 9, build_id, 20, &table, &len, &epoch, NULL),
			 0);
	assert_int_equal(len, 0);
	free(table);
	assert_int_equal(storage_symbols_get(f.reader, 0, build_id, 16, &table, &len, &epoch, NULL),
			 -ENOENT);
	assert_int_equal(storage_symbols_put(f.store, 0, build_id, 20, "again", 5, &epoch, NULL),
			 0);
	assert_true(epoch > second);
}

static void what_is_too_old_goes_and_the_newest_stays(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(10000000));
	int64_t day = SECONDS(86400);

	(void)state;
	f.options.l0_age_ns = f.options.l1_age_ns = f.options.l2_age_ns = 2 * day;
	fixture_close(&f);
	fixture_open(&f);
	fixture_put(&f, cpu_profile(1, "old", T0, 1));
	fixture_put(&f, cpu_profile(1, "new", T0 + 70 * day, 2));
	expect_scan(&f, &scan, "new 2/1\nold 1/1\n");
	fixture_maintain(&f, T0 + 70 * day + SECONDS(100));
	expect_scan(&f, &scan, "new 2/1\n");
	fixture_maintain(&f, T0 + 100 * day);
	fixture_reopen(&f);
	fixture_maintain(&f, T0 + 100 * day);
	expect_scan(&f, &scan, "new 2/1\n");
}

static void the_byte_budget_holds(void **state)
{
	struct hash128 id = cpu_series();
	struct storage_scan scan = scan_of(&id, 0, T0, T0 + SECONDS(100000000));
	struct storage_stats stats;

	(void)state;
	f.options.bytes_max = 1 << 20;
	fixture_close(&f);
	fixture_open(&f);
	for (int day = 0; day < 30 * 31; day += 31) { /* a file of its own at each level */
		struct maker m;
		int64_t at = T0 + SECONDS(86400) * day;

		maker_init(&m, 1000, 1);
		maker_span(&m, at, at, at);
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		for (int i = 0; i < 4000; i++) {
			char stack[64];

			(void)snprintf(stack, sizeof(stack), "f%08x;g%08x", i * (day / 31) * 7919,
				       i);
			maker_record(&m, stack, at + i, 1, day, 1);
		}
		fixture_put(&f, maker_finish(&m));
		fixture_maintain(&f, at + SECONDS(100));
		assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
		assert_true(stats.bytes <= f.options.bytes_max + (1 << 20));
	}
	assert_true(stats.oldest_ns > T0);
	assert_int_equal(stats.newest_ns, T0 + SECONDS(86400 * 29) * 31 + 3999);
	scan.from_ns = T0 + SECONDS(86400 * 29) * 31;
	struct answer got CLEANUP(answer_release) = {0};

	assert_int_equal(store_scan(f.reader, &scan, &got), 0);
	assert_int_equal(got.count, 4000);
}

static void stats_describe_the_store(void **state)
{
	struct storage_stats stats;

	(void)state;
	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	assert_int_equal(stats.oldest_ns, 0);
	assert_int_equal(stats.newest_ns, 0);
	fixture_put(&f, cpu_profile(1, "main", T0 + 5, 1));
	fixture_put(&f, cpu_profile(1, "main", T0 + 9, 1));
	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	assert_int_equal(stats.oldest_ns, T0 + 5);
	assert_int_equal(stats.newest_ns, T0 + 9);
	assert_int_equal(stats.records, 2);
	assert_int_equal(stats.profiles, 2);
	assert_true(stats.bytes > 0 && stats.l0_bytes > 0 && stats.l0_bytes <= stats.bytes);
	assert_true(stats.version[0]);
}

static void a_location_that_nobody_knows_is_refused(void **state)
{
	struct storage *store;
	struct err err = {0};

	(void)state;
	assert_int_equal(storage_open("stone:tablet", NULL, &store, &err), -EINVAL);
	assert_non_null(strstr(err.message, "stone:tablet"));
	assert_int_equal(storage_open("sqlite", NULL, &store, &err), -EINVAL);
}

#define CASE(fn) cmocka_unit_test_prestate_setup_teardown(fn, setup, teardown, state)

static int run_suite(const struct storage_backend *which)
{
	void *state CLEANUP(cleanup_free) = malloc(sizeof(*which));

	memcpy(state, which, sizeof(*which));
	const struct CMUnitTest tests[] = {
	    CASE(sums_by_stack_over_batches_and_files),
	    CASE(columns_are_asked_one_at_a_time),
	    CASE(range_is_exact_to_the_nanosecond),
	    CASE(a_root_stack_and_negative_values_count),
	    CASE(a_series_that_is_not_there_is_skipped),
	    CASE(late_data_is_added_once),
	    CASE(owners_have_series_of_their_own),
	    CASE(a_segment_names_its_owner),
	    CASE(a_timeline_gives_the_steps_that_have_samples),
	    CASE(a_timeline_of_some_stacks_gives_theirs),
	    CASE(a_timeline_of_too_many_steps_is_refused),
	    CASE(a_gauge_is_the_last_snapshot_of_each_instance),
	    CASE(the_end_of_an_instance_closes_its_gauges),
	    CASE(a_snapshot_of_nothing_closes_the_one_before),
	    CASE(a_series_is_described_once),
	    CASE(a_callback_ends_the_walk),
	    CASE(a_deadline_that_passed_ends_a_scan),
	    CASE(records_keep_time_thread_and_process),
	    CASE(losses_are_counted_by_reason),
	    CASE(an_upload_id_counts_once_a_day),
	    CASE(an_upload_id_counts_once_in_a_batch_and_belongs_to_its_owner),
	    CASE(a_duplicate_takes_nothing_else_of_its_batch_along),
	    CASE(cursors_are_kept_with_their_samples),
	    CASE(a_time_outside_the_calendar_is_refused_alone),
	    CASE(readers_see_what_was_put_before_they_ask),
	    CASE(symbols_are_replaced_with_a_higher_epoch),
	    CASE(what_is_too_old_goes_and_the_newest_stays),
	    CASE(the_byte_budget_holds),
	    CASE(stats_describe_the_store),
	    CASE(a_location_that_nobody_knows_is_refused),
	    cmocka_unit_test_prestate(random_histories_are_answered_as_by_the_model, state),
	};

	print_message("store: %s\n", which->name);
	return cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
}

int main(void)
{
	int failed = 0;

#define BACKEND(name) failed += run_suite(&storage_##name);
#include "storage/backends.def"
#undef BACKEND
	return failed != 0;
}
