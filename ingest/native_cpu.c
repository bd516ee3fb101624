/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU: a live thread's samples of a drain are scaled to what its clock says it is owed; an ended
 * thread's keep their weight and the difference goes to the process, which spreads it over all
 * samples of the drain.  With a random first expiry that difference has the mean 0, so short
 * threads are neither lost nor favoured, and the process's total is exact.
 */
#include <errno.h>

#include "ingest/native_emit.h"

#define UNSAMPLED_PERIODS 20 /* a thread owed more than this many intervals is not being sampled */
#define DEPARTS_SAMPLES 100  /* samples before a thread's share is judged */
#define DEPARTS_PERCENT 10
#define CLOCK_SLACK_NS ((uint64_t)20 * NS_PER_MS) /* schedstat stands still between two ticks */

struct share {
	int64_t raw_ns;    /* sample weights of the thread in this drain */
	int64_t scaled_ns; /* what they shall add up to */
	bool settled;      /* against a clock */
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
	int64_t exact = (int64_t)(cpu_ns - thread->raw_from_ns), raw = thread->raw_ns;
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
	uint64_t until =
	    slot->cpu_stop_ns ? MIN(slot->cpu_stop_ns, reading->cpu_ns) : reading->cpu_ns;

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

/* Where the account of a thread starts.  One that was there before the first batch and has no slot
 * does not say, so what it did before is not counted; a later one is new. */
static uint64_t base_of(const struct native_process *p, const struct native_reading *reading,
			uint64_t cpu_ns)
{
	if (!reading->slot.tid && !p->first_ns)
		return cpu_ns;
	return MIN(reading->slot.cpu_base_ns, cpu_ns);
}

/* Whether another thread has this number now: its clock is behind, or its slot was given away. */
static bool is_another(const struct native_thread *thread, const struct native_reading *reading)
{
	const struct ring_thread *slot = &reading->slot;

	return reading->cpu_ns + CLOCK_SLACK_NS < thread->cpu_seen_ns ||
	       (slot->tid && thread->has_slot && slot->generation != thread->generation);
}

static void thread_renew(struct native_thread *thread, int64_t now_ns)
{
	uint32_t tid = thread->tid;

	free(thread->sites);
	*thread = (struct native_thread){.tid = tid, .live = true, .seen_ns = now_ns};
}

static void not_sampled(struct emitter *e, const struct native_thread *thread, int64_t value)
{
	uint32_t node = emit_stack(e, NULL, 0, false, "[not sampled]");
	uint32_t context = emit_context(e, thread, NULL, NULL);

	emit_record(e, SERIES_CPU, node, context, e->clock->real_ns, value, 1);
	emit_record(e, SERIES_WALL, node, context, e->clock->real_ns, value, 1);
	e->process->stats.not_sampled_ns += (uint64_t)value;
}

/* A sample that comes late stands for what was given up as not sampled meanwhile, too. */
static int64_t unsampled_less(const struct native_thread *thread, int64_t raw_ns)
{
	return raw_ns ? MAX(raw_ns - thread->unsampled_ns, (int64_t)1) : 0;
}

/* What a live thread is owed by its clock becomes the sum of its samples, when it has some. */
static void share_live(struct emitter *e, struct native_thread *thread, struct share *share,
		       const struct native_reading *reading)
{
	struct native_process *p = e->process;
	uint64_t cpu_ns = sampled_until(thread, reading);

	share->settled = true;
	if (!thread->known) {
		/* Resumed after the agent's own restart: what was written before is not known, so
		 * the samples that waited in the ring keep their weights and the account starts
		 * here. */
		thread->known = true;
		thread->cpu_base_ns = p->resumed ? cpu_ns : base_of(p, reading, cpu_ns);
		thread->raw_from_ns = thread->cpu_base_ns;
		if (p->resumed) {
			thread->emitted_ns = 0;
			thread->raw_ns = 0;
			thread->raw_samples = 0;
			return;
		}
	}
	int64_t owed = (int64_t)(cpu_ns - thread->cpu_base_ns) - thread->emitted_ns;

	departure_judge(thread, cpu_ns, e->interval_ns);
	if (share->raw_ns) {
		share->scaled_ns = MAX(owed, (int64_t)1);
		thread->unsampled_ns = 0;
		thread->emitted_ns = add_bounded(thread->emitted_ns, share->scaled_ns);
	} else if (owed > UNSAMPLED_PERIODS * e->interval_ns && !e->stopped) {
		not_sampled(e, thread, owed);
		thread->unsampled_ns = add_bounded(thread->unsampled_ns, owed);
		thread->emitted_ns = add_bounded(thread->emitted_ns, owed);
	}
}

/* An ended thread's samples keep their weights; the process takes over what is left. */
static void share_ended(struct native_process *p, struct native_thread *thread, struct share *share,
			uint64_t cpu_ns, uint64_t base_ns)
{
	share->settled = true;
	thread->cpu_seen_ns = cpu_ns;
	if (p->resumed && !thread->known)
		return; /* what it had before is not known */
	if (thread->known)
		base_ns = thread->cpu_base_ns + (base_ns - MIN(thread->slot_base_ns, base_ns));

	share->scaled_ns = unsampled_less(thread, share->raw_ns);
	int64_t written = add_bounded(thread->emitted_ns, share->scaled_ns);

	p->owed_ns = add_bounded(p->owed_ns, (int64_t)(cpu_ns - MIN(base_ns, cpu_ns)) - written);
}

/*
 * Samples that no clock has covered yet: what comes later must know of them.  Those of a thread
 * whose end was seen have been covered: the process has to give them back.
 */
static void share_unsettled(struct native_process *p, struct native_thread *thread,
			    struct share *share)
{
	if (thread->ended) {
		p->owed_ns = add_bounded(p->owed_ns, -share->raw_ns);
		return;
	}
	share->scaled_ns = unsampled_less(thread, share->raw_ns);
	thread->unsampled_ns -= MIN(thread->unsampled_ns, share->raw_ns);
	thread->emitted_ns = add_bounded(thread->emitted_ns, share->scaled_ns);
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
		p->threads[t].raw_ns = add_bounded(p->threads[t].raw_ns, weight_of(pending));
		p->threads[t].raw_samples++;
		p->stats.cpu_sampled_ns += (uint64_t)weight_of(pending);
	}
	return shares;
}

/*
 * Spread what ended threads are owed over the samples of this drain, at most half of them; but with
 * the last drain, what was written too much is taken back whole: one sample that came late stands
 * for much.
 */
static double pool_factor(struct native_process *p, const struct share *shares, bool last)
{
	int64_t sum = 0;

	for (size_t i = 0; i < p->threads_count; i++)
		sum = add_bounded(sum, shares[i].scaled_ns);
	if (!sum || !p->owed_ns)
		return 1;
	int64_t spread = MIN(MAX(p->owed_ns, last ? 1 - sum : -sum / 2), sum / 2);

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
		uint32_t node = emit_sample_stack(e, pending);
		uint32_t context = emit_context(e, &p->threads[t], pending, NULL);
		int64_t time_ns = emit_real_time(e, pending->time_ns);

		p->stats.cpu_ns += (uint64_t)value;
		p->stats.cpu_in_kernel_ns += pending->in_kernel ? (uint64_t)value : 0;
		emit_record(e, SERIES_CPU, node, context, time_ns, value, pending->cpu.samples);
		emit_record(e, SERIES_WALL, node, context, time_ns, value, pending->cpu.samples);
	}
}

/*
 * Ends first: a thread that is ending is often still listed, and its own last word counts.  A
 * number that is used again within the drain is taken up with the next.
 */
static void threads_settle(struct emitter *e, struct share *shares,
			   const struct native_reading *readings, size_t count)
{
	struct native_process *p = e->process;

	for (size_t i = 0; i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];
		struct native_thread *thread = native_thread_get(p, pending->tid);

		if (pending->type != RING_THREAD_END || thread->ended || !thread->tid)
			continue;
		thread->ended = true;
		/* No thread has run for longer than its host. */
		share_ended(p, thread, &shares[thread - p->threads],
			    MIN(pending->cpu.weight_ns, (uint64_t)e->clock->monotonic_ns),
			    pending->cpu.samples);
	}
	for (size_t i = 0; !e->rc && i < count; i++) {
		struct native_thread *thread = native_thread_get(p, readings[i].tid);

		if (!readings[i].has_schedstat || !thread->tid ||
		    shares[thread - p->threads].settled)
			continue;
		if (is_another(thread, &readings[i]))
			thread_renew(thread, e->clock->monotonic_ns);
		if (!thread->ended)
			share_live(e, thread, &shares[thread - p->threads], &readings[i]);
		thread->cpu_seen_ns = readings[i].cpu_ns;
		thread->has_slot = thread->has_slot || readings[i].slot.tid;
		thread->generation =
		    readings[i].slot.tid ? readings[i].slot.generation : thread->generation;
	}
	for (size_t i = 0; i < p->threads_count; i++)
		if (!shares[i].settled)
			share_unsettled(p, &p->threads[i], &shares[i]);
}

void native_cpu_emit(struct emitter *e, const struct native_reading *readings, size_t count)
{
	static const struct native_thread nobody;
	struct native_process *p = e->process;
	struct share *CLEANUP(cleanup_free) shares = shares_make(e, readings, count);

	if (!shares) {
		e->rc = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < p->threads_count; i++)
		shares[i].scaled_ns = shares[i].raw_ns;
	threads_settle(e, shares, readings, count);
	cpu_records(e, shares, pool_factor(p, shares, e->ended));
	if (e->ended && p->owed_ns > e->interval_ns && !e->rc) {
		not_sampled(e, &nobody, p->owed_ns);
		p->owed_ns = 0;
	}
}

/* What is in step with the tick deceives timers, which are where all samples come from, or with
 * events those of the kernel's part. */
uint64_t native_cpu_doubted(const struct native_process *p, const struct ring_counters *counters,
			    bool due)
{
	bool timers = counters->engine != RING_ENGINE_PERF || counters->engine_why;
	uint64_t doubted = 0;

	for (size_t i = 0; i < p->pending_count; i++) {
		const struct native_pending *pending = &p->pending[i];
		const struct native_thread *t = native_thread_find(p, pending->tid);

		doubted += pending->type == RING_SAMPLE_CPU && t &&
			   (t->departing || (t->in_step && (timers || pending->in_kernel)));
	}
	/* One that is never on a CPU at a tick has no samples to say it with. */
	for (size_t i = 0; due && i < p->threads_count; i++)
		doubted += (p->threads[i].in_step && timers) ||
			   (p->threads[i].live && p->threads[i].departing);
	return doubted;
}
