/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/codec.h - columns to bytes and back.  Private to storage/.
 *
 * A block, before zstd (docs/formats/storage.md):
 *
 *	varint  records, value columns, parts (enum codec_part)
 *	varint  length of each column that follows, in this order
 *	bytes   times     zigzag first, unit, zigzag deltas in units   (CODEC_TIMES)
 *	bytes   nodes     zigzag deltas; with contexts: how many differ, these as zigzag deltas
 *			  with the most frequent first, and for each record its place among them
 *	bytes   contexts  zigzag deltas                                (CODEC_CONTEXTS)
 *	bytes   counts    varints
 *	bytes   values    unit, zigzag in units; the unit alone when each value is unit x count;
 *			  for each value column
 *
 * Long blocks that are packed densely have their columns apart: the frame ends with two sizes for
 * each column, and behind it stand two frames for each, the first bytes of all its varints and the
 * others; an empty one is left out.  Contexts are written as nodes are, then.  With CODEC_LISTS,
 * too, as all are since schema 4 of L0, the different nodes and contexts are a column of their own
 * before that of their places, and times have a 1 behind the unit when they are in order and their
 * deltas without a sign.  With times and lists, but without contexts, the places of nodes are steps
 * from the record before, or from 0 where the time is another; a 1 before them says that none has a
 * sign.
 *
 * A unit is the greatest number that divides the whole column.
 *
 * A codec holds the zstd contexts and scratch memory of one thread.
 */
#ifndef STORAGE_CODEC_H
#define STORAGE_CODEC_H

#include "base/buf.h"
#include "base/err.h"
#include "profile/type.h"

#define CODEC_RECORDS_MAX ((size_t)1 << 16) /* of an L0 block; a longer run is split */
#define CODEC_RAW_MAX ((size_t)256 << 20)   /* of any packed thing; more is damage */

enum codec_part {
	CODEC_TIMES = 1,
	CODEC_CONTEXTS = 2,
	CODEC_APART = 4, /* the codec's choice, as is the next */
	CODEC_LISTS = 8,
	CODEC_FOLDED = 16, /* some of its records stand at [other], for want of room */
};

/* Of varints: append all the first bytes, or all the others. */
void codec_put_plane(struct buf *to, const void *varints, size_t len, bool first);

/* How hard to try: what is written once an hour and read for weeks deserves more.  NUMBERS: records
 * in time order repeat little but by chance, and such a match costs more than its letters.  SOON:
 * what is packed again within the hour, as a dictionary's segments are.  OPEN: both; only what
 * repeats at length is left out, and no letters are counted. */
enum codec_effort {
	CODEC_OPEN = -1,
	CODEC_NUMBERS = 1,
	CODEC_SOON = 2,
	CODEC_QUICK = 3,
	CODEC_DENSE = 12
};

/* Columns of one block; the codec grows and owns the arrays. */
struct codec_columns {
	size_t count, values_count, capacity;
	int64_t *times;
	uint32_t *nodes, *contexts;
	uint64_t *counts;
	int64_t *values[PROFILE_COLUMNS_MAX];
	size_t nodes_end, contexts_end; /* of what was decoded: every number is below */
	bool folded;                    /* likewise: CODEC_FOLDED */
	/* To be encoded with contexts and not densely, instead of `nodes`: the different ones in
	 * the order in which they are met, and which of them each record names.  Borrowed, or
	 * NULL. */
	const uint32_t *names, *places;
	size_t names_count;
};

struct codec;

MUST_CHECK int codec_new(struct codec **ret_codec);
void codec_free(struct codec *codec);

/* Room for `count` records of `values_count` columns. Returns 0 or -ENOMEM. */
MUST_CHECK int codec_columns_reserve(struct codec_columns *columns, size_t count,
				     size_t values_count);
void codec_columns_release(struct codec_columns *columns);

/* Compress; the result is the codec's until its next call. Returns 0 or -ENOMEM. */
MUST_CHECK int codec_pack(struct codec *codec, const void *raw, size_t len,
			  enum codec_effort effort, struct str *ret_packed);
/* Bytes of several kinds, a frame for each: up to `ends`, of which the last is the whole length.
 * Those behind the first `letters` are numbers, for which only CODEC_DENSE looks as hard. */
MUST_CHECK int codec_pack_pieces(struct codec *codec, const void *raw, const size_t *ends,
				 size_t count, size_t letters, enum codec_effort effort,
				 struct str *ret_packed);
/* Free the room that a table of megabytes left, which blocks do not need. */
void codec_forget(struct codec *codec);
/* All frames that are there, one behind the other. Returns 0, -EBADMSG (damaged) or -ENOMEM. */
MUST_CHECK int codec_unpack(struct codec *codec, const void *packed, size_t len,
			    struct str *ret_raw);

MUST_CHECK int codec_encode(struct codec *codec, const struct codec_columns *columns,
			    unsigned parts, enum codec_effort effort, struct str *ret_packed);

/* `column` is the one value column to read into values[column], or -1 for all. */
MUST_CHECK int codec_decode(struct codec *codec, const void *packed, size_t len, int column,
			    struct codec_columns *columns);
/* Likewise, with times and contexts only if `parts` has them. */
MUST_CHECK int codec_decode_parts(struct codec *codec, const void *packed, size_t len,
				  unsigned parts, int column, struct codec_columns *columns);

#endif
