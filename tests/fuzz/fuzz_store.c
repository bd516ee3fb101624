/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file of the store gives back: blocks and dictionary segments.  The first byte says what
 * the rest is: 'b' a block and 'd' segments (each behind two bytes of length) as they are behind
 * zstd; 'a' a block with its columns apart, its head without the sizes and then the planes, each
 * behind two bytes of length; 'z' a block as it stands in the file.
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
		FUZZ_CHECK(again.nodes[i] == columns->nodes[i] &&
			   again.counts[i] == columns->counts[i]);
		FUZZ_CHECK(!(parts & CODEC_TIMES) || again.times[i] == columns->times[i]);
		FUZZ_CHECK(!(parts & CODEC_CONTEXTS) || again.contexts[i] == columns->contexts[i]);
		for (size_t c = 0; c < columns->values_count; c++)
			FUZZ_CHECK(again.values[c][i] == columns->values[c][i]);
	}
}

/* `raw`: what the head was made of, NULL if nobody knows.  Its parts stand third, behind two
 * numbers that are seldom longer than a byte. */
static void block(struct codec *codec, struct str in, const uint8_t *raw, size_t raw_len)
{
	struct codec_columns columns CLEANUP(codec_columns_release) = {0};
	bool told = raw && raw_len > 2 && raw[0] < 128 && raw[1] < 128;

	for (int column = -1; column < 2; column++) {
		if (codec_decode(codec, in.ptr, in.len, column, &columns))
			continue;
		FUZZ_CHECK(columns.count <= columns.capacity || !columns.count);
		FUZZ_CHECK(columns.values_count <= PROFILE_COLUMNS_MAX);
		for (size_t i = 0; i < columns.count; i++)
			FUZZ_CHECK(columns.nodes[i] < columns.nodes_end);
		if (told && column < 0 && columns.count)
			block_again(codec, &columns, raw[2] & (CODEC_TIMES | CODEC_CONTEXTS));
	}
	if (!codec_decode_parts(codec, in.ptr, in.len, 0, 0, &columns))
		FUZZ_CHECK(columns.count <= columns.capacity || !columns.count);
}

static void pack_to(struct codec *codec, const void *bytes, size_t len, struct buf *to,
		    struct buf *sizes)
{
	struct str packed = {NULL, 0};

	if (len || !sizes)
		FUZZ_CHECK(!codec_pack(codec, bytes, len, CODEC_QUICK, &packed));
	FUZZ_CHECK(!packed.len || !buf_add(to, packed.ptr, packed.len));
	FUZZ_CHECK(!sizes || !buf_add_varint(sizes, packed.len));
}

/* The next bytes behind their length. */
static struct str piece(const uint8_t **bytes, size_t *len)
{
	size_t n = MIN((size_t)(*bytes)[0] | (size_t)(*bytes)[1] << 8, *len - 2);
	struct str s = {(const char *)*bytes + 2, n};

	*bytes += 2 + n;
	*len -= 2 + n;
	return s;
}

static void block_apart(struct codec *codec, const uint8_t *bytes, size_t len)
{
	struct buf raw CLEANUP(buf_release), planes CLEANUP(buf_release),
	    packed CLEANUP(buf_release);

	buf_init(&raw, BUF_UNLIMITED);
	buf_init(&planes, BUF_UNLIMITED);
	buf_init(&packed, BUF_UNLIMITED);
	struct str head = len < 2 ? (struct str){NULL, 0} : piece(&bytes, &len);

	FUZZ_CHECK(!head.len || !buf_add(&raw, head.ptr, head.len));
	while (len >= 2) {
		struct str plane = piece(&bytes, &len);

		pack_to(codec, plane.ptr, plane.len, &planes, &raw);
	}
	pack_to(codec, raw.data, raw.len, &packed, NULL);
	FUZZ_CHECK(!planes.len || !buf_add(&packed, planes.data, planes.len));
	block(codec, (struct str){packed.data, packed.len}, (const uint8_t *)head.ptr, head.len);
}

static void block_whole(struct codec *codec, const uint8_t *bytes, size_t len)
{
	struct buf packed CLEANUP(buf_release);

	buf_init(&packed, BUF_UNLIMITED);
	pack_to(codec, bytes, len, &packed, NULL);
	block(codec, (struct str){packed.data, packed.len}, bytes, len);
}

static int take_segments(struct dict *d, const uint8_t *bytes, size_t len)
{
	int rc = 0;

	while (!rc && len >= 2)
		rc = dict_decode(d, piece(&bytes, &len));
	return rc;
}

/* A reader, which has no indexes, knows the same nodes. */
static void dictionary_of_reader(struct dict *d, const uint8_t *bytes, size_t len)
{
	struct dict l;

	FUZZ_CHECK(!dict_init(&l, false));
	FUZZ_CHECK(!take_segments(&l, bytes, len));
	FUZZ_CHECK(l.t.nodes_count == d->t.nodes_count && dict_hashes(&l));
	FUZZ_CHECK(
	    !memcmp(dict_hashes(&l), dict_hashes(d), d->t.nodes_count * sizeof(struct hash128)));
	dict_release(&l);
}

/* Whatever was taken in: every number names something, and it can be written and read again. */
static void dictionary(struct codec *codec, const uint8_t *bytes, size_t len)
{
	struct buf again CLEANUP(buf_release);
	struct dict_pieces pieces;
	struct str packed, raw;
	struct dict d, e;

	buf_init(&again, CODEC_RAW_MAX);
	FUZZ_CHECK(!dict_init(&d, true) && !dict_init(&e, false));
	int rc = take_segments(&d, bytes, len);

	for (uint32_t i = 1; i < d.t.nodes_count; i++)
		FUZZ_CHECK(dict_node(&d.t, i).parent < i &&
			   dict_node(&d.t, i).frame < d.t.frames_count);
	for (size_t i = 0; i < d.t.frames_count; i++)
		FUZZ_CHECK(d.t.frames[i].module < d.t.modules_count &&
			   d.t.frames[i].function < d.t.strings_count);
	if (!rc) {
		dict_unwrite(&d);
		FUZZ_CHECK(!dict_encode(&d, &again, &pieces));
		FUZZ_CHECK(!codec_pack_pieces(codec, again.data, pieces.ends, pieces.count,
					      DICT_LETTERS, CODEC_QUICK, &packed));
		FUZZ_CHECK(!codec_unpack(codec, packed.ptr, packed.len, &raw));
		FUZZ_CHECK(raw.len == again.len && !memcmp(raw.ptr, again.data, raw.len));
		FUZZ_CHECK(!dict_decode(&e, (struct str){again.data, again.len}));
		FUZZ_CHECK(e.t.nodes_count == d.t.nodes_count);
		FUZZ_CHECK(!memcmp(dict_hashes(&e), dict_hashes(&d),
				   d.t.nodes_count * sizeof(struct hash128)));
		dictionary_of_reader(&d, bytes, len);
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
		dictionary(codec, bytes + 1, len - 1);
	else if (bytes[0] == 'a')
		block_apart(codec, bytes + 1, len - 1);
	else if (bytes[0] == 'z')
		block(codec, (struct str){(const char *)bytes + 1, len - 1}, NULL, 0);
	else
		block_whole(codec, bytes + 1, len - 1);
	codec_free(codec);
	return 0;
}
