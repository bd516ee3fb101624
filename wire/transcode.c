/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/transcode.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "wire/json.h"
#include "wire/protobuf.h"

struct job {
	struct buf *out;
	struct err *err;
};

static int message_put(struct job *job, const json_t *json, const struct wire_message *message);

static int wrong(struct job *job, const struct wire_message *of, const struct wire_field *field,
		 const char *wanted)
{
	return err_set(job->err, -EINVAL, "json: %s.%s is no %s", of->name, field->camel, wanted);
}

static int digit64(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static int digit16(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Turn digits of `bits` bits each into bytes at `to`, which has room. Returns how many, or -1. */
static ssize_t digits_decode(struct str text, int bits, int (*digit)(char c), uint8_t *to)
{
	uint32_t held = 0;
	int have = 0;
	size_t made = 0;

	for (size_t i = 0; i < text.len; i++) {
		int d = digit(text.ptr[i]);

		if (d < 0)
			return -1;
		held = held << bits | (uint32_t)d;
		have += bits;
		if (have >= 8) {
			have -= 8;
			to[made++] = (uint8_t)(held >> have);
		}
	}
	/* What is left may only be padding, and a single digit says nothing. */
	return have >= bits || held & ((1u << have) - 1) ? -1 : (ssize_t)made;
}

static int bytes_put(struct job *job, const json_t *value, const struct wire_message *of,
		     const struct wire_field *field)
{
	struct str text = {json_string_value(value), json_string_length(value)};
	bool hex = field->form == WIRE_HEX;

	if (!json_is_string(value))
		return wrong(job, of, field, "string");
	while (!hex && text.len && text.ptr[text.len - 1] == '=')
		text.len--;
	uint8_t *bytes = malloc(text.len + 1);

	if (!bytes)
		return err_set(job->err, -ENOMEM, "json: out of memory");
	ssize_t n = digits_decode(text, hex ? 4 : 6, hex ? digit16 : digit64, bytes);

	if (n >= 0)
		proto_put_bytes(job->out, field->number, bytes, (size_t)n);
	free(bytes);
	return n < 0 ? wrong(job, of, field, hex ? "hex string" : "base64 string") : 0;
}

static int fixed64_put(struct job *job, uint32_t number, uint64_t bits)
{
	uint64_t wire = htole64(bits);

	(void)buf_add_varint(job->out, (uint64_t)number << 3 | PROTO_FIXED64);
	return buf_add(job->out, &wire, sizeof(wire));
}

static int double_put(struct job *job, const json_t *value, const struct wire_message *of,
		      const struct wire_field *field)
{
	uint64_t bits;
	double real;

	if (!wire_json_double(value, &real))
		return wrong(job, of, field, "number");
	memcpy(&bits, &real, sizeof(bits));
	return fixed64_put(job, field->number, bits);
}

static int number_put(struct job *job, const json_t *value, const struct wire_message *of,
		      const struct wire_field *field)
{
	int64_t number = json_is_true(value);

	if (!json_is_boolean(value) && !wire_json_int(value, &number))
		return wrong(job, of, field, field->form == WIRE_BOOL ? "boolean" : "number");
	if (field->form == WIRE_FIXED64)
		return fixed64_put(job, field->number, (uint64_t)number);
	proto_put_varint(job->out, field->number, (uint64_t)number);
	return 0;
}

static int inner_put(struct job *job, const json_t *value, const struct wire_field *field)
{
	size_t begin = proto_message_begin(job->out, field->number);
	int rc = message_put(job, value, field->message);

	proto_message_end(job->out, begin);
	return rc;
}

static int value_put(struct job *job, const json_t *value, const struct wire_message *of,
		     const struct wire_field *field)
{
	switch (field->form) {
	case WIRE_TEXT:
		if (!json_is_string(value))
			return wrong(job, of, field, "string");
		proto_put_bytes(job->out, field->number, json_string_value(value),
				json_string_length(value));
		return 0;
	case WIRE_BASE64:
	case WIRE_HEX:
		return bytes_put(job, value, of, field);
	case WIRE_DOUBLE:
		return double_put(job, value, of, field);
	case WIRE_MESSAGE:
		return inner_put(job, value, field);
	case WIRE_NUMBER:
	case WIRE_FIXED64:
	case WIRE_BOOL:
		return number_put(job, value, of, field);
	}
	return 0;
}

/* Numbers of one field in one length: readers of sums and times look for that form. */
static int packed_put(struct job *job, const json_t *array, const struct wire_message *of,
		      const struct wire_field *field)
{
	size_t begin = proto_message_begin(job->out, field->number), i;
	json_t *value;
	int rc = 0;

	json_array_foreach(array, i, value)
	{
		int64_t number;
		uint64_t wire;

		if (!wire_json_int(value, &number)) {
			rc = wrong(job, of, field, "list of numbers");
			break;
		}
		wire = htole64((uint64_t)number);
		if (field->form == WIRE_FIXED64)
			(void)buf_add(job->out, &wire, sizeof(wire));
		else
			(void)buf_add_varint(job->out, (uint64_t)number);
	}
	proto_message_end(job->out, begin);
	return rc;
}

static int list_put(struct job *job, const json_t *value, const struct wire_message *of,
		    const struct wire_field *field)
{
	bool packs = field->form == WIRE_NUMBER || field->form == WIRE_FIXED64;
	json_t *item;
	size_t i;

	if (!json_is_array(value))
		return wrong(job, of, field, "list");
	if (packs)
		return json_array_size(value) ? packed_put(job, value, of, field) : 0;
	json_array_foreach(value, i, item)
	{
		int rc = value_put(job, item, of, field);

		if (rc)
			return rc;
	}
	return 0;
}

static int message_put(struct job *job, const json_t *json, const struct wire_message *message)
{
	if (!json_is_object(json))
		return err_set(job->err, -EINVAL, "json: a %s is no object", message->name);
	for (size_t i = 0; i < message->count; i++) {
		const struct wire_field *field = &message->fields[i];
		const json_t *value = json_object_get(json, field->camel);
		int rc = 0;

		if (!value)
			value = json_object_get(json, field->name);
		if (!value || json_is_null(value))
			continue;
		if (field->repeated)
			rc = list_put(job, value, message, field);
		else
			rc = value_put(job, value, message, field);
		if (rc)
			return rc;
	}
	return 0;
}

int wire_transcode(const json_t *json, const struct wire_message *message, struct buf *out,
		   struct err *err)
{
	struct job job = {out, err};
	int rc = message_put(&job, json, message);

	if (!rc && out->failed)
		rc = err_set(err, out->failed, "json: out of memory");
	return rc;
}
