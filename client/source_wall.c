/* SPDX-License-Identifier: Apache-2.0 */
#include "client/source.h"

#include <errno.h>

#include "client/hearth.h"
#include "client/lock_names.h"
#include "client/profiler.h"
#include "client/thread.h"
#include "client/write.h"

/* New sites that a thread may describe in a window: a recursion that reads at every depth would
 * otherwise pay an unwind for each call. */
#define SITES_A_WINDOW 64
#define SITES_WINDOW_NS INT64_C(100000000)
#define CALLS_PENDING 64 /* counted by a thread alone before it adds them to the shared total */

static uint64_t site_key(const struct blocked *b)
{
	uint64_t x = b->from.pc ^ b->from.sp * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 32;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 29;
	return x ? x : 1;
}

static void publish(struct thread *t, uint32_t call, int64_t since_ns, uint64_t site,
		    uint64_t target)
{
	struct ring_thread *slot = &session.slots[thread_slot(t)];
	uint32_t sequence = load(&slot->sequence);

	/* One writer at a time: this thread, or a handler on it, which leaves the number even. */
	store(&slot->sequence, sequence | 1);
	store_fence();
	store(&slot->since_ns, since_ns);
	store(&slot->site, site);
	store(&slot->target, target);
	store(&slot->call, call);
	store_release(&slot->sequence, (sequence | 1) + 1);
}

static bool record(const struct blocked *b, enum ring_type type, int64_t now_ns, struct event *also)
{
	struct ring_block payload = { b->call,
				      b->target_kind,
				      b->target,
				      type == RING_BLOCK ? (uint64_t)(now_ns - b->since_ns) : 0,
				      b->site,
				      b->since_ns };
	struct event e = { .type = type,
			   .dimension = RING_WALL,
			   .payload = &payload,
			   .payload_bytes = sizeof(payload),
			   .time_ns = now_ns,
			   .thread = b->thread };
	char text[LOCK_TEXT_BYTES];

	if (b->target_kind == RING_TARGET_ADDRESS)
		e.text_bytes = lock_name_text((const void *)(uintptr_t)b->target, text);
	e.text = text;
	if (!also)
		return stack_record(&e, &b->from);
	stack_record_both(&e, also, &b->from);
	return true;
}

/* Have the agent know the stack of this site before the thread blocks there. */
static void describe_site(const struct blocked *b, int64_t now_ns)
{
	struct thread *t = b->thread;
	uint64_t agent = load(&session.agent->generation);
	uint64_t *place = &t->sites[b->site % THREAD_SITES];

	if (agent != t->sites_agent) {
		for (int i = 0; i < THREAD_SITES; i++)
			t->sites[i] = 0;
		t->sites_agent = agent;
	}
	if (*place == b->site)
		return;
	if (now_ns - t->sites_window_ns >= SITES_WINDOW_NS) {
		t->sites_window_ns = now_ns;
		t->sites_written = 0;
	}
	if (t->sites_written >= SITES_A_WINDOW)
		return;
	t->sites_written++;
	if (record(b, RING_SITE, now_ns, NULL))
		*place = b->site;
}

static uint32_t wall_on;

static bool switched_off(void)
{
	return !load(&wall_on) || load(&session.agent->kill) ||
	       load(&session.agent->dimensions_off) & 1u << RING_WALL;
}

static void begin(struct blocked *b, struct thread *t)
{
	struct ring_thread *slot = &session.slots[thread_slot(t)];

	b->thread = t;
	b->epoch = session.epoch;
	b->since_ns = clock_coarse_ns();
	b->site = site_key(b);
	b->outer.call = load(&slot->call);
	if (b->outer.call && b->from.sp > t->blocked_sp)
		b->outer.call = 0; /* left by a jump: nobody is inside it any more */
	b->outer.since_ns = slot->since_ns;
	b->outer.site = slot->site;
	b->outer.target = slot->target;
	b->outer.sp = t->blocked_sp;
	describe_site(b, b->since_ns);
	store(&t->blocked_sp, b->from.sp);
	publish(t, b->call, b->since_ns, b->site, b->target);
	if (t->chores_ns != b->since_ns) {
		t->chores_ns = b->since_ns;
		source_chores(b->since_ns);
	}
}

void source_wall_begin(struct blocked *b)
{
	int saved = errno;
	struct thread *t;

	b->thread = NULL;
	if (session_orphan())
		(void)session_adopt_child();
	if (session_running() && !switched_off() && (t = thread_self()))
		begin(b, t);
	errno = saved;
}

static void count(struct thread *t, int64_t blocked_ns)
{
	t->calls_pending++;
	if (blocked_ns == 0 && t->calls_pending < CALLS_PENDING)
		return;
	add(&session.counters->blocked_calls, t->calls_pending);
	t->calls_pending = 0;
	add(&session.counters->blocked_ns, (uint64_t)blocked_ns);
}

/* Returns whether `also` was written. */
static bool end(const struct blocked *b, struct event *also)
{
	struct thread *t = b->thread;
	int64_t now;
	bool records;

	/* The call may have been where a new process began, or sampling ended. */
	if (!t || !session_live() || b->epoch != session.epoch || thread_self() != t)
		return false;
	store(&t->blocked_sp, b->outer.sp);
	if (b->outer.call)
		publish(t, b->outer.call, b->outer.since_ns, b->outer.site, b->outer.target);
	else
		publish(t, 0, 0, 0, 0);
	now = clock_coarse_ns();
	count(t, now - b->since_ns);
	records = now > b->since_ns && load(&session.running);
	if (records) {
		(void)record(b, RING_BLOCK, now, also);
		source_chores(now);
	}
	return records;
}

void source_wall_end_with(const struct blocked *b, struct event *also)
{
	int saved = errno;

	if (!end(b, also) && also)
		(void)stack_record(also, &b->from);
	errno = saved;
}

void source_wall_end(const struct blocked *b)
{
	source_wall_end_with(b, NULL);
}

void source_wall_correct(struct thread *t, uint64_t sp)
{
	if (load(&session.slots[thread_slot(t)].call) && sp >= t->stack_lo && sp < t->stack_hi &&
	    sp > load(&t->blocked_sp))
		publish(t, 0, 0, 0, 0);
}

static bool wall_wanted(const struct config *config)
{
	return config->wall;
}

/* The hooks are there or they are not; this lets them record. */
static int wall_start(void)
{
	store(&wall_on, 1);
	return HEARTH_OK;
}

static void wall_stop(void)
{
	store(&wall_on, 0);
}

const struct source source_wall = {
	.name = "wall",
	.unit = "nanoseconds",
	.dimension = RING_WALL,
	.wanted = wall_wanted,
	.start = wall_start,
	.stop = wall_stop,
};
