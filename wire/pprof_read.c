/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>

#include "wire/pprof_decoder.h"

__attribute__((cold, noinline)) static int bad_packed(struct pprof_decoder *d, const struct message *m,
						      uint32_t field)
{
	return err_set(d->err, -EINVAL, "pprof: %s.%s: a packed number is cut short or too long",
		       m->name, m->fields[field]);
}

__attribute__((cold, noinline)) static int bad_index(struct pprof_decoder *d, const struct message *m,
						     uint32_t field, uint64_t index)
{
	return err_set(d->err, -EINVAL, "pprof: %s.%s: string index %" PRIu64 " of %zu", m->name,
		       m->fields[field], index, d->p->strings_count);
}

__attribute__((cold, noinline)) static int bad_id(struct pprof_decoder *d, const struct message *m,
						  uint32_t field, uint64_t id)
{
	return err_set(d->err, -EINVAL, "pprof: %s.%s: id %" PRIu64 " is not in the profile",
		       m->name, m->fields[field], id);
}

/* ---- pass 2: tables ---- */

static inline int string_index(struct pprof_decoder *d, const struct message *m,
			       const struct proto_field *f, uint32_t *to)
{
	if (__builtin_expect(f->value >= d->p->strings_count, 0))
		return bad_index(d, m, f->number, f->value);
	*to = (uint32_t)f->value;
	return 0;
}

/* Line numbers are signed on the wire; what is none is unknown. */
static uint32_t line_number(uint64_t value)
{
	return value <= UINT32_MAX ? (uint32_t)value : 0;
}

int pprof_read_type(struct pprof_decoder *d, struct proto_reader reader, struct pprof_type *to)
{
	struct proto_field f;
	int rc;

	*to = (struct pprof_type){ 0 };
	while ((rc = field_next(d, &pprof_type_message, &reader, &f)) > 0) {
		if (f.number == 1)
			rc = string_index(d, &pprof_type_message, &f, &to->type);
		else if (f.number == 2)
			rc = string_index(d, &pprof_type_message, &f, &to->unit);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int read_mapping(struct pprof_decoder *d, struct proto_reader reader, struct pprof_mapping *to,
			uint64_t *ret_id)
{
	struct proto_field f;
	int rc;

	*to = (struct pprof_mapping){ 0 };
	*ret_id = 0;
	while ((rc = field_next(d, &pprof_mapping_message, &reader, &f)) > 0) {
		switch (f.number) {
		case 1:
			*ret_id = f.value;
			break;
		case 2:
			to->start = f.value;
			break;
		case 3:
			to->limit = f.value;
			break;
		case 4:
			to->file_offset = f.value;
			break;
		case 5:
			rc = string_index(d, &pprof_mapping_message, &f, &to->filename);
			break;
		case 6:
			rc = string_index(d, &pprof_mapping_message, &f, &to->build_id);
			break;
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int read_function(struct pprof_decoder *d, struct proto_reader reader, struct pprof_function *to,
			 uint64_t *ret_id)
{
	struct proto_field f;
	int rc;

	*to = (struct pprof_function){ 0 };
	*ret_id = 0;
	while ((rc = field_next(d, &pprof_function_message, &reader, &f)) > 0) {
		switch (f.number) {
		case 1:
			*ret_id = f.value;
			break;
		case 2:
			rc = string_index(d, &pprof_function_message, &f, &to->name);
			break;
		case 3:
			rc = string_index(d, &pprof_function_message, &f, &to->system_name);
			break;
		case 4:
			rc = string_index(d, &pprof_function_message, &f, &to->filename);
			break;
		case 5:
			to->start_line = line_number(f.value);
			break;
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int check_comments(struct pprof_decoder *d, struct proto_field f)
{
	uint32_t unused;

	if (f.type == PROTO_VARINT)
		return string_index(d, &pprof_profile_message, &f, &unused);
	while (proto_left(&f.bytes)) {
		if (!proto_packed_next(&f.bytes, &f.value))
			return bad_packed(d, &pprof_profile_message, f.number);
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

static int read_tables(struct pprof_decoder *d)
{
	struct proto_reader reader = d->body;
	struct pprof *p = d->p;
	size_t strings = 0, types = 0, mappings = 0, functions = 0;
	struct proto_field f;
	int rc;

	while ((rc = field_next(d, &pprof_profile_message, &reader, &f)) > 0) {
		switch (f.number) {
		case STRING:
			p->strings[strings++] =
				(struct pprof_text){ (uint32_t)(f.bytes.at - d->body.at),
						     (uint32_t)proto_left(&f.bytes) };
			break;
		case TYPE:
			rc = pprof_read_type(d, f.bytes, &p->types[types++]);
			break;
		case MAPPING:
			rc = read_mapping(d, f.bytes, &p->mappings[mappings],
					  &d->mapping_ids[mappings]);
			mappings++;
			break;
		case FUNCTION:
			rc = read_function(d, f.bytes, &p->functions[functions],
					   &d->function_ids[functions]);
			functions++;
			break;
		case SAMPLE:
		case LOCATION:
			break;
		default:
			rc = read_scalar(d, &f);
		}
		if (rc < 0)
			return rc;
	}
	if (!rc && p->strings[0].len)
		return err_set(d->err, -EINVAL, "pprof: the first string is not \"\"");
	return rc;
}

/* ---- pass 2: locations and samples ---- */

static int read_line(struct pprof_decoder *d, struct proto_reader reader, struct pprof_line *to)
{
	struct proto_field f;
	uint64_t id = 0;
	int rc;

	to->line = 0;
	while ((rc = field_next(d, &pprof_line_message, &reader, &f)) > 0) {
		if (f.number == 1)
			id = f.value;
		else if (f.number == 2)
			to->line = line_number(f.value);
	}
	to->function = idmap_find(&d->functions, id);
	if (to->function == IDMAP_NONE && !id)
		to->function = d->function_zero;
	else if (to->function == IDMAP_NONE)
		return bad_id(d, &pprof_line_message, 1, id);
	return rc;
}

static int read_location(struct pprof_decoder *d, struct proto_reader reader, size_t place, size_t *line)
{
	struct pprof_location *to = &d->p->locations[place];
	uint64_t id = 0, mapping = 0;
	struct proto_field f;
	int rc;

	*to = (struct pprof_location){ .lines_at = (uint32_t)*line };
	while ((rc = field_next(d, &pprof_location_message, &reader, &f)) > 0) {
		if (f.number == 1)
			id = f.value;
		else if (f.number == 2)
			mapping = f.value;
		else if (f.number == 3)
			to->address = f.value;
		else if (f.number == 4)
			rc = read_line(d, f.bytes, &d->p->lines[(*line)++]);
		if (rc < 0)
			return rc;
	}
	d->location_ids[place] = id;
	to->mapping = idmap_find(&d->mappings, mapping);
	if (to->mapping == IDMAP_NONE && mapping)
		return bad_id(d, &pprof_location_message, 2, mapping);
	return rc;
}

static int read_locations(struct pprof_decoder *d)
{
	struct proto_reader reader = d->locations;
	size_t place = 0, line = 0;
	struct proto_field f;
	int rc;

	while ((rc = field_next(d, &pprof_profile_message, &reader, &f)) > 0) {
		if (f.number != LOCATION)
			continue;
		rc = read_location(d, f.bytes, place++, &line);
		if (rc < 0)
			return rc;
	}
	d->p->locations[place] = (struct pprof_location){ .lines_at = (uint32_t)line };
	return rc;
}

static int read_label(struct pprof_decoder *d, struct proto_reader reader, struct pprof_label *to)
{
	uint32_t key = 0, text = 0, unit = 0;
	struct proto_field f;
	int64_t number = 0;
	int rc;

	while ((rc = field_next(d, &pprof_label_message, &reader, &f)) > 0) {
		if (f.number == 1)
			rc = string_index(d, &pprof_label_message, &f, &key);
		else if (f.number == 2)
			rc = string_index(d, &pprof_label_message, &f, &text);
		else if (f.number == 3)
			number = (int64_t)f.value;
		else if (f.number == 4)
			rc = string_index(d, &pprof_label_message, &f, &unit);
		if (rc < 0)
			return rc;
	}
	/* A label with a text has no number, whatever else it says: so pprof reads it. */
	*to = text ? (struct pprof_label){ .key = key, .text = text & INT32_MAX } :
		     (struct pprof_label){ .key = key,
					   .is_number = 1,
					   .text = unit & INT32_MAX,
					   .number = number };
	return rc;
}

static int read_stack(struct pprof_decoder *d, struct proto_field *f, uint32_t **stack)
{
	uint32_t *to = *stack;

	if (f->type == PROTO_VARINT) {
		*to = idmap_find(&d->location_map, f->value);
		if (*to++ == IDMAP_NONE)
			return bad_id(d, &pprof_sample_message, 1, f->value);
	}
	while (f->type == PROTO_BYTES && proto_left(&f->bytes)) {
		if (__builtin_expect(!proto_packed_next(&f->bytes, &f->value), 0))
			return bad_packed(d, &pprof_sample_message, 1);
		*to = idmap_find(&d->location_map, f->value);
		if (__builtin_expect(*to++ == IDMAP_NONE, 0))
			return bad_id(d, &pprof_sample_message, 1, f->value);
	}
	*stack = to;
	return 0;
}

static int read_values(struct pprof_decoder *d, struct proto_field *f, int64_t **values)
{
	if (f->type == PROTO_VARINT)
		*(*values)++ = (int64_t)f->value;
	while (f->type == PROTO_BYTES && proto_left(&f->bytes)) {
		if (!proto_packed_next(&f->bytes, &f->value))
			return bad_packed(d, &pprof_sample_message, 2);
		*(*values)++ = (int64_t)f->value;
	}
	return 0;
}

/* The arrays hold what pass 1 counted in the same bytes, so nothing is written beyond them. */
static int read_sample(struct pprof_decoder *d, struct proto_reader reader, uint32_t **stack,
		       int64_t **values, struct pprof_label **label)
{
	const int64_t *values_at = *values;
	struct proto_field f;
	int rc;

	while ((rc = field_next(d, &pprof_sample_message, &reader, &f)) > 0) {
		if (f.number == 1)
			rc = read_stack(d, &f, stack);
		else if (f.number == 2)
			rc = read_values(d, &f, values);
		else if (f.number == 3)
			rc = read_label(d, f.bytes, (*label)++);
		if (rc < 0)
			return rc;
	}
	if ((size_t)(*values - values_at) != d->p->types_count)
		return err_set(d->err, -EINVAL, "pprof: a sample has %td values for %zu types",
			       *values - values_at, d->p->types_count);
	return rc;
}

static int read_samples(struct pprof_decoder *d)
{
	struct proto_reader reader = d->samples;
	struct pprof *p = d->p;
	struct pprof_sample *sample = p->samples;
	struct pprof_label *label = p->labels;
	uint32_t *stack = p->stacks;
	int64_t *values = p->values;
	struct proto_field f;
	int rc;

	while ((rc = field_next(d, &pprof_profile_message, &reader, &f)) > 0) {
		if (f.number != SAMPLE)
			continue;
		*sample++ = (struct pprof_sample){ (uint32_t)(stack - p->stacks),
						   (uint32_t)(label - p->labels) };
		rc = read_sample(d, f.bytes, &stack, &values, &label);
		if (rc < 0)
			return rc;
	}
	*sample = (struct pprof_sample){ (uint32_t)(stack - p->stacks),
					 (uint32_t)(label - p->labels) };
	return rc;
}

static int map_ids(struct pprof_decoder *d, struct idmap *map, const uint64_t *ids, size_t count,
		   uint32_t **space, const struct message *m)
{
	int64_t twice = idmap_fill(map, ids, count, *space);

	if (twice >= 0)
		return err_set(d->err, -EINVAL, "pprof: %s id %" PRIu64 " twice", m->name,
			       ids[twice]);
	*space += idmap_space(ids, count);
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
	return rc ? rc : read_samples(d);
}

