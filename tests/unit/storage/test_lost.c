/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A day of L1 that is lost while L2 has some of it: it is derived again from what is left of L0,
 * and nothing counts twice or not at all, also where a range cuts an hour.  Random histories with
 * lost days are in tests/contract/storage_model.c; here are those that were found one by one.
 */
#include "tests/cmocka.h"

#include <stdio.h>

#include "tests/support/store_case.h"

#define HOUR(n) (T0 + SECONDS(3600) * (n))

/* One sample, and as much loss. */
static void put_late(int64_t time_ns, int64_t arrived_ns)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, time_ns, time_ns, arrived_ns);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_record(&m, "main", time_ns, 1, 1, 1);
	maker_loss(&m, "ring_full", 1, time_ns);
	fixture_put(&f, maker_finish(&m));
}

static void put(int64_t time_ns)
{
	put_late(time_ns, time_ns);
}

/* As the agent does it, every two seconds. */
static void maintain_until(int64_t from_ns, int64_t until_ns)
{
	for (int64_t t = from_ns; t < until_ns; t += SECONDS(2))
		fixture_maintain(&f, t);
}

static void expect(int64_t from_ns, int64_t until_ns, unsigned count)
{
	struct hash128 id = series_id(1000, PROFILE_KIND_CPU, "service=a");
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = from_ns, .until_ns = until_ns};
	struct answer got CLEANUP(answer_release) = {0}, lost CLEANUP(answer_release) = {0};

	assert_int_equal(store_scan(f.reader, &scan, &got), 0);
	assert_int_equal(store_losses(f.reader, &scan, &lost), 0);
	assert_int_equal(got.count ? got.lines[0].sum : 0, count);
	assert_int_equal(lost.count ? lost.lines[0].count : 0, count);
}

/* An hour with a sample every minute, and then another that makes L2 take it. */
static void fill_hour(int64_t hour_ns)
{
	for (int64_t t = hour_ns; t < hour_ns + SECONDS(3600); t += SECONDS(60)) {
		put(t);
		fixture_maintain(&f, t);
	}
}

static void a_cut_hour_is_had_from_where_it_is(void **state)
{
	(void)state;
	fill_hour(HOUR(0));
	put(HOUR(1));
	maintain_until(HOUR(1), HOUR(1) + SECONDS(700));
	for (int lost = 0; lost < 2; lost++) {
		expect(HOUR(0), HOUR(1), 60);
		expect(HOUR(0), HOUR(0) + SECONDS(1800), 30);
		expect(HOUR(0) + SECONDS(1800), HOUR(1), 30);
		fixture_lose(&f, "l1");
	}
	/* Nothing is derived yet, and then it is; then L2 is asked for packs. */
	for (int hours = 1; hours < 5; hours += 3) {
		expect(HOUR(0), HOUR(1), 60);
		expect(HOUR(0), HOUR(0) + SECONDS(1800), 30);
		expect(HOUR(0) + SECONDS(60), HOUR(1), 59);
		maintain_until(HOUR(hours) + SECONDS(800), HOUR(hours) + SECONDS(900));
	}
	expect(HOUR(0), HOUR(0) + SECONDS(1800), 30);
	expect(HOUR(0) + SECONDS(60), HOUR(1), 59);
}

/* What is left of the records are two hours of four and a late sample. */
static void an_hour_without_records_counts_at_its_start(void **state)
{
	(void)state;
	for (int n = 0; n < 4; n++)
		fill_hour(HOUR(n));
	put_late(HOUR(1) + SECONDS(59), HOUR(3) + SECONDS(3598));
	put(HOUR(4));
	maintain_until(HOUR(4), HOUR(4) + SECONDS(700));
	put(HOUR(5));
	maintain_until(HOUR(5), HOUR(5) + SECONDS(700));
	f.options.l0_age_ns = SECONDS(3600 * 3 + 600);
	fixture_reopen(&f);
	fixture_maintain(&f, HOUR(5) + SECONDS(702));
	f.options.l0_age_ns = SECONDS(86400 * 365);
	fixture_lose(&f, "l1");
	maintain_until(HOUR(5) + SECONDS(704), HOUR(5) + SECONDS(800));
	for (int n = 0; n < 4; n++)
		expect(HOUR(n), HOUR(n + 1), n == 1 ? 61 : 60);
	expect(HOUR(1), HOUR(1) + SECONDS(1800), 61);
	expect(HOUR(1) + SECONDS(1800), HOUR(2), 0);
	expect(HOUR(3), HOUR(3) + SECONDS(1800), 30);
	expect(HOUR(3) + SECONDS(1800), HOUR(4), 30);
}

/* Batches get other numbers when L0 is packed, and L2 must not have one of them only in part. */
static void a_late_upload_before_packing_counts_once(void **state)
{
	(void)state;
	fill_hour(HOUR(0));
	maintain_until(HOUR(1), HOUR(1) + SECONDS(20));
	put(HOUR(1) + SECONDS(2));
	put_late(HOUR(1) - SECONDS(10), HOUR(1) + SECONDS(20));
	maintain_until(HOUR(1) + SECONDS(20), HOUR(1) + SECONDS(700));
	expect(HOUR(0), HOUR(1), 61);
	fixture_lose(&f, "l1");
	maintain_until(HOUR(1) + SECONDS(702), HOUR(1) + SECONDS(760));
	expect(HOUR(0), HOUR(1), 61);
	expect(HOUR(0) + SECONDS(1800), HOUR(1), 31);
	maintain_until(HOUR(4), HOUR(4) + SECONDS(60));
	fixture_lose(&f, "l1");
	maintain_until(HOUR(4) + SECONDS(60), HOUR(4) + SECONDS(120));
	expect(HOUR(0), HOUR(1), 61);
}

/* L2 takes an hour when the next has begun, of which L1 has some already. */
static void what_l2_did_not_take_is_not_taken_for_known(void **state)
{
	(void)state;
	fill_hour(HOUR(0));
	for (int64_t t = HOUR(1); t < HOUR(1) + SECONDS(40); t += SECONDS(2)) {
		put(t);
		fixture_maintain(&f, t);
	}
	maintain_until(HOUR(1) + SECONDS(42), HOUR(1) + SECONDS(100));
	fixture_lose(&f, "l1");
	maintain_until(HOUR(1) + SECONDS(102), HOUR(1) + SECONDS(160));
	expect(HOUR(1), HOUR(2), 20);
	expect(HOUR(1), HOUR(1) + SECONDS(1800), 20);
	put(HOUR(2));
	maintain_until(HOUR(4), HOUR(4) + SECONDS(100));
	expect(HOUR(0), HOUR(1), 60);
	expect(HOUR(1), HOUR(2), 20);
}

static void copy(const char *from, const char *to)
{
	char a[128], b[128];

	(void)snprintf(a, sizeof(a), "%s/%s", f.dir, from);
	(void)snprintf(b, sizeof(b), "%s/%s", f.dir, to);
	copy_file(a, b);
}

/* A loss of power with sync_within_seconds, or an older copy: L1 has batches that L0 has not. */
static void new_batches_are_not_taken_for_lost_ones(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		put(T0 + SECONDS(i));
	fixture_close(&f);
	copy("l0/20260101T00.db", "older");
	fixture_open(&f);
	for (int i = 10; i < 20; i++)
		put(T0 + SECONDS(i));
	fixture_maintain(&f, T0 + SECONDS(60));
	expect(T0, HOUR(1), 20);
	fixture_close(&f);
	copy("older", "l0/20260101T00.db");
	fixture_open(&f);
	for (int i = 60; i < 65; i++)
		put(T0 + SECONDS(i));
	expect(T0, HOUR(1), 25);
	fixture_maintain(&f, T0 + SECONDS(120));
	expect(T0, HOUR(1), 25);
	fixture_reopen(&f);
	put(T0 + SECONDS(130));
	fixture_maintain(&f, HOUR(3));
	expect(T0, HOUR(1), 26);
}

/* And L2 lost as well: from L1 again. */
static void lost_one_after_the_other_all_counts_once(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		put(T0 + SECONDS(600) * i);
		fixture_maintain(&f, T0 + SECONDS(600) * i + SECONDS(60));
	}
	fixture_maintain(&f, HOUR(30));
	put(T0 + SECONDS(2400));
	fixture_lose(&f, "l1");
	for (int hours = 30; hours < 36; hours += 3) {
		expect(T0, HOUR(2), 4);
		fixture_maintain(&f, HOUR(hours) + SECONDS(100));
	}
	fixture_lose(&f, "l2");
	expect(T0, HOUR(2), 4);
	fixture_maintain(&f, HOUR(40));
	expect(T0, HOUR(2), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_cut_hour_is_had_from_where_it_is),
	    CASE(an_hour_without_records_counts_at_its_start),
	    CASE(a_late_upload_before_packing_counts_once),
	    CASE(what_l2_did_not_take_is_not_taken_for_known),
	    CASE(new_batches_are_not_taken_for_lost_ones),
	    CASE(lost_one_after_the_other_all_counts_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
