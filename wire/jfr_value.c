/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "wire/jfr_decoder.h"

enum encoding { TEXT_NULL, TEXT_EMPTY, TEXT_KEY, TEXT_UTF8, TEXT_CHARS, TEXT_LATIN1 };

#define NAME_HOPS_MAX 4 /* from a constant to what names it */

/* ---- integers ---- */

static bool big_endian(struct jfr_reader *r, size_t bytes, uint64_t *ret)
{
	uint64_t value = 0;

	if (jfr_left(r) < bytes)
		return false;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | *r->at++;
	*ret = value;
	return true;
}

/* Eight groups of seven bits, and a ninth byte that is whole. */
static bool groups(struct jfr_reader *r, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = 0; r->at < r->end; i++) {
		uint64_t byte = *r->at++;

		if (i == 8 || byte < 0x80) {
			*ret = value | byte << 7 * i;
			return true;
		}
		value |= (byte & 0x7f) << 7 * i;
	}
	return false;
}

static bool integer(const struct jfr_chunk *c, struct jfr_reader *r, size_t bytes, uint64_t *ret)
{
	return c->compressed ? groups(r, ret) : big_endian(r, bytes, ret);
}

bool jfr_read_long(const struct jfr_chunk *chunk, struct jfr_reader *reader, uint64_t *ret)
{
	return integer(chunk, reader, 8, ret);
}

bool jfr_read_count(const struct jfr_chunk *chunk, struct jfr_reader *reader, uint32_t *ret)
{
	uint64_t value;

	if (!integer(chunk, reader, 4, &value) || value > INT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* The widths that a type has on the wire: as a plain integer, and the bits that count. */
static size_t type_bytes(enum jfr_type type)
{
	static const uint8_t bytes[] = {
	    [JFR_BOOLEAN] = 1, [JFR_BYTE] = 1, [JFR_CHAR] = 2,  [JFR_SHORT] = 2,
	    [JFR_INT] = 4,     [JFR_LONG] = 8, [JFR_FLOAT] = 4, [JFR_DOUBLE] = 8};

	return bytes[type];
}

static bool number_read(const struct jfr_chunk *c, struct jfr_reader *r, enum jfr_type type,
			int64_t *ret)
{
	uint64_t value;
	bool read =
	    type <= JFR_BYTE ? big_endian(r, 1, &value) : integer(c, r, type_bytes(type), &value);

	if (!read)
		return false;
	switch (type) {
	case JFR_BYTE:
		*ret = (int8_t)value;
		return true;
	case JFR_CHAR:
		*ret = (uint16_t)value;
		return true;
	case JFR_SHORT:
		*ret = (int16_t)value;
		return true;
	case JFR_INT:
		*ret = (int32_t)value;
		return true;
	default:
		*ret = (int64_t)value;
		return true;
	}
}

static bool real_read(struct jfr_reader *r, enum jfr_type type, double *ret)
{
	uint64_t bits;

	if (!big_endian(r, type_bytes(type), &bits))
		return false;
	uint32_t half = (uint32_t)bits;
	float single;

	memcpy(&single, &half, sizeof(single));
	if (type == JFR_DOUBLE)
		memcpy(ret, &bits, sizeof(*ret));
	else
		*ret = (double)single;
	return true;
}

/* ---- text ---- */

static bool chars_skip(const struct jfr_chunk *c, struct jfr_reader *r, uint32_t count)
{
	int64_t unused;

	if (count > jfr_left(r))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!number_read(c, r, JFR_CHAR, &unused))
			return false;
	return true;
}

bool jfr_read_text(const struct jfr_chunk *chunk, struct jfr_reader *reader,
		   struct jfr_text *ret_text)
{
	struct jfr_text text = {0};

	if (!jfr_left(reader))
		return false;
	text.encoding = *reader->at++;
	*ret_text = text;
	if (text.encoding <= TEXT_EMPTY)
		return true;
	if (text.encoding == TEXT_KEY)
		return jfr_read_long(chunk, reader, &ret_text->key);
	if (text.encoding > TEXT_LATIN1 || !jfr_read_count(chunk, reader, &text.count))
		return false;
	text.bytes = *reader;
	if (text.encoding == TEXT_CHARS) {
		if (!chars_skip(chunk, reader, text.count))
			return false;
	} else {
		if (text.count > jfr_left(reader))
			return false;
		reader->at += text.count;
	}
	text.bytes.end = reader->at;
	*ret_text = text;
	return true;
}

static void put_character(struct buf *to, uint32_t c)
{
	if (c < 0x80) {
		(void)buf_add_byte(to, (uint8_t)c);
		return;
	}
	if (c >= 0x10000)
		(void)buf_add_byte(to, (uint8_t)(0xf0 | c >> 18));
	if (c >= 0x10000)
		(void)buf_add_byte(to, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
	else if (c >= 0x800)
		(void)buf_add_byte(to, (uint8_t)(0xe0 | c >> 12));
	if (c >= 0x800)
		(void)buf_add_byte(to, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
	else
		(void)buf_add_byte(to, (uint8_t)(0xc0 | c >> 6));
	(void)buf_add_byte(to, (uint8_t)(0x80 | (c & 0x3f)));
}

/* UTF-16, of which halves of a pair alone become U+FFFD. */
static void chars_convert(const struct jfr_chunk *c, const struct jfr_text *text, struct buf *to)
{
	struct jfr_reader r = text->bytes;
	uint32_t high = 0;
	int64_t unit;

	for (uint32_t i = 0; i < text->count && !to->failed && number_read(c, &r, JFR_CHAR, &unit);
	     i++) {
		uint32_t u = (uint32_t)unit;
		bool low = u >= 0xdc00 && u < 0xe000;

		if (high && !low)
			put_character(to, 0xfffd);
		if (u >= 0xd800 && u < 0xdc00) {
			high = u;
			continue;
		}
		put_character(to, !low   ? u
				  : high ? 0x10000 + ((high - 0xd800) << 10 | (u - 0xdc00))
					 : 0xfffd);
		high = 0;
	}
	if (high)
		put_character(to, 0xfffd);
}

static bool is_ascii(struct jfr_reader r)
{
	while (r.at < r.end)
		if (*r.at++ >= 0x80)
			return false;
	return true;
}

static struct str text_plain(const struct jfr_chunk *c, const struct jfr_text *text,
			     struct buf *scratch, uint64_t *work)
{
	struct jfr_reader r = text->bytes;

	if (jfr_left(&r) > JFR_TEXT_BYTES)
		r.end = r.at + JFR_TEXT_BYTES;
	*work += jfr_left(&r);
	if (text->encoding == TEXT_UTF8 || (text->encoding == TEXT_LATIN1 && is_ascii(r)))
		return (struct str){(const char *)r.at, jfr_left(&r)};
	buf_clear(scratch);
	if (text->encoding == TEXT_CHARS)
		chars_convert(c, text, scratch);
	while (text->encoding == TEXT_LATIN1 && r.at < r.end)
		put_character(scratch, *r.at++);
	return (struct str){scratch->data ? scratch->data : "", scratch->len};
}

static struct jfr_reader lookup(const struct jfr_chunk *c, uint32_t class, size_t place)
{
	struct jfr_reader r = jfr_constant(c, class, place).left;

	if (jfr_left(&r) > JFR_LOOKUP_BYTES)
		r.end = r.at + JFR_LOOKUP_BYTES;
	return r;
}

struct str jfr_text_str(const struct jfr_chunk *chunk, const struct jfr_text *text,
			struct buf *scratch, uint64_t *work)
{
	struct jfr_text constant;

	if (text->encoding != TEXT_KEY)
		return text->encoding <= TEXT_EMPTY ? STR("")
						    : text_plain(chunk, text, scratch, work);
	int64_t place = jfr_find(chunk, chunk->string_class, text->key);

	if (place < 0)
		return STR("");
	struct jfr_reader at = lookup(chunk, chunk->string_class, (size_t)place);
	const uint8_t *from = at.at;
	/* A key that leads to a key is nobody's. */
	bool good = jfr_read_text(chunk, &at, &constant) && constant.encoding > TEXT_KEY;

	*work += (uint64_t)(at.at - from);
	return good ? text_plain(chunk, &constant, scratch, work) : STR("");
}

/* ---- structures ---- */

static bool value_skip(const struct jfr_chunk *c, struct jfr_reader *r, uint32_t class,
		       size_t depth);

static bool one_skip(const struct jfr_chunk *c, struct jfr_reader *r, const struct jfr_field *f,
		     size_t depth)
{
	uint64_t unused;

	return f->is_key ? jfr_read_long(c, r, &unused) : value_skip(c, r, f->class, depth);
}

static bool field_skip(const struct jfr_chunk *c, struct jfr_reader *r, const struct jfr_field *f,
		       size_t depth)
{
	uint32_t count;

	if (!f->is_array)
		return one_skip(c, r, f, depth);
	if (!jfr_read_count(c, r, &count) || count > jfr_left(r))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!one_skip(c, r, f, depth))
			return false;
	return true;
}

/*
 * A structure takes a byte at least.  One of no bytes would be nothing to the JDK either, and a few
 * of them inside each other would be an endless walk over nothing.
 */
static bool value_skip(const struct jfr_chunk *c, struct jfr_reader *r, uint32_t class,
		       size_t depth)
{
	const uint8_t *from = r->at;
	struct jfr_text text;
	int64_t number;
	double real;

	if (class == JFR_NONE || depth == JFR_DEPTH_MAX)
		return false;
	const struct jfr_class *of = &c->classes[class];

	if (of->type == JFR_STRING)
		return jfr_read_text(c, r, &text);
	if (of->type == JFR_FLOAT || of->type == JFR_DOUBLE)
		return real_read(r, of->type, &real);
	if (of->type != JFR_OBJECT)
		return number_read(c, r, of->type, &number);
	for (uint32_t i = 0; i < of->fields_count; i++)
		if (!field_skip(c, r, &c->fields[of->fields_at + i], depth + 1))
			return false;
	return r->at > from;
}

bool jfr_skip_constant(const struct jfr_chunk *chunk, struct jfr_reader *reader, uint32_t class)
{
	return value_skip(chunk, reader, class, 0);
}

static bool value_read(const struct jfr_chunk *c, struct jfr_cursor *cursor, struct jfr_value *v)
{
	const struct jfr_field *f = v->field;
	enum jfr_type type = f->class == JFR_NONE ? JFR_OBJECT : c->classes[f->class].type;

	if (f->is_array) {
		v->what = JFR_IS_ARRAY;
		v->inside = cursor->left;
		cursor->inside = true;
		return jfr_read_count(c, &v->inside, &v->count) && v->count <= jfr_left(&v->inside);
	}
	if (f->is_key) {
		v->what = JFR_IS_KEY;
		return jfr_read_long(c, &cursor->left, &v->key);
	}
	if (type == JFR_OBJECT) {
		v->what = JFR_IS_STRUCT;
		v->inside = cursor->left;
		cursor->inside = true;
		return f->class != JFR_NONE;
	}
	if (type == JFR_STRING) {
		v->what = JFR_IS_TEXT;
		return jfr_read_text(c, &cursor->left, &v->text);
	}
	if (type == JFR_FLOAT || type == JFR_DOUBLE) {
		v->what = JFR_IS_REAL;
		return real_read(&cursor->left, type, &v->real);
	}
	v->what = JFR_IS_NUMBER;
	return number_read(c, &cursor->left, type, &v->number);
}

int jfr_next(const struct jfr_chunk *chunk, struct jfr_cursor *cursor, struct jfr_value *ret_value)
{
	if (cursor->class >= chunk->classes_count)
		return -EINVAL;
	const struct jfr_class *class = &chunk->classes[cursor->class];
	const struct jfr_field *fields =
	    class->fields_count ? chunk->fields + class->fields_at : NULL;

	if (cursor->inside) {
		cursor->inside = false;
		if (!field_skip(chunk, &cursor->left, &fields[cursor->field - 1], 1))
			return -EINVAL;
	}
	if (cursor->field == class->fields_count)
		return 0;
	*ret_value = (struct jfr_value){.field = &fields[cursor->field++]};
	return value_read(chunk, cursor, ret_value) ? 1 : -EINVAL;
}

/* The first field of a constant that is called so; NULL: that is a text or a key. */
static bool field_find(const struct jfr_chunk *c, uint32_t class, uint64_t key, const char *name,
		       struct jfr_value *v, uint64_t *work)
{
	int64_t place = jfr_find(c, class, key);

	if (place < 0 || c->classes[class].type != JFR_OBJECT)
		return false;
	struct jfr_cursor cursor = jfr_cursor_of(class, lookup(c, class, (size_t)place));
	const uint8_t *from = cursor.left.at;
	bool found = false;

	while (!found && jfr_next(c, &cursor, v) == 1)
		found = name ? str_is(v->field->name, name)
			     : v->what == JFR_IS_TEXT || v->what == JFR_IS_KEY;
	*work += (uint64_t)(cursor.left.at - from);
	return found;
}

bool jfr_field_of(const struct jfr_chunk *chunk, uint32_t class, uint64_t key, const char *name,
		  struct jfr_value *ret_value, uint64_t *work)
{
	return field_find(chunk, class, key, name, ret_value, work);
}

struct str jfr_name(const struct jfr_chunk *chunk, uint32_t class, uint64_t key,
		    struct buf *scratch, uint64_t *work)
{
	struct jfr_value v;

	for (int hops = 0; hops < NAME_HOPS_MAX; hops++) {
		if (class == chunk->string_class)
			return jfr_text_str(chunk,
					    &(struct jfr_text){.encoding = TEXT_KEY, .key = key},
					    scratch, work);
		if (!field_find(chunk, class, key, NULL, &v, work))
			return STR("");
		if (v.what == JFR_IS_TEXT)
			return jfr_text_str(chunk, &v.text, scratch, work);
		class = v.field->class;
		key = v.key;
	}
	return STR("");
}
