/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/wall_pass.h - the way past a hook for a call that does not block.
 *
 * Private to client/.  Inlined into every hook: what source_wall_begin and source_wall_end do when
 * there is nothing to do but to publish the call and to count it.  Anything else is sent to them:
 * no right to record, another call open, a site that the thread has not described, the thread's
 * first call since the coarse clock moved, a call during which it moved, and one at whose end it is
 * looked whether the place between two ticks is to be counted.
 */
#ifndef CLIENT_WALL_PASS_H
#define CLIENT_WALL_PASS_H

#include <time.h>

#include "client/session.h"
#include "client/source.h"
#include "client/thread.h"

/* The gate that hooks of calls look at; session_closed before the first session. */
extern const uint64_t *source_wall_gate_at __attribute__((visibility("hidden")));

/* clock_gettime: libc's, or what is behind it.  The coarse clock is always there. */
typedef int (*wall_clock_fn)(clockid_t, struct timespec *);
extern wall_clock_fn wall_clock __attribute__((visibility("hidden")));

/* A call that passes; thread NULL: it does not.  Members are as in struct blocked. */
struct wall_pass {
	struct thread *thread;
	int64_t since_ns;
	uint64_t epoch, site;
};

/*
 * The hash of a site.  Its key is that with the agent's place for it in bits 1 to 4, which
 * source_wall.c chooses.  The lowest bit is set; a thread keeps the key without it while calls from
 * there block, so that they do not pass.
 */
#define WALL_SITE_PLACE ((uint64_t)(RING_SITES - 1) << 1)
#define WALL_SITE_PASSES UINT64_C(1)

static inline uint64_t wall_site(const struct call_site *from)
{
	uint64_t x = (from->pc ^ from->sp << 17) * UINT64_C(0x9e3779b97f4a7c15);

	return x | 1;
}

static inline unsigned wall_site_entry(uint64_t hash)
{
	return (unsigned)(hash >> 58) % THREAD_SITES;
}

static inline bool wall_site_is(uint64_t key, uint64_t hash)
{
	return ((key ^ hash) & ~WALL_SITE_PLACE) == 0;
}

static inline __attribute__((always_inline)) int64_t wall_now(void)
{
	struct timespec t;

	(void)load (&wall_clock)(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* A call returns: is it time to look where between two ticks that is? */
static inline bool phase_passes(struct thread *t)
{
	int32_t left = load(&t->phase_left) - 1;

	store(&t->phase_left, left);
	return left <= 0;
}

static inline void wall_publish(struct ring_thread *slot, uint32_t call, int64_t since_ns,
				uint64_t site, uint64_t target)
{
	store(&slot->since_ns, since_ns);
	store(&slot->site, site);
	store(&slot->target, target);
	store_release(&slot->call, call);
}

static inline __attribute__((always_inline)) struct wall_pass
wall_pass_begin(uint32_t call, uint64_t target, const struct call_site *from)
{
	struct thread *t = thread_pass(load(source_wall_gate_at));
	struct wall_pass p = {NULL, 0, 0, 0};
	struct ring_thread *slot;
	uint64_t hash = wall_site(from), site;
	int64_t now;

	if (__builtin_expect(!t, 0))
		return p;
	site = t->sites[wall_site_entry(hash)];
	if (__builtin_expect(!wall_site_is(site, hash), 0))
		return p;
	now = wall_now();
	slot = t->slot;
	if (__builtin_expect(now != t->wall_tick_ns, 0) ||
	    __builtin_expect(load(&slot->call) != 0, 0))
		return p;
	store(&t->blocked_sp, from->sp);
	wall_publish(slot, call, now, site, target);
	p.thread = t;
	p.since_ns = now;
	p.epoch = session.epoch;
	p.site = site;
	return p;
}

/* False: it is up to source_wall_end.  The call may have been where a new process began, and its
 * slot's memory is not there then. */
static inline __attribute__((always_inline)) bool wall_pass_end(const struct wall_pass *p)
{
	struct thread *t = p->thread;
	struct ring_thread *slot;

	if (__builtin_expect(!t, 0) ||
	    __builtin_expect(thread_pass(load(source_wall_gate_at)) != t, 0) ||
	    __builtin_expect(wall_now() != p->since_ns, 0) || __builtin_expect(phase_passes(t), 0))
		return false;
	slot = t->slot;
	store_release(&slot->call, 0);
	store(&slot->blocked_calls, load(&slot->blocked_calls) + 1);
	return true;
}

/* What source_wall_end wants to know of a call that passed at its begin. */
static inline void wall_pass_blocked(const struct wall_pass *p, struct blocked *b)
{
	b->thread = p->thread;
	b->epoch = p->epoch;
	b->since_ns = p->since_ns;
	b->site = p->site;
	b->exact = false;
	b->outer.call = 0;
	b->outer.sp = b->from.sp;
}

#endif
