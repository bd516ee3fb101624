/* SPDX-License-Identifier: Apache-2.0 */
/* Answers say when the store had to fold small stacks. */
#include "tests/cmocka.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "query/filter.h"
#include "query/format.h"
#include "tests/support/store.h"

#define HOUR(n) (T0 + SECONDS(3600) * (n))
#define STACKS 2000

static struct fixture f;

/* An hour for which there is room, and one for which there is none. */
static int setup(void **state)
{
	(void)state;
	fixture_init(&f, &storage_sqlite);
	for (int hour = 0; hour < 3; hour++) {
		struct maker m;

		if (hour == 2) { /* the second is rolled up from now on */
			fixture_close(&f);
			f.options.bytes_max = 64 << 10;
			fixture_open(&f);
		}
		maker_init(&m, 1000, 1);
		maker_span(&m, HOUR(hour), HOUR(hour), HOUR(hour));
		maker_series(&m, PROFILE_KIND_CPU, "service=a");
		maker_record(&m, "main;hot", HOUR(hour), 1, 100000, 1);
		for (int i = 0; i < STACKS; i++) {
			char stack[64];

			(void)snprintf(stack, sizeof(stack), "main;work;f%d", i);
			maker_record(&m, stack, HOUR(hour), 1, 1, 0);
		}
		fixture_put(&f, maker_finish(&m));
		for (int64_t t = HOUR(hour); t < HOUR(hour + 1); t += SECONDS(10))
			fixture_maintain(&f, t);
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
	struct query query = {
	    .reader = f.reader, .viewer = {.all = true}, .range = {HOUR(hour), HOUR(hour + 1)}};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_tree_says_it),
	    cmocka_unit_test(a_table_and_a_timeline_say_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
