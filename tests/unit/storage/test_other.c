/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding under pressure: when L2 has its share of the budget, or a service has names without end,
 * small stacks go to [other], totals stay, and answers say so.
 */
#include "tests/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/store_case.h"

#define HOUR(n) (T0 + SECONDS(3600) * (n))
#define SMALL_STACKS 2000
#define SHARE (80 << 10) /* bytes of L2: more than an empty file, less than one with a storm */

static void maintain_until(int64_t from_ns, int64_t until_ns)
{
	for (int64_t t = from_ns; t < until_ns; t += SECONDS(10))
		fixture_maintain(&f, t);
}

static void reopen_short(void)
{
	fixture_close(&f);
	f.options.bytes_max = SHARE * 8 / 3;
	fixture_open(&f);
}

/* A large stack, and many small ones with names of their own. */
static struct profile *storm(const char *kind, int hour, int64_t time_ns)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, time_ns, time_ns, time_ns);
	maker_series_of(&m, kind, "service=a");
	maker_record(&m, "main;hot", time_ns, 1, 100000);
	for (int i = 0; i < SMALL_STACKS; i++) {
		char stack[100];

		text_fill(stack, (size_t)sprintf(stack, "main;work;f%d_%d_", hour, i), 80);
		maker_record(&m, stack, time_ns, 1, 1);
	}
	return maker_finish(&m);
}

static int note_identity(void *arg, const struct storage_series *series)
{
	*(struct hash128 *)arg = series->identity;
	return 0;
}

/* There is one. */
static struct hash128 the_series(void)
{
	struct hash128 id = {0};

	assert_int_equal(storage_series(f.reader, T0, HOUR(100), note_identity, &id, NULL), 0);
	return id;
}

struct sums {
	int64_t sum;
	uint64_t count;
	size_t leaves;
	bool folded;
};

static int add_segment(void *arg, const struct storage_segment *segment)
{
	struct sums *sums = arg;

	for (size_t i = 0; i < segment->leaves_count; i++) {
		sums->sum += segment->sums[i];
		sums->count += segment->counts[i];
	}
	sums->leaves += segment->leaves_count;
	sums->folded |= segment->folded;
	return 0;
}

static struct storage_scan scan_hour(const struct hash128 *id, int hour)
{
	return (struct storage_scan){
	    .series = id, .series_count = 1, .from_ns = HOUR(hour), .until_ns = HOUR(hour + 1)};
}

static void expect_hour(int hour, const char *expected)
{
	struct hash128 id = the_series();
	struct storage_scan scan = scan_hour(&id, hour);

	expect_scan(&f, &scan, expected);
}

static struct sums sums_of(int from, int until)
{
	struct hash128 id = the_series();
	struct storage_scan scan = scan_hour(&id, from);
	struct sums sums = {0};

	scan.until_ns = HOUR(until);

	assert_int_equal(storage_scan(f.reader, &scan, add_segment, &sums, NULL), 0);
	return sums;
}

#define SUMS "cpu:cpu:nanoseconds:cpu/nanoseconds"

static void hours(const char *kind, int from, int until)
{
	for (int hour = from; hour < until; hour++) {
		fixture_put(&f, storm(kind, hour, HOUR(hour) + SECONDS(60)));
		maintain_until(HOUR(hour) + SECONDS(60), HOUR(hour + 1));
	}
}

static void small_stacks_go_when_l2_has_its_share(void **state)
{
	struct sums first, all;

	(void)state;
	reopen_short();
	hours(SUMS, 0, 4);
	/* There was room for the first. */
	first = sums_of(0, 1);
	assert_int_equal(first.leaves, SMALL_STACKS + 1);
	assert_false(first.folded);
	expect_hour(1, "main;hot 100000/1\nmain;work;[other] 2000/2000\n");
	assert_true(sums_of(1, 2).folded);
	all = sums_of(0, 2);
	assert_int_equal(all.sum, 2 * (100000 + SMALL_STACKS));
	assert_int_equal(all.count, 2 * (1 + SMALL_STACKS));
	assert_true(all.folded);
	fixture_reopen(&f);
	expect_hour(1, "main;hot 100000/1\nmain;work;[other] 2000/2000\n");
	assert_true(sums_of(1, 2).folded);
}

static void what_comes_late_is_added(void **state)
{
	struct maker m;

	(void)state;
	reopen_short();
	hours(SUMS, 0, 3);
	maker_init(&m, 1000, 1);
	maker_span(&m, HOUR(1), HOUR(1), HOUR(3));
	maker_series_of(&m, SUMS, "service=a");
	maker_record(&m, "main;hot", HOUR(1), 1, 5000);
	maker_record(&m, "main;work;late", HOUR(1), 1, 5);
	maker_record(&m, "main;work;f1_1", HOUR(1), 1, 1);
	maker_record(&m, "main;work", HOUR(1), 1, 4);
	fixture_put(&f, maker_finish(&m));
	maintain_until(HOUR(3), HOUR(6));
	expect_hour(1, "main;hot 105000/2\nmain;work 4/1\nmain;work;[other] 2006/2002\n");
}

static void the_last_snapshot_of_a_gauge_counts(void **state)
{
	static const char kind[] = "heap:space:bytes:inuse/bytes!";

	(void)state;
	reopen_short();
	hours(kind, 0, 1);
	fixture_put(&f, storm(kind, 100, HOUR(1) + SECONDS(30)));
	hours(kind, 1, 3);
	expect_hour(1, "main;hot 100000/1\nmain;work;[other] 2000/2000\n");
	assert_true(sums_of(1, 2).folded);
}

/* Each snapshot of an hour has names of its own; those before the last are nobody's. */
static void earlier_snapshots_weigh_nothing(void **state)
{
	static const char kind[] = "heap:space:bytes:inuse/bytes!";

	(void)state;
	reopen_short();
	hours(kind, 0, 1);
	for (int i = 0; i < 300; i++) {
		struct maker m;
		int64_t at = HOUR(1) + SECONDS(10) * i;

		maker_init(&m, 1000, 1);
		maker_span(&m, at, at, at);
		maker_series_of(&m, kind, "service=a");
		for (int part = 0; part < 2; part++) {
			char stack[64];

			(void)sprintf(stack, "main;part%d_%d", i, part);
			maker_record(&m, stack, at, 1, 500);
		}
		fixture_put(&f, maker_finish(&m));
	}
	maintain_until(HOUR(1) + SECONDS(3000), HOUR(2));
	hours(kind, 2, 3);
	expect_hour(1, "main;part299_0 500/1\nmain;part299_1 500/1\n");
	/* What counts at the end of the first two is not of a folded hour. */
	assert_false(sums_of(0, 2).folded);
}

static void where_values_are_nothing_samples_decide(void **state)
{
	struct maker m;

	(void)state;
	reopen_short();
	hours(SUMS, 0, 1);
	maker_init(&m, 1000, 1);
	maker_span(&m, HOUR(1), HOUR(1), HOUR(1));
	maker_series_of(&m, SUMS, "service=a");
	maker_record(&m, "main;hot", HOUR(1), 5000, 0);
	maker_record(&m, "main;cold", HOUR(1), 1, 0);
	fixture_put(&f, maker_finish(&m));
	maintain_until(HOUR(1), HOUR(2));
	hours(SUMS, 2, 3);
	expect_hour(1, "main;[other] 0/1\nmain;hot 0/5000\n");
}

#define NAME_BYTES 4000
#define NAMES 20000

/* More text than L2 keeps of a service, though there is room. */
static void names_without_end_are_folded(void **state)
{
	static char stack[NAME_BYTES + 1];

	(void)state;
	for (int i = 0; i < NAMES;) {
		int64_t at = HOUR(0) + SECONDS(1) * i / 100;
		struct maker m;

		maker_init(&m, 1000, 1);
		maker_span(&m, at, at, at);
		maker_series_of(&m, SUMS, "service=a");
		maker_record(&m, "main;hot", at, 1, 1000);
		do {
			text_fill(stack, (size_t)sprintf(stack, "main;work;f%d_", i), NAME_BYTES);
			maker_record(&m, stack, at, 1, 1);
		} while (++i % 1000);
		fixture_put(&f, maker_finish(&m));
	}
	fixture_put(&f, storm(SUMS, 1, HOUR(1)));
	maintain_until(HOUR(1), HOUR(1) + SECONDS(600));
	expect_hour(0, "main;hot 20000/20\nmain;work;[other] 20000/20000\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(small_stacks_go_when_l2_has_its_share),   CASE(what_comes_late_is_added),
	    CASE(the_last_snapshot_of_a_gauge_counts),     CASE(earlier_snapshots_weigh_nothing),
	    CASE(where_values_are_nothing_samples_decide), CASE(names_without_end_are_folded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
