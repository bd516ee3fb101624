/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks: waits, scaled to what was counted exactly; the same time charged to those who made others
 * wait; and holds, which nobody counts.  docs/decisions/0012-locks.md.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ingest/native_emit.h"

static const char *const kind_names[RING_LOCK_KINDS] = RING_LOCK_KIND_NAMES;

/* What a wait stands for. */
struct weight {
	double ns, count;
};

/* Nothing has lasted longer than the profiler, and a mean is at most an hour. */
static struct weight weight_of(const struct emitter *e, const struct ring_lock *lock)
{
	double most = (double)(e->clock->monotonic_ns - e->process->head.start_monotonic_ns);
	double ns = fmin((double)lock->duration_ns, fmax(most, 0));
	double mean = fmin((double)lock->mean, 3600e9);
	double p = mean > 0 ? -expm1(-ns / mean) : 1;

	if (!(p > 0))
		return (struct weight){0, 0};
	return (struct weight){ns / p, 1 / p};
}

static uint32_t lock_context(struct emitter *e, const struct native_pending *pending)
{
	const struct ring_lock *lock = &pending->lock;
	struct native_thread *thread = native_thread_get(e->process, pending->tid);
	char name[NATIVE_NAME_MAX];
	struct emit_label labels[2] = {{STR("lock kind"), STR("unknown")}};

	if (!thread) {
		e->rc = -ENOMEM;
		return 0;
	}
	if (lock->kind < RING_LOCK_KINDS)
		labels[0].value =
		    (struct str){kind_names[lock->kind], strlen(kind_names[lock->kind])};
	labels[1].key = STR("lock name");
	native_lock_name(e->process, lock, name);
	labels[1].value = (struct str){name, strlen(name)};
	return emit_context_with(e, thread, pending, labels, ARRAY_LEN(labels));
}

static void write_pair(struct emitter *e, enum native_series series, uint32_t node,
		       uint32_t context, int64_t time_ns, int64_t ns, int64_t count)
{
	const int64_t values[2] = {ns, count};

	if (!e->rc && (ns > 0 || count > 0))
		emit_values(e, series, node, context, time_ns, values, 1);
}

/* The same time, to whoever was the cause; nobody where no holder was seen. */
static void blame(struct emitter *e, uint32_t node, uint32_t context, int64_t time_ns, double ns,
		  double count)
{
	struct native_locks *l = &e->process->locks;

	write_pair(e, SERIES_BLAME, node, context, time_ns, account_take(&l->blame_ns, ns),
		   account_take(&l->blame_count, count));
}

static void wait_record(struct emitter *e, const struct native_pending *pending,
			const struct weight *factor)
{
	struct native_process *p = e->process;
	struct weight w = weight_of(e, &pending->lock);
	int64_t ns = account_take(&p->locks.ns, w.ns * factor->ns);
	int64_t count = account_take(&p->locks.count, w.count * factor->count);
	uint32_t node = emit_stack(e, pending->frames, pending->frames_count, false, NULL);
	uint32_t context = lock_context(e, pending);
	int64_t time_ns = emit_real_time(e, pending->time_ns);

	write_pair(e, SERIES_LOCK, node, context, time_ns, ns, count);
	p->locks.blame_ns.owed += ns;
	p->locks.blame_count.owed += count;
	if (!pending->holder_seen)
		blame(e, emit_stack(e, NULL, 0, false, "[holder not seen]"), context, time_ns,
		      (double)ns, (double)count);
}

static void blame_record(struct emitter *e, const struct native_pending *pending,
			 const struct weight *factor)
{
	struct weight w = weight_of(e, &pending->lock);
	uint32_t node = emit_stack(e, pending->frames, pending->frames_count, false, NULL);

	blame(e, node, lock_context(e, pending), emit_real_time(e, pending->time_ns),
	      w.ns * factor->ns, w.count * factor->count);
}

static void hold_record(struct emitter *e, const struct native_pending *pending)
{
	const struct ring_lock *lock = &pending->lock;
	uint64_t most = (uint64_t)(e->clock->monotonic_ns - e->process->head.start_monotonic_ns);
	int64_t ns = (int64_t)MIN(lock->duration_ns, most), value;
	uint32_t node = emit_stack(e, pending->frames, pending->frames_count, false, NULL);

	if (__builtin_mul_overflow(ns, (int64_t)MIN(lock->mean, (uint64_t)UINT32_MAX), &value))
		value = INT64_MAX / 4;
	emit_values(e, SERIES_HOLD, node, lock_context(e, pending),
		    emit_real_time(e, pending->time_ns), &value, 1);
}

static bool is_lock(const struct native_pending *pending, uint32_t what)
{
	return pending->type == RING_SAMPLE_LOCK && pending->lock.what == what;
}

/* What the drain's waits are multiplied by.  Without one, what is blamed keeps its weight. */
static struct weight factors(const struct emitter *e)
{
	const struct native_process *p = e->process;
	struct weight sum = {0, 0};
	size_t count = 0;

	for (size_t i = 0; i < p->pending_count; i++) {
		struct weight w = {0, 0};

		if (is_lock(&p->pending[i], RING_LOCK_WAIT))
			w = weight_of(e, &p->pending[i].lock);
		count += is_lock(&p->pending[i], RING_LOCK_WAIT);
		sum.ns += w.ns;
		sum.count += w.count;
	}
	if (!(sum.count > 0))
		return (struct weight){1, 1};
	return (struct weight){account_factor(&p->locks.ns, sum.ns, count),
			       account_factor(&p->locks.count, sum.count, count)};
}

static void close_accounts(struct emitter *e)
{
	struct native_locks *l = &e->process->locks;
	int64_t ns = account_close(&l->ns), count = account_close(&l->count);
	uint32_t node = emit_stack(e, NULL, 0, false, "[not sampled]");

	write_pair(e, SERIES_LOCK, node, 0, e->clock->real_ns, ns, count);
	l->blame_ns.owed += ns;
	l->blame_count.owed += count;
	ns = account_close(&l->blame_ns);
	count = account_close(&l->blame_count);
	node = emit_stack(e, NULL, 0, false, "[holder not seen]");
	write_pair(e, SERIES_BLAME, node, 0, e->clock->real_ns, ns, count);
}

void native_lock_emit(struct emitter *e, const struct ring_counters *counters, bool ended)
{
	struct native_process *p = e->process;

	account_count(&p->locks.ns, p->counters.lock_wait_ns, counters->lock_wait_ns);
	account_count(&p->locks.count, p->counters.lock_contended, counters->lock_contended);

	const struct weight factor = factors(e);

	for (size_t i = 0; !e->rc && i < p->pending_count; i++) {
		if (is_lock(&p->pending[i], RING_LOCK_WAIT))
			wait_record(e, &p->pending[i], &factor);
		else if (is_lock(&p->pending[i], RING_LOCK_HOLD))
			hold_record(e, &p->pending[i]);
	}
	/* After the waits that they explain, which stand behind them in the ring. */
	for (size_t i = 0; !e->rc && i < p->pending_count; i++)
		if (is_lock(&p->pending[i], RING_LOCK_BLAME))
			blame_record(e, &p->pending[i], &factor);
	if (ended && !e->rc)
		close_accounts(e);
}
