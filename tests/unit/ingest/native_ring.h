/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/ingest/native_ring.h - writes ring records as the client does, for tests.
 */
#ifndef TESTS_NATIVE_RING_H
#define TESTS_NATIVE_RING_H

#include "base/buf.h"
#include "client/ring.h"

struct ring_writer {
	struct buf bytes; /* of the ring from `start` on */
	uint64_t start;
};

static inline void *ring_writer_add(struct ring_writer *w, uint16_t type, uint32_t tid,
				    int64_t time_ns, const void *payload, size_t payload_len,
				    const uint64_t *frames, uint16_t frames_count)
{
	size_t len = sizeof(struct ring_record) + payload_len + frames_count * sizeof(*frames);
	size_t padded = (len + RING_UNIT - 1) / RING_UNIT * RING_UNIT;
	struct ring_record record = {
	    .commit = w->start + w->bytes.len + 1,
	    .bytes = (uint32_t)padded,
	    .type = type,
	    .frames = frames_count,
	    .tid = tid,
	    .slot = UINT32_MAX,
	    .time_ns = time_ns,
	};
	char *to = buf_reserve(&w->bytes, padded);

	memset(to, 0, padded);
	memcpy(to, &record, sizeof(record));
	if (payload_len)
		memcpy(to + sizeof(record), payload, payload_len);
	if (frames_count)
		memcpy(to + sizeof(record) + payload_len, frames, frames_count * sizeof(*frames));
	w->bytes.len += padded;
	return to;
}

static inline void *ring_writer_cpu(struct ring_writer *w, uint32_t tid, int64_t time_ns,
				    uint64_t weight_ns, uint64_t leaf)
{
	const struct ring_cpu cpu = {weight_ns, 1};
	const uint64_t frames[2] = {leaf, 0x2000};

	return ring_writer_add(w, RING_SAMPLE_CPU, tid, time_ns, &cpu, sizeof(cpu), frames, 2);
}

static inline struct ring_head ring_head_make(void)
{
	return (struct ring_head){
	    .magic = RING_MAGIC,
	    .version = RING_VERSION,
	    .head_bytes = sizeof(struct ring_head),
	    .total_bytes = 1 << 20,
	    .runtime_id = {1, 2, 3},
	    .start_real_ns = 1000,
	    .start_monotonic_ns = 1,
	    .modules_at = 3 * RING_PAGE,
	    .modules_max = 16,
	    .threads_at = 8 * RING_PAGE,
	    .threads_max = 16,
	    .rings_at = 16 * RING_PAGE,
	    .rings_count = 2,
	    .ring_bytes = 1 << 18,
	    .hz = 250,
	};
}

#endif
