/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/codec.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/sort.h"
#include "base/varint.h"

#define COLUMNS_FIXED 4 /* times, nodes, contexts, counts */
#define PLANES 2	/* of a column that stands apart */
#define APART_MIN 1024	/* records: for fewer, ten frames cost more than they save */

struct codec {
	ZSTD_CCtx *packer;
	ZSTD_DCtx *unpacker;
	struct buf raw, columns, packed, plane, apart;
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
	buf_init(&c->plane, CODEC_RAW_MAX);
	buf_init(&c->apart, BUF_UNLIMITED);
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
	/* Its tables for this effort would be 24 MB for a dictionary, and find no more; 0: as it likes. */
	(void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_hashLog, effort == CODEC_DENSE ? 17 : 0);
	(void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_chainLog, effort == CODEC_DENSE ? 17 : 0);
	size_t n = ZSTD_compress2(c->packer, to, bound, raw, len);

	if (ZSTD_isError(n))
		return -ENOMEM;
	*ret_packed = (struct str){to, n};
	return 0;
}

/* One byte more is there to read, 0. */
static int unpack_to(struct codec *c, struct buf *buf, const void *packed, size_t len,
		     struct str *ret_raw)
{
	unsigned long long size = ZSTD_getFrameContentSize(packed, len);

	/* The size stands in every frame that we write; without it there is nothing to trust. */
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ||
	    size > CODEC_RAW_MAX)
		return -EBADMSG;
	buf_clear(buf);
	char *to = buf_reserve(buf, (size_t)size + 1);

	if (!to)
		return -ENOMEM;
	size_t n = ZSTD_decompressDCtx(c->unpacker, to, (size_t)size, packed, len);

	if (ZSTD_isError(n) || n != size)
		return -EBADMSG;
	to[n] = 0;
	*ret_raw = (struct str){to, n};
	return 0;
}

int codec_unpack(struct codec *c, const void *packed, size_t len, struct str *ret_raw)
{
	return unpack_to(c, &c->raw, packed, len, ret_raw);
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

/*
 * Columns apart.  zstd has one Huffman table for 128 KB, and the first byte of a number is of another
 * kind than those that follow it: in one frame every number pays for telling which is which.
 */

void codec_put_plane(struct buf *to, const void *varints, size_t len, bool first)
{
	const uint8_t *bytes = varints;
	char *room = buf_reserve(to, len);
	bool begins = true;
	size_t count = 0;

	for (size_t i = 0; room && i < len; i++) {
		if (begins == first)
			room[count++] = (char)bytes[i];
		begins = !(bytes[i] & 0x80);
	}
	to->len += count;
}

static int pack_planes(struct codec *c, const uint8_t *varints, size_t len, uint64_t sizes[PLANES])
{
	for (size_t k = 0; k < PLANES; k++) {
		struct str packed = {NULL, 0};
		int rc;

		buf_clear(&c->plane);
		codec_put_plane(&c->plane, varints, len, k == 0);
		if (c->plane.failed)
			return -ENOMEM;
		rc = c->plane.len
			 ? codec_pack(c, c->plane.data, c->plane.len, CODEC_DENSE, &packed)
			 : 0;
		if (!rc && packed.len)
			rc = buf_add(&c->apart, packed.ptr, packed.len);
		if (rc)
			return -ENOMEM;
		sizes[k] = packed.len;
	}
	return 0;
}

/* `raw` holds the head, `columns` the columns. */
static int pack_apart(struct codec *c, const size_t *lengths, size_t count, struct str *ret_packed)
{
	struct str head;
	size_t at = 0;

	buf_clear(&c->apart);
	for (size_t i = 0; i < count; i++) {
		uint64_t sizes[PLANES];
		int rc = pack_planes(c, (const uint8_t *)c->columns.data + at, lengths[i], sizes);

		if (rc)
			return rc;
		for (size_t k = 0; k < PLANES; k++)
			(void)buf_add_varint(&c->raw, sizes[k]);
		at += lengths[i];
	}
	if (c->raw.failed || codec_pack(c, c->raw.data, c->raw.len, CODEC_DENSE, &head))
		return -ENOMEM;
	c->packed.len = head.len;
	if (c->apart.len && buf_add(&c->packed, c->apart.data, c->apart.len))
		return -ENOMEM;
	*ret_packed = (struct str){c->packed.data, c->packed.len};
	return 0;
}

int codec_encode(struct codec *c, const struct codec_columns *columns, unsigned parts,
		 enum codec_effort effort, struct str *ret_packed)
{
	size_t lengths[COLUMNS_FIXED + PROFILE_COLUMNS_MAX], before;
	struct buf *body = &c->columns;

	if (effort == CODEC_DENSE && columns->count >= APART_MIN)
		parts |= CODEC_APART;
	buf_clear(body);
	lengths[0] = parts & CODEC_TIMES ? put_times(body, columns->times, columns->count) : 0;
	lengths[1] = parts & CODEC_CONTEXTS ? put_ranked(body, columns->nodes, columns->count)
					    : put_deltas(body, columns->nodes, columns->count);
	lengths[2] = 0;
	if (parts & CODEC_CONTEXTS)
		lengths[2] = parts & CODEC_APART
				 ? put_ranked(body, columns->contexts, columns->count)
				 : put_deltas(body, columns->contexts, columns->count);
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
	if (parts & CODEC_APART)
		return body->failed ? -ENOMEM
				    : pack_apart(c, lengths, COLUMNS_FIXED + columns->values_count,
						 ret_packed);
	(void)buf_add(&c->raw, body->data, body->len);
	if (body->failed || c->raw.failed)
		return -ENOMEM;
	return codec_pack(c, c->raw.data, c->raw.len, effort, ret_packed);
}

/* ---- decoding ---- */

#define RUN 256 /* numbers that are taken at a time */

/* The varints of a column: one run, or the first bytes of all and then the others.  One byte behind the others
 * can be read. */
struct varints {
	const uint8_t *at, *end;
	const uint8_t *others, *others_end; /* NULL: one run */
};

static bool take_run(struct varints *v, uint64_t *to, size_t count)
{
	const uint8_t *p = v->at, *end = v->end;

	for (size_t i = 0; i < count; i++) {
		/* One byte or two, without a branch that says which: there is no guessing it. */
		if (end - p >= 2 && !(p[0] & p[1] & 0x80)) {
			uint64_t more = p[0] >> 7;

			to[i] = (p[0] & 0x7f) | (p[1] & -more) << 7;
			p += 1 + more;
			continue;
		}
		p = varint_get(p, end, &to[i]);
		if (!p)
			return false;
	}
	v->at = p;
	return true;
}

static const uint8_t *get_others(uint8_t first, const uint8_t *p, const uint8_t *end,
				 uint64_t *ret_value)
{
	uint64_t rest;

	p = varint_get(p, end, &rest);
	if (!p || rest > UINT64_MAX >> 7)
		return NULL;
	*ret_value = (first & 0x7f) | rest << 7;
	return p;
}

static bool take_apart(struct varints *v, uint64_t *to, size_t count)
{
	const uint8_t *firsts = v->at, *p = v->others, *end = v->others_end;

	if ((size_t)(v->end - firsts) < count)
		return false;
	v->at += count;
	if (p == end) {
		uint8_t all = 0;

		for (size_t i = 0; i < count; i++) {
			all |= firsts[i];
			to[i] = firsts[i];
		}
		return !(all & 0x80);
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t more = firsts[i] >> 7, next = *p & -more;

		if (next & 0x80 || (more && p == end)) {
			p = get_others(firsts[i], p, end, &to[i]);
			if (!p)
				return false;
			continue;
		}
		to[i] = (firsts[i] & 0x7f) | next << 7;
		p += more;
	}
	v->others = p;
	return true;
}

/* The next `count` numbers; false when they are cut short or one does not fit. */
static bool take(struct varints *v, uint64_t *to, size_t count)
{
	return v->others ? take_apart(v, to, count) : take_run(v, to, count);
}

static bool is_used_up(const struct varints *v)
{
	return v->at == v->end && v->others == v->others_end;
}

/* Numbers below *ret_end. */
static int get_deltas(struct varints *v, uint32_t *to, size_t count, size_t *ret_end)
{
	uint64_t run[RUN];
	int64_t last = 0, most = -1;

	for (size_t at = 0, n; at < count; at += n) {
		n = MIN((size_t)RUN, count - at);
		if (!take(v, run, n))
			return -EBADMSG;
		for (size_t i = 0; i < n; i++) {
			if (__builtin_add_overflow(last, zigzag_get(run[i]), &last) || last < 0 ||
			    last > UINT32_MAX)
				return -EBADMSG;
			to[at + i] = (uint32_t)last;
			most = MAX(most, last);
		}
	}
	*ret_end = (size_t)(most + 1);
	return 0;
}

static int get_ranked(struct codec *c, struct varints *v, uint32_t *to, size_t count, size_t *ret_end)
{
	uint64_t different, run[RUN];

	if (!take(v, &different, 1) || different > count)
		return -EBADMSG;
	buf_clear(&c->columns);
	uint32_t *table =
	    (uint32_t *)(void *)buf_reserve(&c->columns, (size_t)(different + 1) * sizeof(*table));

	/* Not damage: a file would be put aside for it. */
	if (!table)
		return -ENOMEM;
	int rc = get_deltas(v, table, (size_t)different, ret_end);

	for (size_t at = 0, n; !rc && at < count; at += n) {
		bool outside = false;

		n = MIN((size_t)RUN, count - at);
		if (!take(v, run, n))
			return -EBADMSG;
		for (size_t i = 0; i < n; i++)
			outside |= run[i] >= different;
		if (outside)
			return -EBADMSG;
		for (size_t i = 0; i < n; i++)
			to[at + i] = table[run[i]];
	}
	return rc;
}

static bool get_times(struct varints *v, int64_t *to, size_t count)
{
	uint64_t run[RUN];
	int64_t last, unit, delta;

	if (!count)
		return true;
	if (!take(v, run, 2) || !run[1] || run[1] > INT64_MAX)
		return false;
	to[0] = last = zigzag_get(run[0]);
	unit = (int64_t)run[1];
	for (size_t at = 1, n; at < count; at += n) {
		n = MIN((size_t)RUN, count - at);
		if (!take(v, run, n))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (__builtin_mul_overflow(zigzag_get(run[i]), unit, &delta) ||
			    __builtin_add_overflow(last, delta, &last))
				return false;
			to[at + i] = last;
		}
	}
	return true;
}

/* Each is `unit` for each sample behind it. */
static bool follow_counts(const uint64_t *counts, uint64_t unit, int64_t *to, size_t count)
{
	uint64_t bits = 0;
	int64_t product;

	for (size_t i = 0; i < count; i++)
		bits |= counts[i];
	/* What no count exceeds does not overflow: none does. */
	if (!__builtin_mul_overflow(unit, bits, &product)) {
		for (size_t i = 0; i < count; i++)
			to[i] = (int64_t)(unit * counts[i]);
		return true;
	}
	for (size_t i = 0; i < count; i++)
		if (__builtin_mul_overflow(unit, counts[i], &to[i]))
			return false;
	return true;
}

static bool get_values(struct varints *v, const uint64_t *counts, int64_t *to, size_t count)
{
	uint64_t unit, run[RUN];

	if (!take(v, &unit, 1) || unit > INT64_MAX)
		return false;
	if (is_used_up(v))
		return follow_counts(counts, unit, to, count);
	for (size_t at = 0, n; at < count; at += n) {
		n = MIN((size_t)RUN, count - at);
		if (!take(v, run, n))
			return false;
		for (size_t i = 0; i < n; i++)
			if (__builtin_mul_overflow(zigzag_get(run[i]), (int64_t)unit, &to[at + i]))
				return false;
	}
	return true;
}

/* A block that is being read. */
struct block {
	uint64_t count, values_count, parts;
	uint64_t lengths[COLUMNS_FIXED + PROFILE_COLUMNS_MAX];
	uint64_t sizes[COLUMNS_FIXED + PROFILE_COLUMNS_MAX][PLANES]; /* when apart */
	const uint8_t *at; /* the next column; when apart, its first frame */
};

/* Read the head; false is damage. */
static bool get_head(struct block *b, struct str raw, struct str behind)
{
	const uint8_t *p = (const uint8_t *)raw.ptr, *end = p + raw.len;
	uint64_t *const head[] = {&b->count, &b->values_count, &b->parts};
	uint64_t sum = 0, limit = behind.len ? CODEC_RAW_MAX : raw.len;
	size_t columns;

	for (size_t i = 0; p && i < ARRAY_LEN(head); i++)
		p = varint_get(p, end, head[i]);
	/* A record takes at least a byte of node and one of count. */
	if (!p || b->values_count > PROFILE_COLUMNS_MAX || b->count > limit)
		return false;
	columns = COLUMNS_FIXED + (size_t)b->values_count;
	for (size_t i = 0; i < columns; i++) {
		p = varint_get(p, end, &b->lengths[i]);
		if (!p || b->lengths[i] > limit)
			return false;
		sum += b->lengths[i];
	}
	b->at = p;
	if (!(b->parts & CODEC_APART))
		return !behind.len && sum == (uint64_t)(end - p);
	sum = 0;
	for (size_t i = 0; i < columns * PLANES; i++) {
		p = varint_get(p, end, &b->sizes[i / PLANES][i % PLANES]);
		if (!p || b->sizes[i / PLANES][i % PLANES] > behind.len)
			return false;
		sum += b->sizes[i / PLANES][i % PLANES];
	}
	b->at = (const uint8_t *)behind.ptr;
	return p == end && sum == behind.len && b->count <= b->lengths[1] &&
	       b->count <= b->lengths[3];
}

static int get_planes(struct codec *c, const struct block *b, size_t column, struct varints *ret)
{
	static const uint8_t nothing;
	const uint64_t *sizes = b->sizes[column];
	struct str firsts = {NULL, 0}, others = {(const char *)&nothing, 0};
	int rc = sizes[0] ? unpack_to(c, &c->plane, b->at, (size_t)sizes[0], &firsts) : 0;

	if (!rc && sizes[1])
		rc = unpack_to(c, &c->raw, b->at + sizes[0], (size_t)sizes[1], &others);
	if (rc)
		return rc;
	if (firsts.len + others.len != b->lengths[column])
		return -EBADMSG;
	*ret = (struct varints){.at = (const uint8_t *)firsts.ptr,
				.end = (const uint8_t *)firsts.ptr + firsts.len,
				.others = (const uint8_t *)others.ptr,
				.others_end = (const uint8_t *)others.ptr + others.len};
	return 0;
}

/* The next column when it is wanted; steps over it. */
static int next_column(struct codec *c, struct block *b, size_t column, bool wanted,
		       struct varints *ret)
{
	bool apart = b->parts & CODEC_APART;
	int rc = apart && wanted ? get_planes(c, b, column, ret) : 0;

	if (!apart)
		*ret = (struct varints){.at = b->at, .end = b->at + b->lengths[column]};
	b->at += apart ? b->sizes[column][0] + b->sizes[column][1] : b->lengths[column];
	return rc;
}

static int get_numbers(struct codec *c, struct varints *v, bool ranked, uint32_t *to, size_t count,
		       size_t *ret_end)
{
	return ranked ? get_ranked(c, v, to, count, ret_end) : get_deltas(v, to, count, ret_end);
}

static int get_column(struct codec *c, const struct block *b, struct varints *v, size_t column,
		      struct codec_columns *to)
{
	bool contexts = b->parts & CODEC_CONTEXTS, ok;
	int rc = 0;

	switch (column) {
	case 0:
		ok = !(b->parts & CODEC_TIMES) || get_times(v, to->times, to->count);
		break;
	case 1:
		rc = get_numbers(c, v, contexts, to->nodes, to->count, &to->nodes_end);
		ok = !rc;
		break;
	case 2:
		if (contexts)
			rc = get_numbers(c, v, b->parts & CODEC_APART, to->contexts, to->count,
					 &to->contexts_end);
		ok = !rc;
		break;
	case 3:
		ok = take(v, to->counts, to->count);
		break;
	default:
		ok = get_values(v, to->counts, to->values[column - COLUMNS_FIXED], to->count);
	}
	if (rc)
		return rc;
	return ok && is_used_up(v) ? 0 : -EBADMSG;
}

static bool is_wanted(unsigned parts, int column, size_t i)
{
	if (i == 0)
		return parts & CODEC_TIMES;
	if (i == 2)
		return parts & CODEC_CONTEXTS;
	return i < COLUMNS_FIXED || column < 0 || (size_t)column == i - COLUMNS_FIXED;
}

int codec_decode_parts(struct codec *c, const void *packed, size_t len, unsigned parts, int column,
		       struct codec_columns *to)
{
	size_t head = ZSTD_findFrameCompressedSize(packed, len);
	struct block b = {0};
	struct str raw;

	if (ZSTD_isError(head))
		return -EBADMSG;
	int rc = codec_unpack(c, packed, head, &raw);

	if (rc)
		return rc;
	if (!get_head(&b, raw, (struct str){(const char *)packed + head, len - head}))
		return -EBADMSG;
	to->count = (size_t)b.count;
	to->values_count = (size_t)b.values_count;
	to->nodes_end = to->contexts_end = 0;
	rc = codec_columns_reserve(to, to->count, to->values_count);
	for (size_t i = 0; !rc && i < COLUMNS_FIXED + to->values_count; i++) {
		bool wanted = is_wanted(parts, column, i);
		struct varints v;

		rc = next_column(c, &b, i, wanted, &v);
		if (!rc && wanted)
			rc = get_column(c, &b, &v, i, to);
	}
	return rc;
}

int codec_decode(struct codec *c, const void *packed, size_t len, int column,
		 struct codec_columns *to)
{
	return codec_decode_parts(c, packed, len, CODEC_TIMES | CODEC_CONTEXTS, column, to);
}
