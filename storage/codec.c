/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/codec.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/hash.h"
#include "base/slots.h"
#include "base/sort.h"
#include "base/varint.h"

enum { TIMES, NODE_LIST, NODES, CONTEXT_LIST, CONTEXTS, COUNTS, COLUMNS_FIXED };

#define PLANES 2	/* of a column that stands apart */
#define APART_MIN 1024	/* records: for fewer, ten frames cost more than they save */

struct codec {
	ZSTD_CCtx *packer;
	ZSTD_DCtx *unpacker;
	struct buf raw, columns, packed, plane, other, apart;
	/* What a short block names, in the order in which it was met. */
	struct slots met;
	uint32_t *names;
	size_t names_capacity;
	uint64_t secret[2];
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
	buf_init(&c->other, CODEC_RAW_MAX);
	hash_secret(c->secret);
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
	(void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_hashLog,
				     effort == CODEC_DENSE     ? 17
				     : effort == CODEC_NUMBERS ? 6
							       : 0);
	(void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_chainLog, effort == CODEC_DENSE ? 17 : 0);
	(void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_minMatch, effort == CODEC_NUMBERS ? 7 : 0);
	size_t n = ZSTD_compress2(c->packer, to, bound, raw, len);

	if (ZSTD_isError(n))
		return -ENOMEM;
	*ret_packed = (struct str){to, n};
	return 0;
}

int codec_pack_pieces(struct codec *c, const void *raw, const size_t *ends, size_t count,
		      enum codec_effort effort, struct str *ret_packed)
{
	size_t at = 0;

	if (count == 1)
		return codec_pack(c, raw, ends[0], effort, ret_packed);
	buf_clear(&c->apart);
	for (size_t i = 0; i < count; i++) {
		struct str packed;

		if (codec_pack(c, (const char *)raw + at, ends[i] - at,
			       i ? CODEC_NUMBERS : effort, &packed) ||
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

/* One frame. */
static int unpack_to(struct codec *c, struct buf *to, const void *packed, size_t len,
		     struct str *ret_raw)
{
	buf_clear(to);
	int rc = unpack_frame(c, to, packed, len);

	*ret_raw = (struct str){to->data, to->len};
	return rc;
}

int codec_unpack(struct codec *c, const void *packed, size_t len, struct str *ret_raw)
{
	const char *at = packed;
	int rc;

	buf_clear(&c->raw);
	do {
		size_t frame = ZSTD_findFrameCompressedSize(at, len);

		rc = ZSTD_isError(frame) ? -EBADMSG : unpack_frame(c, &c->raw, at, frame);
		at += rc ? 0 : frame;
		len -= rc ? 0 : frame;
	} while (!rc && len);
	*ret_raw = (struct str){c->raw.data, c->raw.len};
	return rc;
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

/* A sign takes a bit of each number, which times in order have no use for. */
static size_t put_times(struct buf *to, const int64_t *times, size_t count, bool may_be_plain)
{
	size_t before = to->len;
	uint64_t unit = 0;
	bool ordered = may_be_plain;

	if (!count)
		return 0;
	for (size_t i = 1; i < count && unit != 1; i++)
		unit = divisor(unit, magnitude(times[i] - times[i - 1]));
	for (size_t i = 1; i < count && ordered; i++)
		ordered = times[i] >= times[i - 1];
	unit = unit ? unit : 1;
	(void)buf_add_varint(to, zigzag_put(times[0]));
	(void)buf_add_varint(to, unit);
	if (may_be_plain)
		(void)buf_add_varint(to, ordered);
	for (size_t i = 1; i < count; i++) {
		int64_t delta = (times[i] - times[i - 1]) / (int64_t)unit;

		(void)buf_add_varint(to, ordered ? (uint64_t)delta : zigzag_put(delta));
	}
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

static bool ranking_init(struct ranking *r, size_t most, size_t count)
{
	r->items = malloc((most + 1) * sizeof(*r->items));
	r->scratch = malloc((most + 1) * sizeof(*r->scratch));
	r->different = malloc((most + 1) * sizeof(*r->different));
	r->ranks = malloc((most + 1) * sizeof(*r->ranks));
	r->place = malloc((count + 1) * sizeof(*r->place));
	return r->items && r->scratch && r->different && r->ranks && r->place;
}

static int find_sorted(struct ranking *r, const uint32_t *nodes, size_t count, size_t *ret_n)
{
	size_t n = 0;

	if (!ranking_init(r, count, count))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		r->items[i] = (struct sort_item){nodes[i], (uint32_t)i};
	sort_items(r->items, r->scratch, count);
	for (size_t i = 0; i < count; i++) {
		if (!n || r->different[n - 1].key != r->items[i].key)
			r->different[n++] = (struct sort_item){r->items[i].key, 0};
		r->different[n - 1].at++;
		r->place[r->items[i].at] = (uint32_t)n - 1;
	}
	*ret_n = n;
	return 0;
}

/* By a table of all numbers there may be. */
static int find_counted(struct ranking *r, const uint32_t *nodes, size_t count, size_t limit,
			size_t *ret_n)
{
	uint32_t *table CLEANUP(cleanup_free) = calloc(limit, sizeof(*table));
	size_t n = 0, most = 0;

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		most += !table[nodes[i]]++;
	if (!ranking_init(r, most, count))
		return -ENOMEM;
	for (size_t node = 0; node < limit; node++)
		if (table[node]) {
			r->different[n] = (struct sort_item){node, table[node]};
			table[node] = (uint32_t)n++;
		}
	for (size_t i = 0; i < count; i++)
		r->place[i] = table[nodes[i]];
	*ret_n = n;
	return 0;
}

/* The different nodes in order of their numbers; how many. */
static int find_different(struct ranking *r, const uint32_t *nodes, size_t count, size_t *ret_n)
{
	size_t limit = 1;

	for (size_t i = 0; i < count; i++)
		limit = MAX(limit, (size_t)nodes[i] + 1);
	return limit / 16 < count ? find_counted(r, nodes, count, limit, ret_n)
				  : find_sorted(r, nodes, count, ret_n);
}

/* Records in the order of time name the same few stacks again and again: numbers that are small
 * where they are frequent take half of what deltas do. */
static void put_ranked(struct buf *to, const uint32_t *nodes, size_t count, size_t *ret_list,
		       size_t *ret_places)
{
	struct ranking r CLEANUP(ranking_release) = {0};
	size_t before = to->len, n;
	int64_t last = 0;

	*ret_list = *ret_places = 0;
	if (find_different(&r, nodes, count, &n)) {
		to->failed = -ENOMEM;
		return;
	}
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
	*ret_list = to->len - before;
	for (size_t i = 0; i < count; i++)
		(void)buf_add_varint(to, r.ranks[r.place[i]]);
	*ret_places = to->len - before - *ret_list;
}

/* The place of a node among those that were met so far. */
static int meet(struct codec *c, uint32_t node, uint32_t *ret_place)
{
	uint32_t tag = slots_mix(node, 0, c->secret);
	size_t at = slots_first(&c->met, tag);

	while ((*ret_place = slots_next(&c->met, tag, &at)) != SLOTS_NONE)
		if (c->names[*ret_place] == node)
			return 0;
	*ret_place = (uint32_t)c->met.count;
	if (array_grow(&c->names, sizeof(*c->names), &c->names_capacity, c->met.count + 1))
		return -ENOMEM;
	c->names[*ret_place] = node;
	return slots_add(&c->met, tag, *ret_place);
}

/* A short block is packed again within the hour: what is frequent is mostly met early, and need not be counted. */
static void put_met(struct codec *c, struct buf *to, const uint32_t *nodes, size_t count,
		    size_t *ret_list, size_t *ret_places)
{
	size_t before = to->len;
	int64_t last = 0;
	uint32_t place;

	if (c->met.capacity / 8 > count)
		slots_release(&c->met);
	slots_clear(&c->met);
	buf_clear(&c->plane);
	for (size_t i = 0; i < count; i++) {
		if (meet(c, nodes[i], &place) || buf_add_varint(&c->plane, place)) {
			to->failed = -ENOMEM;
			return;
		}
	}
	(void)buf_add_varint(to, c->met.count);
	for (size_t i = 0; i < c->met.count; i++) {
		(void)buf_add_varint(to, zigzag_put((int64_t)c->names[i] - last));
		last = c->names[i];
	}
	*ret_list = to->len - before;
	if (count)
		(void)buf_add(to, c->plane.data, c->plane.len);
	*ret_places = to->len - before - *ret_list;
}

/* Windows that stand one behind the other, each with its nodes in order: what there is of nodes is told once, and in
 * each window how many of them are stepped over. */
static void put_windows(struct buf *to, const struct codec_columns *c, size_t *ret_list,
			size_t *ret_places)
{
	struct ranking r CLEANUP(ranking_release) = {0};
	size_t before = to->len, n;
	bool ordered = true;
	int64_t last = 0;

	if (find_different(&r, c->nodes, c->count, &n)) {
		to->failed = -ENOMEM;
		return;
	}
	(void)buf_add_varint(to, n);
	for (size_t i = 0; i < n; i++) {
		(void)buf_add_varint(to, zigzag_put((int64_t)r.different[i].key - last));
		last = (int64_t)r.different[i].key;
	}
	*ret_list = to->len - before;
	for (size_t i = 1; i < c->count && ordered; i++)
		ordered = c->times[i] != c->times[i - 1] || r.place[i] >= r.place[i - 1];
	(void)buf_add_varint(to, ordered);
	for (size_t i = 0; i < c->count; i++) {
		last = i && c->times[i] == c->times[i - 1] ? r.place[i - 1] : 0;
		int64_t step = (int64_t)r.place[i] - last;

		(void)buf_add_varint(to, ordered ? (uint64_t)step : zigzag_put(step));
	}
	*ret_places = to->len - before - *ret_list;
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

static void split_planes(struct buf *first, struct buf *other, const uint8_t *varints, size_t len)
{
	char *firsts = buf_reserve(first, len + 1), *others = buf_reserve(other, len + 1);
	size_t begins = 1, at = 0, rest = 0;

	for (size_t i = 0; firsts && others && i < len; i++) {
		firsts[at] = others[rest] = (char)varints[i];
		at += begins;
		rest += 1 - begins;
		begins = varints[i] < 0x80;
	}
	first->len += at;
	other->len += rest;
}

static int pack_planes(struct codec *c, const uint8_t *varints, size_t len,
		       enum codec_effort effort, uint64_t sizes[PLANES])
{
	const struct buf *const planes[PLANES] = {&c->plane, &c->other};

	buf_clear(&c->plane);
	buf_clear(&c->other);
	split_planes(&c->plane, &c->other, varints, len);
	if (c->plane.failed || c->other.failed)
		return -ENOMEM;
	for (size_t k = 0; k < PLANES; k++) {
		struct str packed = {NULL, 0};
		int rc = planes[k]->len
			     ? codec_pack(c, planes[k]->data, planes[k]->len, effort, &packed)
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
static int pack_apart(struct codec *c, const size_t *lengths, size_t count,
		      enum codec_effort effort, struct str *ret_packed)
{
	struct str head;
	size_t at = 0;

	buf_clear(&c->apart);
	for (size_t i = 0; i < count; i++) {
		uint64_t sizes[PLANES];
		int rc = pack_planes(c, (const uint8_t *)c->columns.data + at, lengths[i], effort,
				     sizes);

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

/* Whether blocks with these parts have such a column; else it has no length in the head. */
static bool has_column(unsigned parts, size_t column)
{
	return parts & CODEC_LISTS || (column != NODE_LIST && column != CONTEXT_LIST);
}

static void put_stacks(struct codec *c, const struct codec_columns *columns, unsigned parts,
		       size_t *lengths)
{
	struct buf *to = &c->columns;
	size_t n = columns->count;

	if (!(parts & CODEC_CONTEXTS)) {
		if (parts & CODEC_LISTS && parts & CODEC_TIMES)
			put_windows(to, columns, &lengths[NODE_LIST], &lengths[NODES]);
		else
			lengths[NODES] = put_deltas(to, columns->nodes, n);
		return;
	}
	if (parts & CODEC_LISTS) {
		put_ranked(to, columns->nodes, n, &lengths[NODE_LIST], &lengths[NODES]);
		put_ranked(to, columns->contexts, n, &lengths[CONTEXT_LIST], &lengths[CONTEXTS]);
		return;
	}
	put_met(c, to, columns->nodes, n, &lengths[NODE_LIST], &lengths[NODES]);
	lengths[NODES] += lengths[NODE_LIST];
	lengths[CONTEXTS] = put_deltas(to, columns->contexts, n);
}

int codec_encode(struct codec *c, const struct codec_columns *columns, unsigned parts,
		 enum codec_effort effort, struct str *ret_packed)
{
	size_t lengths[COLUMNS_FIXED + PROFILE_COLUMNS_MAX] = {0}, before;
	struct buf *body = &c->columns;

	if (effort == CODEC_DENSE && columns->count >= APART_MIN)
		parts |= CODEC_APART | CODEC_LISTS;
	if (parts & CODEC_CONTEXTS)
		effort = CODEC_NUMBERS;
	buf_clear(body);
	if (parts & CODEC_TIMES)
		lengths[TIMES] =
		    put_times(body, columns->times, columns->count, parts & CODEC_LISTS);
	put_stacks(c, columns, parts, lengths);
	before = body->len;
	for (size_t i = 0; i < columns->count; i++)
		(void)buf_add_varint(body, columns->counts[i]);
	lengths[COUNTS] = body->len - before;
	for (size_t v = 0; v < columns->values_count; v++)
		lengths[COLUMNS_FIXED + v] =
		    put_values(body, columns->values[v], columns->counts, columns->count);
	buf_clear(&c->raw);
	(void)buf_add_varint(&c->raw, columns->count);
	(void)buf_add_varint(&c->raw, columns->values_count);
	(void)buf_add_varint(&c->raw, parts);
	for (size_t i = 0; i < COLUMNS_FIXED + columns->values_count; i++)
		if (has_column(parts, i))
			(void)buf_add_varint(&c->raw, lengths[i]);
	if (parts & CODEC_APART)
		return body->failed ? -ENOMEM
				    : pack_apart(c, lengths, COLUMNS_FIXED + columns->values_count,
						 effort, ret_packed);
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

/* What places stand for. */
struct list {
	uint32_t *numbers;
	uint64_t count;
	size_t end; /* every number is below */
};

/* At most `most` numbers. */
static int get_list(struct varints *v, uint64_t most, struct list *to)
{
	if (!take(v, &to->count, 1) || to->count > most)
		return -EBADMSG;
	free(to->numbers);
	to->numbers = malloc((size_t)(to->count + 1) * sizeof(*to->numbers));
	/* Not damage: a file would be put aside for it. */
	if (!to->numbers)
		return -ENOMEM;
	return get_deltas(v, to->numbers, (size_t)to->count, &to->end);
}

static int get_places(struct varints *v, const struct list *list, uint32_t *to, size_t count)
{
	uint64_t run[RUN];

	for (size_t at = 0, n; at < count; at += n) {
		bool outside = false;

		n = MIN((size_t)RUN, count - at);
		if (!take(v, run, n))
			return -EBADMSG;
		for (size_t i = 0; i < n; i++)
			outside |= run[i] >= list->count;
		if (outside)
			return -EBADMSG;
		for (size_t i = 0; i < n; i++)
			to[at + i] = list->numbers[run[i]];
	}
	return 0;
}

/* Within a window places go up, or by differences. */
static int get_windows(struct varints *v, const struct list *list, const int64_t *times, uint32_t *to,
		       size_t count)
{
	uint64_t ordered, run[RUN];
	int64_t place = 0;

	if (!take(v, &ordered, 1) || ordered > 1)
		return -EBADMSG;
	for (size_t at = 0, n; at < count; at += n) {
		n = MIN((size_t)RUN, count - at);
		if (!take(v, run, n))
			return -EBADMSG;
		for (size_t k = 0; k < n; k++) {
			size_t i = at + k;

			if (run[k] > UINT64_MAX / 4)
				return -EBADMSG;
			place = i && times[i] == times[i - 1] ? place : 0;
			place += ordered ? (int64_t)run[k] : zigzag_get(run[k]);
			if (place < 0 || (uint64_t)place >= list->count)
				return -EBADMSG;
			to[i] = list->numbers[place];
		}
	}
	return 0;
}

static bool get_times(struct varints *v, bool may_be_plain, int64_t *to, size_t count)
{
	uint64_t run[RUN], ordered = 0;
	int64_t last, unit, delta;

	if (!count)
		return true;
	if (!take(v, run, 2) || !run[1] || run[1] > INT64_MAX)
		return false;
	if (may_be_plain && (!take(v, &ordered, 1) || ordered > 1))
		return false;
	to[0] = last = zigzag_get(run[0]);
	unit = (int64_t)run[1];
	for (size_t at = 1, n; at < count; at += n) {
		n = MIN((size_t)RUN, count - at);
		if (!take(v, run, n))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (ordered && run[i] > INT64_MAX)
				return false;
			if (__builtin_mul_overflow(ordered ? (int64_t)run[i] : zigzag_get(run[i]),
						   unit, &delta) ||
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
	struct list lists[2]; /* of nodes and of contexts */
};

static void block_release(struct block *b)
{
	free(b->lists[0].numbers);
	free(b->lists[1].numbers);
}

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
		if (!has_column((unsigned)b->parts, i))
			continue;
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
		if (!has_column((unsigned)b->parts, i / PLANES))
			continue;
		p = varint_get(p, end, &b->sizes[i / PLANES][i % PLANES]);
		if (!p || b->sizes[i / PLANES][i % PLANES] > behind.len)
			return false;
		sum += b->sizes[i / PLANES][i % PLANES];
	}
	b->at = (const uint8_t *)behind.ptr;
	return p == end && sum == behind.len && b->count <= b->lengths[NODES] &&
	       b->count <= b->lengths[COUNTS];
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

static int get_numbers(struct block *b, struct varints *v, struct list *list, bool ranked, uint32_t *to,
		       size_t *ret_end)
{
	int rc = 0;

	if (!ranked)
		return get_deltas(v, to, (size_t)b->count, ret_end);
	if (!(b->parts & CODEC_LISTS))
		rc = get_list(v, b->count, list);
	*ret_end = list->end;
	return rc ? rc : get_places(v, list, to, (size_t)b->count);
}

/* Places in a list are of a window's records, whose times say where it ends. */
static bool has_windows(const struct block *b)
{
	return b->parts & CODEC_LISTS && !(b->parts & CODEC_CONTEXTS) && b->lengths[NODE_LIST];
}

static int get_nodes(struct block *b, struct varints *v, struct codec_columns *to)
{
	struct list *list = &b->lists[0];

	if (!has_windows(b) || !list->count)
		return get_numbers(b, v, list, b->parts & CODEC_CONTEXTS, to->nodes, &to->nodes_end);
	to->nodes_end = list->end;
	return b->parts & CODEC_TIMES ? get_windows(v, list, to->times, to->nodes, to->count) : -EBADMSG;
}

static int get_column(struct block *b, struct varints *v, size_t column, struct codec_columns *to)
{
	bool lists = b->parts & CODEC_LISTS, ok = true;
	int rc = 0;

	switch (column) {
	case TIMES:
		ok = !(b->parts & CODEC_TIMES) || get_times(v, lists, to->times, to->count);
		break;
	case NODE_LIST:
	case CONTEXT_LIST:
		if (lists && b->lengths[column])
			rc = get_list(v, b->count, &b->lists[column == CONTEXT_LIST]);
		break;
	case NODES:
		rc = get_nodes(b, v, to);
		break;
	case CONTEXTS:
		if (b->parts & CODEC_CONTEXTS)
			rc = get_numbers(b, v, &b->lists[1], b->parts & CODEC_APART, to->contexts,
					 &to->contexts_end);
		break;
	case COUNTS:
		ok = take(v, to->counts, to->count);
		break;
	default:
		ok = get_values(v, to->counts, to->values[column - COLUMNS_FIXED], to->count);
	}
	if (rc)
		return rc;
	return ok && is_used_up(v) ? 0 : -EBADMSG;
}

static bool is_wanted(const struct block *b, unsigned parts, int column, size_t i)
{
	if (i == TIMES)
		return parts & CODEC_TIMES || has_windows(b);
	if (i == CONTEXT_LIST || i == CONTEXTS)
		return parts & CODEC_CONTEXTS;
	return i < COLUMNS_FIXED || column < 0 || (size_t)column == i - COLUMNS_FIXED;
}

int codec_decode_parts(struct codec *c, const void *packed, size_t len, unsigned parts, int column,
		       struct codec_columns *to)
{
	size_t head = ZSTD_findFrameCompressedSize(packed, len);
	struct block b CLEANUP(block_release) = {0};
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
		bool wanted = is_wanted(&b, parts, column, i);
		struct varints v;

		rc = next_column(c, &b, i, wanted, &v);
		if (!rc && wanted)
			rc = get_column(&b, &v, i, to);
	}
	return rc;
}

int codec_decode(struct codec *c, const void *packed, size_t len, int column,
		 struct codec_columns *to)
{
	return codec_decode_parts(c, packed, len, CODEC_TIMES | CODEC_CONTEXTS, column, to);
}
