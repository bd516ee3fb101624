/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/codec_block.h - what writing (codec_encode.c) and reading (codec_decode.c) of blocks
 * share with what is below both (codec.c).  Private to these.
 */
#ifndef STORAGE_CODEC_BLOCK_H
#define STORAGE_CODEC_BLOCK_H

#include <zstd.h>

#include "base/slots.h"
#include "storage/codec.h"

enum { TIMES, NODE_LIST, NODES, CONTEXT_LIST, CONTEXTS, COUNTS, COLUMNS_FIXED };

#define PLANES 2 /* of a column that stands apart */

struct codec {
	ZSTD_CCtx *packer;
	ZSTD_DCtx *unpacker;
	enum codec_effort effort; /* what the packer is set to; 0: nothing yet */
	struct buf raw, columns, packed, plane, other, apart;
	/* What a short block names, in the order in which it was met. */
	struct slots met;
	uint32_t *names;
	size_t names_capacity;
	uint64_t secret[2];
};

/* One frame, and a byte behind it that can be read, 0.  Returns 0, -EBADMSG or -ENOMEM. */
MUST_CHECK int codec_unpack_frame(struct codec *codec, struct buf *to, const void *packed,
				  size_t len, struct str *ret_raw);

/* Whether blocks with these parts have such a column; else it has no length in the head. */
static inline bool codec_has_column(unsigned parts, size_t column)
{
	return parts & CODEC_LISTS || (column != NODE_LIST && column != CONTEXT_LIST);
}

#endif
