/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/jfr_decoder.h - what the parts of wire/jfr*.c share.  Private to them.
 */
#ifndef WIRE_JFR_DECODER_H
#define WIRE_JFR_DECODER_H

#include "wire/jfr.h"

#define JFR_HEADER_BYTES 68
/* of values in values, and of the metadata's elements; the JDK's have 5 */
#define JFR_DEPTH_MAX 16

static inline size_t jfr_left(const struct jfr_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

/* Each steps over what it reads, or returns false with the reader anywhere. */
MUST_CHECK bool jfr_read_long(const struct jfr_chunk *chunk, struct jfr_reader *reader,
			      uint64_t *ret);
/* An integer of four bytes where they are not compressed; of those that are counts. */
MUST_CHECK bool jfr_read_count(const struct jfr_chunk *chunk, struct jfr_reader *reader,
			       uint32_t *ret);
MUST_CHECK bool jfr_read_text(const struct jfr_chunk *chunk, struct jfr_reader *reader,
			      struct jfr_text *ret_text);

/* Step over one constant of a class. */
MUST_CHECK bool jfr_skip_constant(const struct jfr_chunk *chunk, struct jfr_reader *reader,
				  uint32_t class);

/* Grow an array that counts against the chunk's limit. Returns 0, -E2BIG or -ENOMEM. */
MUST_CHECK int jfr_grow(struct jfr_chunk *chunk, void *array, size_t item_bytes, size_t *room,
			size_t want, struct err *err);

/* Read the metadata event that stands at `at`: classes and fields, sorted and resolved. */
MUST_CHECK int jfr_metadata_read(struct jfr_chunk *chunk, size_t at, struct err *err);

#endif
