/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ingest/ingest.h"

static struct err err;
static struct ingest_findings findings;

static int decode(const char *text, const char *name, struct profile **ret_profile)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	struct ingest_request request = {.now_ns = 5000, .name = {name, strlen(name)}};
	struct profile_builder *out;

	memcpy(exact, text, len);
	request.body = (struct str){exact, len};
	assert_int_equal(profile_builder_new(NULL, &out), 0);
	err = (struct err){0};
	findings = (struct ingest_findings){0};
	int rc = ingest_find(STR("folded"))->decode(&request, out, &findings, &err);

	if (rc)
		profile_builder_free(out);
	else
		*ret_profile = profile_builder_finish(out);
	free(exact);
	return rc;
}

static void stack_of(const struct profile *p, uint32_t node, char *to)
{
	if (!node)
		return;
	stack_of(p, p->nodes[node].parent, to);
	if (*to)
		strcat(to, ";");
	strcat(to, profile_string(p, p->frames[p->nodes[node].frame].function).ptr);
}

static void test_reads(void **state)
{
	(void)state;
	struct profile *p;
	char stack[256] = "";

	assert_int_equal(decode("a;b c;d 12\r\n\na;b c 3\na 0\nx  9223372036854775807", "", &p), 0);
	assert_int_equal(p->records_count, 3);
	stack_of(p, p->records[0].node, stack);
	assert_string_equal(stack, "a;b c;d");
	assert_int_equal(p->values[p->records[0].values_at], 12);
	assert_int_equal(p->records[0].count, 12);
	assert_int_equal(p->records[0].time_ns, 5000);
	assert_int_equal(p->values[p->records[1].values_at], 3);
	assert_int_equal(p->nodes[p->records[0].node].parent, p->records[1].node);
	assert_true(p->values[p->records[2].values_at] == INT64_MAX);
	assert_int_equal(p->records[2].count, UINT32_MAX);
	profile_free(p);
}

static void assert_kind(const char *name, const char *want)
{
	struct profile_type type;
	struct profile *p;
	char id[PROFILE_TYPE_ID_MAX];

	assert_int_equal(decode("a 1", name, &p), 0);
	profile_column_type(p, &p->kinds[0], 0, &type);
	assert_int_equal(profile_type_format(&type, id), 0);
	assert_string_equal(id, want);
	profile_free(p);
}

/* A value of time says nothing of how many samples were taken. */
static void test_counts(void **state)
{
	static const struct {
		const char *name;
		uint32_t count;
	} cases[] = {{"", 1000}, {"cpu", 1}, {"cpu_samples", 1000}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ingest_request request = {
		    .body = STR("a;b 1000\n"),
		    .name = {cases[i].name, strlen(cases[i].name)},
		    .now_ns = 1,
		    .accept_until_ns = 2,
		    .limits = &ingest_limits_default,
		};
		struct profile_builder *builder = NULL;

		assert_int_equal(profile_builder_new(NULL, &builder), 0);
		assert_int_equal(
		    ingest_find(STR("folded"))
			->decode(&request, builder, &(struct ingest_findings){0}, &err),
		    0);
		assert_int_equal(profile_builder_profile(builder)->records[0].count,
				 cases[i].count);
		profile_builder_free(builder);
	}
}

static void test_kinds(void **state)
{
	(void)state;
	assert_kind("", "process_cpu:samples:count:cpu:nanoseconds");
	assert_kind("alloc_space", "memory:alloc_space:bytes:space:bytes");
	assert_kind("mine", "mine:samples:count:cpu:nanoseconds");
	assert_kind("n:t:u:pt:pu", "n:t:u:pt:pu");
}

static void test_refuses(void **state)
{
	(void)state;
	const struct {
		const char *text, *why;
	} cases[] = {{"a;b", "line 1: no space"},
		     {"\n\na;b \n", "line 3: no count"},
		     {"a 1.5\nb\n", "line 1: the count is not a whole number"},
		     {"a -1", "line 1: the count is not a whole number"},
		     {"a 9223372036854775808", "line 1: the count is 2^63 or more"},
		     {"a;;b 1", "line 1: an empty frame"},
		     {";a 1", "line 1: an empty frame"},
		     {"a; 1", "line 1: an empty frame"},
		     {" 1", "line 1: an empty frame"},
		     {"1", "line 1: no space"},
		     {"a\x01 1", "line 1: a control character"},
		     {"a\r\r 1", "line 1: a control character"}};
	struct profile *p;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(decode(cases[i].text, "", &p), -EINVAL);
		if (!strstr(err.message, cases[i].why))
			fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].why);
	}
}

static void what_is_wrong_costs_the_others_nothing(void **state)
{
	(void)state;
	struct profile *p;

	assert_int_equal(decode("a;b 1\nb;c x\n\na 1.5\na;b 2\n", "", &p), 0);
	assert_int_equal(p->records_count, 2);
	assert_int_equal(findings.rejected, 2);
	assert_string_equal(findings.why, "folded: line 2: the count is not a whole number");
	profile_free(p);
}

/* 10^5 frames in a line: refused by the line's limit; below it both ends are kept. */
static void test_depth(void **state)
{
	(void)state;
	char *text = malloc(400000);
	struct profile *p;
	size_t at = 0;

	for (int i = 0; i < 50000; i++)
		at += (size_t)sprintf(text + at, "%sf%d", i ? ";" : "", i % 10);
	strcpy(text + at, " 1");
	assert_int_equal(decode(text, "", &p), 0);
	assert_int_equal(p->nodes_count, PROFILE_STACK_DEPTH_MAX + 1);
	profile_free(p);
	for (int i = 0; i < 50000; i++)
		at += (size_t)sprintf(text + at, ";g");
	strcpy(text + at, " 1");
	assert_int_equal(decode(text, "", &p), -E2BIG);
	assert_non_null(strstr(err.message, "more than 65536 frames"));
	free(text);
}

static void test_sniff(void **state)
{
	(void)state;
	const struct {
		const char *text;
		bool folded;
	} cases[] = {{"a;b 1\n", true},        {"\n\na 1", true},
		     {"a b c 12", true},       {"", false},
		     {"\n\n", false},          {"{\"a\": 1}", false},
		     {"hello world\n", false}, {"a;b 1.5\n", false}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ingest_request r = {.body = {cases[i].text, strlen(cases[i].text)}};

		assert_ptr_equal(ingest_sniff(&r),
				 cases[i].folded ? ingest_find(STR("folded")) : NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads),
					   cmocka_unit_test(test_kinds),
					   cmocka_unit_test(test_counts),
					   cmocka_unit_test(test_refuses),
					   cmocka_unit_test(what_is_wrong_costs_the_others_nothing),
					   cmocka_unit_test(test_depth),
					   cmocka_unit_test(test_sniff)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
