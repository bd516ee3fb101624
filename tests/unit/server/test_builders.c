/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include "server/builders.h"

#define NOW (INT64_C(1000) * NS_PER_S)

static struct builders *make(void)
{
	struct builders *builders;

	assert_int_equal(builders_new(&profile_limits_default, &builders), 0);
	return builders;
}

static void the_last_one_goes_out_first(void **state)
{
	struct builders *builders = make();
	struct builders_loan a, b;

	(void)state;
	assert_int_equal(builders_borrow(builders, &a), 0);
	assert_int_equal(builders_borrow(builders, &b), 0);
	struct profile_builder *warm = b.builder;

	builders_return(builders, &a, NULL, NOW);
	builders_return(builders, &b, NULL, NOW);
	assert_null(b.builder);
	assert_int_equal(builders_borrow(builders, &a), 0);
	assert_ptr_equal(a.builder, warm);
	builders_return(builders, &a, NULL, NOW);
	builders_free(builders);
}

static void after_a_rush_one_stays(void **state)
{
	struct builders *builders = make();
	struct builders_loan loans[7];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(loans); i++)
		assert_int_equal(builders_borrow(builders, &loans[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(loans); i++)
		builders_return(builders, &loans[i], NULL, NOW);
	assert_int_equal(builders_idle(builders), 4);
	for (int64_t minute = 1; minute <= 6; minute++) {
		assert_int_equal(builders_borrow(builders, &loans[0]), 0);
		builders_return(builders, &loans[0], NULL, NOW + minute * 60 * NS_PER_S);
		assert_int_equal(builders_idle(builders),
				 minute * 60 * NS_PER_S > BUILDERS_KEPT_NS ? 1 : 4);
	}
	builders_free(builders);
}

static void a_room_of_many_megabytes_is_not_kept(void **state)
{
	struct builders *builders = make();
	struct builders_loan loan;

	(void)state;
	for (size_t megabytes = 2; megabytes <= 20; megabytes += 18) {
		assert_int_equal(builders_borrow(builders, &loan), 0);
		pprof_room_release(&loan.room);
		loan.room.stacks = (struct pprof_block){malloc(megabytes << 20), megabytes << 20};
		assert_non_null(loan.room.stacks.at);
		builders_return(builders, &loan, NULL, NOW);
		assert_int_equal(builders_borrow(builders, &loan), 0);
		assert_int_equal(pprof_room_bytes(&loan.room), megabytes == 2 ? 2 << 20 : 0);
		builders_return(builders, &loan, NULL, NOW);
	}
	builders_free(builders);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_last_one_goes_out_first),
	    cmocka_unit_test(after_a_rush_one_stays),
	    cmocka_unit_test(a_room_of_many_megabytes_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
