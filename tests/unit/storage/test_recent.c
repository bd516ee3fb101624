/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include "storage/sqlite_recent.h"

#define T0 INT64_C(1767225600000000000)
#define WINDOW STORAGE_L1_WINDOW_NS

/* A block in the making: the columns that a sum is made of. */
struct block {
	struct codec_columns columns;
	uint32_t places[8];
	int64_t times[8], values[8];
	uint64_t counts[8];
	int64_t min_ns, max_ns;
};

static void begin(struct block *b)
{
	static const uint32_t nodes[] = {70, 50, 60};

	*b = (struct block){.min_ns = INT64_MAX, .max_ns = INT64_MIN};
	b->columns = (struct codec_columns){.values_count = 1,
					    .times = b->times,
					    .counts = b->counts,
					    .values = {b->values},
					    .names = nodes,
					    .places = b->places,
					    .names_count = 3};
}

static void add(struct block *b, uint32_t place, int64_t time_ns, uint64_t count, int64_t value)
{
	size_t i = b->columns.count++;

	b->places[i] = place;
	b->times[i] = time_ns;
	b->counts[i] = count;
	b->values[i] = value;
	b->min_ns = MIN(b->min_ns, time_ns);
	b->max_ns = MAX(b->max_ns, time_ns);
}

static void sum(const struct block *b, int64_t id, int64_t batch, struct recent *to)
{
	recent_sum(&b->columns, b->min_ns, b->max_ns, id, batch, to);
}

static const struct recent_sum *sum_at(const struct recent_block *b, size_t i)
{
	return (const void *)(b->sums + i * recent_stride(b->width));
}

static void expect_sum(const struct recent_block *b, size_t i, uint32_t node, uint64_t count,
		       int64_t value)
{
	assert_int_equal(sum_at(b, i)->node, node);
	assert_int_equal(sum_at(b, i)->count, count);
	assert_int_equal(sum_at(b, i)->values[0], value);
}

static void a_block_is_summed_by_window_and_stack(void **state)
{
	struct block a;
	struct recent put = {0}, kept = {0};

	(void)state;
	begin(&a);
	add(&a, 0, T0 + WINDOW - 1, 2, 20);
	add(&a, 1, T0 + WINDOW, 1, -5);
	add(&a, 0, T0 + 3, 1, 10);
	add(&a, 0, T0 + WINDOW + 7, 4, INT64_MAX);
	add(&a, 0, T0 + WINDOW + 7, 4, 1);
	sum(&a, 9, 3, &put);
	recent_publish(&kept, &put);
	assert_int_equal(put.count, 0);
	const struct recent_block *b = recent_find(&kept, 9);

	assert_non_null(b);
	assert_null(recent_find(&kept, 8));
	assert_null(recent_find(&kept, 10));
	assert_int_equal(b->batch, 3);
	assert_int_equal(b->nodes_end, 71);
	assert_int_equal(b->windows_count, 2);
	assert_int_equal(b->windows[0].window_ns, T0);
	assert_int_equal(b->windows[0].records, 2);
	assert_int_equal(b->windows[0].first_ns, T0 + 3);
	assert_int_equal(b->windows[0].last_ns, T0 + WINDOW - 1);
	assert_int_equal(b->windows[0].count, 1);
	expect_sum(b, 0, 70, 3, 30);
	assert_int_equal(b->windows[1].window_ns, T0 + WINDOW);
	assert_int_equal(b->windows[1].records, 3);
	assert_int_equal(b->windows[1].count, 2);
	expect_sum(b, 1, 70, 8, INT64_MAX);
	expect_sum(b, 2, 50, 1, -5);
	recent_release(&put);
	recent_release(&kept);
}

static void what_does_not_fit_is_not_kept(void **state)
{
	struct block a;
	struct recent put = {0};

	(void)state;
	begin(&a);
	for (int64_t i = 0; i < 3; i++)
		add(&a, 0, T0 + i * WINDOW, 1, 1);
	sum(&a, 2, 1, &put);
	assert_int_equal(put.count, 0);
	/* The next block is none the worse for it. */
	begin(&a);
	add(&a, 2, T0, 1, 1);
	sum(&a, 3, 1, &put);
	assert_int_equal(put.count, 1);
	expect_sum(recent_find(&put, 3), 0, 60, 1, 1);
	recent_release(&put);
}

static void what_is_derived_is_forgotten(void **state)
{
	struct block a;
	struct recent put = {0}, kept = {0};
	size_t bytes = 0;
	int64_t id = 0;

	(void)state;
	/* Far more than there is room for. */
	while (id < 200000) {
		begin(&a);
		add(&a, 0, T0, 1, 1);
		id++;
		sum(&a, id, id / 2, &put);
		bytes = MAX(bytes, put.bytes);
		recent_publish(&kept, &put);
	}
	assert_true(kept.bytes <= RECENT_BYTES_MAX);
	assert_true(kept.bytes > RECENT_BYTES_MAX - bytes);
	assert_int_equal(kept.blocks[0]->id, 1);
	recent_forget(&kept, 2);
	assert_null(recent_find(&kept, 5));
	assert_non_null(recent_find(&kept, 6));
	recent_forget(&kept, id);
	assert_int_equal(kept.count, 0);
	assert_int_equal(kept.bytes, 0);
	recent_release(&put);
	recent_release(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_block_is_summed_by_window_and_stack),
	    cmocka_unit_test(what_does_not_fit_is_not_kept),
	    cmocka_unit_test(what_is_derived_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
