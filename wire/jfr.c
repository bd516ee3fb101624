/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/jfr.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "wire/jfr_decoder.h"

#define FLAG_COMPRESSED 1
#define CLASS_METADATA 0
#define CLASS_CHECKPOINT 1

/* ---- header ---- */

static uint64_t u8_at(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return be64toh(value);
}

bool jfr_sniff(const void *body, size_t len)
{
	return len >= 4 && !memcmp(body, "FLR", 4);
}

static int header_read(struct jfr_chunk *c, size_t len, size_t *ret_metadata, struct err *err)
{
	const uint8_t *b = c->bytes;

	if (!jfr_sniff(b, len))
		return err_set(err, -EINVAL, "jfr: no chunk begins with \"FLR\\0\" here");
	if (len < JFR_HEADER_BYTES)
		return err_set(err, -EINVAL, "jfr: %zu bytes of a chunk's header of %d", len,
			       JFR_HEADER_BYTES);
	if (b[4] || b[5] != 2)
		return err_set(err, -EOPNOTSUPP,
			       "jfr: version %d.%d, read here is 2 (JDK 11 and later)",
			       b[4] << 8 | b[5], b[6] << 8 | b[7]);
	uint64_t size = u8_at(b + 8), metadata = u8_at(b + 24);

	if (size < JFR_HEADER_BYTES || size > len)
		return err_set(err, -EINVAL, "jfr: a chunk of %" PRIu64 " bytes, %zu are there",
			       size, len);
	if (size > UINT32_MAX)
		return err_set(err, -E2BIG,
			       "jfr: a chunk of %" PRIu64 " bytes, limit 4 GiB (fixed)", size);
	if (metadata < JFR_HEADER_BYTES || metadata >= size)
		return err_set(err, -EINVAL, "jfr: metadata at byte %" PRIu64 " of %" PRIu64,
			       metadata, size);
	c->size = size;
	c->compressed = b[67] & FLAG_COMPRESSED;
	c->start_ns = (int64_t)u8_at(b + 32);
	c->duration_ns = (int64_t)u8_at(b + 40);
	c->start_ticks = (int64_t)u8_at(b + 48);
	c->ticks_per_second = (int64_t)u8_at(b + 56);
	if (c->ticks_per_second <= 0)
		return err_set(err, -EINVAL, "jfr: a clock of %" PRId64 " ticks a second",
			       c->ticks_per_second);
	*ret_metadata = metadata;
	return 0;
}

static int64_t clamp(__int128 value)
{
	return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

int64_t jfr_span_ns(const struct jfr_chunk *chunk, int64_t ticks)
{
	return clamp((__int128)ticks * NS_PER_S / chunk->ticks_per_second);
}

int64_t jfr_time_ns(const struct jfr_chunk *chunk, int64_t ticks)
{
	__int128 since = (__int128)ticks - chunk->start_ticks;

	return clamp(chunk->start_ns + since * NS_PER_S / chunk->ticks_per_second);
}

/* ---- events ---- */

struct jfr_reader jfr_events(const struct jfr_chunk *chunk)
{
	return (struct jfr_reader){chunk->bytes + JFR_HEADER_BYTES, chunk->bytes + chunk->size};
}

/* An event's size counts itself. */
static int event_next(const struct jfr_chunk *c, struct jfr_reader *events, uint64_t *ret_class,
		      struct jfr_reader *ret_fields, struct err *err)
{
	const uint8_t *from = events->at;
	struct jfr_reader at = *events;
	uint32_t size;

	if (at.at == at.end)
		return 0;
	bool whole = jfr_read_count(c, &at, &size);

	if (!whole || size > jfr_left(events) || size <= (size_t)(at.at - from))
		return err_set(err, -EINVAL, "jfr: the event at byte %td of the chunk is cut short",
			       from - c->bytes);
	at.end = from + size;
	if (!jfr_read_long(c, &at, ret_class))
		return err_set(err, -EINVAL, "jfr: the event at byte %td of the chunk has no class",
			       from - c->bytes);
	*ret_fields = at;
	events->at = at.end;
	return 1;
}

int jfr_event_next(const struct jfr_chunk *chunk, struct jfr_reader *events,
		   struct jfr_event *ret_event, struct err *err)
{
	uint64_t class;
	int rc = event_next(chunk, events, &class, &ret_event->fields, err);

	if (rc == 1)
		ret_event->class =
		    class <= CLASS_CHECKPOINT ? JFR_NONE : jfr_class_find(chunk, class);
	return rc;
}

/* ---- constants ---- */

int jfr_grow(struct jfr_chunk *c, void *array, size_t item_bytes, size_t *room, size_t want,
	     struct err *err)
{
	size_t most = c->limits.memory_bytes ? c->limits.memory_bytes : SIZE_MAX;
	size_t others = c->memory_bytes - *room * item_bytes, grown = MAX(want, *room * 2);
	size_t fits = (most - others) / item_bytes;
	void *old;

	if (want <= *room)
		return 0;
	if (want > fits)
		return err_set(err, -E2BIG, "jfr: a chunk's tables of %zu bytes, limit %zu (%s)",
			       others + want * item_bytes, most, c->limits.memory_setting);
	/* Half of what is left, not one more each time: that would move it as often as it grows. */
	if (grown > fits)
		grown = want + (fits - want) / 2;
	memcpy(&old, array, sizeof(old));
	void *moved = realloc(old, grown * item_bytes);

	if (!moved)
		return err_set(err, -ENOMEM, "jfr: out of memory");
	memcpy(array, &moved, sizeof(moved));
	*room = grown;
	c->memory_bytes = others + grown * item_bytes;
	return 0;
}

static int bad_constants(const struct jfr_chunk *c, const uint8_t *at, const char *what,
			 struct err *err)
{
	return err_set(err, -EINVAL, "jfr: constants at byte %td of the chunk: %s", at - c->bytes,
		       what);
}

static int pool_read(struct jfr_chunk *c, struct jfr_reader *at, struct err *err)
{
	const uint8_t *from = at->at;
	uint64_t id, key;
	uint32_t count;
	int rc = 0;

	if (!jfr_read_long(c, at, &id) || !jfr_read_count(c, at, &count))
		return bad_constants(c, from, "cut short", err);
	uint32_t number = jfr_class_find(c, id);

	if (number == JFR_NONE)
		return bad_constants(c, from, "their class is not described", err);
	struct jfr_class *class = &c->classes[number];

	for (uint32_t i = 0; !rc && i < count; i++) {
		const uint8_t *begin = at->at;

		if (!jfr_read_long(c, at, &key))
			return bad_constants(c, begin, "cut short", err);
		const struct jfr_constant constant = {key, (uint32_t)(at->at - c->bytes)};

		if (!jfr_skip_constant(c, at, number))
			return bad_constants(c, begin, "not as their class is described", err);
		rc = jfr_grow(c, &class->constants, sizeof(*class->constants),
			      &class->constants_room, class->constants_count + 1, err);
		if (!rc)
			class->constants[class->constants_count++] = constant;
	}
	return rc;
}

/* start, duration, distance to the checkpoint before it, flags; then the pools. */
static int checkpoint_read(struct jfr_chunk *c, struct jfr_reader at, struct err *err)
{
	const uint8_t *from = at.at;
	uint64_t unused;
	uint32_t pools;
	bool whole = jfr_read_long(c, &at, &unused) && jfr_read_long(c, &at, &unused) &&
		     jfr_read_long(c, &at, &unused) && jfr_left(&at);
	int rc = 0;

	at.at += whole;
	if (!whole || !jfr_read_count(c, &at, &pools))
		return bad_constants(c, from, "cut short", err);
	for (uint32_t i = 0; !rc && i < pools; i++)
		rc = pool_read(c, &at, err);
	return rc;
}

static int constant_order(const void *a, const void *b)
{
	const struct jfr_constant *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* Sort by key; of equal ones the last stays. */
static void constants_settle(struct jfr_class *class)
{
	struct jfr_constant *all = class->constants;
	size_t kept = 0;
	bool sorted = true;

	for (size_t i = 1; sorted && i < class->constants_count; i++)
		sorted = all[i - 1].key < all[i].key;
	if (sorted)
		return;
	qsort(all, class->constants_count, sizeof(*all), constant_order);
	for (size_t i = 0; i < class->constants_count; i++) {
		if (kept && all[kept - 1].key == all[i].key)
			kept--;
		all[kept++] = all[i];
	}
	class->constants_count = kept;
}

static int constants_read(struct jfr_chunk *c, struct err *err)
{
	struct jfr_reader events = jfr_events(c), fields;
	uint64_t class;
	int rc;

	while ((rc = event_next(c, &events, &class, &fields, err)) == 1) {
		rc = class == CLASS_CHECKPOINT ? checkpoint_read(c, fields, err) : 0;
		if (rc)
			break;
	}
	for (size_t i = 0; !rc && i < c->classes_count; i++)
		constants_settle(&c->classes[i]);
	return rc;
}

int64_t jfr_find(const struct jfr_chunk *chunk, uint32_t class, uint64_t key)
{
	if (class >= chunk->classes_count)
		return -1;
	const struct jfr_class *of = &chunk->classes[class];
	size_t low = 0, high = of->constants_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (of->constants[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < of->constants_count && of->constants[low].key == key ? (int64_t)low : -1;
}

struct jfr_cursor jfr_constant(const struct jfr_chunk *chunk, uint32_t class, size_t place)
{
	const uint8_t *at = chunk->bytes + chunk->classes[class].constants[place].at;

	return jfr_cursor_of(class, (struct jfr_reader){at, chunk->bytes + chunk->size});
}

/* ---- the whole ---- */

void jfr_chunk_close(struct jfr_chunk *chunk)
{
	for (size_t i = 0; i < chunk->classes_count; i++)
		free(chunk->classes[i].constants);
	free(chunk->classes);
	free(chunk->fields);
	*chunk = (struct jfr_chunk){0};
}

int jfr_chunk_open(const void *body, size_t len, const struct jfr_limits *limits,
		   struct jfr_chunk *ret_chunk, struct err *err)
{
	struct jfr_chunk c = {.bytes = body, .limits = *limits, .string_class = JFR_NONE};
	size_t metadata = 0;
	int rc = header_read(&c, len, &metadata, err);

	if (!rc)
		rc = jfr_metadata_read(&c, metadata, err);
	if (!rc)
		rc = constants_read(&c, err);
	if (rc)
		jfr_chunk_close(&c);
	else
		*ret_chunk = c;
	return rc;
}
