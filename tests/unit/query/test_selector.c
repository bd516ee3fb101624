/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/selector.h"

static struct str fixed_label(void *arg, struct str name)
{
	const char *const *pairs = arg; /* key, value, ..., NULL */

	for (; *pairs; pairs += 2)
		if (strlen(pairs[0]) == name.len && !memcmp(pairs[0], name.ptr, name.len))
			return (struct str){pairs[1], strlen(pairs[1])};
	return STR("");
}

static bool matches(const char *text)
{
	const char *labels[] = {"service", "check\"out", "env", "prod", "version",
				"1.2",     "k8s.pod",    "p",   NULL};
	struct selector *selector = NULL;
	struct err err;

	assert_int_equal(selector_parse((struct str){text, strlen(text)}, &selector, &err), 0);
	bool found = selector_matches(selector, fixed_label, labels);

	selector_free(selector);
	return found;
}

static void all_four_matchers(void **state)
{
	(void)state;
	assert_true(matches(""));
	assert_true(matches("{}"));
	assert_true(matches("{ env = \"prod\" , }"));
	assert_true(matches("env=\"prod\""));
	assert_false(matches("{env=\"pro\"}"));
	assert_true(matches("{env!=\"dev\",service!=\"\"}"));
	assert_true(matches("{absent=\"\"}"));
	assert_true(matches("{version=~\"1\\\\..*\"}"));
	assert_true(matches("{version=~`1\\..`}"));
	assert_false(matches("{version=~\"1\"}")); /* anchored at both ends */
	assert_true(matches("{version!~\"2.*\"}"));
	assert_true(matches("{service=\"check\\\"out\"}"));
	assert_true(matches("{k8s.pod=\"p\",\"k8s.pod\"=\"p\"}"));
	assert_true(matches("{env=~\"dev|prod\"}"));
}

static void errors_name_the_place(void **state)
{
	static const struct {
		const char *text, *words;
	} wrong[] = {
	    {"{a", "one of"},
	    {"{a=}", "quoted value"},
	    {"{a=\"x}", "closing quote"},
	    {"{a=\"x\"", "comma or }"},
	    {"{a=\"x\"} b", "the end"},
	    {"{1a=\"x\"}", "label name"},
	    {"{a=~\"(\"}", "pattern"},
	    {"{a=~\"x\\\\Cy\"}", "pattern"},
	};
	struct selector *selector = NULL;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct str text = {wrong[i].text, strlen(wrong[i].text)};

		assert_int_equal(selector_parse(text, &selector, &err), -EINVAL);
		if (!strstr(err.message, wrong[i].words))
			fail_msg("%s: %s", wrong[i].text, err.message);
	}
}

static void limits_hold(void **state)
{
	char many[2048] = "{", longest[3000] = "{a=\"";
	struct selector *selector = NULL;
	struct err err;

	(void)state;
	for (int i = 0; i < SELECTOR_MATCHERS_MAX + 1; i++)
		(void)snprintf(many + strlen(many), 16, "a%d=\"\",", i);
	assert_int_equal(selector_parse((struct str){many, strlen(many)}, &selector, &err), -E2BIG);
	memset(longest + 4, 'x', SELECTOR_PATTERN_MAX + 1);
	memcpy(longest + 4 + SELECTOR_PATTERN_MAX + 1, "\"}", 3);
	assert_int_equal(selector_parse((struct str){longest, strlen(longest)}, &selector, &err),
			 -E2BIG);
}

static void a_pattern_cannot_take_the_agent_s_time(void **state)
{
	const char *labels[] = {
	    "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", NULL};
	struct selector *selector = NULL;
	struct err err;

	(void)state;
	assert_int_equal(selector_parse(STR("{a=~\"(a|a)*c\"}"), &selector, &err), 0);
	/* ends at its limit of steps */
	assert_false(selector_matches(selector, fixed_label, labels));
	selector_free(selector);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_four_matchers),
	    cmocka_unit_test(errors_name_the_place),
	    cmocka_unit_test(limits_hold),
	    cmocka_unit_test(a_pattern_cannot_take_the_agent_s_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
