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

/* A copy, for the codec's own is good until its next call. */
static char *encoded(struct codec *codec, const struct codec_columns *in, unsigned parts,
		     enum codec_effort effort, size_t *ret_len)
{
	struct str packed;

	assert_int_equal(codec_encode(codec, in, parts, effort, &packed), 0);
	char *copy = malloc(packed.len);

	assert_non_null(copy);
	memcpy(copy, packed.ptr, packed.len);
	*ret_len = packed.len;
	return copy;
}

static void expect_round_trips(enum codec_effort effort)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;

	assert_int_equal(codec_new(&codec), 0);
	for (size_t count = 0; count < 3000; count = count * 3 + 1) {
		fill(&in, count);
		size_t len;
		char *copy CLEANUP(cleanup_free) =
		    encoded(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, effort, &len);

		assert_int_equal(codec_decode(codec, copy, len, -1, &out), 0);
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

/* Times in order are written without a sign; those above are not in order. */
static void expect_ordered_times_round_trip(void)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;

	assert_int_equal(codec_new(&codec), 0);
	fill(&in, 2000);
	for (size_t i = 0; i < 2000; i++)
		in.times[i] = -500 + (int64_t)(i / 3) * 100;
	in.times[1999] = INT64_MAX - 600; /* as far as a difference can be */
	for (int sorted = 1; sorted >= 0; sorted--) {
		in.times[0] = sorted ? -500 : -300;
		size_t len;
		char *copy CLEANUP(cleanup_free) =
		    encoded(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_DENSE, &len);

		assert_int_equal(codec_decode(codec, copy, len, -1, &out), 0);
		assert_memory_equal(out.times, in.times, 2000 * sizeof(*in.times));
	}
	codec_free(codec);
}

/* As L1 packs them: windows one behind the other, nodes in order within each; and when they are
 * not. */
static void windows_in_a_row_come_back(void **state)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	for (int kind = 0; kind < 3; kind++) {
		fill(&in, 3000);
		for (uint32_t i = 0; i < 3000; i++) {
			in.times[i] = i / 60 * INT64_C(10000000000);
			in.nodes[i] = i % 60 * (kind == 2 ? 40000000u : 31) + i / 60 % 3;
		}
		if (kind == 1)
			in.nodes[1000] = 0;
		size_t len;
		char *copy CLEANUP(cleanup_free) =
		    encoded(codec, &in, CODEC_TIMES, CODEC_DENSE, &len);

		assert_int_equal(codec_decode(codec, copy, len, -1, &out), 0);
		assert_memory_equal(out.times, in.times, 3000 * sizeof(*in.times));
		assert_memory_equal(out.nodes, in.nodes, 3000 * sizeof(*in.nodes));
		assert_memory_equal(out.values[1], in.values[1], 3000 * sizeof(*in.values[1]));
		for (size_t at = 0; at < len; at += 7) {
			copy[at] ^= 0x20;
			int rc = codec_decode(codec, copy, len, -1, &out);

			assert_true(rc == 0 || rc == -EBADMSG);
			copy[at] ^= 0x20;
		}
	}
	codec_free(codec);
}

static void frames_in_a_row_are_unpacked_as_one(void **state)
{
	static const char text[] = "namesnamesnames0123456789";
	const size_t ends[] = {15, 15, 20, 25};
	struct codec *codec;
	struct str packed, raw;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	assert_int_equal(codec_pack_pieces(codec, text, ends, 4, 1, CODEC_DENSE, &packed), 0);
	size_t len = packed.len;
	char *copy CLEANUP(cleanup_free) = malloc(len);

	memcpy(copy, packed.ptr, len);
	assert_int_equal(codec_unpack(codec, copy, len, &raw), 0);
	assert_int_equal(raw.len, 25);
	assert_memory_equal(raw.ptr, text, 25);
	assert_int_equal(codec_unpack(codec, copy, len - 1, &raw), -EBADMSG);
	codec_free(codec);
}

static void what_goes_in_comes_out(void **state)
{
	(void)state;
	expect_ordered_times_round_trip();
	expect_round_trips(CODEC_QUICK);
	expect_round_trips(CODEC_DENSE); /* long blocks with their columns apart */
}

static void one_column_is_read_alone(void **state)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	fill(&in, 100);
	size_t len;
	char *copy CLEANUP(cleanup_free) = encoded(codec, &in, 0, CODEC_DENSE, &len);

	assert_int_equal(codec_columns_reserve(&out, 100, 3), 0);
	memset(out.values[0], 0x55, 100 * sizeof(int64_t));
	assert_int_equal(codec_decode(codec, copy, len, 2, &out), 0);
	assert_memory_equal(out.values[2], in.values[2], 100 * sizeof(int64_t));
	assert_int_equal(out.values[0][0], INT64_C(0x5555555555555555));
	codec_free(codec);
}

/* 1,100 records as the release with L0's schema 3 packed them: columns apart, without lists. */
static void a_block_of_a_former_release_is_read(void **state)
{
	static const uint8_t packed[] = {
	    0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x1b, 0xd9, 0x00, 0x00, 0xcc, 0x08, 0x02, 0x07, 0xd6,
	    0x08, 0xd6, 0x08, 0xd0, 0x08, 0xcc, 0x08, 0x01, 0xcd, 0x08, 0x1b, 0x16, 0x20, 0x11,
	    0x30, 0x00, 0x17, 0x00, 0x0e, 0x00, 0x19, 0x00, 0x0f, 0x2a, 0xd9, 0x15, 0x28, 0xb5,
	    0x2f, 0xfd, 0x64, 0x4d, 0x03, 0x6d, 0x00, 0x00, 0x30, 0x80, 0xa0, 0x01, 0x01, 0x01,
	    0x08, 0x01, 0x00, 0x44, 0xfc, 0xbb, 0x22, 0x18, 0x1b, 0x56, 0xa5, 0x28, 0xb5, 0x2f,
	    0xfd, 0x24, 0x09, 0x49, 0x00, 0x00, 0x80, 0xd0, 0xdf, 0xbd, 0x94, 0xb9, 0x86, 0x31,
	    0x1f, 0xb5, 0x66, 0x8f, 0x91, 0x28, 0xb5, 0x2f, 0xfd, 0x64, 0x52, 0x03, 0x95, 0x00,
	    0x00, 0x58, 0x05, 0x0e, 0xd8, 0xd8, 0xd8, 0xd8, 0x00, 0x01, 0x02, 0x03, 0x04, 0x01,
	    0x00, 0x44, 0xe0, 0x2f, 0x5e, 0x4f, 0xf6, 0x53, 0xea, 0x28, 0xb5, 0x2f, 0xfd, 0x24,
	    0x04, 0x21, 0x00, 0x00, 0x04, 0x04, 0x04, 0x04, 0xe1, 0x07, 0x69, 0xb3, 0x28, 0xb5,
	    0x2f, 0xfd, 0x64, 0x50, 0x03, 0x15, 0x01, 0x00, 0x78, 0x03, 0x00, 0x02, 0x02, 0x00,
	    0x01, 0x02, 0x00, 0x01, 0x02, 0x00, 0x01, 0x02, 0x00, 0x01, 0x0b, 0x14, 0x00, 0x2a,
	    0x40, 0xc0, 0x01, 0x06, 0x04, 0x1c, 0x60, 0x40, 0xc0, 0x01, 0x06, 0x04, 0xd0, 0x02,
	    0x65, 0x77, 0x5c, 0x36, 0x28, 0xb5, 0x2f, 0xfd, 0x64, 0x4c, 0x03, 0x4d, 0x00, 0x00,
	    0x10, 0x01, 0x02, 0x01, 0x00, 0x47, 0xf4, 0x3b, 0x2c, 0xd0, 0x4d, 0x78, 0xf2, 0x28,
	    0xb5, 0x2f, 0xfd, 0x24, 0x01, 0x09, 0x00, 0x00, 0x0a, 0x2b, 0x57, 0xe4, 0xce, 0x28,
	    0xb5, 0x2f, 0xfd, 0x64, 0x4d, 0x03, 0x5d, 0x00, 0x00, 0x20, 0x01, 0x00, 0x01, 0x03,
	    0x01, 0x00, 0x46, 0xf8, 0x3b, 0x22, 0x31, 0xc2, 0x08, 0xc0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	assert_int_equal(codec_decode(codec, packed, sizeof(packed), -1, &out), 0);
	assert_int_equal(out.count, 1100);
	assert_int_equal(out.values_count, 2);
	for (int64_t i = 0; i < 1100; i++) {
		assert_int_equal(out.times[i],
				 INT64_C(1767225600000000000) + i * 1000 - i % 4 * 5000);
		assert_int_equal(out.nodes[i], i % 5 * 300 + 7);
		assert_int_equal(out.contexts[i], i / 100 % 3);
		assert_int_equal(out.counts[i], i % 2 + 1);
		assert_int_equal(out.values[0][i], (i % 2 + 1) * 10);
		assert_int_equal(out.values[1][i], -(i % 3));
	}
	codec_free(codec);
}

/* Short and long numbers side by side, at every place of a run; times and contexts only when they
 * are asked for. */
static void parts_are_read_alone(void **state)
{
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec_columns out CLEANUP(codec_columns_release) = {0};
	struct codec *codec;
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
	size_t len;
	char *copy CLEANUP(cleanup_free) =
	    encoded(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_DENSE, &len);

	for (unsigned parts = 0; parts < 4; parts++) {
		assert_int_equal(codec_columns_reserve(&out, count, 3), 0);
		memset(out.times, 0x55, count * sizeof(*out.times));
		memset(out.contexts, 0x55, count * sizeof(*out.contexts));
		assert_int_equal(codec_decode_parts(codec, copy, len, parts, -1, &out), 0);
		assert_memory_equal(out.nodes, in.nodes, count * sizeof(*in.nodes));
		assert_memory_equal(out.counts, in.counts, count * sizeof(*in.counts));
		assert_memory_equal(out.values[1], in.values[1], count * sizeof(*in.values[1]));
		assert_int_equal(out.times[7] == in.times[7], parts & CODEC_TIMES ? 1 : 0);
		assert_int_equal(out.contexts[7] == in.contexts[7], parts & CODEC_CONTEXTS ? 1 : 0);
		if (parts & CODEC_TIMES)
			assert_memory_equal(out.times, in.times, count * sizeof(*in.times));
		if (parts & CODEC_CONTEXTS)
			assert_memory_equal(out.contexts, in.contexts,
					    count * sizeof(*in.contexts));
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
	struct str raw, again;
	size_t refused = 0;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	fill(&in, 200);
	size_t len;
	char *copy CLEANUP(cleanup_free) =
	    encoded(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_QUICK, &len);

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
	assert_int_equal(
	    codec_encode(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_DENSE, &packed), 0);
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

/* Who knows what is named and where gets the same bytes. */
static void known_places_change_nothing(void **state)
{
	static const uint32_t names[] = {900, 7, 100000}, places[] = {0, 1, 0, 2, 2, 1, 0};
	struct codec_columns in CLEANUP(codec_columns_release) = {0};
	struct codec *codec;
	size_t met_len, known_len;

	(void)state;
	assert_int_equal(codec_new(&codec), 0);
	fill(&in, 7);
	for (size_t i = 0; i < 7; i++)
		in.nodes[i] = names[places[i]];
	char *met CLEANUP(cleanup_free) =
	    encoded(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_QUICK, &met_len);

	in.names = names;
	in.places = places;
	in.names_count = 3;
	char *known CLEANUP(cleanup_free) =
	    encoded(codec, &in, CODEC_TIMES | CODEC_CONTEXTS, CODEC_QUICK, &known_len);

	assert_int_equal(met_len, known_len);
	assert_memory_equal(met, known, known_len);
	codec_free(codec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(known_places_change_nothing),
	    cmocka_unit_test(what_goes_in_comes_out),
	    cmocka_unit_test(one_column_is_read_alone),
	    cmocka_unit_test(parts_are_read_alone),
	    cmocka_unit_test(damage_is_refused_or_decodes),
	    cmocka_unit_test(damage_to_columns_apart_is_refused),
	    cmocka_unit_test(a_block_of_a_former_release_is_read),
	    cmocka_unit_test(windows_in_a_row_come_back),
	    cmocka_unit_test(frames_in_a_row_are_unpacked_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
