/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/protobuf.h - the Protocol Buffers wire format: a reader that walks bytes, and a writer.
 *
 * Knows no message: a decoder asks for field after field and keeps what it knows.  Nothing is
 * allocated and nothing recurses; every length is compared with what remains.  Groups are passed
 * over, up to 64 inside each other; field 0, unknown wire types and integers of more than ten bytes
 * are refused.  Any thread.
 * Format: protobuf.dev, "Encoding".
 */
#ifndef WIRE_PROTOBUF_H
#define WIRE_PROTOBUF_H

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/varint.h"

enum proto_type { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

#define PROTO_HEADER_MAX 5                     /* bytes of a tag or of a length */
#define PROTO_LENGTH_MAX ((uint64_t)INT32_MAX) /* of one length-delimited field */

/* What is left of a message. */
struct proto_reader {
	const uint8_t *at, *end;
};

struct proto_field {
	uint32_t number;
	uint32_t type;             /* enum proto_type */
	uint64_t value;            /* of the three number types */
	struct proto_reader bytes; /* of PROTO_BYTES */
};

static inline struct proto_reader proto_reader_of(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	return (struct proto_reader){at, at + len};
}

static inline size_t proto_left(const struct proto_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

static inline struct str proto_str(const struct proto_field *field)
{
	return (struct str){(const char *)field->bytes.at, proto_left(&field->bytes)};
}

/*
 * Read one field.  Returns 1; 0 at the message's end; or -EINVAL, with `reader->at` where the
 * field that is wrong begins and proto_wrong() to say what is.
 */
MUST_CHECK int proto_next(struct proto_reader *reader, struct proto_field *ret_field);

/* Why the field at `reader->at` cannot be read. */
const char *proto_wrong(const struct proto_reader *reader);

/* The part of proto_number for more than two bytes. */
const uint8_t *proto_number_long(const uint8_t *at, const uint8_t *end, const uint8_t *readable,
				 uint64_t *ret_value);

/*
 * Read the integer at `at` of a message that ends at `end`; memory may be read up to `readable`,
 * the end of the whole body.  Returns the byte behind it, or NULL when it is cut short or too long.
 */
MUST_CHECK static inline const uint8_t *proto_number(const uint8_t *at, const uint8_t *end,
						     const uint8_t *readable, uint64_t *ret_value)
{
	if (at < end && at[0] < 0x80) {
		*ret_value = at[0];
		return at + 1;
	}
	if (end - at >= 2 && at[1] < 0x80) {
		*ret_value = (at[0] & 0x7f) | (uint32_t)at[1] << 7;
		return at + 2;
	}
	return proto_number_long(at, end, readable, ret_value);
}

/* The byte behind the integer at `at`, without its value; NULL when the general reader must look.
 */
MUST_CHECK static inline const uint8_t *proto_skip(const uint8_t *at, const uint8_t *end,
						   const uint8_t *readable)
{
	uint64_t word, ends;

	if (at < end && at[0] < 0x80)
		return at + 1;
	if (readable - at < 8)
		return NULL;
	memcpy(&word, at, sizeof(word));
	ends = ~word & UINT64_C(0x8080808080808080);
	if (!ends || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return NULL;
	at += (__builtin_ctzll(ends) >> 3) + 1;
	return at <= end ? at : NULL;
}

/*
 * Read a tag's length and step behind it, for lengths of one or two bytes: nearly all there are.
 * `at` is behind the tag.  Returns false, with nothing changed, when the general reader must look.
 */
MUST_CHECK static inline bool proto_length(const uint8_t **at, const uint8_t *end, size_t *ret_len)
{
	const uint8_t *p = *at;

	if (end - p < 2)
		return false;
	size_t len = *p++;

	if (len >= 0x80) {
		if (*p >= 0x80)
			return false;
		len = (len & 0x7f) | (size_t)*p++ << 7;
	}
	if (len > (size_t)(end - p))
		return false;
	*ret_len = len;
	*at = p;
	return true;
}

/* How many integers a packed field holds: the bytes that end one. `readable` as above. */
size_t proto_packed_count(struct proto_reader bytes, const uint8_t *readable);

/* ---- writing: into a buf, whose sticky failure the caller checks at the end ---- */

void proto_put_varint(struct buf *to, uint32_t number, uint64_t value);
void proto_put_bytes(struct buf *to, uint32_t number, const void *bytes, size_t len);
void proto_put_double(struct buf *to, uint32_t number, double value);

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
