/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/transcode.h - JSON as protobuf maps it, to protobuf's binary form, by a table of fields.
 *
 * A protocol that comes in both forms has one decoder, for the binary one; this makes that of the
 * other. Names are taken in lowerCamelCase and as the .proto file has them, numbers as numbers and
 * as strings, enums as numbers; unknown members are passed over and null means absent.
 * Source: protobuf.dev, "ProtoJSON format"; OTLP, "JSON Protobuf Encoding" for ids in hex.  Any
 * thread.
 */
#ifndef WIRE_TRANSCODE_H
#define WIRE_TRANSCODE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

enum wire_form {
	WIRE_TEXT,    /* string */
	WIRE_BASE64,  /* bytes, in base64 of either alphabet, padded or not */
	WIRE_HEX,     /* bytes, in hex */
	WIRE_NUMBER,  /* varint: intN, uintN, enum */
	WIRE_FIXED64, /* fixed64, sfixed64 */
	WIRE_DOUBLE,
	WIRE_BOOL,
	WIRE_MESSAGE
};

struct wire_message;

struct wire_field {
	const char *camel, *name; /* "stackIndex", "stack_index" */
	uint32_t number;
	enum wire_form form;
	bool repeated; /* numbers are written packed */
	const struct wire_message *message;
};

struct wire_message {
	const char *name; /* for errors */
	const struct wire_field *fields;
	size_t count;
};

/* Append the message that `json` is. Returns 0, -EINVAL with the member that is wrong, or
 * -ENOMEM. */
MUST_CHECK int wire_transcode(const json_t *json, const struct wire_message *message,
			      struct buf *out, struct err *err);

#endif
