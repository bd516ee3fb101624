/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/pprof.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "wire/pprof_decoder.h"

const struct message pprof_profile_message = {
    "Profile",
    MESSAGE(BIT(DROP) | BIT(KEEP) | BIT(TIME) | BIT(DURATION) | BIT(PERIOD) | BIT(COMMENT) |
		BIT(DEFAULT_TYPE) | BIT(DOC_URL),
	    BIT(TYPE) | BIT(SAMPLE) | BIT(MAPPING) | BIT(LOCATION) | BIT(FUNCTION) | BIT(STRING) |
		BIT(PERIOD_TYPE) | BIT(COMMENT)),
    {"", "sample_type", "sample", "mapping", "location", "function", "string_table", "drop_frames",
     "keep_frames", "time_nanos", "duration_nanos", "period_type", "period", "comment",
     "default_sample_type", "doc_url"}};
const struct message pprof_type_message = {
    "ValueType", MESSAGE(BIT(1) | BIT(2), 0u), {"", "type", "unit"}};
const struct message pprof_sample_message = {"Sample",
					     MESSAGE(BIT(1) | BIT(2), BIT(1) | BIT(2) | BIT(3)),
					     {"", "location_id", "value", "label"}};
const struct message pprof_label_message = {
    "Label", MESSAGE(BIT(1) | BIT(2) | BIT(3) | BIT(4), 0u), {"", "key", "str", "num", "num_unit"}};
const struct message pprof_mapping_message = {
    "Mapping",
    MESSAGE(0x7feu, 0u),
    {"", "id", "memory_start", "memory_limit", "file_offset", "filename", "build_id",
     "has_functions", "has_filenames", "has_line_numbers", "has_inline_frames"}};
const struct message pprof_location_message = {
    "Location",
    MESSAGE(BIT(1) | BIT(2) | BIT(3) | BIT(5), BIT(4)),
    {"", "id", "mapping_id", "address", "line", "is_folded"}};
const struct message pprof_line_message = {
    "Line", MESSAGE(BIT(1) | BIT(2) | BIT(3), 0u), {"", "function_id", "line", "column"}};
const struct message pprof_function_message = {
    "Function", MESSAGE(0x3eu, 0u), {"", "id", "name", "system_name", "filename", "start_line"}};

__attribute__((cold)) int pprof_malformed(struct pprof_decoder *d, const struct message *m,
					  const struct proto_reader *reader)
{
	return err_set(d->err, -EINVAL, "pprof: %s at byte %td: %s", m->name,
		       reader->at - d->body.at, proto_wrong(reader));
}

__attribute__((cold)) int pprof_wrong_type(struct pprof_decoder *d, const struct message *m,
					   const struct proto_field *f)
{
	return err_set(d->err, -EINVAL, "pprof: %s.%s has wire type %" PRIu32, m->name,
		       m->fields[f->number], f->type);
}

int pprof_field_any(struct pprof_decoder *d, const struct message *m, struct proto_reader *reader,
		    struct proto_field *f)
{
	int rc = proto_next(reader, f);

	if (rc <= 0)
		return rc ? pprof_malformed(d, m, reader) : 0;
	if (f->number < 32 && !(m->allowed[f->type] >> f->number & 1))
		return pprof_wrong_type(d, m, f);
	return 1;
}

/* ---- pass 1: how many of each there are ---- */

/* Remember where the fields of one kind begin and end, so that pass 2 walks little else. */
static void span_add(struct proto_reader *span, const uint8_t *from, const uint8_t *to)
{
	if (!span->at)
		span->at = from;
	span->end = to;
}

/* One field of the profile. Counted by number: a switch would cost more than the counting. */
static inline void count_field(struct pprof_decoder *d, uint32_t number, const uint8_t *from,
			       const uint8_t *to, size_t *counts)
{
	if (number == SAMPLE) {
		d->samples_together =
		    !counts[SAMPLE] || (d->samples_together && d->samples.end == from);
		span_add(&d->samples, from, to);
	} else if (number == LOCATION) {
		span_add(&d->locations, from, to);
	}
	counts[number]++;
}

static int count_fields(struct pprof_decoder *d, size_t *counts)
{
	struct proto_reader reader = d->body;
	struct proto_field f;

	while (reader.at < reader.end) {
		const uint8_t *from = reader.at;
		uint32_t tag = *from;
		struct proto_reader bytes;

		if (tag_is_table(tag) && field_bytes(&reader, &bytes)) {
			count_field(d, tag >> 3, from, bytes.end, counts);
			continue;
		}
		if (pprof_field_any(d, &pprof_profile_message, &reader, &f) < 0)
			return -EINVAL;
		if (f.number <= DOC_URL)
			count_field(d, f.number, from, reader.at, counts);
	}
	return 0;
}

static int count_all(struct pprof_decoder *d)
{
	size_t counts[DOC_URL + 1] = {0};
	struct pprof *p = d->p;

	if (count_fields(d, counts) < 0)
		return -EINVAL;
	if (counts[PERIOD_TYPE] > 1)
		return err_set(d->err, -EINVAL, "pprof: period_type twice");
	p->types_count = counts[TYPE];
	p->samples_count = counts[SAMPLE];
	p->mappings_count = counts[MAPPING];
	p->locations_count = counts[LOCATION];
	p->functions_count = counts[FUNCTION];
	p->strings_count = counts[STRING];
	p->has_period_type = counts[PERIOD_TYPE];
	return 0;
}

/* ---- memory ---- */

/* Give `*array` its place in the block (or only its size when there is none yet). */
static void carve(const struct pprof *p, size_t *at, void *array, size_t count, size_t size)
{
	if (p->memory) {
		void *place = (char *)p->memory + *at;

		memcpy(array, &place, sizeof(place));
	}
	*at += (count * size + 15) & ~(size_t)15;
}

static size_t carve_all(struct pprof *p)
{
	size_t at = 0;

	carve(p, &at, &p->strings, p->strings_count, sizeof(*p->strings));
	carve(p, &at, &p->types, p->types_count, sizeof(*p->types));
	carve(p, &at, &p->mappings, p->mappings_count, sizeof(*p->mappings));
	carve(p, &at, &p->functions, p->functions_count, sizeof(*p->functions));
	carve(p, &at, &p->locations, p->locations_count + 1, sizeof(*p->locations));
	carve(p, &at, &p->samples, p->samples_count + 1, sizeof(*p->samples));
	carve(p, &at, &p->values, p->values_count, sizeof(*p->values));
	return at;
}

static int check_counts(struct pprof_decoder *d)
{
	struct pprof *p = d->p;

	if (!p->strings_count)
		return err_set(d->err, -EINVAL, "pprof: no string table");
	if (p->samples_count && !p->types_count)
		return err_set(d->err, -EINVAL, "pprof: samples without a sample type");
	/* Each takes two bytes of the body at least, so both factors are below 2^30. */
	p->values_count = p->samples_count * p->types_count;
	return 0;
}

static int over_limit(struct pprof_decoder *d, size_t bytes)
{
	return err_set(d->err, -E2BIG, "pprof: tables of %zu bytes, limit %zu (%s)", bytes,
		       d->limits->memory_bytes, d->limits->memory_setting);
}

static int block_take(struct pprof_block *block, size_t bytes)
{
	if (block->at && block->bytes >= bytes)
		return 0;
	free(block->at);
	block->at = malloc(bytes);
	block->bytes = block->at ? bytes : 0;
	return block->at ? 0 : -ENOMEM;
}

/* Counts are below 2^31, values below 2^60, so sums of sizes cannot overflow. */
static int memory_take(struct pprof_decoder *d)
{
	struct pprof *p = d->p;
	size_t ids = p->mappings_count + p->functions_count + p->locations_count;
	size_t bytes = carve_all(p);
	size_t maps = ids * sizeof(uint64_t) +
		      (IDMAP_SPACE_MAX(ids) + 2 * IDMAP_SPACE_MAX(0)) * sizeof(uint32_t);

	d->taken = bytes + maps;
	if (d->limits->memory_bytes && d->taken > d->limits->memory_bytes)
		return over_limit(d, d->taken);
	if (block_take(&d->room->tables, bytes) || block_take(&d->room->ids, maps))
		return err_set(d->err, -ENOMEM, "pprof: out of memory");
	p->memory = d->room->tables.at;
	p->memory_bytes = bytes;
	(void)carve_all(p);
	d->mapping_ids = d->room->ids.at;
	d->function_ids = d->mapping_ids + p->mappings_count;
	d->location_ids = d->function_ids + p->functions_count;
	/* First guesses: a line for each location, two bytes for each place of a stack. */
	int rc = PPROF_GROW(d, lines, p->locations_count + 1);

	if (!rc)
		rc = PPROF_GROW(d, stacks, (size_t)(d->samples.end - d->samples.at) / 4 + 1);
	return rc ? rc : PPROF_GROW(d, labels, 1);
}

int pprof_grow(struct pprof_decoder *d, struct pprof_block *block, void *array, size_t item_bytes,
	       size_t *room, size_t want)
{
	size_t most = d->limits->memory_bytes ? d->limits->memory_bytes : SIZE_MAX;
	size_t grown = MAX(want, *room * 2), others = d->taken - *room * item_bytes;
	size_t fits = (most - others) / item_bytes;

	if (want > fits)
		return over_limit(d, others + want * item_bytes);
	/* Half of what is left, not one more each time: that would move it as often as it grows. */
	if (grown > fits)
		grown = want + (fits - want) / 2;
	if (!block->at || grown * item_bytes > block->bytes) {
		void *moved = realloc(block->at, grown * item_bytes);

		if (!moved)
			return err_set(d->err, -ENOMEM, "pprof: out of memory");
		*block = (struct pprof_block){moved, grown * item_bytes};
	}
	memcpy(array, &block->at, sizeof(block->at));
	*room = grown;
	d->taken = others + grown * item_bytes;
	return 0;
}

int pprof_decode_in(struct pprof_room *room, const void *body, size_t len,
		    const struct pprof_limits *limits, struct pprof *ret_pprof, struct err *err)
{
	struct pprof p = {.body = body};
	struct pprof_decoder d = {.p = &p,
				  .body = proto_reader_of(body, len),
				  .room = room,
				  .err = err,
				  .limits = limits};

	if (len > PROTO_LENGTH_MAX)
		return err_set(err, -E2BIG, "pprof: body of %zu bytes, the format's limit is %zu",
			       len, (size_t)PROTO_LENGTH_MAX);
	int rc = count_all(&d);

	if (!rc)
		rc = check_counts(&d);
	if (!rc)
		rc = memory_take(&d);
	if (!rc)
		rc = pprof_read_all(&d);
	if (rc)
		return rc;
	p.memory_bytes += p.lines_count * sizeof(*p.lines) + p.stacks_count * sizeof(*p.stacks) +
			  p.labels_count * sizeof(*p.labels);
	*ret_pprof = p;
	return 0;
}

/* Give back what an array grew too far. */
static int block_fit(struct pprof_block *block, void *array, size_t count, size_t item_bytes)
{
	size_t bytes = MAX(count, (size_t)1) * item_bytes;
	void *moved = block->bytes == bytes ? block->at : realloc(block->at, bytes);

	if (!moved)
		return -ENOMEM;
	*block = (struct pprof_block){moved, bytes};
	memcpy(array, &moved, sizeof(moved));
	return 0;
}

int pprof_decode(const void *body, size_t len, const struct pprof_limits *limits,
		 struct pprof *ret_pprof, struct err *err)
{
	struct pprof_room room = {0};
	struct pprof p;
	int rc = pprof_decode_in(&room, body, len, limits, &p, err);

	if (!rc && (block_fit(&room.lines, &p.lines, p.lines_count, sizeof(*p.lines)) ||
		    block_fit(&room.stacks, &p.stacks, p.stacks_count, sizeof(*p.stacks)) ||
		    block_fit(&room.labels, &p.labels, p.labels_count, sizeof(*p.labels))))
		rc = err_set(err, -ENOMEM, "pprof: out of memory");
	if (rc) {
		pprof_room_release(&room);
		return rc;
	}
	free(room.ids.at);
	*ret_pprof = p;
	return 0;
}

void pprof_release(struct pprof *pprof)
{
	free(pprof->memory);
	free(pprof->lines);
	free(pprof->stacks);
	free(pprof->labels);
	*pprof = (struct pprof){0};
}

size_t pprof_room_bytes(const struct pprof_room *room)
{
	return room->tables.bytes + room->ids.bytes + room->lines.bytes + room->stacks.bytes +
	       room->labels.bytes;
}

void pprof_room_release(struct pprof_room *room)
{
	free(room->tables.at);
	free(room->ids.at);
	free(room->lines.at);
	free(room->stacks.at);
	free(room->labels.at);
	*room = (struct pprof_room){0};
}

#define SNIFF_FIELDS 64

bool pprof_sniff(const void *body, size_t len)
{
	struct proto_reader reader = proto_reader_of(body, len);
	struct err unused;
	struct pprof p = {.strings_count = SIZE_MAX};
	struct pprof_decoder d = {.p = &p, .body = reader, .err = &unused};
	struct pprof_type type;
	struct proto_field f;
	int rc = 0;

	for (size_t i = 0; i < SNIFF_FIELDS; i++) {
		rc = pprof_field_any(&d, &pprof_profile_message, &reader, &f);
		if (rc <= 0)
			break;
		if (f.number > DOC_URL)
			return false;
		if (f.number == TYPE || f.number == PERIOD_TYPE)
			rc = pprof_read_type(&d, f.bytes, &type);
		if (rc < 0)
			break;
	}
	return len && rc >= 0;
}
