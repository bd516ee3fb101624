/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <lz4frame.h>
#include <zstd.h>

#include "tests/corpus.h"
#include "wire/compress.h"

#define MIB ((size_t)1 << 20)

static const struct decompress_limits usual = {
    32 * MIB, 128 * MIB, 100, "limits.body_bytes", "limits.decompressed_bytes", "limits.ratio"};
static struct err err;

static struct buf text_of(size_t len)
{
	struct buf b;
	uint64_t seed = len;

	buf_init(&b, BUF_UNLIMITED);
	while (b.len < len)
		(void)buf_printf(&b, "frame_%u;", (unsigned)(seeded_next(&seed) % 1000));
	b.len = len;
	return b;
}

static int undo(const struct buf *packed, const struct decompress_limits *limits, struct buf *plain)
{
	/* Exactly as long as the content, so that a sanitizer sees a read beyond it. */
	char *exact = malloc(packed->len ? packed->len : 1);

	if (packed->len)
		memcpy(exact, packed->data, packed->len);
	err = (struct err){0};
	int rc = wire_decompress(exact, packed->len, limits, plain, &err);

	free(exact);
	return rc;
}

typedef int compress_fn(const void *bytes, size_t len, struct buf *to);

/* Nothing of ours makes LZ4 frames; clients do. */
static int compress_lz4(const void *bytes, size_t len, struct buf *to)
{
	size_t room = LZ4F_compressFrameBound(len, NULL);
	char *at = buf_reserve(to, room);
	size_t made = at ? LZ4F_compressFrame(at, room, bytes, len, NULL) : 0;

	to->len += made;
	return made && !LZ4F_isError(made) ? 0 : -ENOMEM;
}

static compress_fn *const compressors[] = {wire_compress_gzip, wire_compress_zstd, compress_lz4};

static void test_round_trip(void **state)
{
	(void)state;
	const size_t sizes[] = {0, 1, 1000, 100000, 3 * MIB};

	for (size_t c = 0; c < ARRAY_LEN(compressors); c++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			struct buf plain = text_of(sizes[i]), packed, back;

			buf_init(&packed, BUF_UNLIMITED);
			assert_int_equal(compressors[c](plain.data, plain.len, &packed), 0);
			/* Twice the same, one behind the other: members and frames. */
			assert_int_equal(compressors[c](plain.data, plain.len, &packed), 0);
			assert_int_equal(undo(&packed, &usual, &back), 0);
			assert_int_equal(back.len, 2 * plain.len);
			if (plain.len) {
				assert_memory_equal(back.data, plain.data, plain.len);
				assert_memory_equal(back.data + plain.len, plain.data, plain.len);
			}
			buf_release(&back);
			buf_release(&packed);
			buf_release(&plain);
		}
	}
}

static void test_raw(void **state)
{
	(void)state;
	struct buf plain = text_of(100), back;

	assert_int_equal(undo(&plain, &usual, &back), 0);
	assert_int_equal(back.len, 100);
	buf_release(&back);
	plain.len = 0;
	assert_int_equal(undo(&plain, &usual, &back), 0);
	assert_int_equal(back.len, 0);
	buf_release(&back);
	buf_release(&plain);
}

/* One layer is undone, not two. */
static void test_nested(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(compressors); c++) {
		struct buf plain = text_of(5000), once, twice, back;

		buf_init(&once, BUF_UNLIMITED);
		buf_init(&twice, BUF_UNLIMITED);
		assert_int_equal(compressors[c](plain.data, plain.len, &once), 0);
		assert_int_equal(compressors[c](once.data, once.len, &twice), 0);
		assert_int_equal(undo(&twice, &usual, &back), 0);
		assert_int_equal(back.len, once.len);
		assert_memory_equal(back.data, once.data, once.len);
		buf_release(&back);
		buf_release(&twice);
		buf_release(&once);
		buf_release(&plain);
	}
}

static void assert_limited(const struct buf *packed, const struct decompress_limits *limits,
			   const char *limit, const char *setting)
{
	struct buf back;

	assert_int_equal(undo(packed, limits, &back), -E2BIG);
	if (!strstr(err.message, limit) || !strstr(err.message, setting))
		fail_msg("\"%s\" names not %s and %s", err.message, limit, setting);
}

/* A thousand to one, LZ4 250: refused by ratio past the first MiB, and by size. */
static void test_bombs(void **state)
{
	(void)state;
	char *zeros = calloc(1, 64 * MIB);

	for (size_t c = 0; c < ARRAY_LEN(compressors); c++) {
		struct decompress_limits limits = usual;
		struct buf packed, back;

		buf_init(&packed, BUF_UNLIMITED);
		assert_int_equal(compressors[c](zeros, 64 * MIB, &packed), 0);
		assert_true(packed.len < 64 * MIB / 200);
		assert_limited(&packed, &usual, "limit 100 times", "limits.ratio");
		limits.ratio = 0;
		limits.plain_bytes = 10 * MIB;
		assert_limited(&packed, &limits, "limit 10485760", "limits.decompressed_bytes");
		limits.compressed_bytes = packed.len - 1;
		assert_limited(&packed, &limits, "limit", "limits.body_bytes");
		/* What fits exactly is taken. */
		limits.compressed_bytes = packed.len;
		limits.plain_bytes = 64 * MIB;
		assert_int_equal(undo(&packed, &limits, &back), 0);
		assert_int_equal(back.len, 64 * MIB);
		buf_release(&back);
		buf_release(&packed);

		/* Below the first MiB the ratio does not count. */
		buf_init(&packed, BUF_UNLIMITED);
		assert_int_equal(compressors[c](zeros, MIB, &packed), 0);
		assert_int_equal(undo(&packed, &usual, &back), 0);
		assert_int_equal(back.len, MIB);
		buf_release(&back);
		buf_release(&packed);
	}
	free(zeros);
}

static void test_raw_limit(void **state)
{
	(void)state;
	struct buf plain = text_of(1000);
	struct decompress_limits limits = usual;

	limits.plain_bytes = 999;
	assert_limited(&plain, &limits, "limit 999", "limits.decompressed_bytes");
	buf_release(&plain);
}

/* A frame that asks for a window of 16 MiB, of 100 bytes. */
static void test_zstd_window(void **state)
{
	(void)state;
	static const unsigned char frame[] = {0x28,    0xb5, 0x2f, 0xfd, 0x00,
					      14 << 3, 0x01, 0x00, 0x00};
	static const unsigned char small[] = {0x28,    0xb5, 0x2f, 0xfd, 0x00,
					      13 << 3, 0x01, 0x00, 0x00};
	struct buf packed = {.data = (char *)(uintptr_t)frame, .len = sizeof(frame)}, back;

	assert_limited(&packed, &usual, "8388608", "window");
	packed.data = (char *)(uintptr_t)small;
	assert_int_equal(undo(&packed, &usual, &back), 0);
	assert_int_equal(back.len, 0);
	buf_release(&back);
}

/* Skippable frames are passed over, count as input, and may not promise more than there is. */
static void test_zstd_skippable(void **state)
{
	(void)state;
	struct buf packed, back;

	buf_init(&packed, BUF_UNLIMITED);
	for (int i = 0; i < 1000; i++)
		(void)buf_add(&packed, "\x5a\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
	assert_int_equal(wire_compress_zstd("hello", 5, &packed), 0);
	(void)buf_add(&packed, "\x50\x2a\x4d\x18\x00\x00\x00\x00", 8);
	assert_int_equal(undo(&packed, &usual, &back), 0);
	assert_int_equal(back.len, 5);
	assert_memory_equal(back.data, "hello", 5);
	buf_release(&back);
	(void)buf_add(&packed, "\x50\x2a\x4d\x18\xff\xff\xff\xff", 8);
	assert_int_equal(undo(&packed, &usual, &back), -EINVAL);
	buf_release(&packed);
}

/* Every cut is refused, but for one between two members; and so is anything behind the end. */
static void test_damage(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(compressors); c++) {
		struct buf plain = text_of(300), packed, back;

		buf_init(&packed, BUF_UNLIMITED);
		assert_int_equal(compressors[c](plain.data, plain.len, &packed), 0);
		size_t whole = packed.len;

		/* Below four bytes it is not recognised and taken as it is. */
		for (size_t len = 4; len < whole; len++) {
			packed.len = len;
			assert_int_equal(undo(&packed, &usual, &back), -EINVAL);
		}
		packed.len = whole;
		(void)buf_add(&packed, "tail", 4);
		assert_int_equal(undo(&packed, &usual, &back), -EINVAL);
		buf_release(&packed);
		buf_release(&plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_raw),
	    cmocka_unit_test(test_nested),         cmocka_unit_test(test_bombs),
	    cmocka_unit_test(test_raw_limit),      cmocka_unit_test(test_zstd_window),
	    cmocka_unit_test(test_zstd_skippable), cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
