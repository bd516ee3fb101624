/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/protobuf.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* A tag or a length: at most five bytes, so that overlong forms other decoders refuse are refused.
 */
static const uint8_t *header_get(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
	if (end - at > PROTO_HEADER_MAX)
		end = at + PROTO_HEADER_MAX;
	return varint_get(at, end, ret_value);
}

static const uint8_t *fixed_get(const uint8_t *at, const uint8_t *end, size_t len,
				uint64_t *ret_value)
{
	if ((size_t)(end - at) < len)
		return NULL;
	*ret_value = 0;
	for (size_t i = 0; i < len; i++)
		*ret_value |= (uint64_t)at[i] << (8 * i);
	return at + len;
}

/* How wire types 3 and 4 begin and end a group, which nobody here knows: passed over whole. */
enum { GROUP_BEGIN = 3, GROUP_END = 4 };

#define GROUPS_MAX 64 /* inside each other; protobuf's own readers stop at 100 */

/* One tag and what is behind it, or why not; behind the two of a group is nothing. */
static const char *item_get(const uint8_t *at, const uint8_t *end, struct proto_field *f,
			    const uint8_t **ret_next)
{
	uint64_t tag, len;

	at = header_get(at, end, &tag);
	if (!at || tag > UINT32_MAX)
		return "a field's tag is cut short or too long";
	*f = (struct proto_field){.number = (uint32_t)tag >> 3, .type = tag & 7};
	if (!f->number)
		return "field number 0";
	switch (f->type) {
	case PROTO_VARINT:
		at = varint_get(at, end, &f->value);
		break;
	case PROTO_FIXED64:
		at = fixed_get(at, end, 8, &f->value);
		break;
	case PROTO_FIXED32:
		at = fixed_get(at, end, 4, &f->value);
		break;
	case PROTO_BYTES:
		at = header_get(at, end, &len);
		if (!at)
			return "a field's length is cut short or too long";
		if (len > PROTO_LENGTH_MAX || len > (uint64_t)(end - at))
			return "a field is longer than what remains";
		f->bytes = (struct proto_reader){at, at + len};
		at += len;
		break;
	case GROUP_BEGIN:
	case GROUP_END:
		break;
	default:
		return "an unknown wire type";
	}
	if (!at)
		return "a number is cut short or too long";
	*ret_next = at;
	return NULL;
}

/* The rest of the group `number`, whose begin was read. */
static const char *group_skip(const uint8_t *at, const uint8_t *end, uint32_t number,
			      const uint8_t **ret_next)
{
	uint32_t open[GROUPS_MAX] = {number};
	struct proto_field f;

	for (size_t depth = 1; depth;) {
		if (at == end)
			return "a group without an end";
		const char *why = item_get(at, end, &f, &at);

		if (why)
			return why;
		if (f.type == GROUP_END && f.number != open[--depth])
			return "the end of another group";
		if (f.type == GROUP_BEGIN && depth == GROUPS_MAX)
			return "groups inside each other too deep";
		if (f.type == GROUP_BEGIN)
			open[depth++] = f.number;
	}
	*ret_next = at;
	return NULL;
}

/* One field or a whole group, or why not. Both proto_next and proto_wrong are this. */
static const char *field_get(const struct proto_reader *reader, struct proto_field *f,
			     const uint8_t **ret_next)
{
	const uint8_t *at;
	const char *why = item_get(reader->at, reader->end, f, &at);

	if (!why && f->type == GROUP_END)
		why = "the end of a group that did not begin";
	if (!why && f->type == GROUP_BEGIN)
		why = group_skip(at, reader->end, f->number, &at);
	if (!why)
		*ret_next = at;
	return why;
}

int proto_next(struct proto_reader *reader, struct proto_field *ret_field)
{
	do {
		if (reader->at == reader->end)
			return 0;
		if (field_get(reader, ret_field, &reader->at))
			return -EINVAL;
	} while (ret_field->type == GROUP_BEGIN);
	return 1;
}

const char *proto_wrong(const struct proto_reader *reader)
{
	struct proto_field field;
	const uint8_t *next;
	const char *why = field_get(reader, &field, &next);

	return why ? why : "nothing";
}

#define HIGH_BITS UINT64_C(0x8080808080808080)

static uint64_t word_at(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/*
 * Eight bytes at once: find the byte that ends the number, drop what follows, and close the gaps
 * between the groups of seven bits in three steps.
 */
const uint8_t *proto_number_long(const uint8_t *at, const uint8_t *end, const uint8_t *readable,
				 uint64_t *ret_value)
{
	if (readable - at < 8)
		return varint_get(at, end, ret_value);
	uint64_t word = word_at(at), ends = ~word & HIGH_BITS;

	if (!ends)
		return varint_get(at, end, ret_value);
	at += (__builtin_ctzll(ends) >> 3) + 1;
	if (at > end)
		return NULL;
	word &= (ends ^ (ends - 1)) & ~HIGH_BITS;
	word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
	word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
	word = (word & UINT64_C(0x000000000fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
	*ret_value = word;
	return at;
}

/* One bit for each byte that ends a number; the product adds the eight up in the top byte. */
static size_t ends_in(uint64_t word)
{
	return (((~word & HIGH_BITS) >> 7) * UINT64_C(0x0101010101010101)) >> 56;
}

size_t proto_packed_count(struct proto_reader bytes, const uint8_t *readable)
{
	size_t count = 0;

	for (; bytes.end - bytes.at >= 8; bytes.at += 8)
		count += ends_in(word_at(bytes.at));
	if (bytes.at < bytes.end && readable - bytes.at >= 8) {
		/* What is behind the end is made to look like the middle of a number. */
		uint64_t behind = UINT64_MAX << 8 * (bytes.end - bytes.at);

		return count + ends_in(word_at(bytes.at) | behind);
	}
	for (; bytes.at < bytes.end; bytes.at++)
		count += *bytes.at < 0x80;
	return count;
}

static void put_tag(struct buf *to, uint32_t number, enum proto_type type)
{
	(void)buf_add_varint(to, (uint64_t)number << 3 | type);
}

void proto_put_varint(struct buf *to, uint32_t number, uint64_t value)
{
	put_tag(to, number, PROTO_VARINT);
	(void)buf_add_varint(to, value);
}

void proto_put_bytes(struct buf *to, uint32_t number, const void *bytes, size_t len)
{
	put_tag(to, number, PROTO_BYTES);
	(void)buf_add_varint(to, len);
	(void)buf_add(to, bytes, len);
}

void proto_put_double(struct buf *to, uint32_t number, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	bits = htole64(bits);
	put_tag(to, number, PROTO_FIXED64);
	(void)buf_add(to, &bits, sizeof(bits));
}

size_t proto_message_begin(struct buf *to, uint32_t number)
{
	put_tag(to, number, PROTO_BYTES);
	return to->len;
}

/* The length stands before the content and its size is known only now, so the content moves. */
void proto_message_end(struct buf *to, size_t begin)
{
	uint8_t header[VARINT_MAX];

	if (to->failed)
		return;
	size_t len = to->len - begin;
	size_t header_len = varint_put(header, len);

	if (!buf_reserve(to, header_len))
		return;
	memmove(to->data + begin + header_len, to->data + begin, len);
	memcpy(to->data + begin, header, header_len);
	to->len += header_len;
}
