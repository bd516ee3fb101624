/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/budget.h - what profiling costs the program, and what is done when that is too much.
 *
 * Private to client/.  Every fourth piece of work of a kind is measured with the monotonic clock,
 * which is no system call, and stands for four; what a hook does on its way past is counted and
 * charged at a constant. Once a second one thread compares the sum with the CPU time of the
 * process, of which the agent tells: above the limit the kind that costs most is sampled half as
 * often, and one that keeps the cost above twice the limit is stopped for five minutes.
 * docs/decisions/0013-own-cost.md.  Any thread; async-signal-safe.
 */
#ifndef CLIENT_BUDGET_H
#define CLIENT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "client/atomics.h"
#include "client/ring.h"

/* The kinds of work: enum ring_dimension, and what serves all of them. */
enum { BUDGET_CHORES = RING_DIMENSIONS, BUDGET_KINDS };

#define BUDGET_EVERY 4
#define BUDGET_SHIFT_MAX 7
#define BUDGET_FLOOR_PPM 1000 /* of one core: what an idle program may be charged */
#define BUDGET_WINDOW_NS INT64_C(1000000000)
#define BUDGET_PATIENCE_NS INT64_C(10000000000) /* above twice the limit, before a stop */
#define BUDGET_PAUSE_NS INT64_C(300000000000)   /* from a stop to the next try */

/* ---- the decision, which looks at numbers alone ---- */

/* Sums since the start, and what they were measured at. */
struct budget_reading {
	int64_t now_ns;
	uint64_t cpu_ns;                    /* of the whole process */
	uint64_t sampling_ns[BUDGET_KINDS]; /* becomes less when fewer samples are taken */
	uint64_t passing_ns[BUDGET_KINDS];  /* each call through a hook */
};

struct budget {
	struct budget_reading seen;
	/* Of the last seconds: each second counts three quarters of the next. */
	uint64_t allowed_ns, cpu_ns, sampling_ns[BUDGET_KINDS], passing_ns[BUDGET_KINDS];
	uint32_t windows;                      /* seconds since the last change */
	int64_t changed_ns, over_ns;           /* over twice the limit since; 0: it is not */
	uint32_t shift[RING_DIMENSIONS];       /* samples are 2^shift times as far apart */
	int64_t off_until_ns[RING_DIMENSIONS]; /* 0: not stopped */
	uint64_t raised, lowered, stops, retries;
};

/* Take a reading, about a second after the one before; `limit_ppm` is of the process's CPU time. */
void budget_step(struct budget *b, const struct budget_reading *reading, uint32_t limit_ppm);

/* Own cost of the last seconds in millionths of the process's CPU time. */
uint64_t budget_ppm(const struct budget *b);

/* ---- this process ---- */

struct budget_public {
	uint32_t taken[BUDGET_KINDS]; /* pieces of work, to find every fourth */
	uint32_t shift[RING_DIMENSIONS];
	uint32_t off[RING_DIMENSIONS];
};

extern struct budget_public budget_public __attribute__((visibility("hidden")));

/* How often the distance between samples is doubled. */
static inline uint32_t budget_shift(enum ring_dimension d)
{
	return load(&budget_public.shift[d]);
}

static inline bool budget_stopped(enum ring_dimension d)
{
	return __builtin_expect(load(&budget_public.off[d]) != 0, 0);
}

/* Around a piece of work: what budget_begin returns goes to budget_end, which returns the
 * nanoseconds when this one was measured, else a negative number: also where the thread seems to
 * have lost its CPU meanwhile. */
int64_t budget_measure(int64_t began, unsigned kind, unsigned stands_for);

/* The monotonic clock; -1 where the program's own filter of system calls may forbid to look. */
int64_t budget_clock(void);

static inline int64_t budget_begin(unsigned kind)
{
	return add(&budget_public.taken[kind], 1) % BUDGET_EVERY == BUDGET_EVERY - 1
		   ? budget_clock()
		   : -1;
}

static inline int64_t budget_end(int64_t began, unsigned kind)
{
	return began < 0 ? -1 : budget_measure(began, kind, BUDGET_EVERY);
}

/* The same for work that is rare: each is measured. */
static inline void budget_end_each(int64_t began, unsigned kind)
{
	if (began >= 0)
		(void)budget_measure(began, kind, 1);
}

/* And for what is long, and makes system calls itself: each is measured, with the thread's CPU
 * clock. */
int64_t budget_begin_rare(void);
void budget_end_rare(int64_t began, unsigned kind);

/* Whether a measured time is believed.  One of more than 100 us and of eight times what is usual is
 * taken for a loss of the CPU; *usual_ns follows, so that what keeps coming becomes believable. */
bool budget_believe(uint64_t *usual_ns, uint64_t ns);

/* So many locks were taken without a wait. */
void budget_locks_passed(uint32_t count);

/* Learn what it costs to look at the clock.  Outside handlers. */
void budget_start(void);

/* A session was opened: nothing was spent yet. */
void budget_new_session(void);

/* A second is over: take a reading and decide.  One thread at a time; others return at once. */
void budget_tick(int64_t now_ns);

/* Bring the shared counters up to date. */
void budget_publish(void);

#endif
