/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "server/grpc.h"
#include "tests/cmocka.h"

static void test_content_types(void **state)
{
	(void)state;
	assert_true(grpc_is_proto("application/grpc"));
	assert_true(grpc_is_proto("application/grpc+proto"));
	assert_true(grpc_is_proto("Application/GRPC; charset=x"));
	assert_true(grpc_is_content_type("application/grpc+json"));
	assert_false(grpc_is_proto("application/grpc+json"));
	assert_false(grpc_is_proto("application/grpc+protobuf"));
	assert_false(grpc_is_content_type("application/grpc-web"));
	assert_false(grpc_is_content_type("application/grp"));
	assert_false(grpc_is_content_type(""));
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} right[] = {
	    {"10S", 10 * NS_PER_S}, {"1500m", 1500 * NS_PER_MS}, {"7u", 7 * NS_PER_US},   {"5n", 5},
	    {"2M", 120 * NS_PER_S}, {"1H", 3600 * NS_PER_S},     {"99999999H", INT64_MAX}};
	static const char *const wrong[] = {"",    "S",   "10",         "10s",
					    "-1S", "1SS", "123456789S", " 1S"};
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		assert_int_equal(grpc_timeout_parse(right[i].text, &ns), 0);
		assert_int_equal(ns, right[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(grpc_timeout_parse(wrong[i], &ns), -EINVAL);
}

static void test_messages_are_percent_encoded(void **state)
{
	char to[GRPC_MESSAGE_MAX], full[2 * GRPC_MESSAGE_MAX];

	(void)state;
	grpc_message_encode("50 % of \xc3\xa9\n", to);
	assert_string_equal(to, "50 %25 of %C3%A9%0A");
	memset(full, '%', sizeof(full) - 1);
	full[sizeof(full) - 1] = '\0';
	grpc_message_encode(full, to);
	assert_int_equal(strlen(to) % 3, 0);
	assert_in_range(strlen(to), GRPC_MESSAGE_MAX - 6, GRPC_MESSAGE_MAX - 1);
}

static void test_details_say_when_to_come_again(void **state)
{
	char to[GRPC_DETAILS_MAX];

	(void)state;
	grpc_details_encode(GRPC_UNAVAILABLE, "full", to);
	/* Status { 14, "full", Any { url, RetryInfo { Duration { 5 } } } }, put together by hand.
	 */
	assert_string_equal(
	    to, "CA4SBGZ1bGwaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBQ");
}

static void test_every_errno_has_a_status(void **state)
{
	(void)state;
	assert_int_equal(grpc_status_of(0), GRPC_OK);
	assert_int_equal(grpc_status_of(-EINVAL), GRPC_INVALID_ARGUMENT);
	assert_int_equal(grpc_status_of(-E2BIG), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(grpc_status_of(-EDQUOT), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(grpc_status_of(-ENOSPC), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_status_of(-EBADF), GRPC_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_content_types),
	    cmocka_unit_test(test_timeouts),
	    cmocka_unit_test(test_messages_are_percent_encoded),
	    cmocka_unit_test(test_details_say_when_to_come_again),
	    cmocka_unit_test(test_every_errno_has_a_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
