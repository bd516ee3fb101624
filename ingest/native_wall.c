/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wall: for each live thread, elapsed = CPU + waiting for a CPU + blocked, by call, + the rest,
 * which is shown as such.
 */
#include <math.h>
#include <string.h>

#include "ingest/native_emit.h"

#define REST_MIN_NS (INT64_C(5) * NS_PER_MS) /* below, the coarse clock cannot tell */

static const char *const call_names[RING_CALLS] = {
    [RING_CALL_none] = "none",
#define CALL(name, target) [RING_CALL_##name] = #name,
#include "client/calls.def"
#undef CALL
};

static const uint8_t call_targets[RING_CALLS] = {
#define CALL(name, target) [RING_CALL_##name] = RING_TARGET_##target,
#include "client/calls.def"
#undef CALL
};

static const struct native_site *site_find(const struct native_thread *thread, uint64_t key)
{
	const struct native_site *site =
	    thread->sites ? &thread->sites->sites[ring_site_place(key)] : NULL;

	return site && key && site->key == key ? site : NULL;
}

static void site_learn(struct native_thread *thread, const struct native_pending *pending)
{
	/* Only what lives can have a call open; a client may name any number of threads. */
	if (!thread->live)
		return;
	if (!thread->sites)
		thread->sites = calloc(1, sizeof(*thread->sites));
	if (!thread->sites)
		return; /* an open call is then shown without its stack */
	struct native_site *site = &thread->sites->sites[ring_site_place(pending->block.site)];

	site->key = pending->block.site;
	site->frames_count = pending->frames_count;
	if (pending->frames_count)
		memcpy(site->frames, pending->frames, pending->frames_count * sizeof(uint64_t));
}

static const char *call_name(uint32_t call)
{
	return call < RING_CALLS ? call_names[call] : "unknown call";
}

/* A sampled call that returned stands for this much: see struct ring_block. */
static double weight_of(struct emitter *e, const struct native_pending *pending, double *ret_calls)
{
	/* Nothing has lasted longer than the profiler, and a mean is at most an hour: the client's
	 * is a minute. */
	int64_t most = e->clock->monotonic_ns - e->process->head.start_monotonic_ns;
	double duration = (double)MIN(pending->block.duration_ns, (uint64_t)most);
	double mean = fmin((double)pending->block.mean_ns, 3600e9);
	double chance = mean > 0 && duration > 0 ? -expm1(-duration / mean) : 1;

	*ret_calls = 1 / MAX(chance, 1e-9);
	return duration * *ret_calls;
}

/* What it was charged while it was open is taken off. */
static double block_value(struct emitter *e, const struct native_thread *thread,
			  const struct native_pending *pending, double *ret_calls)
{
	double value = weight_of(e, pending, ret_calls);

	if (thread->open_since_ns && pending->block.since_ns == thread->open_since_ns)
		value = MAX(value - (double)thread->open_charged_ns, 0.0);
	return value;
}

static void block_record(struct emitter *e, struct native_thread *thread,
			 const struct native_pending *pending, double factor)
{
	struct native_process *p = e->process;
	double calls, value = block_value(e, thread, pending, &calls) * factor;
	uint32_t node = emit_stack(e, pending->frames, pending->frames_count, false,
				   call_name(pending->block.call));
	uint32_t context = emit_context(e, thread, pending, &pending->block);
	int64_t time_ns = emit_real_time(e, pending->time_ns), whole = whole_bounded(value + 0.5);
	uint64_t count;

	p->blocked_left += calls;
	count = (uint64_t)p->blocked_left;
	p->blocked_left -= (double)count;
	p->blocked_ns = add_bounded(p->blocked_ns, whole);
	emit_record(e, SERIES_BLOCK, node, context, time_ns, whole, count);
	emit_record(e, SERIES_WALL, node, context, time_ns, whole, count);
}

/* A call that has not returned is charged up to now. */
static void open_call(struct emitter *e, struct native_thread *thread,
		      const struct native_reading *reading, bool first_seen)
{
	const struct ring_thread *slot = &reading->slot;
	const struct native_site *site = site_find(thread, slot->site);

	thread->open = slot->call && slot->since_ns > 0 && slot->since_ns <= e->clock->monotonic_ns;
	if (!thread->open)
		return;
	if (thread->open_since_ns != slot->since_ns) {
		thread->open_since_ns = slot->since_ns;
		/* After the agent's own restart nobody knows how far it was charged: not twice. */
		thread->open_charged_ns =
		    first_seen && e->process->resumed ? e->clock->monotonic_ns - slot->since_ns : 0;
		e->process->blocked_ns =
		    add_bounded(e->process->blocked_ns, thread->open_charged_ns);
	}
	int64_t from = slot->since_ns + thread->open_charged_ns;

	if (!first_seen)
		from = MAX(from, thread->wall_until_ns);
	int64_t duration = e->clock->monotonic_ns - from;

	if (duration <= 0)
		return;
	const struct ring_block block = {
	    .call = slot->call,
	    .target_kind = slot->call < RING_CALLS ? call_targets[slot->call] : RING_TARGET_NONE,
	    .target = slot->target};
	uint32_t node = emit_stack(e, site ? site->frames : NULL, site ? site->frames_count : 0,
				   false, call_name(slot->call));
	uint32_t context = emit_context(e, thread, NULL, &block);

	thread->open_charged_ns = e->clock->monotonic_ns - slot->since_ns;
	e->process->blocked_ns = add_bounded(e->process->blocked_ns, duration);
	emit_record(e, SERIES_BLOCK, node, context, e->clock->real_ns, duration, 1);
	emit_record(e, SERIES_WALL, node, context, e->clock->real_ns, duration, 1);
}

static void named_record(struct emitter *e, const struct native_thread *thread, const char *name,
			 int64_t value)
{
	if (value > 0)
		emit_record(e, SERIES_WALL, emit_stack(e, NULL, 0, false, name),
			    emit_context(e, thread, NULL, NULL), e->clock->real_ns, value, 1);
}

static void wall_account(struct emitter *e, struct native_thread *thread,
			 const struct native_reading *reading)
{
	int64_t now = e->clock->monotonic_ns;

	/* A thread is accounted from where it is first seen; a new process from its start. */
	bool from_start = !e->process->resumed && !e->process->first_ns;
	bool first_seen = !thread->wall_until_ns && !from_start;

	if (!thread->wall_until_ns) {
		thread->wall_until_ns = from_start ? e->process->head.start_monotonic_ns : now;
		thread->wall_cpu_ns =
		    from_start ? MIN(reading->slot.cpu_base_ns, reading->cpu_ns) : reading->cpu_ns;
		thread->wall_wait_ns = from_start ? 0 : reading->wait_ns;
	}
	int64_t elapsed = now - thread->wall_until_ns;
	int64_t cpu = (int64_t)(reading->cpu_ns - thread->wall_cpu_ns);
	/* The wait of a thread that is older than its profiler is not of this time. */
	int64_t wait =
	    MIN((int64_t)(reading->wait_ns - thread->wall_wait_ns), MAX(elapsed - cpu, (int64_t)0));
	/* By the thread's own counter, whichever calls were sampled; an open call is not in it
	 * yet. */
	int64_t returned = (int64_t)(reading->slot.blocked_ns - reading->slot.blocked_base_ns);

	open_call(e, thread, reading, first_seen);

	int64_t explained = add_bounded(returned, thread->open ? now - thread->open_since_ns : 0);

	named_record(e, thread, "[waiting for a CPU]", wait);
	if (first_seen)
		thread->explained_ns = explained; /* what it did before lies outside the account */
	else
		thread->rest_ns = add_bounded(
		    thread->rest_ns, elapsed - cpu - wait - (explained - thread->explained_ns));
	if (thread->rest_ns > REST_MIN_NS) {
		named_record(e, thread, "[off CPU, not explained]", thread->rest_ns);
		thread->rest_ns = 0;
	}
	thread->explained_ns = explained;
	thread->wall_until_ns = now;
	thread->wall_cpu_ns = reading->cpu_ns;
	thread->wall_wait_ns = reading->wait_ns;
}

/* What was charged to calls that have not returned: it comes back with their return.  Without
 * readings the process is gone, and its last slots have said which those are. */
static int64_t open_charged(struct native_process *p, const struct native_reading *readings,
			    size_t count)
{
	int64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		const struct native_thread *thread = native_thread_get(p, readings[i].tid);

		if (thread && readings[i].slot.call && thread->open_since_ns &&
		    readings[i].slot.since_ns == thread->open_since_ns)
			sum = add_bounded(sum, thread->open_charged_ns);
	}
	for (size_t i = 0; !count && i < p->threads_count; i++)
		if (p->threads[i].open)
			sum = add_bounded(sum, p->threads[i].open_charged_ns);
	return sum;
}

/*
 * The exact counters say how long returned calls were blocked; the samples of the drain are scaled
 * to that, but not beyond twice or half their weight.
 */
static double blocked_factor(struct emitter *e, const struct native_reading *readings, size_t count)
{
	struct native_process *p = e->process;
	double weights = 0, calls;
	int64_t open = open_charged(p, readings, count);

	for (size_t i = 0; i < p->pending_count; i++) {
		struct native_thread *thread = native_thread_get(p, p->pending[i].tid);

		if (thread && p->pending[i].type == RING_BLOCK)
			weights += block_value(e, thread, &p->pending[i], &calls);
	}

	int64_t exact = (int64_t)MIN(e->sums->blocked_ns, (uint64_t)INT64_MAX / 4);

	if (!p->blocked_known) {
		p->blocked_known = true;
		/* What an earlier agent wrote is not known: the account starts here. */
		if (p->resumed)
			p->blocked_ns = add_bounded(exact, open - whole_bounded(weights));
	}
	int64_t owed = add_bounded(exact, open - p->blocked_ns);

	if (weights <= 0)
		return 1;
	return MIN(MAX((double)owed / weights, 0.5), 2.0);
}

static void blocked_rest(struct emitter *e, const struct native_reading *readings, size_t count)
{
	static const struct native_thread nobody;
	struct native_process *p = e->process;
	int64_t owed = add_bounded((int64_t)MIN(e->sums->blocked_ns, (uint64_t)INT64_MAX / 4),
				   open_charged(p, readings, count) - p->blocked_ns);

	if (!e->ended || owed <= REST_MIN_NS || !p->blocked_known)
		return;
	named_record(e, &nobody, "[blocked, not sampled]", owed);
	emit_record(e, SERIES_BLOCK, emit_stack(e, NULL, 0, false, "[not sampled]"),
		    emit_context(e, &nobody, NULL, NULL), e->clock->real_ns, owed, 1);
	p->blocked_ns = add_bounded(p->blocked_ns, owed);
}

void native_wall_emit(struct emitter *e, const struct native_reading *readings, size_t count,
		      bool due)
{
	struct native_process *p = e->process;
	double factor = blocked_factor(e, readings, count);

	for (size_t i = 0; !e->rc && i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];
		struct native_thread *thread = native_thread_get(p, pending->tid);

		if (thread && pending->type == RING_SITE)
			site_learn(thread, pending);
		else if (thread && pending->type == RING_BLOCK)
			block_record(e, thread, pending, factor);
	}
	for (size_t i = 0; due && !e->rc && i < count; i++) {
		struct native_thread *thread = native_thread_get(p, readings[i].tid);

		if (!thread || !readings[i].has_schedstat || thread->wall_closed)
			continue;
		wall_account(e, thread, &readings[i]);
		thread->wall_closed = thread->ended;
	}
	blocked_rest(e, readings, count);
}
