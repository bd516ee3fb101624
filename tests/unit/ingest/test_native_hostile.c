/* SPDX-License-Identifier: Apache-2.0 */
/* What a client should never write: claims that stay open, nonsense, heads and hellos that lie. */
#include <errno.h>
#include <string.h>

#include "tests/unit/ingest/native_plain.h"

static void an_open_claim_waits_and_then_expires(void **state)
{
	struct fixture f;
	size_t consumed;
	struct native_stats stats;

	(void)state;
	fixture_init(&f, false);
	(void)ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);
	struct ring_record *open = ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);
	size_t hole = open->bytes;

	open->commit = 0;
	(void)ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);
	const uint8_t *bytes = (const uint8_t *)f.writer.bytes.data;

	assert_int_equal(
	    native_process_records(f.process, 0, 0, bytes, f.writer.bytes.len, false, &consumed),
	    0);
	assert_int_equal(consumed, hole); /* the first, and no further */
	assert_int_equal(native_process_records(f.process, 0, consumed, bytes + consumed,
						f.writer.bytes.len - consumed, true, &consumed),
			 0);
	native_process_stats(f.process, &stats);
	assert_int_equal(stats.samples, 2);
	assert_int_equal(stats.abandoned_bytes, hole);
	assert_int_equal(stats.bad_records, 0);
	fixture_release(&f);
}

static void nonsense_is_counted_and_skipped(void **state)
{
	struct fixture f;
	size_t consumed;
	struct native_stats stats;

	(void)state;
	fixture_init(&f, false);
	for (int i = 0; i < 5; i++) {
		struct ring_record *record = ring_writer_cpu(&f.writer, 7, START, 10 * MS, 0x1000);

		switch (i) {
		case 0:
			record->bytes = 0;
			break;
		case 1:
			record->bytes = UINT32_MAX;
			break;
		case 2:
			record->frames = RING_FRAMES_MAX + 1;
			break;
		case 3:
			record->type = RING_TYPES;
			break;
		default:
			break;
		}
	}
	assert_int_equal(native_process_records(f.process, 0, 0,
						(const uint8_t *)f.writer.bytes.data,
						f.writer.bytes.len, true, &consumed),
			 0);
	native_process_stats(f.process, &stats);
	assert_int_equal(consumed, f.writer.bytes.len);
	assert_int_equal(stats.samples, 1);
	assert_int_equal(stats.bad_records, 4);
	fixture_release(&f);
}

static void heads_that_lie_are_refused(void **state)
{
	const struct ring_head right = ring_head_make();
	struct err err;

	(void)state;
	assert_int_equal(native_head_check(&right, 1 << 20, &err), 0);
	assert_int_equal(native_head_check(&right, (1 << 20) + 1, &err), -EINVAL);
#define LIE(field, value)                                                                          \
	do {                                                                                       \
		struct ring_head head = right;                                                     \
		head.field = (value);                                                              \
		assert_int_equal(native_head_check(&head, 1 << 20, &err), -EINVAL);                \
	} while (0)
	LIE(magic, 0);
	LIE(version, 99);
	LIE(head_bytes, 8);
	LIE(modules_at, RING_PAGE); /* the agent's own page */
	LIE(modules_at, UINT32_MAX);
	LIE(modules_max, 0);
	LIE(modules_max, UINT32_MAX);
	LIE(threads_at, 0);
	LIE(threads_max, UINT32_MAX);
	LIE(rings_count, 0);
	LIE(rings_count, RING_RINGS_MAX + 1);
	LIE(rings_count, 4); /* does not fit */
	LIE(ring_bytes, 0);
	LIE(ring_bytes, 100000); /* not a power of two */
	LIE(ring_bytes, UINT32_MAX);
	LIE(heap_bytes, UINT32_MAX);
	LIE(hz, 0);
#undef LIE
}

static void hellos_that_lie_are_refused(void **state)
{
	struct {
		struct ring_hello hello;
		char text[32];
	} message = {
	    .hello = {.magic = RING_HELLO_MAGIC, .version = RING_VERSION, .text_bytes = 10},
	    .text = "service\0x"};
	size_t len = sizeof(message.hello) + 10;
	struct native_hello hello;
	struct err err;

	(void)state;
	assert_int_equal(native_hello_parse(&message, len, &hello, &err), 0);
	assert_int_equal(hello.labels_count, 1);
	assert_string_equal(hello.labels[0].value.ptr, "x");
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(native_hello_parse(&message, cut, &hello, &err), -EINVAL);
	message.hello.version = RING_VERSION + 1;
	assert_int_equal(native_hello_parse(&message, len, &hello, &err), -EINVAL);
	message.hello.version = RING_VERSION;
	message.hello.modules_count = RING_HELLO_MODULES_MAX + 1;
	assert_int_equal(native_hello_parse(&message, len, &hello, &err), -EINVAL);
	message.hello.modules_count = 0;
	message.hello.text_bytes = 16; /* a note is no label */
	memcpy(message.text, "@refused\0A=b: c", 16);
	assert_int_equal(native_hello_parse(&message, len + 6, &hello, &err), 0);
	assert_int_equal(hello.labels_count, 0);
	assert_int_equal(hello.notes_count, 1);
	assert_string_equal(hello.notes[0].value.ptr, "A=b: c");
	message.hello.text_bytes = 11;
	memcpy(message.text, "service\0x\0y", 11); /* a key without its value, without its end */
	assert_int_equal(native_hello_parse(&message, len + 1, &hello, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_open_claim_waits_and_then_expires),
	    cmocka_unit_test(nonsense_is_counted_and_skipped),
	    cmocka_unit_test(heads_that_lie_are_refused),
	    cmocka_unit_test(hellos_that_lie_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
