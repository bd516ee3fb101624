/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/json.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"

/* Of jansson 2.14 on 64 bits, with malloc's own overhead: measured, rounded up. */
#define VALUE_BYTES 56   /* an array's slot with an integer */
#define STRING_BYTES 56  /* what a string takes more, beside its text */
#define ARRAY_BYTES 192  /* its head and its first eight slots */
#define OBJECT_BYTES 320 /* its head and its first eight buckets */
#define MEMBER_BYTES 96  /* a pair, with its share of the buckets */

size_t wire_json_estimate(struct str text)
{
	/* Punctuation inside strings counts too, which errs on the safe side. */
	size_t commas = 0, quotes = 0, arrays = 0, objects = 0, colons = 0;

	for (size_t i = 0; i < text.len; i++) {
		commas += text.ptr[i] == ',';
		quotes += text.ptr[i] == '"';
		arrays += text.ptr[i] == '[';
		objects += text.ptr[i] == '{';
		colons += text.ptr[i] == ':';
	}
	return text.len + (commas + 1) * VALUE_BYTES + quotes / 2 * STRING_BYTES +
	       arrays * ARRAY_BYTES + objects * OBJECT_BYTES + colons * MEMBER_BYTES;
}

static int parse(struct str text, size_t flags, size_t memory_max, const char *setting,
		 json_t **ret_json, json_error_t *why, struct err *err)
{
	size_t needed = wire_json_estimate(text);

	*why = (json_error_t){0};
	if (memory_max && needed > memory_max)
		return err_set(
		    err, -E2BIG,
		    "json: %zu bytes of text would take about %zu of memory, limit %zu (%s)",
		    text.len, needed, memory_max, setting);
	*ret_json = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_DECODE_ANY | flags, why);
	if (*ret_json)
		return 0;
	return err_set(err, -EINVAL, "json: line %d, column %d: %.160s", why->line, why->column,
		       why->text);
}

int wire_json_parse(struct str text, size_t memory_max, const char *setting, json_t **ret_json,
		    struct err *err)
{
	json_error_t why;

	return parse(text, 0, memory_max, setting, ret_json, &why, err);
}

/* Behind the string that begins at `i`. */
static size_t string_end(struct str text, size_t i)
{
	for (i++; i < text.len && text.ptr[i] != '"'; i++)
		i += text.ptr[i] == '\\';
	return MIN(i + 1, text.len);
}

/* Behind the number that begins at `i`, when one does. */
static size_t number_end(struct str text, size_t i, bool *ret_is_whole)
{
	*ret_is_whole = true;
	for (; i < text.len && memchr("+-.eE0123456789", text.ptr[i], 15); i++)
		*ret_is_whole &= !memchr("+.eE", text.ptr[i], 4);
	return i;
}

#define DIGITS_SAFE 18 /* any integer of so many has room in 63 bits */

/* Copy the text, with quotes around integers that may not fit. */
static void integers_quote(struct str text, struct buf *to)
{
	size_t copied = 0, end;
	bool whole;

	for (size_t i = 0; i < text.len; i = MAX(end, i + 1)) {
		if (text.ptr[i] == '"') {
			end = string_end(text, i);
			continue;
		}
		end = number_end(text, i, &whole);
		if (!whole || end - i <= DIGITS_SAFE)
			continue;
		(void)buf_add(to, text.ptr + copied, i - copied);
		(void)buf_add_byte(to, '"');
		(void)buf_add(to, text.ptr + i, end - i);
		(void)buf_add_byte(to, '"');
		copied = end;
	}
	(void)buf_add(to, text.ptr + copied, text.len - copied);
}

int wire_json_parse_proto(struct str text, size_t memory_max, const char *setting,
			  json_t **ret_json, struct err *err)
{
	struct buf quoted;
	json_error_t why;
	int rc = parse(text, JSON_ALLOW_NUL, memory_max, setting, ret_json, &why, err);

	if (!rc || json_error_code(&why) != json_error_numeric_overflow)
		return rc;
	err_clear(err);
	buf_init(&quoted, BUF_UNLIMITED); /* two bytes more for each 19 */
	integers_quote(text, &quoted);
	rc = quoted.failed ? err_set(err, quoted.failed, "json: out of memory")
			   : parse((struct str){quoted.data, quoted.len}, JSON_ALLOW_NUL,
				   memory_max, setting, ret_json, &why, err);
	buf_release(&quoted);
	return rc;
}

struct str wire_json_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return (struct str){json_string_value(value), json_string_length(value)};
}

bool wire_json_double(const json_t *value, double *ret_number)
{
	static const struct {
		const char *text;
		double number;
	} words[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
	const struct str text = {json_string_value(value), json_string_length(value)};
	char *end;

	if (json_is_number(value)) {
		*ret_number = json_number_value(value);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_is(text, words[i].text)) {
			*ret_number = words[i].number;
			return true;
		}
	}
	/* strtod takes blanks, hex digits and other words. */
	if (!text.len || strspn(text.ptr, "+-.eE0123456789") != text.len)
		return false;
	double real = strtod(text.ptr, &end);

	if (end != text.ptr + text.len)
		return false;
	*ret_number = real;
	return true;
}

/* All of a text as a whole number. */
static bool digits_read(struct str text, int64_t *ret_number)
{
	char *end;

	if (!text.len)
		return false;
	errno = 0;
	int64_t number = strtoll(text.ptr, &end, 10);

	/* uint64 and fixed64 above 2^63 keep their bits. */
	if (errno == ERANGE && *text.ptr != '-') {
		errno = 0;
		number = (int64_t)strtoull(text.ptr, &end, 10);
	}
	if (errno || end != text.ptr + text.len)
		return false;
	*ret_number = number;
	return true;
}

bool wire_json_int(const json_t *value, int64_t *ret_number)
{
	const struct str text = {json_string_value(value), json_string_length(value)};
	double real;

	if (json_is_integer(value)) {
		*ret_number = json_integer_value(value);
		return true;
	}
	if (digits_read(text, ret_number))
		return true;
	if (!wire_json_double(value, &real) || !(real > -0x1p62 && real < 0x1p62))
		return false;
	*ret_number = (int64_t)real;
	return true;
}
