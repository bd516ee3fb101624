/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of OTLP: of which generation they are, and their lists in every way they may be written.
 */
#include "tests/cmocka.h"

#include <endian.h>
#include <errno.h>

#include "wire/otlp.h"

static void packed_put(struct buf *to, uint32_t number, const uint64_t *values, size_t count)
{
	size_t begin = proto_message_begin(to, number);

	for (size_t i = 0; i < count; i++)
		(void)buf_add_varint(to, values[i]);
	proto_message_end(to, begin);
}

static void times_put(struct buf *to, size_t count, bool packs)
{
	size_t begin = packs ? proto_message_begin(to, 5) : 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t wire = htole64(i + 1);

		if (!packs)
			(void)buf_add_varint(to, 5 << 3 | PROTO_FIXED64);
		(void)buf_add(to, &wire, sizeof(wire));
	}
	if (packs)
		proto_message_end(to, begin);
}

static struct proto_reader whole(const struct buf *bytes)
{
	return proto_reader_of(bytes->data ? bytes->data : "", bytes->len);
}

/* One letter a field: its number, and p for packed or s for a number by itself. */
static void test_a_sample_says_its_generation(void **state)
{
	static const struct {
		const char *fields;
		enum otlp_generation is;
	} cases[] = {
	    {"1s2p4p", OTLP_1_10},    {"1s2p3s4p", OTLP_1_10},   {"1s4p", OTLP_1_10},
	    {"1s2s4p", OTLP_1_10},    {"1s2s2s4s4s", OTLP_1_10}, {"1s4s", OTLP_1_10},
	    {"4p2p1s", OTLP_1_10},    {"1s2p3p", OTLP_1_8},      {"1s2p", OTLP_1_8},
	    {"1s2p4s", OTLP_1_8},     {"1s2p4s5p", OTLP_1_8},    {"1s2s3s3s", OTLP_1_8},
	    {"1s2s3p", OTLP_1_7},     {"1s2s3p4p", OTLP_1_7},    {"1s2s6p", OTLP_1_7},
	    {"1s2p5p", OTLP_UNKNOWN}, {"1s2s5s", OTLP_UNKNOWN},  {"1s5p", OTLP_UNKNOWN},
	    {"1s", OTLP_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf to;

		buf_init(&to, BUF_UNLIMITED);
		for (const char *f = cases[i].fields; *f; f += 2) {
			uint32_t number = (uint32_t)(f[0] - '0');

			if (f[1] == 'p')
				packed_put(&to, number, &(uint64_t){1}, 1);
			else
				proto_put_varint(&to, number, 1);
		}
		if (otlp_sample_generation(whole(&to)) != cases[i].is)
			fail_msg("%s", cases[i].fields);
		buf_release(&to);
	}
}

/* Values beside times, and no field 3 or 4 that says more. */
static void test_a_profile_without_attributes_says_its_generation(void **state)
{
	static const struct {
		struct {
			uint64_t numbers[3];
			size_t count, times;
		} samples[2];
		bool is_1_8;
	} cases[] = {
	    {{{{1000000}, 1, 1}, {{2}, 1, 1}}, true},   /* no attribute's number */
	    {{{{2, 2}, 2, 2}, {{0}, 0, 3}}, true},      /* an attribute once */
	    {{{{1, 2}, 2, 2}, {{3}, 1, 1}}, false},     /* attributes, as far as one sees */
	    {{{{1, 2, 3}, 3, 1}, {{2}, 1, 1}}, false},  /* values are as many as times */
	    {{{{1, 2, 3}, 3, 1}, {{99}, 1, 1}}, false}, /* one that is broken */
	    {{{{0}, 0, 2}, {{0}, 0, 3}}, false},        /* times alone */
	};
	const struct otlp_dictionary d = {.attributes_count = 4};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf to, scratch;

		buf_init(&to, BUF_UNLIMITED);
		buf_init(&scratch, BUF_UNLIMITED);
		for (size_t k = 0; k < ARRAY_LEN(cases[i].samples); k++) {
			size_t begin = proto_message_begin(&to, 2);

			proto_put_varint(&to, 1, 1);
			if (cases[i].samples[k].count)
				packed_put(&to, 2, cases[i].samples[k].numbers,
					   cases[i].samples[k].count);
			times_put(&to, cases[i].samples[k].times, k == 0);
			proto_message_end(&to, begin);
		}
		if (otlp_profile_is_1_8(&d, whole(&to), &scratch) != cases[i].is_1_8)
			fail_msg("case %zu", i);
		buf_release(&to);
		buf_release(&scratch);
	}
}

/* In one piece, in two, and number by number: protobuf says that it is the same. */
static void test_lists_in_pieces(void **state)
{
	(void)state;
	const uint64_t values[] = {5, 70000, 9};

	for (int way = 0; way < 3; way++) {
		struct otlp_sample sample;
		struct buf to, scratch;

		buf_init(&to, BUF_UNLIMITED);
		buf_init(&scratch, BUF_UNLIMITED);
		proto_put_varint(&to, 1, 7);
		for (uint32_t number = 2; number <= 4; number += 2) {
			if (way == 0)
				packed_put(&to, number, values, 3);
			for (size_t i = 0; way == 1 && i < 3; i += 2)
				packed_put(&to, number, values + i, MIN(3 - i, (size_t)2));
			for (size_t i = 0; way == 2 && i < 3; i++)
				proto_put_varint(&to, number, values[i]);
		}
		times_put(&to, 3, way != 2);
		assert_int_equal(otlp_sample_read(whole(&to), OTLP_1_10, &scratch, &sample), 0);
		assert_int_equal(sample.stack, 7);
		struct proto_reader lists[] = {sample.attributes, sample.values};

		for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
			for (size_t i = 0; i < ARRAY_LEN(values); i++) {
				uint64_t number = 0;

				lists[k].at =
				    proto_number(lists[k].at, lists[k].end, lists[k].end, &number);
				assert_int_equal(number, values[i]);
			}
			assert_ptr_equal(lists[k].at, lists[k].end);
		}
		assert_int_equal(proto_left(&sample.timestamps), 24);
		assert_int_equal(sample.timestamps.at[16], 3);
		/* Only who writes pieces pays for them. */
		assert_int_equal(scratch.capacity > 0, way > 0);
		buf_release(&to);
		buf_release(&scratch);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_sample_says_its_generation),
	    cmocka_unit_test(test_a_profile_without_attributes_says_its_generation),
	    cmocka_unit_test(test_lists_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
