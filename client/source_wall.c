/* SPDX-License-Identifier: Apache-2.0 */
#include "client/source.h"

#include <errno.h>

#include "client/budget.h"
#include "client/draw.h"
#include "client/hearth.h"
#include "client/lock_names.h"
#include "client/profiler.h"
#include "client/target.h"
#include "client/thread.h"
#include "client/wall_pass.h"
#include "client/write.h"

/* New sites that a thread may describe in a window: a recursion that reads at every depth would
 * otherwise pay an unwind for each call. */
#define SITES_A_WINDOW 64u
#define WINDOW_NS INT64_C(100000000)
#define SITE_ENTRIES 4 /* that a site may have */

/* Calls whose stacks are taken in a window, for the whole process; where more block, the mean that
 * they are drawn with doubles until fewer are taken. */
#define CALLS_A_WINDOW 20
#define MEAN_MIN_NS UINT64_C(1000000)
#define MEAN_MAX_NS UINT64_C(64000000000)

#define BLOCKS_TICKS 4 /* who takes a fraction of a tick is said to block... */
#define BLOCKS_SHORT 8 /* ...until so many calls from there have not, and none has anywhere */

#define PHASE_CALLS_MAX 65536 /* from one look at the clock to the next */

const uint64_t *source_wall_gate_at = &session_closed;
wall_clock_fn wall_clock = clock_gettime;

static struct {
	uint32_t on;
	uint64_t mean_ns; /* of the draw; 0: every call of a tick or more is taken */
	int64_t window_ns;
	uint32_t taken;    /* in this window */
	int64_t chores_ns; /* the tick at which chores were last done: by one thread for all */
} wall;

/* Where the thread has the key under which it has described this site, or NULL. */
static uint64_t *site_of(struct thread *t, uint64_t hash)
{
	for (unsigned i = 0; i < SITE_ENTRIES; i++) {
		uint64_t *entry = &t->sites[wall_site_entry(hash) ^ i];

		if (*entry && wall_site_is(*entry | WALL_SITE_PASSES, hash))
			return entry;
	}
	return NULL;
}

/* One tick of the coarse clock. */
static uint64_t tick_ns(void)
{
	return 1000000000u / (session.head->hz ? session.head->hz : 250);
}

/*
 * Make room for a site: an entry of the thread's, and a place at the agent's, which has fewer and
 * goes by four bits of the key.  Who had either is unknown from here on.
 */
static uint64_t *site_room(struct thread *t, uint64_t hash, uint64_t *ret_key)
{
	uint64_t *entry = &t->sites[wall_site_entry(hash)];
	unsigned place;

	for (unsigned i = 1; i < SITE_ENTRIES && *entry; i++)
		if (!t->sites[wall_site_entry(hash) ^ i])
			entry = &t->sites[wall_site_entry(hash) ^ i];
	place = *entry ? ring_site_place(*entry) : t->sites_next++ % RING_SITES;
	for (unsigned i = 0; i < THREAD_SITES; i++)
		if (t->sites[i] && ring_site_place(t->sites[i]) == place)
			t->sites[i] = 0;
	*ret_key = (hash & ~WALL_SITE_PLACE) | (uint64_t)place << 1;
	return entry;
}

static bool record(const struct blocked *b, enum ring_type type, int64_t now_ns, uint64_t mean_ns,
		   struct event *also)
{
	struct ring_block payload = {
	    b->call,   b->target_kind,
	    b->target, type == RING_BLOCK ? (uint64_t)(now_ns - b->since_ns) : 0,
	    b->site,   b->since_ns,
	    mean_ns};
	struct event e = {.type = type,
			  .dimension = RING_WALL,
			  .payload = &payload,
			  .payload_bytes = sizeof(payload),
			  .time_ns = now_ns,
			  .thread = b->thread};
	char text[TARGET_TEXT_MAX > LOCK_TEXT_BYTES ? TARGET_TEXT_MAX : LOCK_TEXT_BYTES];

	e.text = text;
	if (b->target_kind == RING_TARGET_FD)
		e.text_bytes = target_label((int)b->target, text);
	else if (b->target_kind == RING_TARGET_ADDRESS)
		e.text_bytes = lock_name_text((const void *)(uintptr_t)b->target, text);
	if (!also)
		return stack_record(&e, &b->from);
	stack_record_both(&e, also, &b->from);
	return true;
}

/* Whether a site that is not known may be described at this time. */
static bool may_describe(struct thread *t, int64_t coarse_ns)
{
	if (coarse_ns - t->sites_window_ns >= WINDOW_NS) {
		t->sites_window_ns = coarse_ns;
		t->sites_written = 0;
	}
	return t->sites_written < SITES_A_WINDOW >> budget_shift(RING_WALL);
}

/* Have the agent know the stack of this site before the thread blocks there. */
static __attribute__((noinline)) void describe_site(struct blocked *b, int64_t coarse_ns,
						    uint64_t agent)
{
	struct thread *t = b->thread;
	uint64_t *entry;
	int64_t began;

	if (agent != t->sites_agent) {
		for (int i = 0; i < THREAD_SITES; i++)
			t->sites[i] = 0;
		t->sites_agent = agent;
	}
	if (!may_describe(t, coarse_ns))
		return;
	t->sites_written++;
	began = budget_begin(RING_WALL);
	entry = site_room(t, wall_site(&b->from), &b->site);
	if (record(b, RING_SITE, b->since_ns, 0, NULL))
		*entry = b->site;
	(void)budget_end(began, RING_WALL);
}

/* By the agent: the usual reason for a closed gate, which it stays for long. */
static bool is_switched_off(void)
{
	return load(&session.agent->kill) ||
	       (load(&session.agent->dimensions_off) & 1u << RING_WALL);
}

void source_wall_gate(void)
{
	bool open = load(&wall.on) && load(&session.running) && !is_switched_off() &&
		    !budget_stopped(RING_WALL);

	session_gate_set(SESSION_GATE_WALL, open);
	store(&source_wall_gate_at, &session.cookie[SESSION_GATE_WALL]);
}

static void chores(int64_t now_ns)
{
	int64_t done = load(&wall.chores_ns);

	if (done != now_ns && replace(&wall.chores_ns, &done, now_ns))
		source_chores(now_ns);
}

/* The gate is closed, or the thread has no state yet: it may be a forked child's first call. */
static __attribute__((noinline)) struct thread *enter_slowly(void)
{
	int saved = errno;
	struct thread *t = NULL;

	if (session_live() && is_switched_off())
		return NULL;
	if (session_orphan())
		(void)session_adopt_child();
	if (budget_stopped(RING_WALL) && session_running()) {
		chores(clock_coarse_ns()); /* which find out when it may go on */
	} else if (session_running()) {
		source_wall_gate();
		if (load(&session.cookie[SESSION_GATE_WALL]))
			t = thread_self();
	}
	errno = saved;
	return t;
}

static __attribute__((noinline)) void rare(struct blocked *b, int64_t coarse_ns, uint64_t agent,
					   bool known)
{
	int saved = errno;

	if (!known || b->thread->sites_agent != agent)
		describe_site(b, coarse_ns, agent);
	chores(coarse_ns);
	b->thread->wall_tick_ns = coarse_ns;
	errno = saved;
}

void source_wall_begin(struct blocked *b)
{
	struct thread *t = thread_pass(load(source_wall_gate_at));
	struct ring_thread *slot;
	uint64_t agent, hash, *site;
	int64_t coarse;
	bool moved;

	b->thread = NULL;
	if (__builtin_expect(!t, 0) && !(t = enter_slowly()))
		return;
	slot = t->slot;
	b->thread = t;
	b->epoch = session.epoch;
	coarse = clock_coarse_ns();
	moved = coarse != t->wall_tick_ns;
	hash = wall_site(&b->from);
	site = site_of(t, hash);
	/* a hash: nobody's key, should it stay that */
	b->site = site ? *site | WALL_SITE_PASSES : hash;
	/*
	 * What is known before the call, so that how long it takes has no say in how it is
	 * measured.  A site that is described now may have blocked before it had to give up its
	 * entry.
	 */
	b->exact = moved || (site ? !(*site & WALL_SITE_PASSES) : may_describe(t, coarse));
	b->since_ns = b->exact ? clock_exact_ns() : coarse;
	b->outer.sp = t->blocked_sp;
	b->outer.call = load(&slot->call);
	if (__builtin_expect(b->outer.call != 0, 0)) {
		if (b->from.sp > t->blocked_sp)
			b->outer.call = 0; /* left by a jump: nobody is inside it any more */
		b->outer.since_ns = slot->since_ns;
		b->outer.site = slot->site;
		b->outer.target = slot->target;
	}
	agent = load(&session.agent->generation);
	if (!site || moved || t->sites_agent != agent)
		rare(b, coarse, agent, site != NULL);
	store(&t->blocked_sp, b->from.sp);
	wall_publish(slot, b->call, b->since_ns, b->site, b->target);
}

/* Keep the number of stacks in bounds, for a program of which hundreds of threads block at once. */
static void adapt(int64_t now_ns)
{
	int64_t window = load(&wall.window_ns);
	uint64_t mean = load(&wall.mean_ns);
	uint32_t taken = load(&wall.taken);

	if (taken > CALLS_A_WINDOW) {
		if (replace(&wall.taken, &taken, 0) && mean < MEAN_MAX_NS)
			store(&wall.mean_ns, mean ? mean * 2 : MEAN_MIN_NS);
		store(&wall.window_ns, now_ns);
	} else if (now_ns - window >= WINDOW_NS && replace(&wall.window_ns, &window, now_ns)) {
		if (taken < CALLS_A_WINDOW / 4)
			store(&wall.mean_ns, mean / 2 < MEAN_MIN_NS ? 0 : mean / 2);
		store(&wall.taken, 0);
	}
}

/*
 * Where the budget asks for fewer, also calls of a program that blocks rarely are drawn; and those
 * that took less than a tick always, as many as the coarse clock would have seen cross one.
 */
static uint64_t mean_for(uint64_t duration_ns)
{
	uint64_t mean = load(&wall.mean_ns), tick = tick_ns();
	uint32_t shift = budget_shift(RING_WALL);

	if (shift)
		mean = (mean ? mean : MEAN_MIN_NS / 2) << shift;
	return duration_ns < tick && mean < tick ? tick : mean;
}

/* Whether this call is taken: the time that threads are blocked is gone through with exponential
 * steps, so that a call is taken with the chance 1 - exp(-duration / mean). */
static bool is_taken(struct thread *t, uint64_t duration_ns, uint64_t *ret_mean_ns)
{
	uint64_t mean = mean_for(duration_ns);

	*ret_mean_ns = t->wall_mean_ns;
	if (t->wall_mean_ns != mean || mean == 0) {
		/* No memory: what is left of a draw may be drawn again with another mean. */
		t->wall_mean_ns = *ret_mean_ns = mean;
		t->wall_left_ns = mean ? draw_exponential(&t->draws, mean) : 0;
	}
	if (t->wall_left_ns > duration_ns) {
		t->wall_left_ns -= duration_ns;
		return false;
	}
	if (mean)
		t->wall_left_ns = draw_exponential(&t->draws, mean);
	return true;
}

/* Calls from this site block; or do so no more, of which some are waited for. */
static void site_blocks(struct thread *t, uint64_t key, bool blocks)
{
	uint64_t *site = site_of(t, key & ~WALL_SITE_PLACE);

	if (!site)
		return;
	if (blocks) {
		*site &= ~WALL_SITE_PASSES;
		t->sites_short = 0;
	} else if (!(*site & WALL_SITE_PASSES) && ++t->sites_short > BLOCKS_SHORT) {
		*site |= WALL_SITE_PASSES;
	}
}

/* The call crossed a tick, or its times are exact.  Returns whether `also` was written. */
static __attribute__((noinline)) bool blocked(const struct blocked *b, int64_t now_ns,
					      int64_t coarse_ns, struct event *also)
{
	int saved = errno;
	struct thread *t = b->thread;
	uint64_t duration = (uint64_t)(now_ns - b->since_ns), mean;
	int64_t began;
	bool taken;

	if (b->epoch != session.epoch)
		return false; /* it began under another session, with other labels */
	store(&t->slot->blocked_ns, load(&t->slot->blocked_ns) + duration);
	site_blocks(t, b->site, duration >= tick_ns() / BLOCKS_TICKS);
	taken = is_taken(t, duration, &mean);
	if (taken) {
		add(&wall.taken, 1);
		/* One of two dimensions is paid for by the other. */
		began = also ? -1 : budget_begin(RING_WALL);
		(void)record(b, RING_BLOCK, now_ns, mean, also);
		(void)budget_end(began, RING_WALL);
	}
	adapt(now_ns);
	chores(coarse_ns);
	errno = saved;
	return taken;
}

/* Three quarters of the calls that `left_ns` will hold if they go on as they did. */
static int32_t phase_calls(int32_t calls, int64_t ns, int64_t left_ns)
{
	int64_t expected = (int64_t)calls * (left_ns / 4 * 3 / 1024) / (ns / 1024 + 1);

	return expected < 1 ? 1 : expected > PHASE_CALLS_MAX ? PHASE_CALLS_MAX : (int32_t)expected;
}

/*
 * Count where between two ticks this thread runs: POSIX CPU timers see a thread that is always at
 * the same place in the same place only.  The next count is due a uniform draw from a tick after
 * this one, so that a thread with many calls is caught anywhere, and one with a call a tick where
 * it is.  To look whether it is due costs a reading of the exact clock, so most of the calls that
 * are to be expected until then pass before.
 */
static __attribute__((noinline)) void count_phase(struct thread *t)
{
	uint64_t tick = tick_ns();
	int64_t now = clock_exact_ns();
	uint64_t *word;
	unsigned i;

	if (now >= t->phase_due_ns) {
		i = (unsigned)((uint64_t)now % tick * RING_PHASES / tick);
		word = &t->slot->phases[i / 4];
		store(word, ring_phase_counted(load(word), i));
		t->phase_due_ns = now + (int64_t)(draw_next(&t->draws) % tick);
	}
	t->phase_calls =
	    phase_calls(t->phase_calls, now - t->phase_looked_ns, t->phase_due_ns - now);
	t->phase_looked_ns = now;
	store(&t->phase_left, t->phase_calls);
}

static inline __attribute__((always_inline)) bool end(const struct blocked *b, struct event *also)
{
	struct thread *t = b->thread;
	struct ring_thread *slot;
	int64_t now, coarse;

	if (!t)
		return false;
	/* The call may have been where a new process began, or a new session. */
	if (__builtin_expect(thread_pass(load(source_wall_gate_at)) != t, 0) &&
	    (!session_live() || b->epoch != session.epoch || thread_self() != t))
		return false;
	slot = t->slot;
	store(&t->blocked_sp, b->outer.sp);
	if (__builtin_expect(b->outer.call != 0, 0))
		wall_publish(slot, b->outer.call, b->outer.since_ns, b->outer.site,
			     b->outer.target);
	else
		store_release(&slot->call, 0);
	store(&slot->blocked_calls, load(&slot->blocked_calls) + 1);
	coarse = clock_coarse_ns();
	now = b->exact ? clock_exact_ns() : coarse;
	if (phase_passes(t))
		count_phase(t);
	if (now > b->since_ns && load(&session.running))
		return blocked(b, now, coarse, also);
	return false;
}

void source_wall_end(const struct blocked *b)
{
	(void)end(b, NULL);
}

void source_wall_end_with(const struct blocked *b, struct event *also)
{
	int saved = errno;

	if (!end(b, also) && also)
		(void)stack_record(also, &b->from);
	errno = saved;
}

void source_wall_correct(struct thread *t, uint64_t sp)
{
	if (load(&t->slot->call) && sp >= t->stack_lo && sp < t->stack_hi &&
	    sp > load(&t->blocked_sp))
		store_release(&t->slot->call, 0);
}

static bool wall_wanted(const struct config *config)
{
	return config->wall;
}

/* The hooks are there or they are not; this lets them record. */
static int wall_start(void)
{
	store(&wall.on, 1);
	return HEARTH_OK;
}

static void wall_stop(void)
{
	store(&wall.on, 0);
	source_wall_gate();
}

const struct source source_wall = {
    .name = "wall",
    .unit = "nanoseconds",
    .dimension = RING_WALL,
    .wanted = wall_wanted,
    .start = wall_start,
    .stop = wall_stop,
};
