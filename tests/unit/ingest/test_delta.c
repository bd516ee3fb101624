/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ingest/delta.h"
#include "tests/support/profiles.h"

#define MUTEX "mutex:contentions:count:delay/nanoseconds,contentions/count"
#define MEMORY "memory:space:bytes:alloc_space/bytes,inuse_space/bytes!"

static struct profile *lock_profile(const int values[][2], const char *const *stacks, size_t count)
{
	struct maker m;

	maker_init(&m, 0, 0);
	maker_series_of(&m, MUTEX, "service=shop");
	for (size_t i = 0; i < count; i++)
		maker_record(&m, stacks[i], T0, 1, values[i][0], values[i][1]);
	return maker_finish(&m);
}

/* "stack's leaf delay/contentions ...", in the order of the records. */
static void shows(const struct profile *p, const char *expected)
{
	char text[512] = "";

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		struct str leaf = profile_string(p, p->frames[p->nodes[r->node].frame].function);
		size_t len = strlen(text);

		(void)snprintf(text + len, sizeof(text) - len, "%s%.*s %lld/%lld", i ? ", " : "",
			       (int)leaf.len, leaf.ptr, (long long)p->values[r->values_at],
			       (long long)p->values[r->values_at + 1]);
	}
	assert_string_equal(text, expected);
}

static void apply(struct delta *delta, struct profile *profile, const char *expected, bool keep)
{
	struct err err = { 0 };

	assert_int_equal(delta_apply(delta, profile, &err), 0);
	shows(profile, expected);
	profile_free(profile);
	if (keep)
		delta_keep(delta);
}

static const char *const abc[] = { "main;a", "main;b", "main;c" };
static const char *const cab[] = { "main;c", "main;a", "main;b" };
static const char *const aab[] = { "main;a", "main;a", "main;b" };

static void test_differences_by_stack(void **state)
{
	struct delta *delta;

	(void)state;
	assert_int_equal(delta_new(&delta), 0);
	apply(delta, lock_profile((const int[][2]){ { 10, 1 }, { 20, 2 } }, abc, 2), "", true);
	/* Another order, and a stack that was not there. */
	apply(delta, lock_profile((const int[][2]){ { 5, 1 }, { 17, 3 }, { 20, 2 } }, cab, 3),
	      "c 5/1, a 7/2", true);
	apply(delta, lock_profile((const int[][2]){ { 5, 1 }, { 17, 3 }, { 20, 2 } }, cab, 3), "", true);
	delta_free(delta);
}

static void test_what_was_not_stored_is_in_the_next_difference(void **state)
{
	struct delta *delta;

	(void)state;
	assert_int_equal(delta_new(&delta), 0);
	apply(delta, lock_profile((const int[][2]){ { 10, 1 } }, abc, 1), "", true);
	apply(delta, lock_profile((const int[][2]){ { 15, 2 } }, abc, 1), "a 5/1", false);
	apply(delta, lock_profile((const int[][2]){ { 18, 3 } }, abc, 1), "a 8/2", true);
	apply(delta, lock_profile((const int[][2]){ { 19, 3 } }, abc, 1), "a 1/0", true);
	delta_free(delta);
}

static void test_one_stack_that_shrinks_counts_nothing(void **state)
{
	struct delta *delta;

	(void)state;
	assert_int_equal(delta_new(&delta), 0);
	apply(delta, lock_profile((const int[][2]){ { 10, 5 }, { 20, 2 } }, abc, 2), "", true);
	apply(delta, lock_profile((const int[][2]){ { 8, 4 }, { 50, 9 } }, abc, 2), "b 30/7", true);
	assert_false(delta_restarted(delta));
	delta_free(delta);
}

static void test_a_sum_that_shrinks_is_another_life(void **state)
{
	struct delta *delta;

	(void)state;
	assert_int_equal(delta_new(&delta), 0);
	apply(delta, lock_profile((const int[][2]){ { 100, 5 }, { 20, 2 } }, abc, 2), "", true);
	/* One column is enough. */
	apply(delta, lock_profile((const int[][2]){ { 3, 1 }, { 200, 2 } }, abc, 2), "a 3/1, b 200/2", true);
	assert_true(delta_restarted(delta));
	apply(delta, lock_profile((const int[][2]){ { 4, 2 }, { 200, 2 } }, abc, 2), "a 1/1", true);
	assert_false(delta_restarted(delta));
	/* All gone is a restart too. */
	apply(delta, lock_profile(NULL, abc, 0), "", true);
	delta_free(delta);
}

static void test_equal_records_are_one(void **state)
{
	struct delta *delta;

	(void)state;
	assert_int_equal(delta_new(&delta), 0);
	apply(delta, lock_profile((const int[][2]){ { 1, 1 }, { 2, 2 }, { 3, 3 } }, aab, 3), "", true);
	apply(delta, lock_profile((const int[][2]){ { 4, 1 }, { 5, 2 }, { 4, 3 } }, aab, 3), "a 6/0, b 1/0",
	      true);
	delta_free(delta);
}

static struct profile *memory_profile(int allocated, int live, const char *size)
{
	struct maker m;

	maker_init(&m, 0, 0);
	maker_series_of(&m, MEMORY, "service=shop");
	maker_context(&m, size);
	maker_record(&m, "main;a", T0, 1, allocated, live);
	maker_context(&m, "bytes=#64");
	maker_record(&m, "main;a", T0, 1, 7, 0);
	return maker_finish(&m);
}

static void test_gauges_stay_and_labels_tell_apart(void **state)
{
	struct delta *delta;

	(void)state;
	assert_int_equal(delta_new(&delta), 0);
	apply(delta, memory_profile(100, 40, "bytes=#32"), "a 0/40", true);
	apply(delta, memory_profile(130, 35, "bytes=#32"), "a 30/35", true);
	apply(delta, memory_profile(130, 0, "bytes=#32"), "", true);
	apply(delta, memory_profile(131, 0, "bytes=#48"), "a 131/0", true);
	delta_free(delta);
}

static void test_ends_of_the_range(void **state)
{
	static const int64_t ends[] = { INT64_MIN, INT64_MAX, -1, INT64_MAX, 0, INT64_MIN };
	struct err err = { 0 };
	struct delta *delta;

	(void)state;
	assert_int_equal(delta_new(&delta), 0);
	for (size_t i = 0; i + 1 < ARRAY_LEN(ends); i++) {
		struct maker m;

		maker_init(&m, 0, 0);
		maker_series_of(&m, MUTEX, "service=shop");
		maker_values(&m, "main;a", T0, 1, ends + i);
		maker_values(&m, "main;a", T0, 1, ends + i);
		struct profile *p = maker_finish(&m);

		assert_int_equal(delta_apply(delta, p, &err), 0);
		for (size_t k = 0; k < p->records_count; k++)
			assert_true(p->values[p->records[k].values_at] >= 0);
		profile_free(p);
		delta_keep(delta);
	}
	delta_free(delta);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differences_by_stack),
		cmocka_unit_test(test_what_was_not_stored_is_in_the_next_difference),
		cmocka_unit_test(test_one_stack_that_shrinks_counts_nothing),
		cmocka_unit_test(test_a_sum_that_shrinks_is_another_life),
		cmocka_unit_test(test_equal_records_are_one),
		cmocka_unit_test(test_gauges_stay_and_labels_tell_apart),
		cmocka_unit_test(test_ends_of_the_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
