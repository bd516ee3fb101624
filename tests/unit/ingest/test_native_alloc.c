/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations and live heap: from samples, counters and a copy of the table to records. */
#include "tests/cmocka.h"

#include <math.h>
#include <string.h>

#include "ingest/native_heap.h"
#include "tests/unit/ingest/native_fixture.h"

#define MEAN (UINT64_C(512) << 10)
#define HEAP_BYTES ((size_t)16 << 10)

static uint64_t random_state;

static void fixture_init(struct fixture *f, bool resumed)
{
	const struct native_options options = {.executable = "x"};

	fixture_begin(f, &options);
	random_state = 88172645463325252;
	native_process_resume(f->process, resumed);
}

static double uniform(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) * 0x1p-53;
}

/* An allocation at the site `leaf`: counted, and sampled with its chance. */
static void allocate(struct fixture *f, uint64_t leaf, uint64_t size)
{
	const struct ring_alloc alloc = {size, MEAN, 0x1000};
	const uint64_t frames[2] = {leaf, 0x2000};

	f->totals.alloc_calls++;
	f->totals.alloc_bytes += size;
	if (uniform() < -expm1(-(double)size / (double)MEAN))
		(void)ring_writer_add(&f->writer, RING_SAMPLE_ALLOC, 7, START + f->after_ns, &alloc,
				      sizeof(alloc), frames, 2);
}

static struct profile *drain(struct fixture *f, bool ended)
{
	fixture_take(f);
	native_process_totals(f->process, &f->totals);
	struct profile *profile = fixture_emit(f, NULL, 0, f->after_ns, ended);

	f->after_ns += NS_PER_S;
	return profile;
}

/* The column's sum of a memory kind over all records, or over those of one leaf address. */
static int64_t sum_of(const struct profile *p, const char *column, uint64_t leaf)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];
		const struct profile_kind *k = &p->kinds[p->series[r->series].kind];
		const struct profile_frame *frame = &p->frames[p->nodes[r->node].frame];

		for (size_t c = 0; c < k->columns_count; c++)
			if (!strcmp(profile_string(p, k->columns[c].type).ptr, column) &&
			    (!leaf || frame->address == leaf))
				sum += p->values[r->values_at + c];
	}
	return sum;
}

/* Drains of few samples, of sites that differ as much as can be: none gains, and the total is
 * exact. */
static void test_totals_are_exact_and_sites_unbiased(void **state)
{
	static const uint64_t sizes[] = {64, 30000, 500000, 10000000};
	double sums[4] = {0}, truths[4] = {0}, variance[4] = {0};

	(void)state;
	for (int run = 0; run < 40; run++) {
		struct fixture f;
		int64_t total = 0;

		fixture_init(&f, false);
		random_state += (uint64_t)run * UINT64_C(0x9e3779b97f4a7c15);
		for (int second = 0; second < 60; second++) {
			for (int s = 0; s < 4; s++) {
				/* Bytes a second: half a mean, one, two, and a large block now and
				 * then. */
				double rate[4] = {0.5, 1, 2, second % 10 ? 0 : 19.1};
				uint64_t n =
				    (uint64_t)(rate[s] * (double)MEAN / (double)sizes[s] + 0.5);
				double p = -expm1(-(double)sizes[s] / (double)MEAN);

				for (uint64_t i = 0; i < n; i++)
					allocate(&f, 0x100 + (uint64_t)s, sizes[s]);
				truths[s] += (double)(n * sizes[s]);
				variance[s] +=
				    (double)n * (double)sizes[s] * (double)sizes[s] * (1 - p) / p;
			}
			struct profile *profile = drain(&f, second == 59);

			total += sum_of(profile, "alloc_space", 0);
			for (int s = 0; s < 4; s++)
				sums[s] +=
				    (double)sum_of(profile, "alloc_space", 0x100 + (uint64_t)s);
			profile_free(profile);
		}
		assert_int_equal(total, f.totals.alloc_bytes);
		fixture_release(&f);
	}
	for (int s = 0; s < 4; s++) {
		double off = (sums[s] - truths[s]) / sqrt(variance[s] + 1);

		print_message("%8llu bytes: %+.2f %%, %+.2f se\n", (unsigned long long)sizes[s],
			      100 * (sums[s] / truths[s] - 1), off);
		/* The large blocks are known to the byte: scaling each drain would move 0.45 % to
		 * them. */
		assert_true(fabs(sums[s] - truths[s]) < 5 * sqrt(variance[s]) + 0.001 * truths[s]);
	}
}

static void test_what_is_never_sampled_is_shown_at_the_end(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	f.totals = (struct native_totals){3, 100};
	struct profile *p = drain(&f, false);

	assert_int_equal(sum_of(p, "alloc_space", 0), 0);
	profile_free(p);
	f.totals.alloc_bytes = 150;
	p = drain(&f, true);
	assert_int_equal(sum_of(p, "alloc_space", 0), 150);
	assert_int_equal(p->records_count, 1);
	assert_string_equal(
	    profile_string(p, p->frames[p->nodes[p->records[0].node].frame].function).ptr,
	    "[not sampled]");
	profile_free(p);
	fixture_release(&f);
}

static void sample_add(struct fixture *f, uint64_t size)
{
	const struct ring_alloc alloc = {size, MEAN, 0x1000};
	const uint64_t frames[1] = {0x100};

	(void)ring_writer_add(&f->writer, RING_SAMPLE_ALLOC, 7, START + f->after_ns, &alloc,
			      sizeof(alloc), frames, 1);
}

/* A sample stood for more than there was, and nothing came after it: taken back where it stands. */
static void test_what_was_too_much_is_taken_back(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	sample_add(&f, 1000);
	f.totals = (struct native_totals){5, 5000};
	struct profile *p = drain(&f, false);
	int64_t shown = sum_of(p, "alloc_space", 0x100);

	assert_true(shown > 500000);
	assert_int_equal(p->records[0].time_ns, UTC);
	profile_free(p);
	p = drain(&f, true);
	assert_int_equal(shown + sum_of(p, "alloc_space", 0x100), 5000);
	assert_int_equal(sum_of(p, "alloc_space", 0), 5000 - shown);
	assert_int_equal(p->records[0].time_ns, UTC);
	profile_free(p);
	fixture_release(&f);
}

static void test_a_resumed_process_owes_nothing_from_before(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, true);
	f.totals = (struct native_totals){1000, 1 << 30};
	sample_add(&f, 1000);
	struct profile *p = drain(&f, false);
	int64_t shown = sum_of(p, "alloc_space", 0);

	assert_true(shown > 500000 && shown < 600000); /* its own weight */
	profile_free(p);
	f.totals.alloc_bytes += 77;
	p = drain(&f, true);
	assert_int_equal(sum_of(p, "alloc_space", 0), 77);
	profile_free(p);
	fixture_release(&f);
}

static void test_a_dimension_that_is_off_shows_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	f.counters.off[RING_ALLOC] = 5;
	f.totals = (struct native_totals){1000, 1 << 30};
	struct profile *p = drain(&f, true);

	assert_int_equal(p->records_count, 0);
	profile_free(p);
	fixture_release(&f);
}

/* ---- live heap ---- */

struct table {
	union {
		struct ring_heap head;
		uint8_t bytes[HEAP_BYTES];
	};
};

static struct ring_heap_entry *entry_of(struct table *t, size_t i)
{
	return (struct ring_heap_entry *)(void *)(t->bytes +
						  ring_heap_entries_at(t->head.entries_max)) +
	       i;
}

static struct ring_heap_block *block_of(struct table *t, size_t i)
{
	return (struct ring_heap_block *)(void *)(t->bytes +
						  ring_heap_blocks_at(t->head.entries_max)) +
	       i;
}

static void table_put(struct table *t, size_t i, uint64_t size, int64_t time_ns)
{
	uint64_t *keys = (uint64_t *)(void *)(t->bytes + sizeof(struct ring_heap));

	keys[i] = 0x7000 + i * 64;
	*entry_of(t, i) = (struct ring_heap_entry){.sequence = 2,
						   .tid = 7,
						   .size = size,
						   .mean_bytes = MEAN,
						   .time_ns = time_ns,
						   .block = (uint32_t)i + 1,
						   .frames = 2};
	*block_of(t, i) = (struct ring_heap_block){.frames = {0x100 + i % 2, 0x2000}};
}

static struct table table_make(void)
{
	return (struct table){.head = {.entries_max = 16, .blocks_max = 32}};
}

static void table_give(struct fixture *f, const struct table *t)
{
	size_t head = native_heap_head_bytes(t->bytes, sizeof(t->bytes));

	assert_int_equal(
	    native_process_heap(f->process, t->bytes, sizeof(t->bytes), t->bytes, head), 0);
}

static void test_a_snapshot_is_summed_by_stack_and_age(void **state)
{
	struct table t = table_make();
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	f.after_ns = 100 * NS_PER_S;
	for (size_t i = 0; i < 8; i++) /* two sites; four are old */
		table_put(&t, i, UINT64_C(1) << 40, START + (i < 4 ? 10 : 95) * NS_PER_S);
	table_give(&f, &t);
	struct profile *p = drain(&f, false);

	assert_int_equal(p->records_count, 4);
	assert_int_equal(sum_of(p, "inuse_space", 0x100), INT64_C(4) << 40);
	assert_int_equal(sum_of(p, "inuse_objects", 0), 8);
	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_labels *c = &p->contexts[p->records[i].context];
		bool aged = false;

		assert_int_equal(p->records[i].time_ns, UTC + 100 * NS_PER_S);
		assert_int_equal(p->records[i].count, 2);
		for (size_t k = 0; k < c->count; k++) {
			const struct profile_label *l = &p->labels[c->at + k];

			aged = aged || (!strcmp(profile_string(p, l->key).ptr, "age") &&
					(!strcmp(profile_string(p, l->text).ptr, "< 10 s") ||
					 !strcmp(profile_string(p, l->text).ptr, "< 10 min")));
		}
		assert_true(aged);
	}
	profile_free(p);
	fixture_release(&f);
}

static void test_a_snapshot_knows_its_standard_error(void **state)
{
	const double chance = -expm1(-0.125), bytes = MEAN / 8 / chance;
	struct table t = table_make();
	struct native_stats stats;
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	for (size_t i = 0; i < 4; i++)
		table_put(&t, i, MEAN / 8, START);
	table_put(&t, 4, UINT64_C(1) << 40, START); /* surely taken: it adds no error */
	table_give(&f, &t);
	profile_free(drain(&f, false));
	native_process_stats(f.process, &stats);
	assert_true(fabs(stats.heap_bytes - 0x1p40 - 4 * bytes) < 1);
	assert_true(fabs(stats.heap_se_bytes - bytes * sqrt(4 * (1 - chance))) < 1);
	fixture_release(&f);
}

static void test_fragmentation_is_what_live_heap_leaves(void **state)
{
	struct table t = table_make();
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	f.vitals = (struct native_vitals){.known = true, .resident_bytes = UINT64_C(100) << 20};
	struct profile *p = drain(&f, false); /* before the first snapshot it is not known */

	assert_int_equal(sum_of(p, "resident", 0), INT64_C(100) << 20);
	assert_int_equal(sum_of(p, "fragmentation", 0), 0);
	profile_free(p);
	for (size_t i = 0; i < 4; i++) /* sampled for certain: each stands for itself */
		table_put(&t, i, UINT64_C(16) << 20, START);
	table_give(&f, &t);
	f.after_ns = 20 * NS_PER_S;
	p = drain(&f, false);
	assert_int_equal(sum_of(p, "fragmentation", 0), INT64_C(36) << 20);
	profile_free(p);
	f.after_ns = 40 * NS_PER_S; /* no new snapshot: the last one holds */
	p = drain(&f, false);
	assert_int_equal(sum_of(p, "fragmentation", 0), INT64_C(36) << 20);
	profile_free(p);
	f.vitals.resident_bytes = 1 << 20; /* live blocks that were never touched */
	f.after_ns = 60 * NS_PER_S;
	p = drain(&f, false);
	assert_int_equal(sum_of(p, "fragmentation", 0), 0);
	profile_free(p);
	f.vitals.resident_bytes = UINT64_C(100) << 20;
	f.counters.off[RING_HEAP] = 5; /* switched off: the table is laid out, and stays empty */
	table_give(&f, &(struct table){.head = {.entries_max = 16, .blocks_max = 32}});
	f.after_ns = 80 * NS_PER_S;
	p = drain(&f, false);
	assert_int_equal(sum_of(p, "resident", 0), INT64_C(100) << 20);
	assert_int_equal(sum_of(p, "fragmentation", 0), 0);
	profile_free(p);
	fixture_release(&f);
}

static void test_an_empty_table_says_so_once(void **state)
{
	struct table t = table_make(), empty = table_make();
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	table_give(&f, &empty);
	struct profile *p = drain(&f, false);

	assert_int_equal(p->records_count, 0);
	profile_free(p);
	table_put(&t, 3, 1000, START);
	table_give(&f, &t);
	profile_free(drain(&f, false));
	table_give(&f, &empty);
	p = drain(&f, false);
	assert_int_equal(p->records_count, 1);
	assert_int_equal(p->records[0].node, 0);
	assert_int_equal(p->values[p->records[0].values_at], 0);
	profile_free(p);
	table_give(&f, &empty);
	p = drain(&f, false);
	assert_int_equal(p->records_count, 0);
	profile_free(p);
	fixture_release(&f);
}

static size_t blocks_read(const struct table *first, const struct table *second, uint64_t *ret_torn)
{
	struct native_heap heap = {0};
	size_t count;

	assert_int_equal(native_heap_read(&heap, first->bytes, sizeof(first->bytes), second->bytes,
					  sizeof(second->bytes)),
			 0);
	count = heap.blocks_count;
	*ret_torn = heap.torn;
	native_heap_release(&heap);
	return count;
}

static void test_what_changes_meanwhile_is_left_out(void **state)
{
	struct table t = table_make(), u;
	uint64_t torn;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		table_put(&t, i, 1000, START);
	u = t;
	assert_int_equal(blocks_read(&t, &u, &torn), 3);
	assert_int_equal(torn, 0);
	entry_of(&u, 1)->sequence = 4;
	assert_int_equal(blocks_read(&t, &u, &torn), 2);
	assert_int_equal(torn, 1);
	u = t;
	entry_of(&t, 1)->sequence = entry_of(&u, 1)->sequence = 3;
	assert_int_equal(blocks_read(&t, &u, &torn), 2);
	u = t;
	memset(u.bytes + sizeof(struct ring_heap), 0, 2 * sizeof(uint64_t));
	assert_int_equal(blocks_read(&t, &u, &torn), 1);
}

/* Chains that meet, go round or lead outside cost no more than the table has blocks. */
static void test_chains_are_believed_once(void **state)
{
	struct table t = table_make();
	struct native_heap heap = {0};

	(void)state;
	for (size_t i = 0; i < 16; i++) {
		table_put(&t, i, 1000, START);
		entry_of(&t, i)->block = 1;
		entry_of(&t, i)->frames = RING_FRAMES_MAX;
	}
	block_of(&t, 0)->next = 2;
	block_of(&t, 1)->next = 1;
	entry_of(&t, 9)->block = UINT32_MAX;
	assert_int_equal(
	    native_heap_read(&heap, t.bytes, sizeof(t.bytes), t.bytes, sizeof(t.bytes)), 0);
	assert_int_equal(heap.blocks_count, 16);
	assert_int_equal(heap.frames_count, 2 * RING_HEAP_FRAMES);
	native_heap_release(&heap);
}

/* Garbage in every word, and heads that lie about their sizes. */
static void test_garbage(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, false);
	for (int round = 0; round < 400; round++) {
		struct table t, u;
		struct native_heap heap = {0};

		for (size_t i = 0; i + 8 <= sizeof(t.bytes); i += 8) {
			uint64_t word = (uint64_t)(uniform() * 0x1p53);

			word = round % 3 ? word : word & 0xff;
			memcpy(t.bytes + i, &word, sizeof(word));
		}
		t.head.entries_max = round % 4 ? 16 : 1u << (round % 32);
		t.head.blocks_max = round % 5 ? 32 : UINT32_MAX - (uint32_t)round;
		u = t;
		if (round % 2)
			u.bytes[round * 37 % (int)sizeof(u.bytes)] ^= 1;
		for (size_t len = 0; len <= sizeof(t.bytes);
		     len += round % 7 ? sizeof(t.bytes) : 200)
			assert_int_equal(native_heap_read(&heap, t.bytes, len, u.bytes,
							  native_heap_head_bytes(t.bytes, len)),
					 0);
		native_heap_release(&heap);
		assert_int_equal(
		    native_process_heap(f.process, t.bytes, sizeof(t.bytes), u.bytes,
					native_heap_head_bytes(t.bytes, sizeof(t.bytes))),
		    0);
		profile_free(drain(&f, round == 399));
	}
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_totals_are_exact_and_sites_unbiased),
	    cmocka_unit_test(test_what_is_never_sampled_is_shown_at_the_end),
	    cmocka_unit_test(test_what_was_too_much_is_taken_back),
	    cmocka_unit_test(test_a_resumed_process_owes_nothing_from_before),
	    cmocka_unit_test(test_a_dimension_that_is_off_shows_nothing),
	    cmocka_unit_test(test_a_snapshot_is_summed_by_stack_and_age),
	    cmocka_unit_test(test_a_snapshot_knows_its_standard_error),
	    cmocka_unit_test(test_fragmentation_is_what_live_heap_leaves),
	    cmocka_unit_test(test_an_empty_table_says_so_once),
	    cmocka_unit_test(test_what_changes_meanwhile_is_left_out),
	    cmocka_unit_test(test_chains_are_believed_once),
	    cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
