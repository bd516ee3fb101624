/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/native_process.h - what is remembered of a process between two drains.
 *
 * Private to ingest/native*.c.
 */
#ifndef INGEST_NATIVE_PROCESS_H
#define INGEST_NATIVE_PROCESS_H

#include "ingest/in_step.h"
#include "ingest/native.h"
#include "ingest/native_account.h"
#include "ingest/native_heap.h"

struct native_module {
	uint8_t build_id[RING_BUILD_ID_MAX];
	uint8_t build_id_len;
	bool is_hash;
	char path[RING_PATH_MAX];
};

/* Code that the process made itself, by its perf map. */
struct native_code {
	uint64_t start, end;
	uint32_t name_at, name_len; /* in jit.names */
	uint32_t order;             /* of arrival */
};

struct native_jit {
	struct native_code *codes;
	size_t count, capacity;
	char *names;
	size_t names_len, names_capacity;
	bool sorted;
};

#define NATIVE_HEARD_BITS 1024 /* by the tid's low bits */

/* A record of the ring, checked. */
struct native_pending {
	uint16_t type;
	uint16_t frames_count;
	uint32_t tid;
	bool in_kernel, holder_seen;
	int64_t time_ns;
	uint64_t span_id, root_span_id, trace_id[2];
	const uint64_t *frames; /* in the bytes that were handed in, or in native_process.kept */
	size_t text_at;         /* in native_process.text: pairs of strings, checked */
	uint16_t text_bytes;
	union {
		uint8_t payload[sizeof(struct ring_block)]; /* the largest */
		struct ring_cpu cpu;
		struct ring_block block;
		struct ring_alloc alloc;
		struct ring_lock lock;
		struct ring_exception exception;
	};
};

/* Where a thread blocks, by the client's key: for calls that have not returned yet. */
struct native_site {
	uint64_t key;
	size_t frames_count;
	uint64_t frames[RING_FRAMES_MAX];
};

struct native_sites {
	struct native_site sites[RING_SITES]; /* by ring_site_place; key 0: free */
};

/* A client may name any number of threads; what is above goes to one that has the number 0. */
#define NATIVE_THREADS_MAX (4 * RING_THREADS_MAX)

struct native_thread {
	uint32_t tid;
	bool live, ended; /* in the readings of this drain; its end record was seen */
	bool known;       /* the baselines below were taken */
	bool forget;      /* goes with the next sweep */
	bool wall_closed; /* its wall time is accounted to its end */
	bool has_slot;    /* its slot was seen, with this generation */
	uint32_t generation;
	int64_t seen_ns; /* CLOCK_MONOTONIC of its last reading or record */
	char name[NATIVE_COMM_MAX];

	uint64_t cpu_base_ns;  /* the clock where our account starts */
	uint64_t slot_base_ns; /* ring_thread.cpu_base_ns as last seen: it grows by each stop */
	int64_t emitted_ns;    /* CPU time written so far, since cpu_base_ns */
	int64_t unsampled_ns;  /* of it, written as not sampled since the last sample */
	/* the clock as last seen: it goes back where the tid is a new thread's */
	uint64_t cpu_seen_ns;
	int64_t raw_ns; /* of samples, unscaled: to see a thread depart */
	uint64_t raw_samples;
	uint64_t raw_from_ns; /* the clock when raw_ns was 0 */
	bool departing;
	bool in_step; /* it runs in short bursts that keep step with the tick */
	struct in_step step;

	int64_t wall_until_ns;              /* CLOCK_MONOTONIC up to which wall time is accounted */
	uint64_t wall_cpu_ns, wall_wait_ns; /* the clocks at wall_until_ns */
	bool vitals_known;                  /* of what follows, as last seen */
	uint64_t wait_seen_ns, voluntary_seen, involuntary_seen;
	int64_t explained_ns; /* blocked up to wall_until_ns, by the thread's own account */
	int64_t rest_ns;      /* unexplained, below zero when too much was explained */
	int64_t open_since_ns, open_charged_ns; /* a call still blocked, and what it was charged */
	bool open;                              /* it was in this reading */

	struct native_sites *sites; /* NULL: none */
};

/* A sample that was written with more than it surely stands for. */
#define NATIVE_RECENT_MAX 64

struct native_recent {
	struct native_pending pending; /* what it has is in `frames` and `text` */
	uint64_t *frames;
	char *text;
	int64_t room; /* bytes that may be taken back */
};

/* Exact allocated bytes, and what was written of them: native_alloc.c. */
struct native_alloc_account {
	bool known; /* a batch was written by this agent */
	int64_t exact, written;
	struct native_recent *recent; /* NATIVE_RECENT_MAX of them, or NULL */
	size_t recent_next;
};

struct native_name {
	struct native_question question; /* its type is `type` */
	char *type, *name;
};

/* Exact counters of locks, and how much of them is written. */
struct native_locks {
	struct native_account ns, count, blame_ns, blame_count;
};

struct native_process {
	struct ring_head head;
	uint32_t owner;
	int64_t pid;
	bool resumed;
	char *executable;
	struct arena arena; /* labels */
	struct ingest_label labels[NATIVE_LABELS_MAX];
	size_t labels_count;

	struct native_module *modules;
	size_t modules_count, modules_capacity;
	struct native_pending *pending;
	size_t pending_count, pending_capacity;
	uint64_t heard[NATIVE_HEARD_BITS / 64]; /* threads with pending records, and some more */
	uint64_t *kept;              /* frames of all that is pending, after native_process_keep */
	struct profile_counts sizes; /* of the last batch */
	char *text;
	size_t text_count, text_capacity;
	struct native_jit jit;
	struct native_thread *threads;
	size_t threads_count, threads_capacity;
	uint64_t secret[2];        /* for places in it: a client may name any number */
	uint32_t *threads_index;   /* by tid: number + 1, 0 is free */
	size_t threads_index_size; /* a power of two, or 0 */
	size_t threads_last;       /* the number that was found last */

	uint64_t cursors[RING_RINGS_MAX];
	struct ring_counters counters; /* as of the last batch */
	bool counters_known;
	struct native_locks locks;
	struct native_account exceptions;
	struct native_name *names;
	size_t names_count, names_capacity;
	int64_t blocked_ns;  /* blocked time written */
	double blocked_left; /* of a count below one */
	bool blocked_known;
	/* CPU time of ended threads that no sample carried yet; may be below zero */
	int64_t owed_ns;
	struct native_vitals vitals; /* as last seen */
	int64_t wall_due_ns;         /* CLOCK_MONOTONIC of the next wall account */
	int64_t first_ns;            /* CLOCK_MONOTONIC of the first batch, 0: none yet */
	struct native_totals totals;
	struct native_alloc_account alloc;
	struct native_heap heap;
	bool heap_shown; /* the last snapshot was not empty */
	bool live_known; /* a snapshot was read, of live_bytes in all */
	double live_bytes;
	struct native_stats stats;
};

/* The name of the code at `address`, empty when the map has none. */
struct str native_jit_name(struct native_process *process, uint64_t address);

/* The thread of this tid, made when it is new; good until the next is made. NULL without memory. */
struct native_thread *native_thread_get(struct native_process *process, uint32_t tid);

/* The thread of this tid, NULL when it is not known. */
const struct native_thread *native_thread_find(const struct native_process *process, uint32_t tid);
/* Names that were answered, or what stands for them. */
void native_lock_name(const struct native_process *process, const struct ring_lock *lock,
		      char to[NATIVE_NAME_MAX]);
struct str native_type_name(const struct native_process *process, struct str mangled);
void native_names_free(struct native_process *process);

/* Remove the threads that are marked. */
void native_threads_sweep(struct native_process *process);

#endif
