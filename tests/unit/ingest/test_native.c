/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/ingest/native_fixture.h"

static void fixture_init(struct fixture *f, bool resumed)
{
	static const struct ingest_label labels[] = { { { "service", 7 }, { "x", 1 } } };
	const struct native_options options = {
		.owner = 1000, .pid = 7, .executable = "x", .labels = labels, .labels_count = 1
	};

	fixture_begin(f, &options);
	native_process_resume(f->process, resumed);
}

/* Sum of one column over records of the kind whose name this is; `leaf` NULL: all. */
static int64_t column_sum(const struct profile *p, const char *kind, const char *leaf, size_t column)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		const struct profile_kind *k = &p->kinds[p->series[r->series].kind];
		const struct profile_frame *frame = &p->frames[p->nodes[r->node].frame];

		if (strcmp(profile_string(p, k->name).ptr, kind))
			continue;
		if (!leaf || !strcmp(profile_string(p, frame->function).ptr, leaf))
			sum += p->values[r->values_at + column];
	}
	return sum;
}

static int64_t sum_of(const struct profile *p, const char *kind, const char *leaf)
{
	return column_sum(p, kind, leaf, 0);
}

static struct native_reading reading(uint32_t tid, int64_t cpu_ns, int64_t wait_ns)
{
	return (struct native_reading){ .slot = { .tid = tid },
					.tid = tid,
					.has_schedstat = true,
					.cpu_ns = (uint64_t)cpu_ns,
					.wait_ns = (uint64_t)wait_ns };
}

static void a_live_thread_adds_up_to_its_clock(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 9; i++)
		(void)ring_writer_cpu(&f.writer, 7, START + i * 10 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	const struct native_reading readings[] = { reading(7, 97 * MS, 0) };
	struct profile *p = fixture_emit(&f, readings, 1, 100 * MS, false);

	/* Nine samples stand for 90 ms; the clock says 97. */
	assert_in_range(sum_of(p, "process_cpu", NULL), 97 * MS - 9, 97 * MS + 9);
	assert_int_equal(p->records[0].time_ns, UTC);
	profile_free(p);
	fixture_release(&f);
}

/* The bytes of a ring are borrowed until the batch is made, or kept. */
static void what_is_kept_outlives_the_copy_of_the_ring(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	for (int turn = 0; turn < 2; turn++) {
		(void)ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000 + (uint64_t)turn);
		fixture_feed(&f);
		memset(f.writer.bytes.data, 0xff, f.writer.bytes.capacity);
	}
	struct profile *p = fixture_emit(&f, NULL, 0, 100 * MS, false);
	size_t seen[4] = { 0 };

	for (size_t i = 1; i < p->frames_count; i++) {
		uint64_t address = p->frames[i].address;

		if (p->frames[i].flags & PROFILE_FRAME_ADDRESS)
			seen[address == 0x1000 ? 0 : address == 0x1001 ? 1 : address == 0x2000 ? 2 : 3]++;
	}
	assert_int_equal(seen[0] + seen[1] + seen[2], 3); /* two leaves below one root */
	assert_int_equal(seen[3], 0);
	profile_free(p);
	fixture_release(&f);
}

static void who_was_heard_is_known_until_the_batch(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = { reading(7, 10 * MS, 0) };

	(void)state;
	fixture_init(&f, false);
	assert_false(native_process_heard(f.process, 7));
	(void)ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);
	(void)ring_writer_cpu(&f.writer, UINT32_MAX, START, 10 * MS, 0x1000);
	fixture_feed(&f);
	assert_true(native_process_heard(f.process, 7));
	assert_true(native_process_heard(f.process, UINT32_MAX));
	assert_false(native_process_heard(f.process, 8));
	profile_free(fixture_emit(&f, readings, 1, 100 * MS, false));
	assert_false(native_process_heard(f.process, 7));
	fixture_release(&f);
}

/* The number of a record's label, 0 when it has none. */
static int64_t number_of(const struct profile *p, const struct profile_record *record, const char *key)
{
	const struct profile_labels run = p->contexts[record->context];

	for (uint32_t i = run.at; i < run.at + run.count; i++)
		if (!strcmp(profile_string(p, p->labels[i].key).ptr, key))
			return p->labels[i].number;
	return 0;
}

/* What was looked up for the record before is not taken for this one. */
static void threads_and_spans_by_turns_stay_apart(void **state)
{
	struct fixture f;
	/* Frames of the same place: see emit_frame. */
	const uint64_t addresses[2] = { 0x1000, 0x1000 + ((uint64_t)1 << 42) };

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 64; i++) {
		struct ring_record *record = ring_writer_cpu(&f.writer, 7 + (uint32_t)(i & 1), START + i * MS,
							     10 * MS, addresses[i >> 1 & 1]);

		record->span_id = i & 4 ? 0x5b : 0;
	}
	fixture_feed(&f);
	const struct native_reading readings[] = { reading(7, 320 * MS, 0), reading(8, 320 * MS, 0) };
	struct profile *p = fixture_emit(&f, readings, 2, 100 * MS, false);
	int seen = 0;

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		const struct profile_frame *frame = &p->frames[p->nodes[r->node].frame];
		const struct profile_kind *kind = &p->kinds[p->series[r->series].kind];

		if (strcmp(profile_string(p, kind->name).ptr, "process_cpu") || !frame->address)
			continue;
		assert_int_equal(number_of(p, r, "thread id"), 7 + (seen & 1));
		assert_int_equal(number_of(p, r, "span id"), seen & 4 ? 0x5b : 0);
		assert_int_equal(frame->address, addresses[seen >> 1 & 1]);
		seen++;
	}
	assert_int_equal(seen, 64);
	profile_free(p);
	fixture_release(&f);
}

static void a_thread_without_samples_is_owed_until_it_has_one(void **state)
{
	struct fixture f;
	struct native_reading readings[] = { reading(7, 6 * MS, 0) };

	(void)state;
	fixture_init(&f, false);
	struct profile *p = fixture_emit(&f, readings, 1, 100 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", NULL), 0);
	profile_free(p);
	(void)ring_writer_cpu(&f.writer, 7, START + 150 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	readings[0] = reading(7, 11 * MS, 0);
	p = fixture_emit(&f, readings, 1, 200 * MS, false);
	assert_int_equal(sum_of(p, "process_cpu", NULL), 11 * MS);
	profile_free(p);
	fixture_release(&f);
}

static void a_thread_that_is_never_sampled_is_shown_as_such(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = { reading(7, 3000 * MS, 0) };
	struct native_stats stats;

	(void)state;
	fixture_init(&f, false);
	struct profile *p = fixture_emit(&f, readings, 1, 4000 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", "[not sampled]"), 3000 * MS);
	native_process_stats(f.process, &stats);
	assert_int_equal(stats.threads_unsampled, 1);
	profile_free(p);
	fixture_release(&f);
}

static void ended_threads_keep_the_total_exact(void **state)
{
	struct fixture f;
	const struct ring_cpu end = { 5 * MS, 0 };
	int64_t total = 0;

	(void)state;
	fixture_init(&f, false);
	/* A hundred threads of 5 ms; with a random first expiry about every second one is hit, and a
	 * hit weighs 10 ms. Here 46 are, so 40 ms more must be spread or shown. */
	for (uint32_t i = 0; i < 100; i++) {
		if (i < 46)
			(void)ring_writer_cpu(&f.writer, 1000 + i, START + i, 10 * MS, 0x1000);
		(void)ring_writer_add(&f.writer, RING_THREAD_END, 1000 + i, START + i, &end,
				      sizeof(end), NULL, 0);
	}
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, NULL, 0, 1000 * MS, true);

	total = sum_of(p, "process_cpu", NULL);
	assert_in_range(total, 500 * MS - 100, 500 * MS + 100);
	profile_free(p);
	fixture_release(&f);
}

static void an_end_that_is_read_before_proc_forgets_the_thread(void **state)
{
	struct fixture f;
	const struct ring_cpu end = { 105 * MS, 0 };
	const struct native_reading readings[] = { reading(7, 106 * MS, 0) };
	const struct native_reading reused[] = { reading(7, 30 * MS, 0) };
	int64_t total = 0;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 10; i++)
		(void)ring_writer_cpu(&f.writer, 7, START + i * 10 * MS, 10 * MS, 0x1000);
	(void)ring_writer_add(&f.writer, RING_THREAD_END, 7, START + 100 * MS, &end, sizeof(end), NULL, 0);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	total += sum_of(p, "process_cpu", NULL);
	profile_free(p);
	/* It still stands in /proc, and is not owed its time once more. */
	p = fixture_emit(&f, readings, 1, 2000 * MS, false);
	total += sum_of(p, "process_cpu", NULL);
	profile_free(p);
	assert_in_range(total, 105 * MS - 10, 105 * MS + 10);
	/* Another thread has got its number. */
	for (int i = 0; i < 3; i++)
		(void)ring_writer_cpu(&f.writer, 7, START + (2000 + i * 10) * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	p = fixture_emit(&f, reused, 1, 3000 * MS, true);
	assert_in_range(sum_of(p, "process_cpu", NULL), 30 * MS - 10, 30 * MS + 10);
	profile_free(p);
	fixture_release(&f);
}

static void after_the_agent_s_restart_waiting_samples_keep_their_weight(void **state)
{
	struct fixture f;
	struct native_reading readings[] = { reading(7, 5000 * MS, 0) };

	(void)state;
	fixture_init(&f, true);
	(void)ring_writer_cpu(&f.writer, 7, START + 10 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, readings, 1, 5000 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", NULL), 10 * MS);
	profile_free(p);
	(void)ring_writer_cpu(&f.writer, 7, START + 5010 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	readings[0] = reading(7, 5012 * MS, 0);
	p = fixture_emit(&f, readings, 1, 6000 * MS, false);
	assert_int_equal(sum_of(p, "process_cpu", NULL), 12 * MS);
	profile_free(p);
	fixture_release(&f);
}

/* The kernel's part stands below the function that called it, and both count for that function. */
static void time_in_the_kernel_is_a_frame_of_its_own(void **state)
{
	struct fixture f;
	struct ring_record *record;

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_cpu(&f.writer, 7, START + 10 * MS, 10 * MS, 0x1000);
	record = ring_writer_cpu(&f.writer, 7, START + 20 * MS, 10 * MS, 0x1000);
	record->flags = RING_IN_KERNEL;
	fixture_feed(&f);
	const struct native_reading readings[] = { reading(7, 40 * MS, 0) };
	struct profile *p = fixture_emit(&f, readings, 1, 100 * MS, false);
	struct native_stats stats;
	size_t kernel = 0;

	assert_int_equal(sum_of(p, "process_cpu", NULL), 40 * MS);
	assert_int_equal(sum_of(p, "process_cpu", "[kernel]"), 20 * MS);
	assert_int_equal(sum_of(p, "wall", "[kernel]"), 20 * MS);
	native_process_stats(f.process, &stats);
	assert_int_equal(stats.cpu_in_kernel_ns, 20 * MS);
	/* The user's leaf is its parent: one function, not one for each side. */
	for (size_t i = 1; i < p->nodes_count; i++)
		if (p->frames[p->nodes[i].frame].flags & PROFILE_FRAME_KERNEL) {
			kernel++;
			assert_int_equal(p->frames[p->nodes[p->nodes[i].parent].frame].address, 0x1000);
		}
	assert_int_equal(kernel, 1);
	profile_free(p);
	fixture_release(&f);
}

static void wall_time_is_explained_part_by_part(void **state)
{
	struct fixture f;
	const struct ring_block block = { .call = RING_CALL_nanosleep,
					  .duration_ns = 400 * MS,
					  .since_ns = START + 100 * MS };
	const uint64_t frames[] = { 0x1000 };
	struct native_reading readings[] = { reading(7, 300 * MS, 100 * MS) };

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

static void vitals_are_differences_of_two_readings(void **state)
{
	struct fixture f;
	struct native_reading readings[] = { reading(7, 0, 40 * MS), reading(8, 0, 5 * MS) };

	(void)state;
	fixture_init(&f, false);
	readings[0].has_switches = true;
	readings[0].voluntary = 100;
	f.vitals = (struct native_vitals){ true, 1 << 20, 1000, 10 };
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(column_sum(p, "process", "[process]", 0), 1 << 20); /* the gauge alone */
	profile_free(p);
	readings[0].voluntary = 103;
	readings[0].wait_ns = 47 * MS;
	f.vitals = (struct native_vitals){ true, 3 << 20, 1500, 12 };
	p = fixture_emit(&f, readings, 2, 2000 * MS, false); /* thread 8 is new: all of its wait counts */
	assert_int_equal(column_sum(p, "process", NULL, 0), (3 << 20) + 12 * MS);
	assert_int_equal(column_sum(p, "process", NULL, 1), 500);
	profile_free(p);
	fixture_release(&f);
}

/* A thread that begins `bursts` a second, of 2 ms each, seen for ten seconds; hz is 250. */
static uint64_t in_doubt(unsigned bursts)
{
	static const uint64_t stack[] = { 0x1000 };
	const struct ring_cpu cpu = { bursts * 2 * MS, bursts / 5 }; /* the sum is right */
	struct native_reading readings[] = { reading(7, 0, 0) };
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
	struct ring_thread slot = { .tid = 7, .generation = 1 };
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

static void code_of_a_jit_has_the_names_of_its_map(void **state)
{
	static const char map[] = "1000 100 long_function\n0x1040 10 Lazy:*short one\nnonsense\n2000 0 none\n"
				  "ffffffffffffff00 200 wraps\n1000 40 newer\n3000 8 cut";
	struct fixture f;
	size_t consumed;

	(void)state;
	fixture_init(&f, false);
	assert_int_equal(native_process_jit(f.process, map, sizeof(map) - 1, &consumed), 0);
	assert_int_equal(consumed, sizeof(map) - 1 - strlen("3000 8 cut"));
	for (uint64_t address = 0; address < 4; address++)
		(void)ring_writer_cpu(&f.writer, 7, START + 10 * MS, 10 * MS,
				      (const uint64_t[]){ 0x1041, 0x1080, 0x1001, 0x3001 }[address]);
	fixture_feed(&f);
	const struct native_reading readings[] = { reading(7, 40 * MS, 0) };
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", "Lazy:*short one"), 10 * MS);
	assert_int_equal(sum_of(p, "process_cpu", "long_function"), 10 * MS);
	assert_int_equal(sum_of(p, "process_cpu", "newer"), 10 * MS);
	assert_int_equal(sum_of(p, "process_cpu", "cut"), 0);
	assert_int_equal(sum_of(p, "process_cpu", "wraps"), 0);
	profile_free(p);
	fixture_release(&f);
}

static void a_call_that_has_not_returned_is_charged_once(void **state)
{
	struct fixture f;
	struct ring_block block = { .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77 };
	const uint64_t frames[] = { 0x1000 };
	struct native_reading readings[] = { reading(7, 0, 0) };

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_add(&f.writer, RING_SITE, 7, START + 100 * MS, &block, sizeof(block), frames,
			      1);
	fixture_feed(&f);
	readings[0].slot = (struct ring_thread){
		.tid = 7, .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77
	};
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(sum_of(p, "block", "poll"), 900 * MS);
	profile_free(p);
	/* It returns after three seconds in all: the record says all three, 0.9 are already there. */
	block.duration_ns = 3000 * MS;
	(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START + 3100 * MS, &block, sizeof(block), frames,
			      1);
	fixture_feed(&f);
	readings[0].slot.call = 0;
	readings[0].slot.blocked_ns = f.sums.blocked_ns = 3000 * MS;
	p = fixture_emit(&f, readings, 1, 3100 * MS, false);
	assert_int_equal(sum_of(p, "block", "poll"), 2100 * MS);
	assert_int_equal(sum_of(p, "wall", "[off CPU, not explained]"), 0);
	profile_free(p);
	fixture_release(&f);
}

/* A process that ends has no more readings: its last slots say whether a call that was open has returned. */
static void an_open_call_of_a_process_that_ends(bool returned)
{
	struct fixture f;
	struct ring_block block = { .call = RING_CALL_poll, .since_ns = START + 100 * MS };
	const uint64_t frames[] = { 0x1000 };
	struct native_reading readings[] = { reading(7, 0, 0) };

	fixture_init(&f, false);
	readings[0].slot =
		(struct ring_thread){ .tid = 7, .call = RING_CALL_poll, .since_ns = START + 100 * MS };
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
	const struct ring_block block = { .call = RING_CALL_read,
					  .duration_ns = 20 * MS,
					  .mean_ns = 40 * MS };
	struct native_reading readings[] = { reading(7, 0, 0) };
	const uint64_t frames[] = { 0x1000 };

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

/* What the end record of thread 7 says. */
static void end_write(struct fixture *f, int64_t after_ns, int64_t cpu_ns)
{
	const struct ring_cpu end = { (uint64_t)cpu_ns, 0 };

	(void)ring_writer_add(&f->writer, RING_THREAD_END, 7, START + after_ns, &end, sizeof(end), NULL,
			      0);
}

static void an_end_that_comes_a_drain_later_is_not_owed_again(void **state)
{
	struct fixture f;
	struct native_reading readings[] = { reading(7, 5000 * MS, 0) };
	int64_t total = 0;

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_cpu(&f.writer, 7, START + 10 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, readings, 1, 6000 * MS, false);

	total += sum_of(p, "process_cpu", NULL);
	profile_free(p);
	/* Gone from /proc, and its last record stands behind a claim that is still open. */
	(void)ring_writer_cpu(&f.writer, 7, START + 6100 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	p = fixture_emit(&f, NULL, 0, 7000 * MS, false);
	total += sum_of(p, "process_cpu", NULL);
	profile_free(p);
	end_write(&f, 6200 * MS, 5012 * MS);
	(void)ring_writer_cpu(&f.writer, 8, START + 7100 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	p = fixture_emit(&f, NULL, 0, 8000 * MS, true);
	total += sum_of(p, "process_cpu", NULL);
	assert_in_range(total, 5022 * MS - 10, 5022 * MS + 10);
	profile_free(p);
	fixture_release(&f);
}

/* A timer that no tick looked at comes with the thread's end, for what was given up as not sampled, too. */
static void a_sample_that_comes_late_is_not_counted_twice(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = { reading(7, 270 * MS, 0) };

	(void)state;
	fixture_init(&f, false);
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", "[not sampled]"), 270 * MS);
	profile_free(p);
	(void)ring_writer_cpu(&f.writer, 7, START + 1600 * MS, 390 * MS, 0x1000);
	end_write(&f, 1600 * MS, 400 * MS);
	fixture_feed(&f);
	p = fixture_emit(&f, NULL, 0, 1700 * MS, false);
	assert_int_equal(sum_of(p, "process_cpu", NULL), 130 * MS); /* 400 in all */
	profile_free(p);
	p = fixture_emit(&f, NULL, 0, 1800 * MS, true);
	assert_int_equal(sum_of(p, "process_cpu", NULL), 0);
	profile_free(p);
	fixture_release(&f);
}

/* The same without an end: a process that was killed. */
static void a_late_sample_of_a_killed_process_is_not_counted_twice(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = { reading(7, 270 * MS, 0) };

	(void)state;
	fixture_init(&f, false);
	profile_free(fixture_emit(&f, readings, 1, 1000 * MS, false)); /* 270 not sampled */
	(void)ring_writer_cpu(&f.writer, 7, START + 1600 * MS, 390 * MS, 0x1000);
	(void)ring_writer_cpu(&f.writer, 8, START + 1600 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, NULL, 0, 1700 * MS, true);

	assert_int_equal(sum_of(p, "process_cpu", NULL), 130 * MS);
	profile_free(p);
	fixture_release(&f);
}

/* The end has all of the thread's time, of which some is not sampled yet when a last signal comes. */
static void a_sample_behind_the_end_stands_for_nothing_more(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = { reading(7, 270 * MS, 0) }, late[] = { reading(7, 401 * MS, 0) };
	int64_t total = 270 * MS; /* not sampled */

	(void)state;
	fixture_init(&f, false);
	profile_free(fixture_emit(&f, readings, 1, 1000 * MS, false));
	end_write(&f, 1600 * MS, 400 * MS);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, late, 1, 1700 * MS, false);

	total += sum_of(p, "process_cpu", NULL);
	profile_free(p);
	(void)ring_writer_cpu(&f.writer, 7, START + 1701 * MS, 400 * MS, 0x1000);
	fixture_feed(&f);
	p = fixture_emit(&f, NULL, 0, 1800 * MS, true);
	total += sum_of(p, "process_cpu", NULL);
	assert_int_equal(total, 400 * MS);
	profile_free(p);
	fixture_release(&f);
}

static void a_thread_that_ends_while_it_is_listed_counts_once(void **state)
{
	struct fixture f;
	struct native_reading readings[] = { reading(7, 100 * MS, 0), reading(8, 0, 0) };
	int64_t total = 0;

	(void)state;
	fixture_init(&f, false);
	for (int round = 0; round < 4; round++) {
		if (!round)
			for (int i = 0; i < 9; i++)
				(void)ring_writer_cpu(&f.writer, 7, START + i * 10 * MS, 10 * MS,
						      0x1000);
		if (!round)
			end_write(&f, 100 * MS, 100 * MS);
		else /* a leader that has ended is listed as long as its process lives */
			(void)ring_writer_cpu(&f.writer, 8, START + round * 1000 * MS, 10 * MS, 0x1000);
		readings[0].slot.tid = round ? 0 : 7;
		readings[1].cpu_ns = (uint64_t)(round * 10 * MS);
		fixture_feed(&f);
		struct profile *p = fixture_emit(&f, readings, 2, 1000 * MS * (round + 1), round == 3);

		total += sum_of(p, "process_cpu", NULL);
		profile_free(p);
	}
	assert_in_range(total, 130 * MS - 20, 130 * MS + 20);
	fixture_release(&f);
}

static void a_number_that_is_used_again_is_another_thread(void **state)
{
	struct fixture f;
	struct native_reading readings[] = { reading(7, 5000 * MS, 0) };

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_cpu(&f.writer, 7, START + 10 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	profile_free(fixture_emit(&f, readings, 1, 6000 * MS, false));
	(void)ring_writer_cpu(&f.writer, 7, START + 6010 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	readings[0] = reading(7, 12 * MS, 0);
	readings[0].slot.generation = 1;
	struct profile *p = fixture_emit(&f, readings, 1, 7000 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", NULL), 12 * MS);
	profile_free(p);
	fixture_release(&f);
}

static void more_threads_than_there_can_be_are_one(void **state)
{
	struct fixture f;
	const uint32_t threads = 5 * RING_THREADS_MAX;

	(void)state;
	fixture_init(&f, false);
	for (uint32_t i = 0; i < threads; i++)
		(void)ring_writer_cpu(&f.writer, 1000 + i, START, 10 * MS, 0x1000);
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, NULL, 0, 1000 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", NULL), threads * 10 * MS);
	profile_free(p);
	fixture_release(&f);
}

static void values_at_their_ends_stay_sums(void **state)
{
	struct fixture f;
	const struct ring_cpu end = { UINT64_MAX, UINT64_MAX };
	const struct ring_block block = { .call = UINT32_MAX,
					  .target_kind = UINT32_MAX,
					  .duration_ns = UINT64_MAX,
					  .since_ns = INT64_MIN };
	struct native_reading readings[] = { reading(7, 1000 * MS, 0) };

	(void)state;
	fixture_init(&f, false);
	readings[0].slot = (struct ring_thread){ .tid = 7,
						 .call = UINT32_MAX,
						 .since_ns = 1,
						 .cpu_base_ns = UINT64_MAX,
						 .cpu_stop_ns = 1 };
	for (int64_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 100; i++) {
			(void)ring_writer_cpu(&f.writer, i, INT64_MAX, UINT64_MAX, UINT64_MAX);
			(void)ring_writer_add(&f.writer, RING_BLOCK, i, INT64_MIN, &block, sizeof(block),
					      NULL, 0);
			if (i != 7)
				(void)ring_writer_add(&f.writer, RING_THREAD_END, i, 0, &end,
						      sizeof(end), NULL, 0);
		}
		fixture_feed(&f);
		struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS * (round + 1), round == 49);

		for (size_t i = 0; i < p->values_count; i++)
			assert_true(p->values[i] >= 0);
		profile_free(p);
	}
	fixture_release(&f);
}

static void an_open_call_is_not_charged_again_after_the_agent_s_restart(void **state)
{
	struct fixture f;
	struct ring_block block = { .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77 };
	struct native_reading readings[] = { reading(7, 0, 0) };
	int64_t total = 0;

	(void)state;
	fixture_init(&f, true);
	readings[0].slot = (struct ring_thread){
		.tid = 7, .call = RING_CALL_poll, .since_ns = START + 100 * MS, .site = 77
	};
	struct profile *p = fixture_emit(&f, readings, 1, 10000 * MS, false);

	total += sum_of(p, "block", "poll");
	profile_free(p);
	block.duration_ns = 12000 * MS;
	(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START + 12100 * MS, &block, sizeof(block), NULL,
			      0);
	fixture_feed(&f);
	readings[0].slot.call = 0;
	readings[0].slot.blocked_ns = f.sums.blocked_ns = 12000 * MS;
	p = fixture_emit(&f, readings, 1, 13000 * MS, false);
	total += sum_of(p, "block", "poll");
	assert_int_equal(total, 2100 * MS); /* since the new agent came */
	profile_free(p);
	fixture_release(&f);
}

static void an_open_claim_waits_and_then_expires(void **state)
{
	struct fixture f;
	size_t consumed;
	struct native_stats stats;

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);
	struct ring_record *open = ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);
	size_t hole = open->bytes;

	open->commit = 0;
	(void)ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);
	const uint8_t *bytes = (const uint8_t *)f.writer.bytes.data;

	assert_int_equal(native_process_records(f.process, 0, 0, bytes, f.writer.bytes.len, false,
						&consumed),
			 0);
	assert_int_equal(consumed, hole); /* the first, and no further */
	assert_int_equal(native_process_records(f.process, 0, consumed, bytes + consumed,
						f.writer.bytes.len - consumed, true, &consumed),
			 0);
	native_process_stats(f.process, &stats);
	assert_int_equal(stats.samples, 2);
	assert_int_equal(stats.abandoned_bytes, hole);
	assert_int_equal(stats.bad_records, 0);
	fixture_release(&f);
}

static void nonsense_is_counted_and_skipped(void **state)
{
	struct fixture f;
	size_t consumed;
	struct native_stats stats;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 5; i++) {
		struct ring_record *record = ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);

		switch (i) {
		case 0:
			record->bytes = 0;
			break;
		case 1:
			record->bytes = UINT32_MAX;
			break;
		case 2:
			record->frames = RING_FRAMES_MAX + 1;
			break;
		case 3:
			record->type = RING_TYPES;
			break;
		default:
			break;
		}
	}
	assert_int_equal(native_process_records(f.process, 0, 0,
						(const uint8_t *)f.writer.bytes.data,
						f.writer.bytes.len, true, &consumed),
			 0);
	native_process_stats(f.process, &stats);
	assert_int_equal(consumed, f.writer.bytes.len);
	assert_int_equal(stats.samples, 1);
	assert_int_equal(stats.bad_records, 4);
	fixture_release(&f);
}

/* They are counted, and disturb nothing that stands beside them. */
static void spans_are_taken_and_counted(void **state)
{
	const struct ring_span span = { .span_id = 5, .root_span_id = 5, .start_ns = START,
					.duration_ns = 3 };
	struct native_stats stats;
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_cpu(&f.writer, 7, START + 1 * MS, 10 * MS, 0x1000);
	(void)ring_writer_add(&f.writer, RING_SPAN, 7, START + 2 * MS, &span, sizeof(span), NULL, 0);
	(void)ring_writer_cpu(&f.writer, 7, START + 3 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	native_process_stats(f.process, &stats);
	assert_int_equal(stats.spans, 1);
	assert_int_equal(stats.samples, 2);
	assert_int_equal(stats.others, 0);
	assert_int_equal(stats.bad_records, 0);
	struct profile *p = fixture_emit(&f, NULL, 0, 100 * MS, true);

	assert_int_equal(sum_of(p, "process_cpu", NULL), 20 * MS);
	profile_free(p);
	fixture_release(&f);
}

static const char *label_of(const struct profile *p, const char *key)
{
	for (size_t i = 0; i < p->labels_count; i++)
		if (!strcmp(profile_string(p, p->labels[i].key).ptr, key))
			return profile_string(p, p->labels[i].text).ptr;
	return NULL;
}

/* A trace id is written as its bytes stand, as log lines and traceparent headers have it. */
static void a_trace_id_is_bytes_in_order(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	struct ring_record *record = ring_writer_cpu(&f.writer, 7, START + 1 * MS, 10 * MS, 0x1000);

	memcpy(record->trace_id, "0123456789abcdef", 16);
	record->span_id = 9;
	fixture_feed(&f);
	struct profile *p = fixture_emit(&f, NULL, 0, 100 * MS, true);

	assert_string_equal(label_of(p, "trace id"), "30313233343536373839616263646566");
	profile_free(p);
	fixture_release(&f);
}

/* Each may stand for a thousand million others, for decades; found by fuzz_native, as a double that no int64_t holds. */
static void calls_that_stand_for_more_than_time_are_bounded(void **state)
{
	const struct ring_block block = { .call = 1, .duration_ns = UINT64_MAX, .mean_ns = UINT64_MAX };
	const uint64_t leaf = 0x1000;
	struct fixture f;

	(void)state;
	for (int resumed = 0; resumed < 2; resumed++) {
		fixture_init(&f, resumed);
		for (int i = 0; i < 2; i++)
			(void)ring_writer_add(&f.writer, RING_BLOCK, 7, START, &block, sizeof(block), &leaf, 1);
		fixture_feed(&f);
		struct profile *p = fixture_emit(&f, NULL, 0, 100000 * MS, false);

		/* Each for its 100 s and an hour, at most twice that. */
		assert_in_range(sum_of(p, "block", NULL), 1, 4 * 3700 * NS_PER_S);
		profile_free(p);
		fixture_release(&f);
	}
}

static void heads_that_lie_are_refused(void **state)
{
	const struct ring_head right = ring_head_make();
	struct err err;

	(void)state;
	assert_int_equal(native_head_check(&right, 1 << 20, &err), 0);
	assert_int_equal(native_head_check(&right, (1 << 20) + 1, &err), -EINVAL);
#define LIE(field, value)                                                                          \
	do {                                                                                       \
		struct ring_head head = right;                                                     \
		head.field = (value);                                                              \
		assert_int_equal(native_head_check(&head, 1 << 20, &err), -EINVAL);                \
	} while (0)
	LIE(magic, 0);
	LIE(version, 99);
	LIE(head_bytes, 8);
	LIE(modules_at, RING_PAGE); /* the agent's own page */
	LIE(modules_at, UINT32_MAX);
	LIE(modules_max, 0);
	LIE(modules_max, UINT32_MAX);
	LIE(threads_at, 0);
	LIE(threads_max, UINT32_MAX);
	LIE(rings_count, 0);
	LIE(rings_count, RING_RINGS_MAX + 1);
	LIE(rings_count, 4); /* does not fit */
	LIE(ring_bytes, 0);
	LIE(ring_bytes, 100000); /* not a power of two */
	LIE(ring_bytes, UINT32_MAX);
	LIE(heap_bytes, UINT32_MAX);
	LIE(hz, 0);
#undef LIE
}

static void hellos_that_lie_are_refused(void **state)
{
	struct {
		struct ring_hello hello;
		char text[32];
	} message = { .hello = { .magic = RING_HELLO_MAGIC, .version = RING_VERSION, .text_bytes = 10 },
		      .text = "service\0x" };
	size_t len = sizeof(message.hello) + 10;
	struct native_hello hello;
	struct err err;

	(void)state;
	assert_int_equal(native_hello_parse(&message, len, &hello, &err), 0);
	assert_int_equal(hello.labels_count, 1);
	assert_string_equal(hello.labels[0].value.ptr, "x");
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(native_hello_parse(&message, cut, &hello, &err), -EINVAL);
	message.hello.version = RING_VERSION + 1;
	assert_int_equal(native_hello_parse(&message, len, &hello, &err), -EINVAL);
	message.hello.version = RING_VERSION;
	message.hello.modules_count = RING_HELLO_MODULES_MAX + 1;
	assert_int_equal(native_hello_parse(&message, len, &hello, &err), -EINVAL);
	message.hello.modules_count = 0;
	message.hello.text_bytes = 16; /* a note is no label */
	memcpy(message.text, "@refused\0A=b: c", 16);
	assert_int_equal(native_hello_parse(&message, len + 6, &hello, &err), 0);
	assert_int_equal(hello.labels_count, 0);
	assert_int_equal(hello.notes_count, 1);
	assert_string_equal(hello.notes[0].value.ptr, "A=b: c");
	message.hello.text_bytes = 11;
	memcpy(message.text, "service\0x\0y", 11); /* a key without its value, without its end */
	assert_int_equal(native_hello_parse(&message, len + 1, &hello, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_are_taken_and_counted),
		cmocka_unit_test(a_trace_id_is_bytes_in_order),
		cmocka_unit_test(a_live_thread_adds_up_to_its_clock),
		cmocka_unit_test(a_thread_without_samples_is_owed_until_it_has_one),
		cmocka_unit_test(a_thread_that_is_never_sampled_is_shown_as_such),
		cmocka_unit_test(ended_threads_keep_the_total_exact),
		cmocka_unit_test(an_end_that_is_read_before_proc_forgets_the_thread),
		cmocka_unit_test(after_the_agent_s_restart_waiting_samples_keep_their_weight),
		cmocka_unit_test(time_in_the_kernel_is_a_frame_of_its_own),
		cmocka_unit_test(wall_time_is_explained_part_by_part),
		cmocka_unit_test(code_of_a_jit_has_the_names_of_its_map),
		cmocka_unit_test(vitals_are_differences_of_two_readings),
		cmocka_unit_test(bursts_in_step_with_the_tick_are_in_doubt),
		cmocka_unit_test(the_last_slots_tell_of_a_short_process),
		cmocka_unit_test(sampled_calls_add_up_to_the_exact_sum),
		cmocka_unit_test(a_call_that_has_not_returned_is_charged_once),
		cmocka_unit_test(an_open_call_returns_before_the_end),
		cmocka_unit_test(an_open_call_lasts_to_the_end),
		cmocka_unit_test(an_end_that_comes_a_drain_later_is_not_owed_again),
		cmocka_unit_test(a_sample_that_comes_late_is_not_counted_twice),
		cmocka_unit_test(a_late_sample_of_a_killed_process_is_not_counted_twice),
		cmocka_unit_test(a_sample_behind_the_end_stands_for_nothing_more),
		cmocka_unit_test(a_thread_that_ends_while_it_is_listed_counts_once),
		cmocka_unit_test(a_number_that_is_used_again_is_another_thread),
		cmocka_unit_test(more_threads_than_there_can_be_are_one),
		cmocka_unit_test(values_at_their_ends_stay_sums),
		cmocka_unit_test(an_open_call_is_not_charged_again_after_the_agent_s_restart),
		cmocka_unit_test(an_open_claim_waits_and_then_expires),
		cmocka_unit_test(nonsense_is_counted_and_skipped),
		cmocka_unit_test(calls_that_stand_for_more_than_time_are_bounded),
		cmocka_unit_test(what_is_kept_outlives_the_copy_of_the_ring),
		cmocka_unit_test(who_was_heard_is_known_until_the_batch),
		cmocka_unit_test(threads_and_spans_by_turns_stay_apart),
		cmocka_unit_test(heads_that_lie_are_refused),
		cmocka_unit_test(hellos_that_lie_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
