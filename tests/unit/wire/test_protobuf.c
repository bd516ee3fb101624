/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include "wire/protobuf.h"

/* Numbers of every length come back, alone and packed, also at the very end of the bytes. */
static void test_numbers(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits <= 64; bits++) {
		uint64_t value = bits == 64 ? UINT64_MAX : UINT64_C(1) << bits, packed = 0;
		struct proto_field f;
		struct buf to;

		buf_init(&to, BUF_UNLIMITED);
		proto_put_varint(&to, 3, value);
		size_t at = proto_message_begin(&to, 500);

		(void)buf_add_varint(&to, value);
		(void)buf_add_varint(&to, 5);
		proto_message_end(&to, at);
		struct proto_reader r = proto_reader_of(to.data, to.len);

		assert_int_equal(proto_next(&r, &f), 1);
		assert_int_equal(f.number, 3);
		assert_int_equal(f.type, PROTO_VARINT);
		assert_true(f.value == value);
		assert_int_equal(proto_next(&r, &f), 1);
		assert_int_equal(f.number, 500);
		assert_int_equal(proto_packed_count(f.bytes, r.end), 2);
		/* Word by word inside the body, byte by byte at its end. */
		for (size_t beyond = 0; beyond <= 8; beyond += 8) {
			uint8_t body[VARINT_MAX + 8] = {0};
			size_t len = varint_put(body, value);
			const uint8_t *end = body + len;

			for (size_t fill = 0; fill < beyond; fill++)
				body[len + fill] = 0xff;
			assert_ptr_equal(proto_number(body, end, end + beyond, &packed), end);
			assert_true(packed == value);
			assert_null(proto_number(body, end - 1, end + beyond, &packed));
		}
		assert_int_equal(proto_next(&r, &f), 0);
		buf_release(&to);
	}
}

/* Lengths around where their own encoding grows. */
static void test_lengths(void **state)
{
	(void)state;
	const size_t lengths[] = {0, 1, 127, 128, 129, 16383, 16384, 70000};
	static char zeros[70000];

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct proto_field f;
		struct buf to;

		buf_init(&to, BUF_UNLIMITED);
		proto_put_bytes(&to, 6, zeros, lengths[i]);
		for (size_t cut = 0; cut <= 1; cut++) {
			struct proto_reader r = proto_reader_of(to.data, to.len - cut);

			assert_int_equal(proto_next(&r, &f), cut ? -EINVAL : 1);
			if (!cut)
				assert_int_equal(proto_left(&f.bytes), lengths[i]);
		}
		buf_release(&to);
	}
}

static void test_packed_count(void **state)
{
	(void)state;
	uint8_t bytes[64];

	for (size_t len = 0; len <= sizeof(bytes); len++) {
		size_t want = 0;

		for (size_t i = 0; i < len; i++) {
			bytes[i] = i % 3 ? 0x80 : 0x7f;
			want += bytes[i] < 0x80;
		}
		assert_int_equal(proto_packed_count(proto_reader_of(bytes, len), bytes + len),
				 want);
		assert_int_equal(
		    proto_packed_count(proto_reader_of(bytes, len), bytes + sizeof(bytes)), want);
	}
}

#define GROUPS_MAX 64

/* Groups are passed over wherever they stand, as deep as is said and no deeper. */
static void test_groups_are_passed_over(void **state)
{
	static const uint8_t bytes[] = {0x08, 1,    0xa3, 0x01, 0x08, 7,    0x1b, 0x12, 1, 'x',
					0x1c, 0xa4, 1,    0x10, 2,    0xa3, 1,    0xa4, 1};
	static const uint8_t wrong[][3] = {{0x0b, 0x14, 0}, {0x0c, 0, 0}, {0x0b, 0x08, 1}};
	struct proto_reader r = proto_reader_of(bytes, sizeof(bytes));
	uint8_t deep[2 * (GROUPS_MAX + 1)];
	struct proto_field f;

	(void)state;
	for (uint32_t number = 1; number <= 2; number++) {
		assert_int_equal(proto_next(&r, &f), 1);
		assert_int_equal(f.number, number);
		assert_int_equal(f.value, number);
	}
	assert_int_equal(proto_next(&r, &f), 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		r = proto_reader_of(wrong[i], sizeof(wrong[i]));
		assert_int_equal(proto_next(&r, &f), -EINVAL);
		assert_ptr_equal(r.at, wrong[i]);
		assert_non_null(strstr(proto_wrong(&r), "group"));
	}
	for (size_t depth = GROUPS_MAX; depth <= GROUPS_MAX + 1; depth++) {
		memset(deep, 0x0b, depth);
		memset(deep + depth, 0x0c, depth);
		r = proto_reader_of(deep, 2 * depth);
		assert_int_equal(proto_next(&r, &f), depth > GROUPS_MAX ? -EINVAL : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers), cmocka_unit_test(test_groups_are_passed_over),
	    cmocka_unit_test(test_lengths), cmocka_unit_test(test_packed_count)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
