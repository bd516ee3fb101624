/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/codec.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/sort.h"
#include "base/varint.h"

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

int codec_pack(struct codec *c, const void *raw, size_t len, enum codec_effort effort,
	       struct str *ret_packed)
{
	size_t bound = ZSTD_compressBound(len);

	buf_clear(&c->packed);
	char *to = buf_reserve(&c->packed, bound);

	if (!to)
		return -ENOMEM;
	/* The checksum: SQLite has none, and a flipped bit would decode to something else. */
	(void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_compressionLevel, (int)effort);
	(void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_checksumFlag, 1);
	size_t n = ZSTD_compress2(c->packer, to, bound, raw, len);

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

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static size_t put_times(struct buf *to, const int64_t *times, size_t count)
{
	size_t before = to->len;
	uint64_t unit = 0;

	if (!count)
		return 0;
	for (size_t i = 1; i < count && unit != 1; i++)
		unit = divisor(unit, magnitude(times[i] - times[i - 1]));
	unit = unit ? unit : 1;
	(void)buf_add_varint(to, zigzag_put(times[0]));
	(void)buf_add_varint(to, unit);
	for (size_t i = 1; i < count; i++)
		(void)buf_add_varint(to, zigzag_put((times[i] - times[i - 1]) / (int64_t)unit));
	return to->len - before;
}

/* Whether each value is `unit` for each sample behind it, as the time of CPU samples is. */
static bool follows_counts(const int64_t *values, const uint64_t *counts, size_t count,
			   uint64_t unit)
{
	for (size_t i = 0; i < count; i++) {
		int64_t product;

		if (__builtin_mul_overflow(unit, counts[i], &product) || product != values[i])
			return false;
	}
	return true;
}

static size_t put_values(struct buf *to, const int64_t *values, const uint64_t *counts,
			 size_t count)
{
	size_t before = to->len;
	uint64_t unit = 0;

	/* For a column that follows, the unit of the first record is that of all. */
	if (count && counts[0] && values[0] >= 0)
		unit = (uint64_t)values[0] / counts[0];
	if (follows_counts(values, counts, count, unit)) {
		(void)buf_add_varint(to, unit);
		return to->len - before;
	}
	unit = 0;
	for (size_t i = 0; i < count && unit != 1; i++)
		unit = divisor(unit, magnitude(values[i]));
	/* INT64_MIN alone: its own unit does not fit a signed number. */
	unit = unit && unit <= INT64_MAX ? unit : 1;
	(void)buf_add_varint(to, unit);
	for (size_t i = 0; i < count; i++)
		(void)buf_add_varint(to, zigzag_put(values[i] / (int64_t)unit));
	return to->len - before;
}

struct ranking {
	struct sort_item *items, *scratch, *different; /* different: key is the node, at how often */
	uint32_t *ranks;			       /* of the different ones */
	uint32_t *place;			       /* of each record among the different ones */
};

static void ranking_release(struct ranking *r)
{
	free(r->items);
	free(r->scratch);
	free(r->different);
	free(r->ranks);
	free(r->place);
}

static bool ranking_init(struct ranking *r, size_t count)
{
	r->items = malloc((count + 1) * sizeof(*r->items));
	r->scratch = malloc((count + 1) * sizeof(*r->scratch));
	r->different = malloc((count + 1) * sizeof(*r->different));
	r->ranks = malloc((count + 1) * sizeof(*r->ranks));
	r->place = malloc((count + 1) * sizeof(*r->place));
	return r->items && r->scratch && r->different && r->ranks && r->place;
}

/* The different nodes in order of their numbers; how many. */
static size_t find_different(struct ranking *r, const uint32_t *nodes, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		r->items[i] = (struct sort_item){nodes[i], (uint32_t)i};
	sort_items(r->items, r->scratch, count);
	for (size_t i = 0; i < count; i++) {
		if (!n || r->different[n - 1].key != r->items[i].key)
			r->different[n++] = (struct sort_item){r->items[i].key, 0};
		r->different[n - 1].at++;
		r->place[r->items[i].at] = (uint32_t)n - 1;
	}
	return n;
}

/* Records in the order of time name the same few stacks again and again: numbers that are small
 * where they are frequent take half of what deltas do. */
static size_t put_ranked(struct buf *to, const uint32_t *nodes, size_t count)
{
	struct ranking r CLEANUP(ranking_release) = {0};
	size_t before = to->len, n;
	int64_t last = 0;

	if (!ranking_init(&r, count)) {
		to->failed = -ENOMEM;
		return 0;
	}
	n = find_different(&r, nodes, count);
	/* The most frequent first; equally frequent ones stay in order. */
	for (size_t i = 0; i < n; i++)
		r.items[i] = (struct sort_item){UINT32_MAX - r.different[i].at, (uint32_t)i};
	sort_items(r.items, r.scratch, n);
	(void)buf_add_varint(to, n);
	for (size_t i = 0; i < n; i++) {
		int64_t node = (int64_t)r.different[r.items[i].at].key;

		r.ranks[r.items[i].at] = (uint32_t)i;
		(void)buf_add_varint(to, zigzag_put(node - last));
		last = node;
	}
	for (size_t i = 0; i < count; i++)
		(void)buf_add_varint(to, r.ranks[r.place[i]]);
	return to->len - before;
}

int codec_encode(struct codec *c, const struct codec_columns *columns, unsigned parts,
		 enum codec_effort effort, struct str *ret_packed)
{
	size_t lengths[COLUMNS_FIXED + PROFILE_COLUMNS_MAX], before;
	struct buf *body = &c->columns;

	buf_clear(body);
	lengths[0] = parts & CODEC_TIMES ? put_times(body, columns->times, columns->count) : 0;
	lengths[1] = parts & CODEC_CONTEXTS ? put_ranked(body, columns->nodes, columns->count)
					    : put_deltas(body, columns->nodes, columns->count);
	lengths[2] =
	    parts & CODEC_CONTEXTS ? put_deltas(body, columns->contexts, columns->count) : 0;
	before = body->len;
	for (size_t i = 0; i < columns->count; i++)
		(void)buf_add_varint(body, columns->counts[i]);
	lengths[3] = body->len - before;
	for (size_t v = 0; v < columns->values_count; v++)
		lengths[COLUMNS_FIXED + v] =
		    put_values(body, columns->values[v], columns->counts, columns->count);
	buf_clear(&c->raw);
	(void)buf_add_varint(&c->raw, columns->count);
	(void)buf_add_varint(&c->raw, columns->values_count);
	(void)buf_add_varint(&c->raw, parts);
	for (size_t i = 0; i < COLUMNS_FIXED + columns->values_count; i++)
		(void)buf_add_varint(&c->raw, lengths[i]);
	(void)buf_add(&c->raw, body->data, body->len);
	if (body->failed || c->raw.failed)
		return -ENOMEM;
	return codec_pack(c, c->raw.data, c->raw.len, effort, ret_packed);
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

static int get_ranked(const uint8_t *p, size_t len, uint32_t *to, size_t count)
{
	const uint8_t *end = p + len;
	uint64_t n, value;
	int64_t last = 0;

	p = varint_get(p, end, &n);
	if (!p || n > count)
		return -EBADMSG;
	uint32_t *nodes CLEANUP(cleanup_free) = malloc((size_t)(n + 1) * sizeof(*nodes));

	/* Not damage: a file would be put aside for it. */
	if (!nodes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		p = varint_get(p, end, &value);
		if (!p || __builtin_add_overflow(last, zigzag_get(value), &last) || last < 0 ||
		    last > UINT32_MAX)
			return -EBADMSG;
		nodes[i] = (uint32_t)last;
	}
	for (size_t i = 0; i < count; i++) {
		p = varint_get(p, end, &value);
		if (!p || value >= n)
			return -EBADMSG;
		to[i] = nodes[value];
	}
	return p == end ? 0 : -EBADMSG;
}

static bool get_times(const uint8_t *p, size_t len, int64_t *to, size_t count)
{
	const uint8_t *end = p + len;
	uint64_t value, unit;
	int64_t delta;

	if (!count)
		return !len;
	p = varint_get(p, end, &value);
	p = p ? varint_get(p, end, &unit) : NULL;
	if (!p || !unit || unit > INT64_MAX)
		return false;
	to[0] = zigzag_get(value);
	for (size_t i = 1; i < count; i++) {
		p = varint_get(p, end, &value);
		if (!p || __builtin_mul_overflow(zigzag_get(value), (int64_t)unit, &delta) ||
		    __builtin_add_overflow(to[i - 1], delta, &to[i]))
			return false;
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

static bool get_values(const uint8_t *p, size_t len, const uint64_t *counts, int64_t *to,
		       size_t count)
{
	const uint8_t *end = p + len;
	uint64_t value, unit;

	p = varint_get(p, end, &unit);
	if (!p || unit > INT64_MAX)
		return false;
	if (p == end) {
		for (size_t i = 0; i < count; i++)
			if (__builtin_mul_overflow(unit, counts[i], &to[i]))
				return false;
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		p = varint_get(p, end, &value);
		if (!p || __builtin_mul_overflow(zigzag_get(value), (int64_t)unit, &to[i]))
			return false;
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
	if (ok && head[2] & CODEC_CONTEXTS) {
		rc = get_ranked(p, lengths[1], to->nodes, to->count);
		if (rc)
			return rc;
	} else {
		ok = ok && get_deltas(p, lengths[1], to->nodes, to->count);
	}
	p += lengths[1];
	ok = ok &&
	     (!(head[2] & CODEC_CONTEXTS) || get_deltas(p, lengths[2], to->contexts, to->count));
	p += lengths[2];
	ok = ok && get_counts(p, lengths[3], to->counts, to->count);
	p += lengths[3];
	for (size_t v = 0; ok && v < to->values_count; v++) {
		if (column < 0 || (size_t)column == v)
			ok = get_values(p, lengths[COLUMNS_FIXED + v], to->counts, to->values[v],
					to->count);
		p += lengths[COLUMNS_FIXED + v];
	}
	return ok ? 0 : -EBADMSG;
}
