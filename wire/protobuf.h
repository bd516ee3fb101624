/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/protobuf.h - the Protocol Buffers wire format: a reader that walks bytes, and a writer.
 *
 * Knows no message: a decoder asks for field after field and keeps what it knows.  Nothing is
 * allocated and nothing recurses; every length is compared with what remains.  Groups, field 0,
 * unknown wire types and integers of more than ten bytes are refused.  Any thread.
 * Format: protobuf.dev, "Encoding".
 */
#ifndef WIRE_PROTOBUF_H
#define WIRE_PROTOBUF_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/varint.h"

enum proto_type { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

#define PROTO_HEADER_MAX 5			/* bytes of a tag or of a length */
#define PROTO_LENGTH_MAX ((uint64_t)INT32_MAX) /* of one length-delimited field */

/* What is left of a message. */
struct proto_reader {
	const uint8_t *at, *end;
};

struct proto_field {
	uint32_t number;
	uint32_t type;		   /* enum proto_type */
	uint64_t value;		   /* of the three number types */
	struct proto_reader bytes; /* of PROTO_BYTES */
};

static inline struct proto_reader proto_reader_of(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	return (struct proto_reader){ at, at + len };
}

static inline size_t proto_left(const struct proto_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

static inline struct str proto_str(const struct proto_field *field)
{
	return (struct str){ (const char *)field->bytes.at, proto_left(&field->bytes) };
}

/* The general case of proto_next. */
MUST_CHECK int proto_next_slow(struct proto_reader *reader, struct proto_field *ret_field);

/*
 * Read one field.  Returns 1; 0 at the message's end; or -EINVAL, with `reader->at` where the
 * field that is wrong begins and proto_wrong() to say what is.
 */
MUST_CHECK static inline int proto_next(struct proto_reader *reader, struct proto_field *ret_field)
{
	const uint8_t *at = reader->at, *end = reader->end;

	/* Tags of one byte and lengths of one or two are nearly all there is. */
	if (end - at >= 3 && at[0] >= 8 && at[0] < 0x80) {
		uint32_t type = at[0] & 7;

		ret_field->number = at[0] >> 3;
		ret_field->type = type;
		if (type == PROTO_VARINT) {
			const uint8_t *next = varint_get(at + 1, end, &ret_field->value);

			if (next) {
				reader->at = next;
				return 1;
			}
		} else if (type == PROTO_BYTES && (at[1] & at[2]) < 0x80) {
			size_t len = at[1];

			at += 2;
			if (len >= 0x80)
				len = (len & 0x7f) | (size_t)*at++ << 7;
			if (len <= (size_t)(end - at)) {
				ret_field->bytes = (struct proto_reader){ at, at + len };
				reader->at = at + len;
				return 1;
			}
		}
	}
	return proto_next_slow(reader, ret_field);
}

/* Why the field at `reader->at` cannot be read. */
const char *proto_wrong(const struct proto_reader *reader);

/* Read the next integer of a packed field. False when it is cut short or too long. */
MUST_CHECK static inline bool proto_packed_next(struct proto_reader *reader, uint64_t *ret_value)
{
	const uint8_t *at = reader->at;

	if (reader->end - at >= 3) {
		if (at[0] < 0x80) {
			*ret_value = at[0];
			reader->at = at + 1;
			return true;
		}
		if (at[1] < 0x80) {
			*ret_value = (at[0] & 0x7f) | (uint64_t)at[1] << 7;
			reader->at = at + 2;
			return true;
		}
		if (at[2] < 0x80) {
			*ret_value = (at[0] & 0x7f) | (uint64_t)(at[1] & 0x7f) << 7 |
				     (uint64_t)at[2] << 14;
			reader->at = at + 3;
			return true;
		}
	}
	reader->at = varint_get(at, reader->end, ret_value);
	return reader->at;
}

/* How many integers a packed field holds: the bytes that end one. */
size_t proto_packed_count(struct proto_reader bytes);

/* ---- writing: into a buf, whose sticky failure the caller checks at the end ---- */

void proto_put_varint(struct buf *to, uint32_t number, uint64_t value);
void proto_put_bytes(struct buf *to, uint32_t number, const void *bytes, size_t len);

/* The same, with nothing written for 0: what proto3 calls the default. */
static inline void proto_put_nonzero(struct buf *to, uint32_t number, uint64_t value)
{
	if (value)
		proto_put_varint(to, number, value);
}

/* A message inside a message: begin, put its fields, end. Inner messages nest. */
size_t proto_message_begin(struct buf *to, uint32_t number);
void proto_message_end(struct buf *to, size_t begin);

#endif
