/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"

void json_init(struct json *json, struct buf *out)
{
	*json = (struct json){ .out = out };
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
		char pair[2] = { '\\', named[1] };

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

void json_int(struct json *json, int64_t value)
{
	before(json);
	(void)buf_printf(json->out, "%" PRId64, value);
}

void json_uint(struct json *json, uint64_t value)
{
	before(json);
	(void)buf_printf(json->out, "%" PRIu64, value);
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
