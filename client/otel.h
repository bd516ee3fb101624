/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/otel.h - the context that OpenTelemetry's profilers read from outside: of each thread
 * (OTEP 4947: the thread-local pointer otel_thread_ctx_v1) and of the process (OTEP 4719: a mapping
 * named OTEL_CTX).
 *
 * Private to client/.  The thread's part is written by its own thread; the process's while the lock
 * of start and stop is held, or in a forked child that opens its session.  Another tracer in the
 * process may own the pointer: it gets it back when our spans end, and its ids are taken when we
 * have none.
 */
#ifndef CLIENT_OTEL_H
#define CLIENT_OTEL_H

#include <stdbool.h>
#include <stdint.h>

struct thread;

#define OTEL_ROOT_KEY 0    /* index of "datadog.local_root_span_id" in the published key table */
#define OTEL_ROOT_BYTES 16 /* as hexadecimal digits */

/* What otel_thread_ctx_v1 points to. */
struct otel_record {
	uint8_t trace_id[16];
	uint8_t span_id[8]; /* big-endian */
	uint8_t valid;      /* 1: the rest may be read */
	uint8_t trace_flags;
	uint16_t attributes_bytes;
	/* Of one attribute: key index, length, value.  Others may have written more. */
	uint8_t root_key, root_bytes, root[OTEL_ROOT_BYTES];
};

_Static_assert(sizeof(struct otel_record) == 46, "the layout of OTEP 4947");

/* Publish and read from now on, or do neither. */
void otel_switch(bool on);

/* Publish the calling thread's span; 0: it has none any more. */
void otel_show(struct thread *t, const uint64_t trace_id[2], uint64_t span_id,
	       uint64_t root_span_id);

/* The span that another tracer has published for the calling thread.  Async-signal-safe. */
bool otel_foreign(uint64_t ret_trace_id[2], uint64_t *ret_span_id, uint64_t *ret_root_span_id);

/* Publish service, env, version, tags and the runtime id, or what they have become.  System calls
 * and nothing else.  Failure is nobody's loss. */
void otel_publish_process(void);

/* A forked child has no such mapping: forget it. */
void otel_forget_process(void);

#endif
