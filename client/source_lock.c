/* SPDX-License-Identifier: Apache-2.0 */
#include "client/source_lock.h"

#include <errno.h>
#include <string.h>

#include "client/budget.h"
#include "client/draw.h"
#include "client/hearth.h"
#include "client/hello.h"
#include "client/lock_marks.h"
#include "client/lock_names.h"
#include "client/module.h"
#include "client/pace.h"
#include "client/profiler.h"
#include "client/thread.h"
#include "client/write.h"

#define WAIT_MEAN_NS UINT64_C(1000000)
#define PPM 1000000
#define HOLD_LATER 100 /* acquisitions until a thread that may not sample looks again */
#define HOLD_MEAN_MAX (1u << 24)

uint32_t source_lock_marks;
uint16_t source_lock_filter[1u << LOCK_FILTER_BITS];
__thread int32_t source_lock_left;

static struct {
	uint32_t on;
	struct pace waits, holds;
} locks;

static bool is_off(void)
{
	return !load(&locks.on) || !session_running() || load(&session.agent->kill) ||
	       load(&session.agent->dimensions_off) & 1u << RING_LOCK;
}

/* ---- records ---- */

/* What every record of a lock says beside its numbers. */
struct lock_event {
	struct event event;
	struct ring_lock payload;
	char text[LOCK_TEXT_BYTES];
};

static void event_fill(struct lock_event *e, enum ring_lock_what what, uint32_t kind,
		       const void *lock, struct thread *t)
{
	uint64_t creator = lock_creator_get(lock);

	e->payload = (struct ring_lock){.what = what,
					.kind = kind,
					.lock = module_frame((uint64_t)(uintptr_t)lock),
					.creator = creator ? module_frame(creator - 1) : 0};
	e->event = (struct event){.type = RING_SAMPLE_LOCK,
				  .dimension = RING_LOCK,
				  .payload = &e->payload,
				  .payload_bytes = sizeof(e->payload),
				  .time_ns = clock_coarse_ns(),
				  .text = e->text,
				  .text_bytes = lock_name_text(lock, e->text),
				  .thread = t};
}

/* ---- waits ---- */

static void draw_wait(struct thread *t, uint64_t mean)
{
	t->lock_wait_mean = mean;
	t->lock_wait_left = draw_exponential(&t->draws, mean);
}

/* What an earlier wait of this thread left behind: it was left by a jump. */
static void forget_mark(struct thread *t)
{
	struct lock_mark_stack stack;

	if (t->lock_mark && lock_mark_leave(t->lock_mark, t->lock_mark_state, &stack))
		lock_mark_free(t->lock_mark);
	t->lock_mark = 0;
}

static void plan_sample(struct lock_wait *w, struct thread *t)
{
	uint64_t mean = WAIT_MEAN_NS << (pace_shift(&locks.waits) + budget_shift(RING_LOCK));

	/* The time to the next sample has no memory, so that another mean is a new draw. */
	if (t->lock_wait_mean != mean)
		draw_wait(t, mean);
	w->thread = t;
	w->mean = mean;
	w->left = t->lock_wait_left;
	forget_mark(t);
	w->mark = lock_mark_enter((const void *)(uintptr_t)w->blocked.target,
				  w->start_ns + (int64_t)w->left, t, &w->mark_state);
	t->lock_mark = w->mark;
	t->lock_mark_state = w->mark_state;
}

void source_lock_begin(struct lock_wait *w)
{
	int saved = errno;
	struct thread *t;

	w->timed = false;
	w->thread = NULL;
	w->mark = 0;
	if (session_orphan())
		(void)session_adopt_child();
	w->start_ns = clock_exact_ns();
	if (w->blocked.call)
		source_wall_begin(&w->blocked);
	if (!is_off()) {
		w->timed = true;
		w->epoch = session.epoch;
		/* Over budget a wait is counted, and not sampled. */
		t = budget_stopped(RING_LOCK) ? NULL : thread_self();
		if (t)
			plan_sample(w, t);
	}
	errno = saved;
}

/* The mark is taken back.  True: with a holder's stack in it. */
static bool leave(struct lock_wait *w, struct lock_mark_stack *ret_holder)
{
	if (!w->mark)
		return false;
	w->thread->lock_mark = 0;
	return lock_mark_leave(w->mark, w->mark_state, ret_holder);
}

static void write_sample(struct lock_wait *w, uint64_t ns, const struct lock_mark_stack *holder)
{
	struct lock_event e;

	event_fill(&e, RING_LOCK_WAIT, w->kind, (const void *)(uintptr_t)w->blocked.target,
		   w->thread);
	e.payload.duration_ns = ns;
	e.payload.mean = w->mean;
	if (holder && holder->count) {
		/* Its frames are taken already; the labels are those of the one who waited. */
		e.event.frames = holder->frames;
		e.event.frames_count = holder->count;
		e.payload.what = RING_LOCK_BLAME;
		e.event.count = 0;
		if (event_write(&e.event))
			e.event.flags = RING_HOLDER_SEEN;
		e.payload.what = RING_LOCK_WAIT;
	}
	source_wall_end_with(&w->blocked, &e.event);
	pace_count(&locks.waits, e.event.time_ns);
}

void source_lock_end(struct lock_wait *w, bool waited)
{
	int saved = errno;
	struct lock_mark_stack stack, *holder = NULL;
	struct thread *t = w->thread;
	int64_t ns = w->timed ? clock_exact_ns() - w->start_ns : 0;
	bool sampled = false;

	/* The wait may have been where a new process began, or where sampling ended. */
	if (w->timed && session_live() && w->epoch == session.epoch) {
		if (t && leave(w, &stack))
			holder = &stack;
		if (waited) {
			add(&session.counters->lock_contended, 1);
			add(&session.counters->lock_wait_ns, (uint64_t)ns);
		}
		sampled = t && waited && (uint64_t)ns >= w->left && !is_off();
		if (sampled)
			draw_wait(t, w->mean);
		else if (t && waited)
			t->lock_wait_left = w->left - ((uint64_t)ns < w->left ? (uint64_t)ns : 0);
		if (sampled) {
			int64_t began = budget_begin(RING_LOCK);

			write_sample(w, (uint64_t)ns, holder);
			(void)budget_end(began, RING_LOCK);
		}
		if (holder)
			lock_mark_free(w->mark);
	}
	if (!sampled && w->blocked.call)
		source_wall_end(&w->blocked);
	errno = saved;
}

/* ---- holds ---- */

/* One hold in so many is sampled. */
static uint32_t hold_mean(void)
{
	uint32_t ppm = load(&session.agent->lock_capture_ppm);
	uint64_t mean;

	if (!ppm || !hello_attached(clock_coarse_ns()))
		ppm = profiler_config()->lock_capture_ppm;
	if (!ppm)
		return HOLD_MEAN_MAX;
	mean = (uint64_t)((PPM + ppm / 2) / (ppm < PPM ? ppm : PPM))
	       << (pace_shift(&locks.holds) + budget_shift(RING_LOCK));
	return mean < HOLD_MEAN_MAX ? (uint32_t)mean : HOLD_MEAN_MAX;
}

/* -1 / ln(1 - 1 / n) in 1/1024: the mean of the exponential whose whole part is geometric. */
static uint64_t geometric_mean(uint32_t n)
{
	double power = 1, sum = 0;

	for (int k = 1; k <= 64; k++) {
		power /= n;
		sum += power / k;
	}
	return (uint64_t)(1024 / sum + 0.5);
}

/* How many acquisitions to let pass. */
static void draw_hold(struct thread *t)
{
	uint32_t mean = hold_mean();
	uint64_t pass = mean <= 1 ? 0 : draw_exponential(&t->draws, geometric_mean(mean)) >> 10;

	t->lock_hold_mean = mean;
	source_lock_left = pass < INT32_MAX ? (int32_t)pass : INT32_MAX;
	budget_locks_passed((uint32_t)source_lock_left + 1);
}

static struct lock_held *place_of(struct thread *t, const void *lock)
{
	for (int i = 0; i < THREAD_LOCKS_HELD; i++)
		if (t->locks_held[i].lock == lock)
			return &t->locks_held[i];
	return NULL;
}

static void hold(struct thread *t, const void *lock, uint32_t kind, uint32_t mean)
{
	struct lock_held *h = place_of(t, lock);

	/* One that it has already was never let go: the lock is gone.  When all places are taken,
	 * so is probably the oldest. */
	if (!h)
		h = place_of(t, NULL);
	if (!h)
		h = &t->locks_held[t->locks_held_next++ % THREAD_LOCKS_HELD];
	if (h->lock) {
		source_lock_filter_add(h->lock, -1);
		h->lock = NULL;
	}
	*h = (struct lock_held){.kind = kind, .mean = mean, .start_ns = clock_exact_ns()};
	store(&h->lock, lock);
	source_lock_filter_add(lock, 1);
}

void source_lock_hold(const void *lock, uint32_t kind, bool nested)
{
	int saved = errno;
	struct thread *t = session_live() ? thread_self() : NULL;
	uint32_t mean;

	if (!t || is_off() || budget_stopped(RING_LOCK)) {
		if (t)
			t->lock_hold_mean = 0;
		source_lock_left = HOLD_LATER;
		budget_locks_passed(HOLD_LATER + 1);
		errno = saved;
		return;
	}
	/* The first one that a thread is seen to take is like any other: it counts against a new
	 * draw. */
	if (!t->lock_hold_mean) {
		draw_hold(t);
		source_lock_left--;
	}
	if (source_lock_left < 0) {
		mean = t->lock_hold_mean;
		draw_hold(t);
		if (!nested && mean < HOLD_MEAN_MAX)
			hold(t, lock, kind, mean);
	}
	errno = saved;
}

bool source_lock_let_go(const void *lock, const struct call_site *from, struct lock_held *ret_held)
{
	int saved = errno;
	struct thread *t = session_running() ? thread_self() : NULL;
	struct lock_held *h = t ? place_of(t, lock) : NULL;
	int64_t now = t ? clock_exact_ns() : 0, began = t ? budget_begin(RING_LOCK) : -1;

	if (t)
		lock_marks_answer(lock, t, from, now);
	if (h) {
		*ret_held = *h;
		ret_held->end_ns = now;
		store(&h->lock, NULL);
		source_lock_filter_add(lock, -1);
	}
	if (t)
		(void)budget_end(began, RING_LOCK);
	errno = saved;
	return h != NULL;
}

void source_lock_held(const struct lock_held *held, const struct call_site *from)
{
	int saved = errno;
	struct thread *t = is_off() ? NULL : thread_self();
	struct lock_event e;
	int64_t began;

	if (t) {
		began = budget_begin(RING_LOCK);
		event_fill(&e, RING_LOCK_HOLD, held->kind, held->lock, t);
		e.payload.duration_ns = (uint64_t)(held->end_ns - held->start_ns);
		e.payload.mean = held->mean;
		(void)stack_record(&e.event, from);
		pace_count(&locks.holds, e.event.time_ns);
		(void)budget_end(began, RING_LOCK);
	}
	errno = saved;
}

/* ---- life ---- */

void source_lock_thread_end(struct thread *t)
{
	forget_mark(t);
	for (int i = 0; i < THREAD_LOCKS_HELD; i++) {
		if (t->locks_held[i].lock)
			source_lock_filter_add(t->locks_held[i].lock, -1);
		t->locks_held[i].lock = NULL;
	}
}

void source_lock_new_session(void)
{
	for (uint32_t i = 0; i < 1u << LOCK_FILTER_BITS; i++)
		if (load(&source_lock_filter[i]))
			store(&source_lock_filter[i], 0);
	store(&source_lock_marks, 0);
	lock_marks_clear();
	locks.waits = locks.holds = (struct pace){0};
}

static bool lock_wanted(const struct config *config)
{
	return config->lock;
}

static int lock_start(void)
{
	store(&locks.on, 1);
	source_lock_left = 0; /* other threads see it within HOLD_LATER acquisitions */
	return HEARTH_OK;
}

static void lock_stop(void)
{
	store(&locks.on, 0);
}

const struct source source_lock = {
    .name = "lock",
    .unit = "nanoseconds",
    .dimension = RING_LOCK,
    .wanted = lock_wanted,
    .start = lock_start,
    .stop = lock_stop,
};
