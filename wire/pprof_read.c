/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "wire/pprof_decoder.h"

__attribute__((cold)) int pprof_bad_packed(struct pprof_decoder *d, const struct message *m,
					   uint32_t field)
{
	return err_set(d->err, -EINVAL, "pprof: %s.%s: a packed number is cut short or too long",
		       m->name, m->fields[field]);
}

__attribute__((cold)) int pprof_bad_index(struct pprof_decoder *d, const struct message *m,
					  uint32_t field, uint64_t index)
{
	return err_set(d->err, -EINVAL, "pprof: %s.%s: string index %" PRIu64 " of %zu", m->name,
		       m->fields[field], index, d->p->strings_count);
}

__attribute__((cold)) int pprof_bad_id(struct pprof_decoder *d, const struct message *m,
				       uint32_t field, uint64_t id)
{
	return err_set(d->err, -EINVAL, "pprof: %s.%s: id %" PRIu64 " is not in the profile",
		       m->name, m->fields[field], id);
}

/* ---- pass 2: tables ---- */

static int string_index(struct pprof_decoder *d, const struct message *m,
			const struct proto_field *f, uint32_t *to)
{
	if (f->value >= d->p->strings_count)
		return pprof_bad_index(d, m, f->number, f->value);
	*to = (uint32_t)f->value;
	return 0;
}

int pprof_read_type(struct pprof_decoder *d, struct proto_reader reader, struct pprof_type *to)
{
	uint64_t n[3] = {0};
	int rc = read_numbers(d, &pprof_type_message, reader, n, ARRAY_LEN(n));

	if (!rc)
		rc = string_at(d, &pprof_type_message, n, 1, &to->type);
	return rc ? rc : string_at(d, &pprof_type_message, n, 2, &to->unit);
}

static int read_mapping(struct pprof_decoder *d, struct proto_reader reader,
			struct pprof_mapping *to, uint64_t *ret_id)
{
	uint64_t n[11] = {0};

	*to = (struct pprof_mapping){0};
	if (read_numbers(d, &pprof_mapping_message, reader, n, ARRAY_LEN(n)) < 0 ||
	    string_at(d, &pprof_mapping_message, n, 5, &to->filename) < 0 ||
	    string_at(d, &pprof_mapping_message, n, 6, &to->build_id) < 0)
		return -EINVAL;
	*ret_id = n[1];
	to->start = n[2];
	to->limit = n[3];
	to->file_offset = n[4];
	return 0;
}

static int read_function(struct pprof_decoder *d, struct proto_reader reader,
			 struct pprof_function *to, uint64_t *ret_id)
{
	uint64_t n[6] = {0};

	if (read_numbers(d, &pprof_function_message, reader, n, ARRAY_LEN(n)) < 0 ||
	    string_at(d, &pprof_function_message, n, 2, &to->name) < 0 ||
	    string_at(d, &pprof_function_message, n, 3, &to->system_name) < 0 ||
	    string_at(d, &pprof_function_message, n, 4, &to->filename) < 0)
		return -EINVAL;
	*ret_id = n[1];
	to->start_line = line_number(n[5]);
	return 0;
}

static int check_comments(struct pprof_decoder *d, struct proto_field f)
{
	uint32_t unused;

	if (f.type == PROTO_VARINT)
		return string_index(d, &pprof_profile_message, &f, &unused);
	while (proto_left(&f.bytes)) {
		f.bytes.at = proto_number(f.bytes.at, f.bytes.end, d->body.end, &f.value);
		if (!f.bytes.at)
			return pprof_bad_packed(d, &pprof_profile_message, f.number);
		if (string_index(d, &pprof_profile_message, &f, &unused) < 0)
			return -EINVAL;
	}
	return 0;
}

static int read_scalar(struct pprof_decoder *d, const struct proto_field *f)
{
	struct pprof *p = d->p;
	uint32_t unused;

	switch (f->number) {
	case TIME:
		p->time_ns = (int64_t)f->value;
		return 0;
	case DURATION:
		p->duration_ns = (int64_t)f->value;
		return 0;
	case PERIOD:
		p->period = (int64_t)f->value;
		return 0;
	case DEFAULT_TYPE:
		return string_index(d, &pprof_profile_message, f, &p->default_type);
	case DROP:
	case KEEP:
	case DOC_URL:
		return string_index(d, &pprof_profile_message, f, &unused);
	case COMMENT:
		return check_comments(d, *f);
	case PERIOD_TYPE:
		return pprof_read_type(d, f->bytes, &p->period_type);
	}
	return 0;
}

struct places {
	size_t strings, types, mappings, functions;
};

static int read_table(struct pprof_decoder *d, uint32_t number, struct proto_reader bytes,
		      struct places *at)
{
	struct pprof *p = d->p;
	size_t place;

	switch (number) {
	case STRING:
		p->strings[at->strings++] = (struct pprof_text){(uint32_t)(bytes.at - d->body.at),
								(uint32_t)(bytes.end - bytes.at)};
		return 0;
	case FUNCTION:
		place = at->functions++;
		return read_function(d, bytes, &p->functions[place], &d->function_ids[place]);
	case MAPPING:
		place = at->mappings++;
		return read_mapping(d, bytes, &p->mappings[place], &d->mapping_ids[place]);
	case TYPE:
		return pprof_read_type(d, bytes, &p->types[at->types++]);
	}
	return 0;
}

static int read_tables(struct pprof_decoder *d)
{
	struct proto_reader reader = d->body;
	struct places at = {0};
	struct proto_field f;
	int rc = 0;

	while (!rc && reader.at < reader.end) {
		/* Nothing but samples here: they come last. */
		if (reader.at == d->samples.at && d->samples_together)
			reader.at = d->samples.end;
		if (reader.at == reader.end)
			break;
		uint32_t tag = *reader.at;
		struct proto_reader bytes;

		if (tag_is_table(tag) && field_bytes(&reader, &bytes)) {
			rc = read_table(d, tag >> 3, bytes, &at);
			continue;
		}
		rc = pprof_field_any(d, &pprof_profile_message, &reader, &f);
		if (rc < 0)
			return rc;
		rc =
		    f.number <= STRING ? read_table(d, f.number, f.bytes, &at) : read_scalar(d, &f);
	}
	if (!rc && d->p->strings[0].len)
		return err_set(d->err, -EINVAL, "pprof: the first string is not \"\"");
	return rc;
}

/* ---- pass 2: locations ---- */

static inline int read_line(struct pprof_decoder *d, struct proto_reader reader,
			    struct pprof_line *to)
{
	uint64_t n[4] = {0};

	if (read_numbers(d, &pprof_line_message, reader, n, ARRAY_LEN(n)) < 0)
		return -EINVAL;
	to->line = line_number(n[2]);
	to->function = idmap_find(&d->functions, n[1]);
	if (__builtin_expect(to->function != IDMAP_NONE, 1))
		return 0;
	if (n[1])
		return pprof_bad_id(d, &pprof_line_message, 1, n[1]);
	to->function = d->function_zero;
	return 0;
}

static inline int add_line(struct pprof_decoder *d, struct proto_reader bytes)
{
	struct pprof *p = d->p;

	if (p->lines_count == d->lines_room) {
		int rc = PPROF_GROW(d, lines, p->lines_count + 1);

		if (rc)
			return rc;
	}
	return read_line(d, bytes, &p->lines[p->lines_count++]);
}

static int read_location(struct pprof_decoder *d, struct proto_reader reader, size_t place)
{
	struct pprof_location *to = &d->p->locations[place];
	uint64_t n[6] = {0};
	struct proto_field f;

	int rc = 0;

	to->lines_at = (uint32_t)d->p->lines_count;
	while (reader.at < reader.end) {
		uint32_t tag = *reader.at;

		if (tag == TAG_BYTES(4) && field_bytes(&reader, &f.bytes)) {
			rc = add_line(d, f.bytes);
			if (rc)
				return rc;
			continue;
		}
		uint32_t field = number_field(tag);

		if (field - 1 < ARRAY_LEN(n) - 1 && field != 4) {
			const uint8_t *at =
			    proto_number(reader.at + 1, reader.end, d->body.end, &n[field]);

			if (!at)
				return pprof_malformed(d, &pprof_location_message, &reader);
			reader.at = at;
			continue;
		}
		if (pprof_field_any(d, &pprof_location_message, &reader, &f) < 0)
			return -EINVAL;
		rc = f.number == 4 ? add_line(d, f.bytes) : 0;
		if (rc)
			return rc;
		if (f.number < ARRAY_LEN(n))
			n[f.number] = f.value;
	}
	d->location_ids[place] = n[1];
	to->address = n[3];
	to->mapping = idmap_find(&d->mappings, n[2]);
	if (to->mapping == IDMAP_NONE && n[2])
		return pprof_bad_id(d, &pprof_location_message, 2, n[2]);
	return 0;
}

static int read_locations(struct pprof_decoder *d)
{
	struct proto_reader span = d->locations, bytes;
	size_t place = 0;
	int rc;

	while ((rc = span_next(d, &span, LOCATION, &bytes)) > 0) {
		rc = read_location(d, bytes, place++);
		if (rc < 0)
			return rc;
	}
	d->p->locations[place] = (struct pprof_location){.lines_at = (uint32_t)d->p->lines_count};
	return rc;
}

static int map_ids(struct pprof_decoder *d, struct idmap *map, const uint64_t *ids, size_t count,
		   uint32_t **space, const struct message *m)
{
	size_t used;
	int64_t twice = idmap_fill(map, ids, count, *space, map == &d->location_map, &used);

	if (twice >= 0)
		return err_set(d->err, -EINVAL, "pprof: %s id %" PRIu64 " twice", m->name,
			       ids[twice]);
	*space += used;
	return 0;
}

/*
 * A .NET client leaves the ids of all functions out and means their places, counted from 1.  Of a
 * single function the id may as well be the 0 that it has.
 */
static void functions_number(struct pprof_decoder *d)
{
	size_t count = d->p->functions_count;

	d->function_zero = PPROF_NONE;
	for (size_t i = 0; i < count; i++)
		if (d->function_ids[i])
			return;
	for (size_t i = 0; i < count; i++)
		d->function_ids[i] = i + 1;
	if (count == 1)
		d->function_zero = 0;
}

int pprof_read_all(struct pprof_decoder *d)
{
	struct pprof *p = d->p;
	int rc = read_tables(d);
	uint32_t *space = (uint32_t *)(d->location_ids + p->locations_count);

	if (!rc)
		rc = map_ids(d, &d->mappings, d->mapping_ids, p->mappings_count, &space,
			     &pprof_mapping_message);
	if (!rc)
		functions_number(d);
	if (!rc)
		rc = map_ids(d, &d->functions, d->function_ids, p->functions_count, &space,
			     &pprof_function_message);
	if (!rc)
		rc = read_locations(d);
	if (!rc)
		rc = map_ids(d, &d->location_map, d->location_ids, p->locations_count, &space,
			     &pprof_location_message);
	return rc ? rc : pprof_read_samples(d);
}
