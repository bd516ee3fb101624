/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/write.h - puts records into the rings.
 *
 * Private to client/.  Many producers, handlers and hooks alike, without a lock: a record is
 * claimed by compare-and-swap, filled and committed.  A producer that dies or jumps away between
 * the two leaves a claim that the reader lets expire (ring.h).
 */
#ifndef CLIENT_WRITE_H
#define CLIENT_WRITE_H

#include "client/session.h"

/* A ring as the writer sees it; the tests make their own. */
struct ring_writer {
	struct ring_control *control;
	unsigned char *data;
	uint32_t bytes; /* power of two */
	const uint64_t *tail_a, *tail_b;
};

struct ring_writer ring_writer_at(uint32_t ring);

/*
 * Claim `bytes` (a multiple of RING_UNIT, at most a quarter of the ring), padding the ring's end
 * when they do not fit before it.  Returns the record, whose position stands in *ret_position, or
 * NULL when the reader is too far behind.  `commit` still holds what an earlier lap left there.
 */
struct ring_record *ring_claim(const struct ring_writer *w, uint32_t bytes, uint64_t *ret_position);

static inline void ring_commit(struct ring_record *r, uint64_t position)
{
	store_release(&r->commit, position + 1);
}

/* What a record says, apart from its frames. */
struct event {
	enum ring_type type;
	enum ring_dimension dimension;
	uint8_t flags, end;
	uint32_t count; /* samples that it stands for; 0: one */
	const void *payload;
	uint32_t payload_bytes;
	const uint64_t *frames;
	uint16_t frames_count;
	uint16_t text_bytes;
	/* labels of this record, pairs of strings; those of its thread are added */
	const char *text;
	int64_t time_ns;
	const struct thread *thread; /* NULL: a thread without a slot */
};

/* Write one record into the ring of this CPU, or into a neighbour when that is full.  Counts the
 * sample, or the drop.  Async-signal-safe. */
bool event_write(const struct event *e);

#endif
