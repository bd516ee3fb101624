/* SPDX-License-Identifier: Apache-2.0 */
#include "client/budget.h"

#include <time.h>

#include "client/profiler.h"
#include "client/session.h"
#include "client/source.h"

#define PPM 1000000
#define WINDOWS_MIN 2 /* seconds before anything is decided again */
#define LOWER_AFTER_NS INT64_C(10000000000)
#define SHIFT_STEP_MAX 3
#define SLOTS_A_TICK 256 /* slots that are looked at in a second: one line of memory each */
#define LOST_TIMES 8     /* see budget_believe */
#define LOST_MIN_NS 100000
#define LOST_STEP_NS 100
#define CPU_STALE_NS INT64_C(3000000000) /* the agent reads the process's CPU time once a second */
#define CLOCK_TRIES 8
#define COARSE_READINGS 32

/*
 * What cannot be measured one by one, in nanoseconds: least values of loops with and without the
 * hooks on the machine of docs/decisions/0013-own-cost.md, where a reading of the coarse clock
 * takes 6.5 and one of the thread's CPU clock 216.  On others they are scaled: a signal, which is
 * the kernel's work, by the latter, and the rest by the former.
 */
#define SIGNAL_NS 2000 /* a timer's interrupt, delivery of the signal and the return from it */
/* a blocking call that does not block: two readings of the coarse clock */
#define PASS_CALL_NS 24
#define PASS_ALLOC_NS 3  /* malloc and its free */
#define PASS_LOCK_NS 6   /* lock, by trying it, and unlock */
#define PASS_WAIT_NS 180 /* a contended lock: two readings of the clock, a mark, exact counters */
#define PASS_THROW_NS 20
#define REFERENCE_COARSE_PS 6500
#define REFERENCE_THREAD_NS 216
#define SCALE 64 /* a factor of 1 */

struct budget_public budget_public;

static struct {
	struct budget budget;
	uint64_t measured_ns[BUDGET_KINDS];
	uint64_t locks_passed;
	uint64_t signals_from; /* budget_public.taken wraps; this does not */
	uint32_t signals_seen;
	uint64_t usual_ns[BUDGET_KINDS]; /* of a piece of work */
	/* of one reading of the monotonic and the thread's CPU clock */
	uint32_t clock_ns, thread_clock_ns;
	int64_t cpu_at_ns; /* the agent's reading of the process's CPU time that was taken */
	uint32_t signal_scale, pass_scale; /* this machine's constants, in 1/SCALE of those above */
	uint32_t busy;
	/* A walk over the slots takes several ticks when there are many. */
	uint32_t slot;
	uint64_t calls, allocs, calls_sum, allocs_sum;
} own;

/* ---- the decision ---- */

static uint64_t sum(const uint64_t *values, size_t count)
{
	uint64_t s = 0;

	for (size_t i = 0; i < count; i++)
		s += values[i];
	return s;
}

static uint64_t total(const struct budget *b)
{
	return sum(b->sampling_ns, BUDGET_KINDS) + sum(b->passing_ns, BUDGET_KINDS);
}

uint64_t budget_ppm(const struct budget *b)
{
	return b->cpu_ns ? total(b) * PPM / b->cpu_ns : 0;
}

static uint64_t fade(uint64_t value, uint64_t now, uint64_t before)
{
	return value - value / 4 + (now > before ? now - before : 0);
}

/* Add what happened since the last reading. */
static void take(struct budget *b, const struct budget_reading *r, uint32_t limit_ppm)
{
	uint64_t cpu = r->cpu_ns > b->seen.cpu_ns ? r->cpu_ns - b->seen.cpu_ns : 0;
	uint64_t wall = (uint64_t)(r->now_ns - b->seen.now_ns);
	uint64_t allowed = cpu / 1000 * limit_ppm / 1000, least = wall / PPM * BUDGET_FLOOR_PPM;

	b->allowed_ns = fade(b->allowed_ns, allowed > least ? allowed : least, 0);
	b->cpu_ns = fade(b->cpu_ns, cpu, 0);
	for (int i = 0; i < BUDGET_KINDS; i++) {
		b->sampling_ns[i] =
		    fade(b->sampling_ns[i], r->sampling_ns[i], b->seen.sampling_ns[i]);
		b->passing_ns[i] = fade(b->passing_ns[i], r->passing_ns[i], b->seen.passing_ns[i]);
	}
	b->seen = *r;
	b->windows++;
}

static void changed(struct budget *b)
{
	b->changed_ns = b->seen.now_ns;
	b->windows = 0;
}

/* A stop of the allocations' samples is one of live heap too: they are the same samples. */
static uint64_t sampling_of(const struct budget *b, unsigned d)
{
	return b->sampling_ns[d] + (d == RING_ALLOC ? b->sampling_ns[RING_HEAP] : 0);
}

/* What a stop of this dimension would save.  Its hooks stay: those of allocations and locks cost as
 * much when nothing is sampled, those of calls do not. */
static uint64_t saved_by_stop(const struct budget *b, unsigned d)
{
	return sampling_of(b, d) + (d == RING_WALL ? b->passing_ns[d] : 0);
}

static unsigned dearest(const struct budget *b, uint64_t (*cost)(const struct budget *, unsigned))
{
	unsigned most = RING_CPU;

	for (unsigned d = 0; d < RING_DIMENSIONS; d++)
		if (d != RING_HEAP && cost(b, d) > cost(b, most))
			most = d;
	return most;
}

static uint64_t sampling_to_lengthen(const struct budget *b, unsigned d)
{
	return b->off_until_ns[d] || b->shift[d] >= BUDGET_SHIFT_MAX ? 0 : sampling_of(b, d);
}

/* At once as far as the excess asks for: a dimension at 8 times its limit needs one decision, not
 * 3. */
static void lengthen(struct budget *b)
{
	unsigned d = dearest(b, sampling_to_lengthen);
	uint64_t cost = sampling_to_lengthen(b, d), excess = total(b);

	if (cost < b->allowed_ns / 8 || !cost)
		return; /* fewer samples would not help */
	for (int i = 0; i < SHIFT_STEP_MAX && excess > b->allowed_ns; i++) {
		if (b->shift[d] >= BUDGET_SHIFT_MAX)
			break;
		b->shift[d]++;
		b->raised++;
		excess -= b->sampling_ns[d] / 2;
		b->sampling_ns[d] /= 2;
	}
	if (d == RING_ALLOC)
		b->shift[RING_HEAP] = b->shift[RING_ALLOC];
	changed(b);
}

static void shorten(struct budget *b)
{
	unsigned d = 0;

	for (unsigned i = 1; i < RING_DIMENSIONS; i++)
		if (b->shift[i] > b->shift[d])
			d = i;
	if (!b->shift[d] || total(b) + sampling_of(b, d) > b->allowed_ns / 2 ||
	    b->seen.now_ns - b->changed_ns < LOWER_AFTER_NS)
		return;
	b->shift[d]--;
	if (d == RING_ALLOC)
		b->shift[RING_HEAP] = b->shift[RING_ALLOC];
	b->lowered++;
	changed(b);
}

static uint64_t saved_by_a_new_stop(const struct budget *b, unsigned d)
{
	return b->off_until_ns[d] ? 0 : saved_by_stop(b, d);
}

static void stop_dearest(struct budget *b)
{
	unsigned d = dearest(b, saved_by_a_new_stop);
	int64_t until = b->seen.now_ns + BUDGET_PAUSE_NS;

	if (!saved_by_a_new_stop(b, d))
		return;
	b->off_until_ns[d] = until;
	if (d == RING_ALLOC)
		b->off_until_ns[RING_HEAP] = until;
	b->sampling_ns[d] = b->passing_ns[d] = 0;
	b->stops++;
	b->over_ns = 0;
	changed(b);
}

/* Above twice the limit without those passes that no stop would save. */
static void watch_twice(struct budget *b)
{
	uint64_t cost = sum(b->sampling_ns, BUDGET_KINDS) + b->passing_ns[RING_WALL];

	if (cost <= 2 * b->allowed_ns)
		b->over_ns = 0;
	else if (!b->over_ns)
		b->over_ns = b->seen.now_ns;
	else if (b->seen.now_ns - b->over_ns >= BUDGET_PATIENCE_NS)
		stop_dearest(b);
}

static void try_again(struct budget *b)
{
	for (int d = 0; d < RING_DIMENSIONS; d++) {
		if (!b->off_until_ns[d] || b->seen.now_ns < b->off_until_ns[d])
			continue;
		b->off_until_ns[d] = 0;
		b->retries += d != RING_HEAP;
		changed(b);
	}
}

void budget_step(struct budget *b, const struct budget_reading *reading, uint32_t limit_ppm)
{
	if (!b->seen.now_ns || reading->now_ns <= b->seen.now_ns) {
		b->seen = *reading;
		return;
	}
	take(b, reading, limit_ppm);
	try_again(b);
	watch_twice(b);
	if (b->windows < WINDOWS_MIN)
		return;
	if (total(b) > b->allowed_ns)
		lengthen(b);
	else
		shorten(b);
}

/* ---- this process ---- */

int64_t budget_clock(void)
{
	return load(&session.seccomp_set) ? -1 : clock_exact_ns();
}

int64_t budget_begin_rare(void)
{
	return load(&session.seccomp_set) ? -1 : clock_thread_cpu_ns();
}

bool budget_believe(uint64_t *usual_ns, uint64_t ns)
{
	uint64_t usual = load(usual_ns);
	bool lost = ns > LOST_MIN_NS && (ns > LOST_TIMES * usual);

	if (lost)
		store(usual_ns, usual + usual / LOST_TIMES + LOST_STEP_NS);
	else
		store(usual_ns, usual - usual / LOST_TIMES + ns / LOST_TIMES);
	return !lost;
}

/* The reading of the clock is in what was measured, and no work of the others. */
static uint64_t without_clock(int64_t *ns)
{
	uint64_t clock = load(&own.clock_ns);

	*ns = *ns > (int64_t)clock ? *ns - (int64_t)clock : 0;
	return 2 * clock;
}

int64_t budget_measure(int64_t began, unsigned kind, unsigned stands_for)
{
	int64_t ns = clock_exact_ns() - began;
	uint64_t clocks = without_clock(&ns);
	bool believed = budget_believe(&own.usual_ns[kind], (uint64_t)ns);

	add(&own.measured_ns[kind],
	    (believed ? (uint64_t)ns : load(&own.usual_ns[kind])) * stands_for + clocks);
	return believed ? ns : -1;
}

void budget_end_rare(int64_t began, unsigned kind)
{
	int64_t ns;

	if (began < 0)
		return;
	ns = clock_thread_cpu_ns() - began;
	add(&own.measured_ns[kind], (uint64_t)(ns > 0 ? ns : 0) + load(&own.thread_clock_ns));
}

void budget_locks_passed(uint32_t count)
{
	add(&own.locks_passed, count);
}

/* Between a quarter and eight times, whatever disturbed the reading. */
static uint32_t scale_of(uint64_t measured, uint64_t reference)
{
	uint64_t scale = measured * SCALE / reference;

	return (uint32_t)(scale < SCALE / 4 ? SCALE / 4 : scale > 8 * SCALE ? 8 * SCALE : scale);
}

void budget_start(void)
{
	int64_t least = INT64_MAX, exact = INT64_MAX, coarse = INT64_MAX;

	for (int i = 0; i < CLOCK_TRIES; i++) {
		int64_t began = clock_thread_cpu_ns(), ns = clock_thread_cpu_ns() - began;

		if (ns < least)
			least = ns;
		began = clock_exact_ns();
		ns = clock_exact_ns() - began;
		if (ns < exact)
			exact = ns;
		began = clock_exact_ns();
		for (int k = 0; k < COARSE_READINGS; k++)
			(void)clock_coarse_ns();
		ns = clock_exact_ns() - began;
		if (ns < coarse)
			coarse = ns;
	}
	store(&own.clock_ns, exact > 0 ? (uint32_t)exact : 0);
	store(&own.thread_clock_ns, least > 0 ? (uint32_t)least : 0);
	store(&own.signal_scale, scale_of((uint64_t)least, REFERENCE_THREAD_NS));
	store(&own.pass_scale,
	      scale_of((uint64_t)coarse * 1000 / COARSE_READINGS, REFERENCE_COARSE_PS));
}

static void obey(const struct budget *b)
{
	for (int d = 0; d < RING_DIMENSIONS; d++) {
		store(&budget_public.shift[d], b->shift[d]);
		store(&budget_public.off[d], b->off_until_ns[d] != 0);
	}
}

void budget_new_session(void)
{
	own.budget = (struct budget){0};
	for (int i = 0; i < BUDGET_KINDS; i++)
		store(&own.measured_ns[i], 0);
	own.cpu_at_ns = 0;
	own.signals_seen = load(&budget_public.taken[RING_CPU]);
	own.signals_from = own.locks_passed = 0;
	own.slot = 0;
	own.calls = own.allocs = own.calls_sum = own.allocs_sum = 0;
	store(&own.busy, 0);
	obey(&own.budget);
}

/* Calls that passed, of all threads that ever had a slot; the walk goes on with the next tick. */
static void walk_slots(void)
{
	uint32_t high = (uint32_t)load(&session.counters->threads_high), i;

	for (i = 0; i < SLOTS_A_TICK && own.slot < high; i++, own.slot++) {
		own.calls_sum += load(&session.slots[own.slot].blocked_calls);
		own.allocs_sum += load(&session.slots[own.slot].alloc_calls);
	}
	if (own.slot < high)
		return;
	own.calls = own.calls_sum;
	own.allocs = own.allocs_sum;
	own.slot = 0;
	own.calls_sum = own.allocs_sum = 0;
}

static void read_costs(struct budget_reading *r)
{
	const struct ring_counters *c = session.counters;
	uint32_t signals = load(&budget_public.taken[RING_CPU]);

	own.signals_from += signals - own.signals_seen;
	own.signals_seen = signals;
	walk_slots();
	for (int i = 0; i < BUDGET_KINDS; i++) {
		r->sampling_ns[i] = load(&own.measured_ns[i]);
		r->passing_ns[i] = 0;
	}
	r->sampling_ns[RING_CPU] += own.signals_from * SIGNAL_NS * own.signal_scale / SCALE;
	r->passing_ns[RING_WALL] = own.calls * PASS_CALL_NS;
	r->passing_ns[RING_ALLOC] = (own.allocs + load(&c->alloc_calls)) * PASS_ALLOC_NS;
	r->passing_ns[RING_LOCK] =
	    load(&own.locks_passed) * PASS_LOCK_NS + load(&c->lock_contended) * PASS_WAIT_NS;
	r->passing_ns[RING_EXCEPTION] = load(&c->exceptions) * PASS_THROW_NS;
	for (int i = 0; i < BUDGET_KINDS; i++)
		r->passing_ns[i] = r->passing_ns[i] * own.pass_scale / SCALE;
}

static void publish(const struct budget_reading *r)
{
	struct ring_counters *c = session.counters;
	const struct budget *b = &own.budget;
	uint64_t all = 0, off = 0, shifted = 0;

	for (int i = 0; i < BUDGET_KINDS; i++) {
		uint64_t ns = r->sampling_ns[i] + r->passing_ns[i];

		store(&c->cost[i], ns);
		all += ns;
	}
	store(&c->cost_ns, all);
	for (int d = 0; d < RING_DIMENSIONS; d++) {
		off |= (uint64_t)(b->off_until_ns[d] != 0) << d;
		shifted |= (uint64_t)b->shift[d] << 8 * d;
	}
	store(&c->budget_off, off);
	store(&c->budget_shifts, shifted);
	store(&c->budget_raised, b->raised);
	store(&c->budget_lowered, b->lowered);
	store(&c->budget_stops, b->stops);
	store(&c->budget_retries, b->retries);
	store(&c->budget_ppm, budget_ppm(b));
	if (load(&session.running))
		store(&c->state, (uint64_t)(off       ? RING_OVER_BUDGET
					    : shifted ? RING_THROTTLED
						      : RING_RUNNING));
}

/* The CPU time of the process and when it was that: as the agent wrote it, which is no system call,
 * while there is one.  False: nothing new. */
static bool read_cpu(struct budget_reading *r)
{
	int64_t at = load_acquire(&session.agent->cpu_at_ns);
	uint64_t cpu = load(&session.agent->cpu_ns);

	/* Ours is the coarse clock, a tick behind the agent's. */
	if (!at || r->now_ns - at > CPU_STALE_NS || at - r->now_ns > BUDGET_WINDOW_NS) {
		r->cpu_ns = (uint64_t)clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		return true;
	}
	load_fence();
	if (at == own.cpu_at_ns || load(&session.agent->cpu_at_ns) != at)
		return false;
	own.cpu_at_ns = at;
	r->cpu_ns = cpu;
	r->now_ns = at;
	return true;
}

void budget_tick(int64_t now_ns)
{
	struct budget_reading r = {.now_ns = now_ns};
	bool fresh;

	if (load(&session.seccomp_set) || !try_take(&own.busy))
		return;
	fresh = read_cpu(&r);
	read_costs(&r);
	if (fresh) {
		budget_step(&own.budget, &r, profiler_config()->max_overhead_ppm);
		obey(&own.budget);
	}
	publish(&r);
	give_back(&own.busy);
}

void budget_publish(void)
{
	struct budget_reading r = {0};

	if (!session_live() || !try_take(&own.busy))
		return;
	read_costs(&r);
	publish(&r);
	give_back(&own.busy);
}
