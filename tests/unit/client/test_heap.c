/* SPDX-License-Identifier: Apache-2.0 */
/* The table of live blocks: sums stay true when it overflows, and every free takes its block out.
 */
#include "tests/cmocka.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/atomics.h"
#include "client/draw.h"
#include "client/heap.h"
#include "ingest/native_heap.h"

#define BYTES ((size_t)64 << 10)
#define MEAN (UINT64_C(512) << 10)
#define ERRORS 5 /* standard errors; a right program fails that once in a million runs */

static struct ring_heap *table_make(size_t bytes)
{
	struct ring_heap *h = calloc(1, bytes);

	assert_non_null(h);
	assert_true(heap_format(h, bytes));
	return h;
}

/* What the agent reads of it now. */
static struct native_heap table_read(const struct ring_heap *h, size_t bytes)
{
	struct native_heap out = {0};

	assert_int_equal(
	    native_heap_read(&out, (const uint8_t *)h, bytes, (const uint8_t *)h, bytes), 0);
	return out;
}

static uint64_t filter_sum(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(heap_filter); i++)
		sum += heap_filter[i];
	return sum;
}

static enum heap_put put(struct ring_heap *h, uint64_t address, uint64_t size, uint64_t mean,
			 uint16_t frames, uint64_t *draws)
{
	uint64_t words[RING_FRAMES_MAX];
	const struct heap_block b = {.address = address,
				     .size = size,
				     .mean_bytes = mean,
				     .time_ns = 7,
				     .tid = 9,
				     .span_id = 11,
				     .root_span_id = 12,
				     .frames = words,
				     .frames_count = frames};

	for (uint16_t i = 0; i < frames; i++)
		words[i] = address + i;
	return heap_put(h, &b, draws);
}

static void test_chance(void **state)
{
	(void)state;
	for (double x = 1e-9; x < 60; x *= 1.07) {
		uint64_t mean = UINT64_C(1) << 40, size = (uint64_t)(x * (double)mean) + 1;
		double right = -expm1(-(double)size / (double)mean);

		assert_true(fabs(heap_chance(size, mean) / right - 1) < 1e-12);
	}
	assert_true(heap_chance(1, 0) == 1);
}

static void test_what_is_put_is_read(void **state)
{
	struct ring_heap *h = table_make(BYTES);
	uint64_t draws = draw_seed(1, 2);

	(void)state;
	for (uint16_t i = 0; i < 20; i++)
		assert_int_equal(put(h, 0x10000 + i * 64u, 100u + i, MEAN, i, &draws), HEAP_PUT);
	struct native_heap got = table_read(h, BYTES);

	assert_int_equal(got.blocks_count, 20);
	for (size_t i = 0; i < 20; i++) {
		const struct native_block *b = &got.blocks[i];
		uint64_t n = b->size - 100;

		assert_int_equal(b->frames_count, n);
		assert_int_equal(b->mean_bytes, MEAN);
		assert_int_equal(b->tid, 9);
		assert_int_equal(b->time_ns, 7);
		assert_int_equal(b->span_id, 11);
		for (size_t f = 0; f < n; f++)
			assert_int_equal(got.frames[b->frames_at + f], 0x10000 + n * 64 + f);
	}
	native_heap_release(&got);
	for (uint16_t i = 0; i < 20; i++) {
		assert_true(heap_remove(h, 0x10000 + i * 64u));
		assert_false(heap_remove(h, 0x10000 + i * 64u));
	}
	assert_int_equal(h->used, 0);
	assert_int_equal(h->busy_blocks, 0);
	assert_int_equal(filter_sum(), 0);
	got = table_read(h, BYTES);
	assert_int_equal(got.blocks_count, 0);
	native_heap_release(&got);
	free(h);
}

static void test_an_address_that_comes_back_is_a_missed_free(void **state)
{
	struct ring_heap *h = table_make(BYTES);
	uint64_t draws = draw_seed(3, 4);

	(void)state;
	assert_int_equal(put(h, 0x2000, 10, MEAN, 3, &draws), HEAP_PUT);
	assert_int_equal(put(h, 0x2000, 20, MEAN, 3, &draws), HEAP_PUT);
	assert_int_equal(h->missed_frees, 1);
	assert_int_equal(h->used, 1);
	struct native_heap got = table_read(h, BYTES);

	assert_int_equal(got.blocks_count, 1);
	assert_int_equal(got.blocks[0].size, 20);
	native_heap_release(&got);
	free(h);
}

static void test_a_move_that_fails_leaves_the_block(void **state)
{
	struct ring_heap *h = table_make(BYTES);
	uint64_t draws = draw_seed(5, 6);
	struct native_heap got;
	uint32_t place;

	(void)state;
	assert_int_equal(put(h, 0x3000, 10, MEAN, 9, &draws), HEAP_PUT);
	assert_int_equal(heap_hide(h, 0x4000), UINT32_MAX);
	place = heap_hide(h, 0x3000);
	assert_int_not_equal(place, UINT32_MAX);
	got = table_read(h, BYTES);
	assert_int_equal(got.blocks_count, 0);
	native_heap_release(&got);
	/* The old place may be another thread's before ours has come back. */
	assert_int_equal(put(h, 0x3000, 30, MEAN, 9, &draws), HEAP_PUT);
	assert_int_equal(h->missed_frees, 0);
	assert_true(heap_remove(h, 0x3000));
	heap_settle(h, place, 0x3000, false);
	got = table_read(h, BYTES);
	assert_int_equal(got.blocks_count, 1);
	assert_int_equal(got.blocks[0].size, 10);
	native_heap_release(&got);
	place = heap_hide(h, 0x3000);
	heap_settle(h, place, 0x3000, true);
	assert_int_equal(h->used, 0);
	assert_int_equal(h->busy_blocks, 0);
	free(h);
}

/*
 * Blocks of three sizes, many times what the table holds: the sums of the survivors' weights are
 * the truth within the error that each size's survivors give.
 */
static void test_a_full_table_stays_true(void **state)
{
	static const uint64_t sizes[] = {512, 20000, 900000};
	static const uint64_t counts[] = {2000000, 50000, 1100};

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct ring_heap *h = table_make(BYTES);
		uint64_t draws = draw_seed(seed, 99), address = 1 << 20;
		double sum[3] = {0}, variance[3] = {0};

		/* By turns, so that each is there at every thinning. */
		for (uint64_t i = 0; i < counts[0]; i++)
			for (int s = 0; s < 3; s++) {
				if (i % (counts[0] / counts[s]) ||
				    i / (counts[0] / counts[s]) >= counts[s])
					continue;
				double u = (double)(draw_next(&draws) >> 11) * 0x1p-53;

				address += 16;
				if (u < heap_chance(sizes[s], MEAN))
					(void)put(h, address, sizes[s], MEAN, 5, &draws);
			}
		assert_int_equal(h->full, 0);
		assert_true(h->mean_bytes > 2 * MEAN && h->thinned > h->entries_max);
		struct native_heap got = table_read(h, BYTES);

		assert_int_equal(got.blocks_count, h->used);
		for (size_t i = 0; i < got.blocks_count; i++) {
			const struct native_block *b = &got.blocks[i];
			double p = heap_chance(b->size, b->mean_bytes), w = (double)b->size / p;
			int s = b->size == sizes[0] ? 0 : b->size == sizes[1] ? 1 : 2;

			sum[s] += w;
			variance[s] += w * w * (1 - p);
		}
		for (int s = 0; s < 3; s++) {
			double truth = (double)(sizes[s] * counts[s]);

			assert_true(variance[s] > 0);
			assert_true(fabs(sum[s] - truth) <= ERRORS * sqrt(variance[s]));
		}
		native_heap_release(&got);
		free(h);
	}
}

static void test_no_room_is_counted_and_given_back(void **state)
{
	struct ring_heap *h = table_make(16 << 10);
	uint64_t draws = draw_seed(8, 8);
	uint32_t blocks = h->blocks_max * RING_HEAP_FRAMES, puts = 0, at = 0;

	(void)state;
	/* Every block stands for itself (p = 1), so that no thinning helps; deep stacks use up the
	 * frames. */
	while (blocks >= 512 &&
	       put(h, 0x100000 + 64u * at, UINT64_C(1) << 50, MEAN, 512, &draws) == HEAP_PUT) {
		puts++;
		at++;
		assert_true(at < h->entries_max);
	}
	assert_true(puts > 0 && h->full == 1);
	while (puts)
		assert_true(heap_remove(h, 0x100000 + 64u * --puts));
	assert_int_equal(h->used, 0);
	assert_int_equal(h->busy_blocks, 0);
	assert_int_equal(put(h, 0x100000, UINT64_C(1) << 50, MEAN, 512, &draws), HEAP_PUT);
	free(h);
}

/* ---- threads: each has addresses of its own, and frees the blocks of its neighbour ---- */

#define THREADS 4
#define SLOTS 64
#define ROUNDS 20000

static struct {
	struct ring_heap *heap;
	uint64_t held[THREADS][SLOTS]; /* addresses handed to the next thread, 0: none */
	uint64_t lost;
} shared;

static void *worker(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg, next = (me + 1) % THREADS;
	uint64_t draws = draw_seed(me, 77);

	for (uint64_t i = 0; i < ROUNDS; i++) {
		uint64_t address = (me + 1) << 32 | (i + 1) << 4, none = 0,
			 *slot = &shared.held[next][i % SLOTS];
		bool kept = put(shared.heap, address, 1000 + i % 5000, MEAN, (uint16_t)(i % 40),
				&draws) == HEAP_PUT;
		uint64_t taken = swap(&shared.held[me][i % SLOTS], (uint64_t)0);

		if (taken)
			(void)heap_remove(shared.heap, taken);
		/* A realloc, while nobody else may know the block: one that moves or fails. */
		if (i % 7 == 0 && kept) {
			heap_settle(shared.heap, heap_hide(shared.heap, address), address, i % 2);
			kept = i % 2 == 0;
		}
		if (kept && !replace(slot, &none, address) && !heap_remove(shared.heap, address)) {
			/* Thinned out meanwhile: then it must not come back. */
			add(&shared.lost, 1);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	size_t bytes = (size_t)256 << 10;

	(void)state;
	memset(&shared, 0, sizeof(shared));
	shared.heap = table_make(bytes);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i),
				 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < THREADS; i++)
		for (size_t s = 0; s < SLOTS; s++)
			if (shared.held[i][s])
				(void)heap_remove(shared.heap, shared.held[i][s]);
	/* Nothing is left: no entry, no frame block, no count in the filter. */
	assert_int_equal(shared.heap->used, 0);
	assert_int_equal(shared.heap->busy_blocks, 0);
	assert_int_equal(shared.heap->full, 0);
	assert_int_equal(filter_sum(), 0);
	free(shared.heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_chance),
	    cmocka_unit_test(test_what_is_put_is_read),
	    cmocka_unit_test(test_an_address_that_comes_back_is_a_missed_free),
	    cmocka_unit_test(test_a_move_that_fails_leaves_the_block),
	    cmocka_unit_test(test_a_full_table_stays_true),
	    cmocka_unit_test(test_no_room_is_counted_and_given_back),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
