/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/quota.h"

#define MINUTE (60 * NS_PER_S)

static struct err err;

/* A profile with `count` series that begin at `first`. */
static struct profile profile_of(struct profile_series *series, size_t count, uint64_t first)
{
	for (size_t i = 0; i < count; i++)
		series[i].identity = (struct hash128){first + i + 1, 7};
	return (struct profile){.series = series, .series_count = count};
}

static void test_requests_and_bytes_of_a_source(void **state)
{
	const struct quota_limits limits = {.requests_per_minute = 3, .bytes_per_minute = 100};
	struct quota *q = quota_new(&limits);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(quota_request(q, 1, 10, 5, &err), 0);
	assert_int_equal(quota_request(q, 1, 10, 5, &err), -EDQUOT);
	assert_non_null(strstr(err.message, "limit 3 (limits.requests_per_minute)"));
	assert_int_equal(quota_request(q, 2, 100, 5, &err), 0); /* another's are its own */
	assert_int_equal(quota_request(q, 2, 1, 5, &err), -EDQUOT);
	assert_non_null(strstr(err.message, "101, limit 100 (limits.bytes_per_minute)"));
	assert_int_equal(quota_request(q, 1, 10, 5 + MINUTE, &err), 0);
	quota_free(q);
}

static void test_series_are_new_once(void **state)
{
	const struct quota_limits limits = {.new_series_per_minute = 5};
	struct quota *q = quota_new(&limits);
	struct profile_series series[8];
	struct profile four = profile_of(series, 4, 0);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(quota_series(q, 1, &four, 5, &err), 0);
	struct profile more = profile_of(series, 2, 10);

	assert_int_equal(quota_series(q, 1, &more, 5, &err), -EDQUOT);
	assert_non_null(strstr(err.message, "6, limit 5 (limits.new_series_per_minute)"));
	assert_int_equal(quota_series(q, 2, &more, 5, &err), 0);
	assert_int_equal(quota_series(q, 1, &more, 5 + MINUTE, &err), 0);
	quota_free(q);
}

static void test_it_stays_bounded(void **state)
{
	struct quota *q = quota_new(&(struct quota_limits){0});
	static struct profile_series series[1000];

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		struct profile p = profile_of(series, 1000, i * 1000);

		assert_int_equal(quota_series(q, (uint32_t)i, &p, (int64_t)i, &err), 0);
		assert_int_equal(quota_request(q, (uint32_t)i, 1, (int64_t)i, &err), 0);
	}
	quota_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests_and_bytes_of_a_source),
	    cmocka_unit_test(test_series_are_new_once),
	    cmocka_unit_test(test_it_stays_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
