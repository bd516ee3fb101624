/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/pprof_decoder.h - what the two passes of wire/pprof.c share.  Private to wire/pprof*.c.
 *
 * pprof.c walks the framing and counts, takes the memory, and calls pprof_read.c and
 * pprof_samples.c, which fill it.
 */
#ifndef WIRE_PPROF_DECODER_H
#define WIRE_PPROF_DECODER_H

#include <errno.h>

#include "wire/idmap.h"
#include "wire/pprof.h"
#include "wire/protobuf.h"

/* What a message's fields may look like on the wire. A repeated number may be packed or not. */
struct message {
	const char *name;
	uint32_t allowed[6]; /* by wire type, a bit by field number; set for unknown fields */
	const char *fields[16];
};

#define BIT(n) (UINT32_C(1) << (n))
#define MESSAGE(numbers, bytes)                                                                    \
	.allowed = {[PROTO_VARINT] = (numbers) | ~((numbers) | (bytes)),                           \
		    [PROTO_BYTES] = (bytes) | ~((numbers) | (bytes)),                              \
		    [PROTO_FIXED64] = ~((numbers) | (bytes)),                                      \
		    [PROTO_FIXED32] = ~((numbers) | (bytes))}

enum {
	TYPE = 1,
	SAMPLE,
	MAPPING,
	LOCATION,
	FUNCTION,
	STRING,
	DROP,
	KEEP,
	TIME,
	DURATION,
	PERIOD_TYPE,
	PERIOD,
	COMMENT,
	DEFAULT_TYPE,
	DOC_URL
};

extern const struct message pprof_profile_message, pprof_type_message, pprof_sample_message,
    pprof_label_message, pprof_mapping_message, pprof_location_message, pprof_line_message,
    pprof_function_message;

struct pprof_decoder {
	struct pprof *p;
	struct proto_reader body;
	struct proto_reader samples, locations; /* from the first to behind the last of them */
	bool samples_together;                  /* nothing else in between */
	uint64_t *mapping_ids, *function_ids, *location_ids;
	struct idmap mappings, functions, location_map;
	uint32_t function_zero; /* what a line without a function id means */
	struct pprof_room *room;
	const struct pprof_limits *limits;
	size_t taken; /* bytes of the arrays and of the scratch memory */
	size_t lines_room, stacks_room, labels_room;
	struct err *err;
};

/* Each sets the reason and returns -EINVAL. */
int pprof_malformed(struct pprof_decoder *d, const struct message *m,
		    const struct proto_reader *reader);
int pprof_wrong_type(struct pprof_decoder *d, const struct message *m, const struct proto_field *f);
int pprof_bad_packed(struct pprof_decoder *d, const struct message *m, uint32_t field);
int pprof_bad_index(struct pprof_decoder *d, const struct message *m, uint32_t field,
		    uint64_t index);
int pprof_bad_id(struct pprof_decoder *d, const struct message *m, uint32_t field, uint64_t id);

/* The next field of a message, whatever it is. Returns 1, 0 at its end, or -EINVAL. */
int pprof_field_any(struct pprof_decoder *d, const struct message *m, struct proto_reader *reader,
		    struct proto_field *f);

/* Step over a field whose tag is this one byte, with a short length. False: look closer. */
__attribute__((always_inline)) static inline bool field_bytes(struct proto_reader *reader,
							      struct proto_reader *ret_bytes)
{
	const uint8_t *at = reader->at + 1;
	size_t len;

	if (!proto_length(&at, reader->end, &len))
		return false;
	ret_bytes->at = at;
	ret_bytes->end = at + len;
	reader->at = at + len;
	return true;
}

#define TAG_BYTES(number) ((number) << 3 | PROTO_BYTES)
#define TAG_NUMBER(number) ((number) << 3 | PROTO_VARINT)

/* Whether a byte is the tag of sample_type, sample, mapping, location, function or string_table. */
static inline bool tag_is_table(uint32_t tag)
{
	return (tag & 7) == PROTO_BYTES &&
	       tag - TAG_BYTES(TYPE) <= TAG_BYTES(STRING) - TAG_BYTES(TYPE);
}

static inline int string_at(struct pprof_decoder *d, const struct message *m,
			    const uint64_t *numbers, uint32_t field, uint32_t *to)
{
	if (__builtin_expect(numbers[field] >= d->p->strings_count, 0))
		return pprof_bad_index(d, m, field, numbers[field]);
	*to = (uint32_t)numbers[field];
	return 0;
}

/* The field of a tag of one byte with a number; more than any field's for every other byte: the
 * bits of the wire type, 0 for a number, are turned to the top. */
static inline uint32_t number_field(uint32_t tag)
{
	return (tag >> 3 | tag << 5) & 0xff;
}

/* A message of numbers only, into numbers[field]; the caller zeroed them. */
static inline int read_numbers(struct pprof_decoder *d, const struct message *m,
			       struct proto_reader reader, uint64_t *numbers, uint32_t count)
{
	struct proto_field f;

	while (reader.at < reader.end) {
		uint32_t tag = *reader.at;

		uint32_t field = number_field(tag);

		if (__builtin_expect(field - 1 < count - 1, 1)) {
			const uint8_t *next =
			    proto_number(reader.at + 1, reader.end, d->body.end, &numbers[field]);

			if (!next)
				return pprof_malformed(d, m, &reader);
			reader.at = next;
			continue;
		}
		if (pprof_field_any(d, m, &reader, &f) < 0)
			return -EINVAL;
		if (f.number < count)
			numbers[f.number] = f.value;
	}
	return 0;
}

/* Line numbers are signed on the wire; what is none is unknown. */
static inline uint32_t line_number(uint64_t value)
{
	return value <= UINT32_MAX ? (uint32_t)value : 0;
}

/* The next field of this number in a span that begins with one. Returns 1, 0 or -EINVAL. */
__attribute__((always_inline)) static inline int span_next(struct pprof_decoder *d,
							   struct proto_reader *span,
							   uint32_t number,
							   struct proto_reader *ret_bytes)
{
	while (span->at < span->end) {
		uint32_t tag = *span->at;
		struct proto_field f;

		if (tag_is_table(tag) && field_bytes(span, ret_bytes)) {
			if (tag == TAG_BYTES(number))
				return 1;
			continue;
		}
		if (pprof_field_any(d, &pprof_profile_message, span, &f) < 0)
			return -EINVAL;
		*ret_bytes = f.bytes;
		if (f.number == number)
			return 1;
	}
	return 0;
}

/* One ValueType. Returns 0 or -EINVAL. */
int pprof_read_type(struct pprof_decoder *d, struct proto_reader reader, struct pprof_type *to);

/* Grow an array of lines, stacks or labels to hold `want` items. Returns 0, -E2BIG or -ENOMEM. */
int pprof_grow(struct pprof_decoder *d, struct pprof_block *block, void *array, size_t item_bytes,
	       size_t *room, size_t want);
#define PPROF_GROW(d, array, want)                                                                 \
	pprof_grow(d, &(d)->room->array, &(d)->p->array, sizeof(*(d)->p->array),                   \
		   &(d)->array##_room, want)

/* The samples' part of it. */
int pprof_read_samples(struct pprof_decoder *d);

/* Pass 2: fill the arrays. Returns 0, -EINVAL, -E2BIG or -ENOMEM. */
int pprof_read_all(struct pprof_decoder *d);

#endif
