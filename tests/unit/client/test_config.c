/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/config.h"
#include "client/hearth.h"
#include "client/ring.h"

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

/* The value of the n-th note with this key, NULL when there are not that many. */
static const char *note(const struct config *c, const char *key, unsigned n)
{
	for (uint32_t at = 0; at < c->notes_bytes;) {
		const char *k = c->notes + at, *v = k + strlen(k) + 1;

		if (!strcmp(k, key) && n-- == 0)
			return v;
		at = (uint32_t)(v + strlen(v) + 1 - c->notes);
	}
	return NULL;
}

static void test_defaults(void **state)
{
	struct config c = read_with(NULL, NULL);

	(void)state;
	assert_int_equal(c.enabled, CONFIG_UNSET);
	assert_true(c.cpu && c.wall && c.alloc && c.heap && c.lock && c.exception);
	assert_true(c.endpoints && c.spans && c.otel_context && c.stop_on_exit &&
		    c.profile_children);
	assert_false(c.debug);
	assert_int_equal(c.alloc_mean_bytes, 524288);
	assert_int_equal(c.lock_capture_ppm, 10000);
	assert_int_equal(c.exception_interval, 100);
	assert_int_equal(c.stop_timeout_ms, 1000);
	assert_null(note(&c, RING_HELLO_REFUSED, 0));
	assert_string_equal(
	    note(&c, RING_HELLO_SETTINGS, 0),
	    "cpu=1 cpu_engine=posix-timer cpu_interval_us=9900 wall=1 alloc=1 heap=1 "
	    "alloc_mean_bytes=524288 "
	    "lock=1 lock_capture_ppm=10000 exception=1 exception_interval=100 "
	    "max_frames=128 max_overhead_ppm=10000 endpoints=1 spans=1 otel_context=1 "
	    "stop_on_exit=1 profile_children=1 stop_timeout_ms=1000 debug=0");
	assert_int_equal(c.cpu_interval_us, 9900);
	assert_int_equal(c.max_frames, 128);
	assert_int_equal(c.max_overhead_ppm, 10000);
	assert_string_equal(c.agent, "");
	assert_string_equal(text(&c, "service"), "app");
	assert_null(text(&c, "env"));
}

static void test_precedence(void **state)
{
	static const char *const both[] = {
	    "HEARTH_SERVICE", "ours", "DD_SERVICE",           "theirs", "DD_ENV", "prod",
	    "HEARTH_ENABLED", "0",    "DD_PROFILING_ENABLED", "1",      NULL};
	struct hearth_options o = {.size = sizeof(o), .service = "option"};
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
	static const char *const bad[] = {"HEARTH_CPU_INTERVAL_US",
					  "ten",
					  "HEARTH_MAX_FRAMES",
					  "-3",
					  "DD_PROFILING_MAX_FRAMES",
					  "64",
					  "HEARTH_ENABLED",
					  "perhaps",
					  "DD_PROFILING_ENABLED",
					  "true",
					  "HEARTH_AGENT",
					  "tcp:127.0.0.1:1",
					  "HEARTH_MAX_OVERHEAD_PCT",
					  "nan",
					  NULL};
	struct config c = read_with(NULL, bad);

	(void)state;
	assert_int_equal(c.cpu_interval_us, 9900);
	assert_int_equal(c.max_frames, 64);
	assert_int_equal(c.enabled, CONFIG_YES);
	assert_string_equal(c.agent, "");
	assert_int_equal(c.max_overhead_ppm, 10000);
	assert_string_equal(note(&c, RING_HELLO_REFUSED, 0),
			    "HEARTH_ENABLED=perhaps: not a truth value");
	assert_string_equal(note(&c, RING_HELLO_REFUSED, 1),
			    "HEARTH_CPU_INTERVAL_US=ten: not a number in the range");
	assert_string_equal(note(&c, RING_HELLO_REFUSED, 2),
			    "HEARTH_MAX_FRAMES=-3: not a number in the range");
	assert_string_equal(note(&c, RING_HELLO_REFUSED, 3),
			    "HEARTH_MAX_OVERHEAD_PCT=nan: not a number in the range");
	assert_non_null(strstr(note(&c, RING_HELLO_REFUSED, 4), "HEARTH_AGENT=tcp:127.0.0.1:1: "));
	assert_null(note(&c, RING_HELLO_REFUSED, 5));
	assert_non_null(note(&c, RING_HELLO_SETTINGS, 0));
}

/* What there are too many of to say leaves room for what is in force. */
static void test_notes_are_bounded(void **state)
{
	char tag[2100];
	struct hearth_tag tags[64];
	struct hearth_options o = {
	    .size = sizeof(o), .tags = tags, .tags_count = 64, .agent = "nowhere\n"};
	static const char *const bad[] = {"HEARTH_STACK_ENABLED", "maybe", NULL};
	struct config c;

	(void)state;
	memset(tag, 'v', sizeof(tag) - 1);
	tag[sizeof(tag) - 1] = 0;
	for (int i = 0; i < 64; i++)
		tags[i] = (struct hearth_tag){tag + i, tag};
	c = read_with(&o, bad);
	assert_true(c.text_bytes <= sizeof(c.text) && c.notes_bytes <= sizeof(c.notes));
	assert_string_equal(note(&c, RING_HELLO_REFUSED, 0),
			    "HEARTH_STACK_ENABLED=maybe: not a truth value");
	assert_non_null(strstr(note(&c, RING_HELLO_REFUSED, 1), "option agent=nowhere?: "));
	assert_non_null(note(&c, RING_HELLO_REFUSED, 2)); /* the labels, once */
	assert_null(note(&c, RING_HELLO_REFUSED, 3));
	assert_non_null(note(&c, RING_HELLO_SETTINGS, 0));
}

static void test_dimensions(void **state)
{
	static const char *const off[] = {"DD_PROFILING_STACK_ENABLED",
					  "no",
					  "DD_PROFILING_MEMORY_ENABLED",
					  "0",
					  "DD_PROFILING_HEAP_ENABLED",
					  "off",
					  "DD_PROFILING_LOCK_ENABLED",
					  "FALSE",
					  "DD_PROFILING_EXCEPTION_ENABLED",
					  "0",
					  "DD_PROFILING_ENDPOINT_COLLECTION_ENABLED",
					  "0",
					  "DD_PROFILING_CODE_HOTSPOTS_COLLECTION_ENABLED",
					  "0",
					  "HEARTH_OTEL_CONTEXT_ENABLED",
					  "0",
					  "DD_PROFILING_FLUSH_ON_EXIT",
					  "0",
					  "HEARTH_PROFILE_CHILDREN",
					  "0",
					  NULL};
	static const char *const stack[] = {"HEARTH_STACK_ENABLED", "0", "HEARTH_WALL_ENABLED",
					    "auto", NULL};
	struct hearth_options o = {.size = sizeof(o), .heap = HEARTH_ON, .lock = HEARTH_ON};
	struct config c = read_with(NULL, off);

	(void)state;
	assert_false(c.cpu || c.wall || c.alloc || c.heap || c.lock || c.exception);
	assert_false(c.endpoints || c.spans || c.otel_context || c.stop_on_exit ||
		     c.profile_children);
	c = read_with(&o, off);
	assert_true(c.heap && c.lock);
	c = read_with(NULL, stack);
	assert_false(c.cpu);
	assert_true(c.wall);
}

static void test_numbers(void **state)
{
	static const char *const given[] = {"DD_PROFILING_CAPTURE_PCT",
					    "2.5",
					    "DD_PROFILING_HEAP_SAMPLE_SIZE",
					    "1048576",
					    "DD_PROFILING_EXCEPTION_SAMPLING_INTERVAL",
					    "7",
					    "HEARTH_STOP_TIMEOUT_MS",
					    "50",
					    NULL};
	static const char *const outside[] = {"HEARTH_CAPTURE_PCT",
					      "200",
					      "HEARTH_HEAP_SAMPLE_SIZE",
					      "1",
					      "HEARTH_EXCEPTION_SAMPLING_INTERVAL",
					      "0",
					      "HEARTH_STOP_TIMEOUT_MS",
					      "9999999",
					      NULL};
	static const char *const none[] = {"HEARTH_LOCK_CAPTURE_PCT", "0", "HEARTH_CAPTURE_PCT",
					   "9", NULL};
	struct hearth_options o = {.size = sizeof(o), .lock_capture_percent = -1, .cpu_hz = 100};
	struct config c = read_with(NULL, given);

	(void)state;
	assert_int_equal(c.lock_capture_ppm, 25000);
	assert_int_equal(c.alloc_mean_bytes, 1048576);
	assert_int_equal(c.exception_interval, 7);
	assert_int_equal(c.stop_timeout_ms, 50);
	c = read_with(NULL, outside);
	assert_int_equal(c.lock_capture_ppm, 1000000);
	assert_int_equal(c.alloc_mean_bytes, 65536);
	assert_int_equal(c.exception_interval, 100);
	assert_int_equal(c.stop_timeout_ms, 60000);
	assert_string_equal(
	    note(&c, RING_HELLO_REFUSED, 0),
	    "HEARTH_HEAP_SAMPLE_SIZE=1: outside 65536 to 1073741824; 65536 is taken");
	assert_non_null(note(&c, RING_HELLO_REFUSED, 3));
	assert_int_equal(read_with(NULL, none).lock_capture_ppm, 0);
	c = read_with(&o, given);
	assert_int_equal(c.lock_capture_ppm, 25000);
	assert_string_equal(note(&c, RING_HELLO_REFUSED, 0),
			    "option lock_capture_percent=-1: not a number in the range");
	assert_int_equal(c.cpu_interval_us, 10000);
}

static void test_places(void **state)
{
	static const struct {
		const char *name, *value, *agent, *hint;
		bool refused;
	} cases[] = {
	    {"HEARTH_AGENT", "unix:/a/agent.sock", "/a/agent.sock", "", false},
	    {"HEARTH_AGENT", "unix:///a/b", "/a/b", "", false},
	    {"HEARTH_AGENT", "/a/b", "/a/b", "", false},
	    {"HEARTH_AGENT", "unix:a/b", "", "", true},
	    {"HEARTH_AGENT", "http://localhost:4040", "", "", true},
	    {"DD_TRACE_AGENT_URL", "unix:///run/hearth/apm.socket", "", "/run/hearth/agent.sock",
	     false},
	    {"DD_TRACE_AGENT_URL", "http://localhost:8126", "", "", false},
	    {"DD_TRACE_AGENT_URL", "unix://elsewhere", "", "", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *env[] = {cases[i].name, cases[i].value, NULL};
		struct config c = read_with(NULL, env);

		assert_string_equal(c.agent, cases[i].agent);
		assert_string_equal(c.agent_hint, cases[i].hint);
		assert_int_equal(note(&c, RING_HELLO_REFUSED, 0) != NULL, cases[i].refused);
	}
}

static void test_rates(void **state)
{
	static const char *const hz[] = {"HEARTH_CPU_HZ", "49.5", NULL};
	static const char *const fast[] = {"HEARTH_CPU_INTERVAL_US", "5", NULL};
	struct hearth_options o = {
	    .size = sizeof(o), .cpu_interval_us = 20000, .max_frames = 100000, .cpu = HEARTH_OFF};

	(void)state;
	assert_int_equal(read_with(NULL, hz).cpu_interval_us, 20202);
	assert_int_equal(read_with(NULL, fast).cpu_interval_us, 1000);
	assert_int_equal(read_with(&o, fast).cpu_interval_us, 20000);
	assert_int_equal(read_with(&o, NULL).max_frames, 512);
	assert_false(read_with(&o, NULL).cpu);
}

static void test_locks_and_exceptions(void **state)
{
	static const char *const theirs[] = {"DD_PROFILING_CAPTURE_PCT",
					     "2.5",
					     "DD_PROFILING_LOCK_ENABLED",
					     "false",
					     "DD_PROFILING_EXCEPTION_ENABLED",
					     "0",
					     "DD_PROFILING_EXCEPTION_SAMPLING_INTERVAL",
					     "50",
					     NULL};
	static const char *const ours[] = {"HEARTH_LOCK_CAPTURE_PCT",
					   "0.01",
					   "HEARTH_CAPTURE_PCT",
					   "3",
					   "HEARTH_EXCEPTION_SAMPLING_INTERVAL",
					   "1",
					   NULL};
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
	static const char *const dd[] = {"DD_TAGS", "team:core,a:1 b:2", "DD_PROFILING_TAGS",
					 "a:profiling,nocolon,:empty,x:y:z", NULL};
	static const char *const ours[] = {"HEARTH_TAGS", "a:ours,@settings:x", "DD_TAGS",
					   "a:theirs,b:2", NULL};
	struct hearth_tag tag = {"a", "option"};
	struct hearth_options o = {.size = sizeof(o), .tags = &tag, .tags_count = 1};
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

/* One more than the agent takes would leave the program without a profile. */
static void test_labels_are_counted(void **state)
{
	char keys[40][4];
	struct hearth_tag tags[40];
	struct hearth_options o = {.size = sizeof(o), .tags = tags, .tags_count = 40};
	struct config c;
	unsigned count = 0;

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		tags[i] = (struct hearth_tag){keys[i], "v"};
	}
	c = read_with(&o, NULL);
	for (uint32_t at = 0; at < c.text_bytes; at++)
		count += !c.text[at];
	assert_int_equal(count, 2 * CONFIG_LABELS_MAX);
	assert_string_equal(text(&c, "k22"), "v");
	assert_null(text(&c, "k23"));
	assert_non_null(note(&c, RING_HELLO_REFUSED, 0));
}

static void test_long_values_do_not_overflow(void **state)
{
	char *tags = malloc(100001);
	const char *env[] = {"HEARTH_TAGS", tags, "HEARTH_AGENT", tags, NULL};
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

static void test_engine_is_a_word(void **state)
{
	static const char *const perf[] = {"HEARTH_CPU_ENGINE", "perf", NULL};
	static const char *const other[] = {"HEARTH_CPU_ENGINE", "ebpf", NULL};
	const struct hearth_options timers = {.size = sizeof(timers),
					      .cpu_engine = HEARTH_ENGINE_POSIX_TIMER};
	struct config c = read_with(NULL, NULL);

	(void)state;
	assert_int_equal(c.cpu_engine, HEARTH_ENGINE_POSIX_TIMER);
	c = read_with(NULL, perf);
	assert_int_equal(c.cpu_engine, HEARTH_ENGINE_PERF);
	assert_non_null(strstr(note(&c, RING_HELLO_SETTINGS, 0), "cpu_engine=perf"));
	c = read_with(&timers, perf);
	assert_int_equal(c.cpu_engine, HEARTH_ENGINE_POSIX_TIMER);
	c = read_with(NULL, other);
	assert_int_equal(c.cpu_engine, HEARTH_ENGINE_POSIX_TIMER);
	assert_string_equal(note(&c, RING_HELLO_REFUSED, 0),
			    "HEARTH_CPU_ENGINE=ebpf: neither posix-timer nor perf");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_engine_is_a_word),
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_precedence),
	    cmocka_unit_test(test_nonsense_counts_as_unset),
	    cmocka_unit_test(test_notes_are_bounded),
	    cmocka_unit_test(test_dimensions),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_places),
	    cmocka_unit_test(test_rates),
	    cmocka_unit_test(test_locks_and_exceptions),
	    cmocka_unit_test(test_tags),
	    cmocka_unit_test(test_labels_are_counted),
	    cmocka_unit_test(test_long_values_do_not_overflow),
	    cmocka_unit_test(test_smaller_options_of_an_older_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
