/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>

#include "tests/corpus.h"
#include "wire/multipart.h"

static const char type[] = "multipart/form-data; charset=x; boundary=\"b b\"";

static struct err err;

static int parts_of(struct str content_type, struct str body, struct multipart_part *parts,
		    size_t max)
{
	/* Exactly as long as the content, so that a sanitizer sees a read beyond it. */
	static char exact[65536];
	char *at = exact + sizeof(exact) - body.len;
	struct multipart m;
	size_t count = 0;

	memcpy(at, body.ptr, body.len);
	err = (struct err){0};
	int rc = multipart_init(&m, content_type, (struct str){at, body.len}, &err);

	while (rc == 0) {
		struct multipart_part part;

		rc = multipart_next(&m, &part, &err);
		if (rc <= 0)
			break;
		if (count < max)
			parts[count] = part;
		count++;
		rc = 0;
	}
	return rc ? rc : (int)count;
}

static void test_parts_are_what_stands_between_delimiters(void **state)
{
	static const char body[] =
	    "preamble\r\n--b b\r\n"
	    "Content-Disposition: form-data; name=\"event\"; filename=\"a;\\\"b\"\r\n"
	    "content-type:  application/json \r\n\r\n"
	    "{}\r\n--b b-\r\nstill data\r\n--b b  \r\n"
	    "CONTENT-DISPOSITION: form-data; name=plain\n\n"
	    "\r\n--b b\r\n\r\n\r\n--b b--\r\nepilogue --b b";
	struct multipart_part parts[4];

	(void)state;
	assert_int_equal(parts_of(STR(type), STR(body), parts, 4), 3);
	assert_true(str_is(parts[0].name, "event") && str_is(parts[0].filename, "a;\\\"b"));
	assert_true(str_is(parts[0].content_type, "application/json"));
	assert_true(str_is(parts[0].data, "{}\r\n--b b-\r\nstill data"));
	assert_true(str_is(parts[1].name, "plain") && !parts[1].filename.len && !parts[1].data.len);
	assert_true(!parts[2].name.len && !parts[2].data.len);
}

static void test_a_body_of_no_parts(void **state)
{
	(void)state;
	assert_int_equal(parts_of(STR("multipart/form-data; boundary=x"), STR("--x--"), NULL, 0),
			 0);
	assert_int_equal(
	    parts_of(STR("multipart/form-data; boundary=x"), STR("p\r\n--x--\r\n"), NULL, 0), 0);
}

static void test_what_is_malformed_is_refused(void **state)
{
	static const struct {
		const char *type, *body;
	} cases[] = {
	    {"multipart/form-data", "--x--"},
	    {"multipart/form-data; boundary=", "--x--"},
	    {"multipart/form-data; "
	     "boundary=0123456789012345678901234567890123456789012345678901234567890123456789x",
	     "--x--"},
	    {"multipart/form-data; boundary=x", ""},
	    {"multipart/form-data; boundary=x", "--y--"},
	    {"multipart/form-data; boundary=x", "--x\r\n"},
	    {"multipart/form-data; boundary=x", "--x\r\nA: b"},
	    {"multipart/form-data; boundary=x", "--x\r\nA: b\r\n\r\ndata"},
	    {"multipart/form-data; boundary=x", "--x\r\nA: b\r\n\r\ndata\r\n--x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(parts_of(str_of(cases[i].type), str_of(cases[i].body), NULL, 0),
				 -EINVAL);
		assert_non_null(strstr(err.message, "multipart"));
	}
}

static void test_headers_and_parts_are_bounded(void **state)
{
	static char body[60000];
	size_t len = 0;

	(void)state;
	len += (size_t)sprintf(body, "--x\r\nA: ");
	memset(body + len, 'a', MULTIPART_HEADERS_MAX);
	len += MULTIPART_HEADERS_MAX;
	len += (size_t)sprintf(body + len, "\r\n\r\n\r\n--x--");
	assert_int_equal(
	    parts_of(STR("multipart/form-data; boundary=x"), (struct str){body, len}, NULL, 0),
	    -E2BIG);
	len = 0;
	for (int i = 0; i <= MULTIPART_PARTS_MAX; i++)
		len += (size_t)sprintf(body + len, "--x\r\n\r\n\r\n");
	len += (size_t)sprintf(body + len, "--x--");
	assert_int_equal(
	    parts_of(STR("multipart/form-data; boundary=x"), (struct str){body, len}, NULL, 0),
	    -E2BIG);
}

static void test_cut_anywhere_it_is_no_body(void **state)
{
	static const char body[] =
	    "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n"
	    "--x\r\n\r\ntwo\r\n--x--";
	const size_t first_end = sizeof(body) - 1;

	(void)state;
	for (size_t cut = 0; cut < first_end; cut++)
		assert_int_equal(parts_of(STR("multipart/form-data; boundary=x"),
					  (struct str){body, cut}, NULL, 0),
				 -EINVAL);
	assert_int_equal(parts_of(STR("multipart/form-data; boundary=x"), STR(body), NULL, 0), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parts_are_what_stands_between_delimiters),
	    cmocka_unit_test(test_a_body_of_no_parts),
	    cmocka_unit_test(test_what_is_malformed_is_refused),
	    cmocka_unit_test(test_headers_and_parts_are_bounded),
	    cmocka_unit_test(test_cut_anywhere_it_is_no_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
