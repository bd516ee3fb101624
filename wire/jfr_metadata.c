/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "wire/jfr_decoder.h"

/*
 * The metadata event: start, duration, id, a table of strings, and a tree of elements whose names,
 * attributes and values are numbers of strings:
 *
 *	element  = name, count, count * (attribute, value), count, count * element
 *	root > metadata > class (id, name) > field (name, class, constantPool, dimension)
 *	                                     > annotation (class, value)     a time's unit is here
 *
 * Everything else (settings, labels, regions) is passed over.
 */

struct metadata {
	struct jfr_chunk *chunk;
	struct str *strings;
	size_t strings_count, strings_room;
	struct err *err;
};

struct element {
	struct str name, of_id, of_name, of_class, of_pool, of_dimension, of_value;
	uint32_t children;
};

/* What an element stands in. */
enum place { IN_NOTHING, IN_CLASS, IN_FIELD };

static int malformed(const struct metadata *m, const struct jfr_reader *at)
{
	return err_set(m->err, -EINVAL,
		       "jfr: metadata at byte %td of the chunk is cut short or malformed",
		       at->at - m->chunk->bytes);
}

static int strings_read(struct metadata *m, struct jfr_reader *at)
{
	struct jfr_text text;
	uint32_t count;

	if (!jfr_read_count(m->chunk, at, &count) || count > jfr_left(at))
		return malformed(m, at);
	int rc =
	    jfr_grow(m->chunk, &m->strings, sizeof(*m->strings), &m->strings_room, count, m->err);

	for (; !rc && m->strings_count < count; m->strings_count++) {
		if (!jfr_read_text(m->chunk, at, &text))
			return malformed(m, at);
		/* Names of classes are ASCII, whichever way they came; one that is not is nobody's
		 * here. */
		bool plain = jfr_left(&text.bytes) == text.count;

		m->strings[m->strings_count] =
		    plain ? (struct str){(const char *)text.bytes.at, text.count} : STR("");
	}
	return rc;
}

static bool string_of(const struct metadata *m, struct jfr_reader *at, struct str *ret)
{
	uint32_t number;

	if (!jfr_read_count(m->chunk, at, &number) || number >= m->strings_count)
		return false;
	*ret = m->strings[number];
	return true;
}

static bool element_read(const struct metadata *m, struct jfr_reader *at, struct element *e)
{
	struct {
		const char *name;
		struct str *to;
	} known[] = {{"id", &e->of_id},
		     {"name", &e->of_name},
		     {"class", &e->of_class},
		     {"constantPool", &e->of_pool},
		     {"dimension", &e->of_dimension},
		     {"value", &e->of_value}};
	uint32_t attributes;

	*e = (struct element){0};
	if (!string_of(m, at, &e->name) || !jfr_read_count(m->chunk, at, &attributes))
		return false;
	for (uint32_t i = 0; i < attributes; i++) {
		struct str name, value;

		if (!string_of(m, at, &name) || !string_of(m, at, &value))
			return false;
		for (size_t k = 0; k < ARRAY_LEN(known); k++)
			if (str_is(name, known[k].name))
				*known[k].to = value;
	}
	return jfr_read_count(m->chunk, at, &e->children);
}

static bool id_parse(struct str text, uint64_t *ret_id)
{
	uint64_t id = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(id, 10, &id) ||
		    __builtin_add_overflow(id, (uint64_t)(text.ptr[i] - '0'), &id))
			return false;
	}
	*ret_id = id;
	return text.len != 0;
}

static enum jfr_type type_of(struct str name)
{
	static const char *const names[] = {
	    [JFR_BOOLEAN] = "boolean", [JFR_BYTE] = "byte",     [JFR_CHAR] = "char",
	    [JFR_SHORT] = "short",     [JFR_INT] = "int",       [JFR_LONG] = "long",
	    [JFR_FLOAT] = "float",     [JFR_DOUBLE] = "double", [JFR_STRING] = "java.lang.String"};

	for (size_t i = JFR_BOOLEAN; i < ARRAY_LEN(names); i++)
		if (str_is(name, names[i]))
			return (enum jfr_type)i;
	return JFR_OBJECT;
}

static int class_add(struct metadata *m, const struct element *e)
{
	struct jfr_chunk *c = m->chunk;
	struct jfr_class class = {.name = e->of_name,
				  .type = type_of(e->of_name),
				  .fields_at = (uint32_t)c->fields_count};

	if (!id_parse(e->of_id, &class.id))
		return err_set(m->err, -EINVAL, "jfr: a class whose id is no number");
	int rc = jfr_grow(c, &c->classes, sizeof(*c->classes), &c->classes_room,
			  c->classes_count + 1, m->err);

	if (!rc)
		c->classes[c->classes_count++] = class;
	return rc;
}

static int field_add(struct metadata *m, const struct element *e)
{
	struct jfr_chunk *c = m->chunk;
	struct jfr_field field = {.name = e->of_name,
				  .is_key = str_is(e->of_pool, "true"),
				  .is_array = e->of_dimension.len && !str_is(e->of_dimension, "0")};

	if (!id_parse(e->of_class, &field.class_id))
		return err_set(m->err, -EINVAL, "jfr: a field whose class is no number");
	int rc = jfr_grow(c, &c->fields, sizeof(*c->fields), &c->fields_room, c->fields_count + 1,
			  m->err);

	if (rc)
		return rc;
	c->fields[c->fields_count++] = field;
	c->classes[c->classes_count - 1].fields_count++;
	return 0;
}

/* Timespan and Timestamp: no other annotation's value is one of these words. */
static void unit_note(struct metadata *m, struct str value)
{
	static const struct {
		const char *word;
		int64_t unit_ns;
	} units[] = {{"TICKS", JFR_TICKS},          {"NANOSECONDS", 1},
		     {"MICROSECONDS", NS_PER_US},   {"MILLISECONDS", NS_PER_MS},
		     {"SECONDS", NS_PER_S},         {"MILLISECONDS_SINCE_EPOCH", NS_PER_MS},
		     {"NANOSECONDS_SINCE_EPOCH", 1}};

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_is(value, units[i].word))
			m->chunk->fields[m->chunk->fields_count - 1].unit_ns = units[i].unit_ns;
}

/* Classes do not nest, so a class's fields are neighbours. */
static int tree_read(struct metadata *m, struct jfr_reader *at, enum place place, size_t depth)
{
	struct element e;
	int rc = 0;

	if (depth == JFR_DEPTH_MAX || !element_read(m, at, &e))
		return malformed(m, at);
	if (place == IN_NOTHING && str_is(e.name, "class")) {
		rc = class_add(m, &e);
		place = IN_CLASS;
	} else if (place == IN_CLASS && str_is(e.name, "field")) {
		rc = field_add(m, &e);
		place = IN_FIELD;
	} else if (place == IN_FIELD && str_is(e.name, "annotation")) {
		unit_note(m, e.of_value);
	}
	for (uint32_t i = 0; !rc && i < e.children; i++)
		rc = tree_read(m, at, place, depth + 1);
	return rc;
}

static int class_order(const void *a, const void *b)
{
	const struct jfr_class *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

uint32_t jfr_class_find(const struct jfr_chunk *chunk, uint64_t id)
{
	size_t low = 0, high = chunk->classes_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (chunk->classes[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < chunk->classes_count && chunk->classes[low].id == id ? (uint32_t)low
									  : JFR_NONE;
}

static int resolve(struct metadata *m)
{
	struct jfr_chunk *c = m->chunk;

	if (c->classes_count)
		qsort(c->classes, c->classes_count, sizeof(*c->classes), class_order);
	for (size_t i = 0; i < c->classes_count; i++) {
		if (i && c->classes[i - 1].id == c->classes[i].id)
			return err_set(m->err, -EINVAL, "jfr: class %" PRIu64 " is described twice",
				       c->classes[i].id);
		if (c->classes[i].type == JFR_STRING)
			c->string_class = (uint32_t)i;
	}
	for (size_t i = 0; i < c->fields_count; i++)
		c->fields[i].class = jfr_class_find(c, c->fields[i].class_id);
	return 0;
}

int jfr_metadata_read(struct jfr_chunk *chunk, size_t at, struct err *err)
{
	struct metadata m = {.chunk = chunk, .err = err};
	struct jfr_reader r = {chunk->bytes + at, chunk->bytes + chunk->size};
	uint64_t class, unused;
	uint32_t size;
	bool whole = jfr_read_count(chunk, &r, &size) && jfr_read_long(chunk, &r, &class) &&
		     !class && jfr_read_long(chunk, &r, &unused) &&
		     jfr_read_long(chunk, &r, &unused) && jfr_read_long(chunk, &r, &unused);
	int rc = whole ? strings_read(&m, &r) : malformed(&m, &r);

	if (!rc)
		rc = tree_read(&m, &r, IN_NOTHING, 0);
	if (!rc)
		rc = resolve(&m);
	chunk->memory_bytes -= m.strings_room * sizeof(*m.strings);
	free(m.strings);
	return rc;
}
