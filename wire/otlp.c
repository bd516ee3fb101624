/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/otlp.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>

/* Field numbers of ProfilesDictionary. */
enum table { MAPPING = 1, LOCATION, FUNCTION, LINK, STRING, ATTRIBUTE, STACK, TABLES };

struct counts {
	size_t of[TABLES], lines, indexes;
};

struct reader {
	struct otlp_dictionary *d;
	struct counts sizes; /* what there is room for */
	const uint8_t *readable;
	struct err *err;
};

static int wrong(const struct proto_reader *at, const char *what, struct err *err)
{
	return err_set(err, -EINVAL, "otlp: %s: %s", what, proto_wrong(at));
}

/* ---- walking ---- */

/* Call `each` for every field `number` of a message that is a message itself. */
static int each_message(struct proto_reader message, uint32_t number, const char *what,
			int (*each)(void *arg, uint32_t number, struct proto_reader inner),
			void *arg, struct err *err)
{
	struct proto_field field;
	int rc;

	while ((rc = proto_next(&message, &field)) == 1) {
		if ((number && field.number != number) || field.type != PROTO_BYTES)
			continue;
		rc = each(arg, field.number, field.bytes);
		if (rc)
			return rc;
	}
	return rc < 0 ? wrong(&message, what, err) : 0;
}

static size_t packed_count(const struct reader *r, const struct proto_field *field)
{
	return field->type == PROTO_BYTES ? proto_packed_count(field->bytes, r->readable) : 1;
}

/* ---- the first pass ---- */

static int count_entry(void *arg, uint32_t number, struct proto_reader entry)
{
	struct reader *r = arg;
	struct proto_field field;
	int rc;

	if (!number || number >= TABLES)
		return 0;
	r->sizes.of[number]++;
	/* Only these own runs: lines of a location (3), attributes (4 and 5), a stack's locations
	 * (1). */
	if (number != LOCATION && number != MAPPING && number != STACK)
		return 0;
	while ((rc = proto_next(&entry, &field)) == 1) {
		if (number == LOCATION)
			r->sizes.lines += field.number == 3;
		if ((number == MAPPING && field.number == 5) ||
		    (number == STACK && field.number == 1))
			r->sizes.indexes += packed_count(r, &field);
	}
	return rc < 0 ? wrong(&entry, "an entry of the dictionary", r->err) : 0;
}

static int count_dictionary(void *arg, uint32_t number, struct proto_reader dictionary)
{
	struct reader *r = arg;

	(void)number;
	return each_message(dictionary, 0, "dictionary", count_entry, r, r->err);
}

/* One more of each than was counted: number 0 is there even where a table is empty. */
static void *carve(char **at, size_t *ret_total, size_t count, size_t size)
{
	void *mine = *at ? *at + *ret_total : NULL;

	*ret_total += (count + 1) * size + 15;
	*ret_total &= ~(size_t)15;
	return mine;
}

static size_t lay_out(struct otlp_dictionary *d, const struct counts *n, char *memory)
{
	size_t total = 0;

	d->strings = carve(&memory, &total, n->of[STRING], sizeof(*d->strings));
	d->mappings = carve(&memory, &total, n->of[MAPPING], sizeof(*d->mappings));
	d->functions = carve(&memory, &total, n->of[FUNCTION], sizeof(*d->functions));
	d->lines = carve(&memory, &total, n->lines, sizeof(*d->lines));
	d->locations = carve(&memory, &total, n->of[LOCATION], sizeof(*d->locations));
	d->links = carve(&memory, &total, n->of[LINK], sizeof(*d->links));
	d->attributes = carve(&memory, &total, n->of[ATTRIBUTE], sizeof(*d->attributes));
	d->stacks = carve(&memory, &total, n->of[STACK], sizeof(*d->stacks));
	d->indexes = carve(&memory, &total, n->indexes, sizeof(*d->indexes));
	return total;
}

/* ---- the second pass ---- */

static uint32_t index_of(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* Append packed or single numbers to `indexes`. */
static int indexes_add(struct reader *r, const struct proto_field *field, struct otlp_run *run)
{
	struct otlp_dictionary *d = r->d;
	const uint8_t *at = field->bytes.at;
	uint64_t value = field->value;

	if (!run->count)
		run->at = (uint32_t)d->indexes_count;
	if (field->type != PROTO_BYTES) {
		d->indexes[d->indexes_count++] = index_of(value);
		run->count++;
		return 0;
	}
	while (at < field->bytes.end) {
		at = proto_number(at, field->bytes.end, r->readable, &value);
		if (!at)
			return err_set(r->err, -EINVAL, "otlp: a packed number is cut short");
		d->indexes[d->indexes_count++] = index_of(value);
		run->count++;
	}
	return 0;
}

static int mapping_read(struct reader *r, struct proto_reader entry)
{
	struct otlp_mapping *m = &r->d->mappings[r->d->mappings_count++];
	struct proto_field f;
	int rc = 0;

	*m = (struct otlp_mapping){0};
	while (!rc && proto_next(&entry, &f) == 1) {
		if (f.number == 1)
			m->start = f.value;
		else if (f.number == 2)
			m->limit = f.value;
		else if (f.number == 3)
			m->file_offset = f.value;
		else if (f.number == 4)
			m->filename = index_of(f.value);
		else if (f.number == 5)
			rc = indexes_add(r, &f, &m->attributes);
	}
	return rc;
}

static int line_read(struct reader *r, struct proto_reader bytes)
{
	struct otlp_line *line = &r->d->lines[r->d->lines_count++];
	struct proto_field f;
	int rc;

	*line = (struct otlp_line){0};
	while ((rc = proto_next(&bytes, &f)) == 1) {
		if (f.number == 1)
			line->function = index_of(f.value);
		else if (f.number == 2)
			line->line = (int64_t)f.value;
	}
	return rc < 0 ? wrong(&bytes, "a line", r->err) : 0;
}

static int location_read(struct reader *r, struct proto_reader entry)
{
	struct otlp_location *l = &r->d->locations[r->d->locations_count++];
	struct proto_field f;
	int rc = 0;

	*l = (struct otlp_location){.lines = {(uint32_t)r->d->lines_count, 0}};
	while (!rc && proto_next(&entry, &f) == 1) {
		if (f.number == 1)
			l->mapping = index_of(f.value);
		else if (f.number == 2)
			l->address = f.value;
		else if (f.number == 3 && f.type != PROTO_BYTES)
			return err_set(r->err, -EINVAL, "otlp: a line is no message");
		else if (f.number == 3)
			rc = line_read(r, f.bytes);
	}
	l->lines.count = (uint32_t)r->d->lines_count - l->lines.at;
	return rc;
}

static int function_read(struct reader *r, struct proto_reader entry)
{
	struct otlp_function *fn = &r->d->functions[r->d->functions_count++];
	struct proto_field f;
	int rc;

	*fn = (struct otlp_function){0};
	while ((rc = proto_next(&entry, &f)) == 1) {
		if (f.number == 1)
			fn->name = index_of(f.value);
		else if (f.number == 2)
			fn->system_name = index_of(f.value);
		else if (f.number == 3)
			fn->filename = index_of(f.value);
		else if (f.number == 4)
			fn->start_line = (int64_t)f.value;
	}
	return rc < 0 ? wrong(&entry, "a function", r->err) : 0;
}

static int link_read(struct reader *r, struct proto_reader entry)
{
	struct otlp_link *link = &r->d->links[r->d->links_count++];
	struct proto_field f;
	int rc;

	*link = (struct otlp_link){0};
	while ((rc = proto_next(&entry, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_BYTES &&
		    proto_left(&f.bytes) == sizeof(link->trace_id))
			memcpy(link->trace_id, f.bytes.at, sizeof(link->trace_id));
		else if (f.number == 2 && f.type == PROTO_BYTES &&
			 proto_left(&f.bytes) == sizeof(link->span_id))
			memcpy(link->span_id, f.bytes.at, sizeof(link->span_id));
	}
	return rc < 0 ? wrong(&entry, "a link", r->err) : 0;
}

static int64_t whole(uint64_t bits)
{
	double real;

	memcpy(&real, &bits, sizeof(real));
	return real > -0x1p62 && real < 0x1p62 ? (int64_t)real : 0;
}

/* Arrays and lists are no labels. */
static int any_value(const struct otlp_dictionary *d, struct proto_reader bytes,
		     struct otlp_value *ret)
{
	struct proto_field f;
	int rc;

	*ret = (struct otlp_value){0};
	while ((rc = proto_next(&bytes, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_BYTES)
			*ret = (struct otlp_value){.kind = OTLP_TEXT, .text = proto_str(&f)};
		else if ((f.number == 2 || f.number == 3) && f.type == PROTO_VARINT)
			*ret = (struct otlp_value){.kind = OTLP_NUMBER, .number = (int64_t)f.value};
		else if (f.number == 4 && f.type == PROTO_FIXED64)
			*ret = (struct otlp_value){.kind = OTLP_NUMBER, .number = whole(f.value)};
		else if (f.number == 8 && f.type == PROTO_VARINT)
			*ret =
			    (struct otlp_value){.kind = OTLP_TEXT, .text = otlp_string(d, f.value)};
	}
	return rc;
}

int otlp_key_value(const struct otlp_dictionary *d, struct proto_reader bytes,
		   struct otlp_attribute *ret)
{
	struct proto_field f;
	int rc;

	*ret = (struct otlp_attribute){0};
	while ((rc = proto_next(&bytes, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_BYTES)
			ret->key = proto_str(&f);
		else if (f.number == 2 && f.type == PROTO_BYTES)
			rc = any_value(d, f.bytes, &ret->value);
		else if (f.number == 3 && f.type == PROTO_VARINT)
			ret->key = otlp_string(d, f.value);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* KeyValueAndUnit: key and unit are numbers of strings, which may stand behind this entry. */
static int attribute_read(struct reader *r, struct proto_reader entry)
{
	struct otlp_attribute *a = &r->d->attributes[r->d->attributes_count++];
	struct proto_field f;
	int rc;

	*a = (struct otlp_attribute){0};
	while ((rc = proto_next(&entry, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_VARINT)
			a->key = otlp_string(r->d, f.value);
		else if (f.number == 2 && f.type == PROTO_BYTES)
			rc = any_value(r->d, f.bytes, &a->value);
		else if (f.number == 3 && f.type == PROTO_VARINT)
			a->unit = otlp_string(r->d, f.value);
		if (rc < 0)
			break;
	}
	return rc < 0 ? wrong(&entry, "an attribute", r->err) : 0;
}

static int stack_read(struct reader *r, struct proto_reader entry)
{
	struct otlp_run *run = &r->d->stacks[r->d->stacks_count++];
	struct proto_field f;
	int rc = 0;

	*run = (struct otlp_run){(uint32_t)r->d->indexes_count, 0};
	while (!rc && proto_next(&entry, &f) == 1)
		if (f.number == 1)
			rc = indexes_add(r, &f, run);
	return rc;
}

static int strings_entry(void *arg, uint32_t number, struct proto_reader entry)
{
	struct reader *r = arg;

	if (number == STRING)
		r->d->strings[r->d->strings_count++] =
		    (struct str){(const char *)entry.at, proto_left(&entry)};
	return 0;
}

static int tables_entry(void *arg, uint32_t number, struct proto_reader entry)
{
	switch (number) {
	case MAPPING:
		return mapping_read(arg, entry);
	case LOCATION:
		return location_read(arg, entry);
	case FUNCTION:
		return function_read(arg, entry);
	case LINK:
		return link_read(arg, entry);
	case ATTRIBUTE:
		return attribute_read(arg, entry);
	case STACK:
		return stack_read(arg, entry);
	default:
		return 0;
	}
}

static int fill_strings(void *arg, uint32_t number, struct proto_reader dictionary)
{
	struct reader *r = arg;

	(void)number;
	return each_message(dictionary, STRING, "dictionary", strings_entry, r, r->err);
}

static int fill_tables(void *arg, uint32_t number, struct proto_reader dictionary)
{
	struct reader *r = arg;

	(void)number;
	return each_message(dictionary, 0, "dictionary", tables_entry, r, r->err);
}

/* Number 0 where nothing else stands there. */
static void complete(struct otlp_dictionary *d)
{
#define COMPLETE(table)                                                                            \
	if (!d->table##_count) {                                                                   \
		memset(d->table, 0, sizeof(*d->table));                                            \
		d->table##_count = 1;                                                              \
	}
	COMPLETE(strings)
	COMPLETE(mappings)
	COMPLETE(functions)
	COMPLETE(locations)
	COMPLETE(links)
	COMPLETE(attributes)
	COMPLETE(stacks)
#undef COMPLETE
}

int otlp_dictionary_read(struct str body, size_t memory_max, const char *memory_setting,
			 struct otlp_dictionary *ret, struct err *err)
{
	struct proto_reader whole_body = proto_reader_of(body.ptr, body.len);
	struct reader r = {.d = ret, .readable = whole_body.end, .err = err};
	int rc;

	*ret = (struct otlp_dictionary){0};
	rc = each_message(whole_body, 2, "request", count_dictionary, &r, err);
	if (rc)
		return rc;
	size_t bytes = lay_out(ret, &r.sizes, NULL);

	if (memory_max && bytes > memory_max)
		return err_set(err, -E2BIG, "otlp: the dictionary takes %zu bytes, limit %zu (%s)",
			       bytes, memory_max, memory_setting);
	ret->memory = malloc(bytes);
	if (!ret->memory)
		return err_set(err, -ENOMEM, "otlp: out of memory");
	(void)lay_out(ret, &r.sizes, ret->memory);
	/* Names first: attributes of the same dictionary use them. */
	rc = each_message(whole_body, 2, "request", fill_strings, &r, err);
	if (!rc)
		rc = each_message(whole_body, 2, "request", fill_tables, &r, err);
	if (rc)
		otlp_dictionary_release(ret);
	else
		complete(ret);
	return rc;
}

void otlp_dictionary_release(struct otlp_dictionary *dictionary)
{
	free(dictionary->memory);
	*dictionary = (struct otlp_dictionary){0};
}

/* ---- samples ---- */

#define BIT(number) (1u << (number))

/*
 * A list is packed, as proto3 writes it, or has a field for each number.  Two numbers are no link,
 * and one alone in field 4, with nothing else that counts, is a value.
 */
enum otlp_generation otlp_sample_generation(struct proto_reader sample)
{
	unsigned packed = 0, single = 0, twice = 0; /* fields, by number */
	struct proto_field f;

	while (proto_next(&sample, &f) == 1) {
		unsigned bit = f.number <= 6 ? BIT(f.number) : 0;

		twice |= single & bit;
		if (f.type == PROTO_BYTES)
			packed |= bit;
		else
			single |= bit;
	}
	unsigned any = packed | single;

	if (any & BIT(6) || (single & BIT(2) && packed & BIT(3)))
		return OTLP_1_7;
	if ((packed | twice) & BIT(3))
		return OTLP_1_8;
	if (any & BIT(3) || (packed | twice) & BIT(4))
		return OTLP_1_10;
	if (single & BIT(4))
		return (packed & BIT(2)) || any & BIT(5) ? OTLP_1_8 : OTLP_1_10;
	/* Attributes and no value would say nothing. */
	return any & BIT(2) && !(any & BIT(5)) ? OTLP_1_8 : OTLP_UNKNOWN;
}

/* How many numbers; *ret_no_list when they cannot be those of attributes. */
static size_t numbers_look(const struct otlp_dictionary *d, struct proto_reader numbers,
			   bool *ret_no_list)
{
	uint64_t number, last = UINT64_MAX;
	size_t count = 0;

	for (; numbers.at && numbers.at < numbers.end; count++, last = number) {
		numbers.at = proto_number(numbers.at, numbers.end, numbers.end, &number);
		if (numbers.at && (number >= d->attributes_count || number == last))
			*ret_no_list = true;
	}
	return count;
}

int otlp_profile_is_1_8(const struct otlp_dictionary *d, struct proto_reader profile,
			struct buf *scratch)
{
	bool no_list = false;
	struct otlp_sample sample;
	struct proto_field f;

	while (proto_next(&profile, &f) == 1) {
		if (f.number != 2 || f.type != PROTO_BYTES)
			continue;
		int rc = otlp_sample_read(f.bytes, OTLP_1_8, scratch, &sample);

		if (rc == -ENOMEM)
			return rc;
		/* One that is malformed says nothing. */
		size_t count = rc ? 0 : numbers_look(d, sample.values, &no_list);

		if (count && count != proto_left(&sample.timestamps) / 8)
			return 0;
	}
	return no_list;
}

/* Put every piece of a sample's list behind what is in `to`, which has room for the sample. */
static struct proto_reader list_gather(struct proto_reader sample, uint32_t number, struct buf *to)
{
	size_t begin = to->len;
	struct proto_field f;

	while (proto_next(&sample, &f) == 1) {
		uint64_t wire = htole64(f.value);

		if (f.number != number)
			continue;
		if (f.type == PROTO_BYTES)
			(void)buf_add(to, f.bytes.at, proto_left(&f.bytes));
		else if (number == 5 && f.type == PROTO_FIXED64)
			(void)buf_add(to, &wire, sizeof(wire));
		else if (number != 5 && f.type == PROTO_VARINT)
			(void)buf_add_varint(to, f.value);
	}
	return proto_reader_of(to->data + begin, to->len - begin);
}

int otlp_sample_read(struct proto_reader sample, enum otlp_generation generation,
		     struct buf *scratch, struct otlp_sample *ret)
{
	bool newer = generation != OTLP_1_8;
	const uint32_t attributes = newer ? 2 : 3, link = newer ? 3 : 4, values = newer ? 4 : 2;
	const struct proto_reader whole = sample;
	struct proto_reader *list;
	bool in_pieces = false;
	struct proto_field f;
	int rc;

	*ret = (struct otlp_sample){0};
	while ((rc = proto_next(&sample, &f)) == 1) {
		if (f.number == 1 && f.type == PROTO_VARINT)
			ret->stack = index_of(f.value);
		else if (f.number == link && f.type == PROTO_VARINT)
			ret->link = index_of(f.value);
		list = f.number == attributes ? &ret->attributes
		       : f.number == values   ? &ret->values
		       : f.number == 5        ? &ret->timestamps
					      : NULL;
		if (!list)
			continue;
		in_pieces |= f.type != PROTO_BYTES || list->at;
		*list = f.bytes;
	}
	if (rc || !in_pieces)
		return rc;
	buf_clear(scratch);
	if (!buf_reserve(scratch, proto_left(&whole)))
		return -ENOMEM;
	ret->attributes = list_gather(whole, attributes, scratch);
	ret->values = list_gather(whole, values, scratch);
	ret->timestamps = list_gather(whole, 5, scratch);
	return 0;
}
