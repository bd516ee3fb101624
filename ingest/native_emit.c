/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From pending records and readings of /proc to records of a profile.
 *
 * CPU: a live thread's samples of this drain are scaled to what its clock says it is owed; an ended
 * thread's keep their weight and the difference goes to the process, which spreads it over all
 * samples of the drain.  With a random first expiry that difference has the mean 0, so short threads
 * are neither lost nor favoured, and the process's total is exact.
 *
 * Wall: for each live thread, elapsed = CPU + waiting for a CPU + blocked, by call, + the rest, which
 * is shown as such.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ingest/native_process.h"

#define UNSAMPLED_PERIODS 20 /* a thread owed more than this many intervals is not being sampled */
#define DEPARTS_SAMPLES 100 /* samples before a thread's share is judged */
#define DEPARTS_PERCENT 10
#define YOUNG_NS (INT64_C(20) * NS_PER_S) /* wall is accounted at every drain until then */
#define REST_MIN_NS (INT64_C(5) * NS_PER_MS) /* below, the coarse clock cannot tell */

enum series_index { SERIES_CPU, SERIES_WALL, SERIES_BLOCK, SERIES_COUNT };

struct emitter {
	struct native_process *process;
	struct profile_builder *out;
	const struct native_clock *clock;
	int64_t interval_ns;
	bool stopped; /* the client takes no samples now */
	uint32_t series[SERIES_COUNT];
	uint32_t *modules; /* builder's numbers by ours, 0: not added yet */
	int rc;		   /* first failure; every step checks it */
};

static const char *const call_names[RING_CALLS] = {
	[RING_CALL_none] = "none",
#define CALL(name, target) [RING_CALL_##name] = #name,
#include "client/calls.def"
#undef CALL
};

static const char *const drop_names[RING_DROPS] = RING_DROP_NAMES;
static const char *const dimension_names[RING_DIMENSIONS] = RING_DIMENSION_NAMES;

static int64_t real_time(const struct emitter *e, int64_t monotonic_ns)
{
	int64_t now = e->clock->monotonic_ns;
	/* A client's clock cannot be ahead of ours, nor older than its start. */
	bool sane = monotonic_ns >= e->process->head.start_monotonic_ns && monotonic_ns <= now;
	int64_t ago = sane ? now - monotonic_ns : 0;

	return e->clock->real_ns - ago;
}

/* ---- frames ---- */

static uint32_t module_number(struct emitter *e, uint32_t number)
{
	const struct native_module *from = &e->process->modules[number];
	struct profile_module module = { .build_id_len = from->build_id_len,
					 .is_hash = from->is_hash };

	if (e->modules[number])
		return e->modules[number];
	memcpy(module.build_id, from->build_id, sizeof(from->build_id));
	e->rc = profile_builder_string(e->out, (struct str){ from->path, strlen(from->path) },
				       &module.path);
	if (!e->rc)
		e->rc = profile_builder_module(e->out, &module, &e->modules[number]);
	return e->modules[number];
}

static uint32_t frame_address(struct emitter *e, uint64_t word, bool in_kernel)
{
	uint32_t number = (uint32_t)(word >> RING_FRAME_ADDRESS_BITS), id = 0;
	struct profile_frame frame = { .flags = PROFILE_FRAME_ADDRESS |
						(in_kernel ? PROFILE_FRAME_KERNEL : 0),
				       .address = word & RING_FRAME_ADDRESS };

	if (number && number <= e->process->modules_count)
		frame.module = module_number(e, number - 1);
	if (!e->rc)
		e->rc = profile_builder_frame(e->out, &frame, &id);
	return id;
}

static uint32_t frame_named(struct emitter *e, const char *name)
{
	struct profile_frame frame = { 0 };
	uint32_t id = 0;

	if (!e->rc)
		e->rc = profile_builder_string(e->out, (struct str){ name, strlen(name) },
					       &frame.function);
	if (!e->rc)
		e->rc = profile_builder_frame(e->out, &frame, &id);
	return id;
}

/* The frames of a pending record; NULL when it has none. */
static const uint64_t *words_of(const struct native_process *p, const struct native_pending *pending)
{
	return pending->frames_count ? p->frames + pending->frames_at : NULL;
}

/* A stack of words, with `leaf` (NULL: none) as a named frame below it. */
static uint32_t stack_node(struct emitter *e, const uint64_t *words, size_t count, bool in_kernel,
			   const char *leaf)
{
	uint32_t frames[RING_FRAMES_MAX + 1], node = 0;
	size_t used = 0;

	if (leaf)
		frames[used++] = frame_named(e, leaf);
	for (size_t i = 0; !e->rc && i < count && i < RING_FRAMES_MAX; i++)
		frames[used++] = frame_address(e, words[i], in_kernel && !i);
	if (!e->rc)
		e->rc = profile_builder_stack(e->out, frames, used, &node);
	return node;
}

/* ---- contexts ---- */

static void label_text(struct emitter *e, struct profile_label *labels, size_t *count,
		       struct str key, struct str value)
{
	if (e->rc || !value.len)
		return;
	e->rc = profile_builder_label(e->out, key, value, &labels[*count]);
	(*count)++;
}

static void label_number(struct emitter *e, struct profile_label *labels, size_t *count,
			 struct str key, uint64_t value)
{
	if (e->rc || !value)
		return;
	labels[*count] = (struct profile_label){ .is_number = true, .number = (int64_t)value };
	e->rc = profile_builder_string(e->out, key, &labels[*count].key);
	(*count)++;
}

static void label_target(struct emitter *e, struct profile_label *labels, size_t *count,
			 const struct ring_block *block)
{
	static const char *const kinds[] = { "", "fd ", "0x", "pid " };
	char text[40];

	if (block->target_kind == RING_TARGET_NONE || block->target_kind >= ARRAY_LEN(kinds))
		return;
	int n = snprintf(text, sizeof(text),
			 block->target_kind == RING_TARGET_ADDRESS ? "%s%llx" : "%s%lld",
			 kinds[block->target_kind], (unsigned long long)block->target);

	label_text(e, labels, count, STR("target"), (struct str){ text, (size_t)n });
}

static uint32_t context_of(struct emitter *e, const struct native_thread *thread,
			   const struct native_pending *pending, const struct ring_block *block)
{
	struct profile_label labels[8];
	size_t count = 0;
	uint32_t context = 0;
	char trace[33];

	label_number(e, labels, &count, STR("thread id"), thread->tid);
	label_text(e, labels, &count, STR("thread name"),
		   (struct str){ thread->name, strlen(thread->name) });
	if (pending) {
		label_number(e, labels, &count, STR("span id"), pending->span_id);
		label_number(e, labels, &count, STR("local root span id"), pending->root_span_id);
		if (pending->trace_id[0] || pending->trace_id[1]) {
			(void)snprintf(trace, sizeof(trace), "%016llx%016llx",
				       (unsigned long long)pending->trace_id[0],
				       (unsigned long long)pending->trace_id[1]);
			label_text(e, labels, &count, STR("trace id"), (struct str){ trace, 32 });
		}
	}
	if (block)
		label_target(e, labels, &count, block);
	if (!e->rc)
		e->rc = profile_builder_context(e->out, labels, count, &context);
	return context;
}

static void record_add(struct emitter *e, enum series_index series, uint32_t node, uint32_t context,
		       int64_t time_ns, int64_t value, uint64_t count)
{
	const int64_t values[2] = { value, (int64_t)count };
	const struct profile_record record = {
		.series = e->series[series],
		.node = node,
		.context = context,
		.count = (uint32_t)MIN(MAX(count, (uint64_t)1), (uint64_t)UINT32_MAX),
		.time_ns = time_ns,
	};

	if (!e->rc && value > 0)
		e->rc = profile_builder_record(e->out, &record, values);
}

/* ---- CPU ---- */

struct share {
	int64_t raw_ns; /* sample weights of the thread in this drain */
	int64_t scaled_ns; /* what they shall add up to */
};

/* Weights are bounded: a sample cannot stand for more than an hour. */
static int64_t weight_of(const struct native_pending *pending)
{
	return (int64_t)MIN(pending->cpu.weight_ns, (uint64_t)3600 * NS_PER_S);
}

static size_t thread_index(struct native_process *p, uint32_t tid)
{
	struct native_thread *thread = native_thread_get(p, tid);

	return thread ? (size_t)(thread - p->threads) : SIZE_MAX;
}

static void departure_judge(struct native_thread *thread, uint64_t cpu_ns, int64_t interval_ns)
{
	int64_t exact = (int64_t)(cpu_ns - thread->raw_from_ns), raw = (int64_t)thread->raw_ns;
	int64_t difference = exact > raw ? exact - raw : raw - exact;

	if (exact < DEPARTS_SAMPLES * interval_ns)
		return;
	thread->departing = difference > exact / 100 * DEPARTS_PERCENT;
	/* Judged over the last few hundred samples, so that a thread that mends is cleared. */
	if (exact > 4 * DEPARTS_SAMPLES * interval_ns) {
		thread->raw_from_ns = cpu_ns;
		thread->raw_ns = 0;
		thread->raw_samples = 0;
	}
}

/* What was not sampled, before the profiler or between a stop and a start, is not owed. */
static uint64_t sampled_until(struct native_thread *thread, const struct native_reading *reading)
{
	const struct ring_thread *slot = &reading->slot;
	uint64_t until = slot->cpu_stop_ns ? MIN(slot->cpu_stop_ns, reading->cpu_ns) :
					     reading->cpu_ns;

	if (!slot->tid)
		return until;
	if (thread->known && slot->cpu_base_ns > thread->slot_base_ns) {
		uint64_t more = MIN(slot->cpu_base_ns - thread->slot_base_ns, until);

		thread->cpu_base_ns = MIN(thread->cpu_base_ns + more, until);
		thread->raw_from_ns = MIN(thread->raw_from_ns + more, until);
	}
	thread->slot_base_ns = slot->cpu_base_ns;
	return until;
}

/* What a live thread is owed by its clock becomes the sum of its samples, when it has some. */
static void share_live(struct emitter *e, struct native_thread *thread, struct share *share,
		       const struct native_reading *reading)
{
	struct native_process *p = e->process;
	uint64_t cpu_ns = sampled_until(thread, reading);

	if (!thread->known) {
		/* Resumed after the agent's own restart: what was written before is not known, so the
		 * samples that waited in the ring keep their weights and the account starts here. */
		thread->known = true;
		thread->cpu_base_ns = p->resumed ? cpu_ns : MIN(reading->slot.cpu_base_ns, cpu_ns);
		thread->raw_from_ns = thread->cpu_base_ns;
		thread->emitted_ns = 0;
		if (p->resumed) {
			share->scaled_ns = share->raw_ns;
			return;
		}
	}
	int64_t owed = (int64_t)(cpu_ns - thread->cpu_base_ns) - thread->emitted_ns;

	departure_judge(thread, cpu_ns, e->interval_ns);
	if (share->raw_ns) {
		share->scaled_ns = MAX(owed, (int64_t)1);
		thread->emitted_ns += share->scaled_ns;
	} else if (owed > UNSAMPLED_PERIODS * e->interval_ns && !e->stopped) {
		record_add(e, SERIES_CPU, stack_node(e, NULL, 0, false, "[not sampled]"),
			   context_of(e, thread, NULL, NULL), e->clock->real_ns, owed, 1);
		p->stats.not_sampled_ns += (uint64_t)owed;
		thread->emitted_ns += owed;
	}
}

/* An ended thread's samples keep their weights; the process takes over what is left. */
static void share_ended(struct native_process *p, struct native_thread *thread, struct share *share,
			uint64_t cpu_ns, uint64_t base_ns)
{
	share->scaled_ns = share->raw_ns;
	if (p->resumed && !thread->known)
		return; /* what it had before is not known */
	if (thread->known)
		base_ns = thread->cpu_base_ns + (base_ns - MIN(thread->slot_base_ns, base_ns));
	p->owed_ns += (int64_t)(cpu_ns - MIN(base_ns, cpu_ns)) - thread->emitted_ns -
		      share->raw_ns;
	thread->emitted_ns += share->raw_ns;
}

static struct share *shares_make(struct emitter *e, const struct native_reading *readings,
				 size_t count)
{
	struct native_process *p = e->process;

	for (size_t i = 0; i < count; i++)
		if (thread_index(p, readings[i].tid) == SIZE_MAX)
			return NULL;
	for (size_t i = 0; i < p->pending_count; i++)
		if (thread_index(p, p->pending[i].tid) == SIZE_MAX)
			return NULL;
	struct share *shares = calloc(p->threads_count + 1, sizeof(*shares));

	for (size_t i = 0; shares && i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];
		size_t t = thread_index(p, pending->tid);

		if (pending->type != RING_SAMPLE_CPU)
			continue;
		shares[t].raw_ns += weight_of(pending);
		p->threads[t].raw_ns += (uint64_t)weight_of(pending);
		p->threads[t].raw_samples++;
		p->stats.cpu_sampled_ns += (uint64_t)weight_of(pending);
	}
	return shares;
}

/* Spread what ended threads are owed over the samples of this drain, at most half of them. */
static double pool_factor(struct native_process *p, const struct share *shares)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->threads_count; i++)
		sum += shares[i].scaled_ns;
	if (!sum || !p->owed_ns)
		return 1;
	int64_t spread = MIN(MAX(p->owed_ns, -sum / 2), sum / 2);

	p->owed_ns -= spread;
	return 1 + (double)spread / (double)sum;
}

static void cpu_records(struct emitter *e, const struct share *shares, double factor)
{
	struct native_process *p = e->process;

	for (size_t i = 0; !e->rc && i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];

		if (pending->type != RING_SAMPLE_CPU)
			continue;
		size_t t = thread_index(p, pending->tid);
		const struct share *share = &shares[t];
		int64_t value = (int64_t)((double)weight_of(pending) * (double)share->scaled_ns /
						  (double)MAX(share->raw_ns, (int64_t)1) * factor +
					  0.5);
		uint32_t node = stack_node(e, words_of(p, pending), pending->frames_count,
					   pending->in_kernel, NULL);
		uint32_t context = context_of(e, &p->threads[t], pending, NULL);
		int64_t time_ns = real_time(e, pending->time_ns);

		p->stats.cpu_ns += (uint64_t)value;
		record_add(e, SERIES_CPU, node, context, time_ns, value, pending->cpu.samples);
		record_add(e, SERIES_WALL, node, context, time_ns, value, pending->cpu.samples);
	}
}

/*
 * A thread that has written its end may still stand in /proc for a moment: its clock is settled, and
 * is not to be looked at again.  A tid that comes back with less on its clock is another thread.
 */
static bool is_settled(struct native_process *p, const struct native_reading *reading)
{
	struct native_thread *thread = native_thread_get(p, reading->tid);

	if (!thread->ended || reading->cpu_ns >= thread->end_cpu_ns)
		return thread->ended;
	free(thread->site_frames);
	*thread = (struct native_thread){ .tid = reading->tid, .live = true };
	return false;
}

/* Threads whose last record came with this drain: settled from here on. */
static void ends_mark(struct native_process *p)
{
	for (size_t i = 0; i < p->pending_count; i++) {
		struct native_thread *thread = native_thread_get(p, p->pending[i].tid);

		if (p->pending[i].type != RING_THREAD_END || thread->ended)
			continue;
		thread->ended = true;
		thread->ending = true;
		thread->end_cpu_ns = p->pending[i].cpu.weight_ns;
	}
}

static void cpu_emit(struct emitter *e, const struct native_reading *readings, size_t count,
		     bool ended)
{
	struct native_process *p = e->process;
	struct share *CLEANUP(cleanup_free) shares = shares_make(e, readings, count);

	if (!shares) {
		e->rc = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < p->threads_count; i++)
		shares[i].scaled_ns = shares[i].raw_ns;
	ends_mark(p);
	for (size_t i = 0; !e->rc && i < count; i++) {
		size_t t = thread_index(p, readings[i].tid);

		if (readings[i].has_schedstat && !is_settled(p, &readings[i]))
			share_live(e, &p->threads[t], &shares[t], &readings[i]);
	}
	for (size_t i = 0; i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];
		size_t t = thread_index(p, pending->tid);

		if (pending->type != RING_THREAD_END || !p->threads[t].ending)
			continue;
		p->threads[t].ending = false;
		share_ended(p, &p->threads[t], &shares[t], pending->cpu.weight_ns,
			    pending->cpu.samples);
	}
	cpu_records(e, shares, pool_factor(p, shares));
	if (ended && p->owed_ns > e->interval_ns && !e->rc) {
		static const struct native_thread nobody;

		record_add(e, SERIES_CPU, stack_node(e, NULL, 0, false, "[not sampled]"),
			   context_of(e, &nobody, NULL, NULL), e->clock->real_ns, p->owed_ns, 1);
		p->stats.not_sampled_ns += (uint64_t)p->owed_ns;
		p->owed_ns = 0;
	}
}

/* ---- wall ---- */

static void site_learn(struct native_process *p, struct native_thread *thread,
		       const struct native_pending *pending)
{
	struct native_site *site = NULL;

	if (!thread->site_frames)
		thread->site_frames = malloc(sizeof(uint64_t) * NATIVE_SITES_MAX * RING_FRAMES_MAX);
	if (!thread->site_frames)
		return; /* an open call is then shown without its stack */
	for (size_t i = 0; i < thread->sites_count; i++)
		if (thread->sites[i].key == pending->block.site)
			site = &thread->sites[i];
	if (!site) {
		site = &thread->sites[thread->sites_next];
		thread->sites_next = (thread->sites_next + 1) % NATIVE_SITES_MAX;
		thread->sites_count = MIN(thread->sites_count + 1, (size_t)NATIVE_SITES_MAX);
	}
	site->key = pending->block.site;
	site->call = pending->block.call;
	site->frames_count = pending->frames_count;
	site->frames_at = (size_t)(site - thread->sites) * RING_FRAMES_MAX;
	if (pending->frames_count)
		memcpy(thread->site_frames + site->frames_at, p->frames + pending->frames_at,
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
	int64_t duration = (int64_t)MIN(pending->block.duration_ns, (uint64_t)86400 * 365 * NS_PER_S);
	uint32_t node = stack_node(e, words_of(p, pending), pending->frames_count, false,
				   call_name(pending->block.call));
	uint32_t context = context_of(e, thread, pending, &pending->block);
	int64_t time_ns = real_time(e, pending->time_ns);

	if (thread->open_since_ns && pending->block.since_ns == thread->open_since_ns) {
		duration -= thread->open_charged_ns;
		thread->open_since_ns = 0;
	}
	thread->blocked_ns += duration;
	record_add(e, SERIES_BLOCK, node, context, time_ns, duration, 1);
	record_add(e, SERIES_WALL, node, context, time_ns, duration, 1);
}

/* A call that has not returned is charged up to now. */
static int64_t open_call(struct emitter *e, struct native_thread *thread,
			 const struct native_reading *reading)
{
	const struct ring_thread *slot = &reading->slot;
	const struct native_site *site = NULL;

	if (!slot->call || slot->since_ns <= 0 || slot->since_ns > e->clock->monotonic_ns)
		return 0;
	if (thread->open_since_ns != slot->since_ns) {
		thread->open_since_ns = slot->since_ns;
		thread->open_charged_ns = 0;
	}
	int64_t from = MAX(slot->since_ns + thread->open_charged_ns, thread->wall_until_ns);
	int64_t duration = e->clock->monotonic_ns - from;

	if (duration <= 0)
		return 0;
	for (size_t i = 0; i < thread->sites_count; i++)
		if (thread->sites[i].key == slot->site)
			site = &thread->sites[i];
	const struct ring_block block = { .call = slot->call, .target = slot->target };
	uint32_t node = stack_node(e, site ? thread->site_frames + site->frames_at : NULL,
				   site ? site->frames_count : 0, false, call_name(slot->call));
	uint32_t context = context_of(e, thread, NULL, &block);

	thread->open_charged_ns = e->clock->monotonic_ns - slot->since_ns;
	record_add(e, SERIES_BLOCK, node, context, e->clock->real_ns, duration, 1);
	record_add(e, SERIES_WALL, node, context, e->clock->real_ns, duration, 1);
	return duration;
}

static void named_record(struct emitter *e, const struct native_thread *thread, const char *name,
			 int64_t value)
{
	if (value > 0)
		record_add(e, SERIES_WALL, stack_node(e, NULL, 0, false, name),
			   context_of(e, thread, NULL, NULL), e->clock->real_ns, value, 1);
}

static void wall_account(struct emitter *e, struct native_thread *thread,
			 const struct native_reading *reading)
{
	int64_t now = e->clock->monotonic_ns;

	if (!thread->wall_until_ns) {
		/* A thread is accounted from where it is first seen; a new process from its start. */
		bool from_start = !e->process->resumed && !e->process->first_ns;

		thread->wall_until_ns = from_start ? e->process->head.start_monotonic_ns : now;
		thread->wall_cpu_ns = from_start ? reading->slot.cpu_base_ns : reading->cpu_ns;
		thread->wall_wait_ns = from_start ? 0 : reading->wait_ns;
	}
	int64_t elapsed = now - thread->wall_until_ns;
	int64_t cpu = (int64_t)(reading->cpu_ns - thread->wall_cpu_ns);
	/* The wait of a thread that is older than its profiler is not of this time. */
	int64_t wait = MIN((int64_t)(reading->wait_ns - thread->wall_wait_ns),
			   MAX(elapsed - cpu, (int64_t)0));
	int64_t open = open_call(e, thread, reading);

	named_record(e, thread, "[waiting for a CPU]", wait);
	thread->rest_ns += elapsed - cpu - wait - open - thread->blocked_ns;
	if (thread->rest_ns > REST_MIN_NS) {
		named_record(e, thread, "[off CPU, not explained]", thread->rest_ns);
		thread->rest_ns = 0;
	}
	thread->wall_until_ns = now;
	thread->wall_cpu_ns = reading->cpu_ns;
	thread->wall_wait_ns = reading->wait_ns;
	thread->blocked_ns = 0;
}

static void wall_emit(struct emitter *e, const struct native_reading *readings, size_t count,
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

		if (thread && readings[i].has_schedstat)
			wall_account(e, thread, &readings[i]);
	}
}

/* ---- the batch ---- */

static void threads_update(struct emitter *e, const struct native_reading *readings, size_t count)
{
	struct native_process *p = e->process;

	for (size_t i = 0; i < p->threads_count; i++)
		p->threads[i].live = false;
	for (size_t i = 0; i < count; i++) {
		struct native_thread *thread = native_thread_get(p, readings[i].tid);
		const char *name = readings[i].slot.name[0] ? readings[i].slot.name :
							      readings[i].comm;

		if (!thread) {
			e->rc = -ENOMEM;
			return;
		}
		thread->live = true;
		if (name[0]) {
			size_t len = strnlen(name, NATIVE_COMM_MAX - 1);

			memcpy(thread->name, name, len);
			thread->name[len] = '\0';
		}
	}
}

/* Threads are forgotten once /proc does not show them any more. */
static void threads_forget(struct native_process *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->threads_count; i++) {
		if (p->threads[i].live)
			p->threads[kept++] = p->threads[i];
		else
			free(p->threads[i].site_frames);
	}
	p->threads_count = kept;
}

static void series_make(struct emitter *e)
{
	static const enum profile_kind_id kinds[SERIES_COUNT] = { PROFILE_KIND_CPU, PROFILE_KIND_WALL,
								  PROFILE_KIND_BLOCK };
	struct native_process *p = e->process;
	struct profile_label labels[NATIVE_LABELS_MAX];

	for (size_t i = 0; !e->rc && i < p->labels_count; i++)
		e->rc = profile_builder_label(e->out, p->labels[i].key, p->labels[i].value, &labels[i]);
	for (size_t i = 0; !e->rc && i < SERIES_COUNT; i++) {
		uint32_t kind;

		e->rc = profile_builder_known_kind(e->out, kinds[i],
						   kinds[i] == PROFILE_KIND_CPU ? e->interval_ns : 0,
						   &kind);
		if (!e->rc)
			e->rc = profile_builder_series(e->out, kind, labels, p->labels_count,
						       &e->series[i]);
	}
}

static void losses_add(struct emitter *e, const struct ring_counters *now)
{
	struct native_process *p = e->process;
	const struct ring_counters *was = &p->counters;

	for (size_t d = 0; d < RING_DIMENSIONS; d++) {
		for (size_t r = 0; !e->rc && r < RING_DROPS; r++) {
			uint64_t lost = now->drops[d][r] - was->drops[d][r];
			char reason[48];

			if (!lost || now->drops[d][r] < was->drops[d][r])
				continue;
			int n = snprintf(reason, sizeof(reason), "%s.%s", dimension_names[d],
					 drop_names[r]);

			e->rc = profile_builder_loss(e->out,
						     e->series[d == RING_CPU ? SERIES_CPU : SERIES_WALL],
						     (struct str){ reason, (size_t)n }, lost,
						     e->clock->real_ns);
		}
	}
}

static void instance_set(struct emitter *e, bool ended)
{
	struct profile *profile = profile_builder_profile(e->out);
	struct native_process *p = e->process;

	memcpy(profile->instance.runtime_id, p->head.runtime_id, 16);
	profile->instance.pid = p->pid;
	profile->instance.start_ns = p->head.start_real_ns;
	profile->instance.owner = p->owner;
	profile->instance.ended = ended;
	e->rc = profile_builder_string(e->out, (struct str){ p->executable, strlen(p->executable) },
				       &profile->instance.executable);
	profile->arrived_ns = e->clock->real_ns;
	profile->until_ns = e->clock->real_ns;
	profile->from_ns = e->clock->real_ns;
	for (size_t i = 0; i < p->pending_count; i++)
		profile->from_ns = MIN(profile->from_ns, real_time(e, p->pending[i].time_ns));
}

static void cursors_add(struct emitter *e)
{
	for (uint32_t i = 0; !e->rc && i < e->process->head.rings_count; i++) {
		struct profile_cursor cursor = { .ring = i, .position = e->process->cursors[i] };

		memcpy(cursor.runtime_id, e->process->head.runtime_id, 16);
		e->rc = profile_builder_cursor(e->out, &cursor);
	}
}

bool native_process_due(const struct native_process *p, const struct native_clock *clock)
{
	return p->pending_count || clock->monotonic_ns >= p->wall_due_ns;
}

int native_process_emit(struct native_process *p, const struct ring_counters *counters,
			const struct native_reading *readings, size_t readings_count,
			const struct native_clock *clock, bool ended, struct profile_builder *out,
			struct err *err)
{
	uint32_t *CLEANUP(cleanup_free) modules = calloc(p->modules_count + 1, sizeof(*modules));
	struct emitter e = {
		.process = p,
		.out = out,
		.clock = clock,
		.interval_ns = (int64_t)MIN(MAX(counters->interval_us, (uint64_t)100),
					    (uint64_t)1000000) *
			       NS_PER_US,
		.stopped = counters->state == RING_STOPPED,
		.modules = modules,
		.rc = modules ? 0 : -ENOMEM,
	};
	bool due = ended || clock->monotonic_ns >= p->wall_due_ns;

	/* The client's word, and the root of differences below. */
	if (p->head.start_monotonic_ns < 0 || p->head.start_monotonic_ns > clock->monotonic_ns)
		p->head.start_monotonic_ns = clock->monotonic_ns;
	if (!p->counters_known && p->resumed)
		p->counters = *counters; /* what was lost before was written before */
	p->counters_known = true;
	if (!e.rc)
		instance_set(&e, ended);
	if (!e.rc)
		series_make(&e);
	if (!e.rc)
		threads_update(&e, readings, readings_count);
	if (!e.rc)
		cpu_emit(&e, readings, readings_count, ended);
	if (!e.rc)
		wall_emit(&e, readings, readings_count, due);
	losses_add(&e, counters);
	cursors_add(&e);
	if (e.rc)
		return err_set(err, e.rc, "native: %s",
			       e.rc == -E2BIG ? profile_builder_error(out) : "out of memory");
	p->counters = *counters;
	p->pending_count = 0;
	p->frames_count = 0;
	if (!p->first_ns)
		p->first_ns = clock->monotonic_ns;
	if (due) {
		bool young = clock->monotonic_ns - p->first_ns < YOUNG_NS;

		p->wall_due_ns = clock->monotonic_ns + (young ? NS_PER_S : NATIVE_WALL_PERIOD_NS);
	}
	threads_forget(p);
	return 0;
}
