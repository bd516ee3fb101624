/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wall: for each live thread, elapsed = CPU + waiting for a CPU + blocked, by call, + the rest, which
 * is shown as such.
 */
#include <string.h>

#include "ingest/native_emit.h"

#define REST_MIN_NS (INT64_C(5) * NS_PER_MS) /* below, the coarse clock cannot tell */

static const char *const call_names[RING_CALLS] = {
	[RING_CALL_none] = "none",
#define CALL(name, target) [RING_CALL_##name] = #name,
#include "client/calls.def"
#undef CALL
};

static struct native_site *site_find(const struct native_thread *thread, uint64_t key)
{
	for (size_t i = 0; thread->sites && i < thread->sites->count; i++)
		if (thread->sites->sites[i].key == key)
			return &thread->sites->sites[i];
	return NULL;
}

static void site_learn(struct native_process *p, struct native_thread *thread,
		       const struct native_pending *pending)
{
	/* Only what lives can have a call open; a client may name any number of threads. */
	if (!thread->live)
		return;
	if (!thread->sites) {
		thread->sites = malloc(sizeof(*thread->sites));
		if (!thread->sites)
			return; /* an open call is then shown without its stack */
		thread->sites->count = thread->sites->next = 0;
	}
	struct native_sites *sites = thread->sites;
	struct native_site *site = site_find(thread, pending->block.site);

	if (!site) {
		site = &sites->sites[sites->next];
		sites->next = (sites->next + 1) % NATIVE_SITES_MAX;
		sites->count = MIN(sites->count + 1, (size_t)NATIVE_SITES_MAX);
	}
	site->key = pending->block.site;
	site->frames_count = pending->frames_count;
	if (pending->frames_count)
		memcpy(site->frames, p->frames + pending->frames_at,
		       pending->frames_count * sizeof(uint64_t));
}

static const char *call_name(uint32_t call)
{
	return call < RING_CALLS ? call_names[call] : "unknown call";
}

/* A call that returned: what it was charged while it was open is taken off. */
static void block_record(struct emitter *e, struct native_thread *thread,
			 const struct native_pending *pending)
{
	struct native_process *p = e->process;
	/* Nothing has lasted longer than the profiler. */
	int64_t most = e->clock->monotonic_ns - p->head.start_monotonic_ns;
	int64_t duration = (int64_t)MIN(pending->block.duration_ns, (uint64_t)most);
	uint32_t node = emit_stack(e, emit_words(p, pending), pending->frames_count, false,
				   call_name(pending->block.call));
	uint32_t context = emit_context(e, thread, pending, &pending->block);
	int64_t time_ns = emit_real_time(e, pending->time_ns);

	if (thread->open_since_ns && pending->block.since_ns == thread->open_since_ns) {
		duration -= thread->open_charged_ns;
		thread->open_since_ns = 0;
	}
	thread->blocked_ns = add_bounded(thread->blocked_ns, duration);
	emit_record(e, SERIES_BLOCK, node, context, time_ns, duration, 1);
	emit_record(e, SERIES_WALL, node, context, time_ns, duration, 1);
}

/* A call that has not returned is charged up to now. */
static int64_t open_call(struct emitter *e, struct native_thread *thread,
			 const struct native_reading *reading, bool first_seen)
{
	const struct ring_thread *slot = &reading->slot;
	const struct native_site *site = site_find(thread, slot->site);

	if (!slot->call || slot->since_ns <= 0 || slot->since_ns > e->clock->monotonic_ns)
		return 0;
	if (thread->open_since_ns != slot->since_ns) {
		thread->open_since_ns = slot->since_ns;
		/* After the agent's own restart nobody knows how far it was charged: not twice. */
		thread->open_charged_ns = first_seen && e->process->resumed ?
						  e->clock->monotonic_ns - slot->since_ns :
						  0;
	}
	int64_t from = slot->since_ns + thread->open_charged_ns;

	if (!first_seen)
		from = MAX(from, thread->wall_until_ns);
	int64_t duration = e->clock->monotonic_ns - from;

	if (duration <= 0)
		return 0;
	const struct ring_block block = { .call = slot->call, .target = slot->target };
	uint32_t node = emit_stack(e, site ? site->frames : NULL, site ? site->frames_count : 0, false,
				   call_name(slot->call));
	uint32_t context = emit_context(e, thread, NULL, &block);

	thread->open_charged_ns = e->clock->monotonic_ns - slot->since_ns;
	emit_record(e, SERIES_BLOCK, node, context, e->clock->real_ns, duration, 1);
	emit_record(e, SERIES_WALL, node, context, e->clock->real_ns, duration, 1);
	return duration;
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
		thread->wall_cpu_ns = from_start ? MIN(reading->slot.cpu_base_ns, reading->cpu_ns) :
						   reading->cpu_ns;
		thread->wall_wait_ns = from_start ? 0 : reading->wait_ns;
	}
	int64_t elapsed = now - thread->wall_until_ns;
	int64_t cpu = (int64_t)(reading->cpu_ns - thread->wall_cpu_ns);
	/* The wait of a thread that is older than its profiler is not of this time. */
	int64_t wait = MIN((int64_t)(reading->wait_ns - thread->wall_wait_ns),
			   MAX(elapsed - cpu, (int64_t)0));
	int64_t open = open_call(e, thread, reading, first_seen);

	named_record(e, thread, "[waiting for a CPU]", wait);
	thread->rest_ns = add_bounded(thread->rest_ns,
				      elapsed - cpu - wait - open - thread->blocked_ns);
	if (first_seen)
		thread->rest_ns = 0; /* what it did before lies outside the account */
	if (thread->rest_ns > REST_MIN_NS) {
		named_record(e, thread, "[off CPU, not explained]", thread->rest_ns);
		thread->rest_ns = 0;
	}
	thread->wall_until_ns = now;
	thread->wall_cpu_ns = reading->cpu_ns;
	thread->wall_wait_ns = reading->wait_ns;
	thread->blocked_ns = 0;
}

void native_wall_emit(struct emitter *e, const struct native_reading *readings, size_t count,
		      bool due)
{
	struct native_process *p = e->process;

	for (size_t i = 0; !e->rc && i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];
		struct native_thread *thread = native_thread_get(p, pending->tid);

		if (thread && pending->type == RING_SITE)
			site_learn(p, thread, pending);
		else if (thread && pending->type == RING_BLOCK)
			block_record(e, thread, pending);
	}
	for (size_t i = 0; due && !e->rc && i < count; i++) {
		struct native_thread *thread = native_thread_get(p, readings[i].tid);

		if (!thread || !readings[i].has_schedstat || thread->wall_closed)
			continue;
		wall_account(e, thread, &readings[i]);
		thread->wall_closed = thread->ended;
	}
}

