/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "client/config.h"
#include "client/hearth.h"

/* The environment of one test: name, value, name, value, NULL. */
static const char *const *environment;

static const char *from_test(const char *name)
{
	for (const char *const *e = environment; e && *e; e += 2)
		if (!strcmp(e[0], name))
			return e[1];
	return NULL;
}

static struct config read_with(const struct hearth_options *o, const char *const *env)
{
	struct config c;

	environment = env;
	config_read(&c, o, from_test, "/usr/bin/app");
	return c;
}

/* The value of a key in the hello's text, NULL when it is not there. */
static const char *text(const struct config *c, const char *key)
{
	for (uint32_t at = 0; at < c->text_bytes;) {
		const char *k = c->text + at, *v = k + strlen(k) + 1;

		if (!strcmp(k, key))
			return v;
		at = (uint32_t)(v + strlen(v) + 1 - c->text);
	}
	return NULL;
}

static void test_defaults(void **state)
{
	struct config c = read_with(NULL, NULL);

	(void)state;
	assert_int_equal(c.enabled, CONFIG_UNSET);
	assert_true(c.cpu && c.wall);
	assert_int_equal(c.cpu_interval_us, 9900);
	assert_int_equal(c.max_frames, 128);
	assert_int_equal(c.max_overhead_ppm, 10000);
	assert_string_equal(c.agent, "");
	assert_string_equal(text(&c, "service"), "app");
	assert_null(text(&c, "env"));
}

static void test_precedence(void **state)
{
	static const char *const both[] = { "HEARTH_SERVICE", "ours", "DD_SERVICE", "theirs",
					    "DD_ENV", "prod", "HEARTH_ENABLED", "0",
					    "DD_PROFILING_ENABLED", "1", NULL };
	struct hearth_options o = { .size = sizeof(o), .service = "option" };
	struct config c = read_with(&o, both);

	(void)state;
	assert_string_equal(text(&c, "service"), "option");
	c = read_with(NULL, both);
	assert_string_equal(text(&c, "service"), "ours");
	assert_string_equal(text(&c, "env"), "prod");
	assert_int_equal(c.enabled, CONFIG_NO);
	c = read_with(NULL, both + 2);
	assert_string_equal(text(&c, "service"), "theirs");
}

static void test_nonsense_counts_as_unset(void **state)
{
	static const char *const bad[] = {
		"HEARTH_CPU_INTERVAL_US", "ten", "HEARTH_MAX_FRAMES", "-3", "DD_PROFILING_MAX_FRAMES",
		"64", "HEARTH_ENABLED", "perhaps", "DD_PROFILING_ENABLED", "true", "HEARTH_AGENT",
		"tcp:127.0.0.1:1", "HEARTH_MAX_OVERHEAD_PCT", "nan", NULL
	};
	struct config c = read_with(NULL, bad);

	(void)state;
	assert_int_equal(c.cpu_interval_us, 9900);
	assert_int_equal(c.max_frames, 64);
	assert_int_equal(c.enabled, CONFIG_YES);
	assert_string_equal(c.agent, "");
	assert_int_equal(c.max_overhead_ppm, 10000);
}

static void test_rates(void **state)
{
	static const char *const hz[] = { "HEARTH_CPU_HZ", "49.5", NULL };
	static const char *const fast[] = { "HEARTH_CPU_INTERVAL_US", "5", NULL };
	struct hearth_options o = { .size = sizeof(o), .cpu_interval_us = 20000,
				    .max_frames = 100000, .cpu = HEARTH_OFF };

	(void)state;
	assert_int_equal(read_with(NULL, hz).cpu_interval_us, 20202);
	assert_int_equal(read_with(NULL, fast).cpu_interval_us, 1000);
	assert_int_equal(read_with(&o, fast).cpu_interval_us, 20000);
	assert_int_equal(read_with(&o, NULL).max_frames, 512);
	assert_false(read_with(&o, NULL).cpu);
}

static void test_locks_and_exceptions(void **state)
{
	static const char *const theirs[] = { "DD_PROFILING_CAPTURE_PCT", "2.5",
					      "DD_PROFILING_LOCK_ENABLED", "false",
					      "DD_PROFILING_EXCEPTION_ENABLED", "0",
					      "DD_PROFILING_EXCEPTION_SAMPLING_INTERVAL", "50", NULL };
	static const char *const ours[] = { "HEARTH_LOCK_CAPTURE_PCT", "0.01", "HEARTH_CAPTURE_PCT", "3",
					    "HEARTH_EXCEPTION_SAMPLING_INTERVAL", "1", NULL };
	struct config c = read_with(NULL, NULL);

	(void)state;
	assert_true(c.lock && c.exception);
	assert_int_equal(c.lock_capture_ppm, 10000);
	assert_int_equal(c.exception_interval, 100);
	c = read_with(NULL, theirs);
	assert_false(c.lock || c.exception);
	assert_int_equal(c.lock_capture_ppm, 25000);
	assert_int_equal(c.exception_interval, 50);
	c = read_with(NULL, ours);
	assert_int_equal(c.lock_capture_ppm, 100);
	assert_int_equal(c.exception_interval, 1);
	assert_int_equal(read_with(NULL, ours + 2).lock_capture_ppm, 30000);
}

static void test_tags(void **state)
{
	static const char *const dd[] = { "DD_TAGS", "team:core,a:1 b:2", "DD_PROFILING_TAGS",
					  "a:profiling,nocolon,:empty,x:y:z", NULL };
	static const char *const ours[] = { "HEARTH_TAGS", "a:ours", "DD_TAGS", "a:theirs,b:2", NULL };
	struct hearth_tag tag = { "a", "option" };
	struct hearth_options o = { .size = sizeof(o), .tags = &tag, .tags_count = 1 };
	struct config c = read_with(NULL, dd);

	(void)state;
	assert_string_equal(text(&c, "a"), "profiling");
	assert_string_equal(text(&c, "b"), "2");
	assert_string_equal(text(&c, "team"), "core");
	assert_string_equal(text(&c, "x"), "y:z");
	assert_null(text(&c, "nocolon"));
	c = read_with(NULL, ours);
	assert_string_equal(text(&c, "a"), "ours");
	assert_null(text(&c, "b"));
	c = read_with(&o, ours);
	assert_string_equal(text(&c, "a"), "option");
}

static void test_long_values_do_not_overflow(void **state)
{
	char *tags = malloc(100001);
	const char *env[] = { "HEARTH_TAGS", tags, "HEARTH_AGENT", tags, NULL };
	struct config c;

	(void)state;
	assert_non_null(tags);
	for (int i = 0; i < 100000; i++)
		tags[i] = "ab:c,"[i % 5];
	memcpy(tags, "unix:/", 6);
	tags[100000] = 0;
	c = read_with(NULL, env);
	assert_true(c.text_bytes <= sizeof(c.text));
	assert_string_equal(c.agent, "");
	assert_string_equal(text(&c, "ab"), "c");
	free(tags);
}

static void test_smaller_options_of_an_older_program(void **state)
{
	struct hearth_options o;

	(void)state;
	memset(&o, 0xff, sizeof(o));
	o.size = offsetof(struct hearth_options, service);
	struct config c = read_with(&o, NULL);

	assert_string_equal(text(&c, "service"), "app");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_nonsense_counts_as_unset),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_locks_and_exceptions),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_long_values_do_not_overflow),
		cmocka_unit_test(test_smaller_options_of_an_older_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
