/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/thread.h - what is known of each thread: its slot in the shared memory and private state.
 *
 * Private to client/.  A thread gets its slot when it starts (preload), when a scan of
 * /proc/self/task sees it, or when it first calls the API.  The private state is wiped in a forked
 * child; a thread finds its own through one initial-exec TLS word, which a new session invalidates.
 */
#ifndef CLIENT_THREAD_H
#define CLIENT_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cfi.h"
#include "client/otel.h"
#include "client/session.h"
#include "client/source_lock.h"

#define THREAD_LABELS_BYTES 768
#define THREAD_LOCKS_HELD 8
#define THREAD_SITES 64

struct hearth_span;

/*
 * Counting allocations: source_alloc.c.  The hooks find it through one TLS word and look at the
 * first two members only; wiped in a forked child it sends them to the slow path.
 */
struct alloc_state {
	/* bytes to the next sample; 0 or less: not counting, or it is due */
	int64_t left;
	/* where calls and bytes are counted; good while left is above 0 */
	struct ring_thread *slot;
	uint64_t mean_bytes; /* of the draw that `left` came from */
	uint32_t round;      /* the start of sampling that it belongs to; 0: none */
	uint64_t busy_sp;    /* not 0: a sample is being taken by the hook called at this sp */
};

struct thread {
	uint32_t claimed;         /* 1: the slot is in use */
	int32_t tid;              /* 0: not yet known */
	uint32_t seen;            /* the last scan that found it alive */
	uint32_t key_set;         /* its end will be noticed by a thread-specific-data destructor */
	struct ring_thread *slot; /* its place in the shared memory */

	/* The CPU timer, changed by its own thread or before its first signal. */
	uint32_t arming; /* taken while one thread gives it its timer */
	uint32_t timer_armed;
	int32_t timer;
	uint32_t interval_us; /* also of the event of perf.h, if it has one */

	/* Readable stack, [lo, hi); hi 0: not known. */
	uint64_t stack_lo, stack_hi;
	uint32_t stack_tries;

	/* The span that samples are charged to. */
	uint64_t trace_id[2], span_id, root_span_id;
	struct hearth_span *span; /* the innermost one that is open: span.c */
	uint64_t ids[2];          /* from which it draws ids of spans; 0, 0: nothing yet */

	/* Labels that its records carry, as pairs of strings: span.c.  A handler may interrupt a
	 * change: labels_bytes is 0 meanwhile. */
	uint32_t labels_bytes;
	char labels[THREAD_LABELS_BYTES];

	struct otel_record otel;              /* what it publishes */
	const struct otel_record *otel_other; /* what another tracer had published before */

	uint64_t draws; /* state of draw.h; 0: not seeded */

	struct alloc_state alloc;
	struct ring_thread alloc_nowhere; /* what a paused thread counts into */
	/* Locks: source_lock.c. */
	/* ns of waiting until the next sample; mean 0: not drawn */
	uint64_t lock_wait_left, lock_wait_mean;
	uint32_t lock_mark; /* of the wait that is on, 0: none */
	uint64_t lock_mark_state;
	uint32_t lock_hold_mean;  /* that source_lock_left was drawn with, 0: was not drawn */
	uint32_t locks_held_next; /* the place that the next one takes */
	struct lock_held locks_held[THREAD_LOCKS_HELD]; /* lock NULL: free */

	/* Blocking calls: source_wall.c. */
	uint64_t blocked_sp;  /* stack pointer of the published call; above it, the call is over */
	int64_t wall_tick_ns; /* the coarse clock at its last call that did more than to pass */
	/* calls to the next look at the clock; to it from the last one */
	int32_t phase_left, phase_calls;
	int64_t phase_looked_ns, phase_due_ns; /* when that was; when the next phase is counted */
	uint64_t sites[THREAD_SITES];          /* keys whose RING_SITE record was written... */
	uint64_t sites_agent;                  /* ...for the agent of this generation */
	int64_t sites_window_ns;
	uint32_t sites_written, sites_next; /* in this window; the agent's place for the next */
	uint32_t sites_short; /* calls from sites that block which did not, since one did */
	uint64_t wall_left_ns, wall_mean_ns; /* to the next sampled call; how that was drawn */
	uint32_t event_samples;              /* of perf's event since the timer's last signal */

	/* Between pthread_create and the thread's first instruction. */
	void *(*start)(void *);
	void *argument;
};

static inline uint32_t thread_slot(const struct thread *t)
{
	return (uint32_t)(t - session.threads);
}

/* The calling thread's own words.  `epoch` is session.threads_epoch as it was when `thread` was
 * taken. */
struct thread_words {
	struct thread *thread;
	uint64_t epoch;
};

extern __thread struct thread_words thread_words __attribute__((visibility("hidden")));

/* The calling thread's state if it may pass a gate that holds `gate`, else NULL: see session.h. */
static inline struct thread *thread_pass(uint64_t gate)
{
	return thread_words.epoch == gate ? thread_words.thread : NULL;
}

/* Outside handlers, once for the process: the key whose destructor sees threads end. */
int thread_start(void);

/* The calling thread's state, NULL when it has none. */
struct thread *thread_self(void);

/* The same; looks for the slot that a scan gave it.  One system call; async-signal-safe. */
struct thread *thread_self_find(void);

/* The same; takes a slot when there is none.  Not from a handler.  NULL: no slot is free. */
struct thread *thread_self_make(void);

/* Take a slot for a thread that is about to be created, and give it back when that failed. */
struct thread *thread_reserve(void);
void thread_cancel(struct thread *t);

/* First thing on a new thread: fill in the reserved slot. */
void thread_begin(struct thread *t);

/* In the handler of a thread that a scan found: let it know its own state. */
void thread_adopt(struct thread *t);

/* Look at /proc/self/task: give slots and timers to threads that have none, take those of threads
 * that are gone.  Async-signal-safe; one at a time, others return at once. */
void thread_scan(void);

/* Another session is about to take the place of this one: give the threads that `fresh`, its slots,
 * does not have the same slots there, with their names and spans.  Returns how many slots are in
 * use. */
uint32_t thread_carry_over(struct ring_thread *fresh);

/* In a forked child, before anything else. */
void thread_forked(void);

/* A forked child has opened its own session. */
void thread_child_started(void);

/*
 * Readable bounds of the calling thread's stack around `sp`: the thread's own stack, or as much of
 * the page as must be there when it runs on a stack that we know nothing of.
 */
struct cfi_memory thread_stack(struct thread *t, uint64_t sp);

/* What a walk from `sp` may read of a stack [lo, hi): from the red zone up. */
struct cfi_memory thread_stack_within(uint64_t sp, uint64_t lo, uint64_t hi);

/* Is `t` (from a signal's value, so anything) the state of the calling thread? */
struct thread *thread_of_value(const void *value);

#endif
