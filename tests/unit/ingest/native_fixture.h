/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/ingest/native_fixture.h - a native process whose ring, counters and clocks the test
 * writes.
 */
#ifndef TESTS_NATIVE_FIXTURE_H
#define TESTS_NATIVE_FIXTURE_H

#include "tests/cmocka.h"

#include <string.h>

#include "ingest/native.h"
#include "tests/unit/ingest/native_ring.h"

#define MS NS_PER_MS
#define START (INT64_C(100) * NS_PER_S) /* CLOCK_MONOTONIC of the process's start */
#define UTC (INT64_C(1767225600) * NS_PER_S)

struct fixture {
	struct ring_head head;
	struct native_process *process;
	struct ring_writer writer;
	struct ring_counters counters;
	struct native_sums sums;
	struct native_totals totals;
	struct native_vitals vitals;
	int64_t after_ns; /* since the start, for tests that count by drains */
};

static inline void fixture_begin(struct fixture *f, const struct native_options *options)
{
	memset(f, 0, sizeof(*f));
	f->head = ring_head_make();
	f->head.start_monotonic_ns = START;
	f->counters.interval_us = 10000;
	buf_init(&f->writer.bytes, BUF_UNLIMITED);
	assert_int_equal(native_process_new(&f->head, options, &f->process), 0);
}

static inline void fixture_release(struct fixture *f)
{
	native_process_free(f->process);
	buf_release(&f->writer.bytes);
}

/* What was written, all of which is taken, empties the ring. */
static inline void fixture_take(struct fixture *f)
{
	size_t consumed = 0;

	assert_int_equal(native_process_records(f->process, 0, f->writer.start,
						(const uint8_t *)f->writer.bytes.data,
						f->writer.bytes.len, false, &consumed),
			 0);
	assert_int_equal(consumed, f->writer.bytes.len);
	f->writer.start += consumed;
	f->writer.bytes.len = 0;
}

/* The same, when no batch follows. */
static inline void fixture_feed(struct fixture *f)
{
	fixture_take(f);
	assert_int_equal(native_process_keep(f->process), 0);
}

static inline struct profile *fixture_emit(struct fixture *f, const struct native_reading *readings,
					   size_t count, int64_t after_ns, bool ended)
{
	const struct native_clock clock = {UTC + after_ns, START + after_ns};
	struct profile_builder *builder = NULL;
	struct err err = {0};

	assert_int_equal(profile_builder_new(NULL, &builder), 0);
	assert_int_equal(native_process_emit(f->process, &f->counters, &f->sums, &f->vitals,
					     readings, count, &clock, ended, builder, &err),
			 0);
	return profile_builder_finish(builder);
}

#endif
