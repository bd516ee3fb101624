/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/lock_marks.h - the marks that waiters put on a lock, for the one who lets it go to see.
 *
 * Private to client/.  A waiter whose wait will be sampled if it lasts until `deadline` says so
 * here; whoever lets the lock go after that leaves a stack.  A fixed table, no lock,
 * async-signal-safe: nobody ever waits for anybody.  A mark whose waiter went away (longjmp,
 * cancellation, its thread's end) is taken back when its thread waits again, or when the table is
 * full and its thread is gone.
 */
#ifndef CLIENT_LOCK_MARKS_H
#define CLIENT_LOCK_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#define LOCK_MARK_FRAMES 128

struct call_site;
struct thread;

/* Mark `lock`.  Returns the mark's number + 1 and its state, to be given back; 0: no room. */
uint32_t lock_mark_enter(const void *lock, int64_t deadline_ns, const struct thread *t,
			 uint64_t *ret_state);

struct lock_mark_stack {
	const uint64_t *frames;
	uint16_t count;
};

/* The wait is over.  True: a holder left its stack, which may be read until lock_mark_free. */
bool lock_mark_leave(uint32_t mark, uint64_t state, struct lock_mark_stack *ret_stack);
void lock_mark_free(uint32_t mark);

/* The calling thread, at `from`, lets go of `lock` at `now_ns`. */
void lock_marks_answer(const void *lock, struct thread *t, const struct call_site *from,
		       int64_t now_ns);

/* A new session: no marks. */
void lock_marks_clear(void);

#endif
