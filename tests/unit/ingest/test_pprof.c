/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include "ingest/ingest.h"
#include "wire/pprof_write.h"

#define S NS_PER_S

static struct err err;

static struct profile *decode(struct pprof_writer *w, struct ingest_request *request)
{
	struct profile_builder *out;
	struct buf body;

	buf_init(&body, BUF_UNLIMITED);
	assert_int_equal(pprof_writer_finish(w, &body, &err), 0);
	pprof_writer_free(w);
	request->body = (struct str){body.data, body.len};
	assert_int_equal(profile_builder_new(NULL, &out), 0);
	if (ingest_find(STR("pprof"))->decode(request, out, &(struct ingest_findings){0}, &err) < 0)
		fail_msg("%s", err.message);
	struct profile *p = profile_builder_finish(out);

	buf_release(&body);
	return p;
}

static struct pprof_writer *writer(void)
{
	struct pprof_writer *w;

	assert_int_equal(pprof_writer_new((size_t)64 << 20, &w), 0);
	return w;
}

static const char *text(const struct profile *p, uint32_t string)
{
	return profile_string(p, string).ptr;
}

static const struct profile_frame *frame_at(const struct profile *p, uint32_t node, size_t up)
{
	while (up--)
		node = p->nodes[node].parent;
	return &p->frames[p->nodes[node].frame];
}

static void test_frames(void **state)
{
	(void)state;
	struct pprof_writer *w = writer();
	struct ingest_request request = {.now_ns = S};
	const struct pprof_write_line lines[] = {
	    {.function = STR("inner"), .file = STR("i.h"), .line = 5, .start_line = 2},
	    {.function = STR("middle"), .file = STR("m.h"), .line = 6},
	    {.function = STR("outer"), .file = STR("o.c"), .line = 7}};
	const struct pprof_write_line nameless = {.line = 3};
	uint64_t m =
	    pprof_write_mapping(w, &(struct pprof_write_mapping){.start = 0x400000,
								 .limit = 0x500000,
								 .file_offset = 0x2000,
								 .filename = STR("/bin/app"),
								 .build_id = STR("00112233AAbb")});
	uint64_t go = pprof_write_mapping(
	    w, &(struct pprof_write_mapping){
		   .start = 0x1000000, .filename = STR("/bin/go"), .build_id = STR("abc/def")});
	const uint64_t stack[] = {pprof_write_location(w, m, 0x400010, lines, 3),
				  pprof_write_location(w, m, 0x400123, NULL, 0),
				  pprof_write_location(w, m, 0x600000, NULL, 0),
				  pprof_write_location(w, go, 0x1000001, &nameless, 1),
				  pprof_write_location(w, 0, 0, NULL, 0)};

	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	pprof_write_sample(w, stack, 5, (const int64_t[]){9}, NULL, 0);
	struct profile *p = decode(w, &request);
	uint32_t node = p->records[0].node;
	const struct profile_frame *f = frame_at(p, node, 0);

	assert_string_equal(text(p, f->function), "inner");
	assert_string_equal(text(p, f->file), "i.h");
	assert_int_equal(f->line, 5);
	assert_int_equal(f->start_line, 2);
	assert_int_equal(f->flags, PROFILE_FRAME_INLINED);
	assert_string_equal(text(p, p->modules[f->module].path), "/bin/app");
	assert_int_equal(p->modules[f->module].build_id_len, 6);
	assert_memory_equal(p->modules[f->module].build_id, "\x00\x11\x22\x33\xaa\xbb", 6);
	assert_int_equal(frame_at(p, node, 1)->flags, PROFILE_FRAME_INLINED);
	assert_string_equal(text(p, frame_at(p, node, 2)->function), "outer");
	assert_int_equal(frame_at(p, node, 2)->flags, 0);
	f = frame_at(p, node, 3);
	assert_int_equal(f->flags, PROFILE_FRAME_ADDRESS | PROFILE_FRAME_FILE_OFFSET);
	assert_int_equal(f->address, 0x2123);
	/* outside its mapping: a bare address */
	f = frame_at(p, node, 4);
	assert_int_equal(f->flags, PROFILE_FRAME_ADDRESS);
	assert_int_equal(f->module, 0);
	assert_int_equal(f->address, 0x600000);
	/* a line without a function is no name; Go's build id is kept as a hash */
	f = frame_at(p, node, 5);
	assert_int_equal(f->flags, PROFILE_FRAME_ADDRESS | PROFILE_FRAME_FILE_OFFSET);
	assert_int_equal(f->address, 1);
	assert_true(p->modules[f->module].is_hash);
	assert_string_equal(text(p, frame_at(p, node, 6)->function), "[unknown]");
	profile_free(p);
}

static void test_labels(void **state)
{
	(void)state;
	struct pprof_writer *w = writer();
	const struct ingest_label labels[] = {{STR("service"), STR("shop")}, {STR("env"), STR("")}};
	struct ingest_request request = {.now_ns = S, .labels = labels, .labels_count = 2};
	const struct pprof_write_label of_sample[] = {
	    {.key = STR("thread name"), .text = STR("worker")},
	    {.key = STR("bytes"), .number = -5, .unit = STR("bytes")}};

	pprof_write_type(w, STR("cpu-time"), STR("nanoseconds"));
	pprof_write_type(w, STR("cpu-samples"), STR("count"));
	pprof_write_sample(w, NULL, 0, (const int64_t[]){100, 7}, of_sample, 2);
	pprof_write_sample(w, NULL, 0, (const int64_t[]){50, 0}, NULL, 0);
	struct profile *p = decode(w, &request);

	assert_int_equal(p->series_count, 1);
	assert_string_equal(
	    text(p, profile_label_find(p, p->series[0].labels, STR("service"))->text), "shop");
	assert_string_equal(
	    text(p, profile_label_find(p, p->series[0].labels, STR("__types__"))->text),
	    "cpu-time,cpu-samples");
	struct profile_labels context = p->contexts[p->records[0].context];

	assert_int_equal(context.count, 2);
	assert_string_equal(text(p, profile_label_find(p, context, STR("thread name"))->text),
			    "worker");
	assert_int_equal(profile_label_find(p, context, STR("bytes"))->number, -5);
	assert_string_equal(text(p, profile_label_find(p, context, STR("bytes"))->unit), "bytes");
	assert_int_equal(p->records[0].count, 7);
	assert_int_equal(p->records[1].context, 0);
	assert_int_equal(p->records[1].count, 1);
	profile_free(p);
}

/* Columns of two kinds: two records, totals as they were, nothing for a column of zeros. */
static void test_split(void **state)
{
	(void)state;
	struct pprof_writer *w = writer();
	struct ingest_request request = {.now_ns = S};

	pprof_write_type(w, STR("cpu-time"), STR("nanoseconds"));
	pprof_write_type(w, STR("alloc-space"), STR("bytes"));
	pprof_write_sample(w, NULL, 0, (const int64_t[]){100, 7}, NULL, 0);
	pprof_write_sample(w, NULL, 0, (const int64_t[]){100, 0}, NULL, 0);
	pprof_write_sample(w, NULL, 0, (const int64_t[]){0, 3}, NULL, 0);
	struct profile *p = decode(w, &request);
	int64_t sums[2] = {0};

	assert_int_equal(p->kinds_count, 2);
	assert_int_equal(p->records_count, 4);
	for (size_t i = 0; i < p->records_count; i++)
		sums[p->series[p->records[i].series].kind] += p->values[p->records[i].values_at];
	assert_int_equal(sums[0], 200);
	assert_int_equal(sums[1], 10);
	profile_free(p);
}

/* A client that declares many types and fills few is asked for no more than it has. */
static void test_columns_of_zeros_among_many(void **state)
{
	static const char *const types[] = {"cpu-time",   "wall-time",    "gpu-time",
					    "gpu-space",  "gpu-flops",    "alloc-space",
					    "heap-space", "lock-acquire", "timeline"};
	struct pprof_writer *w = writer();
	struct ingest_request request = {.now_ns = S};
	int64_t values[ARRAY_LEN(types)] = {[0] = 5, [3] = 7};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		pprof_write_type(w, str_of(types[i]), i == 3 ? STR("bytes") : STR("nanoseconds"));
	pprof_write_sample(w, NULL, 0, values, NULL, 0);
	struct profile *p = decode(w, &request);

	assert_int_equal(p->kinds_count, 2);
	assert_int_equal(p->kinds[0].columns_count + p->kinds[1].columns_count, 2);
	assert_int_equal(p->records_count, 2);
	assert_int_equal(p->values[0] + p->values[1], 12);
	profile_free(p);
}

static struct profile *at_time(int64_t time_ns, int64_t duration_ns, struct ingest_request request)
{
	struct pprof_writer *w = writer();

	request.now_ns = 1000 * S;
	request.accept_from_ns = 500 * S;
	request.accept_until_ns = 1100 * S;
	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	pprof_write_period(w, STR("cpu"), STR("nanoseconds"), 12345);
	pprof_write_time(w, time_ns, duration_ns);
	pprof_write_sample(w, NULL, 0, (const int64_t[]){1}, NULL, 0);
	return decode(w, &request);
}

static void test_time(void **state)
{
	(void)state;
	const struct {
		int64_t time, duration, from, until; /* in: seconds */
		int64_t is_from, is_until, is_record;
		bool clamped;
	} cases[] = {{900, 10, 0, 0, 900, 910, 905, false},
		     {900, 0, 0, 0, 900, 900, 900, false},
		     {900, -5, 0, 0, 900, 900, 900, false},
		     {0, 10, 0, 0, 1000, 1000, 1000, false},
		     {100, 10, 0, 0, 1000, 1000, 1000, true},
		     {490, 22, 0, 0, 490, 512, 501, false}, /* the midpoint counts */
		     {100, 10, 800, 820, 800, 820, 810, false},
		     {100, 10, 800, 0, 800, 810, 805, false},
		     {100, 10, 0, 800, 790, 800, 795, false},
		     {900, 10, 2000, 2010, 1000, 1000, 1000, true},
		     {900, 10, 820, 800, 820, 820, 820, false},
		     {900, INT64_MAX / S, 0, 0, 1000, 1000, 1000, true}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ingest_request r = {.from_ns = cases[i].from * S,
					   .until_ns = cases[i].until * S};
		struct profile *p = at_time(cases[i].time * S, cases[i].duration * S, r);

		assert_int_equal(p->from_ns / S, cases[i].is_from);
		assert_int_equal(p->until_ns / S, cases[i].is_until);
		assert_int_equal(p->records[0].time_ns / S, cases[i].is_record);
		assert_int_equal(p->clamped, cases[i].clamped);
		assert_int_equal(p->kinds[0].period, 12345);
		profile_free(p);
	}
}

/* One sample that names a location of many lines many times: bounded by the depth of a stack. */
static void test_amplification(void **state)
{
	(void)state;
	struct pprof_writer *w = writer();
	struct ingest_request request = {.now_ns = S};
	static struct pprof_write_line lines[20000];
	static uint64_t stack[20000];

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		lines[i] = (struct pprof_write_line){.function = STR("f"), .line = (int64_t)i};
	uint64_t id = pprof_write_location(w, 0, 1, lines, ARRAY_LEN(lines));

	for (size_t i = 0; i < ARRAY_LEN(stack); i++)
		stack[i] = id;
	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	pprof_write_sample(w, stack, ARRAY_LEN(stack), (const int64_t[]){1}, NULL, 0);
	struct profile *p = decode(w, &request);

	assert_int_equal(p->nodes_count, PROFILE_STACK_DEPTH_MAX + 1);
	assert_int_equal(frame_at(p, p->records[0].node, 0)->line, 0);
	assert_int_equal(frame_at(p, p->records[0].node, 511)->line, 511);
	assert_string_equal(text(p, frame_at(p, p->records[0].node, 512)->function), "[truncated]");
	assert_int_equal(frame_at(p, p->records[0].node, PROFILE_STACK_DEPTH_MAX - 1)->line, 19999);
	profile_free(p);
}

static void test_limits(void **state)
{
	(void)state;
	struct ingest_limits limits = ingest_limits_default;
	struct ingest_request request = {.now_ns = S, .limits = &limits};
	struct profile_builder *out;
	struct pprof_writer *w = writer();
	struct buf body;

	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	for (int i = 0; i < 100; i++)
		pprof_write_sample(w, NULL, 0, (const int64_t[]){1}, NULL, 0);
	buf_init(&body, BUF_UNLIMITED);
	assert_int_equal(pprof_writer_finish(w, &body, &err), 0);
	pprof_writer_free(w);
	request.body = (struct str){body.data, body.len};
	limits.decompressed_bytes = 256;
	assert_int_equal(profile_builder_new(NULL, &out), 0);
	assert_int_equal(
	    ingest_find(STR("pprof"))->decode(&request, out, &(struct ingest_findings){0}, &err),
	    -E2BIG);
	assert_non_null(strstr(err.message, "limit 512 (2 x limits.decompressed_bytes)"));
	profile_builder_free(out);
	limits = ingest_limits_default;
	limits.profile.records = 99;
	assert_int_equal(profile_builder_new(&limits.profile, &out), 0);
	assert_int_equal(
	    ingest_find(STR("pprof"))->decode(&request, out, &(struct ingest_findings){0}, &err),
	    -E2BIG);
	assert_non_null(strstr(err.message, "more than 99 samples (limits.samples)"));
	profile_builder_free(out);
	buf_release(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames), cmocka_unit_test(test_labels),
	    cmocka_unit_test(test_split),  cmocka_unit_test(test_columns_of_zeros_among_many),
	    cmocka_unit_test(test_time),   cmocka_unit_test(test_amplification),
	    cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
