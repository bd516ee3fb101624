/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time of a native process, its threads and spans. */
#include "tests/unit/ingest/native_plain.h"

static void a_live_thread_adds_up_to_its_clock(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 9; i++)
		(void)ring_writer_cpu(&f.writer, 7, START + i * 10 * MS, 10 * MS, 0x1000);
	fixture_feed(&f);
	const struct native_reading readings[] = {reading(7, 97 * MS, 0)};
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
	size_t seen[4] = {0};

	for (size_t i = 1; i < p->frames_count; i++) {
		uint64_t address = p->frames[i].address;

		if (p->frames[i].flags & PROFILE_FRAME_ADDRESS)
			seen[address == 0x1000   ? 0
			     : address == 0x1001 ? 1
			     : address == 0x2000 ? 2
						 : 3]++;
	}
	assert_int_equal(seen[0] + seen[1] + seen[2], 3); /* two leaves below one root */
	assert_int_equal(seen[3], 0);
	profile_free(p);
	fixture_release(&f);
}

static void who_was_heard_is_known_until_the_batch(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = {reading(7, 10 * MS, 0)};

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
static int64_t number_of(const struct profile *p, const struct profile_record *record,
			 const char *key)
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
	const uint64_t addresses[2] = {0x1000, 0x1000 + ((uint64_t)1 << 42)};

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 64; i++) {
		struct ring_record *record =
		    ring_writer_cpu(&f.writer, 7 + (uint32_t)(i & 1), START + i * MS, 10 * MS,
				    addresses[i >> 1 & 1]);

		record->span_id = i & 4 ? 0x5b : 0;
	}
	fixture_feed(&f);
	const struct native_reading readings[] = {reading(7, 320 * MS, 0), reading(8, 320 * MS, 0)};
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
	struct native_reading readings[] = {reading(7, 6 * MS, 0)};

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
	const struct native_reading readings[] = {reading(7, 3000 * MS, 0)};
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
	const struct ring_cpu end = {5 * MS, 0};
	int64_t total = 0;

	(void)state;
	fixture_init(&f, false);
	/* A hundred threads of 5 ms; with a random first expiry about every second one is hit, and
	 * a hit weighs 10 ms. Here 46 are, so 40 ms more must be spread or shown. */
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
	const struct ring_cpu end = {105 * MS, 0};
	const struct native_reading readings[] = {reading(7, 106 * MS, 0)};
	const struct native_reading reused[] = {reading(7, 30 * MS, 0)};
	int64_t total = 0;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 10; i++)
		(void)ring_writer_cpu(&f.writer, 7, START + i * 10 * MS, 10 * MS, 0x1000);
	(void)ring_writer_add(&f.writer, RING_THREAD_END, 7, START + 100 * MS, &end, sizeof(end),
			      NULL, 0);
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
	struct native_reading readings[] = {reading(7, 5000 * MS, 0)};

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
	const struct native_reading readings[] = {reading(7, 40 * MS, 0)};
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
			assert_int_equal(p->frames[p->nodes[p->nodes[i].parent].frame].address,
					 0x1000);
		}
	assert_int_equal(kernel, 1);
	profile_free(p);
	fixture_release(&f);
}

static void vitals_are_differences_of_two_readings(void **state)
{
	struct fixture f;
	struct native_reading readings[] = {reading(7, 0, 40 * MS), reading(8, 0, 5 * MS)};

	(void)state;
	fixture_init(&f, false);
	readings[0].has_switches = true;
	readings[0].voluntary = 100;
	f.vitals = (struct native_vitals){true, 1 << 20, 1000, 10};
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(column_sum(p, "process", "[process]", 0), 1 << 20); /* the gauge alone */
	profile_free(p);
	readings[0].voluntary = 103;
	readings[0].wait_ns = 47 * MS;
	f.vitals = (struct native_vitals){true, 3 << 20, 1500, 12};
	/* thread 8 is new: all of its wait counts */
	p = fixture_emit(&f, readings, 2, 2000 * MS, false);
	assert_int_equal(column_sum(p, "process", NULL, 0), (3 << 20) + 12 * MS);
	assert_int_equal(column_sum(p, "process", NULL, 1), 500);
	profile_free(p);
	fixture_release(&f);
}

static void code_of_a_jit_has_the_names_of_its_map(void **state)
{
	static const char map[] =
	    "1000 100 long_function\n0x1040 10 Lazy:*short one\nnonsense\n2000 0 none\n"
	    "ffffffffffffff00 200 wraps\n1000 40 newer\n3000 8 cut";
	struct fixture f;
	size_t consumed;

	(void)state;
	fixture_init(&f, false);
	assert_int_equal(native_process_jit(f.process, map, sizeof(map) - 1, &consumed), 0);
	assert_int_equal(consumed, sizeof(map) - 1 - strlen("3000 8 cut"));
	for (uint64_t address = 0; address < 4; address++)
		(void)ring_writer_cpu(&f.writer, 7, START + 10 * MS, 10 * MS,
				      (const uint64_t[]){0x1041, 0x1080, 0x1001, 0x3001}[address]);
	fixture_feed(&f);
	const struct native_reading readings[] = {reading(7, 40 * MS, 0)};
	struct profile *p = fixture_emit(&f, readings, 1, 1000 * MS, false);

	assert_int_equal(sum_of(p, "process_cpu", "Lazy:*short one"), 10 * MS);
	assert_int_equal(sum_of(p, "process_cpu", "long_function"), 10 * MS);
	assert_int_equal(sum_of(p, "process_cpu", "newer"), 10 * MS);
	assert_int_equal(sum_of(p, "process_cpu", "cut"), 0);
	assert_int_equal(sum_of(p, "process_cpu", "wraps"), 0);
	profile_free(p);
	fixture_release(&f);
}

/* What the end record of thread 7 says. */
static void end_write(struct fixture *f, int64_t after_ns, int64_t cpu_ns)
{
	const struct ring_cpu end = {(uint64_t)cpu_ns, 0};

	(void)ring_writer_add(&f->writer, RING_THREAD_END, 7, START + after_ns, &end, sizeof(end),
			      NULL, 0);
}

static void an_end_that_comes_a_drain_later_is_not_owed_again(void **state)
{
	struct fixture f;
	struct native_reading readings[] = {reading(7, 5000 * MS, 0)};
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

/* A timer that no tick looked at comes with the thread's end, for what was given up as not sampled,
 * too. */
static void a_sample_that_comes_late_is_not_counted_twice(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = {reading(7, 270 * MS, 0)};

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
	const struct native_reading readings[] = {reading(7, 270 * MS, 0)};

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

/* The end has all of the thread's time, of which some is not sampled yet when a last signal
 * comes. */
static void a_sample_behind_the_end_stands_for_nothing_more(void **state)
{
	struct fixture f;
	const struct native_reading readings[] = {reading(7, 270 * MS, 0)},
				    late[] = {reading(7, 401 * MS, 0)};
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
	struct native_reading readings[] = {reading(7, 100 * MS, 0), reading(8, 0, 0)};
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
			(void)ring_writer_cpu(&f.writer, 8, START + round * 1000 * MS, 10 * MS,
					      0x1000);
		readings[0].slot.tid = round ? 0 : 7;
		readings[1].cpu_ns = (uint64_t)(round * 10 * MS);
		fixture_feed(&f);
		struct profile *p =
		    fixture_emit(&f, readings, 2, 1000 * MS * (round + 1), round == 3);

		total += sum_of(p, "process_cpu", NULL);
		profile_free(p);
	}
	assert_in_range(total, 130 * MS - 20, 130 * MS + 20);
	fixture_release(&f);
}

static void a_number_that_is_used_again_is_another_thread(void **state)
{
	struct fixture f;
	struct native_reading readings[] = {reading(7, 5000 * MS, 0)};

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
	const struct ring_cpu end = {UINT64_MAX, UINT64_MAX};
	const struct ring_block block = {.call = UINT32_MAX,
					 .target_kind = UINT32_MAX,
					 .duration_ns = UINT64_MAX,
					 .since_ns = INT64_MIN};
	struct native_reading readings[] = {reading(7, 1000 * MS, 0)};

	(void)state;
	fixture_init(&f, false);
	readings[0].slot = (struct ring_thread){.tid = 7,
						.call = UINT32_MAX,
						.since_ns = 1,
						.cpu_base_ns = UINT64_MAX,
						.cpu_stop_ns = 1};
	for (int64_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 100; i++) {
			(void)ring_writer_cpu(&f.writer, i, INT64_MAX, UINT64_MAX, UINT64_MAX);
			(void)ring_writer_add(&f.writer, RING_BLOCK, i, INT64_MIN, &block,
					      sizeof(block), NULL, 0);
			if (i != 7)
				(void)ring_writer_add(&f.writer, RING_THREAD_END, i, 0, &end,
						      sizeof(end), NULL, 0);
		}
		fixture_feed(&f);
		struct profile *p =
		    fixture_emit(&f, readings, 1, 1000 * MS * (round + 1), round == 49);

		for (size_t i = 0; i < p->values_count; i++)
			assert_true(p->values[i] >= 0);
		profile_free(p);
	}
	fixture_release(&f);
}

/* They are counted, and disturb nothing that stands beside them. */
static void spans_are_taken_and_counted(void **state)
{
	const struct ring_span span = {
	    .span_id = 5, .root_span_id = 5, .start_ns = START, .duration_ns = 3};
	struct native_stats stats;
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_cpu(&f.writer, 7, START + 1 * MS, 10 * MS, 0x1000);
	(void)ring_writer_add(&f.writer, RING_SPAN, 7, START + 2 * MS, &span, sizeof(span), NULL,
			      0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_live_thread_adds_up_to_its_clock),
	    cmocka_unit_test(what_is_kept_outlives_the_copy_of_the_ring),
	    cmocka_unit_test(who_was_heard_is_known_until_the_batch),
	    cmocka_unit_test(threads_and_spans_by_turns_stay_apart),
	    cmocka_unit_test(a_thread_without_samples_is_owed_until_it_has_one),
	    cmocka_unit_test(a_thread_that_is_never_sampled_is_shown_as_such),
	    cmocka_unit_test(ended_threads_keep_the_total_exact),
	    cmocka_unit_test(an_end_that_is_read_before_proc_forgets_the_thread),
	    cmocka_unit_test(after_the_agent_s_restart_waiting_samples_keep_their_weight),
	    cmocka_unit_test(time_in_the_kernel_is_a_frame_of_its_own),
	    cmocka_unit_test(vitals_are_differences_of_two_readings),
	    cmocka_unit_test(code_of_a_jit_has_the_names_of_its_map),
	    cmocka_unit_test(an_end_that_comes_a_drain_later_is_not_owed_again),
	    cmocka_unit_test(a_sample_that_comes_late_is_not_counted_twice),
	    cmocka_unit_test(a_late_sample_of_a_killed_process_is_not_counted_twice),
	    cmocka_unit_test(a_sample_behind_the_end_stands_for_nothing_more),
	    cmocka_unit_test(a_thread_that_ends_while_it_is_listed_counts_once),
	    cmocka_unit_test(a_number_that_is_used_again_is_another_thread),
	    cmocka_unit_test(more_threads_than_there_can_be_are_one),
	    cmocka_unit_test(values_at_their_ends_stay_sums),
	    cmocka_unit_test(spans_are_taken_and_counted),
	    cmocka_unit_test(a_trace_id_is_bytes_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
