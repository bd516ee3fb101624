/* SPDX-License-Identifier: Apache-2.0 */
/* Columns to the bytes of a block. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/sort.h"
#include "base/varint.h"
#include "storage/codec_block.h"

#define APART_MIN 1024 /* records: for fewer, ten frames cost more than they save */

#define VARINT32_MAX 5 /* bytes of the longest of 32 bits, or of their difference */

/* Room for so many numbers behind what is there, or NULL; then no number is put. */
static uint8_t *room_for(struct buf *to, size_t count, size_t longest)
{
	return (uint8_t *)buf_reserve(to, count * longest);
}

/* What was put there ends before `end`. Returns how much it was. */
static size_t put_until(struct buf *to, const uint8_t *end)
{
	size_t len = end ? (size_t)(end - (uint8_t *)to->data) - to->len : 0;

	to->len += len;
	return len;
}

static inline uint8_t *put_number(uint8_t *to, uint64_t value)
{
	if (value < 0x80) {
		*to = (uint8_t)value;
		return to + 1;
	}
	return to + varint_put(to, value);
}

static size_t put_deltas(struct buf *to, const uint32_t *items, size_t count)
{
	uint8_t *p = room_for(to, count, VARINT32_MAX);
	int64_t last = 0;

	for (size_t i = 0; p && i < count; i++) {
		p = put_number(p, zigzag_put((int64_t)items[i] - last));
		last = items[i];
	}
	return put_until(to, p);
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

/* The greatest number that divides all steps between times. */
static uint64_t unit_of(const int64_t *times, size_t count)
{
	uint64_t unit = 0;

	for (size_t i = 1; i < count && unit != 1; i++)
		unit = divisor(unit, magnitude(times[i] - times[i - 1]));
	return unit ? unit : 1;
}

#define US 1000 /* what the agent's times are in: to divide by a constant costs a quarter */

/* Whether no larger unit would do, which the first steps mostly tell. */
static bool may_be_us(const int64_t *times, size_t count)
{
	uint64_t unit = 0;

	for (size_t i = 1; i < count && unit != 1; i++) {
		uint64_t step = magnitude(times[i] - times[i - 1]);

		if (step % US)
			return false;
		unit = divisor(unit, step / US);
	}
	return unit == 1;
}

static uint8_t *put_step(uint8_t *p, int64_t step, bool ordered)
{
	return put_number(p, ordered ? (uint64_t)step : zigzag_put(step));
}

/* NULL when there is a step that is no microseconds. */
static uint8_t *put_us(uint8_t *p, const int64_t *times, size_t count, bool ordered)
{
	int64_t rest = 0;

	for (size_t i = 1; i < count; i++) {
		int64_t delta = times[i] - times[i - 1], step = delta / US;

		rest |= delta - step * US;
		p = put_step(p, step, ordered);
	}
	return rest ? NULL : p;
}

static uint8_t *put_steps(uint8_t *p, const int64_t *times, size_t count, bool ordered,
			  uint64_t unit)
{
	for (size_t i = 1; i < count; i++)
		p = put_step(p, (times[i] - times[i - 1]) / (int64_t)unit, ordered);
	return p;
}

/* A sign takes a bit of each number, which times in order have no use for. */
static bool are_ordered(const int64_t *times, size_t count)
{
	bool ordered = true;

	for (size_t i = 1; i < count && ordered; i++)
		ordered = times[i] >= times[i - 1];
	return ordered;
}

static uint8_t *put_head(uint8_t *p, int64_t first, uint64_t unit, bool may_be_plain, bool ordered)
{
	p = put_number(p, zigzag_put(first));
	p = put_number(p, unit);
	return may_be_plain ? put_number(p, ordered) : p;
}

static size_t put_times(struct buf *to, const int64_t *times, size_t count, bool may_be_plain)
{
	uint8_t *start = count ? room_for(to, count + 2, VARINT_MAX) : NULL, *end = NULL;
	bool ordered = may_be_plain && are_ordered(times, count);

	if (!start)
		return 0;
	if (may_be_us(times, count))
		end = put_us(put_head(start, times[0], US, may_be_plain, ordered), times, count,
			     ordered);
	if (!end) {
		uint64_t unit = unit_of(times, count);

		end = put_steps(put_head(start, times[0], unit, may_be_plain, ordered), times,
				count, ordered, unit);
	}
	return put_until(to, end);
}

/* Whether all are the same, of which the C library looks at many at a time. */
static bool are_equal(const void *items, size_t count, size_t item_bytes)
{
	return count < 2 ||
	       !memcmp(items, (const char *)items + item_bytes, (count - 1) * item_bytes);
}

/* Whether each value is `unit` for each sample behind it, as the time of CPU samples is. */
static bool follows_counts(const int64_t *values, const uint64_t *counts, size_t count,
			   uint64_t unit)
{
	if (are_equal(counts, count, sizeof(*counts)) && are_equal(values, count, sizeof(*values)))
		count = MIN(count, (size_t)1);
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
	uint8_t *p = room_for(to, count + 1, VARINT_MAX);
	uint64_t unit = 0;

	if (!p)
		return 0;
	/* For a column that follows, the unit of the first record is that of all. */
	if (count && counts[0] && values[0] >= 0)
		unit = (uint64_t)values[0] / counts[0];
	if (follows_counts(values, counts, count, unit))
		return put_until(to, put_number(p, unit));
	unit = 0;
	for (size_t i = 0; i < count && unit != 1; i++)
		unit = divisor(unit, magnitude(values[i]));
	/* INT64_MIN alone: its own unit does not fit a signed number. */
	unit = unit && unit <= INT64_MAX ? unit : 1;
	p = put_number(p, unit);
	for (size_t i = 0; i < count; i++)
		p = put_number(p, zigzag_put(values[i] / (int64_t)unit));
	return put_until(to, p);
}

static size_t put_plain(struct buf *to, const uint32_t *items, size_t count)
{
	uint8_t *p = room_for(to, count, VARINT32_MAX);

	for (size_t i = 0; p && i < count; i++)
		p = put_number(p, items[i]);
	return put_until(to, p);
}

static size_t put_counts(struct buf *to, const uint64_t *counts, size_t count)
{
	uint8_t *p = room_for(to, count, VARINT_MAX);

	if (p && count && counts[0] < 0x80 && are_equal(counts, count, sizeof(*counts))) {
		memset(p, (int)counts[0], count);
		return put_until(to, p + count);
	}
	for (size_t i = 0; p && i < count; i++)
		p = put_number(p, counts[i]);
	return put_until(to, p);
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

/* The nodes in the order in which they are met, c->met.count of them in c->names, and the place of
 * each record's, which is the codec's until its next use of `plane`; NULL without memory. */
static uint32_t *find_met(struct codec *c, const uint32_t *nodes, size_t count)
{
	if (c->met.capacity / 8 > count)
		slots_release(&c->met);
	slots_clear(&c->met);
	buf_clear(&c->plane);
	uint32_t *places = (void *)buf_reserve(&c->plane, (count + 1) * sizeof(*places));

	for (size_t i = 0; places && i < count; i++)
		if (meet(c, nodes[i], &places[i]))
			return NULL;
	return places;
}

/* What a column names. */
struct ranking {
	size_t count; /* of the different ones */
	/* different: key is the node, at how often */
	struct sort_item *items, *scratch, *different;
	uint32_t *ranks; /* of the different ones */
	uint32_t *place; /* of each record among the different ones; borrowed */
};

static void ranking_release(struct ranking *r)
{
	free(r->items);
	free(r->scratch);
	free(r->different);
	free(r->ranks);
}

/* The different nodes in order of their numbers. Returns 0 or -ENOMEM. */
static int find_different(struct codec *c, const uint32_t *nodes, size_t count, struct ranking *r)
{
	r->place = find_met(c, nodes, count);
	if (!r->place)
		return -ENOMEM;
	size_t n = r->count = c->met.count;

	r->items = malloc((n + 1) * sizeof(*r->items));
	r->scratch = malloc((n + 1) * sizeof(*r->scratch));
	r->different = malloc((n + 1) * sizeof(*r->different));
	r->ranks = malloc((n + 1) * sizeof(*r->ranks));
	if (!r->items || !r->scratch || !r->different || !r->ranks)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		r->items[i] = (struct sort_item){c->names[i], (uint32_t)i};
	sort_items(r->items, r->scratch, n);
	for (size_t i = 0; i < n; i++) {
		r->ranks[r->items[i].at] = (uint32_t)i;
		r->different[i] = (struct sort_item){r->items[i].key, 0};
	}
	for (size_t i = 0; i < count; i++) {
		r->place[i] = r->ranks[r->place[i]];
		r->different[r->place[i]].at++;
	}
	return 0;
}

/* As put_deltas, of `r->different` in some order. */
static uint8_t *put_named(uint8_t *p, int64_t *last, uint64_t node)
{
	p = put_number(p, zigzag_put((int64_t)node - *last));
	*last = (int64_t)node;
	return p;
}

/* Records in the order of time name the same few stacks again and again: numbers that are small
 * where they are frequent take half of what deltas do. */
static void put_ranked(struct codec *c, struct buf *to, const uint32_t *nodes, size_t count,
		       size_t *ret_list, size_t *ret_places)
{
	struct ranking r CLEANUP(ranking_release) = {0};
	int64_t last = 0;

	*ret_list = *ret_places = 0;
	if (find_different(c, nodes, count, &r)) {
		to->failed = -ENOMEM;
		return;
	}
	/* The most frequent first; equally frequent ones stay in order. */
	for (size_t i = 0; i < r.count; i++)
		r.items[i] = (struct sort_item){UINT32_MAX - r.different[i].at, (uint32_t)i};
	sort_items(r.items, r.scratch, r.count);
	uint8_t *p = room_for(to, r.count + 1, VARINT_MAX);

	p = p ? put_number(p, r.count) : NULL;
	for (size_t i = 0; p && i < r.count; i++) {
		r.ranks[r.items[i].at] = (uint32_t)i;
		p = put_named(p, &last, r.different[r.items[i].at].key);
	}
	*ret_list = put_until(to, p);
	p = room_for(to, count, VARINT32_MAX);
	for (size_t i = 0; p && i < count; i++)
		p = put_number(p, r.ranks[r.place[i]]);
	*ret_places = put_until(to, p);
}

/* A short block is packed again within the hour: what is frequent is mostly met early, and need not
 * be counted. */
static void put_met(struct codec *c, struct buf *to, const struct codec_columns *columns,
		    size_t *ret_list, size_t *ret_places)
{
	const uint32_t *names = columns->names, *places = columns->places;
	size_t before = to->len, n = columns->names_count;

	if (!names) {
		places = find_met(c, columns->nodes, columns->count);
		if (!places) {
			to->failed = -ENOMEM;
			return;
		}
		names = c->names;
		n = c->met.count;
	}
	(void)buf_add_varint(to, n);
	(void)put_deltas(to, names, n);
	*ret_list = to->len - before;
	*ret_places = put_plain(to, places, columns->count);
}

/* Windows that stand one behind the other, each with its nodes in order: what there is of nodes is
 * told once, and in each window how many of them are stepped over. */
static void put_windows(struct codec *codec, struct buf *to, const struct codec_columns *c,
			size_t *ret_list, size_t *ret_places)
{
	struct ranking r CLEANUP(ranking_release) = {0};
	bool ordered = true;
	int64_t last = 0;

	*ret_list = *ret_places = 0;
	if (find_different(codec, c->nodes, c->count, &r)) {
		to->failed = -ENOMEM;
		return;
	}
	uint8_t *p = room_for(to, r.count + 1, VARINT_MAX);

	p = p ? put_number(p, r.count) : NULL;
	for (size_t i = 0; p && i < r.count; i++)
		p = put_named(p, &last, r.different[i].key);
	*ret_list = put_until(to, p);
	for (size_t i = 1; i < c->count && ordered; i++)
		ordered = c->times[i] != c->times[i - 1] || r.place[i] >= r.place[i - 1];
	p = room_for(to, c->count + 1, VARINT32_MAX);
	p = p ? put_number(p, ordered) : NULL;
	for (size_t i = 0; p && i < c->count; i++) {
		last = i && c->times[i] == c->times[i - 1] ? r.place[i - 1] : 0;
		int64_t step = (int64_t)r.place[i] - last;

		p = put_number(p, ordered ? (uint64_t)step : zigzag_put(step));
	}
	*ret_places = put_until(to, p);
}

/*
 * Columns apart.  zstd has one Huffman table for 128 KB, and the first byte of a number is of
 * another kind than those that follow it: in one frame every number pays for telling which is
 * which.
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

static void put_stacks(struct codec *c, const struct codec_columns *columns, unsigned parts,
		       size_t *lengths)
{
	struct buf *to = &c->columns;
	size_t n = columns->count;

	if (!(parts & CODEC_CONTEXTS)) {
		if (parts & CODEC_LISTS && parts & CODEC_TIMES)
			put_windows(c, to, columns, &lengths[NODE_LIST], &lengths[NODES]);
		else
			lengths[NODES] = put_deltas(to, columns->nodes, n);
		return;
	}
	if (parts & CODEC_LISTS) {
		put_ranked(c, to, columns->nodes, n, &lengths[NODE_LIST], &lengths[NODES]);
		put_ranked(c, to, columns->contexts, n, &lengths[CONTEXT_LIST], &lengths[CONTEXTS]);
		return;
	}
	put_met(c, to, columns, &lengths[NODE_LIST], &lengths[NODES]);
	lengths[NODES] += lengths[NODE_LIST];
	lengths[CONTEXTS] = put_deltas(to, columns->contexts, n);
}

int codec_encode(struct codec *c, const struct codec_columns *columns, unsigned parts,
		 enum codec_effort effort, struct str *ret_packed)
{
	size_t lengths[COLUMNS_FIXED + PROFILE_COLUMNS_MAX] = {0};
	struct buf *body = &c->columns;

	if (effort == CODEC_DENSE && columns->count >= APART_MIN)
		parts |= CODEC_APART | CODEC_LISTS;
	assert(!columns->names || (parts & (CODEC_CONTEXTS | CODEC_LISTS)) == CODEC_CONTEXTS);
	if (parts & CODEC_CONTEXTS)
		effort = effort == CODEC_DENSE ? CODEC_NUMBERS : CODEC_OPEN;
	buf_clear(body);
	if (parts & CODEC_TIMES)
		lengths[TIMES] =
		    put_times(body, columns->times, columns->count, parts & CODEC_LISTS);
	put_stacks(c, columns, parts, lengths);
	lengths[COUNTS] = put_counts(body, columns->counts, columns->count);
	for (size_t v = 0; v < columns->values_count; v++)
		lengths[COLUMNS_FIXED + v] =
		    put_values(body, columns->values[v], columns->counts, columns->count);
	buf_clear(&c->raw);
	(void)buf_add_varint(&c->raw, columns->count);
	(void)buf_add_varint(&c->raw, columns->values_count);
	(void)buf_add_varint(&c->raw, parts);
	for (size_t i = 0; i < COLUMNS_FIXED + columns->values_count; i++)
		if (codec_has_column(parts, i))
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
