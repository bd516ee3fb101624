/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/pprof_decoder.h - what the two passes of wire/pprof.c share.  Private to wire/pprof*.c.
 *
 * pprof.c walks the framing and counts, takes the memory, and calls pprof_read.c, which fills it.
 */
#ifndef WIRE_PPROF_DECODER_H
#define WIRE_PPROF_DECODER_H

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
	void *scratch;
	const struct pprof_limits *limits;
	size_t taken; /* bytes of the arrays and of the scratch memory */
	size_t lines_room, stacks_room, labels_room;
	struct err *err;
};

/* Each sets the reason and returns -EINVAL. */
int pprof_malformed(struct pprof_decoder *d, const struct message *m,
		    const struct proto_reader *reader);
int pprof_wrong_type(struct pprof_decoder *d, const struct message *m, const struct proto_field *f);

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

/* One ValueType. Returns 0 or -EINVAL. */
int pprof_read_type(struct pprof_decoder *d, struct proto_reader reader, struct pprof_type *to);

/* Grow an array of lines, stacks or labels to hold `want` items. Returns 0, -E2BIG or -ENOMEM. */
int pprof_grow(struct pprof_decoder *d, void *array, size_t item_bytes, size_t *room, size_t want);

/* Pass 2: fill the arrays. Returns 0, -EINVAL, -E2BIG or -ENOMEM. */
int pprof_read_all(struct pprof_decoder *d);

#endif
