/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>

#include "wire/pprof_decoder.h"

static int read_label(struct pprof_decoder *d, struct proto_reader reader, struct pprof_label *to)
{
	uint64_t n[5] = {0};
	uint32_t key = 0, text = 0, unit = 0;

	if (read_numbers(d, &pprof_label_message, reader, n, ARRAY_LEN(n)) < 0 ||
	    string_at(d, &pprof_label_message, n, 1, &key) < 0 ||
	    string_at(d, &pprof_label_message, n, 2, &text) < 0 ||
	    string_at(d, &pprof_label_message, n, 4, &unit) < 0)
		return -EINVAL;
	/* A label with a text has no number, whatever else it says: so pprof reads it. */
	*to = text ? (struct pprof_label){.key = key, .text = text & INT32_MAX}
		   : (struct pprof_label){.key = key,
					  .is_number = 1,
					  .text = unit & INT32_MAX,
					  .number = (int64_t)n[3]};
	return 0;
}

__attribute__((cold, noinline)) static int bad_stack(struct pprof_decoder *d)
{
	return err_set(d->err, -EINVAL,
		       "pprof: Sample.location_id: an id of a stack is not in the profile");
}

/*
 * Ids of one or two bytes, and of three within the table, until an id is none of these or the end
 * is near.  The table has a place for every id of two bytes (IDMAP_DIRECT_MIN), so those need no
 * comparison, and an id that is not there is seen once at the end: IDMAP_NONE has a bit that no
 * place has.
 */
static const uint8_t *read_stack_quick(const struct idmap *map, const uint8_t *at,
				       const uint8_t *end, uint32_t **stack, uint32_t *places)
{
	const uint32_t *direct = map->direct;
	uint64_t count = map->direct_count;
	uint32_t *to = *stack, all = 0;

	if (count < IDMAP_DIRECT_MIN)
		return at;
	for (const uint8_t *last = end - MIN(end - at, 2); at < last;) {
		uint32_t id = *at++;

		if (id >= 0x80) {
			uint32_t next = *at++;

			id += (next << 7) - 0x80;
			if (next >= 0x80) {
				id += ((uint32_t)*at << 14) - 0x4000;
				if (*at >= 0x80 || id >= count) {
					at -= 2;
					break;
				}
				at++;
			}
		}
		all |= *to++ = direct[id];
	}
	*stack = to;
	*places |= all;
	return at;
}

/* Room for as many places as there are bytes is room enough. */
static int stacks_room(struct pprof_decoder *d, size_t more)
{
	struct pprof *p = d->p;

	if (d->stacks_room - p->stacks_count >= more)
		return 0;
	return PPROF_GROW(d, stacks, p->stacks_count + more);
}

static int read_stack(struct pprof_decoder *d, struct proto_reader bytes)
{
	int rc = stacks_room(d, (size_t)(bytes.end - bytes.at));
	uint32_t *to = d->p->stacks + d->p->stacks_count, places = 0;
	uint64_t id = 0;

	while (!rc && bytes.at < bytes.end) {
		bytes.at = read_stack_quick(&d->location_map, bytes.at, bytes.end, &to, &places);
		if (bytes.at == bytes.end || places > INT32_MAX)
			break;
		bytes.at = proto_number(bytes.at, bytes.end, d->body.end, &id);
		if (!bytes.at)
			return pprof_bad_packed(d, &pprof_sample_message, 1);
		places |= *to++ = idmap_find(&d->location_map, id);
	}
	d->p->stacks_count = (size_t)(to - d->p->stacks);
	return places > INT32_MAX ? bad_stack(d) : rc;
}

static int read_place(struct pprof_decoder *d, uint64_t id)
{
	int rc = stacks_room(d, 1);
	uint32_t place = idmap_find(&d->location_map, id);

	if (!rc)
		d->p->stacks[d->p->stacks_count++] = place;
	return place == IDMAP_NONE ? pprof_bad_id(d, &pprof_sample_message, 1, id) : rc;
}

static int add_label(struct pprof_decoder *d, struct proto_reader bytes)
{
	struct pprof *p = d->p;

	if (p->labels_count == d->labels_room) {
		int rc = PPROF_GROW(d, labels, MAX(p->labels_count + 1, (size_t)64));

		if (rc)
			return rc;
	}
	return read_label(d, bytes, &p->labels[p->labels_count++]);
}

__attribute__((cold, noinline)) static int bad_values(struct pprof_decoder *d, bool more,
						      size_t count)
{
	return err_set(d->err, -EINVAL, "pprof: a sample has %s%zu values for %zu types",
		       more ? "more than " : "", count, d->p->types_count);
}

/* Where the next value goes, and where the values of this sample end. */
struct cursors {
	int64_t *values, *values_end;
};

static int read_values(struct pprof_decoder *d, struct proto_reader bytes, struct cursors *to)
{
	while (bytes.at < bytes.end) {
		uint64_t value;

		bytes.at = proto_number(bytes.at, bytes.end, d->body.end, &value);
		if (!bytes.at)
			return pprof_bad_packed(d, &pprof_sample_message, 2);
		if (to->values == to->values_end)
			return bad_values(d, true, d->p->types_count);
		*to->values++ = (int64_t)value;
	}
	return 0;
}

/* A field of a sample that needed the general reader. */
static int read_sample_field(struct pprof_decoder *d, const struct proto_field *f,
			     struct cursors *to)
{
	if (f->number == 3)
		return add_label(d, f->bytes);
	if (f->number > 3)
		return 0;
	if (f->type == PROTO_BYTES)
		return f->number == 1 ? read_stack(d, f->bytes) : read_values(d, f->bytes, to);
	if (f->number == 2) {
		if (to->values == to->values_end)
			return bad_values(d, true, d->p->types_count);
		*to->values++ = (int64_t)f->value;
		return 0;
	}
	return read_place(d, f->value);
}

static int read_sample(struct pprof_decoder *d, struct proto_reader reader, struct cursors *to)
{
	int rc = 0;

	to->values_end = to->values + d->p->types_count;
	while (!rc && reader.at < reader.end) {
		uint32_t tag = *reader.at;
		struct proto_reader bytes;
		struct proto_field f;

		if (tag == TAG_BYTES(1) && field_bytes(&reader, &bytes)) {
			rc = read_stack(d, bytes);
		} else if (tag == TAG_BYTES(2) && field_bytes(&reader, &bytes)) {
			rc = read_values(d, bytes, to);
		} else if (tag == TAG_BYTES(3) && field_bytes(&reader, &bytes)) {
			rc = add_label(d, bytes);
		} else {
			rc = pprof_field_any(d, &pprof_sample_message, &reader, &f);
			rc = rc < 0 ? rc : read_sample_field(d, &f, to);
		}
	}
	if (!rc && to->values != to->values_end)
		return bad_values(d, false,
				  d->p->types_count - (size_t)(to->values_end - to->values));
	return rc;
}

int pprof_read_samples(struct pprof_decoder *d)
{
	struct proto_reader span = d->samples, bytes;
	struct pprof *p = d->p;
	struct pprof_sample *sample = p->samples;
	struct cursors to = {p->values, p->values};
	int rc;

	while ((rc = span_next(d, &span, SAMPLE, &bytes)) > 0) {
		*sample++ =
		    (struct pprof_sample){(uint32_t)p->stacks_count, (uint32_t)p->labels_count};
		rc = read_sample(d, bytes, &to);
		if (rc < 0)
			return rc;
	}
	*sample = (struct pprof_sample){(uint32_t)p->stacks_count, (uint32_t)p->labels_count};
	return rc;
}
