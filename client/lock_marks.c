/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lock_marks.h"

#include <string.h>

#include "client/source_lock.h"
#include "client/thread.h"

#define MARKS 512
#define PROBES 64 /* places where a lock's marks may stand: as many waiters can be told apart */

/*
 * FREE -> CLAIMED -> WAITING -> FREE by the waiter; WAITING -> FILLING -> FILLED by the one who
 * lets go, and then the waiter frees it.  A waiter that finds FILLING does not wait: it leaves
 * ORPHAN, and the other one frees.  The upper bits count uses, so that nobody takes a later mark
 * for the one that it saw.
 */
enum { FREE, CLAIMED, WAITING, FILLING, FILLED, ORPHAN, STATES = 8 };

struct mark {
	uint64_t state;
	int64_t deadline_ns;
	const struct thread *thread;
	uint32_t generation; /* of the thread's slot */
	uint32_t frames_count;
	uint64_t frames[LOCK_MARK_FRAMES];
};

static struct {
	const void *locks[MARKS]; /* apart, so that an unlock reads few lines */
	struct mark marks[MARKS];
} table;

static uint32_t what(uint64_t state)
{
	return (uint32_t)(state % STATES);
}

static uint64_t with(uint64_t state, uint32_t now)
{
	return state - state % STATES + now;
}

/* To FREE, as the next use. */
static void set_free(uint32_t at, uint64_t state)
{
	source_lock_filter_add(load(&table.locks[at]), -1);
	store(&table.locks[at], NULL);
	store_release(&table.marks[at].state, with(state + STATES, FREE));
}

static bool is_dead(const struct mark *m)
{
	const struct thread *t = load(&m->thread);

	return t && (!load(&t->tid) ||
		     load(&session.slots[thread_slot(t)].generation) != load(&m->generation));
}

/* Take a place that is free, or whose waiter's thread is gone. */
static bool claim(uint32_t at, bool dead_too, uint64_t *ret_state)
{
	struct mark *m = &table.marks[at];
	uint64_t state = load_acquire(&m->state);

	if (what(state) == FREE) {
		*ret_state = with(state, CLAIMED);
		return replace(&m->state, &state, *ret_state);
	}
	if (!dead_too || (what(state) != WAITING && what(state) != FILLED) || !is_dead(m) ||
	    !replace(&m->state, &state, with(state + STATES, CLAIMED)))
		return false;
	source_lock_filter_add(load(&table.locks[at]), -1);
	store(&table.locks[at], NULL);
	*ret_state = with(state + STATES, CLAIMED);
	return true;
}

uint32_t lock_mark_enter(const void *lock, int64_t deadline_ns, const struct thread *t,
			 uint64_t *ret_state)
{
	uint32_t first = source_lock_hash(lock), at = 0, tries;
	struct mark *m;
	uint64_t state = 0;

	for (tries = 0; tries < 2 * PROBES; tries++) {
		at = (first + tries % PROBES) % MARKS;
		if (claim(at, tries >= PROBES, &state))
			break;
	}
	if (tries == 2 * PROBES)
		return 0;
	m = &table.marks[at];
	store(&m->deadline_ns, deadline_ns);
	store(&m->thread, t);
	store(&m->generation, load(&session.slots[thread_slot(t)].generation));
	store(&table.locks[at], lock);
	*ret_state = with(state, WAITING);
	store_release(&m->state, *ret_state);
	source_lock_filter_add(lock, 1);
	return at + 1;
}

bool lock_mark_leave(uint32_t mark, uint64_t state, struct lock_mark_stack *ret_stack)
{
	uint32_t at = mark - 1;
	struct mark *m = &table.marks[at];
	uint64_t expected = state;

	/* CLAIMED first: while it is torn down nobody else may claim it. */
	if (replace(&m->state, &expected, with(state, CLAIMED))) {
		set_free(at, state);
		return false;
	}
	if (expected == with(state, FILLING) && replace(&m->state, &expected, with(state, ORPHAN)))
		return false;
	if (expected != with(state, FILLED))
		return false; /* taken back meanwhile */
	(void)load_acquire(&m->state);
	*ret_stack = (struct lock_mark_stack){m->frames, (uint16_t)m->frames_count};
	return true;
}

void lock_mark_free(uint32_t mark)
{
	set_free(mark - 1, load(&table.marks[mark - 1].state));
}

static void fill(uint32_t at, uint64_t state, const uint64_t *frames, uint32_t count)
{
	struct mark *m = &table.marks[at];
	uint64_t expected = with(state, FILLING);

	memcpy(m->frames, frames, count * sizeof(*frames));
	m->frames_count = count;
	if (!replace(&m->state, &expected, with(state, FILLED)))
		set_free(at, state); /* ORPHAN */
}

void lock_marks_answer(const void *lock, struct thread *t, const struct call_site *from,
		       int64_t now_ns)
{
	uint32_t first = source_lock_hash(lock), count = 0;
	struct scratch *s = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		uint32_t at = (first + i) % MARKS;
		struct mark *m = &table.marks[at];
		uint64_t state = load_acquire(&m->state), expected = state;

		if (what(state) != WAITING || load(&table.locks[at]) != lock ||
		    load(&m->deadline_ns) > now_ns)
			continue;
		if (!s) {
			s = scratch_take();
			if (!s)
				return;
			count = stack_walk(t, from, s->frames, LOCK_MARK_FRAMES);
		}
		/* Several may wait, and have one stack. */
		if (replace(&m->state, &expected, with(state, FILLING)))
			fill(at, state, s->frames, count);
	}
	if (s)
		scratch_give(s);
}

void lock_marks_clear(void)
{
	/* A mark that was never used is left alone: half a megabyte that most programs never
	 * touch. */
	for (uint32_t i = 0; i < MARKS; i++) {
		if (!load(&table.marks[i].state))
			continue;
		store(&table.marks[i].state, with(load(&table.marks[i].state) + STATES, FREE));
		store(&table.locks[i], NULL);
	}
}
