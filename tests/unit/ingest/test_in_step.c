/* SPDX-License-Identifier: Apache-2.0 */
/* Bursts in step with the tick: found in every one of 10,000 threads where they are, and never
 * where they are not. */
#include "tests/cmocka.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "ingest/in_step.h"

#define TICK 4e6
#define TRIALS 10000

static uint64_t random_state;

static double uniform(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(random_state >> 11) * 0x1p-53;
}

static void count(uint32_t counts[RING_PHASES], double at_ns)
{
	double phase = fmod(at_ns, TICK) / TICK;

	counts[(unsigned)(phase * RING_PHASES) % RING_PHASES]++;
}

/* How many in TRIALS threads are found uneven that begin n bursts `period` ticks apart at `phase`,
 * of which the share `disturbed` begins anywhere and the others up to `late` ticks too late. */
static unsigned found(double period, double phase, unsigned n, double disturbed, double late)
{
	unsigned uneven = 0;

	for (int trial = 0; trial < TRIALS; trial++) {
		uint32_t counts[RING_PHASES] = {0};
		double from = phase < 0 ? uniform() : phase;

		for (unsigned i = 0; i < n; i++)
			count(counts, TICK * (uniform() < disturbed
						  ? uniform()
						  : from + i * period + late * uniform()));
		uneven += in_step_uneven(counts);
	}
	return uneven;
}

/*
 * A share q that is not disturbed gives R a mean of q and a deviation below sqrt(1/2n); R has to be
 * above sqrt(20/n).  With q 0.7 and 250 bursts, one second's, that is 9 deviations: a miss in
 * 10^18.
 */
static void bursts_in_step_are_found_at_every_phase(void **state)
{
	(void)state;
	random_state = 1;
	for (int eighth = 0; eighth < 8; eighth++) {
		assert_int_equal(found(1, eighth / 8.0, 250, 0.3, 0.1), TRIALS);
		assert_int_equal(found(25, eighth / 8.0, 250, 0.3, 0.1), TRIALS);
	}
	assert_int_equal(found(2.5, -1, 250, 0.3, 0.1), TRIALS);
	assert_int_equal(found(4 / 3.0, -1, 250, 0.3, 0.02), TRIALS);
	assert_int_equal(found(1, -1, 64, 0, 0.2), TRIALS);
}

/* Chance goes beyond 20 for one in 5e8, in each of the harmonics. */
static void others_are_not(void **state)
{
	(void)state;
	random_state = 2;
	for (unsigned n = 64; n <= 512; n *= 2)
		assert_int_equal(found(1, -1, n, 1, 0), 0);
	assert_int_equal(found(1, -1, 250, 0, 1), 0); /* late by anything up to a tick */
	/* 10 ms and 60 us of a sleep's slack */
	assert_int_equal(found(2.515, -1, 250, 0, 0.01), 0);
	assert_int_equal(found(25.015, -1, 250, 0, 0.01), 0);
	assert_int_equal(found(0.97, -1, 250, 0, 0.01), 0);
	assert_int_equal(found(1, -1, 63, 0, 0), 0); /* too few to say */
}

struct reader {
	struct in_step s;
	uint64_t words[RING_PHASE_WORDS], bursts, cpu_ns;
	int64_t now_ns;
};

/* `n` more bursts of `burst_ns`, at 0.4 of a tick or anywhere, seen in a reading after each 50. */
static void go_on(struct reader *r, unsigned n, uint64_t burst_ns, bool anywhere)
{
	for (unsigned i = 1; i <= n; i++) {
		unsigned at = (unsigned)((anywhere ? uniform() : 0.4) * RING_PHASES);

		r->words[at / 4] = ring_phase_counted(r->words[at / 4], at);
		r->bursts++;
		r->cpu_ns += burst_ns;
		r->now_ns += (int64_t)TICK;
		if (i % 50)
			continue;
		in_step_phases(&r->s, r->words, true);
		in_step_bursts(&r->s, r->now_ns, r->bursts, r->cpu_ns, TICK);
	}
}

static void a_thread_is_judged_by_its_last_few_hundred_bursts(void **state)
{
	struct reader r = {0};

	(void)state;
	random_state = 3;
	go_on(&r, 50, 2000000, false);
	assert_false(in_step_judged(&r.s));
	go_on(&r, 50, 2000000, false);
	assert_true(in_step_judged(&r.s));
	go_on(&r, 3000, 2000000, true);
	assert_false(in_step_judged(&r.s));
	go_on(&r, 1000, 2000000, false);
	assert_true(in_step_judged(&r.s));
	/* What its calls say goes before the pace, which is that of one burst a tick. */
	go_on(&r, 3000, 2000000, true);
	assert_true(r.s.pace);
	assert_false(in_step_judged(&r.s));
}

/* The last phases of a process that is gone come without a reading of its bursts. */
static void what_comes_last_counts(void **state)
{
	struct reader r = {0};

	(void)state;
	go_on(&r, 50, 2000000, false);
	assert_false(in_step_judged(&r.s));
	r.words[4 / 4] += 40; /* the place of 0.4 of a tick, far from a wrap */
	in_step_phases(&r.s, r.words, false);
	assert_true(in_step_judged(&r.s));
}

static void long_bursts_and_idle_threads_are_not_in_doubt(void **state)
{
	struct reader r = {0};

	(void)state;
	go_on(&r, 500, 40000000, false);
	assert_false(in_step_judged(&r.s));
	r = (struct reader){0};
	go_on(&r, 500, 20000, false);
	assert_false(in_step_judged(&r.s));
}

static void counts_wrap_and_what_was_before_is_not_counted(void **state)
{
	struct reader r = {.words = {UINT64_MAX, UINT64_MAX, 7}};

	(void)state;
	in_step_phases(&r.s, r.words, false);
	for (int i = 0; i < RING_PHASES; i++)
		assert_int_equal(r.s.counts[i], 0);
	for (unsigned i = 0; i < RING_PHASES; i++)
		r.words[i / 4] = ring_phase_counted(r.words[i / 4], i);
	in_step_phases(&r.s, r.words, false);
	for (int i = 0; i < RING_PHASES; i++)
		assert_int_equal(r.s.counts[i], 1);
	assert_int_equal(r.words[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bursts_in_step_are_found_at_every_phase),
	    cmocka_unit_test(others_are_not),
	    cmocka_unit_test(a_thread_is_judged_by_its_last_few_hundred_bursts),
	    cmocka_unit_test(what_comes_last_counts),
	    cmocka_unit_test(long_bursts_and_idle_threads_are_not_in_doubt),
	    cmocka_unit_test(counts_wrap_and_what_was_before_is_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
