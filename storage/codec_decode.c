/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a block to columns: everything is checked, for a file may be damaged or somebody
 * else's. */
#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/varint.h"
#include "storage/codec_block.h"

#define RUN 256 /* numbers that are taken at a time */

/* The varints of a column: one run, or the first bytes of all and then the others.  One byte behind
 * the others can be read. */
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
static int get_windows(struct varints *v, const struct list *list, const int64_t *times,
		       uint32_t *to, size_t count)
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
	const uint8_t *at;    /* the next column; when apart, its first frame */
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
		if (!codec_has_column((unsigned)b->parts, i))
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
		if (!codec_has_column((unsigned)b->parts, i / PLANES))
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
	struct str firsts = {(const char *)&nothing, 0}, others = firsts;
	int rc = sizes[0] ? codec_unpack_frame(c, &c->plane, b->at, (size_t)sizes[0], &firsts) : 0;

	if (!rc && sizes[1])
		rc = codec_unpack_frame(c, &c->raw, b->at + sizes[0], (size_t)sizes[1], &others);
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

static int get_numbers(struct block *b, struct varints *v, struct list *list, bool ranked,
		       uint32_t *to, size_t *ret_end)
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
		return get_numbers(b, v, list, b->parts & CODEC_CONTEXTS, to->nodes,
				   &to->nodes_end);
	to->nodes_end = list->end;
	return b->parts & CODEC_TIMES ? get_windows(v, list, to->times, to->nodes, to->count)
				      : -EBADMSG;
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
	to->folded = b.parts & CODEC_FOLDED;
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
