/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/codec.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/varint.h"

#define LEVEL 3
#define COLUMNS_FIXED 4 /* times, nodes, contexts, counts */

struct codec {
	ZSTD_CCtx *packer;
	ZSTD_DCtx *unpacker;
	struct buf raw, columns, packed;
};

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

int codec_pack(struct codec *c, const void *raw, size_t len, struct str *ret_packed)
{
	size_t bound = ZSTD_compressBound(len);

	buf_clear(&c->packed);
	char *to = buf_reserve(&c->packed, bound);

	if (!to)
		return -ENOMEM;
	size_t n = ZSTD_compressCCtx(c->packer, to, bound, raw, len, LEVEL);

	if (ZSTD_isError(n))
		return -ENOMEM;
	*ret_packed = (struct str){to, n};
	return 0;
}

int codec_unpack(struct codec *c, const void *packed, size_t len, struct str *ret_raw)
{
	unsigned long long size = ZSTD_getFrameContentSize(packed, len);

	/* The size stands in every frame that we write; without it there is nothing to trust. */
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ||
	    size > CODEC_RAW_MAX)
		return -EBADMSG;
	buf_clear(&c->raw);
	char *to = buf_reserve(&c->raw, (size_t)size + 1);

	if (!to)
		return -ENOMEM;
	size_t n = ZSTD_decompressDCtx(c->unpacker, to, (size_t)size, packed, len);

	if (ZSTD_isError(n) || n != size)
		return -EBADMSG;
	*ret_raw = (struct str){to, n};
	return 0;
}

static size_t put_deltas(struct buf *to, const uint32_t *items, size_t count)
{
	size_t before = to->len;
	int64_t last = 0;

	for (size_t i = 0; i < count; i++) {
		(void)buf_add_varint(to, zigzag_put((int64_t)items[i] - last));
		last = items[i];
	}
	return to->len - before;
}

static size_t put_times(struct buf *to, const int64_t *times, size_t count)
{
	size_t before = to->len;
	int64_t last = 0;

	for (size_t i = 0; i < count; i++) {
		(void)buf_add_varint(to, zigzag_put(times[i] - last));
		last = times[i];
	}
	return to->len - before;
}

int codec_encode(struct codec *c, const struct codec_columns *columns, unsigned parts,
		 struct str *ret_packed)
{
	size_t lengths[COLUMNS_FIXED + PROFILE_COLUMNS_MAX], before;
	struct buf *body = &c->columns;

	buf_clear(body);
	lengths[0] = parts & CODEC_TIMES ? put_times(body, columns->times, columns->count) : 0;
	lengths[1] = put_deltas(body, columns->nodes, columns->count);
	lengths[2] =
	    parts & CODEC_CONTEXTS ? put_deltas(body, columns->contexts, columns->count) : 0;
	before = body->len;
	for (size_t i = 0; i < columns->count; i++)
		(void)buf_add_varint(body, columns->counts[i]);
	lengths[3] = body->len - before;
	for (size_t v = 0; v < columns->values_count; v++) {
		before = body->len;
		for (size_t i = 0; i < columns->count; i++)
			(void)buf_add_varint(body, zigzag_put(columns->values[v][i]));
		lengths[COLUMNS_FIXED + v] = body->len - before;
	}
	buf_clear(&c->raw);
	(void)buf_add_varint(&c->raw, columns->count);
	(void)buf_add_varint(&c->raw, columns->values_count);
	(void)buf_add_varint(&c->raw, parts);
	for (size_t i = 0; i < COLUMNS_FIXED + columns->values_count; i++)
		(void)buf_add_varint(&c->raw, lengths[i]);
	(void)buf_add(&c->raw, body->data, body->len);
	if (body->failed || c->raw.failed)
		return -ENOMEM;
	return codec_pack(c, c->raw.data, c->raw.len, ret_packed);
}

static bool get_deltas(const uint8_t *p, size_t len, uint32_t *to, size_t count)
{
	const uint8_t *end = p + len;
	int64_t last = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t value;

		p = varint_get(p, end, &value);
		if (!p || __builtin_add_overflow(last, zigzag_get(value), &last) || last < 0 ||
		    last > UINT32_MAX)
			return false;
		to[i] = (uint32_t)last;
	}
	return p == end;
}

static bool get_times(const uint8_t *p, size_t len, int64_t *to, size_t count)
{
	const uint8_t *end = p + len;
	int64_t last = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t value;

		p = varint_get(p, end, &value);
		if (!p || __builtin_add_overflow(last, zigzag_get(value), &last))
			return false;
		to[i] = last;
	}
	return p == end;
}

static bool get_counts(const uint8_t *p, size_t len, uint64_t *to, size_t count)
{
	const uint8_t *end = p + len;

	for (size_t i = 0; p && i < count; i++)
		p = varint_get(p, end, &to[i]);
	return p == end;
}

static bool get_values(const uint8_t *p, size_t len, int64_t *to, size_t count)
{
	const uint8_t *end = p + len;
	uint64_t value = 0;

	for (size_t i = 0; i < count; i++) {
		p = varint_get(p, end, &value);
		if (!p)
			return false;
		to[i] = zigzag_get(value);
	}
	return p == end;
}

/* Read the head of a block; the columns begin at the place returned, or NULL. */
static const uint8_t *get_head(const struct str *raw, uint64_t head[3], uint64_t *lengths)
{
	const uint8_t *p = (const uint8_t *)raw->ptr, *end = p + raw->len;
	uint64_t sum = 0;

	for (size_t i = 0; p && i < 3; i++)
		p = varint_get(p, end, &head[i]);
	/* A record takes at least a byte of node and one of count. */
	if (!p || head[1] > PROFILE_COLUMNS_MAX || head[0] > raw->len)
		return NULL;
	for (size_t i = 0; p && i < COLUMNS_FIXED + head[1]; i++) {
		p = varint_get(p, end, &lengths[i]);
		if (!p || lengths[i] > raw->len)
			return NULL;
		sum += lengths[i];
	}
	return p && sum == (uint64_t)(end - p) ? p : NULL;
}

int codec_decode(struct codec *c, const void *packed, size_t len, int column,
		 struct codec_columns *to)
{
	uint64_t head[3], lengths[COLUMNS_FIXED + PROFILE_COLUMNS_MAX];
	struct str raw;
	int rc = codec_unpack(c, packed, len, &raw);

	if (rc)
		return rc;
	const uint8_t *p = get_head(&raw, head, lengths);

	if (!p)
		return -EBADMSG;
	to->count = (size_t)head[0];
	to->values_count = (size_t)head[1];
	rc = codec_columns_reserve(to, to->count, to->values_count);
	if (rc)
		return rc;
	bool ok = !(head[2] & CODEC_TIMES) || get_times(p, lengths[0], to->times, to->count);

	p += lengths[0];
	ok = ok && get_deltas(p, lengths[1], to->nodes, to->count);
	p += lengths[1];
	ok = ok &&
	     (!(head[2] & CODEC_CONTEXTS) || get_deltas(p, lengths[2], to->contexts, to->count));
	p += lengths[2];
	ok = ok && get_counts(p, lengths[3], to->counts, to->count);
	p += lengths[3];
	for (size_t v = 0; ok && v < to->values_count; v++) {
		if (column < 0 || (size_t)column == v)
			ok = get_values(p, lengths[COLUMNS_FIXED + v], to->values[v], to->count);
		p += lengths[COLUMNS_FIXED + v];
	}
	return ok ? 0 : -EBADMSG;
}
