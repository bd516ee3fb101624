/* SPDX-License-Identifier: Apache-2.0 */
/* The decision of client/budget.c, with made-up seconds. */
#include "client/budget.h"
#include "tests/cmocka.h"

#define S INT64_C(1000000000)
#define LIMIT 10000 /* 1 % */

/* A program whose cost answers to the decisions, as the dimensions do. */
struct world {
	struct budget budget;
	struct budget_reading now;
	uint64_t cpu_a_second;
	uint64_t sampling[BUDGET_KINDS], passing[BUDGET_KINDS]; /* a second, as asked for */
};

static void second(struct world *w)
{
	w->now.now_ns += S;
	w->now.cpu_ns += w->cpu_a_second;
	for (int i = 0; i < BUDGET_KINDS; i++) {
		uint32_t shift = i < RING_DIMENSIONS ? w->budget.shift[i] : 0;

		if (i < RING_DIMENSIONS && w->budget.off_until_ns[i])
			continue;
		w->now.sampling_ns[i] += w->sampling[i] >> shift;
		w->now.passing_ns[i] += w->passing[i];
	}
	budget_step(&w->budget, &w->now, LIMIT);
}

static void seconds(struct world *w, int count)
{
	while (count--)
		second(w);
}

static struct world world(uint64_t cpu_a_second)
{
	return (struct world){.cpu_a_second = cpu_a_second};
}

static bool all_as_asked_for(const struct budget *b)
{
	for (int d = 0; d < RING_DIMENSIONS; d++)
		if (b->shift[d] || b->off_until_ns[d])
			return false;
	return !b->raised && !b->stops;
}

static uint64_t cost_now(const struct world *w)
{
	uint64_t sum = 0;

	for (int d = 0; d < RING_DIMENSIONS; d++)
		if (!w->budget.off_until_ns[d])
			sum += (w->sampling[d] >> w->budget.shift[d]) + w->passing[d];
	return sum;
}

static void below_the_limit_nothing_changes(void **state)
{
	struct world w = world(S);

	(void)state;
	w.sampling[RING_CPU] = S / 200;
	w.passing[RING_ALLOC] = S / 250;
	seconds(&w, 600);
	assert_true(all_as_asked_for(&w.budget));
	assert_in_range(budget_ppm(&w.budget), 8900, 9100);
}

static void the_dearest_is_lengthened_until_the_cost_is_below(void **state)
{
	struct world w = world(S);

	(void)state;
	w.sampling[RING_CPU] = S / 500;
	w.sampling[RING_ALLOC] = S / 20; /* 5 % */
	seconds(&w, 9);
	assert_int_equal(w.budget.shift[RING_CPU], 0);
	assert_in_range(w.budget.shift[RING_ALLOC], 3, 4);
	assert_int_equal(w.budget.shift[RING_HEAP], w.budget.shift[RING_ALLOC]);
	assert_true(cost_now(&w) <= S / 100);
	seconds(&w, 100);
	assert_in_range(w.budget.shift[RING_ALLOC], 3, 4);
	assert_int_equal(w.budget.stops, 0);
}

static void what_became_cheap_comes_back(void **state)
{
	struct world w = world(S);

	(void)state;
	w.sampling[RING_LOCK] = S / 10;
	seconds(&w, 20);
	assert_true(w.budget.shift[RING_LOCK] >= 4);
	w.sampling[RING_LOCK] = S / 10000;
	seconds(&w, 200);
	assert_int_equal(w.budget.shift[RING_LOCK], 0);
	assert_true(w.budget.lowered >= 4);
}

static void what_cannot_be_lengthened_enough_is_stopped_and_tried_again(void **state)
{
	struct world w = world(S);
	int until = 0;

	(void)state;
	w.passing[RING_WALL] = S / 20; /* hooks of calls that never block: no interval helps */
	w.sampling[RING_CPU] = S / 1000;
	seconds(&w, (int)(BUDGET_PATIENCE_NS / S));
	assert_int_equal(w.budget.stops, 0);
	seconds(&w, 5);
	assert_int_equal(w.budget.stops, 1);
	assert_true(w.budget.off_until_ns[RING_WALL] > 0);
	assert_int_equal(w.budget.off_until_ns[RING_CPU], 0);
	assert_int_equal(w.budget.shift[RING_CPU], 0);
	while (w.budget.off_until_ns[RING_WALL] && until++ < 1000)
		second(&w);
	assert_in_range(until, BUDGET_PAUSE_NS / S - 10, BUDGET_PAUSE_NS / S);
	assert_int_equal(w.budget.retries, 1);
	seconds(&w, 20);
	assert_int_equal(w.budget.stops, 2);
}

static void a_malloc_loop_loses_no_dimension_to_its_hooks(void **state)
{
	struct world w = world(S);

	(void)state;
	w.passing[RING_ALLOC] = S / 10; /* a stop would not make it less */
	w.sampling[RING_CPU] = S / 1000;
	seconds(&w, 600);
	assert_true(all_as_asked_for(&w.budget));
}

static void an_idle_program_is_measured_against_a_core(void **state)
{
	struct world w = world(100000); /* 0.01 % of a core */

	(void)state;
	w.sampling[RING_WALL] = 300000; /* three times its own CPU time */
	seconds(&w, 600);
	assert_true(all_as_asked_for(&w.budget));
	w.sampling[RING_WALL] = 3000000;
	seconds(&w, 20);
	assert_true(cost_now(&w) <= S / 1000000 * BUDGET_FLOOR_PPM);
}

static void one_dear_second_stops_nothing(void **state)
{
	struct world w = world(S);

	(void)state;
	seconds(&w, 60);
	w.now.sampling_ns[BUDGET_CHORES] += S / 10;
	seconds(&w, 60);
	assert_int_equal(w.budget.stops, 0);
	assert_int_equal(w.budget.raised, 0);
}

/* A thread that lost its CPU in the middle is not charged for what others did... */
static void a_lost_cpu_is_not_believed(void **state)
{
	uint64_t usual = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(budget_believe(&usual, 5000));
	assert_in_range(usual, 4000, 5000);
	assert_false(budget_believe(&usual, 4000000));
	assert_true(usual < 6000);
	/* cold memory, and not a slice of the scheduler's */
	assert_true(budget_believe(&usual, 90000));
}

/* ...but what keeps coming is work. */
static void long_work_is_believed_when_it_stays(void **state)
{
	uint64_t usual = 5000;
	int refused = 0;

	(void)state;
	while (!budget_believe(&usual, 1000000))
		assert_true(++refused < 50);
	assert_true(refused > 3);
	for (int i = 0; i < 100; i++)
		assert_true(budget_believe(&usual, 1000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(below_the_limit_nothing_changes),
	    cmocka_unit_test(the_dearest_is_lengthened_until_the_cost_is_below),
	    cmocka_unit_test(what_became_cheap_comes_back),
	    cmocka_unit_test(what_cannot_be_lengthened_enough_is_stopped_and_tried_again),
	    cmocka_unit_test(a_malloc_loop_loses_no_dimension_to_its_hooks),
	    cmocka_unit_test(an_idle_program_is_measured_against_a_core),
	    cmocka_unit_test(one_dear_second_stops_nothing),
	    cmocka_unit_test(a_lost_cpu_is_not_believed),
	    cmocka_unit_test(long_work_is_believed_when_it_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
