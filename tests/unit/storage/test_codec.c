/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cmocka.h"

#include <errno.h>
#include <string.h>

#include <zstd.h>

#include "storage/codec.h"

static void fill(struct codec_columns *c, size_t count)
{
	assert_int_equal(codec_columns_reserve(c, count, 3), 0);
	c->count = count;
	c->values_count = 3;
	for (size_t i = 0; i < count; i++) {
		c->times[i] = INT64_C(1767225600000000000) + (int64_t)(i * 7919) % 1000 - 500;
		c->nodes[i] = (uint32_t)(i * 2654435761u);
		c->contexts[i] = (uint32_t)(i % 7);
		c->counts[i] = i % 11 + 1;
		c->values[0][i] = (int64_t)i * 10000000;
		c->values[1][i] = i % 2 ? INT64_MIN : INT64_MAX;
		c->values[2][i] = -(int64_t)i;
	}
}

static void expect_round_trips(enum codec_effort effort)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;
	struct str packed;

	assert_int_equal(codec_new(&codec), 0);
	for (size_t count = 0; count < 3000; count = count * 3 + 1) {
		fill(&in, count);
		assert_int_equal(codec_encode(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, effort,
					      &packed), 0);
		char *copy CLEANUP(cleanup_free) = malloc(packed.len);

		memcpy(copy, packed.ptr, packed.len);
		assert_int_equal(codec_decode(codec, copy, packed.len, -1, &out), 0);
		assert_int_equal(out.count, count);
		if (!count)
			continue;
		assert_memory_equal(out.times, in.times, count * sizeof(*in.times));
		assert_memory_equal(out.nodes, in.nodes, count * sizeof(*in.nodes));
		assert_memory_equal(out.contexts, in.contexts, count * sizeof(*in.contexts));
		assert_memory_equal(out.counts, in.counts, count * sizeof(*in.counts));
		for (size_t v = 0; v < 3; v++)
			assert_memory_equal(out.values[v], in.values[v],
					    count * sizeof(*in.values[v]));
	}
	codec_free(codec);
}

static void what_goes_in_comes_out(void **state)
{
	(void)state;
	expect_round_trips(CODEC_QUICK);
	expect_round_trips(CODEC_DENSE); /* long blocks with their columns apart */
}

static void one_column_is_read_alone(void **state)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;
	struct str packed;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	fill(&in, 100);
	assert_int_equal(codec_encode(codec, &in, 0, CODEC_DENSE, &packed), 0);
	char *copy CLEANUP(cleanup_free) = malloc(packed.len);

	memcpy(copy, packed.ptr, packed.len);
	assert_int_equal(codec_columns_reserve(&out, 100, 3), 0);
	memset(out.values[0], 0x55, 100 * sizeof(int64_t));
	assert_int_equal(codec_decode(codec, copy, packed.len, 2, &out), 0);
	assert_memory_equal(out.values[2], in.values[2], 100 * sizeof(int64_t));
	assert_int_equal(out.values[0][0], INT64_C(0x5555555555555555));
	codec_free(codec);
}

/* Short and long numbers side by side, at every place of a run; times and contexts only when they are asked for. */
static void parts_are_read_alone(void **state)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;
	struct str packed;
	const size_t count = 5000;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	fill(&in, count);
	for (size_t i = 0; i < count; i++) {
		in.nodes[i] = (uint32_t)(i * i % 40000);
		in.contexts[i] = (uint32_t)(i % 300);
		in.counts[i] = UINT64_MAX >> i * 7 % 64;
		in.times[i] = INT64_C(1767225600000000000) + (INT64_C(1) << i % 50);
	}
	assert_int_equal(codec_encode(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_DENSE, &packed), 0);
	char *copy CLEANUP(cleanup_free) = malloc(packed.len);

	memcpy(copy, packed.ptr, packed.len);
	for (unsigned parts = 0; parts < 4; parts++) {
		assert_int_equal(codec_columns_reserve(&out, count, 3), 0);
		memset(out.times, 0x55, count * sizeof(*out.times));
		memset(out.contexts, 0x55, count * sizeof(*out.contexts));
		assert_int_equal(codec_decode_parts(codec, copy, packed.len, parts, -1, &out), 0);
		assert_memory_equal(out.nodes, in.nodes, count * sizeof(*in.nodes));
		assert_memory_equal(out.counts, in.counts, count * sizeof(*in.counts));
		assert_memory_equal(out.values[1], in.values[1], count * sizeof(*in.values[1]));
		assert_int_equal(out.times[7] == in.times[7], parts & CODEC_TIMES ? 1 : 0);
		assert_int_equal(out.contexts[7] == in.contexts[7], parts & CODEC_CONTEXTS ? 1 : 0);
		if (parts & CODEC_TIMES)
			assert_memory_equal(out.times, in.times, count * sizeof(*in.times));
		if (parts & CODEC_CONTEXTS)
			assert_memory_equal(out.contexts, in.contexts, count * sizeof(*in.contexts));
		assert_int_equal(out.contexts_end, parts & CODEC_CONTEXTS ? 300 : 0);
		uint32_t most = 0;

		for (size_t i = 0; i < count; i++)
			most = MAX(most, in.nodes[i]);
		assert_int_equal(out.nodes_end, most + 1);
	}
	codec_free(codec);
}

/* Whatever is flipped or cut: an answer or -EBADMSG, never a read outside (ASan looks on). */
static void damage_is_refused_or_decodes(void **state)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;
	struct str packed, raw, again;
	size_t refused = 0;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	fill(&in, 200);
	assert_int_equal(codec_encode(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_QUICK, &packed), 0);
	char *copy CLEANUP(cleanup_free) = malloc(packed.len);
	size_t len = packed.len;

	memcpy(copy, packed.ptr, len);
	for (size_t cut = 0; cut < len; cut += 13)
		assert_int_equal(codec_decode(codec, copy, cut, -1, &out), -EBADMSG);
	/* Behind zstd, the columns themselves. */
	assert_int_equal(codec_unpack(codec, copy, len, &raw), 0);
	size_t raw_len = raw.len;
	char *plain CLEANUP(cleanup_free) = malloc(raw_len);

	memcpy(plain, raw.ptr, raw_len);
	for (size_t at = 0; at < raw_len; at += at < 20 ? 1 : 97) {
		for (int bit = 0; bit < 8; bit++) {
			plain[at] = (char)(plain[at] ^ (1 << bit));
			assert_int_equal(codec_pack(codec, plain, raw_len, CODEC_QUICK, &again), 0);
			int rc = codec_decode(codec, again.ptr, again.len, -1, &out);

			assert_true(rc == 0 || rc == -EBADMSG);
			refused += rc != 0;
			plain[at] = (char)(plain[at] ^ (1 << bit));
		}
	}
	assert_true(refused > 50);
	codec_free(codec);
}

/* The same of a block whose columns stand apart: its head, and the frames behind it. */
static void damage_to_columns_apart_is_refused(void **state)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;
	struct str packed, raw, again;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	fill(&in, 2000);
	assert_int_equal(codec_encode(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_DENSE,
				      &packed), 0);
	size_t len = packed.len, head = ZSTD_findFrameCompressedSize(packed.ptr, packed.len);
	char *copy CLEANUP(cleanup_free) = malloc(len);

	assert_true(head < len);
	memcpy(copy, packed.ptr, len);
	for (size_t cut = 0; cut < len; cut += 13)
		assert_int_equal(codec_decode(codec, copy, cut, -1, &out), -EBADMSG);
	for (size_t at = 0; at < len; at += 29) {
		copy[at] ^= 0x10;
		int rc = codec_decode(codec, copy, len, -1, &out);

		/* Of the header of a frame zstd leaves some bits unused. */
		assert_true(rc == -EBADMSG || !rc);
		if (!rc)
			assert_memory_equal(out.nodes, in.nodes, 2000 * sizeof(*in.nodes));
		copy[at] ^= 0x10;
	}
	assert_int_equal(codec_unpack(codec, copy, head, &raw), 0);
	size_t raw_len = raw.len, refused = 0;
	char plain[256];
	char *whole CLEANUP(cleanup_free) = malloc(len + 256);

	assert_true(raw_len < sizeof(plain));
	memcpy(plain, raw.ptr, raw_len);
	for (size_t bit = 0; bit < raw_len * 8; bit++) {
		plain[bit / 8] = (char)(plain[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(codec_pack(codec, plain, raw_len, CODEC_QUICK, &again), 0);
		memcpy(whole, again.ptr, again.len);
		memcpy(whole + again.len, copy + head, len - head);
		int rc = codec_decode(codec, whole, again.len + len - head, -1, &out);

		assert_true(rc == 0 || rc == -EBADMSG);
		refused += rc != 0;
		plain[bit / 8] = (char)(plain[bit / 8] ^ (1 << bit % 8));
	}
	assert_true(refused > raw_len);
	codec_free(codec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_goes_in_comes_out),
	    cmocka_unit_test(one_column_is_read_alone),
	    cmocka_unit_test(parts_are_read_alone),
	    cmocka_unit_test(damage_is_refused_or_decodes),
	    cmocka_unit_test(damage_to_columns_apart_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
