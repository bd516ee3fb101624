/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/codec_block.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"

int codec_new(struct codec **ret_codec)
{
	struct codec *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->packer = ZSTD_createCCtx();
	c->unpacker = ZSTD_createDCtx();
	buf_init(&c->raw, CODEC_RAW_MAX);
	buf_init(&c->columns, CODEC_RAW_MAX);
	buf_init(&c->packed, BUF_UNLIMITED);
	buf_init(&c->plane, CODEC_RAW_MAX);
	buf_init(&c->other, CODEC_RAW_MAX);
	buf_init(&c->apart, BUF_UNLIMITED);
	hash_secret(c->secret);
	if (!c->packer || !c->unpacker) {
		codec_free(c);
		return -ENOMEM;
	}
	*ret_codec = c;
	return 0;
}

void codec_free(struct codec *c)
{
	if (!c)
		return;
	(void)ZSTD_freeCCtx(c->packer);
	(void)ZSTD_freeDCtx(c->unpacker);
	buf_release(&c->raw);
	buf_release(&c->columns);
	buf_release(&c->packed);
	buf_release(&c->plane);
	buf_release(&c->other);
	slots_release(&c->met);
	free(c->names);
	buf_release(&c->apart);
	free(c);
}

static int reserve_one(void *array, size_t item_bytes, size_t count)
{
	void *old, *moved;

	memcpy(&old, array, sizeof(old));
	moved = realloc(old, count * item_bytes);
	if (!moved)
		return -ENOMEM;
	memcpy(array, &moved, sizeof(moved));
	return 0;
}

int codec_columns_reserve(struct codec_columns *c, size_t count, size_t values_count)
{
	size_t room = count > c->capacity ? MAX(count, c->capacity * 2) : c->capacity;
	int rc = 0;

	if (room > c->capacity) {
		rc |= reserve_one(&c->times, sizeof(*c->times), room);
		rc |= reserve_one(&c->nodes, sizeof(*c->nodes), room);
		rc |= reserve_one(&c->contexts, sizeof(*c->contexts), room);
		rc |= reserve_one(&c->counts, sizeof(*c->counts), room);
	}
	for (size_t i = 0; i < PROFILE_COLUMNS_MAX; i++)
		if (room && (c->values[i] ? room > c->capacity : i < values_count))
			rc |= reserve_one(&c->values[i], sizeof(*c->values[i]), room);
	if (rc)
		return -ENOMEM;
	c->capacity = room;
	return 0;
}

void codec_columns_release(struct codec_columns *c)
{
	free(c->times);
	free(c->nodes);
	free(c->contexts);
	free(c->counts);
	for (size_t i = 0; i < PROFILE_COLUMNS_MAX; i++)
		free(c->values[i]);
	memset(c, 0, sizeof(*c));
}

static void set(struct codec *c, ZSTD_cParameter parameter, int value)
{
	(void)ZSTD_CCtx_setParameter(c->packer, parameter, value);
}

/* 0: as zstd likes. */
static void set_effort(struct codec *c, enum codec_effort effort)
{
	bool numbers = effort == CODEC_NUMBERS || effort == CODEC_OPEN;

	if (c->effort == effort)
		return;
	c->effort = effort;
	set(c, ZSTD_c_compressionLevel, (int)effort);
	/* The checksum: SQLite has none, and a flipped bit would decode to something else. */
	set(c, ZSTD_c_checksumFlag, 1);
	/* Its tables for this effort would be 24 MB for a dictionary, and find no more. */
	set(c, ZSTD_c_hashLog, effort == CODEC_DENSE ? 17 : numbers ? 6 : 0);
	set(c, ZSTD_c_chainLog, effort == CODEC_DENSE ? 17 : 0);
	set(c, ZSTD_c_minMatch, numbers ? 7 : 0);
}

int codec_pack(struct codec *c, const void *raw, size_t len, enum codec_effort effort,
	       struct str *ret_packed)
{
	size_t bound = ZSTD_compressBound(len);

	buf_clear(&c->packed);
	char *to = buf_reserve(&c->packed, bound);

	if (!to)
		return -ENOMEM;
	set_effort(c, effort);
	size_t n = ZSTD_compress2(c->packer, to, bound, raw, len);

	if (ZSTD_isError(n))
		return -ENOMEM;
	*ret_packed = (struct str){to, n};
	return 0;
}

int codec_pack_pieces(struct codec *c, const void *raw, const size_t *ends, size_t count,
		      size_t letters, enum codec_effort effort, struct str *ret_packed)
{
	size_t at = 0;

	if (count == 1)
		return codec_pack(c, raw, ends[0], effort, ret_packed);
	buf_clear(&c->apart);
	for (size_t i = 0; i < count; i++) {
		struct str packed;

		if (codec_pack(c, (const char *)raw + at, ends[i] - at,
			       i < letters || effort == CODEC_DENSE ? effort : CODEC_NUMBERS,
			       &packed) ||
		    buf_add(&c->apart, packed.ptr, packed.len))
			return -ENOMEM;
		at = ends[i];
	}
	*ret_packed = (struct str){c->apart.data, c->apart.len};
	return 0;
}

/* Append what a frame holds; one byte behind it can be read, 0. */
static int unpack_frame(struct codec *c, struct buf *to, const void *packed, size_t len)
{
	unsigned long long size = ZSTD_getFrameContentSize(packed, len);

	/* The size stands in every frame that we write; without it there is nothing to trust. */
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ||
	    size > CODEC_RAW_MAX - to->len)
		return -EBADMSG;
	char *room = buf_reserve(to, (size_t)size + 1);

	if (!room)
		return -ENOMEM;
	size_t n = ZSTD_decompressDCtx(c->unpacker, room, (size_t)size, packed, len);

	if (ZSTD_isError(n) || n != size)
		return -EBADMSG;
	room[n] = 0;
	to->len += n;
	return 0;
}

int codec_unpack_frame(struct codec *c, struct buf *to, const void *packed, size_t len,
		       struct str *ret_raw)
{
	buf_clear(to);
	int rc = unpack_frame(c, to, packed, len);

	*ret_raw = (struct str){to->data, to->len};
	return rc;
}

#define BUF_KEPT ((size_t)256 << 10)

static void forget(struct buf *buf)
{
	size_t max = buf->max;

	if (buf->capacity <= BUF_KEPT)
		return;
	buf_release(buf);
	buf_init(buf, max);
}

void codec_forget(struct codec *c)
{
	forget(&c->raw);
	forget(&c->packed);
	forget(&c->apart);
}

/* What all frames say that they hold. */
static size_t frames_size(const char *at, size_t len)
{
	size_t sum = 0;

	while (len) {
		size_t frame = ZSTD_findFrameCompressedSize(at, len);
		unsigned long long size = ZSTD_getFrameContentSize(at, len);

		if (ZSTD_isError(frame) ||
		    size > CODEC_RAW_MAX - sum) /* an error is a large number */
			break;
		sum += (size_t)size;
		at += frame;
		len -= frame;
	}
	return sum;
}

int codec_unpack(struct codec *c, const void *packed, size_t len, struct str *ret_raw)
{
	const char *at = packed;
	int rc;

	buf_clear(&c->raw);
	/* Growing from frame to frame would touch twice as much. */
	if (!buf_reserve(&c->raw, MIN(frames_size(packed, len) + 1, CODEC_RAW_MAX)))
		return -ENOMEM;
	do {
		size_t frame = ZSTD_findFrameCompressedSize(at, len);

		rc = ZSTD_isError(frame) ? -EBADMSG : unpack_frame(c, &c->raw, at, frame);
		at += rc ? 0 : frame;
		len -= rc ? 0 : frame;
	} while (!rc && len);
	*ret_raw = (struct str){c->raw.data, c->raw.len};
	return rc;
}
