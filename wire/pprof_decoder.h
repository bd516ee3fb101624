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
	.allowed = { [PROTO_VARINT] = (numbers) | ~((numbers) | (bytes)),                          \
		     [PROTO_BYTES] = (bytes) | ~((numbers) | (bytes)),                             \
		     [PROTO_FIXED64] = ~((numbers) | (bytes)),                                     \
		     [PROTO_FIXED32] = ~((numbers) | (bytes)) }

enum { TYPE = 1, SAMPLE, MAPPING, LOCATION, FUNCTION, STRING, DROP, KEEP, TIME, DURATION,
       PERIOD_TYPE, PERIOD, COMMENT, DEFAULT_TYPE, DOC_URL };

extern const struct message pprof_profile_message, pprof_type_message, pprof_sample_message,
	pprof_label_message, pprof_mapping_message, pprof_location_message, pprof_line_message,
	pprof_function_message;

struct pprof_decoder {
	struct pprof *p;
	struct proto_reader body;
	struct proto_reader samples, locations; /* from the first to behind the last of them */
	uint64_t *mapping_ids, *function_ids, *location_ids;
	struct idmap mappings, functions, location_map;
	uint32_t function_zero; /* what a line without a function id means */
	void *scratch;
	struct err *err;
};

/* Each sets the reason and returns -EINVAL. */
int pprof_malformed(struct pprof_decoder *d, const struct message *m,
		    const struct proto_reader *reader);
int pprof_wrong_type(struct pprof_decoder *d, const struct message *m, const struct proto_field *f);

/* The next field of a message. Returns 1, 0 at its end, or -EINVAL. */
static inline int field_next(struct pprof_decoder *d, const struct message *m,
			     struct proto_reader *reader, struct proto_field *f)
{
	int rc = proto_next(reader, f);

	if (__builtin_expect(rc <= 0, 0))
		return rc ? pprof_malformed(d, m, reader) : 0;
	if (__builtin_expect(f->number < 32 && !(m->allowed[f->type] >> f->number & 1), 0))
		return pprof_wrong_type(d, m, f);
	return 1;
}

/* One ValueType. Returns 0 or -EINVAL. */
int pprof_read_type(struct pprof_decoder *d, struct proto_reader reader, struct pprof_type *to);

/* Pass 2: fill the arrays, whose sizes pass 1 counted. Returns 0 or -EINVAL. */
int pprof_read_all(struct pprof_decoder *d);

#endif
