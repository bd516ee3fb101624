/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/json.h"

#include <errno.h>
#include <string.h>

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

int wire_json_parse(struct str text, size_t memory_max, const char *setting, json_t **ret_json,
		    struct err *err)
{
	size_t needed = wire_json_estimate(text);
	json_error_t why;

	if (memory_max && needed > memory_max)
		return err_set(
		    err, -E2BIG,
		    "json: %zu bytes of text would take about %zu of memory, limit %zu (%s)",
		    text.len, needed, memory_max, setting);
	*ret_json = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_DECODE_ANY, &why);
	if (*ret_json)
		return 0;
	return err_set(err, -EINVAL, "json: line %d, column %d: %.160s", why.line, why.column,
		       why.text);
}

struct str wire_json_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return (struct str){json_string_value(value), json_string_length(value)};
}

bool wire_json_int(const json_t *value, int64_t *ret_number)
{
	char *end;

	if (json_is_integer(value)) {
		*ret_number = json_integer_value(value);
		return true;
	}
	if (json_is_real(value)) {
		double real = json_real_value(value);

		if (!(real > -0x1p62 && real < 0x1p62))
			return false;
		*ret_number = (int64_t)real;
		return true;
	}
	const char *digits = json_string_value(value);

	if (!digits || !*digits)
		return false;
	errno = 0;
	*ret_number = strtoll(digits, &end, 10);
	/* uint64 and fixed64 above 2^63 keep their bits. */
	if (errno == ERANGE && *digits != '-') {
		errno = 0;
		*ret_number = (int64_t)strtoull(digits, &end, 10);
	}
	return !*end && !errno;
}
