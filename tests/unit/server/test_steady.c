/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include "server/steady.h"

#define START INT64_C(1767225600000000000)
#define YEAR (INT64_C(365 * 86400) * NS_PER_S)
#define SECOND NS_PER_S

static void time_goes_on(void **state)
{
	struct steady s = {0};

	(void)state;
	for (int64_t i = 0; i < 100; i++)
		assert_int_equal(steady_now(&s, START + i * SECOND, (i + 1) * SECOND),
				 START + i * SECOND);
	/* A minute of adjustment, forwards or back, is believed. */
	assert_int_equal(steady_now(&s, START + 160 * SECOND, 101 * SECOND), START + 160 * SECOND);
	assert_int_equal(steady_now(&s, START, 102 * SECOND), START);
}

static void a_jump_forward_has_to_last(void **state)
{
	struct steady s = {0};

	(void)state;
	assert_int_equal(steady_now(&s, START, SECOND), START);
	for (int64_t i = 1; i < 600; i += 2)
		assert_int_equal(steady_now(&s, START + YEAR + i * SECOND, (1 + i) * SECOND),
				 START + i * SECOND);
	/* It was a mistake. */
	assert_int_equal(steady_now(&s, START + 600 * SECOND, 601 * SECOND), START + 600 * SECOND);
	/* It is none. */
	assert_int_equal(steady_now(&s, START + YEAR, 700 * SECOND), START + 699 * SECOND);
	assert_int_equal(steady_now(&s, START + YEAR + 600 * SECOND, 1300 * SECOND),
			 START + YEAR + 600 * SECOND);
	assert_int_equal(steady_now(&s, START + YEAR + 601 * SECOND, 1301 * SECOND),
			 START + YEAR + 601 * SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(time_goes_on),
	    cmocka_unit_test(a_jump_forward_has_to_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
