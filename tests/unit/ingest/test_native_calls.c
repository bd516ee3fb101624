/* SPDX-License-Identifier: Apache-2.0 */
/* Wall time and blocked calls of a native process: sums by counters, charges of calls that are
 * open. */
#include "tests/unit/ingest/native_plain.h"

static void wall_time_is_explained_part_by_part(void **state)
{
	struct fixture f;
	const struct ring_block block = {
	    .call = RING_CALL_nanosleep, .duration_ns = 400 * MS, .since_ns = START + 100 * MS};
	const uint64_t frames[] = {0x1000};
	struct native_reading readings[] = {reading(7, 300 * MS, 100 * MS)};

	(void)state;
	fixture_init(&f, false);
	readings[0].slot.blocked_ns = f.sums.blocked_ns = 400 * MS;
	(void)ring_writer_cpu(&f.writer, 7, START + 50 * MS, 300 * MS, 0x1000);
	(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START + 500 * MS, &block, sizeof(block),
			      frames, 1);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(sum_of(p, "wall", NULL), 1000 * MS);
	assert_int_equal(sum_of(p, "wall", "nanosleep"), 400 * MS);
	assert_int_equal(sum_of(p, "wall", "[waiting for a CPU]"), 100 * MS);
	assert_int_equal(sum_of(p, "wall", "[off CPU, not explained]"), 200 * MS);
	assert_int_equal(sum_of(p, "block", "nanosleep"), 400 * MS);
	profile_free(p);
	fixture_release(&f);
}

/* A thread that begins `bursts` a second, of 2 ms each, seen for ten seconds; hz is 250. */
static uint64_t in_doubt(unsigned bursts)
{
	static const uint64_t stack[] = {0x1000};
	const struct ring_cpu cpu = {bursts * 2 * MS, bursts / 5}; /* the sum is right */
	struct native_reading readings[] = {reading(7, 0, 0)};
	struct native_stats stats;
	struct fixture f;

	fixture_init(&f, false);
	assert_int_equal(f.head.hz, 250);
	readings[0].has_switches = true;
	for (unsigned s = 1; s <= 10; s++) {
		bool said = false;

		readings[0].voluntary = (uint64_t)s * bursts;
		readings[0].cpu_ns = (uint64_t)s * bursts * 2 * MS;
		(void)ring_writer_add(&f.writer, RING_SAMPLE_CPU, 7, START + s * 1000 * MS, &cpu,
				      sizeof(cpu), stack, 1);
		fixture_feed(&f);
		struct profile *p = fixture_emit(&f, readings, 1, s * 1000 * MS, false);

		for (size_t i = 0; i < p->losses_count; i++)
			said = said || !strcmp(profile_string(p, p->losses[i].reason).ptr,
					       "cpu.in_step_with_tick");
		native_process_stats(f.process, &stats);
		/* Judged with this batch, said of the samples in it. */
		assert_int_equal(said, stats.threads_departing);
		profile_free(p);
	}
	fixture_release(&f);
	return stats.threads_departing;
}

static void bursts_in_step_with_the_tick_are_in_doubt(void **state)
{
	(void)state;
	assert_int_equal(in_doubt(250), 1); /* one a tick */
	assert_int_equal(in_doubt(125), 1); /* every second tick */
	assert_int_equal(in_doubt(100), 1); /* two in five ticks */
	assert_int_equal(in_doubt(241), 0); /* drifts through all of the tick within seconds */
	assert_int_equal(in_doubt(113), 0);
	assert_int_equal(in_doubt(3), 0);
}

/* A process that was gone before it was read once: its slots still have the phases. */
static void the_last_slots_tell_of_a_short_process(void **state)
{
	struct ring_thread slot = {.tid = 7, .generation = 1};
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 100; i++)
		slot.phases[1] = ring_phase_counted(slot.phases[1], 5);
	native_process_last_slots(f.process, &slot, 1);
	(void)ring_writer_cpu(&f.writer, 7, START + 10 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, NULL, 0, 100 * MS, true);

	assert_int_equal(p->losses_count, 1);
	assert_string_equal(profile_string(p, p->losses[0].reason).ptr, "cpu.in_step_with_tick");
	assert_int_equal(p->losses[0].count, 2); /* the sample, and the thread */
	profile_free(p);
	fixture_release(&f);
}

static void a_call_that_has_not_returned_is_charged_once(void **state)
{
	struct fixture f;
	struct ring_block block = {
	    .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77};
	const uint64_t frames[] = {0x1000};
	struct native_reading readings[] = {reading(7, 0, 0)};

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_add(&f.writer, RING_SITE, 7, START + 100 * MS, &block, sizeof(block),
			      frames, 1);
	fixture_feed(&f);
	readings[0].slot = (struct ring_thread){
	    .tid = 7, .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77};
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(sum_of(p, "block", "poll"), 900 * MS);
	profile_free(p);
	/* It returns after three seconds in all: the record says all three, 0.9 are already
	 * there. */
	block.duration_ns = 3000 * MS;
	(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START + 3100 * MS, &block, sizeof(block),
			      frames, 1);
	fixture_feed(&f);
	readings[0].slot.call = 0;
	readings[0].slot.blocked_ns = f.sums.blocked_ns = 3000 * MS;
	p = fixture_emit(&f, readings, 1, 3100 * MS, false);
	assert_int_equal(sum_of(p, "block", "poll"), 2100 * MS);
	assert_int_equal(sum_of(p, "wall", "[off CPU, not explained]"), 0);
	profile_free(p);
	fixture_release(&f);
}

/* A process that ends has no more readings: its last slots say whether a call that was open has
 * returned. */
static void an_open_call_of_a_process_that_ends(bool returned)
{
	struct fixture f;
	struct ring_block block = {.call = RING_CALL_poll, .since_ns = START + 100 * MS};
	const uint64_t frames[] = {0x1000};
	struct native_reading readings[] = {reading(7, 0, 0)};

	fixture_init(&f, false);
	readings[0].slot =
	    (struct ring_thread){.tid = 7, .call = RING_CALL_poll, .since_ns = START + 100 * MS};
	profile_free(fixture_emit(&f, readings, 1, 1000 * MS, false)); /* 900 of poll */
	block.duration_ns = (returned ? 3000 : 50) * MS;
	block.since_ns = START + (returned ? 100 : 3040) * MS;
	block.call = returned ? RING_CALL_poll : RING_CALL_read; /* of another thread */
	(void)ring_writer_add(&f.writer, RING_BLOCK, returned ? 7 : 8, START + 3100 * MS, &block,
			      sizeof(block), frames, 1);
	fixture_feed(&f);
	f.sums.blocked_ns = block.duration_ns;
	if (returned)
		readings[0].slot.call = 0;
	native_process_last_slots(f.process, &readings[0].slot, 1);
	struct profile *p = fixture_emit(&f, NULL, 0, 3100 * MS, true);

	assert_int_equal(sum_of(p, "block", "poll"), returned ? 2100 * MS : 0);
	assert_int_equal(sum_of(p, "block", "read"), returned ? 0 : 50 * MS);
	assert_int_equal(sum_of(p, "block", "[not sampled]"), 0);
	assert_int_equal(sum_of(p, "wall", "[blocked, not sampled]"), 0);
	profile_free(p);
	fixture_release(&f);
}

static void an_open_call_returns_before_the_end(void **state)
{
	(void)state;
	an_open_call_of_a_process_that_ends(true);
}

static void an_open_call_lasts_to_the_end(void **state)
{
	(void)state;
	an_open_call_of_a_process_that_ends(false);
}

/* Calls of 20 ms of which one in about 2.5 is taken: the samples carry what the exact sum says. */
static void sampled_calls_add_up_to_the_exact_sum(void **state)
{
	struct fixture f;
	const struct ring_block block = {
	    .call = RING_CALL_read, .duration_ns = 20 * MS, .mean_ns = 40 * MS};
	struct native_reading readings[] = {reading(7, 0, 0)};
	const uint64_t frames[] = {0x1000};

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 20; i++)
		(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START + 20 * MS * (i + 1), &block,
				      sizeof(block), frames, 1);
	fixture_feed(&f);
	readings[0].slot.blocked_ns = f.sums.blocked_ns = 900 * MS;
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_in_range(sum_of(p, "block", "read"), 900 * MS - 20, 900 * MS + 20);
	assert_in_range(column_sum(p, "block", NULL, 1), 49, 51); /* 20 / (1 - exp(-1/2)) = 50.8 */
	assert_int_equal(sum_of(p, "wall", "[off CPU, not explained]"), 100 * MS);
	profile_free(p);
	/* What no sample carried by the end is said. */
	f.sums.blocked_ns = 950 * MS;
	p = fixture_emit(&f, NULL, 0, 1100 * MS, true);
	assert_in_range(sum_of(p, "block", "[not sampled]"), 50 * MS - 20, 50 * MS + 20);
	profile_free(p);
	fixture_release(&f);
}

static void an_open_call_is_not_charged_again_after_the_agent_s_restart(void **state)
{
	struct fixture f;
	struct ring_block block = {
	    .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77};
	struct native_reading readings[] = {reading(7, 0, 0)};
	int64_t total = 0;

	(void)state;
	fixture_init(&f, true);
	readings[0].slot = (struct ring_thread){
	    .tid = 7, .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77};
	struct profile *p = fixture_emit(&f, readings, 1, 10000 * MS, false);

	total += sum_of(p, "block", "poll");
	profile_free(p);
	block.duration_ns = 12000 * MS;
	(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START + 12100 * MS, &block, sizeof(block),
			      NULL, 0);
	fixture_feed(&f);
	readings[0].slot.call = 0;
	readings[0].slot.blocked_ns = f.sums.blocked_ns = 12000 * MS;
	p = fixture_emit(&f, readings, 1, 13000 * MS, false);
	total += sum_of(p, "block", "poll");
	assert_int_equal(total, 2100 * MS); /* since the new agent came */
	profile_free(p);
	fixture_release(&f);
}

/* Each may stand for a thousand million others, for decades; found by fuzz_native, as a double that
 * no int64_t holds. */
static void calls_that_stand_for_more_than_time_are_bounded(void **state)
{
	const struct ring_block block = {
	    .call = 1, .duration_ns = UINT64_MAX, .mean_ns = UINT64_MAX};
	const uint64_t leaf = 0x1000;
	struct fixture f;

	(void)state;
	for (int resumed = 0; resumed < 2; resumed++) {
		fixture_init(&f, resumed);
		for (int i = 0; i < 2; i++)
			(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START, &block,
					      sizeof(block), &leaf, 1);
		fixture_feed(&f);
		struct profile *p = fixture_emit(&f, NULL, 0, 100000 * MS, false);

		/* Each for its 100 s and an hour, at most twice that. */
		assert_in_range(sum_of(p, "block", NULL), 1, 4 * 3700 * NS_PER_S);
		profile_free(p);
		fixture_release(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wall_time_is_explained_part_by_part),
	    cmocka_unit_test(bursts_in_step_with_the_tick_are_in_doubt),
	    cmocka_unit_test(the_last_slots_tell_of_a_short_process),
	    cmocka_unit_test(a_call_that_has_not_returned_is_charged_once),
	    cmocka_unit_test(an_open_call_returns_before_the_end),
	    cmocka_unit_test(an_open_call_lasts_to_the_end),
	    cmocka_unit_test(sampled_calls_add_up_to_the_exact_sum),
	    cmocka_unit_test(an_open_call_is_not_charged_again_after_the_agent_s_restart),
	    cmocka_unit_test(calls_that_stand_for_more_than_time_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
