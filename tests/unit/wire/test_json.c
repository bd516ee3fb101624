/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>

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
	    {"\"5.0\"", true, 5},
	    {"\"15e2\"", true, 1500},
	    {"\"0x5\"", false, 0},
	    {"\"NaN\"", false, 0},
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

/* What protobuf's JSON allows beyond jansson's: integers of 64 bits, and NULs in texts. */
static void test_what_protobuf_allows(void **state)
{
	static const char text[] =
	    "{\"a\":[18446744071578845184,-9223372036854775808, 7 ,1e3,-9223372036854775809],"
	    "\"99999999999999999999\":\"a\\u0000\\\"99999999999999999999\",\"c\":\"12\\u00003\"}";
	static const int64_t numbers[] = {(int64_t)UINT64_C(18446744071578845184), INT64_MIN, 7,
					  1000};
	struct err err = {0};
	int64_t number = 0;
	json_t *json;

	(void)state;
	assert_int_equal(wire_json_parse(STR(text), 0, "", &json, &err), -EINVAL);
	err_clear(&err);
	assert_int_equal(wire_json_parse_proto(STR(text), 0, "", &json, &err), 0);
	assert_int_equal(err.code, 0);
	const json_t *list = json_object_get(json, "a");

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		assert_true(wire_json_int(json_array_get(list, i), &number));
		assert_true(number == numbers[i]);
	}
	assert_false(wire_json_int(json_array_get(list, ARRAY_LEN(numbers)), &number));
	struct str name = wire_json_text(json, "99999999999999999999");

	assert_int_equal(name.len, 23);
	assert_memory_equal(name.ptr, "a\0\"99999999999999999999", 23);
	/* A number is all of its text. */
	assert_false(wire_json_int(json_object_get(json, "c"), &number));
	json_decref(json);
	assert_int_equal(wire_json_parse_proto(STR("[1e999]"), 0, "", &json, &err), -EINVAL);
	assert_int_equal(wire_json_parse_proto(STR("[18446744071578845184"), 0, "", &json, &err),
			 -EINVAL);
	/* The quotes count, too. */
	size_t enough = wire_json_estimate(STR("[18446744071578845184]"));

	assert_int_equal(
	    wire_json_parse_proto(STR("[18446744071578845184]"), enough, "", &json, &err), -E2BIG);
}

static void test_doubles_come_as_words_too(void **state)
{
	static const struct {
		const char *text;
		bool is;
		double number;
	} cases[] = {{"1.5", true, 1.5},        {"\"1.5\"", true, 1.5},
		     {"\"-2e3\"", true, -2000}, {"\"Infinity\"", true, INFINITY},
		     {"\"inf\"", false, 0},     {"\"\"", false, 0},
		     {"\" 1\"", false, 0},      {"\"1x\"", false, 0},
		     {"\"0x1p3\"", false, 0}};
	struct err err = {0};
	double number = 0;
	json_t *json;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(wire_json_parse_proto(str_of(cases[i].text), 0, "", &json, &err),
				 0);
		assert_int_equal(wire_json_double(json, &number), cases[i].is);
		if (cases[i].is)
			assert_true(number == cases[i].number);
		json_decref(json);
	}
	assert_int_equal(wire_json_parse_proto(STR("\"NaN\""), 0, "", &json, &err), 0);
	assert_true(wire_json_double(json, &number) && isnan(number));
	json_decref(json);
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
	    cmocka_unit_test(test_what_protobuf_allows),
	    cmocka_unit_test(test_doubles_come_as_words_too),
	    cmocka_unit_test(test_errors_say_where_or_which_limit),
	    cmocka_unit_test(test_the_estimate_is_not_below_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
