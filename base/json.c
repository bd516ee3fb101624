/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"

void json_init(struct json *json, struct buf *out)
{
	*json = (struct json){.out = out};
}

static void before(struct json *json)
{
	if (json->comma)
		(void)buf_add_byte(json->out, ',');
	json->comma = true;
}

void json_open(struct json *json, char bracket)
{
	before(json);
	(void)buf_add_byte(json->out, (uint8_t)bracket);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	(void)buf_add_byte(json->out, (uint8_t)bracket);
	json->comma = true;
}

static void escape(struct buf *out, uint8_t c)
{
	const char *named = strchr("\"\"\\\\\nn\rr\tt\bb\ff", c);

	if (c && named) {
		char pair[2] = {'\\', named[1]};

		(void)buf_add(out, pair, 2);
	} else {
		(void)buf_printf(out, "\\u%04x", c);
	}
}

static void quoted(struct buf *out, const char *bytes, size_t len)
{
	const uint8_t *p = (const uint8_t *)bytes;
	size_t plain = 0; /* start of the run not yet copied */

	(void)buf_add_byte(out, '"');
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(p + i, len - i);
		bool special = p[i] < 0x20 || p[i] == '"' || p[i] == '\\' || p[i] == 0x7f;

		if (n && !special) {
			i += n;
			continue;
		}
		(void)buf_add(out, bytes + plain, i - plain);
		if (!n)
			(void)buf_add_str(out, UTF8_REPLACEMENT);
		else
			escape(out, p[i]);
		plain = ++i;
	}
	(void)buf_add(out, bytes + plain, len - plain);
	(void)buf_add_byte(out, '"');
}

void json_key(struct json *json, const char *key)
{
	before(json);
	quoted(json->out, key, strlen(key));
	(void)buf_add_byte(json->out, ':');
	json->comma = false;
}

void json_text(struct json *json, const char *bytes, size_t len)
{
	before(json);
	quoted(json->out, bytes, len);
}

void json_cstring(struct json *json, const char *text)
{
	if (text) {
		json_text(json, text, strlen(text));
		return;
	}
	before(json);
	(void)buf_add_str(json->out, "null");
}

#define DIGITS_MAX 20

/* Write the digits so that they end before `end`; a flame graph has a hundred thousand numbers. */
static char *digits(char *end, uint64_t value)
{
	do {
		*--end = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return end;
}

static void put_int(struct buf *out, uint64_t magnitude, bool negative)
{
	char text[DIGITS_MAX + 1], *first = digits(text + sizeof(text), magnitude);

	if (negative)
		*--first = '-';
	(void)buf_add(out, first, (size_t)(text + sizeof(text) - first));
}

void json_int(struct json *json, int64_t value)
{
	before(json);
	put_int(json->out, value < 0 ? -(uint64_t)value : (uint64_t)value, value < 0);
}

void json_uint(struct json *json, uint64_t value)
{
	before(json);
	put_int(json->out, value, false);
}

void json_decimal(struct json *json, double value)
{
	const uint64_t scale = 1000000;
	char text[8];

	if (!(fabs(value) < 9e9)) {
		json_double(json, value);
		return;
	}
	uint64_t scaled = (uint64_t)(fabs(value) * (double)scale + 0.5), rest = scaled % scale;
	size_t len = 7; /* the point and six digits, less the zeroes at their end */

	before(json);
	put_int(json->out, scaled / scale, value < 0 && scaled);
	if (!rest)
		return;
	(void)digits(text + len, rest + scale); /* its 1 stands where the point goes */
	text[0] = '.';
	while (text[len - 1] == '0')
		len--;
	(void)buf_add(json->out, text, len);
}

void json_double(struct json *json, double value)
{
	before(json);
	if (isfinite(value))
		(void)buf_printf(json->out, "%.17g", value);
	else
		(void)buf_add_str(json->out, "null");
}

void json_bool(struct json *json, bool value)
{
	before(json);
	(void)buf_add_str(json->out, value ? "true" : "false");
}

void json_key_int(struct json *json, const char *key, int64_t value)
{
	json_key(json, key);
	json_int(json, value);
}

void json_key_uint(struct json *json, const char *key, uint64_t value)
{
	json_key(json, key);
	json_uint(json, value);
}

void json_key_text(struct json *json, const char *key, const char *text)
{
	json_key(json, key);
	json_cstring(json, text);
}
