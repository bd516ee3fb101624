/* SPDX-License-Identifier: Apache-2.0 */
/* Answers say when the store had to fold small stacks. */
#include "tests/cmocka.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "query/filter.h"
#include "query/format.h"
#include "query/format_pprof.h"
#include "query/series.h"
#include "tests/support/store.h"
#include "wire/pprof.h"

/* The first is of another month. */
#define HOUR(n) (T0 + SECONDS(3600) * (n) - ((n) ? 0 : SECONDS(86400) * 40))
#define STACKS 2000
#define FOLDED "folded: small stacks stand at [other], for want of room"

static struct fixture f;

/* What is rolled up from now on is folded: L2 has a little more than its share.  Of the first hour
 * only that is left. */
static void shorten(void)
{
	struct storage_stats stats;

	fixture_reopen(&f); /* without a WAL beside it */
	assert_int_equal(storage_stats(f.reader, &stats, NULL), 0);
	fixture_close(&f);
	f.options.l0_age_ns = f.options.l1_age_ns = SECONDS(86400);
	f.options.bytes_max = (stats.l2_bytes - 4096) * 8 / 3;
	fixture_open(&f);
}

static struct profile *storm(int hour)
{
	struct maker m;

	maker_init(&m, 1000, 1);
	maker_span(&m, HOUR(hour), HOUR(hour), HOUR(hour));
	maker_series(&m, PROFILE_KIND_CPU, "service=a");
	maker_context(&m, "thread name=worker");
	maker_record(&m, "main;hot", HOUR(hour), 1, 100000, 1);
	for (int i = 0; i < STACKS && hour < 2; i++) {
		char stack[400];
		size_t len = (size_t)sprintf(stack, "main;work;f%d_", i);

		if (!hour)
			text_fill(stack, len, sizeof(stack) - 1);
		maker_record(&m, stack, HOUR(hour), 1, 1, 0);
	}
	return maker_finish(&m);
}

/* An hour for which there is room, and one for which there is none; the third is there to end
 * that. */
static int setup(void **state)
{
	(void)state;
	fixture_init(&f, &storage_sqlite);
	for (int hour = 0; hour < 3; hour++) {
		if (hour == 1)
			shorten();
		fixture_put(&f, storm(hour));
		for (int64_t t = 0; t < SECONDS(3600) * (hour ? 1 : 5); t += SECONDS(10))
			fixture_maintain(&f, HOUR(hour) + t);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_release(&f);
	return 0;
}

static struct query question(int hour)
{
	struct query query = {.reader = f.reader,
			      .viewer = {.all = true},
			      .range = {HOUR(hour), HOUR(hour) + SECONDS(3600)}};
	struct err err;

	assert_int_equal(profile_type_parse(STR("cpu"), &query.type, &err), 0);
	return query;
}

static void write_tree(const struct query *query, const char *format, struct buf *out)
{
	struct query_tree tree;
	struct query_view view;
	struct err err;

	buf_init(out, BUF_UNLIMITED);
	assert_int_equal(query_tree_init(&tree), 0);
	assert_int_equal(query_merge(query, &tree, &err), 0);
	assert_int_equal(query_view_init(&view, &tree, 0), 0);
	assert_int_equal(query_format_find((struct str){format, strlen(format)})->write(&view, out),
			 0);
	assert_non_null(buf_cstr(out));
	query_view_release(&view);
	query_tree_release(&tree);
}

/* Left out, or true. */
static bool json_says_folded(const struct buf *out)
{
	json_t *answer = json_loadb((const char *)out->data, out->len, 0, NULL);
	json_t *folded = json_object_get(answer, "folded");
	bool says = folded;

	assert_non_null(answer);
	assert_true(!folded || json_is_true(folded));
	json_decref(answer);
	return says;
}

static void a_tree_says_it(void **state)
{
	(void)state;
	for (int hour = 0; hour < 2; hour++) {
		struct query query = question(hour);
		struct buf out CLEANUP(buf_release);

		write_tree(&query, "json", &out);
		assert_int_equal(json_says_folded(&out), hour == 1);
	}
	struct query query = question(1);
	struct buf out CLEANUP(buf_release);

	write_tree(&query, "folded", &out);
	assert_string_equal(buf_cstr(&out), "main;hot 100000\nmain;work;[other] 2000\n");
}

static void a_table_and_a_timeline_say_it(void **state)
{
	(void)state;
	for (int hour = 0; hour < 2; hour++) {
		struct query_filter_text text = {.focus = "hot"};
		struct query query = question(hour);
		struct query_timeline timeline;
		struct query_filter *filter;
		struct query_table table;
		struct buf out CLEANUP(buf_release), steps CLEANUP(buf_release);
		struct err err;

		buf_init(&out, BUF_UNLIMITED);
		buf_init(&steps, BUF_UNLIMITED);
		assert_int_equal(query_top(&query, STR("function"), &table, &err), 0);
		assert_int_equal(query_table_json(&table, 0, &out), 0);
		assert_int_equal(json_says_folded(&out), hour == 1);
		query_table_release(&table);
		/* Sums by time alone are what they are; of some stacks they are not. */
		assert_int_equal(query_timeline(&query, SECONDS(60), STR(""), &timeline, &err), 0);
		assert_false(timeline.facts.folded);
		query_timeline_release(&timeline);
		assert_int_equal(query_filter_new(&text, &filter, &err), 0);
		query.filter = filter;
		assert_int_equal(query_timeline(&query, SECONDS(60), STR(""), &timeline, &err), 0);
		assert_int_equal(query_timeline_json(&timeline, &steps), 0);
		assert_int_equal(json_says_folded(&steps), hour == 1);
		query_timeline_release(&timeline);
		query_filter_free(filter);
	}
}

/* Records are where they were, so what they say is taken from [other]. */
static void labels_of_records_take_nothing_twice(void **state)
{
	const struct pprof_limits limits = {.memory_bytes = (size_t)64 << 20};
	struct query query = question(1);
	struct buf out CLEANUP(buf_release);
	struct pprof pprof;
	struct err err;
	int64_t total = 0;
	bool said = false;

	(void)state;
	buf_init(&out, BUF_UNLIMITED);
	assert_int_equal(query_pprof_labelled(&query, 0, &out, &err), 0);
	assert_int_equal(pprof_decode(out.data, out.len, &limits, &pprof, &err), 0);
	assert_int_equal(pprof.samples_count, STACKS + 1);
	for (size_t i = 0; i < pprof.samples_count; i++) {
		assert_true(pprof.values[i] > 0);
		total += pprof.values[i];
		assert_int_equal(pprof.samples[i + 1].labels_at - pprof.samples[i].labels_at, 1);
	}
	assert_int_equal(total, 100000 + STACKS);
	for (size_t i = 0; i < pprof.strings_count; i++)
		said |= str_equal(pprof_string(&pprof, (uint32_t)i), STR(FOLDED));
	assert_true(said);
	pprof_release(&pprof);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_tree_says_it),
	    cmocka_unit_test(labels_of_records_take_nothing_twice),
	    cmocka_unit_test(a_table_and_a_timeline_say_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
