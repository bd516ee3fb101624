/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/source_lock.h - waiting for locks, holding them, and who is to blame for a wait.
 *
 * Private to client/.  The hooks of preload_locks*.c call this; docs/decisions/0012-locks.md gives
 * the reasons.  Any thread; async-signal-safe, since sem_post is.  A lock's memory is looked at
 * only while the caller has a claim to it, and never after it was let go.
 */
#ifndef CLIENT_SOURCE_LOCK_H
#define CLIENT_SOURCE_LOCK_H

#include "client/atomics.h"
#include "client/source.h"

/*
 * How many marks and sampled holds there are, in all and of locks with one hash: what an unlock
 * looks at.  Whoever finds 0, nearly always, has nothing to do.
 */
#define LOCK_FILTER_BITS 12
#define LOCK_HIDDEN __attribute__((visibility("hidden"))) /* reached without a table of addresses */
extern LOCK_HIDDEN uint32_t source_lock_marks;
extern LOCK_HIDDEN uint16_t source_lock_filter[1u << LOCK_FILTER_BITS];

static inline uint32_t source_lock_hash(const void *lock)
{
	return (uint32_t)(uintptr_t)lock * UINT32_C(0x9e3779b1) >> (32 - LOCK_FILTER_BITS);
}

static inline bool source_lock_marked(const void *lock)
{
	return load(&source_lock_filter[source_lock_hash(lock)]) != 0;
}

static inline void source_lock_filter_add(const void *lock, int by)
{
	add(&source_lock_filter[source_lock_hash(lock)], (uint16_t)by);
	add(&source_lock_marks, (uint32_t)by);
}

/* Acquisitions of the calling thread until one whose hold is sampled; that one takes it below 0. */
extern LOCK_HIDDEN __thread int32_t source_lock_left;

/* A wait for a lock that somebody else has.  The hook fills in `blocked` and `kind`; blocked.call
 * none: the thread does not sleep meanwhile, so that this is no blocked call (a spinlock). */
struct lock_wait {
	struct blocked blocked;
	uint32_t kind; /* enum ring_lock_kind */

	bool timed;
	uint64_t epoch;
	struct thread *thread; /* NULL: counted, and not sampled */
	int64_t start_ns;
	uint64_t mean, left;
	uint32_t mark; /* number + 1; 0: none */
	uint64_t mark_state;
};

/* Around the wait; both keep errno.  `waited`: it ended as waits do, and was not refused. */
void source_lock_begin(struct lock_wait *w);
void source_lock_end(struct lock_wait *w, bool waited);

/* source_lock_left fell below 0 with this acquisition: follow how long the lock is held.  `nested`:
 * the thread had it before, and it is no acquisition. */
void source_lock_hold(const void *lock, uint32_t kind, bool nested);

/* A hold that was sampled and ends now. */
struct lock_held {
	const void *lock;
	uint32_t kind, mean;
	int64_t start_ns, end_ns; /* CLOCK_MONOTONIC */
};

/*
 * The calling thread is about to let go of a marked lock at `from`: waiters whose time has come
 * take this stack, and a sampled hold of this thread ends.  True: *ret_held ended, to be handed to
 * source_lock_held once the lock is free.  Keeps errno.
 */
bool source_lock_let_go(const void *lock, const struct call_site *from, struct lock_held *ret_held);
void source_lock_held(const struct lock_held *held, const struct call_site *from);

/* A thread's slot is given up: what it held and waited for is forgotten. */
struct thread;
void source_lock_thread_end(struct thread *t);

/* A session was opened, perhaps in a forked child: there are no marks. */
void source_lock_new_session(void);

#endif
