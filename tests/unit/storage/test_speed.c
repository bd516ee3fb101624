/* SPDX-License-Identifier: Apache-2.0 */
/* How long the main calls take; prints figures, and fails only where nothing comes out. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/support/store.h"

static struct profile *busy(int n, int64_t at)
{
	struct maker m;

	maker_init(&m, 1000, 1 + (unsigned)n);
	maker_span(&m, at, at, at);
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_context(&m, "thread=worker");
	for (int i = 0; i < 2000; i++) {
		char stack[128];

		(void)snprintf(stack, sizeof(stack), "main;run;loop;f%d;g%d;h%d", n % 3, i % 40,
			       i * i % 97);
		maker_record(&m, stack, at + i * 400000, 1, 10000000, 1);
	}
	return maker_finish(&m);
}

static int add_segment(void *arg, const struct storage_segment *s)
{
	for (size_t i = 0; i < s->leaves_count; i++)
		*(uint64_t *)arg += s->counts[i];
	return 0;
}

static void put_derive_and_scan(void **state)
{
	struct fixture f;
	struct profile *profiles[20];
	const struct profile *list[20];
	struct storage_stats stats;
	struct hash128 id = series_id(1000, PROFILE_KIND_CPU, "service=a");
	struct storage_scan scan = {
	    .series = &id, .series_count = 1, .from_ns = T0, .until_ns = T0 + SECONDS(3600)};
	int64_t best = INT64_MAX, start;
	uint64_t got = 0;

	(void)state;
	fixture_init(&f, &storage_sqlite);
	for (int round = 0; round < 10; round++) {
		for (int n = 0; n < 20; n++)
			list[n] = profiles[n] = busy(n, T0 + SECONDS(round * 10));
		start = clock_monotonic_ns();
		assert_int_equal(storage_put(f.store, list, 20, NULL, NULL), 0);
		best = MIN(best, clock_monotonic_ns() - start);
		for (int n = 0; n < 20; n++)
			profile_free(profiles[n]);
	}
	print_message("put of 20 profiles x 2,000 records: %.2f ms\n", (double)best / 1e6);
	start = clock_monotonic_ns();
	assert_int_equal(storage_scan(f.reader, &scan, add_segment, &got, NULL), 0);
	print_message("scan of 400,000 records in L0: %.2f ms\n",
		      (double)(clock_monotonic_ns() - start) / 1e6);
	assert_int_equal(got, 400000);
	start = clock_monotonic_ns();
	for (int call = 0; call < 2; call++) /* bounded work a call */
		fixture_maintain(&f, T0 + SECONDS(4000));
	print_message("derivation of 400,000 records: %.2f ms\n",
		      (double)(clock_monotonic_ns() - start) / 1e6);
	got = 0;
	start = clock_monotonic_ns();
	assert_int_equal(storage_scan(f.reader, &scan, add_segment, &got, NULL), 0);
	print_message("the same scan from L1: %.2f ms\n",
		      (double)(clock_monotonic_ns() - start) / 1e6);
	assert_int_equal(got, 400000);
	fixture_reopen(&f);
	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	print_message("L0 %.2f bytes a record, L1 %.2f\n", (double)stats.l0_bytes / 400000,
		      (double)stats.l1_bytes / 400000);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(put_derive_and_scan)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
