/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include "wire/pprof.h"
#include "wire/pprof_write.h"

static const struct pprof_limits no_limit;

static void assert_text(const struct pprof *p, uint32_t string, const char *text)
{
	struct str s = pprof_string(p, string);

	assert_int_equal(s.len, strlen(text));
	assert_memory_equal(s.ptr, text, s.len);
}

/* What is written comes back; equal things are written once. */
static void test_round_trip(void **state)
{
	(void)state;
	struct pprof_writer *w;
	struct buf bytes;
	struct pprof p;
	struct err err;
	const struct pprof_write_line lines[] = {
	    {.function = STR("inlined"), .file = STR("i.h"), .line = 5, .start_line = 4},
	    {.function = STR("f"), .system_name = STR("_f"), .file = STR("f.c"), .line = 99}};
	const int64_t values[] = {3, INT64_MIN};
	const struct pprof_write_label label = {
	    .key = STR("n"), .number = -7, .unit = STR("bytes")};

	assert_int_equal(pprof_writer_new((size_t)1 << 20, &w), 0);
	pprof_write_type(w, STR("samples"), STR("count"));
	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	pprof_write_period(w, STR("cpu"), STR("nanoseconds"), 77);
	pprof_write_time(w, 123, 456);
	pprof_write_comment(w, STR("made by a test"));
	struct pprof_write_mapping m = {.start = 1,
					.limit = 9,
					.file_offset = 4,
					.filename = STR("/x"),
					.build_id = STR("aabb")};
	uint64_t mapping = pprof_write_mapping(w, &m);

	assert_int_equal(pprof_write_mapping(w, &m), mapping);
	uint64_t named = pprof_write_location(w, mapping, 5, lines, 2);
	uint64_t bare = pprof_write_location(w, 0, 0, NULL, 0);

	assert_int_equal(pprof_write_location(w, mapping, 5, lines, 2), named);
	assert_int_not_equal(bare, 0);
	pprof_write_sample(w, (const uint64_t[]){named, bare, named}, 3, values, &label, 1);
	pprof_write_sample(w, NULL, 0, values, NULL, 0);
	buf_init(&bytes, BUF_UNLIMITED);
	assert_int_equal(pprof_writer_finish(w, &bytes, &err), 0);
	pprof_writer_free(w);

	assert_int_equal(pprof_decode(bytes.data, bytes.len, &no_limit, &p, &err), 0);
	assert_int_equal(p.locations_count, 2);
	assert_int_equal(p.functions_count, 2);
	assert_int_equal(p.mappings_count, 1);
	assert_int_equal(p.samples_count, 2);
	assert_int_equal(p.values[1], INT64_MIN);
	assert_int_equal(p.samples[1].stack_at, 3);
	assert_int_equal(p.samples[2].stack_at, 3);
	assert_int_equal(p.labels[0].number, -7);
	assert_text(&p, p.labels[0].text, "bytes");
	assert_text(&p, p.functions[p.lines[0].function].name, "inlined");
	assert_text(&p, p.functions[p.lines[1].function].system_name, "_f");
	assert_int_equal(p.lines[1].line, 99);
	assert_int_equal(p.mappings[0].file_offset, 4);
	assert_int_equal(p.period, 77);
	assert_int_equal(p.time_ns, 123);
	assert_int_equal(p.duration_ns, 456);
	pprof_release(&p);
	buf_release(&bytes);
}

static void test_limit(void **state)
{
	(void)state;
	struct pprof_writer *w;
	struct buf bytes;
	struct err err;

	assert_int_equal(pprof_writer_new(1000, &w), 0);
	pprof_write_type(w, STR("samples"), STR("count"));
	for (int64_t i = 0; i < 1000; i++)
		pprof_write_sample(w, NULL, 0, &i, NULL, 0);
	buf_init(&bytes, BUF_UNLIMITED);
	assert_int_equal(pprof_writer_finish(w, &bytes, &err), -E2BIG);
	assert_non_null(strstr(err.message, "1000"));
	pprof_writer_free(w);
	buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
					   cmocka_unit_test(test_limit)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
