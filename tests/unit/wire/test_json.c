/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <malloc.h>

#include "base/buf.h"
#include "wire/json.h"

static void test_numbers_as_protobuf_writes_them(void **state)
{
	static const struct {
		const char *text;
		bool is;
		int64_t number;
	} cases[] = {
	    {"12", true, 12},
	    {"\"-7\"", true, -7},
	    {"1.5e3", true, 1500},
	    {"\"9223372036854775807\"", true, INT64_MAX},
	    {"\"18446744073709551615\"", true, -1},
	    {"\"1x\"", false, 0},
	    {"\"\"", false, 0},
	    {"1e300", false, 0},
	    {"true", false, 0},
	    {"\"99999999999999999999\"", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = {0};
		int64_t number = 0;
		json_t *json;

		assert_int_equal(wire_json_parse(str_of(cases[i].text), 0, "", &json, &err), 0);
		assert_int_equal(wire_json_int(json, &number), cases[i].is);
		if (cases[i].is)
			assert_int_equal(number, cases[i].number);
		json_decref(json);
	}
}

static void test_errors_say_where_or_which_limit(void **state)
{
	struct err err = {0};
	json_t *json = NULL;

	(void)state;
	assert_int_equal(wire_json_parse(STR("{\"a\":\n x}"), 0, "", &json, &err), -EINVAL);
	assert_non_null(strstr(err.message, "line 2"));
	assert_int_equal(wire_json_parse(STR("[1,2,3]"), 100, "limits.x", &json, &err), -E2BIG);
	assert_non_null(strstr(err.message, "limits.x"));
}

/* What the tree takes, by malloc's own count, is never above the estimate. */
static void test_the_estimate_is_not_below_the_truth(void **state)
{
	static const char *const pieces[] = {"1",   "[]",        "{}",         "\"\"",
					     "[1]", "{\"a\":1}", "{\"a\":{}}", "[[]]"};

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
		struct err err = {0};
		struct buf text;
		json_t *json;

		buf_init(&text, BUF_UNLIMITED);
		(void)buf_add_byte(&text, '[');
		for (int i = 0; i < 20000; i++)
			(void)buf_printf(&text, "%s%s", i ? "," : "", pieces[p]);
		(void)buf_add_byte(&text, ']');
		struct mallinfo2 before = mallinfo2();

		assert_int_equal(
		    wire_json_parse((struct str){text.data, text.len}, 0, "", &json, &err), 0);
		struct mallinfo2 after = mallinfo2();
		size_t took = after.uordblks - before.uordblks + after.hblkhd - before.hblkhd;

		/* Under a sanitizer mallinfo says nothing. */
		assert_true(after.uordblks < before.uordblks ||
			    took <= wire_json_estimate((struct str){text.data, text.len}));
		json_decref(json);
		buf_release(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers_as_protobuf_writes_them),
	    cmocka_unit_test(test_errors_say_where_or_which_limit),
	    cmocka_unit_test(test_the_estimate_is_not_below_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
