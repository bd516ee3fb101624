/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/native_emit.h - what the makers of a native batch share: native_emit.c writes records,
 * native_cpu.c and native_wall.c do the two accounts.
 *
 * Private to ingest/native*.c.
 */
#ifndef INGEST_NATIVE_EMIT_H
#define INGEST_NATIVE_EMIT_H

#include "base/index.h"
#include "ingest/native_process.h"

/* A series of each of these kinds, made when its first record is written. */
/* clang-format off */
#define NATIVE_SERIES(SERIES)                                                                      \
	SERIES(CPU) SERIES(WALL) SERIES(BLOCK) SERIES(ALLOC) SERIES(INUSE) SERIES(LOCK)            \
	SERIES(HOLD) SERIES(BLAME) SERIES(EXCEPTION) SERIES(PROCESS) SERIES(RESIDENT)
/* clang-format on */

enum native_series {
#define SERIES(kind) SERIES_##kind,
	NATIVE_SERIES(SERIES)
#undef SERIES
	    SERIES_COUNT
};

/*
 * What was asked last, for most is asked again: frames of words that have the same place, likewise
 * stacks of samples, and the context of the last thread without ids and labels of its own.
 */
#define EMIT_FRAMES 1024 /* a power of two */
#define EMIT_SAMPLES 256 /* likewise */

struct emit_frame {
	uint64_t word;
	uint32_t frame; /* builder's number + 1, 0: none */
};

struct emit_sample {
	const struct native_pending *of; /* NULL: none */
	uint32_t node;
};

struct emit_kept {
	struct emit_frame frames[EMIT_FRAMES];
	struct emit_sample samples[EMIT_SAMPLES];
};

struct emitter {
	struct native_process *process;
	struct profile_builder *out;
	const struct native_clock *clock;
	const struct native_sums *sums;
	const struct native_vitals *vitals;
	bool ended; /* the process is gone: this is its last batch */
	int64_t interval_ns;
	bool stopped;                                   /* the client takes no samples now */
	struct profile_label labels[NATIVE_LABELS_MAX]; /* of every series */
	uint32_t series[SERIES_COUNT];                  /* number + 1; 0: not made yet */
	uint32_t *modules;   /* builder's numbers by ours, 0: not added yet */
	struct index stacks; /* builder's nodes, by the hash of a stack's words */
	struct emit_kept *kept;
	bool plain_known; /* of what follows: the last thread without more to say */
	uint32_t plain_tid, plain_context;
	int rc; /* first failure; every step checks it */
};

/* Sums of what a client says: at the end of the range they stay there. */
static inline int64_t add_bounded(int64_t a, int64_t b)
{
	int64_t sum;

	if (!__builtin_add_overflow(a, b, &sum) && sum < INT64_MAX / 4 && sum > INT64_MIN / 4)
		return sum;
	return b > 0 ? INT64_MAX / 4 : INT64_MIN / 4;
}

/* A sum of what a client says may be anything. */
static inline int64_t whole_bounded(double value)
{
	return value > 0x1p60    ? INT64_C(1) << 60
	       : value < -0x1p60 ? -(INT64_C(1) << 60)
				 : (int64_t)value;
}

/* CLOCK_MONOTONIC of the client as UTC. */
int64_t emit_real_time(const struct emitter *e, int64_t monotonic_ns);

/* The leaf of what ran in the kernel, below the function that made the system call. */
#define NATIVE_KERNEL "[kernel]"

/* A stack of words, with `leaf` (NULL: none), or NATIVE_KERNEL, as a named frame below it. */
uint32_t emit_stack(struct emitter *e, const uint64_t *words, size_t count, bool in_kernel,
		    const char *leaf);

uint32_t emit_sample_stack(struct emitter *e, const struct native_pending *pending);

/* Thread, span and target; `pending` and `block` may be NULL. */
uint32_t emit_context(struct emitter *e, const struct native_thread *thread,
		      const struct native_pending *pending, const struct ring_block *block);

/* The same with labels of its kind of record; one that the record itself carries goes before. */
struct emit_label {
	struct str key, value;
};
uint32_t emit_context_with(struct emitter *e, const struct native_thread *thread,
			   const struct native_pending *pending, const struct emit_label *more,
			   size_t more_count);

/* A record of any kind: `values` are its columns, `count` the samples behind it.  One whose first
 * value is 0 or less is not written. */
void emit_values(struct emitter *e, enum native_series series, uint32_t node, uint32_t context,
		 int64_t time_ns, const int64_t *values, uint64_t count);

/* The same for kinds of two columns, (value, count).  */
void emit_record(struct emitter *e, enum native_series series, uint32_t node, uint32_t context,
		 int64_t time_ns, int64_t value, uint64_t count);

/* The two accounts. `due`: wall time is accounted in this batch. */
void native_cpu_emit(struct emitter *e, const struct native_reading *readings, size_t count);

/* Samples of threads that may be seen wrongly; `due`: and those threads themselves, once. */
uint64_t native_cpu_doubted(const struct native_process *process,
			    const struct ring_counters *counters, bool due);
void native_lock_emit(struct emitter *e, const struct ring_counters *counters, bool ended);
void native_exception_emit(struct emitter *e, const struct ring_counters *counters, bool ended);
void native_wall_emit(struct emitter *e, const struct native_reading *readings, size_t count,
		      bool due);
/* Faults, switches, waiting for a CPU, and, when `due`, resident memory. */
void native_vitals_emit(struct emitter *e, const struct native_reading *readings, size_t count,
			bool due);

/* Allocations, and the live heap that native_process_heap was given. */
void native_alloc_emit(struct emitter *e, const struct ring_counters *counters, bool ended);
void native_heap_emit(struct emitter *e, bool ended);

#endif
