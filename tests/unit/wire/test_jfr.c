/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder on recordings whose content is known: those of its fuzz target, written by
 * tests/e2e/jfr.py. */
#include "tests/cmocka.h"

#include <errno.h>

#include "tests/corpus.h"
#include "wire/jfr.h"

static const struct jfr_limits no_limit = {.memory_setting = "memory"};
static struct err err;

static char *recording(const char *name, size_t *ret_len)
{
	char *bytes = corpus_read(HEARTH_SOURCE_DIR "/tests/fuzz/corpus/jfr", name, ret_len);

	assert_non_null(bytes);
	return bytes;
}

static uint32_t class_of(const struct jfr_chunk *c, const char *name)
{
	for (size_t i = 0; i < c->classes_count; i++)
		if (str_is(c->classes[i].name, name))
			return (uint32_t)i;
	fail_msg("no class %s", name);
	return JFR_NONE;
}

/* Both encodings hold the same: the header, a class, a constant, an event's fields. */
static void test_reads(void **state)
{
	static const char *const names[] = {"known", "plain"};
	static const int64_t times[] = {5000, 5001, 5002, 5003, 5009, 5009};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t len, events_count = 0, samples = 0;
		char *bytes = recording(names[i], &len);
		struct jfr_chunk c;
		struct buf scratch;
		uint64_t work = 0;

		buf_init(&scratch, 100);
		assert_int_equal(jfr_chunk_open(bytes, len, &no_limit, &c, &err), 0);
		assert_int_equal(c.size, len);
		assert_int_equal(c.compressed, i == 0);
		assert_int_equal(c.start_ns, 1);
		assert_int_equal(jfr_time_ns(&c, 5007), 8);
		assert_true(jfr_time_ns(&c, INT64_MAX) > 0 && jfr_time_ns(&c, INT64_MIN) < 0);
		uint32_t sample = class_of(&c, "jdk.ExecutionSample"),
			 thread = class_of(&c, "java.lang.Thread");
		int64_t place = jfr_find(&c, thread, 2);
		struct jfr_reader events = jfr_events(&c);
		struct jfr_event event;
		struct jfr_value v;
		int rc;

		assert_int_equal(place, 1);
		assert_int_equal(jfr_find(&c, thread, 3), -1);
		assert_int_equal(jfr_find(&c, JFR_NONE, 1), -1);
		struct jfr_cursor cursor = jfr_constant(&c, thread, (size_t)place);

		assert_int_equal(jfr_next(&c, &cursor, &v), 1);
		assert_true(v.what == JFR_IS_TEXT && str_is(v.field->name, "osName"));
		assert_true(str_is(jfr_text_str(&c, &v.text, &scratch, &work), "os worker"));
		assert_int_equal(jfr_next(&c, &cursor, &v), 1);
		assert_int_equal(v.number, 72);
		while ((rc = jfr_event_next(&c, &events, &event, &err)) == 1) {
			events_count++;
			if (event.class != sample)
				continue;
			cursor = jfr_cursor_of(event.class, event.fields);
			assert_int_equal(jfr_next(&c, &cursor, &v), 1);
			assert_int_equal(v.number, times[samples++]);
			assert_int_equal(v.field->unit_ns, JFR_TICKS);
		}
		assert_int_equal(rc, 0);
		assert_int_equal(samples, 6);
		assert_int_equal(events_count, 18); /* with the checkpoint and the metadata */
		jfr_chunk_close(&c);
		buf_release(&scratch);
		free(bytes);
	}
}

/* Arrays of structures, stepped over or walked into. */
static void test_walks(void **state)
{
	(void)state;
	size_t len;
	char *bytes = recording("plain", &len);
	struct jfr_chunk c;
	struct jfr_value v, f;
	struct buf scratch;
	uint64_t work = 0;

	buf_init(&scratch, 100);
	assert_int_equal(jfr_chunk_open(bytes, len, &no_limit, &c, &err), 0);
	uint32_t stack = class_of(&c, "jdk.types.StackTrace");
	struct jfr_cursor cursor = jfr_constant(&c, stack, 0);

	assert_int_equal(jfr_next(&c, &cursor, &v), 1);
	assert_int_equal(jfr_next(&c, &cursor, &v), 1);
	assert_true(v.what == JFR_IS_ARRAY && v.count == 2);
	struct jfr_cursor frame = jfr_cursor_of(v.field->class, v.inside);

	assert_int_equal(jfr_next(&c, &frame, &f), 1);
	assert_true(f.what == JFR_IS_KEY);
	assert_true(str_is(jfr_name(&c, class_of(&c, "jdk.types.Symbol"), 1, &scratch, &work),
			   "app/Known"));
	assert_int_equal(jfr_next(&c, &frame, &f), 1);
	assert_int_equal(f.number, 7);
	assert_int_equal(jfr_next(&c, &frame, &f), 0);
	assert_int_equal(jfr_next(&c, &cursor, &v), 0);
	assert_true(cursor.left.at > frame.left.at); /* behind both frames */
	jfr_chunk_close(&c);
	buf_release(&scratch);
	free(bytes);
}

static void test_cut_anywhere(void **state)
{
	static const char *const names[] = {"known", "plain"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t len;
		char *bytes = recording(names[i], &len);

		for (size_t cut = 0; cut < len; cut++) {
			char *exact = malloc(cut ? cut : 1);
			struct jfr_chunk c;

			memcpy(exact, bytes, cut);
			assert_int_equal(jfr_chunk_open(exact, cut, &no_limit, &c, &err), -EINVAL);
			/* And with a header that says so. */
			for (size_t b = 0; cut >= 68 && b < 8; b++)
				exact[8 + b] = (char)((uint64_t)cut >> 8 * (7 - b));
			if (!jfr_chunk_open(exact, cut, &no_limit, &c, &err))
				jfr_chunk_close(&c);
			free(exact);
		}
		free(bytes);
	}
}

/* Every limit below what it takes is named; what it takes is enough. */
static void test_memory(void **state)
{
	(void)state;
	size_t len;
	char *bytes = recording("known", &len);
	struct jfr_chunk c;

	for (size_t limit = 1;; limit += 64) {
		const struct jfr_limits limits = {limit, "limits.decompressed_bytes"};
		int rc = jfr_chunk_open(bytes, len, &limits, &c, &err);

		if (!rc)
			break;
		assert_int_equal(rc, -E2BIG);
		assert_non_null(strstr(err.message, "limits.decompressed_bytes"));
		assert_true(limit < (size_t)1 << 20);
	}
	assert_true(c.memory_bytes <= c.limits.memory_bytes);
	jfr_chunk_close(&c);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reads), cmocka_unit_test(test_walks),
	    cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
