/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <inttypes.h>

#include "tests/corpus.h"
#include "wire/pprof.h"
#include "wire/pprof_write.h"
#include "wire/protobuf.h"

static const struct pprof_limits no_limit;

/* Which numbers of the small profile below to replace, and by what. */
enum place {
	NOTHING,
	TYPE_TYPE,
	TYPE_UNIT,
	MAPPING_FILE,
	MAPPING_BUILD_ID,
	FUNCTION_NAME,
	FUNCTION_SYSTEM,
	FUNCTION_FILE,
	LABEL_KEY,
	LABEL_TEXT,
	LABEL_UNIT,
	PERIOD_TYPE,
	PERIOD_UNIT,
	DROP,
	KEEP,
	COMMENT,
	COMMENT_PACKED,
	DEFAULT_TYPE,
	DOC_URL,
	STRINGS_END,
	/* ids */
	LINE_FUNCTION,
	LOCATION_MAPPING,
	SAMPLE_LOCATION,
	SAMPLE_LOCATION_PACKED,
	PLACES
};

static struct {
	enum place place;
	uint64_t value;
} edit;

static uint64_t value_at(enum place place, uint64_t value)
{
	return edit.place == place ? edit.value : value;
}

static const char *const strings[] = {"",       "cpu",      "nanoseconds",      "main",   "_main",
				      "main.c", "/bin/app", "00112233445566ff", "thread", "worker"};

static void put_sample(struct buf *to)
{
	size_t at = proto_message_begin(to, 2), inner = proto_message_begin(to, 1);

	(void)buf_add_varint(to, value_at(SAMPLE_LOCATION_PACKED, 1));
	(void)buf_add_varint(to, 2);
	proto_message_end(to, inner);
	proto_put_varint(to, 1, value_at(SAMPLE_LOCATION, 1));
	proto_put_varint(to, 2, 42);
	inner = proto_message_begin(to, 3);
	proto_put_varint(to, 1, value_at(LABEL_KEY, 8));
	proto_put_varint(to, 2, value_at(LABEL_TEXT, 9));
	proto_message_end(to, inner);
	inner = proto_message_begin(to, 3);
	proto_put_varint(to, 1, 8);
	proto_put_varint(to, 3, 77);
	proto_put_varint(to, 4, value_at(LABEL_UNIT, 2));
	proto_message_end(to, inner);
	proto_message_end(to, at);
}

static void put_tables(struct buf *to)
{
	size_t at = proto_message_begin(to, 3), inner;

	proto_put_varint(to, 1, 1);
	proto_put_varint(to, 2, 0x1000);
	proto_put_varint(to, 5, value_at(MAPPING_FILE, 6));
	proto_put_varint(to, 6, value_at(MAPPING_BUILD_ID, 7));
	proto_message_end(to, at);
	for (uint64_t id = 1; id <= 2; id++) {
		at = proto_message_begin(to, 4);
		proto_put_varint(to, 1, id);
		proto_put_varint(to, 2, value_at(LOCATION_MAPPING, 1));
		proto_put_varint(to, 3, 0x1000 + id);
		inner = proto_message_begin(to, 4);
		proto_put_varint(to, 1, value_at(LINE_FUNCTION, 1));
		proto_put_varint(to, 2, 12);
		proto_message_end(to, inner);
		proto_message_end(to, at);
	}
	at = proto_message_begin(to, 5);
	proto_put_varint(to, 1, 1);
	proto_put_varint(to, 2, value_at(FUNCTION_NAME, 3));
	proto_put_varint(to, 3, value_at(FUNCTION_SYSTEM, 4));
	proto_put_varint(to, 4, value_at(FUNCTION_FILE, 5));
	proto_put_varint(to, 5, 10);
	proto_message_end(to, at);
}

/* A small profile that has every field. */
static struct buf small(void)
{
	struct buf to;

	buf_init(&to, BUF_UNLIMITED);
	size_t at = proto_message_begin(&to, 1);

	proto_put_varint(&to, 1, value_at(TYPE_TYPE, 1));
	proto_put_varint(&to, 2, value_at(TYPE_UNIT, 2));
	proto_message_end(&to, at);
	put_sample(&to);
	put_tables(&to);
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		proto_put_bytes(&to, 6, strings[i], strlen(strings[i]));
	proto_put_varint(&to, 7, value_at(DROP, 0));
	proto_put_varint(&to, 8, value_at(KEEP, 0));
	proto_put_varint(&to, 9, 1000);
	proto_put_varint(&to, 10, 500);
	at = proto_message_begin(&to, 11);
	proto_put_varint(&to, 1, value_at(PERIOD_TYPE, 1));
	proto_put_varint(&to, 2, value_at(PERIOD_UNIT, 2));
	proto_message_end(&to, at);
	proto_put_varint(&to, 12, 10);
	proto_put_varint(&to, 13, value_at(COMMENT, 3));
	at = proto_message_begin(&to, 13);
	(void)buf_add_varint(&to, value_at(COMMENT_PACKED, 3));
	proto_message_end(&to, at);
	proto_put_varint(&to, 14, value_at(DEFAULT_TYPE, 1));
	proto_put_varint(&to, 15, value_at(DOC_URL, 0));
	assert_int_equal(to.failed, 0);
	/* No spare room behind the end. */
	to.data = realloc(to.data, to.len);
	edit.place = NOTHING;
	return to;
}

static int decode(const struct buf *body, struct pprof *p, struct err *err)
{
	*err = (struct err){0};
	return pprof_decode(body->data, body->len, &no_limit, p, err);
}

static void assert_text(const struct pprof *p, uint32_t string, const char *text)
{
	struct str s = pprof_string(p, string);

	assert_int_equal(s.len, strlen(text));
	assert_memory_equal(s.ptr, text, s.len);
}

static void test_reads_everything(void **state)
{
	(void)state;
	struct buf body = small();
	struct pprof p;
	struct err err;

	assert_int_equal(decode(&body, &p, &err), 0);
	assert_int_equal(p.types_count, 1);
	assert_text(&p, p.types[0].type, "cpu");
	assert_text(&p, p.types[0].unit, "nanoseconds");
	assert_int_equal(p.samples_count, 1);
	assert_int_equal(p.samples[1].stack_at, 3);
	assert_int_equal(p.samples[1].labels_at, 2);
	const uint32_t stack[] = {0, 1, 0};

	assert_memory_equal(p.stacks, stack, sizeof(stack));
	assert_int_equal(p.values[0], 42);
	assert_false(p.labels[0].is_number);
	assert_text(&p, p.labels[0].text, "worker");
	assert_true(p.labels[1].is_number);
	assert_int_equal(p.labels[1].number, 77);
	assert_text(&p, p.labels[1].text, "nanoseconds");
	assert_int_equal(p.locations[1].address, 0x1002);
	assert_int_equal(p.locations[1].mapping, 0);
	assert_int_equal(p.locations[2].lines_at, 2);
	assert_int_equal(p.lines[0].line, 12);
	assert_text(&p, p.functions[p.lines[0].function].name, "main");
	assert_text(&p, p.functions[0].filename, "main.c");
	assert_int_equal(p.functions[0].start_line, 10);
	assert_text(&p, p.mappings[0].filename, "/bin/app");
	assert_true(p.has_period_type);
	assert_int_equal(p.period, 10);
	assert_int_equal(p.time_ns, 1000);
	assert_int_equal(p.duration_ns, 500);
	pprof_release(&p);
	buf_release(&body);
}

/* Every number that indexes the string table, at its edges. */
static void test_string_indexes(void **state)
{
	(void)state;
	const uint64_t n = ARRAY_LEN(strings);
	const uint64_t values[] = {n - 1,
				   n,
				   n + 1,
				   UINT64_C(1) << 31,
				   UINT64_C(1) << 32,
				   (UINT64_C(1) << 32) + 1,
				   UINT64_C(1) << 63,
				   UINT64_MAX};

	for (enum place place = TYPE_TYPE; place < STRINGS_END; place++) {
		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			edit.place = place;
			edit.value = values[i];
			struct buf body = small();
			struct pprof p;
			struct err err;
			int rc = decode(&body, &p, &err);

			if (i) {
				assert_int_equal(rc, -EINVAL);
				assert_non_null(strstr(err.message, "string index"));
			} else {
				assert_int_equal(rc, 0);
				pprof_release(&p);
			}
			buf_release(&body);
		}
	}
}

/* Ids: those that are declared are known, 0 means none where that has a meaning. */
static void test_ids(void **state)
{
	(void)state;
	const struct {
		uint64_t value;
		bool line_ok, mapping_ok, sample_ok;
	} cases[] = {{0, true, true, false},
		     {1, true, true, true},
		     {2, false, false, true},
		     {3, false, false, false},
		     {UINT64_C(1) << 31, false, false, false},
		     {UINT64_C(1) << 32, false, false, false},
		     {(UINT64_C(1) << 32) + 1, false, false, false},
		     {UINT64_C(1) << 63, false, false, false},
		     {UINT64_MAX, false, false, false}};

	for (enum place place = LINE_FUNCTION; place < PLACES; place++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			bool ok = place == LINE_FUNCTION      ? cases[i].line_ok
				  : place == LOCATION_MAPPING ? cases[i].mapping_ok
							      : cases[i].sample_ok;

			edit.place = place;
			edit.value = cases[i].value;
			struct buf body = small();
			struct pprof p;
			struct err err;
			int rc = decode(&body, &p, &err);

			assert_int_equal(rc, ok ? 0 : -EINVAL);
			if (ok)
				pprof_release(&p);
			else
				assert_non_null(strstr(err.message, "is not in the profile"));
			buf_release(&body);
		}
	}
}

/* A profile cut anywhere is refused, or is a shorter profile; never a read beyond its end. */
static void test_truncation(void **state)
{
	(void)state;
	struct buf body = small();
	size_t accepted = 0;

	for (size_t len = 0; len < body.len; len++) {
		struct buf cut = {.data = malloc(len + 1), .len = len};
		struct pprof p;
		struct err err;

		/* The last byte allocated is the last that may be read. */
		memcpy(cut.data + 1, body.data, len);
		int rc = pprof_decode(cut.data + 1, len, &no_limit, &p, &err);

		assert_true(rc == 0 || rc == -EINVAL);
		if (!rc) {
			accepted++;
			pprof_release(&p);
		}
		free(cut.data);
	}
	/* A cut behind the string table or behind one of the nine fields there leaves a profile. */
	assert_int_equal(accepted, 10);
	buf_release(&body);
}

static void assert_refused(const void *bytes, size_t len, const char *why)
{
	struct pprof p;
	struct err err = {0};
	char *exact = malloc(len ? len : 1);

	memcpy(exact, bytes, len);
	assert_int_equal(pprof_decode(exact, len, &no_limit, &p, &err), -EINVAL);
	if (!strstr(err.message, why))
		fail_msg("\"%s\" does not say \"%s\"", err.message, why);
	free(exact);
}

#define REFUSED(bytes, why) assert_refused(bytes, sizeof(bytes) - 1, why)

static void test_framing(void **state)
{
	(void)state;
	REFUSED("", "no string table");
	REFUSED("\x32\x01"
		"x",
		"first string");
	REFUSED("\x32\x00\x02\x00", "field number 0");
	REFUSED("\x32\x00\x13", "a group without an end");
	REFUSED("\x32\x00\x7b\x74", "another group");
	REFUSED("\x32\x00\x7c", "did not begin");
	REFUSED("\x32\x00\x0e", "wire type");
	REFUSED("\x32\x00\x30\x00", "string_table has wire type 0");
	REFUSED("\x32\x00\x4a\x01\x01", "time_nanos has wire type 2");
	REFUSED("\x32\x00\x49\x01\x02\x03\x04\x05\x06\x07\x08", "time_nanos has wire type 1");
	REFUSED("\x32\x00\x0a\x05\x08", "longer than what remains");
	REFUSED("\x32\x00\x0a\xff\xff\xff\xff\x0f", "longer than what remains");
	REFUSED("\x32\x00\x0a\x80\x80\x80\x80\x80\x00", "length is cut short or too long");
	REFUSED("\x32\x00\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "number is cut short");
	REFUSED("\x32\x00\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "number is cut short");
	REFUSED("\x32\x00\x48\xff", "number is cut short");
	REFUSED("\x32\x00\x5a\x00\x5a\x00", "period_type twice");
	REFUSED("\x32\x00\x12\x00", "samples without a sample type");
	REFUSED("\x32\x00\x0a\x00\x12\x00", "a sample has 0 values for 1 types");
	REFUSED("\x32\x00\x0a\x00\x12\x03\x12\x01\x80", "a packed number is cut short");
	REFUSED("\x32\x00\x0a\x00\x12\x04\x10\x01\x10\x01\x12\x00",
		"a sample has more than 1 values for 1 types");
	REFUSED("\x32\x00\x1a\x02\x08\x05\x1a\x02\x08\x05", "Mapping id 5 twice");
	REFUSED("\x32\x00\x22\x02\x08\x05\x22\x02\x08\x05", "Location id 5 twice");
	REFUSED("\x32\x00\x2a\x02\x08\x05\x2a\x00\x2a\x00", "Function id 0 twice");
	REFUSED("\x32\x00\x2a\x02\x08\x05\x2a\x02\x08\x05", "Function id 5 twice");
	/* Far apart, so that they go through the hash map. */
	REFUSED("\x32\x00\x2a\x03\x08\xff\x7f\x2a\x03\x08\xff\x7f", "Function id 16383 twice");
}

/* Ten bytes make a number; unknown fields of every type and groups are passed over; a packed field
 * may be empty and may be mixed with single numbers. */
static void test_tolerates(void **state)
{
	(void)state;
	static const char body[] = "\x32\x00\x0a\x00"
				   "\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
				   "\xa0\x06\x05\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08"
				   "\xa2\x06\x02xy\xa5\x06\x01\x02\x03\x04"
				   "\xa3\x06\x08\x01\xa4\x06"
				   "\x12\x0d\x0a\x00\x12\x00\x12\x01\x07\xa3\x06\x08\x01\xa4\x06";
	struct buf b = {.data = (char *)(uintptr_t)body, .len = sizeof(body) - 1};
	struct pprof p;
	struct err err;

	assert_int_equal(decode(&b, &p, &err), 0);
	assert_int_equal(p.time_ns, -1);
	assert_int_equal(p.values[0], 7);
	pprof_release(&p);
}

/* Function id 0 is an id like any other once a function has it: a .NET client sends that. */
static void test_id_zero_declared(void **state)
{
	(void)state;
	static const char body[] =
	    "\x32\x00\x32\x01"
	    "f"
	    "\x2a\x02\x10\x01"                  /* function without an id: 0 */
	    "\x22\x06\x08\x01\x22\x02\x10\x09"; /* line without a function id */
	struct buf b = {.data = (char *)(uintptr_t)body, .len = sizeof(body) - 1};
	struct pprof p;
	struct err err;

	assert_int_equal(decode(&b, &p, &err), 0);
	assert_int_equal(p.lines[0].function, 0);
	assert_text(&p, p.functions[0].name, "f");
	pprof_release(&p);
}

/* Functions without any ids are meant by their places, from 1: that is what the client does. */
static void test_ids_missing(void **state)
{
	(void)state;
	static const char body[] = "\x32\x00\x32\x01"
				   "f"
				   "\x32\x01"
				   "g"
				   "\x2a\x02\x10\x01\x2a\x02\x10\x02"
				   "\x22\x0a\x08\x01\x22\x02\x08\x02\x22\x02\x08\x01";
	struct buf b = {.data = (char *)(uintptr_t)body, .len = sizeof(body) - 1};
	struct pprof p;
	struct err err;

	assert_int_equal(decode(&b, &p, &err), 0);
	assert_text(&p, p.functions[p.lines[0].function].name, "g");
	assert_text(&p, p.functions[p.lines[1].function].name, "f");
	pprof_release(&p);
}

/* Spread ids resolve like dense ones. */
static void test_sparse_ids(void **state)
{
	(void)state;
	struct buf to;
	struct pprof p;
	struct err err;
	uint64_t seed = 7;

	buf_init(&to, BUF_UNLIMITED);
	proto_put_bytes(&to, 6, "", 0);
	proto_put_bytes(&to, 1, "", 0);
	for (int i = 0; i < 1000; i++) {
		size_t at = proto_message_begin(&to, 4);

		proto_put_varint(&to, 1, seeded_next(&seed));
		proto_put_varint(&to, 3, (uint64_t)i);
		proto_message_end(&to, at);
	}
	seed = 7;
	for (int i = 0; i < 1000; i++) {
		size_t at = proto_message_begin(&to, 2);

		proto_put_varint(&to, 1, seeded_next(&seed));
		proto_put_varint(&to, 2, 1);
		proto_message_end(&to, at);
	}
	assert_int_equal(decode(&to, &p, &err), 0);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(p.locations[p.stacks[i]].address, i);
	pprof_release(&p);
	buf_release(&to);
}

static void test_memory_limit(void **state)
{
	(void)state;
	struct buf body = small();
	struct pprof p;
	struct err err;
	struct pprof_limits limits = {200, "limits.decompressed_bytes"};

	assert_int_equal(pprof_decode(body.data, body.len, &limits, &p, &err), -E2BIG);
	assert_non_null(strstr(err.message, "limit 200 (limits.decompressed_bytes)"));
	buf_release(&body);
}

/* So many samples of random stacks, with and without labels, over some locations. */
static struct buf drawn(uint64_t *state, size_t samples, size_t locations)
{
	struct pprof_writer *w;
	uint64_t stack[50];
	struct buf to;
	char name[32];

	assert_int_equal(pprof_writer_new((size_t)16 << 20, &w), 0);
	pprof_write_type(w, STR("samples"), STR("count"));
	for (size_t i = 0; i < samples; i++) {
		size_t depth = seeded_next(state) % ARRAY_LEN(stack);
		struct pprof_write_label label = {.key = STR("thread"), .number = (int64_t)i};

		for (size_t k = 0; k < depth; k++) {
			uint64_t n = seeded_next(state) % locations;
			int len = snprintf(name, sizeof(name), "function_%" PRIu64, n);
			struct pprof_write_line lines[2] = {
			    {.function = {name, (size_t)len}, .line = 7},
			    {.function = STR("outer"), .line = 8}};

			stack[k] = pprof_write_location(w, 0, n * 16, lines, n % 3);
		}
		pprof_write_sample(w, stack, depth, (int64_t[]){1}, &label, i % 2);
	}
	buf_init(&to, BUF_UNLIMITED);
	assert_int_equal(pprof_writer_finish(w, &to, NULL), 0);
	pprof_writer_free(w);
	return to;
}

#define EXPECT_SAME(array)                                                                         \
	do {                                                                                       \
		assert_int_equal(a->array##_count, b->array##_count);                              \
		assert_memory_equal(a->array, b->array, a->array##_count * sizeof(*a->array));     \
	} while (0)

static void expect_same(const struct pprof *a, const struct pprof *b)
{
	EXPECT_SAME(strings);
	EXPECT_SAME(types);
	EXPECT_SAME(mappings);
	EXPECT_SAME(functions);
	EXPECT_SAME(lines);
	EXPECT_SAME(locations);
	EXPECT_SAME(samples);
	EXPECT_SAME(stacks);
	EXPECT_SAME(values);
	EXPECT_SAME(labels);
	assert_int_equal(a->samples[a->samples_count].stack_at,
			 b->samples[b->samples_count].stack_at);
	assert_int_equal(a->locations[a->locations_count].lines_at,
			 b->locations[b->locations_count].lines_at);
}

/* Whatever was read in a room before, also what failed half way. */
static void test_one_room_for_many(void **state)
{
	static const size_t sizes[] = {1, 300, 2, 40, 2000, 0, 7};
	struct pprof_room room = {0};
	uint64_t seed = 1;
	size_t refused = 0;

	(void)state;
	for (size_t i = 0; i < 6 * ARRAY_LEN(sizes); i++) {
		struct buf body = drawn(&seed, sizes[i % ARRAY_LEN(sizes)], 1 + i * 37 % 500);
		struct pprof alone, p;
		struct err err = {0};

		assert_int_equal(
		    pprof_decode_in(&room, body.data, body.len / 2, &no_limit, &p, &err), -EINVAL);
		/* What a room has kept counts for nobody. */
		const struct pprof_limits limits = {i % 2 ? body.len * (1 + i % 16) : 0, "limit"};
		int rc = pprof_decode(body.data, body.len, &limits, &alone, &err);

		assert_int_equal(pprof_decode_in(&room, body.data, body.len, &limits, &p, &err),
				 rc);
		assert_true(rc == 0 || rc == -E2BIG);
		refused += rc != 0;
		if (!rc) {
			expect_same(&p, &alone);
			pprof_release(&alone);
		}
		buf_release(&body);
	}
	assert_true(refused > 0 && pprof_room_bytes(&room) > 100000);
	pprof_room_release(&room);
	assert_int_equal(pprof_room_bytes(&room), 0);
}

static size_t accepted, seen_memory, seen_raw;

static void visit_corpus(const char *name, const struct buf *plain)
{
	struct pprof p;
	struct err err;

	if (decode(plain, &p, &err) < 0)
		fail_msg("%s: %s", name, err.message);
	assert_true(pprof_sniff(plain->data, plain->len));
	printf("%s: %zu bytes, tables %.2f times that\n", name, plain->len,
	       (double)p.memory_bytes / (double)plain->len);
	/* A place in a stack takes 4 bytes, and 2 on the wire above 127 locations: below that a
	 * profile is small for its samples, and its tables are up to 4 times as large. */
	if (p.locations_count > 127)
		assert_true(p.memory_bytes <= 2 * plain->len);
	else
		assert_true(p.memory_bytes <= 5 * plain->len);
	seen_memory += p.memory_bytes;
	seen_raw += plain->len;
	accepted++;
	pprof_release(&p);
}

static void test_corpus(void **state)
{
	(void)state;
	if (!corpus_each_pprof(visit_corpus)) {
		printf("no corpus in %s\n", corpus_folder());
		skip();
	}
	assert_true(accepted > 0);
	printf("all: tables %.2f times\n", (double)seen_memory / (double)seen_raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reads_everything),
	    cmocka_unit_test(test_string_indexes),
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_truncation),
	    cmocka_unit_test(test_framing),
	    cmocka_unit_test(test_tolerates),
	    cmocka_unit_test(test_id_zero_declared),
	    cmocka_unit_test(test_ids_missing),
	    cmocka_unit_test(test_sparse_ids),
	    cmocka_unit_test(test_memory_limit),
	    cmocka_unit_test(test_one_room_for_many),
	    cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
