/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file of the store gives back: blocks and dictionary segments.  The first byte says what the
 * rest is: 'b' a block and 'd' segments (each behind two bytes of length) as they are behind zstd; 'z'
 * a block as it stands in the file.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "storage/codec.h"
#include "storage/dict.h"

/* What was read is what is read again of what is written of it. */
static void block_again(struct codec *codec, const struct codec_columns *columns, unsigned parts)
{
	struct codec_columns again CLEANUP(codec_columns_release) = {0};
	char *copy CLEANUP(cleanup_free) = NULL;
	struct str packed;

	FUZZ_CHECK(!codec_encode(codec, columns, parts, CODEC_QUICK, &packed));
	copy = malloc(packed.len + 1);
	FUZZ_CHECK(copy != NULL);
	memcpy(copy, packed.ptr, packed.len);
	FUZZ_CHECK(!codec_decode(codec, copy, packed.len, -1, &again));
	FUZZ_CHECK(again.count == columns->count && again.values_count == columns->values_count);
	for (size_t i = 0; i < columns->count; i++) {
		FUZZ_CHECK(again.nodes[i] == columns->nodes[i] && again.counts[i] == columns->counts[i]);
		FUZZ_CHECK(!(parts & CODEC_TIMES) || again.times[i] == columns->times[i]);
		FUZZ_CHECK(!(parts & CODEC_CONTEXTS) || again.contexts[i] == columns->contexts[i]);
		for (size_t c = 0; c < columns->values_count; c++)
			FUZZ_CHECK(again.values[c][i] == columns->values[c][i]);
	}
}

static void block(struct codec *codec, const uint8_t *bytes, size_t len, bool packed)
{
	struct codec_columns columns CLEANUP(codec_columns_release) = {0};
	struct str in = {(const char *)bytes, len};
	char *copy CLEANUP(cleanup_free) = NULL;

	if (!packed) {
		FUZZ_CHECK(!codec_pack(codec, bytes, len, CODEC_QUICK, &in));
		copy = malloc(in.len + 1);
		FUZZ_CHECK(copy != NULL);
		memcpy(copy, in.ptr, in.len);
		in.ptr = copy;
	}
	for (int column = -1; column < 2; column++) {
		if (codec_decode(codec, in.ptr, in.len, column, &columns))
			continue;
		FUZZ_CHECK(columns.count <= columns.capacity || !columns.count);
		FUZZ_CHECK(columns.values_count <= PROFILE_COLUMNS_MAX);
		/* The parts stand third, behind two numbers that are seldom longer than a byte. */
		if (!packed && column < 0 && columns.count && len > 2 && bytes[0] < 128 && bytes[1] < 128)
			block_again(codec, &columns, bytes[2] & (CODEC_TIMES | CODEC_CONTEXTS));
	}
}

/* Whatever was taken in: every number names something, and it can be written and read again. */
static void dictionary(const uint8_t *bytes, size_t len)
{
	struct buf again CLEANUP(buf_release);
	struct dict_pieces pieces;
	struct dict d, e;
	int rc = 0;

	buf_init(&again, CODEC_RAW_MAX);
	FUZZ_CHECK(!dict_init(&d, true) && !dict_init(&e, false));
	while (!rc && len >= 2) {
		size_t n = MIN((size_t)bytes[0] | (size_t)bytes[1] << 8, len - 2);

		rc = dict_decode(&d, (struct str){(const char *)bytes + 2, n});
		bytes += 2 + n;
		len -= 2 + n;
	}
	for (size_t i = 1; i < d.t.nodes_count; i++)
		FUZZ_CHECK(d.t.nodes[i].parent < i && d.t.nodes[i].frame < d.t.frames_count);
	for (size_t i = 0; i < d.t.frames_count; i++)
		FUZZ_CHECK(d.t.frames[i].module < d.t.modules_count &&
			   d.t.frames[i].function < d.t.strings_count);
	if (!rc) {
		dict_unwrite(&d);
		FUZZ_CHECK(!dict_encode(&d, &again, &pieces));
		FUZZ_CHECK(!dict_decode(&e, (struct str){again.data, again.len}));
		FUZZ_CHECK(e.t.nodes_count == d.t.nodes_count);
		FUZZ_CHECK(!memcmp(e.t.node_hashes, d.t.node_hashes,
				   d.t.nodes_count * sizeof(*d.t.node_hashes)));
	}
	dict_release(&d);
	dict_release(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct codec *codec;

	if (!len)
		return 0;
	FUZZ_CHECK(!codec_new(&codec));
	if (bytes[0] == 'd')
		dictionary(bytes + 1, len - 1);
	else
		block(codec, bytes + 1, len - 1, bytes[0] == 'z');
	codec_free(codec);
	return 0;
}
