/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/protojson.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void number_write(struct json *json, enum wire_form form, uint64_t value)
{
	double real;
	char text[24];

	if (form == WIRE_BOOL) {
		json_bool(json, value != 0);
		return;
	}
	if (form == WIRE_DOUBLE) {
		memcpy(&real, &value, sizeof(real));
		json_double(json, real);
		return;
	}
	int len = snprintf(text, sizeof(text), "%lld", (long long)value);

	json_text(json, text, (size_t)len);
}

/* Without padding a decoder of protobuf's JSON takes it too, but those of other things may not. */
static int base64_write(struct json *json, struct str bytes)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = (const uint8_t *)bytes.ptr;
	struct buf text;
	int rc;

	buf_init(&text, BUF_UNLIMITED);
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t group = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
				 (left > 2 ? p[i + 2] : 0u);
		const char four[4] = {digits[group >> 18], digits[group >> 12 & 63],
				      left > 1 ? digits[group >> 6 & 63] : '=',
				      left > 2 ? digits[group & 63] : '='};

		(void)buf_add(&text, four, sizeof(four));
	}
	json_text(json, text.len ? text.data : "", text.len);
	rc = text.failed;
	buf_release(&text);
	return rc;
}

static bool is_number(enum wire_form form)
{
	return form == WIRE_NUMBER || form == WIRE_FIXED64 || form == WIRE_DOUBLE ||
	       form == WIRE_BOOL;
}

/* Numbers of one field in one length. */
static int packed_write(struct json *json, enum wire_form form, struct proto_reader bytes)
{
	while (bytes.at < bytes.end) {
		uint64_t value;

		if (form == WIRE_FIXED64 || form == WIRE_DOUBLE) {
			if (proto_left(&bytes) < sizeof(value))
				return -EINVAL;
			memcpy(&value, bytes.at, sizeof(value));
			value = le64toh(value);
			bytes.at += sizeof(value);
		} else {
			bytes.at = varint_get(bytes.at, bytes.end, &value);
			if (!bytes.at)
				return -EINVAL;
		}
		number_write(json, form, value);
	}
	return 0;
}

static int value_write(struct json *json, const struct wire_field *field,
		       const struct proto_field *f)
{
	struct str text = {0};

	if (is_number(field->form)) {
		if (f->type == PROTO_BYTES)
			return field->repeated ? packed_write(json, field->form, f->bytes)
					       : -EINVAL;
		number_write(json, field->form, f->value);
		return 0;
	}
	if (f->type != PROTO_BYTES)
		return -EINVAL;
	if (field->form == WIRE_MESSAGE)
		return wire_protojson(f->bytes, field->message, json);
	text = proto_str(f);
	if (field->form == WIRE_BASE64)
		return base64_write(json, text);
	json_text(json, text.len ? text.ptr : "", text.len);
	return 0;
}

/* Every occurrence of one field, in order. */
static int field_write(struct proto_reader bytes, const struct wire_field *field, struct json *json)
{
	struct proto_field f;
	bool opened = false;
	int rc = 0, next;

	while (!rc && (next = proto_next(&bytes, &f)) == 1) {
		if (f.number != field->number)
			continue;
		if (!opened) {
			json_key(json, field->camel);
			if (field->repeated)
				json_open(json, '[');
		} else if (!field->repeated) {
			return -EINVAL;
		}
		opened = true;
		rc = value_write(json, field, &f);
	}
	if (opened && field->repeated)
		json_close(json, ']');
	return rc ? rc : next < 0 ? next : 0;
}

int wire_protojson(struct proto_reader bytes, const struct wire_message *message, struct json *json)
{
	int rc = 0;

	json_open(json, '{');
	for (size_t i = 0; !rc && i < message->count; i++)
		rc = field_write(bytes, &message->fields[i], json);
	json_close(json, '}');
	return rc ? rc : json->out->failed;
}
